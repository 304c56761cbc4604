//! One film spot (W-5): its matter, its phases and its microstructure, advanced with adaptive steps (W-3).

use super::kinetics::{AVRAMI, R_KJ, Rates, ZERO_C, edge_a};
use super::matter::{Composition, Moles, Species};
use super::truth::HiddenTruth;

/// Reference thickness of the loss laws, nm.
const LOSS_THICKNESS_NM: f64 = 450.0;
/// Volume of a perovskite formula unit, cm³/mol (α-FAPbI3).
const FORMULA_CM3: f64 = 155.0;
/// A phase fraction below this is taken as gone: the Avrami law never ends, the arithmetic must.
const GONE: f64 = 1e-9;
/// Residual solvent per lead below which a film is dry.
const DRY: f64 = 1e-4;
/// Largest extended-time step (W-3).
const TAU_STEP: f64 = 0.02;
/// Largest relative change of an amount in one step.
const AMOUNT_STEP: f64 = 0.04;

/// What surrounds a film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surroundings {
    /// Temperature of the place, K.
    pub(crate) place_k: f64,
    /// Time constant with which the film follows the place, s.
    pub(crate) lag_s: f64,
    /// Relative humidity, fraction.
    pub(crate) humidity: f64,
    /// Mass transfer coefficient of evaporation, m/s.
    pub(crate) mass_transfer_m_s: f64,
    /// Factor on the loss of organic ions.
    pub(crate) loss_factor: f64,
    /// Light of the laser on the film, suns; 0 in the dark.
    pub(crate) suns: f64,
}

/// The state of a film spot on a substrate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Film {
    /// All matter in the film, mol.
    pub(crate) moles: Moles,
    /// Substrate area, m².
    pub(crate) area_m2: f64,
    /// Share of perovskite-forming lead that is wet, amorphous or solvate.
    pub(crate) wet: f64,
    /// Share in α.
    pub(crate) alpha: f64,
    /// Share in δH.
    pub(crate) delta_h: f64,
    /// Share in δO.
    pub(crate) delta_o: f64,
    /// Extended times of crystallisation, δ→α, α→δO, α→δH.
    pub(crate) tau: [f64; 4],
    /// Whether α was stable at the last step; a change resets the extended times of the steps that begin.
    pub(crate) alpha_was_stable: bool,
    /// Film temperature, K.
    pub(crate) temperature_k: f64,
    /// Grain size, nm.
    pub(crate) grain_nm: f64,
    /// Covered share of the substrate.
    pub(crate) coverage: f64,
    /// Rim to centre thickness ratio of the coffee ring.
    pub(crate) rim_ratio: f64,
    /// Roughness, nm.
    pub(crate) roughness_nm: f64,
    /// Time spent annealing (above 60 °C, dry), min.
    pub(crate) anneal_min: f64,
    /// Temperature at which most of the film crystallised, K.
    pub(crate) crystallised_k: f64,
    /// Photobrightening, 0 (fresh) to 1.
    pub(crate) light_soak: f64,
    /// Share of emission from iodide-rich domains.
    pub(crate) segregated: f64,
    /// Highest temperature so far, K.
    pub(crate) hottest_k: f64,
    /// Lowest temperature so far, K.
    pub(crate) coldest_k: f64,
    /// Seconds above 100, 150 and 200 °C.
    pub(crate) hot_s: [f64; 3],
    /// Whether it has been outside the range of the laws (W-6).
    pub(crate) extrapolated: bool,
    /// Matter that left as gas since this was last collected, mol.
    pub(crate) gas: Moles,
}

impl Film {
    /// A bare substrate at a temperature.
    pub(crate) fn bare(area_m2: f64, temperature_k: f64) -> Self {
        Self {
            moles: Moles::default(),
            area_m2,
            wet: 1.0,
            alpha: 0.0,
            delta_h: 0.0,
            delta_o: 0.0,
            tau: [0.0; 4],
            alpha_was_stable: true,
            temperature_k,
            grain_nm: 400.0,
            coverage: 1.0,
            rim_ratio: 1.0,
            roughness_nm: 10.0,
            anneal_min: 0.0,
            crystallised_k: temperature_k,
            light_soak: 0.0,
            segregated: 0.0,
            hottest_k: temperature_k,
            coldest_k: temperature_k,
            hot_s: [0.0; 3],
            extrapolated: false,
            gas: Moles::default(),
        }
    }

    /// Lands wet ink on the film: whatever was there dissolves again.
    pub(crate) fn land(&mut self, ink: Moles, coverage: f64, rim_ratio: f64, roughness_nm: f64) {
        self.moles += ink;
        (self.wet, self.alpha, self.delta_h, self.delta_o) = (1.0, 0.0, 0.0, 0.0);
        self.tau = [0.0; 4];
        self.grain_nm = 400.0;
        self.anneal_min = 0.0;
        self.light_soak = 0.0;
        self.segregated = 0.0;
        self.coverage = coverage;
        self.rim_ratio = rim_ratio;
        self.roughness_nm = roughness_nm;
    }

    /// Composition of the perovskite former; `None` for a bare substrate.
    pub(crate) fn composition(&self) -> Option<Composition> {
        Composition::of(&self.moles)
    }

    /// Share of lead in the four phases and in PbX2 and Cs4PbX6: wet, α, δH, δO, PbX2, Cs4PbX6. They sum to 1.
    pub(crate) fn lead_fractions(&self) -> [f64; 6] {
        let Some(composition) = self.composition() else {
            // Without A-site ions all lead is left as its halide; without lead nothing but liquid is there.
            let salt = if self.moles.of(Species::Lead) > 0.0 { 1.0 } else { 0.0 };
            return [1.0 - salt, 0.0, 0.0, 0.0, salt, 0.0];
        };
        let salt = composition.lead_halide_share();
        let zero_dimensional = composition.zero_dimensional_share();
        let rest = 1.0 - salt - zero_dimensional;
        [self.wet * rest, self.alpha * rest, self.delta_h * rest, self.delta_o * rest, salt, zero_dimensional]
    }

    /// Mean thickness of the solid where the substrate is covered, nm.
    pub(crate) fn thickness_nm(&self, truth: &HiddenTruth) -> f64 {
        let Some(composition) = self.composition() else { return 0.0 };
        let formula_volume = edge_a(&composition, 298.0, truth).powi(3) * 0.602_214; // cm³/mol
        let salt = composition.lead_halide_share();
        let per_lead = (1.0 - salt) * formula_volume + salt * 75.6;
        self.moles.of(Species::Lead) * per_lead * 1e3 / (self.area_m2 * self.coverage)
    }

    /// Thickness reckoned from lead alone, nm: a film that loses organic ions keeps its escape length.
    fn lead_thickness_nm(&self) -> f64 {
        self.moles.of(Species::Lead) * FORMULA_CM3 * 1e3 / (self.area_m2 * self.coverage)
    }

    /// Residual solvent per lead, unclamped.
    pub(crate) fn solvent_per_lead(&self) -> f64 {
        let lead = self.moles.of(Species::Lead);
        if lead > 0.0 { self.moles.solvent() / lead } else { 0.0 }
    }

    /// Whether any time at all can change this film, apart from its temperature.
    fn is_inert(&self) -> bool {
        self.moles.0.iter().all(|n| *n == 0.0)
    }

    /// Advances the film by `duration_s` in constant surroundings.
    pub(crate) fn advance(&mut self, duration_s: f64, around: &Surroundings, truth: &HiddenTruth) {
        let mut left = duration_s;
        while left > 0.0 {
            let span = self.temperature_k - around.place_k;
            if self.is_inert() {
                self.temperature_k = around.place_k + span * (-left / around.lag_s).exp();
                return;
            }
            // At most 1 K in a step: the exponential reaches span − 1 K after lag·ln(span/(span − 1)).
            let thermal = if span.abs() > 1.0 {
                around.lag_s * (span.abs() / (span.abs() - 1.0)).ln().min(1e6)
            } else {
                f64::INFINITY
            };
            let step = left.min(thermal);
            let middle_k = around.place_k + span * (-0.5 * step / around.lag_s).exp();
            let taken = self.change(step, middle_k, around, truth);
            self.temperature_k = around.place_k + span * (-taken / around.lag_s).exp();
            self.remember(taken);
            left = if left - taken < 1e-12 { 0.0 } else { left - taken };
        }
    }

    fn remember(&mut self, seconds: f64) {
        let celsius = self.temperature_k - ZERO_C;
        self.hottest_k = self.hottest_k.max(self.temperature_k);
        self.coldest_k = self.coldest_k.min(self.temperature_k);
        for (sum, limit) in self.hot_s.iter_mut().zip([100.0, 150.0, 200.0]) {
            if celsius > limit {
                *sum += seconds;
            }
        }
    }

    /// One step of chemistry at a mean temperature, shortened where amounts would change too much. Returns its length.
    fn change(&mut self, step_s: f64, temperature_k: f64, around: &Surroundings, truth: &HiddenTruth) -> f64 {
        // W-6: the laws hold from the glass of a cold room to the loss of CsPbI3; outside, they are clamped.
        let within = temperature_k.clamp(250.0, 700.0);
        self.extrapolated |= within != temperature_k;
        let temperature_k = within;
        let mut step = step_s;
        let drying = (self.moles.solvent() > 0.0).then(|| self.drying_rates(temperature_k, around.mass_transfer_m_s));
        if let Some([dmf, dmso]) = drying {
            let flow = dmf * self.moles.of(Species::Dmf) + dmso * self.moles.of(Species::Dmso);
            step = step.min(AMOUNT_STEP * self.moles.solvent() / flow.max(1e-300));
        }
        let Some(composition) = self.composition() else {
            self.dry(step, drying);
            return step;
        };
        let rates = Rates::at(&composition, temperature_k, around.humidity, truth);
        let dryness = (1.0 - self.solvent_per_lead().min(1.0)).powi(2);
        let loss = around.loss_factor * LOSS_THICKNESS_NM / self.lead_thickness_nm().max(1.0);
        let (lose_ma, lose_fa) = (rates.lose_ma * loss, rates.lose_fa * loss);
        self.turn(rates.free_energy < 0.0);
        let mut speed = [rates.crystallise * dryness, rates.to_alpha, rates.to_delta_o, rates.to_delta_h];
        let sources = [self.wet, self.delta_h + self.delta_o, self.alpha, self.alpha];
        for (k, source) in speed.iter_mut().zip(sources) {
            if source <= 0.0 {
                *k = 0.0;
            }
        }
        let fastest = speed.iter().copied().fold(0.0, f64::max);
        step = step.min(60.0 * TAU_STEP / fastest.max(1e-300));
        step = step.min(60.0 * AMOUNT_STEP / lose_ma.max(lose_fa).max(1e-300));
        let minutes = step / 60.0;
        self.dry(step, drying);
        self.transform(minutes, &speed, &rates, &composition, temperature_k);
        self.lose(minutes, lose_ma, lose_fa, &composition);
        self.grow(minutes, temperature_k, truth);
        self.glow(minutes, &composition, temperature_k, around.suns);
        step
    }

    /// Resets the extended times of the steps that begin when α gains or loses its stability.
    fn turn(&mut self, alpha_stable: bool) {
        if alpha_stable != self.alpha_was_stable {
            self.alpha_was_stable = alpha_stable;
            if alpha_stable {
                self.tau[1] = 0.0;
            } else {
                self.tau[2] = 0.0;
                self.tau[3] = 0.0;
            }
        }
    }

    /// First-order rates of evaporation of DMF and DMSO, 1/s (chapter 6).
    fn drying_rates(&self, temperature_k: f64, mass_transfer_m_s: f64) -> [f64; 2] {
        let saturation = |at_25_pa: f64, heat: f64| {
            at_25_pa * (-(heat / R_KJ) * (1.0 / temperature_k - 1.0 / 298.15)).exp().min(2e3)
        };
        let lead = self.moles.of(Species::Lead);
        let dmso = self.moles.of(Species::Dmso);
        // The last DMSO per lead is bound as an adduct and hardly evaporates below 80 °C.
        let bound = dmso.min(lead);
        let freedom = if temperature_k < 353.15 { 0.05 } else { 1.0 };
        let dmso_activity = if dmso > 0.0 { (dmso - bound + freedom * bound) / dmso } else { 0.0 };
        let total = self.moles.solvent() + lead;
        // A wet puddle covers the whole substrate; gaps open only as the solid forms.
        let pace = mass_transfer_m_s * self.area_m2 / (8.314 * temperature_k * total.max(1e-300));
        [pace * saturation(490.0, 46.9), pace * saturation(84.0, 52.9) * dmso_activity]
    }

    fn dry(&mut self, step_s: f64, rates: Option<[f64; 2]>) {
        let Some(rates) = rates else { return };
        let rest = DRY * self.moles.of(Species::Lead) + 1e-14;
        for (species, rate) in [Species::Dmf, Species::Dmso].into_iter().zip(rates) {
            let before = self.moles.of(species);
            let mut after = before * (-rate * step_s).exp();
            if after < rest {
                after = 0.0;
            }
            self.moles.set(species, after);
            self.gas.add(species, before - after);
        }
    }

    fn transform(&mut self, minutes: f64, speed: &[f64; 4], rates: &Rates, composition: &Composition, k: f64) {
        let mut survives = [1.0; 4];
        for i in 0..4 {
            let before = self.tau[i];
            self.tau[i] += speed[i] * minutes;
            survives[i] = (before.powf(AVRAMI[i]) - self.tau[i].powf(AVRAMI[i])).exp();
        }
        let share_o = if composition.cs + composition.fa > 1e-9 {
            composition.cs / (composition.cs + composition.fa)
        } else {
            0.0
        };
        let crystallised = take(&mut self.wet, survives[0]);
        let from_h = take(&mut self.delta_h, survives[1]);
        let from_o = take(&mut self.delta_o, survives[1]);
        let to_o = take(&mut self.alpha, survives[2]);
        let to_h = take(&mut self.alpha, survives[3]);
        if crystallised > 0.0 {
            let done = 1.0 - self.wet;
            self.crystallised_k += (k - self.crystallised_k) * crystallised / done.max(crystallised);
        }
        let born_delta = crystallised * (1.0 - rates.alpha_branch);
        self.alpha += crystallised - born_delta + from_h + from_o;
        self.delta_o += to_o + born_delta * share_o;
        self.delta_h += to_h + born_delta * (1.0 - share_o);
        let sum = self.wet + self.alpha + self.delta_h + self.delta_o;
        for part in [&mut self.wet, &mut self.alpha, &mut self.delta_h, &mut self.delta_o] {
            *part /= sum;
        }
    }

    fn lose(&mut self, minutes: f64, lose_ma: f64, lose_fa: f64, composition: &Composition) {
        for (species, rate) in [(Species::Methylammonium, lose_ma), (Species::Formamidinium, lose_fa)] {
            let before = self.moles.of(species);
            if before <= 0.0 {
                continue;
            }
            let after = before * (-rate * minutes).exp();
            let lost = before - after;
            self.moles.set(species, after);
            self.gas.add(species, lost);
            for (halide, share) in [(Species::Iodide, 1.0 - composition.br), (Species::Bromide, composition.br)] {
                self.moles.add(halide, -lost * share);
                self.gas.add(halide, lost * share);
            }
        }
    }

    /// Grain growth, G³ − G₀³ = k t with a cap at 1.5 film thicknesses (chapter 7); only crystals grow.
    fn grow(&mut self, minutes: f64, temperature_k: f64, truth: &HiddenTruth) {
        if temperature_k > 333.15 && self.wet < 0.5 {
            self.anneal_min += minutes;
        }
        let k_g = 1.4e6 * (-(0.30 / 8.617e-5) * (1.0 / temperature_k - 1.0 / 373.0)).exp() * (1.0 - self.wet);
        let cap = (1.5 * self.thickness_nm(truth)).max(self.grain_nm);
        self.grain_nm = (self.grain_nm.powi(3) + k_g * minutes).cbrt().min(cap);
    }

    /// Light soaking and halide segregation under the laser (chapters 5 and 8).
    fn glow(&mut self, minutes: f64, composition: &Composition, temperature_k: f64, suns: f64) {
        if suns > 0.0 {
            self.light_soak = 1.0 - (1.0 - self.light_soak) * (-minutes).exp();
        }
        if suns <= 0.0 && self.segregated <= 0.0 {
            return;
        }
        let pace = (-(25.0 / R_KJ) * (1.0 / temperature_k - 1.0 / 298.15)).exp();
        let quality = if composition.ma > 0.5 {
            1.0
        } else if composition.cs > 0.10 && composition.cs < 0.30 {
            0.05
        } else {
            0.5
        };
        let onset = if composition.br > 0.20 { 0.1 * suns * quality * pace } else { 0.0 };
        let back = 0.03 * pace;
        let level = onset / (onset + back);
        self.segregated = level + (self.segregated - level) * (-(onset + back) * minutes).exp();
        if self.segregated < 1e-9 {
            self.segregated = 0.0;
        }
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        self.moles.feed(hasher);
        let values = [
            self.wet,
            self.alpha,
            self.delta_h,
            self.delta_o,
            self.temperature_k,
            self.grain_nm,
            self.coverage,
            self.rim_ratio,
            self.roughness_nm,
            self.anneal_min,
            self.light_soak,
            self.segregated,
        ];
        for value in values.iter().chain(&self.tau) {
            hasher.update(&value.to_bits().to_le_bytes());
        }
    }
}

/// Takes from a fraction what does not survive.
fn take(fraction: &mut f64, survives: f64) -> f64 {
    let before = *fraction;
    let mut after = before * survives;
    if after < GONE && survives < 1.0 {
        after = 0.0;
    }
    *fraction = after;
    before - after
}

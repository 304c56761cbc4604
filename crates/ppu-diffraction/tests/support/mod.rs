//! Synthetic films: expected counts of the forward model with seeded Poisson noise.
#![allow(dead_code, reason = "each test binary uses its own part")]

use ppu_diffraction::forward::{Component, Grid, PreparedPhase, expected_counts};
use ppu_diffraction::library::{self, AlphaForm, Composition};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::profile::{Condition, Film, Instrument, Specimen, Texture};
use ppu_diffraction::structure::Phase;

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, good enough for noise in tests.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

/// A film as a test wants it: lead fractions of α, δH, δO, PbI2 and PbBr2.
#[derive(Debug, Clone)]
pub(crate) struct FilmTruth {
    pub(crate) composition: Composition,
    pub(crate) form: AlphaForm,
    pub(crate) a_factor: f64,
    pub(crate) lead: [f64; 5],
    pub(crate) displacement_mm: f64,
    pub(crate) march: [f64; 5],
    pub(crate) size_nm: f64,
    pub(crate) microstrain: f64,
    pub(crate) thickness_nm: f64,
    pub(crate) strongest: f64,
    pub(crate) dwell_s: f64,
}

impl FilmTruth {
    pub(crate) fn typical() -> Self {
        Self {
            composition: Composition::new(0.17, 0.83, 0.0, 0.0, 0.0).unwrap(),
            form: AlphaForm::Cubic,
            a_factor: 0.9995,
            lead: [0.8, 0.05, 0.05, 0.1, 0.0],
            displacement_mm: 0.05,
            march: [0.6, 1.3, 1.0, 0.4, 1.0],
            size_nm: 100.0,
            microstrain: 0.0017,
            thickness_nm: 500.0,
            strongest: 3000.0,
            dwell_s: 0.3,
        }
    }

    pub(crate) fn grid() -> Grid {
        Grid { start_deg: 8.0, step_deg: 0.0175, points: 3000 }
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        let edge = library::pseudo_cubic_edge(&self.composition) * self.a_factor;
        vec![
            library::alpha(self.form, &self.composition, edge).unwrap(),
            library::delta_h(self.composition.br).unwrap(),
            library::delta_o(self.composition.br).unwrap(),
            library::lead_iodide().unwrap(),
            library::lead_bromide().unwrap(),
        ]
    }

    /// Expected counts: Σ v/V² × pattern with v ∝ lead × V / Pb atoms, scaled to a film of pure α whose strongest line
    /// has `strongest` counts/s, plus a background with a glass hump.
    pub(crate) fn expected(&self, instrument: &Instrument) -> Vec<f64> {
        let grid = Self::grid();
        let phases = self.phases();
        let axes = [self.form.texture_axis(), [0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0]];
        let film = Film { attenuation_per_cm: phases[0].linear_attenuation_per_cm(), thickness_nm: self.thickness_nm };
        let specimen = Specimen { displacement_mm: self.displacement_mm, film: Some(film) };
        let prepared: Vec<PreparedPhase> =
            phases.iter().map(|phase| PreparedPhase::new(phase, instrument, &grid).unwrap()).collect();
        let condition = |index: usize| Condition {
            crystallite_size_nm: self.size_nm,
            microstrain: self.microstrain,
            texture: Some(Texture { axis: axes[index], r: self.march[index] }),
        };
        let component = |index: usize, lead: f64| {
            let phase = prepared[index].phase();
            let atoms = phase.atoms_per_cell(ppu_diffraction::structure::Element::Pb);
            Component {
                phase: &prepared[index],
                condition: condition(index),
                scale: lead / (atoms * phase.cell_volume_a3()),
            }
        };
        let dark = vec![0.0; grid.points];
        let pure = expected_counts(&[component(0, 1.0)], &dark, instrument, &specimen, &grid).unwrap();
        let unit = self.strongest * self.dwell_s / pure.iter().copied().fold(0.0, f64::max);
        let components: Vec<Component<'_>> = (0..5).map(|index| component(index, self.lead[index] * unit)).collect();
        let hump = |x: f64| 30.0 * (-4.0 * 2f64.ln() * ((x - 24.0) / 12.0).powi(2)).exp();
        let background: Vec<f64> = grid.angles().iter().map(|&x| self.dwell_s * (12.0 + 180.0 / x + hump(x))).collect();
        expected_counts(&components, &background, instrument, &specimen, &grid).unwrap()
    }

    pub(crate) fn pattern(&self, instrument: &Instrument, seed: u64) -> Pattern {
        let mut noise = Noise(seed);
        let counts = self.expected(instrument).into_iter().map(|mean| noise.poisson(mean)).collect();
        Pattern::from_counts(Self::grid().angles(), counts).unwrap()
    }
}

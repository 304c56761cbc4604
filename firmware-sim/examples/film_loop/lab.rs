//! The demo's laboratory without its processes: the protocol's actions in the simulated world, and the production analysis
//! of what the simulated instruments record. Nothing here reads the world's hidden truth.

use firmware_sim::world::{Cause, LedgerWriter, ScanRequest, World, WorldConfig};
use ppu_core::{Candidate, Measured, Observation};
use ppu_diffraction::library::{Composition, halide_perovskite};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::quantify::{self, Verdict, quantify};
use ppu_spectra::absorbance::absorbance;
use ppu_spectra::gap::{GapFlag, GapSettings, band_gap};
use ppu_spectra::photoluminescence::{Photoluminescence, PlSettings, photoluminescence};
use ppu_spectra::raw::{Detector, Exposure};

use crate::Problem;

/// Slides of one campaign: more than any campaign here needs.
pub(crate) const SLIDES: u32 = 96;
/// Volumes of the shipped protocol, µL.
const INK_UL: f64 = 200.0;
const DROP_UL: f64 = 16.0;
const LEAST_UL: f64 = 0.5;
/// Stocks by port: A and X of the salt.
const STOCKS: [(u8, &str, bool); 6] =
    [(1, "cs", false), (2, "fa", false), (3, "ma", false), (4, "cs", true), (5, "fa", true), (6, "ma", true)];
const VIAL: u8 = 7;
const NOZZLE: u8 = 8;
const SOLVENT: u8 = 9;
const WASTE: u8 = 10;
/// The furnace's ramp and the temperature at which a boat is unloaded.
const RAMP_K_PER_S: f64 = 10.0 / 60.0;
const UNLOAD_C: f64 = 60.0;
/// The scan `film_fast`.
const SCAN: (f64, f64, usize, f64) = (10.0, 0.02, 1751, 18.0);
/// A weight of the film, of which the analysis learns its thickness: ink 0.05 mol/L of lead, 0.975 mg/µL, 2.25 cm².
const INK_MG_PER_UL: f64 = 0.975;
const LEAD_MOL_PER_L: f64 = 0.05;
const SLIDE_CM2: f64 = 2.25;
const FILM_G_PER_CM3: f64 = 4.2;

/// A world and the slides that are left.
pub(crate) struct Lab {
    world: World,
    next: u32,
}

fn by(device: &str) -> Cause {
    Cause { device: device.to_owned(), frame: String::new(), command_id: None }
}

impl Lab {
    /// A fresh world; its hidden truth and its noise follow from the seed.
    pub(crate) fn new(config: &WorldConfig, seed: u64) -> Result<Lab, Problem> {
        let world = World::new(config, seed, LedgerWriter::discard()).map_err(|error| error.to_string())?;
        Ok(Lab { world, next: 1 })
    }

    /// Makes and measures one film.
    pub(crate) fn run(&mut self, candidate: &Candidate) -> Result<Observation, Problem> {
        let value = |name: &str| candidate.get(name).ok_or(format!("the candidate has no {name}"));
        let parts = [value("cs")?, value("fa")?, value("ma")?];
        let br = value("br")?;
        let slot = format!("rack.{}", self.next);
        self.next += 1;
        self.carry(&slot, "balance.pan");
        let bare = self.world.weigh_g(&by("balance"));
        self.carry("balance.pan", "coat.stage");
        self.cast(parts, br);
        self.carry("coat.stage", "balance.pan");
        let wet_mg = 1e3 * (self.world.weigh_g(&by("balance")) - bare);
        self.rinse();
        self.carry("balance.pan", "furnace_a.boat");
        self.anneal(value("anneal_temperature_c")?, value("anneal_min")?);
        self.carry("furnace_a.boat", "aeris.slot1");
        let (start_deg, step_deg, points, dwell_s) = SCAN;
        self.wait(120.0);
        let scan = ScanRequest { start_deg, step_deg, points, dwell_s, start_s: self.world.now_s() - 120.0 };
        let counts = self.world.diffract(&by("aeris"), "aeris.slot1", &scan);
        let (reference, _) = self.spectrum(false, 10_000, 20);
        self.carry("aeris.slot1", "spectrometer.stage");
        let (sample, dark) = self.spectrum(false, 10_000, 20);
        let glow = self.spectrum(true, 200_000, 5);
        self.carry("spectrometer.stage", &slot);
        let mut observation = Observation::default();
        for (name, result) in [
            ("alpha_fraction", alpha_fraction(&counts, parts, br, wet_mg)),
            ("band_gap", gap(&self.wavelengths(), &sample, &reference, &dark)),
            ("pl_intensity", intensity(&self.wavelengths(), &glow)),
        ] {
            match result {
                Ok(measured) => drop(observation.values.insert(name.to_owned(), measured)),
                Err(reason) => drop(observation.invalid.insert(name.to_owned(), reason)),
            }
        }
        Ok(observation)
    }

    fn wait(&mut self, seconds: f64) {
        self.world.advance_to(self.world.now_s() + seconds);
    }

    fn carry(&mut self, from: &str, to: &str) {
        self.world.pick(&by("arm"), from);
        self.wait(6.0);
        self.world.place(&by("arm"), to);
        self.wait(6.0);
    }

    fn move_liquid(&mut self, from: u8, to: u8, volume_ul: f64) {
        self.world.aspirate(&by("pump"), from, volume_ul);
        self.wait(3.0);
        self.world.dispense(&by("pump"), to, volume_ul);
        self.wait(3.0);
    }

    fn cast(&mut self, [cs, fa, ma]: [f64; 3], br: f64) {
        let mut drawn = 0.0;
        for (port, ion, bromide) in STOCKS {
            let share = match ion {
                "cs" => cs,
                "fa" => fa,
                _ => ma,
            };
            let volume_ul = INK_UL * share * if bromide { br } else { 1.0 - br };
            if volume_ul >= LEAST_UL {
                self.world.aspirate(&by("pump"), port, volume_ul);
                self.wait(3.0);
                drawn += volume_ul;
            }
        }
        self.world.dispense(&by("pump"), VIAL, drawn);
        self.world.set_stirrer(&by("mixer"), Some(600.0));
        self.wait(30.0);
        self.world.set_stirrer(&by("mixer"), None);
        self.move_liquid(VIAL, NOZZLE, DROP_UL);
    }

    fn rinse(&mut self) {
        self.move_liquid(VIAL, WASTE, 240.0);
        self.move_liquid(SOLVENT, VIAL, 240.0);
        self.move_liquid(VIAL, WASTE, 248.0);
    }

    fn anneal(&mut self, celsius: f64, minutes: f64) {
        let furnace = by("furnace_a");
        self.world.furnace_event(&furnace, "heat_start", serde_json::json!({"target_c": celsius}));
        let mut setpoint = self.world.furnace_pv_c("furnace_a");
        while setpoint < celsius {
            setpoint = (setpoint + 5.0 * RAMP_K_PER_S).min(celsius);
            self.world.set_furnace("furnace_a", Some(setpoint));
            self.wait(5.0);
        }
        self.wait(60.0 * minutes);
        self.world.set_furnace("furnace_a", None);
        while self.world.furnace_pv_c("furnace_a") > UNLOAD_C {
            self.wait(60.0);
        }
        self.world.furnace_event(&furnace, "heat_end", serde_json::Value::Null);
    }

    /// Mean counts with the light on, and the dark after it; laser or lamp.
    fn spectrum(&mut self, laser: bool, integration_us: u32, averages: u32) -> (Exposure, Exposure) {
        let device = by("spectrometer");
        let switch = |world: &mut World, on| {
            if laser { world.set_laser(&device, on) } else { world.set_lamp(&device, on) }
        };
        switch(&mut self.world, true);
        self.wait(SETTLE_S);
        let light = self.exposure(integration_us, averages);
        switch(&mut self.world, false);
        self.wait(SETTLE_S);
        (light, self.exposure(integration_us, averages))
    }

    fn exposure(&mut self, integration_us: u32, averages: u32) -> Exposure {
        let mut counts: Vec<f64> = Vec::new();
        for _ in 0..averages {
            let read = self.world.expose(&by("spectrometer"), integration_us);
            counts.resize(read.len(), 0.0);
            counts.iter_mut().zip(read).for_each(|(sum, count)| *sum += f64::from(count) / f64::from(averages));
        }
        Exposure { counts, integration_s: f64::from(integration_us) * 1e-6, averages }
    }

    fn wavelengths(&self) -> Vec<f64> {
        let [a, b, c, d] = self.world.wavelength_coefficients().map(f64::from);
        (0..2048).map(f64::from).map(|pixel| a + pixel * (b + pixel * (c + pixel * d))).collect()
    }
}

/// Lamp and laser become steady, s.
const SETTLE_S: f64 = 1.0;

fn alpha_fraction(counts: &[u64], [cs, fa, ma]: [f64; 3], br: f64, wet_mg: f64) -> Result<Measured, String> {
    let angles = (0..counts.len()).map(|k| SCAN.0 + SCAN.1 * k as f64).collect();
    let pattern = Pattern::from_counts(angles, counts.iter().map(|count| *count as f64).collect());
    let pattern = pattern.map_err(|error| error.to_string())?;
    let composition = Composition::new(cs, fa, ma, br, 0.0).map_err(|error| error.to_string())?;
    let library = halide_perovskite(&composition).map_err(|error| error.to_string())?;
    let formula = 207.2 + 3.0 * ((1.0 - br) * 126.90 + br * 79.90) + cs * 132.91 + fa * 45.07 + ma * 32.07;
    let litres = wet_mg / INK_MG_PER_UL * 1e-6;
    let thickness = litres * LEAD_MOL_PER_L * formula / FILM_G_PER_CM3 / SLIDE_CM2 * 1e7;
    // A drop-cast film varies by a third over its area.
    let film_thickness_nm = (thickness > 0.0).then_some((thickness, 0.3 * thickness));
    let settings = quantify::Settings { film_thickness_nm, ..Default::default() };
    let result = quantify(&pattern, &library, &settings).map_err(|error| error.to_string())?;
    if let Verdict::Implausible { reasons } = &result.verdict {
        return Err(reasons.join("; "));
    }
    let alpha = result.alpha_lead_fraction.ok_or("the fit gives no phase fraction")?;
    Ok(Measured { value: alpha.value, sd: alpha.u_total, flags: Vec::new() })
}

fn gap(nm: &[f64], sample: &Exposure, reference: &Exposure, dark: &Exposure) -> Result<Measured, String> {
    let curve = absorbance(nm, sample, reference, dark, &Detector::ocean_like()).map_err(|error| error.to_string())?;
    let found = band_gap(&curve, &GapSettings::default()).map_err(|error| error.to_string())?;
    if let Some(flag) = found.flags.iter().find(|flag| matches!(flag, GapFlag::Ambiguous { .. })) {
        return Err(flag.to_string());
    }
    Ok(Measured { value: found.gap_ev.value, sd: found.gap_ev.u_total, flags: Vec::new() })
}

fn intensity(nm: &[f64], (light, dark): &(Exposure, Exposure)) -> Result<Measured, String> {
    let found = photoluminescence(nm, light, dark, &Detector::ocean_like(), &PlSettings::default());
    let (value, sd) = match found.map_err(|error| error.to_string())? {
        Photoluminescence::Emission(peak) => {
            let electrons = peak.electrons_per_s;
            (electrons.value.log10(), electrons.u_total / electrons.value / std::f64::consts::LN_10)
        }
        Photoluminescence::NoEmission { upper_limit_electrons_per_s, .. } => {
            (upper_limit_electrons_per_s.max(1.0).log10(), 0.5)
        }
    };
    Ok(Measured { value, sd, flags: Vec::new() })
}

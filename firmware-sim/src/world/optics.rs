//! What a film does to light (chapter 8): transmittance and photoluminescence on the spectrometer's pixels.

use super::film::Film;
use super::kinetics::gap_ev;
use super::matter::Composition;
use super::truth::HiddenTruth;
use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorption::{AbsorptionModel, Edge};
use ppu_spectra::emission::{EmissionLine, thermal_fwhm_ev};
use ppu_spectra::film::{self, GLASS_TRANSMITTANCE};

/// Pixels of the detector.
pub(crate) const PIXELS: usize = 2048;
/// The laser, nm.
pub(crate) const LASER_NM: f64 = 405.0;
/// Generation rate in a film that absorbs the whole beam, 1/(cm³ s), at 500 nm thickness.
const GENERATION: f64 = 1e22;
/// Detected electrons per second for a film that turns all light into light: escape, collection and detector.
const BRIGHTNESS: f64 = 8e8;

/// What light the film lets through and sends out, per pixel.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Spectrum {
    /// Transmitted share of the lamp.
    pub(crate) transmittance: Vec<f64>,
    /// Photoluminescence under the laser, electrons per second before the detector's efficiency.
    pub(crate) emission: Vec<f64>,
}

/// The last spectrum computed: exposures are repeated on a film that hardly changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    key: Vec<i64>,
    spectrum: Spectrum,
}

impl Cache {
    /// The spectrum of a film, computed anew when it differs by more than nobody could see.
    pub(crate) fn spectrum(&mut self, film: &Film, wavelengths_nm: &[f64], truth: &HiddenTruth) -> &Spectrum {
        let key = key(film, truth);
        if key != self.key || self.spectrum.transmittance.len() != wavelengths_nm.len() {
            self.spectrum = spectrum(film, wavelengths_nm, truth);
            self.key = key;
        }
        &self.spectrum
    }
}

fn key(film: &Film, truth: &HiddenTruth) -> Vec<i64> {
    let round = |value: f64, unit: f64| (value / unit).round() as i64;
    let mut key = vec![
        round(film.thickness_nm(truth), 0.01),
        round(film.coverage, 1e-6),
        round(film.roughness_nm, 0.01),
        round(film.grain_nm, 0.01),
        round(film.anneal_min, 0.001),
        round(film.temperature_k, 0.01),
        round(film.light_soak, 1e-4),
        round(film.segregated, 1e-5),
    ];
    key.extend(film.lead_fractions().map(|fraction| round(fraction, 1e-6)));
    if let Some(composition) = film.composition() {
        let Composition { cs, ma, br, a_per_b, .. } = composition;
        key.extend([cs, ma, br, a_per_b].map(|value| round(value, 1e-6)));
    }
    key
}

/// Absorption edges of the phases in a film, with their volume shares.
pub(crate) struct Absorber {
    parts: Vec<(f64, AbsorptionModel)>,
}

impl Absorber {
    pub(crate) fn of(film: &Film, composition: &Composition, truth: &HiddenTruth) -> Self {
        let [wet, alpha, delta_h, delta_o, salt, zero_dimensional] = film.lead_fractions();
        let br = composition.br;
        let impurity = 100.0 * (delta_h + delta_o + salt);
        let perovskite = Edge {
            gap_ev: gap_ev(composition, film.temperature_k, truth),
            binding_ev: 1e-3 * composition.blend([15.0, 12.0, 12.0], [33.0, 25.0, 22.0]),
            urbach_ev: 1e-3
                * (composition.blend([16.0, 15.0, 14.0], [17.0, 18.0, 18.0])
                    + 4.0 * 4.0 * br * (1.0 - br)
                    + 0.15 * impurity),
            broadening_ev: Edge::ROOM_TEMPERATURE_BROADENING_EV,
        };
        let other = |gap_ev: f64| Edge { gap_ev, binding_ev: 0.03, urbach_ev: 0.03, broadening_ev: 0.04 };
        let wanted = [
            (alpha, perovskite),
            (delta_h, other(2.43)),
            (delta_o, other(2.82)),
            (salt * (1.0 - br), other(2.38)),
            (salt * br, other(3.9)),
            (wet, other(3.0)),
            (zero_dimensional, other(3.9)),
        ];
        let parts = wanted.into_iter().filter(|(share, _)| *share > 1e-6);
        Self { parts: parts.filter_map(|(share, edge)| Some((share, AbsorptionModel::new(edge).ok()?))).collect() }
    }

    /// Mean absorption coefficient, 1/cm.
    pub(crate) fn alpha_per_cm(&self, energy_ev: f64) -> f64 {
        self.parts.iter().map(|(share, model)| share * model.alpha_per_cm(energy_ev)).sum()
    }
}

/// The film as a slab on glass.
pub(crate) fn slab(film: &Film, composition: &Composition, truth: &HiddenTruth) -> film::Film {
    film::Film {
        thickness_nm: film.thickness_nm(truth),
        gap_ev: gap_ev(composition, film.temperature_k, truth),
        coverage: film.coverage.clamp(0.0, 1.0),
        scattering: (0.02 + 0.002 * (film.roughness_nm - 10.0)).clamp(0.02, 0.5),
    }
}

fn spectrum(film: &Film, wavelengths_nm: &[f64], truth: &HiddenTruth) -> Spectrum {
    let dark = vec![0.0; wavelengths_nm.len()];
    let Some(composition) = film.composition() else {
        return Spectrum { transmittance: vec![GLASS_TRANSMITTANCE; wavelengths_nm.len()], emission: dark };
    };
    let absorber = Absorber::of(film, &composition, truth);
    let slab = slab(film, &composition, truth);
    let transmittance = wavelengths_nm
        .iter()
        .map(|wavelength| {
            let energy = HC_EV_NM / wavelength;
            slab.transmittance(energy, absorber.alpha_per_cm(energy))
        })
        .collect();
    let lines = emission(film, &composition, absorber.alpha_per_cm(HC_EV_NM / LASER_NM), truth);
    let mut emission = dark;
    for (i, sum) in emission.iter_mut().enumerate() {
        let here = wavelengths_nm[i];
        let width = match wavelengths_nm.get(i + 1) {
            Some(next) => next - here,
            None => here - wavelengths_nm[i.saturating_sub(1)],
        };
        *sum = lines.iter().map(|line| line.per_nm(here) * width).sum();
    }
    Spectrum { transmittance, emission }
}

/// Rate of non-radiative recombination, 1/s.
fn trap_rate(film: &Film, composition: &Composition) -> f64 {
    let [_, _, delta_h, delta_o, salt, _] = film.lead_fractions();
    let traps = ((composition.a_per_b - 0.98).abs() / 0.03).min(30.0).exp();
    let passivation = if salt > 0.08 { 10.0 * (salt - 0.08) } else { -2.0 * salt };
    2e6 * (1.0 + 300.0 / film.grain_nm) * traps * (1.0 + 8.0 * (delta_h + delta_o) + passivation)
}

/// Share of carriers that recombine with light under the laser: k2 n²/G with G = k1 n + k2 n² + k3 n³.
fn radiative_yield(k1: f64, generation: f64) -> f64 {
    let (k2, k3) = (1e-10, 1e-28);
    // Newton from above on a rising convex function converges without safeguards.
    let mut n = generation / k1;
    for _ in 0..50 {
        let excess = k1 * n + k2 * n * n + k3 * n.powi(3) - generation;
        let step = excess / (k1 + 2.0 * k2 * n + 3.0 * k3 * n * n);
        n -= step;
        if step.abs() < 1e-12 * n {
            break;
        }
    }
    k2 * n * n / generation
}

/// The emission lines of a film under the laser.
pub(crate) fn emission(
    film: &Film,
    composition: &Composition,
    alpha_at_laser_per_cm: f64,
    truth: &HiddenTruth,
) -> Vec<EmissionLine> {
    let [_, alpha, _, _, _, _] = film.lead_fractions();
    let thickness_nm = film.thickness_nm(truth);
    let absorbed = 0.8 * (1.0 - (-alpha_at_laser_per_cm * thickness_nm * 1e-7).exp());
    let generation = GENERATION * absorbed * 500.0 / thickness_nm.max(10.0);
    if alpha <= 0.0 || generation <= 0.0 {
        return Vec::new();
    }
    let yielded = radiative_yield(trap_rate(film, composition), generation);
    let photons = BRIGHTNESS * film.coverage * absorbed * alpha * yielded * (1.0 + 0.3 * film.light_soak);
    let br = composition.br;
    let disorder =
        0.03 + 0.2 * 4.0 * br * (1.0 - br) * (0.5 + 0.5 * (-film.anneal_min / 10.0).exp()) + 0.3 * (1.0 - alpha);
    let width = |composition: &Composition| {
        let milli = 1e-3;
        thermal_fwhm_ev(
            milli * composition.blend([25.0, 26.0, 19.0], [25.0, 32.0, 20.0]),
            milli * composition.blend([45.0, 40.0, 40.0], [60.0, 58.0, 61.0]),
            milli * composition.blend([10.0, 11.5, 11.5], [16.0, 15.3, 15.3]),
            film.temperature_k,
        ) + 0.060 * disorder
    };
    let reabsorption = 0.3e-3 * (thickness_nm - 500.0).max(0.0) / 10.0;
    let line = |composition: &Composition, photons: f64| EmissionLine {
        peak_ev: gap_ev(composition, film.temperature_k, truth) - 0.015 - reabsorption.min(0.03),
        fwhm_ev: width(composition),
        asymmetry: 0.10,
        photons,
    };
    let mut lines = vec![line(composition, photons * (1.0 - film.segregated))];
    if film.segregated > 0.0 {
        // Carriers funnel into the iodide-rich domains, which emit five times as much.
        let domain = Composition { br: br.min(0.20), ..*composition };
        lines.push(line(&domain, photons * 5.0 * film.segregated));
    }
    lines
}

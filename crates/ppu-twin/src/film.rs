//! The twin of the halide-perovskite film campaign: Cs–MA–FA lead iodide-bromide, cast and annealed.
//!
//! Deliberately simple. It knows nothing of humidity, thickness, temperature offsets, dispensing errors or instrument
//! response; those are the laboratory's to find, and the declared errors allow for them.

use std::collections::BTreeMap;

use ppu_core::{Candidate, Unit};

use crate::contract::{
    Evaluation, Fidelity, FidelityDescription, ObservableDescription, Predicted, Twin, TwinProvenance, TwinRefusal,
    Work,
};
use crate::geometry::{Geometry, GeometryError, geometry};

const VERSION: u32 = 1;

/// Gas constant in kJ/(mol K).
const R: f64 = 8.314e-3;
/// Boltzmann's constant in eV/K.
const K_B: f64 = 8.617e-5;

/// Optical gaps of the end members in eV as (Cs, MA, FA). Iodides: CsPbI3 1.73 (Sutton 2016), MAPbI3 1.57 (Noh 2013),
/// FAPbI3 1.50 (middle of the published 1.48–1.53). Bromides: CsPbBr3 2.36 (Sutton 2016), MAPbBr3 2.29 (Noh 2013),
/// FAPbBr3 2.25 (middle of 2.23–2.27, Eperon 2014).
const GAP_IODIDE: [f64; 3] = [1.73, 1.57, 1.50];
const GAP_BROMIDE: [f64; 3] = [2.36, 2.29, 2.25];
/// One bowing for every A site, in eV: 1.57 + 0.39 x + 0.33 x² of Noh et al., Nano Lett. 13, 1764 (2013), for MA.
const BOWING: f64 = 0.33;

/// Window of the tolerance factor in which films are found black at room temperature, and its softness. Li et al., Chem.
/// Mater. 28, 284 (2016) for the idea. Bromide-rich films are perovskites further out on both sides (CsPbBr3 0.862,
/// FAPbBr3 1.008), hence the widening by the bromide fraction.
const WINDOW: (f64, f64) = (0.88, 0.99);
const WINDOW_SOFTNESS: f64 = 0.008;
const WINDOW_BROMIDE: f64 = 0.03;

/// Crystallisation: Avrami exponent, half-time at 100 °C in minutes, apparent barrier in kJ/mol. Films of this family
/// convert in minutes at 100 °C with barriers of 60 to 100 kJ/mol; the values are a declared prior, not a fit.
const AVRAMI: f64 = 1.5;
const HALF_TIME_100_C: f64 = 1.0;
const BARRIER: f64 = 80.0;

/// Loss of the organic cation: negligible below a soft threshold of 150 °C, per minute above it. One species for all.
const LOSS_THRESHOLD_C: f64 = 150.0;
const LOSS_SOFTNESS_C: f64 = 10.0;
const LOSS_PER_MIN: f64 = 0.002;

/// Even a good film keeps a little lead halide and boundary material.
const BEST_ALPHA: f64 = 0.985;

/// Grain growth G³ = G₀³ + k t with 0.30 eV: coarsening of MAPbBr3, Mayer 2021. G₀ and k at 100 °C in nm and nm³/min.
const GRAIN_START_NM: f64 = 300.0;
const GRAIN_RATE: f64 = 1.5e6;
const GRAIN_BARRIER_EV: f64 = 0.30;

/// log₁₀ intensity of a film with 300 nm grains and nothing else in it. The scale is arbitrary, which the declared
/// offset sd says; the campaign's own measurements set it.
const LOG_INTENSITY: f64 = 4.0;

/// The twin of a halide film.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FilmTwin {
    fixed: BTreeMap<String, f64>,
}

/// What the model reads of a candidate.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    a_site: [f64; 3],
    br: f64,
    anneal_c: f64,
    anneal_min: f64,
}

impl FilmTwin {
    /// A twin for candidates that give `cs`, `ma`, `fa`, `br` (fractions), `anneal_temperature_c` and `anneal_min`.
    /// `fixed` gives the ones that the campaign does not vary.
    pub fn new(fixed: BTreeMap<String, f64>) -> FilmTwin {
        FilmTwin { fixed }
    }

    fn value(&self, candidate: &Candidate, name: &str, min: f64, max: f64) -> Result<f64, TwinRefusal> {
        let value = candidate.get(name).or_else(|| self.fixed.get(name).copied());
        let value = value.ok_or_else(|| TwinRefusal::Missing { parameter: name.into() })?;
        if !(min - 1e-6..=max + 1e-6).contains(&value) {
            return Err(TwinRefusal::Outside { parameter: name.into(), value, min, max });
        }
        Ok(value.clamp(min, max))
    }

    fn recipe(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Recipe, TwinRefusal> {
        let fraction = |name| self.value(candidate, name, 0.0, 1.0);
        let a_site = [fraction("cs")?, fraction("ma")?, fraction("fa")?];
        let br = fraction("br")?;
        let (anneal_c, anneal_min) = match fidelity {
            Fidelity::Rules => (100.0, 10.0),
            Fidelity::Process => (
                self.value(candidate, "anneal_temperature_c", 20.0, 300.0)?,
                self.value(candidate, "anneal_min", 0.0, 600.0)?,
            ),
        };
        Ok(Recipe { a_site, br, anneal_c, anneal_min })
    }
}

impl Twin for FilmTwin {
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let recipe = self.recipe(candidate, fidelity)?;
        let geometry = checked_geometry(&recipe)?;
        let means = match fidelity {
            Fidelity::Rules => {
                vec![("band_gap", linear_gap(&recipe)), ("alpha_fraction", geometry.perovskite_probability)]
            }
            Fidelity::Process => process(&recipe, &geometry),
        };
        let described = self.describe(fidelity);
        let predictions = described.observables.iter().filter_map(|observable| {
            let (_, mean) = means.iter().find(|(name, _)| *name == observable.name)?;
            let sd = observable.residual_sd.hypot(observable.offset_sd);
            Some((observable.name.clone(), Predicted { mean: *mean, sd }))
        });
        Ok(Evaluation {
            predictions: predictions.collect(),
            geometry: Some(geometry),
            cost: described.cost,
            provenance: TwinProvenance { model: "halide film".into(), version: VERSION, fidelity, corrected: false },
        })
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        let observable = |name: &str, unit, residual_sd, offset_sd, prior_correlation| ObservableDescription {
            name: name.into(),
            unit,
            residual_sd,
            offset_sd,
            prior_correlation,
        };
        match fidelity {
            Fidelity::Rules => FidelityDescription {
                fidelity,
                summary: "charge balance, tolerance and octahedral factors, tau, linear mixing of gaps".into(),
                observables: vec![
                    // Linear mixing misses a bowing of up to b/4 = 0.08 eV.
                    observable("band_gap", Unit::Electronvolt, 0.03, 0.05, 0.85),
                    observable("alpha_fraction", Unit::One, 0.30, 0.10, 0.2),
                ],
                cost: Work(1),
            },
            Fidelity::Process => FidelityDescription {
                fidelity,
                summary: "gap with one bowing, window of the tolerance factor, crystallisation and loss on annealing"
                    .into(),
                observables: vec![
                    // Published gaps of one composition scatter by 20 meV between laboratories.
                    observable("band_gap", Unit::Electronvolt, 0.02, 0.02, 0.9),
                    observable("alpha_fraction", Unit::One, 0.12, 0.05, 0.6),
                    // The scale of an intensity is set by the spectrometer, hence the wide offset.
                    observable("pl_intensity", Unit::One, 0.35, 2.0, 0.5),
                ],
                cost: Work(2),
            },
        }
    }
}

/// Hard rules. The limits carry a slack of 0.02 because radii of organic cations are effective ones: FAPbBr3 is a
/// perovskite at t = 1.008.
fn checked_geometry(recipe: &Recipe) -> Result<Geometry, TwinRefusal> {
    let [cs, ma, fa] = recipe.a_site;
    let forbidden = |rule: &str, value, min, max| Err(TwinRefusal::Forbidden { rule: rule.into(), value, min, max });
    let found = match geometry(cs, ma, fa, recipe.br) {
        Ok(found) => found,
        Err(GeometryError::Charge(sum)) => return forbidden("charge neutrality", sum, 1.0, 1.0),
        Err(GeometryError::Fraction(value)) => return forbidden("fractions", value, 0.0, 1.0),
    };
    if !(0.78..=1.02).contains(&found.tolerance) {
        return forbidden("Goldschmidt tolerance factor", found.tolerance, 0.80, 1.00);
    }
    // Li et al., Acta Cryst. B 64, 702 (2008) for the lower limit.
    if !(0.44..=0.90).contains(&found.octahedral) {
        return forbidden("octahedral factor", found.octahedral, 0.44, 0.90);
    }
    Ok(found)
}

/// Vegard's law for the gap, eV.
fn linear_gap(recipe: &Recipe) -> f64 {
    let ends = |gaps: [f64; 3]| recipe.a_site.iter().zip(gaps).map(|(share, gap)| share * gap).sum::<f64>();
    (1.0 - recipe.br) * ends(GAP_IODIDE) + recipe.br * ends(GAP_BROMIDE)
}

fn process(recipe: &Recipe, geometry: &Geometry) -> Vec<(&'static str, f64)> {
    let gap = linear_gap(recipe) - BOWING * recipe.br * (1.0 - recipe.br);
    let lost = 1.0 - (-loss_per_min(recipe) * recipe.anneal_min).exp();
    let alpha = BEST_ALPHA * stable(recipe, geometry) * crystallised(recipe) * (1.0 - lost);
    let grain = grain_nm(recipe);
    // Brightness follows grain size; foreign phases quench, here as the square of what is left.
    let intensity = LOG_INTENSITY + (grain / GRAIN_START_NM).log10() + 2.0 * alpha.max(1e-2).log10();
    vec![("band_gap", gap), ("alpha_fraction", alpha), ("pl_intensity", intensity)]
}

/// Soft window of the tolerance factor, 0 to 1.
fn stable(recipe: &Recipe, geometry: &Geometry) -> f64 {
    let logistic = |distance: f64| 1.0 / (1.0 + (-distance / WINDOW_SOFTNESS).exp());
    let widening = WINDOW_BROMIDE * recipe.br;
    logistic(geometry.tolerance - (WINDOW.0 - widening)) * logistic(WINDOW.1 + widening - geometry.tolerance)
}

/// Avrami share that has crystallised at the set temperature.
fn crystallised(recipe: &Recipe) -> f64 {
    let reference = std::f64::consts::LN_2.powf(1.0 / AVRAMI) / HALF_TIME_100_C;
    let rate = reference * (-(BARRIER / R) * (1.0 / (recipe.anneal_c + 273.15) - 1.0 / 373.15)).exp();
    1.0 - (-(rate * recipe.anneal_min).powf(AVRAMI)).exp()
}

/// Softplus above the threshold.
fn loss_per_min(recipe: &Recipe) -> f64 {
    LOSS_PER_MIN * ((recipe.anneal_c - LOSS_THRESHOLD_C) / LOSS_SOFTNESS_C).exp().ln_1p()
}

fn grain_nm(recipe: &Recipe) -> f64 {
    let rate = GRAIN_RATE * (-(GRAIN_BARRIER_EV / K_B) * (1.0 / (recipe.anneal_c + 273.15) - 1.0 / 373.15)).exp();
    (GRAIN_START_NM.powi(3) + rate * recipe.anneal_min).cbrt()
}

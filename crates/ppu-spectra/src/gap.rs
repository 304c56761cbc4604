//! Band gap of a film from its absorbance.
//!
//! **Definition.** The gap reported is the optical gap of [`crate::absorption::Edge`]: the energy 15 meV and one exciton
//! binding energy below the continuum edge. The inflection of the absorption coefficient lies within 4 meV of it for
//! binding energies up to 15 meV (5 meV below at 25 meV); the steepest tangent of a direct Tauc plot meets zero some
//! 10 meV below. A straight line over a wide range of a Tauc plot is wrong by hundreds of meV for an excitonic edge and is
//! not offered.

mod edges;
mod elliott;
mod fit;
mod several;
mod urbach;

use crate::HC_EV_NM;
use crate::absorbance::{Absorbance, Excluded};
use crate::raw::Estimate;

pub use edges::EdgeFound;
pub use elliott::{ElliottFit, elliott};
pub use several::{EdgeModel, EdgeModels, SeveralEdges, several_edges};
pub use urbach::{UrbachTail, urbach_tail};

/// Fewest points in the range.
const FEWEST_POINTS: usize = 60;
/// Another edge of at least this share of the main one makes the gap a matter of definition.
const SECOND_EDGE_SHARE: f64 = 0.25;
/// Below this step in absorbance the film is too thin for a safe gap.
const THIN_EDGE: f64 = 0.03;
/// Above this absorbance stray light and dynamic range bend the edge.
const THICK_ABSORBANCE: f64 = 2.5;
/// Models that disagree by more than this make the gap ambiguous.
const AMBIGUOUS_EV: f64 = 0.05;
/// Spread between acceptable models that never vanishes (definition, stray light, slit), in eV.
const MODEL_FLOOR_EV: f64 = 0.0015;
/// Error of the tangent method over films whose gap is known, in eV.
const TAUC_SPREAD_EV: f64 = 0.015;

/// How to look for the gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GapSettings {
    /// Range of energies to use in eV.
    pub range_ev: (f64, f64),
    /// Exciton binding energy in eV and its standard uncertainty; nothing for the trend of lead halide perovskites with
    /// the gap (12 meV at 1.5 eV to 33 meV at 2.4 eV, ± 5 meV).
    pub binding_ev: Option<(f64, f64)>,
    /// Smallest step in absorbance that counts as an edge.
    pub smallest_edge: f64,
}

impl Default for GapSettings {
    fn default() -> Self {
        Self { range_ev: (1.2, 3.3), binding_ev: None, smallest_edge: 0.01 }
    }
}

/// Why there is no gap.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BandGapError {
    /// A setting is unusable.
    #[error("the setting {what} is {value}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// Too few points in the range.
    #[error("{points} points between {from_ev} and {to_ev} eV are too few (at least {FEWEST_POINTS})")]
    TooFewPoints {
        /// Points in the range.
        points: usize,
        /// Lower end in eV.
        from_ev: f64,
        /// Upper end in eV.
        to_ev: f64,
    },
    /// Nothing rises like an edge.
    #[error("no absorption edge: the largest step is {largest_step:.4} ± {u:.4}")]
    NoEdge {
        /// Largest step in absorbance.
        largest_step: f64,
        /// Its standard uncertainty.
        u: f64,
    },
    /// An edge stands so near the end of the usable spectrum that it cannot be fitted.
    #[error("the edge at {energy_ev:.3} eV stands at the end of the usable spectrum")]
    AtRangeEnd {
        /// Its energy in eV.
        energy_ev: f64,
    },
    /// The fit of the edge broke down.
    #[error("the fit of the edge at {energy_ev:.3} eV did not converge")]
    NoFit {
        /// Its energy in eV.
        energy_ev: f64,
    },
}

/// What a reader of the gap should know.
#[derive(Debug, Clone, PartialEq)]
pub enum GapFlag {
    /// Other edges of comparable height.
    SeveralEdges,
    /// The step is small: the film is thin or covers little.
    TooThin {
        /// Step in absorbance.
        step: f64,
    },
    /// The absorbance above the edge is beyond the honest range of the instrument.
    TooThick {
        /// Largest absorbance near the edge.
        absorbance: f64,
    },
    /// Pixels near the edge were saturated.
    Saturated {
        /// Their number.
        pixels: usize,
    },
    /// Models disagree by more than 50 meV.
    Ambiguous {
        /// Their disagreement in eV.
        spread_ev: f64,
    },
    /// The model misses the data by more than noise.
    PoorFit {
        /// Reduced χ².
        reduced_chi_squared: f64,
        /// Root mean square misfit in absorbance.
        rms: f64,
    },
    /// The data told less of a quantity than was assumed before.
    FromPrior {
        /// Which quantity.
        what: &'static str,
    },
    /// The tail below the edge falls into the noise after a few e-foldings.
    ShortTail {
        /// e-foldings above the noise.
        e_folds: f64,
    },
    /// No window below the edge is an exponential on a straight background.
    CurvedTail {
        /// Reduced χ² of the best window.
        reduced_chi_squared: f64,
    },
    /// Scattering or another absorber outweighs the tail.
    Background {
        /// Its absorbance.
        absorbance: f64,
    },
    /// The spectrum is the Kubelka-Munk function of a reflectance, which for a film only rises and falls with absorption.
    Proxy,
}

impl std::fmt::Display for GapFlag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GapFlag::SeveralEdges => write!(f, "several absorption edges of comparable height"),
            GapFlag::TooThin { step } => write!(f, "thin film: the edge is a step of only {step:.3}"),
            GapFlag::TooThick { absorbance } => write!(f, "too thick: absorbance reaches {absorbance:.2} at the edge"),
            GapFlag::Saturated { pixels } => write!(f, "{pixels} pixels near the edge are saturated"),
            GapFlag::Ambiguous { spread_ev } => write!(f, "ambiguous: models disagree by {spread_ev:.3} eV"),
            GapFlag::PoorFit { reduced_chi_squared, rms } => {
                write!(f, "the edge model misses the data (reduced χ² {reduced_chi_squared:.1}, rms {rms:.4})")
            }
            GapFlag::FromPrior { what } => write!(f, "the {what} rests on its prior rather than on the data"),
            GapFlag::ShortTail { e_folds } => write!(f, "the tail falls into the noise after {e_folds:.1} e-foldings"),
            GapFlag::CurvedTail { reduced_chi_squared } => {
                write!(f, "the tail is no exponential (reduced χ² {reduced_chi_squared:.1})")
            }
            GapFlag::Background { absorbance } => {
                write!(f, "a background of {absorbance:.3} outweighs the tail")
            }
            GapFlag::Proxy => write!(f, "from reflectance by Kubelka and Munk: a proxy for the absorption of a film"),
        }
    }
}

/// A band gap with everything that was found on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct BandGap {
    /// Optical gap in eV.
    pub gap_ev: Estimate,
    /// Inflection of the measured absorbance in eV: the same gap by another route.
    pub inflection_ev: f64,
    /// Urbach energy in eV. The tail just below the edge is as much broadening as disorder, so its total uncertainty is
    /// large.
    pub urbach_ev: Estimate,
    /// Absorbance of the film 0.3 eV above the continuum edge, by the model.
    pub step: f64,
    /// Every edge by rising energy, the reported one among them.
    pub edges: Vec<EdgeFound>,
    /// Reduced χ² of the fit.
    pub reduced_chi_squared: f64,
    /// What else to know.
    pub flags: Vec<GapFlag>,
}

/// A gap from the steepest tangent of (αE)².
#[derive(Debug, Clone, PartialEq)]
pub struct TaucGap {
    /// Where the tangent meets zero, in eV; some 10 meV below the optical gap for an excitonic edge.
    pub gap_ev: Estimate,
    /// Energy of the steepest tangent in eV.
    pub tangent_at_ev: f64,
    /// What else to know.
    pub flags: Vec<GapFlag>,
}

/// One value on an even energy axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bin {
    energy: f64,
    value: f64,
    u: f64,
}

/// Finds the tallest absorption edge and fits it with an excitonic model.
///
/// # Errors
/// [`BandGapError`]; a spectrum without an edge gives [`BandGapError::NoEdge`] with what was seen.
pub fn band_gap(absorbance: &Absorbance, settings: &GapSettings) -> Result<BandGap, BandGapError> {
    let bins = bins(absorbance, settings)?;
    let found = edges::find(&bins, settings.smallest_edge)?;
    let main = tallest(&found);
    let binding = settings.binding_ev.unwrap_or_else(|| binding_trend(main.energy_ev));
    let fit = fit::fit(&bins, main.energy_ev, binding, fit::WIDE, fit::Ground::Straight, None)?;
    // The same edge by other acceptable routes: a narrow window, and no model at all.
    let narrow = fit::fit(&bins, main.energy_ev, binding, fit::NARROW, fit::Ground::Straight, Some(fit.p)).ok();
    let mut deviations: Vec<f64> = narrow.iter().map(|other| (other.gap_ev - fit.gap_ev).abs()).collect();
    deviations.push((main.energy_ev - fit.gap_ev).abs());
    let largest = deviations.iter().copied().fold(0.0, f64::max);
    // A deviation that bounds a rectangular distribution has a standard deviation of largest/√3.
    let model = (largest / 3f64.sqrt()).hypot(MODEL_FLOOR_EV);
    let scale = axis_uncertainty(fit.gap_ev, absorbance.wavelength_u_nm());
    let gap_ev = Estimate { value: fit.gap_ev, u_stat: fit.u_gap_ev, u_total: fit.u_gap_ev.hypot(model).hypot(scale) };
    let mut flags = flags(absorbance, &bins, &found, main, fit.step);
    if largest > AMBIGUOUS_EV {
        flags.push(GapFlag::Ambiguous { spread_ev: largest });
    }
    if fit.reduced_chi_squared > 4.0 && fit.rms > 0.02 * fit.step {
        flags.push(GapFlag::PoorFit { reduced_chi_squared: fit.reduced_chi_squared, rms: fit.rms });
    }
    Ok(BandGap {
        gap_ev,
        inflection_ev: main.energy_ev,
        urbach_ev: Estimate {
            value: fit.urbach_ev,
            u_stat: fit.u_urbach_ev,
            u_total: fit.u_urbach_ev.hypot(0.15 * fit.urbach_ev),
        },
        step: fit.step,
        reduced_chi_squared: fit.reduced_chi_squared,
        edges: found,
        flags,
    })
}

/// The gap by the steepest tangent of a direct Tauc plot at the tallest edge, after a straight baseline below the edge is
/// taken off. Offered for comparison with other work; [`band_gap`] is the better measurement.
///
/// # Errors
/// As [`band_gap`].
pub fn tauc_direct(absorbance: &Absorbance, settings: &GapSettings) -> Result<TaucGap, BandGapError> {
    let bins = bins(absorbance, settings)?;
    let found = edges::find(&bins, settings.smallest_edge)?;
    let main = tallest(&found);
    let (gap, u_stat, tangent_at_ev) = edges::tauc_tangent(&bins, main.energy_ev)?;
    let scale = axis_uncertainty(gap, absorbance.wavelength_u_nm());
    let gap_ev = Estimate { value: gap, u_stat, u_total: u_stat.hypot(TAUC_SPREAD_EV).hypot(scale) };
    Ok(TaucGap { gap_ev, tangent_at_ev, flags: flags(absorbance, &bins, &found, main, main.step) })
}

fn tallest(found: &[EdgeFound]) -> &EdgeFound {
    found.iter().max_by(|a, b| a.step.total_cmp(&b.step)).expect("the search returns at least one edge or an error")
}

/// Binding energy and its uncertainty along the series FAPbI3 to CsPbBr3.
fn binding_trend(gap_ev: f64) -> (f64, f64) {
    ((0.012 + 0.022 * (gap_ev - 1.5)).clamp(0.010, 0.035), 0.005)
}

fn axis_uncertainty(energy_ev: f64, wavelength_u_nm: f64) -> f64 {
    energy_ev * energy_ev / HC_EV_NM * wavelength_u_nm
}

/// Absorbance on an even energy axis.
fn bins(absorbance: &Absorbance, settings: &GapSettings) -> Result<Vec<Bin>, BandGapError> {
    let (from, to) = settings.range_ev;
    if !(from > 0.3 && to < 10.0 && to - from > 0.2) {
        return Err(BandGapError::Setting { what: "width of the energy range (eV)", value: to - from });
    }
    if settings.smallest_edge.is_nan() || settings.smallest_edge <= 0.0 {
        return Err(BandGapError::Setting { what: "smallest edge", value: settings.smallest_edge });
    }
    if let Some((value, u)) = settings.binding_ev
        && !((5e-4..0.2).contains(&value) && u > 0.0 && u < value)
    {
        return Err(BandGapError::Setting { what: "exciton binding energy (eV)", value });
    }
    let mut points: Vec<(f64, f64, f64)> = absorbance
        .points()
        .iter()
        .map(|point| (HC_EV_NM / point.wavelength_nm, point.absorbance, point.u))
        .filter(|(energy, ..)| (from..=to).contains(energy))
        .collect();
    points.reverse();
    if points.len() < FEWEST_POINTS {
        return Err(BandGapError::TooFewPoints { points: points.len(), from_ev: from, to_ev: to });
    }
    let mut bins: Vec<Bin> = Vec::new();
    let (mut slot, mut sums) = (usize::MAX, [0.0; 3]);
    let mut close = |sums: &[f64; 3]| {
        if sums[0] > 0.0 {
            bins.push(Bin { energy: sums[1] / sums[0], value: sums[2] / sums[0], u: 1.0 / sums[0].sqrt() });
        }
    };
    for (energy, value, u) in points {
        let place = ((energy - from) / edges::BIN_EV) as usize;
        if place != slot {
            close(&sums);
            (slot, sums) = (place, [0.0; 3]);
        }
        let weight = 1.0 / (u * u);
        sums[0] += weight;
        sums[1] += weight * energy;
        sums[2] += weight * value;
    }
    close(&sums);
    Ok(bins)
}

fn flags(absorbance: &Absorbance, bins: &[Bin], found: &[EdgeFound], main: &EdgeFound, step: f64) -> Vec<GapFlag> {
    let mut flags = Vec::new();
    if found.iter().any(|edge| edge != main && edge.step > SECOND_EDGE_SHARE * main.step) {
        flags.push(GapFlag::SeveralEdges);
    }
    if step < THIN_EDGE {
        flags.push(GapFlag::TooThin { step });
    }
    let near = |energy: f64| (energy - main.energy_ev).abs() < 0.2;
    let highest = bins.iter().filter(|bin| near(bin.energy)).map(|bin| bin.value).fold(0.0, f64::max);
    let excluded = |reason| {
        let here = |entry: &&(f64, Excluded)| entry.1 == reason && near(HC_EV_NM / entry.0);
        absorbance.excluded().iter().filter(here).count()
    };
    if absorbance.is_proxy() {
        flags.push(GapFlag::Proxy);
    } else if highest > THICK_ABSORBANCE || excluded(Excluded::Opaque) > 0 {
        flags.push(GapFlag::TooThick { absorbance: highest });
    }
    let pixels = excluded(Excluded::Saturated);
    if pixels > 0 {
        flags.push(GapFlag::Saturated { pixels });
    }
    flags
}

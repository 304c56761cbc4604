//! Quantitative phase analysis of a halide perovskite film or powder.
//!
//! One weighted least-squares fit of the whole pattern with Gaussian priors: displacement of the specimen, cell, size
//! and texture of each phase, common microstrain, and, for films, the optical thickness; scales by non-negative least
//! squares, background by Chebyshev polynomials and a 1/2θ term. Counts are weighted by the variance that the model
//! predicts. Fractions follow from the scales after Hill and Howard, J. Appl. Cryst. 20, 467 (1987).
//!
//! Diffraction sees crystals only: every fraction is of the crystalline part.

mod fit;
pub(crate) mod linear;
mod model;
mod report;

use crate::forward::ForwardError;
use crate::library::{Library, Role};
use crate::pattern::Pattern;
use crate::profile::Instrument;
use crate::structure::Cell;

/// Fewest points in the range that support a fit of this size.
const FEWEST_POINTS: usize = 100;

/// What is known of the measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The diffractometer.
    pub instrument: Instrument,
    /// Thickness of the film in nm and its standard uncertainty; nothing for a thick powder.
    pub film_thickness_nm: Option<(f64, f64)>,
    /// Standard deviation of the specimen displacement in mm.
    pub displacement_prior_mm: f64,
    /// Range of 2θ in degrees to use; nothing for all of it.
    pub range_deg: Option<(f64, f64)>,
    /// Most steps of the fit for each form of the perovskite.
    pub max_iterations: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instrument: Instrument::aeris(),
            film_thickness_nm: None,
            displacement_prior_mm: 0.08,
            range_deg: None,
            max_iterations: 40,
        }
    }
}

/// Why there is no analysis at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantifyError {
    /// Not enough of the pattern lies in the range.
    #[error("{points} points within the range are too few for a phase analysis (at least {FEWEST_POINTS})")]
    TooShort {
        /// Points within the range.
        points: usize,
    },
    /// The library offers no perovskite.
    #[error("the library names no form of the perovskite")]
    EmptyLibrary,
    /// A setting is unusable.
    #[error("the setting {what} is {value}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// No candidate has a line in the range.
    #[error("no candidate phase has a line between {from_deg}° and {to_deg}°")]
    NoLines {
        /// First angle used.
        from_deg: f64,
        /// Last angle used.
        to_deg: f64,
    },
    /// The normal matrix could not be factored.
    #[error("the fit broke down: its equations are singular")]
    Singular,
    /// The forward model refused a parameter.
    #[error("the pattern of a candidate phase could not be computed")]
    Forward(#[from] ForwardError),
}

/// A value with its standard uncertainties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Best value.
    pub value: f64,
    /// From the scatter of the data, widened for misfit and for correlated residuals.
    pub u_stat: f64,
    /// With systematic components.
    pub u_total: f64,
}

/// How far the numbers may be trusted.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The fit ended at a minimum within every range.
    Converged,
    /// The steps ran out; the best state is returned.
    IterationLimit,
    /// Parameters that matter ended at the end of their range.
    AtLimit {
        /// Their names.
        parameters: Vec<String>,
    },
    /// The fit ended, but its result cannot be a measurement of this film.
    Implausible {
        /// Why.
        reasons: Vec<String>,
    },
    /// No phase of the library stands out from the background.
    NothingThere,
}

/// What a reader of the numbers should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Flag {
    /// Lines that no candidate explains, for example of a solvate or another phase.
    UnexplainedIntensity {
        /// Their angles 2θ in degrees.
        positions_deg: Vec<f64>,
        /// Their intensity as a share of all line intensity in the range.
        share: f64,
    },
    /// The layer is thin for X-rays: intensities were corrected by this share at the first line.
    FilmCorrection {
        /// Fitted μt.
        optical_thickness: f64,
        /// Film factor at the first line of the perovskite.
        factor_at_first_line: f64,
    },
    /// Two forms of the perovskite fit equally well; the better one is reported.
    FormsAlike {
        /// The other form.
        other: String,
    },
    /// The zero of the goniometer is not calibrated here, so the cell errs by up to some 3e-4.
    CellUncalibrated,
}

impl std::fmt::Display for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flag::UnexplainedIntensity { positions_deg, share } => {
                let places: Vec<String> = positions_deg.iter().map(|angle| format!("{angle:.2}")).collect();
                write!(f, "unexplained lines at {}° ({:.1} % of the line intensity)", places.join(", "), 100.0 * share)
            }
            Flag::FilmCorrection { optical_thickness, factor_at_first_line } => write!(
                f,
                "thin film: corrected for {:.0} % of the full intensity at the first line (μt = {optical_thickness:.3})",
                100.0 * factor_at_first_line
            ),
            Flag::FormsAlike { other } => write!(f, "{other} fits equally well"),
            Flag::CellUncalibrated => write!(f, "the cell is uncalibrated to some 3e-4"),
        }
    }
}

/// What was found of one phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseResult {
    /// Name of the phase.
    pub name: String,
    /// Its meaning.
    pub role: Role,
    /// True when its scale exceeds three times its uncertainty.
    pub detected: bool,
    /// Fraction of the crystalline mass.
    pub weight_fraction: Estimate,
    /// Fraction of the crystalline lead (and tin).
    pub lead_fraction: Estimate,
    /// Fitted cell.
    pub cell: Cell,
    /// Fitted March coefficient.
    pub texture_r: f64,
    /// Crystallite size in nm from the Lorentzian width.
    pub crystallite_size_nm: f64,
    /// Fitted scale factor (counts per electron² and degree).
    pub scale: f64,
}

/// The analysis of one pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantification {
    /// How far to trust it.
    pub verdict: Verdict,
    /// Mole fraction of the crystalline lead (and tin) that is in the perovskite; nothing when nothing was there.
    pub alpha_lead_fraction: Option<Estimate>,
    /// Every candidate of the best fit, the perovskite first; empty when nothing was there.
    pub phases: Vec<PhaseResult>,
    /// Edge of the perovskite in Å (cube root of the volume of a formula unit); nothing when it was not detected.
    pub pseudo_cubic_a: Option<Estimate>,
    /// Displacement of the specimen in mm.
    pub displacement_mm: f64,
    /// Σ w (y - f)² over degrees of freedom.
    pub reduced_chi_squared: f64,
    /// What else to know.
    pub flags: Vec<Flag>,
    /// Steps of the fit that is reported.
    pub iterations: usize,
    /// Angles of the points used, in degrees.
    pub two_theta: Vec<f64>,
    /// Calculated intensity at each of them.
    pub calculated: Vec<f64>,
    /// Calculated background at each of them.
    pub background: Vec<f64>,
}

/// Fits the pattern with the phases of the library, once for each form of the perovskite, and reports the best.
///
/// # Errors
/// [`QuantifyError`] when no analysis is possible. A pattern without any of the phases is not an error but the verdict
/// [`Verdict::NothingThere`].
pub fn quantify(pattern: &Pattern, library: &Library, settings: &Settings) -> Result<Quantification, QuantifyError> {
    check(settings)?;
    let range = used_range(pattern, settings)?;
    if library.alpha.is_empty() {
        return Err(QuantifyError::EmptyLibrary);
    }
    let mut results = Vec::new();
    for alpha in &library.alpha {
        let candidates = std::iter::once(alpha).chain(&library.others).collect();
        let model = model::Model::new(pattern, range.clone(), candidates, settings)?;
        if model.phases.iter().all(|(_, prepared)| prepared.reflections().is_empty()) {
            let (from_deg, to_deg) = (model.x[0], model.x[model.x.len() - 1]);
            return Err(QuantifyError::NoLines { from_deg, to_deg });
        }
        let fitted = fit::fit(&model, settings.max_iterations).map_err(|_| QuantifyError::Singular)?;
        results.push((model, fitted));
    }
    results.sort_by(|a, b| (a.1.chi_squared + a.1.penalty).total_cmp(&(b.1.chi_squared + b.1.penalty)));
    let rival = results.get(1).map(|(model, fitted)| (model.phases[0].0.phase.name().to_owned(), fitted.chi_squared));
    let (model, fitted) = &results[0];
    Ok(report::report(model, fitted, rival))
}

fn check(settings: &Settings) -> Result<(), QuantifyError> {
    if !settings.instrument.is_sound() {
        return Err(ForwardError::Instrument.into());
    }
    let positive = |what, value: f64, most: f64| {
        if value > 0.0 && value <= most { Ok(()) } else { Err(QuantifyError::Setting { what, value }) }
    };
    positive("displacement prior (mm)", settings.displacement_prior_mm, 2.0)?;
    if let Some((thickness, u)) = settings.film_thickness_nm {
        positive("film thickness (nm)", thickness, 1e7)?;
        positive("uncertainty of the film thickness (nm)", u, 1e7)?;
    }
    Ok(())
}

fn used_range(pattern: &Pattern, settings: &Settings) -> Result<std::ops::Range<usize>, QuantifyError> {
    // Below 2° the direct beam is seen, above 170° nothing.
    let (from, to) = settings.range_deg.unwrap_or((2.0, 170.0));
    let x = pattern.two_theta();
    let start = x.partition_point(|&angle| angle < from.max(2.0));
    let end = x.partition_point(|&angle| angle <= to.min(170.0));
    let points = end.saturating_sub(start);
    if points < FEWEST_POINTS { Err(QuantifyError::TooShort { points }) } else { Ok(start..end) }
}

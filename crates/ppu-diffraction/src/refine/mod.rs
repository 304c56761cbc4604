//! Whole-pattern refinement of known phases: raw counts to weight fractions and cells with honest uncertainties.
//!
//! One fit of the whole pattern with Gaussian priors (Levenberg-Marquardt to the maximum of the posterior), no stages
//! and no choices that depend on the sample. Widths after Thompson, Cox and Hastings, axial divergence after Finger, Cox
//! and Jephcoat, fractions from the scales after Hill and Howard with Brindley's correction for absorption in grains.
//!
//! Every number carries a statistical and a total uncertainty. The statistical one comes from the curvature of the
//! posterior, widened for misfit and for correlated residuals. The total one adds what statistics cannot know: grain
//! size, tables of f', displacement parameters, texture, and for cells the zero and the shape of lines.

mod columns;
mod crystal;
mod lines;
mod model;
mod report;
mod settings;
mod solve;
mod systematic;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use report::{Flag, Fraction, PhaseFit, Refinement, Verdict};
pub use settings::{Budget, Candidate, EmissionLine, InstrumentPriors, Prior, Radiation, Settings};

use crate::pattern::Pattern;
pub use crate::quantify::Estimate;

/// Fewest points in the range that support a fit of this size.
const FEWEST_POINTS: usize = 100;
/// More phases than this in one specimen are a mistake.
const MOST_PHASES: usize = 12;

/// Why there is no fit at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RefineError {
    /// Not enough of the pattern lies in the range.
    #[error("{points} points within the range are too few for a refinement (at least {FEWEST_POINTS})")]
    TooShort {
        /// Points within the range.
        points: usize,
    },
    /// None, or too many.
    #[error("{count} candidate phases are not between 1 and {MOST_PHASES}")]
    Candidates {
        /// Number of candidates.
        count: usize,
    },
    /// A number in the settings is unusable.
    #[error("the settings have an unusable {what}")]
    Setting {
        /// Which one.
        what: &'static str,
    },
    /// A candidate has no line in the range.
    #[error("`{phase}` has no line between {from_deg}° and {to_deg}°")]
    NoLines {
        /// Name of the phase.
        phase: String,
        /// First angle used.
        from_deg: f64,
        /// Last angle used.
        to_deg: f64,
    },
    /// The normal matrix could not be factored.
    #[error("the fit broke down: its equations are singular")]
    Singular,
}

/// Fits the pattern with the given phases. `elapsed` is the caller's clock: time since the fit was asked for.
///
/// # Errors
/// [`RefineError`] when no fit is possible. A fit that ran out of its budget or that cannot be believed is not an error
/// but says so in its verdict.
pub fn refine(
    pattern: &Pattern,
    candidates: &[Candidate],
    settings: &Settings,
    elapsed: &dyn Fn() -> Duration,
) -> Result<Refinement, RefineError> {
    let range = check(pattern, candidates, settings)?;
    let model = model::Model::new(pattern, range, candidates, settings);
    for (candidate, crystal) in candidates.iter().zip(&model.crystals) {
        if crystal.planes.is_empty() {
            let (from_deg, to_deg) = (model.x[0], model.x[model.x.len() - 1]);
            return Err(RefineError::NoLines { phase: candidate.phase.name().to_owned(), from_deg, to_deg });
        }
    }
    let fitted = solve::fit(&model, elapsed).map_err(|_| RefineError::Singular)?;
    report::report(&model, &fitted).ok_or(RefineError::Singular)
}

fn check(
    pattern: &Pattern,
    candidates: &[Candidate],
    settings: &Settings,
) -> Result<std::ops::Range<usize>, RefineError> {
    if !(1..=MOST_PHASES).contains(&candidates.len()) {
        return Err(RefineError::Candidates { count: candidates.len() });
    }
    let bad = |what| Err(RefineError::Setting { what });
    if !settings.instrument.is_sound() {
        return bad("instrument");
    }
    if !candidates.iter().all(Candidate::is_sound) {
        return bad("candidate");
    }
    let displacement = settings.displacement_mm;
    if !(displacement.mean.abs() < 5.0 && (0.0..5.0).contains(&displacement.sigma)) {
        return bad("displacement");
    }
    if !(1..=40).contains(&settings.background_terms) {
        return bad("number of background terms");
    }
    // Below 2° the direct beam is seen, above 170° nothing.
    let (from, to) = settings.range_deg.unwrap_or((2.0, 170.0));
    let x = pattern.two_theta();
    let start = x.partition_point(|&angle| angle < from.max(2.0));
    let end = x.partition_point(|&angle| angle <= to.min(170.0));
    let points = end.saturating_sub(start);
    if points < FEWEST_POINTS { Err(RefineError::TooShort { points }) } else { Ok(start..end) }
}

//! Phase identification: which of the candidates are there, how sure that is, and whether something else is there too.
//!
//! Screening, a best-first search over sets of phases with short fits, and Laplace evidence with an estimated
//! over-dispersion, which gives a posterior over sets. Low confidence asks for a person.

mod data;
mod fit;
mod model;
mod search;
mod sticks;
mod unknown;

pub use sticks::StickLibrary;

use crate::pattern::Pattern;
use crate::structure::Cell;
use data::Data;
use fit::{Node, Problem};
use search::Search;

/// A pattern needs this many points for a background and a phase.
const FEWEST_POINTS: usize = 100;
/// A set is stated when its posterior exceeds this; below it a person decides.
const CONFIDENT: f64 = 0.9;
/// Calibration of the probability of an unknown phase on labelled scans of weighed mixtures.
const PEAK_FLOOR: f64 = 6.0;
const PEAK_MIDDLE: f64 = 6.0;
const PEAK_SCALE: f64 = 1.2;
const MISFIT_FLOOR: f64 = 0.2;
const MISFIT_SCALE: f64 = 0.02;
/// Above this probability of an unknown phase a person decides.
const SUSPICIOUS: f64 = 0.5;

/// How to search. One set of values serves every pattern of an instrument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Largest number of phases of a set.
    pub most_phases: usize,
    /// Probability that a candidate is present before the pattern is seen.
    pub prior_presence: f64,
    /// Phases below this weight fraction are traces: sets that differ in traces alone are one answer. Commercial powders
    /// hold a few per cent of other polymorphs, and misfit of strong lines can look like as much.
    pub least_weight_fraction: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { most_phases: 5, prior_presence: 0.1, least_weight_fraction: 0.03 }
    }
}

/// Why a pattern cannot be identified.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdentifyError {
    /// Too few points.
    #[error("{points} points are too few; {FEWEST_POINTS} are needed")]
    TooFewPoints {
        /// Number of points.
        points: usize,
    },
    /// No candidates.
    #[error("the library holds no candidate")]
    EmptyLibrary,
    /// A setting is outside its range.
    #[error("{what} is outside its range: {value}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The numbers broke down.
    #[error("the pattern does not determine a background")]
    NoFit,
}

/// A phase of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundPhase {
    /// Index in the library.
    pub candidate: usize,
    /// Name in the library.
    pub name: String,
    /// Weight fraction among the phases of the set; no correction for microabsorption.
    pub weight_fraction: f64,
    /// Its statistical standard uncertainty with over-dispersion.
    pub u_weight_fraction: f64,
    /// Cell as fitted.
    pub cell: Cell,
    /// Share of the fitted intensity above the background.
    pub intensity_share: f64,
}

/// A set of phases with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseSet {
    /// The phases, largest weight fraction first; empty when nothing is there.
    pub phases: Vec<FoundPhase>,
    /// Phases below the least weight fraction of the most probable member of this set.
    pub traces: Vec<FoundPhase>,
    /// Posterior probability among the sets that were fitted.
    pub probability: f64,
    /// ln of evidence and prior relative to the best set.
    pub ln_evidence: f64,
    /// Weighted reduced χ².
    pub reduced_chi_squared: f64,
}

/// A residual peak that no phase of the best set explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnexplainedPeak {
    /// Position in degrees.
    pub two_theta_deg: f64,
    /// Height in standard deviations, over-dispersion included.
    pub significance: f64,
    /// Area in counts × degrees.
    pub area: f64,
}

/// Why a person should look.
#[derive(Debug, Clone, PartialEq)]
pub enum Review {
    /// No set reaches the confidence that is asked for.
    Undecided {
        /// Probability of the best set.
        probability: f64,
    },
    /// Something that the library does not hold is probably there.
    UnknownPhase {
        /// Its probability.
        probability: f64,
    },
    /// Nothing of the library was found.
    NothingFound,
}

/// What was found in a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Identification {
    /// Sets of phases, most probable first; probabilities sum to 1.
    pub sets: Vec<PhaseSet>,
    /// Probability that a phase outside the library is present.
    pub unknown_probability: f64,
    /// Residual peaks of the best set.
    pub unexplained: Vec<UnexplainedPeak>,
    /// Share of the intensity above the background that they carry.
    pub unexplained_share: f64,
    /// Share of the intensity above the background by which the best set and the data differ beyond counting noise.
    pub misfit: f64,
    /// Reasons for a person to look; empty when the answer can be used.
    pub review: Vec<Review>,
    /// κ by which the evidence was tempered.
    pub over_dispersion: f64,
    /// Displacement of the specimen in mm in the fit of the best set; a positive value moves lines to lower angles.
    pub displacement_mm: f64,
    /// Short fits that were made.
    pub fits: usize,
    /// Angles in degrees of the curves below.
    pub two_theta: Vec<f64>,
    /// Observed intensity on the search's grid.
    pub observed: Vec<f64>,
    /// Calculated intensity of the best set.
    pub calculated: Vec<f64>,
    /// Its background.
    pub background: Vec<f64>,
}

/// Finds the set of candidates that explains a pattern.
///
/// # Errors
/// [`IdentifyError`]; doubt is no error but a [`Review`].
pub fn identify(
    pattern: &Pattern,
    library: &StickLibrary,
    settings: &Settings,
) -> Result<Identification, IdentifyError> {
    check(pattern, library, settings)?;
    let data = Data::new(pattern);
    let background = model::background(&data);
    let scale_mean = scale_means(library, &data);
    let problem = Problem { library, data: &data, background: &background, scale_mean: &scale_mean };
    let ln_odds = (settings.prior_presence / (1.0 - settings.prior_presence)).ln();
    let mut search = Search::new(&problem, settings.most_phases, ln_odds);
    search.run().ok_or(IdentifyError::NoFit)?;
    let kappa = search.kappa();
    let mut order: Vec<(f64, &Node)> = search.nodes.iter().map(|node| (search.score(node, kappa), node)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let top = order.first().map_or(0.0, |(score, _)| *score);
    let total: f64 = order.iter().map(|(score, _)| (score - top).exp()).sum();
    let sets: Vec<PhaseSet> = order
        .iter()
        .map(|(score, node)| PhaseSet {
            phases: phases(library, node, kappa),
            traces: Vec::new(),
            probability: (score - top).exp() / total,
            ln_evidence: score - top,
            reduced_chi_squared: node.chi_squared / node.freedom(),
        })
        .collect();
    let sets = merged(sets, settings.least_weight_fraction);
    let best = order[0].1;
    let base = base(&background, best);
    let (unexplained, unexplained_share) = unknown::peaks(&data, best, &base, &library.instrument);
    let misfit = unknown::misfit(&data, best);
    let unknown_probability = unknown_probability(&unexplained, misfit);
    Ok(Identification {
        review: review(&sets, unknown_probability),
        sets,
        unknown_probability,
        unexplained,
        unexplained_share,
        misfit,
        over_dispersion: kappa,
        displacement_mm: best.shared.displacement_mm,
        fits: search.fits(),
        calculated: best.calculated.clone(),
        background: base,
        two_theta: data.x,
        observed: data.y,
    })
}

fn check(pattern: &Pattern, library: &StickLibrary, settings: &Settings) -> Result<(), IdentifyError> {
    if pattern.len() < FEWEST_POINTS {
        return Err(IdentifyError::TooFewPoints { points: pattern.len() });
    }
    if library.candidates.is_empty() {
        return Err(IdentifyError::EmptyLibrary);
    }
    if !(settings.prior_presence > 0.0 && settings.prior_presence < 1.0) {
        return Err(IdentifyError::Setting { what: "prior_presence", value: settings.prior_presence });
    }
    if !(0.0..0.5).contains(&settings.least_weight_fraction) {
        return Err(IdentifyError::Setting { what: "least_weight_fraction", value: settings.least_weight_fraction });
    }
    Ok(())
}

/// ln of the scale at which a candidate has a tenth of the intensity above the background.
fn scale_means(library: &StickLibrary, data: &Data) -> Vec<f64> {
    let wanted = 0.1 * data.height.iter().sum::<f64>() * data.step();
    (0..library.candidates.len())
        .map(|candidate| {
            let nominal = &library.candidates[candidate];
            let strongest = nominal.sticks.iter().map(|stick| stick.strength).fold(f64::MIN_POSITIVE, f64::max);
            let (from, to) = (data.x[0], data.x[data.len() - 1]);
            let mut area = 0.0;
            for stick in &nominal.sticks {
                for line in &library.instrument.lines {
                    let sin = 0.5 * line.wavelength_a * stick.q.sqrt();
                    let two_theta = 2.0 * sin.min(1.0).asin().to_degrees();
                    if (from..to).contains(&two_theta) {
                        let polarised = library.instrument.lorentz_polarisation(sin.asin());
                        area += stick.strength / strongest * line.weight * polarised;
                    }
                }
            }
            (wanted.max(f64::MIN_POSITIVE) / area.max(f64::MIN_POSITIVE)).ln()
        })
        .collect()
}

fn phases(library: &StickLibrary, node: &Node, kappa: f64) -> Vec<FoundPhase> {
    // Intensity is scale times |F|² over its strongest; mass goes with scale × Z M V (Hill and Howard 1987).
    let amounts: Vec<f64> = node
        .phases
        .iter()
        .map(|state| {
            let candidate = &library.candidates[state.candidate];
            let strongest = candidate.sticks.iter().map(|stick| stick.strength).fold(f64::MIN_POSITIVE, f64::max);
            let volume = candidate.cell(&state.strain).volume_a3();
            state.ln_scale.exp() / strongest * candidate.phase.cell_mass_g_per_mol() * volume
        })
        .collect();
    let total: f64 = amounts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let covariance = node.scale_covariance(kappa, library);
    let fraction: Vec<f64> = amounts.iter().map(|amount| amount / total).collect();
    let heights: Vec<f64> = node.phases.iter().map(|state| state.ln_scale.exp()).collect();
    let whole: f64 = heights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut found: Vec<FoundPhase> = node
        .phases
        .iter()
        .enumerate()
        .map(|(index, state)| {
            let candidate = &library.candidates[state.candidate];
            // d w_i / d ln S_j = w_i (δ_ij - w_j).
            let slope = |j: usize| fraction[index] * (f64::from(u8::from(index == j)) - fraction[j]);
            let variance = covariance.as_ref().map_or(f64::NAN, |c| {
                (0..fraction.len())
                    .map(|i| (0..fraction.len()).map(|j| slope(i) * slope(j) * c[(i, j)]).sum::<f64>())
                    .sum()
            });
            FoundPhase {
                candidate: state.candidate,
                name: candidate.name.clone(),
                weight_fraction: fraction[index],
                u_weight_fraction: variance.max(0.0).sqrt(),
                cell: candidate.cell(&state.strain),
                intensity_share: heights[index] / whole,
            }
        })
        .collect();
    found.sort_by(|a, b| b.weight_fraction.total_cmp(&a.weight_fraction));
    found
}

/// Sets that differ only by traces below `least` are one answer: traces are left out and probabilities added.
fn merged(sets: Vec<PhaseSet>, least: f64) -> Vec<PhaseSet> {
    let mut found: Vec<PhaseSet> = Vec::new();
    for mut set in sets {
        (set.phases, set.traces) = set.phases.into_iter().partition(|phase| phase.weight_fraction >= least);
        let key = |set: &PhaseSet| {
            let mut members: Vec<usize> = set.phases.iter().map(|phase| phase.candidate).collect();
            members.sort_unstable();
            members
        };
        match found.iter_mut().find(|known| key(known) == key(&set)) {
            Some(known) => known.probability += set.probability,
            None => found.push(set),
        }
    }
    found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    found
}

fn base(background: &[Vec<f64>], node: &Node) -> Vec<f64> {
    let mut sum = vec![0.0; node.calculated.len()];
    for (column, c) in background.iter().zip(node.background.iter()) {
        sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += c * value);
    }
    sum
}

/// Probability that another phase is there: a logistic curve in the significance of the residual peaks and in the
/// overall misfit. A single weak peak is an impurity or a stray line; several strong ones, or a fit that leaves a quarter
/// of the intensity, are a phase.
fn unknown_probability(peaks: &[UnexplainedPeak], misfit: f64) -> f64 {
    let beyond: f64 = peaks.iter().map(|peak| (peak.significance - PEAK_FLOOR).min(6.0)).sum();
    let x = (beyond - PEAK_MIDDLE) / PEAK_SCALE + ((misfit - MISFIT_FLOOR) / MISFIT_SCALE).max(0.0);
    1.0 / (1.0 + (-x).exp())
}

fn review(sets: &[PhaseSet], unknown: f64) -> Vec<Review> {
    let mut reasons = Vec::new();
    match sets.first() {
        Some(best) if !best.phases.is_empty() => {
            if best.probability < CONFIDENT {
                reasons.push(Review::Undecided { probability: best.probability });
            }
        }
        _ => reasons.push(Review::NothingFound),
    }
    if unknown > SUSPICIOUS {
        reasons.push(Review::UnknownPhase { probability: unknown });
    }
    reasons
}

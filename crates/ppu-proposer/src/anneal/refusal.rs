//! When a batch is refused.

use serde::{Deserialize, Serialize};

use super::budget::carried;
use super::estimators::{Estimate, deviation_limit};
use super::study::{Figures, ImportanceFigures};

/// Limits beyond which a result is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Smallest effective sample size of importance sampling, as a share.
    pub least_ess: f64,
    /// Largest standard deviation of ln Z over populations, nats. It must be shown to be smaller: the upper 95 % limit of the
    /// deviation counts, so few populations need a better agreement.
    pub most_deviation: f64,
    /// Largest difference between forward and reverse estimates, nats.
    pub most_difference: f64,
    /// Largest difference between two estimators, in combined standard errors.
    pub most_standard_errors: f64,
    /// Smallest acceptance at the last level.
    pub least_acceptance: f64,
    /// Smallest share of distinct ancestors.
    pub least_ancestors: f64,
    /// Largest share of the prior that the twin may refuse.
    pub most_refused: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            least_ess: 0.1,
            most_deviation: 0.3,
            most_difference: 0.5,
            most_standard_errors: 3.0,
            least_acceptance: 0.05,
            least_ancestors: 0.1,
            most_refused: 0.2,
        }
    }
}

/// Confidence of the upper limit of the deviation.
const SURE: f64 = 0.95;
/// Differences of estimators below this are left to rounding and to the trapezoid rule, nats.
const NEGLIGIBLE: f64 = 0.02;

/// Whether the prior's density is known well enough for what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DensityKnown {
    /// Normalised.
    Exact,
    /// Up to one constant.
    UpToConstant,
    /// Not at all.
    Unknown,
}

/// Why a result is withheld.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnealRefusal {
    /// Few trajectories carry the weight.
    #[error("the effective sample size is {share:.3} of the trajectories, less than {limit}")]
    FewWeights {
        /// Share.
        share: f64,
        /// Smallest allowed.
        limit: f64,
    },
    /// Populations disagree, or are too few to show that they agree.
    #[error("ln Z scatters by {sd:.2} nats over populations; up to {upper:.2} cannot be excluded, more than {limit}")]
    Scatter {
        /// Standard deviation found.
        sd: f64,
        /// Its upper limit.
        upper: f64,
        /// Largest allowed.
        limit: f64,
    },
    /// Forward and reverse differ.
    #[error("forward and reverse estimates of ln Z differ by {difference:.2} nats, more than {limit}")]
    Irreversible {
        /// Difference.
        difference: f64,
        /// Largest allowed.
        limit: f64,
    },
    /// Two estimators differ by more than their errors allow.
    #[error("{one} and {other} differ by {difference:.3} nats, more than {limit:.3}")]
    Estimators {
        /// One estimator.
        one: String,
        /// The other one.
        other: String,
        /// Difference.
        difference: f64,
        /// Largest allowed.
        limit: f64,
    },
    /// Particles hardly move.
    #[error("{acceptance:.3} of the moves are accepted at the last level, less than {limit}")]
    Stuck {
        /// Acceptance.
        acceptance: f64,
        /// Smallest allowed.
        limit: f64,
    },
    /// Few first draws have descendants.
    #[error("the population descends from {share:.3} of its draws, less than {limit}")]
    FewAncestors {
        /// Share.
        share: f64,
        /// Smallest allowed.
        limit: f64,
    },
    /// The twin does not cover the space.
    #[error("the twin refuses {share:.2} of the space, more than {limit}")]
    TwinRefuses {
        /// Share.
        share: f64,
        /// Largest allowed.
        limit: f64,
    },
    /// More information was spent than the particles can carry.
    #[error("{spent:.2} nats were spent, {particles} particles carry {limit:.2}")]
    Overspent {
        /// Information, nats.
        spent: f64,
        /// Particles.
        particles: usize,
        /// What they carry.
        limit: f64,
    },
    /// Local moves need the ratio of densities.
    #[error("the density of the proposer is not known: only draws from it may be used as moves")]
    DensityUnknown,
    /// ln Z and the information need the normalised density.
    #[error("the density of the proposer is known up to a constant only: ln Z and the information budget mean nothing")]
    DensityNotNormalised,
}

/// Everything that speaks against a study; empty for one that may be used.
pub fn refusals(found: &Figures, limits: &Limits) -> Vec<AnnealRefusal> {
    let mut all = Vec::new();
    all.extend(scatter(&found.ln_z, limits));
    if let Some(reverse) = &found.reverse {
        let difference = (found.ln_z.ln_z - reverse.ln_z).abs();
        if difference > limits.most_difference {
            all.push(AnnealRefusal::Irreversible { difference, limit: limits.most_difference });
        }
    }
    all.extend(disagreement(("increments", &found.ln_z), ("integration", &found.integral), limits));
    if let Some(bennett) = &found.bennett {
        all.extend(disagreement(("increments", &found.ln_z), ("Bennett's ratio", bennett), limits));
    }
    all.extend(stuck(found.acceptance, limits));
    if found.ancestors < limits.least_ancestors {
        all.push(AnnealRefusal::FewAncestors { share: found.ancestors, limit: limits.least_ancestors });
    }
    if found.refused > limits.most_refused {
        all.push(AnnealRefusal::TwinRefuses { share: found.refused, limit: limits.most_refused });
    }
    let limit = carried(found.particles);
    if found.information > limit {
        all.push(AnnealRefusal::Overspent { spent: found.information, particles: found.particles, limit });
    }
    all
}

/// Everything that speaks against importance sampling along a path.
pub fn importance_refusals(found: &ImportanceFigures, limits: &Limits) -> Vec<AnnealRefusal> {
    let mut all = Vec::new();
    if found.ess < limits.least_ess {
        all.push(AnnealRefusal::FewWeights { share: found.ess, limit: limits.least_ess });
    }
    all.extend(scatter(&found.ln_z, limits));
    all.extend(stuck(found.acceptance, limits));
    all
}

/// What a density allows. Ask before annealing.
pub fn density_refusal(density: DensityKnown, local_moves: bool, information_budget: bool) -> Option<AnnealRefusal> {
    match density {
        DensityKnown::Unknown if local_moves => Some(AnnealRefusal::DensityUnknown),
        DensityKnown::UpToConstant if information_budget => Some(AnnealRefusal::DensityNotNormalised),
        _ => None,
    }
}

fn scatter(found: &Estimate, limits: &Limits) -> Option<AnnealRefusal> {
    let upper = deviation_limit(found.sd, found.populations, SURE);
    let limit = limits.most_deviation;
    (upper > limit).then_some(AnnealRefusal::Scatter { sd: found.sd, upper, limit })
}

fn stuck(acceptance: f64, limits: &Limits) -> Option<AnnealRefusal> {
    let limit = limits.least_acceptance;
    (acceptance < limit).then_some(AnnealRefusal::Stuck { acceptance, limit })
}

fn disagreement(one: (&str, &Estimate), other: (&str, &Estimate), limits: &Limits) -> Option<AnnealRefusal> {
    let difference = (one.1.ln_z - other.1.ln_z).abs();
    let combined = one.1.standard_error.hypot(other.1.standard_error);
    let limit = limits.most_standard_errors * combined + NEGLIGIBLE;
    (difference > limit).then(|| AnnealRefusal::Estimators {
        one: one.0.into(),
        other: other.0.into(),
        difference,
        limit,
    })
}

//! From what is offered to what the optimizer compares.

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::{Candidate, Objective};
use ppu_optimizer::{PriorMean, ScoredCandidate};
use ppu_twin::{Corrections, Fidelity, Twin};
use serde::{Deserialize, Serialize};

use crate::contract::Offered;
use crate::prior::key;
use crate::utility::Utility;

/// The result of a screening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    /// The best by expected score, best first.
    pub pool: Vec<ScoredCandidate>,
    /// Candidates that the twin refused, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Candidates that were offered more than once.
    pub duplicates: usize,
    /// Candidates that passed but were not among the best.
    pub dropped: usize,
}

/// Evaluates what is offered with the corrected twin and keeps the `keep` candidates of the highest expected score; ties
/// keep their order. Refused candidates are dropped and counted. Where the twin predicts none of the objectives,
/// candidates pass in the order in which they were offered, without a score.
pub fn screen(
    offered: &[Offered],
    twin: &dyn Twin,
    fidelity: Fidelity,
    corrections: &Corrections,
    objectives: &[Objective],
    keep: usize,
) -> Screened {
    let utility = Utility::new(twin, fidelity, corrections, objectives);
    let mut screened = Screened { pool: Vec::new(), refused: BTreeMap::new(), duplicates: 0, dropped: 0 };
    let mut seen = BTreeSet::new();
    for one in offered {
        if !seen.insert(key(&one.candidate)) {
            screened.duplicates += 1;
            continue;
        }
        let scored = match &utility {
            None => Ok(None),
            Some(utility) => utility.score(&one.candidate).map(|(_, score)| Some(score)),
        };
        match scored {
            Ok(twin_score) => {
                let reason = match twin_score {
                    Some(score) => {
                        format!("{} proposer; the twin expects a score of {score:.2}", one.provenance.proposer)
                    }
                    None => one.reason.clone(),
                };
                screened.pool.push(ScoredCandidate { candidate: one.candidate.clone(), twin_score, reason });
            }
            Err(refusal) => *screened.refused.entry(refusal.kind()).or_default() += 1,
        }
    }
    screened.pool.sort_by(|a, b| b.twin_score.unwrap_or(0.0).total_cmp(&a.twin_score.unwrap_or(0.0)));
    screened.dropped = screened.pool.len().saturating_sub(keep);
    screened.pool.truncate(keep);
    screened
}

/// The twin as prior mean of the optimizer's models. Uncorrected, and nothing left out: what it is worth, and which way
/// round, is for the models to learn.
pub struct TwinPrior<'a> {
    /// The twin.
    pub twin: &'a dyn Twin,
    /// Its level.
    pub fidelity: Fidelity,
    /// Objectives of the campaign, in their order.
    pub objectives: &'a [Objective],
}

impl PriorMean for TwinPrior<'_> {
    /// `None` where the twin refuses or does not know one of the objectives.
    fn prior_mean(&self, candidate: &Candidate) -> Option<Vec<f64>> {
        let evaluation = self.twin.evaluate(candidate, self.fidelity).ok()?;
        self.objectives.iter().map(|objective| Some(evaluation.predictions.get(&objective.name)?.mean)).collect()
    }
}

//! What the twin's predictions are worth: the expected score, and the energy that annealing minimises.

use std::collections::BTreeMap;

use ppu_core::{Candidate, Objective, objective::score};
use ppu_optimizer::normal::quantile;
use ppu_optimizer::sequence::Recurrence;
use ppu_twin::{Corrections, Evaluation, Fidelity, Tracking, Twin, TwinRefusal};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

/// Draws over which the score is averaged; fixed, so that the energy is a function.
const DRAWS: usize = 32;

/// Expected score of candidates by a corrected twin. Objectives that the twin does not predict are left out.
pub struct Utility<'a> {
    twin: &'a dyn Twin,
    fidelity: Fidelity,
    corrections: &'a Corrections,
    objectives: Vec<Objective>,
    draws: Vec<Vec<f64>>,
}

impl<'a> Utility<'a> {
    /// A utility for these objectives; `None` where the twin predicts none of them.
    pub fn new(
        twin: &'a dyn Twin,
        fidelity: Fidelity,
        corrections: &'a Corrections,
        objectives: &[Objective],
    ) -> Option<Utility<'a>> {
        let described = twin.describe(fidelity);
        let known = |objective: &&Objective| described.observables.iter().any(|known| known.name == objective.name);
        let objectives: Vec<Objective> = objectives.iter().filter(known).cloned().collect();
        if objectives.is_empty() {
            return None;
        }
        let sequence = Recurrence::new(objectives.len(), &mut ChaCha12Rng::seed_from_u64(0));
        let draw = |at: usize| -> Vec<f64> {
            // Mirrored pairs: the mean of the draws is 0.
            let sign = if at.is_multiple_of(2) { 1.0 } else { -1.0 };
            sequence.point(at / 2).into_iter().map(|u| sign * quantile(u.clamp(1e-6, 1.0 - 1e-6))).collect()
        };
        Some(Utility { twin, fidelity, corrections, objectives, draws: (0..DRAWS).map(draw).collect() })
    }

    /// The corrected evaluation and its expected score, 0 to 1.
    pub fn score(&self, candidate: &Candidate) -> Result<(Evaluation, f64), TwinRefusal> {
        let evaluation = self.corrections.apply(&self.twin.evaluate(candidate, self.fidelity)?);
        let predicted: Vec<(f64, f64)> = self
            .objectives
            .iter()
            .filter_map(|objective| evaluation.predictions.get(&objective.name))
            .map(|predicted| (predicted.mean, predicted.sd))
            .collect();
        let mut values = vec![0.0; predicted.len()];
        let mut sum = 0.0;
        for draw in &self.draws {
            for ((value, (mean, sd)), z) in values.iter_mut().zip(&predicted).zip(draw) {
                *value = mean + sd * z;
            }
            sum += score(&self.objectives, &values);
        }
        Ok((evaluation, sum / DRAWS as f64))
    }

    /// U = −ln(expected score) in nats, at least 0.
    pub fn energy(&self, candidate: &Candidate) -> Result<f64, TwinRefusal> {
        // The score has a positive floor; the guard keeps a score of 0 finite.
        self.score(candidate).map(|(_, score)| -score.max(1e-9).ln())
    }

    /// How far twin and laboratory go together: the correlations of the record, or the declared ones, averaged by the weights
    /// of the objectives.
    pub fn correlation(&self, record: &BTreeMap<String, Tracking>) -> f64 {
        let declared = self.twin.describe(self.fidelity);
        let one = |objective: &Objective| {
            let learnt = record.get(&objective.name).map(|record| record.correlation);
            let prior = declared.observables.iter().find(|known| known.name == objective.name);
            objective.weight * learnt.or(prior.map(|known| known.prior_correlation)).unwrap_or(0.0)
        };
        let total: f64 = self.objectives.iter().map(|objective| objective.weight).sum();
        self.objectives.iter().map(one).sum::<f64>() / total
    }
}

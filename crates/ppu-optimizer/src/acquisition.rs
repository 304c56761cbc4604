//! Expected improvement of a composite: the score is a known function of observables that are modelled.

use ppu_core::{Objective, objective::score};

use crate::feasibility::Feasibility;
use crate::surrogate::Surrogate;

/// Share and softness of the smooth tail that is added to the improvement. Where no draw improves, it still prefers
/// points whose draws come near; where some do, it is too small to matter.
const TAIL_SHARE: f64 = 1e-3;
const TAIL_SOFTNESS: f64 = 0.01;
/// Draws of a first look; even, because draws come in mirrored pairs.
const ROUGH_DRAWS: usize = 16;

/// A point with what the models need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) unit: Vec<f64>,
    pub(crate) prior: Option<Vec<f64>>,
}

/// All models, and the draws over which the score is averaged.
#[derive(Debug, Clone)]
pub(crate) struct Model<'a> {
    pub(crate) objectives: &'a [Objective],
    pub(crate) surrogates: Vec<Surrogate>,
    pub(crate) feasibility: Option<Feasibility>,
    /// Standard normal vectors, one entry an objective. The same for every point, so that points compare without noise.
    pub(crate) normals: Vec<Vec<f64>>,
}

impl Model<'_> {
    /// Mean and sd of every observable; `None` where a model needs a prior mean and there is none.
    pub(crate) fn predict(&self, point: &Point) -> Option<Vec<(f64, f64)>> {
        let predict = |(at, surrogate): (usize, &Surrogate)| {
            surrogate.predict(&point.unit, point.prior.as_ref().map(|prior| prior[at]))
        };
        self.surrogates.iter().enumerate().map(predict).collect()
    }

    /// Mean over the joint posterior of the observables, which are independent of each other at a point.
    fn average(&self, draws: usize, predicted: &[(f64, f64)], of: impl Fn(f64) -> f64) -> f64 {
        let mut values = vec![0.0; predicted.len()];
        let mut sum = 0.0;
        let draws = &self.normals[..draws.min(self.normals.len())];
        for draw in draws {
            for ((value, (mean, sd)), z) in values.iter_mut().zip(predicted).zip(draw) {
                *value = mean + sd * z;
            }
            sum += of(score(self.objectives, &values));
        }
        sum / draws.len() as f64
    }

    /// Posterior expectation of the score.
    pub(crate) fn expected_score(&self, predicted: &[(f64, f64)]) -> f64 {
        self.average(usize::MAX, predicted, |score| score)
    }

    /// Expected improvement over `best`.
    pub(crate) fn improvement(&self, predicted: &[(f64, f64)], best: f64) -> f64 {
        self.improvement_by(usize::MAX, predicted, best)
    }

    fn improvement_by(&self, draws: usize, predicted: &[(f64, f64)], best: f64) -> f64 {
        self.average(draws, predicted, |score| {
            let gain = score - best;
            // ln(1 + e^x) without overflow.
            let soft = gain.max(0.0) + TAIL_SOFTNESS * (-gain.abs() / TAIL_SOFTNESS).exp().ln_1p();
            gain.max(0.0) + TAIL_SHARE * soft
        })
    }

    pub(crate) fn probability_feasible(&self, unit: &[f64]) -> f64 {
        self.feasibility.as_ref().map_or(1.0, |feasibility| feasibility.probability(unit))
    }

    /// Expected improvement times the probability of a valid result; `None` where nothing can be predicted.
    pub(crate) fn acquisition(&self, point: &Point, best: f64) -> Option<f64> {
        let predicted = self.predict(point)?;
        Some(self.improvement(&predicted, best) * self.probability_feasible(&point.unit))
    }

    /// Like [`Model::acquisition`] from the first few draws only: enough to choose what deserves all of them.
    pub(crate) fn rough_acquisition(&self, point: &Point, best: f64) -> Option<f64> {
        let predicted = self.predict(point)?;
        Some(self.improvement_by(ROUGH_DRAWS, &predicted, best) * self.probability_feasible(&point.unit))
    }

    /// Share of the improvement that disappears when every sd shrinks to a tenth.
    pub(crate) fn exploration(&self, predicted: &[(f64, f64)], best: f64) -> f64 {
        let whole = self.improvement(predicted, best);
        let sure: Vec<(f64, f64)> = predicted.iter().map(|(mean, sd)| (*mean, 0.1 * sd)).collect();
        if whole > 0.0 { (1.0 - self.improvement(&sure, best) / whole).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// The models after believing that a point turns out as expected.
    pub(crate) fn believe(&self, unit: &[f64]) -> Self {
        let surrogates = self.surrogates.iter().map(|surrogate| surrogate.believe(unit)).collect();
        Model { surrogates, ..self.clone() }
    }
}

//! Expected improvement of a composite: the score is a known function of observables that are modelled.
//!
//! Points whose results are not known yet take part with joint draws of what they may turn out to be: an improvement counts
//! beyond the best of them too. A batch is then spread over several hopes, where believing in the expectation of the first
//! pick would send the others after the same one (Ginsbourger 2010; Balandat et al., NeurIPS 2020).

use ppu_core::{Objective, objective::score};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

use crate::belief::Look;
use crate::feasibility::Feasibility;
use crate::sequence::normals;
use crate::surrogate::{Point, Surrogate};

/// Share and softness of the smooth tail that is added to the improvement. Where no draw improves, it still prefers
/// points whose draws come near; where some do, it is too small to matter.
const TAIL_SHARE: f64 = 1e-3;
const TAIL_SOFTNESS: f64 = 0.01;
/// Draws over which the score is averaged. Quasi-random draws of a few objectives resolve an improvement to about 1 %.
const DRAWS: usize = 96;
/// Draws of a first look; even, because draws come in mirrored pairs.
const ROUGH_DRAWS: usize = 16;

/// A point whose result is not known yet, in its joint posterior with those before it.
#[derive(Debug, Clone)]
struct UnderWay {
    point: Point,
    joint: Vec<Joint>,
    /// Standard normal vectors, one entry an objective; independent of those of every other point.
    normals: Vec<Vec<f64>>,
}

/// One observable at a point, given the draws of it at the points under way: mean + Σ row[j] z_j + sd z.
#[derive(Debug, Clone)]
struct Joint {
    look: Look,
    row: Vec<f64>,
    sd: f64,
}

/// All models, and the draws over which the score is averaged.
#[derive(Debug, Clone)]
pub(crate) struct Model<'a> {
    objectives: &'a [Objective],
    pub(crate) surrogates: Vec<Surrogate>,
    feasibility: Option<Feasibility>,
    /// Standard normal vectors, one entry an objective. The same for every point, so that points compare without noise.
    normals: Vec<Vec<f64>>,
    under_way: Vec<UnderWay>,
    /// What must be exceeded, one entry a draw.
    best: Vec<f64>,
}

impl<'a> Model<'a> {
    /// Models, before it is known what must be exceeded.
    pub(crate) fn new(
        objectives: &'a [Objective],
        surrogates: Vec<Surrogate>,
        feasibility: Option<Feasibility>,
        rng: &mut ChaCha12Rng,
    ) -> Model<'a> {
        let normals = normals(objectives.len(), DRAWS, rng);
        Model { objectives, surrogates, feasibility, normals, under_way: Vec::new(), best: vec![0.0; DRAWS] }
    }

    /// The models with the score that must be exceeded.
    pub(crate) fn exceeding(mut self, best: f64) -> Model<'a> {
        self.best.fill(best);
        self
    }

    /// The models with one more point under way; a point that cannot be predicted changes nothing.
    pub(crate) fn expecting(mut self, point: &Point, rng: &mut ChaCha12Rng) -> Model<'a> {
        let Some(joint) = self.joint(point) else { return self };
        let mut drawn = normals(self.objectives.len(), DRAWS, rng);
        // Sequences of one construction go in step with each other; in another order they are independent.
        drawn.shuffle(rng);
        let scores: Vec<f64> = (0..DRAWS).map(|draw| self.drawn_score(&joint, draw, &drawn[draw])).collect();
        self.best.iter_mut().zip(scores).for_each(|(best, score)| *best = best.max(score));
        self.under_way.push(UnderWay { point: point.clone(), joint, normals: drawn });
        self
    }

    /// Mean and sd of every observable; `None` where a model needs a prior mean and there is none.
    pub(crate) fn predict(&self, point: &Point) -> Option<Vec<(f64, f64)>> {
        let looks = self.surrogates.iter().map(|surrogate| surrogate.look(point));
        looks.map(|look| look.map(|look| (look.mean, look.variance.sqrt()))).collect()
    }

    fn joint(&self, point: &Point) -> Option<Vec<Joint>> {
        let one = |(at, surrogate): (usize, &Surrogate)| {
            let look = surrogate.look(point)?;
            let mut row: Vec<f64> = Vec::with_capacity(self.under_way.len());
            for other in &self.under_way {
                let known = &other.joint[at];
                let covariance = surrogate.covariance((point, &look), (&other.point, &known.look))?;
                let shared: f64 = row.iter().zip(&known.row).map(|(a, b)| a * b).sum();
                row.push(if known.sd > 0.0 { (covariance - shared) / known.sd } else { 0.0 });
            }
            let left = look.variance - row.iter().map(|w| w * w).sum::<f64>();
            Some(Joint { sd: left.max(0.0).sqrt(), row, look })
        };
        self.surrogates.iter().enumerate().map(one).collect()
    }

    /// The score of a point in one draw of everything that is under way.
    fn drawn_score(&self, joint: &[Joint], draw: usize, own: &[f64]) -> f64 {
        let value = |(at, joint): (usize, &Joint)| {
            let others: f64 = joint.row.iter().zip(&self.under_way).map(|(w, other)| w * other.normals[draw][at]).sum();
            joint.look.mean + others + joint.sd * own[at]
        };
        let values: Vec<f64> = joint.iter().enumerate().map(value).collect();
        score(self.objectives, &values)
    }

    /// Mean over the posterior of the observables, which are independent of each other at a point.
    fn average(&self, predicted: &[(f64, f64)], of: impl Fn(f64) -> f64) -> f64 {
        let mut values = vec![0.0; predicted.len()];
        let mut sum = 0.0;
        for draw in &self.normals {
            for ((value, (mean, sd)), z) in values.iter_mut().zip(predicted).zip(draw) {
                *value = mean + sd * z;
            }
            sum += of(score(self.objectives, &values));
        }
        sum / self.normals.len() as f64
    }

    /// Posterior expectation of the score.
    pub(crate) fn expected_score(&self, predicted: &[(f64, f64)]) -> f64 {
        self.average(predicted, |score| score)
    }

    /// Expected improvement over `best`, whatever is under way.
    fn improvement(&self, predicted: &[(f64, f64)], best: f64) -> f64 {
        self.average(predicted, |score| improvement(score - best))
    }

    pub(crate) fn probability_feasible(&self, unit: &[f64]) -> f64 {
        self.feasibility.as_ref().map_or(1.0, |feasibility| feasibility.probability(unit))
    }

    /// Expected improvement over the best measured point and over everything under way, times the probability of a valid
    /// result; `None` where nothing can be predicted.
    pub(crate) fn acquisition(&self, point: &Point) -> Option<f64> {
        self.acquisition_by(DRAWS, point)
    }

    /// Like [`Model::acquisition`] from the first few draws only: enough to choose what deserves all of them.
    pub(crate) fn rough_acquisition(&self, point: &Point) -> Option<f64> {
        self.acquisition_by(ROUGH_DRAWS, point)
    }

    fn acquisition_by(&self, draws: usize, point: &Point) -> Option<f64> {
        let joint = self.joint(point)?;
        let gain = |draw: usize| improvement(self.drawn_score(&joint, draw, &self.normals[draw]) - self.best[draw]);
        let mean = (0..draws).map(gain).sum::<f64>() / draws as f64;
        Some(mean * self.probability_feasible(&point.unit))
    }

    /// Share of the improvement that disappears when every sd shrinks to a tenth.
    pub(crate) fn exploration(&self, predicted: &[(f64, f64)], best: f64) -> f64 {
        let whole = self.improvement(predicted, best);
        let sure: Vec<(f64, f64)> = predicted.iter().map(|(mean, sd)| (*mean, 0.1 * sd)).collect();
        if whole > 0.0 { (1.0 - self.improvement(&sure, best) / whole).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// The gain where there is one, and a little for coming near.
fn improvement(gain: f64) -> f64 {
    // ln(1 + e^x) without overflow.
    let soft = gain.max(0.0) + TAIL_SOFTNESS * (-gain.abs() / TAIL_SOFTNESS).exp().ln_1p();
    gain.max(0.0) + TAIL_SHARE * soft
}

//! Where the acquisition is evaluated: the pool, quasi-random points of the space, neighbours of good points.

use ppu_core::{Candidate, DesignSpace, Objective};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::contract::{OptimizerError, PriorMean, Source};
use crate::normal::quantile;
use crate::sequence::Recurrence;
use crate::surrogate::Point;

/// Attempts at a point before a space is taken to have none.
const ATTEMPTS: usize = 100_000;
/// Points nearer than this in every unit coordinate are the same point.
const SAME: f64 = 1e-6;

/// A candidate and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) candidate: Candidate,
    pub(crate) point: Point,
    pub(crate) source: Source,
}

/// Builds candidates of one space.
pub(crate) struct Maker<'a> {
    pub(crate) space: &'a DesignSpace,
    pub(crate) objectives: &'a [Objective],
    pub(crate) prior: Option<&'a dyn PriorMean>,
}

impl Maker<'_> {
    /// Unit coordinates and prior mean of a candidate.
    pub(crate) fn point(&self, candidate: &Candidate, subject: &str) -> Result<Point, OptimizerError> {
        let unit = self
            .space
            .to_unit(candidate)
            .map_err(|source| OptimizerError::Candidate { subject: subject.into(), source })?;
        let mut prior = self.prior.and_then(|prior| prior.prior_mean(candidate));
        let sound =
            |prior: &Vec<f64>| prior.len() == self.objectives.len() && prior.iter().all(|mean| mean.is_finite());
        if prior.as_ref().is_some_and(|prior| !sound(prior)) {
            return Err(OptimizerError::Prior { subject: subject.into(), objectives: self.objectives.len() });
        }
        for (mean, objective) in prior.iter_mut().flatten().zip(self.objectives) {
            *mean = objective.goal.within_horizon(*mean);
        }
        Ok(Point { unit, prior })
    }

    pub(crate) fn option(&self, candidate: Candidate, source: Source) -> Result<Choice, OptimizerError> {
        let point = self.point(&candidate, &format!("candidate {candidate}"))?;
        Ok(Choice { candidate, point, source })
    }

    /// The candidate at unit coordinates, rounded; `None` outside the mixtures.
    pub(crate) fn at(&self, unit: &[f64], source: Source) -> Result<Option<Choice>, OptimizerError> {
        self.space.from_unit(unit).map(|candidate| self.option(candidate, source)).transpose()
    }

    /// `count` quasi-random points of the space.
    pub(crate) fn fill(
        &self,
        count: usize,
        rng: &mut ChaCha12Rng,
        source: Source,
    ) -> Result<Vec<Choice>, OptimizerError> {
        let sequence = Recurrence::new(self.space.free().count(), rng);
        let mut found = Vec::with_capacity(count);
        for index in 0..ATTEMPTS {
            if found.len() == count {
                break;
            }
            found.extend(self.at(&sequence.point(index), source)?);
        }
        if found.is_empty() { Err(OptimizerError::NoCandidate) } else { Ok(found) }
    }

    /// Neighbours of a point: normal steps, wide and narrow in turn.
    pub(crate) fn neighbours(
        &self,
        unit: &[f64],
        count: usize,
        rng: &mut ChaCha12Rng,
    ) -> Result<Vec<Choice>, OptimizerError> {
        let mut found = Vec::with_capacity(count);
        for at in 0..count {
            let width = [0.15, 0.06, 0.02][at % 3];
            let moved = step(unit, width, rng);
            found.extend(self.at(&moved, Source::Local)?);
        }
        Ok(found)
    }
}

/// A normal step of the given width, held inside the cube.
pub(crate) fn step(unit: &[f64], width: f64, rng: &mut ChaCha12Rng) -> Vec<f64> {
    let normal = |rng: &mut ChaCha12Rng| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
    unit.iter().map(|u| (u + width * normal(rng)).clamp(0.0, 1.0)).collect()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Whether a point is among others.
pub(crate) fn is_taken(unit: &[f64], taken: &[Vec<f64>]) -> bool {
    taken.iter().any(|other| other.iter().zip(unit).all(|(a, b)| (a - b).abs() < SAME))
}

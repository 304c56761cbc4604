//! Regions without a list of candidates: a common set for the members to rank, then a climb from its best.

use rand_chacha::ChaCha12Rng;

use crate::candidates::step;
use crate::committee::{Committee, Model};
use crate::gp::minimize;
use crate::improvement::log_expected_improvement_with_slopes;
use crate::sequence::Recurrence;

/// Quasi-random points of the region, and neighbours of the best measured points, that the members rank.
const SPREAD: usize = 384;
const GOOD_POINTS: usize = 6;
const NEIGHBOURS: usize = 36;
/// Starts of the climb.
const CLIMBS: usize = 4;
/// Iterations of one climb and the gain at which it ends: ln EI known to 1e-6 is far finer than the models.
const EFFORT: (usize, f64) = (40, 1e-7);

/// Standard deviations that the bound adds to the mean.
const BOUND: f64 = 2.0;

/// What is climbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Expected improvement.
    Improvement,
    /// Upper confidence bound: it leaves a local optimum that expected improvement polishes for ever, because fitted
    /// hyperparameters are surer of the rest of the space than they should be.
    Bound,
}

/// Where coordinates may lie.
pub trait Region {
    /// Number of coordinates.
    fn dimensions(&self) -> usize;

    /// `count` points that fill the region evenly; fewer where it has fewer.
    fn sample(&self, count: usize, rng: &mut ChaCha12Rng) -> Vec<Vec<f64>>;

    /// The nearest point of the region that the laboratory can realise; `None` where there is none near.
    fn repair(&self, x: &[f64]) -> Option<Vec<f64>>;
}

/// The whole unit cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cube {
    /// Number of coordinates.
    pub dimensions: usize,
}

impl Region for Cube {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn sample(&self, count: usize, rng: &mut ChaCha12Rng) -> Vec<Vec<f64>> {
        let sequence = Recurrence::new(self.dimensions, rng);
        (0..count).map(|at| sequence.point(at)).collect()
    }

    fn repair(&self, x: &[f64]) -> Option<Vec<f64>> {
        x.iter().all(|x| x.is_finite()).then(|| x.iter().map(|x| x.clamp(0.0, 1.0)).collect())
    }
}

/// Everything that the members rank: points all over the region, and neighbours of the best measured points.
pub(super) fn common_set(committee: &Committee, region: &dyn Region, rng: &mut ChaCha12Rng) -> Vec<Vec<f64>> {
    let mut found = region.sample(SPREAD, rng);
    let readings = &committee.readings;
    let mut predicted = vec![0.0; readings.len()];
    let mut rows = Vec::new();
    for member in committee.members.iter().filter(|member| member.weight > 0.0) {
        member.predict_rows(&readings.x, &mut rows);
        predicted.iter_mut().zip(&rows).for_each(|(sum, (mean, _))| *sum += member.weight * mean);
    }
    let mut order: Vec<usize> = (0..readings.len()).collect();
    order.sort_by(|a, b| predicted[*b].total_cmp(&predicted[*a]));
    for at in order.into_iter().take(GOOD_POINTS) {
        for number in 0..NEIGHBOURS {
            let width = [0.2, 0.07, 0.02, 0.005][number % 4];
            found.extend(region.repair(&step(readings.point(at), width, rng)));
        }
    }
    found
}

/// The point that the votes prefer after a climb of Σ weight · ln EI of the processes from the best voted ones. Points for
/// which `taken` is true are passed over.
pub(super) fn climb(
    committee: &Committee,
    region: &dyn Region,
    candidates: &[Vec<f64>],
    log_cost: Option<super::LogCost<'_>>,
    taken: &dyn Fn(&[f64]) -> bool,
    aim: Aim,
) -> Option<Vec<f64>> {
    let rows: Vec<f64> = candidates.iter().flatten().copied().collect();
    let votes = committee.votes(&rows, log_cost);
    let mut order: Vec<usize> = (0..candidates.len()).filter(|at| !taken(&candidates[*at])).collect();
    order.sort_by(|a, b| votes[*b].total_cmp(&votes[*a]));
    let first = *order.first()?;
    if process_share(committee) < 0.5 {
        return Some(candidates[first].clone());
    }
    let value = |x: &[f64]| slopes(committee, aim, x).0 - log_cost.map_or(0.0, |log_cost| log_cost(x));
    // Half of the starts by the votes, half by what is climbed.
    let mut by_value: Vec<(f64, usize)> = order.iter().map(|at| (value(&candidates[*at]), *at)).collect();
    by_value.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut starts: Vec<usize> = order.iter().take(CLIMBS / 2).copied().collect();
    starts.extend(
        by_value
            .iter()
            .map(|(_, at)| *at)
            .filter(|at| !order[..order.len().min(CLIMBS / 2)].contains(at))
            .take(CLIMBS / 2),
    );
    let bounds = vec![(0.0, 1.0); region.dimensions()];
    let mut best: Option<(f64, Vec<f64>)> = None;
    for start in starts {
        let start = &candidates[start];
        let mut tops = vec![start.clone()];
        let uphill = |x: &[f64]| {
            let (value, slope) = slopes(committee, aim, x);
            value.is_finite().then(|| (-value, slope.iter().map(|slope| -slope).collect()))
        };
        if let Some((top, _)) = minimize(uphill, start, &bounds, EFFORT) {
            tops.extend(region.repair(&top).filter(|top| !taken(top)));
        }
        for top in tops {
            let reached = value(&top);
            if reached.is_finite() && best.as_ref().is_none_or(|(highest, _)| reached > *highest) {
                best = Some((reached, top));
            }
        }
    }
    Some(best.map_or_else(|| candidates[first].clone(), |(_, top)| top))
}

/// Share of the votes that Gaussian processes hold: only they have slopes.
fn process_share(committee: &Committee) -> f64 {
    let processes = committee.members.iter().filter(|member| matches!(member.model, Model::Process(_)));
    processes.map(|member| member.weight).sum()
}

/// What is climbed, and its slope: Σ weight · ln EI of the processes, or Σ weight · (μ + 2σ)/scale.
fn slopes(committee: &Committee, aim: Aim, x: &[f64]) -> (f64, Vec<f64>) {
    let (mut value, mut slope) = (0.0, vec![0.0; x.len()]);
    for member in committee.members.iter().filter(|member| member.weight > 0.0) {
        let Model::Process(process) = &member.model else { continue };
        let at = process.predict_with_slopes(x);
        let (gain, by_mean, by_sd) = match aim {
            Aim::Improvement => log_expected_improvement_with_slopes(at.mean, at.sd, member.best),
            Aim::Bound => {
                let scale = process.scale();
                ((at.mean + BOUND * at.sd) / scale, 1.0 / scale, BOUND / scale)
            }
        };
        value += member.weight * gain;
        for ((slope, mean), sd) in slope.iter_mut().zip(&at.mean_slope).zip(&at.sd_slope) {
            *slope += member.weight * (by_mean * mean + by_sd * sd);
        }
    }
    (value, slope)
}

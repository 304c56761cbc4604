//! Regions without a list of candidates: a look at points all over it, then climbs from the best of them.

use rand_chacha::ChaCha12Rng;

use crate::candidates::step;
use crate::committee::{Committee, Member, Model};
use crate::gp::minimize;
use crate::improvement::log_expected_improvement_with_slopes;
use crate::multi::log_sum;
use crate::sequence::Recurrence;

/// Quasi-random points of the region, and neighbours of the best measured points, among which climbs start.
const SPREAD: usize = 384;
const GOOD_POINTS: usize = 6;
const NEIGHBOURS: usize = 36;
/// Starts of the climb.
const CLIMBS: usize = 4;
/// Iterations of one climb and the gain at which it ends: ln EI known to 1e-6 is far finer than the models.
const EFFORT: (usize, f64) = (40, 1e-7);

/// Half of the difference by which the slope of a cost is taken.
const COST_STEP: f64 = 1e-5;

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

/// Where climbs may start: points all over the region, and neighbours of the best measured points.
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

/// The point of the largest expected improvement that climbs from the best candidates reach. Points for which `taken` is
/// true are passed over. The improvement is expected under the mixture of the committee's processes, ln Σ weight · EI: a
/// member that sees a chance is heard, which the mean of logarithms would not do.
pub(super) fn climb(
    committee: &Committee,
    region: &dyn Region,
    candidates: &[Vec<f64>],
    log_cost: Option<super::LogCost<'_>>,
    taken: &dyn Fn(&[f64]) -> bool,
) -> Option<Vec<f64>> {
    let scores = scores(committee, candidates, log_cost);
    let mut order: Vec<usize> = (0..candidates.len()).filter(|at| !taken(&candidates[*at])).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let first = *order.first()?;
    let uphill = |x: &[f64]| {
        let (value, slope) = slopes(committee, log_cost, x);
        value.is_finite().then(|| (-value, slope.iter().map(|slope| -slope).collect()))
    };
    let bounds = vec![(0.0, 1.0); region.dimensions()];
    let mut best = (scores[first], candidates[first].clone());
    for start in order.into_iter().take(CLIMBS) {
        let Some((top, _)) = minimize(uphill, &candidates[start], &bounds, EFFORT) else { continue };
        let Some(top) = region.repair(&top).filter(|top| !taken(top)) else { continue };
        let reached = slopes(committee, log_cost, &top).0;
        if reached > best.0 {
            best = (reached, top);
        }
    }
    Some(best.1)
}

/// What is climbed, at many points at once.
fn scores(committee: &Committee, candidates: &[Vec<f64>], log_cost: Option<super::LogCost<'_>>) -> Vec<f64> {
    let rows: Vec<f64> = candidates.iter().flatten().copied().collect();
    let mut gains: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    let mut predicted = Vec::new();
    let votes = |member: &&Member| member.weight > 0.0;
    // A forest has no slopes: it counts where it is alone.
    let sloped = committee.members.iter().filter(votes).any(has_slopes);
    for member in committee.members.iter().filter(votes).filter(|member| !sloped || has_slopes(member)) {
        member.predict_rows(&rows, &mut predicted);
        for (gains, at) in gains.iter_mut().zip(&predicted) {
            gains.push(member.weight.ln() + member.log_gain(*at));
        }
    }
    let cost = |x: &Vec<f64>| log_cost.map_or(0.0, |log_cost| log_cost(x));
    gains.iter().zip(candidates).map(|(gains, x)| log_sum(gains) - cost(x)).collect()
}

fn has_slopes(member: &Member) -> bool {
    !matches!(member.model, Model::Forest(_))
}

/// What is climbed at a point, and its slope.
fn slopes(committee: &Committee, log_cost: Option<super::LogCost<'_>>, x: &[f64]) -> (f64, Vec<f64>) {
    let mut gains = Vec::new();
    let mut steps: Vec<Vec<f64>> = Vec::new();
    for member in committee.members.iter().filter(|member| member.weight > 0.0) {
        let Some(at) = member.predict_with_slopes(x) else { continue };
        let (gain, by_mean, by_sd) = log_expected_improvement_with_slopes(at.mean, at.sd, member.best);
        gains.push(member.weight.ln() + gain);
        steps.push(at.mean_slope.iter().zip(&at.sd_slope).map(|(mean, sd)| by_mean * mean + by_sd * sd).collect());
    }
    let mut value = log_sum(&gains);
    let mut slope = vec![0.0; x.len()];
    for (gain, step) in gains.iter().zip(&steps) {
        let share = (gain - value).exp();
        slope.iter_mut().zip(step).for_each(|(slope, step)| *slope += share * step);
    }
    if let Some(log_cost) = log_cost {
        value -= log_cost(x);
        let mut moved = x.to_vec();
        for (at, slope) in slope.iter_mut().enumerate() {
            moved[at] = x[at] + COST_STEP;
            let above = log_cost(&moved);
            moved[at] = x[at] - COST_STEP;
            *slope -= (above - log_cost(&moved)) / (2.0 * COST_STEP);
            moved[at] = x[at];
        }
    }
    (value, slope)
}

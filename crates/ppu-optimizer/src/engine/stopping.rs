//! When to stop: what one more experiment is worth, and how sure the best is the best.

use serde::{Deserialize, Serialize};

use crate::committee::Committee;
use crate::engine::LogCost;
use crate::normal::quantile;
use crate::sequence::{Purpose, stream};

/// Posterior paths; more are drawn while the verdict is open.
const PATHS: [usize; 3] = [32, 64, 128];

/// What the stopping rules say. Which of them may stop a campaign is for people to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopping {
    /// Largest expected improvement among the candidates, in the unit of the values.
    pub gain: f64,
    /// Whether no candidate's expected improvement reaches its cost (the Pandora rule; arXiv 2507.12453).
    pub gain_below_cost: bool,
    /// Share of posterior paths on which no candidate is better than the best measured point by more than ε: the
    /// probability of being within ε of the best (Wilson, arXiv 2402.16811).
    pub probability_within: f64,
    /// 95 % interval of that probability, after Wilson's score: it is a count of paths.
    pub interval: (f64, f64),
    /// Whether the interval lies above the wanted confidence.
    pub within_epsilon: bool,
    /// max (μ + 2σ) − max over measured points of (μ − 2σ): a bound of the regret (Makarova et al., AutoML 2022).
    pub regret_bound: f64,
}

/// The rules for a fitted committee and a set of candidates, coordinates one after the other. `cost` is the logarithm of an
/// experiment's cost in units of the value, `epsilon` the regret that does not matter, `confidence` what
/// [`Stopping::within_epsilon`] asks for. `key` is (seed, step). `None` where there is no candidate or no process votes.
pub fn stopping(
    committee: &Committee,
    candidates: &[f64],
    cost: LogCost<'_>,
    (epsilon, confidence): (f64, f64),
    key: (u64, u64),
) -> Option<Stopping> {
    let dimensions = committee.dimensions();
    let (process, best) = committee.strongest_process()?;
    let mut predicted = Vec::new();
    process.predict_rows(candidates, &mut predicted);
    let gains = predicted.iter().map(|(mean, sd)| crate::improvement::log_expected_improvement(*mean, *sd, best));
    let gains: Vec<f64> = gains.collect();
    let gain = gains.iter().copied().reduce(f64::max)?.exp();
    let worth = |(row, gain): (&[f64], &f64)| *gain > cost(row);
    let gain_below_cost = !candidates.chunks_exact(dimensions).zip(&gains).any(worth);
    let mut measured = Vec::new();
    process.predict_rows(&committee.readings.x, &mut measured);
    let upper = predicted.iter().chain(&measured).map(|(mean, sd)| mean + 2.0 * sd).fold(f64::NEG_INFINITY, f64::max);
    let lower = measured.iter().map(|(mean, sd)| mean - 2.0 * sd).fold(f64::NEG_INFINITY, f64::max);
    let top = (0..measured.len()).reduce(|a, b| if measured[b].0 > measured[a].0 { b } else { a })?;
    // Only candidates that could be better on some path need to be drawn.
    let hopeful: Vec<&[f64]> = candidates
        .chunks_exact(dimensions)
        .zip(&predicted)
        .filter(|(_, (mean, sd))| mean + 4.0 * sd > measured[top].0)
        .map(|(row, _)| row)
        .collect();
    let mut rng = stream(key.0, key.1, Purpose::Paths);
    let (mut drawn, mut within) = (0, 0);
    let mut interval = (0.0, 1.0);
    for wanted in PATHS {
        while drawn < wanted {
            let path = process.path(&mut rng);
            let here = path.value(committee.readings.point(top)) + epsilon;
            within += usize::from(!hopeful.iter().any(|row| path.value(row) > here));
            drawn += 1;
        }
        interval = wilson(within as f64, drawn as f64);
        if interval.0 > confidence || interval.1 < confidence {
            break;
        }
    }
    Some(Stopping {
        gain,
        gain_below_cost,
        probability_within: within as f64 / drawn as f64,
        interval,
        within_epsilon: interval.0 > confidence,
        regret_bound: upper - lower,
    })
}

/// Wilson's score interval of a proportion at 95 %.
fn wilson(successes: f64, count: f64) -> (f64, f64) {
    let z = quantile(0.975);
    let share = successes / count;
    let middle = (share + z * z / (2.0 * count)) / (1.0 + z * z / count);
    let half = z / (1.0 + z * z / count) * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

//! Which coordinates matter: Sobol indices of what the model believes, with their uncertainty.

use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::committee::Committee;
use crate::gp::Path;
use crate::sequence::{Purpose, Recurrence, stream};

/// Quasi-random pairs of points for the posterior mean, and for each path.
const MEAN_POINTS: usize = 1024;
const PATH_POINTS: usize = 128;
/// Posterior paths for the intervals.
const PATHS: usize = 12;

/// How much of the variation of the value one coordinate explains over the unit cube.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// First-order Sobol index of the posterior mean: alone.
    pub first: f64,
    /// Total Sobol index of the posterior mean: with all its interactions.
    pub total: f64,
    /// Smallest and largest total index over posterior paths.
    pub range: (f64, f64),
    /// Whether the range leaves out "no effect" (a total index below 0.02).
    pub identifiable: bool,
}

/// Sobol indices of every coordinate (Saltelli et al., Comput. Phys. Commun. 181, 259 (2010)) for the process with the most
/// votes; empty where none votes. `key` is (seed, step). Not 1/ℓ: a short length scale of a small ripple is no effect.
pub fn sensitivities(committee: &Committee, key: (u64, u64)) -> Vec<Sensitivity> {
    let Some((process, _)) = committee.strongest_process() else { return Vec::new() };
    let dimensions = committee.dimensions();
    let mut rng = stream(key.0, key.1, Purpose::Paths);
    let mean = indices(dimensions, MEAN_POINTS, &mut rng, |rows| {
        let mut predicted = Vec::new();
        process.predict_rows(rows, &mut predicted);
        predicted.into_iter().map(|(mean, _)| mean).collect()
    });
    let paths: Vec<Path> = (0..PATHS).map(|_| process.path(&mut rng)).collect();
    let drawn: Vec<Vec<(f64, f64)>> = paths
        .iter()
        .map(|path| {
            let value = |rows: &[f64]| rows.chunks_exact(dimensions).map(|row| path.value(row)).collect();
            indices(dimensions, PATH_POINTS, &mut rng, value)
        })
        .collect();
    let one = |at: usize| {
        let totals = drawn.iter().map(|path| path[at].1);
        let range =
            totals.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), total| (low.min(total), high.max(total)));
        Sensitivity { first: mean[at].0, total: mean[at].1, range, identifiable: range.0 > 0.02 }
    };
    (0..dimensions).map(one).collect()
}

/// First-order and total index of every coordinate.
fn indices(
    dimensions: usize,
    count: usize,
    rng: &mut ChaCha12Rng,
    value: impl Fn(&[f64]) -> Vec<f64>,
) -> Vec<(f64, f64)> {
    let sequence = Recurrence::new(2 * dimensions, rng);
    let pairs: Vec<Vec<f64>> = (0..count).map(|at| sequence.point(at)).collect();
    let first: Vec<f64> = pairs.iter().flat_map(|pair| pair[..dimensions].iter().copied()).collect();
    let second: Vec<f64> = pairs.iter().flat_map(|pair| pair[dimensions..].iter().copied()).collect();
    let (a, b) = (value(&first), value(&second));
    let mean = a.iter().chain(&b).sum::<f64>() / (2 * count) as f64;
    let variance = a.iter().chain(&b).map(|value| (value - mean).powi(2)).sum::<f64>() / (2 * count) as f64;
    let one = |coordinate: usize| {
        let mut mixed = first.clone();
        for at in 0..count {
            mixed[at * dimensions + coordinate] = second[at * dimensions + coordinate];
        }
        let c = value(&mixed);
        let alone = (0..count).map(|at| (b[at] - mean) * (c[at] - a[at])).sum::<f64>() / count as f64;
        let total = (0..count).map(|at| (a[at] - c[at]).powi(2)).sum::<f64>() / (2 * count) as f64;
        let share = |part: f64| if variance > 0.0 { (part / variance).clamp(0.0, 1.0) } else { 0.0 };
        (share(alone), share(total))
    };
    (0..dimensions).map(one).collect()
}

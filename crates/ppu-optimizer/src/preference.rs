//! What people prefer, learnt from comparisons: a Gaussian process with a probit likelihood of differences and Laplace's
//! approximation (Chu and Ghahramani, ICML 2005).
//!
//! A comparison says that f(better) − f(worse) is above a normal error. At its mode Laplace's approximation is a Gaussian
//! process that has observed the differences with a value and a variance each, which is the form that is kept.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::belief::{Belief, Look};
use crate::gp::matern;
use crate::normal::{inverse_mills, log_cumulative};

/// Length scales that are compared by their evidence, in units of √d, and ln of their prior weights: people's tastes are
/// broad.
const LENGTHS: [(f64, f64); 4] = [(0.15, -1.0), (0.3, 0.0), (0.6, 0.0), (1.2, -0.5)];
/// Prior variances of the utility, in units of the variance of the error of a comparison.
const SIGNALS: [f64; 3] = [2.0, 8.0, 32.0];
/// Steps of Newton's method; it converges in less than ten.
const STEPS: usize = 50;

/// A fitted utility. Its unit is the error of one comparison; only differences mean something.
#[derive(Debug, Clone)]
pub(crate) struct PreferenceModel {
    rows: Vec<Vec<f64>>,
    pairs: Vec<(usize, usize)>,
    signal: f64,
    inverse_square: f64,
    root: Cholesky<f64, Dyn>,
    weights: DVector<f64>,
}

impl PreferenceModel {
    /// Learns from pairs (better, worse) of indices into `rows`; `None` without any.
    pub(crate) fn fit(rows: &[Vec<f64>], pairs: &[(usize, usize)]) -> Option<PreferenceModel> {
        let dimensions = rows.first()?.len() as f64;
        if pairs.is_empty() {
            return None;
        }
        // Only what was compared matters.
        let mut used: Vec<usize> = pairs.iter().flat_map(|(better, worse)| [*better, *worse]).collect();
        used.sort_unstable();
        used.dedup();
        let place = |index: usize| used.binary_search(&index).unwrap_or(0);
        let pairs: Vec<(usize, usize)> = pairs.iter().map(|(better, worse)| (place(*better), place(*worse))).collect();
        let rows: Vec<Vec<f64>> = used.iter().map(|at| rows[*at].clone()).collect();
        let mut best: Option<(f64, PreferenceModel)> = None;
        for (length, weight) in LENGTHS {
            for signal in SIGNALS {
                let inverse_square = 1.0 / (length * length * dimensions);
                let Some((evidence, model)) = laplace(&rows, &pairs, signal, inverse_square) else { continue };
                if best.as_ref().is_none_or(|(highest, _)| evidence + weight > *highest) {
                    best = Some((evidence + weight, model));
                }
            }
        }
        best.map(|(_, model)| model)
    }

    fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        covariance(a, b, self.signal, self.inverse_square)
    }
}

fn covariance(a: &[f64], b: &[f64], signal: f64, inverse_square: f64) -> f64 {
    signal * matern(a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() * inverse_square)
}

/// ln of the evidence, and the model at the mode.
fn laplace(
    rows: &[Vec<f64>],
    pairs: &[(usize, usize)],
    signal: f64,
    inverse_square: f64,
) -> Option<(f64, PreferenceModel)> {
    let count = pairs.len();
    let kernel = |i: usize, j: usize| covariance(&rows[i], &rows[j], signal, inverse_square);
    // Covariance of the differences.
    let differences = DMatrix::from_fn(count, count, |p, q| {
        let ((a, b), (c, d)) = (pairs[p], pairs[q]);
        kernel(a, c) - kernel(a, d) - kernel(b, c) + kernel(b, d)
    });
    let mut latent: DVector<f64> = DVector::zeros(count);
    let mut fitted = None;
    for _ in 0..STEPS {
        let slope = latent.map(inverse_mills);
        let curvature = DVector::from_fn(count, |p, _| (slope[p] * (latent[p] + slope[p])).max(1e-10));
        let observed = DVector::from_fn(count, |p, _| latent[p] + slope[p] / curvature[p]);
        let mut covariance = differences.clone();
        (0..count).for_each(|p| covariance[(p, p)] += 1.0 / curvature[p]);
        let root = Cholesky::new(covariance)?;
        let weights = root.solve(&observed);
        let next = &differences * &weights;
        let change = (&next - &latent).amax();
        latent = next;
        fitted = Some((root, weights, curvature));
        if change < 1e-9 {
            break;
        }
    }
    let (root, weights, curvature) = fitted?;
    let likelihood: f64 = latent.iter().map(|z| log_cumulative(*z)).sum();
    let log_determinant: f64 = root.l_dirty().diagonal().iter().map(|x| 2.0 * x.ln()).sum::<f64>()
        + curvature.iter().map(|w| w.ln()).sum::<f64>();
    let evidence = likelihood - 0.5 * weights.dot(&latent) - 0.5 * log_determinant;
    let (rows, pairs) = (rows.to_vec(), pairs.to_vec());
    Some((evidence, PreferenceModel { rows, pairs, signal, inverse_square, root, weights }))
}

impl Belief for PreferenceModel {
    fn look(&self, point: &[f64]) -> Look {
        let k: Vec<f64> = self.rows.iter().map(|row| self.covariance(row, point)).collect();
        let cross =
            DVector::from_iterator(self.pairs.len(), self.pairs.iter().map(|(better, worse)| k[*better] - k[*worse]));
        let mean = cross.dot(&self.weights);
        let whitened = self.root.l_dirty().solve_lower_triangular(&cross).unwrap_or(cross);
        let variance = (self.signal - whitened.norm_squared()).max(1e-12 * self.signal);
        Look { mean, variance, whitened: whitened.iter().copied().collect() }
    }

    fn prior(&self, a: &[f64], b: &[f64]) -> f64 {
        self.covariance(a, b)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha12Rng;

    use super::*;

    #[test]
    fn comparisons_teach_the_order_of_things() {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let taste = |x: &[f64]| -((x[0] - 0.7).powi(2) + 0.5 * (x[1] - 0.2).powi(2));
        let rows: Vec<Vec<f64>> = (0..25).map(|_| vec![rng.random::<f64>(), rng.random::<f64>()]).collect();
        let pairs: Vec<(usize, usize)> = (0..40)
            .map(|_| (rng.random_range(0..25), rng.random_range(0..25)))
            .filter(|(a, b)| a != b)
            .map(|(a, b)| if taste(&rows[a]) > taste(&rows[b]) { (a, b) } else { (b, a) })
            .collect();
        let model = PreferenceModel::fit(&rows, &pairs).unwrap();
        let (mut right, mut all) = (0, 0);
        for _ in 0..200 {
            let (a, b) = ([rng.random::<f64>(), rng.random::<f64>()], [rng.random::<f64>(), rng.random::<f64>()]);
            right += usize::from((model.look(&a).mean > model.look(&b).mean) == (taste(&a) > taste(&b)));
            all += 1;
        }
        assert!(f64::from(right as u32) / f64::from(all) > 0.85, "{right} of {all}");
        assert!(PreferenceModel::fit(&rows, &[]).is_none());
    }

    #[test]
    fn contradictory_answers_are_no_contradiction() {
        let rows = vec![vec![0.2], vec![0.8]];
        let model = PreferenceModel::fit(&rows, &[(0, 1), (1, 0)]).unwrap();
        assert!((model.look(&[0.2]).mean - model.look(&[0.8]).mean).abs() < 1e-6);
        let model = PreferenceModel::fit(&rows, &[(0, 1), (0, 1), (0, 1)]).unwrap();
        let (a, b) = (model.look(&[0.2]), model.look(&[0.8]));
        assert!(a.mean > b.mean + 0.5 && a.variance > 0.0);
    }
}

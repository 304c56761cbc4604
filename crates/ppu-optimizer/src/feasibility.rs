//! Where trials fail: a Gaussian-process classifier with probit link and Laplace's approximation (Rasmussen and Williams
//! 2006, chapter 3). Refitted from the record every time, so a mistaken failure can be taken back.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::gp::matern;
use crate::normal::{cumulative, inverse_mills, quantile};

/// Share of trials that succeed, believed before any data: without failures there is no effect.
const PRIOR_SHARE: f64 = 0.9;
/// Length scale in units of √d: regions of failure are broad, and few labels cannot show more.
const LENGTH: f64 = 0.25;
/// Prior variance of the latent function.
const SIGNAL: f64 = 2.0;

/// A fitted classifier.
#[derive(Debug, Clone)]
pub(crate) struct Feasibility {
    x: Vec<Vec<f64>>,
    inverse_square_length: f64,
    mean: f64,
    gradient: DVector<f64>,
    root_weight: DVector<f64>,
    factor: Cholesky<f64, Dyn>,
}

impl Feasibility {
    /// Learns from points that succeeded (`true`) or failed. `None` without any failure: every probability is then 1.
    pub(crate) fn fit(x: Vec<Vec<f64>>, success: &[bool]) -> Option<Feasibility> {
        if success.iter().all(|success| *success) {
            return None;
        }
        let (count, dimensions) = (x.len(), x.first()?.len() as f64);
        let inverse_square_length = 1.0 / (LENGTH * LENGTH * dimensions);
        // Averaged over the latent prior, the probability without data is then the prior share.
        let mean = quantile(PRIOR_SHARE) * (1.0 + SIGNAL).sqrt();
        let kernel = DMatrix::from_fn(count, count, |i, j| covariance(&x[i], &x[j], inverse_square_length));
        let mut latent = DVector::zeros(count);
        let mut fitted = None;
        for _ in 0..50 {
            let (gradient, weight) = slopes(&latent, success, mean);
            let root_weight: DVector<f64> = weight.map(f64::sqrt);
            let scaled = DMatrix::from_fn(count, count, |i, j| {
                let identity = if i == j { 1.0 } else { 0.0 };
                identity + root_weight[i] * kernel[(i, j)] * root_weight[j]
            });
            // B = I + w½ K w½ has eigenvalues above 1: it can always be factored.
            let factor = Cholesky::new(scaled)?;
            let b = weight.component_mul(&latent) + &gradient;
            let inner = factor.solve(&root_weight.component_mul(&(&kernel * &b)));
            let a = &b - root_weight.component_mul(&inner);
            let next = &kernel * a;
            let change = (&next - &latent).amax();
            latent = next;
            fitted = Some((root_weight, factor));
            if change < 1e-9 {
                break;
            }
        }
        let (root_weight, factor) = fitted?;
        let (gradient, _) = slopes(&latent, success, mean);
        Some(Feasibility { x, inverse_square_length, mean, gradient, root_weight, factor })
    }

    /// Probability that a trial at a point succeeds: Φ((m₀ + kᵀg)/√(1 + s²)).
    pub(crate) fn probability(&self, point: &[f64]) -> f64 {
        let k = DVector::from_iterator(
            self.x.len(),
            self.x.iter().map(|x| covariance(x, point, self.inverse_square_length)),
        );
        let weighted = self.root_weight.component_mul(&k);
        let explained = weighted.dot(&self.factor.solve(&weighted));
        let variance = (SIGNAL - explained).max(0.0);
        cumulative((self.mean + k.dot(&self.gradient)) / (1.0 + variance).sqrt())
    }
}

fn covariance(a: &[f64], b: &[f64], inverse_square_length: f64) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    SIGNAL * matern(square * inverse_square_length)
}

/// Gradient and negative curvature of the log likelihood.
fn slopes(latent: &DVector<f64>, success: &[bool], mean: f64) -> (DVector<f64>, DVector<f64>) {
    let sign = |success: bool| if success { 1.0 } else { -1.0 };
    let each = |i: usize| {
        let z = sign(success[i]) * (latent[i] + mean);
        let r = inverse_mills(z);
        (sign(success[i]) * r, (r * (z + r)).max(1e-12))
    };
    let count = success.len();
    (DVector::from_fn(count, |i, _| each(i).0), DVector::from_fn(count, |i, _| each(i).1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_teach_their_neighbourhood_and_nothing_else() {
        let x: Vec<Vec<f64>> = (0..10).map(|at| vec![f64::from(at) / 9.0]).collect();
        let success: Vec<bool> = x.iter().map(|x| x[0] < 0.6).collect();
        let classifier = Feasibility::fit(x.clone(), &success).unwrap();
        assert!(classifier.probability(&[0.1]) > 0.9);
        assert!(classifier.probability(&[0.9]) < 0.3, "{}", classifier.probability(&[0.9]));
        assert!(Feasibility::fit(x, &[true; 10]).is_none());
        let single = Feasibility::fit(vec![vec![0.5, 0.5]], &[false]).unwrap();
        let (here, away) = (single.probability(&[0.5, 0.5]), single.probability(&[0.0, 0.0]));
        assert!(here < 0.7 && away > 0.75 && away < 0.9, "{here} {away}");
    }
}

//! Where trials fail: a Gaussian-process classifier with probit link and Laplace's approximation (Rasmussen and Williams
//! 2006, chapter 3). Refitted from the record every time, so a mistaken failure can be taken back.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::gp::matern;
use crate::normal::{cumulative, inverse_mills, log_cumulative, quantile};

/// Share of trials that succeed, believed before any data: without failures there is no effect.
const PRIOR_SHARE: f64 = 0.9;
/// Length scales in units of √d that are compared by their evidence, with ln of their prior weights: regions of failure are
/// broad, and few labels cannot show more.
const LENGTHS: [(f64, f64); 4] = [(0.12, -1.0), (0.25, 0.0), (0.5, -0.3), (1.0, -1.0)];
/// Prior variances of the latent function: soft borders and hard ones.
const SIGNALS: [(f64, f64); 3] = [(2.0, 0.0), (8.0, -0.3), (32.0, -1.0)];
/// Factors by which the length scale of single coordinates is tried, and their cost: a border often runs along some.
const STRETCH: [f64; 2] = [0.4, 4.0];
const STRETCH_COST: f64 = 1.0;
/// Labels below which, and above which, single coordinates are not told apart: too few to show it, or too costly.
const ENOUGH: std::ops::RangeInclusive<usize> = 8..=120;
/// Steps of Newton's method; it converges in less than ten.
const STEPS: usize = 50;

/// A fitted classifier.
#[derive(Debug, Clone)]
pub(crate) struct Feasibility {
    x: Vec<Vec<f64>>,
    kernel: Kernel,
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
        let dimensions = x.first()?.len();
        let mut best: Option<(f64, Feasibility)> = None;
        let consider = |kernel: Kernel, weight: f64, best: &mut Option<(f64, Feasibility)>| {
            if let Some((evidence, found)) = laplace(&x, success, kernel)
                && best.as_ref().is_none_or(|(highest, _)| evidence + weight > *highest + 1e-9)
            {
                *best = Some((evidence + weight, found));
            }
        };
        for (length, weight) in LENGTHS {
            for (signal, other) in SIGNALS {
                let inverse_square = vec![1.0 / (length * length * dimensions as f64); dimensions];
                consider(Kernel { signal, inverse_square }, weight + other, &mut best);
            }
        }
        if ENOUGH.contains(&success.len()) && dimensions <= 12 {
            let mut spent = 0.0;
            for at in 0..dimensions {
                let Some((_, here)) = best.clone() else { break };
                for stretch in STRETCH {
                    let mut kernel = here.kernel.clone();
                    kernel.inverse_square[at] /= stretch * stretch;
                    consider(kernel, -spent - STRETCH_COST, &mut best);
                }
                if best.as_ref().is_some_and(|(_, now)| now.kernel.inverse_square != here.kernel.inverse_square) {
                    spent += STRETCH_COST;
                }
            }
        }
        best.map(|(_, found)| found)
    }

    /// Probability that a trial at a point succeeds: Φ((m₀ + kᵀg)/√(1 + s²)).
    pub(crate) fn probability(&self, point: &[f64]) -> f64 {
        let k = DVector::from_iterator(self.x.len(), self.x.iter().map(|x| self.kernel.covariance(x, point)));
        let weighted = self.root_weight.component_mul(&k);
        let explained = weighted.dot(&self.factor.solve(&weighted));
        let variance = (self.kernel.signal - explained).max(0.0);
        cumulative((self.mean + k.dot(&self.gradient)) / (1.0 + variance).sqrt())
    }
}

#[derive(Debug, Clone)]
struct Kernel {
    signal: f64,
    inverse_square: Vec<f64>,
}

impl Kernel {
    fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        let square: f64 =
            a.iter().zip(b).zip(&self.inverse_square).map(|((a, b), weight)| (a - b).powi(2) * weight).sum();
        self.signal * matern(square)
    }
}

/// ln of the evidence by Laplace's approximation, and the classifier at its mode.
fn laplace(x: &[Vec<f64>], success: &[bool], kernel: Kernel) -> Option<(f64, Feasibility)> {
    let count = x.len();
    // Averaged over the latent prior, the probability without data is then the prior share.
    let mean = quantile(PRIOR_SHARE) * (1.0 + kernel.signal).sqrt();
    let covariance = DMatrix::from_fn(count, count, |i, j| kernel.covariance(&x[i], &x[j]));
    let mut latent = DVector::zeros(count);
    let mut fitted = None;
    for _ in 0..STEPS {
        let (gradient, weight) = slopes(&latent, success, mean);
        let root_weight: DVector<f64> = weight.map(f64::sqrt);
        let scaled = DMatrix::from_fn(count, count, |i, j| {
            let identity = if i == j { 1.0 } else { 0.0 };
            identity + root_weight[i] * covariance[(i, j)] * root_weight[j]
        });
        // B = I + w½ K w½ has eigenvalues above 1: it can always be factored.
        let factor = Cholesky::new(scaled)?;
        let b = weight.component_mul(&latent) + &gradient;
        let inner = factor.solve(&root_weight.component_mul(&(&covariance * &b)));
        let a = &b - root_weight.component_mul(&inner);
        let next = &covariance * &a;
        let change = (&next - &latent).amax();
        latent = next;
        fitted = Some((root_weight, factor, a));
        if change < 1e-9 {
            break;
        }
    }
    let (root_weight, factor, a) = fitted?;
    let (gradient, _) = slopes(&latent, success, mean);
    let sign = |success: bool| if success { 1.0 } else { -1.0 };
    let likelihood: f64 = (0..count).map(|i| log_cumulative(sign(success[i]) * (latent[i] + mean))).sum();
    let half_log_determinant: f64 = factor.l_dirty().diagonal().iter().map(|x| x.ln()).sum();
    let evidence = likelihood - 0.5 * a.dot(&latent) - half_log_determinant;
    let x = x.to_vec();
    Some((evidence, Feasibility { x, kernel, mean, gradient, root_weight, factor }))
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

//! Hyperparameters: their priors, the log posterior with its gradient, and the search for its mode.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::gp::kernel::{Kernel, matern_with_slope};
use crate::gp::minimize::{Evaluated, minimize};

/// Iterations of one start, and the relative decrease at which it ends. A log posterior known to 1e-5 is far finer than
/// the data can tell; a handful of variables converges in 10 to 30 iterations.
const EFFORT: (usize, f64) = (60, 1e-6);
/// Relative diagonal that is always added, and the largest one tried before the data are given up.
const JITTER: (f64, f64) = (1e-8, 1e-4);
/// Bounds of ln ℓ in unit coordinates, of ln σ_f² and of ln σ_n² in units of the standardised values.
const LENGTH: (f64, f64) = (-4.0, 4.0);
const SIGNAL: (f64, f64) = (-4.6, 4.6);
const NOISE: (f64, f64) = (-13.8, 0.0);

/// Logarithms of the hyperparameters; coordinates in the unit cube, values standardised.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// ln ℓ of every dimension.
    pub log_length: Vec<f64>,
    /// ln σ_f².
    pub log_signal: f64,
    /// ln σ_n², beyond the known variances.
    pub log_noise: f64,
}

impl Hyperparameters {
    fn from_slice(theta: &[f64]) -> Hyperparameters {
        let dimensions = theta.len() - 2;
        let log_length = theta[..dimensions].to_vec();
        Hyperparameters { log_length, log_signal: theta[dimensions], log_noise: theta[dimensions + 1] }
    }

    /// σ_f².
    pub fn signal(&self) -> f64 {
        self.log_signal.exp()
    }

    /// σ_n².
    pub fn noise(&self) -> f64 {
        self.log_noise.exp()
    }

    pub(crate) fn kernel(&self) -> Kernel {
        let inverse_square = self.log_length.iter().map(|log| (-2.0 * log).exp()).collect();
        Kernel { signal: self.signal(), inverse_square }
    }
}

/// The factored covariance of the data, with as little jitter as it takes; `None` if the largest is not enough.
pub(crate) fn factor(x: &[Vec<f64>], variances: &[f64], hyper: &Hyperparameters) -> Option<Cholesky<f64, Dyn>> {
    let (count, kernel) = (x.len(), hyper.kernel());
    let mut covariance =
        DMatrix::from_fn(count, count, |i, j| if i < j { 0.0 } else { kernel.covariance(&x[i], &x[j]) });
    let diagonal: Vec<f64> = (0..count).map(|i| hyper.signal() + hyper.noise() + variances[i]).collect();
    let mut jitter = JITTER.0;
    loop {
        for (i, value) in diagonal.iter().enumerate() {
            covariance[(i, i)] = value + jitter * hyper.signal();
        }
        // Only the lower triangle is read.
        if let Some(cholesky) = Cholesky::new(covariance.clone()) {
            return Some(cholesky);
        }
        jitter *= 10.0;
        if jitter > JITTER.1 * 1.5 {
            return None;
        }
    }
}

/// Negative log posterior density of the hyperparameters `[ln ℓ…, ln σ_f², ln σ_n²]` and its gradient:
/// F = ½ yᵀa + Σ ln L_ii + (n/2) ln 2π − ln prior, ∂F/∂θ = ½ Σ W_ij ∂C_ij/∂θ with W = C⁻¹ − aaᵀ. The values are
/// standardised, the mean is 0. `None` where the covariance cannot be factored.
///
/// Prior: the dimension-scaled one of Hvarfner et al., ICML 2024, ln ℓ ~ N(√2 + ½ ln d, 3), its density taken in ℓ;
/// ln σ_f² ~ N(0, 1) because values are standardised; ln σ_n² ~ N(−4, 1).
pub fn negative_log_posterior(x: &[Vec<f64>], y: &[f64], variances: &[f64], theta: &[f64]) -> Evaluated {
    let hyper = Hyperparameters::from_slice(theta);
    let (count, dimensions) = (x.len(), hyper.log_length.len());
    let cholesky = factor(x, variances, &hyper)?;
    let a = cholesky.solve(&DVector::from_column_slice(y));
    let log_determinant: f64 = cholesky.l_dirty().diagonal().iter().map(|value| value.ln()).sum();
    let fit: f64 = a.iter().zip(y).map(|(a, y)| a * y).sum();
    let mut value = 0.5 * fit + log_determinant + 0.5 * count as f64 * (2.0 * std::f64::consts::PI).ln();
    let inverse = cholesky.inverse();
    let kernel = hyper.kernel();
    let mut gradient = vec![0.0; dimensions + 2];
    for i in 0..count {
        let diagonal = inverse[(i, i)] - a[i] * a[i];
        gradient[dimensions] += 0.5 * diagonal * hyper.signal() * (1.0 + JITTER.0);
        gradient[dimensions + 1] += 0.5 * diagonal * hyper.noise();
        for j in 0..i {
            let weight = (inverse[(i, j)] - a[i] * a[j]) * hyper.signal();
            let (correlation, slope) = matern_with_slope(kernel.square(&x[i], &x[j]));
            gradient[dimensions] += weight * correlation;
            for k in 0..dimensions {
                gradient[k] += weight * slope * (x[i][k] - x[j][k]).powi(2) * kernel.inverse_square[k];
            }
        }
    }
    value += prior(&hyper, &mut gradient);
    value.is_finite().then_some((value, gradient))
}

/// Centre of ln ℓ.
fn length_centre(dimensions: usize) -> f64 {
    std::f64::consts::SQRT_2 + 0.5 * (dimensions as f64).ln()
}

/// −ln prior up to a constant; adds its gradient.
fn prior(hyper: &Hyperparameters, gradient: &mut [f64]) -> f64 {
    let dimensions = hyper.log_length.len();
    let centre = length_centre(dimensions);
    let mut value = 0.0;
    for (log, slope) in hyper.log_length.iter().zip(gradient.iter_mut()) {
        value += log + (log - centre).powi(2) / 6.0;
        *slope += 1.0 + (log - centre) / 3.0;
    }
    value += 0.5 * hyper.log_signal.powi(2) + 0.5 * (hyper.log_noise + 4.0).powi(2);
    gradient[dimensions] += hyper.log_signal;
    gradient[dimensions + 1] += hyper.log_noise + 4.0;
    value
}

/// The mode of the posterior from three starts: the prior's mode, short lengths with noise, long lengths without. Ties go
/// to the earlier start. `None` if the covariance cannot be factored at any of them.
pub(crate) fn mode(x: &[Vec<f64>], y: &[f64], variances: &[f64]) -> Option<(Hyperparameters, f64)> {
    let dimensions = x[0].len();
    let mode = length_centre(dimensions) - 3.0;
    let starts = [(mode, 0.0, -4.0), (mode - 1.0, 0.0, -2.0), (mode + 1.0, 0.0, -6.0)];
    let mut bounds = vec![LENGTH; dimensions];
    bounds.extend([SIGNAL, NOISE]);
    let mut best: Option<(Vec<f64>, f64)> = None;
    for (length, signal, noise) in starts {
        let mut start = vec![length; dimensions];
        start.extend([signal, noise]);
        let found = minimize(|theta| negative_log_posterior(x, y, variances, theta), &start, &bounds, EFFORT);
        if let Some((theta, value)) = found
            && best.as_ref().is_none_or(|(_, lowest)| value < *lowest - 1e-9)
        {
            best = Some((theta, value));
        }
    }
    best.map(|(theta, value)| (Hyperparameters::from_slice(&theta), value))
}

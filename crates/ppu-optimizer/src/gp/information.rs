//! What the data have taught: the information gained about the function over a set of reference points.

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::gp::{GaussianProcess, GpError};

/// The function is told apart to this share of its prior variance; without a resolution, points that the data pin down
/// exactly would carry infinite information.
const RESOLUTION: f64 = 1e-6;

impl GaussianProcess {
    /// KL(posterior ‖ prior) of the noise-free function at `reference`, in nats, with the fitted hyperparameters on both
    /// sides, so that a refit does not count as information:
    /// ½ [tr(S₀⁻¹S₁) + Δᵀ S₀⁻¹ Δ − m + ln(det S₀ / det S₁)].
    ///
    /// # Errors
    /// No reference point, or reference points too close together.
    pub fn information_gain(&self, reference: &[Vec<f64>]) -> Result<f64, GpError> {
        if reference.is_empty() {
            return Err(GpError::Empty);
        }
        let (readings, kernel, factor, _, centre, scale) = self.parts();
        let count = reference.len();
        let mut prior = DMatrix::from_fn(count, count, |i, j| kernel.covariance(&reference[i], &reference[j]));
        for i in 0..count {
            prior[(i, i)] += RESOLUTION * kernel.signal;
        }
        let cross = DMatrix::from_fn(readings.len(), count, |i, j| kernel.covariance(readings.point(i), &reference[j]));
        let solved = factor.lower_inverse() * cross;
        let posterior = &prior - solved.transpose() * solved;
        let mean: Vec<f64> = reference.iter().map(|point| (self.predict(point).0 - centre) / scale).collect();
        let mean = DVector::from_vec(mean);
        let too_close = || readings.too_close();
        let prior = Cholesky::new(prior).ok_or_else(too_close)?;
        let trace = prior.solve(&posterior).trace();
        let shift = mean.dot(&prior.solve(&mean));
        let posterior = Cholesky::new(posterior).ok_or_else(too_close)?;
        let log_determinant = |root: &DMatrix<f64>| 2.0 * root.diagonal().iter().map(|entry| entry.ln()).sum::<f64>();
        let ratio = log_determinant(prior.l_dirty()) - log_determinant(posterior.l_dirty());
        Ok((0.5 * (trace + shift - count as f64 + ratio)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gp::FitOptions;

    /// One Gaussian variable seen once: s₁ = s₀ v/(s₀ + v), Δ = s₀ y/(s₀ + v), in standardised units.
    #[test]
    fn agrees_with_a_conjugate_example() {
        let points = vec![vec![0.1], vec![0.9]];
        let process = GaussianProcess::fit_with(&points, &[0.0, 2.0], &[0.0, 0.0], FitOptions::default()).unwrap();
        let (hyper, at) = (process.hyperparameters(), vec![vec![0.1]]);
        let (signal, noise) = (hyper.signal(), hyper.noise());
        let apart = (5.0_f64).sqrt() * 0.8 / hyper.log_length[0].exp();
        let shared = signal * (1.0 + apart + apart * apart / 3.0) * (-apart).exp();
        // Two readings y = (−1, 1) after standardising by mean 1 and sd 1 (population).
        let (_, _, _, _, centre, scale) = process.parts();
        let y = DVector::from_vec(vec![(0.0 - centre) / scale, (2.0 - centre) / scale]);
        let c = DMatrix::from_row_slice(
            2,
            2,
            &[signal * (1.0 + 1e-8) + noise, shared, shared, signal * (1.0 + 1e-8) + noise],
        );
        let k = DVector::from_vec(vec![signal, shared]);
        let solved = c.clone().lu().solve(&k).unwrap();
        let s0 = signal * (1.0 + RESOLUTION);
        let (s1, mean) = (s0 - k.dot(&solved), y.dot(&solved));
        let expected = 0.5 * (s1 / s0 + mean * mean / s0 - 1.0 + (s0 / s1).ln());
        let found = process.information_gain(&at).unwrap();
        assert!((found - expected).abs() < 1e-6 * expected.max(1.0), "{found} {expected}");
    }

    #[test]
    fn more_data_tell_more_and_no_reference_is_refused() {
        let points: Vec<Vec<f64>> = (0..8).map(|at| vec![f64::from(at) / 7.0]).collect();
        let values: Vec<f64> = points.iter().map(|x| (5.0 * x[0]).sin()).collect();
        let all = GaussianProcess::fit(&points, &values, &[1e-4; 8]).unwrap();
        let few = all.with_observations(&points[..3], &values[..3], &[1e-4; 3]).unwrap();
        let reference: Vec<Vec<f64>> = (0..16).map(|at| vec![f64::from(at) / 15.0]).collect();
        let (many, less) = (all.information_gain(&reference).unwrap(), few.information_gain(&reference).unwrap());
        assert!(many > less && less > 0.0, "{many} {less}");
        assert_eq!(all.information_gain(&[]), Err(GpError::Empty));
    }
}

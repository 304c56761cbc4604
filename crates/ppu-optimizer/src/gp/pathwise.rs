//! Posterior paths by Matheron's rule (Wilson et al., ICML 2020): a prior path plus the correction that the data ask for.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::gp::GaussianProcess;
use crate::normal::quantile;

/// Random features of a prior path. The kernel they stand for is known to about 1/√M.
const FEATURES: usize = 1024;

/// One function drawn from the posterior; the same function wherever it is evaluated.
#[derive(Debug, Clone)]
pub struct Path {
    dimensions: usize,
    /// Frequencies, one row of `dimensions` a feature.
    frequencies: Vec<f64>,
    phases: Vec<f64>,
    amplitudes: Vec<f64>,
    /// C⁻¹ (y − f(X) − ε).
    correction: Vec<f64>,
    process: GaussianProcess,
}

impl GaussianProcess {
    /// A posterior path: f(·) + k(·, X) C⁻¹ (y − f(X) − ε), with the prior path f a sum of 1024 cosines whose frequencies
    /// follow the spectral density of the Matérn-5/2 kernel (a multivariate t distribution with 5 degrees of freedom).
    pub fn path(&self, rng: &mut ChaCha12Rng) -> Path {
        let (readings, kernel, factor, _, _, _) = self.parts();
        let dimensions = readings.dimensions;
        let mut path = Path {
            dimensions,
            frequencies: Vec::with_capacity(FEATURES * dimensions),
            phases: Vec::with_capacity(FEATURES),
            amplitudes: Vec::with_capacity(FEATURES),
            correction: Vec::new(),
            process: self.clone(),
        };
        let scale = (2.0 * kernel.signal / FEATURES as f64).sqrt();
        for _ in 0..FEATURES {
            let square: f64 = (0..5).map(|_| normal(rng).powi(2)).sum();
            let stretch = (5.0 / square.max(1e-12)).sqrt();
            for weight in &kernel.inverse_square {
                path.frequencies.push(normal(rng) * weight.sqrt() * stretch);
            }
            path.phases.push(rng.random::<f64>() * std::f64::consts::TAU);
            path.amplitudes.push(scale * normal(rng));
        }
        let noise = self.hyperparameters().noise();
        let residual: Vec<f64> = (0..readings.len())
            .map(|i| {
                let sd = ((noise + readings.variance[i]) / readings.count[i]).sqrt();
                readings.value[i] - path.prior(readings.point(i)) - sd * normal(rng)
            })
            .collect();
        path.correction = factor.solve(&residual);
        path
    }
}

impl Path {
    fn prior(&self, point: &[f64]) -> f64 {
        let features = self.frequencies.chunks_exact(self.dimensions).zip(&self.phases).zip(&self.amplitudes);
        features
            .map(|((frequency, phase), amplitude)| {
                let angle: f64 = frequency.iter().zip(point).map(|(w, x)| w * x).sum();
                amplitude * (angle + phase).cos()
            })
            .sum()
    }

    /// Value of the function at a point, in the unit of the values that were fitted.
    pub fn value(&self, point: &[f64]) -> f64 {
        let (readings, kernel, _, _, centre, scale) = self.process.parts();
        let data: f64 = self
            .correction
            .iter()
            .enumerate()
            .map(|(i, weight)| weight * kernel.covariance(readings.point(i), point))
            .sum();
        centre + scale * (self.prior(point) + data)
    }
}

fn normal(rng: &mut ChaCha12Rng) -> f64 {
    quantile(rng.random::<f64>().clamp(1e-16, 1.0 - 1e-16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn paths_have_the_moments_of_the_posterior() {
        let points: Vec<Vec<f64>> = (0..6).map(|at| vec![f64::from(at) / 5.0, f64::from((at * 3) % 6) / 5.0]).collect();
        let values: Vec<f64> = points.iter().map(|x| 10.0 + (4.0 * x[0]).sin() + x[1]).collect();
        let process = GaussianProcess::fit(&points, &values, &[0.01; 6]).unwrap();
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let paths: Vec<Path> = (0..400).map(|_| process.path(&mut rng)).collect();
        for point in [[0.3, 0.4], [0.0, 0.0], [0.9, 0.1]] {
            let (mean, variance) = process.predict(&point);
            let drawn: Vec<f64> = paths.iter().map(|path| path.value(&point)).collect();
            let average = drawn.iter().sum::<f64>() / 400.0;
            let spread = drawn.iter().map(|value| (value - average).powi(2)).sum::<f64>() / 399.0;
            // Four standard errors of a mean and of a variance of 400 draws.
            assert!((average - mean).abs() < 4.0 * (variance / 400.0).sqrt(), "{average} {mean}");
            assert!((spread / variance - 1.0).abs() < 4.0 * (2.0_f64 / 399.0).sqrt(), "{spread} {variance}");
        }
    }
}

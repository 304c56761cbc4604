//! The fitted process: predictions, joint samples, leave-one-out, believed points.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand_chacha::ChaCha12Rng;

use crate::gp::fit::{Hyperparameters, factor, mode};
use crate::gp::kernel::Kernel;
use crate::sequence::normals;

/// Predictive variance is never below this share of σ_f².
const LEAST_VARIANCE: f64 = 1e-12;

/// An exact Gaussian process with Matérn-5/2 kernel and fitted noise. Points are in the unit cube, values in their own
/// unit; they are standardised inside.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    x: Vec<Vec<f64>>,
    /// Standardised values.
    y: Vec<f64>,
    /// Known variances in standardised units.
    variances: Vec<f64>,
    centre: f64,
    scale: f64,
    hyper: Hyperparameters,
    kernel: Kernel,
    cholesky: Cholesky<f64, Dyn>,
    a: DVector<f64>,
    negative_log_posterior: f64,
}

/// The prediction of one observation from all others, measurement noise included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaveOneOut {
    /// What was observed.
    pub value: f64,
    /// Predicted mean without it.
    pub mean: f64,
    /// Predicted standard deviation without it.
    pub sd: f64,
}

/// Why there is no process.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GpError {
    /// No observation.
    #[error("a Gaussian process needs at least one observation")]
    Empty,
    /// Points, values and variances of different number, or points of different dimension.
    #[error("observation {0} does not have the shape of the first one")]
    Shape(usize),
    /// A number that is not finite, or a negative variance.
    #[error("observation {0} holds a number that is not finite, or a negative variance")]
    NotFinite(usize),
    /// The covariance cannot be factored even with the largest jitter.
    #[error("observations {first} and {second} are too close ({distance} apart) for the covariance to be factored")]
    TooClose {
        /// One of the closest pair.
        first: usize,
        /// The other one.
        second: usize,
        /// Their Euclidean distance.
        distance: f64,
    },
}

impl GaussianProcess {
    /// Fits the hyperparameters and factors the covariance. `points[i]` has one coordinate a dimension; `variances[i]` is
    /// the known variance of `values[i]` in the square of its unit, 0 for none. Noise is always fitted on top.
    pub fn fit(points: &[Vec<f64>], values: &[f64], variances: &[f64]) -> Result<GaussianProcess, GpError> {
        check(points, values, variances)?;
        let count = values.len() as f64;
        let centre = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        // Equal values carry no scale; any will do.
        let scale = if variance.sqrt() > 1e-12 * (1.0 + centre.abs()) { variance.sqrt() } else { 1.0 };
        let y: Vec<f64> = values.iter().map(|value| (value - centre) / scale).collect();
        let known: Vec<f64> = variances.iter().map(|variance| variance / (scale * scale)).collect();
        let (hyper, negative_log_posterior) = mode(points, &y, &known).ok_or_else(|| too_close(points))?;
        let mut process = Self::assemble(points.to_vec(), y, known, hyper).ok_or_else(|| too_close(points))?;
        (process.centre, process.scale) = (centre, scale);
        process.negative_log_posterior = negative_log_posterior;
        Ok(process)
    }

    fn assemble(x: Vec<Vec<f64>>, y: Vec<f64>, variances: Vec<f64>, hyper: Hyperparameters) -> Option<Self> {
        let cholesky = factor(&x, &variances, &hyper)?;
        let a = cholesky.solve(&DVector::from_column_slice(&y));
        let (centre, scale, negative_log_posterior) = (0.0, 1.0, f64::NAN);
        let kernel = hyper.kernel();
        Some(GaussianProcess { x, y, variances, centre, scale, hyper, kernel, cholesky, a, negative_log_posterior })
    }

    /// A process with the same hyperparameters and standardisation on other observations.
    pub fn with_observations(
        &self,
        points: &[Vec<f64>],
        values: &[f64],
        variances: &[f64],
    ) -> Result<GaussianProcess, GpError> {
        check(points, values, variances)?;
        let y = values.iter().map(|value| (value - self.centre) / self.scale).collect();
        let known = variances.iter().map(|variance| variance / (self.scale * self.scale)).collect();
        self.rebuilt(points.to_vec(), y, known)
    }

    /// The process after believing a point: its posterior mean enters as an observation, hyperparameters stay. The mean
    /// does not move and the variance falls (kriging believer, Ginsbourger 2010).
    pub fn believe(&self, point: &[f64]) -> Result<GaussianProcess, GpError> {
        let (mut x, mut y, mut variances) = (self.x.clone(), self.y.clone(), self.variances.clone());
        x.push(point.to_vec());
        y.push(self.standard(point).0);
        variances.push(0.0);
        self.rebuilt(x, y, variances)
    }

    fn rebuilt(&self, x: Vec<Vec<f64>>, y: Vec<f64>, variances: Vec<f64>) -> Result<GaussianProcess, GpError> {
        let close = too_close(&x);
        let mut process = Self::assemble(x, y, variances, self.hyper.clone()).ok_or(close)?;
        (process.centre, process.scale) = (self.centre, self.scale);
        process.negative_log_posterior = self.negative_log_posterior;
        Ok(process)
    }

    /// Mean and variance of the noise-free function, standardised.
    fn standard(&self, point: &[f64]) -> (f64, f64) {
        let mut k: Vec<f64> = self.x.iter().map(|x| self.kernel.covariance(x, point)).collect();
        let mean = k.iter().zip(self.a.iter()).map(|(k, a)| k * a).sum();
        // Forward substitution in place: k becomes L⁻¹k.
        let l = self.cholesky.l_dirty();
        let mut explained = 0.0;
        for i in 0..k.len() {
            let solved = k[..i].iter().enumerate().map(|(j, value)| l[(i, j)] * value).sum::<f64>();
            k[i] = (k[i] - solved) / l[(i, i)];
            explained += k[i] * k[i];
        }
        (mean, (self.kernel.signal - explained).max(LEAST_VARIANCE * self.kernel.signal))
    }

    /// Mean and variance of the noise-free function at a point, in the unit of the values and its square.
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let (mean, variance) = self.standard(point);
        (self.centre + self.scale * mean, self.scale * self.scale * variance)
    }

    /// Joint draws of the noise-free function at `points`: `count` rows of one value a point, quasi-random.
    pub fn posterior_samples(
        &self,
        points: &[Vec<f64>],
        count: usize,
        rng: &mut ChaCha12Rng,
    ) -> Result<Vec<Vec<f64>>, GpError> {
        if points.is_empty() {
            return Err(GpError::Empty);
        }
        let cross = DMatrix::from_fn(self.x.len(), points.len(), |i, j| self.kernel.covariance(&self.x[i], &points[j]));
        let solved = self.cholesky.l().solve_lower_triangular(&cross).ok_or_else(|| too_close(&self.x))?;
        let prior = DMatrix::from_fn(points.len(), points.len(), |i, j| self.kernel.covariance(&points[i], &points[j]));
        let mut covariance = prior - solved.transpose() * solved;
        for i in 0..points.len() {
            covariance[(i, i)] += 1e-6 * self.kernel.signal;
        }
        let root = Cholesky::new(covariance).ok_or_else(|| too_close(points))?.l();
        let mean: Vec<f64> = points.iter().map(|point| self.predict(point).0).collect();
        let draws = normals(points.len(), count, rng).into_iter().map(|draw| {
            let offsets = &root * DVector::from_vec(draw);
            mean.iter().zip(offsets.iter()).map(|(mean, offset)| mean + self.scale * offset).collect()
        });
        Ok(draws.collect())
    }

    /// Leave-one-out predictions in closed form: μ = y − a/[C⁻¹], σ² = 1/[C⁻¹] (Rasmussen and Williams 2006, 5.4.2).
    pub fn leave_one_out(&self) -> Vec<LeaveOneOut> {
        let inverse = self.cholesky.inverse();
        let one = |i: usize| {
            let precision = inverse[(i, i)];
            let (value, mean) = (self.y[i], self.y[i] - self.a[i] / precision);
            let back = |value: f64| self.centre + self.scale * value;
            LeaveOneOut { value: back(value), mean: back(mean), sd: self.scale / precision.sqrt() }
        };
        (0..self.y.len()).map(one).collect()
    }

    /// The fitted hyperparameters.
    pub fn hyperparameters(&self) -> &Hyperparameters {
        &self.hyper
    }

    /// Log posterior density of the hyperparameters at the fit, up to the prior's constant.
    pub fn log_posterior(&self) -> f64 {
        -self.negative_log_posterior
    }

    /// Fitted noise, standard deviation in the unit of the values.
    pub fn noise_sd(&self) -> f64 {
        self.scale * self.hyper.noise().sqrt()
    }

    /// Number of observations.
    pub fn observations(&self) -> usize {
        self.y.len()
    }
}

fn check(points: &[Vec<f64>], values: &[f64], variances: &[f64]) -> Result<(), GpError> {
    let first = points.first().ok_or(GpError::Empty)?;
    if points.len() != values.len() || points.len() != variances.len() {
        return Err(GpError::Shape(points.len().min(values.len()).min(variances.len())));
    }
    for (at, ((point, value), variance)) in points.iter().zip(values).zip(variances).enumerate() {
        if point.len() != first.len() || point.is_empty() {
            return Err(GpError::Shape(at));
        }
        let finite = point.iter().chain([value, variance]).all(|number| number.is_finite());
        if !finite || *variance < 0.0 {
            return Err(GpError::NotFinite(at));
        }
    }
    Ok(())
}

/// The error that names the closest pair.
fn too_close(points: &[Vec<f64>]) -> GpError {
    let mut closest = (0, 0, f64::INFINITY);
    for i in 0..points.len() {
        for j in 0..i {
            let distance = points[i].iter().zip(&points[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            if distance < closest.2 {
                closest = (j, i, distance);
            }
        }
    }
    GpError::TooClose { first: closest.0, second: closest.1, distance: closest.2 }
}

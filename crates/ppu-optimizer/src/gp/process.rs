//! The fitted process: predictions, joint samples, leave-one-out, appended points.

use nalgebra::{Cholesky, DMatrix, DVector};
use rand_chacha::ChaCha12Rng;

use crate::gp::fit::{Hyperparameters, JITTER, factor, mode};
use crate::gp::kernel::{Kernel, matern_all, matern_with_slope};
use crate::gp::prior::Prior;
use crate::gp::readings::Readings;
use crate::linear::{Factor, dot};
use crate::sequence::normals;

/// Predictive variance is never below this share of σ_f².
const LEAST_VARIANCE: f64 = 1e-12;
/// Points that are predicted at once: few enough for the covariances with a hundred observations to stay in the cache of
/// the processor and in memory that the process holds already. With 512 a third of the time went into fresh pages.
const PREDICTED: usize = 128;

/// An exact Gaussian process with Matérn-5/2 kernel and fitted noise. Points are in the unit cube, values in their own
/// unit; they are standardised inside.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    /// Standardised.
    readings: Readings,
    centre: f64,
    scale: f64,
    hyper: Hyperparameters,
    kernel: Kernel,
    factor: Factor,
    /// C⁻¹ y.
    a: Vec<f64>,
    negative_log_posterior: f64,
}

/// The prediction of one observation from all others, measurement noise included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaveOneOut {
    /// What was observed; the mean where replicates were pooled.
    pub value: f64,
    /// Predicted mean without it.
    pub mean: f64,
    /// Predicted standard deviation without it.
    pub sd: f64,
}

impl LeaveOneOut {
    /// ln N(value; mean, sd²).
    pub fn log_density(&self) -> f64 {
        -0.5 * ((self.value - self.mean) / self.sd).powi(2) - self.sd.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
    }
}

/// A prediction of the noise-free function with its slopes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sloped {
    /// Posterior mean.
    pub mean: f64,
    /// Posterior standard deviation.
    pub sd: f64,
    /// Slope of the mean, one entry a coordinate.
    pub mean_slope: Vec<f64>,
    /// Slope of the standard deviation.
    pub sd_slope: Vec<f64>,
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

/// How a process is fitted.
#[derive(Debug, Clone, Copy)]
pub struct FitOptions<'a> {
    /// Prior of the hyperparameters.
    pub prior: Prior,
    /// Hyperparameters to start from besides the prior's guesses, for example those of the last step.
    pub warm: Option<&'a Hyperparameters>,
    /// How many of the prior's three guesses are tried; at least one where there is no warm start.
    pub starts: usize,
    /// Whether replicates at one point are pooled into one. Exact, and O(n³) in distinct points only, but then
    /// [`GaussianProcess::leave_one_out`] has one entry a distinct point.
    pub pool: bool,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        FitOptions { prior: Prior::DimensionScaled, warm: None, starts: 3, pool: false }
    }
}

impl GaussianProcess {
    /// Fits the hyperparameters and factors the covariance. `points[i]` has one coordinate a dimension; `variances[i]` is
    /// the known variance of `values[i]` in the square of its unit, 0 for none. Noise is always fitted on top.
    pub fn fit(points: &[Vec<f64>], values: &[f64], variances: &[f64]) -> Result<GaussianProcess, GpError> {
        Self::fit_with(points, values, variances, FitOptions::default())
    }

    /// Like [`GaussianProcess::fit`] with a choice of prior, starts and pooling.
    pub fn fit_with(
        points: &[Vec<f64>],
        values: &[f64],
        variances: &[f64],
        options: FitOptions<'_>,
    ) -> Result<GaussianProcess, GpError> {
        Self::fit_readings(Readings::new(points, values, variances, options.pool)?, options)
    }

    pub(crate) fn fit_readings(readings: Readings, options: FitOptions<'_>) -> Result<GaussianProcess, GpError> {
        let (centre, scale) = readings.moments();
        let readings = readings.standardised(centre, scale);
        let starts = if options.warm.is_none() { options.starts.max(1) } else { options.starts };
        let (hyper, negative_log_posterior) = mode(&readings, options.prior, options.warm, starts)?;
        let mut process = Self::assemble(readings, hyper)?;
        (process.centre, process.scale) = (centre, scale);
        process.negative_log_posterior = negative_log_posterior;
        Ok(process)
    }

    /// A process with given hyperparameters; values are standardised as by a fit.
    pub fn with_hyperparameters(
        points: &[Vec<f64>],
        values: &[f64],
        variances: &[f64],
        hyper: Hyperparameters,
    ) -> Result<GaussianProcess, GpError> {
        let readings = Readings::new(points, values, variances, false)?;
        if hyper.log_length.len() != readings.dimensions {
            return Err(GpError::Shape(0));
        }
        let (centre, scale) = readings.moments();
        let mut process = Self::assemble(readings.standardised(centre, scale), hyper)?;
        (process.centre, process.scale) = (centre, scale);
        Ok(process)
    }

    fn assemble(readings: Readings, hyper: Hyperparameters) -> Result<Self, GpError> {
        let factor = factor(&readings, &hyper).ok_or_else(|| readings.too_close())?;
        let a = factor.solve(&readings.value);
        let kernel = hyper.kernel();
        let (centre, scale, negative_log_posterior) = (0.0, 1.0, f64::NAN);
        Ok(GaussianProcess { readings, centre, scale, hyper, kernel, factor, a, negative_log_posterior })
    }

    /// A process with the same hyperparameters and standardisation on other observations.
    pub fn with_observations(
        &self,
        points: &[Vec<f64>],
        values: &[f64],
        variances: &[f64],
    ) -> Result<GaussianProcess, GpError> {
        let readings = Readings::new(points, values, variances, false)?;
        if readings.dimensions != self.readings.dimensions {
            return Err(GpError::Shape(0));
        }
        let mut process = Self::assemble(readings.standardised(self.centre, self.scale), self.hyper.clone())?;
        (process.centre, process.scale) = (self.centre, self.scale);
        process.negative_log_posterior = self.negative_log_posterior;
        Ok(process)
    }

    /// The process with one more observation in O(n²), hyperparameters and standardisation as they are.
    pub fn append(&self, point: &[f64], value: f64, variance: f64) -> Result<GaussianProcess, GpError> {
        self.append_standard(point, (value - self.centre) / self.scale, variance / (self.scale * self.scale))
    }

    fn append_standard(&self, point: &[f64], value: f64, variance: f64) -> Result<GaussianProcess, GpError> {
        let at = self.readings.len();
        if point.len() != self.readings.dimensions {
            return Err(GpError::Shape(at));
        }
        if !(value.is_finite() && variance >= 0.0 && variance.is_finite() && point.iter().all(|x| x.is_finite())) {
            return Err(GpError::NotFinite(at));
        }
        let mut process = self.clone();
        process.readings.push(point, value, variance);
        let cross = self.cross(point);
        // The smallest jitter of a factorisation, so that appending equals refitting.
        let diagonal = self.kernel.signal * (1.0 + JITTER.0) + self.hyper.noise() + variance;
        match self.factor.appended(&cross, diagonal) {
            Some(factor) => process.factor = factor,
            None => {
                process.factor = factor(&process.readings, &self.hyper).ok_or_else(|| process.readings.too_close())?;
            }
        }
        process.a = process.factor.solve(&process.readings.value);
        Ok(process)
    }

    /// The process after believing a point: its posterior mean enters as an observation, hyperparameters stay. The mean
    /// does not move and the variance falls (kriging believer, Ginsbourger 2010).
    pub fn believe(&self, point: &[f64]) -> Result<GaussianProcess, GpError> {
        if point.len() != self.readings.dimensions {
            return Err(GpError::Shape(self.readings.len()));
        }
        self.append_standard(point, self.standard(point).0, 0.0)
    }

    fn cross(&self, point: &[f64]) -> Vec<f64> {
        (0..self.readings.len()).map(|i| self.kernel.covariance(self.readings.point(i), point)).collect()
    }

    /// Mean and variance of the noise-free function, standardised.
    fn standard(&self, point: &[f64]) -> (f64, f64) {
        let mut k = self.cross(point);
        let mean = k.iter().zip(self.a.iter()).map(|(k, a)| k * a).sum();
        self.factor.forward(&mut k);
        let explained: f64 = k.iter().map(|k| k * k).sum();
        (mean, (self.kernel.signal - explained).max(LEAST_VARIANCE * self.kernel.signal))
    }

    /// Mean and variance of the noise-free function at a point, in the unit of the values and its square.
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let (mean, variance) = self.standard(point);
        (self.centre + self.scale * mean, self.scale * self.scale * variance)
    }

    /// Means and standard deviations at many points: `rows` holds the coordinates of one point after the other. The work
    /// goes through matrix products, which is several times faster than point by point.
    pub fn predict_rows(&self, rows: &[f64], out: &mut Vec<(f64, f64)>) {
        out.clear();
        let dimensions = self.readings.dimensions;
        // Blocks keep memory bounded and the products in the cache of the processor.
        for block in rows.chunks(PREDICTED * dimensions) {
            let cross = self.cross_rows(block);
            let explained = self.factor.explained(&cross);
            for (column, explained) in cross.column_iter().zip(explained) {
                let mean = dot(column.as_slice(), &self.a);
                let variance = (self.kernel.signal - explained).max(LEAST_VARIANCE * self.kernel.signal);
                out.push((self.centre + self.scale * mean, self.scale * variance.sqrt()));
            }
        }
    }

    /// Covariances of the data with many points, a column a point. Squared distances are |a|² + |b|² − 2 a·b in units of
    /// the length scales: the digits that cancel do not matter, because the kernel is flat at 0.
    fn cross_rows(&self, rows: &[f64]) -> DMatrix<f64> {
        let dimensions = self.readings.dimensions;
        let scales: Vec<f64> = self.kernel.inverse_square.iter().map(|weight| weight.sqrt()).collect();
        let scaled = |rows: &[f64]| {
            DMatrix::from_fn(dimensions, rows.len() / dimensions, |k, i| rows[i * dimensions + k] * scales[k])
        };
        let (own, other) = (scaled(&self.readings.x), scaled(rows));
        let squares = |points: &DMatrix<f64>| -> Vec<f64> {
            points.column_iter().map(|x| dot(x.as_slice(), x.as_slice())).collect()
        };
        let (own_squares, other_squares) = (squares(&own), squares(&other));
        let mut cross = own.transpose() * &other;
        for (mut column, there) in cross.column_iter_mut().zip(other_squares) {
            let column = column.as_mut_slice();
            for (value, here) in column.iter_mut().zip(&own_squares) {
                *value = (here + there - 2.0 * *value).max(0.0);
            }
            matern_all(self.kernel.signal, column);
        }
        cross
    }

    /// Mean and standard deviation with their slopes: ∇μ = Jᵀa, ∇σ² = −2 JᵀC⁻¹k.
    pub fn predict_with_slopes(&self, point: &[f64]) -> Sloped {
        let (count, dimensions) = (self.readings.len(), self.readings.dimensions);
        let mut k = Vec::with_capacity(count);
        let mut slopes = Vec::with_capacity(count);
        for i in 0..count {
            let (correlation, slope) = matern_with_slope(self.kernel.square(self.readings.point(i), point));
            k.push(self.kernel.signal * correlation);
            slopes.push(self.kernel.signal * slope);
        }
        let mean: f64 = k.iter().zip(&self.a).map(|(k, a)| k * a).sum();
        self.factor.forward(&mut k);
        let explained: f64 = k.iter().map(|k| k * k).sum();
        let variance = (self.kernel.signal - explained).max(LEAST_VARIANCE * self.kernel.signal);
        let sd = variance.sqrt();
        self.factor.backward(&mut k);
        let (mut mean_slope, mut sd_slope) = (vec![0.0; dimensions], vec![0.0; dimensions]);
        for i in 0..count {
            for (at, (x, y)) in point.iter().zip(self.readings.point(i)).enumerate() {
                let slope = -slopes[i] * (x - y) * self.kernel.inverse_square[at];
                mean_slope[at] += self.scale * slope * self.a[i];
                sd_slope[at] -= self.scale * slope * k[i] / sd;
            }
        }
        Sloped { mean: self.centre + self.scale * mean, sd: self.scale * sd, mean_slope, sd_slope }
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
        let rows: Vec<Vec<f64>> = points.iter().map(|point| self.cross(point)).collect();
        let cross = DMatrix::from_fn(self.readings.len(), points.len(), |i, j| rows[j][i]);
        let solved = self.factor.lower_inverse() * cross;
        let prior = DMatrix::from_fn(points.len(), points.len(), |i, j| self.kernel.covariance(&points[i], &points[j]));
        let mut covariance = prior - solved.transpose() * solved;
        for i in 0..points.len() {
            covariance[(i, i)] += 1e-6 * self.kernel.signal;
        }
        let root = Cholesky::new(covariance).ok_or_else(|| self.readings.too_close())?.l();
        let mean: Vec<f64> = points.iter().map(|point| self.predict(point).0).collect();
        let draws = normals(points.len(), count, rng).into_iter().map(|draw| {
            let offsets = &root * DVector::from_vec(draw);
            mean.iter().zip(offsets.iter()).map(|(mean, offset)| mean + self.scale * offset).collect()
        });
        Ok(draws.collect())
    }

    /// Leave-one-out predictions in closed form: μ = y − a/[C⁻¹], σ² = 1/[C⁻¹] (Rasmussen and Williams 2006, 5.4.2). One
    /// entry a distinct point where replicates were pooled; the value is then their mean.
    pub fn leave_one_out(&self) -> Vec<LeaveOneOut> {
        let precision = self.factor.inverse_diagonal();
        let one = |i: usize| {
            let (value, mean) = (self.readings.value[i], self.readings.value[i] - self.a[i] / precision[i]);
            let back = |value: f64| self.centre + self.scale * value;
            LeaveOneOut { value: back(value), mean: back(mean), sd: self.scale / precision[i].sqrt() }
        };
        (0..self.readings.len()).map(one).collect()
    }

    /// Σ ln N of the values, each predicted from all others.
    pub fn held_out_density(&self) -> f64 {
        self.leave_one_out().iter().map(LeaveOneOut::log_density).sum()
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

    /// Number of observations; of distinct points where replicates were pooled.
    pub fn observations(&self) -> usize {
        self.readings.len()
    }

    pub(crate) fn parts(&self) -> (&Readings, &Kernel, &Factor, &[f64], f64, f64) {
        (&self.readings, &self.kernel, &self.factor, &self.a, self.centre, self.scale)
    }
}

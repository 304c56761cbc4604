//! What acquisitions need of a model: a Gaussian belief about a function, whatever it was learnt from.

use crate::gp::{FitOptions, GaussianProcess, GpError, Prior};

/// A look at one point.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Posterior mean.
    pub(crate) mean: f64,
    /// Posterior variance of the noise-free function.
    pub(crate) variance: f64,
    /// v(x), such that the posterior covariance of two points is prior(x, x') − v(x) · v(x').
    pub(crate) whitened: Vec<f64>,
}

/// A Gaussian belief about a function of the encoded design.
pub(crate) trait Belief {
    /// Mean, variance and whitened covariance with the data at a point.
    fn look(&self, point: &[f64]) -> Look;

    /// Prior covariance of the function at two points.
    fn prior(&self, a: &[f64], b: &[f64]) -> f64;

    /// Means and standard deviations of many rows of `width` columns, one after the other.
    fn look_many(&self, rows: &[f64], width: usize, out: &mut Vec<(f64, f64)>) {
        out.clear();
        out.extend(rows.chunks_exact(width).map(|row| {
            let look = self.look(row);
            (look.mean, look.variance.max(0.0).sqrt())
        }));
    }
}

impl Belief for GaussianProcess {
    fn look(&self, point: &[f64]) -> Look {
        let (readings, kernel, factor, a, centre, scale) = self.parts();
        let mut k: Vec<f64> = (0..readings.len()).map(|at| kernel.covariance(readings.point(at), point)).collect();
        let mean: f64 = k.iter().zip(a).map(|(k, a)| k * a).sum();
        factor.forward(&mut k);
        let explained: f64 = k.iter().map(|k| k * k).sum();
        let variance = (kernel.signal - explained).max(1e-12 * kernel.signal) * scale * scale;
        k.iter_mut().for_each(|k| *k *= scale);
        Look { mean: centre + scale * mean, variance, whitened: k }
    }

    fn prior(&self, a: &[f64], b: &[f64]) -> f64 {
        let (_, kernel, _, _, _, scale) = self.parts();
        scale * scale * kernel.covariance(a, b)
    }

    fn look_many(&self, rows: &[f64], _width: usize, out: &mut Vec<(f64, f64)>) {
        self.predict_rows(rows, out);
    }
}

/// A process with the prior that predicts held-out results better: the cautious one that expects noise, or none at all.
/// With `pool`, replicates become one reading.
pub(crate) fn best_process(
    rows: &[Vec<f64>],
    values: &[f64],
    variances: &[f64],
    pool: bool,
) -> Result<GaussianProcess, GpError> {
    let with = |prior| {
        let starts = if rows.len() <= 30 { 3 } else { 1 };
        GaussianProcess::fit_with(rows, values, variances, FitOptions { prior, pool, starts, warm: None })
    };
    let cautious = with(Prior::DimensionScaled)?;
    match with(Prior::Flat) {
        Ok(bold) if bold.held_out_density() > cautious.held_out_density() => Ok(bold),
        _ => Ok(cautious),
    }
}

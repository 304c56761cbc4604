//! Hyperparameters: the log posterior with its gradient, and the search for its mode.

use nalgebra::DMatrix;

use crate::gp::GpError;
use crate::gp::kernel::{Kernel, matern_all, matern_all_with_slopes};
use crate::gp::lbfgs::{Evaluated, minimize};
use crate::gp::prior::Prior;
use crate::gp::readings::Readings;
use crate::linear::{Factor, dot};

/// Iterations of one start, and the relative decrease at which it ends. A log posterior known to 1e-5 is far finer than
/// the data can tell; a handful of variables converges in 10 to 30 iterations.
pub(crate) const EFFORT: (usize, f64) = (40, 3e-6);
/// Relative diagonal that is always added, and the largest one tried before the data are given up. It bounds how finely an
/// optimum without noise can be resolved.
pub(crate) const JITTER: (f64, f64) = (1e-12, 1e-4);
/// Bounds of ln ℓ in unit coordinates, of ln σ_f² and of ln σ_n² in units of the standardised values.
pub(crate) const LENGTH: (f64, f64) = (-4.2, 4.0);
const SIGNAL: (f64, f64) = (-4.6, 4.6);
const NOISE: (f64, f64) = (-27.0, 0.7);
/// Hyperparameters are fitted on at most this many points, spread over the data: an evaluation costs O(n³).
const FITTED_POINTS: usize = 256;

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
    pub(crate) fn from_slice(theta: &[f64]) -> Hyperparameters {
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
pub(crate) fn factor(readings: &Readings, hyper: &Hyperparameters) -> Option<Factor> {
    let kernel = hyper.kernel();
    let count = readings.len();
    let mut covariance = DMatrix::zeros(count, count);
    for j in 0..count {
        let mut column = covariance.column_mut(j);
        let column = &mut column.as_mut_slice()[j + 1..];
        for (at, square) in column.iter_mut().enumerate() {
            *square = kernel.square(readings.point(j + 1 + at), readings.point(j));
        }
        matern_all(kernel.signal, column);
    }
    let measured = measured(readings, hyper.noise());
    factor_with_jitter(covariance, hyper.signal(), &measured)
}

/// Variances of the readings around the function.
fn measured(readings: &Readings, noise: f64) -> Vec<f64> {
    readings.variance.iter().zip(&readings.count).map(|(known, count)| (noise + known) / count).collect()
}

/// Fills the diagonal with the signal and `rest`, and factors, with more jitter where it is needed.
pub(crate) fn factor_with_jitter(mut covariance: DMatrix<f64>, signal: f64, rest: &[f64]) -> Option<Factor> {
    let mut jitter = JITTER.0;
    loop {
        for (i, rest) in rest.iter().enumerate() {
            covariance[(i, i)] = signal * (1.0 + jitter) + rest;
        }
        let last = jitter * 10.0 > JITTER.1 * 1.5;
        if let Some(factor) = Factor::new(if last { std::mem::take(&mut covariance) } else { covariance.clone() }) {
            return Some(factor);
        }
        if last {
            return None;
        }
        jitter *= 10.0;
    }
}

/// −ln of a prior density at hyperparameters, up to a constant; adds its slopes.
pub(crate) type LogPrior<'a> = &'a dyn Fn(&[f64], &mut [f64]) -> f64;

/// What is believed of another function at the readings. The values are then ρ times that function plus a difference, and
/// the hyperparameters are those of the difference, followed by ρ.
pub(crate) struct Below {
    pub(crate) mean: Vec<f64>,
    /// Covariance of the belief, lower triangle.
    pub(crate) covariance: DMatrix<f64>,
}

/// The log posterior as a function of the hyperparameters, with what does not depend on them computed once.
pub(crate) struct Posterior<'a> {
    readings: &'a Readings,
    prior: LogPrior<'a>,
    below: Option<&'a Below>,
    /// Squared differences of each pair in each dimension, pairs in the order (1,0), (2,0), …, (2,1), …: column by column
    /// of the lower triangle.
    squares: Vec<f64>,
}

impl<'a> Posterior<'a> {
    pub(crate) fn new(readings: &'a Readings, prior: LogPrior<'a>, below: Option<&'a Below>) -> Posterior<'a> {
        let (count, dimensions) = (readings.len(), readings.dimensions);
        let mut squares = Vec::with_capacity(count * (count - 1) / 2 * dimensions);
        for j in 0..count {
            for i in j + 1..count {
                squares.extend(readings.point(i).iter().zip(readings.point(j)).map(|(a, b)| (a - b) * (a - b)));
            }
        }
        Posterior { readings, prior, below, squares }
    }

    /// Negative log posterior density and gradient at `theta` = [ln ℓ…, ln σ_f², ln σ_n²]:
    /// F = ½ yᵀa + Σ ln L_ii + (n/2) ln 2π − ln prior, ∂F/∂θ = ½ Σ W_ij ∂C_ij/∂θ with W = C⁻¹ − aaᵀ, and the terms that
    /// replicates add for their own scatter. The values are standardised, the mean is 0.
    pub(crate) fn evaluate(&self, theta: &[f64]) -> Evaluated {
        let (readings, dimensions) = (self.readings, self.readings.dimensions);
        let hyper = Hyperparameters::from_slice(&theta[..dimensions + 2]);
        let count = readings.len();
        let (signal, noise) = (hyper.signal(), hyper.noise());
        let weights: Vec<f64> = hyper.log_length.iter().map(|log| (-2.0 * log).exp()).collect();
        let mut covariance = DMatrix::zeros(count, count);
        let mut slopes = vec![0.0; count * count.saturating_sub(1) / 2];
        let (mut pairs, mut rest) = (self.squares.chunks_exact(dimensions), slopes.as_mut_slice());
        for j in 0..count {
            let mut column = covariance.column_mut(j);
            let column = &mut column.as_mut_slice()[j + 1..];
            for square in column.iter_mut() {
                let pair = pairs.next().expect("one entry for each pair");
                *square = pair.iter().zip(&weights).map(|(square, weight)| square * weight).sum();
            }
            let (first, later) = rest.split_at_mut(column.len());
            matern_all_with_slopes(signal, column, first);
            rest = later;
        }
        let (mut whole, mut rest, mut values) = (covariance.clone(), measured(readings, noise), readings.value.clone());
        if let Some(below) = self.below {
            let rho = theta[dimensions + 2];
            whole += rho * rho * &below.covariance;
            rest.iter_mut().enumerate().for_each(|(i, rest)| *rest += rho * rho * below.covariance[(i, i)]);
            values.iter_mut().zip(&below.mean).for_each(|(value, mean)| *value -= rho * mean);
        }
        let factor = factor_with_jitter(whole, signal, &rest)?;
        let a = factor.solve(&values);
        let fit: f64 = a.iter().zip(&values).map(|(a, y)| a * y).sum();
        let mut value =
            0.5 * fit + factor.half_log_determinant() + 0.5 * count as f64 * (2.0 * std::f64::consts::PI).ln();
        let inverse = factor.inverse();
        let mut gradient = vec![0.0; theta.len()];
        let mut pairs = self.squares.chunks_exact(dimensions).zip(&slopes);
        for j in 0..count {
            let diagonal = inverse[(j, j)] - a[j] * a[j];
            gradient[dimensions] += 0.5 * diagonal * signal * (1.0 + JITTER.0);
            gradient[dimensions + 1] += 0.5 * diagonal * noise / readings.count[j];
            let (column, correlations) = (inverse.column(j), covariance.column(j));
            for i in j + 1..count {
                let weight = column[i] - a[i] * a[j];
                gradient[dimensions] += weight * correlations[i];
                let (pair, slope) = pairs.next().expect("one entry for each pair");
                let weight = weight * slope;
                for (slot, square) in gradient.iter_mut().zip(pair) {
                    *slot += weight * square;
                }
            }
        }
        for (slot, inverse_square) in gradient.iter_mut().zip(&weights) {
            *slot *= signal * inverse_square;
        }
        if let Some(below) = self.below {
            gradient[dimensions + 2] = below.slope(theta[dimensions + 2], &a, &inverse);
        }
        value += scatter(readings, noise, &mut gradient[dimensions + 1]);
        value += (self.prior)(theta, &mut gradient);
        value.is_finite().then_some((value, gradient))
    }
}

impl Below {
    /// ∂F/∂ρ = ρ Σ_ij W_ij S_ij − mᵀa, S the covariance of the belief and m its mean.
    fn slope(&self, rho: f64, a: &[f64], inverse: &DMatrix<f64>) -> f64 {
        let mut sum = 0.0;
        for j in 0..a.len() {
            sum += (inverse[(j, j)] - a[j] * a[j]) * self.covariance[(j, j)];
            for i in j + 1..a.len() {
                sum += 2.0 * (inverse[(i, j)] - a[i] * a[j]) * self.covariance[(i, j)];
            }
        }
        rho * sum - dot(&self.mean, a)
    }
}

/// What the scatter of replicates says of the noise: ½ Σ_i [(n_i − 1) ln 2π(σ_n² + v_i) + ln n_i + S_i/(σ_n² + v_i)].
fn scatter(readings: &Readings, noise: f64, slope: &mut f64) -> f64 {
    let mut value = 0.0;
    for i in 0..readings.len() {
        let (count, scatter, variance) = (readings.count[i], readings.scatter[i], noise + readings.variance[i]);
        if count > 1.0 {
            let spread = (count - 1.0) * (2.0 * std::f64::consts::PI * variance).ln() + count.ln();
            value += 0.5 * (spread + scatter / variance);
            *slope += 0.5 * noise * ((count - 1.0) / variance - scatter / (variance * variance));
        }
    }
    value
}

/// Negative log posterior density of the hyperparameters `theta` = [ln ℓ…, ln σ_f², ln σ_n²] and its gradient, up to the
/// prior's constant. Points in the unit cube, values standardised; replicates are pooled. `None` where the covariance
/// cannot be factored or the data have no shape.
pub fn negative_log_posterior(
    points: &[Vec<f64>],
    values: &[f64],
    variances: &[f64],
    prior: Prior,
    theta: &[f64],
) -> Option<(f64, Vec<f64>)> {
    let readings = Readings::new(points, values, variances, true).ok()?;
    if theta.len() != readings.dimensions + 2 {
        return None;
    }
    Posterior::new(&readings, &|theta, slopes| prior.add(theta, slopes), None).evaluate(theta)
}

/// The mode of the posterior and its negative log density. Starts from `warm` where there is one, and from `starts` guesses
/// of the prior; ties go to the earlier start. The error names the closest pair where nothing can be factored.
pub(crate) fn mode(
    readings: &Readings,
    prior: Prior,
    warm: Option<&Hyperparameters>,
    starts: usize,
) -> Result<(Hyperparameters, f64), GpError> {
    let dimensions = readings.dimensions;
    let subset = spread(readings);
    let prior_density = |theta: &[f64], slopes: &mut [f64]| prior.add(theta, slopes);
    let posterior = Posterior::new(subset.as_ref().unwrap_or(readings), &prior_density, None);
    let mut bounds = vec![LENGTH; dimensions];
    bounds.extend([SIGNAL, NOISE]);
    let mut best: Option<(Vec<f64>, f64)> = None;
    let warm = warm.filter(|warm| warm.log_length.len() == dimensions).map(|warm| {
        let mut theta = warm.log_length.clone();
        theta.extend([warm.log_signal, warm.log_noise]);
        theta
    });
    let guesses = prior.starts(dimensions).into_iter().take(starts).map(|(length, signal, noise)| {
        let mut theta = vec![length; dimensions];
        theta.extend([signal, noise]);
        theta
    });
    for start in warm.into_iter().chain(guesses) {
        let found = minimize(|theta| posterior.evaluate(theta), &start, &bounds, EFFORT);
        if let Some((theta, value)) = found
            && best.as_ref().is_none_or(|(_, lowest)| value < *lowest - 1e-9)
        {
            best = Some((theta, value));
        }
    }
    best.map(|(theta, value)| (Hyperparameters::from_slice(&theta), value)).ok_or_else(|| readings.too_close())
}

/// A subset on which a large data set is fitted: the best tenth, and every k-th of the others in the order of time.
pub(crate) fn spread(readings: &Readings) -> Option<Readings> {
    let count = readings.len();
    if count <= FITTED_POINTS {
        return None;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| readings.value[*b].total_cmp(&readings.value[*a]));
    let mut rows: Vec<usize> = order.drain(..FITTED_POINTS / 10).collect();
    order.sort_unstable();
    let wanted = FITTED_POINTS - rows.len();
    rows.extend((0..wanted).map(|at| order[at * order.len() / wanted]));
    rows.sort_unstable();
    Some(readings.subset(&rows))
}

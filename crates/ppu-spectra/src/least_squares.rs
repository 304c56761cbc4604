//! Levenberg-Marquardt for a handful of parameters, with derivatives by forward differences.

use nalgebra::{DMatrix, DVector};

const LAMBDA_START: f64 = 1e-3;
const MOST_TRIES: usize = 10;

/// The end of a fit.
pub(crate) struct Minimum {
    pub(crate) p: Vec<f64>,
    /// (JᵀJ)⁻¹ for residuals in units of their standard deviation.
    pub(crate) covariance: DMatrix<f64>,
    /// Σ residual².
    pub(crate) chi_squared: f64,
    pub(crate) converged: bool,
}

/// Minimises Σ residual². `steps` are the increments for forward differences, which also tell the scale of each
/// parameter; a step of the fit is at most `most` of them. At most `most_steps` are made, and one that lowers the objective
/// by less than the share `enough` of it ends the fit. Returns nothing when the residuals are not numbers or say nothing
/// about some parameter.
pub(crate) fn minimise(
    start: &[f64],
    steps: &[f64],
    most: f64,
    (most_steps, enough): (usize, f64),
    mut residuals: impl FnMut(&[f64]) -> Vec<f64>,
) -> Option<Minimum> {
    let mut p = start.to_vec();
    let mut r = residuals(&p);
    let mut objective = sum(&r)?;
    let mut lambda = LAMBDA_START;
    let mut converged = false;
    let (mut h, mut g) = forward(&p, steps, &r, &mut residuals);
    for _ in 0..most_steps {
        let mut accepted = None;
        for _ in 0..MOST_TRIES {
            let mut damped = h.clone();
            for i in 0..p.len() {
                damped[(i, i)] *= 1.0 + lambda;
            }
            let delta = damped.cholesky()?.solve(&g);
            let trial: Vec<f64> =
                (0..p.len()).map(|i| p[i] + delta[i].clamp(-most * steps[i], most * steps[i])).collect();
            let trial_r = residuals(&trial);
            if let Some(value) = sum(&trial_r).filter(|value| *value <= objective) {
                accepted = Some(objective - value);
                (p, r, objective) = (trial, trial_r, value);
                lambda = (lambda * 0.1).max(1e-9);
                break;
            }
            lambda *= 10.0;
        }
        let ended = accepted.is_none_or(|decrease| decrease < enough * objective);
        if accepted.is_some() {
            (h, g) = forward(&p, steps, &r, &mut residuals);
        }
        if ended {
            converged = true;
            break;
        }
    }
    let covariance = h.cholesky()?.inverse();
    Some(Minimum { p, covariance, chi_squared: objective, converged })
}

fn forward(
    p: &[f64],
    steps: &[f64],
    r: &[f64],
    residuals: &mut impl FnMut(&[f64]) -> Vec<f64>,
) -> (DMatrix<f64>, DVector<f64>) {
    let mut moved = p.to_vec();
    let columns: Vec<Vec<f64>> = (0..p.len())
        .map(|i| {
            moved[i] += steps[i];
            let mut column = residuals(&moved);
            moved[i] = p[i];
            column.iter_mut().zip(r).for_each(|(value, r)| *value = (*value - r) / steps[i]);
            column
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let h = DMatrix::from_fn(p.len(), p.len(), |i, j| dot(&columns[i], &columns[j]));
    let g = DVector::from_fn(p.len(), |i, _| -dot(&columns[i], r));
    (h, g)
}

fn sum(residuals: &[f64]) -> Option<f64> {
    let total: f64 = residuals.iter().map(|value| value * value).sum();
    total.is_finite().then_some(total)
}

/// Weighted linear least squares: columns, values and weights give the coefficients and their covariance.
pub(crate) fn linear(columns: &[Vec<f64>], y: &[f64], weights: &[f64]) -> Option<(Vec<f64>, DMatrix<f64>)> {
    let size = columns.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).zip(weights).map(|((x, y), w)| x * y * w).sum::<f64>();
    let h = DMatrix::from_fn(size, size, |i, j| dot(&columns[i], &columns[j]));
    let g = DVector::from_fn(size, |i, _| dot(&columns[i], y));
    let cholesky = h.cholesky()?;
    Some((cholesky.solve(&g).iter().copied().collect(), cholesky.inverse()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misra1a_of_the_nist_collection_is_solved_from_both_starts() {
        // y = b1 (1 - exp(-b2 x)); certified b1 = 238.94212918, b2 = 5.5015643181e-4.
        let x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0];
        let y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78];
        for start in [[500.0, 1e-4], [250.0, 5e-4]] {
            let found = minimise(&start, &[1e-3, 1e-9], 1e9, (200, 1e-13), |p| {
                x.iter().zip(&y).map(|(x, y): (&f64, &f64)| y - p[0] * -(-p[1] * x).exp_m1()).collect()
            })
            .unwrap();
            assert!((found.p[0] / 238.942_129_18 - 1.0).abs() < 1e-6, "{:?}", found.p);
            assert!((found.p[1] / 5.501_564_318_1e-4 - 1.0).abs() < 1e-6, "{:?}", found.p);
            assert!(found.converged);
        }
    }
}

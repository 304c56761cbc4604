//! Levenberg-Marquardt for a handful of parameters, with derivatives by forward differences.

use nalgebra::{DMatrix, DVector};

const LAMBDA_START: f64 = 1e-3;
const MOST_TRIES: usize = 10;

/// A fit is judged hopeless after this many steps, when it falls by less than this share a step.
const HOPELESS_AFTER: usize = 1;
const HOPELESS_SHARE: f64 = 0.6;

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
/// parameter; a step of the fit is at most `most` of them. Returns nothing when the residuals are not numbers or say nothing
/// about some parameter.
pub(crate) fn minimise(
    start: &[f64],
    steps: &[f64],
    most: f64,
    effort: Effort,
    residuals: impl Fn(&[f64]) -> Vec<f64>,
) -> Option<Minimum> {
    let forward = |p: &[f64], r: &[f64]| -> Option<Vec<Vec<f64>>> {
        let mut moved = p.to_vec();
        let columns = (0..p.len()).map(|i| {
            moved[i] += steps[i];
            let mut column = residuals(&moved);
            moved[i] = p[i];
            column.iter_mut().zip(r).for_each(|(value, r)| *value = (*value - r) / steps[i]);
            column
        });
        Some(columns.collect())
    };
    minimise_with(start, steps, most, effort, &residuals, forward)
}

/// How far a fit goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Most steps.
    pub(crate) steps: usize,
    /// A step that lowers the objective by less than this share of it ends the fit.
    pub(crate) enough: f64,
    /// A fit that is still above this after some steps, and falls slowly, is given up as it stands.
    pub(crate) hopeless: f64,
}

impl Effort {
    pub(crate) const fn new(steps: usize, enough: f64) -> Self {
        Self { steps, enough, hopeless: f64::INFINITY }
    }
}

/// [`minimise`] with the caller's derivatives: `slopes` gets parameters and residuals and gives one column for each parameter.
pub(crate) fn minimise_with(
    start: &[f64],
    steps: &[f64],
    most: f64,
    effort: Effort,
    residuals: &impl Fn(&[f64]) -> Vec<f64>,
    slopes: impl Fn(&[f64], &[f64]) -> Option<Vec<Vec<f64>>>,
) -> Option<Minimum> {
    let mut p = start.to_vec();
    let mut r = residuals(&p);
    let mut objective = sum(&r)?;
    let mut lambda = LAMBDA_START;
    let mut converged = false;
    let (mut h, mut g) = equations(&slopes(&p, &r)?, &r);
    for step in 0..effort.steps {
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
        let patience =
            if step >= HOPELESS_AFTER && objective > effort.hopeless { HOPELESS_SHARE } else { effort.enough };
        let ended = accepted.is_none_or(|decrease| decrease < patience * objective);
        if accepted.is_some() {
            (h, g) = equations(&slopes(&p, &r)?, &r);
        }
        if ended {
            converged = true;
            break;
        }
    }
    let covariance = h.cholesky()?.inverse();
    Some(Minimum { p, covariance, chi_squared: objective, converged })
}

/// JᵀJ and -Jᵀr of columns.
fn equations(columns: &[Vec<f64>], r: &[f64]) -> (DMatrix<f64>, DVector<f64>) {
    let size = columns.len();
    let mut h = DMatrix::zeros(size, size);
    for i in 0..size {
        for j in 0..=i {
            h[(i, j)] = dot(&columns[i], &columns[j]);
            h[(j, i)] = h[(i, j)];
        }
    }
    (h, DVector::from_fn(size, |i, _| -dot(&columns[i], r)))
}

/// Dot product in four strands, which the compiler can keep in vector registers; the order of summation is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut strands = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for k in 0..4 {
            strands[k] += x[k] * y[k];
        }
    }
    strands.iter().sum::<f64>() + tail
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

/// Normal equations of a weighted linear fit whose points are rows of `N` basis values, factored once for several right
/// sides. The work of [`linear`] without its covariance, for use inside a fit.
pub(crate) struct Projector<'a, const N: usize> {
    rows: &'a [[f64; N]],
    weights: &'a [f64],
    /// Lower triangle of the Cholesky factor.
    factor: [[f64; N]; N],
}

impl<'a, const N: usize> Projector<'a, N> {
    /// Nothing when the rows do not tell the coefficients.
    pub(crate) fn new(rows: &'a [[f64; N]], weights: &'a [f64]) -> Option<Self> {
        let mut h = [[0.0; N]; N];
        for (row, weight) in rows.iter().zip(weights) {
            let weighted = row.map(|value| weight * value);
            for i in 0..N {
                for j in 0..=i {
                    h[i][j] += weighted[i] * row[j];
                }
            }
        }
        for i in 0..N {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| h[i][k] * h[j][k]).sum();
                let rest = h[i][j] - sum;
                if i == j {
                    if rest.is_nan() || rest <= 1e-14 * h[i][i] {
                        return None;
                    }
                    h[i][i] = rest.sqrt();
                } else {
                    h[i][j] = rest / h[j][j];
                }
            }
        }
        Some(Self { rows, weights, factor: h })
    }

    /// The coefficients that describe `y` best.
    pub(crate) fn coefficients(&self, y: &[f64]) -> [f64; N] {
        let mut g = [0.0; N];
        for ((row, y), weight) in self.rows.iter().zip(y).zip(self.weights) {
            let weighted = weight * y;
            for i in 0..N {
                g[i] += weighted * row[i];
            }
        }
        let h = &self.factor;
        for i in 0..N {
            let sum: f64 = (0..i).map(|k| h[i][k] * g[k]).sum();
            g[i] = (g[i] - sum) / h[i][i];
        }
        for i in (0..N).rev() {
            let sum: f64 = (i + 1..N).map(|k| h[k][i] * g[k]).sum();
            g[i] = (g[i] - sum) / h[i][i];
        }
        g
    }

    /// What is left of `column` when the best combination of the rows' functions is taken from it.
    pub(crate) fn beyond(&self, column: &[f64]) -> Vec<f64> {
        let c = self.coefficients(column);
        let part = |row: &[f64; N]| (0..N).map(|k| row[k] * c[k]).sum::<f64>();
        self.rows.iter().zip(column).map(|(row, value)| value - part(row)).collect()
    }
}

/// Coefficients of a weighted linear fit whose points are rows of `N` basis values; nothing when they do not tell them.
pub(crate) fn project<const N: usize>(rows: &[[f64; N]], y: &[f64], weights: &[f64]) -> Option<[f64; N]> {
    let found = Projector::new(rows, weights)?.coefficients(y);
    found.iter().all(|value| value.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_projection_agrees_with_the_long_one() {
        let t: Vec<f64> = (0..30).map(|i| 0.1 * f64::from(i)).collect();
        let y: Vec<f64> = t.iter().map(|t| 2.0 - 0.7 * t + 0.3 * t.exp()).collect();
        let weights: Vec<f64> = t.iter().map(|t| 1.0 + t).collect();
        let columns = vec![vec![1.0; 30], t.clone(), t.iter().map(|t| t.exp()).collect()];
        let rows: Vec<[f64; 3]> = t.iter().map(|t| [1.0, *t, t.exp()]).collect();
        let (long, _) = linear(&columns, &y, &weights).unwrap();
        let short = project(&rows, &y, &weights).unwrap();
        for (index, wanted) in [2.0, -0.7, 0.3].into_iter().enumerate() {
            assert!((short[index] - wanted).abs() < 1e-10 && (long[index] - wanted).abs() < 1e-8, "{short:?} {long:?}");
        }
        let same: Vec<[f64; 2]> = t.iter().map(|t| [*t, *t]).collect();
        assert_eq!(project(&same, &y, &weights), None);
    }

    #[test]
    fn misra1a_of_the_nist_collection_is_solved_from_both_starts() {
        // y = b1 (1 - exp(-b2 x)); certified b1 = 238.94212918, b2 = 5.5015643181e-4.
        let x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0];
        let y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78];
        for start in [[500.0, 1e-4], [250.0, 5e-4]] {
            let found = minimise(&start, &[1e-3, 1e-9], 1e9, Effort::new(200, 1e-13), |p| {
                x.iter().zip(&y).map(|(x, y): (&f64, &f64)| y - p[0] * -(-p[1] * x).exp_m1()).collect()
            })
            .unwrap();
            assert!((found.p[0] / 238.942_129_18 - 1.0).abs() < 1e-6, "{:?}", found.p);
            assert!((found.p[1] / 5.501_564_318_1e-4 - 1.0).abs() < 1e-6, "{:?}", found.p);
            assert!(found.converged);
        }
    }
}

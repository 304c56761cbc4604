//! Levenberg-Marquardt to the maximum of the posterior. Scales and background are solved exactly at every step
//! (variable projection), the scales without going below zero.

use std::time::Duration;

use nalgebra::{DMatrix, DVector};

use super::lines::Frames;
use super::model::{LIMIT_SIGMAS, Model};
use crate::quantify::linear;

/// Two accepted steps in a row that lower the objective by less than this share of it end the fit.
const SMALL_DECREASE: f64 = 3e-5;
/// So does one step by less than this share.
const TINY_DECREASE: f64 = 2e-6;
const LAMBDA_START: f64 = 1e-3;
const LAMBDA_LOWER: f64 = 0.2;
const LEAST_LAMBDA: f64 = 1e-7;
const LAMBDA_RAISE: f64 = 6.0;
/// A step that failed was no small one: damping that cannot be felt is not worth another try.
const LAMBDA_AFTER_FAILURE: f64 = 1e-2;
const MOST_TRIES: usize = 8;
/// No step may move a parameter by more than this many standard deviations of its prior.
const MOST_SIGMAS_A_STEP: f64 = 1.0;
/// Windows follow the widths through these first iterations, and every so often after them.
const EARLY_ITERATIONS: usize = 4;
const REFRAME_EVERY: usize = 6;
/// Points that are worked on together: their columns fit into the second-level cache.
const BLOCK: usize = 512;

/// How a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Converged,
    Iterations,
    Time,
}

/// The best point that was found.
pub(super) struct Fitted {
    pub(super) p: Vec<f64>,
    pub(super) linear: Vec<f64>,
    pub(super) calculated: Vec<f64>,
    pub(super) weights: Vec<f64>,
    /// Σ w (y - f)² with the variance of the model.
    pub(super) chi_squared: f64,
    pub(super) deviance: f64,
    pub(super) penalty: f64,
    pub(super) iterations: usize,
    pub(super) end: End,
    /// JᵀWJ over scales, background and nonlinear parameters, in this order, without the priors.
    pub(super) information: DMatrix<f64>,
}

/// The equations are singular, or the start closes no cell.
pub(super) struct Singular;

struct Point {
    p: Vec<f64>,
    values: Vec<Vec<f64>>,
    linear: Vec<f64>,
    calculated: Vec<f64>,
    objective: f64,
}

pub(super) fn fit(model: &Model<'_>, elapsed: &dyn Fn() -> Duration) -> Result<Fitted, Singular> {
    let budget = model.settings.budget;
    let mut weights = model.first_weights();
    let mut background = Background::new(model, &weights);
    let mut frames = model.frames(&model.start()).ok_or(Singular)?;
    let mut best = point(model, model.start(), &weights, &background, &frames)?.ok_or(Singular)?;
    let mut lambda = LAMBDA_START;
    let (mut iterations, mut small) = (0, 0);
    let mut end = None;
    let mut information = None;
    while end.is_none() {
        if iterations >= budget.iterations {
            end = Some(End::Iterations);
            break;
        }
        if elapsed() >= budget.time {
            end = Some(End::Time);
            break;
        }
        iterations += 1;
        weights = model.weights(&best.calculated);
        background = Background::new(model, &weights);
        if iterations <= EARLY_ITERATIONS || iterations.is_multiple_of(REFRAME_EVERY) {
            let renewed = model.frames(&best.p).ok_or(Singular)?;
            if renewed != frames {
                frames = renewed;
                best = point(model, best.p, &weights, &background, &frames)?.ok_or(Singular)?;
            }
        }
        let (h, g) = equations(model, &best, &weights, &frames, &mut information)?;
        let mut accepted = false;
        for _ in 0..MOST_TRIES {
            let p = step(model, &h, &g, &best.p, lambda)?;
            let trial = point(model, p, &weights, &background, &frames)?;
            if let Some(trial) = trial.filter(|trial| trial.objective <= best.objective) {
                let decrease = (best.objective - trial.objective) / best.objective.abs().max(1.0);
                small = if decrease < SMALL_DECREASE { small + 1 } else { 0 };
                if decrease < TINY_DECREASE {
                    small = 2;
                }
                best = trial;
                lambda = (lambda * LAMBDA_LOWER).max(LEAST_LAMBDA);
                accepted = true;
                break;
            }
            lambda = (lambda * LAMBDA_RAISE).max(LAMBDA_AFTER_FAILURE);
        }
        // No step lowers the objective any more: this is the minimum to the precision of the arithmetic.
        if small >= 2 || !accepted {
            end = Some(End::Converged);
        }
    }
    finish(model, best, iterations, end.unwrap_or(End::Converged), &frames, information)
}

fn finish(
    model: &Model<'_>,
    best: Point,
    iterations: usize,
    end: End,
    frames: &Frames,
    information: Option<DMatrix<f64>>,
) -> Result<Fitted, Singular> {
    let weights = model.weights(&best.calculated);
    // A fit that converged has moved by next to nothing since its last equations.
    let information = match information {
        Some(information) if end == End::Converged => information,
        _ => {
            let jacobian = model.jacobian(&best.p, &best.linear, frames).ok_or(Singular)?;
            let columns: Vec<&[f64]> =
                best.values.iter().chain(&model.background).chain(&jacobian).map(Vec::as_slice).collect();
            normal(&columns, &weights, model.y).0
        }
    };
    let squares = model.y.iter().zip(&best.calculated).zip(&weights).map(|((y, f), w)| w * (y - f) * (y - f));
    Ok(Fitted {
        chi_squared: squares.sum(),
        deviance: model.deviance(&best.calculated),
        penalty: model.penalty(&best.p),
        p: best.p,
        linear: best.linear,
        calculated: best.calculated,
        weights,
        iterations,
        end,
        information,
    })
}

/// What the background contributes to the equations of the linear parameters: it depends on the weights alone.
struct Background {
    matrix: DMatrix<f64>,
    right: DVector<f64>,
}

impl Background {
    fn new(model: &Model<'_>, weights: &[f64]) -> Self {
        let columns: Vec<&[f64]> = model.background.iter().map(Vec::as_slice).collect();
        let (matrix, right) = normal(&columns, weights, model.y);
        Self { matrix, right }
    }
}

/// The objective at `p` with the best linear parameters; nothing inside when `p` closes no cell.
fn point(
    model: &Model<'_>,
    p: Vec<f64>,
    weights: &[f64],
    background: &Background,
    frames: &Frames,
) -> Result<Option<Point>, Singular> {
    let Some(values) = model.values(&p, frames) else { return Ok(None) };
    let (phases, terms) = (values.len(), model.background.len());
    let mut h = DMatrix::zeros(phases + terms, phases + terms);
    let mut g = DVector::zeros(phases + terms);
    h.view_mut((phases, phases), (terms, terms)).copy_from(&background.matrix);
    g.rows_mut(phases, terms).copy_from(&background.right);
    let mut weighted = vec![0.0; weights.len()];
    for i in 0..phases {
        for ((target, value), weight) in weighted.iter_mut().zip(&values[i]).zip(weights) {
            *target = value * weight;
        }
        g[i] = dot(&weighted, model.y);
        for (j, column) in values.iter().chain(&model.background).enumerate().skip(i) {
            h[(i, j)] = dot(&weighted, column);
            h[(j, i)] = h[(i, j)];
        }
    }
    let linear = linear::non_negative(&h, &g, phases).ok_or(Singular)?;
    let linear: Vec<f64> = linear.iter().copied().collect();
    let calculated = model.calculated(&values, &linear);
    let objective = model.deviance(&calculated) + model.penalty(&p);
    Ok(Some(Point { p, values, linear, calculated, objective }))
}

/// H and g of all parameters: scales, background, nonlinear with their priors; `information` keeps H without them.
fn equations(
    model: &Model<'_>,
    at: &Point,
    weights: &[f64],
    frames: &Frames,
    information: &mut Option<DMatrix<f64>>,
) -> Result<(DMatrix<f64>, DVector<f64>), Singular> {
    let jacobian = model.jacobian(&at.p, &at.linear, frames).ok_or(Singular)?;
    let columns: Vec<&[f64]> = at.values.iter().chain(&model.background).chain(&jacobian).map(Vec::as_slice).collect();
    let residual: Vec<f64> = model.y.iter().zip(&at.calculated).map(|(y, f)| y - f).collect();
    let (mut h, mut g) = normal(&columns, weights, &residual);
    *information = Some(h.clone());
    let offset = model.linear_count();
    for (index, parameter) in model.parameters.iter().enumerate() {
        let precision = 1.0 / (parameter.prior.sigma * parameter.prior.sigma);
        // A width that the data want to vanish is held by its prior alone, and the curvature that Gauss and Newton leave
        // out, which is the slope times the exponent, is then most of it.
        h[(offset + index, offset + index)] += (-parameter.kind.exponent() * g[offset + index]).max(0.0);
        h[(offset + index, offset + index)] += precision;
        g[offset + index] -= precision * (at.p[index] - parameter.prior.mean);
    }
    Ok((h, g))
}

/// A damped step of the nonlinear parameters, the linear ones following along.
fn step(model: &Model<'_>, h: &DMatrix<f64>, g: &DVector<f64>, p: &[f64], lambda: f64) -> Result<Vec<f64>, Singular> {
    let offset = model.linear_count();
    let mut damped = h.clone();
    for i in offset..h.nrows() {
        damped[(i, i)] *= 1.0 + lambda;
    }
    let delta = linear::solve(&damped, g).ok_or(Singular)?;
    let bounded = |(index, value): (usize, &f64)| {
        let prior = &model.parameters[index].prior;
        let most = MOST_SIGMAS_A_STEP * prior.sigma;
        let reach = LIMIT_SIGMAS * prior.sigma;
        (value + delta[offset + index].clamp(-most, most)).clamp(prior.mean - reach, prior.mean + reach)
    };
    Ok(p.iter().enumerate().map(bounded).collect())
}

/// AᵀWA and AᵀWr for columns stored one after the other, block by block.
pub(super) fn normal(columns: &[&[f64]], weights: &[f64], right: &[f64]) -> (DMatrix<f64>, DVector<f64>) {
    let (count, points) = (columns.len(), weights.len());
    let mut h = DMatrix::zeros(count, count);
    let mut g = DVector::zeros(count);
    let mut weighted = [0.0; BLOCK];
    for start in (0..points).step_by(BLOCK) {
        let range = start..(start + BLOCK).min(points);
        let weighted = &mut weighted[..range.len()];
        for i in 0..count {
            for ((target, value), weight) in
                weighted.iter_mut().zip(&columns[i][range.clone()]).zip(&weights[range.clone()])
            {
                *target = value * weight;
            }
            g[i] += dot(weighted, &right[range.clone()]);
            let mut j = i;
            while j + 4 <= count {
                let four = [0, 1, 2, 3].map(|k| &columns[j + k][range.clone()]);
                for (k, value) in four_dots(weighted, four).into_iter().enumerate() {
                    h[(i, j + k)] += value;
                }
                j += 4;
            }
            for (j, column) in columns.iter().enumerate().skip(j) {
                h[(i, j)] += dot(weighted, &column[range.clone()]);
            }
        }
    }
    for i in 0..count {
        for j in 0..i {
            h[(i, j)] = h[(j, i)];
        }
    }
    (h, g)
}

/// Four dot products with one vector, so that it is read once.
fn four_dots(a: &[f64], b: [&[f64]; 4]) -> [f64; 4] {
    let count = a.len();
    let [b0, b1, b2, b3] = b.map(|b| &b[..count]);
    let whole = count / 2 * 2;
    let mut strands = [[0.0; 2]; 4];
    for at in (0..whole).step_by(2) {
        for lane in 0..2 {
            let x = a[at + lane];
            strands[0][lane] += x * b0[at + lane];
            strands[1][lane] += x * b1[at + lane];
            strands[2][lane] += x * b2[at + lane];
            strands[3][lane] += x * b3[at + lane];
        }
    }
    if whole < count {
        for (strand, b) in strands.iter_mut().zip([b0, b1, b2, b3]) {
            strand[0] += a[whole] * b[whole];
        }
    }
    strands.map(|strand| strand[0] + strand[1])
}

/// Dot product in eight strands, which the compiler can keep in vector registers; the order of summation is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut strands = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            strands[k] += x[k] * y[k];
        }
    }
    strands.iter().sum::<f64>() + tail
}

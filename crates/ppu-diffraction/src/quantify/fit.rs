//! The fit: a coarse search for the lines of the perovskite, then Levenberg-Marquardt with the linear parameters
//! solved exactly at every step.

use nalgebra::{DMatrix, DVector};

use super::linear;
use super::model::{Evaluated, Kind, LIMIT_SIGMAS, Model, normal_matrix, projection};

/// Coarse search over the cell of the perovskite, in steps finer than the width of a line at 60°.
const SEARCH_CELL_REACH: f64 = 0.015;
const SEARCH_CELL_STEPS: i32 = 15;
/// Displacements tried in the coarse search, in standard deviations of the prior.
const SEARCH_DISPLACEMENTS: [f64; 3] = [-0.8, 0.0, 0.8];
/// Lines are broadened in the search (ln X in degrees) so that a near miss still overlaps.
const SEARCH_LN_SIZE: f64 = -1.0;
/// Two accepted steps in a row that lower the objective by less than this share of it end the fit.
const SMALL_DECREASE: f64 = 1e-5;
const LAMBDA_START: f64 = 1e-3;
const LAMBDA_LOWER: f64 = 0.3;
const LAMBDA_RAISE: f64 = 5.0;
const MOST_TRIES: usize = 8;

/// The best point that was found.
pub(super) struct Fitted {
    pub(super) p: Vec<f64>,
    pub(super) c: DVector<f64>,
    pub(super) calculated: Vec<f64>,
    pub(super) weights: Vec<f64>,
    /// Σ w (y - f)² at the end, without the penalty of the priors.
    pub(super) chi_squared: f64,
    pub(super) penalty: f64,
    pub(super) iterations: usize,
    pub(super) converged: bool,
    /// H⁻¹ over scales, background and nonlinear parameters, in this order.
    pub(super) covariance: DMatrix<f64>,
}

/// Why the numbers broke down.
pub(super) struct Singular;

pub(super) fn fit(model: &Model<'_>, max_iterations: usize) -> Result<Fitted, Singular> {
    let mut weights = model.first_weights();
    let mut p = search(model, &weights)?;
    let mut evaluated = model.evaluate(&p);
    let mut c = linear_step(model, &evaluated, &weights)?;
    let mut calculated = model.calculated(evaluated.columns.iter().map(|column| column.value.as_slice()), &c);
    let mut lambda = LAMBDA_START;
    let (mut iterations, mut small, mut converged) = (0, 0, false);
    while iterations < max_iterations && !converged {
        iterations += 1;
        weights = model.weights(&calculated);
        let current = chi_squared(model.y, &calculated, &weights) + model.penalty(&p);
        let (h, g) = normal_equations(model, &evaluated, &c, &p, &weights, &calculated);
        let mut accepted = false;
        for _ in 0..MOST_TRIES {
            let trial_p = step(model, &h, &g, &p, lambda)?;
            let trial = model.evaluate(&trial_p);
            let trial_c = linear_step(model, &trial, &weights)?;
            let trial_f = model.calculated(trial.columns.iter().map(|column| column.value.as_slice()), &trial_c);
            let objective = chi_squared(model.y, &trial_f, &weights) + model.penalty(&trial_p);
            if objective <= current {
                small = if current - objective < SMALL_DECREASE * current { small + 1 } else { 0 };
                (p, c, calculated, evaluated) = (trial_p, trial_c, trial_f, trial);
                lambda = (lambda * LAMBDA_LOWER).max(1e-9);
                accepted = true;
                break;
            }
            lambda *= LAMBDA_RAISE;
        }
        // No step lowers the objective any more: this is the minimum to the precision of the arithmetic.
        converged = small >= 2 || !accepted;
    }
    weights = model.weights(&calculated);
    let (h, _) = normal_equations(model, &evaluated, &c, &p, &weights, &calculated);
    let covariance = linear::inverse(&h).ok_or(Singular)?;
    let chi = chi_squared(model.y, &calculated, &weights);
    let penalty = model.penalty(&p);
    Ok(Fitted { p, c, calculated, weights, chi_squared: chi, penalty, iterations, converged, covariance })
}

fn chi_squared(y: &[f64], f: &[f64], weights: &[f64]) -> f64 {
    y.iter().zip(f).zip(weights).map(|((y, f), w)| w * (y - f) * (y - f)).sum()
}

/// The best cell and displacement of the perovskite on a coarse grid, everything else at its prior mean.
fn search(model: &Model<'_>, weights: &[f64]) -> Result<Vec<f64>, Singular> {
    let mut p = model.start();
    let place = |kind: Kind| model.parameters.iter().position(|parameter| parameter.kind == kind);
    let (Some(cell), Some(displacement), Some(size)) =
        (place(Kind::Cell(0)), place(Kind::Displacement), place(Kind::Size(0)))
    else {
        return Ok(p);
    };
    let mut broad = p.clone();
    broad[size] = SEARCH_LN_SIZE;
    let mut columns: Vec<Vec<f64>> =
        (0..model.phases.len()).map(|phase| model.phase_columns::<false>(phase, &p).value).collect();
    let mut best = (f64::INFINITY, 0.0, 0.0);
    let mut known: Option<(DMatrix<f64>, DVector<f64>)> = None;
    for shift in SEARCH_DISPLACEMENTS {
        broad[displacement] = shift * model.parameters[displacement].sigma;
        for index in -SEARCH_CELL_STEPS..=SEARCH_CELL_STEPS {
            broad[cell] = SEARCH_CELL_REACH * f64::from(index) / f64::from(SEARCH_CELL_STEPS);
            columns[0] = model.phase_columns::<false>(0, &broad).value;
            let all: Vec<&[f64]> = columns.iter().chain(&model.background).map(Vec::as_slice).collect();
            // Only the column of the perovskite changes from one trial to the next.
            let (h, g) =
                known.get_or_insert_with(|| (normal_matrix(&all, weights), projection(&all, weights, model.y)));
            let row = projection(&all, weights, all[0]);
            for (j, value) in row.iter().enumerate() {
                h[(0, j)] = *value;
                h[(j, 0)] = *value;
            }
            g[0] = projection(&all[..1], weights, model.y)[0];
            let c = linear::non_negative(h, g, model.phases.len()).ok_or(Singular)?;
            // ½ cᵀHc - gᵀc is the objective up to a constant.
            let objective = 0.5 * (c.transpose() * &*h * &c)[(0, 0)] - g.dot(&c);
            if objective < best.0 {
                best = (objective, broad[cell], broad[displacement]);
            }
        }
    }
    (p[cell], p[displacement]) = (best.1, best.2);
    Ok(p)
}

fn linear_step(model: &Model<'_>, evaluated: &Evaluated, weights: &[f64]) -> Result<DVector<f64>, Singular> {
    let values = evaluated.columns.iter().map(|column| column.value.as_slice());
    let all: Vec<&[f64]> = values.chain(model.background.iter().map(Vec::as_slice)).collect();
    let (h, g) = (normal_matrix(&all, weights), projection(&all, weights, model.y));
    linear::non_negative(&h, &g, model.phases.len()).ok_or(Singular)
}

/// H and g of all parameters: scales, background, nonlinear with their priors.
fn normal_equations(
    model: &Model<'_>,
    evaluated: &Evaluated,
    c: &DVector<f64>,
    p: &[f64],
    weights: &[f64],
    calculated: &[f64],
) -> (DMatrix<f64>, DVector<f64>) {
    let nonlinear = model.nonlinear_columns(evaluated, c);
    let values = evaluated.columns.iter().map(|column| column.value.as_slice());
    let all: Vec<&[f64]> =
        values.chain(model.background.iter().map(Vec::as_slice)).chain(nonlinear.iter().map(Vec::as_slice)).collect();
    let residual: Vec<f64> = model.y.iter().zip(calculated).map(|(y, f)| y - f).collect();
    let mut h = normal_matrix(&all, weights);
    let mut g = projection(&all, weights, &residual);
    let offset = model.linear_count();
    for (index, parameter) in model.parameters.iter().enumerate() {
        let precision = 1.0 / (parameter.sigma * parameter.sigma);
        h[(offset + index, offset + index)] += precision;
        g[offset + index] -= precision * (p[index] - parameter.mean);
    }
    (h, g)
}

/// A damped step of the nonlinear parameters, the linear ones following along; phases without intensity stand still.
fn step(model: &Model<'_>, h: &DMatrix<f64>, g: &DVector<f64>, p: &[f64], lambda: f64) -> Result<Vec<f64>, Singular> {
    let offset = model.linear_count();
    let mut damped = h.clone();
    for i in offset..h.nrows() {
        damped[(i, i)] *= 1.0 + lambda;
    }
    let delta = linear::solve(&damped, g).ok_or(Singular)?;
    let bounded = |(index, value): (usize, &f64)| {
        let parameter = &model.parameters[index];
        let reach = LIMIT_SIGMAS * parameter.sigma;
        // One prior width a step keeps a bad start from jumping over the minimum.
        let change = delta[offset + index].clamp(-parameter.sigma, parameter.sigma);
        (value + change).clamp(parameter.mean - reach, parameter.mean + reach)
    };
    Ok(p.iter().enumerate().map(bounded).collect())
}

//! A small limited-memory quasi-Newton minimiser with bounds: L-BFGS directions on the free variables, Armijo search along
//! the projected path. For smooth functions of a handful of variables.

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 8;
/// Sufficient decrease of Armijo's rule.
const DECREASE: f64 = 1e-4;

/// Value and gradient, or `None` where the function cannot be computed.
pub(crate) type Evaluated = Option<(f64, Vec<f64>)>;

/// The best point found from `start`, and its value; `None` if the start itself cannot be computed. It ends after a number
/// of iterations, or where one lowers the value by less than `tolerance` relative to 1 + |value|.
pub(crate) fn minimize(
    function: impl Fn(&[f64]) -> Evaluated,
    start: &[f64],
    bounds: &[(f64, f64)],
    (iterations, tolerance): (usize, f64),
) -> Option<(Vec<f64>, f64)> {
    let project =
        |x: &[f64]| -> Vec<f64> { x.iter().zip(bounds).map(|(x, (low, high))| x.clamp(*low, *high)).collect() };
    let mut x = project(start);
    let (mut value, mut gradient) = function(&x)?;
    let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..iterations {
        let free = free_variables(&x, &gradient, bounds);
        let steepest: Vec<f64> = gradient.iter().zip(&free).map(|(g, free)| if *free { *g } else { 0.0 }).collect();
        if steepest.iter().all(|g| g.abs() < 1e-6) {
            break;
        }
        let mut direction = two_loop(&memory, &steepest, &free);
        if dot(&direction, &steepest) >= 0.0 {
            memory.clear();
            direction = steepest.iter().map(|g| -g).collect();
        }
        // Without curvature information a unit step along the gradient of a logarithm is too far.
        let first = if memory.is_empty() { 1.0 / steepest.iter().map(|g| g.abs()).sum::<f64>().max(1.0) } else { 1.0 };
        let Some((next, next_value, next_gradient)) =
            line_search(&function, &project, (&x, value, &steepest), &direction, first)
        else {
            if memory.is_empty() {
                break;
            }
            memory.clear();
            continue;
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let converged = value - next_value < tolerance * (1.0 + value.abs());
        if dot(&step, &change) > 1e-12 {
            memory.push((step, change));
            if memory.len() > MEMORY {
                memory.remove(0);
            }
        }
        (x, value, gradient) = (next, next_value, next_gradient);
        if converged {
            break;
        }
    }
    Some((x, value))
}

/// Variables that are not held at a bound by the gradient.
fn free_variables(x: &[f64], gradient: &[f64], bounds: &[(f64, f64)]) -> Vec<bool> {
    let held = |(x, g): (&f64, &f64), (low, high): &(f64, f64)| (*x <= *low && *g > 0.0) || (*x >= *high && *g < 0.0);
    x.iter().zip(gradient).zip(bounds).map(|(at, bound)| !held(at, bound)).collect()
}

/// −H g by the two-loop recursion, on the free variables.
fn two_loop(memory: &[(Vec<f64>, Vec<f64>)], gradient: &[f64], free: &[bool]) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(memory.len());
    for (step, change) in memory.iter().rev() {
        let alpha = dot(step, &q) / dot(step, change);
        q.iter_mut().zip(change).for_each(|(q, change)| *q -= alpha * change);
        alphas.push(alpha);
    }
    if let Some((step, change)) = memory.last() {
        let scale = dot(step, change) / dot(change, change);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, change), alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = dot(change, &q) / dot(step, change);
        q.iter_mut().zip(step).for_each(|(q, step)| *q += (alpha - beta) * step);
    }
    q.iter().zip(free).map(|(q, free)| if *free { -q } else { 0.0 }).collect()
}

type Accepted = (Vec<f64>, f64, Vec<f64>);

fn line_search(
    function: &impl Fn(&[f64]) -> Evaluated,
    project: &impl Fn(&[f64]) -> Vec<f64>,
    (x, value, gradient): (&[f64], f64, &[f64]),
    direction: &[f64],
    first: f64,
) -> Option<Accepted> {
    let mut length = first;
    for _ in 0..30 {
        let trial: Vec<f64> = x.iter().zip(direction).map(|(x, d)| x + length * d).collect();
        let trial = project(&trial);
        let moved: f64 = trial.iter().zip(x).zip(gradient).map(|((t, x), g)| (t - x) * g).sum();
        if let Some((next, slope)) = function(&trial)
            && next <= value + DECREASE * moved
            && moved < 0.0
        {
            return Some((trial, next, slope));
        }
        length *= 0.5;
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_valley_with_and_without_a_bound() {
        let rosenbrock = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Some((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        };
        let (x, value) = minimize(rosenbrock, &[-1.2, 1.0], &[(-5.0, 5.0), (-5.0, 5.0)], (200, 1e-9)).unwrap();
        assert!(value < 1e-9 && (x[0] - 1.0).abs() < 1e-4, "{x:?} {value}");
        let (x, _) = minimize(rosenbrock, &[-1.2, 1.0], &[(-5.0, 0.5), (-5.0, 5.0)], (200, 1e-9)).unwrap();
        assert!((x[0] - 0.5).abs() < 1e-6 && (x[1] - 0.25).abs() < 1e-4, "{x:?}");
    }

    /// scipy 1.17.1, `minimize(method="L-BFGS-B", bounds=[(-2, 0.6), (-1, 2), (0.3, 2)])` from the same start.
    #[test]
    fn two_active_bounds_as_in_scipy() {
        let function = |x: &[f64]| {
            let (a, b, c) = (x[1] - x[0] * x[0], 1.0 - x[0], x[2] - x[0] * x[1]);
            let by_first = -400.0 * a * x[0] - 2.0 * b - 20.0 * c * x[1];
            Some((100.0 * a * a + b * b + 10.0 * c * c, vec![by_first, 200.0 * a - 20.0 * c * x[0], 20.0 * c]))
        };
        let bounds = [(-2.0, 0.6), (-1.0, 2.0), (0.3, 2.0)];
        let (x, value) = minimize(function, &[-1.2, 1.0, 0.5], &bounds, (200, 1e-14)).unwrap();
        assert!((value - 0.228_108_108_108_109_14).abs() < 1e-9, "{x:?} {value}");
        let expected = [0.6, 0.364_864_861_714_418_7, 0.3];
        assert!(x.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{x:?}");
    }
}

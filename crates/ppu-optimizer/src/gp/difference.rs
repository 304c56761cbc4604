//! Hyperparameters of a chain of functions, each a multiple of the one below plus a difference: by the mode of their
//! posterior under normal priors on logarithms.

use crate::gp::fit::{Below, EFFORT, Hyperparameters, LENGTH, Posterior, spread};
use crate::gp::lbfgs::minimize;
use crate::gp::prior::length_mode;
use crate::gp::readings::Readings;

/// Centre and sd of a normal density.
type Normal = (f64, f64);

/// Of ln σ_f² of the lowest function, whose values are standardised.
const LOWEST_SIGNAL: Normal = (0.0, 1.0);
/// Of ln ℓ of a difference relative to the lowest function: it varies in the same coordinates, and is no rougher.
const LENGTHS: Normal = (0.3, 0.7);
/// Of ln σ_f² of a difference: standardised values of useful functions differ by less than they vary.
const SIGNAL: Normal = (-2.0, 3.0);
/// Of ln σ_n²: noise may be anything from none to all of the values. A prior that insists on some hides an optimum that
/// none of it blurs.
const NOISE: Normal = (-10.0, 6.0);
/// Of the factor: standardised values of useful functions have one near 1.
const FACTOR: Normal = (1.0, 0.7);
/// Bounds of ln σ_f², ln σ_n² and the factor.
const BOUNDS: [(f64, f64); 3] = [(-16.0, 3.0), (-24.0, 1.0), (-5.0, 5.0)];
/// Where searches start: a useful function below with and without noise, and one that says little.
const STARTS: [[f64; 3]; 3] = [[-2.0, -5.0, 1.0], [-3.0, -14.0, 1.0], [-0.2, -3.0, 0.2]];
/// The same for the lowest: with and without noise.
const LOWEST_STARTS: [[f64; 2]; 2] = [[0.0, -4.0], [0.0, -12.0]];

/// Hyperparameters of the lowest function. Its length scales have the dimension-scaled prior: those that a dozen results
/// seem to show by chance would spoil every function above.
pub(crate) fn lowest_mode(readings: &Readings) -> Option<Hyperparameters> {
    let length = length_mode(readings.dimensions);
    let lengths = vec![length; readings.dimensions];
    let prior: Vec<Normal> = lengths.iter().map(|_| (length, 3.0_f64.sqrt())).chain([LOWEST_SIGNAL, NOISE]).collect();
    let subset = spread(readings);
    let theta = mode(subset.as_ref().unwrap_or(readings), None, &prior, &lengths, &LOWEST_STARTS)?;
    Some(Hyperparameters::from_slice(&theta))
}

/// Hyperparameters of the difference, and the factor on what is `below`. `lengths` are ln ℓ of the lowest function.
pub(crate) fn difference_mode(readings: &Readings, below: &Below, lengths: &[f64]) -> Option<(Hyperparameters, f64)> {
    let lengths: Vec<f64> = lengths.iter().map(|length| length + LENGTHS.0).collect();
    let prior: Vec<Normal> = lengths.iter().map(|length| (*length, LENGTHS.1)).chain([SIGNAL, NOISE, FACTOR]).collect();
    let theta = mode(readings, Some(below), &prior, &lengths, &STARTS)?;
    let (factor, hyper) = theta.split_last()?;
    Some((Hyperparameters::from_slice(hyper), *factor))
}

/// The best mode that is found from `lengths` followed by each of the starts; ties go to the earlier one.
fn mode<const N: usize>(
    readings: &Readings,
    below: Option<&Below>,
    prior: &[Normal],
    lengths: &[f64],
    starts: &[[f64; N]],
) -> Option<Vec<f64>> {
    let density = |theta: &[f64], slopes: &mut [f64]| {
        let mut value = 0.0;
        for ((at, (centre, sd)), slope) in theta.iter().zip(prior).zip(slopes) {
            let z = (at - centre) / sd;
            value += 0.5 * z * z;
            *slope += z / sd;
        }
        value
    };
    let posterior = Posterior::new(readings, &density, below);
    let bounds: Vec<(f64, f64)> =
        std::iter::repeat_n(LENGTH, lengths.len()).chain(BOUNDS).take(lengths.len() + N).collect();
    let searched = starts.iter().filter_map(|start| {
        let start = [lengths, start].concat();
        minimize(|theta| posterior.evaluate(theta), &start, &bounds, EFFORT)
    });
    searched.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(theta, _)| theta)
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;

    #[test]
    fn the_slope_of_the_factor_agrees_with_differences() {
        let points: Vec<Vec<f64>> = (0..6).map(|at| vec![f64::from(at) / 5.0, f64::from((at * 3) % 5) / 4.0]).collect();
        let values: Vec<f64> = points.iter().map(|x| (4.0 * x[0]).sin() + x[1]).collect();
        let readings = Readings::new(&points, &values, &[0.01; 6], false).unwrap();
        let half = DMatrix::from_fn(6, 6, |i, j| if i == j { 0.3 } else { 0.1 * points[i][0] * points[j][1] });
        let covariance = &half * half.transpose();
        let below = Below { mean: values.iter().map(|value| 0.8 * value - 0.1).collect(), covariance };
        let prior = |_: &[f64], _: &mut [f64]| 0.0;
        let posterior = Posterior::new(&readings, &prior, Some(&below));
        let theta = [-0.4, 0.2, -1.0, -3.0, 0.7];
        let (_, slopes) = posterior.evaluate(&theta).unwrap();
        for at in 0..theta.len() {
            let moved = |by: f64| {
                let mut theta = theta;
                theta[at] += by;
                posterior.evaluate(&theta).unwrap().0
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slopes[at] - difference).abs() < 1e-6 * (1.0 + difference.abs()), "{at}: {slopes:?} {difference}");
        }
    }
}

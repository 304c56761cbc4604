//! The Gaussian process against what is known exactly.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use ppu_optimizer::gp::{GaussianProcess, GpError, Prior, negative_log_posterior};
use ppu_optimizer::sequence::Recurrence;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

fn points(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f64>> {
    let sequence = Recurrence::new(dimensions, &mut ChaCha12Rng::seed_from_u64(seed));
    (0..count).map(|at| sequence.point(at)).collect()
}

fn wave(x: &[f64]) -> f64 {
    (3.0 * x[0]).sin() + 0.5 * (x[1] - 0.3).powi(2) + 0.1 * x[2]
}

#[test]
fn the_gradient_agrees_with_central_differences() {
    let x = points(14, 3, 1);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let variances: Vec<f64> = (0..14).map(|at| 0.001 * f64::from(at)).collect();
    for theta in [[-0.5, 0.1, 0.7, 0.2, -3.0], [0.3, -1.2, 1.5, -0.6, -6.0]] {
        let (_, gradient) = negative_log_posterior(&x, &y, &variances, Prior::DimensionScaled, &theta).unwrap();
        for k in 0..theta.len() {
            let h = 1e-5;
            let at = |step: f64| {
                let mut moved = theta;
                moved[k] += step;
                negative_log_posterior(&x, &y, &variances, Prior::DimensionScaled, &moved).unwrap().0
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            assert!(
                (gradient[k] - difference).abs() < 1e-6 * (1.0 + difference.abs()),
                "{k}: {} {difference}",
                gradient[k]
            );
        }
    }
}

#[test]
fn it_interpolates_a_smooth_function_and_knows_what_it_does_not_know() {
    let x = points(30, 3, 2);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let process = GaussianProcess::fit(&x, &y, &[0.0; 30]).unwrap();
    let mut worst: f64 = 0.0;
    for point in points(50, 3, 9) {
        let (mean, variance) = process.predict(&point);
        worst = worst.max((mean - wave(&point)).abs() / (variance.sqrt() + 0.02));
        assert!((mean - wave(&point)).abs() < 0.25, "{mean} {}", wave(&point));
    }
    assert!(worst < 4.0, "{worst}");
    assert!(process.predict(&x[0]).1 < process.predict(&[1.5, 1.5, 1.5]).1);
}

#[test]
fn noise_is_recovered() {
    let x = points(60, 2, 3);
    let mut rng = ChaCha12Rng::seed_from_u64(4);
    let y: Vec<f64> = x
        .iter()
        .map(|x| {
            (3.0 * x[0]).sin() + x[1] + 0.2 * ppu_optimizer::normal::quantile(rng.random::<f64>().clamp(0.01, 0.99))
        })
        .collect();
    let process = GaussianProcess::fit(&x, &y, &[0.0; 60]).unwrap();
    assert!((0.13..0.27).contains(&process.noise_sd()), "{}", process.noise_sd());
    let known = GaussianProcess::fit(&x, &y, &[0.04; 60]).unwrap();
    assert!(known.noise_sd() < 0.6 * process.noise_sd(), "{}", known.noise_sd());
}

#[test]
fn leave_one_out_equals_deletion() {
    let x = points(12, 3, 5);
    let y: Vec<f64> = x.iter().map(|x| 5.0 + 100.0 * wave(x)).collect();
    let process = GaussianProcess::fit(&x, &y, &[4.0; 12]).unwrap();
    for (at, one) in process.leave_one_out().iter().enumerate() {
        let without = |values: &[f64]| -> Vec<f64> {
            values.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, v)| *v).collect()
        };
        let kept: Vec<Vec<f64>> = x.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, x)| x.clone()).collect();
        let deleted = process.with_observations(&kept, &without(&y), &[4.0; 11]).unwrap();
        let (mean, variance) = deleted.predict(&x[at]);
        let noisy = variance + 4.0 + process.noise_sd().powi(2);
        assert!((mean - one.mean).abs() < 1e-5 * mean.abs(), "{mean} {}", one.mean);
        assert!((noisy.sqrt() - one.sd).abs() < 1e-5 * one.sd, "{} {}", noisy.sqrt(), one.sd);
    }
}

#[test]
fn a_believed_point_leaves_the_mean_and_lowers_the_variance() {
    let x = points(10, 3, 6);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let process = GaussianProcess::fit(&x, &y, &[0.0; 10]).unwrap();
    let believed = process.believe(&[0.9, 0.9, 0.1]).unwrap();
    for point in points(20, 3, 7) {
        let (before, after) = (process.predict(&point), believed.predict(&point));
        assert!((before.0 - after.0).abs() < 1e-6, "{before:?} {after:?}");
        assert!(after.1 <= before.1 + 1e-9);
    }
}

#[test]
fn joint_samples_have_the_predicted_moments() {
    let x = points(8, 3, 6);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let process = GaussianProcess::fit(&x, &y, &[0.0; 8]).unwrap();
    let at = vec![vec![0.2, 0.8, 0.5], vec![0.21, 0.8, 0.5], vec![0.9, 0.1, 0.9]];
    let draws = process.posterior_samples(&at, 512, &mut ChaCha12Rng::seed_from_u64(1)).unwrap();
    let correlation = |i: usize, j: usize| {
        let mean = |k: usize| draws.iter().map(|draw| draw[k]).sum::<f64>() / 512.0;
        let product =
            |a: usize, b: usize| draws.iter().map(|d| (d[a] - mean(a)) * (d[b] - mean(b))).sum::<f64>() / 512.0;
        product(i, j) / (product(i, i) * product(j, j)).sqrt()
    };
    for (k, point) in at.iter().enumerate() {
        let (mean, variance) = process.predict(point);
        let sampled = draws.iter().map(|draw| draw[k]).sum::<f64>() / 512.0;
        assert!((mean - sampled).abs() < 0.1 * variance.sqrt() + 1e-3, "{mean} {sampled}");
    }
    assert!(correlation(0, 1) > 0.95 && correlation(0, 2) < 0.8);
}

#[test]
fn hostile_data_are_an_answer_or_a_named_error() {
    let same = vec![vec![0.5, 0.5]; 4];
    let process = GaussianProcess::fit(&same, &[1.0, 1.0, 1.0, 1.0], &[0.0; 4]).unwrap();
    assert!((process.predict(&[0.5, 0.5]).0 - 1.0).abs() < 1e-9);
    let line: Vec<Vec<f64>> = (0..5).map(|at| vec![f64::from(at) * 0.2, f64::from(at) * 0.2]).collect();
    assert!(
        GaussianProcess::fit(&line, &[1.0, 2.0, 3.0, 4.0, 5.0], &[0.0; 5]).unwrap().predict(&[0.5, 0.5]).0.is_finite()
    );
    assert!(GaussianProcess::fit(&line[..1], &[3.0], &[0.0]).unwrap().predict(&[0.9, 0.0]).1 > 0.0);
    assert_eq!(GaussianProcess::fit(&[], &[], &[]).unwrap_err(), GpError::Empty);
    assert_eq!(
        GaussianProcess::fit(&line, &[1.0, f64::NAN, 3.0, 4.0, 5.0], &[0.0; 5]).unwrap_err(),
        GpError::NotFinite(1)
    );
    assert_eq!(GaussianProcess::fit(&line, &[1.0; 5], &[0.0, 0.0, -1.0, 0.0, 0.0]).unwrap_err(), GpError::NotFinite(2));
    assert_eq!(GaussianProcess::fit(&line, &[1.0; 4], &[0.0; 5]).unwrap_err(), GpError::Shape(4));
}

#[test]
fn points_predicted_together_are_as_if_predicted_one_by_one() {
    let x = points(40, 3, 5);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let process = GaussianProcess::fit(&x, &y, &[0.0; 40]).unwrap();
    // More than two blocks, the last one not full.
    let asked = points(300, 3, 6);
    let mut together = Vec::new();
    process.predict_rows(&asked.concat(), &mut together);
    assert_eq!(together.len(), asked.len());
    for (row, (mean, sd)) in asked.iter().zip(together) {
        let (alone, variance) = process.predict(row);
        assert!((mean - alone).abs() < 1e-8 && (sd - variance.sqrt()).abs() < 1e-6, "{row:?}");
    }
}

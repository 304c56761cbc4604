//! The Gaussian process against other programs and against its own long forms.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use ppu_optimizer::gp::{FitOptions, GaussianProcess, Hyperparameters, Prior, negative_log_posterior};

fn points(count: usize) -> Vec<Vec<f64>> {
    let ratio = |at: usize, factor: usize, modulus: usize| ((at * factor) % modulus) as f64 / modulus as f64;
    (0..count).map(|at| vec![ratio(at, 37, 101), ratio(at, 53, 97), ratio(at, 71, 89)]).collect()
}

fn wave(x: &[f64]) -> f64 {
    (5.0 * x[0]).sin() + x[1] * x[1] - 0.5 * x[2]
}

fn hyperparameters() -> Hyperparameters {
    let log_length = [0.4_f64, 0.9, 1.6].iter().map(|length| length.ln()).collect();
    Hyperparameters { log_length, log_signal: 1.7_f64.ln(), log_noise: 0.02_f64.ln() }
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1e-3)
}

/// scikit-learn 1.9.1: `GaussianProcessRegressor(C(1.7) * Matern([0.4, 0.9, 1.6], nu=2.5), alpha=0.02 + v/s² + 1.7e-8,
/// optimizer=None)` on the values standardised with `ddof=1`, at the same twelve points.
#[test]
fn predictions_agree_with_scikit_learn() {
    let x = points(12);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let count = 12.0;
    let centre = y.iter().sum::<f64>() / count;
    let scale = (y.iter().map(|y| (y - centre).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    // 1.7e-8 in all on the diagonal of the reference; the process adds 1.7e-12 of it by itself.
    let extra = (1.7e-8 - 1.7e-12) * scale * scale;
    let variances: Vec<f64> = (0..12).map(|at| 0.001 * f64::from(at % 3) + extra).collect();
    let process = GaussianProcess::with_hyperparameters(&x, &y, &variances, hyperparameters()).unwrap();
    let expected = [
        ([0.1, 0.2, 0.3], 0.306_678_274_135_387_5, 0.225_726_469_594_112_94),
        ([0.9, 0.5, 0.1], -0.790_360_598_698_116_9, 0.317_048_885_990_373_23),
        ([0.5, 0.5, 0.5], 0.691_760_453_878_526, 0.201_730_069_781_088_43),
    ];
    for (point, mean, sd) in expected {
        let (found, variance) = process.predict(&point);
        assert!(
            close(found, mean, 1e-8) && close(variance.sqrt(), sd, 1e-8),
            "{found} {mean} {} {sd}",
            variance.sqrt()
        );
    }
    let standard: Vec<f64> = y.iter().map(|y| (y - centre) / scale).collect();
    let known: Vec<f64> = variances.iter().map(|v| v / (scale * scale)).collect();
    let hyper = hyperparameters();
    let mut theta = hyper.log_length.clone();
    theta.extend([hyper.log_signal, hyper.log_noise]);
    let (value, _) = negative_log_posterior(&x, &standard, &known, Prior::Flat, &theta).unwrap();
    assert!(close(-value, -10.752_379_900_456_733, 1e-8), "{value}");
}

#[test]
fn gradients_agree_with_differences_for_every_prior_and_with_replicates() {
    let mut x = points(10);
    x.extend(points(4));
    let y: Vec<f64> = x.iter().enumerate().map(|(at, x)| wave(x) + 0.05 * (at % 5) as f64).collect();
    let variances = vec![0.002; 14];
    let theta = [-0.4, 0.2, 0.6, 0.3, -3.0];
    for prior in [Prior::Flat, Prior::DimensionScaled, Prior::SmoothNoisy, Prior::HalfRange] {
        let (_, gradient) = negative_log_posterior(&x, &y, &variances, prior, &theta).unwrap();
        for k in 0..theta.len() {
            let at = |step: f64| {
                let mut moved = theta;
                moved[k] += step;
                negative_log_posterior(&x, &y, &variances, prior, &moved).unwrap().0
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(close(gradient[k], difference, 1e-6), "{prior:?} {k}: {} {difference}", gradient[k]);
        }
    }
}

#[test]
fn pooled_replicates_equal_single_readings() {
    let mut x = points(8);
    x.extend(points(5));
    x.extend(points(2));
    let y: Vec<f64> = x.iter().enumerate().map(|(at, x)| wave(x) + 0.1 * (at as f64).sin()).collect();
    let variances = vec![0.0; y.len()];
    let fit = |pool| {
        let options = FitOptions { prior: Prior::SmoothNoisy, pool, ..FitOptions::default() };
        GaussianProcess::fit_with(&x, &y, &variances, options).unwrap()
    };
    let pooled = fit(true);
    assert_eq!((pooled.observations(), fit(false).observations()), (8, 15));
    // With one set of hyperparameters, on a common scale.
    let theta = [-0.2, 0.3, 0.1, 0.2, -2.5];
    let value = |pool: bool| {
        // Points that differ by less than the kernel can see, and so are not pooled.
        let apart: Vec<Vec<f64>> = x
            .iter()
            .enumerate()
            .map(|(at, x)| x.iter().map(|x| x + if pool { 0.0 } else { 1e-13 * at as f64 }).collect())
            .collect();
        negative_log_posterior(&apart, &y, &variances, Prior::Flat, &theta).unwrap().0
    };
    // The jitter of 1e-8 counts once a point, hence not to the last digit.
    assert!(close(value(true), value(false), 1e-6), "{} {}", value(true), value(false));
}

#[test]
fn an_appended_point_equals_a_new_factorisation_and_slopes_are_right() {
    let x = points(20);
    let y: Vec<f64> = x.iter().map(|x| wave(x)).collect();
    let first = GaussianProcess::with_hyperparameters(&x[..19], &y[..19], &[0.01; 19], hyperparameters()).unwrap();
    let appended = first.append(&x[19], y[19], 0.02).unwrap();
    let mut variances = vec![0.01; 19];
    variances.push(0.02);
    let again = first.with_observations(&x, &y, &variances).unwrap();
    let mut rows = Vec::new();
    for point in points(40).into_iter().skip(20) {
        let (a, b) = (appended.predict(&point), again.predict(&point));
        assert!(close(a.0, b.0, 1e-9) && close(a.1, b.1, 1e-9));
        let sloped = appended.predict_with_slopes(&point);
        for k in 0..3 {
            let at = |step: f64| {
                let mut moved = point.clone();
                moved[k] += step;
                let (mean, variance) = appended.predict(&moved);
                (mean, variance.sqrt())
            };
            let (high, low) = (at(1e-6), at(-1e-6));
            assert!((sloped.mean_slope[k] - (high.0 - low.0) / 2e-6).abs() < 1e-6);
            assert!((sloped.sd_slope[k] - (high.1 - low.1) / 2e-6).abs() < 1e-6);
        }
        appended.predict_rows(&point, &mut rows);
        assert!(close(rows[0].0, a.0, 1e-10) && close(rows[0].1, a.1.sqrt(), 1e-8));
    }
}

#[test]
fn the_noise_of_replicates_is_found() {
    // Spread over 20 seeds: the fitted sd is within 20 % in the median run.
    let mut ratios: Vec<f64> = (0..20_u32)
        .map(|seed| {
            let x = points(60);
            let noise = |at: usize| {
                let u = (f64::from(seed) * 61.803 + at as f64 * 17.32).sin() * 43_758.545;
                ppu_optimizer::normal::quantile((u - u.floor()).clamp(1e-6, 1.0 - 1e-6))
            };
            let y: Vec<f64> = x.iter().enumerate().map(|(at, x)| wave(x) + 0.15 * noise(at)).collect();
            let options = FitOptions { prior: Prior::Flat, ..FitOptions::default() };
            GaussianProcess::fit_with(&x, &y, &[0.0; 60], options).unwrap().noise_sd() / 0.15
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    assert!((0.8..1.2).contains(&ratios[10]), "{ratios:?}");
}

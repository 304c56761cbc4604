//! What is wanted of one observable, as a utility to be maximised whose expected gain has a closed form.

use serde::{Deserialize, Serialize};

use crate::improvement::log_expected_improvement;

/// A utility of an observable y.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Utility {
    /// y.
    More,
    /// −y.
    Less,
    /// −max(0, |y − value| − tolerance): 0 within the tolerance.
    Near {
        /// The value wanted.
        value: f64,
        /// Deviation that does not matter.
        tolerance: f64,
    },
}

impl Utility {
    /// The utility of a value.
    pub fn of(&self, y: f64) -> f64 {
        match *self {
            Utility::More => y,
            Utility::Less => -y,
            Utility::Near { value, tolerance } => -((y - value).abs() - tolerance).max(0.0),
        }
    }

    /// ln E[max(utility − level, 0)] for y ~ N(mean, sd²); −∞ where it is impossible.
    ///
    /// For a target it is the expectation of a trapezoid: with reach r = −level the four hinges at value ∓ tolerance ∓ r
    /// and value ± tolerance. The mean is mirrored below the value, where the hinges on the far side are the small ones.
    pub fn log_gain(&self, level: f64, mean: f64, sd: f64) -> f64 {
        match *self {
            Utility::More => log_expected_improvement(mean, sd, level),
            Utility::Less => log_expected_improvement(-mean, sd, level),
            Utility::Near { value, tolerance } => {
                let reach = -level;
                if reach <= 0.0 {
                    return f64::NEG_INFINITY;
                }
                if !reach.is_finite() {
                    return 0.0;
                }
                let mean = if mean > value { 2.0 * value - mean } else { mean };
                let hinge = |at: f64| log_expected_improvement(mean, sd, at);
                let rise = log_difference(hinge(value - tolerance - reach), hinge(value - tolerance));
                let fall = log_difference(hinge(value + tolerance), hinge(value + tolerance + reach));
                log_difference(rise, fall)
            }
        }
    }
}

/// ln(e^a − e^b); −∞ where b is not below a.
pub(crate) fn log_difference(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        return a;
    }
    if b >= a {
        return f64::NEG_INFINITY;
    }
    // ln(1 − e^x) by whichever form keeps its digits (Mächler).
    let x = b - a;
    a + if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// ln Σ e^a.
pub(crate) fn log_sum(terms: &[f64]) -> f64 {
    let highest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest.is_finite() { highest + terms.iter().map(|a| (a - highest).exp()).sum::<f64>().ln() } else { highest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::density;

    #[test]
    fn gains_agree_with_quadrature() {
        let utilities = [Utility::More, Utility::Less, Utility::Near { value: 1.68, tolerance: 0.02 }];
        for utility in utilities {
            for (level, mean, sd) in [(-0.3, 1.5, 0.1), (-0.05, 1.9, 0.2), (-0.3, 1.68, 0.05), (-1.0, 0.0, 1.0)] {
                let steps = 40_000;
                let sum: f64 = (0..steps)
                    .map(|at| {
                        let z = -8.0 + 16.0 * (f64::from(at) + 0.5) / f64::from(steps);
                        (utility.of(mean + sd * z) - level).max(0.0) * density(z)
                    })
                    .sum::<f64>()
                    * 16.0
                    / f64::from(steps);
                let found = utility.log_gain(level, mean, sd).exp();
                assert!((found - sum).abs() < 1e-6 * sum.max(1e-6), "{utility:?} {level} {mean} {found} {sum}");
            }
        }
    }

    #[test]
    fn a_target_far_away_still_has_a_slope() {
        let target = Utility::Near { value: 1.0, tolerance: 0.01 };
        let gain = |mean: f64| target.log_gain(-0.1, mean, 0.05);
        assert!(gain(4.0).is_finite() && gain(3.9) > gain(4.0) && gain(-2.0).is_finite());
        assert!((gain(1.0 + 0.7) - gain(1.0 - 0.7)).abs() < 1e-9);
        assert_eq!(target.log_gain(0.0, 1.0, 0.1), f64::NEG_INFINITY);
    }
}

//! Expected improvement in logarithms, exact where the improvement itself underflows (Ament et al., NeurIPS 2023).

use std::f64::consts::PI;

use crate::normal::{cumulative, density};

/// Below this z the direct formula loses digits to cancellation.
const DIRECT: f64 = -1.5;

/// ln h(z) and its slope, h(z) = φ(z) + z Φ(z).
///
/// For z = −x below −1.5, Mills' ratio R(x) = (1 − Φ(x))/φ(x) is Laplace's continued fraction 1/(x + c) with
/// c = 1/(x + 2/(x + 3/…)). Then h = φ (1 − x R) = φ c R without any cancellation, and the slope Φ/h is 1/c.
pub fn log_h(z: f64) -> (f64, f64) {
    if z > DIRECT {
        let (phi, capital) = (density(z), cumulative(z));
        let h = phi + z * capital;
        return (h.ln(), capital / h);
    }
    let x = -z;
    // The error falls as exp(−c x√n): this many terms leave less than rounding.
    let terms = (30.0 + 400.0 / (x * x)).ceil() as u32;
    let c = 1.0 / (2..=terms).rev().fold(x, |fraction, at| x + f64::from(at) / fraction);
    (-0.5 * z * z - 0.5 * (2.0 * PI).ln() + c.ln() - (x + c).ln(), 1.0 / c)
}

/// ln E[max(f − best, 0)] for f ~ N(mean, sd²); −∞ where sd is 0 and the mean does not exceed `best`.
pub fn log_expected_improvement(mean: f64, sd: f64, best: f64) -> f64 {
    if sd > 0.0 { sd.ln() + log_h((mean - best) / sd).0 } else { (mean - best).max(0.0).ln() }
}

/// Value of [`log_expected_improvement`] and its slopes by mean and by sd: h'/(h σ) and 1/σ − z h'/(h σ), h' = Φ.
pub fn log_expected_improvement_with_slopes(mean: f64, sd: f64, best: f64) -> (f64, f64, f64) {
    let z = (mean - best) / sd;
    let (value, slope) = log_h(z);
    (sd.ln() + value, slope / sd, (1.0 - z * slope) / sd)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// z, ln h(z) and its slope by mpmath 1.3 with 80 to 500 digits: `log(npdf(z) + z*ncdf(z))`, `ncdf(z)/h(z)`; beyond
    /// −100 the asymptotic series.
    #[expect(clippy::excessive_precision, reason = "the digits are those of the reference")]
    const EXACT: [(f64, f64, f64); 22] = [
        (-1e10, -50000000000000000047.0, 10000000000.0),
        (-1e4, -50000019.339619307157, 10000.000199999994),
        (-40.0, -808.29856835661996024, 40.049906657648518193),
        (-25.0, -319.86146358149595433, 25.079620234266532815),
        (-24.5, -307.44625385773019357, 24.581229341151866592),
        (-12.25, -80.980785058833982805, 12.410144356957086426),
        (-8.0, -37.122364261692633, 8.2393965068400668851),
        (-5.5, -19.543071452824105399, 5.8339546627230047604),
        (-5.0, -16.744301162660990143, 5.3618162412880885298),
        (-3.0, -7.8696860596030285171, 3.5323375176251605167),
        (-2.0, -4.7687835239171141569, 2.6794168839555859839),
        (-1.5, -3.5299359208057098515, 2.2795806941564461644),
        (-1.4375, -3.3889759266948722874, 2.2312037249098435712),
        (-1.0, -2.4851210257126413368, 1.9042712333296918229),
        (-0.5, -1.6205162643873199193, 1.5598731483480796712),
        (0.0, -0.91893853320467274178, 1.2533141373155002512),
        (0.25, -0.62297823090676788688, 1.1162715463877813478),
        (1.0, 0.080026218849306940029, 0.77663872520173925975),
        (3.0, 1.0987396653277077727, 0.33284096845179523558),
        (8.0, 2.0794415416798359377, 0.12499999999999992106),
        (20.0, 2.9957322735539909934, 0.05),
        (40.0, 3.6888794541139363029, 0.025),
    ];

    #[test]
    fn it_agrees_with_high_precision_arithmetic() {
        for (z, value, slope) in EXACT {
            let (found, found_slope) = log_h(z);
            assert!((found - value).abs() <= 1e-14 * value.abs().max(1.0), "{z}: {found} {value}");
            assert!((found_slope / slope - 1.0).abs() <= 1e-11, "{z}: {found_slope} {slope}");
        }
    }

    #[test]
    fn slopes_agree_with_differences_and_zero_sd_is_no_gap() {
        for (mean, sd) in [(0.3, 0.5), (-4.0, 0.7), (2.0, 1.5)] {
            let (_, by_mean, by_sd) = log_expected_improvement_with_slopes(mean, sd, 0.2);
            let value = |mean: f64, sd: f64| log_expected_improvement(mean, sd, 0.2);
            let step = 1e-6;
            let numeric = (value(mean + step, sd) - value(mean - step, sd)) / (2.0 * step);
            assert!((by_mean - numeric).abs() < 1e-7 * numeric.abs().max(1.0));
            let numeric = (value(mean, sd + step) - value(mean, sd - step)) / (2.0 * step);
            assert!((by_sd - numeric).abs() < 1e-7 * numeric.abs().max(1.0));
        }
        assert_eq!(log_expected_improvement(1.0, 0.0, 2.0), f64::NEG_INFINITY);
        assert_eq!(log_expected_improvement(3.0, 0.0, 2.0), 0.0);
    }
}

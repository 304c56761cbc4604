//! The normal distribution: density, distribution function, its logarithm and inverse.

use std::f64::consts::PI;

/// Beyond this many sds the tail is a continued fraction instead of a series.
const TAIL: f64 = 5.0;

/// φ(x).
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// Φ(x): Marsaglia's series (J. Stat. Softw. 11, 2004) in the centre, Laplace's continued fraction in the tails.
pub fn cumulative(x: f64) -> f64 {
    if x < -TAIL {
        return density(x) / hazard_denominator(-x);
    }
    if x > TAIL {
        return 1.0 - density(x) / hazard_denominator(x);
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= x * x / odd;
        let next = sum + term;
        if next == sum || next.is_nan() {
            break;
        }
        sum = next;
    }
    0.5 + sum * density(x)
}

/// ln Φ(x), exact in the lower tail where Φ underflows.
pub fn log_cumulative(x: f64) -> f64 {
    if x < -TAIL { -0.5 * x * x - 0.5 * (2.0 * PI).ln() - hazard_denominator(-x).ln() } else { cumulative(x).ln() }
}

/// φ(x)/Φ(x), the slope of ln Φ.
pub fn inverse_mills(x: f64) -> f64 {
    if x < -TAIL { hazard_denominator(-x) } else { density(x) / cumulative(x) }
}

/// x + 1/(x + 2/(x + 3/(…))) for x > 0: φ(x)/(1 − Φ(x)).
fn hazard_denominator(x: f64) -> f64 {
    (1..=60).rev().fold(x, |fraction, at| x + f64::from(at) / fraction)
}

/// Φ⁻¹(p): Acklam's rational approximation (relative error 1.2e-9) and one step of Halley's method. ±∞ at 0 and 1, NaN
/// outside.
pub fn quantile(p: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return if p == 0.0 {
            f64::NEG_INFINITY
        } else if p == 1.0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
    }
    let x = acklam(p);
    let error = (cumulative(x) - p) / density(x);
    x - error / (1.0 + 0.5 * x * error)
}

fn acklam(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416, 1.0];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.024_25 {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - 0.024_25 {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        -polynomial(&C, q) / polynomial(&D, q)
    } else {
        let q = p - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabulated_values() {
        // Abramowitz and Stegun, table 26.1 and 26.2.
        for (x, expected) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-3.0, 1.349_898_031_630_095e-3)] {
            assert!((cumulative(x) - expected).abs() < 1e-15, "{x}");
        }
        assert!((cumulative(-6.0) / 9.865_876_450_376_98e-10 - 1.0).abs() < 1e-12);
        // The asymptotic series 1 − 1/x² + 3/x⁴ − 15/x⁶ + 105/x⁸ at x = 20.
        let series = density(20.0) / 20.0 * (1.0 - 0.0025 + 3.0 / 1.6e5 - 15.0 / 6.4e7 + 105.0 / 2.56e10);
        assert!((log_cumulative(-20.0) - series.ln()).abs() < 1e-9);
        assert!((quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((quantile(1e-8) - -5.612_001_244_174_79).abs() < 1e-9);
        assert!(quantile(1.5).is_nan() && quantile(0.0) == f64::NEG_INFINITY);
    }

    #[test]
    fn the_branches_meet() {
        for x in [-TAIL, TAIL] {
            assert!((cumulative(x - 1e-9) - cumulative(x + 1e-9)).abs() < 1e-13);
        }
        assert!((inverse_mills(-TAIL - 1e-9) - inverse_mills(-TAIL + 1e-9)).abs() < 1e-6);
    }
}

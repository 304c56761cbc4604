//! Matérn-5/2 with one length scale a dimension.

/// A kernel with its exponentials taken once.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// σ_f².
    pub(crate) signal: f64,
    /// 1/ℓ_k².
    pub(crate) inverse_square: Vec<f64>,
}

impl Kernel {
    /// Σ (Δ_k/ℓ_k)².
    pub(crate) fn square(&self, a: &[f64], b: &[f64]) -> f64 {
        let mut sum = 0.0;
        for ((a, b), weight) in a.iter().zip(b).zip(&self.inverse_square) {
            let difference = a - b;
            sum += difference * difference * weight;
        }
        sum
    }

    pub(crate) fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        self.signal * matern(self.square(a, b))
    }
}

/// k / σ_f² = (1 + s + s²/3) e^(−s), s = √5 · r; `square` is r² = Σ (Δ_k/ℓ_k)².
pub(crate) fn matern(square: f64) -> f64 {
    let s = (5.0 * square).sqrt();
    (1.0 + s + s * s / 3.0) * exponential_of_negative(s)
}

/// Kernel and the factor of its slopes, slope = (5/3)(1 + s) e^(−s): ∂k/∂ln ℓ_k = σ_f² · slope · Δ_k²/ℓ_k² and
/// ∂k/∂x_k = −σ_f² · slope · (x_k − x'_k)/ℓ_k².
pub(crate) fn matern_with_slope(square: f64) -> (f64, f64) {
    let s = (5.0 * square).sqrt();
    let decay = exponential_of_negative(s);
    ((1.0 + s + s * s / 3.0) * decay, 5.0 / 3.0 * (1.0 + s) * decay)
}

/// Overwrites squares r² with σ_f² times [`matern`].
pub(crate) fn matern_all(signal: f64, squares: &mut [f64]) {
    for square in squares {
        *square = signal * matern(*square);
    }
}

/// Overwrites squares r² with σ_f² times the kernel, and `slopes` with the factors of its slopes.
pub(crate) fn matern_all_with_slopes(signal: f64, squares: &mut [f64], slopes: &mut [f64]) {
    for (square, slope) in squares.iter_mut().zip(slopes) {
        let (correlation, factor) = matern_with_slope(*square);
        (*square, *slope) = (signal * correlation, factor);
    }
}

/// e^(−s) for s ≥ 0, within two units of the last digit; 0 where it is below 1e-300.
///
/// Half of the time of a fit went into exponentials. Without a call and without a branch the compiler computes several at
/// once, and the result does not depend on the mathematics library of the system. −s = n ln 2 + r, e^r by its series to the
/// thirteenth power for |r| ≤ ½ ln 2, where the rest is below rounding; n goes into the exponent.
#[inline]
fn exponential_of_negative(s: f64) -> f64 {
    // Adding and subtracting 1.5 · 2⁵² rounds to an integer, which stands in the low bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts, the first with so few digits that its product with n is exact.
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const SERIES: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let x = if s < 690.0 { -s } else { -690.0 };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = SERIES[0];
    for term in &SERIES[1..] {
        sum = sum * r + term;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    sum * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_agrees_with_the_library() {
        for at in 0..199_800 {
            let s = f64::from(at) * 0.003_451_7;
            let (found, expected) = (exponential_of_negative(s), (-s).exp());
            assert!((found / expected - 1.0).abs() < 4.5e-16, "{s}: {found} {expected}");
        }
        assert_eq!(exponential_of_negative(0.0), 1.0);
        assert!(exponential_of_negative(f64::MAX) < 1e-299);
    }
}

//! The two precisions of the network: single for speed, double to check single and its derivatives.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point number that the network can run in.
pub trait Real:
    sealed::Sealed
    + Copy
    + Default
    + std::fmt::Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;

    /// The nearest value.
    fn from_f64(value: f64) -> Self;

    /// The same value in double precision.
    fn to_f64(self) -> f64;

    /// The square root.
    fn root(self) -> Self;

    /// The logistic function 1/(1 + exp(−x)); a NaN stays one.
    fn logistic(self) -> Self;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn root(self) -> Self {
        self.sqrt()
    }

    fn logistic(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn logistic(self) -> Self {
        1.0 / (1.0 + exponential(-self))
    }
}

/// exp(x) within 2 units of the last place, without branches, so that loops over it become vector instructions.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    // Beyond these the logistic function is 0 or 1 to single precision, and the scale below would leave its range.
    const MOST: f32 = 87.0;
    /// Adding 1.5 · 2²³ rounds to an integer; 127 more is the bias of the exponent.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    /// ln 2 in two parts, the first with zeros at its end, so that its multiples are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > MOST { MOST } else { x };
    let x = if x < -MOST { -MOST } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    // Taylor's series: |rest| < 0.35, so the first term left out is below 1e-8.
    let mut series = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * rest + term;
    }
    series * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_single_exponential_is_that_of_double_precision() {
        for step in -8600..=8600 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exponential(x)) - exact).abs() / exact;
            assert!(relative < 2.5e-7, "exp({x}) is wrong by {relative}");
        }
    }

    #[test]
    fn the_logistic_function_has_no_bad_ends() {
        assert_eq!(f32::logistic(0.0), 0.5);
        assert_eq!(f32::logistic(1e30), 1.0);
        assert!(f32::logistic(-1e30) < 1e-37);
        assert!(f32::logistic(f32::NAN).is_nan());
    }
}

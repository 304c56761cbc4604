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
    (1.0 + s + s * s / 3.0) * (-s).exp()
}

/// Kernel and the factor of its slopes, slope = (5/3)(1 + s) e^(−s): ∂k/∂ln ℓ_k = σ_f² · slope · Δ_k²/ℓ_k² and
/// ∂k/∂x_k = −σ_f² · slope · (x_k − x'_k)/ℓ_k².
pub(crate) fn matern_with_slope(square: f64) -> (f64, f64) {
    let s = (5.0 * square).sqrt();
    let decay = (-s).exp();
    ((1.0 + s + s * s / 3.0) * decay, 5.0 / 3.0 * (1.0 + s) * decay)
}

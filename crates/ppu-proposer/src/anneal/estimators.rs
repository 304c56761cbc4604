//! Estimators of ln Z and of their quality, all in nats: Jarzynski, Phys. Rev. Lett. 78, 2690 (1997); Neal, Stat. Comput.
//! 11, 125 (2001); Bennett, J. Comput. Phys. 22, 245 (1976); Grosse et al., arXiv:1511.02543 (2015).

use serde::{Deserialize, Serialize};

/// Halvings of a bracket; more than enough for f64.
const HALVINGS: usize = 200;

/// ln of the sum of exponentials; −∞ for none.
pub fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    highest + values.map(|value| (value - highest).exp()).sum::<f64>().ln()
}

/// ln of the mean of exponentials; −∞ for none.
pub fn log_mean_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count();
    if count == 0 { f64::NEG_INFINITY } else { log_sum_exp(values) - (count as f64).ln() }
}

/// ln Z from the works of forward trajectories: ln ⟨exp(−W)⟩. The estimate of Z is unbiased, that of ln Z is low.
pub fn jarzynski(works: &[f64]) -> f64 {
    log_mean_exp(works.iter().map(|work| -work))
}

/// Effective sample size of trajectories with log weights −W: (Σw)² / Σw².
pub fn effective_sample_size(log_weights: impl Iterator<Item = f64> + Clone) -> f64 {
    let first = log_sum_exp(log_weights.clone());
    let second = log_sum_exp(log_weights.map(|value| 2.0 * value));
    if first.is_finite() { (2.0 * first - second).exp() } else { 0.0 }
}

/// Conditional effective sample size of a step Δβ of weighted particles: N (Σ w u)² / Σ w u², u = exp(−Δβ U), w normalised.
pub fn conditional_ess(weights: &[f64], energies: &[f64], step: f64) -> f64 {
    let least = energies.iter().copied().fold(f64::INFINITY, f64::min);
    let total: f64 = weights.iter().sum();
    let (mut first, mut second) = (0.0, 0.0);
    for (weight, energy) in weights.iter().zip(energies) {
        let factor = (-step * (energy - least)).exp();
        first += weight / total * factor;
        second += weight / total * factor * factor;
    }
    weights.len() as f64 * first * first / second
}

/// ln Z from forward and reverse works by Bennett's acceptance ratio; `None` where either is missing.
pub fn acceptance_ratio(forward: &[f64], reverse: &[f64]) -> Option<f64> {
    if forward.is_empty() || reverse.is_empty() {
        return None;
    }
    let ratio = (forward.len() as f64 / reverse.len() as f64).ln();
    let fermi = |x: f64| if x > 0.0 { (-x).exp() / (1.0 + (-x).exp()) } else { 1.0 / (1.0 + x.exp()) };
    // Grows with the free energy F = −ln Z.
    let imbalance = |free: f64| {
        forward.iter().map(|work| fermi(ratio + work - free)).sum::<f64>()
            - reverse.iter().map(|work| fermi(-ratio + work + free)).sum::<f64>()
    };
    let ends = forward.iter().copied().chain(reverse.iter().map(|work| -work));
    let (mut low, mut high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    (low, high) = (low - ratio.abs() - 1.0, high + ratio.abs() + 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if imbalance(middle) < 0.0 { low = middle } else { high = middle }
    }
    Some(-0.5 * (low + high))
}

/// ln Z by thermodynamic integration: −∫⟨U⟩ dβ over (β, ⟨U⟩, Var U), β ascending from 0. Trapezoid rule with its end
/// correction: d⟨U⟩/dβ = −Var U is known, which makes few levels enough.
pub fn thermodynamic_integral(levels: &[(f64, f64, f64)]) -> f64 {
    let interval = |pair: &[(f64, f64, f64)]| {
        let (from, to) = (pair[0], pair[1]);
        let width = to.0 - from.0;
        0.5 * width * (from.1 + to.1) + width * width / 12.0 * (to.2 - from.2)
    };
    -levels.windows(2).map(interval).sum::<f64>()
}

/// Works of trajectories in both directions, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dissipation {
    /// ⟨W_F⟩ + ln Z, work wasted on the way up.
    pub forward: f64,
    /// ⟨W_R⟩ − ln Z, work wasted on the way down.
    pub reverse: f64,
    /// ⟨W_F⟩ + ⟨W_R⟩; needs no Z.
    pub hysteresis: f64,
    /// −⟨W_F⟩ ≤ ln Z ≤ ⟨W_R⟩; the upper bound holds for reverse runs that start in equilibrium only.
    pub bounds: (f64, f64),
}

impl Dissipation {
    /// Of these works and an estimate of ln Z.
    pub fn new(forward: &[f64], reverse: &[f64], ln_z: f64) -> Dissipation {
        let (up, down) = (mean(forward), mean(reverse));
        Dissipation { forward: up + ln_z, reverse: down - ln_z, hysteresis: up + down, bounds: (-up, down) }
    }
}

/// Mean; NaN for none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with n − 1; NaN for fewer than two.
pub fn standard_deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    (values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt()
}

/// A value with the half-width of its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// ln of the mean of Z over independent populations.
    pub ln_z: f64,
    /// Half-width of the interval at [`Estimate::confidence`]: Student's quantile times the standard error.
    pub error: f64,
    /// Standard error of ln Z: sd over populations by the root of their number.
    pub standard_error: f64,
    /// Standard deviation over populations.
    pub sd: f64,
    /// Populations.
    pub populations: usize,
    /// Coverage that the error claims.
    pub confidence: f64,
}

impl Estimate {
    /// From the ln Z of independent populations; `None` for fewer than two, or if one is not finite.
    pub fn of(ln_z: &[f64], confidence: f64) -> Option<Estimate> {
        if ln_z.len() < 2 || ln_z.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let sd = standard_deviation(ln_z);
        let standard_error = sd / (ln_z.len() as f64).sqrt();
        let quantile = student_quantile(0.5 + 0.5 * confidence, ln_z.len() - 1);
        Some(Estimate {
            ln_z: log_mean_exp(ln_z.iter().copied()),
            error: quantile * standard_error,
            standard_error,
            sd,
            populations: ln_z.len(),
            confidence,
        })
    }
}

/// P(T ≤ t) of Student's distribution, by the finite series for whole degrees of freedom: Abramowitz and Stegun 26.7.3–4.
pub fn student_cumulative(t: f64, freedom: usize) -> f64 {
    let n = freedom as f64;
    let angle = (t / n.sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let square = cosine * cosine;
    let inner = if freedom % 2 == 1 {
        let (mut term, mut sum) = (cosine, 0.0);
        for k in (3..=freedom).step_by(2) {
            sum += term;
            term *= square * (k - 1) as f64 / k as f64;
        }
        2.0 / std::f64::consts::PI * (angle + sine * sum)
    } else {
        let (mut term, mut sum) = (1.0, 0.0);
        for k in (2..=freedom).step_by(2) {
            sum += term;
            term *= square * (k - 1) as f64 / k as f64;
        }
        sine * sum
    };
    0.5 * (1.0 + inner)
}

/// The t with P(T ≤ t) = p, for p in (0, 1).
pub fn student_quantile(p: f64, freedom: usize) -> f64 {
    let (mut low, mut high) = (-1e6, 1e6);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if student_cumulative(middle, freedom) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(X ≤ x) of the chi-squared distribution, by the finite series for even and odd degrees of freedom: A&S 26.4.4–5.
pub fn chi_squared_cumulative(x: f64, freedom: usize) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let upper = if freedom.is_multiple_of(2) {
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..freedom / 2 {
            term *= x / (2 * k) as f64;
            sum += term;
        }
        (-0.5 * x).exp() * sum
    } else {
        let root = x.sqrt();
        let (mut term, mut sum) = (root, 0.0);
        for k in (3..=freedom).step_by(2) {
            sum += term;
            term *= x / k as f64;
        }
        2.0 * (1.0 - ppu_optimizer::normal::cumulative(root)) + 2.0 * ppu_optimizer::normal::density(root) * sum
    };
    1.0 - upper
}

/// Upper limit of a standard deviation that was estimated from `count` values: sd · √((n−1) / χ²_{1−confidence}).
pub fn deviation_limit(sd: f64, count: usize, confidence: f64) -> f64 {
    let freedom = count.saturating_sub(1).max(1);
    let (mut low, mut high) = (0.0, 100.0 + 10.0 * freedom as f64);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if chi_squared_cumulative(middle, freedom) < 1.0 - confidence { low = middle } else { high = middle }
    }
    sd * (freedom as f64 / (0.5 * (low + high))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_printed_tables() {
        for (p, freedom, t) in
            [(0.975, 3, 3.1824), (0.975, 7, 2.3646), (0.99, 5, 3.3649), (0.95, 1, 6.3138), (0.975, 2, 4.3027)]
        {
            assert!((student_quantile(p, freedom) - t).abs() < 1e-3, "{p} {freedom}");
        }
        for (p, freedom, x) in
            [(0.05, 7, 2.1673), (0.05, 3, 0.3518), (0.95, 4, 9.4877), (0.05, 10, 3.9403), (0.5, 1, 0.4549)]
        {
            assert!((chi_squared_cumulative(x, freedom) - p).abs() < 1e-4, "{p} {freedom}");
        }
        assert!((deviation_limit(1.0, 8, 0.95) - (7.0_f64 / 2.1673).sqrt()).abs() < 1e-3);
    }

    #[test]
    fn gaussian_works_give_their_known_free_energy() {
        // W_F ~ N(m, s²) and W_R ~ N(−m + s², s²) obey Crooks with ln Z = −m + s²/2.
        let (m, s) = (3.0, 1.0);
        let normal = |k: usize| ppu_optimizer::normal::quantile((k as f64 + 0.5) / 4000.0);
        let forward: Vec<f64> = (0..4000).map(|k| m + s * normal(k)).collect();
        let reverse: Vec<f64> = (0..4000).map(|k| -m + s * s + s * normal(k)).collect();
        let exact = -m + 0.5 * s * s;
        assert!((jarzynski(&forward) - exact).abs() < 2e-3);
        assert!((acceptance_ratio(&forward, &reverse).unwrap() - exact).abs() < 2e-3);
        let lost = Dissipation::new(&forward, &reverse, exact);
        assert!((lost.forward - 0.5).abs() < 1e-6 && (lost.reverse - 0.5).abs() < 1e-6);
        assert!(lost.bounds.0 < exact && exact < lost.bounds.1);
        assert_eq!(acceptance_ratio(&forward, &[]), None);
    }

    #[test]
    fn sizes_of_samples() {
        assert!((effective_sample_size([0.0; 10].into_iter()) - 10.0).abs() < 1e-9);
        assert!((effective_sample_size([800.0, 0.0].into_iter()) - 1.0).abs() < 1e-9);
        let weights = [0.25; 4];
        assert!((conditional_ess(&weights, &[1.0; 4], 3.0) - 4.0).abs() < 1e-9);
        assert!(conditional_ess(&weights, &[0.0, 1.0, 2.0, 3.0], 1.0) < 4.0);
        assert_eq!(log_mean_exp(std::iter::empty()), f64::NEG_INFINITY);
        assert!((log_mean_exp([1000.0, 1000.0].into_iter()) - 1000.0).abs() < 1e-9);
    }
}

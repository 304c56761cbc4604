//! The isometric log-ratio map between the open simplex and R^(D−1): Egozcue et al., Math. Geol. 35, 279 (2003).

/// z = Vᵀ clr(x) with Helmert's orthonormal basis; `None` for fewer than two parts or a part that is not positive.
pub fn to_log_ratios(parts: &[f64]) -> Option<Vec<f64>> {
    if parts.len() < 2 || parts.iter().any(|part| !(*part > 0.0 && part.is_finite())) {
        return None;
    }
    let logs: Vec<f64> = parts.iter().map(|part| part.ln()).collect();
    // Column k of the basis compares part k with the mean of those before it.
    let coordinate = |k: usize| {
        let before = logs[..k].iter().sum::<f64>() / k as f64;
        (k as f64 / (k as f64 + 1.0)).sqrt() * (before - logs[k])
    };
    Some((1..parts.len()).map(coordinate).collect())
}

/// The fractions at log-ratio coordinates: softmax(V z), on the simplex exactly.
pub fn from_log_ratios(z: &[f64]) -> Vec<f64> {
    let mut logs = vec![0.0; z.len() + 1];
    for (at, z) in z.iter().enumerate() {
        let k = (at + 1) as f64;
        logs[..=at].iter_mut().for_each(|log| *log += z / (k * (k + 1.0)).sqrt());
        logs[at + 1] -= z * (k / (k + 1.0)).sqrt();
    }
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| (log - highest).exp()).collect();
    let total: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / total).collect()
}

/// ln |dx/dz| of the first D−1 fractions with respect to the log ratios: ½ ln D + Σ ln x.
pub fn log_ratio_volume(parts: &[f64]) -> f64 {
    0.5 * (parts.len() as f64).ln() + parts.iter().map(|part| part.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_goes_there_and_back() {
        for parts in [vec![0.2, 0.8], vec![0.1, 0.2, 0.3, 0.4], vec![1e-9, 0.5, 0.5 - 1e-9]] {
            let back = from_log_ratios(&to_log_ratios(&parts).unwrap());
            assert!(parts.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12), "{parts:?} {back:?}");
        }
        assert_eq!(to_log_ratios(&[0.0, 1.0]), None);
        assert_eq!(to_log_ratios(&[1.0]), None);
    }

    #[test]
    fn the_volume_agrees_with_finite_differences() {
        let z = [0.3, -0.7, 0.5];
        let h = 1e-6;
        let column = |k: usize| {
            let moved = |sign: f64| {
                let mut other = z;
                other[k] += sign * h;
                from_log_ratios(&other)
            };
            let (up, down) = (moved(1.0), moved(-1.0));
            [0, 1, 2].map(|i| (up[i] - down[i]) / (2.0 * h))
        };
        let [a, b, c] = [column(0), column(1), column(2)];
        let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
            + c[0] * (a[1] * b[2] - a[2] * b[1]);
        assert!((determinant.abs().ln() - log_ratio_volume(&from_log_ratios(&z))).abs() < 1e-6);
    }
}

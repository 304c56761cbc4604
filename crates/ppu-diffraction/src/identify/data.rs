//! The pattern as the search sees it: an even grid no finer than lines need, a background estimate and weights.

use crate::pattern::Pattern;

/// Steps finer than this are gathered: a line is four times as wide, and time goes with the number of points.
const FINEST_STEP_DEG: f64 = 0.04;
/// Widest structure that counts as a peak, in degrees, for the background estimate.
const SNIP_HALF_WIDTH_DEG: f64 = 1.2;
/// Structure factors from the literature, texture and profile predict the height of a line to about this share.
const MODEL_ERROR: f64 = 0.1;

/// Points of a pattern with their weights.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// 1/(σ² + (c · peak height)²): counting noise and what no model of a powder predicts. The same for every set of
    /// phases, so that sets can be compared.
    pub(super) weight: Vec<f64>,
    /// Standard uncertainty of y.
    pub(super) sigma: Vec<f64>,
    /// Estimated height above the background.
    pub(super) height: Vec<f64>,
}

impl Data {
    pub(super) fn new(pattern: &Pattern) -> Self {
        let (x, y, sigma) = gather(pattern);
        let step = (x[x.len() - 1] - x[0]) / (x.len() - 1) as f64;
        let half = ((SNIP_HALF_WIDTH_DEG / step).round() as usize).max(2);
        let background = snip(&y, half);
        let height: Vec<f64> = y.iter().zip(&background).map(|(y, b)| (y - b).max(0.0)).collect();
        let weight = (0..x.len())
            .map(|i| {
                // The mean of three neighbours keeps single noisy points from weighting themselves.
                let near = &height[i.saturating_sub(1)..(i + 2).min(height.len())];
                let level = near.iter().sum::<f64>() / near.len() as f64;
                1.0 / (sigma[i] * sigma[i] + (MODEL_ERROR * level).powi(2))
            })
            .collect();
        Self { x, y, weight, sigma, height }
    }

    pub(super) fn len(&self) -> usize {
        self.x.len()
    }

    /// Points within `reach` of an angle. The grid is even up to rounding of the file: an index by arithmetic saves two
    /// searches a line.
    pub(super) fn span(&self, centre: f64, reach: f64) -> std::ops::Range<usize> {
        let index = |angle: f64| ((angle - self.x[0]) / self.step()).round().clamp(0.0, self.len() as f64) as usize;
        index(centre - reach)..index(centre + reach)
    }

    pub(super) fn step(&self) -> f64 {
        (self.x[self.len() - 1] - self.x[0]) / (self.len() - 1) as f64
    }
}

/// Neighbouring points summed until the step is wide enough; intensities stay those of one original point.
fn gather(pattern: &Pattern) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (x, y, sigma) = (pattern.two_theta(), pattern.intensity(), pattern.sigma());
    let step = (x[x.len() - 1] - x[0]) / (x.len() - 1) as f64;
    let group = ((FINEST_STEP_DEG / step).round() as usize).clamp(1, x.len() / 2);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let spread = |values: &[f64]| values.iter().map(|s| s * s).sum::<f64>().sqrt() / values.len() as f64;
    (
        x.chunks_exact(group).map(mean).collect(),
        y.chunks_exact(group).map(mean).collect(),
        sigma.chunks_exact(group).map(spread).collect(),
    )
}

/// Background by clipping peaks in the log-log-square-root domain (Ryan et al., Nucl. Instrum. Methods B34, 396, 1988).
fn snip(y: &[f64], half: usize) -> Vec<f64> {
    let forward = |y: f64| ((y.max(0.0) + 1.0).sqrt() + 1.0).ln().ln_1p();
    let back = |v: f64| (v.exp_m1().exp() - 1.0).powi(2) - 1.0;
    // Noise must not be clipped to its lower edge: smooth first.
    let smooth: Vec<f64> = (0..y.len())
        .map(|i| {
            let near = &y[i.saturating_sub(4)..(i + 5).min(y.len())];
            near.iter().sum::<f64>() / near.len() as f64
        })
        .collect();
    let mut v: Vec<f64> = smooth.iter().map(|y| forward(*y)).collect();
    let mut next = v.clone();
    for reach in (1..=half).rev() {
        for i in reach..v.len().saturating_sub(reach) {
            next[i] = v[i].min(0.5 * (v[i - reach] + v[i + reach]));
        }
        v.copy_from_slice(&next);
    }
    v.into_iter().map(back).collect()
}

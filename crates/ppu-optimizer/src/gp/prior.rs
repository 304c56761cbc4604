//! Priors of the hyperparameters. The prior decides more about the next experiment than the acquisition does.

use serde::{Deserialize, Serialize};

/// Which prior densities the hyperparameters have. Coordinates are in the unit cube, values standardised. Densities are
/// those of ℓ, σ_f² and σ_n² themselves, so that a mode is the mode in these variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// Bounds only: maximum marginal likelihood.
    Flat,
    /// ln ℓ ~ N(√2 + ½ ln d, 3), ln σ_f² ~ N(0, 1), ln σ_n² ~ N(−4, 1): Hvarfner et al., ICML 2024.
    DimensionScaled,
    /// ℓ ~ Gamma(2, 0.2), σ_f² ~ Gamma(5, 0.5), σ_n² ~ Gamma(1.5, 0.5), shape and rate: smooth functions and noisy
    /// values. Shields et al., Nature 590, 89 (2021).
    SmoothNoisy,
    /// ℓ ~ Gamma(3, 6), σ_f² ~ Gamma(2, 0.15), σ_n² ~ Gamma(1.1, 0.05): lengths of half the range and little noise, the
    /// long-time default of BoTorch.
    HalfRange,
}

/// Shape and rate of a Gamma density.
const SMOOTH_NOISY: [(f64, f64); 3] = [(2.0, 0.2), (5.0, 0.5), (1.5, 0.5)];
const HALF_RANGE: [(f64, f64); 3] = [(3.0, 6.0), (2.0, 0.15), (1.1, 0.05)];

impl Prior {
    /// −ln of the density at `theta` = [ln ℓ…, ln σ_f², ln σ_n²], up to a constant; adds its slopes to `gradient`.
    pub(crate) fn add(self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let dimensions = theta.len() - 2;
        let mut value = 0.0;
        match self {
            Prior::Flat => {}
            Prior::DimensionScaled => {
                let centre = length_centre(dimensions);
                for (log, slope) in theta[..dimensions].iter().zip(gradient.iter_mut()) {
                    value += log + (log - centre).powi(2) / 6.0;
                    *slope += 1.0 + (log - centre) / 3.0;
                }
                value += 0.5 * theta[dimensions].powi(2) + 0.5 * (theta[dimensions + 1] + 4.0).powi(2);
                gradient[dimensions] += theta[dimensions];
                gradient[dimensions + 1] += theta[dimensions + 1] + 4.0;
            }
            Prior::SmoothNoisy | Prior::HalfRange => {
                let densities = if self == Prior::SmoothNoisy { SMOOTH_NOISY } else { HALF_RANGE };
                for (at, (log, slope)) in theta.iter().zip(gradient.iter_mut()).enumerate() {
                    let (shape, rate) = match at {
                        at if at < dimensions => densities[0],
                        at if at == dimensions => densities[1],
                        _ => densities[2],
                    };
                    value += rate * log.exp() - (shape - 1.0) * log;
                    *slope += rate * log.exp() - (shape - 1.0);
                }
            }
        }
        value
    }

    /// Where a search for the mode starts, best guess first: ln ℓ, ln σ_f², ln σ_n².
    pub(crate) fn starts(self, dimensions: usize) -> [(f64, f64, f64); 3] {
        match self {
            // A length of the whole range with little noise, then short with noise, then long without.
            Prior::Flat | Prior::HalfRange => [(-0.7, 0.0, -4.6), (-1.7, 0.0, -2.0), (0.5, 0.7, -7.0)],
            Prior::DimensionScaled => {
                let mode = length_mode(dimensions);
                [(mode, 0.0, -4.0), (mode - 1.0, 0.0, -2.0), (mode + 1.0, 0.0, -6.0)]
            }
            // The mode of the prior, then shorter, then a length with little noise.
            Prior::SmoothNoisy => [(1.6, 2.08, 0.0), (0.0, 1.0, -2.0), (0.7, 1.5, -4.6)],
        }
    }
}

/// Mode of ln ℓ under the dimension-scaled prior, which is normal around it with variance 3: the density is one of ℓ.
pub(crate) fn length_mode(dimensions: usize) -> f64 {
    length_centre(dimensions) - 3.0
}

/// Centre of ln ℓ for the dimension-scaled prior.
fn length_centre(dimensions: usize) -> f64 {
    std::f64::consts::SQRT_2 + 0.5 * (dimensions as f64).ln()
}

//! How much information an annealing may spend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::BudgetLimit;

/// Nats that a population of this size can carry: with more, too few particles stand for the tilted distribution.
pub fn carried(particles: usize) -> f64 {
    ((particles as f64).ln() - 1.0).max(0.0)
}

/// Nats that a twin deserves. Tilting by B nats promises σ√(2B) and delivers ρσ√(2B); the gap stays within `tolerance`:
/// B = ½ (tolerance / ((1 − ρ) σ))². Unlimited for a twin that is the truth.
pub fn deserved(tolerance: f64, correlation: f64, sigma: f64) -> f64 {
    let gap = (1.0 - correlation.clamp(-1.0, 1.0)) * sigma;
    if gap > 0.0 { 0.5 * (tolerance / gap).powi(2) } else { f64::INFINITY }
}

/// What is allowed, and what limits it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InformationBudget {
    /// Nats.
    pub nats: f64,
    /// The limit.
    pub limit: BudgetLimit,
}

impl InformationBudget {
    /// The least of what the population carries and the twin deserves.
    pub fn new(particles: usize, tolerance: f64, correlation: f64, sigma: f64) -> InformationBudget {
        let (population, twin) = (carried(particles), deserved(tolerance, correlation, sigma));
        if twin < population {
            InformationBudget { nats: twin, limit: BudgetLimit::Twin }
        } else {
            InformationBudget { nats: population, limit: BudgetLimit::Population }
        }
    }
}

/// Effective number of distinct candidates, exp of the entropy of weights over equal keys. A batch of n wants at least 10 n.
pub fn diversity<K: Ord>(weighted: impl Iterator<Item = (K, f64)>) -> f64 {
    let mut sums: BTreeMap<K, f64> = BTreeMap::new();
    for (key, weight) in weighted {
        *sums.entry(key).or_insert(0.0) += weight;
    }
    let total: f64 = sums.values().sum();
    let entropy: f64 = sums.values().filter(|sum| **sum > 0.0).map(|sum| -(sum / total) * (sum / total).ln()).sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let perfect = InformationBudget::new(200, 0.1, 1.0, 1.0);
        assert_eq!(perfect.limit, BudgetLimit::Population);
        assert!((perfect.nats - 4.2983).abs() < 1e-3);
        let poor = InformationBudget::new(200, 0.5, 0.5, 1.0);
        assert_eq!((poor.nats, poor.limit), (0.5, BudgetLimit::Twin));
        assert!((diversity([(1, 0.25), (2, 0.25), (3, 0.5), (3, 0.0)].into_iter()) - 2.0_f64.powf(1.5)).abs() < 1e-9);
    }
}

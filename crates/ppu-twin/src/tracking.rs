//! How far a level of the twin may be trusted, from what it had predicted before the laboratory answered.

use serde::{Deserialize, Serialize};

/// Pairs that a declared correlation is worth.
const DECLARED_PAIRS: f64 = 10.0;
/// Pairs after which a level can be dropped: fewer say too little either way.
const LEAST_PAIRS: usize = 20;
/// Share of the variance that a level must explain at least, by the lower end of its interval; a poor level costs more
/// than it gives (Sabanza-Gil et al., Nat. Comput. Sci. 2025).
const LEAST_EXPLAINED: f64 = 0.1;
/// Two-sided 95 %.
const Z_95: f64 = 1.96;
/// Chosen candidates may be this much more alike than the population, at most; beyond, the correction only amplifies noise.
const MOST_RESTRICTED: f64 = 5.0;

/// The record of one level for one observable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tracking {
    /// Pairs of prediction and result.
    pub pairs: usize,
    /// Correlation of the pairs as they are; 0 where one side does not vary.
    pub observed: f64,
    /// Correlation over the population: corrected for selection, pooled with the declared one.
    pub correlation: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// Whether the pairs by themselves speak against the declaration and against any use: the declared correlation lies
    /// above their own interval, and their own correlation over the population explains less than a tenth.
    pub refuted: bool,
}

impl Tracking {
    /// The record from pairs (prediction, result) and the spread of the predictions over the population that candidates are
    /// chosen from. Chosen candidates are alike, which lowers their correlation; Thorndike's second case undoes that. Fisher's
    /// z of n pairs weighs n − 3, the declared correlation ten. Pairs that are not finite are left out.
    #[must_use]
    pub fn of(declared: f64, pairs: &[(f64, f64)], population_sd: f64) -> Tracking {
        let usable: Vec<(f64, f64)> = pairs.iter().filter(|(x, y)| x.is_finite() && y.is_finite()).copied().collect();
        let (observed, sd) = correlation(&usable);
        let restricted = if sd > 0.0 { (population_sd / sd).clamp(1.0, MOST_RESTRICTED) } else { 1.0 };
        let over_population = |rho: f64| rho * restricted / (1.0 - rho * rho + (rho * restricted).powi(2)).sqrt();
        let weight = (usable.len() as f64 - 3.0).max(0.0);
        let z = |rho: f64| rho.clamp(-0.999, 0.999).atanh();
        // The declared correlation is one over the population, where the pairs' own is not: both are pooled there.
        let pooled = (DECLARED_PAIRS * z(declared) + weight * z(over_population(observed))) / (DECLARED_PAIRS + weight);
        let half = Z_95 / (DECLARED_PAIRS + weight).sqrt();
        let interval = ((pooled - half).tanh(), (pooled + half).tanh());
        let own = over_population(observed);
        let refuted = weight > 0.0 && own < LEAST_EXPLAINED.sqrt() && z(own) + Z_95 / weight.sqrt() < z(declared);
        Tracking { pairs: usable.len(), observed, correlation: pooled.tanh(), interval, refuted }
    }

    /// Whether the level is still worth asking: it is not refuted, and once there are 20 pairs the lower end of its interval
    /// explains a tenth of the variance.
    #[must_use]
    pub fn informative(&self) -> bool {
        !self.refuted && (self.pairs < LEAST_PAIRS || self.interval.0 >= LEAST_EXPLAINED.sqrt())
    }

    /// One sentence for people.
    #[must_use]
    pub fn says(&self, level: &str) -> String {
        let Tracking { pairs, observed, correlation, interval: (low, high), refuted } = self;
        let record = format!("correlation {correlation:.2} ({low:.2} to {high:.2}) over {pairs} pairs");
        match (refuted, self.informative()) {
            (true, _) => {
                format!("{level} is left out: {pairs} pairs refute it, their own correlation is {observed:.2}")
            }
            (false, false) => format!("{level} is left out: {record}"),
            (false, true) => format!("{level}: {record}"),
        }
    }
}

/// Pearson's correlation and the standard deviation of the first values.
fn correlation(pairs: &[(f64, f64)]) -> (f64, f64) {
    let count = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / count, sum.1 + pair.1 / count));
    let product = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|pair| of(pair.0 - x, pair.1 - y)).sum::<f64>();
    let (xx, yy) = (product(&|a, _| a * a), product(&|_, b| b * b));
    let scale = (xx * yy).sqrt();
    let rho = if scale > 0.0 { (product(&|a, b| a * b) / scale).clamp(-1.0, 1.0) } else { 0.0 };
    (rho, (xx / (count - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs with correlation `rho` over a uniform population of predictions; no generator is needed for them.
    fn population(rho: f64, count: usize) -> Vec<(f64, f64)> {
        let golden = |k: usize, by: f64| ((k as f64 + 0.5) * by).fract() - 0.5;
        (0..count)
            .map(|k| (golden(k, 0.618_033_988_7), golden(k, 0.754_877_666_2)))
            .map(|(x, e)| (x, rho * x + (1.0 - rho * rho).sqrt() * e))
            .collect()
    }

    fn sd(pairs: &[(f64, f64)]) -> f64 {
        correlation(pairs).1
    }

    #[test]
    fn selection_is_undone() {
        let all = population(0.8, 4000);
        let chosen: Vec<(f64, f64)> = all.iter().filter(|(x, _)| *x < -0.3).copied().collect();
        let tracking = Tracking::of(0.8, &chosen, sd(&all));
        assert!(tracking.observed < 0.4, "{tracking:?}");
        assert!((tracking.correlation - 0.8).abs() < 0.05, "{tracking:?}");
    }

    #[test]
    fn a_liar_is_left_out_and_an_honest_level_is_not() {
        let all = population(0.75, 2000);
        let honest = Tracking::of(0.7, &all[..30], sd(&all));
        assert!(honest.informative() && honest.says("F2").contains("F2: correlation"), "{honest:?}");
        let flipped: Vec<(f64, f64)> = all[..30].iter().map(|(x, y)| (-x, *y)).collect();
        let liar = Tracking::of(0.7, &flipped, sd(&all));
        assert!(!liar.informative() && liar.says("F2").contains("left out"), "{liar:?}");
        let shuffled: Vec<(f64, f64)> = (0..30).map(|k| (all[k].0, all[k + 40].1)).collect();
        assert!(!Tracking::of(0.7, &shuffled, sd(&all)).informative());
        // Plain lies are refuted early; three pairs refute nothing.
        assert!(Tracking::of(0.7, &flipped[..8], sd(&all)).refuted);
        assert!(Tracking::of(0.7, &flipped[..3], sd(&all)).informative());
        let none = Tracking::of(0.7, &[], 1.0);
        assert!((none.correlation - 0.7).abs() < 1e-12 && none.interval.0 < 0.7 && none.interval.1 > 0.7);
        assert_eq!(Tracking::of(0.7, &[(1.0, 2.0); 5], 1.0).observed, 0.0);
    }
}

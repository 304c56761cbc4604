//! Spaces that can be summed exactly: every state is a combination of factors, a move redraws one factor. They hold every
//! estimate to account.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::estimators::log_sum_exp;
use super::landscape::{Annealable, Proposed};
use crate::smc::Energy;

/// A listed space with a uniform or a given prior.
#[derive(Debug, Clone, PartialEq)]
pub struct FactorTable {
    energies: Vec<f64>,
    /// ln q, normalised; `None` for a uniform prior.
    log_q: Option<Vec<f64>>,
    /// Running sums of q, where it is not uniform.
    sums: Vec<f64>,
    /// Share of moves that draw anew from q.
    independent: f64,
    /// For each factor the class of every state: the states that agree in all other factors.
    classes: Vec<Vec<u32>>,
    /// For each factor the members of every class.
    members: Vec<Vec<Vec<u32>>>,
}

/// Exact values at one β.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exact {
    /// β.
    pub beta: f64,
    /// ln Z.
    pub ln_z: f64,
    /// ⟨U⟩.
    pub mean: f64,
    /// Variance of U.
    pub variance: f64,
    /// KL(π_β ‖ q), nats.
    pub information: f64,
}

impl FactorTable {
    /// A table of states, each given by its factors, with an energy each. `None` if the lists differ in length or are empty, or
    /// states differ in the number of factors.
    pub fn new(factors: &[Vec<u16>], energies: Vec<f64>) -> Option<FactorTable> {
        let dimensions = factors.first()?.len();
        if factors.len() != energies.len() || factors.iter().any(|state| state.len() != dimensions) {
            return None;
        }
        let (mut classes, mut members) = (Vec::new(), Vec::new());
        for factor in 0..dimensions {
            let mut numbers: BTreeMap<Vec<u16>, u32> = BTreeMap::new();
            let (mut class, mut member): (Vec<u32>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
            for (at, state) in factors.iter().enumerate() {
                let mut others = state.clone();
                others.remove(factor);
                let next = numbers.len() as u32;
                let number = *numbers.entry(others).or_insert(next);
                if number == next {
                    member.push(Vec::new());
                }
                member[number as usize].push(at as u32);
                class.push(number);
            }
            classes.push(class);
            members.push(member);
        }
        Some(FactorTable { energies, log_q: None, sums: Vec::new(), independent: 0.0, classes, members })
    }

    /// The same table with a prior proportional to exp(`log_weights`); −∞ excludes a state. `None` if the lengths differ or
    /// nothing remains.
    pub fn with_prior(mut self, log_weights: &[f64]) -> Option<FactorTable> {
        let total = log_sum_exp(log_weights.iter().copied());
        if log_weights.len() != self.energies.len() || !total.is_finite() {
            return None;
        }
        let log_q: Vec<f64> = log_weights.iter().map(|weight| weight - total).collect();
        let mut sum = 0.0;
        self.sums = log_q
            .iter()
            .map(|value| {
                sum += value.exp();
                sum
            })
            .collect();
        self.log_q = Some(log_q);
        Some(self)
    }

    /// The same table where a share of the moves draws anew from q, which lets particles change modes.
    pub fn with_independent_moves(mut self, share: f64) -> FactorTable {
        self.independent = share.clamp(0.0, 1.0);
        self
    }

    /// The same table with other energies; `None` if the lengths differ.
    pub fn with_energies(mut self, energies: Vec<f64>) -> Option<FactorTable> {
        if energies.len() != self.energies.len() {
            return None;
        }
        self.energies = energies;
        Some(self)
    }

    /// States.
    pub fn len(&self) -> usize {
        self.energies.len()
    }

    /// Whether there is no state; never, for a table that was built.
    pub fn is_empty(&self) -> bool {
        self.energies.is_empty()
    }

    /// ln q of a state.
    pub fn log_q(&self, state: usize) -> f64 {
        self.log_q.as_ref().map_or_else(|| -(self.energies.len() as f64).ln(), |log_q| log_q[state])
    }

    /// Members of the class of a state for one factor, itself included.
    pub fn neighbours(&self, factor: usize, state: usize) -> &[u32] {
        &self.members[factor][self.classes[factor][state] as usize]
    }

    /// Exact values by summation over all states.
    pub fn exact(&self, beta: f64) -> Exact {
        let log_terms: Vec<f64> =
            self.energies.iter().enumerate().map(|(at, energy)| self.log_q(at) - beta * energy).collect();
        let ln_z = log_sum_exp(log_terms.iter().copied());
        let weight = |at: usize| (log_terms[at] - ln_z).exp();
        let mean: f64 = self.energies.iter().enumerate().map(|(at, energy)| weight(at) * energy).sum();
        let variance: f64 =
            self.energies.iter().enumerate().map(|(at, energy)| weight(at) * (energy - mean).powi(2)).sum();
        Exact { beta, ln_z, mean, variance, information: -beta * mean - ln_z }
    }

    /// Thermodynamic length ∫₀^β √Var U dβ by the trapezoid rule over `steps` intervals of exact variances.
    pub fn exact_length(&self, beta: f64, steps: usize) -> f64 {
        let root = |k: usize| self.exact(beta * k as f64 / steps as f64).variance.sqrt();
        let inner: f64 = (1..steps).map(root).sum();
        (inner + 0.5 * (root(0) + root(steps))) * beta / steps as f64
    }

    /// Exact draws from π_β, for reverse runs that start in equilibrium: states with their energies.
    pub fn equilibrium(&self, beta: f64, count: usize, rng: &mut ChaCha12Rng) -> (Vec<usize>, Vec<f64>) {
        let ln_z = self.exact(beta).ln_z;
        let mut sum = 0.0;
        let sums: Vec<f64> = self
            .energies
            .iter()
            .enumerate()
            .map(|(at, energy)| {
                sum += (self.log_q(at) - beta * energy - ln_z).exp();
                sum
            })
            .collect();
        let states: Vec<usize> = (0..count).map(|_| pick(&sums, rng)).collect();
        let energies = states.iter().map(|at| self.energies[*at]).collect();
        (states, energies)
    }
}

/// The index whose interval of running sums holds a uniform draw.
fn pick(sums: &[f64], rng: &mut ChaCha12Rng) -> usize {
    let at = rng.random::<f64>() * sums.last().copied().unwrap_or(1.0);
    sums.partition_point(|sum| *sum <= at).min(sums.len().saturating_sub(1))
}

impl Annealable for FactorTable {
    type State = usize;
    type Kernel = ();

    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<usize> {
        Some(if self.log_q.is_some() { pick(&self.sums, rng) } else { rng.random_range(0..self.energies.len()) })
    }

    fn energy(&self, state: &usize) -> Energy {
        Energy::Value(self.energies[*state])
    }

    fn kernel(&self, _: &[usize]) {}

    /// One factor is chosen, then redrawn uniformly within its class, which is symmetric.
    fn propose(&self, _: &(), state: &usize, rng: &mut ChaCha12Rng) -> Option<Proposed<usize>> {
        // A draw from q needs no density: q cancels.
        if self.independent > 0.0 && rng.random::<f64>() < self.independent {
            return self.draw(rng).map(|state| Proposed { state, log_ratio: 0.0 });
        }
        let members = self.neighbours(rng.random_range(0..self.classes.len()), *state);
        let next = members[rng.random_range(0..members.len())] as usize;
        let log_ratio = if self.log_q.is_some() { self.log_q(next) - self.log_q(*state) } else { 0.0 };
        Some(Proposed { state: next, log_ratio })
    }
}

/// The shipped landscape: three factors of 20, 25 and 10 levels, 5,000 states, additive terms and pair interactions. Rugged
/// enough that careless schedules fail, and the same on every computer.
pub fn synthetic_landscape() -> FactorTable {
    const SIZES: [u16; 3] = [20, 25, 10];
    // A hash in place of a generator, so that every term stands for itself: Steele, Lea and Flood's splitmix64.
    let noise = |kind: u64, a: u16, b: u16| {
        let mut z = (kind << 40 | u64::from(a) << 20 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (mut factors, mut energies) = (Vec::new(), Vec::new());
    for i in 0..SIZES[0] {
        for j in 0..SIZES[1] {
            for k in 0..SIZES[2] {
                let single = noise(1, i, 0) + noise(2, j, 0) + noise(3, k, 0);
                let pairs = noise(4, i, j) + noise(5, i, k) + noise(6, j, k);
                factors.push(vec![i, j, k]);
                energies.push(0.5 * single + 0.8 * pairs);
            }
        }
    }
    FactorTable::new(&factors, energies).expect("the factors have one length and the lists, too")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_space_of_four_states_is_summed_by_hand() {
        let factors = [vec![0, 0], vec![0, 1], vec![1, 0], vec![1, 1]];
        let table = FactorTable::new(&factors, vec![0.0, 1.0, 1.0, 2.0]).unwrap();
        let exact = table.exact(1.0);
        let by_hand = ((1.0 + 2.0 * (-1.0_f64).exp() + (-2.0_f64).exp()) / 4.0).ln();
        assert!((exact.ln_z - by_hand).abs() < 1e-12);
        assert_eq!(table.neighbours(0, 0), [0, 2]);
        assert_eq!(table.neighbours(1, 0), [0, 1]);
        let flat = table.exact(0.0);
        assert!(flat.ln_z.abs() < 1e-12 && flat.information.abs() < 1e-12 && (flat.mean - 1.0).abs() < 1e-12);
        let biased = table.with_prior(&[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0]).unwrap();
        assert!((biased.exact(1.0).ln_z - ((1.0 + (-2.0_f64).exp()) / 2.0).ln()).abs() < 1e-12);
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        assert!((0..100).all(|_| [0, 3].contains(&biased.draw(&mut rng).unwrap())));
        assert_eq!(FactorTable::new(&factors, vec![0.0]), None);
    }

    #[test]
    fn equilibrium_draws_have_the_exact_mean() {
        let table = synthetic_landscape();
        assert_eq!(table.len(), 5000);
        let exact = table.exact(5.0);
        let (_, energies) = table.equilibrium(5.0, 20_000, &mut ChaCha12Rng::seed_from_u64(2));
        let mean = energies.iter().sum::<f64>() / 20_000.0;
        assert!((mean - exact.mean).abs() < 4.0 * (exact.variance / 20_000.0).sqrt(), "{mean} {exact:?}");
    }
}

//! One annealed population: adaptive levels, systematic resampling, moves. Del Moral, Doucet and Jasra, J. R. Stat. Soc. B
//! 68, 411 (2006).

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::estimators::{conditional_ess, thermodynamic_integral};
use super::landscape::{Annealable, Draws, Tally, relax};
use crate::smc::Schedule;

/// Levels before an annealing ends wherever it is.
const LEVELS: usize = 200;

/// One level of β, after its moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// β.
    pub beta: f64,
    /// ⟨U⟩ of the particles after the moves.
    pub mean: f64,
    /// Variance of U of the particles after the moves.
    pub variance: f64,
    /// Effective sample size of the step, as a share.
    pub ess: f64,
    /// Share of moves accepted.
    pub acceptance: f64,
}

/// An annealed population, equally weighted.
#[derive(Debug, Clone, PartialEq)]
pub struct Annealed<S> {
    /// States.
    pub states: Vec<S>,
    /// U of every state.
    pub energies: Vec<f64>,
    /// For every particle the first draw from which it descends.
    pub ancestors: Vec<usize>,
    /// Final β.
    pub beta: f64,
    /// Estimate of ln Z_β, with Z_0 = 1 on the part of q that the twin accepts.
    pub ln_z: f64,
    /// KL(π_β ‖ q), nats: −β⟨U⟩ − ln Z with the weights of the last step.
    pub information: f64,
    /// ⟨U⟩ of the first draws.
    pub prior_mean: f64,
    /// Variance of U of the first draws.
    pub prior_variance: f64,
    /// Every level, β ascending; the first stands above 0.
    pub levels: Vec<Level>,
    /// What it has cost.
    pub tally: Tally,
    /// Reason of the last refusal by the twin.
    pub refusal: Option<String>,
}

impl<S> Annealed<S> {
    /// A population that has not been tilted yet.
    pub fn start(draws: Draws<S>) -> Annealed<S> {
        let count = draws.states.len();
        let (prior_mean, prior_variance) = moments(&draws.energies);
        Annealed {
            states: draws.states,
            energies: draws.energies,
            ancestors: (0..count).collect(),
            beta: 0.0,
            ln_z: 0.0,
            information: 0.0,
            prior_mean,
            prior_variance,
            levels: Vec::new(),
            tally: draws.tally,
            refusal: draws.refusal,
        }
    }

    /// Share of first draws that have descendants.
    pub fn ancestor_share(&self) -> f64 {
        let mut distinct = self.ancestors.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.len() as f64 / self.ancestors.len() as f64
    }

    /// ln Z by thermodynamic integration over the same levels.
    pub fn thermodynamic_integral(&self) -> f64 {
        let levels = self.levels.iter().map(|level| (level.beta, level.mean, level.variance));
        let path: Vec<_> = std::iter::once((0.0, self.prior_mean, self.prior_variance)).chain(levels).collect();
        thermodynamic_integral(&path)
    }

    /// The levels of β from 0, for trajectories along the same path.
    pub fn schedule(&self) -> Vec<f64> {
        std::iter::once(0.0).chain(self.levels.iter().map(|level| level.beta)).collect()
    }

    /// Thermodynamic length ∫ √Var U dβ, trapezoid over the levels.
    pub fn length(&self) -> f64 {
        let mut last = (0.0, self.prior_variance.sqrt());
        let mut sum = 0.0;
        for level in &self.levels {
            let root = level.variance.sqrt();
            sum += 0.5 * (last.1 + root) * (level.beta - last.0);
            last = (level.beta, root);
        }
        sum
    }

    /// Smallest effective sample size of a step, as a share; 1 without levels.
    pub fn least_ess(&self) -> f64 {
        self.levels.iter().map(|level| level.ess).fold(1.0, f64::min)
    }

    /// Acceptance at the last level; 1 without levels.
    pub fn acceptance(&self) -> f64 {
        self.levels.last().map_or(1.0, |level| level.acceptance)
    }
}

/// Anneals a population that was just started.
pub fn anneal<L: Annealable>(
    space: &L,
    mut population: Annealed<L::State>,
    schedule: &Schedule,
    rng: &mut ChaCha12Rng,
) -> Annealed<L::State> {
    while population.levels.len() < LEVELS {
        let step = step_length(&population, schedule);
        if step <= 0.0 {
            break;
        }
        let weighted = Weighted::new(&population.energies, step);
        population.beta += step;
        population.ln_z += weighted.log_mean;
        population.information = (-population.beta * weighted.energy - population.ln_z).max(0.0);
        let chosen = systematic(&weighted.weights, rng);
        population.states = chosen.iter().map(|at| population.states[*at].clone()).collect();
        population.energies = chosen.iter().map(|at| population.energies[*at]).collect();
        population.ancestors = chosen.iter().map(|at| population.ancestors[*at]).collect();
        let kernel = space.kernel(&population.states);
        let particles = (population.states.as_mut_slice(), population.energies.as_mut_slice());
        let tally = relax(space, &kernel, particles, population.beta, schedule.moves, rng);
        population.tally.add(&tally);
        let (mean, variance) = moments(&population.energies);
        let (ess, acceptance) = (weighted.ess, tally.acceptance());
        population.levels.push(Level { beta: population.beta, mean, variance, ess, acceptance });
        if schedule.budget - population.information < 1e-3 {
            break;
        }
    }
    population
}

/// Mean and variance of equally weighted values.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

/// Equally weighted particles after a step of β.
struct Weighted {
    /// Normalised weights.
    weights: Vec<f64>,
    /// ln of the mean incremental weight.
    log_mean: f64,
    /// ⟨U⟩ under the new weights.
    energy: f64,
    /// Effective sample size as a share; the conditional one, too, since particles were equally weighted.
    ess: f64,
}

impl Weighted {
    fn new(energies: &[f64], step: f64) -> Weighted {
        let least = energies.iter().copied().fold(f64::INFINITY, f64::min);
        let mut weights: Vec<f64> = energies.iter().map(|energy| (-step * (energy - least)).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let log_mean = (total / energies.len() as f64).ln() - step * least;
        let energy = weights.iter().zip(energies).map(|(weight, energy)| weight * energy).sum();
        let ess = 1.0 / (weights.iter().map(|weight| weight * weight).sum::<f64>() * weights.len() as f64);
        Weighted { weights, log_mean, energy, ess }
    }
}

/// The largest step of β that keeps the conditional effective sample size, the budget and the largest β.
fn step_length<S>(population: &Annealed<S>, schedule: &Schedule) -> f64 {
    let allowed = |step: f64| {
        let weighted = Weighted::new(&population.energies, step);
        let information = -(population.beta + step) * weighted.energy - (population.ln_z + weighted.log_mean);
        weighted.ess >= schedule.conditional_ess && information <= schedule.budget
    };
    let most = schedule.max_beta - population.beta;
    if most <= 1e-12 {
        return 0.0;
    }
    if allowed(most) {
        return most;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if allowed(middle) { low = middle } else { high = middle }
    }
    // A step that changes nothing is the end.
    if low < 1e-6 * schedule.max_beta { 0.0 } else { low }
}

/// Systematic resampling: indices in ascending order, one random number.
fn systematic(weights: &[f64], rng: &mut ChaCha12Rng) -> Vec<usize> {
    let count = weights.len();
    let offset = rng.random::<f64>();
    let (mut at, mut sum) = (0, weights[0]);
    let mut chosen = Vec::with_capacity(count);
    for index in 0..count {
        let position = (index as f64 + offset) / count as f64;
        while sum < position && at + 1 < count {
            at += 1;
            sum += weights[at];
        }
        chosen.push(at);
    }
    chosen
}

/// The largest step Δβ of weighted particles whose conditional effective sample size stays above a share, at most `most`.
pub fn adaptive_step(weights: &[f64], energies: &[f64], share: f64, most: f64) -> f64 {
    let allowed = |step: f64| conditional_ess(weights, energies, step) >= share * weights.len() as f64;
    if allowed(most) {
        return most;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if allowed(middle) { low = middle } else { high = middle }
    }
    low
}

//! One round of annealing over a listed set, steered by a surrogate.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::listed::Listed;
use super::replay::Target;
use crate::anneal::{
    AnnealRefusal, FactorTable, Figures, InformationBudget, Limits, StudyError, StudySettings, refusals, study,
};
use crate::smc::{Schedule, spread};
use ppu_optimizer::normal::cumulative;

/// Probabilities below this are one and the same to the search; it bounds U.
const LEAST_PROBABILITY: f64 = 1e-6;

/// Share of a probability that is the plain frequency so far: a model that has seen metals alone is sure that there is nothing
/// else, and wrong.
const DOUBT: f64 = 0.1;

/// Share of moves that draw anew from the prior.
const INDEPENDENT: f64 = 0.2;
/// Annealings of one round: a refused one is tried again with a smaller budget, in this proportion.
const TRIES: u32 = 2;
const SMALLER: f64 = 0.5;

/// How a round is annealed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SteerSettings {
    /// Particles in one population.
    pub particles: usize,
    /// Populations.
    pub populations: usize,
    /// Moves of every particle at every level.
    pub moves: usize,
    /// Promise gap that is tolerated, nats of U.
    pub tolerance: f64,
    /// Share of a batch that is drawn from the prior all the same; keeps the record of the surrogate honest.
    pub defence: f64,
    /// The effective number of candidates is at least this many times the batch.
    pub diversity: f64,
}

impl Default for SteerSettings {
    fn default() -> Self {
        SteerSettings { particles: 512, populations: 8, moves: 5, tolerance: 2.0, defence: 0.1, diversity: 4.0 }
    }
}

/// What a surrogate expects of every listed candidate: mean and sd of heat and gap, and how far it may be trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Beliefs {
    /// Heat.
    pub heat: Vec<(f64, f64)>,
    /// Gap.
    pub gap: Vec<(f64, f64)>,
    /// How often heat and gap were met so far, each by itself.
    pub frequency: (f64, f64),
    /// Correlation of its leave-one-out predictions with what was found.
    pub correlation: f64,
}

impl Beliefs {
    /// U = −ln P(target), in nats; heat and gap are taken to be independent and normal.
    pub fn energies(&self, target: &Target) -> Vec<f64> {
        let below = |limit: f64, (mean, sd): (f64, f64)| cumulative((limit - mean) / sd.max(1e-9));
        let doubted = |model: f64, frequency: f64| (1.0 - DOUBT) * model + DOUBT * frequency;
        let probability = |(heat, gap): (&(f64, f64), &(f64, f64))| {
            let stable = doubted(below(target.heat_below, *heat), self.frequency.0);
            stable * doubted(below(target.gap.1, *gap) - below(target.gap.0, *gap), self.frequency.1)
        };
        let energy = |probability: f64| -probability.max(LEAST_PROBABILITY).ln();
        self.heat.iter().zip(&self.gap).map(probability).map(energy).collect()
    }
}

/// What a round found.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// Places in the list, with the share of the weight that led to them; those drawn from the prior have none.
    pub picks: Vec<(usize, Option<f64>)>,
    /// β of the tilt; 0 where the annealing was refused.
    pub beta: f64,
    /// Figures of the annealing.
    pub figures: Figures,
    /// What speaks against it; the batch is then the prior's.
    pub refused: Vec<AnnealRefusal>,
    /// What spoke against an earlier try with a larger budget.
    pub withheld: Vec<AnnealRefusal>,
}

/// Draws a batch of `n` from q · P(target)^β over what is not taken, with β from the information budget.
pub fn steer(
    table: &FactorTable,
    prior: &Listed,
    energies: Vec<f64>,
    (n, correlation, seed): (usize, f64, u64),
    taken: &BTreeSet<usize>,
    settings: &SteerSettings,
    rng: &mut ChaCha12Rng,
) -> Result<Steered, StudyError> {
    let masked: Vec<f64> = prior
        .log_q
        .iter()
        .enumerate()
        .map(|(at, log)| if taken.contains(&at) { f64::NEG_INFINITY } else { *log })
        .collect();
    let sigma = {
        let drawn = prior.draw(settings.particles, taken, rng);
        spread(drawn.iter().map(|at| energies[*at]))
    };
    let space = table.clone().with_energies(energies).and_then(|table| table.with_prior(&masked));
    let space = space.ok_or(StudyError::NoDraws)?.with_independent_moves(INDEPENDENT);
    let budget = InformationBudget::new(settings.particles, settings.tolerance, correlation, sigma);
    // Tilting by B nats leaves about exp(H − B) candidates.
    let diverse = (prior.entropy(taken) - (settings.diversity * n as f64).ln()).max(0.1);
    let mut schedule = Schedule {
        particles: settings.particles,
        moves: settings.moves,
        conditional_ess: 0.95,
        max_beta: 20.0,
        budget: budget.nats.min(diverse),
    };
    let (mut tried, mut withheld) = (0, Vec::new());
    let (found, refused) = loop {
        let asked = StudySettings { schedule, populations: settings.populations, trajectories: false, seed };
        let found = study(&space, &asked)?;
        let refused = refusals(&found.figures, &Limits::default());
        tried += 1;
        if refused.is_empty() || tried == TRIES {
            break (found, refused);
        }
        withheld.extend(refused);
        schedule.budget *= SMALLER;
    };
    let wanted = if refused.is_empty() { n - (settings.defence * n as f64).round() as usize } else { 0 };
    let highest = found.populations.iter().map(|one| one.ln_z).fold(f64::NEG_INFINITY, f64::max);
    let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
    for population in &found.populations {
        for state in &population.states {
            *weights.entry(*state).or_insert(0.0) += (population.ln_z - highest).exp();
        }
    }
    let total: f64 = weights.values().sum();
    let mut races: Vec<(f64, usize, f64)> = weights
        .into_iter()
        .map(|(at, weight)| (-(1.0 - rng.random::<f64>()).ln() / weight, at, weight / total))
        .collect();
    races.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut picks: Vec<(usize, Option<f64>)> =
        races.into_iter().take(wanted).map(|(_, at, weight)| (at, Some(weight))).collect();
    let mut also = taken.clone();
    also.extend(picks.iter().map(|(at, _)| *at));
    picks.extend(prior.draw(n - picks.len(), &also, rng).into_iter().map(|at| (at, None)));
    let beta = if refused.is_empty() { found.figures.beta } else { 0.0 };
    Ok(Steered { picks, beta, figures: found.figures, refused, withheld })
}

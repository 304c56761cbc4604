//! Several independent populations, and what they say together.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::estimators::{Dissipation, Estimate, acceptance_ratio, effective_sample_size, jarzynski, mean};
use super::landscape::{Annealable, draws};
use super::path::{forward, reverse};
use super::population::{Annealed, anneal};
use crate::smc::Schedule;

/// Coverage that errors claim. Above the 95 % that are wanted, because the mean of Z over few populations is skewed.
pub const CONFIDENCE: f64 = 0.98;

/// How several populations are annealed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudySettings {
    /// The schedule. The first population finds β from its budget, the others go to the same β.
    pub schedule: Schedule,
    /// Independent populations, at least 4.
    pub populations: usize,
    /// Whether trajectories run forward and back along the levels, for Bennett's estimate and the hysteresis. Doubles the cost.
    pub trajectories: bool,
    /// Seed; every population has a stream of its own.
    pub seed: u64,
}

impl StudySettings {
    /// Populations of `particles` to `max_beta` without a budget: 8 of them, 5 moves a level, 95 % conditional ESS.
    pub fn to_beta(max_beta: f64, particles: usize, seed: u64) -> StudySettings {
        let schedule = Schedule { particles, moves: 5, conditional_ess: 0.95, max_beta, budget: f64::INFINITY };
        StudySettings { schedule, populations: 8, trajectories: false, seed }
    }
}

/// What the populations found.
#[derive(Debug, Clone, PartialEq)]
pub struct Study<S> {
    /// The populations.
    pub populations: Vec<Annealed<S>>,
    /// Their figures.
    pub figures: Figures,
}

/// Figures of a study: what is printed beside a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Particles in one population.
    pub particles: usize,
    /// β that was reached.
    pub beta: f64,
    /// ln Z from the increments.
    pub ln_z: Estimate,
    /// ln Z by thermodynamic integration.
    pub integral: Estimate,
    /// ln Z by Bennett's acceptance ratio, with trajectories.
    pub bennett: Option<Estimate>,
    /// ln Z of the reverse trajectories alone. They start from the final particles, not from exact equilibrium: a diagnostic,
    /// no bound.
    pub reverse: Option<Estimate>,
    /// Wasted work, with trajectories.
    pub dissipation: Option<Dissipation>,
    /// KL(π_β ‖ q), mean over populations, nats.
    pub information: f64,
    /// Thermodynamic length, mean over populations.
    pub length: f64,
    /// Levels, mean over populations.
    pub levels: f64,
    /// Least acceptance at the last level.
    pub acceptance: f64,
    /// Least share of distinct ancestors.
    pub ancestors: f64,
    /// Least effective sample size of a step, as a share.
    pub least_ess: f64,
    /// Share of draws from q that the twin refused.
    pub refused: f64,
    /// Evaluations of U.
    pub calls: u64,
}

/// Why there is no study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StudyError {
    /// The twin refuses nearly everything, or q has no support.
    #[error("hardly any draw from the prior has an energy")]
    NoDraws,
    /// Fewer than 4 populations or 2 particles: no error could be told.
    #[error("{populations} populations of {particles} are too few to tell an error; 4 of 2 are the least")]
    TooFew {
        /// Populations asked for.
        populations: usize,
        /// Particles asked for.
        particles: usize,
    },
    /// A population has no finite estimate.
    #[error("an estimate of ln Z is not finite")]
    NotFinite,
}

/// The generator of one population of a study.
pub fn stream(seed: u64, population: u64) -> ChaCha12Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&population.to_le_bytes());
    key[31] = b'a';
    ChaCha12Rng::from_seed(key)
}

/// Anneals all populations and compares them.
pub fn study<L: Annealable>(space: &L, settings: &StudySettings) -> Result<Study<L::State>, StudyError> {
    let Schedule { particles, .. } = settings.schedule;
    if settings.populations < 4 || particles < 2 {
        return Err(StudyError::TooFew { populations: settings.populations, particles });
    }
    let mut schedule = settings.schedule;
    let mut populations: Vec<Annealed<L::State>> = Vec::new();
    let mut works = Vec::new();
    for index in 0..settings.populations {
        let mut rng = stream(settings.seed, index as u64);
        let first = draws(space, particles, &mut rng).ok_or(StudyError::NoDraws)?;
        let annealed = anneal(space, Annealed::start(first), &schedule, &mut rng);
        if index == 0 {
            schedule = Schedule { max_beta: annealed.beta, budget: f64::INFINITY, ..schedule };
        }
        if settings.trajectories {
            let path = annealed.schedule();
            let first = draws(space, particles, &mut rng).ok_or(StudyError::NoDraws)?;
            let up = forward(space, first, &path, schedule.moves, &mut rng);
            let start = (annealed.states.clone(), annealed.energies.clone());
            let down = reverse(space, start, &path, schedule.moves, &mut rng);
            works.push((up.works, down.works, up.tally.calls + down.tally.calls));
        }
        populations.push(annealed);
    }
    let figures = figures(&populations, &works).ok_or(StudyError::NotFinite)?;
    Ok(Study { populations, figures })
}

type Works = (Vec<f64>, Vec<f64>, u64);

fn figures<S>(populations: &[Annealed<S>], works: &[Works]) -> Option<Figures> {
    let each = |value: fn(&Annealed<S>) -> f64| populations.iter().map(value).collect::<Vec<f64>>();
    let least = |value: fn(&Annealed<S>) -> f64| each(value).into_iter().fold(f64::INFINITY, f64::min);
    let ln_z = Estimate::of(&each(|one| one.ln_z), CONFIDENCE)?;
    let integral = Estimate::of(&each(Annealed::thermodynamic_integral), CONFIDENCE)?;
    let bennett: Vec<f64> = works.iter().filter_map(|(up, down, _)| acceptance_ratio(up, down)).collect();
    let reverse: Vec<f64> = works.iter().map(|(_, down, _)| -jarzynski(down)).collect();
    let all =
        |pick: fn(&Works) -> &Vec<f64>| works.iter().flat_map(|one| pick(one).iter().copied()).collect::<Vec<_>>();
    let (up, down) = (all(|one| &one.0), all(|one| &one.1));
    let drawn: u64 = populations.iter().map(|one| one.tally.drawn).sum();
    let refused: u64 = populations.iter().map(|one| one.tally.refused).sum();
    let first = populations.first()?;
    Some(Figures {
        particles: first.states.len(),
        beta: first.beta,
        bennett: Estimate::of(&bennett, CONFIDENCE),
        reverse: Estimate::of(&reverse, CONFIDENCE),
        dissipation: (!works.is_empty()).then(|| Dissipation::new(&up, &down, ln_z.ln_z)),
        ln_z,
        integral,
        information: mean(&each(|one| one.information)),
        length: mean(&each(Annealed::length)),
        levels: mean(&each(|one| one.levels.len() as f64)),
        acceptance: least(Annealed::acceptance),
        ancestors: least(Annealed::ancestor_share),
        least_ess: least(Annealed::least_ess),
        refused: refused as f64 / drawn.max(1) as f64,
        calls: populations.iter().map(|one| one.tally.calls).sum::<u64>() + works.iter().map(|one| one.2).sum::<u64>(),
    })
}

/// Annealed importance sampling alone, without resampling: every trajectory keeps its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceFigures {
    /// ln Z over populations, forward.
    pub ln_z: Estimate,
    /// Least effective sample size of a population, as a share.
    pub ess: f64,
    /// Least acceptance at the last level.
    pub acceptance: f64,
    /// Mean forward work.
    pub work: f64,
    /// Evaluations of U.
    pub calls: u64,
}

/// Forward trajectories of several populations along one path.
pub fn importance<L: Annealable>(
    space: &L,
    path: &[f64],
    (populations, particles, moves): (usize, usize, usize),
    seed: u64,
) -> Result<ImportanceFigures, StudyError> {
    if populations < 4 || particles < 2 {
        return Err(StudyError::TooFew { populations, particles });
    }
    let (mut ln_z, mut works) = (Vec::new(), Vec::new());
    let (mut ess, mut acceptance, mut calls) = (f64::INFINITY, f64::INFINITY, 0);
    for index in 0..populations {
        let mut rng = stream(seed, index as u64);
        let first = draws(space, particles, &mut rng).ok_or(StudyError::NoDraws)?;
        let up = forward(space, first, path, moves, &mut rng);
        ln_z.push(jarzynski(&up.works));
        ess = effective_sample_size(up.works.iter().map(|work| -work)).min(ess);
        acceptance = up.acceptance.min(acceptance);
        calls += up.tally.calls;
        works.extend(up.works);
    }
    let ln_z = Estimate::of(&ln_z, CONFIDENCE).ok_or(StudyError::NotFinite)?;
    Ok(ImportanceFigures { ln_z, ess: ess / particles as f64, acceptance, work: mean(&works), calls })
}

//! Annealing in the unit coordinates of a design space: the prior is uniform where it has density, steps are normal. The
//! machinery is [`crate::anneal`]; this is its form for continuous parameters.

use ppu_optimizer::normal::quantile;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::anneal::{self, Annealable, Annealed, Proposed};

/// Share of moves that draw anew from the prior; they need no density and let particles change modes.
const INDEPENDENT: f64 = 0.2;

/// What the landscape says of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Energy {
    /// The prior has no density there.
    Outside,
    /// The twin does not answer; the reason.
    Refused(String),
    /// U, finite.
    Value(f64),
}

/// Where the annealing takes place.
pub trait Landscape {
    /// A uniform draw from the prior, or `None` where it has no support.
    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Vec<f64>>;
    /// U at a point.
    fn energy(&self, point: &[f64]) -> Energy;
}

/// How one population is annealed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Particles.
    pub particles: usize,
    /// Moves of every particle at every level.
    pub moves: usize,
    /// Conditional effective sample size of a step, as a share of the particles.
    pub conditional_ess: f64,
    /// β is never larger.
    pub max_beta: f64,
    /// Information budget in nats.
    pub budget: f64,
}

/// One annealed population, equally weighted.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// Points.
    pub points: Vec<Vec<f64>>,
    /// U of every point.
    pub energies: Vec<f64>,
    /// Final β.
    pub beta: f64,
    /// Estimate of ln Z_β, with Z_0 = 1 on the part of the prior that the twin accepts.
    pub ln_z: f64,
    /// KL(π_β ‖ q) in nats.
    pub information: f64,
    /// Levels.
    pub levels: usize,
    /// Smallest effective sample size before a resampling, as a share of the particles.
    pub least_ess: f64,
    /// Acceptance at the last level; 1 without levels.
    pub acceptance: f64,
    /// Share of first draws that have descendants.
    pub ancestors: f64,
    /// Prior draws, and those of them that the twin refused.
    pub drawn: (u64, u64),
    /// Reason of the last refusal.
    pub refusal: Option<String>,
    /// Evaluations of U.
    pub calls: u64,
}

/// Draws from the prior that the twin accepts, before any tilt; `None` where there are none.
pub fn start(landscape: &dyn Landscape, particles: usize, rng: &mut ChaCha12Rng) -> Option<Population> {
    anneal::draws(&UnitCube(landscape), particles, rng).map(Annealed::start).map(Population::from)
}

/// Anneals a population that was just started.
pub fn anneal(
    landscape: &dyn Landscape,
    population: Population,
    schedule: &Schedule,
    rng: &mut ChaCha12Rng,
) -> Population {
    let tally = anneal::Tally {
        calls: population.calls,
        drawn: population.drawn.0,
        refused: population.drawn.1,
        ..anneal::Tally::default()
    };
    let draws =
        anneal::Draws { states: population.points, energies: population.energies, tally, refusal: population.refusal };
    anneal::anneal(&UnitCube(landscape), Annealed::start(draws), schedule, rng).into()
}

impl From<Annealed<Vec<f64>>> for Population {
    fn from(annealed: Annealed<Vec<f64>>) -> Population {
        Population {
            beta: annealed.beta,
            ln_z: annealed.ln_z,
            information: annealed.information,
            levels: annealed.levels.len(),
            least_ess: annealed.least_ess(),
            acceptance: annealed.acceptance(),
            ancestors: annealed.ancestor_share(),
            drawn: (annealed.tally.drawn, annealed.tally.refused),
            calls: annealed.tally.calls,
            points: annealed.states,
            energies: annealed.energies,
            refusal: annealed.refusal,
        }
    }
}

/// A landscape with its moves. Local steps are normal, as wide in every coordinate as the population suggests (2.4/√d, Roberts
/// and Rosenthal 2001); independent ones come from the prior.
struct UnitCube<'a>(&'a dyn Landscape);

impl Annealable for UnitCube<'_> {
    type State = Vec<f64>;
    type Kernel = Vec<f64>;

    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Vec<f64>> {
        self.0.draw(rng)
    }

    fn energy(&self, point: &Vec<f64>) -> Energy {
        self.0.energy(point)
    }

    fn kernel(&self, population: &[Vec<f64>]) -> Vec<f64> {
        let dimensions = population.first().map_or(0, Vec::len);
        let width = |k: usize| 2.4 / (dimensions as f64).sqrt() * spread(population.iter().map(|point| point[k]));
        (0..dimensions).map(width).collect()
    }

    /// The prior is uniform where it has density: only U decides.
    fn propose(&self, widths: &Vec<f64>, point: &Vec<f64>, rng: &mut ChaCha12Rng) -> Option<Proposed<Vec<f64>>> {
        let state = if rng.random::<f64>() < INDEPENDENT {
            self.0.draw(rng)?
        } else {
            let normal = |rng: &mut ChaCha12Rng| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
            point.iter().zip(widths).map(|(x, width)| x + width * normal(rng)).collect()
        };
        Some(Proposed { state, log_ratio: 0.0 })
    }
}

/// Exponential races of weighted entrants, each with when it rings and its weight, first come first: the first n are a draw
/// without replacement (Efraimidis and Spirakis 2006). Weights are positive.
pub(crate) fn races<T>(entrants: impl Iterator<Item = (T, f64)>, rng: &mut ChaCha12Rng) -> Vec<(f64, T, f64)> {
    let rings = |(one, weight)| (-(1.0 - rng.random::<f64>()).ln() / weight, one, weight);
    let mut races: Vec<(f64, T, f64)> = entrants.map(rings).collect();
    races.sort_by(|a, b| a.0.total_cmp(&b.0));
    races
}

/// Standard deviation.
pub(crate) fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt()
}

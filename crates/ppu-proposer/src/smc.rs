//! Annealed sequential Monte Carlo from a uniform prior q to π_β(x) ∝ q(x) exp(−β U(x)): Neal, Stat. Comput. 11, 125
//! (2001); Del Moral, Doucet and Jasra, J. R. Stat. Soc. B 68, 411 (2006). Levels are placed by the conditional effective
//! sample size and stop at an information budget I(β) = KL(π_β ‖ q) = −β⟨U⟩ − ln Z.

use ppu_optimizer::normal::quantile;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// Attempts at one particle that the twin accepts.
const ATTEMPTS: usize = 200;
/// Levels before an annealing ends wherever it is.
const LEVELS: usize = 200;
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
    let (mut points, mut energies) = (Vec::new(), Vec::new());
    let (mut drawn, mut refused, mut refusal) = (0, 0, None);
    while points.len() < particles {
        if drawn as usize > ATTEMPTS * particles {
            return None;
        }
        let point = landscape.draw(rng)?;
        drawn += 1;
        match landscape.energy(&point) {
            Energy::Value(energy) => {
                points.push(point);
                energies.push(energy);
            }
            Energy::Refused(reason) => (refused, refusal) = (refused + 1, Some(reason)),
            Energy::Outside => {}
        }
    }
    Some(Population {
        points,
        energies,
        beta: 0.0,
        ln_z: 0.0,
        information: 0.0,
        levels: 0,
        least_ess: 1.0,
        acceptance: 1.0,
        ancestors: 1.0,
        drawn: (drawn, refused),
        refusal,
        calls: drawn,
    })
}

/// Anneals a population that was just started.
pub fn anneal(
    landscape: &dyn Landscape,
    mut population: Population,
    schedule: &Schedule,
    rng: &mut ChaCha12Rng,
) -> Population {
    let count = population.points.len();
    let mut ancestors: Vec<usize> = (0..count).collect();
    while population.levels < LEVELS {
        let step = step_length(&population, schedule);
        if step <= 0.0 {
            break;
        }
        let weighted = Weighted::new(&population.energies, step);
        population.beta += step;
        population.ln_z += weighted.log_mean;
        population.information = (-population.beta * weighted.energy - population.ln_z).max(0.0);
        population.least_ess = population.least_ess.min(weighted.ess());
        let chosen = systematic(&weighted.weights, rng);
        population.points = chosen.iter().map(|at| population.points[*at].clone()).collect();
        population.energies = chosen.iter().map(|at| population.energies[*at]).collect();
        ancestors = chosen.iter().map(|at| ancestors[*at]).collect();
        moves(landscape, &mut population, schedule.moves, rng);
        population.levels += 1;
        if schedule.budget - population.information < 1e-3 {
            break;
        }
    }
    ancestors.sort_unstable();
    ancestors.dedup();
    population.ancestors = ancestors.len() as f64 / count as f64;
    population
}

/// Equally weighted particles after a step of β.
struct Weighted {
    /// Normalised weights.
    weights: Vec<f64>,
    /// ln of the mean incremental weight.
    log_mean: f64,
    /// ⟨U⟩ under the new weights.
    energy: f64,
}

impl Weighted {
    fn new(energies: &[f64], step: f64) -> Weighted {
        let least = energies.iter().copied().fold(f64::INFINITY, f64::min);
        let mut weights: Vec<f64> = energies.iter().map(|energy| (-step * (energy - least)).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let log_mean = (total / energies.len() as f64).ln() - step * least;
        let energy = weights.iter().zip(energies).map(|(weight, energy)| weight * energy).sum();
        Weighted { weights, log_mean, energy }
    }

    /// Effective sample size as a share; particles were equally weighted, so it is the conditional one, too.
    fn ess(&self) -> f64 {
        1.0 / (self.weights.iter().map(|weight| weight * weight).sum::<f64>() * self.weights.len() as f64)
    }
}

/// The largest step of β that keeps the conditional effective sample size, the budget and the largest β.
fn step_length(population: &Population, schedule: &Schedule) -> f64 {
    let allowed = |step: f64| {
        let weighted = Weighted::new(&population.energies, step);
        let information = -(population.beta + step) * weighted.energy - (population.ln_z + weighted.log_mean);
        weighted.ess() >= schedule.conditional_ess && information <= schedule.budget
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

/// Metropolis moves that leave π_β invariant. Local steps are normal, as wide in every coordinate as the population
/// suggests (2.4/√d, Roberts and Rosenthal 2001); independent ones come from the prior.
fn moves(landscape: &dyn Landscape, population: &mut Population, moves: usize, rng: &mut ChaCha12Rng) {
    let dimensions = population.points[0].len();
    let widths: Vec<f64> = (0..dimensions)
        .map(|k| 2.4 / (dimensions as f64).sqrt() * spread(population.points.iter().map(|point| point[k])))
        .collect();
    let (mut tried, mut accepted) = (0_u64, 0_u64);
    for _ in 0..moves {
        for at in 0..population.points.len() {
            let next = if rng.random::<f64>() < INDEPENDENT {
                landscape.draw(rng)
            } else {
                let normal = |rng: &mut ChaCha12Rng| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
                Some(population.points[at].iter().zip(&widths).map(|(x, width)| x + width * normal(rng)).collect())
            };
            let Some(next) = next else { continue };
            tried += 1;
            let threshold = rng.random::<f64>();
            let energy = landscape.energy(&next);
            population.calls += u64::from(energy != Energy::Outside);
            // The prior is uniform where it has density: only U decides. A refused point has probability 0.
            if let Energy::Value(energy) = energy
                && threshold < (-population.beta * (energy - population.energies[at])).exp()
            {
                population.points[at] = next;
                population.energies[at] = energy;
                accepted += 1;
            }
        }
    }
    population.acceptance = if tried > 0 { accepted as f64 / tried as f64 } else { 0.0 };
}

/// Standard deviation.
pub(crate) fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt()
}

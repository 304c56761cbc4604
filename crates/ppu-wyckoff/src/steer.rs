//! Steered sampling: sequential Monte Carlo over drafts of crystals with a caller's value as twist. After Zhao et al.,
//! arXiv 2404.17546, and Del Moral, Doucet and Jasra, J. R. Stat. Soc. B 68, 411 (2006).

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::crystal::Crystal;
use crate::grammar::{Grammar, Partial};
use crate::model::{Draft, Sampled};
use crate::network::Network;

/// What is sampled from, up to its normalisation: q(x) · exp(value(x)) over complete crystals.
pub trait Value {
    /// ln of the wanted tilt of a complete crystal, in nats; −∞ excludes it. It must not be NaN or +∞.
    fn complete(&self, crystal: &Crystal) -> f64;

    /// A guess of ln E\[exp(value)\] over the completions of a draft. A wrong guess costs particles, never correctness.
    fn partial(&self, partial: &Partial) -> f64;
}

/// How steered sampling is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteerSettings {
    /// Drafts that are kept at once.
    pub particles: usize,
    /// Temperature of the model; its tilted distribution at this temperature is the target.
    pub temperature: f64,
    /// Drafts are resampled when their effective number falls below this share.
    pub resample_below: f64,
}

impl Default for SteerSettings {
    fn default() -> SteerSettings {
        SteerSettings { particles: 256, temperature: 1.0, resample_below: 0.5 }
    }
}

/// The result of steered sampling.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// Crystals with ln q under the untilted model; equal ones may occur more than once.
    pub crystals: Vec<Sampled>,
    /// Normalised weight of each.
    pub weights: Vec<f64>,
    /// Estimate of ln E_q\[exp(value)\]: its exponential is unbiased, it is low by half its variance itself.
    pub ln_z: f64,
    /// Effective number at the end, (Σ w)² / Σ w². After resampling it does not tell of a lost mode; repeats do.
    pub effective: f64,
    /// How often the drafts were resampled.
    pub resampled: usize,
    /// Distinct first drafts from which the crystals descend.
    pub ancestors: usize,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SteerError {
    /// No drafts were asked for.
    #[error("steered sampling needs one particle at least")]
    NoParticles,
    /// Every crystal has the weight 0.
    #[error(
        "the value excludes every crystal that was drawn; use more particles, or a value that is finite more often"
    )]
    NothingLeft,
    /// A value is NaN or +∞.
    #[error("the value of a crystal or of a draft is not a number or infinite")]
    NotANumber,
}

struct Particle {
    draft: Draft,
    /// The value by which the weight was last brought up to date.
    value: f64,
    ancestor: usize,
    finished: bool,
}

/// Draws crystals from q(x) · exp(value(x)).
///
/// # Errors
/// [`SteerError`] when nothing has a weight, or a value is not a number.
pub fn steer(
    network: &Network<f32>,
    grammar: &Grammar,
    value: &dyn Value,
    settings: &SteerSettings,
    rng: &mut ChaCha12Rng,
) -> Result<Steered, SteerError> {
    let count = settings.particles;
    if count == 0 {
        return Err(SteerError::NoParticles);
    }
    let start = |ancestor| Particle { draft: Draft::new(network, grammar), value: 0.0, ancestor, finished: false };
    let mut particles: Vec<Particle> = (0..count).map(start).collect();
    let mut log_weights = vec![0.0; count];
    let (mut ln_z, mut resampled) = (0.0, 0);
    while particles.iter().any(|particle| !particle.finished) {
        for (particle, log_weight) in particles.iter_mut().zip(&mut log_weights) {
            *log_weight += particle.advance(network, grammar, value, settings.temperature, rng)?;
        }
        let (weights, mean) = normalised(&log_weights).ok_or(SteerError::NothingLeft)?;
        if effective(&weights) < settings.resample_below * count as f64 {
            particles = systematic(&weights, rng).into_iter().map(|from| particles[from].copy()).collect();
            ln_z += mean;
            log_weights.fill(0.0);
            resampled += 1;
        }
    }
    let (weights, mean) = normalised(&log_weights).ok_or(SteerError::NothingLeft)?;
    let mut ancestors: Vec<usize> = particles.iter().map(|particle| particle.ancestor).collect();
    ancestors.sort_unstable();
    ancestors.dedup();
    let mut found = Steered {
        crystals: Vec::new(),
        weights: Vec::new(),
        ln_z: ln_z + mean,
        effective: effective(&weights),
        resampled,
        ancestors: ancestors.len(),
    };
    for (particle, weight) in particles.iter().zip(weights) {
        // A draft without a crystal has the weight 0.
        if let Some(crystal) = particle.draft.partial().crystal() {
            found.crystals.push(Sampled { crystal, log_q: particle.draft.log_q() });
            found.weights.push(weight);
        }
    }
    Ok(found)
}

impl Particle {
    fn copy(&self) -> Particle {
        Particle { draft: self.draft.clone(), ..*self }
    }

    /// Takes one more answer, and tells by how much ln of the weight changes.
    fn advance(
        &mut self,
        network: &Network<f32>,
        grammar: &Grammar,
        value: &dyn Value,
        temperature: f64,
        rng: &mut ChaCha12Rng,
    ) -> Result<f64, SteerError> {
        if self.finished {
            return Ok(0.0);
        }
        if let Some(next) = self.draft.next(network, grammar, temperature) {
            if next.log_p.iter().any(|log_p| log_p.is_nan()) || next.options.is_empty() {
                return Err(SteerError::NotANumber);
            }
            let chosen = next.draw(rng);
            self.draft.take(network, grammar, &next, chosen);
        }
        let partial = self.draft.partial();
        let crystal = partial.crystal();
        self.finished = crystal.is_some();
        let now = crystal.map_or_else(|| value.partial(partial), |crystal| value.complete(&crystal));
        if now.is_nan() || now == f64::INFINITY {
            return Err(SteerError::NotANumber);
        }
        let change = now - self.value;
        self.value = now;
        if now == f64::NEG_INFINITY {
            // What is excluded is not continued: its weight can never come back.
            self.finished = true;
        }
        Ok(change)
    }
}

/// Normalised weights and ln of their mean; nothing if all are 0.
fn normalised(log_weights: &[f64]) -> Option<(Vec<f64>, f64)> {
    let most = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return None;
    }
    let weights: Vec<f64> = log_weights.iter().map(|log_weight| (log_weight - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mean = most + (total / log_weights.len() as f64).ln();
    Some((weights.iter().map(|weight| weight / total).collect(), mean))
}

fn effective(weights: &[f64]) -> f64 {
    weights.iter().map(|weight| weight * weight).sum::<f64>().recip()
}

/// Systematic resampling: one draw places an even comb over the weights (Carpenter et al., IEE Proc. F 146, 2 (1999)).
fn systematic(weights: &[f64], rng: &mut ChaCha12Rng) -> Vec<usize> {
    let count = weights.len() as f64;
    let offset: f64 = rng.random();
    let (mut at, mut sum) = (0, weights[0]);
    let tooth = |index: usize| (index as f64 + offset) / count;
    (0..weights.len())
        .map(|index| {
            while sum < tooth(index) && at + 1 < weights.len() {
                at += 1;
                sum += weights[at];
            }
            at
        })
        .collect()
}

//! What every proposer promises.

use ppu_core::{Candidate, DesignSpace, Objective};
use ppu_twin::Evaluation;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

/// A source of candidates.
pub trait Proposer {
    /// Its name, for provenance.
    fn name(&self) -> &str;

    /// Up to `n` candidates. The same condition and the same state of the generator give the same offer.
    fn sample(&self, n: usize, condition: &Condition<'_>, rng: &mut ChaCha12Rng) -> Result<Offer, ProposeError>;
}

/// What is wanted, and in which round.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    /// Where candidates may lie.
    pub space: &'a DesignSpace,
    /// What is wanted of them.
    pub objectives: &'a [Objective],
    /// Seed of the campaign, for provenance.
    pub seed: u64,
    /// Round of the campaign, for provenance.
    pub round: u64,
}

/// The generator of one round of a campaign, to be handed to [`Proposer::sample`].
pub fn rng(seed: u64, round: u64) -> ChaCha12Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&round.to_le_bytes());
    // Keeps the stream apart from those of the optimizer, which are keyed by the same two numbers.
    key[31] = b'p';
    ChaCha12Rng::from_seed(key)
}

/// What a proposer offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Distinct candidates.
    pub offered: Vec<Offered>,
    /// How the annealing went; `None` for proposers without one.
    pub diagnostics: Option<Diagnostics>,
    /// Why the annealed candidates were withheld and the prior's are offered instead.
    pub refusal: Option<Refusal>,
}

/// One candidate with its provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    /// The point, rounded to what the lab can realise.
    pub candidate: Candidate,
    /// Share of the population's weight on it; all weights of an offer sum to at most 1.
    pub weight: f64,
    /// Log density under the proposer in the unit coordinates of the free parameters.
    pub log_q: LogDensity,
    /// Enough to explain and to draw it again.
    pub provenance: ProposalProvenance,
    /// One sentence for people.
    pub reason: String,
}

/// A log density in nats, with respect to Lebesgue measure on the unit coordinates of the free parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogDensity {
    /// Normalised.
    Exact(f64),
    /// Known up to one constant for the whole offer: good for ratios, not for budgets.
    UpToConstant(f64),
    /// Not known.
    Unknown,
}

/// Where a candidate comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalProvenance {
    /// Name of the proposer.
    pub proposer: String,
    /// Seed of the campaign.
    pub seed: u64,
    /// Round of the campaign.
    pub round: u64,
    /// 1/β of the search, in nats of the score; `None` for the prior. Not a temperature in kelvin.
    pub temperature: Option<f64>,
    /// What the twin said, corrections included.
    pub twin: Option<Evaluation>,
}

/// How an annealing went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Particles in one population.
    pub particles: usize,
    /// Independent populations.
    pub populations: usize,
    /// Levels of the first population.
    pub levels: usize,
    /// Final exponent of the score.
    pub beta: f64,
    /// Information spent on narrowing the prior, KL(tilted ‖ prior), nats; mean over populations.
    pub information: f64,
    /// Information that was allowed, nats.
    pub budget: f64,
    /// What limited it.
    pub limit: BudgetLimit,
    /// Correlation of twin and laboratory that the budget assumes.
    pub correlation: f64,
    /// Spread of U = −ln(score) over the prior, nats.
    pub spread: f64,
    /// ln Z at the final β: log of the mean over populations.
    pub ln_z: f64,
    /// Standard deviation of ln Z over populations.
    pub ln_z_sd: f64,
    /// Smallest effective sample size before a resampling, as a share of the particles.
    pub least_ess: f64,
    /// Least acceptance of moves at the last level over populations.
    pub acceptance: f64,
    /// Least share of distinct ancestors over populations.
    pub ancestors: f64,
    /// Share of prior draws that the twin refused.
    pub twin_refused: f64,
    /// Evaluations of the twin.
    pub calls: u64,
}

/// What set the information budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetLimit {
    /// ln N − 1: more would leave too few distinct particles.
    Population,
    /// The promise gap of an imperfect twin.
    Twin,
    /// The largest exponent was reached before the budget was spent.
    Exponent,
}

/// Why an annealed batch is withheld.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Populations disagree about ln Z.
    #[error("independent populations disagree: ln Z scatters by {sd:.2} nats, more than {limit}")]
    Disagreement {
        /// Standard deviation over populations.
        sd: f64,
        /// Largest allowed.
        limit: f64,
    },
    /// Particles hardly move.
    #[error("particles are stuck: {acceptance:.3} of the moves are accepted, less than {limit}")]
    Stuck {
        /// Acceptance at the last level.
        acceptance: f64,
        /// Smallest allowed.
        limit: f64,
    },
    /// The population descends from too few draws.
    #[error("the population descends from {ancestors:.3} of its draws, less than {limit:.3}")]
    Impoverished {
        /// Share of distinct ancestors.
        ancestors: f64,
        /// Smallest allowed.
        limit: f64,
    },
    /// The twin does not cover the space.
    #[error("the twin refuses {share:.2} of the space, more than {limit}; mostly: {mostly}")]
    TwinRefuses {
        /// Share of prior draws refused.
        share: f64,
        /// Largest allowed.
        limit: f64,
        /// The most frequent reason.
        mostly: String,
    },
    /// The twin knows none of the objectives.
    #[error("the twin predicts none of the objectives")]
    NothingPredicted,
}

/// Why there is no offer at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProposeError {
    /// No point of the space satisfies its mixtures, or none was found.
    #[error("no candidate of the design space was found; check the limits of its mixtures")]
    NoCandidate,
    /// Nothing varies.
    #[error("the design space has no free parameter")]
    EmptySpace,
    /// The lessons of a flow cannot be used.
    #[error("the flow cannot be taught")]
    Learn(#[from] crate::flow::LearnError),
}

//! What the engine is asked and what it answers, in coordinates of the unit cube.

use serde::{Deserialize, Serialize};

use crate::contract::Calibration;

/// One valid measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Any text that names it, different for every experiment.
    pub id: String,
    /// Coordinates, scaled so that the search space is about the unit cube. Points outside are used by the models.
    pub x: Vec<f64>,
    /// What was measured.
    pub value: f64,
    /// Known variance of the value, in the square of its unit; 0 where nothing is known. Noise is fitted on top.
    pub variance: f64,
}

/// Whether more or less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    Maximize,
    /// Less is better.
    Minimize,
}

impl Direction {
    /// +1 or −1: the engine maximises `sign · value`.
    pub(crate) fn sign(self) -> f64 {
        match self {
            Direction::Maximize => 1.0,
            Direction::Minimize => -1.0,
        }
    }
}

/// Natural logarithm of the cost of an experiment at coordinates. It must be a pure function.
pub type LogCost<'a> = &'a dyn Fn(&[f64]) -> f64;

/// What was measured at a cheaper fidelity, such as a simulation.
#[derive(Debug, Clone, Copy)]
pub struct Cheaper<'a> {
    /// In the order of their sequence numbers.
    pub experiments: &'a [Experiment],
    /// Cost of one more, in units of the cost of a real experiment.
    pub cost: f64,
}

/// One question. The answer is a pure function of it, the seed of the engine and the version of the crate.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Everything measured, in the order of its sequence numbers.
    pub experiments: &'a [Experiment],
    /// Coordinates of experiments under way, from dispatch to result.
    pub pending: &'a [Vec<f64>],
    /// How many candidates are wanted, at least 1.
    pub batch: usize,
    /// Number of this question; it keys the random numbers.
    pub step: u64,
    /// What is better.
    pub direction: Direction,
    /// Cost of experiments, where they differ: picks are by improvement a cost.
    pub log_cost: Option<LogCost<'a>>,
    /// Cheaper fidelities, the cheapest first; each must say something of the next one.
    pub cheaper: &'a [Cheaper<'a>],
}

/// How picks were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Spread over the space: too few measurements for a model.
    SpaceFilling,
    /// By the committee's votes; every second pick of a batch is spread over the space, because the models predict no
    /// better than a constant: not calibrated yet, exploring.
    Exploring,
    /// By the committee's votes.
    Model,
}

/// One pick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Its number in the pool, where it comes from one.
    pub number: Option<usize>,
    /// Its coordinates.
    pub x: Vec<f64>,
    /// The cheaper fidelity that teaches most for its cost there; `None` for a real experiment.
    pub cheaper: Option<usize>,
    /// Expected value without noise; `None` while space-filling.
    pub mean: Option<f64>,
    /// Standard deviation of that.
    pub sd: Option<f64>,
    /// Interval that holds the next reading with 80 % probability, noise included.
    pub interval_80: Option<(f64, f64)>,
    /// Logarithm of the improvement expected over the best point, in the unit of the values.
    pub log_improvement: Option<f64>,
    /// Share of the improvement that is owed to uncertainty: 0 is pure exploitation, 1 pure exploration.
    pub exploration: Option<f64>,
    /// The nearest measured points, nearest first: id and Euclidean distance.
    pub nearest: Vec<(String, f64)>,
    /// Rank among the candidates by each member that votes, 1 is best; empty while space-filling and where the pick was
    /// climbed to.
    pub ranks: Vec<f64>,
    /// One sentence for people.
    pub reason: String,
}

/// One member of the committee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberReport {
    /// What it is.
    pub name: String,
    /// Its share of the votes.
    pub weight: f64,
    /// Mean log density of left-out observations, of standardised values.
    pub log_density: f64,
    /// Fitted noise beyond the known variances, standard deviation in the unit of the values; `None` for the forest.
    pub noise_sd: Option<f64>,
    /// Fitted length scales in the unit cube; empty for the forest.
    pub length_scales: Vec<f64>,
    /// How its left-out predictions fit.
    pub calibration: Calibration,
}

/// The best measured point, by posterior mean: not the luckiest reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The experiment.
    pub id: String,
    /// Expected value there.
    pub mean: f64,
    /// Standard deviation of that.
    pub sd: f64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// How the picks were chosen.
    pub mode: Mode,
    /// The picks, first choice first. Fewer than asked only where no other candidate is left.
    pub picks: Vec<Pick>,
    /// The recommendation so far.
    pub best: Option<Best>,
    /// The committee; empty while space-filling.
    pub members: Vec<MemberReport>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// A batch of nothing.
    #[error("the batch is empty")]
    EmptyBatch,
    /// Two experiments with one id.
    #[error("two experiments are called `{0}`")]
    Duplicate(String),
    /// A number that makes no sense.
    #[error("experiment `{id}`: {what}")]
    Experiment {
        /// The experiment.
        id: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A pending point that makes no sense.
    #[error("pending point {at}: {what}")]
    Pending {
        /// Its position.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A cheaper fidelity whose cost makes no sense.
    #[error("cheaper fidelity {at} costs {cost}: give a positive share of the cost of a real experiment")]
    Cost {
        /// Its position.
        at: usize,
        /// Its cost.
        cost: f64,
    },
    /// There is nothing to choose from.
    #[error("there is no candidate to choose from")]
    NoCandidate,
    /// The covariance cannot be factored.
    #[error("no model: experiments `{first}` and `{second}` are {distance} apart")]
    TooClose {
        /// One experiment.
        first: String,
        /// The other.
        second: String,
        /// Their distance.
        distance: f64,
    },
}

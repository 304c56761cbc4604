//! What the optimizer is asked, and what it answers.

use ppu_core::{Candidate, Observation};
use serde::{Deserialize, Serialize};

/// One question. Trials in the order of their sequence numbers; the answer depends on it.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Everything that was tried.
    pub trials: &'a [Trial],
    /// Candidates under way, from dispatch to result.
    pub pending: &'a [Candidate],
    /// Candidates offered by a proposer, screened by a twin. May be empty.
    pub pool: &'a [ScoredCandidate],
    /// How many candidates are wanted, at least 1.
    pub batch: usize,
    /// Number of this question in the campaign; it keys the random numbers.
    pub step: u64,
    /// Prior means of the observables, for example from a twin.
    pub prior: Option<&'a dyn PriorMean>,
}

/// Prior knowledge of the observables. It must be a pure function.
pub trait PriorMean {
    /// One value an objective, in the order of the objectives and in their units, or `None` where nothing is known.
    fn prior_mean(&self, candidate: &Candidate) -> Option<Vec<f64>>;
}

/// One candidate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Any text that names it, different for every trial.
    pub id: String,
    /// What was made, as realised.
    pub candidate: Candidate,
    /// What was expected of it when it was proposed, as far as anything was. Intervals that miss too often are widened.
    #[serde(default)]
    pub expected: Vec<Prediction>,
    /// What came of it.
    pub outcome: TrialOutcome,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// It was measured. Values teach the models; a missing objective teaches the feasibility.
    Valid(Observation),
    /// The chemistry failed: no film, wrong phase, nothing to measure. Teaches the feasibility.
    Infeasible {
        /// Why, for people.
        reason: String,
    },
    /// A machine or the analysis failed. Teaches nothing, and the candidate may be tried again.
    Void {
        /// Why, for people.
        reason: String,
    },
}

/// A candidate of the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredCandidate {
    /// The point.
    pub candidate: Candidate,
    /// Score that a twin expects, 0 to 1. Used for the first picks only, before there are data to model.
    pub twin_score: Option<f64>,
    /// Why it is in the pool.
    pub reason: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The step that was asked.
    pub step: u64,
    /// The seed of the optimizer.
    pub seed: u64,
    /// How the picks were chosen.
    pub phase: Phase,
    /// The picks, first choice first. Fewer than asked only where no other candidate is left.
    pub picks: Vec<Suggestion>,
    /// The best measured point, by posterior expectation of its score: the recommendation.
    pub incumbent: Option<Incumbent>,
    /// The models behind the picks, one an objective; empty while space-filling.
    pub models: Vec<ModelReport>,
    /// Remarks for the operator.
    pub flags: Vec<String>,
}

/// How picks were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Spread over the space: too few valid trials for a model.
    SpaceFilling {
        /// Complete observations so far.
        valid: usize,
        /// Complete observations needed for the models.
        needed: usize,
    },
    /// By expected improvement of the score.
    Model,
}

/// Where a pick comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The space-filling start.
    SpaceFilling,
    /// The pool, unchanged.
    Pool,
    /// Quasi-random points of the whole space.
    Space,
    /// A neighbour of a good point.
    Local,
    /// Found by climbing the acquisition from one of the others.
    Polished,
}

/// One pick and its explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The point, rounded to what the lab can realise.
    pub candidate: Candidate,
    /// Where it comes from.
    pub source: Source,
    /// Predicted observables; empty while space-filling.
    pub predicted: Vec<Prediction>,
    /// Posterior expectation of the score, 0 to 1.
    pub expected_score: Option<f64>,
    /// Expected improvement of the score times the probability of a valid result.
    pub acquisition: Option<f64>,
    /// Probability of a valid result.
    pub probability_feasible: Option<f64>,
    /// Share of the expected improvement that is owed to uncertainty: 0 is pure exploitation, 1 pure exploration.
    pub exploration: Option<f64>,
    /// The nearest trial that was not void.
    pub nearest: Option<Nearest>,
    /// One sentence for people.
    pub reason: String,
}

/// What a measurement is expected to read, apart from its own uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The objective.
    pub objective: String,
    /// Posterior mean, in the unit of the objective.
    pub mean: f64,
    /// Standard deviation, same unit: what the model does not know, and what samples made alike differ by.
    pub sd: f64,
}

/// A trial near a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its id.
    pub trial: String,
    /// Euclidean distance in the unit coordinates of the free parameters.
    pub distance: f64,
}

/// The best measured point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incumbent {
    /// The trial.
    pub trial: String,
    /// Its candidate.
    pub candidate: Candidate,
    /// Posterior expectation of the score there: not the luckiest reading.
    pub score: f64,
}

/// The model of one objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// The objective.
    pub objective: String,
    /// Observations it rests on.
    pub observations: usize,
    /// Whether it uses the prior means, as it does where leave-one-out prefers that.
    pub prior_used: bool,
    /// Whether it uses them as inputs beside the parameters, not by modelling the difference from its own.
    #[serde(default)]
    pub prior_inputs: bool,
    /// Length scales of the free parameters in unit coordinates, in the order of the space; then those of prior means that are
    /// inputs.
    pub length_scales: Vec<f64>,
    /// Fitted noise beyond the known uncertainties, standard deviation in the unit of the objective.
    pub noise_sd: f64,
    /// How its predictions fit the data.
    pub calibration: Calibration,
    /// Factor on the sd of predictions, at least 1, by how often those of earlier trials were missed.
    pub widening: f64,
}

/// Leave-one-out calibration with fixed hyperparameters; slightly optimistic below 20 observations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Share of observations inside their 50 % interval.
    pub coverage_50: f64,
    /// Share inside their 80 % interval.
    pub coverage_80: f64,
    /// Share inside their 95 % interval.
    pub coverage_95: f64,
    /// Root mean square of the standardised residuals; 1 is perfect.
    pub sd_of_z: f64,
    /// 1 − (squared error of the model) / (squared error of the mean), leave-one-out.
    pub q_squared: f64,
    /// The verdict.
    pub state: CalibrationState,
}

/// Verdict on a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationState {
    /// Intervals and predictions fit.
    Good,
    /// Residuals are wider than predicted; predictive sds are multiplied by `sd_of_z`.
    Overconfident,
    /// No better than the mean of the data.
    Uninformative,
    /// A residual beyond four sds: repeat that trial, do not delete it.
    Outliers,
    /// Fewer than five observations.
    TooFew,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptimizerError {
    /// Nothing varies.
    #[error("the design space has no free parameter")]
    EmptySpace,
    /// Limits of a parameter that leave no room.
    #[error("parameter `{parameter}`: {problem}")]
    Parameter {
        /// The parameter.
        parameter: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A mixture that cannot be filled.
    #[error("the fractions {parts} cannot sum to 1 within their limits ({least} to {most})")]
    Mixture {
        /// The parts, for people.
        parts: String,
        /// Least sum.
        least: f64,
        /// Greatest sum.
        most: f64,
    },
    /// No candidate was found in the space.
    #[error("no candidate of the design space satisfies its mixtures")]
    NoCandidate,
    /// Nothing is wanted.
    #[error("there is no objective")]
    NoObjective,
    /// An objective without sense.
    #[error("objective `{objective}`: {problem}")]
    Objective {
        /// The objective.
        objective: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A batch of nothing.
    #[error("the batch is empty")]
    EmptyBatch,
    /// Two trials with one id.
    #[error("two trials are called `{0}`")]
    DuplicateTrial(String),
    /// A value that is not a number, or an uncertainty that is negative.
    #[error("trial `{trial}`: {what} is {value}")]
    BadValue {
        /// The trial.
        trial: String,
        /// What it is.
        what: String,
        /// Its value.
        value: f64,
    },
    /// A candidate that does not fit the space.
    #[error("{subject} does not fit the design space")]
    Candidate {
        /// The trial, pending point or pool entry.
        subject: String,
        /// Why not.
        source: ppu_core::design::CandidateError,
    },
    /// A prior mean with the wrong number of values, or a value that is not finite.
    #[error("the prior mean of {subject} is not one finite value for each of {objectives} objectives")]
    Prior {
        /// Where it was asked.
        subject: String,
        /// Objectives of the campaign.
        objectives: usize,
    },
    /// The covariance of the data cannot be factored.
    #[error("the model of `{objective}` failed: trials `{first}` and `{second}` are {distance} apart")]
    Model {
        /// The objective.
        objective: String,
        /// One trial.
        first: String,
        /// The other trial.
        second: String,
        /// Their distance in unit coordinates.
        distance: f64,
    },
}

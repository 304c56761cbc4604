//! What a study answers, and why it refuses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::space::{Design, DesignError, SpaceError};

/// The next designs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Number of the question.
    pub step: u64,
    /// The picks, first choice first. Fewer than asked only where no other design is left.
    pub picks: Vec<Pick>,
    /// Whether models chose, or the picks are spread over the space.
    pub modelled: bool,
    /// Remarks for people.
    pub remarks: Vec<String>,
}

/// One pick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Id under which its result is to be told.
    pub id: String,
    /// The design, exactly on limits, sums and steps.
    pub design: Design,
    /// How to evaluate it; `None` where the study has a single way.
    pub fidelity: Option<String>,
    /// Predictions; empty where no model chose.
    pub predicted: BTreeMap<String, Predicted>,
    /// ln of the expected improvement, failures and conditions included; `None` where no model chose.
    pub log_improvement: Option<f64>,
    /// Probability that the chemistry works; 1 while nothing failed.
    pub probability_feasible: f64,
    /// One sentence for people.
    pub reason: String,
}

/// A prediction, without measurement noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

/// What is expected of one design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// By observable.
    pub predicted: BTreeMap<String, Predicted>,
    /// Probability that the chemistry works.
    pub probability_feasible: f64,
}

/// Why a design is, or is not, worth trying.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What is expected of it.
    pub forecast: Forecast,
    /// ln of the expected improvement, failures and conditions included.
    pub log_improvement: f64,
    /// Share of the expected improvement that is owed to uncertainty: it goes when every sd shrinks to a tenth.
    pub exploration: f64,
    /// The nearest results that taught something, nearest first, at most three.
    pub nearest: Vec<Neighbour>,
    /// Parameters in which it differs from the best result: value here, value there.
    pub differs_from_best: BTreeMap<String, (String, String)>,
    /// One sentence for people.
    pub reason: String,
}

/// A result near a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its id.
    pub id: String,
    /// Euclidean distance of the encoded designs.
    pub distance: f64,
    /// Whether it failed.
    pub failed: bool,
}

/// A result worth recommending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its id.
    pub id: String,
    /// Its design.
    pub design: Design,
    /// Posterior mean and sd at it: not the luckiest reading.
    pub predicted: BTreeMap<String, Predicted>,
}

/// Why a study refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StudyError {
    /// The space makes no sense.
    #[error("the space cannot be searched")]
    Space(#[from] SpaceError),
    /// An objective, a fidelity or the whole definition makes no sense.
    #[error("`{subject}`: {problem}")]
    Definition {
        /// What is concerned.
        subject: String,
        /// What is wrong.
        problem: String,
    },
    /// Two results of one id.
    #[error("a result called `{0}` was told before")]
    Duplicate(String),
    /// An id that nothing has.
    #[error("there is no result called `{0}`")]
    Unknown(String),
    /// A design that does not belong to the space.
    #[error("the design of `{subject}` does not belong to the space")]
    Design {
        /// The result, the pending design or the question.
        subject: String,
        /// Why not.
        source: DesignError,
    },
    /// A reading that is no reading.
    #[error("result `{id}`: {problem}")]
    Reading {
        /// The result.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// A question that makes no sense.
    #[error("{0}")]
    Question(String),
    /// The committee of surrogates could not answer.
    #[error("the models cannot choose")]
    Committee(#[from] crate::engine::EngineError),
    /// A model could not be fitted.
    #[error("the model of `{observable}` cannot be fitted")]
    Model {
        /// The observable.
        observable: String,
        /// Why.
        source: crate::gp::GpError,
    },
}

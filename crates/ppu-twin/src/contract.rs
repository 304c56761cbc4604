//! What every twin promises.

use std::collections::BTreeMap;

use ppu_core::{Candidate, Unit};
use serde::{Deserialize, Serialize};

/// A way to evaluate a candidate without the laboratory.
pub trait Twin {
    /// Predicts the observables of one candidate. Same input, same bits.
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal>;

    /// What a level predicts, how well by declaration, and at what cost.
    fn describe(&self, fidelity: Fidelity) -> FidelityDescription;
}

/// A level of the ladder, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// F0: charge, ionic radii, linear mixing.
    Rules,
    /// F1: models of band gap, phase formation and emission after the anneal.
    Process,
}

impl std::fmt::Display for Fidelity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fidelity::Rules => "F0 rules",
            Fidelity::Process => "F1 process model",
        })
    }
}

/// Work in units that the shell may time; the crate has no clock. One unit is one evaluation of the cheapest level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Work(pub u64);

/// What a level predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FidelityDescription {
    /// The level.
    pub fidelity: Fidelity,
    /// One line for people.
    pub summary: String,
    /// What it predicts.
    pub observables: Vec<ObservableDescription>,
    /// Work of one evaluation.
    pub cost: Work,
}

/// One observable of a level, with the errors declared for it before any measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservableDescription {
    /// Name, as objectives use it.
    pub name: String,
    /// Unit of mean and sd.
    pub unit: Unit,
    /// Declared sd that remains after offset and scale have been corrected.
    pub residual_sd: f64,
    /// Declared sd of a constant offset between twin and laboratory.
    pub offset_sd: f64,
    /// Declared correlation of the twin with the laboratory over a typical design space.
    pub prior_correlation: f64,
}

/// A prediction: mean and standard deviation of (laboratory − mean). Finite, `sd` positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Expected value in the unit of the observable.
    pub mean: f64,
    /// Standard deviation in the same unit.
    pub sd: f64,
}

/// What one level says about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Observable → prediction.
    pub predictions: BTreeMap<String, Predicted>,
    /// Geometric factors of the perovskite, where the level computes them.
    pub geometry: Option<crate::geometry::Geometry>,
    /// Work spent.
    pub cost: Work,
    /// Enough to compute it again.
    pub provenance: TwinProvenance,
}

/// Which model answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinProvenance {
    /// Name of the model.
    pub model: String,
    /// Its version; any change of a constant raises it.
    pub version: u32,
    /// The level.
    pub fidelity: Fidelity,
    /// Whether learnt corrections were applied to the predictions.
    pub corrected: bool,
}

/// Why a twin does not answer. A refusal is data, not a bad score.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum TwinRefusal {
    /// Neither the candidate nor the fixed values give a parameter that the model needs.
    #[error("the twin needs `{parameter}` and nothing gives it")]
    Missing {
        /// The parameter.
        parameter: String,
    },
    /// A value outside the domain of the model, or not finite.
    #[error("`{parameter}` is {value}, outside the twin's domain {min} to {max}")]
    Outside {
        /// The parameter.
        parameter: String,
        /// Its value.
        value: f64,
        /// Smallest value of the domain.
        min: f64,
        /// Largest value of the domain.
        max: f64,
    },
    /// A hard rule of chemistry is broken.
    #[error("forbidden by {rule}: {value} is outside {min} to {max}")]
    Forbidden {
        /// The rule.
        rule: String,
        /// The value judged.
        value: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A model that runs elsewhere does not answer.
    #[error("the model declines: {reason}")]
    Declined {
        /// Its reason.
        reason: String,
    },
}

impl TwinRefusal {
    /// A short key for counting refusals of one kind.
    pub fn kind(&self) -> String {
        match self {
            TwinRefusal::Missing { parameter } => format!("missing {parameter}"),
            TwinRefusal::Outside { parameter, .. } => format!("{parameter} outside domain"),
            TwinRefusal::Forbidden { rule, .. } => rule.clone(),
            TwinRefusal::Declined { reason } => reason.clone(),
        }
    }
}

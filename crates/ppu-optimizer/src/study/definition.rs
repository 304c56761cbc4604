//! The words of a study: what is searched, what is wanted, what was observed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::multi::Utility;
use crate::space::{Design, Space};

/// What is searched and what is wanted. Never changes in the life of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Where designs may lie.
    pub space: Space,
    /// What is wanted, one entry an observable.
    pub objectives: Vec<Wanted>,
    /// Ways to evaluate a design, cheapest first; the last one is what counts. Empty for a single way.
    #[serde(default)]
    pub fidelities: Vec<Fidelity>,
    /// Designs to choose among; empty for the whole space. A space of discrete parameters is its own pool.
    #[serde(default)]
    pub pool: Vec<Design>,
    /// Seed of every random decision.
    #[serde(default)]
    pub seed: u64,
    /// Valid observations before models choose; `None` for 2 (d + 1), at most 14, d the number of parameters.
    #[serde(default)]
    pub start: Option<usize>,
}

/// One observable and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What is wanted.
    pub aim: Aim,
    /// Value that is just not good enough, for the hypervolume of several objectives; inferred from the front where it is
    /// not given.
    #[serde(default)]
    pub reference: Option<f64>,
    /// Where the observable is known beforehand, such as the price of the reagents: it is then not modelled.
    #[serde(default)]
    pub known: Option<Known>,
}

/// What is wanted of an observable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// As much as possible.
    Maximize,
    /// As little as possible.
    Minimize,
    /// As near as possible to a value.
    Target {
        /// The value.
        value: f64,
        /// Deviation that does not matter.
        tolerance: f64,
    },
    /// Not an objective but a condition: at least this much.
    AtLeast(f64),
    /// Not an objective but a condition: at most this much.
    AtMost(f64),
    /// What people prefer. It is never measured, only learnt from comparisons: [`Study::prefer`](crate::Study::prefer).
    Preferred,
}

impl Aim {
    /// As a utility; `None` for a condition.
    pub(crate) fn utility(self) -> Option<Utility> {
        match self {
            Aim::Maximize | Aim::Preferred => Some(Utility::More),
            Aim::Minimize => Some(Utility::Less),
            Aim::Target { value, tolerance } => Some(Utility::Near { value, tolerance }),
            Aim::AtLeast(_) | Aim::AtMost(_) => None,
        }
    }
}

/// A sum over parameters: offset + Σ factor · number + Σ amount of the level.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Known {
    /// What does not depend on the design.
    #[serde(default)]
    pub offset: f64,
    /// Factor of each numeric parameter that counts.
    #[serde(default)]
    pub factors: BTreeMap<String, f64>,
    /// Amount for each level of each parameter that counts.
    #[serde(default)]
    pub levels: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Known {
    /// The value at a design.
    pub fn value(&self, design: &Design) -> f64 {
        let numbers = self.factors.iter().map(|(name, factor)| factor * design.number(name).unwrap_or(0.0));
        let levels = self
            .levels
            .iter()
            .map(|(name, amounts)| design.level(name).and_then(|level| amounts.get(level)).copied().unwrap_or(0.0));
        self.offset + numbers.sum::<f64>() + levels.sum::<f64>()
    }
}

/// A way to evaluate a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Its name, such as `simulation`.
    pub name: String,
    /// What one evaluation costs, in any unit that all fidelities share.
    pub cost: f64,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Any text that names it, different for every result. That of an answer's pick ends its pending time.
    pub id: String,
    /// What was made, as realised.
    pub design: Design,
    /// What came of it.
    pub outcome: Outcome,
    /// How it was evaluated; `None` for the last fidelity.
    #[serde(default)]
    pub fidelity: Option<String>,
}

/// What came of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was measured: observable → reading. Known and preferred observables are left out.
    Valid(BTreeMap<String, Reading>),
    /// The chemistry failed. Teaches where designs are feasible.
    Infeasible {
        /// Why, for people.
        reason: String,
    },
    /// A machine or the analysis failed. Teaches nothing; the design may be tried again.
    Fault {
        /// Why, for people.
        reason: String,
    },
}

/// What was measured of one observable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// One value, or those of replicates: samples made anew, not the same sample measured again.
    pub values: Vec<f64>,
    /// Known variance of one value in the square of its unit, 0 for none. Unknown noise is fitted on top.
    #[serde(default)]
    pub variance: f64,
}

impl From<f64> for Reading {
    fn from(value: f64) -> Self {
        Reading { values: vec![value], variance: 0.0 }
    }
}

/// Somebody found one result better than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Id of the better one.
    pub better: String,
    /// Id of the worse one.
    pub worse: String,
}

/// A design that is being evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Its id.
    pub id: String,
    /// The design.
    pub design: Design,
    /// How it is evaluated; `None` for the last fidelity.
    #[serde(default)]
    pub fidelity: Option<String>,
}

/// Everything that a study is. The same record gives the same answers, bit for bit on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What is searched and wanted.
    pub definition: Definition,
    /// Results in the order in which they were told.
    #[serde(default)]
    pub told: Vec<Told>,
    /// Comparisons in the order in which they were told.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// What is being evaluated.
    #[serde(default)]
    pub pending: Vec<Pending>,
    /// Questions asked so far; keys the random numbers.
    #[serde(default)]
    pub step: u64,
}

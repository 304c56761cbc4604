//! What people call good, and what a measurement says about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ArtifactHash;
use crate::unit::Unit;

/// The direction of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// More is better: worthless at or below `low`, fully satisfied at or above `high`.
    Maximize {
        /// Value that is worth nothing.
        low: f64,
        /// Value that is fully satisfying.
        high: f64,
    },
    /// Less is better: fully satisfied at or below `low`, worthless at or above `high`.
    Minimize {
        /// Value that is fully satisfying.
        low: f64,
        /// Value that is worth nothing.
        high: f64,
    },
    /// As near as possible to a value: fully satisfied within `tolerance`, worthless beyond `limit` from it.
    Target {
        /// The value wanted.
        value: f64,
        /// Deviation that does not matter.
        tolerance: f64,
        /// Deviation that is worth nothing.
        limit: f64,
    },
}

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The observable that is judged, such as `band_gap`.
    pub name: String,
    /// The unit of the observable.
    pub unit: Unit,
    /// What is wanted of it.
    pub goal: Goal,
    /// How much it counts in the overall score, relative to the others; positive.
    pub weight: f64,
}

impl Goal {
    /// Satisfaction with a value, 0 (worthless) to 1 (fully satisfying): the linear desirability of Derringer and Suich,
    /// J. Qual. Technol. 12, 214 (1980).
    pub fn desirability(&self, value: f64) -> f64 {
        let ramp =
            |worthless: f64, satisfying: f64, x: f64| ((x - worthless) / (satisfying - worthless)).clamp(0.0, 1.0);
        match *self {
            Goal::Maximize { low, high } => ramp(low, high, value),
            Goal::Minimize { low, high } => ramp(high, low, value),
            Goal::Target { value: wanted, tolerance, limit } => ramp(limit, tolerance, (value - wanted).abs()),
        }
    }

    /// The value, or where it lies far off the goal the end of the range in which differences matter: that over which the
    /// desirability changes, widened by twice its width on either side. A reading beyond says "far off" and no more.
    pub fn within_horizon(&self, value: f64) -> f64 {
        let (low, high) = match *self {
            Goal::Maximize { low, high } | Goal::Minimize { low, high } => (low, high),
            Goal::Target { value, limit, .. } => (value - limit, value + limit),
        };
        let width = if let Goal::Target { limit, .. } = *self { limit } else { high - low };
        value.clamp(low - 2.0 * width, high + 2.0 * width)
    }
}

impl Objective {
    /// What a model should learn of a measurement: value and variance. A sample that failed may read far off the goal; how far
    /// says nothing and would stretch the scale of the model, so that such a reading is drawn back and counts for little.
    pub fn lesson(&self, measured: &Measured) -> (f64, f64) {
        let value = self.goal.within_horizon(measured.value);
        (value, measured.sd.powi(2) + (measured.value - value).powi(2))
    }
}

/// The overall score of a set of values, 0 to 1: the weighted geometric mean of the desirabilities, so that no objective
/// can be bought off by the others. Values in the order of the objectives.
pub fn score(objectives: &[Objective], values: &[f64]) -> f64 {
    let total: f64 = objectives.iter().map(|objective| objective.weight).sum();
    let log_sum: f64 = objectives
        .iter()
        .zip(values)
        // The floor keeps a gradient for candidates that are worthless in one objective only.
        .map(|(objective, value)| objective.weight * objective.goal.desirability(*value).max(1e-3).ln())
        .sum();
    (log_sum / total).exp()
}

/// One analysed number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The value in the unit of the objective.
    pub value: f64,
    /// Total standard uncertainty, in the same unit.
    pub sd: f64,
    /// Remarks of the analysis, such as `thin film correction applied`.
    pub flags: Vec<String>,
}

/// What the optimizer is told about one trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observation {
    /// Observables that could be determined.
    pub values: BTreeMap<String, Measured>,
    /// Observables that could not, and why: an objective without a value is invalid, never zero.
    pub invalid: BTreeMap<String, String>,
    /// The raw data that were analysed.
    pub raw: Vec<ArtifactHash>,
    /// Name and version of the analysis.
    pub analysis: String,
}

impl Observation {
    /// The values in the order of the objectives, or `None` where one is missing.
    pub fn complete(&self, objectives: &[Objective]) -> Option<Vec<f64>> {
        objectives.iter().map(|objective| self.values.get(&objective.name).map(|measured| measured.value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desirability_is_linear_between_worthless_and_satisfying() {
        let gap = Goal::Target { value: 1.68, tolerance: 0.01, limit: 0.11 };
        assert_eq!(gap.desirability(1.685), 1.0);
        assert!((gap.desirability(1.74) - 0.5).abs() < 1e-9);
        assert_eq!(gap.desirability(1.9), 0.0);
        assert_eq!(Goal::Minimize { low: 5.0, high: 10.0 }.desirability(7.5), 0.5);
    }

    #[test]
    fn a_reading_far_off_the_goal_is_drawn_back_to_the_horizon() {
        let gap = Goal::Target { value: 1.68, tolerance: 0.01, limit: 0.1 };
        assert_eq!(gap.within_horizon(1.95), 1.95);
        assert!((gap.within_horizon(2.99) - 1.98).abs() < 1e-12 && (gap.within_horizon(0.2) - 1.38).abs() < 1e-12);
        let objective = Objective { name: "band_gap".into(), unit: Unit::Electronvolt, goal: gap, weight: 1.0 };
        let (value, variance) = objective.lesson(&Measured { value: 2.98, sd: 0.01, flags: vec![] });
        assert!((value - 1.98).abs() < 1e-12 && (variance - 1.0001).abs() < 1e-9);
        let bright = Goal::Maximize { low: 6.0, high: 8.0 };
        assert_eq!(
            (bright.within_horizon(5.0), bright.within_horizon(-3.0), bright.within_horizon(20.0)),
            (5.0, 2.0, 12.0)
        );
    }

    #[test]
    fn no_objective_buys_off_another() {
        let objective = |name: &str| Objective {
            name: name.into(),
            unit: Unit::One,
            goal: Goal::Maximize { low: 0.0, high: 1.0 },
            weight: 1.0,
        };
        let both = [objective("a"), objective("b")];
        assert!((score(&both, &[1.0, 1.0]) - 1.0).abs() < 1e-12);
        assert!(score(&both, &[1.0, 0.0]) < 0.05);
        assert!((score(&both, &[0.25, 1.0]) - 0.5).abs() < 1e-12);
    }
}

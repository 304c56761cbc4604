//! The space that a campaign searches. Continuous parameters, some of which may be parts of a mixture.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::unit::Unit;

/// One dimension that may vary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, which protocols refer to.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// The step that the lab can realise; candidates are rounded to it. 0 means any value.
    pub resolution: f64,
    /// Search on a logarithmic scale.
    pub log: bool,
}

/// Parameters that are fractions of a whole: their sum is 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// Names of the parts, at least two. The last one takes what is left by the others.
    pub parts: Vec<String>,
}

/// What may vary, and how the parts hang together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignSpace {
    /// All parameters, in the order in which they are shown.
    pub parameters: Vec<Parameter>,
    /// Groups of fractions that sum to 1.
    pub mixtures: Vec<Mixture>,
}

/// One point of a design space: parameter name → value in the parameter's unit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Candidate(pub BTreeMap<String, f64>);

impl Candidate {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("  ")?;
            }
            write!(f, "{name} {}", (value * 1e4).round() / 1e4)?;
        }
        Ok(())
    }
}

/// Why a point does not belong to a space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CandidateError {
    /// A parameter has no value.
    #[error("`{0}` has no value")]
    Missing(String),
    /// The space has no such parameter.
    #[error("`{0}` is not a parameter of this space")]
    Unknown(String),
    /// A value outside its limits, or not finite.
    #[error("`{name}` is {value}, outside {min} to {max}")]
    Outside {
        /// The parameter.
        name: String,
        /// The value given.
        value: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// Fractions that do not sum to 1.
    #[error("the fractions {parts} sum to {sum}, not to 1")]
    Sum {
        /// The parts, for people.
        parts: String,
        /// What they sum to.
        sum: f64,
    },
}

impl DesignSpace {
    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The parameters that vary freely: all but the last part of each mixture. Surrogate models work on these.
    pub fn free(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| !self.is_dependent(&parameter.name))
    }

    /// Whether a parameter is the last part of a mixture, which takes what is left.
    pub fn is_dependent(&self, name: &str) -> bool {
        self.mixtures.iter().any(|mixture| mixture.parts.last().is_some_and(|last| last == name))
    }

    /// Free coordinates in the unit cube, in the order of [`DesignSpace::free`].
    pub fn to_unit(&self, candidate: &Candidate) -> Result<Vec<f64>, CandidateError> {
        self.free()
            .map(|parameter| {
                let value =
                    candidate.get(&parameter.name).ok_or_else(|| CandidateError::Missing(parameter.name.clone()))?;
                Ok(parameter.to_unit(value))
            })
            .collect()
    }

    /// The candidate at free coordinates in the unit cube, rounded to what the lab can realise, or `None` where the
    /// dependent part of a mixture would leave its limits. `unit` has one entry a free parameter.
    pub fn from_unit(&self, unit: &[f64]) -> Option<Candidate> {
        let mut values = BTreeMap::new();
        for (parameter, u) in self.free().zip(unit) {
            values.insert(parameter.name.clone(), parameter.from_unit(*u));
        }
        for mixture in &self.mixtures {
            let (last, others) = mixture.parts.split_last()?;
            let used: f64 = others.iter().filter_map(|part| values.get(part)).sum();
            let parameter = self.parameter(last)?;
            let rest = parameter.round(1.0 - used);
            if rest < parameter.min - 1e-9 || rest > parameter.max + 1e-9 {
                return None;
            }
            values.insert(last.clone(), rest.clamp(parameter.min, parameter.max));
        }
        Some(Candidate(values))
    }

    /// Checks that a point belongs to the space.
    pub fn check(&self, candidate: &Candidate) -> Result<(), CandidateError> {
        if let Some(name) = candidate.0.keys().find(|name| self.parameter(name).is_none()) {
            return Err(CandidateError::Unknown(name.clone()));
        }
        for parameter in &self.parameters {
            let value =
                candidate.get(&parameter.name).ok_or_else(|| CandidateError::Missing(parameter.name.clone()))?;
            let slack = 1e-6 * (parameter.max - parameter.min);
            if !(value >= parameter.min - slack && value <= parameter.max + slack) {
                let (name, min, max) = (parameter.name.clone(), parameter.min, parameter.max);
                return Err(CandidateError::Outside { name, value, min, max });
            }
        }
        for mixture in &self.mixtures {
            let sum: f64 = mixture.parts.iter().filter_map(|part| candidate.get(part)).sum();
            if (sum - 1.0).abs() > 1e-6 {
                return Err(CandidateError::Sum { parts: mixture.parts.join(" + "), sum });
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// Position between the limits, 0 to 1.
    pub fn to_unit(&self, value: f64) -> f64 {
        if self.max <= self.min {
            // A parameter that people have fixed has no extent; points from before are told apart by the value's own size.
            0.5 + (value - self.min) / self.min.abs().max(1.0)
        } else if self.log {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        }
    }

    /// The value at a position between the limits, rounded to the resolution.
    pub fn from_unit(&self, unit: f64) -> f64 {
        let unit = unit.clamp(0.0, 1.0);
        let value = if self.log {
            self.min * (self.max / self.min).powf(unit)
        } else {
            self.min + unit * (self.max - self.min)
        };
        self.round(value).clamp(self.min, self.max)
    }

    /// The nearest value that the lab can realise.
    pub fn round(&self, value: f64) -> f64 {
        if self.resolution > 0.0 {
            // Rounded again at 12 digits so that 0.1 + 0.2 prints as 0.3.
            let stepped = (value / self.resolution).round() * self.resolution;
            (stepped * 1e12).round() / 1e12
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> DesignSpace {
        let fraction = |name: &str, max| Parameter {
            name: name.into(),
            unit: Unit::One,
            min: 0.0,
            max,
            resolution: 0.005,
            log: false,
        };
        let mut time = fraction("anneal_min", 60.0);
        (time.min, time.log, time.resolution) = (1.0, true, 0.1);
        DesignSpace {
            parameters: vec![fraction("cs", 0.4), fraction("ma", 0.2), fraction("fa", 1.0), time],
            mixtures: vec![Mixture { parts: vec!["cs".into(), "ma".into(), "fa".into()] }],
        }
    }

    #[test]
    fn the_last_part_of_a_mixture_takes_what_is_left() {
        let candidate = space().from_unit(&[0.5, 0.25, 0.0]).unwrap();
        assert_eq!(candidate.get("fa"), Some(0.75));
        assert_eq!(space().check(&candidate), Ok(()));
        let unit = space().to_unit(&candidate).unwrap();
        assert!(unit.iter().zip([0.5, 0.25, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn a_fixed_parameter_keeps_its_value_and_tells_older_points_apart() {
        let mut space = space();
        (space.parameters[0].min, space.parameters[0].max) = (0.1, 0.1);
        for u in [0.0, 0.5, 1.0] {
            assert_eq!(space.from_unit(&[u, 0.0, 0.5]).unwrap().get("cs"), Some(0.1));
        }
        assert_eq!(space.parameters[0].to_unit(0.1), 0.5);
        assert!(space.parameters[0].to_unit(0.3) > 0.5);
    }

    #[test]
    fn a_point_outside_is_named() {
        let mut candidate = space().from_unit(&[0.5, 0.25, 1.0]).unwrap();
        candidate.0.insert("cs".into(), 0.5);
        assert_eq!(space().check(&candidate).unwrap_err().to_string(), "`cs` is 0.5, outside 0 to 0.4");
        candidate.0.insert("cs".into(), 0.4);
        assert!(matches!(space().check(&candidate), Err(CandidateError::Sum { .. })));
    }
}

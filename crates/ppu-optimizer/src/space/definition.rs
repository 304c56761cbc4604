//! The words in which people describe a space: parameters, their scales, and the constraints between them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What may vary, and what is allowed. Check it with [`Domain::new`](crate::space::Domain::new) before use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Space {
    /// The parameters, in the order in which they are shown. A parameter that others depend on comes before them.
    pub parameters: Vec<Parameter>,
    /// Constraints between parameters.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
}

/// One thing that may vary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, different for every parameter.
    pub name: String,
    /// What values it takes.
    pub kind: Kind,
    /// When it exists at all; `None` for always. A parameter that does not exist has no value in a [`Design`].
    #[serde(default)]
    pub active_if: Option<Condition>,
}

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any number between limits.
    Continuous {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Step that the lab can realise; values are multiples of it. `None` for any value.
        step: Option<f64>,
        /// How values are spread.
        scale: Scale,
    },
    /// A whole number between limits.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// How values are spread.
        scale: Scale,
    },
    /// Ordered levels with a score each, such as low = 1, medium = 2, high = 4.
    Ordinal {
        /// The levels, scores in ascending order.
        levels: Vec<OrdinalLevel>,
    },
    /// Levels without an order.
    Categorical {
        /// The levels. Either all or none of them have descriptors, and all have the same number.
        levels: Vec<Level>,
    },
}

/// How the values of a number are spread over its range: what counts as an equal step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios; limits are above 0.
    Log,
    /// A curve of (value, position) pairs, both ascending, joined by straight lines. The first value is the smallest one
    /// of the parameter and the last value the largest.
    Custom(Vec<(f64, f64)>),
}

/// A level of an ordinal parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrdinalLevel {
    /// Its name.
    pub name: String,
    /// Its place on the scale.
    pub score: f64,
}

/// A level of a categorical parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// Numbers that describe it, such as properties of a solvent. Empty for none.
    #[serde(default)]
    pub descriptors: Vec<f64>,
}

/// A parameter exists only while an earlier one has one of these values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The earlier parameter: categorical, ordinal or integer.
    pub parameter: String,
    /// Its values that bring the dependent parameter into being.
    pub any_of: Vec<Setting>,
}

/// The side of the bound on which a sum lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// At most the bound.
    AtMost,
    /// Equal to the bound.
    Equal,
    /// At least the bound.
    AtLeast,
}

/// A constraint between parameters. Each has a name, which errors repeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Parts sum to a total. The limits of the parts are those of their parameters.
    Mixture {
        /// Name of the constraint.
        name: String,
        /// Continuous parameters, at least two.
        parts: Vec<String>,
        /// What they sum to.
        total: f64,
    },
    /// Σ factor · value compared with a bound.
    Linear {
        /// Name of the constraint.
        name: String,
        /// Numeric parameters with their factors.
        terms: Vec<(String, f64)>,
        /// The side of the bound.
        relation: Relation,
        /// The bound.
        bound: f64,
    },
    /// Between `at_least` and `at_most` of the parts differ from 0, and those that do are `least` or more.
    Count {
        /// Name of the constraint.
        name: String,
        /// Numeric parameters whose smallest value is 0 or more.
        parts: Vec<String>,
        /// Smallest number of parts in use.
        at_least: usize,
        /// Largest number of parts in use.
        at_most: usize,
        /// Smallest value of a part in use; 0 for any positive value.
        least: f64,
    },
    /// A combination of levels that must not occur.
    Forbidden {
        /// Name of the constraint.
        name: String,
        /// Parameters with the levels that must not come together.
        all_of: Vec<(String, Setting)>,
    },
}

impl Constraint {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Constraint::Mixture { name, .. }
            | Constraint::Linear { name, .. }
            | Constraint::Count { name, .. }
            | Constraint::Forbidden { name, .. } => name,
        }
    }
}

/// The value of a parameter in a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A number.
    Number(f64),
    /// The name of a level.
    Level(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Number(value) => write!(f, "{}", (value * 1e6).round() / 1e6),
            Setting::Level(name) => f.write_str(name),
        }
    }
}

impl From<f64> for Setting {
    fn from(value: f64) -> Self {
        Setting::Number(value)
    }
}

impl From<&str> for Setting {
    fn from(name: &str) -> Self {
        Setting::Level(name.to_owned())
    }
}

/// One point of a space: parameter name → value. Parameters that do not exist at this point are left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Design(pub BTreeMap<String, Setting>);

impl Design {
    /// A design of (name, value) pairs.
    pub fn of<N: Into<String>, S: Into<Setting>>(pairs: impl IntoIterator<Item = (N, S)>) -> Design {
        Design(pairs.into_iter().map(|(name, setting)| (name.into(), setting.into())).collect())
    }

    /// The number that a parameter has.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name) {
            Some(Setting::Number(value)) => Some(*value),
            _ => None,
        }
    }

    /// The level that a parameter has.
    pub fn level(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Setting::Level(level)) => Some(level),
            _ => None,
        }
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("  ")?;
            }
            write!(f, "{name} {value}")?;
        }
        Ok(())
    }
}

impl Parameter {
    /// A number on a linear scale.
    pub fn continuous(name: &str, min: f64, max: f64) -> Parameter {
        let kind = Kind::Continuous { min, max, step: None, scale: Scale::Linear };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// A number on a logarithmic scale.
    pub fn logarithmic(name: &str, min: f64, max: f64) -> Parameter {
        let kind = Kind::Continuous { min, max, step: None, scale: Scale::Log };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// A number in steps.
    pub fn stepped(name: &str, min: f64, max: f64, step: f64) -> Parameter {
        let kind = Kind::Continuous { min, max, step: Some(step), scale: Scale::Linear };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// A whole number.
    pub fn integer(name: &str, min: i64, max: i64) -> Parameter {
        Parameter { name: name.to_owned(), kind: Kind::Integer { min, max, scale: Scale::Linear }, active_if: None }
    }

    /// Levels without descriptors.
    pub fn categorical(name: &str, levels: &[&str]) -> Parameter {
        let level = |name: &&str| Level { name: (*name).to_owned(), descriptors: Vec::new() };
        let kind = Kind::Categorical { levels: levels.iter().map(level).collect() };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// Levels with descriptors.
    pub fn described(name: &str, levels: &[(&str, &[f64])]) -> Parameter {
        let level = |(name, descriptors): &(&str, &[f64])| Level {
            name: (*name).to_owned(),
            descriptors: descriptors.to_vec(),
        };
        let kind = Kind::Categorical { levels: levels.iter().map(level).collect() };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// Ordered levels with scores.
    pub fn ordinal(name: &str, levels: &[(&str, f64)]) -> Parameter {
        let level = |(name, score): &(&str, f64)| OrdinalLevel { name: (*name).to_owned(), score: *score };
        let kind = Kind::Ordinal { levels: levels.iter().map(level).collect() };
        Parameter { name: name.to_owned(), kind, active_if: None }
    }

    /// The same parameter, existing only while an earlier one has one of these levels.
    pub fn only_if(mut self, parameter: &str, levels: &[&str]) -> Parameter {
        let any_of = levels.iter().map(|level| Setting::from(*level)).collect();
        self.active_if = Some(Condition { parameter: parameter.to_owned(), any_of });
        self
    }
}

/// A campaign's space in the words of this module: its mixtures become constraints over all of their parts.
impl From<&ppu_core::DesignSpace> for Space {
    fn from(space: &ppu_core::DesignSpace) -> Space {
        let parameter = |one: &ppu_core::Parameter| Parameter {
            name: one.name.clone(),
            kind: Kind::Continuous {
                min: one.min,
                max: one.max,
                step: (one.resolution > 0.0).then_some(one.resolution),
                scale: if one.log { Scale::Log } else { Scale::Linear },
            },
            active_if: None,
        };
        let mixture = |one: &ppu_core::design::Mixture| Constraint::Mixture {
            name: one.parts.join(" + "),
            parts: one.parts.clone(),
            total: 1.0,
        };
        Space {
            parameters: space.parameters.iter().map(parameter).collect(),
            constraints: space.mixtures.iter().map(mixture).collect(),
        }
    }
}

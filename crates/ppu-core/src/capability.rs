//! What a device can do: named, typed commands and properties. A manifest is announced by the driver and checked
//! against every plan before anything moves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::ActionClass;
use crate::unit::{Quantity, Unit};
use crate::value::{Arguments, Value};

/// What one argument may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentKind {
    /// A number with a unit, between two limits (both included), in that unit.
    Quantity {
        /// The unit of the limits; arguments may come in any unit of the same dimension.
        unit: Unit,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A whole number between two limits, both included.
    Integer {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// Any text up to 200 bytes.
    Text,
    /// A whole file as text, such as a crystal structure.
    Document {
        /// Largest size allowed, in bytes.
        most_bytes: u32,
    },
    /// Yes or no.
    Flag,
}

/// One argument of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArgumentSpec {
    /// Its name, without unit.
    pub name: String,
    /// What it may be.
    pub kind: ArgumentKind,
    /// Taken when the argument is left out; without a default the argument is needed.
    pub default: Option<Value>,
    /// One sentence for people.
    pub description: String,
}

/// One value that a command reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultSpec {
    /// Its name.
    pub name: String,
    /// Its unit; [`Unit::One`] also for texts and flags.
    pub unit: Unit,
    /// One sentence for people.
    pub description: String,
}

/// One command of a capability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The verb.
    pub name: String,
    /// What may be done when its outcome is unknown.
    pub class: ActionClass,
    /// Arguments in the order in which people expect them.
    pub arguments: Vec<ArgumentSpec>,
    /// What it reports.
    pub results: Vec<ResultSpec>,
    /// Whether it stores raw data as artifacts.
    pub artifacts: bool,
    /// Whether a sample must stand at the device's sample position.
    pub needs_sample: bool,
    /// Usual duration in seconds of lab time, for timetables and progress; measured durations replace it.
    pub typical_s: f64,
    /// One sentence for people.
    pub description: String,
    /// Whether a doubt about it may only be resolved by two people.
    pub hazardous: bool,
    /// What must be true right before it begins (REL-15).
    pub requires: Vec<Requirement>,
}

/// Something that must be true of a property of the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// Property of the manifest.
    pub property: String,
    /// What it must be.
    pub expected: Expected,
    /// What is wrong when it is not so, for people.
    pub otherwise: String,
}

/// What a property must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// A quantity between limits, both included.
    Within {
        /// Unit of the limits.
        unit: Unit,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// Exactly this.
    Equals(Value),
}

impl Requirement {
    /// Whether a value is as required; one that is missing or of another kind is not.
    pub fn holds_for(&self, value: Option<&Value>) -> bool {
        match (&self.expected, value) {
            (Expected::Within { unit, min, max }, Some(value)) => {
                value.in_unit(*unit).is_some_and(|number| (*min..=*max).contains(&number))
            }
            (Expected::Equals(expected), Some(value)) => expected == value,
            (_, None) => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Expected::Within { unit, min, max } => write!(f, "`{}` must be from {min} to {max} {unit}", self.property),
            Expected::Equals(value) => write!(f, "`{}` must be {value}", self.property),
        }
    }
}

/// A named set of commands, such as `liquid_handling` or `diffraction`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilitySpec {
    /// Its name.
    pub name: String,
    /// Its commands.
    pub commands: Vec<CommandSpec>,
}

/// A readable value of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PropertySpec {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// One sentence for people.
    pub description: String,
}

/// Everything that a driver announces about its device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The driver's kind, such as `cavro-xlp`.
    pub driver: String,
    /// Maker and model for people.
    pub model: String,
    /// Commands, grouped.
    pub capabilities: Vec<CapabilitySpec>,
    /// Readable values, published as telemetry.
    pub properties: Vec<PropertySpec>,
}

impl Manifest {
    /// The command of that name in that capability.
    pub fn command(&self, capability: &str, command: &str) -> Option<&CommandSpec> {
        self.capabilities
            .iter()
            .filter(|spec| spec.name == capability)
            .flat_map(|spec| &spec.commands)
            .find(|spec| spec.name == command)
    }

    /// Whether the device has this capability.
    pub fn provides(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|spec| spec.name == capability)
    }
}

/// Why arguments do not fit a command.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArgumentError {
    /// The command has no such argument.
    #[error("there is no argument `{name}`; the command takes {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// An argument without default is missing.
    #[error("the argument `{name}` ({expected}) is missing")]
    Missing {
        /// The argument.
        name: String,
        /// What it should be.
        expected: String,
    },
    /// The value has another type or a unit of another dimension.
    #[error("`{name}` is {found}, but must be {expected}")]
    Kind {
        /// The argument.
        name: String,
        /// What was given.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The value lies outside its limits.
    #[error("`{name}` is {found}, but must be {expected}")]
    Range {
        /// The argument.
        name: String,
        /// What was given.
        found: String,
        /// What is allowed.
        expected: String,
    },
}

impl ArgumentError {
    /// The argument that is wrong.
    pub fn argument(&self) -> &str {
        match self {
            Self::Unknown { name, .. }
            | Self::Missing { name, .. }
            | Self::Kind { name, .. }
            | Self::Range { name, .. } => name,
        }
    }
}

impl fmt::Display for ArgumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentKind::Quantity { unit: Unit::One, min, max } => write!(f, "a number from {min} to {max}"),
            ArgumentKind::Quantity { unit, min, max } => write!(f, "a quantity from {min} to {max} {unit}"),
            ArgumentKind::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            ArgumentKind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            ArgumentKind::Text => f.write_str("a text of up to 200 bytes"),
            ArgumentKind::Document { most_bytes } => write!(f, "a document of up to {most_bytes} bytes"),
            ArgumentKind::Flag => f.write_str("true or false"),
        }
    }
}

impl ArgumentSpec {
    /// Checks one value and returns it in the unit of the limits.
    pub fn check(&self, value: &Value) -> Result<Value, ArgumentError> {
        let name = || self.name.clone();
        let kind = || ArgumentError::Kind { name: name(), found: value.to_string(), expected: self.kind.to_string() };
        let range = || ArgumentError::Range { name: name(), found: value.to_string(), expected: self.kind.to_string() };
        match (&self.kind, value) {
            (ArgumentKind::Quantity { unit, min, max }, given) => {
                let number = given.in_unit(*unit).ok_or_else(kind)?;
                // One part in 10^9 forgives the rounding of a computed argument that sits on its limit.
                let slack = 1e-9 * (max - min).abs();
                if number.is_nan() || number < min - slack || number > max + slack {
                    return Err(range());
                }
                Ok(Value::Quantity(Quantity { value: number.clamp(*min, *max), unit: *unit }))
            }
            (ArgumentKind::Integer { min, max }, given) => {
                let number = match given {
                    Value::Integer(number) => *number,
                    Value::Quantity(q) if q.unit == Unit::One && q.value.fract() == 0.0 => q.value as i64,
                    _ => return Err(kind()),
                };
                if number < *min || number > *max {
                    return Err(range());
                }
                Ok(Value::Integer(number))
            }
            (ArgumentKind::Choice(words), Value::Text(word)) if words.contains(word) => Ok(value.clone()),
            (ArgumentKind::Choice(_), Value::Text(_)) => Err(range()),
            (ArgumentKind::Text, Value::Text(text)) if text.len() <= 200 => Ok(value.clone()),
            (ArgumentKind::Text, Value::Text(_)) => Err(range()),
            (ArgumentKind::Document { most_bytes }, Value::Text(text)) => {
                if text.len() <= *most_bytes as usize {
                    return Ok(value.clone());
                }
                // The document itself would drown the message.
                let found = format!("a text of {} bytes", text.len());
                Err(ArgumentError::Range { name: name(), found, expected: self.kind.to_string() })
            }
            (ArgumentKind::Flag, Value::Flag(_)) => Ok(value.clone()),
            _ => Err(kind()),
        }
    }
}

impl CommandSpec {
    /// Checks arguments, fills in defaults and converts to the units of the manifest. All errors are returned at once.
    pub fn check(&self, arguments: &Arguments) -> Result<Arguments, Vec<ArgumentError>> {
        let mut errors = Vec::new();
        let mut checked = Arguments::new();
        for name in arguments.keys() {
            if !self.arguments.iter().any(|spec| &spec.name == name) {
                let known: Vec<_> = self.arguments.iter().map(|spec| spec.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                errors.push(ArgumentError::Unknown { name: name.clone(), known });
            }
        }
        for spec in &self.arguments {
            match arguments.get(&spec.name).or(spec.default.as_ref()) {
                Some(value) => match spec.check(value) {
                    Ok(value) => {
                        checked.insert(spec.name.clone(), value);
                    }
                    Err(error) => errors.push(error),
                },
                None => {
                    errors.push(ArgumentError::Missing { name: spec.name.clone(), expected: spec.kind.to_string() })
                }
            }
        }
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aspirate() -> CommandSpec {
        CommandSpec {
            name: "aspirate".into(),
            class: ActionClass::Queryable,
            arguments: vec![
                ArgumentSpec {
                    name: "port".into(),
                    kind: ArgumentKind::Integer { min: 1, max: 12 },
                    default: None,
                    description: "Valve port.".into(),
                },
                ArgumentSpec {
                    name: "volume".into(),
                    kind: ArgumentKind::Quantity { unit: Unit::Microlitre, min: 0.5, max: 250.0 },
                    default: None,
                    description: "Volume to draw.".into(),
                },
            ],
            results: vec![],
            artifacts: false,
            needs_sample: false,
            typical_s: 8.0,
            description: "Draws liquid into the syringe.".into(),
            hazardous: false,
            requires: vec![],
        }
    }

    #[test]
    fn a_requirement_holds_for_what_it_names_and_for_nothing_else() {
        let requirement = |expected| Requirement { property: "mass".into(), expected, otherwise: "empty".into() };
        let within = requirement(Expected::Within { unit: Unit::Milligram, min: 100.0, max: 200.0 });
        assert!(within.holds_for(Some(&Value::quantity(0.15, Unit::Gram))));
        assert!(!within.holds_for(Some(&Value::quantity(99.0, Unit::Milligram))));
        assert!(!within.holds_for(Some(&Value::quantity(150.0, Unit::Celsius))));
        assert!(!within.holds_for(None));
        let equals = requirement(Expected::Equals(Value::Flag(true)));
        assert!(equals.holds_for(Some(&Value::Flag(true))));
        assert!(!equals.holds_for(Some(&Value::Flag(false))));
        assert_eq!(within.to_string(), "`mass` must be from 100 to 200 mg");
    }

    #[test]
    fn a_document_may_be_long_but_not_longer_than_it_says() {
        let spec = ArgumentSpec {
            name: "structure".into(),
            kind: ArgumentKind::Document { most_bytes: 1000 },
            default: None,
            description: "A CIF file.".into(),
        };
        let text = |bytes: usize| Value::Text("x".repeat(bytes));
        assert_eq!(spec.check(&text(1000)), Ok(text(1000)));
        let message = spec.check(&text(1001)).unwrap_err().to_string();
        assert_eq!(message, "`structure` is a text of 1001 bytes, but must be a document of up to 1000 bytes");
        assert!(matches!(spec.check(&Value::Flag(true)), Err(ArgumentError::Kind { .. })));
    }

    #[test]
    fn units_are_converted_and_every_error_is_named() {
        let good = Arguments::from([
            ("port".into(), Value::Integer(3)),
            ("volume".into(), Value::quantity(0.1, Unit::Millilitre)),
        ]);
        assert_eq!(aspirate().check(&good).unwrap()["volume"], Value::quantity(100.0, Unit::Microlitre));
        let bad = Arguments::from([
            ("port".into(), Value::Integer(13)),
            ("volume".into(), Value::quantity(20.0, Unit::Celsius)),
            ("speed".into(), Value::Integer(1)),
        ]);
        let errors: Vec<_> = aspirate().check(&bad).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "there is no argument `speed`; the command takes port, volume",
                "`port` is 13, but must be a whole number from 1 to 12",
                "`volume` is 20 °C, but must be a quantity from 0.5 to 250 µL",
            ]
        );
    }
}

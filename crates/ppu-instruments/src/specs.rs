//! Short ways to write the parts of a manifest.

use ppu_core::capability::{ArgumentKind, ArgumentSpec, CommandSpec, Expected, PropertySpec, Requirement, ResultSpec};
use ppu_core::{ActionClass, CapabilitySpec, Unit, Value};

/// A quantity argument between two limits.
pub(crate) fn quantity(
    name: &str,
    unit: Unit,
    limits: (f64, f64),
    default: Option<f64>,
    description: &str,
) -> ArgumentSpec {
    ArgumentSpec {
        name: name.to_owned(),
        kind: ArgumentKind::Quantity { unit, min: limits.0, max: limits.1 },
        default: default.map(|value| Value::quantity(value, unit)),
        description: description.to_owned(),
    }
}

/// A whole-number argument between two limits.
pub(crate) fn integer(name: &str, limits: (i64, i64), default: Option<i64>, description: &str) -> ArgumentSpec {
    ArgumentSpec {
        name: name.to_owned(),
        kind: ArgumentKind::Integer { min: limits.0, max: limits.1 },
        default: default.map(Value::Integer),
        description: description.to_owned(),
    }
}

/// A whole file as text.
pub(crate) fn document(name: &str, most_bytes: u32, description: &str) -> ArgumentSpec {
    ArgumentSpec {
        name: name.to_owned(),
        kind: ArgumentKind::Document { most_bytes },
        default: None,
        description: description.to_owned(),
    }
}

/// A yes-or-no argument that is `false` when left out.
pub(crate) fn flag(name: &str, description: &str) -> ArgumentSpec {
    ArgumentSpec {
        name: name.to_owned(),
        kind: ArgumentKind::Flag,
        default: Some(Value::Flag(false)),
        description: description.to_owned(),
    }
}

/// One of these words.
pub(crate) fn choice(name: &str, words: &[String], description: &str) -> ArgumentSpec {
    ArgumentSpec {
        name: name.to_owned(),
        kind: ArgumentKind::Choice(words.to_vec()),
        default: None,
        description: description.to_owned(),
    }
}

/// One result.
pub(crate) fn result(name: &str, unit: Unit, description: &str) -> ResultSpec {
    ResultSpec { name: name.to_owned(), unit, description: description.to_owned() }
}

/// One property.
pub(crate) fn property(name: &str, unit: Unit, description: &str) -> PropertySpec {
    PropertySpec { name: name.to_owned(), unit, description: description.to_owned() }
}

/// A property that must be exactly this before a command may begin.
pub(crate) fn must_be(property: &str, value: Value, otherwise: &str) -> Requirement {
    let (property, otherwise) = (property.to_owned(), otherwise.to_owned());
    Requirement { property, expected: Expected::Equals(value), otherwise }
}

/// A property that must lie between limits before a command may begin.
pub(crate) fn must_be_within(property: &str, unit: Unit, limits: (f64, f64), otherwise: &str) -> Requirement {
    let expected = Expected::Within { unit, min: limits.0, max: limits.1 };
    Requirement { property: property.to_owned(), expected, otherwise: otherwise.to_owned() }
}

/// A capability with its commands.
pub(crate) fn capability(name: &str, commands: Vec<CommandSpec>) -> CapabilitySpec {
    CapabilitySpec { name: name.to_owned(), commands }
}

/// A command without arguments, results, artifacts or sample; the caller fills in what it has.
pub(crate) fn command(name: &str, class: ActionClass, typical_s: f64, description: &str) -> CommandSpec {
    CommandSpec {
        name: name.to_owned(),
        class,
        arguments: Vec::new(),
        results: Vec::new(),
        artifacts: false,
        needs_sample: false,
        typical_s,
        description: description.to_owned(),
        hazardous: false,
        requires: Vec::new(),
    }
}

//! Values of arguments and results.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::unit::{Quantity, Unit};

/// A typed value of an argument, a result or a property.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A number with a unit.
    Quantity(Quantity),
    /// A whole number.
    Integer(i64),
    /// A text, a choice or a name.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl Value {
    /// A quantity as a value.
    pub fn quantity(value: f64, unit: Unit) -> Self {
        Value::Quantity(Quantity { value, unit })
    }

    /// The number in the unit asked for, where the value is a quantity of that dimension.
    pub fn in_unit(&self, unit: Unit) -> Option<f64> {
        match self {
            Value::Quantity(quantity) => quantity.to(unit).map(|converted| converted.value),
            Value::Integer(number) if unit == Unit::One => Some(*number as f64),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Quantity(quantity) => quantity.fmt(f),
            Value::Integer(number) => number.fmt(f),
            Value::Text(text) => f.pad(text),
            Value::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Named values, in the order of their names, so that equal arguments have equal bytes.
pub type Arguments = BTreeMap<String, Value>;

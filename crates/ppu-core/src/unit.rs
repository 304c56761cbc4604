//! Units and quantities. Few units, spelled as scientists write them in configuration keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A unit that `ppu` understands. Conversions are defined only inside one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Unit {
    /// A pure number.
    One,
    /// Per cent.
    Percent,
    /// Degree Celsius.
    Celsius,
    /// Kelvin.
    Kelvin,
    /// Second.
    Second,
    /// Minute.
    Minute,
    /// Hour.
    Hour,
    /// Millisecond.
    Millisecond,
    /// Microlitre.
    Microlitre,
    /// Millilitre.
    Millilitre,
    /// Milligram.
    Milligram,
    /// Gram.
    Gram,
    /// Revolutions per minute.
    Rpm,
    /// Nanometre.
    Nanometre,
    /// Electronvolt.
    Electronvolt,
    /// Rydberg, in which plane-wave programs take their cutoffs.
    Rydberg,
    /// Degree of angle, for 2θ.
    Degree,
    /// Kelvin per minute.
    KelvinPerMinute,
    /// Detector counts.
    Counts,
    /// Counts per second.
    CountsPerSecond,
}

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Number,
    Temperature,
    Time,
    Volume,
    Mass,
    Frequency,
    Length,
    Energy,
    Angle,
    HeatingRate,
    Counts,
    CountRate,
}

impl Unit {
    /// Every unit, in the order of their declaration.
    pub const ALL: [Unit; 20] = [
        Unit::One,
        Unit::Percent,
        Unit::Celsius,
        Unit::Kelvin,
        Unit::Second,
        Unit::Minute,
        Unit::Hour,
        Unit::Millisecond,
        Unit::Microlitre,
        Unit::Millilitre,
        Unit::Milligram,
        Unit::Gram,
        Unit::Rpm,
        Unit::Nanometre,
        Unit::Electronvolt,
        Unit::Rydberg,
        Unit::Degree,
        Unit::KelvinPerMinute,
        Unit::Counts,
        Unit::CountsPerSecond,
    ];

    /// The symbol as written in files and on the wire (ASCII).
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::One => "1",
            Unit::Percent => "%",
            Unit::Celsius => "C",
            Unit::Kelvin => "K",
            Unit::Second => "s",
            Unit::Minute => "min",
            Unit::Hour => "h",
            Unit::Millisecond => "ms",
            Unit::Microlitre => "uL",
            Unit::Millilitre => "mL",
            Unit::Milligram => "mg",
            Unit::Gram => "g",
            Unit::Rpm => "rpm",
            Unit::Nanometre => "nm",
            Unit::Electronvolt => "eV",
            Unit::Rydberg => "Ry",
            Unit::Degree => "deg",
            Unit::KelvinPerMinute => "K/min",
            Unit::Counts => "counts",
            Unit::CountsPerSecond => "cps",
        }
    }

    /// The unit with this symbol.
    pub fn parse(symbol: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.symbol() == symbol)
    }

    /// Dimension, factor and offset to the base unit of the dimension: `base = value * factor + offset`.
    fn base(self) -> (Dimension, f64, f64) {
        match self {
            Unit::One => (Dimension::Number, 1.0, 0.0),
            Unit::Percent => (Dimension::Number, 0.01, 0.0),
            Unit::Celsius => (Dimension::Temperature, 1.0, 273.15),
            Unit::Kelvin => (Dimension::Temperature, 1.0, 0.0),
            Unit::Second => (Dimension::Time, 1.0, 0.0),
            Unit::Minute => (Dimension::Time, 60.0, 0.0),
            Unit::Hour => (Dimension::Time, 3600.0, 0.0),
            Unit::Millisecond => (Dimension::Time, 1e-3, 0.0),
            Unit::Microlitre => (Dimension::Volume, 1.0, 0.0),
            Unit::Millilitre => (Dimension::Volume, 1000.0, 0.0),
            Unit::Milligram => (Dimension::Mass, 1.0, 0.0),
            Unit::Gram => (Dimension::Mass, 1000.0, 0.0),
            Unit::Rpm => (Dimension::Frequency, 1.0, 0.0),
            Unit::Nanometre => (Dimension::Length, 1.0, 0.0),
            Unit::Electronvolt => (Dimension::Energy, 1.0, 0.0),
            // CODATA 2018.
            Unit::Rydberg => (Dimension::Energy, 13.605_693_122_994, 0.0),
            Unit::Degree => (Dimension::Angle, 1.0, 0.0),
            Unit::KelvinPerMinute => (Dimension::HeatingRate, 1.0, 0.0),
            Unit::Counts => (Dimension::Counts, 1.0, 0.0),
            Unit::CountsPerSecond => (Dimension::CountRate, 1.0, 0.0),
        }
    }

    /// Whether a quantity in `self` can be expressed in `other`.
    pub fn converts_to(self, other: Unit) -> bool {
        self.base().0 == other.base().0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Unit::Celsius => "°C",
            Unit::Microlitre => "µL",
            Unit::Degree => "°",
            Unit::One => "",
            other => other.symbol(),
        })
    }
}

impl TryFrom<String> for Unit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Unit::parse(&text).ok_or_else(|| {
            let known: Vec<_> = Unit::ALL.iter().map(|unit| unit.symbol()).collect();
            format!("`{text}` is not a unit that ppu knows; it knows {}", known.join(", "))
        })
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.symbol().to_owned()
    }
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// The number, finite.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
}

impl Quantity {
    /// A quantity; refuses NaN and infinities by returning `None`.
    pub fn new(value: f64, unit: Unit) -> Option<Self> {
        value.is_finite().then_some(Self { value, unit })
    }

    /// The same quantity in another unit of the same dimension, or `None`.
    pub fn to(self, unit: Unit) -> Option<Quantity> {
        let (from, from_factor, from_offset) = self.unit.base();
        let (into, into_factor, into_offset) = unit.base();
        if from != into {
            return None;
        }
        let same = self.unit == unit;
        let value =
            if same { self.value } else { (self.value * from_factor + from_offset - into_offset) / into_factor };
        Some(Quantity { value, unit })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::One => write!(f, "{}", self.value),
            Unit::Percent | Unit::Degree => write!(f, "{}{}", self.value, self.unit),
            unit => write!(f, "{} {unit}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_stay_inside_a_dimension() {
        let anneal = Quantity { value: 150.0, unit: Unit::Celsius };
        assert_eq!(anneal.to(Unit::Kelvin).unwrap().value, 423.15);
        assert_eq!(Quantity { value: 90.0, unit: Unit::Second }.to(Unit::Minute).unwrap().value, 1.5);
        assert!(anneal.to(Unit::Minute).is_none());
        let cutoff = Quantity { value: 30.0, unit: Unit::Rydberg };
        assert!((cutoff.to(Unit::Electronvolt).unwrap().value - 408.170_793_69).abs() < 1e-8);
    }

    #[test]
    fn every_symbol_parses_back() {
        for unit in Unit::ALL {
            assert_eq!(Unit::parse(unit.symbol()), Some(unit));
        }
    }
}

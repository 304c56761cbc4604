//! Observables that are known functions of the design, by tables for speed.

use crate::space::{Domain, Kind};
use crate::study::definition::Known;

enum Part {
    Factor(usize, f64),
    Levels(usize, Vec<f64>),
}

/// A known observable over the values of a domain.
pub(crate) struct KnownTable {
    offset: f64,
    parts: Vec<Part>,
}

impl KnownTable {
    pub(crate) fn new(domain: &Domain, known: &Known) -> KnownTable {
        let mut parts = Vec::new();
        for (at, parameter) in domain.space().parameters.iter().enumerate() {
            if let Some(factor) = known.factors.get(&parameter.name) {
                parts.push(Part::Factor(at, *factor));
            }
            let Some(amounts) = known.levels.get(&parameter.name) else { continue };
            let names: Vec<&String> = match &parameter.kind {
                Kind::Categorical { levels } => levels.iter().map(|level| &level.name).collect(),
                Kind::Ordinal { levels } => levels.iter().map(|level| &level.name).collect(),
                Kind::Continuous { .. } | Kind::Integer { .. } => continue,
            };
            let amount = |name: &&String| amounts.get(*name).copied().unwrap_or(0.0);
            parts.push(Part::Levels(at, names.iter().map(amount).collect()));
        }
        KnownTable { offset: known.offset, parts }
    }

    pub(crate) fn value(&self, domain: &Domain, values: &[f64]) -> f64 {
        let one = |part: &Part| match part {
            Part::Factor(at, factor) if domain.is_active(values, *at) => factor * values[*at],
            Part::Levels(at, amounts) if domain.is_active(values, *at) => amounts[values[*at] as usize],
            _ => 0.0,
        };
        self.offset + self.parts.iter().map(one).sum::<f64>()
    }
}

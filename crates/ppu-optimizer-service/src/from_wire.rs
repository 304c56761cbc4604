//! From the wire to the words of a study. What a message leaves unspecified is refused with the name of the field.

use std::collections::BTreeMap;

use ppu_optimizer::space::{
    Condition, Constraint, Design, Kind, Level, OrdinalLevel, Parameter, Relation, Scale, Setting, Space,
};
use ppu_optimizer::study::{Aim, Comparison, Definition, Fidelity, Known, Outcome, Pending, Reading, Told, Wanted};
use ppu_proto::optimizer::v1 as wire;

/// A message that says too little; the field that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: `{field}` is not given")]
pub(crate) struct Incomplete {
    subject: String,
    field: &'static str,
}

fn missing(subject: &str, field: &'static str) -> Incomplete {
    Incomplete { subject: subject.to_owned(), field }
}

pub(crate) fn definition(from: wire::Definition) -> Result<Definition, Incomplete> {
    let parameters = from.parameters.into_iter().map(parameter).collect::<Result<_, _>>()?;
    let constraints = from.constraints.into_iter().map(constraint).collect::<Result<_, _>>()?;
    let objectives = from.objectives.into_iter().map(objective).collect::<Result<_, _>>()?;
    let fidelity = |one: wire::Fidelity| Fidelity { name: one.name, cost: one.cost };
    let pool = from.pool.into_iter().enumerate().map(|(at, one)| design(&format!("pool entry {at}"), one));
    Ok(Definition {
        space: Space { parameters, constraints },
        objectives,
        fidelities: from.fidelities.into_iter().map(fidelity).collect(),
        pool: pool.collect::<Result<_, _>>()?,
        seed: from.seed,
        start: from.start.map(|start| start as usize),
    })
}

fn parameter(from: wire::Parameter) -> Result<Parameter, Incomplete> {
    use wire::parameter::Kind as From;
    let subject = format!("parameter `{}`", from.name);
    let kind = match from.kind.ok_or_else(|| missing(&subject, "kind"))? {
        From::Continuous(one) => {
            let curve = one.curve.iter().map(|point| (point.value, point.position)).collect();
            let scale = scale(&subject, one.scale(), curve)?;
            Kind::Continuous { min: one.min, max: one.max, step: (one.step != 0.0).then_some(one.step), scale }
        }
        From::Integer(one) => {
            Kind::Integer { min: one.min, max: one.max, scale: scale(&subject, one.scale(), Vec::new())? }
        }
        From::Ordinal(levels) => {
            let level = |one: wire::Level| OrdinalLevel { name: one.name, score: one.score };
            Kind::Ordinal { levels: levels.levels.into_iter().map(level).collect() }
        }
        From::Categorical(levels) => {
            let level = |one: wire::Level| Level { name: one.name, descriptors: one.descriptors };
            Kind::Categorical { levels: levels.levels.into_iter().map(level).collect() }
        }
    };
    let active_if = from.active_if.map(|condition| {
        let any_of = condition.any_of.into_iter().map(|one| setting(&subject, one)).collect::<Result<_, _>>()?;
        Ok(Condition { parameter: condition.parameter, any_of })
    });
    Ok(Parameter { name: from.name, kind, active_if: active_if.transpose()? })
}

fn scale(subject: &str, from: wire::Scale, curve: Vec<(f64, f64)>) -> Result<Scale, Incomplete> {
    match from {
        // Most scales are linear: leaving it out is no mistake.
        wire::Scale::Unspecified | wire::Scale::Linear => Ok(Scale::Linear),
        wire::Scale::Log => Ok(Scale::Log),
        wire::Scale::Custom if curve.len() < 2 => Err(missing(subject, "curve")),
        wire::Scale::Custom => Ok(Scale::Custom(curve)),
    }
}

fn constraint(from: wire::Constraint) -> Result<Constraint, Incomplete> {
    use wire::constraint::Kind as From;
    let (subject, name) = (format!("constraint `{}`", from.name), from.name);
    Ok(match from.kind.ok_or_else(|| missing(&subject, "kind"))? {
        From::Mixture(one) => Constraint::Mixture { name, parts: one.parts, total: one.total },
        From::Linear(one) => {
            let relation = match one.relation() {
                wire::Relation::Unspecified => return Err(missing(&subject, "relation")),
                wire::Relation::AtMost => Relation::AtMost,
                wire::Relation::Equal => Relation::Equal,
                wire::Relation::AtLeast => Relation::AtLeast,
            };
            let terms = one.terms.into_iter().map(|term| (term.parameter, term.factor)).collect();
            Constraint::Linear { name, terms, relation, bound: one.bound }
        }
        From::Count(one) => Constraint::Count {
            name,
            parts: one.parts,
            at_least: one.at_least as usize,
            at_most: one.at_most as usize,
            least: one.least,
        },
        From::Forbidden(one) => {
            let all_of = design(&subject, one.all_of.ok_or_else(|| missing(&subject, "all_of"))?)?;
            Constraint::Forbidden { name, all_of: all_of.0.into_iter().collect() }
        }
    })
}

fn objective(from: wire::Objective) -> Result<Wanted, Incomplete> {
    let aim = match from.aim() {
        wire::Aim::Unspecified => return Err(missing(&format!("objective `{}`", from.name), "aim")),
        wire::Aim::Maximize => Aim::Maximize,
        wire::Aim::Minimize => Aim::Minimize,
        wire::Aim::Target => Aim::Target { value: from.value, tolerance: from.tolerance },
        wire::Aim::AtLeast => Aim::AtLeast(from.value),
        wire::Aim::AtMost => Aim::AtMost(from.value),
        wire::Aim::Preferred => Aim::Preferred,
    };
    let known = from.known.map(|known| {
        let mut levels: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for one in known.amounts {
            levels.entry(one.parameter).or_default().insert(one.level, one.amount);
        }
        let factors = known.terms.into_iter().map(|term| (term.parameter, term.factor)).collect();
        Known { offset: known.offset, factors, levels }
    });
    Ok(Wanted { name: from.name, aim, reference: from.reference, known })
}

fn setting(subject: &str, from: wire::Setting) -> Result<Setting, Incomplete> {
    match from.value {
        Some(wire::setting::Value::Number(number)) => Ok(Setting::Number(number)),
        Some(wire::setting::Value::Level(level)) => Ok(Setting::Level(level)),
        None => Err(missing(subject, "value")),
    }
}

pub(crate) fn design(subject: &str, from: wire::Design) -> Result<Design, Incomplete> {
    let one = |(name, value): (String, wire::Setting)| {
        let setting = setting(&format!("{subject}, `{name}`"), value)?;
        Ok((name, setting))
    };
    from.settings.into_iter().map(one).collect::<Result<_, _>>().map(Design)
}

fn text(from: String) -> Option<String> {
    (!from.is_empty()).then_some(from)
}

pub(crate) fn told(from: wire::Result) -> Result<Told, Incomplete> {
    let subject = format!("result `{}`", from.id);
    let outcome = match from.outcome() {
        wire::Outcome::Unspecified => return Err(missing(&subject, "outcome")),
        wire::Outcome::Valid => {
            let reading =
                |(name, one): (String, wire::Reading)| (name, Reading { values: one.values, variance: one.variance });
            Outcome::Valid(from.readings.into_iter().map(reading).collect())
        }
        wire::Outcome::Infeasible => Outcome::Infeasible { reason: from.reason },
        wire::Outcome::Fault => Outcome::Fault { reason: from.reason },
    };
    let made = design(&subject, from.design.ok_or_else(|| missing(&subject, "design"))?)?;
    Ok(Told { id: from.id, design: made, outcome, fidelity: text(from.fidelity) })
}

pub(crate) fn comparison(from: wire::Comparison) -> Comparison {
    Comparison { better: from.better, worse: from.worse }
}

pub(crate) fn pending(from: wire::Pending) -> Result<Pending, Incomplete> {
    let subject = format!("pending design `{}`", from.id);
    let design = design(&subject, from.design.ok_or_else(|| missing(&subject, "design"))?)?;
    Ok(Pending { id: from.id, design, fidelity: text(from.fidelity) })
}

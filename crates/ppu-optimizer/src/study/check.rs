//! Refusals: definitions, results and comparisons that make no sense are named.

use std::collections::BTreeSet;

use crate::space::{Design, Domain};
use crate::study::answer::StudyError;
use crate::study::definition::{Aim, Definition, Outcome, Reading, Told, Wanted};

/// Objectives whose hypervolume is computed exactly.
const MOST_OBJECTIVES: usize = 4;
/// Values whose squares are not finite cannot be modelled.
const LARGEST: f64 = 1e150;

fn fault(subject: &str, problem: impl Into<String>) -> StudyError {
    StudyError::Definition { subject: subject.to_owned(), problem: problem.into() }
}

pub(crate) fn definition(definition: &Definition, domain: &Domain) -> Result<(), StudyError> {
    let wanted = &definition.objectives;
    if !wanted.iter().any(|one| one.aim.utility().is_some()) {
        return Err(fault("objectives", "nothing is wanted: there is no objective that is not a condition"));
    }
    if wanted.iter().filter(|one| one.aim.utility().is_some()).count() > MOST_OBJECTIVES {
        return Err(fault(
            "objectives",
            format!("more than {MOST_OBJECTIVES} objectives are not supported; make some conditions"),
        ));
    }
    let mut names = BTreeSet::new();
    for one in wanted {
        if one.name.is_empty() || !names.insert(&one.name) {
            return Err(fault(&one.name, "an observable without a name, or named twice"));
        }
        objective(one, domain)?;
    }
    if wanted.iter().filter(|one| one.aim == Aim::Preferred).count() > 1 {
        return Err(fault("objectives", "comparisons can teach one preferred observable only"));
    }
    let mut names = BTreeSet::new();
    for fidelity in &definition.fidelities {
        if !(fidelity.cost > 0.0 && fidelity.cost.is_finite()) {
            return Err(fault(&fidelity.name, "its cost is not a positive number"));
        }
        if fidelity.name.is_empty() || !names.insert(&fidelity.name) {
            return Err(fault(&fidelity.name, "a fidelity without a name, or named twice"));
        }
    }
    for (at, design) in definition.pool.iter().enumerate() {
        domain.encode(design).map_err(|source| StudyError::Design { subject: format!("pool entry {at}"), source })?;
    }
    Ok(())
}

fn objective(one: &Wanted, domain: &Domain) -> Result<(), StudyError> {
    let sound = match one.aim {
        Aim::Target { value, tolerance } => value.is_finite() && tolerance >= 0.0 && tolerance.is_finite(),
        Aim::AtLeast(bound) | Aim::AtMost(bound) => bound.is_finite(),
        Aim::Maximize | Aim::Minimize | Aim::Preferred => true,
    };
    if !sound || one.reference.is_some_and(|reference| !reference.is_finite()) {
        return Err(fault(&one.name, "a number of its aim is not finite, or its tolerance is negative"));
    }
    let Some(known) = &one.known else { return Ok(()) };
    if one.aim == Aim::Preferred {
        return Err(fault(&one.name, "what people prefer cannot be known beforehand"));
    }
    let parameters = &domain.space().parameters;
    let names = known.factors.keys().chain(known.levels.keys());
    if let Some(unknown) = names.clone().find(|name| !parameters.iter().any(|parameter| &parameter.name == *name)) {
        return Err(fault(&one.name, format!("it depends on `{unknown}`, which is not a parameter")));
    }
    let amounts = known.factors.values().chain(known.levels.values().flat_map(|levels| levels.values()));
    if !amounts.chain([&known.offset]).all(|amount| amount.is_finite()) {
        return Err(fault(&one.name, "an amount of it is not a finite number"));
    }
    Ok(())
}

pub(crate) fn design(domain: &Domain, subject: &str, design: &Design) -> Result<(), StudyError> {
    let refused = |source| StudyError::Design { subject: subject.to_owned(), source };
    domain.encode(design).map(drop).map_err(refused)
}

pub(crate) fn told(definition: &Definition, domain: &Domain, told: &Told) -> Result<(), StudyError> {
    if told.id.is_empty() {
        return Err(StudyError::Question("a result needs an id".to_owned()));
    }
    design(domain, &told.id, &told.design)?;
    if let Some(name) = &told.fidelity
        && !definition.fidelities.iter().any(|one| &one.name == name)
    {
        return Err(StudyError::Reading { id: told.id.clone(), problem: format!("there is no fidelity `{name}`") });
    }
    let Outcome::Valid(readings) = &told.outcome else { return Ok(()) };
    let bad = |problem: String| Err(StudyError::Reading { id: told.id.clone(), problem });
    for (name, Reading { values, variance }) in readings {
        let Some(wanted) = definition.objectives.iter().find(|one| &one.name == name) else {
            return bad(format!("`{name}` is not an observable of this study"));
        };
        if wanted.known.is_some() || wanted.aim == Aim::Preferred {
            return bad(format!("`{name}` is not measured"));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite() || value.abs() > LARGEST) {
            return bad(format!("`{name}` is {value}"));
        }
        if !(*variance >= 0.0 && variance.is_finite()) {
            return bad(format!("the variance of `{name}` is {variance}"));
        }
        if values.is_empty() {
            return bad(format!("`{name}` has no value"));
        }
    }
    let measured = |one: &&Wanted| one.known.is_none() && one.aim != Aim::Preferred;
    match definition.objectives.iter().filter(measured).find(|one| !readings.contains_key(&one.name)) {
        // A cheap fidelity need not see everything.
        Some(missing) if told.fidelity.is_none() || is_last(definition, told) => {
            bad(format!("`{}` has no value; tell what could not be measured as infeasible or as a fault", missing.name))
        }
        _ => Ok(()),
    }
}

fn is_last(definition: &Definition, told: &Told) -> bool {
    definition.fidelities.last().map(|one| &one.name) == told.fidelity.as_ref()
}

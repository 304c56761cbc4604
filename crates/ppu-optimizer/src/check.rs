//! Refusals: every argument that makes no sense is named.

use std::collections::BTreeSet;

use ppu_core::design::CandidateError;
use ppu_core::{Candidate, DesignSpace, Goal, Objective};

use crate::contract::{Ask, OptimizerError, Prediction, Trial, TrialOutcome};

/// A realised point may lie outside the space by this share of a range; a balance is not a set point.
const OUTSIDE: f64 = 0.1;
/// Realised fractions may miss 1 by this.
const SUM: f64 = 0.02;

pub(crate) fn space(space: &DesignSpace) -> Result<(), OptimizerError> {
    if space.free().next().is_none() {
        return Err(OptimizerError::EmptySpace);
    }
    for parameter in &space.parameters {
        let problem = if !(parameter.min.is_finite() && parameter.max.is_finite() && parameter.resolution.is_finite()) {
            "a limit is not a finite number"
        } else if parameter.min > parameter.max {
            "its smallest value is above its largest"
        } else if parameter.log && parameter.min <= 0.0 {
            "a logarithmic scale needs a positive smallest value"
        } else {
            continue;
        };
        return Err(OptimizerError::Parameter { parameter: parameter.name.clone(), problem });
    }
    for mixture in &space.mixtures {
        let limits: Option<Vec<(f64, f64)>> =
            mixture.parts.iter().map(|part| space.parameter(part).map(|found| (found.min, found.max))).collect();
        let Some(limits) = limits else {
            let unknown = mixture.parts.iter().find(|part| space.parameter(part).is_none()).cloned();
            let problem = "it is part of a mixture but not a parameter";
            return Err(OptimizerError::Parameter { parameter: unknown.unwrap_or_default(), problem });
        };
        let (least, most) = limits.iter().fold((0.0, 0.0), |(least, most), (low, high)| (least + low, most + high));
        if least > 1.0 + 1e-9 || most < 1.0 - 1e-9 {
            return Err(OptimizerError::Mixture { parts: mixture.parts.join(" + "), least, most });
        }
    }
    Ok(())
}

pub(crate) fn objectives(objectives: &[Objective]) -> Result<(), OptimizerError> {
    if objectives.is_empty() {
        return Err(OptimizerError::NoObjective);
    }
    let mut names = BTreeSet::new();
    for objective in objectives {
        let ordered = match objective.goal {
            Goal::Maximize { low, high } | Goal::Minimize { low, high } => low < high,
            Goal::Target { value, tolerance, limit } => value.is_finite() && tolerance >= 0.0 && tolerance < limit,
        };
        let problem = if !(objective.weight > 0.0 && objective.weight.is_finite()) {
            "its weight is not a positive number"
        } else if !ordered {
            "its limits are contradictory"
        } else if !names.insert(&objective.name) {
            "it is named twice"
        } else {
            continue;
        };
        return Err(OptimizerError::Objective { objective: objective.name.clone(), problem });
    }
    Ok(())
}

pub(crate) fn ask(space: &DesignSpace, ask: &Ask<'_>) -> Result<(), OptimizerError> {
    if ask.batch == 0 {
        return Err(OptimizerError::EmptyBatch);
    }
    let mut ids = BTreeSet::new();
    for one in ask.trials {
        if !ids.insert(one.id.as_str()) {
            return Err(OptimizerError::DuplicateTrial(one.id.clone()));
        }
        trial(space, one)?;
    }
    for (at, candidate) in ask.pending.iter().enumerate() {
        realised(space, candidate)
            .map_err(|source| OptimizerError::Candidate { subject: format!("pending candidate {at}"), source })?;
    }
    for (at, scored) in ask.pool.iter().enumerate() {
        space
            .check(&scored.candidate)
            .map_err(|source| OptimizerError::Candidate { subject: format!("pool entry {at}"), source })?;
    }
    Ok(())
}

fn trial(space: &DesignSpace, trial: &Trial) -> Result<(), OptimizerError> {
    realised(space, &trial.candidate)
        .map_err(|source| OptimizerError::Candidate { subject: format!("trial `{}`", trial.id), source })?;
    let bad = |what: &str, value| OptimizerError::BadValue { trial: trial.id.clone(), what: what.into(), value };
    for Prediction { objective, mean, sd } in &trial.expected {
        if !mean.is_finite() {
            return Err(bad(&format!("what was expected of {objective}"), *mean));
        }
        if !(*sd >= 0.0 && sd.is_finite()) {
            return Err(bad(&format!("the uncertainty expected of {objective}"), *sd));
        }
    }
    let TrialOutcome::Valid(observation) = &trial.outcome else { return Ok(()) };
    for (name, measured) in &observation.values {
        if !measured.value.is_finite() {
            return Err(bad(name, measured.value));
        }
        if !(measured.sd >= 0.0 && measured.sd.is_finite()) {
            return Err(bad(&format!("the uncertainty of {name}"), measured.sd));
        }
    }
    Ok(())
}

/// Whether a point that was really made counts as one of the space. A space that people have narrowed leaves trials
/// outside: they still teach the models, but none of them is the best.
pub(crate) fn is_inside(space: &DesignSpace, candidate: &Candidate) -> bool {
    space.parameters.iter().all(|parameter| {
        let slack = (OUTSIDE * (parameter.max - parameter.min)).max(parameter.resolution);
        let within = |value: f64| value >= parameter.min - slack && value <= parameter.max + slack;
        candidate.get(&parameter.name).is_some_and(within)
    })
}

/// A point that was really made: complete, finite, its fractions a whole. It may lie outside the space.
fn realised(space: &DesignSpace, candidate: &Candidate) -> Result<(), CandidateError> {
    if let Some(name) = candidate.0.keys().find(|name| space.parameter(name).is_none()) {
        return Err(CandidateError::Unknown(name.clone()));
    }
    for parameter in &space.parameters {
        let value = candidate.get(&parameter.name).ok_or_else(|| CandidateError::Missing(parameter.name.clone()))?;
        if !parameter.to_unit(value).is_finite() {
            let (name, min, max) = (parameter.name.clone(), parameter.min, parameter.max);
            return Err(CandidateError::Outside { name, value, min, max });
        }
    }
    for mixture in &space.mixtures {
        let sum: f64 = mixture.parts.iter().filter_map(|part| candidate.get(part)).sum();
        if (sum - 1.0).abs() > SUM {
            return Err(CandidateError::Sum { parts: mixture.parts.join(" + "), sum });
        }
    }
    Ok(())
}

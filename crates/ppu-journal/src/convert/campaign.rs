//! Campaigns, proposals and observations.

use ppu_core::campaign::{ApprovalPolicy, CampaignSpec, Generator, Strategy};
use ppu_core::design::Mixture;
use ppu_core::{Candidate, DesignSpace, Goal, Objective, Observation, Parameter};
use ppu_engine::event::{LevelObservable, LevelReport, Limit, ProposedTrial};
use ppu_proto::ConversionError;
use ppu_proto::convert::numbers_to_wire;
use ppu_proto::{common::v1 as common, journal::v1 as wire};

use super::words::{by_name, hash, id, measured_from_wire, measured_to_wire, missing, numbers, unit};

pub(super) fn spec_to_wire(spec: &CampaignSpec) -> wire::CampaignSpec {
    let approval = match spec.approval {
        ApprovalPolicy::Auto => wire::ApprovalPolicy::Auto,
        ApprovalPolicy::Ask => wire::ApprovalPolicy::Ask,
    };
    let strategy = match spec.strategy {
        Strategy::Optimizer => wire::Strategy::Optimizer,
        Strategy::Random => wire::Strategy::Random,
    };
    let generator = match spec.generator {
        Generator::Annealed => wire::Generator::Annealed,
        Generator::Flow => wire::Generator::Flow,
    };
    wire::CampaignSpec {
        name: spec.name.to_string(),
        title: spec.title.clone(),
        space: Some(space_to_wire(&spec.space)),
        objectives: spec.objectives.iter().map(objective_to_wire).collect(),
        fixed: numbers_to_wire(&spec.fixed),
        budget: Some(wire::CampaignBudget { trials: spec.budget_trials, batch: spec.batch, in_flight: spec.in_flight }),
        stop_score: spec.stop_score,
        approval: approval.into(),
        strategy: strategy.into(),
        seed: spec.seed,
        analysis: spec.analysis.clone(),
        generator: generator.into(),
    }
}

pub(super) fn spec_from_wire(spec: &wire::CampaignSpec) -> Result<CampaignSpec, ConversionError> {
    let budget = spec.budget.as_ref().ok_or_else(|| missing("spec.budget"))?;
    let approval = match spec.approval() {
        wire::ApprovalPolicy::Auto => ApprovalPolicy::Auto,
        wire::ApprovalPolicy::Ask => ApprovalPolicy::Ask,
        wire::ApprovalPolicy::Unspecified => return Err(missing("spec.approval")),
    };
    let strategy = match spec.strategy() {
        wire::Strategy::Optimizer => Strategy::Optimizer,
        wire::Strategy::Random => Strategy::Random,
        wire::Strategy::Unspecified => return Err(missing("spec.strategy")),
    };
    let generator = match spec.generator() {
        wire::Generator::Annealed | wire::Generator::Unspecified => Generator::Annealed,
        wire::Generator::Flow => Generator::Flow,
    };
    Ok(CampaignSpec {
        name: id("spec.name", &spec.name)?,
        title: spec.title.clone(),
        space: space_from_wire(spec.space.as_ref().ok_or_else(|| missing("spec.space"))?)?,
        objectives: spec.objectives.iter().map(objective_from_wire).collect::<Result<_, _>>()?,
        fixed: numbers("spec.fixed", &spec.fixed)?,
        budget_trials: budget.trials,
        batch: budget.batch,
        in_flight: budget.in_flight,
        stop_score: spec.stop_score,
        approval,
        strategy,
        generator,
        seed: spec.seed,
        analysis: spec.analysis.clone(),
    })
}

fn space_to_wire(space: &DesignSpace) -> wire::DesignSpace {
    let parameters = space.parameters.iter().map(|parameter| wire::DesignParameter {
        name: parameter.name.clone(),
        unit: parameter.unit.symbol().to_owned(),
        min: parameter.min,
        max: parameter.max,
        resolution: parameter.resolution,
        log: parameter.log,
    });
    let mixtures = space.mixtures.iter().map(|mixture| wire::DesignMixture { parts: mixture.parts.clone() });
    wire::DesignSpace { parameters: parameters.collect(), mixtures: mixtures.collect() }
}

fn space_from_wire(space: &wire::DesignSpace) -> Result<DesignSpace, ConversionError> {
    let parameters = space.parameters.iter().map(|parameter| {
        Ok(Parameter {
            name: parameter.name.clone(),
            unit: unit("space.parameter.unit", &parameter.unit)?,
            min: parameter.min,
            max: parameter.max,
            resolution: parameter.resolution,
            log: parameter.log,
        })
    });
    let mixtures = space.mixtures.iter().map(|mixture| Mixture { parts: mixture.parts.clone() });
    Ok(DesignSpace { parameters: parameters.collect::<Result<_, ConversionError>>()?, mixtures: mixtures.collect() })
}

fn objective_to_wire(objective: &Objective) -> wire::CampaignObjective {
    use wire::campaign_objective::Goal as Wire;
    let goal = match objective.goal {
        Goal::Maximize { low, high } => Wire::Maximize(wire::MaximizeGoal { low, high }),
        Goal::Minimize { low, high } => Wire::Minimize(wire::MinimizeGoal { low, high }),
        Goal::Target { value, tolerance, limit } => Wire::Target(wire::TargetGoal { value, tolerance, limit }),
    };
    wire::CampaignObjective {
        name: objective.name.clone(),
        unit: objective.unit.symbol().to_owned(),
        goal: Some(goal),
        weight: objective.weight,
    }
}

fn objective_from_wire(objective: &wire::CampaignObjective) -> Result<Objective, ConversionError> {
    use wire::campaign_objective::Goal as Wire;
    let goal = match objective.goal.as_ref().ok_or_else(|| missing("objective.goal"))? {
        Wire::Maximize(goal) => Goal::Maximize { low: goal.low, high: goal.high },
        Wire::Minimize(goal) => Goal::Minimize { low: goal.low, high: goal.high },
        Wire::Target(goal) => Goal::Target { value: goal.value, tolerance: goal.tolerance, limit: goal.limit },
    };
    let unit = unit("objective.unit", &objective.unit)?;
    Ok(Objective { name: objective.name.clone(), unit, goal, weight: objective.weight })
}

pub(super) fn trial_to_wire(trial: &ProposedTrial) -> wire::ProposedTrial {
    wire::ProposedTrial {
        candidate: numbers_to_wire(&trial.candidate.0),
        proposer: trial.proposer.clone(),
        reason: trial.reason.clone(),
        expected: measured_to_wire(&trial.expected),
    }
}

pub(super) fn trial_from_wire(trial: &wire::ProposedTrial) -> Result<ProposedTrial, ConversionError> {
    Ok(ProposedTrial {
        candidate: Candidate(numbers("trial.candidate", &trial.candidate)?),
        proposer: trial.proposer.clone(),
        reason: trial.reason.clone(),
        expected: measured_from_wire("trial.expected", &trial.expected)?,
    })
}

/// A level of the twin, as every message shows it.
pub fn level_to_wire(level: &LevelReport) -> common::LevelReport {
    let observables = level.observables.iter().map(|one| common::LevelObservable {
        name: one.name.clone(),
        correlation: one.correlation,
        low: one.low,
        high: one.high,
        pairs: one.pairs,
    });
    common::LevelReport {
        level: level.level.clone(),
        evaluations: level.evaluations,
        refused: level.refused,
        seconds: level.seconds,
        used: level.used,
        observables: observables.collect(),
        note: level.note.clone(),
    }
}

pub(super) fn level_from_wire(level: &common::LevelReport) -> LevelReport {
    let observables = level.observables.iter().map(|one| LevelObservable {
        name: one.name.clone(),
        correlation: one.correlation,
        low: one.low,
        high: one.high,
        pairs: one.pairs,
    });
    LevelReport {
        level: level.level.clone(),
        evaluations: level.evaluations,
        refused: level.refused,
        seconds: level.seconds,
        used: level.used,
        observables: observables.collect(),
        note: level.note.clone(),
    }
}

pub(super) fn limit_to_wire(limit: &Limit) -> common::ParameterLimit {
    common::ParameterLimit { parameter: limit.parameter.clone(), min: limit.min, max: limit.max }
}

pub(super) fn limit_from_wire(limit: &common::ParameterLimit) -> Limit {
    Limit { parameter: limit.parameter.clone(), min: limit.min, max: limit.max }
}

pub(super) fn observation_to_wire(observation: &Observation) -> wire::TrialObservation {
    let invalid = observation.invalid.iter();
    wire::TrialObservation {
        values: measured_to_wire(&observation.values),
        invalid: invalid
            .map(|(name, reason)| wire::InvalidValue { name: name.clone(), reason: reason.clone() })
            .collect(),
        raw: observation.raw.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        analysis: observation.analysis.clone(),
    }
}

pub(super) fn observation_from_wire(observation: &wire::TrialObservation) -> Result<Observation, ConversionError> {
    let invalid = observation.invalid.iter().map(|invalid| Ok((invalid.name.clone(), invalid.reason.clone())));
    Ok(Observation {
        values: measured_from_wire("observation.values", &observation.values)?,
        invalid: by_name("observation.invalid", invalid)?,
        raw: observation.raw.iter().map(|bytes| hash("observation.raw", bytes)).collect::<Result<_, _>>()?,
        analysis: observation.analysis.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppu_core::protocol::Protocol;

    const PROTOCOL: &str = "version = 1\nprotocol = \"bake\"\ntitle = \"Bake\"\n[[parameter]]\nname = \"t\"\nunit = \"C\"\n\
        min = 0\nmax = 200\n[[step]]\nname = \"bake\"\ncommand = \"annealing.anneal\"\nargs = { temperature_c = \"= t\" }\n";
    const CAMPAIGN: &str = "version = 1\ncampaign = \"bakery\"\ntitle = \"Bakery\"\nprotocol = \"bake.toml\"\n\
        analysis = \"none\"\napproval = \"auto\"\ngenerator = \"flow\"\n[budget]\ntrials = 30\nbatch = 2\nin_flight = 2\n\
        [[parameter]]\nname = \"t\"\nunit = \"C\"\nmin = 0\nmax = 100\n[[objective]]\nname = \"y\"\nunit = \"1\"\n\
        goal = { maximize = { low = 0, high = 1 } }\n";

    #[test]
    fn a_campaign_from_before_there_was_a_choice_of_generators_is_annealed() {
        let protocol = Protocol::parse("bake.toml", PROTOCOL).unwrap();
        let spec = CampaignSpec::parse("bakery.toml", CAMPAIGN, &protocol).unwrap();
        let mut record = spec_to_wire(&spec);
        assert_eq!(spec_from_wire(&record).unwrap(), spec);
        // What protobuf reads where a record has no such field.
        record.generator = 0;
        assert_eq!(spec_from_wire(&record).unwrap(), CampaignSpec { generator: Generator::Annealed, ..spec });
    }
}

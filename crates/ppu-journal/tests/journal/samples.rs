//! Facts for the tests: one of every kind with all fields set, and small stories.

use std::collections::BTreeMap;

use ppu_core::campaign::{ApprovalPolicy, CampaignSpec, Strategy};
use ppu_core::capability::PropertySpec;
use ppu_core::design::Mixture;
use ppu_core::plan::LeaseSpec;
use ppu_core::{
    ActionClass, ArgumentKind, ArgumentSpec, Arguments, ArtifactHash, AttemptState, CampaignId, Candidate,
    CapabilitySpec, CommandKey, CommandSpec, DesignSpace, DeviceId, Goal, Manifest, Measured, Objective, Observation,
    Parameter, Place, Plan, PositionId, ResultSpec, RunId, SampleId, Step, StepAction, StepId, TrialId, Unit, Value,
};
use ppu_engine::event::{ArtifactRef, Outcome, ProposedTrial, Resolution, Verdict};
use ppu_engine::{Event, Fact};

pub(crate) fn run(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

pub(crate) fn trial(name: &str) -> TrialId {
    TrialId::new(name).unwrap()
}

pub(crate) fn sample(name: &str) -> SampleId {
    SampleId::new(name).unwrap()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

pub(crate) fn position(name: &str) -> PositionId {
    PositionId::new(name).unwrap()
}

pub(crate) fn campaign(name: &str) -> CampaignId {
    CampaignId::new(name).unwrap()
}

pub(crate) fn key(run_name: &str, step: &str) -> CommandKey {
    CommandKey { step: StepId::of(&run(run_name), step).unwrap(), attempt: 2 }
}

pub(crate) fn fact(event: Event) -> Fact {
    Fact { at_ms: 1_700_000_000_123, event }
}

/// Facts that are told apart by a number.
pub(crate) fn numbered(range: std::ops::Range<u64>) -> Vec<Fact> {
    range.map(|epoch| fact(Event::EpochStarted { epoch })).collect()
}

fn arguments() -> Arguments {
    BTreeMap::from([
        ("volume".to_owned(), Value::quantity(12.5, Unit::Microlitre)),
        ("times".to_owned(), Value::Integer(-3)),
        ("mode".to_owned(), Value::Text("slow, µ".to_owned())),
        ("mix".to_owned(), Value::Flag(true)),
    ])
}

fn measured(value: f64) -> Measured {
    Measured { value, sd: 0.02, flags: vec!["thin film correction applied".to_owned(), "low signal".to_owned()] }
}

fn artifact(text: &str) -> ArtifactRef {
    ArtifactRef {
        hash: ArtifactHash::of(text.as_bytes()),
        name: format!("{text}.xrdml"),
        media_type: "application/xml".to_owned(),
        size: text.len() as u64,
    }
}

fn manifest() -> Manifest {
    let argument = |name: &str, kind, default| ArgumentSpec {
        name: name.to_owned(),
        kind,
        default,
        description: "Why.".to_owned(),
    };
    let command = CommandSpec {
        name: "dispense".to_owned(),
        class: ActionClass::Unqueryable,
        arguments: vec![
            argument(
                "volume",
                ArgumentKind::Quantity { unit: Unit::Microlitre, min: 1.0, max: 1000.0 },
                Some(Value::quantity(10.0, Unit::Microlitre)),
            ),
            argument("times", ArgumentKind::Integer { min: -3, max: 3 }, None),
            argument("mode", ArgumentKind::Choice(vec!["slow".to_owned(), "fast".to_owned()]), None),
            argument("note", ArgumentKind::Text, None),
            argument("mix", ArgumentKind::Flag, Some(Value::Flag(false))),
        ],
        results: vec![ResultSpec { name: "mass".to_owned(), unit: Unit::Milligram, description: "Seen.".to_owned() }],
        artifacts: true,
        needs_sample: true,
        typical_s: 12.5,
        description: "Dispenses.".to_owned(),
    };
    Manifest {
        driver: "cavro-xlp".to_owned(),
        model: "Tecan Cavro XLP 6000".to_owned(),
        capabilities: vec![CapabilitySpec { name: "liquid_handling".to_owned(), commands: vec![command] }],
        properties: vec![PropertySpec {
            name: "temperature".to_owned(),
            unit: Unit::Celsius,
            description: "Of the valve.".to_owned(),
        }],
    }
}

pub(crate) fn plan(title: &str) -> Plan {
    let step = |name: &str, action, cleanup| Step {
        name: name.to_owned(),
        title: title.to_owned(),
        after: vec!["before".to_owned()],
        leases: vec!["bench".to_owned()],
        action,
        cleanup,
        line: Some(17),
    };
    let command = StepAction::Command {
        capability: "liquid_handling".to_owned(),
        command: "dispense".to_owned(),
        device: Some(device("pump_a")),
        arguments: arguments(),
    };
    Plan {
        protocol: "film".to_owned(),
        file: "film.toml".to_owned(),
        parameters: BTreeMap::from([("cs".to_owned(), 0.25), ("anneal_c".to_owned(), 140.0)]),
        needs_sample: true,
        leases: vec![LeaseSpec {
            name: "bench".to_owned(),
            devices: vec![device("pump_a")],
            capability: Some("heating".to_owned()),
            positions: vec![position("rack.3")],
            line: Some(4),
        }],
        steps: vec![
            step("dispense", command, false),
            step("there", StepAction::Transfer { to: Place::DeviceOf("bench".to_owned()) }, false),
            step("aside", StepAction::Transfer { to: Place::Position(position("rack.4")) }, false),
            step("home", StepAction::Transfer { to: Place::Home }, true),
        ],
    }
}

fn spec() -> CampaignSpec {
    let parameter = |name: &str, log| Parameter {
        name: name.to_owned(),
        unit: Unit::Celsius,
        min: 1.0,
        max: 200.0,
        resolution: 0.5,
        log,
    };
    let objective = |name: &str, goal| Objective { name: name.to_owned(), unit: Unit::Electronvolt, goal, weight: 2.0 };
    CampaignSpec {
        name: campaign("wide_gap"),
        title: "A wide gap".to_owned(),
        space: DesignSpace {
            parameters: vec![parameter("cs", false), parameter("fa", true)],
            mixtures: vec![Mixture { parts: vec!["cs".to_owned(), "fa".to_owned()] }],
        },
        objectives: vec![
            objective("band_gap", Goal::Target { value: 1.68, tolerance: 0.01, limit: 0.11 }),
            objective("width", Goal::Minimize { low: 1.0, high: 2.0 }),
            objective("yield", Goal::Maximize { low: 0.1, high: 0.9 }),
        ],
        fixed: BTreeMap::from([("anneal_min".to_owned(), 10.0)]),
        budget_trials: 60,
        batch: 4,
        in_flight: 3,
        stop_score: Some(0.95),
        approval: ApprovalPolicy::Ask,
        strategy: Strategy::Random,
        seed: u64::MAX,
        analysis: "halide_film".to_owned(),
    }
}

fn observation() -> Observation {
    Observation {
        values: BTreeMap::from([("band_gap".to_owned(), measured(1.67))]),
        invalid: BTreeMap::from([("yield".to_owned(), "no emission".to_owned())]),
        raw: vec![ArtifactHash::of(b"one"), ArtifactHash::of(b"two")],
        analysis: "halide_film 1".to_owned(),
    }
}

fn outcome(state: AttemptState) -> Outcome {
    Outcome {
        state,
        results: arguments(),
        artifacts: vec![artifact("scan"), artifact("frame")],
        message: "done".to_owned(),
        code: "E0107".to_owned(),
        sample_position: Some(position("stage.1")),
    }
}

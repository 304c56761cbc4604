//! Facts for the tests: one of every kind with all fields set, and small stories.

use std::collections::BTreeMap;

use ppu_core::campaign::{ApprovalPolicy, CampaignSpec, Generator, Strategy};
use ppu_core::capability::{Expected, PropertySpec, Requirement};
use ppu_core::design::Mixture;
use ppu_core::plan::LeaseSpec;
use ppu_core::{
    ActionClass, ArgumentKind, ArgumentSpec, Arguments, ArtifactHash, AttemptState, CampaignId, Candidate,
    CapabilitySpec, CommandKey, CommandSpec, DesignSpace, DeviceId, Goal, Manifest, Measured, Objective, Observation,
    Parameter, Place, Plan, PositionId, ResultSpec, RunId, SampleId, Step, StepAction, StepId, TrialId, Unit, Value,
};
use ppu_engine::event::{
    ArtifactRef, LevelObservable, LevelReport, Limit, Outcome, ProposedTrial, Resolution, Verdict,
};
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
        hazardous: false,
        requires: vec![Requirement {
            property: "temperature".to_owned(),
            expected: Expected::Within { unit: Unit::Celsius, min: 10.0, max: 40.0 },
            otherwise: "the valve is frozen or hot".to_owned(),
        }],
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
        generator: Generator::Flow,
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
        sample_in_doubt: true,
    }
}

/// One event of every kind with all fields set.
#[expect(clippy::too_many_lines, reason = "one entry a kind")]
pub(crate) fn one_of_every_kind() -> Vec<Event> {
    let (who, reason) = (|| "ada".to_owned(), || "checked the boat".to_owned());
    let resolution = Resolution {
        who: who(),
        inspected: "the boat".to_owned(),
        evidence: vec![ArtifactHash::of(b"photo")],
        note: "seen through the window".to_owned(),
        countersigned_by: Some("grace".to_owned()),
    };
    let proposed = ProposedTrial {
        candidate: Candidate(BTreeMap::from([("cs".to_owned(), 0.25), ("fa".to_owned(), 0.75)])),
        proposer: "optimizer".to_owned(),
        reason: "highest expected improvement".to_owned(),
        expected: BTreeMap::from([("band_gap".to_owned(), measured(1.7))]),
    };
    vec![
        Event::LabOpened {
            lab: "perovskite".to_owned(),
            devices: BTreeMap::from([(device("furnace_a"), Some(position("furnace_a.boat")))]),
            positions: vec![position("furnace_a.boat"), position("rack.3")],
            samples: BTreeMap::from([(sample("s1"), position("rack.3"))]),
        },
        Event::EpochStarted { epoch: u64::MAX },
        Event::DeviceDescribed { device: device("pump_a"), manifest: manifest(), serial_number: "SN 12".to_owned() },
        Event::DeviceAttached {
            device: device("pump_a"),
            boot: 3,
            ledger_id: "0f1e".to_owned(),
            boot_nonce: "77aa".to_owned(),
            last_dseq: 41,
            memory_doubt: "its ledger is an old copy".to_owned(),
        },
        Event::DeviceAborted { device: device("pump_a"), reason: reason() },
        Event::DeviceCleared { device: device("pump_a"), who: who(), reason: reason() },
        Event::LedgerRetired {
            device: device("pump_a"),
            ledger_id: "0f1e".to_owned(),
            who: who(),
            isolated: "unplugged".to_owned(),
            void: vec![key("r1", "dispense")],
        },
        Event::SampleLocated {
            sample: sample("s1"),
            position: Some(position("rack.3")),
            who: who(),
            inspected: "the rack".to_owned(),
        },
        Event::ClockJumped { by_ms: -3_600_000 },
        Event::DeviceLost { device: device("pump_a"), reason: "reset by peer".to_owned() },
        Event::AttemptAdopted { device: device("pump_a"), key: key("r1", "dispense") },
        Event::CampaignCreated {
            campaign: campaign("c1"),
            spec: Box::new(spec()),
            protocol_file: "film.toml".to_owned(),
            protocol_toml: "version = 1\nname = \"film\"\n".to_owned(),
            request_id: "q1".to_owned(),
        },
        Event::CampaignEnding { campaign: campaign("c1"), reason: reason() },
        Event::CampaignCompleted { campaign: campaign("c1") },
        Event::CampaignStopped { campaign: campaign("c1"), who: who(), reason: reason() },
        Event::CampaignReshaped {
            campaign: campaign("c1"),
            limits: vec![Limit { parameter: "anneal_temperature_c".to_owned(), min: 80.0, max: 180.0 }],
            who: who(),
            reason: reason(),
        },
        Event::Proposed {
            campaign: campaign("c1"),
            round: 7,
            trials: vec![proposed],
            note: "two models".to_owned(),
            levels: vec![level()],
        },
        Event::TrialDecided { trial: trial("c1-t001"), accept: true, who: who(), reason: reason() },
        Event::RunSubmitted {
            run: run("r1"),
            trial: Some(trial("c1-t001")),
            plan: Box::new(plan("A title")),
            request_id: "q2".to_owned(),
        },
        Event::RunStarted { run: run("r1"), sample: Some(sample("s1")) },
        Event::LeaseGranted {
            run: run("r1"),
            lease: "bench".to_owned(),
            devices: vec![device("pump_a"), device("furnace_a")],
            positions: vec![position("rack.3")],
            fencing: 9,
        },
        Event::LeaseReleased { run: run("r1"), lease: "bench".to_owned() },
        Event::StepIntended {
            key: key("r1", "dispense"),
            device: device("pump_a"),
            capability: "liquid_handling".to_owned(),
            command: "dispense".to_owned(),
            arguments: arguments(),
            sample: Some(sample("s1")),
            positions: vec![position("rack.3"), position("furnace_a.boat")],
        },
        Event::StepAccepted { key: key("r1", "dispense") },
        Event::StepEnded {
            key: key("r1", "dispense"),
            device: device("pump_a"),
            dseq: 12,
            outcome: Box::new(outcome(AttemptState::FailedPartial)),
        },
        Event::StepSkipped { step: key("r1", "anneal").step, achieved: true, reason: reason() },
        Event::StepVoidWanted { step: key("r1", "anneal").step, who: who(), reason: reason() },
        Event::StepVoided { step: key("r1", "anneal").step, device: device("pump_a"), dseq: 14 },
        Event::DoubtSigned { key: key("r1", "dispense"), verdict: Verdict::Scrapped, resolution: resolution.clone() },
        Event::DoubtResolved {
            key: key("r1", "dispense"),
            verdict: Verdict::Scrapped,
            resolution,
            sample_position: Some(position("rack.3")),
        },
        Event::RunCompleted { run: run("r1") },
        Event::RunFailed { run: run("r1"), reason: reason() },
        Event::RunStopping { run: run("r1"), who: who(), reason: reason() },
        Event::RunAborted { run: run("r1"), reason: reason() },
        Event::RunClosed { run: run("r1"), device: device("pump_a") },
        Event::TrialObserved { trial: trial("c1-t001"), observation: Box::new(observation()) },
        Event::TrialFailed { trial: trial("c1-t001"), reason: reason() },
        Event::LabPaused { who: who(), reason: reason() },
        Event::LabStopped { who: who(), reason: reason() },
        Event::LabResumed { who: who(), reason: reason() },
    ]
}

/// The other choices: what is optional left out, and every word of every enumeration.
pub(crate) fn other_choices() -> Vec<Event> {
    let mut events = vec![
        Event::LabOpened {
            lab: "empty".to_owned(),
            devices: BTreeMap::from([(device("scale"), None)]),
            positions: Vec::new(),
            samples: BTreeMap::new(),
        },
        Event::CampaignCreated {
            campaign: campaign("c2"),
            spec: Box::new(CampaignSpec {
                stop_score: None,
                approval: ApprovalPolicy::Auto,
                strategy: Strategy::Optimizer,
                generator: Generator::Annealed,
                ..spec()
            }),
            protocol_file: String::new(),
            protocol_toml: String::new(),
            request_id: String::new(),
        },
        Event::RunSubmitted { run: run("r2"), trial: None, plan: Box::new(bare_plan()), request_id: String::new() },
        Event::RunStarted { run: run("r2"), sample: None },
        Event::StepIntended {
            key: key("r2", "home"),
            device: device("arm"),
            capability: "transfer".to_owned(),
            command: "home".to_owned(),
            arguments: Arguments::new(),
            sample: None,
            positions: Vec::new(),
        },
        Event::TrialObserved { trial: trial("c1-t002"), observation: Box::default() },
    ];
    for state in ATTEMPT_STATES {
        let (key, device, dseq) = (key("r2", "home"), device("arm"), 0);
        let outcome = Box::new(Outcome { sample_position: None, artifacts: Vec::new(), ..outcome(state) });
        events.push(Event::StepEnded { key, device, dseq, outcome });
    }
    for verdict in [Verdict::Done, Verdict::NotDone, Verdict::Scrapped] {
        let resolution = Resolution {
            who: String::new(),
            inspected: String::new(),
            evidence: Vec::new(),
            note: String::new(),
            countersigned_by: None,
        };
        events.push(Event::DoubtResolved { key: key("r2", "home"), verdict, resolution, sample_position: None });
    }
    events
}

const ATTEMPT_STATES: [AttemptState; 10] = [
    AttemptState::Accepted,
    AttemptState::Started,
    AttemptState::Succeeded,
    AttemptState::FailedNoEffect,
    AttemptState::FailedPartial,
    AttemptState::Aborted,
    AttemptState::InDoubt,
    AttemptState::ResolvedDone,
    AttemptState::ResolvedScrapped,
    AttemptState::ResolvedNotDone,
];

fn bare_plan() -> Plan {
    let mut plan = plan("bare");
    plan.leases[0].capability = None;
    plan.leases[0].line = None;
    for step in &mut plan.steps {
        step.line = None;
        if let StepAction::Command { device, .. } = &mut step.action {
            *device = None;
        }
    }
    plan
}

fn level() -> LevelReport {
    let gap = LevelObservable { name: "band_gap".to_owned(), correlation: 0.8, low: 0.4, high: 0.95, pairs: 12 };
    LevelReport {
        level: "film model".to_owned(),
        evaluations: 5_000,
        refused: 3,
        seconds: 0.25,
        used: true,
        observables: vec![gap],
        note: "fell back to the prior".to_owned(),
    }
}

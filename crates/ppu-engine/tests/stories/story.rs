//! A lab of three devices, an engine with its journal, and drivers that are answered by hand.

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::campaign::CampaignSpec;
use ppu_core::capability::{ArgumentKind, ArgumentSpec, CapabilitySpec};
use ppu_core::lab::Lab;
use ppu_core::protocol::Protocol;
use ppu_core::{
    ActionClass, AttemptState, Candidate, CommandKey, CommandSpec, DeviceId, Manifest, Measured, Observation, Unit,
};
use ppu_engine::event::{Outcome, Proposal, ProposedTrial, Resolution};
use ppu_engine::lifecycle::{CampaignState, StepState, TrialState};
use ppu_engine::{Effect, Engine, Fact, Input, Refusal};

pub(crate) const LAB: &str = r#"
version = 1
lab = "test"
title = "Test lab"
[simulation]
world = "none"
speed = 1.0
seed = 1
[[rack]]
name = "rack"
slots = 4
samples = 4
[[device]]
id = "arm"
instrument = "arm"
connect = "simulated"
[[device]]
id = "oven_a"
instrument = "oven"
connect = "simulated"
sample_position = "oven_a.in"
[[device]]
id = "oven_b"
instrument = "oven"
connect = "simulated"
sample_position = "oven_b.in"
"#;

pub(crate) const PROTOCOL: &str = r#"
version = 1
protocol = "bake"
title = "Bake"
[[parameter]]
name = "t"
unit = "C"
min = 0
max = 200
[[lease]]
name = "oven"
capability = "annealing"
[[step]]
name = "go"
transfer_to = "lease:oven"
leases = ["oven"]
[[step]]
name = "bake"
command = "annealing.anneal"
args = { temperature_c = "= t" }
leases = ["oven"]
[[step]]
name = "back"
transfer_to = "home"
leases = ["oven"]
cleanup = true
"#;

pub(crate) const CAMPAIGN: &str = r#"
version = 1
campaign = "bakery"
title = "Bakery"
protocol = "bake.toml"
analysis = "none"
approval = "auto"
[budget]
trials = 3
batch = 2
in_flight = 2
[[parameter]]
name = "t"
unit = "C"
min = 10
max = 100
[[objective]]
name = "y"
unit = "1"
goal = { maximize = { low = 0, high = 1 } }
"#;

pub(crate) fn manifest(capability: &str, command: &str, arguments: Vec<ArgumentSpec>, needs_sample: bool) -> Manifest {
    let command = CommandSpec {
        name: command.into(),
        class: ActionClass::Queryable,
        arguments,
        results: vec![],
        artifacts: false,
        needs_sample,
        typical_s: 10.0,
        description: "does it".into(),
        hazardous: false,
        requires: vec![],
    };
    let capability = CapabilitySpec { name: capability.into(), commands: vec![command] };
    Manifest { driver: "test".into(), model: "test".into(), capabilities: vec![capability], properties: vec![] }
}

pub(crate) fn manifest_of(device: &str) -> Manifest {
    if device == "arm" {
        return manifest("transfer", "move", vec![], false);
    }
    let kind = ArgumentKind::Quantity { unit: Unit::Celsius, min: 0.0, max: 150.0 };
    let temperature = ArgumentSpec { name: "temperature".into(), kind, default: None, description: "how hot".into() };
    manifest("annealing", "anneal", vec![temperature], true)
}

/// A driver that has this ledger, at its first start.
pub(crate) fn attached(device: DeviceId, ledger_id: &str, inventory: Vec<ppu_engine::InventoryLine>) -> Input {
    Input::Attached {
        device,
        boot: 1,
        ledger_id: ledger_id.into(),
        boot_nonce: "00".into(),
        last_dseq: 3,
        memory_doubt: String::new(),
        aborted: false,
        inventory,
    }
}

pub(crate) fn seen_by(who: &str) -> Resolution {
    let inspected = "colour of the film".into();
    Resolution { who: who.into(), inspected, evidence: vec![], note: String::new(), countersigned_by: None }
}

/// An engine with its journal, and a world that counts effects.
pub(crate) struct Story {
    pub(crate) engine: Engine,
    pub(crate) facts: Vec<Fact>,
    pub(crate) clock: i64,
    pub(crate) effects: BTreeMap<CommandKey, u32>,
}

impl Story {
    pub(crate) fn begin() -> Story {
        let mut story = Story { engine: Engine::new(), facts: vec![], clock: 0, effects: BTreeMap::new() };
        story.start();
        for device in ["arm", "oven_a", "oven_b"] {
            story.attach(device);
        }
        story
    }

    pub(crate) fn start(&mut self) {
        let lab = Lab::parse("lab.toml", LAB).unwrap();
        self.give(Input::Start {
            lab: lab.name,
            devices: lab.devices.iter().map(|d| (d.id.clone(), d.sample_position.clone())).collect(),
            positions: lab.positions.into_iter().collect(),
            samples: lab.samples,
        })
        .unwrap();
    }

    pub(crate) fn attach(&mut self, device: &str) {
        let id = DeviceId::new(device).unwrap();
        let manifest = Box::new(manifest_of(device));
        self.give(Input::Described { device: id.clone(), manifest, serial_number: "SIM1".into() }).unwrap();
        let known =
            |step: &ppu_engine::state::RunStep| step.state == StepState::Accepted && step.device.as_ref() == Some(&id);
        let open = self.engine.state().live().flat_map(|(_, run)| run.steps.iter());
        let inventory = open
            .filter(|step| known(step))
            .map(|step| ppu_engine::InventoryLine {
                key: step.intent.as_ref().unwrap().key.clone(),
                state: AttemptState::Started,
            })
            .collect();
        self.give(attached(id, "aa", inventory)).unwrap();
    }

    pub(crate) fn give(&mut self, input: Input) -> Result<Vec<Fact>, Refusal> {
        self.clock += 1;
        let facts = self.engine.decide(self.clock, input)?;
        for fact in &facts {
            self.engine.evolve(fact).unwrap();
        }
        self.facts.extend(facts.clone());
        Ok(facts)
    }

    pub(crate) fn campaign(&mut self) {
        let protocol = Protocol::parse("bake.toml", PROTOCOL).unwrap();
        let spec = CampaignSpec::parse("bakery.toml", CAMPAIGN, &protocol).unwrap();
        let create =
            Input::CreateCampaign { spec: Box::new(spec), protocol: Box::new(protocol), request_id: "r1".into() };
        assert_eq!(self.give(create.clone()).unwrap().len(), 1);
        assert!(self.give(create).unwrap().is_empty(), "the same request makes no second campaign");
    }

    /// Carries out one outstanding effect; `false` when nothing is outstanding.
    pub(crate) fn work(&mut self) -> bool {
        let Some(effect) = self.engine.outstanding().into_iter().next() else { return false };
        match effect {
            Effect::Execute(intent) => {
                *self.effects.entry(intent.key.clone()).or_default() += 1;
                self.give(Input::Accepted { key: intent.key.clone() }).unwrap();
                self.end(&intent.key, intent.device.as_str(), AttemptState::Succeeded);
            }
            Effect::Propose { campaign, round, count, .. } => {
                let trial = |index: usize| ProposedTrial {
                    candidate: Candidate(BTreeMap::from([("t".into(), 20.0 + index as f64)])),
                    proposer: "test".into(),
                    reason: "because".into(),
                    expected: BTreeMap::new(),
                };
                let trials = (0..count).map(trial).collect();
                let result = Ok(Proposal { trials, ..Proposal::default() });
                self.give(Input::Proposal { campaign, round, result }).unwrap();
            }
            Effect::Analyse { trial } => {
                let mut observation = Observation::default();
                observation.values.insert("y".into(), Measured { value: 0.5, sd: 0.1, flags: vec![] });
                self.give(Input::Analysed { trial, result: Ok(Box::new(observation)) }).unwrap();
            }
            Effect::CloseRun { run, device } => {
                self.give(Input::Closed { run, device }).unwrap();
            }
            Effect::ClearMemoryDoubt { device } => {
                let (who, reason) = ("scheduler".into(), "nothing is open".into());
                self.give(Input::Cleared { device, who, reason }).unwrap();
            }
            Effect::VoidStep { step, device, .. } => {
                self.give(Input::Voided { step, device, dseq: 7 }).unwrap();
            }
        }
        true
    }

    pub(crate) fn end(&mut self, key: &CommandKey, device: &str, state: AttemptState) {
        let outcome = Outcome {
            state,
            results: BTreeMap::new(),
            artifacts: vec![],
            message: "so it was".into(),
            code: String::new(),
            sample_position: None,
            sample_in_doubt: false,
        };
        let device = DeviceId::new(device).unwrap();
        self.give(Input::Ended { device, dseq: 1, key: key.clone(), outcome: Box::new(outcome) }).unwrap();
    }

    pub(crate) fn work_to_the_end(&mut self) {
        for _ in 0..1000 {
            if !self.work() {
                return;
            }
        }
        panic!("the story does not end");
    }

    pub(crate) fn positions_are_single(&self) {
        let samples = self.engine.state().samples.values();
        let places: Vec<_> = samples.filter_map(|sample| sample.position.clone()).collect();
        let distinct: BTreeSet<_> = places.iter().collect();
        assert_eq!(places.len(), distinct.len(), "two samples in one position");
    }
}

pub(crate) fn campaign_is_complete(story: &Story) {
    let state = story.engine.state();
    let campaign = state.campaigns.values().next().unwrap();
    assert_eq!(campaign.state, CampaignState::Completed, "{}", campaign.ended);
    assert_eq!(campaign.trials.len(), 3);
    assert!(state.trials.values().all(|trial| trial.state == TrialState::Completed));
    assert!(
        state.samples.values().all(|s| s.position.as_ref().unwrap().as_str().starts_with("rack.")),
        "samples are home"
    );
    assert!(state.devices.values().all(|device| device.busy.is_none() && device.lease.is_none()));
    assert!(state.runs.values().all(|run| run.unclosed.is_empty()));
    assert!(story.effects.values().all(|count| *count == 1), "every command went out once");
    assert_eq!(story.effects.len(), 9);
    story.positions_are_single();
}

/// The key of the first bake that is under way.
pub(crate) fn bake_under_way(story: &mut Story) -> (CommandKey, String) {
    for _ in 0..100 {
        let found = story.engine.outstanding().into_iter().find_map(|effect| match effect {
            Effect::Execute(intent) if intent.command == "anneal" => {
                Some((intent.key.clone(), intent.device.to_string()))
            }
            _ => None,
        });
        if let Some(found) = found {
            return found;
        }
        assert!(story.work());
    }
    panic!("no bake");
}

/// A bake that its driver has promised, and everything about it.
pub(crate) fn promised_bake(story: &mut Story) -> (CommandKey, DeviceId, ppu_core::RunId) {
    let (key, oven) = bake_under_way(story);
    story.give(Input::Accepted { key: key.clone() }).unwrap();
    let (run, _) = story.engine.state().find(&key).unwrap();
    (key, DeviceId::new(oven).unwrap(), run)
}

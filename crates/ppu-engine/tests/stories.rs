//! Whole stories of the engine without any process: drivers are answered by hand, every fact is replayed.

#![allow(clippy::unwrap_used, reason = "a story that breaks should say where")]

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::campaign::CampaignSpec;
use ppu_core::capability::{ArgumentKind, ArgumentSpec, CapabilitySpec};
use ppu_core::lab::Lab;
use ppu_core::protocol::Protocol;
use ppu_core::{
    ActionClass, AttemptState, Candidate, CommandKey, CommandSpec, DeviceId, Manifest, Measured, Observation, Unit,
};
use ppu_engine::event::{Outcome, ProposedTrial, Resolution, Verdict};
use ppu_engine::lifecycle::{CampaignState, RunState, StepState, TrialState};
use ppu_engine::{Effect, Engine, Event, Fact, Input, Refusal};

const LAB: &str = r#"
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

const PROTOCOL: &str = r#"
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

const CAMPAIGN: &str = r#"
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

fn manifest(capability: &str, command: &str, arguments: Vec<ArgumentSpec>, needs_sample: bool) -> Manifest {
    let command = CommandSpec {
        name: command.into(),
        class: ActionClass::Queryable,
        arguments,
        results: vec![],
        artifacts: false,
        needs_sample,
        typical_s: 10.0,
        description: "does it".into(),
    };
    let capability = CapabilitySpec { name: capability.into(), commands: vec![command] };
    Manifest { driver: "test".into(), model: "test".into(), capabilities: vec![capability], properties: vec![] }
}

fn manifest_of(device: &str) -> Manifest {
    if device == "arm" {
        return manifest("transfer", "move", vec![], false);
    }
    let kind = ArgumentKind::Quantity { unit: Unit::Celsius, min: 0.0, max: 150.0 };
    let temperature = ArgumentSpec { name: "temperature".into(), kind, default: None, description: "how hot".into() };
    manifest("annealing", "anneal", vec![temperature], true)
}

/// An engine with its journal, and a world that counts effects.
struct Story {
    engine: Engine,
    facts: Vec<Fact>,
    clock: i64,
    effects: BTreeMap<CommandKey, u32>,
}

impl Story {
    fn begin() -> Story {
        let mut story = Story { engine: Engine::new(), facts: vec![], clock: 0, effects: BTreeMap::new() };
        story.start();
        for device in ["arm", "oven_a", "oven_b"] {
            story.attach(device);
        }
        story
    }

    fn start(&mut self) {
        let lab = Lab::parse("lab.toml", LAB).unwrap();
        self.give(Input::Start {
            lab: lab.name,
            devices: lab.devices.iter().map(|d| (d.id.clone(), d.sample_position.clone())).collect(),
            positions: lab.positions.into_iter().collect(),
            samples: lab.samples,
        })
        .unwrap();
    }

    fn attach(&mut self, device: &str) {
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
        self.give(Input::Attached { device: id, boot: 1, ledger_id: "aa".into(), inventory }).unwrap();
    }

    fn give(&mut self, input: Input) -> Result<Vec<Fact>, Refusal> {
        self.clock += 1;
        let facts = self.engine.decide(self.clock, input)?;
        for fact in &facts {
            self.engine.evolve(fact).unwrap();
        }
        self.facts.extend(facts.clone());
        Ok(facts)
    }

    fn campaign(&mut self) {
        let protocol = Protocol::parse("bake.toml", PROTOCOL).unwrap();
        let spec = CampaignSpec::parse("bakery.toml", CAMPAIGN, &protocol).unwrap();
        let create =
            Input::CreateCampaign { spec: Box::new(spec), protocol: Box::new(protocol), request_id: "r1".into() };
        assert_eq!(self.give(create.clone()).unwrap().len(), 1);
        assert!(self.give(create).unwrap().is_empty(), "the same request makes no second campaign");
    }

    /// Carries out one outstanding effect; `false` when nothing is outstanding.
    fn work(&mut self) -> bool {
        let Some(effect) = self.engine.outstanding().into_iter().next() else { return false };
        match effect {
            Effect::Execute(intent) => {
                *self.effects.entry(intent.key.clone()).or_default() += 1;
                self.give(Input::Accepted { key: intent.key.clone() }).unwrap();
                self.end(&intent.key, intent.device.as_str(), AttemptState::Succeeded);
            }
            Effect::Propose { campaign, round, count } => {
                let trial = |index: usize| ProposedTrial {
                    candidate: Candidate(BTreeMap::from([("t".into(), 20.0 + index as f64)])),
                    proposer: "test".into(),
                    reason: "because".into(),
                    expected: BTreeMap::new(),
                };
                let result = Ok(((0..count).map(trial).collect(), String::new()));
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
        }
        true
    }

    fn end(&mut self, key: &CommandKey, device: &str, state: AttemptState) {
        let outcome = Outcome {
            state,
            results: BTreeMap::new(),
            artifacts: vec![],
            message: "so it was".into(),
            code: String::new(),
            sample_position: None,
        };
        let device = DeviceId::new(device).unwrap();
        self.give(Input::Ended { device, dseq: 1, key: key.clone(), outcome: Box::new(outcome) }).unwrap();
    }

    fn work_to_the_end(&mut self) {
        for _ in 0..1000 {
            if !self.work() {
                return;
            }
        }
        panic!("the story does not end");
    }

    fn positions_are_single(&self) {
        let samples = self.engine.state().samples.values();
        let places: Vec<_> = samples.filter_map(|sample| sample.position.clone()).collect();
        let distinct: BTreeSet<_> = places.iter().collect();
        assert_eq!(places.len(), distinct.len(), "two samples in one position");
    }
}

fn campaign_is_complete(story: &Story) {
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

#[test]
fn a_campaign_runs_to_its_end_and_replays_to_the_same_state() {
    let mut story = Story::begin();
    story.campaign();
    story.work_to_the_end();
    campaign_is_complete(&story);
    let mut replayed = Engine::new();
    story.facts.iter().for_each(|fact| replayed.evolve(fact).unwrap());
    assert_eq!(format!("{:?}", replayed.state()), format!("{:?}", story.engine.state()));
    assert!(replayed.outstanding().is_empty());
}

/// Recovery from every prefix of the journal: a scheduler that dies after any durable fact and comes back finishes the
/// campaign. Facts of one input are durable together, so prefixes are cut between inputs.
#[test]
fn a_scheduler_that_dies_anywhere_finishes_the_campaign() {
    let mut whole = Story::begin();
    whole.campaign();
    let mut cuts = vec![];
    while whole.work() {
        cuts.push(whole.facts.len());
    }
    for cut in cuts {
        let mut story = Story { engine: Engine::new(), facts: vec![], clock: 1000, effects: BTreeMap::new() };
        for fact in &whole.facts[..cut] {
            story.engine.evolve(fact).unwrap();
        }
        story.start();
        for device in ["arm", "oven_a", "oven_b"] {
            story.attach(device);
        }
        story.work_to_the_end();
        let campaign = story.engine.state().campaigns.values().next().unwrap();
        assert_eq!(campaign.state, CampaignState::Completed, "after {cut} facts");
        story.positions_are_single();
    }
}

/// The key of the first bake that is under way.
fn bake_under_way(story: &mut Story) -> (CommandKey, String) {
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

#[test]
fn a_doubt_holds_its_run_and_device_but_not_the_lab() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven) = bake_under_way(&mut story);
    story.give(Input::Accepted { key: key.clone() }).unwrap();
    story.end(&key, &oven, AttemptState::InDoubt);
    story.work_to_the_end();
    let (run, _) = story.engine.state().find(&key).unwrap();
    assert_eq!(story.engine.state().runs[&run].state, RunState::Held);
    let done = story.engine.state().trials.values().filter(|trial| trial.state == TrialState::Completed).count();
    assert_eq!(done, 2, "the other oven went on");
    let resolution =
        Resolution { who: "Ana".into(), inspected: "colour of the film".into(), evidence: vec![], note: String::new() };
    let resolved = Input::Resolved { key: key.clone(), verdict: Verdict::NotDone, resolution, sample_position: None };
    story.give(resolved.clone()).unwrap();
    assert!(matches!(story.give(resolved), Err(Refusal::NotNow(_))), "a doubt is resolved once");
    story.work_to_the_end();
    let step = &story.engine.state().runs[&run].steps[1];
    assert_eq!((step.attempts, step.state), (2, StepState::Done), "NOT DONE allows the next attempt");
}

#[test]
fn a_lost_ledger_puts_promised_commands_in_doubt() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven) = bake_under_way(&mut story);
    story.give(Input::Accepted { key: key.clone() }).unwrap();
    let device = DeviceId::new(oven).unwrap();
    story.give(Input::Lost { device: device.clone(), reason: "killed".into() }).unwrap();
    story.give(Input::Attached { device, boot: 1, ledger_id: "bb".into(), inventory: vec![] }).unwrap();
    let (run, index) = story.engine.state().find(&key).unwrap();
    assert_eq!(story.engine.state().runs[&run].steps[index].state, StepState::InDoubt);
}

#[test]
fn a_step_that_fails_sends_its_sample_home_and_fails_its_trial_only() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven) = bake_under_way(&mut story);
    story.give(Input::Accepted { key: key.clone() }).unwrap();
    story.end(&key, &oven, AttemptState::FailedPartial);
    story.work_to_the_end();
    let state = story.engine.state();
    let (run, _) = state.find(&key).unwrap();
    assert_eq!(state.runs[&run].state, RunState::Failed);
    assert_eq!(state.runs[&run].steps[2].state, StepState::Done, "cleanup brought the sample back");
    assert_eq!(state.trials.values().filter(|trial| trial.state == TrialState::Failed).count(), 1);
    assert_eq!(state.campaigns.values().next().unwrap().state, CampaignState::Completed);
    story.positions_are_single();
}

#[test]
fn nothing_starts_while_the_lab_is_stopped() {
    let mut story = Story::begin();
    story.give(Input::Stop { who: "Ana".into(), reason: "smoke".into() }).unwrap();
    story.campaign();
    story.work_to_the_end();
    assert!(story.effects.is_empty());
    story.give(Input::Resume { who: "Ana".into(), reason: "it was toast".into() }).unwrap();
    story.work_to_the_end();
    campaign_is_complete(&story);
}

#[test]
fn an_unknown_live_attempt_is_adopted_and_blocks_its_device() {
    let mut story = Story::begin();
    let device = DeviceId::new("oven_a").unwrap();
    let key: CommandKey = "plan-0009/bake#1".parse().unwrap();
    let line = ppu_engine::InventoryLine { key: key.clone(), state: AttemptState::Started };
    story.give(Input::Attached { device, boot: 2, ledger_id: "aa".into(), inventory: vec![line] }).unwrap();
    story.campaign();
    story.work_to_the_end();
    let used = story
        .facts
        .iter()
        .any(|fact| matches!(&fact.event, Event::StepIntended { device, .. } if device.as_str() == "oven_a"));
    assert!(!used, "nothing is sent to a device that holds an unknown command");
    story.end(&key, "oven_a", AttemptState::Succeeded);
    assert!(story.engine.state().devices.values().all(|device| device.adopted.is_empty()));
}

#[test]
fn a_plan_beyond_the_device_is_refused_before_anything_moves() {
    let mut story = Story::begin();
    let protocol = Protocol::parse("bake.toml", PROTOCOL).unwrap();
    let plan = protocol.fill_in(&BTreeMap::from([("t".to_owned(), 180.0)])).unwrap();
    let refused = story.give(Input::SubmitPlan { plan: Box::new(plan), request_id: String::new() }).unwrap_err();
    insta::assert_snapshot!(refused);
    assert!(story.engine.state().runs.is_empty());
}

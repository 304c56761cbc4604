//! Whole stories of the engine without any process: drivers are answered by hand, every fact is replayed.

#![allow(clippy::unwrap_used, reason = "a story that breaks should say where")]

mod prefixes;

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
        hazardous: false,
        requires: vec![],
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

/// A driver that has this ledger, at its first start.
fn attached(device: DeviceId, ledger_id: &str, inventory: Vec<ppu_engine::InventoryLine>) -> Input {
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

fn seen_by(who: &str) -> Resolution {
    let inspected = "colour of the film".into();
    Resolution { who: who.into(), inspected, evidence: vec![], note: String::new(), countersigned_by: None }
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
        self.give(attached(id, "aa", inventory)).unwrap();
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

    fn end(&mut self, key: &CommandKey, device: &str, state: AttemptState) {
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
        // Its journal lacks what was there before, so it is no story of its own.
        story.facts.clear();
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
    let resolution = seen_by("Ana");
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
    story.give(attached(device, "bb", vec![])).unwrap();
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
    story.give(attached(device, "aa", vec![line])).unwrap();
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

/// A bake that its driver has promised, and everything about it.
fn promised_bake(story: &mut Story) -> (CommandKey, DeviceId, ppu_core::RunId) {
    let (key, oven) = bake_under_way(story);
    story.give(Input::Accepted { key: key.clone() }).unwrap();
    let (run, _) = story.engine.state().find(&key).unwrap();
    (key, DeviceId::new(oven).unwrap(), run)
}

fn tombstones(story: &Story) -> Vec<Effect> {
    let effects = story.engine.outstanding().into_iter();
    effects.filter(|effect| matches!(effect, Effect::VoidStep { .. })).collect()
}

#[test]
fn a_step_that_was_sent_is_skipped_only_after_its_tombstone() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven) = bake_under_way(&mut story);
    let oven = DeviceId::new(oven).unwrap();
    let skip = Input::SkipStep { step: key.step.clone(), who: "Ana".into(), reason: "too hot".into() };
    story.give(skip.clone()).unwrap();
    assert!(story.give(skip).unwrap().is_empty(), "asking twice is asking once");
    let executes = |story: &Story| {
        story.engine.outstanding().iter().any(|effect| matches!(effect, Effect::Execute(intent) if intent.key == key))
    };
    assert!(!executes(&story), "what shall not be done is not sent any more");
    assert_eq!(tombstones(&story).len(), 1);
    story.give(Input::Lost { device: oven.clone(), reason: "gone".into() }).unwrap();
    assert!(tombstones(&story).is_empty(), "nobody is there to be asked");
    let (run, index) = story.engine.state().find(&key).unwrap();
    assert_eq!(story.engine.state().runs[&run].steps[index].state, StepState::Intended, "silence is no tombstone");
    story.give(attached(oven.clone(), "aa", vec![])).unwrap();
    assert_eq!(tombstones(&story).len(), 1, "it is asked for again");
    story.give(Input::Voided { step: key.step.clone(), device: oven.clone(), dseq: 9 }).unwrap();
    let step = &story.engine.state().runs[&run].steps[index];
    assert_eq!((step.state, step.message.as_str()), (StepState::Skipped, "Ana: too hot"));
    assert!(story.engine.state().devices[&oven].busy.is_none(), "the oven is free");
    story.work_to_the_end();
    assert_eq!(story.engine.state().runs[&run].state, RunState::Failed);
    story.positions_are_single();
}

#[test]
fn a_conflict_is_adopted_and_its_outcome_counts() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    story.give(Input::SkipStep { step: key.step.clone(), who: "Ana".into(), reason: "late".into() }).unwrap();
    assert_eq!(tombstones(&story).len(), 1);
    // The driver answers that it has begun, is asked to end, and was faster.
    story.end(&key, oven.as_str(), AttemptState::Succeeded);
    assert!(tombstones(&story).is_empty());
    story.work_to_the_end();
    assert_eq!(story.engine.state().runs[&run].state, RunState::Completed, "what happened, happened");
}

#[test]
fn a_stopped_run_ends_what_runs_and_brings_its_sample_home() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    let stop = Input::StopRun { run: run.clone(), who: "Ana".into(), reason: "wrong recipe".into() };
    story.give(stop.clone()).unwrap();
    assert!(story.give(stop).unwrap().is_empty());
    assert_eq!(tombstones(&story).len(), 1);
    story.end(&key, oven.as_str(), AttemptState::Aborted);
    story.work_to_the_end();
    let state = story.engine.state();
    assert_eq!(state.runs[&run].state, RunState::Aborted);
    assert_eq!(state.runs[&run].message, "stopped by Ana: wrong recipe");
    assert_eq!(state.runs[&run].steps[2].state, StepState::Done, "cleanup brought the sample back");
    assert_eq!(state.trials.values().filter(|trial| trial.state == TrialState::Failed).count(), 1);
    story.positions_are_single();
}

#[test]
fn stopping_a_campaign_with_its_runs_makes_every_sent_step_void() {
    let mut story = Story::begin();
    story.campaign();
    let (_, _, run) = promised_bake(&mut story);
    let campaign = story.engine.state().campaign_order[0].clone();
    let stop = Input::StopCampaign { campaign, who: "Ana".into(), reason: "enough".into(), stop_runs: true };
    story.give(stop).unwrap();
    story.work_to_the_end();
    let state = story.engine.state();
    assert!(state.runs.values().all(|run| run.state == RunState::Aborted), "{:?}", state.runs[&run].state);
    assert!(story.facts.iter().any(|fact| matches!(&fact.event, Event::StepVoided { .. })));
    assert!(state.devices.values().all(|device| device.busy.is_none() && device.lease.is_none()));
}

#[test]
fn the_next_attempt_goes_to_the_device_that_knows_the_step() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    story.end(&key, oven.as_str(), AttemptState::FailedNoEffect);
    let step = &story.engine.state().runs[&run].steps[1];
    assert_eq!((step.attempts, step.device.as_ref()), (2, Some(&oven)));
}

#[test]
fn a_restored_ledger_puts_everything_open_in_doubt_and_starts_nothing_until_it_is_cleared() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    story.give(Input::Lost { device: oven.clone(), reason: "disk".into() }).unwrap();
    // The copy lists the promise, which may be long kept.
    let line = ppu_engine::InventoryLine { key: key.clone(), state: AttemptState::Accepted };
    let Input::Attached { device, boot, ledger_id, boot_nonce, memory_doubt, aborted, inventory, .. } =
        attached(oven.clone(), "aa", vec![line])
    else {
        unreachable!()
    };
    let copy = Input::Attached { device, boot, ledger_id, boot_nonce, last_dseq: 2, memory_doubt, aborted, inventory };
    story.give(copy).unwrap();
    let step = |story: &Story| story.engine.state().runs[&run].steps[1].state;
    assert_eq!(step(&story), StepState::InDoubt);
    assert!(story.engine.state().devices[&oven].memory_doubt.is_some());
    let clear = Input::Cleared { device: oven.clone(), who: "Ana".into(), reason: "looked".into() };
    assert!(matches!(story.give(clear.clone()), Err(Refusal::NotNow(_))), "its doubts come first");
    story.work_to_the_end();
    let others = story.engine.state().trials.values().filter(|trial| trial.state == TrialState::Completed).count();
    assert_eq!(others, 2, "the other oven went on");
    let (verdict, resolution) = (Verdict::NotDone, seen_by("Ana"));
    story.give(Input::Resolved { key: key.clone(), verdict, resolution, sample_position: None }).unwrap();
    assert_eq!(step(&story), StepState::Waiting, "nothing is sent to a device whose ledger is in doubt");
    story.give(clear).unwrap();
    story.work_to_the_end();
    assert_eq!(step(&story), StepState::Done);
}

#[test]
fn another_start_under_a_known_count_is_an_old_copy() {
    let mut story = Story::begin();
    let oven = DeviceId::new("oven_a").unwrap();
    let again = |nonce: &str, boot| Input::Attached {
        device: oven.clone(),
        boot,
        ledger_id: "aa".into(),
        boot_nonce: nonce.into(),
        last_dseq: 5,
        memory_doubt: String::new(),
        aborted: false,
        inventory: vec![],
    };
    let doubt = |story: &Story| story.engine.state().devices[&oven].memory_doubt.clone();
    story.give(again("00", 1)).unwrap();
    story.give(again("11", 2)).unwrap();
    assert_eq!(doubt(&story), None, "a driver may restart");
    story.give(again("22", 2)).unwrap();
    assert!(doubt(&story).unwrap().contains("old copy"));
}

#[test]
fn a_dead_ledger_is_retired_by_a_person_with_a_verdict_for_each_key() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    let retire = |isolated: &str, void| Input::RetireLedger {
        device: oven.clone(),
        ledger_id: String::new(),
        who: "Ana".into(),
        isolated: isolated.into(),
        void,
    };
    assert!(matches!(story.give(retire(" ", vec![])), Err(Refusal::NotNow(_))), "the old driver may still act");
    let unknown: CommandKey = "plan-0009/bake#1".parse().unwrap();
    assert!(matches!(story.give(retire("unplugged", vec![unknown])), Err(Refusal::NotNow(_))));
    let facts = story.facts.clone();
    let mut other = Story { engine: story.engine.clone(), facts, clock: 99, effects: BTreeMap::new() };
    other.give(retire("unplugged", vec![])).unwrap();
    assert_eq!(other.engine.state().runs[&run].steps[1].state, StepState::InDoubt, "in doubt without a verdict");
    story.give(retire("unplugged", vec![key])).unwrap();
    assert_eq!(story.engine.state().runs[&run].steps[1].state, StepState::Skipped);
    story.give(attached(oven.clone(), "cc", vec![])).unwrap();
    let device = &story.engine.state().devices[&oven];
    assert_eq!((device.memory_doubt.as_ref(), device.retired.len()), (None, 1), "a new ledger is what was expected");
    story.work_to_the_end();
    assert_eq!(story.engine.state().runs[&run].state, RunState::Failed);
}

#[test]
fn an_adopted_doubt_is_resolved_by_a_person() {
    let mut story = Story::begin();
    let oven = DeviceId::new("oven_a").unwrap();
    let key: CommandKey = "plan-0009/bake#1".parse().unwrap();
    let line = ppu_engine::InventoryLine { key: key.clone(), state: AttemptState::InDoubt };
    story.give(attached(oven.clone(), "aa", vec![line])).unwrap();
    assert!(story.engine.state().devices[&oven].adopted_in_doubt.contains(&key));
    let (verdict, resolution) = (Verdict::Scrapped, seen_by("Ana"));
    story.give(Input::Resolved { key, verdict, resolution, sample_position: None }).unwrap();
    assert!(story.engine.state().may_start(&story.engine.state().devices[&oven]));
}

#[test]
fn a_device_made_safe_is_left_alone_until_a_person_clears_it() {
    let mut story = Story::begin();
    for oven in ["oven_a", "oven_b"] {
        let device = DeviceId::new(oven).unwrap();
        story.give(Input::DeviceAborted { device, reason: "smoke".into() }).unwrap();
    }
    story.campaign();
    story.work_to_the_end();
    assert!(story.effects.is_empty(), "no oven, no move");
    for device in ["arm", "oven_a", "oven_b"] {
        story.give(Input::Lost { device: DeviceId::new(device).unwrap(), reason: "x".into() }).unwrap();
        story.attach(device);
    }
    story.work_to_the_end();
    assert!(story.effects.is_empty(), "attaching is no clear");
    for oven in ["oven_a", "oven_b"] {
        let device = DeviceId::new(oven).unwrap();
        story.give(Input::Cleared { device, who: "Ana".into(), reason: "it was toast".into() }).unwrap();
    }
    story.work_to_the_end();
    campaign_is_complete(&story);
}

#[test]
fn a_sample_that_is_not_where_it_should_be_is_in_doubt_and_blocks_its_places() {
    let mut story = Story::begin();
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    let outcome = Outcome {
        state: AttemptState::FailedNoEffect,
        results: BTreeMap::new(),
        artifacts: vec![],
        message: "the slot is empty".into(),
        code: "E0307".into(),
        sample_position: None,
        sample_in_doubt: true,
    };
    story.give(Input::Ended { device: oven.clone(), dseq: 5, key, outcome: Box::new(outcome) }).unwrap();
    story.work_to_the_end();
    let state = story.engine.state();
    assert_eq!(state.runs[&run].state, RunState::Failed, "another attempt would meet the same sample");
    assert_eq!(state.runs[&run].steps[1].attempts, 1);
    let sample = state.runs[&run].sample.clone().unwrap();
    let place = ppu_core::PositionId::new(format!("{oven}.in")).unwrap();
    assert_eq!((state.samples[&sample].in_doubt, state.samples[&sample].position.clone()), (true, None));
    assert!(state.samples[&sample].may_be_at.contains(&place));
    let sent_there = story.facts.iter().filter(|fact| {
        matches!(&fact.event, Event::StepIntended { positions, sample: other, .. }
            if other.as_ref() != Some(&sample) && positions.contains(&place))
    });
    assert_eq!(sent_there.count(), 0, "nothing is put where it may stand");
    let located = Input::LocateSample {
        sample: sample.clone(),
        position: Some(ppu_core::PositionId::new("rack.1").unwrap()),
        who: "Ana".into(),
        inspected: "the rack".into(),
    };
    let taken = story.engine.state().occupant(&ppu_core::PositionId::new("rack.1").unwrap()).is_some();
    assert_eq!(story.give(located).is_err(), taken);
    let taken_out =
        Input::LocateSample { sample: sample.clone(), position: None, who: "Ana".into(), inspected: "bin".into() };
    story.give(taken_out).unwrap();
    assert!(!story.engine.state().samples[&sample].in_doubt);
}

#[test]
fn a_hazardous_doubt_needs_two_people_who_agree() {
    let mut story = Story::begin();
    let mut manifest = manifest_of("oven_a");
    manifest.capabilities[0].commands[0].hazardous = true;
    for oven in ["oven_a", "oven_b"] {
        let device = DeviceId::new(oven).unwrap();
        let described = Input::Described { device, manifest: Box::new(manifest.clone()), serial_number: "SIM1".into() };
        story.give(described).unwrap();
    }
    story.campaign();
    let (key, oven, run) = promised_bake(&mut story);
    story.end(&key, oven.as_str(), AttemptState::InDoubt);
    let sign = |who: &str, verdict| Input::SignDoubt { key: key.clone(), verdict, resolution: seen_by(who) };
    let resolve = |by: Option<&str>| {
        let resolution = Resolution { countersigned_by: by.map(str::to_owned), ..seen_by("Ana") };
        Input::Resolved { key: key.clone(), verdict: Verdict::Done, resolution, sample_position: None }
    };
    assert!(matches!(story.give(resolve(None)), Err(Refusal::NotNow(_))));
    assert_eq!(story.give(sign("Ana", Verdict::Done)).unwrap().len(), 1);
    assert!(matches!(story.give(sign("Ana", Verdict::Done)), Err(Refusal::NotNow(_))), "one person is not two");
    assert_eq!(story.give(sign("Ben", Verdict::NotDone)).unwrap().len(), 1, "who disagrees begins anew");
    assert_eq!(story.give(sign("Ana", Verdict::Done)).unwrap().len(), 1);
    assert!(story.give(sign("Ben", Verdict::Done)).unwrap().is_empty(), "two agree");
    story.give(resolve(Some("Ben"))).unwrap();
    assert_eq!(story.engine.state().runs[&run].steps[1].state, StepState::Done);
}

//! Whole stories of the engine without any process: drivers are answered by hand, every fact is replayed.

#![allow(clippy::unwrap_used, reason = "a story that breaks should say where")]

mod by_people;
mod prefixes;
mod reshape;
mod story;

use std::collections::BTreeMap;

use ppu_core::protocol::Protocol;
use ppu_core::{AttemptState, CommandKey, DeviceId};
use ppu_engine::event::Verdict;
use ppu_engine::lifecycle::{CampaignState, RunState, StepState, TrialState};
use ppu_engine::{Engine, Event, Input, Refusal};

use crate::story::{PROTOCOL, Story, attached, bake_under_way, campaign_is_complete, seen_by};

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

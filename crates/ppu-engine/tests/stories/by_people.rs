//! Stories in which people step in: they skip, stop, look, resolve and clear.

use std::collections::BTreeMap;

use ppu_core::{AttemptState, CommandKey, DeviceId};
use ppu_engine::event::{Outcome, Resolution, Verdict};
use ppu_engine::lifecycle::{RunState, StepState, TrialState};
use ppu_engine::{Effect, Event, Input, Refusal};

use crate::story::{Story, attached, bake_under_way, campaign_is_complete, manifest_of, promised_bake, seen_by};

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

//! A ledger that has lost its memory, was restored from a copy, or was retired; what must be true before a start; doubts
//! that the device itself settles; refusals after the device was told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use ppu_driver::{Fault, Recovered};
use ppu_proto::capability::v1 as capability;
use ppu_proto::device::v1 as wire;
use support::{Act, Bench, done, silent};
use wire::AttemptState as State;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn witness(attached: &wire::Attached, dseq: u64) -> wire::LedgerWitness {
    wire::LedgerWitness { ledger_id: attached.ledger_id.clone(), boot_nonce: attached.boot_nonce.clone(), dseq }
}

async fn attach_knowing(bench: &mut Bench, known: wire::LedgerWitness) -> wire::Attached {
    let request =
        wire::AttachRequest { epoch: bench.epoch, scheduler: "test".into(), known: Some(known), ..Default::default() };
    match bench.client.attach(request).await.unwrap().into_inner().answer.unwrap() {
        wire::attach_response::Answer::Attached(attached) => {
            bench.session = attached.session.clone();
            attached
        }
        wire::attach_response::Answer::Fenced(_) => panic!("fenced"),
    }
}

async fn clear(bench: &mut Bench) -> wire::clear_response::Answer {
    let (session, epoch) = (bench.session.clone(), bench.epoch);
    let request = wire::ClearRequest { session, epoch, who: "Ana".into(), reason: "looked".into() };
    bench.client.clear(request).await.unwrap().into_inner().answer.unwrap()
}

#[tokio::test]
async fn a_ledger_restored_from_a_copy_starts_nothing_until_a_person_clears_it() {
    let mut bench = Bench::new().await;
    bench.kill().await;
    let ledger = bench.options.directory.join("ledger");
    let backup = bench.options.directory.join("backup");
    copy(&ledger, &backup);
    bench.start().await;
    let seen = bench.attach().await;
    bench.until_reachable().await;
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Succeeded).await;
    let last = bench.heartbeat().await.last_dseq;
    bench.kill().await;
    std::fs::remove_dir_all(&ledger).unwrap();
    copy(&backup, &ledger);
    bench.start().await;
    let attached = attach_knowing(&mut bench, witness(&seen, last)).await;
    assert!(attached.memory_doubt.contains("old copy"), "{}", attached.memory_doubt);
    let refused = bench.refusal(bench.request("b", 1, "pour")).await;
    assert_eq!(refused.reason(), wire::RefusalReason::Degraded);
    bench.kill().await;
    bench.start().await;
    let attached = bench.attach().await;
    assert!(!attached.memory_doubt.is_empty(), "it is remembered");
    assert!(matches!(clear(&mut bench).await, wire::clear_response::Answer::Cleared(_)));
    bench.until_reachable().await;
    bench.accept("b", 1, "pour").await;
    bench.until_state("b", 1, State::Succeeded).await;
}

#[tokio::test]
async fn a_start_that_the_ledger_does_not_contain_is_an_old_copy() {
    let mut bench = Bench::new().await;
    let seen = bench.attach().await;
    assert!(attach_knowing(&mut bench, witness(&seen, 1)).await.memory_doubt.is_empty());
    let mut other = witness(&seen, 1);
    other.boot_nonce = vec![9; 16];
    assert!(attach_knowing(&mut bench, other).await.memory_doubt.contains("old copy"));
    clear(&mut bench).await;
    let mut foreign = witness(&seen, 1);
    foreign.ledger_id = vec![7; 16];
    assert!(attach_knowing(&mut bench, foreign).await.memory_doubt.contains("another ledger"));
}

#[tokio::test]
async fn what_was_promised_by_a_ledger_in_doubt_never_begins() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    let seen = bench.attach().await;
    attach_knowing(&mut bench, witness(&seen, u64::MAX)).await;
    bench.until_state("a", 1, State::FailedNoEffect).await;
    bench.script(|world| world.hold_prepare = false);
    clear(&mut bench).await;
    bench.until_reachable().await;
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn a_retired_ledger_voids_its_open_steps_before_it_accepts_anything() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::End(Err(silent()))));
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::InDoubt).await;
    let seen = bench.attach().await;
    let retired = wire::RetiredLedger { ledger_id: seen.ledger_id.clone(), reason: "Ana: unplugged".into() };
    let request = wire::AttachRequest {
        epoch: bench.epoch,
        scheduler: "test".into(),
        retired: vec![retired],
        ..Default::default()
    };
    let answer = bench.client.attach(request).await.unwrap().into_inner().answer.unwrap();
    let wire::attach_response::Answer::Attached(attached) = answer else { panic!("{answer:?}") };
    bench.session = attached.session.clone();
    assert_eq!(attached.void_steps, ["run/a"]);
    assert_eq!(bench.refusal(bench.request("a", 2, "pour")).await.reason(), wire::RefusalReason::Void);
}

fn requirement(property: &str, min: f64, max: f64) -> capability::Requirement {
    let range = capability::QuantityRange { unit: "C".into(), min, max };
    capability::Requirement {
        property: property.into(),
        expected: Some(capability::requirement::Expected::Within(range)),
        otherwise: "the plate is not as it should be".into(),
    }
}

fn with_sample(mut request: wire::ExecuteRequest, precondition: capability::Requirement) -> wire::ExecuteRequest {
    let command = request.command.as_mut().unwrap();
    command.sample = "S01".into();
    request.digest = ppu_proto::digest::of(command).to_vec();
    request.preconditions = vec![precondition];
    request
}

async fn promised(bench: &mut Bench, request: wire::ExecuteRequest) {
    let answer = bench.send(request).await;
    assert!(matches!(answer, wire::execute_response::Answer::Accepted(_)), "{answer:?}");
}

#[tokio::test]
async fn a_precondition_that_fails_has_no_effect_and_puts_the_sample_in_doubt() {
    let mut bench = Bench::new().await;
    let request = with_sample(bench.request("a", 1, "pour"), requirement("temperature", 50.0, 60.0));
    promised(&mut bench, request).await;
    let outcome = bench.until_state("a", 1, State::FailedNoEffect).await;
    assert!(outcome.sample_in_doubt && outcome.code == "E0307" && outcome.message.contains("21.5"), "{outcome:?}");
    let request = with_sample(bench.request("b", 1, "pour"), requirement("pressure", 0.0, 1.0));
    promised(&mut bench, request).await;
    let outcome = bench.until_state("b", 1, State::FailedNoEffect).await;
    assert!(!outcome.sample_in_doubt, "what cannot be read says nothing of the sample: {outcome:?}");
    assert_eq!(bench.executions(), 0);
    let request = with_sample(bench.request("c", 1, "pour"), requirement("temperature", 20.0, 25.0));
    promised(&mut bench, request).await;
    bench.until_state("c", 1, State::Succeeded).await;
}

#[tokio::test]
async fn a_precondition_that_cannot_be_read_is_refused() {
    let mut bench = Bench::new().await;
    let mut request = bench.request("a", 1, "pour");
    request.preconditions = vec![capability::Requirement { property: "temperature".into(), ..Default::default() }];
    assert_eq!(bench.refusal(request).await.reason(), wire::RefusalReason::Invalid);
}

#[tokio::test]
async fn a_device_that_answers_again_settles_a_doubt_by_its_proof() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "query").await;
    bench.until_state("a", 1, State::Started).await;
    bench.script(|world| world.reachable = false);
    bench.until_state("a", 1, State::InDoubt).await;
    bench.script(|world| {
        world.recoveries.push_back(Ok(Recovered::Finished(Ok(done("it was done")))));
        world.reachable = true;
    });
    let outcome = bench.until_state("a", 1, State::Succeeded).await;
    assert_eq!(outcome.message, "it was done");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn a_device_that_proves_that_nothing_began_says_so_under_its_own_name() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "query").await;
    bench.until_state("a", 1, State::Started).await;
    bench.script(|world| world.reachable = false);
    bench.until_state("a", 1, State::InDoubt).await;
    bench.script(|world| {
        world.recoveries.push_back(Ok(Recovered::NeverStarted));
        world.reachable = true;
    });
    let outcome = bench.until_state("a", 1, State::ResolvedNotDone).await;
    assert_eq!(outcome.resolved_by, "instrument");
    bench.until_reachable().await;
    bench.accept("a", 2, "query").await;
    bench.until_state("a", 2, State::Succeeded).await;
}

#[tokio::test]
async fn a_refusal_after_the_device_was_told_is_never_nothing_happened() {
    let mut bench = Bench::new().await;
    let refused = || Fault::Refused { code: "E0205", message: "a reading was refused".to_owned() };
    bench.script(|world| {
        world.acts.push_back(Act::Told(Err(refused())));
        world.recoveries.push_back(Ok(Recovered::Finished(Ok(done("it was done")))));
    });
    bench.accept("a", 1, "query").await;
    bench.until_state("a", 1, State::Succeeded).await;
    bench.script(|world| {
        world.acts.push_back(Act::Run);
        world.recoveries.push_back(Ok(Recovered::Running));
        world.recoveries.push_back(Ok(Recovered::Finished(Ok(done("it was done")))));
        world.attends.push_back(Act::End(Err(refused())));
    });
    bench.accept("b", 1, "cook").await;
    bench.until_state("b", 1, State::Started).await;
    bench.kill().await;
    bench.start().await;
    bench.attach().await;
    bench.until_state("b", 1, State::Succeeded).await;
    bench.script(|world| world.acts.push_back(Act::End(Err(refused()))));
    bench.until_reachable().await;
    bench.accept("c", 1, "query").await;
    bench.until_state("c", 1, State::FailedNoEffect).await;
}

//! What the driver promises and refuses: REL-2, REL-4, REL-5, REL-6, REL-9, and the checks of Execute.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use ppu_core::{Unit, Value};
use ppu_driver::{Done, Fault};
use ppu_host::{Host as _, RealHost};
use ppu_proto::common::v1 as common;
use ppu_proto::device::v1 as wire;
use support::{Act, Bench, done, key, raw, until};
use wire::AttemptState as State;
use wire::RefusalReason as Reason;
use wire::execute_response::Answer;

#[tokio::test]
async fn a_command_is_carried_out_once_however_often_it_is_sent() {
    let mut bench = Bench::new().await;
    let request = bench.request("a", 1, "pour");
    assert!(matches!(bench.send(request.clone()).await, Answer::Accepted(_)));
    bench.until_state("a", 1, State::Succeeded).await;
    for _ in 0..3 {
        let Answer::Known(known) = bench.send(request.clone()).await else { panic!("the key is known") };
        assert_eq!(known.state(), State::Succeeded);
    }
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn two_copies_at_the_same_time_have_one_effect() {
    let mut bench = Bench::new().await;
    let request = bench.request("a", 1, "pour");
    let (mut one, mut two) = (bench.client.clone(), bench.client.clone());
    let (one, two) = tokio::join!(one.execute(request.clone()), two.execute(request));
    let answers = [one.unwrap().into_inner().answer.unwrap(), two.unwrap().into_inner().answer.unwrap()];
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).count(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Answer::Known(_))).count(), 1);
    bench.until_state("a", 1, State::Succeeded).await;
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn a_known_key_with_other_arguments_is_an_error() {
    let mut bench = Bench::new().await;
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Succeeded).await;
    let other = bench.request("a", 1, "set");
    assert_eq!(bench.refusal(other.clone()).await.reason(), Reason::DigestMismatch);
    let mut forged = bench.request("b", 1, "pour");
    forged.digest = other.digest;
    assert_eq!(bench.refusal(forged).await.reason(), Reason::DigestMismatch);
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn an_older_epoch_is_fenced_and_an_older_session_is_stale() {
    let mut bench = Bench::new().await;
    let before = bench.request("a", 1, "pour");
    bench.epoch = 2;
    bench.attach().await;
    assert_eq!(bench.refusal(before).await.reason(), Reason::Fenced);
    let mut stale = bench.request("a", 1, "pour");
    stale.session = vec![7; 16];
    assert_eq!(bench.refusal(stale).await.reason(), Reason::StaleSession);
    let attach = wire::AttachRequest { epoch: 1, scheduler: "deposed".to_owned(), ..Default::default() };
    let answer = bench.client.attach(attach).await.unwrap().into_inner().answer;
    let fenced = wire::attach_response::Answer::Fenced(wire::Fenced { max_epoch: 2 });
    assert_eq!(answer, Some(fenced.clone()), "a deposed scheduler cannot attach");
    let void = wire::VoidStepRequest { session: bench.session.clone(), epoch: 1, step: "run/a".to_owned() };
    let answer = bench.client.void_step(void).await.unwrap().into_inner().answer.unwrap();
    assert!(matches!(answer, wire::void_step_response::Answer::Refused(_)), "{answer:?}");
    bench.kill().await;
    bench.start().await;
    bench.epoch = 1;
    let attach = wire::AttachRequest { epoch: 1, scheduler: "deposed".to_owned(), ..Default::default() };
    let answer = bench.client.attach(attach).await.unwrap().into_inner().answer;
    assert_eq!(answer, Some(fenced), "the fence is durable");
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn a_void_step_refuses_every_attempt_for_ever() {
    let mut bench = Bench::new().await;
    assert!(void(&mut bench, "a").await, "a step that nobody attempted can be made void");
    assert_eq!(bench.refusal(bench.request("a", 1, "pour")).await.reason(), Reason::Void);
    bench.kill().await;
    bench.start().await;
    let attached = bench.attach().await;
    assert_eq!(attached.void_steps, ["run/a"]);
    bench.until_reachable().await;
    assert_eq!(bench.refusal(bench.request("a", 2, "pour")).await.reason(), Reason::Void);
    assert!(void(&mut bench, "a").await, "to void twice is to void once");
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn a_step_that_had_an_effect_cannot_be_void_and_one_that_failed_without_can() {
    let mut bench = Bench::new().await;
    bench.script(|world| {
        let refused = Fault::Refused { code: "E0205", message: "the door is open".to_owned() };
        world.acts.extend([Act::End(Ok(done("poured"))), Act::End(Err(refused)), Act::Run]);
    });
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Succeeded).await;
    assert!(!void(&mut bench, "a").await);
    bench.accept("b", 1, "pour").await;
    let outcome = bench.until_state("b", 1, State::FailedNoEffect).await;
    assert_eq!((outcome.message.as_str(), outcome.code.as_str()), ("the door is open", "E0205"));
    assert!(void(&mut bench, "b").await);
    bench.accept("c", 1, "pour").await;
    bench.until_state("c", 1, State::Started).await;
    assert!(!void(&mut bench, "c").await, "a live attempt is in the way");
}

#[tokio::test]
async fn an_attempt_that_was_only_accepted_is_cancelled_by_a_tombstone() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    assert!(void(&mut bench, "a").await);
    bench.script(|world| world.hold_prepare = false);
    bench.until_state("a", 1, State::FailedNoEffect).await;
    bench.accept("b", 1, "pour").await;
    bench.until_state("b", 1, State::Succeeded).await;
    assert_eq!(bench.world.lock().unwrap().executions, ["run/b#1"]);
}

#[tokio::test]
async fn one_command_at_a_time_and_one_live_attempt_a_step() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.extend([Act::Run]));
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Started).await;
    for (step, attempt) in [("a", 2), ("b", 1)] {
        let refused = bench.refusal(bench.request(step, attempt, "pour")).await;
        assert_eq!(refused.reason(), Reason::Conflict);
        assert_eq!(refused.conflict, Some(key("a", 1)));
    }
    bench.script(|world| world.released = true);
    bench.until_state("a", 1, State::Succeeded).await;
    let refused = bench.refusal(bench.request("a", 2, "pour")).await;
    assert_eq!(refused.reason(), Reason::Conflict, "a step that is done is not attempted again");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn the_next_attempt_follows_only_one_without_effect() {
    let mut bench = Bench::new().await;
    bench.script(|world| {
        let refused = Fault::Refused { code: "E0205", message: "busy".to_owned() };
        let partial = Fault::Partial { code: "E0211", message: "half of it".to_owned(), results: Default::default() };
        world.acts.extend([Act::End(Err(refused)), Act::End(Err(partial))]);
    });
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::FailedNoEffect).await;
    bench.accept("a", 2, "pour").await;
    assert_eq!(bench.until_state("a", 2, State::FailedPartial).await.message, "half of it");
    assert_eq!(bench.refusal(bench.request("a", 3, "pour")).await.reason(), Reason::Conflict);
    let Answer::Known(known) = bench.send(bench.request("a", 1, "pour")).await else { panic!("known") };
    assert_eq!(known.state(), State::FailedNoEffect);
}

#[tokio::test]
async fn a_late_command_is_refused_and_never_starts() {
    let mut bench = Bench::new().await;
    let mut request = bench.request("a", 1, "pour");
    request.start_before_ns = RealHost.boot_ns() - 1;
    assert_eq!(bench.refusal(request).await.reason(), Reason::Late);
    bench.script(|world| world.hold_prepare = true);
    let mut request = bench.request("b", 1, "pour");
    request.start_before_ns = RealHost.boot_ns() + 60_000_000;
    let deadline = request.start_before_ns;
    assert!(matches!(bench.send(request).await, Answer::Accepted(_)));
    until("the deadline has passed", || async { RealHost.boot_ns() > deadline }).await;
    bench.script(|world| world.hold_prepare = false);
    assert_eq!(bench.until_state("b", 1, State::FailedNoEffect).await.code, "E0301");
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn without_heartbeats_nothing_starts_until_a_scheduler_attaches_again() {
    let mut bench = Bench::with(|options| options.start_watchdog = Duration::from_millis(150)).await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    let client = bench.client.clone();
    until("T1 has passed", || {
        let mut client = client.clone();
        // A heartbeat of a session that is not the current one keeps nothing alive.
        let request = wire::HeartbeatRequest { session: vec![9; 16], counter: 1 };
        async move { !client.heartbeat(request).await.unwrap().into_inner().degraded.is_empty() }
    })
    .await;
    bench.script(|world| world.hold_prepare = false);
    let beat = bench.heartbeat().await;
    assert!(!beat.current && !beat.degraded.is_empty(), "a heartbeat alone does not open the gate: {beat:?}");
    assert_eq!(bench.query("a", 1).await.attempt.unwrap().state(), State::Accepted, "ACCEPTED stays ACCEPTED");
    assert_eq!(bench.refusal(bench.request("b", 1, "pour")).await.reason(), Reason::Conflict);
    assert_eq!(bench.executions(), 0);
    let attached = bench.attach().await;
    assert_eq!(attached.inventory.len(), 1);
    bench.until_state("a", 1, State::Succeeded).await;
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn the_silence_of_the_scheduler_is_a_reason_to_refuse() {
    let mut bench = Bench::with(|options| options.start_watchdog = Duration::from_millis(100)).await;
    let client = bench.client.clone();
    until("T1 has passed", || {
        let mut client = client.clone();
        let request = wire::HeartbeatRequest { session: vec![9; 16], counter: 1 };
        async move { !client.heartbeat(request).await.unwrap().into_inner().degraded.is_empty() }
    })
    .await;
    assert_eq!(bench.refusal(bench.request("a", 1, "pour")).await.reason(), Reason::Degraded);
}

#[tokio::test]
async fn an_unreachable_instrument_is_a_reason_to_refuse_and_no_reason_not_to_start() {
    let mut bench = Bench::with(|_| {}).await;
    bench.kill().await;
    bench.script(|world| world.reachable = false);
    bench.start().await;
    let attached = bench.attach().await;
    assert_eq!(attached.device_state(), wire::DeviceState::Unreachable);
    assert_eq!(bench.refusal(bench.request("a", 1, "pour")).await.reason(), Reason::Degraded);
    bench.script(|world| world.reachable = true);
    bench.until_reachable().await;
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Succeeded).await;
}

#[tokio::test]
async fn arguments_are_checked_against_the_manifest_and_defaults_filled_in() {
    let mut bench = Bench::new().await;
    let with_amount = |bench: &Bench, step: &str, value: f64, unit: &str| {
        let mut request = bench.request(step, 1, "pour");
        let quantity = common::Quantity { value, unit: unit.to_owned() };
        let value = common::Value { kind: Some(common::value::Kind::Quantity(quantity)) };
        let command = request.command.as_mut().unwrap();
        command.arguments = vec![common::NamedValue { name: "amount".to_owned(), value: Some(value) }];
        request.digest = ppu_proto::digest::of(command).to_vec();
        request
    };
    let refused = bench.refusal(with_amount(&bench, "a", 101.0, "uL")).await;
    assert_eq!(refused.reason(), Reason::Invalid);
    assert!(refused.message.contains("amount"), "{}", refused.message);
    assert_eq!(bench.refusal(bench.request("a", 1, "fly")).await.reason(), Reason::Invalid);
    let good = with_amount(&bench, "a", 0.05, "mL");
    assert!(matches!(bench.send(good).await, Answer::Accepted(_)));
    bench.until_state("a", 1, State::Succeeded).await;
    let amount = |bench: &Bench| bench.world.lock().unwrap().last_request.clone().unwrap().arguments["amount"].clone();
    assert_eq!(amount(&bench), Value::quantity(50.0, Unit::Microlitre));
    bench.accept("b", 1, "pour").await;
    bench.until_state("b", 1, State::Succeeded).await;
    assert_eq!(amount(&bench), Value::quantity(1.0, Unit::Microlitre));
}

#[tokio::test]
async fn raw_data_are_stored_before_the_outcome_and_fetched_from_any_offset() {
    let mut bench = Bench::new().await;
    let bytes: Vec<u8> = (0..150_000_u32).map(|number| number as u8).collect();
    bench.script(|world| {
        let raw = vec![raw("scan.txt", bytes.clone())];
        world.acts.push_back(Act::End(Ok(Done { raw, message: "scanned".to_owned(), ..Done::default() })));
    });
    bench.accept("a", 1, "set").await;
    let outcome = bench.until_state("a", 1, State::Succeeded).await;
    let artifact = &outcome.artifacts[0];
    assert_eq!((artifact.name.as_str(), artifact.size), ("scan.txt", 150_000));
    assert_eq!(artifact.hash, ppu_core::ArtifactHash::of(&bytes).as_bytes());
    for offset in [0, 100_000] {
        let request = wire::FetchArtifactRequest { hash: artifact.hash.clone(), offset: offset as u64 };
        let mut stream = bench.client.fetch_artifact(request).await.unwrap().into_inner();
        let mut fetched = Vec::new();
        while let Some(piece) = stream.message().await.unwrap() {
            assert!(piece.chunk.len() <= 64 * 1024);
            fetched.extend(piece.chunk);
        }
        assert_eq!(fetched, bytes[offset..]);
    }
    let missing = wire::FetchArtifactRequest { hash: vec![0; 32], offset: 0 };
    assert_eq!(bench.client.fetch_artifact(missing).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn properties_are_read_when_idle_and_remembered_while_busy() {
    let mut bench = Bench::new().await;
    let request = wire::ReadPropertiesRequest {};
    let fresh = bench.client.read_properties(request).await.unwrap().into_inner().readings;
    assert_eq!((fresh.len(), fresh[0].name.as_str(), fresh[0].good), (1, "temperature", true));
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Started).await;
    let known = bench.client.read_properties(request).await.unwrap().into_inner().readings;
    assert!(known[0].time_ms >= fresh[0].time_ms);
}

/// Whether the step is void now.
async fn void(bench: &mut Bench, step: &str) -> bool {
    let request =
        wire::VoidStepRequest { session: bench.session.clone(), epoch: bench.epoch, step: format!("run/{step}") };
    match bench.client.void_step(request).await.unwrap().into_inner().answer.unwrap() {
        wire::void_step_response::Answer::Voided(_) => true,
        wire::void_step_response::Answer::Conflict(_) => false,
        wire::void_step_response::Answer::Refused(refused) => panic!("{refused:?}"),
    }
}

//! Abort, MakeSafe, the second watchdog, and a disk that fails (LOG-4).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use ppu_driver::{Driver, DriverOptions, Instrument as _};
use ppu_proto::device::v1 as wire;
use ppu_proto::device::v1::device_service_server::DeviceService as _;
use ppu_store::{DiskOperation, SimDisk, SimFault};
use support::{Act, Bench, TestInstrument, World, key};
use wire::AttemptState as State;

async fn abort(bench: &mut Bench, step: &str) -> wire::abort_response::Answer {
    let request = wire::AbortRequest {
        session: bench.session.clone(),
        epoch: bench.epoch,
        key: Some(key(step, 1)),
        mode: wire::AbortMode::Stop.into(),
    };
    bench.client.abort(request).await.unwrap().into_inner().answer.unwrap()
}

async fn make_safe(bench: &mut Bench) -> wire::MakeSafeResponse {
    let request = wire::MakeSafeRequest { who: "operator".to_owned(), reason: "smoke".to_owned() };
    bench.client.make_safe(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_running_command_is_asked_to_end() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "cook").await;
    bench.until_state("a", 1, State::Started).await;
    assert!(matches!(abort(&mut bench, "a").await, wire::abort_response::Answer::Aborting(_)));
    bench.until_state("a", 1, State::Aborted).await;
    let wire::abort_response::Answer::Attempt(attempt) = abort(&mut bench, "a").await else { panic!("it has ended") };
    assert_eq!(attempt.state(), State::Aborted);
    bench.accept("b", 1, "cook").await;
    bench.until_state("b", 1, State::Succeeded).await;
}

#[tokio::test]
async fn a_command_that_has_not_begun_is_cancelled() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    let wire::abort_response::Answer::Attempt(attempt) = abort(&mut bench, "a").await else { panic!("cancelled") };
    assert_eq!(attempt.state(), State::FailedNoEffect);
    bench.script(|world| world.hold_prepare = false);
    bench.accept("b", 1, "pour").await;
    bench.until_state("b", 1, State::Succeeded).await;
    assert_eq!(bench.world.lock().unwrap().executions, ["run/b#1"]);
}

#[tokio::test]
async fn a_wish_to_end_survives_a_crash() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "cook").await;
    bench.until_state("a", 1, State::Started).await;
    bench.script(|world| {
        world.deaf = true;
        world.recoveries.push_back(Ok(ppu_driver::Recovered::Running));
    });
    assert!(matches!(abort(&mut bench, "a").await, wire::abort_response::Answer::Aborting(_)));
    bench.kill().await;
    bench.script(|world| world.deaf = false);
    bench.start().await;
    bench.attach().await;
    bench.until_state("a", 1, State::Aborted).await;
    assert_eq!(bench.executions(), 1);
}

async fn clear(bench: &mut Bench, who: &str) -> wire::clear_response::Answer {
    let request = wire::ClearRequest {
        session: bench.session.clone(),
        epoch: bench.epoch,
        who: who.to_owned(),
        reason: "looked inside".to_owned(),
    };
    bench.client.clear(request).await.unwrap().into_inner().answer.unwrap()
}

#[tokio::test]
async fn make_safe_ends_what_runs_and_nothing_starts_until_a_person_clears_it() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "cook").await;
    bench.until_state("a", 1, State::Started).await;
    let answer = make_safe(&mut bench).await;
    assert_eq!((answer.confirmed, answer.message.as_str()), (true, "it stands still"));
    bench.until_state("a", 1, State::Aborted).await;
    assert_eq!(bench.heartbeat().await.device_state(), wire::DeviceState::Aborted);
    assert_eq!(bench.refusal(bench.request("b", 1, "pour")).await.reason(), wire::RefusalReason::Degraded);
    bench.kill().await;
    bench.start().await;
    assert_eq!(bench.world.lock().unwrap().made_safe, ["smoke"]);
    assert_eq!(bench.heartbeat().await.device_state(), wire::DeviceState::Aborted, "it is remembered");
    bench.attach().await;
    assert_eq!(bench.heartbeat().await.device_state(), wire::DeviceState::Aborted, "a scheduler is no person");
    assert_eq!(bench.refusal(bench.request("b", 1, "pour")).await.reason(), wire::RefusalReason::Degraded);
    assert!(matches!(clear(&mut bench, " ").await, wire::clear_response::Answer::Refused(_)), "a clear has a name");
    assert!(matches!(clear(&mut bench, "Ana").await, wire::clear_response::Answer::Cleared(_)));
    bench.kill().await;
    bench.start().await;
    bench.attach().await;
    bench.until_reachable().await;
    bench.accept("b", 1, "pour").await;
    bench.until_state("b", 1, State::Succeeded).await;
}

#[tokio::test]
async fn make_safe_works_without_a_session_and_says_when_it_is_not_confirmed() {
    let mut bench = Bench::unattached(|options| options.safe_answer_within = Duration::from_millis(300)).await;
    assert!(make_safe(&mut bench).await.confirmed);
    bench.script(|world| world.reachable = false);
    let answer = make_safe(&mut bench).await;
    assert!(!answer.confirmed && !answer.message.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn what_was_only_accepted_never_begins_after_make_safe() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    let mut client = bench.client.clone();
    let request = wire::MakeSafeRequest { who: "operator".to_owned(), reason: "smoke".to_owned() };
    let safe = tokio::spawn(async move { client.make_safe(request).await.unwrap().into_inner() });
    // The wish must be on its way before the preparation ends.
    let server = bench.driver().device_server();
    support::until("the wish was taken in", || {
        let wished = server.is_told_to_end();
        async move { wished }
    })
    .await;
    bench.script(|world| world.hold_prepare = false);
    assert!(safe.await.unwrap().confirmed);
    bench.until_state("a", 1, State::FailedNoEffect).await;
    bench.attach().await;
    clear(&mut bench, "Ana").await;
    bench.until_reachable().await;
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn the_second_watchdog_makes_the_device_safe_but_does_not_stop_what_runs_on_without_us() {
    for (command, expected) in [("query", State::Aborted), ("cook", State::Succeeded)] {
        let mut bench = Bench::with(|options| {
            options.start_watchdog = Duration::from_millis(100);
            options.safe_watchdog = Some(Duration::from_millis(200));
        })
        .await;
        bench.script(|world| world.acts.push_back(Act::Run));
        bench.accept("a", 1, command).await;
        bench.until_state("a", 1, State::Started).await;
        if command == "cook" {
            let client = bench.client.clone();
            support::until("T2 has passed", || {
                let mut client = client.clone();
                async move {
                    let request = wire::HeartbeatRequest { session: vec![9; 16], counter: 1 };
                    !client.heartbeat(request).await.unwrap().into_inner().degraded.is_empty()
                }
            })
            .await;
            bench.script(|world| world.released = true);
        }
        bench.until_state("a", 1, expected).await;
        bench.until_world("the device was made safe", |world| world.made_safe.len() == 1).await;
        bench.attach().await;
        bench.until_reachable().await;
        bench.accept("b", 1, "set").await;
        bench.until_state("b", 1, State::Succeeded).await;
    }
}

/// A driver on a disk of its own, attached, with its instrument in reach; and what is needed to send it a command.
struct OnDisk {
    disk: SimDisk,
    driver: Driver,
    world: support::Shared,
    request: wire::ExecuteRequest,
    _directory: tempfile::TempDir,
}

async fn on_disk() -> OnDisk {
    let directory = tempfile::tempdir().unwrap();
    let mut options = DriverOptions::new("lab", ppu_core::DeviceId::new("device_a").unwrap(), directory.path());
    let world = std::sync::Arc::new(std::sync::Mutex::new(World { reachable: true, ..World::default() }));
    let disk = SimDisk::new(7);
    options.disk = ppu_store::AnyDisk::new(disk.clone());
    let driver = Driver::start(options, TestInstrument(world.clone())).await.unwrap();
    let server = driver.device_server();
    let attach = wire::AttachRequest { epoch: 1, scheduler: "test".to_owned(), ..Default::default() };
    let answer = server.attach(tonic::Request::new(attach)).await.unwrap().into_inner().answer.unwrap();
    let wire::attach_response::Answer::Attached(attached) = answer else { panic!("{answer:?}") };
    support::until("the instrument is reachable", || {
        let request = wire::HeartbeatRequest { session: attached.session.clone(), counter: 1 };
        let server = server.clone();
        async move { server.heartbeat(tonic::Request::new(request)).await.unwrap().into_inner().degraded.is_empty() }
    })
    .await;
    let command = wire::Command { capability: "test".into(), command: "pour".into(), ..Default::default() };
    let request = wire::ExecuteRequest {
        session: attached.session.clone(),
        epoch: 1,
        key: Some(key("a", 1)),
        digest: ppu_proto::digest::of(&command).to_vec(),
        command: Some(command),
        start_before_ns: 0,
        traceparent: String::new(),
        ..Default::default()
    };
    OnDisk { disk, driver, world, request, _directory: directory }
}

#[tokio::test]
async fn a_disk_that_fails_promises_nothing_and_tells_the_device_nothing() {
    let OnDisk { disk, driver, world, request, .. } = on_disk().await;
    let server = driver.device_server();
    disk.fail_nth(DiskOperation::Sync, 1, SimFault::Eio);
    for _ in 0..2 {
        let answer = server.execute(tonic::Request::new(request.clone())).await.unwrap().into_inner().answer.unwrap();
        let wire::execute_response::Answer::Refused(refused) = answer else { panic!("{answer:?}") };
        assert_eq!(refused.reason(), wire::RefusalReason::Degraded);
    }
    let mut failure = driver.watch_failure();
    failure.wait_for(Option::is_some).await.unwrap();
    assert!(world.lock().unwrap().executions.is_empty());
    driver.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_before_started_ends_the_driver_in_order() {
    let OnDisk { disk, mut driver, world, request, .. } = on_disk().await;
    // The first sync makes ACCEPTED durable, the next one is that of STARTED or of the file beside it.
    disk.fail_nth(DiskOperation::Sync, 2, SimFault::Eio);
    driver.device_server().execute(tonic::Request::new(request)).await.unwrap();
    driver.ended().await;
    assert!(driver.watch_failure().borrow().is_some());
    assert!(world.lock().unwrap().executions.is_empty(), "nothing is told to the device without STARTED on disk");
    driver.stop().await;
}

#[tokio::test]
async fn a_manifest_that_contradicts_itself_is_refused() {
    use ppu_driver::{ManifestError, check_manifest};
    let manifest = TestInstrument(Default::default()).describe();
    assert_eq!(check_manifest(&manifest), Ok(()));
    let mut twice = manifest.clone();
    let command = twice.capabilities[0].commands[0].clone();
    twice.capabilities[0].commands.push(command);
    assert!(matches!(check_manifest(&twice), Err(ManifestError::Duplicate { .. })));
    for typical_s in [0.0, -1.0, f64::NAN] {
        let mut timeless = manifest.clone();
        timeless.capabilities[0].commands[1].typical_s = typical_s;
        assert!(matches!(check_manifest(&timeless), Err(ManifestError::Duration { .. })));
    }
}

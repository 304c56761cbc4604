//! Crashes of the driver and silences of the instrument, by action class: the crash table of the reliability reference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use ppu_driver::{Fault, Recovered};
use ppu_host::{Host as _, RealHost};
use ppu_proto::device::v1 as wire;
use support::{Act, Bench, done, silent};
use wire::AttemptState as State;

/// Accepts a command, waits until the instrument was told, and kills the driver.
async fn killed_in_the_middle_of(command: &str) -> Bench {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, command).await;
    bench.until_world("the instrument was told", |world| world.executions.len() == 1).await;
    bench.kill().await;
    bench
}

#[tokio::test]
async fn row_6_accepted_then_killed_begins_after_the_next_attach() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    bench.accept("a", 1, "pour").await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    bench.kill().await;
    bench.script(|world| world.hold_prepare = false);
    bench.start().await;
    bench.until_world("the driver reads again", |world| world.reachable).await;
    assert_eq!(bench.query("a", 1).await.attempt.unwrap().state(), State::Accepted, "nothing begins before Attach");
    assert_eq!(bench.executions(), 0);
    let attached = bench.attach().await;
    assert_eq!((attached.boot, attached.inventory.len()), (2, 1));
    bench.until_state("a", 1, State::Succeeded).await;
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn row_6_accepted_then_killed_for_too_long_never_begins() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.hold_prepare = true);
    let mut request = bench.request("a", 1, "pour");
    request.start_before_ns = RealHost.boot_ns() + 80_000_000;
    let deadline = request.start_before_ns;
    bench.send(request).await;
    bench.until_world("it is being prepared", |world| world.prepared.len() == 1).await;
    bench.kill().await;
    bench.script(|world| world.hold_prepare = false);
    support::until("the deadline has passed", || async { RealHost.boot_ns() > deadline }).await;
    bench.start().await;
    bench.attach().await;
    assert_eq!(bench.until_state("a", 1, State::FailedNoEffect).await.code, "E0301");
    assert_eq!(bench.executions(), 0);
}

#[tokio::test]
async fn rows_7_and_8_idempotent_is_sent_again() {
    let mut bench = killed_in_the_middle_of("set").await;
    bench.start().await;
    bench.attach().await;
    bench.until_state("a", 1, State::Succeeded).await;
    assert_eq!(bench.executions(), 2);
    assert!(bench.world.lock().unwrap().recovered.is_empty());
}

#[tokio::test]
async fn rows_7_and_8_unqueryable_is_made_safe_and_in_doubt_and_never_sent_again() {
    let mut bench = killed_in_the_middle_of("pour").await;
    bench.start().await;
    let attached = bench.attach().await;
    assert_eq!(attached.inventory[0].state(), State::InDoubt, "settled before Attach is answered");
    assert_eq!(attached.device_state(), wire::DeviceState::Held);
    assert_eq!(bench.world.lock().unwrap().made_safe.len(), 1);
    bench.until_reachable().await;
    let refused = bench.refusal(bench.request("b", 1, "pour")).await;
    assert_eq!(refused.reason(), wire::RefusalReason::Conflict, "a doubt blocks its device");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn row_7_queryable_that_never_started_is_sent_once_a_scheduler_is_there() {
    for command in ["query", "cook"] {
        let mut bench = killed_in_the_middle_of(command).await;
        // The world says that the first telling never arrived.
        bench.script(|world| {
            world.recoveries.extend([Ok(Recovered::NeverStarted), Ok(Recovered::NeverStarted)]);
        });
        bench.start().await;
        bench.until_world("the device was asked", |world| world.recovered.len() == 1).await;
        assert_eq!(bench.executions(), 1, "nothing is sent before a scheduler attaches");
        assert_eq!(bench.attach().await.inventory[0].state(), State::Started);
        bench.until_state("a", 1, State::Succeeded).await;
        assert_eq!(bench.executions(), 2);
        assert_eq!(bench.world.lock().unwrap().last_snapshot, b"before");
    }
}

#[tokio::test]
async fn row_8_queryable_that_still_runs_is_attended_and_attach_is_answered_meanwhile() {
    for command in ["query", "cook"] {
        let mut bench = killed_in_the_middle_of(command).await;
        bench.script(|world| world.recoveries.push_back(Ok(Recovered::Running)));
        bench.start().await;
        let attached = bench.attach().await;
        assert_eq!(attached.inventory[0].state(), State::Started);
        bench.until_world("it is attended", |world| world.attended.len() == 1).await;
        bench.script(|world| world.released = true);
        assert_eq!(bench.until_state("a", 1, State::Succeeded).await.message, "released");
        assert_eq!(bench.executions(), 1);
    }
}

#[tokio::test]
async fn row_10_queryable_that_finished_has_its_result_read_again() {
    let mut bench = killed_in_the_middle_of("query").await;
    bench.script(|world| world.recoveries.push_back(Ok(Recovered::Finished(Ok(done("counter moved"))))));
    bench.start().await;
    let attached = bench.attach().await;
    assert_eq!(attached.inventory[0].state(), State::Succeeded);
    assert_eq!(bench.query("a", 1).await.outcome.unwrap().message, "counter moved");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn a_device_that_cannot_tell_leaves_a_doubt() {
    let mut bench = killed_in_the_middle_of("query").await;
    bench.start().await;
    assert_eq!(bench.attach().await.inventory[0].state(), State::InDoubt);
    assert_eq!(bench.query("a", 1).await.outcome.unwrap().message, "it cannot tell");
}

#[tokio::test]
async fn a_device_that_stays_away_leaves_a_doubt_within_the_limits() {
    let mut bench = killed_in_the_middle_of("cook").await;
    bench.script(|world| world.reachable = false);
    bench.start().await;
    let attached = bench.attach().await;
    assert_eq!(attached.inventory[0].state(), State::InDoubt);
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn row_9_silence_while_it_runs_by_class() {
    // Class, what the device says when asked, expected state, expected tellings.
    let rows = [
        ("set", None, State::Succeeded, 2),
        ("query", Some(Recovered::Finished(Ok(done("it did it")))), State::Succeeded, 1),
        ("query", Some(Recovered::NeverStarted), State::Succeeded, 2),
        ("cook", Some(Recovered::NeverStarted), State::Succeeded, 2),
        ("cook", Some(Recovered::Unknown("lost its memory".to_owned())), State::InDoubt, 1),
        ("pour", None, State::InDoubt, 1),
    ];
    for (command, recovered, expected, tellings) in rows {
        let mut bench = Bench::new().await;
        bench.script(|world| {
            world.acts.push_back(Act::End(Err(silent())));
            world.recoveries.extend(recovered.clone().map(Ok));
        });
        bench.accept("a", 1, command).await;
        bench.until_state("a", 1, expected).await;
        assert_eq!(bench.executions(), tellings, "{command} {recovered:?}");
    }
}

#[tokio::test]
async fn a_line_that_comes_back_is_asked_again() {
    let mut bench = Bench::new().await;
    bench.script(|world| {
        world.acts.push_back(Act::End(Err(silent())));
        world.recoveries.extend([Err(silent()), Err(silent()), Ok(Recovered::Running)]);
        world.attends.push_back(Act::End(Err(silent())));
        world.recoveries.push_back(Ok(Recovered::Finished(Err(Fault::Partial {
            code: "E0212",
            message: "half of it".to_owned(),
            results: Default::default(),
        }))));
    });
    bench.accept("a", 1, "cook").await;
    assert_eq!(bench.until_state("a", 1, State::FailedPartial).await.message, "half of it");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn a_command_that_stays_silent_is_not_sent_for_ever() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.extend([0; 6].map(|_| Act::End(Err(silent())))));
    bench.accept("a", 1, "set").await;
    bench.until_state("a", 1, State::InDoubt).await;
    assert_eq!(bench.executions(), 3, "once, and two resends");
}

#[tokio::test]
async fn silence_before_the_start_has_no_effect_and_leaves_no_doubt() {
    let mut bench = Bench::new().await;
    bench.script(|world| {
        let refused = Fault::Refused { code: "E0205", message: "the lid is open".to_owned() };
        world.preparations.extend([Err(silent()), Err(refused)]);
    });
    bench.accept("a", 1, "pour").await;
    assert_eq!(bench.until_state("a", 1, State::FailedNoEffect).await.message, "the lid is open");
    assert_eq!(bench.executions(), 0);
    bench.accept("a", 2, "pour").await;
    bench.until_state("a", 2, State::Succeeded).await;
}

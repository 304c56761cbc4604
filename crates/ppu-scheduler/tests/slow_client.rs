//! A client that does not read gets its stream closed with the place to go on from; the lab does not wait for it
//! (reliability 14).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use ppu_core::lab::Lab;
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_server::LabService;
use ppu_scheduler::{Scheduler, SchedulerOptions};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::Request;

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
slots = 1
samples = 1
[[device]]
id = "arm"
instrument = "arm"
connect = "simulated"
"#;

/// More facts than one client may fall behind.
const FACTS: usize = 300;
const SOON: Duration = Duration::from_secs(20);

async fn pause_and_resume(api: &impl LabService) {
    let (who, reason) = ("test".to_owned(), "to make facts".to_owned());
    api.pause(Request::new(wire::PauseRequest { who: who.clone(), reason: reason.clone() })).await.unwrap();
    api.resume(Request::new(wire::ResumeRequest { who, reason })).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_sent_away_with_the_place_to_go_on_from() {
    let directory = tempfile::tempdir().unwrap();
    let lab = Lab::parse("lab.toml", LAB).unwrap();
    let options = SchedulerOptions::new(lab, directory.path().join("scheduler"), directory.path().join("drivers"));
    let scheduler = Scheduler::open(options).await.unwrap();
    let api = scheduler.api();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(scheduler.run(stopped));
    pause_and_resume(&api).await;
    let seen = api.get_lab(Request::new(wire::GetLabRequest {})).await.unwrap().into_inner().seq;
    let watched = api.watch(Request::new(wire::WatchRequest { after_seq: 0 })).await.unwrap();
    let mut stream = Box::pin(watched.into_inner());
    let mut last = 0;
    while last < seen {
        last = tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap().unwrap().seq;
    }
    // From here on nobody reads, and the lab goes on as if nobody watched.
    tokio::time::timeout(SOON, async {
        for _ in 0..FACTS / 2 {
            pause_and_resume(&api).await;
        }
    })
    .await
    .unwrap();
    let refused = loop {
        match tokio::time::timeout(SOON, stream.next()).await.unwrap() {
            Some(Ok(event)) => {
                assert_eq!(event.seq, last + 1, "no gap and no repeat");
                last = event.seq;
            }
            Some(Err(status)) => break status,
            None => panic!("the stream ended without a word"),
        }
    };
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().ends_with(&format!("after_seq = {last}")), "{refused}");
    assert!(stream.next().await.is_none());
    // The client goes on from there and gets the rest.
    let mut rest =
        Box::pin(api.watch(Request::new(wire::WatchRequest { after_seq: last })).await.unwrap().into_inner());
    let next = tokio::time::timeout(SOON, rest.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.seq, last + 1);
    stop.send_replace(true);
    running.await.unwrap().unwrap();
}

//! Events, acknowledgements, doubts, closing of runs: REL-10, REL-11, CloseRun.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use ppu_proto::device::v1 as wire;
use support::{Act, Bench, key, silent, until};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::AttemptState as State;
use wire::events_request::Message;

struct Stream {
    requests: mpsc::Sender<wire::EventsRequest>,
    events: tonic::Streaming<wire::EventsResponse>,
}

impl Stream {
    async fn open(bench: &mut Bench, from_dseq: u64) -> Stream {
        let (requests, receiver) = mpsc::channel(8);
        let open = wire::EventsOpen { session: bench.session.clone(), from_dseq };
        requests.send(wire::EventsRequest { message: Some(Message::Open(open)) }).await.unwrap();
        let events = bench.client.events(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Stream { requests, events }
    }

    async fn next(&mut self) -> wire::EventsResponse {
        self.events.message().await.unwrap().unwrap()
    }

    /// The next change of an attempt; facts of the device are passed over.
    async fn next_attempt(&mut self) -> (u64, wire::AttemptChanged) {
        loop {
            let event = self.next().await;
            if let Some(wire::events_response::Event::Attempt(changed)) = event.event {
                return (event.dseq, changed);
            }
        }
    }

    async fn acknowledge(&mut self, dseq: u64) {
        let message = Some(Message::AcknowledgedDseq(dseq));
        self.requests.send(wire::EventsRequest { message }).await.unwrap();
    }
}

fn state(changed: &wire::AttemptChanged) -> State {
    changed.outcome.as_ref().unwrap().state()
}

async fn close_run(bench: &mut Bench) -> wire::close_run_response::Answer {
    let request = wire::CloseRunRequest { session: bench.session.clone(), epoch: bench.epoch, run: "run".to_owned() };
    bench.client.close_run(request).await.unwrap().into_inner().answer.unwrap()
}

#[tokio::test]
async fn outcomes_are_offered_again_until_they_are_acknowledged_and_are_always_the_same() {
    let mut bench = Bench::new().await;
    let mut stream = Stream::open(&mut bench, 1).await;
    bench.accept("a", 1, "pour").await;
    let started = stream.next_attempt().await;
    let ended = stream.next_attempt().await;
    assert_eq!((state(&started.1), state(&ended.1)), (State::Started, State::Succeeded));
    assert!(started.0 < ended.0);
    // Not acknowledged: offered again on a new stream, and after a restart of the driver.
    let mut again = Stream::open(&mut bench, 1).await;
    assert_eq!(again.next_attempt().await, started);
    assert_eq!(again.next_attempt().await, ended);
    bench.kill().await;
    bench.start().await;
    bench.attach().await;
    let mut after = Stream::open(&mut bench, started.0 + 1).await;
    assert_eq!(after.next_attempt().await, ended);
    after.acknowledge(ended.0).await;
    // Acknowledged: still there for a scheduler that asks from further back, read from the log.
    let answer = until_closed(&mut bench).await;
    assert!(matches!(answer, wire::close_run_response::Answer::Closed(_)), "{answer:?}");
    let mut from_the_start = Stream::open(&mut bench, 1).await;
    assert_eq!(from_the_start.next_attempt().await, started);
    assert_eq!(from_the_start.next_attempt().await, ended);
}

async fn until_closed(bench: &mut Bench) -> wire::close_run_response::Answer {
    let (client, session, epoch) = (bench.client.clone(), bench.session.clone(), bench.epoch);
    until("the run can be closed", || {
        let mut client = client.clone();
        let request = wire::CloseRunRequest { session: session.clone(), epoch, run: "run".to_owned() };
        async move {
            let answer = client.close_run(request).await.unwrap().into_inner().answer.unwrap();
            matches!(answer, wire::close_run_response::Answer::Closed(_))
        }
    })
    .await;
    close_run(bench).await
}

#[tokio::test]
async fn a_run_is_closed_only_when_everything_is_final_and_acknowledged_and_stays_closed() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Started).await;
    let answer = close_run(&mut bench).await;
    assert!(matches!(answer, wire::close_run_response::Answer::Refused(_)), "still running: {answer:?}");
    bench.script(|world| world.released = true);
    bench.until_state("a", 1, State::Succeeded).await;
    let answer = close_run(&mut bench).await;
    assert!(matches!(answer, wire::close_run_response::Answer::Refused(_)), "not acknowledged: {answer:?}");
    let mut stream = Stream::open(&mut bench, 1).await;
    stream.next_attempt().await;
    let (dseq, _) = stream.next_attempt().await;
    stream.acknowledge(dseq).await;
    until_closed(&mut bench).await;
    bench.kill().await;
    bench.start().await;
    assert!(bench.attach().await.inventory.is_empty());
    bench.until_reachable().await;
    let refused = bench.refusal(bench.request("a", 1, "pour")).await;
    assert_eq!(refused.reason(), wire::RefusalReason::Void, "a closed run takes no more commands");
    assert_eq!(bench.executions(), 1);
}

#[tokio::test]
async fn a_stream_of_an_older_session_ends() {
    let mut bench = Bench::new().await;
    let mut stream = Stream::open(&mut bench, 1).await;
    bench.attach().await;
    let status = loop {
        match stream.events.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it should say why it ends"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn a_doubt_is_resolved_by_a_verdict_and_the_verdict_decides_what_may_follow() {
    for (verdict, expected, next_allowed) in [
        (wire::Verdict::Done, State::ResolvedDone, false),
        (wire::Verdict::NotDone, State::ResolvedNotDone, true),
        (wire::Verdict::Scrapped, State::ResolvedScrapped, false),
    ] {
        let mut bench = Bench::new().await;
        bench.script(|world| world.acts.push_back(Act::End(Err(silent()))));
        bench.accept("a", 1, "pour").await;
        bench.until_state("a", 1, State::InDoubt).await;
        let resolution = wire::Resolution {
            who: "operator".to_owned(),
            inspected: "the vial".to_owned(),
            evidence: vec![],
            note: "weighed it".to_owned(),
            ..Default::default()
        };
        let request = wire::ResolveRequest {
            session: bench.session.clone(),
            epoch: bench.epoch,
            key: Some(key("a", 1)),
            verdict: verdict.into(),
            resolution: Some(resolution),
        };
        for _ in 0..2 {
            let answer = bench.client.resolve(request.clone()).await.unwrap().into_inner().answer.unwrap();
            let wire::resolve_response::Answer::Attempt(attempt) = answer else { panic!("{answer:?}") };
            assert_eq!(attempt.state(), expected);
        }
        let mut stream = Stream::open(&mut bench, 1).await;
        let mut states = Vec::new();
        for _ in 0..3 {
            states.push(state(&stream.next_attempt().await.1));
        }
        assert_eq!(states, [State::Started, State::InDoubt, expected]);
        bench.kill().await;
        bench.start().await;
        assert_eq!(bench.attach().await.inventory[0].state(), expected);
        bench.until_reachable().await;
        if next_allowed {
            bench.accept("a", 2, "pour").await;
        } else {
            let refused = bench.refusal(bench.request("a", 2, "pour")).await;
            assert_eq!(refused.reason(), wire::RefusalReason::Conflict);
        }
    }
}

#[tokio::test]
async fn what_is_not_in_doubt_cannot_be_resolved() {
    let mut bench = Bench::new().await;
    bench.script(|world| world.acts.push_back(Act::Run));
    bench.accept("a", 1, "pour").await;
    bench.until_state("a", 1, State::Started).await;
    let request = wire::ResolveRequest {
        session: bench.session.clone(),
        epoch: bench.epoch,
        key: Some(key("a", 1)),
        verdict: wire::Verdict::NotDone.into(),
        resolution: None,
    };
    let answer = bench.client.resolve(request).await.unwrap().into_inner().answer.unwrap();
    assert!(matches!(answer, wire::resolve_response::Answer::Refused(_)), "{answer:?}");
}

//! Follows the lab: one snapshot kept fresh, however many browsers look, and new attempts for ever while it is away.

use std::sync::Arc;
use std::time::Duration;

use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use ppu_proto::lab::v1::{GetLabRequest, GetLabResponse, WatchRequest, WatchResponse};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::live::Publisher;
use crate::state::{Console, EVENTS_KEPT};

/// At most five snapshots a second: faster changes than that no eye follows.
const COALESCE: Duration = Duration::from_millis(200);
/// At least one snapshot a second: readings change without events.
const REFRESH: Duration = Duration::from_secs(1);
/// A scheduler that takes longer than this for a snapshot counts as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// First and longest wait between attempts to reach the scheduler.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Events fetched from before the console's start.
const HISTORY: u64 = EVENTS_KEPT as u64;

/// Follows the lab until the task is dropped.
pub(crate) async fn follow(console: Arc<Console>) {
    let mut publisher = Publisher::default();
    let mut wait = BACK_OFF.0;
    loop {
        let began = Instant::now();
        let Err(status) = session(&console, &mut publisher).await;
        tracing::warn!(code = ?status.code(), reason = status.message(), "the scheduler is not reachable");
        console.went_away(reason(&status));
        publisher.publish(&console);
        // A session that lasted shows that the address is right: begin with the short wait again.
        wait = if began.elapsed() > BACK_OFF.1 { BACK_OFF.0 } else { (wait * 2).min(BACK_OFF.1) };
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            sleep(left.min(REFRESH)).await;
            publisher.publish(&console);
        }
    }
}

/// What became of a call, in a sentence.
pub(crate) fn reason(status: &Status) -> String {
    match status.code() {
        Code::Unavailable => "no connection".into(),
        Code::DeadlineExceeded => "no answer in time".into(),
        _ if status.message().is_empty() => format!("{:?}", status.code()),
        _ => status.message().to_owned(),
    }
}

async fn session(console: &Console, publisher: &mut Publisher) -> Result<std::convert::Infallible, Status> {
    let mut client = console.client();
    let lab = get_lab(&mut client).await?;
    tracing::info!(lab = lab.name, seq = lab.seq, "following the lab");
    let start = lab.seq.saturating_sub(HISTORY);
    console.connected(lab);
    publisher.publish(console);
    let after = console.last_event().unwrap_or(start);
    let mut stream = watch(&mut client, after).await?;
    let mut tick = interval(COALESCE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fetched = Instant::now();
    let mut pending: Vec<WatchResponse> = Vec::new();
    loop {
        tokio::select! {
            event = stream.message() => match event {
                Ok(Some(event)) => pending.push(event),
                Ok(None) => return Err(Status::unavailable("the stream of events ended")),
                // The lab does not wait for slow readers; it says so, and the log goes on where it stopped.
                Err(status) if status.code() == Code::ResourceExhausted => {
                    let last = pending.last().map(|event| event.seq).or_else(|| console.last_event());
                    stream = watch(&mut client, last.unwrap_or(start)).await?;
                }
                Err(status) => return Err(status),
            },
            _ = tick.tick() => if !pending.is_empty() || fetched.elapsed() >= REFRESH {
                let lab = get_lab(&mut client).await?;
                fetched = Instant::now();
                console.arrived(lab, std::mem::take(&mut pending));
                publisher.publish(console);
            },
        }
    }
}

async fn get_lab(client: &mut LabServiceClient<Channel>) -> Result<GetLabResponse, Status> {
    let answer = timeout(ANSWER_WITHIN, client.get_lab(GetLabRequest {})).await;
    Ok(answer.map_err(|_| Status::deadline_exceeded("no snapshot in time"))??.into_inner())
}

async fn watch(client: &mut LabServiceClient<Channel>, after_seq: u64) -> Result<Streaming<WatchResponse>, Status> {
    let answer = timeout(ANSWER_WITHIN, client.watch(WatchRequest { after_seq })).await;
    Ok(answer.map_err(|_| Status::deadline_exceeded("no stream of events in time"))??.into_inner())
}

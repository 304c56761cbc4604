//! The stream of events: pulled by sequence, acknowledged on the same stream (REL-10).

use std::sync::Arc;
use std::time::Duration;

use ppu_proto::device::v1 as wire;
use ppu_proto::device::v1::events_request::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::shared::Shared;

/// Events on their way to the scheduler; a slower reader makes the sender wait, never the ledger (reliability 14).
const BUFFER: usize = 256;
/// An acknowledgement is on record after this time, where no other commit took it along before.
const RECORDED_WITHIN: Duration = Duration::from_millis(20);

/// Opens the stream: its first message says from where.
pub(super) async fn open(
    shared: Arc<Shared>,
    mut incoming: Streaming<wire::EventsRequest>,
) -> Result<mpsc::Receiver<Result<wire::EventsResponse, Status>>, Status> {
    let first = incoming.message().await?.and_then(|request| request.message);
    let Some(Message::Open(open)) = first else {
        return Err(Status::invalid_argument("the first message must open the stream"));
    };
    if !shared.gate().is_current(&open.session) {
        return Err(Status::failed_precondition("another session is the current one: attach first"));
    }
    let (sender, receiver) = mpsc::channel(BUFFER);
    let acknowledgements = take_acknowledgements(Arc::clone(&shared), open.session.clone(), incoming);
    tokio::spawn(async move {
        tokio::select! {
            () = send_events(&shared, &open, &sender) => {}
            () = acknowledgements => {}
        }
    });
    Ok(receiver)
}

/// Sends what is durable, in order, and waits for more, until the reader is gone or its session is.
async fn send_events(
    shared: &Arc<Shared>,
    open: &wire::EventsOpen,
    sender: &mpsc::Sender<Result<wire::EventsResponse, Status>>,
) {
    let mut grown = shared.ledger.watch_dseq();
    let mut sessions = shared.session_changed.subscribe();
    let mut next = open.from_dseq.max(1);
    loop {
        if !shared.gate().is_current(&open.session) {
            // A reader that is gone need not be told.
            let _ = sender.send(Err(Status::failed_precondition("another session is the current one"))).await;
            return;
        }
        let last = *grown.borrow_and_update();
        let events = match pending(shared, next, last).await {
            Ok(events) => events,
            Err(status) => {
                let _ = sender.send(Err(status)).await;
                return;
            }
        };
        for event in events {
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        next = next.max(last + 1);
        tokio::select! {
            changed = grown.changed() => if changed.is_err() { return },
            changed = sessions.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// The events from `next` to `last`: from memory, or from the log where they were acknowledged before.
async fn pending(shared: &Arc<Shared>, next: u64, last: u64) -> Result<Vec<wire::EventsResponse>, Status> {
    {
        let state = shared.ledger.state();
        if next > state.acknowledged {
            return Ok(state.events_from(next).filter(|event| event.dseq <= last).cloned().collect());
        }
    }
    let (host, shared) = (Arc::clone(&shared.options.host), Arc::clone(shared));
    let read = host.do_blocking(move || shared.ledger.events_between(next, last));
    read.await.map_err(|error| Status::data_loss(crate::ledger::explained(&error)))
}

/// Takes acknowledgements in until the client ends the stream. They are recorded with what is recorded next, or by
/// themselves after a while: a commit of their own for each would make the next command wait.
async fn take_acknowledgements(shared: Arc<Shared>, session: Vec<u8>, mut incoming: Streaming<wire::EventsRequest>) {
    let mut due = None;
    loop {
        let message = tokio::select! {
            message = incoming.message() => match message {
                Ok(Some(request)) => request.message,
                // The client sends nothing more; it may still read.
                Ok(None) if due.is_none() => return std::future::pending().await,
                Err(_) if due.is_none() => return,
                Ok(None) | Err(_) => None,
            },
            () = until(due) => None,
        };
        let Some(Message::AcknowledgedDseq(dseq)) = message else {
            if due.take().is_some() {
                let shared = Arc::clone(&shared);
                // In a task of its own: a commit that was begun is taken in even when the stream breaks meanwhile.
                let recorded = tokio::spawn(async move {
                    if let Err(error) = shared.ledger.record_acknowledged().await {
                        tracing::warn!(%error, "an acknowledgement was not recorded");
                    }
                });
                if recorded.await.is_err() {
                    return;
                }
            }
            continue;
        };
        if dseq <= shared.ledger.state().last_dseq && shared.gate().is_current(&session) {
            shared.ledger.acknowledge(dseq);
            due.get_or_insert_with(|| Instant::now() + RECORDED_WITHIN);
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

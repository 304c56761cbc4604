//! The event log.

use ppu_proto::lab::v1::WatchResponse;

use super::format::label;
use super::when::When;
use super::words::{self, StateView};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventView {
    /// Sequence in the journal.
    pub seq: u64,
    /// When.
    pub time: When,
    /// Kind as words.
    pub kind: String,
    /// One line for people.
    pub text: String,
    /// How much it asks of the reader.
    pub severity: StateView,
    /// Whether it is more than information.
    pub marked: bool,
    /// Run concerned; empty for none.
    pub run: String,
    /// Campaign concerned; empty for none.
    pub campaign: String,
    /// Device concerned; empty for none.
    pub device: String,
}

/// The last `count` events, the newest first.
pub fn events<'a>(events: impl DoubleEndedIterator<Item = &'a WatchResponse>, count: usize) -> Vec<EventView> {
    events.rev().take(count).map(event).collect()
}

fn event(event: &WatchResponse) -> EventView {
    let severity = words::severity(event.severity());
    EventView {
        seq: event.seq,
        time: When(event.time_ms),
        kind: label(&event.kind),
        text: event.text.clone(),
        severity,
        marked: severity.class() != "quiet",
        run: event.run.clone(),
        campaign: event.campaign.clone(),
        device: event.device.clone(),
    }
}

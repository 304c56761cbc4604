//! What the console knows of the lab, with the time of the last contact: the only state besides the open sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use ppu_proto::lab::v1::{GetLabResponse, WatchResponse};
use tokio::sync::broadcast;
use tonic::transport::Channel;

use crate::live::Update;
use crate::security::Security;
use crate::view::stop::StopReport;

/// Events kept for the log: some hours of a busy lab, a few hundred kilobytes.
pub(crate) const EVENTS_KEPT: usize = 500;
/// Updates that a slow browser may lag behind before it is sent everything anew.
const UPDATES_KEPT: usize = 64;

/// Shared by the routes and the task that follows the lab.
#[derive(Debug)]
pub(crate) struct Console {
    /// Name given to the lab with every decision made here.
    pub(crate) operator: String,
    /// What requests are checked against.
    pub(crate) security: Security,
    /// Rendered fragments, for every open socket.
    pub(crate) updates: broadcast::Sender<Arc<Update>>,
    client: LabServiceClient<Channel>,
    known: Mutex<Known>,
}

/// A consistent picture of what is known; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The last snapshot; absent before the first contact.
    pub(crate) lab: Option<Arc<GetLabResponse>>,
    /// The last events, the oldest first.
    pub(crate) events: Arc<VecDeque<WatchResponse>>,
    /// Unix milliseconds of the last answer; 0 before the first contact.
    pub(crate) contact_ms: i64,
    /// Set while the scheduler is away.
    pub(crate) lost: Option<Lost>,
    /// The last STOP ALL of this console.
    pub(crate) stop: Option<Arc<StopReport>>,
}

/// The scheduler is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Since when: the last contact, or the start of the console. Unix milliseconds.
    pub(crate) since_ms: i64,
    /// Why, for people.
    pub(crate) error: String,
}

impl Console {
    pub(crate) fn new(operator: String, security: Security, client: LabServiceClient<Channel>) -> Self {
        let known =
            Known { lost: Some(Lost { since_ms: now_ms(), error: "not reached yet".into() }), ..Known::default() };
        Self { operator, security, client, updates: broadcast::Sender::new(UPDATES_KEPT), known: Mutex::new(known) }
    }

    /// A handle for calls; handles share one connection.
    pub(crate) fn client(&self) -> LabServiceClient<Channel> {
        self.client.clone()
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Takes in the first snapshot of a session. Sequences never go back in one journal: a lab that is behind the events
    /// known here has another one, and the old events are not its.
    pub(crate) fn connected(&self, lab: GetLabResponse) {
        if self.last_event().is_some_and(|last| lab.seq < last) {
            self.lock().events = Arc::default();
        }
        self.arrived(lab, Vec::new());
    }

    /// Takes in a snapshot and the events that came with it.
    pub(crate) fn arrived(&self, lab: GetLabResponse, events: Vec<WatchResponse>) {
        let mut known = self.lock();
        known.contact_ms = now_ms();
        known.lost = None;
        let log = Arc::make_mut(&mut known.events);
        for event in events {
            if log.back().is_none_or(|last| last.seq < event.seq) {
                log.push_back(event);
            }
        }
        while log.len() > EVENTS_KEPT {
            log.pop_front();
        }
        known.lab = Some(Arc::new(lab));
    }

    /// Takes note that the scheduler is away; what was known stays, with its age.
    pub(crate) fn went_away(&self, error: String) {
        let mut known = self.lock();
        let since_ms = match &known.lost {
            Some(lost) => lost.since_ms,
            None => known.contact_ms,
        };
        known.lost = Some(Lost { since_ms, error });
    }

    /// Sequence after which events are wanted.
    pub(crate) fn last_event(&self) -> Option<u64> {
        self.lock().events.back().map(|event| event.seq)
    }

    /// Keeps the answer to STOP ALL, so that every tab can show it.
    pub(crate) fn stopped(&self, report: StopReport) {
        self.lock().stop = Some(Arc::new(report));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while the lock is held, and a half-taken snapshot is still a snapshot.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of the console, in Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

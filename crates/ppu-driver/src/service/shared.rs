//! What the server, the instrument task and telemetry share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ppu_core::{ActionClass, AttemptState, CommandKey, Manifest, Value};
use ppu_proto::device::v1 as wire;
use ppu_store::{AnyDisk, ArtifactStore};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::gate::Gate;
use crate::instrument::Reading;
use crate::ledger::Ledger;
use crate::options::DriverOptions;

/// A wish for the safe state, on a lane of its own so that it is never behind bulk.
#[derive(Debug)]
pub(crate) struct SafeRequest {
    pub(crate) who: String,
    pub(crate) reason: String,
    /// Told whether the device confirmed it; `None` for the watchdog, which does not wait.
    pub(crate) answer: Option<oneshot::Sender<wire::MakeSafeResponse>>,
}

/// A wish for fresh readings.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    pub(crate) answer: oneshot::Sender<()>,
}

/// A property value with its time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredReading {
    /// `None` until it was read for the first time.
    pub(crate) value: Option<Value>,
    pub(crate) time_ms: i64,
    /// Whether the instrument answered when it was last asked.
    pub(crate) good: bool,
}

/// What is known of the instrument.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contact {
    /// Whether it answered when it was last asked.
    pub(crate) reachable: bool,
    /// Why not.
    pub(crate) why: String,
    /// As it told it itself.
    pub(crate) serial_number: String,
    /// The command that is being carried out.
    pub(crate) running: Option<CommandKey>,
}

/// What the server, the instrument task and telemetry share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: DriverOptions,
    pub(crate) manifest: Manifest,
    pub(crate) ledger: Ledger,
    pub(crate) artifacts: ArtifactStore<AnyDisk>,
    gate: Mutex<Gate>,
    contact: Mutex<Contact>,
    readings: Mutex<BTreeMap<String, StoredReading>>,
    /// Wakes the instrument task to look at everything again.
    pub(crate) wake: Notify,
    /// Whether attempts found STARTED at the start are settled as far as Attach must wait for it (REL-8).
    pub(crate) reconciled: watch::Sender<bool>,
    /// Becomes true when the running command should end.
    pub(crate) abort: watch::Sender<bool>,
    /// Changes with each new session, so that streams of the one before end.
    pub(crate) session_changed: watch::Sender<u64>,
    /// Changes with readings, contact and state, for telemetry.
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) safe_lane: mpsc::Sender<SafeRequest>,
    pub(crate) read_lane: mpsc::Sender<ReadRequest>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        options: DriverOptions,
        manifest: Manifest,
        ledger: Ledger,
        artifacts: ArtifactStore<AnyDisk>,
        safe_lane: mpsc::Sender<SafeRequest>,
        read_lane: mpsc::Sender<ReadRequest>,
    ) -> Arc<Self> {
        let nothing = StoredReading { value: None, time_ms: 0, good: false };
        let readings = manifest.properties.iter().map(|property| (property.name.clone(), nothing.clone())).collect();
        let contact = Contact { why: "the instrument was not asked yet".to_owned(), ..Contact::default() };
        Arc::new(Self {
            gate: Mutex::new(Gate::new(options.start_watchdog, options.safe_watchdog)),
            contact: Mutex::new(contact),
            readings: Mutex::new(readings),
            wake: Notify::new(),
            reconciled: watch::Sender::new(false),
            abort: watch::Sender::new(false),
            session_changed: watch::Sender::new(0),
            changed: watch::Sender::new(0),
            options,
            manifest,
            ledger,
            artifacts,
            safe_lane,
            read_lane,
        })
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    pub(crate) fn contact(&self) -> Contact {
        lock(&self.contact).clone()
    }

    /// Changes what is known of the instrument and tells telemetry.
    pub(crate) fn set_contact(&self, change: impl FnOnce(&mut Contact)) {
        change(&mut lock(&self.contact));
        self.touch();
    }

    pub(crate) fn readings(&self) -> BTreeMap<String, StoredReading> {
        lock(&self.readings).clone()
    }

    /// Takes in what the instrument said; a property that the manifest does not have is dropped.
    pub(crate) fn store_readings(&self, fresh: Vec<Reading>) {
        let time_ms = self.options.host.wall_ms();
        let mut readings = lock(&self.readings);
        for reading in fresh {
            match readings.get_mut(reading.name) {
                Some(stored) => *stored = StoredReading { value: Some(reading.value), time_ms, good: true },
                None => tracing::debug!(property = reading.name, "a reading that the manifest does not declare"),
            }
        }
        drop(readings);
        self.touch();
    }

    /// Marks every reading as not to be believed: the instrument does not answer.
    pub(crate) fn doubt_readings(&self) {
        lock(&self.readings).values_mut().for_each(|reading| reading.good = false);
        self.touch();
    }

    /// Class of the command that is being carried out.
    pub(crate) fn running_class(&self) -> Option<ActionClass> {
        let key = self.contact().running?;
        let state = self.ledger.state();
        let command = &state.attempt(&key)?.command;
        self.manifest.command(&command.capability, &command.command).map(|spec| spec.class)
    }

    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Why nothing can be promised; `None` when all is well.
    pub(crate) fn degraded(&self) -> Option<String> {
        if let Some(why) = self.ledger.degraded() {
            return Some(why);
        }
        if let Some(why) = self.ledger.state().why_stopped() {
            return Some(why);
        }
        let contact = self.contact();
        if !contact.reachable {
            return Some(format!("the instrument cannot be reached: {}", contact.why));
        }
        self.gate().check(self.options.host.boot_ns()).err().map(|shut| shut.to_string())
    }

    /// What the device is doing, in the names of PackML.
    pub(crate) fn device_state(&self) -> wire::DeviceState {
        let contact = self.contact();
        let (made_safe, doubt) = {
            let state = self.ledger.state();
            (state.made_safe, state.live_in(AttemptState::InDoubt).is_some())
        };
        if made_safe {
            wire::DeviceState::Aborted
        } else if !contact.reachable {
            wire::DeviceState::Unreachable
        } else if contact.running.is_some() {
            wire::DeviceState::Execute
        } else if doubt {
            wire::DeviceState::Held
        } else if self.gate().check(self.options.host.boot_ns()).is_err() {
            wire::DeviceState::Suspended
        } else {
            wire::DeviceState::Idle
        }
    }
}

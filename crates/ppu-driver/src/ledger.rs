//! The durable word of a driver: a log of [`LedgerRecord`]s and what it says, rebuilt by replay.
//!
//! Every change goes through a [`Turn`]: decide on the current state, append, wait for the disk, take in. Turns follow one
//! another, so a decision never rests on a state that another change is about to replace.

mod state;

pub use state::{Attempt, LedgerState, RecordError};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ppu_core::DeviceId;
use ppu_host::Host;
use ppu_proto::journal::v1::{
    DriverBooted, LedgerAcknowledged, LedgerCreated, LedgerRecord, LedgerTailCut, ledger_record::Event,
};
use ppu_store::{
    AppendError, Disk, Log, LogId, LogOptions, LogReader, LogWriter, OpenError, Preparation, ReadError, SequenceRange,
};
use prost::Message as _;
use tokio::sync::{Mutex, MutexGuard, oneshot, watch};

/// A ledger grows by about a kilobyte a step, so 1 MiB is a week of a busy instrument.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerOpenError {
    /// The log could not be opened.
    #[error("could not open the ledger in {}", directory.display())]
    Log {
        /// Directory of the ledger.
        directory: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// The log could not be read.
    #[error("could not read the ledger")]
    Read(#[from] ReadError),
    /// A record is not a ledger record.
    #[error("record {dseq} of the ledger cannot be decoded")]
    Decode {
        /// Its sequence.
        dseq: u64,
        /// Why not.
        source: prost::DecodeError,
    },
    /// A record contradicts the ones before it.
    #[error("record {dseq} of the ledger contradicts the ones before it")]
    Record {
        /// Its sequence.
        dseq: u64,
        /// How.
        source: RecordError,
    },
    /// The ledger belongs to another device.
    #[error("the ledger belongs to the device `{found}`, not to `{expected}`")]
    OtherDevice {
        /// Device that was to be served.
        expected: DeviceId,
        /// Device in the ledger.
        found: String,
    },
    /// The thread of the log could not be started.
    #[error("could not start the thread of the ledger")]
    Thread(#[source] std::io::Error),
    /// The start could not be recorded.
    #[error("could not record the start of the driver")]
    Boot(#[source] CommitError),
}

/// Why something was not recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// It contradicts what the ledger says: nothing was written.
    #[error("the ledger does not allow it")]
    Record(#[from] RecordError),
    /// The log did not take it.
    #[error("the ledger could not be written")]
    Append(#[from] AppendError),
}

impl CommitError {
    /// Whether the process must exit (LOG-4): the disk failed, or the ledger is closed.
    pub fn is_fatal(&self) -> bool {
        matches!(self, CommitError::Append(AppendError::Failed(_) | AppendError::Poisoned(_) | AppendError::Closed))
    }
}

type ReadRecords = dyn Fn(u64, u64) -> Result<Vec<(u64, LedgerRecord)>, LedgerOpenError> + Send + Sync;

/// The ledger of one device.
pub struct Ledger {
    host: Arc<dyn Host>,
    writer: RwLock<Option<LogWriter>>,
    read: Box<ReadRecords>,
    state: RwLock<LedgerState>,
    turn: Mutex<()>,
    last_dseq: watch::Sender<u64>,
    /// Largest sequence that the scheduler has acknowledged, recorded or not.
    acknowledged: AtomicU64,
    failed: watch::Sender<Option<String>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("last_dseq", &*self.last_dseq.borrow()).finish_non_exhaustive()
    }
}

/// The right to change the ledger; others wait until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    ledger: &'a Ledger,
    _alone: MutexGuard<'a, ()>,
}

impl Ledger {
    /// Opens or makes the ledger, replays it, and records the start of the driver. Blocks on the disk.
    pub fn open<D: Disk>(
        host: Arc<dyn Host>,
        disk: D,
        directory: &Path,
        device: &DeviceId,
    ) -> Result<Ledger, LedgerOpenError> {
        let options = LogOptions::create(LogId(host.random())).with_segment_bytes(SEGMENT_BYTES);
        let (log, opened) = Log::open(disk, directory, options)
            .map_err(|source| LedgerOpenError::Log { directory: directory.to_owned(), source })?;
        let reader = log.reader();
        let mut state = LedgerState::default();
        for (dseq, record) in read_records(&reader, 1, u64::MAX)? {
            state.apply(dseq, &record).map_err(|source| LedgerOpenError::Record { dseq, source })?;
        }
        let mut first = Vec::new();
        if let Some(cut) = &opened.tail_cut {
            first.push(Event::TailCut(LedgerTailCut { bytes: cut.bytes }));
        }
        // A crash between the creation of the log and its first record leaves an empty log behind.
        if state.ledger_id.is_empty() {
            let created = LedgerCreated { ledger_id: opened.id.0.to_vec(), device: device.to_string() };
            first.push(Event::Created(created));
        } else if state.device != device.as_str() {
            return Err(LedgerOpenError::OtherDevice { expected: device.clone(), found: state.device });
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let nonce: [u8; 16] = host.random();
        let machine_boot = host.machine_boot();
        let booted = DriverBooted { boot: state.boot + 1, version, machine_boot, nonce: nonce.to_vec() };
        first.push(Event::Booted(booted));
        let writer = if host.has_threads() {
            LogWriter::spawn(log).map_err(LedgerOpenError::Thread)?
        } else {
            LogWriter::without_thread(log)
        };
        let records = stamped(&*host, first);
        let range = writer.append(encoded(&records)).map_err(|error| LedgerOpenError::Boot(error.into()))?;
        for (dseq, record) in range.iter().zip(&records) {
            state.apply(dseq, record).map_err(|source| LedgerOpenError::Record { dseq, source })?;
        }
        Ok(Ledger {
            host,
            writer: RwLock::new(Some(writer)),
            read: Box::new(move |from, to| read_records(&reader, from, to)),
            last_dseq: watch::Sender::new(state.last_dseq),
            acknowledged: AtomicU64::new(state.acknowledged),
            state: RwLock::new(state),
            turn: Mutex::new(()),
            failed: watch::Sender::new(None),
        })
    }

    /// What the ledger says now. Hold it briefly, never over an await.
    pub fn state(&self) -> RwLockReadGuard<'_, LedgerState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to change the ledger.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { _alone: self.turn.lock().await, ledger: self }
    }

    /// Records events that nothing has to be decided for.
    pub async fn commit(&self, events: Vec<Event>) -> Result<SequenceRange, CommitError> {
        self.turn().await.commit(events).await
    }

    /// Events for the scheduler from a sequence on, also those that were acknowledged. May read the disk.
    pub fn events_between(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<ppu_proto::device::v1::EventsResponse>, LedgerOpenError> {
        // Replaying into an empty projection keeps the one way from records to events.
        let mut events = Vec::new();
        let mut state = LedgerState::default();
        for (dseq, record) in (self.read)(1, to)? {
            if matches!(record.event, Some(Event::Acknowledged(_))) {
                continue;
            }
            state.apply(dseq, &record).map_err(|source| LedgerOpenError::Record { dseq, source })?;
            events.extend(state.events_from(dseq.max(from)).cloned());
        }
        Ok(events)
    }

    /// Takes an acknowledgement in. It is recorded with the next commit, because nothing is lost when it is not: what was
    /// acknowledged and is not known to be is offered again.
    pub fn acknowledge(&self, dseq: u64) {
        self.acknowledged.fetch_max(dseq, Ordering::Relaxed);
    }

    /// Everything up to here is durable at the scheduler.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Records what was acknowledged and is not on record yet.
    pub async fn record_acknowledged(&self) -> Result<(), CommitError> {
        let mut turn = self.turn().await;
        let is_owed = self.acknowledged() > turn.state().acknowledged;
        if is_owed { turn.commit(Vec::new()).await.map(drop) } else { Ok(()) }
    }

    /// Sequence of the last record, as it grows.
    pub fn watch_dseq(&self) -> watch::Receiver<u64> {
        self.last_dseq.subscribe()
    }

    /// Why the ledger failed, once it has: the process must exit then (LOG-4).
    pub fn watch_failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    /// Why nothing new can be promised, as far as the disk is concerned (LOG-5).
    pub fn degraded(&self) -> Option<String> {
        if let Some(why) = &*self.failed.borrow() {
            return Some(why.clone());
        }
        let writer = self.writer.read().unwrap_or_else(PoisonError::into_inner);
        match writer.as_ref().map(LogWriter::status) {
            None => Some("the ledger is closed".to_owned()),
            Some(status) if matches!(status.next_segment, Preparation::Failed(_)) => {
                Some("no space could be reserved for the ledger".to_owned())
            }
            Some(_) => None,
        }
    }

    /// Writes what is queued and releases the lock of the directory; later commits fail. Blocks on the disk.
    pub fn close(&self) {
        let writer = self.writer.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = writer.map(LogWriter::close) {
            tracing::error!(%error, "the ledger was not closed properly");
        }
    }

    async fn append(&self, records: &[LedgerRecord]) -> Result<SequenceRange, AppendError> {
        let (sender, receiver) = oneshot::channel();
        {
            let writer = self.writer.read().unwrap_or_else(PoisonError::into_inner);
            let writer = writer.as_ref().ok_or(AppendError::Closed)?;
            // The receiver can be gone only when the task was aborted, which nobody has to be told.
            writer.submit(encoded(records), Box::new(move |result| drop(sender.send(result))));
        }
        receiver.await.unwrap_or(Err(AppendError::Closed))
    }
}

impl Turn<'_> {
    /// What the ledger says now; it stays so until this turn changes it.
    pub fn state(&self) -> RwLockReadGuard<'_, LedgerState> {
        self.ledger.state()
    }

    /// Records events, all or none: returns when they are durable and taken in. An acknowledgement that is not on record
    /// yet goes before them.
    pub async fn commit(&mut self, mut events: Vec<Event>) -> Result<SequenceRange, CommitError> {
        let dseq = self.ledger.acknowledged();
        let owed = u64::from(dseq > self.state().acknowledged);
        if owed > 0 {
            events.insert(0, Event::Acknowledged(LedgerAcknowledged { dseq }));
        }
        let records = stamped(&*self.ledger.host, events);
        // What replay would refuse must never reach the log, so it is tried on a copy first.
        let mut next = self.state().clone();
        for (record, dseq) in records.iter().zip(next.last_dseq + 1..) {
            next.apply(dseq, record)?;
        }
        let range = match self.ledger.append(&records).await {
            Ok(range) => range,
            Err(error) => {
                let error = CommitError::from(error);
                if error.is_fatal() {
                    let why = explained(&error);
                    tracing::error!(error = why, "the ledger failed: nothing more can be promised");
                    self.ledger.failed.send_replace(Some(why));
                }
                return Err(error);
            }
        };
        *self.ledger.state.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.ledger.last_dseq.send_replace(range.last);
        Ok(SequenceRange { first: range.first + owed, last: range.last })
    }
}

/// An error with its causes in one line.
pub(crate) fn explained(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

fn stamped(host: &dyn Host, events: Vec<Event>) -> Vec<LedgerRecord> {
    let (wall_ns, boot_ns) = (host.wall_ns(), host.boot_ns());
    events.into_iter().map(|event| LedgerRecord { wall_ns, boot_ns, event: Some(event) }).collect()
}

fn encoded(records: &[LedgerRecord]) -> Vec<Vec<u8>> {
    records.iter().map(prost::Message::encode_to_vec).collect()
}

fn read_records<D: Disk>(
    reader: &LogReader<D>,
    from: u64,
    to: u64,
) -> Result<Vec<(u64, LedgerRecord)>, LedgerOpenError> {
    let mut records = Vec::new();
    for entry in reader.read_from(from)? {
        let entry = entry?;
        let dseq = entry.sequence;
        if dseq > to {
            break;
        }
        let record =
            LedgerRecord::decode(entry.body.as_slice()).map_err(|source| LedgerOpenError::Decode { dseq, source })?;
        records.push((dseq, record));
    }
    Ok(records)
}

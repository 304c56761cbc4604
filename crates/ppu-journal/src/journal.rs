//! The journal of an open lab.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ppu_core::ArtifactHash;
use ppu_engine::Fact;
use ppu_host::{Host, RealHost};
use ppu_proto::journal::v1 as wire;
use ppu_store::{
    AnyDisk, AppendError, ArtifactStore, Disk, Entries, Log, LogId, LogOptions, LogReader, LogStatus, LogWriter,
    MAX_RECORD_BYTES, Opened, ReadError, SequenceRange,
};
use prost::Message as _;
use tokio::sync::oneshot;

use crate::JournalError;
use crate::convert::{Origin, SCHEDULER, event_name, fact_to_record, read_record};
use crate::error::from_store;
use crate::index::{self, Examined, IndexError, IndexStatus, Keeper, Wanted};
use crate::record::fact_of;
use crate::subject::Subject;
use crate::{layout, origin, repair};

pub(crate) type Lock = <AnyDisk as Disk>::Lock;

/// How a journal is opened.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Length of a new segment of the log, in bytes. A record must fit a segment.
    pub segment_bytes: u64,
    /// The computer under the process.
    pub host: Arc<dyn Host>,
    /// Where log and artifacts are written.
    pub disk: AnyDisk,
    /// Whether an index is kept, which always lies on the disk of the operating system. Without one, lookups read the log.
    pub index: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: ppu_store::DEFAULT_SEGMENT_BYTES,
            host: Arc::new(RealHost),
            disk: AnyDisk::real(),
            index: true,
        }
    }
}

/// The durable record of a lab; cheap to clone. When the last clone is dropped, what is queued is still written and the
/// lock is released.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped in this order: the log ends, then the index, and the lock goes last.
    writer: LogWriter,
    keeper: Keeper,
    reader: LogReader<AnyDisk>,
    artifacts: ArtifactStore<AnyDisk>,
    host: Arc<dyn Host>,
    boot_id: Vec<u8>,
    directory: PathBuf,
    _lock: Lock,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What opening a journal found.
#[derive(Debug)]
pub struct Recovery {
    /// Every fact with its sequence, in order, for replay. Sequences may have gaps: not every record is a fact.
    pub facts: Facts,
    /// What recovery did, for the log of the process.
    pub notes: Vec<String>,
}

/// Facts in order. After an error it ends.
pub struct Facts {
    entries: Entries<AnyDisk>,
    ended: bool,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Facts")
    }
}

impl Iterator for Facts {
    type Item = Result<(u64, Fact), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let read = match self.entries.next()? {
                Ok(entry) => fact_of(&entry).map(|fact| fact.map(|fact| (entry.sequence, fact))),
                Err(error) => Err(error.into()),
            };
            self.ended = read.is_err();
            if let Some(item) = read.transpose() {
                return Some(item);
            }
        }
        None
    }
}

impl Journal {
    /// Opens the journal of a directory, which is made if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::InUse`]; [`JournalError::Corrupt`] and [`JournalError::TailLost`], which only a person can resolve;
    /// or the disk failed.
    pub fn open(directory: &Path) -> Result<(Journal, Recovery), JournalError> {
        Self::open_with(directory, &JournalOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(directory: &Path, options: &JournalOptions) -> Result<(Journal, Recovery), JournalError> {
        let JournalOptions { segment_bytes, host, disk, index } = options.clone();
        let lock = lock(&disk, directory)?;
        let mut notes = Vec::new();
        repair::finish(directory, &mut notes)?;
        let artifacts = ArtifactStore::open(disk.clone(), layout::artifacts(directory))?;
        let unfinished = artifacts.clear_incoming()?;
        if unfinished > 0 {
            notes.push(format!("{unfinished} artifacts that were half written were removed"));
        }
        let found = index.then(|| index::examine(&layout::index(directory)));
        let at_least = found.as_ref().map_or(Ok(0), |found| known_to_be_durable(&disk, directory, found))?;
        let log_options =
            LogOptions::create(LogId(host.random())).with_segment_bytes(segment_bytes).with_at_least(at_least);
        let (mut log, opened) = Log::open(disk, layout::log(directory), log_options)?;
        let boot_id = origin::boot_id(&host.machine_boot());
        take_note(&mut log, &opened, &*host, &boot_id, &mut notes)?;
        let reader = log.reader();
        let facts = Facts { entries: reader.read_from(1)?, ended: false };
        let keeper = match found {
            Some(found) => found.keep(&reader, &mut notes)?,
            None => Keeper::without_index("no index is kept".to_owned()),
        };
        let writer = if host.has_threads() {
            LogWriter::spawn(log).map_err(JournalError::Thread)?
        } else {
            LogWriter::without_thread(log)
        };
        let directory = directory.to_owned();
        let inner = Inner { writer, keeper, reader, artifacts, host, boot_id, directory, _lock: lock };
        Ok((Journal { inner: Arc::new(inner) }, Recovery { facts, notes }))
    }

    /// Appends facts, all of them or none, and waits until they are durable.
    ///
    /// # Errors
    /// [`JournalError::FactTooLarge`], [`JournalError::FactUnreadable`], [`JournalError::Append`]; see
    /// [`JournalError::is_fatal`].
    pub async fn append(&self, facts: &[Fact]) -> Result<SequenceRange, JournalError> {
        self.append_traced(facts, "").await
    }

    /// The same for a request with a W3C trace context.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn append_traced(&self, facts: &[Fact], traceparent: &str) -> Result<SequenceRange, JournalError> {
        let origin = Origin {
            boot_ns: self.inner.host.boot_ns(),
            boot_id: self.inner.boot_id.clone(),
            traceparent: traceparent.to_owned(),
        };
        let records = facts.iter().map(|fact| encode(fact, &origin)).collect::<Result<Vec<_>, _>>()?;
        let (sender, durable) = oneshot::channel();
        let wake_index = self.inner.keeper.waker();
        let completion = move |result| {
            wake_index();
            // Whoever waited may be gone; the facts are in the log all the same.
            let _taken = sender.send(result);
        };
        self.inner.writer.submit(records, Box::new(completion));
        let result = durable.await.unwrap_or(Err(AppendError::Closed));
        result.map_err(|error| match error {
            AppendError::RecordTooLarge { index, bytes, limit } => {
                JournalError::FactTooLarge { event: event_name(&facts[index].event), bytes, limit }
            }
            other => JournalError::Append(other),
        })
    }

    /// Durable facts with a higher sequence than `after`, `limit` of them at most. Blocks on the disk.
    ///
    /// # Errors
    /// The log could not be read or understood.
    pub fn facts_after(&self, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, JournalError> {
        let entries = self.inner.reader.read_from(after.saturating_add(1))?;
        Facts { entries, ended: false }.take(limit).collect()
    }

    /// All durable facts about a subject, in order. Blocks on the disk.
    ///
    /// # Errors
    /// The log could not be read or understood. Trouble with the index is no error: the log is read instead.
    pub fn history_of(&self, subject: Subject) -> Result<Vec<(u64, Fact)>, JournalError> {
        self.history_page(&subject, 0, usize::MAX)
    }

    /// The same in pages: facts with a higher sequence than `after`, `limit` at most.
    ///
    /// # Errors
    /// As [`Journal::history_of`].
    pub fn history_page(&self, subject: &Subject, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, JournalError> {
        let Inner { reader, keeper, .. } = &*self.inner;
        let wanted = Wanted { subject, after, limit };
        if let Some(index) = keeper.index() {
            match index::history(reader, &index, wanted) {
                Err(IndexError::Log(error)) => return Err(*error),
                Err(error) => keeper.condemn(&error),
                Ok(facts) => return Ok(facts),
            }
        }
        index::history_without_index(reader, wanted)
    }

    /// How the index fares.
    pub fn index_status(&self) -> IndexStatus {
        self.inner.keeper.status()
    }

    /// Waits until the index has applied all that is durable now; `false` where that does not happen in time. Nothing needs
    /// this, because lookups read from the log what the index does not have yet; it is for maintenance and tests.
    pub fn wait_for_index(&self, limit: Duration) -> bool {
        self.inner.keeper.wait_for(self.status().next_sequence - 1, limit)
    }

    /// Stores raw data; durable on return. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn store_artifact(&self, bytes: &[u8]) -> Result<ArtifactHash, JournalError> {
        Ok(from_store(self.inner.artifacts.put(bytes)?.hash))
    }

    /// Raw data, verified against their name. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError::ArtifactNotFound`], [`JournalError::ArtifactQuarantined`], or the disk failed.
    pub fn artifact(&self, hash: &ArtifactHash) -> Result<Vec<u8>, JournalError> {
        Ok(self.inner.artifacts.get(&ppu_store::ArtifactHash(*hash.as_bytes()))?)
    }

    /// How the log fares: what waits, what is durable, how much space is reserved.
    pub fn status(&self) -> LogStatus {
        self.inner.writer.status()
    }
}

/// The last sequence that the index has seen of this very log. A log that is gone altogether cannot be named, and an index
/// that has seen anything is then proof that there was one.
fn known_to_be_durable(disk: &AnyDisk, directory: &Path, found: &Examined) -> Result<u64, JournalError> {
    let Some((log, known)) = found.witness() else { return Ok(0) };
    match LogReader::open(disk.clone(), layout::log(directory)) {
        Ok(reader) if reader.id() == log => Ok(known),
        Err(ReadError::NotFound(_)) if known > 0 => Err(JournalError::TailLost { known, found: 0 }),
        // Another log, or damage that opening it finds and names.
        Ok(_) | Err(_) => Ok(0),
    }
}

pub(crate) fn lock(disk: &AnyDisk, directory: &Path) -> Result<Lock, JournalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Directory { path, source }
    };
    disk.create_dir_all(directory).map_err(failed(directory))?;
    let path = layout::lock(directory);
    let lock = disk.try_lock(&path).map_err(failed(&path))?;
    lock.ok_or_else(|| JournalError::InUse(directory.to_owned()))
}

/// Puts what recovery did on record and into words.
fn take_note(
    log: &mut Log<AnyDisk>,
    opened: &Opened,
    host: &dyn Host,
    boot_id: &[u8],
    notes: &mut Vec<String>,
) -> Result<(), JournalError> {
    if opened.created {
        notes.push(format!("a new journal was begun: log {}", opened.id));
    }
    if opened.head_fallback {
        notes.push("one slot of HEAD was unreadable; the other one served".to_owned());
    }
    if opened.rewritten_records > 0 {
        notes.push(format!("{} records beyond HEAD were written again and synced", opened.rewritten_records));
    }
    if let Some(cut) = &opened.tail_cut {
        let saved_as = cut.saved_as.display().to_string();
        notes.push(format!(
            "{} bytes of a write that was never acknowledged were cut from the end of the journal and saved as {saved_as}",
            cut.bytes
        ));
        let said = wire::JournalTailCut {
            sequence: cut.sequence,
            segment: cut.segment,
            offset: cut.offset,
            bytes: cut.bytes,
            saved_as,
        };
        let record = wire::JournalRecord {
            wall_ms: host.wall_ms(),
            boot_ns: host.boot_ns(),
            boot_id: boot_id.to_vec(),
            actor: SCHEDULER.to_owned(),
            traceparent: String::new(),
            event: Some(wire::journal_record::Event::TailCut(said)),
        };
        log.append(&[record.encode_to_vec()]).map_err(JournalError::Append)?;
    }
    Ok(())
}

/// The bytes of a fact. What could not be read back is refused here, because a journal that holds it could not be replayed.
pub(crate) fn encode(fact: &Fact, origin: &Origin) -> Result<Vec<u8>, JournalError> {
    let event = event_name(&fact.event);
    let record = fact_to_record(fact, origin);
    let bytes = record.encode_to_vec();
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(JournalError::FactTooLarge { event, bytes: bytes.len(), limit: MAX_RECORD_BYTES });
    }
    read_record(&record).map_err(|source| JournalError::FactUnreadable { event, source })?;
    Ok(bytes)
}

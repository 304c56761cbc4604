//! The thread that lets the index follow the log. It reads what is durable and is only told that there is more, so no queue
//! can overflow, and catching up after a start is the same as keeping up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ppu_store::{ChainHead, Disk, LogReader};

use super::links::{Link, Links};
use super::{Applied, Index, IndexError};
use crate::record::fact_of;
use crate::subject::{Subject, run_of};

/// Records of one step, as many as one batch of the log holds at most: lookups and a stop wait for no more.
const RECORDS_AT_ONCE: usize = ppu_store::MAX_BATCH_RECORDS;

/// What is appended within this time is applied together.
const GATHERED_FOR: Duration = Duration::from_millis(10);

/// How the index fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexStatus {
    /// The last sequence that it has applied. Lookups read what came later from the log.
    pub applied: u64,
    /// Why it is not used until the next start, where it is not: lookups read the log from its beginning then.
    pub problem: Option<String>,
}

/// The thread, and the index that it keeps.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// `None` once it is not to be used any more.
    index: Option<Arc<Index>>,
    status: IndexStatus,
}

impl Keeper {
    /// Lets an index follow a log from where it is.
    pub(crate) fn start<D: Disk>(index: Index, applied: Applied, reader: LogReader<D>) -> std::io::Result<Self> {
        let index = Arc::new(index);
        let status = IndexStatus { applied: applied.sequence, problem: None };
        let state = Mutex::new(State { index: Some(index.clone()), status });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), stop: AtomicBool::new(false) });
        let (wake, woken) = sync_channel(1);
        let ours = shared.clone();
        let work = move || keep(&index, applied, &reader, &woken, &ours);
        let thread = thread::Builder::new().name("ppu-index".to_owned()).spawn(work)?;
        Ok(Self { shared, wake: Some(wake), thread: Some(thread) })
    }

    /// A keeper of nothing: every lookup reads the log.
    pub(crate) fn without_index(problem: String) -> Self {
        let status = IndexStatus { applied: 0, problem: Some(problem) };
        let state = Mutex::new(State { index: None, status });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), stop: AtomicBool::new(true) });
        Self { shared, wake: None, thread: None }
    }

    /// A way to tell that the log has grown. It never waits: where a message waits already, another one says nothing new.
    pub(crate) fn waker(&self) -> impl FnOnce() + Send + use<> {
        let wake = self.wake.clone();
        move || {
            if let Some(wake) = wake {
                let _already_told = wake.try_send(());
            }
        }
    }

    /// The index, unless it is not to be used.
    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        self.shared.lock().index.clone()
    }

    /// Stops using the index until the next start, which examines it.
    pub(crate) fn condemn(&self, error: &IndexError) {
        self.shared.condemn(error);
    }

    pub(crate) fn status(&self) -> IndexStatus {
        self.shared.lock().status.clone()
    }

    /// Waits until a sequence has been applied; `false` where that did not happen in time or will not happen.
    pub(crate) fn wait_for(&self, sequence: u64, limit: Duration) -> bool {
        let behind = |state: &mut State| state.index.is_some() && state.status.applied < sequence;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), limit, behind);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.index.is_some() && state.status.applied >= sequence
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        // A thread that panicked has only cost the index, which the next start examines.
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a plain assignment, so a panic elsewhere cannot leave it half made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn condemn(&self, error: &IndexError) {
        tracing::warn!(%error, "the index of the journal is not used any more; lookups read the log");
        let mut state = self.lock();
        state.index = None;
        state.status.problem = Some(error.to_string());
        self.changed.notify_all();
    }
}

fn keep<D: Disk>(index: &Index, mut applied: Applied, reader: &LogReader<D>, woken: &Receiver<()>, shared: &Shared) {
    let mut links = Links::new(Some(index));
    loop {
        // Asked before the log is read: what was durable before the stop is applied once more.
        let is_last = shared.stop.load(Ordering::Relaxed);
        if let Err(error) = follow(index, &mut links, &mut applied, reader, shared) {
            return shared.condemn(&error);
        }
        if is_last || shared.lock().index.is_none() {
            break;
        }
        // Nobody waits for the index, and commands wait for the processor that it would take after each commit.
        if woken.recv().is_ok() {
            thread::sleep(GATHERED_FOR);
        }
    }
    if let Err(error) = index.close(&mut applied) {
        tracing::warn!(%error, "the index of the journal could not be written out");
    }
}

/// The records of a command are looked for among those of its run, which are few: a list for each command would make the index
/// several times as large.
fn is_listed(subject: &Subject) -> bool {
    !matches!(subject, Subject::Command(key) if run_of(&key.step).is_some())
}

/// Applies whatever is durable and not applied yet.
fn follow<D: Disk>(
    index: &Index,
    links: &mut Links<'_>,
    applied: &mut Applied,
    reader: &LogReader<D>,
    shared: &Shared,
) -> Result<(), IndexError> {
    let log_error = |error: crate::JournalError| IndexError::Log(Box::new(error));
    let known = shared.lock().status.applied;
    let mut entries = reader.read_from(known + 1).map_err(|error| log_error(error.into()))?;
    loop {
        let mut subjects: Vec<(u64, Subject)> = Vec::new();
        let mut made: Vec<Link> = Vec::new();
        let mut to: Option<(u64, ChainHead)> = None;
        for entry in entries.by_ref().take(RECORDS_AT_ONCE) {
            let entry = entry.map_err(|error| log_error(error.into()))?;
            if let Some(fact) = fact_of(&entry).map_err(log_error)? {
                let (about, link) = links.take(entry.sequence, &fact.event)?;
                let listed = about.into_iter().filter(is_listed);
                subjects.extend(listed.map(|subject| (entry.sequence, subject)));
                made.extend(link);
            }
            to = Some((entry.sequence, entry.chain_head));
        }
        let Some(to) = to else { return Ok(()) };
        index.take(subjects.into_iter(), made.into_iter(), applied, to)?;
        shared.lock().status.applied = to.0;
        shared.changed.notify_all();
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

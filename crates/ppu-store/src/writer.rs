//! The thread that owns a log, and group commit (LOG-1 to LOG-4).
//!
//! Syncs take milliseconds on ordinary disks and far longer on a busy computer, so they never run on a reactor thread.

use crate::disk::Disk;
use crate::error::{AppendError, DiskFailure, LogFailure};
use crate::format::{ChainHead, MAX_BATCH_RECORDS};
use crate::log::Log;
use crate::options::{Limits, SequenceRange};
use crate::tip::{Preparation, SharedTip};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Requests that may wait (LOG-1). Beyond it the sender waits or is refused: memory is bounded, and overload shows at its source.
const QUEUE_CAPACITY: usize = 1024;
/// `HEAD` is written once the log has been quiet for so long (LOG-3).
const QUIET_BEFORE_HEAD: Duration = Duration::from_millis(10);

/// Told the outcome of an append, on the log's thread: it must be brief and must not wait for the log.
pub type Completion = Box<dyn FnOnce(Result<SequenceRange, AppendError>) + Send>;

/// A handle of the thread that owns a log; cheap to clone.
///
/// When the last handle is dropped, what is queued is still written, `HEAD` as well, and the lock is released.
#[derive(Clone, Debug)]
pub struct LogWriter {
    inner: Arc<Inner>,
}

/// How a log fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The sequence that the next record gets; all before it are durable.
    pub next_sequence: u64,
    /// Chain after the last record.
    pub chain_head: ChainHead,
    /// Requests that wait.
    pub queued: usize,
    /// Requests that may wait.
    pub queue_capacity: usize,
    /// Bytes left in the current segment.
    pub segment_bytes_left: u64,
    /// Whether the space after it is reserved (LOG-5).
    pub next_segment: Preparation,
}

#[derive(Debug)]
struct Inner {
    owner: Owner,
    queued: Arc<AtomicUsize>,
    limits: Limits,
    tip: SharedTip,
}

/// Who owns the log.
enum Owner {
    /// A thread; the sender is `None` only while the last handle is being dropped.
    Thread { sender: Option<SyncSender<Message>>, thread: Mutex<Option<JoinHandle<()>>> },
    /// Nobody but the handles: whoever appends does the work. `None` once closed.
    Handles(Mutex<Option<Box<dyn AppendNow>>>),
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Thread { .. } => "Thread",
            Self::Handles(_) => "Handles",
        })
    }
}

/// A log whose disk is of no concern here.
trait AppendNow: Send {
    fn append_now(&mut self, records: &[Vec<u8>]) -> Result<SequenceRange, AppendError>;
    fn finish(&mut self);
}

impl<D: Disk> AppendNow for Log<D> {
    fn append_now(&mut self, records: &[Vec<u8>]) -> Result<SequenceRange, AppendError> {
        self.append(records)
    }

    fn finish(&mut self) {
        write_head(self);
    }
}

#[derive(Debug)]
enum Message {
    Append(Request),
    Close,
}

#[derive(Debug)]
struct Request {
    records: Vec<Vec<u8>>,
    /// Length of the records area in bytes.
    area: usize,
    reply: Reply,
}

/// Calls its completion exactly once, whatever becomes of the request.
struct Reply(Option<Completion>);

impl LogWriter {
    /// Gives a log to a thread of its own.
    ///
    /// # Errors
    /// The operating system could not start a thread.
    pub fn spawn<D: Disk>(log: Log<D>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(QUEUE_CAPACITY);
        let queued = Arc::new(AtomicUsize::new(0));
        let (limits, tip) = (log.limits(), log.tip());
        let queue = Queue { receiver, queued: queued.clone() };
        let thread = thread::Builder::new().name("ppu-log".to_owned()).spawn(move || run(log, &queue))?;
        let owner = Owner::Thread { sender: Some(sender), thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(Inner { owner, queued, limits, tip }) })
    }

    /// A writer without a thread: each append is done, synced and completed in the call itself. For a simulation, in which
    /// everything happens on one thread and in one order.
    #[must_use]
    pub fn without_thread<D: Disk>(log: Log<D>) -> Self {
        let (limits, tip) = (log.limits(), log.tip());
        let owner = Owner::Handles(Mutex::new(Some(Box::new(log))));
        Self { inner: Arc::new(Inner { owner, queued: Arc::new(AtomicUsize::new(0)), limits, tip }) }
    }

    /// Appends records and waits until they are durable: all of them or none. Not for a reactor thread.
    ///
    /// # Errors
    /// See [`AppendError`]; a full queue is waited for.
    pub fn append(&self, records: Vec<Vec<u8>>) -> Result<SequenceRange, AppendError> {
        let area = self.inner.limits.check(&records)?;
        let sender_of_log = match &self.inner.owner {
            Owner::Thread { sender, .. } => sender,
            Owner::Handles(log) => return append_now(log, &records),
        };
        let (sender, outcome) = mpsc::sync_channel(1);
        let completion: Completion = Box::new(move |result| {
            // The receiver waits below, so there is always somebody to take the outcome.
            let _taken = sender.send(result);
        });
        let request = Request { records, area, reply: Reply(Some(completion)) };
        self.inner.queued.fetch_add(1, Ordering::Relaxed);
        if let Some(sender) = sender_of_log
            && sender.send(Message::Append(request)).is_err()
        {
            self.inner.queued.fetch_sub(1, Ordering::Relaxed);
        }
        outcome.recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Appends records without waiting. The completion is called exactly once: on the log's thread, or before this returns if
    /// the request can never be written, the queue is full or the log is closed.
    pub fn submit(&self, records: Vec<Vec<u8>>, completion: Completion) {
        let area = match self.inner.limits.check(&records) {
            Ok(area) => area,
            Err(error) => return completion(Err(error)),
        };
        let sender = match &self.inner.owner {
            Owner::Thread { sender, .. } => sender,
            Owner::Handles(log) => return completion(append_now(log, &records)),
        };
        let request = Request { records, area, reply: Reply(Some(completion)) };
        let Some(sender) = sender else {
            return;
        };
        self.inner.queued.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = sender.try_send(Message::Append(request)) {
            self.inner.queued.fetch_sub(1, Ordering::Relaxed);
            if let TrySendError::Full(Message::Append(request)) = refused {
                request.reply.send(Err(AppendError::QueueFull));
            }
        }
    }

    /// The error after which the log accepts nothing more. The process that owns the log must exit then (LOG-4).
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<LogFailure>> {
        self.inner.tip.lock().failure.clone()
    }

    /// How the log fares now.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let tip = self.inner.tip.lock();
        LogStatus {
            next_sequence: tip.next_sequence,
            chain_head: tip.chain,
            queued: self.inner.queued.load(Ordering::Relaxed),
            queue_capacity: QUEUE_CAPACITY,
            segment_bytes_left: tip.segment_length.saturating_sub(tip.end.offset),
            next_segment: tip.preparation,
        }
    }

    /// Writes what is queued and `HEAD`, releases the lock, and ends the thread; other handles get
    /// [`AppendError::Closed`] from then on.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] if the log has failed.
    pub fn close(self) -> Result<(), AppendError> {
        match &self.inner.owner {
            Owner::Thread { sender: Some(sender), .. } => {
                // A thread that has ended is closed already.
                let _was_open = sender.send(Message::Close);
            }
            Owner::Thread { sender: None, .. } => {}
            Owner::Handles(log) => finish(log),
        }
        self.inner.join();
        self.poisoned().map_or(Ok(()), |failure| Err(AppendError::Poisoned(failure)))
    }
}

impl Inner {
    fn join(&self) {
        let Owner::Thread { thread, .. } = &self.owner else { return };
        let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may live in a completion, which runs on the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the thread of the log panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match &mut self.owner {
            Owner::Thread { sender, .. } => *sender = None,
            Owner::Handles(log) => finish(log),
        }
        self.join();
    }
}

fn append_now(log: &Mutex<Option<Box<dyn AppendNow>>>, records: &[Vec<u8>]) -> Result<SequenceRange, AppendError> {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.as_mut().ok_or(AppendError::Closed)?.append_now(records)
}

fn finish(log: &Mutex<Option<Box<dyn AppendNow>>>) {
    if let Some(mut log) = log.lock().unwrap_or_else(PoisonError::into_inner).take() {
        log.finish();
    }
}

impl Reply {
    fn send(mut self, result: Result<SequenceRange, AppendError>) {
        self.call(result);
    }

    fn call(&mut self, result: Result<SequenceRange, AppendError>) {
        if let Some(completion) = self.0.take()
            && std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || completion(result))).is_err()
        {
            tracing::error!("the completion of an append panicked");
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let outcome = if thread::panicking() {
            let source = io::Error::other("the thread of the log panicked");
            let operation = crate::disk::DiskOperation::Write;
            AppendError::Failed(Arc::new(DiskFailure { operation, file: PathBuf::from("log"), source }))
        } else {
            AppendError::Closed
        };
        self.call(Err(outcome));
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Reply")
    }
}

/// The receiving end of the channel, which keeps the count of what waits.
struct Queue {
    receiver: Receiver<Message>,
    queued: Arc<AtomicUsize>,
}

enum Next {
    Request(Request),
    Quiet,
    Ended,
}

impl Queue {
    fn wait(&self, limit: Option<Duration>) -> Next {
        let received = match limit {
            Some(limit) => self.receiver.recv_timeout(limit),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        }
    }

    /// What has queued up already.
    fn poll(&self) -> Next {
        self.receiver.try_recv().map_or(Next::Quiet, |message| self.take(message))
    }

    fn take(&self, message: Message) -> Next {
        match message {
            Message::Append(request) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                Next::Request(request)
            }
            Message::Close => Next::Ended,
        }
    }
}

fn run<D: Disk>(mut log: Log<D>, queue: &Queue) {
    let mut carried = None;
    let mut is_ending = false;
    loop {
        let first = if let Some(request) = carried.take() {
            request
        } else if is_ending {
            break;
        } else {
            match queue.wait(log.head_is_stale().then_some(QUIET_BEFORE_HEAD)) {
                Next::Request(request) => request,
                Next::Quiet => {
                    write_head(&mut log);
                    continue;
                }
                Next::Ended => break,
            }
        };
        let batch = gather(first, queue, &log.limits(), &mut carried, &mut is_ending);
        commit(&mut log, batch);
        if log.head_is_due() {
            write_head(&mut log);
        }
        log.tend_next_segment();
    }
    if log.head_is_stale() {
        write_head(&mut log);
    }
}

/// Whatever queued while the last sync ran, as far as it fits one frame; no timer waits for more (LOG-1).
fn gather(
    first: Request,
    queue: &Queue,
    limits: &Limits,
    carried: &mut Option<Request>,
    is_ending: &mut bool,
) -> Vec<Request> {
    let (mut records, mut area) = (first.records.len(), first.area);
    let mut batch = vec![first];
    while records < MAX_BATCH_RECORDS {
        match queue.poll() {
            Next::Request(request)
                if records + request.records.len() <= MAX_BATCH_RECORDS
                    && area + request.area <= limits.batch_bytes =>
            {
                records += request.records.len();
                area += request.area;
                batch.push(request);
            }
            Next::Request(request) => {
                *carried = Some(request);
                break;
            }
            Next::Quiet => break,
            Next::Ended => {
                *is_ending = true;
                break;
            }
        }
    }
    batch
}

/// One frame, one sync, then the waiters.
fn commit<D: Disk>(log: &mut Log<D>, batch: Vec<Request>) {
    let bodies = batch.iter().flat_map(|request| request.records.iter().map(Vec::as_slice));
    match log.append_frame(bodies) {
        Ok(range) => {
            let mut first = range.first;
            for request in batch {
                let last = first + request.records.len() as u64 - 1;
                request.reply.send(Ok(SequenceRange { first, last }));
                first = last + 1;
            }
        }
        Err(error) => {
            for request in batch {
                request.reply.send(Err(error.clone()));
            }
        }
    }
}

fn write_head<D: Disk>(log: &mut Log<D>) {
    // A failure is kept in the log, which refuses every later append with it.
    let _recorded_as_failure = log.write_head();
}

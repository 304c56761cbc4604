//! The log itself: open, recover, append. No thread and no timer, so that a simulation can drive it step by step;
//! [`LogWriter`](crate::LogWriter) puts it on a thread of its own.

use crate::disk::{Disk, DiskOperation, OpenMode};
use crate::error::{AppendError, DiskFailure, LogFailure, OpenError};
use crate::format::{ChainHead, HeadSlot, LogId, Position, SegmentHeader, encode_frame, frame_length};
use crate::layout::Layout;
use crate::opening::{create, enter, id_of, remove_leftovers, trusted_head};
use crate::options::{Limits, LogOptions, Opened, SequenceRange};
use crate::reader::LogReader;
use crate::recovery;
use crate::scan::{Scan, scan};
use crate::segment::{ActiveSegment, HeadFile, NextSegment, join_preparation, prepare_segment};
use crate::tip::{Mark, Preparation, SharedTip, Tip};
use std::path::Path;
use std::sync::Arc;

/// `HEAD` is written after this many batches even if the log is never quiet (LOG-3).
const BATCHES_BETWEEN_HEADS: u32 = 256;
/// An open log. It holds the directory's lock until it is dropped.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    layout: Layout,
    options: LogOptions,
    id: LogId,
    segment: ActiveSegment<D::File>,
    head: HeadFile<D::File>,
    next_sequence: u64,
    chain: ChainHead,
    batches_since_head: u32,
    next_segment: NextSegment,
    /// The next preparation is tried when the current segment reaches this byte.
    prepare_at: u64,
    tip: SharedTip,
    failure: Option<Arc<LogFailure>>,
    frame: Vec<u8>,
    _lock: D::Lock,
}

impl<D: Disk> Log<D> {
    /// Opens the log of a directory, verifies all of it, and makes it fit for use (reliability 8.3).
    ///
    /// # Errors
    /// See [`OpenError`]. A damaged log is refused and left as it is.
    pub fn open(disk: D, dir: impl AsRef<Path>, options: LogOptions) -> Result<(Self, Opened), OpenError> {
        let layout = Layout::new(dir.as_ref());
        options.check()?;
        let lock = enter(&disk, &layout, options.create.is_some())?;
        remove_leftovers(&disk, &layout)?;
        let mut found = scan(&disk, &layout)?;
        let mut created = false;
        if found.segments.is_empty() && found.corruption.is_none() {
            let id = options.create.ok_or_else(|| OpenError::NotFound(layout.dir().to_owned()))?;
            create(&disk, &layout, &options, id)?;
            created = true;
            found = scan(&disk, &layout)?;
        }
        if let Some(corruption) = found.corruption.take() {
            return Err(corruption.into());
        }
        let slot = trusted_head(&disk, &layout, &found)?;
        if found.last_sequence() < options.at_least {
            return Err(OpenError::TailLost { known: options.at_least, found: found.last_sequence() });
        }
        recovery::settle(&disk, &layout, &found, slot)?;
        let head_fallback = found.head_exists && found.slots.iter().any(Option::is_none);
        if head_fallback {
            HeadFile::<D::File>::create(&disk, &layout, id_of(&found), &slot)?;
        }
        let tail_cut = recovery::open_cuts(&disk, &layout, found.next_sequence)?.pop();
        let opened = Opened {
            id: id_of(&found),
            created,
            first_sequence: found.segments.first().map_or(1, |segment| segment.header.first_sequence),
            next_sequence: found.next_sequence,
            chain_head: found.chain,
            tail_cut,
            rewritten_records: found.last_sequence() - slot.sequence,
            head_fallback,
        };
        let log = Self::resume(disk, layout, options, found, lock)?;
        Ok((log, opened))
    }

    fn resume(disk: D, layout: Layout, options: LogOptions, scan: Scan, lock: D::Lock) -> Result<Self, DiskFailure> {
        let id = id_of(&scan);
        let last = scan.segments.last().expect("a log that was opened has a segment");
        let file =
            disk.open(&last.path, OpenMode::ReadWrite).map_err(DiskFailure::at(DiskOperation::Open, &last.path))?;
        let segment = ActiveSegment {
            file,
            path: last.path.clone(),
            number: last.header.number,
            first_sequence: last.header.first_sequence,
            length: last.length,
            end: last.end,
            hasher: scan.last_hasher,
            unhashed: Vec::new(),
        };
        // The slot that is unreadable or older is written first, so that the better one stays until the new one is durable.
        let older = usize::from(scan.slots[0].map(|slot| slot.end) > scan.slots[1].map(|slot| slot.end));
        let head = HeadFile::open(&disk, &layout, older)?;
        let tip = SharedTip::new(Tip {
            next_sequence: scan.next_sequence,
            end: Position { segment: segment.number, offset: segment.end },
            chain: scan.chain,
            segment_length: segment.length,
            preparation: Preparation::NotNeeded,
            marks: scan.marks,
            failure: None,
        });
        let mut log = Self {
            disk,
            layout,
            options,
            id,
            prepare_at: segment.length / 2,
            segment,
            head,
            next_sequence: scan.next_sequence,
            chain: scan.chain,
            batches_since_head: 0,
            next_segment: NextSegment::Absent,
            tip,
            failure: None,
            frame: Vec::new(),
            _lock: lock,
        };
        let slot = log.head_slot();
        log.head.write(id, &slot)?;
        log.head.write(id, &slot)?;
        Ok(log)
    }

    /// Appends records in one frame: they are durable on return, all of them or none.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::Failed`] the log accepts nothing more.
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<SequenceRange, AppendError> {
        self.limits().check(records)?;
        let range = self.append_frame(records.iter().map(Vec::as_slice))?;
        if self.head_is_due() {
            // The records are durable whatever becomes of HEAD; its failure is in `failure()` and refuses the next append.
            let _recorded_as_failure = self.write_head();
        }
        Ok(range)
    }

    /// Appends records that [`Limits::check`] has passed, without writing `HEAD`.
    pub(crate) fn append_frame<'r>(
        &mut self,
        records: impl Iterator<Item = &'r [u8]> + Clone,
    ) -> Result<SequenceRange, AppendError> {
        self.refuse_if_failed()?;
        let area = records.clone().map(|body| 4 + body.len()).sum();
        let needed = frame_length(self.segment.end, area, self.options.pad_to.exponent()) as u64;
        if self.segment.end + needed > self.segment.length {
            let turned = self.begin_next_segment();
            turned.map_err(|failure| self.fail(failure))?;
        }
        let mut frame = std::mem::take(&mut self.frame);
        let (id, pad_to) = (self.id, self.options.pad_to);
        let (chain, count) =
            encode_frame(&mut frame, id, self.segment.end, pad_to, self.next_sequence, self.chain, records);
        let mark = Mark {
            sequence: self.next_sequence,
            position: Position { segment: self.segment.number, offset: self.segment.end },
            segment_first: self.segment.first_sequence,
            chain_before: self.chain,
        };
        let written = self.segment.append(&frame);
        self.frame = frame;
        written.map_err(|failure| self.fail(failure))?;
        let range = SequenceRange { first: self.next_sequence, last: self.next_sequence + u64::from(count) - 1 };
        self.next_sequence = range.last + 1;
        self.chain = chain;
        self.batches_since_head += 1;
        self.publish(Some(mark));
        Ok(range)
    }

    /// Writes and syncs the slot of `HEAD` whose turn it is, if the log has grown since the last time.
    ///
    /// # Errors
    /// [`AppendError::Failed`], and the log accepts nothing more; or [`AppendError::Poisoned`].
    pub fn write_head(&mut self) -> Result<(), AppendError> {
        self.refuse_if_failed()?;
        if self.head_is_stale() {
            let (id, slot) = (self.id, self.head_slot());
            self.head.write(id, &slot).map_err(|failure| self.fail(failure))?;
            self.batches_since_head = 0;
        }
        Ok(())
    }

    /// The log's id.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The sequence that the next record gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Chain after the last record.
    #[must_use]
    pub fn chain_head(&self) -> ChainHead {
        self.chain
    }

    /// The error after which the log accepts nothing more, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<LogFailure>> {
        self.failure.clone()
    }

    /// A reader of all that is durable; it may be used while the log is being written, from any thread.
    #[must_use]
    pub fn reader(&self) -> LogReader<D> {
        LogReader::of_open_log(self.disk.clone(), self.layout.clone(), self.id, self.tip.clone())
    }

    pub(crate) fn tip(&self) -> SharedTip {
        self.tip.clone()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.options.limits()
    }

    pub(crate) fn head_is_stale(&self) -> bool {
        self.batches_since_head > 0 && self.failure.is_none()
    }

    pub(crate) fn head_is_due(&self) -> bool {
        self.batches_since_head >= BATCHES_BETWEEN_HEADS && self.failure.is_none()
    }

    /// Starts to prepare the next segment in the background when the current one is half full (LOG-5), and takes note of a
    /// preparation that has ended.
    pub(crate) fn tend_next_segment(&mut self) {
        self.segment.hash_the_rest();
        let ended = match &self.next_segment {
            NextSegment::Running(thread) => thread.is_finished(),
            NextSegment::Absent => false,
            NextSegment::Ready => return,
        };
        if ended {
            let outcome = self.await_preparation();
            if let Err(failure) = outcome {
                self.preparation_failed(&failure);
            }
        } else if matches!(self.next_segment, NextSegment::Absent) && self.segment.end >= self.prepare_at {
            let (disk, layout, bytes) = (self.disk.clone(), self.layout.clone(), self.options.segment_bytes);
            let thread = std::thread::Builder::new()
                .name("ppu-log-prepare".to_owned())
                .spawn(move || prepare_segment(&disk, &layout, bytes));
            match thread {
                Ok(thread) => {
                    self.next_segment = NextSegment::Running(thread);
                    self.tip.lock().preparation = Preparation::Running;
                }
                Err(source) => {
                    let file = self.layout.prepared();
                    self.preparation_failed(&DiskFailure { operation: DiskOperation::Write, file, source });
                }
            }
        }
    }

    /// Waits for a preparation that is running; afterwards the next segment is ready or absent.
    fn await_preparation(&mut self) -> Result<(), DiskFailure> {
        if let NextSegment::Running(thread) = std::mem::take(&mut self.next_segment) {
            join_preparation(thread, &self.layout.prepared())?;
            self.next_segment = NextSegment::Ready;
            self.tip.lock().preparation = Preparation::Ready;
        }
        Ok(())
    }

    fn preparation_failed(&mut self, failure: &DiskFailure) {
        // Space may be freed by a person, so it is tried again each time another sixteenth of the segment is used up.
        self.prepare_at = self.segment.end + self.segment.length / 16;
        self.tip.lock().preparation = Preparation::Failed(failure.source.kind());
        tracing::warn!(error = %failure, source = %failure.source, "the next segment of the log could not be prepared");
    }

    fn begin_next_segment(&mut self) -> Result<(), DiskFailure> {
        if matches!(self.next_segment, NextSegment::Running(_))
            && let Err(failure) = self.await_preparation()
        {
            self.preparation_failed(&failure);
        }
        if !matches!(self.next_segment, NextSegment::Ready) {
            prepare_segment(&self.disk, &self.layout, self.options.segment_bytes)?;
        }
        let header = SegmentHeader {
            id: self.id,
            number: self.segment.number + 1,
            first_sequence: self.next_sequence,
            chain_before: self.chain,
            previous_hash: self.segment.whole_hash(),
            created_unix_ns: self.disk.unix_ns(),
            length: 0,
        };
        self.segment = ActiveSegment::begin(&self.disk, &self.layout, &header)?;
        self.next_segment = NextSegment::Absent;
        self.prepare_at = self.segment.length / 2;
        self.tip.lock().preparation = Preparation::NotNeeded;
        Ok(())
    }

    fn head_slot(&self) -> HeadSlot {
        HeadSlot {
            sequence: self.next_sequence - 1,
            end: Position { segment: self.segment.number, offset: self.segment.end },
            chain: self.chain,
        }
    }

    fn publish(&self, mark: Option<Mark>) {
        let mut tip = self.tip.lock();
        tip.next_sequence = self.next_sequence;
        tip.end = Position { segment: self.segment.number, offset: self.segment.end };
        tip.chain = self.chain;
        tip.segment_length = self.segment.length;
        if let Some(mark) = mark {
            tip.marks.add(mark);
        }
    }

    fn refuse_if_failed(&self) -> Result<(), AppendError> {
        self.failure.as_ref().map_or(Ok(()), |failure| Err(AppendError::Poisoned(failure.clone())))
    }

    fn fail(&mut self, failure: DiskFailure) -> AppendError {
        tracing::error!(error = %failure, source = %failure.source, "the log failed and accepts nothing more");
        let failure = Arc::new(failure);
        self.failure = Some(failure.clone());
        self.tip.lock().failure = Some(failure.clone());
        AppendError::Failed(failure)
    }
}

impl<D: Disk> Drop for Log<D> {
    fn drop(&mut self) {
        // Nobody may write into the directory once its lock is released.
        if let NextSegment::Running(thread) = std::mem::take(&mut self.next_segment) {
            let _outcome_no_longer_matters = thread.join();
        }
    }
}

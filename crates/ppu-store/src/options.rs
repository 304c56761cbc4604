//! How a log is opened, what fits into a frame, and what is handed back.

use crate::error::{AppendError, OpenError};
use crate::format::{
    ChainHead, FRAME_CRC, FRAME_HEADER, LogId, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, PadTo,
    SEGMENT_HEADER,
};
use crate::recovery::TailCut;

/// Length of a segment in bytes unless the options say otherwise.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Shortest segment in bytes: a few small frames, for tests of the change from one segment to the next.
pub const MIN_SEGMENT_BYTES: u64 = 8 * 1024;
/// Longest segment in bytes: opening holds one segment in memory.
pub const MAX_SEGMENT_BYTES: u64 = 1024 * 1024 * 1024;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Makes a new log with this id where the directory holds none; ignored where it does.
    pub create: Option<LogId>,
    /// Length of new segments in bytes; those that exist keep theirs.
    pub segment_bytes: u64,
    /// What frames are padded to.
    pub pad_to: PadTo,
    /// The last sequence that a witness knows to have been durable (a projection, an acknowledged sequence, an anchor); 0 for
    /// none. A log that ends before it is refused.
    pub at_least: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { create: None, segment_bytes: DEFAULT_SEGMENT_BYTES, pad_to: PadTo::Eight, at_least: 0 }
    }
}

impl LogOptions {
    /// Options that make a new log where there is none.
    #[must_use]
    pub fn create(id: LogId) -> Self {
        Self { create: Some(id), ..Self::default() }
    }

    /// The same with another length of segments, in bytes.
    #[must_use]
    pub fn with_segment_bytes(self, segment_bytes: u64) -> Self {
        Self { segment_bytes, ..self }
    }

    /// The same with a witness, see [`LogOptions::at_least`].
    #[must_use]
    pub fn with_at_least(self, at_least: u64) -> Self {
        Self { at_least, ..self }
    }

    /// The same with another padding of frames.
    #[must_use]
    pub fn with_pad_to(self, pad_to: PadTo) -> Self {
        Self { pad_to, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            return Err(OpenError::BadOptions("segment_bytes must be between 8 KiB and 1 GiB"));
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        let overhead = (SEGMENT_HEADER + FRAME_HEADER + FRAME_CRC) as u64 + (1 << self.pad_to.exponent());
        let room = usize::try_from(self.segment_bytes - overhead).unwrap_or(usize::MAX);
        let batch_bytes = room.min(MAX_BATCH_BYTES);
        Limits { batch_bytes, record_bytes: MAX_RECORD_BYTES.min(batch_bytes - 4) }
    }
}

/// What one frame can hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Records with their lengths, in bytes.
    pub(crate) batch_bytes: usize,
    record_bytes: usize,
}

impl Limits {
    /// Length of the records area that a request needs, or why it can never be appended.
    pub(crate) fn check(&self, records: &[Vec<u8>]) -> Result<usize, AppendError> {
        if records.is_empty() {
            return Err(AppendError::Empty);
        }
        let too_large = records.iter().position(|body| body.len() > self.record_bytes);
        if let Some(index) = too_large {
            let bytes = records[index].len();
            return Err(AppendError::RecordTooLarge { index, bytes, limit: self.record_bytes });
        }
        let bytes = records.iter().map(|body| 4 + body.len()).sum();
        if bytes > self.batch_bytes || records.len() > MAX_BATCH_RECORDS {
            return Err(AppendError::BatchTooLarge {
                records: records.len(),
                bytes,
                record_limit: MAX_BATCH_RECORDS,
                byte_limit: self.batch_bytes,
            });
        }
        Ok(bytes)
    }
}

/// What opening a log found and did.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The log's id.
    pub id: LogId,
    /// Whether the log was made now.
    pub created: bool,
    /// The first sequence kept: 1, unless the oldest segments were removed after they had been shipped (reliability 8.4).
    pub first_sequence: u64,
    /// The sequence that the next record gets; 1 for an empty log.
    pub next_sequence: u64,
    /// Chain after the last record.
    pub chain_head: ChainHead,
    /// A torn tail that was cut and that no record follows yet: append a record of it first.
    pub tail_cut: Option<TailCut>,
    /// Records beyond `HEAD` that were written again and synced (LOG-7).
    pub rewritten_records: u64,
    /// Whether one slot of `HEAD` was unreadable and the other one served (LOG-9).
    pub head_fallback: bool,
}

/// Sequences of the records of one append; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// Sequence of the first record.
    pub first: u64,
    /// Sequence of the last record.
    pub last: u64,
}

impl SequenceRange {
    /// How many records.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an append has at least one record")]
    pub fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// All sequences in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..=self.last
    }
}

//! What can go wrong, one type for each thing a caller tries.

use crate::disk::DiskOperation;
use crate::format::ChainHead;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One operation of the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of {file} failed", file = file.display())]
pub struct DiskFailure {
    /// What was tried.
    pub operation: DiskOperation,
    /// On which file or directory.
    pub file: PathBuf,
    /// What the disk said.
    pub source: io::Error,
}

/// A write or a sync of the log failed; the log accepts nothing more for the life of this process (LOG-4).
pub type LogFailure = DiskFailure;

impl DiskFailure {
    pub(crate) fn at(operation: DiskOperation, file: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self { operation, file, source }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// What is wrong with the bytes of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorruptionFault {
    /// The header of a segment is not one, or its checksum is wrong.
    HeaderDamaged,
    /// There is a `HEAD` and no segment at all.
    SegmentsMissing,
    /// The segment belongs to another log.
    ForeignSegment,
    /// The segment's number, first sequence or chain does not follow the segment before it.
    SegmentOutOfPlace,
    /// The hash of the segment before differs from the one recorded when that segment was closed.
    PreviousSegmentChanged,
    /// The file of the segment has another length than it was made with.
    SegmentResized {
        /// The length it was made with, in bytes.
        recorded: u64,
    },
    /// Bytes that must be a frame, because they were durable or because others follow them, are not.
    FrameDamaged,
    /// A valid frame is followed by a hole and then by another valid frame.
    FrameAfterGap {
        /// Where the frame after the hole begins, in bytes.
        found_at: u64,
    },
    /// A frame has a sequence that is not the next one.
    SequenceGap {
        /// The sequence found.
        found: u64,
    },
    /// The chain recorded in a frame is not that of its records.
    ChainBroken {
        /// The chain recorded.
        recorded: ChainHead,
    },
    /// `HEAD` names a place, a sequence or a chain that the log does not have.
    HeadDisagrees {
        /// The last sequence according to `HEAD`.
        head_sequence: u64,
    },
}

impl fmt::Display for CorruptionFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderDamaged => formatter.write_str("the segment's header is damaged"),
            Self::SegmentsMissing => formatter.write_str("there is a HEAD but not one segment"),
            Self::ForeignSegment => formatter.write_str("the segment belongs to another log"),
            Self::SegmentOutOfPlace => formatter.write_str("the segment does not follow the one before it"),
            Self::PreviousSegmentChanged => {
                formatter.write_str("the segment before it has changed since it was closed")
            }
            Self::SegmentResized { recorded } => write!(formatter, "the segment was made with {recorded} bytes"),
            Self::FrameDamaged => formatter.write_str("a frame that was durable is damaged"),
            Self::FrameAfterGap { found_at } => {
                write!(formatter, "a frame is damaged or missing, and a valid one follows at byte {found_at}")
            }
            Self::SequenceGap { found } => write!(formatter, "the next frame begins with sequence {found}"),
            Self::ChainBroken { recorded } => {
                write!(formatter, "the records do not yield the recorded chain {recorded}")
            }
            Self::HeadDisagrees { head_sequence } => {
                write!(formatter, "HEAD says the log was durable up to sequence {head_sequence} and does not match it")
            }
        }
    }
}

/// The log is damaged where it had been durable. Nothing is repaired silently (LOG-8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is corrupt at byte {offset} (last good sequence {last_good_sequence}): {fault}", file = file.display())]
pub struct Corruption {
    /// The file that holds the first bad byte.
    pub file: PathBuf,
    /// Where the first bad frame or header begins, in bytes.
    pub offset: u64,
    /// The last sequence that can be trusted, 0 if none.
    pub last_good_sequence: u64,
    /// What is wrong.
    pub fault: CorruptionFault,
}

/// A log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("the log's options are wrong: {0}")]
    BadOptions(&'static str),
    /// There is no log, and the options do not ask for a new one.
    #[error("{dir} holds no log", dir = .0.display())]
    NotFound(PathBuf),
    /// Another process, or another part of this one, has the log open.
    #[error("the log in {dir} is in use: another process holds its lock", dir = .0.display())]
    Locked(PathBuf),
    /// The directory is on a file system whose syncs cannot be relied upon (LOG-6).
    #[error("{dir} is on a network file system ({kind}), which cannot be relied upon to keep a log", dir = dir.display())]
    NetworkFileSystem {
        /// The directory.
        dir: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// The log is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// Neither slot of `HEAD` can be read, so it is unknown how far the log had been durable.
    #[error("both slots of {file} are unreadable: the end of the log may be lost", file = .0.display())]
    HeadUnreadable(PathBuf),
    /// A witness knows a later sequence than the log holds: its tail is lost, or it is an old copy.
    #[error("the log ends at sequence {found}, but sequence {known} had been durable: lost tail or old backup")]
    TailLost {
        /// The sequence that the witness knows.
        known: u64,
        /// The last sequence found.
        found: u64,
    },
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] DiskFailure),
}

/// Records were not appended, or it is not known whether they were.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There was no record to append.
    #[error("an append needs at least one record")]
    Empty,
    /// A record is too large; larger things are artifacts. Nothing was written.
    #[error("record {index} has {bytes} bytes, and {limit} is the most")]
    RecordTooLarge {
        /// Which record of the request, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The records do not fit one frame, and an append is all or nothing. Nothing was written.
    #[error("{records} records with {bytes} bytes; {record_limit} records and {byte_limit} bytes are the most")]
    BatchTooLarge {
        /// Records in the request.
        records: usize,
        /// Their bytes, with four for the length of each.
        bytes: usize,
        /// Most records.
        record_limit: usize,
        /// Most bytes.
        byte_limit: usize,
    },
    /// The bounded queue is full. Nothing was written; try again later.
    #[error("the log's queue is full")]
    QueueFull,
    /// The disk failed while these records were written: the next open may or may not find them.
    #[error("the log failed while these records were written")]
    Failed(#[source] Arc<LogFailure>),
    /// The disk had failed before. These records were not written.
    #[error("the log had failed before and accepts nothing more")]
    Poisoned(#[source] Arc<LogFailure>),
    /// The log was closed. These records were not written.
    #[error("the log is closed")]
    Closed,
}

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no log.
    #[error("{dir} holds no log", dir = .0.display())]
    NotFound(PathBuf),
    /// The records asked for begin before the first segment kept.
    #[error("sequence {asked} is not kept any more; the log begins at {first}")]
    NotKept {
        /// The sequence asked for.
        asked: u64,
        /// The first sequence kept.
        first: u64,
    },
    /// The log is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] DiskFailure),
}

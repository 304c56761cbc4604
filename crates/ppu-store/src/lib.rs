//! Durable primitives: an append-only hash-chained log and files named by hash.
//!
//! - [`Log`] keeps records in order: segments of zero-filled space, batch frames with a checksum, a BLAKE3 chain over all
//!   records, and a `HEAD` that says how far it was certainly durable. `FORMAT.md` beside this crate gives every byte, and
//!   `read_log.py` reads it without this crate.
//! - [`LogWriter`] gives a log to one thread that commits in groups; an append returns when its records are durable.
//! - [`LogReader`] reads it back, verified; [`verify()`] explains what is there.
//! - [`ArtifactStore`] keeps raw data as files named by the BLAKE3 of their content.
//! - [`Disk`] is all that they ask of a disk: [`RealDisk`] is the operating system's, [`SimDisk`] the worst that keeps its word.
//!
//! The bodies of records are opaque here. Rules are cited by their numbers (LOG-1 … LOG-9, ART-1 … ART-3).

mod artifacts;
mod atomic;
mod disk;
mod error;
mod format;
mod layout;
mod log;
mod opening;
mod options;
mod reader;
mod recovery;
mod scan;
mod segment;
mod tip;
mod verify;
mod writer;

pub use artifacts::{
    ArtifactError, ArtifactHash, ArtifactStore, ArtifactWriter, QuarantinedArtifact, ScrubReport, StoredArtifact,
};
pub use atomic::{write_atomically, write_atomically_on};
pub use disk::{
    AnyDisk, CrashKeep, Disk, DiskFile, DiskOperation, OpenMode, RealDisk, RealFile, RealLock, SimDisk, SimFault,
    SimFile, SimLock,
};
pub use error::{AppendError, Corruption, CorruptionFault, DiskFailure, LogFailure, OpenError, ReadError};
pub use format::{
    ChainHead, HeadSlot, LogId, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, PadTo, ParseHexError, Position,
};
pub use log::Log;
pub use options::{DEFAULT_SEGMENT_BYTES, LogOptions, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, Opened, SequenceRange};
pub use reader::{Entries, Entry, LogReader};
pub use recovery::TailCut;
pub use tip::Preparation;
pub use verify::{SegmentReport, Verdict, VerifyReport, verify};
pub use writer::{Completion, LogStatus, LogWriter};

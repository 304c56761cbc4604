//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;

use ppu_core::ArtifactHash;
use ppu_proto::ConversionError;
use ppu_store::{AppendError, ArtifactError, CorruptionFault, DiskFailure, OpenError, ReadError};

/// A journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the journal open.
    #[error("the journal in {directory} is in use: another process holds its lock", directory = .0.display())]
    InUse(PathBuf),
    /// The directory cannot be used.
    #[error("could not use {path}", path = path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The log is damaged where it had been durable (LOG-8).
    #[error(
        "the journal is damaged in {file} at byte {offset}, the last good record is {last_good_sequence}: {fault}; \
         `ppu journal verify` explains what is there",
        file = file.display()
    )]
    Corrupt {
        /// The file that holds the first bad byte.
        file: PathBuf,
        /// Where the first bad frame or header begins, in bytes.
        offset: u64,
        /// The last sequence that can be trusted, 0 if none.
        last_good_sequence: u64,
        /// What is wrong.
        fault: CorruptionFault,
    },
    /// The index knows a later record than the log holds: the tail is lost, or the log is an old copy.
    #[error(
        "the journal ends at record {found}, but record {known} had been durable: its tail is lost, or it is an old copy; \
         `ppu journal verify` explains what is there"
    )]
    TailLost {
        /// The sequence that the index knows.
        known: u64,
        /// The last sequence of the log.
        found: u64,
    },
    /// The log could not be opened for another reason.
    #[error("could not open the journal")]
    Open(#[source] OpenError),
    /// The log could not be read for another reason.
    #[error("could not read the journal")]
    Read(#[source] ReadError),
    /// A record is sound and yet not one of a journal that this version understands.
    #[error("record {sequence} of the journal cannot be understood")]
    Record {
        /// Its sequence.
        sequence: u64,
        /// Why not.
        source: RecordError,
    },
    /// A fact is too large for one record, and larger things must be artifacts. Nothing was written.
    #[error("the fact {event} needs {bytes} bytes, and a record of the journal holds {limit} at most")]
    FactTooLarge {
        /// The event's name.
        event: &'static str,
        /// What it needs.
        bytes: usize,
        /// The most there is.
        limit: usize,
    },
    /// A fact could not be read back if it were written: a number that is not finite, a name that comes twice. Nothing was
    /// written.
    #[error("the fact {event} could not be read back")]
    FactUnreadable {
        /// The event's name.
        event: &'static str,
        /// Why.
        source: ConversionError,
    },
    /// The log did not take the facts.
    #[error("could not append to the journal")]
    Append(#[source] AppendError),
    /// There is no artifact of this name.
    #[error("there is no artifact {0}")]
    ArtifactNotFound(ArtifactHash),
    /// The content had changed; it is not served, and the file was moved away (ART-2).
    #[error("artifact {hash} has changed on disk and was moved to {moved_to}", moved_to = moved_to.display())]
    ArtifactQuarantined {
        /// Its name.
        hash: ArtifactHash,
        /// Where the file is now.
        moved_to: PathBuf,
    },
    /// The disk failed under the artifacts.
    #[error("could not use the artifacts")]
    Artifacts(#[source] DiskFailure),
    /// A thread could not be started.
    #[error("could not start a thread of the journal")]
    Thread(#[source] io::Error),
    /// An export could not be written.
    #[error("could not write the export")]
    Export(#[source] io::Error),
}

/// Why a sound record is not understood.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no protobuf message.
    #[error("it cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// It does not say what it must.
    #[error("it does not say what it must")]
    Conversion(#[from] ConversionError),
}

impl JournalError {
    /// Whether the process that owns the journal must exit (LOG-4). After the other errors of an append nothing was
    /// written, and the journal goes on.
    pub fn is_fatal(&self) -> bool {
        matches!(self, JournalError::Append(AppendError::Failed(_) | AppendError::Poisoned(_) | AppendError::Closed))
    }
}

impl From<ppu_store::Corruption> for JournalError {
    fn from(found: ppu_store::Corruption) -> Self {
        let ppu_store::Corruption { file, offset, last_good_sequence, fault } = found;
        JournalError::Corrupt { file, offset, last_good_sequence, fault }
    }
}

impl From<OpenError> for JournalError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Corrupt(found) => found.into(),
            OpenError::TailLost { known, found } => JournalError::TailLost { known, found },
            OpenError::Locked(directory) => JournalError::InUse(directory),
            other => JournalError::Open(other),
        }
    }
}

impl From<ReadError> for JournalError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(found) => found.into(),
            other => JournalError::Read(other),
        }
    }
}

impl From<ArtifactError> for JournalError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::NotFound(hash) => JournalError::ArtifactNotFound(from_store(hash)),
            ArtifactError::Quarantined(found) => {
                JournalError::ArtifactQuarantined { hash: from_store(found.hash), moved_to: found.moved_to }
            }
            ArtifactError::Disk(failure) => JournalError::Artifacts(failure),
        }
    }
}

/// The store's hash as the noun of the core: both are the BLAKE3 of the content.
pub(crate) fn from_store(hash: ppu_store::ArtifactHash) -> ArtifactHash {
    ArtifactHash::from_slice(&hash.0).expect("both have 32 bytes")
}

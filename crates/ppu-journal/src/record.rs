//! Records as they are shown and exported.

use ppu_engine::Fact;
use ppu_proto::journal::v1 as wire;
use ppu_store::Entry;
use prost::Message as _;
use serde::{Serialize, Serializer};

use crate::JournalError;
use crate::convert::{Said, read_record};
use crate::error::RecordError;

/// One record of a journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Its sequence, from 1.
    pub sequence: u64,
    /// Nanoseconds of CLOCK_BOOTTIME when it was written; comparable only under one boot id.
    pub boot_ns: u64,
    /// Boot id of the computer, 16 bytes or none; hexadecimal digits in exports.
    #[serde(serialize_with = "as_hex")]
    pub boot_id: Vec<u8>,
    /// The person who decided it, otherwise `scheduler`.
    pub actor: String,
    /// W3C trace context of the request that led to it; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub traceparent: String,
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A fact of the lab.
    Fact(Fact),
    /// Recovery cut the log.
    TailCut(TailCut),
    /// A person repaired the journal.
    Repaired(Repaired),
}

/// Recovery cut bytes of a write that was never acknowledged from the end of the log, and kept them in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TailCut {
    /// Unix milliseconds of the recovery.
    pub at_ms: i64,
    /// Sequence that the first record of the lost write would have had.
    pub sequence: u64,
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Where the bytes began, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// The file that keeps them.
    pub saved_as: String,
}

/// A person repaired a damaged journal (LOG-8). It is the first record of the new log; what could be read of the old one
/// follows. Who it was is the actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Unix milliseconds of the repair.
    pub at_ms: i64,
    /// Id of the old log, hexadecimal digits; empty where it could not be read.
    pub old_log: String,
    /// Chain head of the old log after the last record kept, hexadecimal digits; empty where none was.
    pub old_chain: String,
    /// Records kept.
    pub kept: u64,
    /// What is wrong with the old log, and so what is cut.
    pub cut: String,
    /// Where the old log is kept.
    pub kept_as: String,
    /// Why, in the words of who did it.
    pub reason: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

/// What an entry of the log says.
pub(crate) fn read_entry(entry: &Entry) -> Result<Record, JournalError> {
    let read = || -> Result<Record, RecordError> {
        let record = wire::JournalRecord::decode(entry.body.as_slice())?;
        let content = match read_record(&record)? {
            Said::Fact(fact) => Content::Fact(fact),
            Said::TailCut(cut) => Content::TailCut(TailCut {
                at_ms: record.wall_ms,
                sequence: cut.sequence,
                segment: cut.segment,
                offset: cut.offset,
                bytes: cut.bytes,
                saved_as: cut.saved_as,
            }),
            Said::Repaired(repaired) => Content::Repaired(Repaired {
                at_ms: record.wall_ms,
                old_log: hex(&repaired.old_log),
                old_chain: hex(&repaired.old_chain),
                kept: repaired.kept,
                cut: repaired.cut,
                kept_as: repaired.kept_as,
                reason: repaired.reason,
            }),
        };
        Ok(Record {
            sequence: entry.sequence,
            boot_ns: record.boot_ns,
            boot_id: record.boot_id,
            actor: record.actor,
            traceparent: record.traceparent,
            content,
        })
    };
    read().map_err(|source| JournalError::Record { sequence: entry.sequence, source })
}

/// The fact of an entry; `None` for a record that is no fact of the lab.
pub(crate) fn fact_of(entry: &Entry) -> Result<Option<Fact>, JournalError> {
    Ok(match read_entry(entry)?.content {
        Content::Fact(fact) => Some(fact),
        Content::TailCut(_) | Content::Repaired(_) => None,
    })
}

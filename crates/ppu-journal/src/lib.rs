//! The durable record of a lab: the append-only hash-chained log (the truth), an index that can be thrown away, and the
//! artifacts.
//!
//! [`Journal::open`] takes the lock of a directory, recovers the log and hands back every fact for replay; an append
//! returns when its facts are durable. [`verify()`], [`show()`] and [`export()`] look at a journal from outside, also while
//! it is in use, and change nothing. [`repair()`] makes a new log out of what is good of a damaged one.
//!
//! ```text
//! <directory>/LOCK        held by the process that owns the journal
//! <directory>/journal     the log: one record a fact, `ppu.journal.v1.JournalRecord`
//! <directory>/index-v2    lookups, rebuilt from the log whenever it is in doubt
//! <directory>/artifacts   raw data, named by BLAKE3
//! ```

mod convert;
mod error;
mod index;
mod inspect;
mod journal;
mod layout;
mod origin;
mod record;
mod repair;
mod subject;

pub use convert::level_to_wire;
pub use error::{JournalError, RecordError};
pub use index::IndexStatus;
pub use inspect::{VerifyReport, export, show, verify};
pub use journal::{Facts, Journal, JournalOptions, Recovery};
pub use ppu_store::SequenceRange;
pub use record::{Content, Record, Repaired, TailCut};
pub use repair::{RepairError, RepairReport, repair};
pub use subject::{Subject, named};

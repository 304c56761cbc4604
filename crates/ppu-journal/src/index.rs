//! Lookups from subjects to sequences, which can be thrown away and are rebuilt from the log whenever they are in doubt
//! (IDX-1 … IDX-3). An append never waits for them, and a lookup never trusts them beyond what they have applied.

mod keeper;
mod links;
mod lookup;
mod opening;
mod recent;
mod store;

pub use keeper::IndexStatus;
pub(crate) use keeper::Keeper;
pub(crate) use lookup::{Wanted, history, history_without_index};
pub(crate) use opening::{Examined, examine};
pub(crate) use store::Index;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ppu_store::{ChainHead, LogId};

/// The index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The engine under it refused.
    #[error("its storage engine failed: {0}")]
    Engine(String),
    /// The engine under it panicked.
    #[error("its storage engine panicked")]
    Panicked,
    /// It holds something else than it should.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The log could not be read while the index followed it.
    #[error("the journal could not be read")]
    Log(#[source] Box<crate::JournalError>),
}

/// How far the part of the index that is written out has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The last sequence applied, 0 for none.
    pub(crate) sequence: u64,
    /// Chain of the log after it.
    pub(crate) chain: ChainHead,
    /// The log.
    pub(crate) log: LogId,
    /// Entries of the index, this one excluded.
    pub(crate) entries: u64,
    /// Sum of the digests of all entries, which does not depend on their order.
    pub(crate) digest: u64,
}

/// The storage engine has been seen to panic on damaged files; that must cost the index and not the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(IndexError::Panicked))
}

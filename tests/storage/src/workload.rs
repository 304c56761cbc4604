//! What the process does that is killed: the sound one keeps a journal, a ledger and raw data as a lab does; the others are
//! engines that are known to keep or to lose what they acknowledge, so that the method itself is tested.

mod engines;
mod lab;

use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use engines::{ForgetfulDisk, RAW_LOG_ID, SLED_TREE};
pub use lab::{DEVICE, journal_options};

/// What writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Journal, ledger and raw data.
    Lab,
    /// The log on a disk whose sync does nothing: it must lose what it acknowledged.
    LogWithoutSync,
    /// sled with `flush` alone, which does not sync on Linux: it must lose what it acknowledged.
    SledFlush,
    /// sled with `fdatasync` of its file after `flush`: it must lose nothing.
    SledSynced,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lab, Self::LogWithoutSync, Self::SledFlush, Self::SledSynced];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::LogWithoutSync => "log-without-sync",
            Self::SledFlush => "sled-flush",
            Self::SledSynced => "sled-synced",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Writes into a directory and says on stdout what is durable: for ever, or until each task has made so many commits.
///
/// # Errors
/// Something could not be written.
pub fn run(kind: Kind, directory: &Path, seed: u64, commits: Option<u64>) -> anyhow::Result<()> {
    let commits = commits.unwrap_or(u64::MAX);
    match kind {
        Kind::Lab => lab::run(directory, seed, commits),
        Kind::LogWithoutSync => engines::log_without_sync(directory, seed, commits),
        Kind::SledFlush => engines::sled(directory, seed, commits, false),
        Kind::SledSynced => engines::sled(directory, seed, commits, true),
    }
}

/// Says one acknowledgement, whole: a pipe takes a line of this length at once.
fn say(line: &str) -> anyhow::Result<()> {
    static OUT: Mutex<()> = Mutex::new(());
    let _alone = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

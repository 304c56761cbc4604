//! What lies where under the journal's directory.

use std::path::{Path, PathBuf};

/// Held by the process that owns the journal and its index.
pub(crate) fn lock(directory: &Path) -> PathBuf {
    directory.join("LOCK")
}

/// The log.
pub(crate) fn log(directory: &Path) -> PathBuf {
    directory.join("journal")
}

/// The new log of a repair, until it takes the place of the old one.
pub(crate) fn repaired(directory: &Path) -> PathBuf {
    directory.join("journal.repaired")
}

/// The old log of a repair.
pub(crate) fn set_aside(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("journal.damaged-{number}"))
}

/// Raw data.
pub(crate) fn artifacts(directory: &Path) -> PathBuf {
    directory.join("artifacts")
}

/// Lookups. The version is that of what is in it: another version begins anew beside this one.
pub(crate) fn index(directory: &Path) -> PathBuf {
    directory.join("index-v2")
}

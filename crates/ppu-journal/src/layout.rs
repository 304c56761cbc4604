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

/// Raw data.
pub(crate) fn artifacts(directory: &Path) -> PathBuf {
    directory.join("artifacts")
}

/// Lookups. The version is that of what is in it: another version begins anew beside this one.
pub(crate) fn index(directory: &Path) -> PathBuf {
    directory.join("index-v1")
}

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

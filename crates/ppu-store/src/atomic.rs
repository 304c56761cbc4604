//! Small files that are replaced whole or not at all.

use crate::disk::{Disk, DiskFile, DiskOperation, OpenMode, RealDisk};
use crate::error::DiskFailure;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells apart temporary files that one process writes at the same time.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Replaces a file on the real disk: after a crash it has either its old content or the new one, whole. Durable on return.
///
/// The bytes go to a temporary file in the same directory, which is synced and renamed, and the directory is synced.
///
/// # Errors
/// The operation that failed. The file has its old content then, unless it was the last sync of the directory that failed.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DiskFailure> {
    write_atomically_on(&RealDisk, path, bytes)
}

/// The same as [`write_atomically`] on any disk.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_atomically_on<D: Disk>(disk: &D, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DiskFailure> {
    let path = path.as_ref();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(unique_suffix());
    replace_file(disk, &path.with_file_name(name), path, bytes)
}

/// A suffix that no other temporary file of this computer has at this moment.
pub(crate) fn unique_suffix() -> String {
    format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Writes `temporary`, syncs it, gives it the name `path` and syncs the directory.
pub(crate) fn replace_file<D: Disk>(disk: &D, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), DiskFailure> {
    let written = write_and_sync(disk, temporary, bytes)
        .and_then(|()| disk.rename(temporary, path).map_err(DiskFailure::at(DiskOperation::Rename, path)));
    if written.is_err()
        && let Err(error) = disk.remove(temporary)
    {
        tracing::debug!(path = %temporary.display(), %error, "a temporary file could not be removed");
    }
    written?;
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, dir))
}

/// Writes a new file and makes its bytes durable; its name is not durable yet.
pub(crate) fn write_and_sync<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<(), DiskFailure> {
    let file = disk.open(path, OpenMode::Create).map_err(DiskFailure::at(DiskOperation::Open, path))?;
    file.pwrite(bytes, 0).map_err(DiskFailure::at(DiskOperation::Write, path))?;
    file.sync().map_err(DiskFailure::at(DiskOperation::Sync, path))
}

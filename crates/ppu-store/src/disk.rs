//! What this crate asks of a disk, and nothing more.
//!
//! [`RealDisk`] is the operating system. [`SimDisk`] keeps the same promises in memory and can lose, tear, flip, fill up and
//! fail, so that every durability claim is tested against the worst disk that keeps its word.

mod any;
mod real;
mod sim;

pub use any::AnyDisk;
pub use real::{RealDisk, RealFile, RealLock};
pub use sim::{CrashKeep, SimDisk, SimFault, SimFile, SimLock};

use std::fmt;
use std::io;
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing in place.
    ReadWrite,
    /// A new file, or an existing one cut to length zero, for reading and writing.
    Create,
}

/// The operations of a disk that can fail, named in errors and chosen by tests that inject faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskOperation {
    /// Opening or creating a file.
    Open,
    /// Reading bytes, a length or a listing.
    Read,
    /// Writing bytes.
    Write,
    /// Making a file's bytes durable.
    Sync,
    /// Giving a file another name.
    Rename,
    /// Removing a name.
    Remove,
    /// Making a directory.
    CreateDirectory,
    /// Making a directory's names durable.
    SyncDirectory,
    /// Taking the exclusive lock.
    Lock,
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::CreateDirectory => "create directory",
            Self::SyncDirectory => "sync directory",
            Self::Lock => "lock",
        })
    }
}

/// A file system as seen by the log and the artifact store.
///
/// Contract: a name made by [`Disk::open`] or [`Disk::rename`] survives a power cut only after [`Disk::sync_dir`] of its
/// directory has returned success; bytes only after [`DiskFile::sync`] has. A failed sync proves nothing in either direction.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// Holds an exclusive lock until it is dropped.
    type Lock: Send + Sync + 'static;

    /// Makes a directory and those above it; the new names are durable on return.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` where the mode asks for an existing file, or whatever the file system reports.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Self::File>;

    /// Gives a file another name in one step, replacing what had that name.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound`, or whatever the file system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Whatever the file system reports; the names may or may not be durable then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, files and directories, sorted. Names that are not UTF-8 are left out: none of ours is.
    ///
    /// # Errors
    /// `NotFound`, or whatever the file system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Takes the exclusive lock of a file, which is created if it is missing; `None` if somebody else holds it.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;

    /// The kind of network file system that holds a directory, where that can be told (LOG-6).
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn network_file_system(&self, dir: &Path) -> io::Result<Option<&'static str>>;

    /// Nanoseconds since 1970 for the "created" field of a segment. It is for people; nothing is decided by it.
    fn unix_ns(&self) -> u64;
}

/// An open file. Offsets and lengths are in bytes.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all bytes at an offset, extending the file where needed. Not durable before [`DiskFile::sync`].
    ///
    /// # Errors
    /// Whatever the file system reports; part of the bytes may have been written then.
    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `buffer.len()` bytes from an offset; fewer only at the end of the file.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes all bytes written so far durable, and the length that is needed to read them (`fdatasync`).
    ///
    /// # Errors
    /// Whatever the file system reports. It must not be tried again: the kernel may have dropped the bytes (LOG-4).
    fn sync(&self) -> io::Result<()>;

    /// The length of the file.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn length(&self) -> io::Result<u64>;
}

/// Reads a whole file.
///
/// # Errors
/// `NotFound`, or whatever the file system reports.
pub(crate) fn read_whole<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let length = usize::try_from(file.length()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0_u8; length];
    let mut filled = 0;
    while filled < length {
        let count = file.read(&mut bytes[filled..], filled as u64)?;
        if count == 0 {
            bytes.truncate(filled);
            break;
        }
        filled += count;
    }
    Ok(bytes)
}

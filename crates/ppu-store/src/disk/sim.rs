//! A disk in memory that forgets what was not synced, and that fails on request.
//!
//! Bytes are durable after `sync` of their file, names after `sync_dir` of their directory, and nothing earlier. Randomness
//! comes from the seed given to [`SimDisk::new`], so a failing story can be told again.

mod state;

use super::{Disk, DiskFile, DiskOperation, OpenMode};
use state::State;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a power cut leaves of bytes and names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKeep {
    /// Nothing of them.
    Nothing,
    /// Everything: what a killed process leaves, whose page cache lives on.
    Everything,
    /// Any subset of the 512-byte sectors written (so writes are torn and reordered), and any prefix of the changes of names.
    Random,
}

/// A fault that a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFault {
    /// The device failed. A failed write leaves any part; after a failed sync the bytes stay readable but any part of them
    /// never reaches the disk, as a kernel does that marks the pages clean.
    Eio,
    /// No space is left. A failed write leaves any part.
    Enospc,
}

impl SimFault {
    fn error(self) -> io::Error {
        match self {
            Self::Eio => io::Error::other("simulated input/output error"),
            Self::Enospc => io::Error::from(io::ErrorKind::StorageFull),
        }
    }
}

/// A simulated disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`]; it dies with the power.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
}

/// A lock of a [`SimDisk`]; it is gone after a power cut.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl SimDisk {
    /// An empty disk; `seed` decides what random crashes and faults leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// A copy that shares nothing, with every byte and name as a reader sees them now, no locks and no faults ahead.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.crash(CrashKeep::Everything);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Cuts the power and restores it: open files are dead, locks and planned faults are gone.
    pub fn crash(&self, keep: CrashKeep) {
        self.state().crash(keep);
    }

    /// Cuts the power just before the `n`-th changing operation from now (1 is the next); everything fails from then on until
    /// [`SimDisk::crash`].
    pub fn crash_at_operation(&self, n: u64) {
        self.state().plan_crash(n);
    }

    /// Whether the power is off because of [`SimDisk::crash_at_operation`].
    #[must_use]
    pub fn power_is_off(&self) -> bool {
        self.state().power_is_off()
    }

    /// Changing operations so far: writes, syncs, changes of names. Reads do not count.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations()
    }

    /// Makes the `n`-th operation of a kind from now fail (1 is the next one). Several faults may be planned.
    pub fn fail_nth(&self, operation: DiskOperation, n: u64, fault: SimFault) {
        self.state().plan_fault(operation, n, fault);
    }

    /// Limits the sum of all file lengths in bytes; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().set_capacity(bytes);
    }

    /// Flips one bit of a file, both as read and as stored; bit 0 is the lowest bit of the first byte.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` where the file has no such bit.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> io::Result<()> {
        self.state().edit(path.as_ref(), |bytes| {
            let byte = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index));
            *byte.ok_or(io::ErrorKind::InvalidInput)? ^= 1 << (bit % 8);
            Ok(())
        })
    }

    /// Cuts a file, both as read and as stored, to a length in bytes.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn truncate(&self, path: impl AsRef<Path>, length: usize) -> io::Result<()> {
        self.state().edit(path.as_ref(), |bytes| {
            bytes.truncate(length);
            Ok(())
        })
    }

    /// Overwrites bytes of an existing file behind everybody's back, both as read and as stored.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: usize, new: &[u8]) -> io::Result<()> {
        self.state().edit(path.as_ref(), |bytes| {
            bytes.resize(bytes.len().max(offset + new.len()), 0);
            bytes[offset..offset + new.len()].copy_from_slice(new);
            Ok(())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is only a record of bytes; a panic in a test thread does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.state().create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let mut state = self.state();
        let inode = state.open(path, mode)?;
        Ok(SimFile { disk: self.clone(), inode, generation: state.generation() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.state().list(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        let mut state = self.state();
        let taken = state.try_lock(path)?;
        let generation = state.generation();
        Ok(taken.then(|| SimLock { disk: self.clone(), path: path.to_owned(), generation }))
    }

    fn network_file_system(&self, _dir: &Path) -> io::Result<Option<&'static str>> {
        Ok(None)
    }

    fn unix_ns(&self) -> u64 {
        // A simulated disk has no clock; the count of operations orders files just as well and repeats exactly.
        self.state().operations()
    }
}

impl DiskFile for SimFile {
    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.inode, self.generation, bytes, offset)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.state().read(self.inode, self.generation, buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.inode, self.generation)
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.state().length(self.inode, self.generation)
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().unlock(&self.path, self.generation);
    }
}

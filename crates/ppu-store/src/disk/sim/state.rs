//! The bytes and names of a simulated disk, each as they are read and as they are stored.

use super::{CrashKeep, SimFault};
use crate::disk::{DiskOperation, OpenMode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Drives write whole sectors of this many bytes or more; less is never torn (LOG-6).
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct State {
    generation: u64,
    random: u64,
    operations: u64,
    crash_at: Option<u64>,
    power_is_off: bool,
    faults: Vec<PlannedFault>,
    capacity: Option<u64>,
    inodes: BTreeMap<u64, Inode>,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    stored_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
struct PlannedFault {
    operation: DiskOperation,
    remaining: u64,
    fault: SimFault,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    read: Vec<u8>,
    stored: Vec<u8>,
    unsynced: Vec<ByteChange>,
}

#[derive(Clone, Debug)]
enum ByteChange {
    Cut,
    Write { offset: usize, bytes: Vec<u8> },
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { path: PathBuf, inode: u64 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
}

impl NameChange {
    fn directory(&self) -> &Path {
        let path = match self {
            Self::Link { path, .. } | Self::Unlink { path } => path,
            Self::Rename { to, .. } => to,
        };
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

fn to_usize(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            generation: 0,
            random: seed,
            operations: 0,
            crash_at: None,
            power_is_off: false,
            faults: Vec::new(),
            capacity: None,
            inodes: BTreeMap::new(),
            directories: BTreeSet::new(),
            names: BTreeMap::new(),
            stored_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            locks: BTreeSet::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn power_is_off(&self) -> bool {
        self.power_is_off
    }

    pub(super) fn plan_crash(&mut self, n: u64) {
        self.crash_at = Some(self.operations + n);
    }

    pub(super) fn plan_fault(&mut self, operation: DiskOperation, n: u64, fault: SimFault) {
        self.faults.push(PlannedFault { operation, remaining: n, fault });
    }

    pub(super) fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
    }

    pub(super) fn crash(&mut self, keep: CrashKeep) {
        for change in self.surviving_names(keep) {
            change.apply(&mut self.stored_names);
        }
        self.names = self.stored_names.clone();
        let mut random = self.random;
        for inode in self.inodes.values_mut() {
            inode.crash(keep, &mut random);
        }
        self.random = random;
        let used: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| used.contains(inode));
        self.locks.clear();
        self.faults.clear();
        self.crash_at = None;
        self.power_is_off = false;
        self.generation += 1;
    }

    fn surviving_names(&mut self, keep: CrashKeep) -> Vec<NameChange> {
        let mut changes = std::mem::take(&mut self.unsynced_names);
        match keep {
            CrashKeep::Nothing => changes.clear(),
            CrashKeep::Everything => {}
            // File systems journal their names, so what survives is a prefix.
            CrashKeep::Random => {
                let kept = next_random(&mut self.random) % (changes.len() as u64 + 1);
                changes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            }
        }
        changes
    }

    /// Counts a changing operation, and fails it if the power goes off here or a fault is planned.
    fn begin(&mut self, operation: DiskOperation) -> io::Result<()> {
        self.operations += 1;
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            self.power_is_off = true;
        }
        self.check(operation)
    }

    fn check(&mut self, operation: DiskOperation) -> io::Result<()> {
        if self.power_is_off {
            return Err(io::Error::other("the simulated power is off"));
        }
        for planned in self.faults.iter_mut().filter(|planned| planned.operation == operation && planned.remaining > 0)
        {
            planned.remaining -= 1;
            if planned.remaining == 0 {
                return Err(planned.fault.error());
            }
        }
        Ok(())
    }

    fn inode(&mut self, inode: u64, generation: u64) -> io::Result<&mut Inode> {
        if generation != self.generation {
            return Err(io::Error::other("the file was opened before the power cut"));
        }
        self.inodes.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        self.begin(DiskOperation::CreateDirectory)?;
        self.directories.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        if mode != OpenMode::Create {
            self.check(DiskOperation::Open)?;
            return self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        self.begin(DiskOperation::Open)?;
        if !path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || self.directories.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(inode) = self.names.get(path).copied() {
            if let Some(file) = self.inodes.get_mut(&inode) {
                file.read.clear();
                file.unsynced.push(ByteChange::Cut);
            }
            return Ok(inode);
        }
        let inode = self.inodes.keys().next_back().map_or(1, |last| last + 1);
        self.inodes.insert(inode, Inode::default());
        self.change_name(NameChange::Link { path: path.to_owned(), inode });
        Ok(inode)
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin(DiskOperation::Rename)?;
        let inode = self.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        self.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.begin(DiskOperation::Remove)?;
        if !self.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(NameChange::Unlink { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.begin(DiskOperation::SyncDirectory)?;
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unsynced_names).into_iter().partition(|change| change.directory() == dir);
        self.unsynced_names = rest;
        for change in synced {
            change.apply(&mut self.stored_names);
            if let NameChange::Rename { from, inode, .. } = &change {
                // The old name must not come back when its own directory is synced later.
                self.unsynced_names.retain(
                    |other| !matches!(other, NameChange::Link { path, inode: linked } if path == from && linked == inode),
                );
            }
        }
        Ok(())
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        self.check(DiskOperation::Read)?;
        if !self.directories.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.names.keys().chain(&self.directories).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn try_lock(&mut self, path: &Path) -> io::Result<bool> {
        self.check(DiskOperation::Lock)?;
        Ok(self.locks.insert(path.to_owned()))
    }

    pub(super) fn unlock(&mut self, path: &Path, generation: u64) {
        if generation == self.generation {
            self.locks.remove(path);
        }
    }

    pub(super) fn write(&mut self, inode: u64, generation: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = to_usize(offset)?;
        let outcome = self.begin(DiskOperation::Write);
        if self.power_is_off {
            return outcome;
        }
        let mut allowed = if outcome.is_ok() { bytes.len() } else { self.below(bytes.len()) };
        let mut outcome = outcome;
        if let Some(capacity) = self.capacity {
            let used: u64 = self.inodes.values().map(|file| file.read.len() as u64).sum();
            let length = self.inode(inode, generation)?.read.len();
            let free = to_usize(capacity.saturating_sub(used))?;
            let fits = (length + free).saturating_sub(offset);
            if fits < allowed {
                allowed = fits;
                outcome = Err(SimFault::Enospc.error());
            }
        }
        let file = self.inode(inode, generation)?;
        let bytes = &bytes[..allowed];
        write_at(&mut file.read, offset, bytes);
        file.unsynced.push(ByteChange::Write { offset, bytes: bytes.to_vec() });
        outcome
    }

    fn below(&mut self, limit: usize) -> usize {
        let drawn = next_random(&mut self.random) % (limit as u64 + 1);
        usize::try_from(drawn).unwrap_or(limit)
    }

    pub(super) fn read(&mut self, inode: u64, generation: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check(DiskOperation::Read)?;
        let file = self.inode(inode, generation)?;
        let offset = to_usize(offset)?.min(file.read.len());
        let count = buffer.len().min(file.read.len() - offset);
        buffer[..count].copy_from_slice(&file.read[offset..offset + count]);
        Ok(count)
    }

    pub(super) fn sync(&mut self, inode: u64, generation: u64) -> io::Result<()> {
        let outcome = self.begin(DiskOperation::Sync);
        if self.power_is_off {
            return outcome;
        }
        let mut random = self.random;
        let file = self.inode(inode, generation)?;
        file.store(if outcome.is_ok() { CrashKeep::Everything } else { CrashKeep::Random }, &mut random);
        self.random = random;
        outcome
    }

    pub(super) fn length(&mut self, inode: u64, generation: u64) -> io::Result<u64> {
        self.check(DiskOperation::Read)?;
        Ok(self.inode(inode, generation)?.read.len() as u64)
    }

    pub(super) fn edit(&mut self, path: &Path, change: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let inode = self.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        let file = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        file.store(CrashKeep::Everything, &mut 0);
        change(&mut file.stored)?;
        file.read.clone_from(&file.stored);
        Ok(())
    }
}

impl Inode {
    fn crash(&mut self, keep: CrashKeep, random: &mut u64) {
        self.store(keep, random);
        self.read.clone_from(&self.stored);
    }

    /// Moves the unsynced changes to the stored bytes as far as they survive.
    fn store(&mut self, keep: CrashKeep, random: &mut u64) {
        for change in std::mem::take(&mut self.unsynced) {
            match (change, keep) {
                (_, CrashKeep::Nothing) => {}
                (ByteChange::Cut, CrashKeep::Everything) => self.stored.clear(),
                (ByteChange::Cut, CrashKeep::Random) => {
                    if next_random(random).is_multiple_of(2) {
                        self.stored.clear();
                    }
                }
                (ByteChange::Write { offset, bytes }, CrashKeep::Everything) => {
                    write_at(&mut self.stored, offset, &bytes);
                }
                (ByteChange::Write { offset, bytes }, CrashKeep::Random) => {
                    self.store_some_sectors(offset, &bytes, random);
                }
            }
        }
    }

    fn store_some_sectors(&mut self, offset: usize, bytes: &[u8], random: &mut u64) {
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min((offset + start) / SECTOR * SECTOR + SECTOR - offset);
            if next_random(random).is_multiple_of(2) {
                write_at(&mut self.stored, offset + start, &bytes[start..end]);
            }
            start = end;
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): enough randomness for a test disk, and no dependency.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

//! A disk whose kind is chosen when a process starts.

use super::{Disk, DiskFile, OpenMode, RealDisk};
use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Any [`Disk`] behind one type, so that what stands on it is written once; clones share it.
#[derive(Clone)]
pub struct AnyDisk(Arc<dyn Erased>);

impl AnyDisk {
    /// The same disk behind this type.
    pub fn new(disk: impl Disk) -> Self {
        Self(Arc::new(disk))
    }

    /// The disk of the operating system.
    #[must_use]
    pub fn real() -> Self {
        Self::new(RealDisk)
    }
}

impl fmt::Debug for AnyDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnyDisk")
    }
}

type AnyFile = Box<dyn DiskFile>;
type AnyLock = Box<dyn Any + Send + Sync>;

/// [`Disk`] without its types.
trait Erased: Send + Sync {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<AnyFile>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn try_lock(&self, path: &Path) -> io::Result<Option<AnyLock>>;
    fn network_file_system(&self, dir: &Path) -> io::Result<Option<&'static str>>;
    fn unix_ns(&self) -> u64;
}

impl<D: Disk> Erased for D {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        Disk::create_dir_all(self, dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<AnyFile> {
        Ok(Box::new(Disk::open(self, path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk::rename(self, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk::remove(self, path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk::sync_dir(self, dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk::list(self, dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<AnyLock>> {
        Ok(Disk::try_lock(self, path)?.map(|lock| Box::new(lock) as AnyLock))
    }

    fn network_file_system(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        Disk::network_file_system(self, dir)
    }

    fn unix_ns(&self) -> u64 {
        Disk::unix_ns(self)
    }
}

impl Disk for AnyDisk {
    type File = AnyFile;
    type Lock = AnyLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<AnyFile> {
        self.0.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<AnyLock>> {
        self.0.try_lock(path)
    }

    fn network_file_system(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        self.0.network_file_system(dir)
    }

    fn unix_ns(&self) -> u64 {
        self.0.unix_ns()
    }
}

impl DiskFile for AnyFile {
    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (**self).pwrite(bytes, offset)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }

    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }
}

//! Engines that are known to keep or to lose what they acknowledge.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use ppu_store::{Disk, DiskFile, Log, LogId, LogOptions, OpenMode, RealDisk, RealFile, RealLock};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::say;
use crate::acknowledged::digest;

/// The id of the log that is written without syncs.
pub const RAW_LOG_ID: LogId = LogId(*b"without any sync");
/// The directory of sled below that of the writer.
pub const SLED_TREE: &str = "tree";

/// The real disk, whose sync of bytes does nothing and says that all is well.
#[derive(Debug, Clone, Copy)]
pub struct ForgetfulDisk;

/// A file of it.
#[derive(Debug)]
pub struct ForgetfulFile(RealFile);

impl Disk for ForgetfulDisk {
    type File = ForgetfulFile;
    type Lock = RealLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<ForgetfulFile> {
        RealDisk.open(path, mode).map(ForgetfulFile)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<RealLock>> {
        RealDisk.try_lock(path)
    }

    fn network_file_system(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        RealDisk.network_file_system(dir)
    }

    fn unix_ns(&self) -> u64 {
        RealDisk.unix_ns()
    }
}

impl DiskFile for ForgetfulFile {
    fn pwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.pwrite(bytes, offset)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

pub(super) fn log_without_sync(directory: &Path, seed: u64, commits: u64) -> anyhow::Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let options = LogOptions::create(RAW_LOG_ID).with_segment_bytes(64 * 1024);
    let (mut log, _) = Log::open(ForgetfulDisk, directory, options)?;
    for _ in 0..commits {
        let body = content(&mut random);
        let range = log.append(std::slice::from_ref(&body))?;
        say(&format!("record {} {}", range.first, digest(&body)))?;
    }
    Ok(())
}

pub(super) fn sled(directory: &Path, seed: u64, commits: u64, is_synced: bool) -> anyhow::Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let path = directory.join(SLED_TREE);
    let tree = sled::Config::new().path(&path).cache_capacity(16 * 1024 * 1024).open()?;
    tree.flush()?;
    let file = File::options().write(true).open(path.join("db")).context("sled has no file")?;
    file.sync_all()?;
    for names in [&path, directory] {
        File::open(names)?.sync_all()?;
    }
    for sequence in 1..=commits {
        let body = content(&mut random);
        let said = digest(&body);
        tree.insert(sequence.to_be_bytes(), body)?;
        tree.flush()?;
        if is_synced {
            file.sync_data()?;
        }
        say(&format!("record {sequence} {said}"))?;
    }
    Ok(())
}

/// Mostly short, sometimes many sectors long.
pub(super) fn content(random: &mut ChaCha8Rng) -> Vec<u8> {
    let most = if random.random_ratio(1, 8) { 9000 } else { 700 };
    let mut bytes = vec![0; random.random_range(1..most)];
    random.fill_bytes(&mut bytes);
    bytes
}

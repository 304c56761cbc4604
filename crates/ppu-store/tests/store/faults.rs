//! Full and failing disks (LOG-4), and the lock.

use crate::support::{DIR, body, contents, open, options};
use ppu_store::{
    AppendError, CrashKeep, Disk, DiskOperation, Log, LogOptions, OpenError, RealDisk, SimDisk, SimFault, SimFile,
    SimLock,
};
use std::io;
use std::path::Path;

/// Appends until an error, at most forty times; gives the acknowledged bodies and the error.
fn append_until_it_fails(log: &mut Log<SimDisk>) -> (Vec<Vec<u8>>, Option<AppendError>) {
    let mut acknowledged = Vec::new();
    for number in 0..40 {
        let records = [body(number, 900)];
        match log.append(&records) {
            Ok(_) => acknowledged.extend(records),
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

#[test]
fn a_failing_write_or_sync_poisons_the_log_for_ever() {
    let mut failures = 0;
    for operation in [DiskOperation::Write, DiskOperation::Sync, DiskOperation::Rename, DiskOperation::SyncDirectory] {
        for fault in [SimFault::Eio, SimFault::Enospc] {
            for nth in 1..30 {
                let disk = SimDisk::new(nth);
                let (mut log, _) = open(&disk).unwrap();
                disk.fail_nth(operation, nth, fault);
                let (acknowledged, error) = append_until_it_fails(&mut log);
                let Some(error) = error else {
                    continue;
                };
                failures += 1;
                let AppendError::Failed(failure) = error else {
                    panic!("{error}");
                };
                assert_eq!(failure.operation, operation);
                assert!(matches!(log.append(&[vec![0]]), Err(AppendError::Poisoned(_))));
                assert!(matches!(log.write_head(), Err(AppendError::Poisoned(_))));
                drop(log);
                disk.crash(if nth % 2 == 0 { CrashKeep::Nothing } else { CrashKeep::Random });
                let (log, _) = open(&disk).unwrap();
                let found = contents(&log.reader());
                assert!(found.starts_with(&acknowledged) && found.len() <= acknowledged.len() + 1);
            }
        }
    }
    assert!(failures > 100, "only {failures} failures were met");
}

#[test]
fn a_full_disk_stops_at_the_next_segment_and_loses_nothing() {
    let disk = SimDisk::new(3);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(Some(20_000));
    let (acknowledged, error) = append_until_it_fails(&mut log);
    let Some(AppendError::Failed(failure)) = error else {
        panic!("the next segment cannot fit: {error:?}");
    };
    assert_eq!(failure.source.kind(), io::ErrorKind::StorageFull);
    assert!(acknowledged.len() >= 7, "the prepared space was used up");
    drop(log);
    disk.set_capacity(None);
    let (mut log, _) = open(&disk).unwrap();
    assert_eq!(contents(&log.reader()), acknowledged);
    assert!(append_until_it_fails(&mut log).1.is_none());
}

#[test]
fn a_log_cannot_be_made_on_a_full_disk_and_can_be_later() {
    let disk = SimDisk::new(3);
    disk.set_capacity(Some(1000));
    assert!(matches!(open(&disk), Err(OpenError::Disk(_))));
    disk.set_capacity(None);
    assert!(open(&disk).unwrap().1.created);
}

#[test]
fn an_error_of_reading_is_no_verdict_on_the_log() {
    let (disk, bodies) = crate::support::written(12, 900);
    for nth in 1..=9 {
        disk.fail_nth(DiskOperation::Read, nth, SimFault::Eio);
        assert!(matches!(open(&disk), Err(OpenError::Disk(_))), "read {nth}");
    }
    assert_eq!(contents(&open(&disk).unwrap().0.reader()), bodies);
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = Log::open(RealDisk, dir.path(), options()).unwrap();
    let refused = Log::open(RealDisk, dir.path(), options());
    let Err(error @ OpenError::Locked(_)) = refused else {
        panic!("two owners of one log");
    };
    assert!(error.to_string().contains("another process holds its lock"));
    drop(first);
    assert!(Log::open(RealDisk, dir.path(), options()).is_ok());

    let disk = SimDisk::new(1);
    let first = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Locked(_))));
    drop(first);
    assert!(open(&disk).is_ok());
}

#[test]
fn an_empty_place_is_no_log_unless_one_is_wanted() {
    let disk = SimDisk::new(1);
    let existing_only = LogOptions { create: None, ..options() };
    assert!(matches!(Log::open(disk.clone(), DIR, existing_only.clone()), Err(OpenError::NotFound(_))));
    drop(open(&disk).unwrap());
    assert!(!Log::open(disk, DIR, existing_only).unwrap().1.created);
}

/// A simulated disk that says it is on the network.
#[derive(Clone)]
struct NetworkDisk(SimDisk);

impl Disk for NetworkDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn open(&self, path: &Path, mode: ppu_store::OpenMode) -> io::Result<SimFile> {
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
    fn try_lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        self.0.try_lock(path)
    }
    fn network_file_system(&self, _dir: &Path) -> io::Result<Option<&'static str>> {
        Ok(Some("NFS"))
    }
    fn unix_ns(&self) -> u64 {
        0
    }
}

#[test]
fn a_network_file_system_is_refused() {
    let refused = Log::open(NetworkDisk(SimDisk::new(1)), DIR, options());
    assert!(matches!(refused, Err(OpenError::NetworkFileSystem { kind: "NFS", .. })));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(RealDisk.network_file_system(dir.path()).unwrap(), None, "tests run on a local disk");
}

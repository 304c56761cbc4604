//! A small log on a simulated disk, and what it should hold.

use ppu_store::{Entry, Log, LogId, LogOptions, LogReader, MIN_SEGMENT_BYTES, OpenError, Opened, SimDisk};
use std::path::{Path, PathBuf};

pub(crate) const DIR: &str = "/data/journal";
pub(crate) const ID: LogId = LogId(*b"a log of tests..");

/// The smallest segments, so that a few appends cross from one to the next.
pub(crate) fn options() -> LogOptions {
    LogOptions::create(ID).with_segment_bytes(MIN_SEGMENT_BYTES)
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Opened), OpenError> {
    Log::open(disk.clone(), DIR, options())
}

/// A body that differs from all others in all its bytes.
pub(crate) fn body(number: u64, length: usize) -> Vec<u8> {
    let mut stream = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut stream);
    stream
}

pub(crate) fn segment(first_sequence: u64) -> PathBuf {
    Path::new(DIR).join(format!("log/{first_sequence:020}.seg"))
}

pub(crate) fn head() -> PathBuf {
    Path::new(DIR).join("HEAD")
}

/// All bodies, after a check that the sequences count up from one.
pub(crate) fn contents(reader: &LogReader<SimDisk>) -> Vec<Vec<u8>> {
    let entries: Vec<Entry> = reader.read_from(1).unwrap().map(Result::unwrap).collect();
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.sequence, index as u64 + 1);
    }
    entries.into_iter().map(|entry| entry.body).collect()
}

/// A log of `count` records of `length` bytes, one frame each, with `HEAD` at its end.
pub(crate) fn written(count: u64, length: usize) -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let bodies: Vec<Vec<u8>> = (0..count).map(|number| body(number, length)).collect();
    for one in &bodies {
        log.append(std::slice::from_ref(one)).unwrap();
    }
    log.write_head().unwrap();
    (disk, bodies)
}

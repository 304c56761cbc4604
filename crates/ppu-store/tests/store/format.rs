//! The format does not drift: a log of version 1 is kept here, and a reader that shares no code agrees.

use crate::support::{ID, body};
use ppu_store::{ChainHead, Log, LogOptions, LogReader, MIN_SEGMENT_BYTES, RealDisk, Verdict, verify};
use std::path::{Path, PathBuf};
use std::process::Command;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/v1")
}

fn bodies() -> Vec<Vec<u8>> {
    (0..12).map(|number| body(number, 200 * usize::try_from(number).unwrap())).collect()
}

/// What `read_log.py` prints for a log; `None` where this computer has no Python.
fn read_by_python(dir: &Path) -> Option<(bool, Vec<String>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("read_log.py");
    let output = Command::new("python3").arg(script).arg(dir).output().ok()?;
    let printed = String::from_utf8(output.stdout).unwrap();
    Some((output.status.success(), printed.lines().map(str::to_owned).collect()))
}

fn expected_lines() -> Vec<String> {
    bodies().iter().enumerate().map(|(index, body)| format!("{}\t{}", index + 1, body.len())).collect()
}

#[test]
fn a_log_of_version_1_still_opens_and_reads() {
    let report = verify(&RealDisk, sample()).unwrap();
    assert_eq!(report.verdict, Verdict::Clean);
    assert_eq!((report.id, report.segments.len(), report.records()), (Some(ID), 2, 12));
    let read: Vec<_> = LogReader::open(RealDisk, sample()).unwrap().read_from(1).unwrap().map(Result::unwrap).collect();
    assert!(read.iter().map(|entry| &entry.body).eq(&bodies()));
    let chain = bodies().iter().fold(ChainHead::first(ID), |chain, body| chain.next(body));
    assert_eq!(report.chain_head, chain);
}

#[test]
fn what_is_written_today_is_what_was_written_then() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions::create(ID).with_segment_bytes(MIN_SEGMENT_BYTES);
    let (mut log, _) = Log::open(RealDisk, dir.path(), options).unwrap();
    for body in bodies() {
        log.append(&[body]).unwrap();
    }
    log.write_head().unwrap();
    for name in ["log/00000000000000000001.seg", "log/00000000000000000010.seg"] {
        let (now, then) = (std::fs::read(dir.path().join(name)).unwrap(), std::fs::read(sample().join(name)).unwrap());
        // Only the header differs: by the time of creation, the hash of a segment with another time, and the checksum.
        assert_eq!(now[..72], then[..72]);
        assert!(now[128..] == then[128..], "{name} differs");
    }
    // HEAD was written once after the opening, which wrote both slots.
    let (now, then) = (std::fs::read(dir.path().join("HEAD")).unwrap(), std::fs::read(sample().join("HEAD")).unwrap());
    assert!(now == then, "HEAD differs");
}

#[test]
fn the_reader_in_python_agrees() {
    let Some((success, lines)) = read_by_python(&sample()) else {
        eprintln!("no python3 on this computer: nothing was checked");
        return;
    };
    assert!(success);
    assert_eq!(lines, expected_lines());

    // It must also notice damage: one flipped bit in the last frame of the first segment.
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::create_dir(&log).unwrap();
    for name in ["00000000000000000001.seg", "00000000000000000010.seg"] {
        std::fs::copy(sample().join("log").join(name), log.join(name)).unwrap();
    }
    let damaged = log.join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (success, lines) = read_by_python(dir.path()).unwrap();
    assert!(!success);
    assert!(lines.len() < 9 && !lines.is_empty() && expected_lines().starts_with(&lines));
}

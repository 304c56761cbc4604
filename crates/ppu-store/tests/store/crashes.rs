//! The power goes off at every single operation of a story; torn tails; and what only the page cache knew.

use crate::support::{DIR, body, contents, open, options, segment, written};
use ppu_store::{
    AppendError, CrashKeep, Disk, DiskFile, DiskOperation, Log, OpenMode, SimDisk, SimFault, Verdict, verify,
};

/// Makes a log, appends over two segments, and stops at the first error; gives the bodies that were acknowledged.
fn story(disk: &SimDisk) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    let Ok((mut log, _)) = open(disk) else {
        return acknowledged;
    };
    for number in 0..12 {
        let records = [body(number, 1500)];
        if log.append(&records).is_err() || (number % 5 == 4 && log.write_head().is_err()) {
            // The failing write of HEAD comes after an append that was acknowledged.
            if log.next_sequence() == number + 2 {
                acknowledged.extend(records);
            }
            return acknowledged;
        }
        acknowledged.extend(records);
    }
    acknowledged
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_acknowledged() {
    let quiet = SimDisk::new(0);
    assert_eq!(story(&quiet).len(), 12);
    assert!(quiet.operations() > 40, "the story has {} operations", quiet.operations());
    for at in 1..=quiet.operations() {
        for (seed, keep) in
            [(0, CrashKeep::Nothing), (1, CrashKeep::Random), (2, CrashKeep::Random), (3, CrashKeep::Everything)]
        {
            let disk = SimDisk::new(at * 10 + seed);
            disk.crash_at_operation(at);
            let acknowledged = story(&disk);
            assert!(disk.power_is_off());
            disk.crash(keep);
            let (mut log, _) = open(&disk).unwrap();
            let found = contents(&log.reader());
            assert!(found.starts_with(&acknowledged), "operation {at}, {keep:?}");
            assert!(found.len() <= acknowledged.len() + 1);
            log.append(&[b"and it goes on".to_vec()]).unwrap();
        }
    }
}

/// Writes a frame of many sectors and cuts the power in the middle of its sync.
fn torn(seed: u64) -> (SimDisk, Vec<Vec<u8>>) {
    let (disk, bodies) = written(2, 100);
    let disk_of_seed = disk.fork();
    let _steps = (0..seed).map(|_| disk_of_seed.crash(CrashKeep::Random)).count();
    let (mut log, _) = open(&disk_of_seed).unwrap();
    disk_of_seed.fail_nth(DiskOperation::Write, 1, SimFault::Eio);
    assert!(matches!(log.append(&[body(seed, 4000)]), Err(AppendError::Failed(_))));
    drop(log);
    (disk_of_seed, bodies)
}

#[test]
fn a_torn_tail_is_saved_cut_and_reported_until_something_follows_it() {
    let (disk, bodies) = torn(0);
    let Verdict::TornTail { offset, bytes, .. } = verify(&disk, DIR).unwrap().verdict else {
        panic!("the write was cut short");
    };
    let (log, opened) = open(&disk).unwrap();
    let cut = opened.tail_cut.unwrap();
    assert_eq!((cut.sequence, cut.segment, cut.offset, cut.bytes), (3, 1, offset, bytes));
    assert_eq!(disk.open(&cut.saved_as, OpenMode::Read).unwrap().length().unwrap(), bytes);
    assert_eq!(contents(&log.reader()), bodies);
    assert_eq!(verify(&disk, DIR).unwrap().verdict, Verdict::Clean);
    drop(log);

    disk.crash(CrashKeep::Nothing);
    let (mut log, again) = open(&disk).unwrap();
    assert_eq!(again.tail_cut, Some(cut), "nothing was appended, so the cut is not on record yet");
    log.append(&[b"the tail was cut".to_vec()]).unwrap();
    drop(log);
    assert_eq!(open(&disk).unwrap().1.tail_cut, None);
}

#[test]
fn frames_that_only_the_page_cache_knew_are_written_again() {
    let (disk, mut bodies) = written(2, 100);
    let (mut log, _) = open(&disk).unwrap();
    bodies.push(body(9, 3000));
    disk.fail_nth(DiskOperation::Sync, 1, SimFault::Eio);
    assert!(matches!(log.append(&bodies[2..]), Err(AppendError::Failed(_))));
    drop(log);
    // The process restarts; the page cache shows the frame though parts of it never reached the disk.
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.rewritten_records, 1);
    assert_eq!(contents(&log.reader()), bodies);
    drop(log);
    disk.crash(CrashKeep::Nothing);
    assert_eq!(contents(&open(&disk).unwrap().0.reader()), bodies);
}

#[test]
fn a_damaged_frame_with_a_valid_one_after_it_is_no_torn_tail() {
    let (disk, _) = written(1, 100);
    let (mut log, _) = open(&disk).unwrap();
    let second = log.append(&[body(1, 100)]).unwrap();
    log.append(&[body(2, 100)]).unwrap();
    let position = log.reader().read_from(second.first).unwrap().next().unwrap().unwrap().position;
    drop(log);
    disk.flip_bit(segment(1), position.offset * 8 + 300).unwrap();
    let Verdict::Corrupt(corruption) = verify(&disk, DIR).unwrap().verdict else {
        panic!("a valid frame follows");
    };
    assert_eq!((corruption.offset, corruption.last_good_sequence), (position.offset, 1));
    assert!(Log::open(disk, DIR, options()).is_err());
}

#[test]
fn a_reader_of_an_open_log_sees_what_is_durable_and_from_any_sequence() {
    let (disk, bodies) = written(40, 700);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.next_sequence, 41);
    for reader in [log.reader(), ppu_store::LogReader::open(disk, DIR).unwrap()] {
        for from in [0, 1, 2, 17, 39, 40, 41, 1000] {
            let read: Vec<_> = reader.read_from(from).unwrap().map(Result::unwrap).collect();
            let expected = bodies.iter().skip(from.saturating_sub(1) as usize);
            assert!(read.iter().map(|entry| &entry.body).eq(expected), "from {from}");
            assert!(read.last().is_none_or(|last| last.chain_head == opened.chain_head));
        }
    }
}

#[test]
fn long_segments_are_checked_by_threads_and_judged_alike() {
    let disk = SimDisk::new(3);
    let options = options().with_segment_bytes(2 << 20);
    let (mut log, _) = Log::open(disk.clone(), DIR, options.clone()).unwrap();
    let bodies: Vec<Vec<u8>> = (0..180).map(|number| body(number, 20_000)).collect();
    for records in bodies.chunks(3) {
        log.append(records).unwrap();
    }
    log.write_head().unwrap();
    drop(log);
    let (log, opened) = Log::open(disk.clone(), DIR, options.clone()).unwrap();
    assert_eq!((opened.next_sequence, opened.rewritten_records), (181, 0));
    assert_eq!(contents(&log.reader()), bodies);
    drop(log);
    let report = verify(&disk, DIR).unwrap();
    assert!(report.verdict == Verdict::Clean && report.segments.len() == 2);
    for (file, bit) in [(0, 1_500_000 * 8), (1, 1_200_000 * 8 + 3)] {
        let damaged = disk.fork();
        damaged.flip_bit(&report.segments[file].file, bit).unwrap();
        let Verdict::Corrupt(corruption) = verify(&damaged, DIR).unwrap().verdict else { panic!("it is damaged") };
        // The frame that holds the bit is named, and all before it is good.
        let frame = 56 + 3 * 20_004 + 4;
        assert!((bit / 8 - corruption.offset) < frame + 8, "{corruption}");
        assert!(corruption.last_good_sequence > 60 && corruption.last_good_sequence < 180, "{corruption}");
        assert!(Log::open(damaged, DIR, options.clone()).is_err());
    }
}

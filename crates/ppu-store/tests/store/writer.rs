//! The writer thread: group commit, completions, poisoning, ending.

use crate::support::{DIR, ID, body, contents, open};
use ppu_store::{
    AppendError, DiskOperation, Log, LogOptions, LogReader, LogWriter, Preparation, RealDisk, SimDisk, SimFault, verify,
};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(10);

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !reached() {
        assert!(Instant::now() < deadline, "not reached: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn many_threads_append_to_a_real_disk_and_all_of_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions::create(ID).with_segment_bytes(256 * 1024);
    let (log, _) = Log::open(RealDisk, dir.path(), options.clone()).unwrap();
    let writer = LogWriter::spawn(log).unwrap();
    let expected = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (writer, expected) = (writer.clone(), &expected);
            scope.spawn(move || {
                for number in 0..20 {
                    let records = vec![body(thread * 100 + number, 2000), body(number, 10)];
                    let range = writer.append(records.clone()).unwrap();
                    expected.lock().unwrap().extend(range.iter().zip(records));
                }
            });
        }
    });
    let mut expected = expected.into_inner().unwrap();
    expected.sort();
    assert_eq!(expected.len(), 320);
    assert_eq!(writer.status().next_sequence, 321);
    writer.close().unwrap();
    let (log, opened) = Log::open(RealDisk, dir.path(), options).unwrap();
    assert_eq!(opened.rewritten_records, 0, "closing writes HEAD");
    let read: Vec<_> =
        log.reader().read_from(1).unwrap().map(|entry| entry.map(|e| (e.sequence, e.body)).unwrap()).collect();
    assert_eq!(read, expected);
    let report = verify(&RealDisk, dir.path()).unwrap();
    assert!(report.can_be_opened() && report.segments.len() > 1);
}

/// A writer whose thread stands still inside a completion until the returned sender is dropped.
fn held(disk: &SimDisk) -> (LogWriter, mpsc::Sender<()>) {
    let writer = LogWriter::spawn(open(disk).unwrap().0).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (entered, in_completion) = mpsc::channel();
    let hold = Box::new(move |_| {
        entered.send(()).unwrap();
        let _released = held.recv();
    });
    writer.submit(vec![b"first".to_vec()], hold);
    in_completion.recv_timeout(BOUND).unwrap();
    (writer, release)
}

#[test]
fn what_queued_during_a_sync_becomes_one_frame() {
    let disk = SimDisk::new(1);
    let (writer, release) = held(&disk);
    let before = disk.operations();
    let (sender, outcomes) = mpsc::channel();
    for number in 0..20 {
        let sender = sender.clone();
        writer.submit(vec![body(number, 50)], Box::new(move |result| sender.send((number, result)).unwrap()));
    }
    drop(sender);
    drop(release);
    let ranges: Vec<_> = outcomes.iter().map(|(number, result)| (number, result.unwrap().first)).collect();
    assert_eq!(ranges, (0..20).map(|number| (number, number + 2)).collect::<Vec<_>>());
    let positions: Vec<_> = LogReader::open(disk.clone(), DIR).unwrap().read_from(2).unwrap().collect();
    let first = positions[0].as_ref().unwrap().position;
    assert!(positions.iter().all(|entry| entry.as_ref().unwrap().position == first));
    // One write and one sync for the frame, and at most the same for HEAD.
    assert!(disk.operations() - before <= 4);
}

#[test]
fn a_full_queue_refuses_and_an_ended_log_says_so() {
    let disk = SimDisk::new(1);
    let (writer, release) = held(&disk);
    let (sender, outcomes) = mpsc::channel();
    for _ in 0..1030 {
        let sender = sender.clone();
        writer.submit(vec![vec![7]], Box::new(move |result| sender.send(result).unwrap()));
    }
    let refused: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(refused.len(), 6);
    assert!(refused.iter().all(|result| matches!(result, Err(AppendError::QueueFull))));
    let status = writer.status();
    assert_eq!((status.queued, status.queue_capacity), (1024, 1024));
    let other = writer.clone();
    drop(release);
    writer.close().unwrap();
    assert_eq!(outcomes.try_iter().filter(Result::is_ok).count(), 1024);
    assert!(matches!(other.append(vec![vec![1]]), Err(AppendError::Closed)));
    other.submit(vec![vec![1]], Box::new(move |result| sender.send(result).unwrap()));
    assert!(matches!(outcomes.recv().unwrap(), Err(AppendError::Closed)));
    assert_eq!(contents(&open(&disk).unwrap().0.reader()).len(), 1025);
}

#[test]
fn a_failed_sync_answers_all_waiters_and_poisons() {
    let disk = SimDisk::new(1);
    let (writer, release) = held(&disk);
    let (sender, outcomes) = mpsc::channel();
    for _ in 0..300 {
        let sender = sender.clone();
        writer.submit(vec![vec![7]], Box::new(move |result| sender.send(result).unwrap()));
    }
    disk.fail_nth(DiskOperation::Sync, 1, SimFault::Eio);
    assert!(writer.poisoned().is_none());
    drop((release, sender));
    let outcomes: Vec<_> = outcomes.iter().collect();
    let failed = outcomes.iter().filter(|result| matches!(result, Err(AppendError::Failed(_)))).count();
    let poisoned = outcomes.iter().filter(|result| matches!(result, Err(AppendError::Poisoned(_)))).count();
    assert_eq!((failed, poisoned), (256, 44), "the frame that failed, and all that came after it");
    assert!(matches!(writer.append(vec![vec![1]]), Err(AppendError::Poisoned(_))));
    assert_eq!(writer.poisoned().unwrap().operation, DiskOperation::Sync);
    assert!(matches!(writer.close(), Err(AppendError::Poisoned(_))));
}

#[test]
fn head_follows_once_the_log_is_quiet() {
    let disk = SimDisk::new(1);
    let writer = LogWriter::spawn(open(&disk).unwrap().0).unwrap();
    let last = writer.append(vec![vec![1], vec![2]]).unwrap().last;
    wait_until("HEAD at the last record", || {
        verify(&disk, DIR).unwrap().head_slots.iter().flatten().any(|slot| slot.sequence == last)
    });
}

#[test]
fn head_follows_a_log_that_is_never_quiet_every_256_batches() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..256 {
        log.append(&[vec![1]]).unwrap();
    }
    assert!(verify(&disk, DIR).unwrap().head_slots.iter().flatten().any(|slot| slot.sequence == 256));
}

#[test]
fn the_slots_of_head_are_written_in_turn_so_that_one_is_always_whole() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for last in 1..5 {
        log.append(&[vec![1]]).unwrap();
        log.write_head().unwrap();
        let mut slots = verify(&disk, DIR).unwrap().head_slots.map(|slot| slot.unwrap().sequence);
        slots.sort_unstable();
        assert_eq!(slots, [last - 1, last]);
    }
}

#[test]
fn dropping_the_last_handle_writes_what_is_queued() {
    let disk = SimDisk::new(1);
    let (writer, release) = held(&disk);
    let count = Arc::new(Mutex::new(0));
    for _ in 0..10 {
        let count = count.clone();
        writer.submit(vec![vec![1]], Box::new(move |result| *count.lock().unwrap() += u32::from(result.is_ok())));
    }
    drop(release);
    drop(writer);
    assert_eq!(*count.lock().unwrap(), 10);
    assert_eq!(contents(&open(&disk).unwrap().0.reader()).len(), 11);
}

#[test]
fn a_completion_that_panics_harms_nobody_else() {
    let disk = SimDisk::new(1);
    let writer = LogWriter::spawn(open(&disk).unwrap().0).unwrap();
    writer.submit(vec![vec![1]], Box::new(|_| panic!("a completion of a test")));
    assert_eq!(writer.append(vec![vec![2]]).unwrap().first, 2);
}

#[test]
fn the_next_segment_is_prepared_ahead_and_a_full_disk_shows_early() {
    let disk = SimDisk::new(1);
    let writer = LogWriter::spawn(open(&disk).unwrap().0).unwrap();
    assert_eq!(writer.status().next_segment, Preparation::NotNeeded);
    disk.set_capacity(Some(20_000));
    for number in 0..5 {
        writer.append(vec![body(number, 900)]).unwrap();
    }
    // The outcome of the preparation is taken note of with the next batch.
    wait_until("a failed preparation", || {
        writer.append(vec![vec![1]]).unwrap();
        matches!(writer.status().next_segment, Preparation::Failed(std::io::ErrorKind::StorageFull))
    });
    assert!(writer.status().segment_bytes_left > 1000, "known long before the wall");
    disk.set_capacity(None);
    wait_until("a prepared segment", || {
        writer.append(vec![vec![1]]).unwrap();
        writer.status().next_segment == Preparation::Ready
    });
    writer.close().unwrap();
    assert_eq!(verify(&disk, DIR).unwrap().verdict, ppu_store::Verdict::Clean);
}

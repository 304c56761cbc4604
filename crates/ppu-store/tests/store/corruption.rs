//! Flipped bits, cut files and missing files at or below `HEAD` (LOG-9).

use crate::support::{DIR, contents, head, open, options, segment, written};
use ppu_store::{Corruption, CorruptionFault, Disk, Log, OpenError, SimDisk, Verdict, verify};

fn refusal(disk: &SimDisk) -> Corruption {
    match open(disk) {
        Err(OpenError::Corrupt(corruption)) => corruption,
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a damaged log was opened"),
    }
}

fn used_bytes(disk: &SimDisk) -> Vec<u64> {
    verify(disk, DIR).unwrap().segments.iter().map(|segment| segment.bytes_used).collect()
}

#[test]
fn every_flipped_bit_of_the_active_segment_refuses() {
    let (disk, bodies) = written(4, 60);
    let used = used_bytes(&disk)[0];
    for bit in 0..used * 8 {
        disk.flip_bit(segment(1), bit).unwrap();
        let corruption = refusal(&disk);
        assert!(corruption.offset <= bit / 8, "bit {bit}: {corruption}");
        assert!(corruption.last_good_sequence < 4, "bit {bit}: {corruption}");
        disk.flip_bit(segment(1), bit).unwrap();
    }
    assert_eq!(contents(&open(&disk).unwrap().0.reader()), bodies);
}

#[test]
fn flipped_bits_of_closed_segments_refuse_even_in_their_unused_space() {
    let (disk, _) = written(12, 1500);
    assert!(used_bytes(&disk).len() >= 3);
    // A stride that is prime to eight meets every bit of a byte and every part of the file.
    for bit in (0..ppu_store::MIN_SEGMENT_BYTES * 8).step_by(61) {
        disk.flip_bit(segment(1), bit).unwrap();
        let corruption = refusal(&disk);
        assert!(corruption.last_good_sequence <= 5, "bit {bit}: {corruption}");
        disk.flip_bit(segment(1), bit).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_a_head_slot_falls_back_to_the_other() {
    let (disk, bodies) = written(3, 60);
    for bit in (0..64 * 8).chain(4096 * 8..(4096 + 64) * 8) {
        let disk = disk.fork();
        disk.flip_bit(head(), bit).unwrap();
        let (log, opened) = open(&disk).unwrap();
        assert!(opened.head_fallback, "bit {bit}");
        assert_eq!(contents(&log.reader()), bodies, "bit {bit}");
        drop(log);
        assert!(!open(&disk).unwrap().1.head_fallback, "opening makes both slots whole again");
    }
}

#[test]
fn a_file_cut_at_any_length_refuses() {
    let (disk, _) = written(4, 60);
    let used = usize::try_from(used_bytes(&disk)[0]).unwrap();
    for length in 0..used {
        let disk = disk.fork();
        disk.truncate(segment(1), length).unwrap();
        assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))), "cut to {length} bytes");
    }
    let (disk, _) = written(12, 1500);
    for length in (0..usize::try_from(ppu_store::MIN_SEGMENT_BYTES).unwrap()).step_by(97) {
        let disk = disk.fork();
        disk.truncate(segment(1), length).unwrap();
        assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))), "closed segment cut to {length} bytes");
    }
}

#[test]
fn a_log_without_a_readable_head_is_refused() {
    let (disk, _) = written(3, 60);
    disk.flip_bit(head(), 100).unwrap();
    disk.flip_bit(head(), 4096 * 8 + 100).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::HeadUnreadable(_))));
    assert_eq!(verify(&disk, DIR).unwrap().verdict, Verdict::HeadUnreadable);
    disk.remove(&head()).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::HeadUnreadable(_))));
}

#[test]
fn missing_segments_are_noticed() {
    let (disk, _) = written(12, 1500);
    for gone in [6, 11] {
        let disk = disk.fork();
        disk.remove(&segment(gone)).unwrap();
        let fault = refusal(&disk).fault;
        let expected = matches!(fault, CorruptionFault::SegmentOutOfPlace | CorruptionFault::HeadDisagrees { .. });
        assert!(expected, "{fault}");
    }
    for gone in [1, 6, 11] {
        disk.remove(&segment(gone)).unwrap();
    }
    assert_eq!(refusal(&disk).fault, CorruptionFault::SegmentsMissing);
}

#[test]
fn the_oldest_segments_may_be_gone_and_the_caller_is_told() {
    let (disk, bodies) = written(12, 1500);
    disk.remove(&segment(1)).unwrap();
    let (log, opened) = open(&disk).unwrap();
    assert_eq!((opened.first_sequence, opened.next_sequence), (6, 13));
    let kept = log.reader().read_from(6).unwrap().map(|entry| entry.unwrap().body);
    assert!(kept.eq(bodies[5..].iter().cloned()));
    assert!(matches!(log.reader().read_from(5), Err(ppu_store::ReadError::NotKept { asked: 5, first: 6 })));
}

#[test]
fn an_old_copy_is_refused_by_a_witness_and_by_head() {
    let (disk, bodies) = written(3, 60);
    let refused = Log::open(disk.clone(), DIR, options().with_at_least(4));
    assert!(matches!(refused, Err(OpenError::TailLost { known: 4, found: 3 })));
    assert!(Log::open(disk.clone(), DIR, options().with_at_least(3)).is_ok());

    // Zeroed frames below HEAD are a lost tail and not a clean end.
    let used = usize::try_from(used_bytes(&disk)[0]).unwrap();
    disk.overwrite(segment(1), used - 8, &[0; 8]).unwrap();
    let refused = refusal(&disk);
    assert_eq!((refused.fault, refused.last_good_sequence), (CorruptionFault::FrameDamaged, bodies.len() as u64 - 1));
    disk.overwrite(segment(1), 128, &vec![0; used - 128]).unwrap();
    assert_eq!(refusal(&disk).last_good_sequence, 0);
}

#[test]
fn a_refused_log_is_left_as_it_is_and_can_be_salvaged_up_to_the_damage() {
    let (disk, bodies) = written(12, 1500);
    disk.flip_bit(segment(6), 3000 * 8).unwrap();
    let before = verify(&disk, DIR).unwrap();
    let refused = refusal(&disk);
    assert_eq!(verify(&disk, DIR).unwrap(), before);

    let mut read = ppu_store::LogReader::open(disk, DIR).unwrap().read_from(1).unwrap();
    let good: Vec<_> = read.by_ref().map_while(Result::ok).map(|entry| entry.body).collect();
    assert_eq!(good, bodies[..usize::try_from(refused.last_good_sequence).unwrap()]);
    assert!(read.next().is_none(), "the iterator ends after its error");
}

#[test]
fn frames_of_another_log_are_not_frames_here() {
    let (disk, _) = written(3, 60);
    let other = SimDisk::new(5);
    let options = options();
    let foreign = ppu_store::LogOptions { create: Some(ppu_store::LogId([7; 16])), ..options };
    let (mut log, _) = Log::open(other.clone(), DIR, foreign).unwrap();
    log.append(&[vec![1; 60]]).unwrap();
    drop(log);
    let stolen = ppu_store_bytes(&other);
    disk.overwrite(segment(1), 128, &stolen[128..256]).unwrap();
    assert_eq!(refusal(&disk).fault, CorruptionFault::FrameDamaged);
}

fn ppu_store_bytes(disk: &SimDisk) -> Vec<u8> {
    use ppu_store::{DiskFile, OpenMode};
    let mut bytes = vec![0; 512];
    disk.open(&segment(1), OpenMode::Read).unwrap().read(&mut bytes, 0).unwrap();
    bytes
}

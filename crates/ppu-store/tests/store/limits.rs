//! Sizes that are refused, sizes that fit, and padding.

use crate::support::{DIR, ID, body, contents, open};
use ppu_store::{AppendError, Log, LogOptions, MAX_RECORD_BYTES, OpenError, PadTo, SimDisk, Verdict, verify};

fn roomy() -> LogOptions {
    LogOptions::create(ID).with_segment_bytes(2 * 1024 * 1024)
}

#[test]
fn too_much_is_refused_before_anything_is_written() {
    let disk = SimDisk::new(1);
    let (mut log, _) = Log::open(disk.clone(), DIR, roomy()).unwrap();
    let before = disk.operations();
    assert!(matches!(log.append(&[]), Err(AppendError::Empty)));
    let refused = log.append(&[vec![0; 3], vec![0; MAX_RECORD_BYTES + 1]]);
    assert!(matches!(refused, Err(AppendError::RecordTooLarge { index: 1, bytes: 65_537, limit: 65_536 })));
    assert!(matches!(log.append(&vec![vec![]; 257]), Err(AppendError::BatchTooLarge { records: 257, .. })));
    assert!(matches!(log.append(&vec![vec![0; MAX_RECORD_BYTES]; 16]), Err(AppendError::BatchTooLarge { .. })));
    assert_eq!(disk.operations(), before);
    assert_eq!(log.append(&[vec![]]).unwrap().first, 1);
}

#[test]
fn the_largest_record_and_the_largest_batches_fit() {
    let disk = SimDisk::new(1);
    let (mut log, _) = Log::open(disk.clone(), DIR, roomy()).unwrap();
    let mut expected = vec![body(0, MAX_RECORD_BYTES)];
    log.append(&expected).unwrap();
    let many: Vec<_> = (0..256).map(|number| body(number, 4092)).collect();
    for _ in 0..3 {
        log.append(&many).unwrap();
        expected.extend(many.clone());
    }
    assert_eq!(contents(&log.reader()), expected);
    assert_eq!(verify(&disk, DIR).unwrap().verdict, Verdict::Clean);
}

#[test]
fn a_small_segment_lowers_the_limit_and_its_largest_record_fits() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let Err(AppendError::RecordTooLarge { limit, .. }) = log.append(&[vec![0; MAX_RECORD_BYTES]]) else {
        panic!("64 KiB do not fit a segment of 8 KiB");
    };
    for number in 0..3 {
        log.append(&[body(number, limit)]).unwrap();
    }
    assert_eq!(verify(&disk, DIR).unwrap().segments.len(), 3);
}

#[test]
fn padded_frames_end_at_sectors_and_read_back() {
    for (pad_to, unit) in [(PadTo::Sector512, 512), (PadTo::Sector4096, 4096)] {
        let disk = SimDisk::new(1);
        let options = roomy().with_segment_bytes(64 * 1024).with_pad_to(pad_to);
        let (mut log, _) = Log::open(disk.clone(), DIR, options.clone()).unwrap();
        let bodies: Vec<_> = (0..40_u64).map(|number| body(number, 37 * usize::try_from(number).unwrap())).collect();
        for one in &bodies {
            let position = log.append(std::slice::from_ref(one)).unwrap();
            let entry = log.reader().read_from(position.first).unwrap().next().unwrap().unwrap();
            assert!(entry.position.offset == 128 || entry.position.offset.is_multiple_of(unit));
        }
        drop(log);
        let (log, _) = Log::open(disk, DIR, options).unwrap();
        assert_eq!(contents(&log.reader()), bodies);
    }
}

#[test]
fn impossible_options_are_refused() {
    for bytes in [0, 100, 8191, 2 * 1024 * 1024 * 1024] {
        let refused = Log::open(SimDisk::new(1), DIR, roomy().with_segment_bytes(bytes));
        assert!(matches!(refused, Err(OpenError::BadOptions(_))));
    }
    // The largest padding still leaves room in the smallest segment.
    let tight = roomy().with_segment_bytes(ppu_store::MIN_SEGMENT_BYTES).with_pad_to(PadTo::Sector4096);
    let (mut log, _) = Log::open(SimDisk::new(1), DIR, tight).unwrap();
    for number in 0..3 {
        log.append(&[body(number, 3000)]).unwrap();
    }
}

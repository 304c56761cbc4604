//! The log against a vector, under random appends, crashes, kills and failing operations.

use crate::support::{DIR, body, contents, open};
use ppu_store::{AppendError, CrashKeep, DiskOperation, Log, SimDisk, SimFault, Verdict, verify};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<usize>),
    WriteHead,
    Crash(CrashKeep),
    /// The power goes off before the n-th changing operation from here.
    CrashAhead(u64, CrashKeep),
    Fail(DiskOperation, u64, SimFault),
}

fn action() -> impl Strategy<Value = Action> {
    let keep = prop_oneof![Just(CrashKeep::Nothing), Just(CrashKeep::Everything), Just(CrashKeep::Random)];
    let operation = prop_oneof![Just(DiskOperation::Write), Just(DiskOperation::Sync)];
    let fault = prop_oneof![Just(SimFault::Eio), Just(SimFault::Enospc)];
    prop_oneof![
        12 => prop::collection::vec(0_usize..2000, 1..4).prop_map(Action::Append),
        2 => Just(Action::WriteHead),
        1 => keep.clone().prop_map(Action::Crash),
        2 => (1_u64..30, keep).prop_map(|(ahead, keep)| Action::CrashAhead(ahead, keep)),
        1 => (operation, 1_u64..6, fault).prop_map(|(operation, n, fault)| Action::Fail(operation, n, fault)),
    ]
}

/// The log, and what it must hold.
struct Story {
    disk: SimDisk,
    log: Option<Log<SimDisk>>,
    /// What was acknowledged, or was found at an open and so may have been acted upon.
    known: Vec<Vec<u8>>,
    /// The records of an append that failed: all of them or none may turn up.
    in_doubt: Vec<Vec<u8>>,
    keep_at_next_crash: CrashKeep,
    written: u64,
}

impl Story {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let log = Some(open(&disk).unwrap().0);
        let keep_at_next_crash = CrashKeep::Random;
        Self { disk, log, known: Vec::new(), in_doubt: Vec::new(), keep_at_next_crash, written: 0 }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(lengths) => self.append(lengths),
            Action::WriteHead => {
                if self.log.as_mut().unwrap().write_head().is_err() {
                    self.crash(self.keep_at_next_crash);
                }
            }
            Action::Crash(keep) => self.crash(*keep),
            Action::CrashAhead(ahead, keep) => {
                self.disk.crash_at_operation(*ahead);
                self.keep_at_next_crash = *keep;
            }
            Action::Fail(operation, n, fault) => self.disk.fail_nth(*operation, *n, *fault),
        }
    }

    fn append(&mut self, lengths: &[usize]) {
        let records: Vec<Vec<u8>> = lengths
            .iter()
            .map(|length| {
                self.written += 1;
                body(self.written, *length)
            })
            .collect();
        let log = self.log.as_mut().unwrap();
        match log.append(&records) {
            Ok(range) => {
                assert_eq!(range.first, self.known.len() as u64 + 1);
                assert_eq!(range.len(), records.len() as u64);
                self.known.extend(records);
            }
            Err(AppendError::Failed(_)) => {
                assert!(matches!(log.append(&[vec![1]]), Err(AppendError::Poisoned(_))));
                self.in_doubt = records;
                self.crash(self.keep_at_next_crash);
            }
            // HEAD may have failed after an append that was acknowledged.
            Err(AppendError::Poisoned(_)) => self.crash(self.keep_at_next_crash),
            Err(other) => panic!("{other}"),
        }
    }

    /// The power goes off, comes back, and goes off once more while the log recovers.
    fn crash(&mut self, keep: CrashKeep) {
        self.log = None;
        self.disk.crash(keep);
        self.disk.crash_at_operation(self.written % 17 + 1);
        let interrupted = open(&self.disk);
        drop(interrupted);
        self.disk.crash(keep);
        let (log, opened) = open(&self.disk).unwrap();
        let found = contents(&log.reader());
        assert_eq!(opened.next_sequence, found.len() as u64 + 1);
        assert!(found.starts_with(&self.known), "{} acknowledged, {} found", self.known.len(), found.len());
        let beyond = &found[self.known.len()..];
        assert!(beyond.is_empty() || beyond == self.in_doubt, "an append is all or nothing");
        assert_eq!(verify(&self.disk, DIR).unwrap().verdict, Verdict::Clean);
        self.known = found;
        self.in_doubt.clear();
        self.log = Some(log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost(seed: u64, actions in prop::collection::vec(action(), 1..60)) {
        let mut story = Story::new(seed);
        for action in &actions {
            story.act(action);
        }
        story.crash(CrashKeep::Nothing);
        story.crash(CrashKeep::Random);
    }
}

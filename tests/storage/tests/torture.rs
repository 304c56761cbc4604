//! The sizes that run on each change.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use std::path::Path;

use ppu_storage_torture::workload::Kind;
use ppu_storage_torture::{damage, faults, interposer, kill, power};

const SEED: u64 = 1;

fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ppu-storage-torture"))
}

/// Runs trials where calls can be written down.
fn power(kind: Kind, trials: u64) -> Option<power::Tally> {
    let library = interposer::build(executable()).unwrap()?;
    let tally = power::run(executable(), &library, kind, trials, SEED).unwrap();
    eprintln!("{}: {tally:?}", kind.name());
    Some(tally)
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let Some(tally) = power(Kind::Lab, 20) else { return };
    assert_eq!((tally.nothing_kept.lost, tally.part_kept.lost), (0, 0));
    assert!(tally.nothing_kept.acknowledged > 500, "{tally:?}");
}

#[test]
fn a_power_cut_loses_what_was_never_synced() {
    let Some(log) = power(Kind::LogWithoutSync, 4) else { return };
    assert!(log.nothing_kept.lost > 0, "{log:?}");
    let sled = power(Kind::SledFlush, 4).unwrap();
    assert!(sled.nothing_kept.lost > 0, "{sled:?}");
}

#[test]
fn an_engine_that_syncs_keeps_what_it_acknowledged() {
    let Some(sled) = power(Kind::SledSynced, 4) else { return };
    assert_eq!(sled.nothing_kept.lost, 0, "{sled:?}");
}

#[test]
fn no_call_passes_by_unnoticed() {
    let Some(library) = interposer::build(executable()).unwrap() else { return };
    for kind in [Kind::Lab, Kind::SledSynced] {
        let found = power::calibrate(executable(), &library, kind).unwrap();
        assert_eq!(found.lost, 0, "{kind:?}: {found:?}");
        assert!(found.acknowledged >= 60, "{kind:?}: {found:?}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let found = kill::run(executable(), 50, SEED).unwrap();
    eprintln!("{found:?}");
    assert_eq!(found.lost, 0);
    assert!(found.acknowledged > 1000, "{found:?}");
}

#[test]
fn every_damage_is_noticed_and_nothing_changed_is_served() {
    let tally = damage::run(1000, SEED).unwrap();
    eprintln!("{tally}");
    assert_eq!(tally.cases(), 1000);
}

#[test]
fn every_operation_of_the_disk_may_fail() {
    let tally = faults::run().unwrap();
    eprintln!("{tally}");
    assert!(tally.0.values().sum::<u64>() > 200, "{tally}");
}

//! Repair of a damaged journal: nothing in place, nothing silently, and nothing that was open is believed afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ppu_core::{AttemptState, CommandKey};
use ppu_engine::{Engine, Event, Fact};
use ppu_journal::{Content, JournalError, RepairError, repair, show, verify};

use crate::samples::{device, fact, key, numbered, plan, position, run, sample};
use crate::support::{LIMIT, Opened, flip, open, segment, try_open, written};

/// A lab with one step whose end is not on record.
fn open_step() -> (Vec<Fact>, CommandKey) {
    let attempt = CommandKey { attempt: 1, ..key("r1", "dispense") };
    let plan = plan("heat");
    let step = CommandKey { step: ppu_core::StepId::of(&run("r1"), &plan.steps[0].name).unwrap(), ..attempt };
    let events = vec![
        Event::LabOpened {
            lab: "small".to_owned(),
            devices: BTreeMap::from([(device("pump_a"), None), (device("furnace_a"), None)]),
            positions: vec![position("rack.1")],
            samples: BTreeMap::from([(sample("s1"), position("rack.1"))]),
        },
        Event::EpochStarted { epoch: 41 },
        Event::RunSubmitted { run: run("r1"), trial: None, plan: Box::new(plan), request_id: String::new() },
        Event::RunStarted { run: run("r1"), sample: Some(sample("s1")) },
        Event::StepIntended {
            key: step.clone(),
            device: device("pump_a"),
            capability: "liquid_handling".to_owned(),
            command: "dispense".to_owned(),
            arguments: ppu_core::Arguments::new(),
            sample: Some(sample("s1")),
            positions: Vec::new(),
        },
    ];
    (events.into_iter().map(fact).collect(), step)
}

/// A journal with these facts, then with more whose first frame is damaged, so that a good one follows the damage.
async fn damaged(directory: &Path, good: &[Fact]) {
    let Opened { journal, .. } = open(directory);
    journal.append(good).await.unwrap();
    let (file, end_of_the_good) = segment(directory);
    journal.append(&numbered(42..43)).await.unwrap();
    journal.append(&numbered(43..44)).await.unwrap();
    assert!(journal.wait_for_index(LIMIT));
    drop(journal);
    flip(&file, end_of_the_good as usize + 70);
    assert!(matches!(try_open(directory).map(drop), Err(JournalError::Corrupt { .. })));
}

#[tokio::test]
async fn the_new_log_begins_with_what_was_cut_and_ends_in_doubt_and_paused() {
    let folder = tempfile::tempdir().unwrap();
    let (facts, step) = open_step();
    damaged(folder.path(), &facts).await;
    let old_bytes = fs::read(segment(folder.path()).0).unwrap();

    let report = repair(folder.path(), "ada", "the disk was changed").unwrap();
    assert_eq!((report.kept, &report.in_doubt), (5, &vec![step.clone()]));
    assert!(report.cut.contains("corrupt at byte"), "{}", report.cut);
    assert_eq!(fs::read(report.kept_as.join("log/00000000000000000001.seg")).unwrap(), old_bytes);

    let Opened { journal, facts: found, notes } = open(folder.path());
    assert_eq!(found[..5], (2..).zip(facts).collect::<Vec<_>>());
    assert!(notes.iter().any(|note| note.contains("another journal")), "{notes:?}");
    let mut engine = Engine::new();
    found.iter().for_each(|(_, fact)| engine.evolve(fact).unwrap());
    assert_eq!(engine.state().epoch, report.epoch);
    assert!(report.epoch > 1000 + 41);
    assert!(engine.state().hold.is_some(), "the lab is paused");
    let ended = found.iter().find_map(|(_, fact)| match &fact.event {
        Event::StepEnded { key, outcome, .. } => Some((key.clone(), outcome.state)),
        _ => None,
    });
    assert_eq!(ended, Some((step, AttemptState::InDoubt)));
    assert!(journal.wait_for_index(LIMIT));
    drop(journal);

    let first = show(folder.path(), 1, 1).unwrap().remove(0);
    assert_eq!((first.sequence, first.actor.as_str()), (1, "ada"));
    let Content::Repaired(said) = first.content else { panic!("{first:?}") };
    assert_eq!((said.kept, said.reason.as_str()), (5, "the disk was changed"));
    assert_eq!(said.old_log.len(), 32);
    assert_eq!(said.kept_as, report.kept_as.display().to_string());
    assert!(verify(folder.path()).unwrap().is_sound());
    assert!(open(folder.path()).notes.is_empty());
}

#[tokio::test]
async fn a_journal_that_can_be_opened_or_is_in_use_is_not_repaired() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &numbered(1..4)).await;
    assert!(matches!(repair(folder.path(), "ada", "to be sure"), Err(RepairError::NothingToRepair)));
    assert!(matches!(repair(folder.path(), "ada", " "), Err(RepairError::Unsigned)));
    let used = open(folder.path());
    let refused = repair(folder.path(), "ada", "to be sure");
    assert!(matches!(refused, Err(RepairError::Journal(JournalError::InUse(_)))), "{refused:?}");
    drop(used);
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(repair(&nowhere, "ada", "to be sure"), Err(RepairError::Journal(JournalError::Read(_)))));
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn an_old_copy_is_repaired_by_who_knows_that_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    written(folder.path(), &numbered(1..4)).await;
    crate::support::copy(&folder.path().join("journal"), old.path());
    written(folder.path(), &numbered(4..9)).await;
    crate::support::replace(&folder.path().join("journal"), old.path());
    assert!(matches!(try_open(folder.path()).map(drop), Err(JournalError::TailLost { .. })));
    let report = repair(folder.path(), "ada", "restored from Monday").unwrap();
    assert_eq!((report.kept, report.cut.as_str()), (3, "records 4 to 8 are missing at the end"));
    assert_eq!(open(folder.path()).facts.len(), 3);
}

#[tokio::test]
async fn a_repair_that_was_interrupted_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path(), &numbered(1..4)).await;
    let report = repair(folder.path(), "ada", "the disk was changed").unwrap();
    let (log, new) = (folder.path().join("journal"), folder.path().join("journal.repaired"));
    // As the power goes off between the two renames.
    fs::write(log.join("COMPLETE"), report.kept_as.display().to_string()).unwrap();
    fs::rename(&log, &new).unwrap();
    let Opened { facts, notes, .. } = open(folder.path());
    assert_eq!(facts.len(), 3);
    assert!(notes.iter().any(|note| note.contains("interrupted")), "{notes:?}");
    // And before the first.
    fs::write(log.join("COMPLETE"), report.kept_as.display().to_string()).unwrap();
    fs::rename(&log, &new).unwrap();
    fs::rename(&report.kept_as, &log).unwrap();
    assert_eq!(open(folder.path()).facts.len(), 3);
    assert!(report.kept_as.is_dir());
}

//! Looking at a journal from outside.

use ppu_engine::Fact;
use ppu_journal::{Content, JournalError, export, show, verify};

use crate::samples::{fact, numbered, one_of_every_kind};
use crate::support::{Opened, flip, open, segment, written};

#[tokio::test]
async fn an_export_holds_every_record_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let facts: Vec<Fact> = one_of_every_kind().into_iter().map(fact).collect();
    let Opened { journal, .. } = open(folder.path());
    journal.append_traced(&facts, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").await.unwrap();
    let mut out = Vec::new();
    // The owner is still there: no lock is needed to look.
    assert_eq!(export(folder.path(), &mut out).unwrap(), facts.len() as u64);
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (index, (line, fact)) in lines.iter().zip(&facts).enumerate() {
        assert_eq!(line["sequence"], index + 1);
        assert_eq!(serde_json::from_value::<Fact>(line["fact"].clone()).unwrap(), *fact);
        assert!(line["boot_ns"].as_u64().unwrap() > 0);
        assert!(line["traceparent"].as_str().unwrap().starts_with("00-4bf9"));
    }
    let actors: Vec<&str> =
        lines.iter().filter_map(|line| line["actor"].as_str()).filter(|a| *a != "scheduler").collect();
    // A device cleared, a ledger retired, a sample located, a campaign stopped, one reshaped, a trial decided, a step given up, two
    // signatures under a verdict, a run ended, pause, stop, resume.
    assert_eq!(actors, ["ada"; 13]);
}

#[tokio::test]
async fn some_records_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &numbered(1..10)).await;
    let shown = show(folder.path(), 4, 2).unwrap();
    let contents: Vec<_> = shown.iter().map(|record| (record.sequence, record.content.clone())).collect();
    let expected: Vec<_> = (4..6).zip(numbered(4..6)).map(|(sequence, fact)| (sequence, Content::Fact(fact))).collect();
    assert_eq!(contents, expected);
    assert!(shown[0].traceparent.is_empty());
    assert!(matches!(show(&folder.path().join("elsewhere"), 1, 1), Err(JournalError::Read(_))));
}

#[tokio::test]
async fn verify_replays_and_finds_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let every: Vec<Fact> = one_of_every_kind().into_iter().map(fact).collect();
    written(folder.path(), &numbered(1..3)).await;
    let report = verify(folder.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.facts, 2);
    // These facts do not follow from one another, and the raw data that they name were never stored.
    open(folder.path()).journal.append(&every).await.unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(!report.can_be_opened(), "{report}");
    assert!(report.contradiction.is_some(), "{report}");
    assert_eq!(report.missing_artifacts.len(), 2, "{report}");
    assert_eq!(report.facts, 2 + every.len() as u64);
}

#[tokio::test]
async fn damage_is_explained_and_what_is_good_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    journal.append(&numbered(1..3)).await.unwrap();
    let (file, end_of_the_first) = segment(folder.path());
    journal.append(&numbered(3..5)).await.unwrap();
    drop(journal);
    flip(&file, end_of_the_first as usize + 70);
    let report = verify(folder.path()).unwrap();
    assert!(!report.can_be_opened() && report.unreadable.is_some(), "{report}");
    assert!(report.to_string().contains("corrupt at byte"), "{report}");
    assert_eq!(report.facts, 2);
    let mut out = Vec::new();
    assert!(matches!(export(folder.path(), &mut out), Err(JournalError::Corrupt { last_good_sequence: 2, .. })));
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
}

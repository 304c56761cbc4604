//! Opening, appending, and opening again.

use ppu_engine::Fact;
use ppu_journal::{Journal, JournalError, JournalOptions};

use crate::samples::numbered;

const SMALL: JournalOptions = JournalOptions { segment_bytes: 1 << 20 };

fn replayed(directory: &std::path::Path) -> (Journal, Vec<(u64, Fact)>, Vec<String>) {
    let (journal, recovery) = Journal::open_with(directory, &SMALL).unwrap();
    let facts = recovery.facts.collect::<Result<_, _>>().unwrap();
    (journal, facts, recovery.notes)
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, notes) = replayed(folder.path());
    assert!(facts.is_empty());
    assert_eq!(notes.len(), 1, "{notes:?}");
    let range = journal.append(&numbered(1..4)).await.unwrap();
    assert_eq!((range.first, range.last), (1, 3));
    let range = journal.append(&numbered(4..5)).await.unwrap();
    assert_eq!((range.first, range.last), (4, 4));
    drop(journal);
    let (_journal, facts, notes) = replayed(folder.path());
    assert_eq!(facts, (1..).zip(numbered(1..5)).collect::<Vec<_>>());
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn a_journal_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (_journal, _, _) = replayed(folder.path());
    assert!(matches!(Journal::open_with(folder.path(), &SMALL), Err(JournalError::InUse(_))));
}

//! Opening, appending, and opening again.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use ppu_journal::{Content, JournalError};

use crate::samples::numbered;
use crate::support::{Opened, copy, flip, open, segment, try_open, written};

#[tokio::test]
async fn what_was_appended_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, facts, notes } = open(folder.path());
    assert!(facts.is_empty());
    assert_eq!(notes.len(), 1, "{notes:?}");
    let range = journal.append(&numbered(1..4)).await.unwrap();
    assert_eq!((range.first, range.last), (1, 3));
    let range = journal.append(&numbered(4..5)).await.unwrap();
    assert_eq!((range.first, range.last), (4, 4));
    drop(journal);
    let Opened { facts, notes, .. } = open(folder.path());
    assert_eq!(facts, (1..).zip(numbered(1..5)).collect::<Vec<_>>());
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn a_journal_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    assert!(matches!(try_open(folder.path()), Err(JournalError::InUse(_))));
    drop(first);
    open(folder.path());
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    for at in 0..20 {
        journal.append(&numbered(at * 3..at * 3 + 3)).await.unwrap();
        if at % 5 == 4 {
            let left_behind = tempfile::tempdir().unwrap();
            copy(folder.path(), left_behind.path());
            let Opened { facts, .. } = open(left_behind.path());
            assert_eq!(facts, (1..).zip(numbered(0..at * 3 + 3)).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn an_append_goes_on_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    {
        let facts = numbered(1..2);
        let mut append = std::pin::pin!(journal.append(&facts));
        // Polled once, so that it is under way, and then given up.
        let waker = std::task::Waker::noop();
        let _first_poll = append.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    let range = journal.append(&numbered(2..3)).await.unwrap();
    assert_eq!((range.first, range.last), (2, 2));
    drop(journal);
    assert_eq!(open(folder.path()).facts, (1..).zip(numbered(1..3)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_torn_tail_is_put_on_record_and_is_no_fact() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &numbered(1..4)).await;
    let (file, end) = segment(folder.path());
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(b"half a frame", end).unwrap();
    let Opened { journal, facts, notes } = open(folder.path());
    assert_eq!(facts, (1..).zip(numbered(1..4)).collect::<Vec<_>>());
    assert!(notes.iter().any(|note| note.contains("were cut from the end")), "{notes:?}");
    let range = journal.append(&numbered(4..5)).await.unwrap();
    assert_eq!(range.first, 5);
    let fifth = (5, numbered(4..5).remove(0));
    assert_eq!(journal.facts_after(3, 10).unwrap(), std::slice::from_ref(&fifth));
    drop(journal);
    let Opened { facts, notes, .. } = open(folder.path());
    assert_eq!(facts.len(), 4);
    assert_eq!(facts[3], fifth);
    assert!(notes.is_empty(), "{notes:?}");
    let shown = ppu_journal::show(folder.path(), 4, 1).unwrap();
    let Content::TailCut(cut) = &shown[0].content else { panic!("{shown:?}") };
    assert_eq!((cut.sequence, cut.offset, cut.bytes >= 12), (4, end, true));
    assert_eq!(std::fs::read(&cut.saved_as).unwrap()[..12], *b"half a frame");
}

#[tokio::test]
async fn damage_below_head_refuses_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    journal.append(&numbered(1..3)).await.unwrap();
    let (file, end_of_the_first) = segment(folder.path());
    journal.append(&numbered(3..5)).await.unwrap();
    drop(journal);
    flip(&file, end_of_the_first as usize + 70);
    let error = try_open(folder.path()).map(drop).unwrap_err();
    let JournalError::Corrupt { file: named, offset, last_good_sequence, .. } = &error else { panic!("{error}") };
    assert_eq!((named, *offset, *last_good_sequence), (&file, end_of_the_first, 2));
    assert!(error.to_string().contains("ppu journal verify"), "{error}");
}

#[tokio::test]
async fn an_empty_append_and_one_of_too_many_facts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    for facts in [Vec::new(), numbered(0..257)] {
        let error = journal.append(&facts).await.unwrap_err();
        assert!(matches!(error, JournalError::Append(_)) && !error.is_fatal(), "{error}");
    }
    assert_eq!(journal.append(&numbered(0..256)).await.unwrap().last, 256);
}

//! Raw data.

use ppu_core::ArtifactHash;
use ppu_journal::JournalError;

use crate::support::{Opened, flip, open};

#[test]
fn raw_data_are_served_only_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    let hash = journal.store_artifact(b"<scan/>").unwrap();
    assert_eq!(hash, ArtifactHash::of(b"<scan/>"));
    assert_eq!(journal.store_artifact(b"<scan/>").unwrap(), hash);
    assert_eq!(journal.artifact(&hash).unwrap(), b"<scan/>");
    drop(journal);
    let Opened { journal, .. } = open(folder.path());
    assert_eq!(journal.artifact(&hash).unwrap(), b"<scan/>");
    let digits = hash.to_string();
    let (prefix, rest) = digits.split_at(2);
    flip(&folder.path().join("artifacts").join(prefix).join(rest), 3);
    let error = journal.artifact(&hash).unwrap_err();
    let JournalError::ArtifactQuarantined { hash: named, moved_to } = &error else { panic!("{error}") };
    assert_eq!(*named, hash);
    assert!(moved_to.is_file());
    assert!(matches!(journal.artifact(&hash), Err(JournalError::ArtifactNotFound(missing)) if missing == hash));
    assert_eq!(journal.store_artifact(b"<scan/>").unwrap(), hash);
    assert_eq!(journal.artifact(&hash).unwrap(), b"<scan/>");
}

#[test]
fn what_was_half_written_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::write(folder.path().join("artifacts/incoming/put1"), b"half").unwrap();
    let Opened { notes, .. } = open(folder.path());
    assert!(notes.iter().any(|note| note.contains("half written")), "{notes:?}");
    assert!(!folder.path().join("artifacts/incoming/put1").exists());
}

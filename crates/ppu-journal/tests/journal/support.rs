//! Folders, copies of them, and bounded waiting.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ppu_engine::Fact;
use ppu_journal::{Journal, JournalError, JournalOptions};

/// Small segments, because each test fills one with zeros.
pub(crate) fn small() -> JournalOptions {
    JournalOptions { segment_bytes: 1 << 20, ..JournalOptions::default() }
}
/// Far beyond what any wait here takes, also on a busy computer.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) facts: Vec<(u64, Fact)>,
    pub(crate) notes: Vec<String>,
}

pub(crate) fn try_open(directory: &Path) -> Result<Opened, JournalError> {
    let (journal, recovery) = Journal::open_with(directory, &small())?;
    Ok(Opened { journal, facts: recovery.facts.collect::<Result<_, _>>()?, notes: recovery.notes })
}

pub(crate) fn open(directory: &Path) -> Opened {
    try_open(directory).unwrap()
}

/// A journal with these facts, closed, its index complete.
pub(crate) async fn written(directory: &Path, facts: &[Fact]) {
    let Opened { journal, .. } = open(directory);
    journal.append(facts).await.unwrap();
    assert!(journal.wait_for_index(LIMIT), "{:?}", journal.index_status());
}

/// Copies a folder as it is now, which is what a killed process leaves behind.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a copy in the place of a folder.
pub(crate) fn replace(folder: &Path, copy_of_it: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy(copy_of_it, folder);
}

/// The only segment of a small log, and where its last frame ends.
pub(crate) fn segment(directory: &Path) -> (PathBuf, u64) {
    let report = ppu_store::verify(&ppu_store::RealDisk, directory.join("journal")).unwrap();
    (report.segments[0].file.clone(), report.segments[0].bytes_used)
}

pub(crate) fn flip(file: &Path, offset: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset] ^= 0x40;
    fs::write(file, bytes).unwrap();
}

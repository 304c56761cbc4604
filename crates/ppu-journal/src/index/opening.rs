//! What becomes of an index at the start (IDX-2): it is only a helper and never a reason to refuse, with one exception. An
//! index that is whole and knows more than the log is a witness that the log lost its tail.

use std::io;
use std::path::{Path, PathBuf};

use ppu_store::{ChainHead, Disk, LogId, LogReader};

use super::store::{Found, find};
use super::{Applied, Index, Keeper};
use crate::JournalError;

/// An index as found, before the log is open.
#[derive(Debug)]
pub(crate) struct Examined {
    path: PathBuf,
    found: Found,
}

/// Looks at the index of a directory. The caller holds the lock of the journal, so nobody else uses it.
pub(crate) fn examine(path: &Path) -> Examined {
    Examined { path: path.to_owned(), found: find(path) }
}

impl Examined {
    /// The log that this index belongs to, and the last sequence of it that it has seen.
    pub(crate) fn witness(&self) -> Option<(LogId, u64)> {
        match &self.found {
            Found::Whole(_, applied) => Some((applied.log, applied.sequence)),
            Found::Fresh(_) | Found::Unusable(_) => None,
        }
    }

    /// Lets the index follow the log, from the beginning where what was found does not belong to it.
    pub(crate) fn keep<D: Disk>(self, reader: &LogReader<D>, notes: &mut Vec<String>) -> Result<Keeper, JournalError> {
        let Examined { path, found } = self;
        let nothing = Applied { sequence: 0, chain: ChainHead([0; 32]), log: reader.id(), entries: 0, digest: 0 };
        let problem = match found {
            Found::Fresh(index) => {
                if reader.read_from(1)?.next().is_some() {
                    notes.push("the index was empty or missing; it is made anew from the journal".to_owned());
                }
                return start(index, nothing, reader);
            }
            Found::Whole(index, applied) => match contradiction(&applied, reader)? {
                None => return start(index, applied, reader),
                Some(contradiction) => contradiction.to_owned(),
            },
            Found::Unusable(error) => error.to_string(),
        };
        let aside = match move_aside(&path) {
            Ok(aside) => aside,
            Err(error) => return Ok(give_up(format!("{problem}, and it could not be moved away: {error}"), notes)),
        };
        notes.push(format!(
            "the index could not be used ({problem}); it was moved to {} and is rebuilt from the journal",
            aside.display()
        ));
        match find(&path) {
            Found::Fresh(index) => start(index, nothing, reader),
            Found::Whole(..) => Ok(give_up("somebody else writes into its directory".to_owned(), notes)),
            Found::Unusable(error) => Ok(give_up(format!("a new one could not be made: {error}"), notes)),
        }
    }
}

fn start<D: Disk>(index: Index, applied: Applied, reader: &LogReader<D>) -> Result<Keeper, JournalError> {
    Keeper::start(index, applied, reader.clone()).map_err(JournalError::Thread)
}

fn give_up(problem: String, notes: &mut Vec<String>) -> Keeper {
    notes.push(format!("the journal works without its index: {problem}"));
    Keeper::without_index(problem)
}

/// How an index contradicts the log, if it does.
fn contradiction<D: Disk>(applied: &Applied, reader: &LogReader<D>) -> Result<Option<&'static str>, JournalError> {
    if applied.log != reader.id() {
        return Ok(Some("it belongs to another journal"));
    }
    if applied.sequence == 0 {
        return Ok(None);
    }
    let entry = reader.read_from(applied.sequence)?.next().transpose()?;
    let agrees = entry.is_some_and(|entry| entry.chain_head == applied.chain);
    Ok((!agrees).then_some("it followed another history of this journal"))
}

/// Moves an index out of the way, where a person can look at it.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let aside = PathBuf::from(format!("{}.damaged-{number}", path.display()));
        if !aside.try_exists()? {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

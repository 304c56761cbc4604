//! Histories: the index for what it has applied, the log itself for the rest.

use ppu_engine::Fact;
use ppu_store::{Disk, LogReader};

use super::links::Links;
use super::{Index, IndexError};
use crate::JournalError;
use crate::record::fact_of;
use crate::subject::{Subject, named, run_of};

/// Records that a reader rather passes over than beginning anew: about as many as lie between two places where reading
/// can begin.
const WORTH_PASSING: u64 = 128;

/// Which facts are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Facts about this.
    pub(crate) subject: &'a Subject,
    /// Only those with a higher sequence.
    pub(crate) after: u64,
    /// At most so many.
    pub(crate) limit: usize,
}

/// Facts about a subject, with the help of an index.
pub(crate) fn history<D: Disk>(
    reader: &LogReader<D>,
    index: &Index,
    wanted: Wanted<'_>,
) -> Result<Vec<(u64, Fact)>, IndexError> {
    let Wanted { subject, after, limit } = wanted;
    let (mut facts, known) = if let Some(run) = run_of_command(subject) {
        let (sequences, known) = index.sequences(&run, after, usize::MAX)?;
        let mut facts = read_all(reader, &sequences)?;
        facts.retain(|(_, fact)| named(&fact.event).contains(subject));
        facts.truncate(limit);
        (facts, known)
    } else {
        let (sequences, known) = index.sequences(subject, after, limit)?;
        (read_all(reader, &sequences)?, known)
    };
    let rest = Wanted { limit: limit - facts.len(), after: after.max(known), subject };
    facts.extend(scan(reader, Links::new(Some(index)), known, rest)?);
    Ok(facts)
}

/// Facts about a subject, read from the beginning of the log.
pub(crate) fn history_without_index<D: Disk>(
    reader: &LogReader<D>,
    wanted: Wanted<'_>,
) -> Result<Vec<(u64, Fact)>, JournalError> {
    scan(reader, Links::new(None), 0, wanted).map_err(|error| match error {
        IndexError::Log(error) => *error,
        other => unreachable!("no index was asked: {other}"),
    })
}

/// The run among whose records those of a command are.
fn run_of_command(subject: &Subject) -> Option<Subject> {
    let Subject::Command(key) = subject else { return None };
    run_of(&key.step)
}

/// The facts of these sequences, which are in order.
fn read_all<D: Disk>(reader: &LogReader<D>, sequences: &[u64]) -> Result<Vec<(u64, Fact)>, IndexError> {
    let mut facts = Vec::with_capacity(sequences.len());
    let mut entries = None;
    let mut at = 0;
    for wanted in sequences {
        if *wanted > at + WORTH_PASSING {
            entries = None;
        }
        let entries = match &mut entries {
            Some(entries) => entries,
            none => none.insert(reader.read_from(*wanted).map_err(log_error)?),
        };
        for entry in entries.by_ref() {
            let entry = entry.map_err(log_error)?;
            at = entry.sequence;
            if at == *wanted {
                let fact = fact_of(&entry).map_err(log_error)?;
                facts.push((at, fact.ok_or(IndexError::Damaged("it names a record that is no fact"))?));
                break;
            }
        }
    }
    Ok(facts)
}

/// Reads on from a sequence that the links know everything up to.
fn scan<D: Disk>(
    reader: &LogReader<D>,
    mut links: Links<'_>,
    known: u64,
    wanted: Wanted<'_>,
) -> Result<Vec<(u64, Fact)>, IndexError> {
    let mut facts = Vec::new();
    if wanted.limit == 0 {
        return Ok(facts);
    }
    for entry in reader.read_from(known + 1).map_err(log_error)? {
        let entry = entry.map_err(log_error)?;
        let Some(fact) = fact_of(&entry).map_err(log_error)? else { continue };
        let (subjects, _) = links.take(entry.sequence, &fact.event)?;
        if entry.sequence > wanted.after && subjects.contains(wanted.subject) {
            facts.push((entry.sequence, fact));
            if facts.len() == wanted.limit {
                break;
            }
        }
    }
    Ok(facts)
}

fn log_error(error: impl Into<JournalError>) -> IndexError {
    IndexError::Log(Box::new(error.into()))
}

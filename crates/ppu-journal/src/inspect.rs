//! A look at a journal from outside. No lock is taken and nothing is changed, so a journal in use can be looked at too; only
//! its last write may then look cut short.

use std::fmt;
use std::io::{BufWriter, Write};
use std::path::Path;

use ppu_engine::event::ArtifactRef;
use ppu_engine::{Engine, Event, EvolveError, Fact};
use ppu_store::{ArtifactStore, Disk, LogReader, RealDisk};

use crate::record::{Content, Record, read_entry};
use crate::{JournalError, layout};

/// What looking at a whole journal found.
#[derive(Debug)]
pub struct VerifyReport {
    /// The log: every frame, the chain, the closed segments, `HEAD`.
    pub log: ppu_store::VerifyReport,
    /// Facts that can be read.
    pub facts: u64,
    /// The first record that cannot be read; nothing after it was looked at.
    pub unreadable: Option<JournalError>,
    /// The first fact that does not follow from those before it, by sequence.
    pub contradiction: Option<(u64, EvolveError)>,
    /// Raw data that a fact names and that are not there, by its sequence. Their content is not looked at.
    pub missing_artifacts: Vec<(u64, ArtifactRef)>,
}

impl VerifyReport {
    /// Whether a scheduler can go on from this journal.
    pub fn can_be_opened(&self) -> bool {
        self.log.can_be_opened() && self.unreadable.is_none() && self.contradiction.is_none()
    }

    /// Whether nothing at all is wrong.
    pub fn is_sound(&self) -> bool {
        self.log.verdict == ppu_store::Verdict::Clean && self.can_be_opened() && self.missing_artifacts.is_empty()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.log.id {
            writeln!(f, "log        {id}, {} segments", self.log.segments.len())?;
        }
        writeln!(f, "records    {} kept, {} of them facts", self.log.records(), self.facts)?;
        writeln!(f, "last       {}, chain head {}", self.log.last_sequence, self.log.chain_head)?;
        writeln!(f, "files      {}", self.log.verdict)?;
        match &self.unreadable {
            Some(error) => writeln!(f, "reading    {error}")?,
            None => writeln!(f, "reading    every record was understood")?,
        }
        match &self.contradiction {
            Some((sequence, error)) => writeln!(f, "replay     record {sequence} does not follow: {error}")?,
            None => writeln!(f, "replay     every fact follows from those before it")?,
        }
        for (sequence, artifact) in &self.missing_artifacts {
            writeln!(f, "artifact   {} ({}) of record {sequence} is missing", artifact.hash, artifact.name)?;
        }
        Ok(())
    }
}

/// Reads and checks a whole journal: the files, every record, a replay of all facts, and whether the raw data that they name
/// are there.
///
/// # Errors
/// There is no journal, or the disk failed. Damage is in the report.
pub fn verify(directory: &Path) -> Result<VerifyReport, JournalError> {
    let log = ppu_store::verify(&RealDisk, layout::log(directory))?;
    let artifacts = layout::artifacts(directory);
    let artifacts = if artifacts.is_dir() { Some(ArtifactStore::open(RealDisk, &artifacts)?) } else { None };
    let mut report =
        VerifyReport { log, facts: 0, unreadable: None, contradiction: None, missing_artifacts: Vec::new() };
    let mut engine = Engine::new();
    let records = match records(directory, 1) {
        Ok(records) => records,
        Err(error) => {
            report.unreadable = Some(error);
            return Ok(report);
        }
    };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                report.unreadable = Some(error);
                break;
            }
        };
        let Content::Fact(fact) = record.content else { continue };
        report.facts += 1;
        note_missing(record.sequence, &fact, artifacts.as_ref(), &mut report.missing_artifacts)?;
        // What follows a contradiction contradicts as well and says nothing new.
        if report.contradiction.is_none() {
            report.contradiction = engine.evolve(&fact).err().map(|error| (record.sequence, error));
        }
    }
    Ok(report)
}

fn note_missing<D: Disk>(
    sequence: u64,
    fact: &Fact,
    store: Option<&ArtifactStore<D>>,
    missing: &mut Vec<(u64, ArtifactRef)>,
) -> Result<(), JournalError> {
    let Event::StepEnded { outcome, .. } = &fact.event else { return Ok(()) };
    for artifact in &outcome.artifacts {
        let name = ppu_store::ArtifactHash(*artifact.hash.as_bytes());
        let is_there = store.map_or(Ok(false), |store| store.contains(&name))?;
        if !is_there {
            missing.push((sequence, artifact.clone()));
        }
    }
    Ok(())
}

/// Records from a sequence on, `limit` at most.
///
/// # Errors
/// There is no journal, a record cannot be read, or the disk failed.
pub fn show(directory: &Path, from: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
    records(directory, from)?.take(limit).collect()
}

/// Writes every record as one line of JSON, and says how many there were. At damage it ends with an error, after everything
/// before it was written.
///
/// # Errors
/// There is no journal, a record cannot be read, the disk failed, or `out` did.
pub fn export(directory: &Path, out: &mut dyn Write) -> Result<u64, JournalError> {
    let mut out = BufWriter::new(out);
    let mut count = 0;
    for record in records(directory, 1)? {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                out.flush().map_err(JournalError::Export)?;
                return Err(error);
            }
        };
        let line = serde_json::to_string(&record).map_err(|error| JournalError::Export(error.into()))?;
        writeln!(out, "{line}").map_err(JournalError::Export)?;
        count += 1;
    }
    out.flush().map_err(JournalError::Export)?;
    Ok(count)
}

fn records(
    directory: &Path,
    from: u64,
) -> Result<impl Iterator<Item = Result<Record, JournalError>> + use<>, JournalError> {
    let reader = LogReader::open(RealDisk, layout::log(directory))?;
    let entries = reader.read_from(from)?;
    Ok(entries.map(|entry| read_entry(&entry?)))
}

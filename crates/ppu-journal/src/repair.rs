//! Repair of a damaged journal by a person (LOG-8). Never in place: what is good of the old log goes into a new one, behind a
//! record of what was cut, and the old one is kept.
//!
//! Facts may be lost with what was cut, so nothing that was open may be believed. The new log therefore ends with an epoch
//! beyond any that a driver can have seen, with every open attempt in doubt, and with the lab paused: a person inspects,
//! resolves the doubts, and resumes. It has an id of its own, so that the old index is not used with it.

use std::fs;
use std::path::{Path, PathBuf};

use ppu_core::{AttemptState, CommandKey};
use ppu_engine::event::Outcome;
use ppu_engine::lifecycle::StepState;
use ppu_engine::{Engine, Event, Fact};
use ppu_host::{Host, RealHost};
use ppu_proto::journal::v1 as wire;
use ppu_store::{
    AnyDisk, Log, LogId, LogOptions, LogReader, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, RealDisk, write_atomically,
};
use prost::Message as _;

use crate::convert::Origin;
use crate::journal::{encode, lock};
use crate::record::fact_of;
use crate::{JournalError, VerifyReport, index, layout, origin, verify};

/// Added to the last epoch that is known. Each start of a scheduler takes one, so no start that was cut has come so far.
const EPOCH_JUMP: u64 = 1_000_000;
/// Names that are tried for the old log.
const MOST_SET_ASIDE: u32 = 10_000;

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// Records of the old log that are in the new one.
    pub kept: u64,
    /// What was wrong with the old log, and so what is cut.
    pub cut: String,
    /// Where the old log is now.
    pub kept_as: PathBuf,
    /// Id of the new log.
    pub log: LogId,
    /// The epoch that fences every earlier scheduler.
    pub epoch: u64,
    /// Attempts that are in doubt now.
    pub in_doubt: Vec<CommandKey>,
}

/// A journal was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nobody signs, or there is no reason.
    #[error("a repair needs a name and a reason")]
    Unsigned,
    /// A scheduler can go on from this journal.
    #[error("there is nothing to repair: the journal can be opened")]
    NothingToRepair,
    /// The journal is in use, cannot be read at all, or the new one cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is good contradicts the facts that a repair adds.
    #[error("the facts of the repair do not follow from those that are kept")]
    Contradiction(#[source] ppu_engine::EvolveError),
}

/// What can be kept of a log.
struct Good {
    /// The last sequence.
    to: u64,
    /// What is wrong after it.
    cut: String,
}

/// Makes a new log out of what is good of a damaged one and puts it in its place. Blocks on the disk. Only on a real disk.
///
/// # Errors
/// See [`RepairError`]. The journal is as it was then.
pub fn repair(directory: &Path, who: &str, reason: &str) -> Result<RepairReport, RepairError> {
    if who.trim().is_empty() || reason.trim().is_empty() {
        return Err(RepairError::Unsigned);
    }
    // No directory is made where there is no journal.
    let _look = ppu_store::verify(&RealDisk, layout::log(directory)).map_err(JournalError::from)?;
    let _lock = lock(&AnyDisk::real(), directory)?;
    let report = verify(directory)?;
    let good = judge(directory, &report).ok_or(RepairError::NothingToRepair)?;
    let (new, old) = (layout::repaired(directory), free_name(directory)?);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|error| unusable(&new, error))?;
    }
    let said = wire::JournalRepaired {
        old_log: report.log.id.map(|id| id.0.to_vec()).unwrap_or_default(),
        old_chain: Vec::new(),
        kept: 0,
        cut: good.cut.clone(),
        kept_as: old.display().to_string(),
        reason: reason.to_owned(),
    };
    let made = make(directory, &new, &good, said, who)?;
    // The new log is complete. From here on an interruption is finished by the next opening.
    write_atomically(new.join("COMPLETE"), old.display().to_string().as_bytes())
        .map_err(|failure| unusable(&new, failure.source))?;
    exchange(directory, &old)?;
    Ok(RepairReport {
        kept: made.kept,
        cut: good.cut,
        kept_as: old,
        log: made.log,
        epoch: made.epoch,
        in_doubt: made.in_doubt,
    })
}

/// Ends a repair that was interrupted after its new log was complete, and forgets one that was not.
pub(crate) fn finish(directory: &Path, notes: &mut Vec<String>) -> Result<(), JournalError> {
    let new = layout::repaired(directory);
    let Ok(old) = fs::read_to_string(new.join("COMPLETE")) else { return Ok(()) };
    exchange(directory, Path::new(&old))?;
    notes.push(format!("a repair that had been interrupted was finished; the old log is in {old}"));
    Ok(())
}

/// The old log goes aside, the new one takes its place.
fn exchange(directory: &Path, old: &Path) -> Result<(), JournalError> {
    let (log, new) = (layout::log(directory), layout::repaired(directory));
    let sync = || fs::File::open(directory).and_then(|dir| dir.sync_all()).map_err(|error| unusable(directory, error));
    if !old.exists() {
        fs::rename(&log, old).map_err(|error| unusable(old, error))?;
        sync()?;
    }
    fs::rename(&new, &log).map_err(|error| unusable(&log, error))?;
    sync()?;
    fs::remove_file(log.join("COMPLETE")).map_err(|error| unusable(&log, error))
}

/// How far the log is good; `None` where a scheduler can go on from it.
fn judge(directory: &Path, report: &VerifyReport) -> Option<Good> {
    let last = report.log.last_sequence;
    if let Some((sequence, error)) = &report.contradiction {
        return Some(Good { to: sequence - 1, cut: format!("record {sequence} does not follow: {error}") });
    }
    if !report.log.can_be_opened() {
        return Some(Good { to: last, cut: report.log.verdict.to_string() });
    }
    if let Some(JournalError::Record { sequence, source }) = &report.unreadable {
        return Some(Good { to: sequence - 1, cut: format!("record {sequence} cannot be understood: {source}") });
    }
    // An index that is whole and knows more is a witness that the tail is lost.
    let (log, known) = index::examine(&layout::index(directory)).witness()?;
    let lost = report.log.id == Some(log) && known > last;
    lost.then(|| Good { to: last, cut: format!("records {} to {known} are missing at the end", last + 1) })
}

/// What was made.
struct Made {
    kept: u64,
    log: LogId,
    epoch: u64,
    in_doubt: Vec<CommandKey>,
}

fn make(
    directory: &Path,
    new: &Path,
    good: &Good,
    mut said: wire::JournalRepaired,
    who: &str,
) -> Result<Made, RepairError> {
    let host: &dyn Host = &RealHost;
    let mut engine = Engine::new();
    let mut bodies = Vec::new();
    // Where not even the first header is good, nothing is kept.
    let reader = LogReader::open(RealDisk, layout::log(directory)).ok();
    let entries =
        reader.map(|reader| reader.read_from(first_kept(directory))).transpose().map_err(JournalError::from)?;
    for entry in entries.into_iter().flatten().map_while(Result::ok).take_while(|entry| entry.sequence <= good.to) {
        if let Some(fact) = fact_of(&entry)? {
            engine.evolve(&fact).map_err(RepairError::Contradiction)?;
        }
        said.old_chain = entry.chain_head.0.to_vec();
        said.kept += 1;
        bodies.push(entry.body);
    }
    let kept = said.kept;
    let reason = format!("the journal was repaired: {}", said.reason);
    let (facts, in_doubt) = closing_facts(&mut engine, host.wall_ms(), who, &reason)?;
    let record = wire::JournalRecord {
        wall_ms: host.wall_ms(),
        boot_ns: host.boot_ns(),
        boot_id: origin::boot_id(&host.machine_boot()),
        actor: who.to_owned(),
        traceparent: String::new(),
        event: Some(wire::journal_record::Event::Repaired(said)),
    };
    let origin = Origin { boot_ns: record.boot_ns, boot_id: record.boot_id.clone(), traceparent: String::new() };
    let mut records = vec![record.encode_to_vec()];
    records.append(&mut bodies);
    for fact in &facts {
        records.push(encode(fact, &origin)?);
    }
    let id = LogId(host.random());
    let (mut log, _) = Log::open(RealDisk, new, LogOptions::create(id)).map_err(JournalError::from)?;
    for batch in batches(&records) {
        log.append(batch).map_err(JournalError::Append)?;
    }
    log.write_head().map_err(JournalError::Append)?;
    Ok(Made { kept, log: id, epoch: engine.state().epoch, in_doubt })
}

fn first_kept(directory: &Path) -> u64 {
    let report = ppu_store::verify(&RealDisk, layout::log(directory)).ok();
    report.and_then(|report| report.segments.first().map(|segment| segment.first_sequence)).unwrap_or(1)
}

/// The facts that end the new log, each checked against what it follows: a new epoch, open attempts in doubt, a paused lab.
/// None where the lab was never opened.
fn closing_facts(
    engine: &mut Engine,
    at_ms: i64,
    who: &str,
    reason: &str,
) -> Result<(Vec<Fact>, Vec<CommandKey>), RepairError> {
    let mut facts = Vec::new();
    let mut in_doubt = Vec::new();
    if engine.state().devices.is_empty() {
        return Ok((facts, in_doubt));
    }
    let mut events = vec![Event::EpochStarted { epoch: engine.state().epoch + EPOCH_JUMP }];
    for run in engine.state().runs.values() {
        for step in run.steps.iter().filter(|step| matches!(step.state, StepState::Intended | StepState::Accepted)) {
            let Some(intent) = &step.intent else { continue };
            let outcome = Outcome {
                state: AttemptState::InDoubt,
                results: ppu_core::Arguments::new(),
                artifacts: Vec::new(),
                message: format!("{reason}; what became of this attempt may have been on record and lost"),
                code: "E0402".to_owned(),
                sample_position: None,
                sample_in_doubt: false,
            };
            let (key, device) = (intent.key.clone(), intent.device.clone());
            in_doubt.push(key.clone());
            events.push(Event::StepEnded { key, device, dseq: 0, outcome: Box::new(outcome) });
        }
    }
    events.push(Event::LabPaused { who: who.to_owned(), reason: reason.to_owned() });
    for event in events {
        let fact = Fact { at_ms, event };
        engine.evolve(&fact).map_err(RepairError::Contradiction)?;
        facts.push(fact);
    }
    Ok((facts, in_doubt))
}

/// As many records at once as a frame takes.
fn batches(records: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |body: &&Vec<u8>| {
            bytes += 4 + body.len();
            bytes <= MAX_BATCH_BYTES
        };
        let count = rest.iter().take(MAX_BATCH_RECORDS).take_while(fits).count();
        let (batch, after) = rest.split_at(count);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

/// A name for the old log that nothing has yet.
fn free_name(directory: &Path) -> Result<PathBuf, JournalError> {
    let free = (1..MOST_SET_ASIDE).map(|number| layout::set_aside(directory, number)).find(|path| !path.exists());
    free.ok_or_else(|| unusable(directory, std::io::Error::from(std::io::ErrorKind::AlreadyExists)))
}

fn unusable(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Directory { path: path.to_owned(), source }
}

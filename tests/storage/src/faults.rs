//! A disk that is full or fails, at every single operation: the log by its thread, the ledger of a driver, raw data.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use ppu_core::DeviceId;
use ppu_driver::ledger::{CommitError, Ledger};
use ppu_engine::{Event as LabEvent, Fact};
use ppu_host::RealHost;
use ppu_journal::{Journal, JournalOptions};
use ppu_proto::device::v1::DeviceFact;
use ppu_proto::journal::v1::ledger_record::Event;
use ppu_store::{
    AnyDisk, AppendError, ArtifactHash, ArtifactStore, CrashKeep, DiskOperation, Log, LogId, LogOptions, LogWriter,
    MIN_SEGMENT_BYTES, SimDisk, SimFault,
};

/// Faults of the disk that are tried at every operation of their kind.
const FAULTS: [(DiskOperation, SimFault); 9] = [
    (DiskOperation::Write, SimFault::Enospc),
    (DiskOperation::Write, SimFault::Eio),
    (DiskOperation::Sync, SimFault::Eio),
    (DiskOperation::Sync, SimFault::Enospc),
    (DiskOperation::SyncDirectory, SimFault::Eio),
    (DiskOperation::Rename, SimFault::Eio),
    (DiskOperation::Rename, SimFault::Enospc),
    (DiskOperation::Open, SimFault::Enospc),
    (DiskOperation::CreateDirectory, SimFault::Enospc),
];

/// What is tried on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    /// A log, appended to by its thread over several segments.
    Log,
    /// The ledger of a driver.
    Ledger,
    /// The journal of a scheduler, with its raw data.
    Journal,
    /// Raw data.
    Artifacts,
}

/// How many operations failed in each story.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<(Story, String), u64>);

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((story, fault), count) in &self.0 {
            writeln!(f, "{:<10} {fault:<26} {count:>5}", format!("{story:?}"))?;
        }
        write!(f, "{} faults, nothing acknowledged was lost", self.0.values().sum::<u64>())
    }
}

/// What a story acknowledged, and whether it met the fault.
struct Told {
    acknowledged: Vec<Vec<u8>>,
    failed: bool,
}

/// Every fault at every operation of every story.
///
/// # Errors
/// Something acknowledged was lost, or something was acknowledged after the fault.
pub fn run() -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for story in [Story::Log, Story::Ledger, Story::Journal, Story::Artifacts] {
        for (operation, fault) in FAULTS {
            let failed =
                every(story, operation, fault).with_context(|| format!("{story:?}, {operation}, {fault:?}"))?;
            tally.0.insert((story, format!("{operation}, {fault:?}")), failed);
        }
    }
    Ok(tally)
}

/// One fault at the first operation of its kind, at the second, and so on, beyond the last that the story has of any kind.
fn every(story: Story, operation: DiskOperation, fault: SimFault) -> anyhow::Result<u64> {
    let quiet = SimDisk::new(0);
    ensure!(!tell(story, &quiet)?.failed, "the story fails without any fault");
    let mut failed = 0;
    // Threads may make a few operations more or less from one telling to the next.
    for nth in 1..=quiet.operations() + 8 {
        let disk = SimDisk::new(nth);
        disk.fail_nth(operation, nth, fault);
        let told = tell(story, &disk).with_context(|| format!("fault at operation {nth}"))?;
        // Once with the page cache that a restarted process sees, and once after a power cut on top of it.
        let after_power_cut = disk.clone();
        let restarted = disk.fork();
        recover(story, &restarted, &told).with_context(|| format!("restart after fault at operation {nth}"))?;
        after_power_cut.crash(CrashKeep::Random);
        recover(story, &after_power_cut, &told).with_context(|| format!("power cut after fault at operation {nth}"))?;
        failed += u64::from(told.failed);
    }
    Ok(failed)
}

fn tell(story: Story, disk: &SimDisk) -> anyhow::Result<Told> {
    match story {
        Story::Log => tell_log(disk),
        Story::Ledger => tell_ledger(disk),
        Story::Journal => tell_journal(disk),
        Story::Artifacts => tell_artifacts(disk),
    }
}

fn recover(story: Story, disk: &SimDisk, told: &Told) -> anyhow::Result<()> {
    let found = match story {
        Story::Log => read_log(disk)?,
        Story::Ledger => read_ledger(disk)?,
        Story::Journal => read_journal(disk)?,
        Story::Artifacts => return read_artifacts(disk, told),
    };
    ensure!(found.starts_with(&told.acknowledged), "{} of {} are there", found.len(), told.acknowledged.len());
    // The one append that met the fault may or may not be found.
    ensure!(found.len() <= told.acknowledged.len() + usize::from(told.failed), "there is more than was ever appended");
    Ok(())
}

fn log_options() -> LogOptions {
    LogOptions::create(LogId(*b"a log that fails")).with_segment_bytes(MIN_SEGMENT_BYTES)
}

fn content(number: u8) -> Vec<u8> {
    vec![number; 700 + usize::from(number) * 30]
}

/// A log of three segments. After the fault nothing is acknowledged, whatever is asked.
fn tell_log(disk: &SimDisk) -> anyhow::Result<Told> {
    let mut told = Told { acknowledged: Vec::new(), failed: false };
    let Ok((log, _)) = Log::open(disk.clone(), "/data/log", log_options()) else {
        return Ok(Told { failed: true, ..told });
    };
    let writer = LogWriter::spawn(log)?;
    for number in 0..16 {
        let body = content(number);
        match writer.append(vec![body.clone()]) {
            Ok(_) if !told.failed => told.acknowledged.push(body),
            Ok(range) => bail!("record {} was acknowledged after the fault", range.first),
            Err(AppendError::Failed(_) | AppendError::Poisoned(_)) => {
                ensure!(writer.poisoned().is_some(), "the fault is not to be seen");
                told.failed = true;
            }
            Err(other) => return Err(other.into()),
        }
    }
    // A write of `HEAD`, or the making of the next segment, can fail without any append.
    told.failed |= writer.poisoned().is_some();
    told.failed |= writer.close().is_err();
    Ok(told)
}

fn read_log(disk: &SimDisk) -> anyhow::Result<Vec<Vec<u8>>> {
    let (log, _) = Log::open(disk.clone(), "/data/log", log_options())?;
    Ok(log.reader().read_from(1)?.map(|entry| entry.map(|entry| entry.body)).collect::<Result<_, _>>()?)
}

fn device() -> anyhow::Result<DeviceId> {
    Ok(DeviceId::new("pump_a")?)
}

/// A ledger: after the fault every commit is refused as one that ends the process, and the driver reports that it can promise
/// nothing.
fn tell_ledger(disk: &SimDisk) -> anyhow::Result<Told> {
    let mut told = Told { acknowledged: Vec::new(), failed: false };
    let Ok(ledger) = Ledger::open(Arc::new(RealHost), disk.clone(), Path::new("/data/ledger"), &device()?) else {
        return Ok(Told { failed: true, ..told });
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for number in 0..8 {
        let message = String::from_utf8(vec![b'a' + number; 300])?;
        let fact = DeviceFact { message: message.clone(), ..DeviceFact::default() };
        match runtime.block_on(ledger.commit(vec![Event::Fact(fact)])) {
            Ok(_) if !told.failed => told.acknowledged.push(message.into_bytes()),
            Ok(range) => bail!("record {} was acknowledged after the fault", range.first),
            Err(error @ CommitError::Append(_)) => {
                ensure!(error.is_fatal() && ledger.degraded().is_some(), "the driver would go on after {error}");
                told.failed = true;
            }
            Err(other) => return Err(other.into()),
        }
    }
    ledger.close();
    Ok(told)
}

fn read_ledger(disk: &SimDisk) -> anyhow::Result<Vec<Vec<u8>>> {
    let ledger = Ledger::open(Arc::new(RealHost), disk.clone(), Path::new("/data/ledger"), &device()?)?;
    let last = ledger.state().last_dseq;
    let events = ledger.events_between(1, last)?;
    ledger.close();
    let facts = events.into_iter().filter_map(|event| match event.event {
        Some(ppu_proto::device::v1::events_response::Event::Fact(fact)) => Some(fact.message.into_bytes()),
        _ => None,
    });
    Ok(facts.collect())
}

/// The index lies on the real disk and has no part in this.
fn journal_options(disk: &SimDisk) -> JournalOptions {
    let disk = AnyDisk::new(disk.clone());
    JournalOptions { segment_bytes: MIN_SEGMENT_BYTES, disk, index: false, ..JournalOptions::default() }
}

/// A journal: after the fault every fact is refused as one that ends the process. Raw data that cannot be stored cost no fact.
fn tell_journal(disk: &SimDisk) -> anyhow::Result<Told> {
    let mut told = Told { acknowledged: Vec::new(), failed: false };
    let Ok((journal, recovery)) = Journal::open_with(Path::new("/data/lab"), &journal_options(disk)) else {
        return Ok(Told { failed: true, ..told });
    };
    drop(recovery);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut is_fatal = false;
    for number in 0..10 {
        told.failed |= journal.store_artifact(&content(number)).is_err();
        let reason = String::from_utf8(vec![b'a' + number; 900])?;
        let fact = Fact { at_ms: 1, event: LabEvent::LabPaused { who: "ada".to_owned(), reason: reason.clone() } };
        match runtime.block_on(journal.append(&[fact])) {
            Ok(_) if !is_fatal => told.acknowledged.push(reason.into_bytes()),
            Ok(range) => bail!("record {} was acknowledged after the fault", range.first),
            Err(error) => {
                ensure!(error.is_fatal(), "the scheduler would go on after {error}");
                (is_fatal, told.failed) = (true, true);
            }
        }
    }
    Ok(told)
}

fn read_journal(disk: &SimDisk) -> anyhow::Result<Vec<Vec<u8>>> {
    let (_journal, recovery) = Journal::open_with(Path::new("/data/lab"), &journal_options(disk))?;
    let mut found = Vec::new();
    for fact in recovery.facts {
        if let LabEvent::LabPaused { reason, .. } = fact?.1.event {
            found.push(reason.into_bytes());
        }
    }
    Ok(found)
}

/// Raw data. A failed one costs only itself: there is no order among files.
fn tell_artifacts(disk: &SimDisk) -> anyhow::Result<Told> {
    let mut told = Told { acknowledged: Vec::new(), failed: false };
    let Ok(store) = ArtifactStore::open(disk.clone(), "/data/artifacts") else {
        return Ok(Told { failed: true, ..told });
    };
    for number in 0..4 {
        let body = content(number);
        match store.put(&body) {
            Ok(stored) => {
                ensure!(stored.hash == ArtifactHash::of(&body), "it has another name");
                told.acknowledged.push(body);
            }
            Err(_) => told.failed = true,
        }
    }
    Ok(told)
}

fn read_artifacts(disk: &SimDisk, told: &Told) -> anyhow::Result<()> {
    let store = ArtifactStore::open(disk.clone(), "/data/artifacts")?;
    store.clear_incoming()?;
    for body in &told.acknowledged {
        ensure!(store.get(&ArtifactHash::of(body))? == *body, "it holds something else");
    }
    // What was stored in part has no name.
    ensure!(store.scrub()?.quarantined.is_empty(), "a name has another content than its own");
    // Stored again after the fault, all of it is there.
    for number in 0..4 {
        store.put(&content(number))?;
    }
    ensure!(store.scrub()?.sound == 4, "not all of it is there");
    Ok(())
}

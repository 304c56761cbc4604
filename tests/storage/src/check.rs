//! Opens what was left and compares it with what had been acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use ppu_core::DeviceId;
use ppu_driver::ledger::Ledger;
use ppu_host::RealHost;
use ppu_journal::{Content, Journal};
use ppu_proto::device::v1::events_response::Event;
use ppu_store::{ArtifactStore, Log, LogOptions, RealDisk, Verdict};

use crate::acknowledged::{Acknowledged, digest};
use crate::workload::{DEVICE, Kind, SLED_TREE, journal_options};

/// What was found of what had been acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Acknowledged records, ledger records and artifacts.
    pub acknowledged: u64,
    /// Of these, how many are gone or changed.
    pub lost: u64,
    /// Records and artifacts in all, also those that nobody had been told of.
    pub kept: u64,
    /// Torn writes that were cut.
    pub torn: u64,
}

impl Found {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            acknowledged: self.acknowledged + other.acknowledged,
            lost: self.lost + other.lost,
            kept: self.kept + other.kept,
            torn: self.torn + other.torn,
        }
    }
}

/// Opens what a writer of this kind left in a directory.
///
/// # Errors
/// It cannot be opened, has holes, or does not verify afterwards. What is lost is no error but counted.
pub fn check(kind: Kind, directory: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    match kind {
        Kind::Lab => lab(directory, acknowledged),
        Kind::LogWithoutSync => Ok(raw_log(directory, acknowledged)),
        Kind::SledFlush | Kind::SledSynced => Ok(sled(directory, acknowledged)),
    }
}

fn lab(directory: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    let journal = journal(&directory.join("scheduler"), acknowledged).context("the journal")?;
    let artifacts = artifacts(&directory.join("scheduler/artifacts"), acknowledged).context("the raw data")?;
    let ledger = ledger(&directory.join("ledger"), acknowledged).context("the ledger")?;
    Ok(journal.and(artifacts).and(ledger))
}

fn journal(directory: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    let (journal, recovery) = Journal::open_with(directory, &journal_options())?;
    let torn = recovery.notes.iter().filter(|note| note.contains("never acknowledged")).count() as u64;
    let mut records = BTreeMap::new();
    for fact in recovery.facts {
        let (sequence, fact) = fact?;
        records.insert(sequence, digest(&serde_json::to_vec(&fact)?));
    }
    drop(journal);
    // The record of a cut is the only one that is no fact.
    let all = ppu_journal::show(directory, 1, usize::MAX)?;
    let cuts = all.iter().filter(|record| matches!(record.content, Content::TailCut(_))).count() as u64;
    contiguous(&records, cuts)?;
    let log = verified(&directory.join("journal"))?;
    ensure!(log == records.len() as u64 + cuts, "{log} records verify, {} were read", records.len());
    Ok(Found { torn, ..compare(&acknowledged.records, &records) })
}

fn ledger(directory: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    let ledger = Ledger::open(Arc::new(RealHost), RealDisk, directory, &DeviceId::new(DEVICE)?)?;
    let last = ledger.state().last_dseq;
    let mut records = BTreeMap::new();
    for event in ledger.events_between(1, last)? {
        if let Some(Event::Fact(fact)) = event.event {
            records.insert(event.dseq, digest(fact.message.as_bytes()));
        }
    }
    ledger.close();
    ensure!(verified(directory)? == last, "the ledger ends elsewhere than its log");
    Ok(compare(&acknowledged.ledger, &records))
}

/// Every acknowledged artifact is there and whole, and no name has another content than its own.
fn artifacts(root: &Path, acknowledged: &Acknowledged) -> anyhow::Result<Found> {
    let store = ArtifactStore::open(RealDisk, root)?;
    let scrubbed = store.scrub()?;
    ensure!(scrubbed.quarantined.is_empty(), "{:?} have another content than their own", scrubbed.quarantined);
    let mut found = Found { kept: scrubbed.sound, ..Found::default() };
    for (hash, length) in &acknowledged.artifacts {
        found.acknowledged += 1;
        let content = store.get(hash);
        found.lost += u64::from(!content.is_ok_and(|content| content.len() as u64 == *length));
    }
    Ok(found)
}

/// Records that verify from the first byte on, clean up to the end.
fn verified(directory: &Path) -> anyhow::Result<u64> {
    let report = ppu_store::verify(&RealDisk, directory)?;
    ensure!(report.verdict == Verdict::Clean, "{}", report.verdict);
    Ok(report.records())
}

/// Sequences count up from one, with as many holes as there are records that are no facts.
fn contiguous(records: &BTreeMap<u64, String>, holes: u64) -> anyhow::Result<()> {
    let Some((last, _)) = records.last_key_value() else { return Ok(()) };
    let missing = last - records.len() as u64;
    if missing > holes {
        bail!("{missing} of {last} sequences are missing");
    }
    Ok(())
}

fn compare(acknowledged: &BTreeMap<u64, String>, records: &BTreeMap<u64, String>) -> Found {
    let lost = acknowledged.iter().filter(|(sequence, content)| records.get(sequence) != Some(content)).count();
    Found { acknowledged: acknowledged.len() as u64, lost: lost as u64, kept: records.len() as u64, torn: 0 }
}

/// A log that cannot be opened has lost everything: for an engine that must lose, a refusal is as good as a loss.
fn raw_log(directory: &Path, acknowledged: &Acknowledged) -> Found {
    let options = LogOptions { create: None, ..LogOptions::default() };
    let mut records = BTreeMap::new();
    if let Ok((log, _)) = Log::open(RealDisk, directory, options) {
        let entries = log.reader().read_from(1).into_iter().flatten().map_while(Result::ok);
        records.extend(entries.map(|entry| (entry.sequence, digest(&entry.body))));
    }
    compare(&acknowledged.records, &records)
}

fn sled(directory: &Path, acknowledged: &Acknowledged) -> Found {
    let mut records = BTreeMap::new();
    if let Ok(tree) = sled::Config::new().path(directory.join(SLED_TREE)).cache_capacity(16 * 1024 * 1024).open() {
        for (key, value) in tree.iter().map_while(Result::ok) {
            let sequence = u64::from_be_bytes(key.as_ref().try_into().unwrap_or_default());
            records.insert(sequence, digest(&value));
        }
    }
    compare(&acknowledged.records, &records)
}

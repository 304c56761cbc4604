//! Journal, ledger and raw data, as the processes of a lab keep them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ppu_core::DeviceId;
use ppu_driver::ledger::Ledger;
use ppu_engine::{Event, Fact};
use ppu_host::RealHost;
use ppu_journal::{Journal, JournalOptions};
use ppu_proto::device::v1::DeviceFact;
use ppu_proto::journal::v1::ledger_record;
use ppu_store::RealDisk;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::engines::content;
use super::say;
use crate::acknowledged::digest;

/// The device whose ledger is kept.
pub const DEVICE: &str = "pump_a";
/// Small segments, so that a trial crosses from one to the next.
#[must_use]
pub fn journal_options() -> JournalOptions {
    JournalOptions { segment_bytes: 128 * 1024, ..JournalOptions::default() }
}
/// Tasks that write facts at the same time, so that they share commits.
const JOURNAL_TASKS: u64 = 3;
/// Longer than the log is quiet before it writes `HEAD`.
const PAUSE: Duration = Duration::from_millis(13);

pub(super) fn run(directory: &Path, seed: u64, commits: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(write(directory, seed, commits))
}

async fn write(directory: &Path, seed: u64, commits: u64) -> anyhow::Result<()> {
    let (journal, recovery) = Journal::open_with(&directory.join("scheduler"), &journal_options())?;
    drop(recovery);
    let device = DeviceId::new(DEVICE)?;
    let ledger = Arc::new(Ledger::open(Arc::new(RealHost), RealDisk, &directory.join("ledger"), &device)?);
    let mut tasks = JoinSet::new();
    for task in 0..JOURNAL_TASKS {
        let random = ChaCha8Rng::seed_from_u64(seed * 10 + task);
        tasks.spawn(facts(journal.clone(), random, task, commits));
    }
    tasks.spawn(ledger_records(ledger.clone(), ChaCha8Rng::seed_from_u64(seed * 10 + 8), commits));
    let random = ChaCha8Rng::seed_from_u64(seed * 10 + 9);
    let storing = journal.clone();
    tasks.spawn_blocking(move || artifacts(&storing, random, commits / 4));
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
    }
    ledger.close();
    Ok(())
}

async fn facts(journal: Journal, mut random: ChaCha8Rng, task: u64, commits: u64) -> anyhow::Result<()> {
    for number in 0..commits {
        let count = if random.random_ratio(1, 6) { 3 } else { 1 };
        let facts: Vec<Fact> = (0..count).map(|part| fact(&mut random, task, number, part)).collect();
        let range = journal.append(&facts).await?;
        for (sequence, fact) in range.iter().zip(&facts) {
            say(&format!("record {sequence} {}", digest(&serde_json::to_vec(fact)?)))?;
        }
        pause(&mut random).await;
    }
    Ok(())
}

fn fact(random: &mut ChaCha8Rng, task: u64, number: u64, part: u64) -> Fact {
    let reason = content(random).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let who = format!("task {task}, commit {number}, part {part}");
    Fact { at_ms: 1, event: Event::LabPaused { who, reason } }
}

async fn ledger_records(ledger: Arc<Ledger>, mut random: ChaCha8Rng, commits: u64) -> anyhow::Result<()> {
    for _ in 0..commits {
        let message: String = content(&mut random).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let said = digest(message.as_bytes());
        let fact = DeviceFact { message, ..DeviceFact::default() };
        let range = ledger.commit(vec![ledger_record::Event::Fact(fact)]).await?;
        say(&format!("ledger {} {said}", range.last))?;
        pause(&mut random).await;
    }
    Ok(())
}

fn artifacts(journal: &Journal, mut random: ChaCha8Rng, count: u64) -> anyhow::Result<()> {
    for _ in 0..count {
        let mut bytes = vec![0; random.random_range(1..60_000)];
        random.fill_bytes(&mut bytes);
        let hash = journal.store_artifact(&bytes)?;
        say(&format!("artifact {hash} {}", bytes.len()))?;
    }
    Ok(())
}

/// Now and then nothing is written for a while, as in a lab: the log writes its `HEAD` then.
async fn pause(random: &mut ChaCha8Rng) {
    if random.random_ratio(1, 25) {
        tokio::time::sleep(PAUSE).await;
    }
}

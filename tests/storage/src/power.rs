//! Power loss by interposition: a writer is killed, and what a power cut at that moment would have left is opened.

use std::path::Path;

use anyhow::{Context as _, ensure};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::check::{Found, check};
use crate::model::{Keep, Model};
use crate::process::{Watched, Writer};
use crate::trace;
use crate::workload::Kind;

/// Times that part of the unsynced sectors is kept, for each trial; once more nothing of them is kept.
const PARTS: u64 = 2;
/// Commits of each task of a writer that ends by itself.
const COMMITS: u64 = 60;

/// What some trials came to. Each trial is one kill; what it left is opened once with nothing of what was not synced, and
/// `PARTS` times with part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kills.
    pub trials: u64,
    /// Trials after which something acknowledged was lost.
    pub trials_with_loss: u64,
    /// Where nothing unsynced was kept.
    pub nothing_kept: Found,
    /// Where part of it was kept.
    pub part_kept: Found,
}

/// Kills writers of a kind.
///
/// # Errors
/// What was left cannot be opened or does not verify, or the trial itself went wrong. A loss is no error but counted.
pub fn run(executable: &Path, library: &Path, kind: Kind, trials: u64, seed: u64) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for trial in 0..trials {
        let seed = seed * 1_000_000 + trial;
        let [nothing, part] =
            one(executable, library, kind, seed).with_context(|| format!("{} with seed {seed}", kind.name()))?;
        tally.trials += 1;
        tally.trials_with_loss += u64::from(nothing.lost + part.lost > 0);
        tally.nothing_kept = tally.nothing_kept.and(nothing);
        tally.part_kept = tally.part_kept.and(part);
    }
    Ok(tally)
}

fn one(executable: &Path, library: &Path, kind: Kind, seed: u64) -> anyhow::Result<[Found; 2]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let (data, calls) = (root.join("data"), root.join("calls"));
    std::fs::create_dir(&data)?;
    let watched = Watched { library, trace: &calls };
    let writer = Writer::start(executable, kind, &data, seed, None, Some(watched))?;
    let acknowledged = writer.kill_at_random(&mut random)?;
    // A writer that was killed before its first call has left no trace.
    let calls = if calls.exists() { trace::read(&calls)? } else { Vec::new() };
    let model = Model::after(&data, &calls)?;
    let left = |name: &str, keep: Keep<'_>| {
        let shadow = root.join(name);
        model.power_cut(&shadow, keep)?;
        check(kind, &shadow, &acknowledged).with_context(|| format!("what was left as {name}"))
    };
    let nothing = left("nothing", Keep::Nothing)?;
    let mut part = Found::default();
    for number in 0..PARTS {
        part = part.and(left(&format!("part-{number}"), Keep::Part(&mut random))?);
    }
    Ok([nothing, part])
}

/// Lets a writer end by itself and compares what its calls say with what is on the disk: no call passed by unnoticed. What
/// was synced must then be all that was acknowledged.
///
/// # Errors
/// They differ, or something acknowledged is not among what was synced.
pub fn calibrate(executable: &Path, library: &Path, kind: Kind) -> anyhow::Result<Found> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let (data, calls) = (root.join("data"), root.join("calls"));
    std::fs::create_dir(&data)?;
    let watched = Watched { library, trace: &calls };
    let acknowledged = Writer::start(executable, kind, &data, 1, Some(COMMITS), Some(watched))?.finish()?;
    ensure!(acknowledged.count() as u64 >= COMMITS, "only {} acknowledgements", acknowledged.count());
    let model = Model::after(&data, &trace::read(&calls)?)?;
    model.compare().context("a call passed by unnoticed")?;
    ensure!(kind == Kind::LogWithoutSync || model.syncs() > 0, "no sync was noticed");
    let shadow = root.join("shadow");
    model.power_cut(&shadow, Keep::Nothing)?;
    check(kind, &shadow, &acknowledged)
}

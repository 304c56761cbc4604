//! kill -9 of a writer at random moments. The page cache survives a kill, so this tests logic and not durability.

use std::path::Path;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::check::{Found, check};
use crate::process::Writer;
use crate::workload::Kind;

/// Kills writers, and opens what each left; every third life of the files goes on with what the last one left.
///
/// # Errors
/// What was left cannot be opened or does not verify. A loss is no error but counted.
pub fn run(executable: &Path, trials: u64, seed: u64) -> anyhow::Result<Found> {
    let mut tally = Found::default();
    let mut folder = tempfile::tempdir()?;
    for trial in 0..trials {
        let seed = seed * 1_000_000 + trial;
        if trial % 3 == 0 {
            folder = tempfile::tempdir()?;
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let writer = Writer::start(executable, Kind::Lab, folder.path(), seed, None, None)?;
        let found = writer
            .kill_at_random(&mut random)
            .and_then(|acknowledged| check(Kind::Lab, folder.path(), &acknowledged))
            .with_context(|| format!("with seed {seed}"))?;
        tally = tally.and(found);
    }
    Ok(tally)
}

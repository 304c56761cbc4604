//! Bits, lengths and pages that change behind everybody's back, in the log, its `HEAD` and raw data. All of it must be
//! noticed (LOG-9), and nothing that has changed may be served.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ppu_store::{
    ArtifactError, ArtifactHash, ArtifactStore, Disk as _, DiskFile as _, Log, LogId, LogOptions, LogReader, OpenError,
    OpenMode, SimDisk,
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const LOG: &str = "/data/journal";
const ARTIFACTS: &str = "/data/artifacts";
const ID: LogId = LogId(*b"a log to damage.");
/// The smallest segments, so that many are closed.
const SEGMENT_BYTES: u64 = 8 * 1024;
/// Frames after the last write of `HEAD`, in half of the cases.
const FRAMES_BEYOND_HEAD: usize = 3;
/// A page that is lost.
const PAGE: usize = 4096;

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A segment of the log that is closed.
    ClosedSegment,
    /// The segment that takes the appends.
    ActiveSegment,
    /// `HEAD`.
    Head,
    /// Raw data.
    Artifact,
}

/// How it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// One bit is flipped.
    Bit,
    /// The end is cut off.
    Truncation,
    /// A page of 4 KiB, or what there is of it, holds zeros.
    ZeroedPage,
}

/// How it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noticed {
    /// Opening refused.
    Refused,
    /// The other slot of `HEAD` served, and that was said; no record is missing.
    FellBack,
    /// What lay beyond the last record was cut as a torn write, and that was said; no record is missing.
    Cut,
    /// Records beyond `HEAD` are missing, as after a torn write, and a witness that knows them refuses the log.
    RefusedByWitness,
    /// The artifact was moved away and not served.
    Quarantined,
}

/// How often which damage was noticed in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<(Victim, Harm, Noticed), u64>);

impl Tally {
    /// All cases.
    #[must_use]
    pub fn cases(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((victim, harm, noticed), count) in &self.0 {
            let row = [format!("{victim:?}"), format!("{harm:?}"), format!("{noticed:?}")];
            writeln!(f, "{:<14} {:<11} {:<17} {count:>7}", row[0], row[1], row[2])?;
        }
        write!(f, "{} damages, all noticed, none served", self.cases())
    }
}

/// Damages a log with its raw data so many times, one place each time.
///
/// # Errors
/// A damage went unnoticed, something that had changed was served, or something sound was refused.
pub fn run(cases: u64, seed: u64) -> anyhow::Result<Tally> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let labs = [Lab::make(seed, 0)?, Lab::make(seed, FRAMES_BEYOND_HEAD)?];
    for lab in &labs {
        lab.judge_log(&lab.disk.fork(), None).context("a sound log")?;
    }
    let mut tally = Tally::default();
    while tally.cases() < cases {
        let lab = &labs[random.random_range(0..labs.len())];
        let disk = lab.disk.fork();
        let Some((victim, harm, path)) = lab.damage(&disk, &mut random)? else { continue };
        let noticed = match victim {
            Victim::Artifact => lab.judge_artifacts(&disk, &path),
            _ => lab.judge_log(&disk, Some(victim)),
        };
        let noticed = noticed.with_context(|| format!("{harm:?} of {}, case {}", path.display(), tally.cases()))?;
        *tally.0.entry((victim, harm, noticed)).or_default() += 1;
    }
    Ok(tally)
}

/// A log and raw data, and what they hold.
struct Lab {
    disk: SimDisk,
    bodies: Vec<Vec<u8>>,
    /// Records that `HEAD` covers.
    below_head: usize,
    segments: Vec<PathBuf>,
    artifacts: Vec<(ArtifactHash, PathBuf)>,
}

impl Lab {
    fn make(seed: u64, beyond_head: usize) -> anyhow::Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let mut content = |most: usize| {
            let mut bytes = vec![0; random.random_range(1..most)];
            random.fill_bytes(&mut bytes);
            bytes
        };
        let (mut log, _) = Log::open(disk.clone(), LOG, options())?;
        let mut bodies = Vec::new();
        for number in 0..30 {
            let records: Vec<Vec<u8>> = (0..=number % 3).map(|_| content(900)).collect();
            log.append(&records)?;
            bodies.extend(records);
        }
        log.write_head()?;
        let below_head = bodies.len();
        for _ in 0..beyond_head {
            // Short ones, so that they stay in the segment that `HEAD` names.
            let records = [content(90)];
            log.append(&records)?;
            bodies.extend(records);
        }
        drop(log);
        let store = ArtifactStore::open(disk.clone(), ARTIFACTS)?;
        let mut artifacts = Vec::new();
        for most in [2, 600, 5000, 20_000, 60_000] {
            let hash = store.put(&content(most))?.hash;
            let digits = hash.to_string();
            artifacts.push((hash, Path::new(ARTIFACTS).join(&digits[..2]).join(&digits[2..])));
        }
        let folder = Path::new(LOG).join("log");
        let segments: Vec<PathBuf> = disk.list(&folder)?.iter().map(|name| folder.join(name)).collect();
        ensure!(segments.len() >= 3, "only {} segments", segments.len());
        Ok(Self { disk, bodies, below_head, segments, artifacts })
    }

    /// Damages one place; `None` where that changed nothing.
    fn damage(&self, disk: &SimDisk, random: &mut ChaCha8Rng) -> anyhow::Result<Option<(Victim, Harm, PathBuf)>> {
        let last = self.segments.len() - 1;
        let (victim, path) = match random.random_range(0..8) {
            0..=2 => (Victim::ClosedSegment, self.segments[random.random_range(0..last)].clone()),
            3..=4 => (Victim::ActiveSegment, self.segments[last].clone()),
            5 => (Victim::Head, Path::new(LOG).join("HEAD")),
            _ => (Victim::Artifact, self.artifacts[random.random_range(0..self.artifacts.len())].1.clone()),
        };
        let before = read(disk, &path)?;
        let harm = match random.random_range(0..10) {
            0..=5 => {
                disk.flip_bit(&path, random.random_range(0..before.len() as u64 * 8))?;
                Harm::Bit
            }
            6..=7 => {
                disk.truncate(&path, random.random_range(0..before.len()))?;
                Harm::Truncation
            }
            _ => {
                let start = random.random_range(0..before.len()) / PAGE * PAGE;
                disk.overwrite(&path, start, &vec![0; PAGE.min(before.len() - start)])?;
                Harm::ZeroedPage
            }
        };
        Ok((read(disk, &path)? != before).then_some((victim, harm, path)))
    }

    /// Opens the log and says how the damage was noticed; without a victim nothing may be noticed.
    fn judge_log(&self, disk: &SimDisk, victim: Option<Victim>) -> anyhow::Result<Noticed> {
        self.never_served(disk)?;
        let (log, opened) = match Log::open(disk.clone(), LOG, options()) {
            Err(OpenError::Corrupt(_) | OpenError::HeadUnreadable(_)) if victim.is_some() => {
                return Ok(Noticed::Refused);
            }
            other => other?,
        };
        let found = contents(&log.reader())?;
        drop(log);
        ensure!(self.bodies.starts_with(&found), "a record has changed");
        ensure!(
            found.len() >= self.below_head,
            "{} of {} records are gone",
            self.below_head - found.len(),
            found.len()
        );
        if found.len() < self.bodies.len() {
            let at_least = options().with_at_least(self.bodies.len() as u64);
            return match Log::open(disk.clone(), LOG, at_least) {
                Err(OpenError::TailLost { .. }) => Ok(Noticed::RefusedByWitness),
                _ => bail!("records are missing, and the witness was not heard"),
            };
        }
        match (victim, opened.head_fallback, opened.tail_cut) {
            (Some(Victim::Head), true, None) => Ok(Noticed::FellBack),
            (Some(_), false, Some(_)) => Ok(Noticed::Cut),
            (None, false, None) => Ok(Noticed::Cut),
            (_, head_fallback, cut) => bail!("it went unnoticed: fallback {head_fallback}, cut {cut:?}"),
        }
    }

    /// A reader that takes no lock yields nothing that has changed, whatever else it says.
    fn never_served(&self, disk: &SimDisk) -> anyhow::Result<()> {
        let Ok(reader) = LogReader::open(disk.clone(), LOG) else { return Ok(()) };
        let Ok(entries) = reader.read_from(1) else { return Ok(()) };
        for (entry, body) in entries.map_while(Result::ok).zip(&self.bodies) {
            ensure!(entry.body == *body, "record {} was served changed", entry.sequence);
        }
        Ok(())
    }

    fn judge_artifacts(&self, disk: &SimDisk, damaged: &Path) -> anyhow::Result<Noticed> {
        let store = ArtifactStore::open(disk.clone(), ARTIFACTS)?;
        let mut noticed = 0;
        for (hash, path) in &self.artifacts {
            match store.get(hash) {
                Ok(content) => ensure!(path != damaged && ArtifactHash::of(&content) == *hash, "it was served"),
                Err(ArtifactError::Quarantined(_)) if path == damaged => noticed += 1,
                Err(other) => return Err(other.into()),
            }
        }
        ensure!(noticed == 1, "{noticed} artifacts were moved away");
        let (hash, _) = self.artifacts.iter().find(|(_, path)| path == damaged).context("it is one of them")?;
        ensure!(matches!(store.get(hash), Err(ArtifactError::NotFound(_))), "it is still under its name");
        Ok(Noticed::Quarantined)
    }
}

fn options() -> LogOptions {
    LogOptions::create(ID).with_segment_bytes(SEGMENT_BYTES)
}

fn read(disk: &SimDisk, path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.length()?)?];
    file.read(&mut bytes, 0)?;
    Ok(bytes)
}

fn contents(reader: &LogReader<SimDisk>) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(reader.read_from(1)?.map(|entry| entry.map(|entry| entry.body)).collect::<Result<_, _>>()?)
}

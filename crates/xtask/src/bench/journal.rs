//! `cargo xtask bench journal`: durable appends beside SQLite and sled in the same run, and how long a journal of a million
//! records takes to open. Everything that is measured runs as a release build in a process of its own; rounds alternate, and
//! medians are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{Bar, Bench};

/// Rounds of appends, each with every engine in turn.
const ROUNDS: usize = 7;
/// Seconds of one measurement of appends.
const SECONDS: &str = "1.5";
/// Records of the journal that is opened.
const RECORDS: u64 = 1_000_000;
/// Times that it is opened with its index, and again without.
const OPENINGS: usize = 3;
/// Records of a commit, and what the ratio to the best peer must reach.
const BATCHES: [(u64, f64); 2] = [(1, 1.0), (100, 1.5)];
/// The reopening of a million records may take so many seconds with its index, and without.
const OPEN_LIMITS: [f64; 2] = [1.5, 5.0];

/// Something that appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// The log in the thread of the caller, as the peers are called.
    Log,
    /// The log by its own thread, as the processes of a lab use it.
    LogThread,
    Sqlite,
    Sled,
}

/// One measurement of appends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    records_a_second: f64,
    median_us: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let ours = build_ours(bench)?;
    let peers = bench.arguments.peers.then(|| build_peers(bench)).transpose()?;
    let mut bars = Vec::new();
    for (batch, wanted) in BATCHES {
        bars.extend(appends(bench, &ours, peers.as_deref(), batch, wanted)?);
    }
    bars.extend(openings(bench, &ours)?);
    Ok(bars)
}

fn build_ours(bench: &Bench<'_>) -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "ppu-journal", "--example", "journal_bench"])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the journal does not build");
    Ok(bench.target.join("release/examples/journal_bench"))
}

/// The peers are a workspace of their own, so that nobody else has to compile SQLite.
fn build_peers(bench: &Bench<'_>) -> anyhow::Result<PathBuf> {
    let target = bench.target.join("storage-peers");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(bench.root.join("tests/storage/peers"))
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the peers do not build");
    Ok(target.join("release/ppu-storage-peers"))
}

fn appends(bench: &Bench<'_>, ours: &Path, peers: Option<&Path>, batch: u64, wanted: f64) -> anyhow::Result<Vec<Bar>> {
    let mut engines = vec![Engine::Log, Engine::LogThread];
    engines.extend(peers.map(|_| [Engine::Sqlite, Engine::Sled]).into_iter().flatten());
    let mut rates: Vec<Vec<Rate>> = vec![Vec::new(); engines.len()];
    for round in 0..ROUNDS {
        // Each begins a round as often as the others, so that none always follows the same one.
        for turn in 0..engines.len() {
            let index = (turn + round) % engines.len();
            let place = bench.folder.join("append");
            let rate = measure(engines[index], ours, peers, &place, batch)?;
            rates[index].push(rate);
        }
    }
    let middle = |engine: Engine| {
        let index = engines.iter().position(|one| *one == engine)?;
        median(rates[index].iter().map(|rate| rate.records_a_second))
    };
    print(&engines, &rates, batch);
    let log = middle(Engine::Log).context("the log was not measured")?;
    let best = middle(Engine::Sqlite).into_iter().chain(middle(Engine::Sled)).reduce(f64::max);
    let bar = |name: &str, value: f64, wanted: Option<f64>| Bar {
        bar: format!("durable appends of 300 bytes, {batch} a commit, {name}"),
        value,
        unit: "1/s",
        target: wanted.map_or_else(|| "none".to_owned(), |wanted| format!("at least {wanted} of the best peer")),
        peer: "the better of SQLite (WAL, synchronous=FULL) and sled with fdatasync, same run".to_owned(),
        peer_value: best,
        // Without peers nothing is compared.
        holds: best.zip(wanted).is_none_or(|(best, wanted)| value >= wanted * best),
    };
    let thread = middle(Engine::LogThread).context("the thread of the log was not measured")?;
    Ok(vec![bar("in the caller's thread", log, Some(wanted)), bar("by the log's own thread", thread, None)])
}

fn measure(engine: Engine, ours: &Path, peers: Option<&Path>, place: &Path, batch: u64) -> anyhow::Result<Rate> {
    empty(place)?;
    let batch = batch.to_string();
    let peer = || peers.context("the peers are not built");
    let place_word = place.to_str().context("the folder's name is not UTF-8")?;
    let numbers = match engine {
        Engine::Log => numbers(ours, &["append", "caller", place_word, &batch, SECONDS])?,
        Engine::LogThread => numbers(ours, &["append", "thread", place_word, &batch, SECONDS])?,
        Engine::Sqlite => numbers(peer()?, &["sqlite", place_word, &batch, SECONDS])?,
        Engine::Sled => numbers(peer()?, &["sled", place_word, &batch, SECONDS])?,
    };
    empty(place)?;
    let [_, records, seconds, median_us, _] = numbers.as_slice() else {
        anyhow::bail!("{engine:?} said {numbers:?}");
    };
    Ok(Rate { records_a_second: records / seconds, median_us: *median_us })
}

fn openings(bench: &Bench<'_>, ours: &Path) -> anyhow::Result<Vec<Bar>> {
    let place = bench.folder.join("journal");
    let word = place.to_str().context("the folder's name is not UTF-8")?;
    eprintln!("writing a journal of {RECORDS} records");
    let filled = numbers(ours, &["fill", word, &RECORDS.to_string()])?;
    eprintln!("{} records of {} bytes in {} s", filled[0], filled[1], filled[2]);
    let mut with = Vec::new();
    let mut without = Vec::new();
    for _ in 0..OPENINGS {
        with.push(numbers(ours, &["open", word])?);
    }
    for _ in 0..OPENINGS {
        for name in std::fs::read_dir(&place)?.filter_map(Result::ok).map(|entry| entry.path()) {
            if name.file_name().is_some_and(|name| name.to_string_lossy().starts_with("index-")) {
                std::fs::remove_dir_all(name)?;
            }
        }
        without.push(numbers(ours, &["open", word])?);
    }
    empty(&place)?;
    let middle = |lines: &[Vec<f64>], column: usize| median(lines.iter().map(|line| line[column])).unwrap_or(f64::NAN);
    let bar = |name: &str, value: f64, limit: f64, unit: &'static str| Bar {
        bar: format!("{name}, {} records", filled[0]),
        value,
        unit,
        target: if limit.is_finite() { format!("at most {limit}") } else { "none".to_owned() },
        peer: String::new(),
        peer_value: None,
        holds: value <= limit,
    };
    Ok(vec![
        bar("open with its index until lookups are ready", middle(&with, 1), OPEN_LIMITS[0], "s"),
        bar("open with its index and read every fact", middle(&with, 2), f64::INFINITY, "s"),
        bar("open without index, read every fact, index complete", middle(&without, 3), OPEN_LIMITS[1], "s"),
        bar("resident memory at most, opened with its index", middle(&with, 4) / 1024.0, f64::INFINITY, "MiB"),
        bar("resident memory at most, index rebuilt", middle(&without, 4) / 1024.0, f64::INFINITY, "MiB"),
    ])
}

/// The one line of numbers that a process prints.
fn numbers(program: &Path, arguments: &[&str]) -> anyhow::Result<Vec<f64>> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} did not run", program.display()))?;
    ensure!(output.status.success(), "{} {arguments:?}: {}", program.display(), output.status);
    let text = String::from_utf8(output.stdout).context("its output is not UTF-8")?;
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    numbers.with_context(|| format!("{} {arguments:?} said {text:?}", program.display()))
}

fn empty(place: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("the folder cannot be emptied")
        }
        _ => Ok(()),
    }
}

/// The middle of some values; `None` of nothing.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn print(engines: &[Engine], rates: &[Vec<Rate>], batch: u64) {
    println!("{batch:>3} records a commit: records/s in each round; median commit in us");
    for (engine, rates) in engines.iter().zip(rates) {
        let each: Vec<String> = rates.iter().map(|rate| format!("{:>8.0}", rate.records_a_second)).collect();
        let commit = median(rates.iter().map(|rate| rate.median_us)).unwrap_or(f64::NAN);
        println!("  {:<10} {} {commit:>8.0}", format!("{engine:?}"), each.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}

//! Measures the proposer against exact sums and in closed loops. `cargo xtask bench proposer` builds and runs it; one line of
//! JSON a bar goes to standard output, progress to standard error.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark reads files and a clock, and prints what it measured"
)]

mod atomistic;
mod closed_loop;
mod data;
mod smc;

use std::path::PathBuf;

/// What went wrong, in a sentence for people.
pub(crate) type Problem = String;

/// What is measured, for one line of output.
pub(crate) struct Bar {
    pub(crate) bar: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: String,
    pub(crate) peer: &'static str,
    pub(crate) peer_value: Option<f64>,
    pub(crate) holds: bool,
}

impl Bar {
    fn print(&self) {
        let peer = self.peer_value.map_or("null".to_owned(), |value| value.to_string());
        println!(
            "{{\"bar\":{:?},\"value\":{},\"unit\":{:?},\"target\":{:?},\"peer\":{:?},\"peer_value\":{peer},\"holds\":{}}}",
            self.bar, self.value, self.unit, self.target, self.peer, self.holds
        );
    }
}

/// Settings of a run.
pub(crate) struct Settings {
    /// Folder with `perov5` and `mp20`.
    pub(crate) data: PathBuf,
    pub(crate) seeds: usize,
    pub(crate) threads: usize,
    /// A wheel of chgnet 0.4.2 or converted weights; without them there is no level F2.
    pub(crate) weights: Option<PathBuf>,
    /// Only policies whose name contains this.
    pub(crate) policy: String,
}

/// Parts in the order of `cargo xtask bench proposer`; without a name all are run.
const PARTS: [&str; 3] = ["smc-synthetic", "smc-perov5", "loop"];

fn main() -> Result<(), Problem> {
    let data = std::env::var_os("PPU_REFERENCE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let mut settings = Settings { data, seeds: 50, threads: 1, weights: None, policy: String::new() };
    let mut parts = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
        match argument.as_str() {
            "--data" => settings.data = PathBuf::from(value()?),
            "--seeds" => settings.seeds = number(value()?)?.max(1),
            "--threads" => settings.threads = number(value()?)?.max(1),
            "--weights" => settings.weights = Some(PathBuf::from(value()?)),
            "--policy" => settings.policy = value()?,
            _ => parts.push(argument),
        }
    }
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    for part in &parts {
        let bars = match part.as_str() {
            "smc-synthetic" => smc::synthetic(&settings),
            "smc-perov5" => match data::perov5(&settings.data)? {
                Some(lab) => smc::perov5(&lab, &settings),
                None => skipped(part, &settings),
            },
            "loop" => match data::perov5(&settings.data)? {
                Some(lab) => closed_loop::run(&lab, &settings)?,
                None => skipped(part, &settings),
            },
            other => return Err(format!("there is no part `{other}`; there are {}", PARTS.join(", "))),
        };
        bars.iter().for_each(Bar::print);
    }
    Ok(())
}

fn skipped(part: &str, settings: &Settings) -> Vec<Bar> {
    eprintln!("{part} is skipped: {} has no perov5/perov5.csv", settings.data.display());
    Vec::new()
}

/// Results of `count` seeds on some threads; every seed is a function of its number alone.
pub(crate) fn each_seed<T: Send>(count: usize, threads: usize, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let one = &one;
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let work = |worker: usize| {
            let seeds = (worker..count).step_by(threads);
            scope.spawn(move || seeds.map(|seed| (seed, one(seed as u64))).collect::<Vec<_>>())
        };
        let workers: Vec<_> = (0..threads).map(work).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no seed panics")).collect()
    });
    all.sort_by_key(|(seed, _)| *seed);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Quantile by linear interpolation (type 7).
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // Two infinities have no difference.
    if low == high { low } else { low + (high - low) * at.fract() }
}

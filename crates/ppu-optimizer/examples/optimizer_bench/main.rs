//! Measures the engine with its default settings on published pools and functions. `cargo xtask bench optimizer` builds and
//! runs it; one line of JSON a bar goes to standard output, progress to standard error.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark reads files and a clock, and prints what it measured"
)]

mod arylation;
mod functions;
mod olympus;
mod pools;
mod recipe;
mod speed;
mod studies;
mod wide;

use std::path::PathBuf;

use ppu_optimizer::committee::Recipe;
use ppu_optimizer::engine::Engine;

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
    pub(crate) data: Option<PathBuf>,
    pub(crate) seeds: usize,
    pub(crate) threads: usize,
    /// A committee in place of the default.
    pub(crate) recipe: Option<Recipe>,
    /// Of the other pools, those with this text in their name.
    pub(crate) only: Option<String>,
}

impl Settings {
    /// The engine of a seed.
    pub(crate) fn engine(&self, seed: u64) -> Engine {
        self.recipe.clone().map_or_else(|| Engine::new(seed), |recipe| Engine::with_recipe(seed, recipe))
    }
}

fn main() -> Result<(), Problem> {
    let mut settings = Settings { data: None, seeds: 30, threads: 1, recipe: None, only: None };
    let mut parts = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
        match argument.as_str() {
            "--data" => settings.data = Some(PathBuf::from(value()?)),
            "--seeds" => settings.seeds = number(value()?)?,
            "--threads" => settings.threads = number(value()?)?.max(1),
            "--recipe" => settings.recipe = Some(recipe::parse(&value()?)?),
            "--only" => settings.only = Some(value()?),
            _ => parts.push(argument),
        }
    }
    for part in &parts {
        let bars = match part.as_str() {
            "pools" => pools::run(&settings)?,
            "pools-olympus" => olympus::run(&settings)?,
            "arylation" => arylation::run(&settings)?,
            "branin" => functions::branin(&settings),
            "hartmann" => functions::hartmann(&settings),
            "hartmann-noisy" => functions::hartmann_noisy(&settings),
            "speed" => speed::suggestions(),
            "million" => speed::million(),
            "memory" => speed::memory(),
            "edboplus" => studies::real::run(&settings)?,
            other => studies::run(other, &settings).ok_or(format!("there is no part `{other}`"))?,
        };
        bars.iter().for_each(Bar::print);
    }
    Ok(())
}

/// Results of `count` seeds on some threads; every seed is a function of its number alone.
pub(crate) fn each_seed<T: Send>(count: usize, threads: usize, one: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let one = &one;
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let work = |worker: usize| {
            scope.spawn(move || (worker..count).step_by(threads).map(|seed| (seed, one(seed))).collect::<Vec<_>>())
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
    low + (high - low) * at.fract()
}

/// Rows of a CSV file without quotes; a byte order mark is dropped.
pub(crate) fn table(path: &std::path::Path) -> Result<Vec<Vec<String>>, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let row = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect();
    Ok(text.trim_start_matches('\u{feff}').lines().filter(|line| !line.trim().is_empty()).map(row).collect())
}

/// A number of a table.
pub(crate) fn number(text: &str) -> Result<f64, Problem> {
    text.parse().map_err(|error| format!("`{text}` is not a number: {error}"))
}

/// Scales every column to [0, 1]; a constant column becomes 0.5.
pub(crate) fn scale(rows: &mut [Vec<f64>]) {
    for at in 0..rows.first().map_or(0, Vec::len) {
        let low = rows.iter().map(|row| row[at]).fold(f64::INFINITY, f64::min);
        let high = rows.iter().map(|row| row[at]).fold(f64::NEG_INFINITY, f64::max);
        for row in rows.iter_mut() {
            row[at] = if high > low { (row[at] - low) / (high - low) } else { 0.5 };
        }
    }
}

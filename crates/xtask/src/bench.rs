//! `cargo xtask bench`: measurements with a yardstick beside them. A bar states what is measured, what it must reach, and
//! what the peer reached in the same run on the same computer.

mod closed_loop;
mod crash;
mod diffraction;
mod dispatch;
mod journal;
mod lines;
mod optimizer;
mod peers;
mod proposer;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::BenchArguments;

/// What a benchmark measured, in the form in which it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Bar {
    /// What was measured.
    pub(crate) bar: String,
    /// The value.
    pub(crate) value: f64,
    /// Its unit; `1` for a pure number.
    pub(crate) unit: &'static str,
    /// What it must reach, in words.
    pub(crate) target: String,
    /// Who was measured beside it.
    pub(crate) peer: String,
    /// The peer's value, where there is one.
    pub(crate) peer_value: Option<f64>,
    /// Whether the target is reached.
    pub(crate) holds: bool,
}

/// What a benchmark has to work with.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    /// Root of the repository.
    pub(crate) root: &'a Path,
    /// Folder where it may write, empty at the start.
    pub(crate) folder: PathBuf,
    /// Where cargo builds to.
    pub(crate) target: PathBuf,
    /// What was asked for.
    pub(crate) arguments: &'a BenchArguments,
}

type Run = fn(&Bench<'_>) -> anyhow::Result<Vec<Bar>>;

/// Every benchmark: name, one line for people, and what runs it.
const REGISTRY: [(&str, &str, Run); 7] = [
    ("loop", "the closed loop of `ppu demo` over seeds: optimizer against random proposals", closed_loop::run),
    ("dispatch", "a step that does nothing, durable on both sides, and the memory of an idle lab", dispatch::run),
    ("crash", "how often one dispense is done when its process is killed in the middle", crash::run),
    ("optimizer", "the optimizer with its one default: measured pools, functions, speed, memory", optimizer::run),
    (
        "proposer",
        "proposer and twin: annealing against exact sums, closed loops, the universal potential; --data DIR for most",
        proposer::run,
    ),
    ("journal", "durable appends beside SQLite and sled, and opening a million records", journal::run),
    (
        "diffraction",
        "powder diffraction against reference data: fractions, cells, identification, speed",
        diffraction::run,
    ),
];

/// Runs the benchmark of that name and writes its bars.
pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let Some((name, _, run)) = REGISTRY.iter().find(|(name, ..)| *name == arguments.name) else {
        let known: Vec<_> = REGISTRY.iter().map(|(name, what, _)| format!("  {name:<10} {what}")).collect();
        bail!("there is no benchmark `{}`; there are\n{}", arguments.name, known.join("\n"));
    };
    let root = xtask::root();
    let target = crate::suite::target_folder(&root)?;
    let results = target.join("bench");
    let folder = results.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let bars = run(&Bench { root: &root, folder, target, arguments })?;
    print(&bars);
    let file = results.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(&bars).expect("bars have text keys");
    std::fs::write(&file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!("written to {}", file.display());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn print(bars: &[Bar]) {
    for bar in bars {
        let verdict = if bar.holds { "holds" } else { "DOES NOT HOLD" };
        let peer = bar.peer_value.map_or_else(String::new, |value| format!("; {}: {value:.4}", bar.peer));
        println!("{verdict}: {} = {:.4} {} (target: {}{peer})", bar.bar, bar.value, bar.unit, bar.target);
    }
}

//! `cargo xtask bench optimizer --data DIR`: the optimizer with its one default on measured pools, a reaction grid, functions
//! with a known optimum, and its speed and memory. `--seeds` limits the runs of each; `--peers` runs BoTorch and egobox from
//! `tests/peers/optimizer.py` beside it, with the Python of `PPU_PYTHON`.

use std::path::Path;
use std::process::Command;

use super::{Bar, Bench, lines};

/// Parts that need no data. Memory and the large pool are read from the peak of a process, so each part is one.
const PARTS: [&str; 18] = [
    "branin",
    "hartmann",
    "hartmann-noisy",
    "speed",
    "million",
    "memory",
    "heteroscedastic",
    "mixed",
    "simplex",
    "zdt1",
    "dtlz2-2",
    "dtlz2-3",
    "study-hartmann",
    "failing",
    "fidelity-branin",
    "fidelity-hartmann",
    "fidelity-borehole",
    "nehvi",
];
/// Parts that replay data of `--data`.
const WITH_DATA: [&str; 2] = ["pools", "arylation"];

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let program = lines::example(bench, "ppu-optimizer", "optimizer_bench")?;
    let data: &[&str] = if bench.arguments.data.is_some() { &WITH_DATA } else { &[] };
    if data.is_empty() {
        eprintln!("without --data the pools and the reaction grid are left out");
    }
    let mut bars = Vec::new();
    for part in data.iter().chain(&PARTS) {
        bars.extend(measured(bench, &program, part)?);
    }
    if bench.arguments.peers {
        bars.extend(peers(bench)?);
    }
    Ok(bars)
}

/// The bars of one part, in a process of its own.
fn measured(bench: &Bench<'_>, program: &Path, part: &str) -> anyhow::Result<Vec<Bar>> {
    let mut command = Command::new(program);
    command.arg(part).args(["--seeds", &bench.arguments.seeds.to_string()]);
    if let Some(data) = &bench.arguments.data {
        command.arg("--data").arg(data);
    }
    lines::bars(command, part)
}

/// The peers' figures, from their own programs.
fn peers(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let python = std::env::var_os(xtask::peers::PYTHON).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(bench.root.join("tests/peers/optimizer.py")).args(["--seeds", &bench.arguments.seeds.to_string()]);
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(name, "1");
    }
    lines::bars(command, "tests/peers/optimizer.py")
}

//! `cargo xtask bench optimizer --data DIR`: the optimizer with its one default on measured pools, a reaction grid, functions
//! with a known optimum, and its speed and memory. `--seeds` limits the runs of each; `--peers` runs BoTorch and egobox from
//! `tests/peers/optimizer.py` beside it, with the Python of `PPU_PYTHON`.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Bar, Bench};

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

/// A line of the measuring program.
#[derive(Debug, Deserialize)]
struct Line {
    bar: String,
    value: f64,
    unit: String,
    target: String,
    peer: String,
    peer_value: Option<f64>,
    holds: bool,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "ppu-optimizer", "--example", "optimizer_bench"])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the measuring program does not build");
    let data: &[&str] = if bench.arguments.data.is_some() { &WITH_DATA } else { &[] };
    if data.is_empty() {
        eprintln!("without --data the pools and the reaction grid are left out");
    }
    let mut bars = Vec::new();
    for part in data.iter().chain(&PARTS) {
        bars.extend(measured(bench, part)?);
    }
    if bench.arguments.peers {
        bars.extend(peers(bench)?);
    }
    Ok(bars)
}

/// The bars of one part, in a process of its own.
fn measured(bench: &Bench<'_>, part: &str) -> anyhow::Result<Vec<Bar>> {
    let mut command = Command::new(bench.target.join("release/examples/optimizer_bench"));
    command.arg(part).args(["--seeds", &bench.arguments.seeds.to_string()]);
    if let Some(data) = &bench.arguments.data {
        command.arg("--data").arg(data);
    }
    lines(command, part)
}

/// The peers' figures, from their own programs.
fn peers(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let python = std::env::var_os(xtask::peers::PYTHON).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(bench.root.join("tests/peers/optimizer.py")).args(["--seeds", &bench.arguments.seeds.to_string()]);
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(name, "1");
    }
    lines(command, "tests/peers/optimizer.py")
}

fn lines(mut command: Command, what: &str) -> anyhow::Result<Vec<Bar>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{what} did not run"))?;
    ensure!(output.status.success(), "{what}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(bar).collect()
}

fn bar(line: &str) -> anyhow::Result<Bar> {
    let Line { bar, value, unit, target, peer, peer_value, holds } =
        serde_json::from_str(line).with_context(|| format!("not a bar: {line}"))?;
    let unit = match unit.as_str() {
        "ms" => "ms",
        "s" => "s",
        "MB" => "MB",
        _ => "1",
    };
    Ok(Bar { bar, value, unit, target, peer, peer_value, holds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_bar_and_nonsense_is_not() {
        let line = r#"{"bar":"b","value":2.5,"unit":"ms","target":"t","peer":"p","peer_value":null,"holds":true}"#;
        let read = bar(line).unwrap();
        assert_eq!((read.value, read.unit, read.peer_value, read.holds), (2.5, "ms", None, true));
        assert!(bar("warming up").is_err());
    }
}

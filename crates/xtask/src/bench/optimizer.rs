//! `cargo xtask bench optimizer --data DIR`: the optimizer with its one default on measured pools, a reaction grid, functions
//! with a known optimum, and its speed and memory. `--seeds` limits the runs of each; `--peers` runs BoTorch's method for each
//! kind of study, and egobox, from `tests/peers/optimizer` beside it, with the Python of `PPU_PYTHON`.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use super::{Bar, Bench, lines};

/// Parts that need no data. Memory and the large pool are read from the peak of a process, so each part is one.
const PARTS: [&str; 21] = [
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
    "fidelity-misleading",
    "fidelity-noisy",
    "fidelity-front",
    "nehvi",
];
/// Parts that replay data of `--data`.
const WITH_DATA: [&str; 3] = ["pools", "arylation", "edboplus"];
/// Parts for which BoTorch has a method of its own in `tests/peers/optimizer`.
const WITH_PEER: [&str; 10] = [
    "heteroscedastic",
    "mixed",
    "simplex",
    "zdt1",
    "dtlz2-2",
    "dtlz2-3",
    "failing",
    "fidelity-branin",
    "fidelity-hartmann",
    "fidelity-borehole",
];

/// A line of the peers' program: one figure of one peer. A study has one for each of its bars, in their order.
#[derive(Debug, Deserialize)]
struct PeerLine {
    row: String,
    peer: String,
    seeds: usize,
    /// Whether less is better.
    less: bool,
    median: f64,
    low: f64,
    high: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let program = lines::example(bench, "ppu-optimizer", "optimizer_bench")?;
    let data: &[&str] = if bench.arguments.data.is_some() { &WITH_DATA } else { &[] };
    if data.is_empty() {
        eprintln!("without --data the pools and the reaction grid are left out");
    }
    let mut bars = Vec::new();
    for part in data.iter().chain(&PARTS) {
        let mut own = measured(bench, &program, part)?;
        if bench.arguments.peers && WITH_PEER.contains(part) {
            for (bar, peer) in own.iter_mut().zip(peers(bench, Some(part))?) {
                beside(bar, &peer);
            }
        }
        bars.extend(own);
    }
    if bench.arguments.peers {
        bars.extend(peers(bench, None)?.into_iter().map(alone));
    }
    Ok(bars)
}

/// Puts a peer's figure into a bar, in the place of its yardstick, and asks for the same or better.
fn beside(bar: &mut Bar, peer: &PeerLine) {
    let yardstick = bar.peer_value.map_or_else(String::new, |value| format!("; {}: {value:.4}", bar.peer));
    bar.target += ", and at or ahead of the peer";
    bar.peer = format!("{}, {} seeds, quartiles {:.4} to {:.4}{yardstick}", peer.peer, peer.seeds, peer.low, peer.high);
    bar.peer_value = Some(peer.median);
    bar.holds &= if peer.less { bar.value <= peer.median } else { bar.value >= peer.median };
}

/// A peer's figure as a bar of its own.
fn alone(peer: PeerLine) -> Bar {
    Bar {
        bar: format!(
            "{} on {}: median of {} seeds, quartiles {:.2e} to {:.2e}",
            peer.peer, peer.row, peer.seeds, peer.low, peer.high
        ),
        value: peer.median,
        unit: "1",
        target: "a peer, nothing to reach".to_owned(),
        peer: peer.peer,
        peer_value: None,
        holds: true,
    }
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

/// The peers' figures for a study, or their plain regrets, from their own program. None where a package is missing.
fn peers(bench: &Bench<'_>, part: Option<&str>) -> anyhow::Result<Vec<PeerLine>> {
    let python = std::env::var_os(xtask::peers::PYTHON).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(bench.root.join("tests/peers/optimizer/main.py")).args(part);
    command.args(["--seeds", &bench.arguments.seeds.to_string()]);
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(name, "1");
    }
    let read = |line| serde_json::from_str(line).with_context(|| format!("not a figure of a peer: {line}"));
    lines::output(command, "tests/peers/optimizer/main.py")?.lines().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_beside_a_bar_decides_with_it() {
        let line = r#"{"row":"zdt1","peer":"p","seeds":5,"less":false,"median":0.9,"low":0.8,"high":0.95}"#;
        let peer: PeerLine = serde_json::from_str(line).unwrap();
        let own = |value| Bar {
            bar: "b".into(),
            value,
            unit: "1",
            target: "t".into(),
            peer: "chance".into(),
            peer_value: Some(0.5),
            holds: true,
        };
        for (value, holds) in [(0.91, true), (0.89, false)] {
            let mut bar = own(value);
            beside(&mut bar, &peer);
            assert_eq!((bar.holds, bar.peer_value), (holds, Some(0.9)));
            assert!(bar.peer.contains("5 seeds") && bar.peer.contains("chance: 0.5"), "{}", bar.peer);
        }
    }
}

//! `cargo xtask bench proposer --data DIR`: annealing against exact sums, closed loops against the replay of Perov-5 and in
//! the demo's world, the model of crystals, and the universal potential. `--seeds` is the number of campaigns of every policy.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{Bar, Bench, lines};

/// A wheel of chgnet 0.4.2 or the folder to which `ppu twin fetch` converted it.
const WHEEL: &str = "PPU_CHGNET_WHEEL";
const WEIGHTS: &str = "PPU_WEIGHTS";
/// What `ppu twin fetch` writes where it is given no folder.
const FETCHED: (&str, &str) = ("ppu-weights", "chgnet-0.3.0.safetensors");

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let weights = weights(bench);
    if weights.is_none() {
        eprintln!("without weights the potential is left out: get them with `ppu twin fetch`, or set {WHEEL}");
    }
    let program = lines::example(bench, "ppu-proposer", "proposer_bench")?;
    let mut parts = vec!["smc-synthetic"];
    if bench.arguments.data.is_some() {
        parts.extend(["smc-perov5", "loop"]);
    } else {
        eprintln!("without --data the replay of Perov-5 is left out");
    }
    let mut bars = Vec::new();
    for part in parts {
        let mut command = Command::new(&program);
        command.arg(part).args(["--seeds", &bench.arguments.seeds.to_string()]);
        if let Some(data) = &bench.arguments.data {
            command.arg("--data").arg(data);
        }
        if let Some(weights) = &weights {
            command.arg("--weights").arg(weights);
        }
        bars.extend(lines::bars(command, part)?);
    }
    let mut command = Command::new(lines::example(bench, "firmware-sim", "film_loop")?);
    command.args(["--seeds", &bench.arguments.seeds.to_string()]);
    bars.extend(lines::bars(command, "film_loop")?);
    if let Some(data) = &bench.arguments.data {
        let mut command = Command::new(lines::example(bench, "ppu-wyckoff", "wyckoff_bench")?);
        command.arg("--data").arg(data);
        bars.extend(lines::bars(command, "wyckoff_bench")?);
    }
    if let Some(weights) = weights {
        bars.extend(potential(bench, &weights)?);
    }
    Ok(bars)
}

fn weights(bench: &Bench<'_>) -> Option<PathBuf> {
    let fetched = std::env::var_os(WEIGHTS).map_or_else(|| bench.root.join(FETCHED.0), PathBuf::from).join(FETCHED.1);
    let wheel = std::env::var_os(WHEEL).map(PathBuf::from);
    wheel.into_iter().chain([fetched]).find(|path| path.exists())
}

/// Speed of the potential, and with data its ranks on Perov-5.
fn potential(bench: &Bench<'_>, weights: &std::path::Path) -> anyhow::Result<Vec<Bar>> {
    let program = lines::example(bench, "ppu-atoms", "atoms_bench")?;
    let measured = |extra: Option<PathBuf>| {
        let mut command = Command::new(&program);
        command.arg(weights);
        if let Some(table) = extra {
            command.arg("--perov5").arg(table);
        }
        lines::output(command, "atoms_bench")
    };
    let mut bars = speed(&measured(None)?)?;
    if let Some(data) = &bench.arguments.data {
        bars.push(ranks(&measured(Some(data.join("perov5/perov5.csv")))?)?);
    }
    Ok(bars)
}

fn json_lines(text: &str) -> anyhow::Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}

fn speed(text: &str) -> anyhow::Result<Vec<Bar>> {
    let bar = |line: &Value| {
        let case = line["case"].as_str().context("a case has no name")?;
        let value = line["forces"]["processor_least_ms"].as_f64().context("a case has no time")?;
        let yardstick = case.contains("8 atoms");
        Ok(Bar {
            bar: format!("CHGNet: energy and forces of {case}, processor time on one core"),
            value,
            unit: "ms",
            target: if yardstick { "at most 40 ms" } else { "a yardstick" }.to_owned(),
            peer: "energy alone".to_owned(),
            peer_value: line["energy"]["processor_least_ms"].as_f64(),
            holds: !yardstick || value <= 40.0,
        })
    };
    json_lines(text)?.iter().map(bar).collect()
}

fn ranks(text: &str) -> anyhow::Result<Bar> {
    let lines = json_lines(text)?;
    let line = lines.first().context("the ranks were not printed")?;
    let value = line["spearman"].as_f64().context("the line has no correlation")?;
    Ok(Bar {
        bar: format!(
            "CHGNet at the geometry of the table: Spearman's rank correlation with Perov-5 heats ({} rows tested, {} fitted the references)",
            line["tested"], line["fitted"]
        ),
        value,
        unit: "1",
        target: "at least 0.95".to_owned(),
        peer: "-".to_owned(),
        peer_value: None,
        holds: value >= 0.95,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranks_become_bars_that_can_fail() {
        let line = |name: &str, ms: f64| {
            format!(
                r#"{{"case":"{name}","energy":{{"processor_least_ms":9.0}},"forces":{{"processor_least_ms":{ms}}}}}"#
            )
        };
        let text = format!("{}\n{}\n", line("LiMnO2, 8 atoms", 41.0), line("SrTiO3, 40 atoms", 300.0));
        let bars = speed(&text).unwrap();
        assert_eq!(bars.iter().map(|bar| bar.holds).collect::<Vec<_>>(), [false, true]);
        assert_eq!(bars[0].peer_value, Some(9.0));
        let ranks = |value| ranks(&format!(r#"{{"spearman":{value},"tested":10,"fitted":10}}"#)).unwrap().holds;
        assert!(ranks(0.96) && !ranks(0.94));
        assert!(speed("warming up").is_err());
    }
}

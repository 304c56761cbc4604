//! `cargo xtask bench diffraction`: quantities, cells, identification and speed of the powder diffraction against the
//! reference data, or against another folder in their layout.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Bar, Bench};

/// Where the reference data lie when `--data` does not say, from the root of the repository.
const DEFAULT_DATA: &str = "../shared/data/diffraction";
/// Units that the examples print.
const UNITS: [&str; 5] = ["wt%", "Å", "1/s", "ms", "1"];

/// A line of `diffraction_bench`.
#[derive(Debug, Deserialize)]
struct Row {
    bar: String,
    value: f64,
    unit: String,
    target: String,
    holds: bool,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let data = data(bench)?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "ppu-diffraction", "--package", "ppu-spectra", "--examples"])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the examples of ppu-diffraction and ppu-spectra do not build");
    let mut bars = Vec::new();
    if data.join("round_robin").is_dir() {
        bars.extend(rows(&output(bench, "diffraction_bench", &data)?)?);
    } else {
        eprintln!("no round_robin/ in {}: quantities, cells and speed are left out", data.display());
    }
    if data.join("mixtures").is_dir() {
        bars.extend(identification(&output(bench, "identify_bench", &data)?)?);
    } else {
        eprintln!("no mixtures/ in {}: identification is left out", data.display());
    }
    ensure!(!bars.is_empty(), "{} holds nothing to measure", data.display());
    // Its films are simulated.
    bars.extend(rows(&output(bench, "spectra_bench", &data)?)?);
    Ok(bars)
}

fn rows(printed: &str) -> anyhow::Result<Vec<Bar>> {
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| bar(serde_json::from_str(line).with_context(|| format!("`{line}` is no row"))?)).collect()
}

fn data(bench: &Bench<'_>) -> anyhow::Result<PathBuf> {
    let given = bench.arguments.data.clone().unwrap_or_else(|| bench.root.join(DEFAULT_DATA));
    // The folder itself, or the one that holds it.
    let folder = if given.join("diffraction").is_dir() { given.join("diffraction") } else { given };
    ensure!(folder.is_dir(), "there are no reference data at {}; name them with --data", folder.display());
    Ok(std::fs::canonicalize(&folder)?)
}

fn output(bench: &Bench<'_>, example: &str, data: &std::path::Path) -> anyhow::Result<String> {
    let output = Command::new(bench.target.join("release/examples").join(example))
        .arg(data)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{example} did not run"))?;
    ensure!(output.status.success(), "{example}: {}", output.status);
    String::from_utf8(output.stdout).context("what it printed is not text")
}

fn bar(row: Row) -> anyhow::Result<Bar> {
    let unit = UNITS.into_iter().find(|unit| *unit == row.unit).with_context(|| format!("unit `{}`", row.unit))?;
    let Row { bar, value, target, holds, .. } = row;
    Ok(Bar { bar, value, unit, target, peer: String::new(), peer_value: None, holds })
}

/// The bars of the table that `identify_bench` prints.
fn identification(table: &str) -> anyhow::Result<Vec<Bar>> {
    let rest = |label: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(label));
        line.map(str::trim).with_context(|| format!("identify_bench printed no `{label}`"))
    };
    let share = |label: &str| {
        let text = rest(label)?;
        let (some, all) = text.split_once(" of ").with_context(|| format!("`{label}` is `{text}`"))?;
        Ok::<_, anyhow::Error>(some.trim().parse::<f64>()? / all.trim().parse::<f64>()?)
    };
    let slowest = rest("seconds of a core a pattern")?;
    let slowest: f64 = slowest.rsplit(' ').next().unwrap_or_default().parse().context("no seconds")?;
    let (exact, flagged) = (share("exact sets")?, share("flagged with one CIF removed")?);
    let false_flags = share("false flags of unknown phase")?;
    let row = |bar: &str, value: f64, unit, target: &str, holds| Bar {
        bar: bar.to_owned(),
        value,
        unit,
        target: target.to_owned(),
        peer: String::new(),
        peer_value: None,
        holds,
    };
    Ok(vec![
        row("identification, share of exact sets", exact, "1", "at least 0.95", exact >= 0.95),
        row("identification, slowest pattern", 1e3 * slowest, "ms", "at most 1000 (dara 22 000)", slowest <= 1.0),
        row("one true CIF removed, share flagged", flagged, "1", "at least 0.95", flagged >= 0.95),
        row("unknown phase, false flags", false_flags, "1", "at most 0.05", false_flags <= 0.05),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_identification_is_understood() {
        let table = "patterns                       20\nexact sets                     19 of 20\n\
                     stated with 90 %               18, right 18\nfalse flags of unknown phase   2 of 20\n\
                     flagged with one CIF removed   45 of 46\n\
                     seconds of a core a pattern    mean 0.31, most 0.84\n";
        let bars = identification(table).unwrap();
        assert_eq!(bars.iter().map(|bar| bar.holds).collect::<Vec<_>>(), [true, true, true, false]);
        assert!((bars[1].value - 840.0).abs() < 1e-9);
        assert!(identification("nothing").is_err());
    }

    #[test]
    fn a_row_with_a_strange_unit_is_refused() {
        let row = |unit: &str| Row { bar: "x".into(), value: 1.0, unit: unit.into(), target: "y".into(), holds: true };
        assert!(bar(row("wt%")).is_ok() && bar(row("furlong")).is_err());
    }
}

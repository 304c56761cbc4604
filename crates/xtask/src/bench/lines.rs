//! Measuring programs that print one bar a line as JSON, and how their bars are read.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Bar, Bench};

/// A line of a measuring program.
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

/// Builds an example of a package, optimised, and says where it is.
pub(super) fn example(bench: &Bench<'_>, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", package, "--example", name])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the measuring program {name} does not build");
    Ok(bench.target.join("release/examples").join(name))
}

/// What a program prints on its standard output.
pub(super) fn output(mut command: Command, what: &str) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{what} did not run"))?;
    ensure!(output.status.success(), "{what}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The bars that a program prints.
pub(super) fn bars(command: Command, what: &str) -> anyhow::Result<Vec<Bar>> {
    output(command, what)?.lines().map(bar).collect()
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

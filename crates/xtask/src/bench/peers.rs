//! Peers that are Python packages: installed into a virtual environment below the build folder, run in the same
//! benchmark.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;

/// An interpreter that has these packages.
pub(super) fn python_with(bench: &Bench<'_>, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = bench.target.join("bench-peers").join("bluesky");
    let python = folder.join("bin/python");
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
        ensure!(made.context("python3 did not run")?.success(), "no virtual environment could be made");
    }
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .status()
        .context("pip did not run")?;
    ensure!(installed.success(), "pip could not install {}", packages.join(" "));
    Ok(python)
}

/// Runs a program and reads the JSON that it prints last.
pub(super) fn json_of(command: &mut Command) -> anyhow::Result<Value> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} did not run", command.get_program().display()))?;
    ensure!(output.status.success(), "{} ended with {}", command.get_program().display(), output.status);
    let text = String::from_utf8(output.stdout).context("the output is no text")?;
    let start = text.find(['{', '[']).context("the output holds no JSON")?;
    serde_json::from_str(&text[start..]).context("the output ends with something else than JSON")
}

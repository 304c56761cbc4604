//! The demo as a user runs it, only shorter: it ends by itself, says what it found, and leaves a record.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use ppu_tests::harness::executable;

#[test]
fn the_demo_ends_with_its_summary_as_json() -> anyhow::Result<()> {
    let folder = tempfile::TempDir::with_prefix("ppu-test-demo-")?;
    let output = Command::new(executable()?)
        .args(["demo", "--json", "--trials", "6", "--seed", "3", "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{error}", output.status);
    let summary: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("stdout is not one JSON object\n{error}"))?;
    ensure!(summary["trials"] == 6, "{summary}");
    ensure!(summary["seed"] == 3, "{summary}");
    ensure!(summary["processes"].as_u64().is_some_and(|count| count >= 10), "{summary}");
    for key in ["wall_s", "simulated_h"] {
        ensure!(summary[key].as_f64().is_some_and(|number| number > 0.0), "{key} in {summary}");
    }
    let measured = &summary["best"]["measured"]["band_gap"];
    ensure!(measured["value"].is_f64() && measured["sd"].as_f64().is_some_and(|sd| sd > 0.0), "{summary}");
    ensure!(folder.path().join("sim/world-ledger.jsonl").exists());
    ensure!(error.contains("http://127.0.0.1:"), "the console's address is printed");
    Ok(())
}

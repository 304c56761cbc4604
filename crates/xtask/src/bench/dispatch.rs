//! `cargo xtask bench dispatch`: what the stack adds to a step that does nothing, durable on both sides, and what an idle
//! lab holds in memory. The peer keeps everything in memory and forgets it when it dies.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Bar, Bench, peers};

/// Steps that are measured; a p99 then rests on twenty values.
const STEPS: usize = 2000;
/// A step must not be felt beside the seconds that instruments take.
const P50_MS: f64 = 2.0;
const P99_MS: f64 = 10.0;
/// An idle lab of ten processes then stays below 200 MB.
const SCHEDULER_MB: f64 = 40.0;
const DRIVER_MB: f64 = 15.0;
/// Idle time before memory is read.
const IDLE_S: &str = "30";
/// Bytes of a MiB in a MB.
const MB_IN_MIB: f64 = 1.048_576;

/// What the peer needs.
const PEER: [&str; 2] = ["bluesky==1.15.1", "ophyd==1.11.2"];
const PEER_STEPS: &str = include_str!("peers/bluesky_steps.py");

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    build(bench)?;
    let peer = if bench.arguments.peers { Some(bluesky(bench)?) } else { None };
    let mut bars = Vec::new();
    for command in ["queryable", "unqueryable"] {
        let found = measure(bench, &["dispatch", "--steps", &STEPS.to_string(), "--command", command])?;
        eprintln!("{command}: {found}");
        for (quantile, limit) in [("p50_ms", P50_MS), ("p99_ms", P99_MS)] {
            let value = found[quantile].as_f64().with_context(|| format!("no {quantile}"))?;
            let event = peer.as_ref().and_then(|peer| peer["event"][quantile].as_f64());
            bars.push(Bar {
                bar: format!("no-op step, {command}, durable on both sides, {}", &quantile[..3]),
                value,
                unit: "ms",
                target: format!("at most {limit}"),
                peer: "bluesky RunEngine, one event in memory".to_owned(),
                peer_value: event,
                holds: value <= limit,
            });
        }
    }
    let memory = measure(bench, &["memory", "--seconds", IDLE_S])?;
    bars.extend(memory_bars(&memory)?);
    Ok(bars)
}

/// Builds what is measured and what measures.
pub(super) fn build(bench: &Bench<'_>) -> anyhow::Result<()> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "ppu", "--package", "ppu-tests", "--bins"])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the executables do not build");
    Ok(())
}

/// Runs a task of the measuring program.
pub(super) fn measure(bench: &Bench<'_>, task: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(bench.target.join("release/bench-lab"));
    peers::json_of(command.args(task))
}

fn bluesky(bench: &Bench<'_>) -> anyhow::Result<Value> {
    let python = peers::python_with(bench, &PEER)?;
    let found = peers::json_of(Command::new(python).args(["-c", PEER_STEPS, &STEPS.to_string()]))?;
    eprintln!("bluesky RunEngine: {found}");
    Ok(found)
}

/// Twelve processes run one executable, whose pages are in memory once: so each is judged by what it adds, its own pages and
/// its share of the others. Resident memory counts the executable in full for each and is told beside it.
fn memory_bars(memory: &Value) -> anyhow::Result<Vec<Bar>> {
    let mut bars = Vec::new();
    for (field, how, is_judged) in
        [("proportional_mib", "own pages and share", true), ("resident_mib", "resident", false)]
    {
        let listed = memory[field].as_object().context("no memory was read")?;
        let mb = |mib: &Value| mib.as_f64().map(|mib| mib * MB_IN_MIB);
        let drivers = listed.iter().filter(|(name, _)| name.starts_with("driver-"));
        let largest = drivers.filter_map(|(_, mib)| mb(mib)).reduce(f64::max).context("no driver was seen")?;
        let scheduler = listed.get("scheduler").and_then(mb).context("no scheduler was seen")?;
        let bar = |what: &str, value: f64, limit: f64| Bar {
            bar: format!("idle memory of {what}, {how}"),
            value,
            unit: "MB",
            target: if is_judged { format!("at most {limit}") } else { "none".to_owned() },
            peer: String::new(),
            peer_value: None,
            holds: !is_judged || value <= limit,
        };
        bars.push(bar("the scheduler", scheduler, SCHEDULER_MB));
        bars.push(bar("the largest of eight drivers", largest, DRIVER_MB));
    }
    Ok(bars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_judged_by_the_largest_driver() {
        let sizes =
            serde_json::json!({ "scheduler": 30.0, "driver-arm": 9.0, "driver-pump": 15.0, "firmware-sim": 90.0 });
        let memory = serde_json::json!({ "resident_mib": sizes, "proportional_mib": sizes });
        let bars = memory_bars(&memory).unwrap();
        assert!(bars[0].holds && !bars[1].holds, "{bars:?}");
        assert!(bars[2..].iter().all(|bar| bar.holds), "{bars:?}");
        assert!((bars[1].value - 15.728_64).abs() < 1e-9);
        assert!(memory_bars(&serde_json::json!({})).is_err());
    }
}

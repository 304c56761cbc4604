//! `cargo xtask bench crash`: one dispense is asked for, and the process that carries it out is killed in the middle. How
//! often is it dispensed after the recovery that each system recommends?

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Bar, Bench, dispatch, peers};

/// What the peer needs beside Redis; its simulated profile asks for matplotlib without saying so.
const PEER: [&str; 4] = ["bluesky==1.15.1", "ophyd==1.11.2", "bluesky-queueserver==0.0.25", "matplotlib"];
const PEER_CRASH: &str = include_str!("peers/queueserver_crash.py");

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    dispatch::build(bench)?;
    let ours = dispatch::measure(bench, &["crash"])?;
    let peer = if bench.arguments.peers { Some(queueserver(bench)?) } else { None };
    let trials = ours.as_array().context("no trial was run")?;
    print(trials, peer.as_ref());
    bars(trials, peer.as_ref())
}

fn bars(trials: &[Value], peer: Option<&Value>) -> anyhow::Result<Vec<Bar>> {
    let bar = |trial: &Value| {
        let effects = trial["effects"].as_u64().context("a trial without count")?;
        let victim = trial["victim"].as_str().unwrap_or_default();
        let completed = trial["run"] == "RUN_STATE_COMPLETED";
        Ok(Bar {
            bar: format!("effects of one dispense, {victim} killed in its middle"),
            value: effects as f64,
            unit: "1",
            target: "exactly 1, and the run completes".to_owned(),
            peer: "bluesky-queueserver, worker killed in its middle".to_owned(),
            peer_value: peer.and_then(|peer| peer["effects"].as_f64()),
            holds: effects == 1 && completed,
        })
    };
    trials.iter().map(bar).collect()
}

fn queueserver(bench: &Bench<'_>) -> anyhow::Result<Value> {
    let Some(redis) = redis() else {
        bail!("bluesky-queueserver needs Redis, and there is no redis-server: apt-get install redis-server");
    };
    let python = peers::python_with(bench, &PEER)?;
    let programs = python.parent().context("an interpreter lies in a folder")?;
    let folder = bench.folder.join("queueserver");
    peers::json_of(Command::new(&python).args(["-c", PEER_CRASH]).arg(folder).arg(programs).arg(redis))
}

fn redis() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|path| Path::is_file(path))
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn print(trials: &[Value], peer: Option<&Value>) {
    println!("one dispense asked for, kill -9 three seconds after it began");
    for trial in trials {
        let asked =
            if trial["in_doubt"] == true { "the step was IN DOUBT, a person looked" } else { "went on by itself" };
        let victim = trial["victim"].as_str().unwrap_or_default();
        println!("  ppu, {victim:<28} dispensed {} time(s); {asked}", trial["effects"]);
    }
    if let Some(peer) = peer {
        let said = peer["said_20_s_after"].as_str().unwrap_or_default();
        println!(
            "  bluesky-queueserver, worker       dispensed {} time(s); 20 s later it said `{said}`",
            peer["effects"]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_effect_or_a_run_without_end_fails_the_bar() {
        let trial = |effects: u64, run: &str| serde_json::json!({"victim": "driver", "effects": effects, "run": run});
        let holds = |trial: Value| bars(&[trial], None).unwrap()[0].holds;
        assert!(holds(trial(1, "RUN_STATE_COMPLETED")));
        assert!(!holds(trial(2, "RUN_STATE_COMPLETED")));
        assert!(!holds(trial(1, "RUN_STATE_FAILED")));
        assert!(!holds(trial(0, "RUN_STATE_COMPLETED")));
    }
}

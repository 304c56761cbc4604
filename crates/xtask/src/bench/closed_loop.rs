//! `cargo xtask bench loop`: does the loop find better films than chance does, from the same seeds and the same budget?
//! Both strategies run on the same simulated lab, with the same hidden truth for each seed.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Bar, Bench};

/// The budget of the shipped campaign.
const TRIALS: u32 = 24;
/// Simulated seconds a second: about as fast as eight drivers on two cores follow.
const SPEED: u32 = 4000;

/// What both strategies reached from one seed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    seed: u64,
    optimizer: f64,
    random: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Bar>> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "ppu"])
        .current_dir(bench.root)
        .status()
        .context("cargo build did not run")?;
    ensure!(built.success(), "the executable does not build");
    let mut pairs = Vec::new();
    for seed in 1..=bench.arguments.seeds {
        let pair = Pair { seed, optimizer: best(bench, seed, "optimizer")?, random: best(bench, seed, "random")? };
        eprintln!("seed {seed}: optimizer {:.4}, random {:.4}", pair.optimizer, pair.random);
        pairs.push(pair);
    }
    print(&pairs);
    Ok(bars(&pairs))
}

/// The best score of one demo run.
fn best(bench: &Bench<'_>, seed: u64, strategy: &str) -> anyhow::Result<f64> {
    let folder = bench.folder.join(format!("{strategy}-{seed}"));
    let output = Command::new(bench.target.join("release/ppu"))
        .args(["demo", "--json", "--strategy", strategy])
        .args(["--seed", &seed.to_string(), "--trials", &TRIALS.to_string(), "--speed", &SPEED.to_string()])
        .arg("--data")
        .arg(&folder)
        .stdin(Stdio::null())
        .output()
        .context("ppu demo did not run")?;
    let last_words = || String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    ensure!(output.status.success(), "ppu demo, {strategy}, seed {seed}: {}; {}", output.status, last_words());
    let summary: Value = serde_json::from_slice(&output.stdout).context("ppu demo --json printed no JSON")?;
    best_score(&summary).with_context(|| format!("{strategy}, seed {seed}"))
}

/// The best of all scores; a run must have ended every trial, or it would be compared with a smaller budget.
fn best_score(summary: &Value) -> anyhow::Result<f64> {
    let scores = summary["scores"].as_array().context("the summary has no scores")?;
    ensure!(scores.len() == TRIALS as usize, "{} of {TRIALS} trials ended", scores.len());
    let best = scores.iter().filter_map(Value::as_f64).reduce(f64::max);
    best.context("no trial has a score")
}

fn bars(pairs: &[Pair]) -> Vec<Bar> {
    let optimizer = quantile(pairs.iter().map(|pair| pair.optimizer), 0.5);
    let random = quantile(pairs.iter().map(|pair| pair.random), 0.5);
    let wins = pairs.iter().filter(|pair| pair.optimizer >= pair.random).count() as f64;
    let share = wins / pairs.len() as f64;
    let peer = "random proposals, same run";
    vec![
        Bar {
            bar: format!("median best score after {TRIALS} trials, {} seeds", pairs.len()),
            value: optimizer,
            unit: "1",
            target: "above the median of random proposals".to_owned(),
            peer: peer.to_owned(),
            peer_value: Some(random),
            holds: optimizer > random,
        },
        Bar {
            bar: "share of seeds where the optimizer is at least as good as random proposals".to_owned(),
            value: share,
            unit: "1",
            target: "above 0.5, what chance would give".to_owned(),
            peer: peer.to_owned(),
            peer_value: None,
            holds: share > 0.5,
        },
    ]
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996); `NaN` of nothing.
fn quantile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn print(pairs: &[Pair]) {
    println!("{:<14} {:>10} {:>10}", "best score", "optimizer", "random");
    for pair in pairs {
        println!("{:<14} {:>10.4} {:>10.4}", format!("  seed {}", pair.seed), pair.optimizer, pair.random);
    }
    for (name, q) in [("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75)] {
        let optimizer = quantile(pairs.iter().map(|pair| pair.optimizer), q);
        let random = quantile(pairs.iter().map(|pair| pair.random), q);
        println!("{name:<14} {optimizer:>10.4} {random:>10.4}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(values.into_iter(), 0.5), 2.5);
        assert_eq!(quantile(values.into_iter(), 0.25), 1.75);
        assert!(quantile(std::iter::empty(), 0.5).is_nan());
    }

    #[test]
    fn a_run_that_did_not_spend_its_budget_is_not_compared() {
        let mut scores = vec![serde_json::json!(0.25); 23];
        assert!(best_score(&serde_json::json!({ "scores": scores })).is_err());
        scores.push(Value::Null);
        assert_eq!(best_score(&serde_json::json!({ "scores": scores })).unwrap(), 0.25);
    }

    #[test]
    fn a_bar_that_is_missed_says_so() {
        let pairs = [Pair { seed: 1, optimizer: 0.5, random: 0.75 }, Pair { seed: 2, optimizer: 0.5, random: 0.25 }];
        let bars = bars(&pairs);
        assert!(!bars[0].holds && !bars[1].holds, "{bars:?}");
        assert_eq!(bars[0].peer_value, Some(0.5));
    }
}

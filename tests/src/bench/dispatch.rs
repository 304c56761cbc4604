//! From intent to durable outcome: how long a step takes that does nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use ppu_proto::lab::v1 as wire;
use serde_json::json;

use super::{BenchLab, quantile};

/// Steps of one plan: about those of a film's path through the lab.
const STEPS_A_RUN: usize = 25;
/// A run that takes longer than this has got stuck.
const RUN_WITHIN: Duration = Duration::from_secs(60);

/// Steps one after the other, in plans of 25, with the action class that the command declares. The duration of a step is
/// the time between the durable outcomes of two steps that follow each other, as a client of the public API sees them: so
/// it holds the intent, both sides' commits, both messages and the outcome. The first step of each plan counts from its
/// intent.
///
/// # Errors
/// When the lab does not come up, or a run does not complete.
pub async fn run(steps: usize, command: &str) -> anyhow::Result<serde_json::Value> {
    let lab = BenchLab::start(&["noop"]).await?;
    let protocol = protocol(command);
    let mut client = lab.client().await?;
    let from = client.get_lab(wire::GetLabRequest {}).await?.into_inner().seq;
    let mut events = client.watch(wire::WatchRequest { after_seq: from }).await?.into_inner();
    let mut steps_ms: Vec<f64> = Vec::new();
    let mut by_journal: BTreeMap<&str, f64> = BTreeMap::new();
    // The first plan warms up connections, caches and the allocator.
    for number in 0..=steps.div_ceil(STEPS_A_RUN) {
        let run = lab.submit(&protocol, &format!("bench {number}")).await?;
        let mut last: Option<Instant> = None;
        let (mut first_ms, mut last_ms) = (0, 0);
        loop {
            let event = tokio::time::timeout(RUN_WITHIN, events.message()).await.context("the run got stuck")??;
            let event = event.context("the scheduler ended the stream")?;
            if event.run != run {
                continue;
            }
            match event.kind.as_str() {
                "step_intended" if last.is_none() => {
                    (last, first_ms) = (Some(Instant::now()), event.time_ms);
                }
                "step_ended" => {
                    let now = Instant::now();
                    if number > 0
                        && let Some(before) = last
                    {
                        steps_ms.push((now - before).as_secs_f64() * 1000.0);
                    }
                    (last, last_ms) = (Some(now), event.time_ms);
                }
                "run_completed" => break,
                "run_failed" => bail!("{run} failed: {}", event.text),
                _ => {}
            }
        }
        if number > 0 {
            *by_journal.entry("ms").or_default() += (last_ms - first_ms) as f64;
            *by_journal.entry("steps").or_default() += STEPS_A_RUN as f64;
        }
    }
    ensure!(steps_ms.len() >= steps, "{} of {steps} steps were measured", steps_ms.len());
    steps_ms.sort_by(f64::total_cmp);
    Ok(json!({
        "command": command,
        "steps": steps_ms.len(),
        "p50_ms": quantile(&steps_ms, 0.5),
        "p90_ms": quantile(&steps_ms, 0.9),
        "p99_ms": quantile(&steps_ms, 0.99),
        "max_ms": quantile(&steps_ms, 1.0),
        "mean_ms": steps_ms.iter().sum::<f64>() / steps_ms.len() as f64,
        // The journal's own labels, in whole milliseconds, as a check on the client's clock.
        "mean_ms_by_journal": by_journal["ms"] / by_journal["steps"],
    }))
}

fn protocol(command: &str) -> String {
    let mut text = "version = 1\nprotocol = \"noop\"\ntitle = \"Nothing, one after the other\"\n".to_owned();
    for number in 1..=STEPS_A_RUN {
        text.push_str(&format!("\n[[step]]\nname = \"s{number}\"\ncommand = \"bench.{command}\"\n"));
    }
    text
}

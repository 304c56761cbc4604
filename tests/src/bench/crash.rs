//! The crash that makes peers dispense twice, done to ours: kill -9 in the middle of a dispense that nobody can ask about.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ppu_proto::device::v1::{Resolution, Verdict};
use ppu_proto::lab::v1 as wire;
use serde_json::json;

use super::BenchLab;
use crate::harness::wait_until;

/// The dispenser is busy for this long; the fault comes after `FAULT_AFTER`.
pub const BUSY: Duration = Duration::from_secs(8);
/// As in the peers' trial: the effect is there, its end is not.
const FAULT_AFTER: Duration = Duration::from_secs(3);
/// A run that neither ends nor asks within this time has got stuck.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// One dispense.
const PROTOCOL: &str = "version = 1\nprotocol = \"dispense\"\ntitle = \"One dispense\"\n\n\
                        [[step]]\nname = \"dispense\"\ncommand = \"bench.dispense\"\n";

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The driver, which talks to the dispenser.
    Driver,
    /// The scheduler.
    Scheduler,
}

/// One dispense, one kill -9 in its middle, and the recovery that is recommended: wait until the run ends or asks; where
/// it asks, a person looks at the table (the file) and says what is there.
///
/// # Errors
/// When the lab does not come up, or the run neither ends nor asks.
pub async fn run(victim: Victim) -> anyhow::Result<serde_json::Value> {
    let effects = tempfile::NamedTempFile::with_prefix("ppu-bench-effects-")?;
    let file = effects.path().to_str().context("the temporary folder has a strange name")?.to_owned();
    let mut lab = BenchLab::start(&["dispenser", &file]).await?;
    let run = lab.submit(PROTOCOL, "crash").await?;
    wait_until("the effect", SETTLED_WITHIN, async || (count(effects.path()) > 0).then_some(())).await?;
    tokio::time::sleep(FAULT_AFTER).await;
    match victim {
        Victim::Driver => lab.kill_driver()?,
        Victim::Scheduler => lab.kill_scheduler()?,
    }
    let said = wait_until("the run ended or asks", SETTLED_WITHIN, async || {
        let state = run_state(&lab, &run).await.ok()?;
        let asks = state.steps.iter().any(|step| step.state() == wire::StepState::InDoubt);
        (asks || is_over(&state)).then_some(state)
    })
    .await?;
    let asked = !is_over(&said);
    let mut ended = said;
    if asked {
        resolve(&lab, count(effects.path())).await?;
        ended = wait_until("the run ended", SETTLED_WITHIN, async || run_state(&lab, &run).await.ok().filter(is_over))
            .await?;
    }
    Ok(json!({
        "victim": format!("{victim:?}").to_lowercase(),
        "in_doubt": asked,
        "run": ended.state().as_str_name(),
        "effects": count(effects.path()),
    }))
}

/// Lines in the file: how often it was dispensed.
fn count(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

fn is_over(run: &wire::Run) -> bool {
    matches!(run.state(), wire::RunState::Completed | wire::RunState::Failed | wire::RunState::Aborted)
}

async fn run_state(lab: &BenchLab, run: &str) -> anyhow::Result<wire::Run> {
    let request = wire::GetRunRequest { run: run.to_owned() };
    lab.client().await?.get_run(request).await?.into_inner().run.context("no run in the answer")
}

async fn resolve(lab: &BenchLab, found: usize) -> anyhow::Result<()> {
    let mut client = lab.client().await?;
    let state = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
    let doubt = state.doubts.first().context("a step is in doubt, and the lab lists none")?;
    ensure!(found <= 1, "dispensed {found} times before anybody decided");
    let verdict = if found == 1 { Verdict::Done } else { Verdict::NotDone };
    let resolution = Resolution {
        who: "bench".to_owned(),
        inspected: "the file that stands for the table".to_owned(),
        evidence: Vec::new(),
        note: format!("{found} line(s)"),
        ..Default::default()
    };
    let request = wire::ResolveDoubtRequest {
        key: doubt.key.clone(),
        verdict: verdict.into(),
        resolution: Some(resolution),
        sample_position: String::new(),
        ..Default::default()
    };
    client.resolve_doubt(request).await?;
    Ok(())
}

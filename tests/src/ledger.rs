//! The ledger of the simulated world: what physically happened, whatever any process believes. The judge of "no action
//! lost, none repeated".

mod audit;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use ppu_proto::lab::v1 as wire;

pub use audit::{Audit, Execution, audit};

use crate::harness::RunningLab;

/// One line of the ledger.
pub type Line = serde_json::Map<String, serde_json::Value>;

/// All lines but the header.
pub fn lines(lab: &Path) -> anyhow::Result<Vec<Line>> {
    let path = lab.join("sim/world-ledger.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // The last line may still be in the writing.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().skip(1).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Checks that every step that is done was executed exactly once, and that nothing else was.
pub async fn exactly_once(lab: &RunningLab, runs: &[String]) -> anyhow::Result<Audit> {
    let mut known = Vec::new();
    for id in runs {
        known.push(lab.run(id).await?);
    }
    let audit = audit(&lines(lab.path())?, &known)?;
    ensure!(!audit.checked.is_empty(), "no step was done: the check would prove nothing");
    let wrong = audit.violations();
    if !wrong.is_empty() {
        bail!("{} action(s) were lost or repeated:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    Ok(audit)
}

/// Runs of a campaign.
pub fn runs_of(campaign: &wire::Campaign) -> Vec<String> {
    campaign.trials.iter().map(|trial| trial.run.clone()).filter(|run| !run.is_empty()).collect()
}

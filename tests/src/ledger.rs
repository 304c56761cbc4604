//! The ledger of the simulated world: what physically happened, whatever any process believes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use ppu_proto::lab::v1 as wire;
use ppu_proto::plan::v1::step::Action;

use crate::harness::RunningLab;

/// The physical actions that must happen exactly once a step: (capability and command of the step, actions in the ledger).
const ONCE: [(&str, &[&str]); 5] = [
    ("liquid_handling.aspirate", &["aspirate"]),
    ("liquid_handling.dispense", &["dispense"]),
    ("transfer.move", &["pick", "place"]),
    ("annealing.anneal", &["heat_start"]),
    ("diffraction.scan", &["diffract"]),
];

/// One line of the ledger.
pub type Line = serde_json::Map<String, serde_json::Value>;

/// All lines but the header.
pub fn lines(lab: &Path) -> anyhow::Result<Vec<Line>> {
    let path = lab.join("sim/world-ledger.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().skip(1).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Checks that every step that is done was executed exactly once, and that nothing else was.
pub async fn exactly_once(lab: &RunningLab, runs: &[String]) -> anyhow::Result<()> {
    let mut steps: BTreeMap<(String, String), usize> = BTreeMap::new();
    for id in runs {
        let run = lab.run(id).await?;
        let plan = run.plan.as_ref().context("the run has no plan")?;
        for (planned, step) in plan.steps.iter().zip(&run.steps) {
            // A sample that stood at its destination already was not moved, by no device.
            if step.state() != wire::StepState::Done || step.device.is_empty() {
                continue;
            }
            let command = match &planned.action {
                Some(Action::Command(command)) => format!("{}.{}", command.capability, command.command),
                _ => "transfer.move".to_owned(),
            };
            *steps.entry((step.device.clone(), command)).or_default() += 1;
        }
    }
    let lines = lines(lab.path())?;
    let count = |device: &str, action: &str| {
        lines.iter().filter(|line| line["device"] == device && line["action"] == action).count()
    };
    for (command, actions) in ONCE {
        let devices: Vec<_> = steps.iter().filter(|((_, known), _)| known == command).collect();
        ensure!(!devices.is_empty(), "no step {command} was done: the check would prove nothing");
        for ((device, _), done) in devices {
            for action in actions {
                let executed = count(device, action);
                ensure!(
                    executed == *done,
                    "{device}: {done} steps {command} are done, the world saw {executed} × {action}"
                );
            }
        }
    }
    Ok(())
}

/// Runs of a campaign.
pub fn runs_of(campaign: &wire::Campaign) -> Vec<String> {
    campaign.trials.iter().map(|trial| trial.run.clone()).filter(|run| !run.is_empty()).collect()
}

//! Late and garbled replies on every transport, injected while a campaign runs: a value is never wrong. What cannot be
//! known is asked again where that is safe, or in doubt.

use std::time::Duration;

use anyhow::ensure;
use ppu_proto::common::v1::value::Kind;
use ppu_proto::lab::v1 as wire;
use ppu_tests::harness::{RunningLab, wait_until};
use ppu_tests::ledger;

/// Faults by device: each transport gets a late reply and garbled ones of its kind.
const FAULTS: [(&str, &[&str]); 8] = [
    ("pump", &["late_reply", "bad_checksum", "lost_reply"]),
    ("mixer", &["late_reply", "garbage_prefix", "silent_write_ignored"]),
    ("balance", &["late_reply", "truncated_reply", "garbage_prefix"]),
    ("furnace_a", &["late_reply", "bit_flip", "exception_reply"]),
    ("furnace_b", &["late_reply", "bit_flip", "wrong_slave", "short_count"]),
    ("arm", &["late_reply", "split_write", "joined_replies"]),
    ("aeris", &["late_reply", "split_write", "result_file_late"]),
    ("spectrometer", &["late_reply", "bit_flip", "truncated_reply"]),
];

/// Looks at the lab between two faults.
const LOOKS_A_FAULT: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn late_and_garbled_replies_never_yield_a_wrong_value() -> anyhow::Result<()> {
    let lab = RunningLab::start(300.0, 5).await?;
    lab.check(async |lab| {
        let campaign = lab.campaign(3, "random", 9).await?;
        let (mut armed, mut looks) = (0usize, 0usize);
        // One device after the other gets one fault, a few a second over the lab, until the campaign has ended or waits
        // for a person. More than that is no line any more but an absent one, and nothing would ever be measured.
        let settled = wait_until("the campaign ended or is in doubt", Duration::from_secs(240), async || {
            let state = lab.state().await.ok()?;
            let campaign = state.campaigns.first()?;
            let over = campaign.state() == wire::CampaignState::Completed;
            let all_held = !state.active_runs.is_empty()
                && state
                    .active_runs
                    .iter()
                    .all(|run| run.state() == wire::RunState::Held || run.state() == wire::RunState::Queued);
            if over || (all_held && !state.doubts.is_empty()) {
                return Some(state);
            }
            looks += 1;
            if !looks.is_multiple_of(LOOKS_A_FAULT) {
                return None;
            }
            let (device, names) = FAULTS[armed % FAULTS.len()];
            let name = names[armed / FAULTS.len() % names.len()];
            if lab.fault(device, name, &["--count", "1", "--delay-ms", "700"]).is_ok() {
                armed += 1;
            }
            None
        })
        .await?;
        ensure!(
            armed > 2 * FAULTS.len(),
            "only {armed} faults were armed: the campaign was over too soon to prove anything"
        );
        let campaign = lab.campaign_state(&campaign).await?;
        let values = masses_are_true(lab, &campaign).await?;
        eprintln!(
            "{armed} faults armed; {} trials ended, {} failed, {} steps in doubt; {values} weighings checked",
            campaign.completed,
            campaign.failed,
            settled.doubts.len()
        );
        for trial in campaign.trials.iter().filter(|trial| !trial.failure.is_empty()) {
            eprintln!("{}: {}", trial.id, trial.failure);
        }
        Ok(())
    })
    .await
}

/// Every mass that the lab believes is a mass that the balance really had on it, within its noise.
async fn masses_are_true(lab: &RunningLab, campaign: &wire::Campaign) -> anyhow::Result<usize> {
    let readings: Vec<f64> = ledger::lines(lab.path())?
        .iter()
        .filter(|line| line["device"] == "balance" && line["action"] == "weigh")
        .filter_map(|line| line["realised"]["reading_g"].as_f64())
        .map(|grams| grams * 1000.0)
        .collect();
    let mut checked = 0;
    for id in ledger::runs_of(campaign) {
        for step in lab.run(&id).await?.steps {
            for result in step.results.iter().filter(|result| result.name == "mass") {
                let Some(Kind::Quantity(mass)) = result.value.as_ref().and_then(|value| value.kind.as_ref()) else {
                    anyhow::bail!("{}: the mass is no quantity", step.name)
                };
                let near = readings.iter().any(|reading| (reading - mass.value).abs() < 1.0);
                ensure!(near, "{id}/{}: {} mg is a mass that the balance never had", step.name, mass.value);
                checked += 1;
            }
        }
    }
    Ok(checked)
}

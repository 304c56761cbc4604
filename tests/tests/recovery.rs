//! What a lab does when its memory fails: a driver's ledger that is lost or came from a backup, a disk that is full.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ppu_proto::device::v1::{Resolution, Verdict};
use ppu_proto::lab::v1 as wire;
use ppu_tests::harness::{LabOptions, RunningLab, copy_folder, wait_until};
use ppu_tests::ledger;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Bound of every wait: a trial takes seconds at these speeds.
const SOON: Duration = Duration::from_secs(120);
/// A device whose programme goes on without anybody, and takes its time.
const FURNACES: [&str; 2] = ["furnace_a", "furnace_b"];

fn options(seed: u64) -> LabOptions {
    LabOptions { instruments_outlive: true, ..LabOptions::new(600.0, seed) }
}

/// Where a driver keeps its ledger.
fn ledger_of(lab: &RunningLab, device: &str) -> PathBuf {
    lab.path().join("drivers").join(device).join("ledger")
}

/// How often the world saw this device begin a programme.
fn heat_starts(lab: &RunningLab, device: &str) -> usize {
    let lines = ledger::lines(lab.path()).unwrap_or_default();
    lines.iter().filter(|line| line["device"] == device && line["action"] == "heat_start").count()
}

fn heat_ends(lab: &RunningLab, device: &str) -> usize {
    let lines = ledger::lines(lab.path()).unwrap_or_default();
    lines.iter().filter(|line| line["device"] == device && line["action"] == "heat_end").count()
}

/// Waits until a furnace anneals and the lab knows that its driver has promised it.
async fn annealing(lab: &RunningLab, campaign: &str) -> anyhow::Result<&'static str> {
    wait_until("a furnace anneals", SOON, async || {
        let campaign = lab.campaign_state(campaign).await.ok()?;
        for run in ledger::runs_of(&campaign) {
            let run = lab.run(&run).await.ok()?;
            let step = run.steps.iter().find(|step| step.name == "anneal")?;
            let device = FURNACES.into_iter().find(|furnace| *furnace == step.device);
            if step.state() == wire::StepState::Running
                && let Some(device) = device
                && heat_starts(lab, device) > heat_ends(lab, device)
            {
                return Some(device);
            }
        }
        None
    })
    .await
}

/// After the memory of a driver was tampered with: what it was doing is in doubt, nothing is repeated, and a person who
/// looks at the furnace lets the lab go on.
async fn doubted_and_resolved(lab: &mut RunningLab, device: &str, campaign: &str) -> anyhow::Result<()> {
    let before = heat_starts(lab, device);
    lab.power_on().await?;
    let doubt = wait_until("the programme is in doubt", SOON, async || {
        let state = lab.state().await.ok()?;
        state.doubts.into_iter().find(|doubt| doubt.device == device)
    })
    .await?;
    // The lab goes on around the doubt; the programme ends by itself, and nobody begins it again.
    wait_until("the programme ended", SOON, async || (heat_ends(lab, device) >= before).then_some(())).await?;
    ensure!(heat_starts(lab, device) == before, "{device} was started again");
    let key = doubt.key.context("a doubt has no key")?;
    let resolution = Resolution {
        who: "test".to_owned(),
        inspected: format!("{device}: the programmer shows the end of its programme"),
        evidence: Vec::new(),
        note: String::new(),
        ..Default::default()
    };
    let request = wire::ResolveDoubtRequest {
        key: Some(key),
        verdict: Verdict::Done.into(),
        resolution: Some(resolution),
        sample_position: String::new(),
        ..Default::default()
    };
    lab.client().await?.resolve_doubt(request).await?;
    let ended = lab.trials_ended(campaign, 2, SOON).await?;
    ensure!(ended.state() == wire::CampaignState::Completed, "{:?}", ended.state());
    ledger::exactly_once(lab, &ledger::runs_of(&ended)).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_lost_puts_its_open_keys_in_doubt() -> anyhow::Result<()> {
    let lab = RunningLab::start_with(options(21)).await?;
    lab.check(async |lab| {
        let campaign = lab.campaign(2, "random", 4).await?;
        let device = annealing(lab, &campaign).await?;
        lab.lose_power()?;
        std::fs::remove_dir_all(ledger_of(lab, device))?;
        doubted_and_resolved(lab, device, &campaign).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_from_a_backup_puts_its_open_keys_in_doubt() -> anyhow::Result<()> {
    let lab = RunningLab::start_with(options(22)).await?;
    lab.check(async |lab| {
        // The backup is from before the first command.
        let backup = lab.path().join("backup");
        for device in FURNACES {
            copy_folder(&ledger_of(lab, device), &backup.join(device))?;
        }
        let campaign = lab.campaign(2, "random", 5).await?;
        let device = annealing(lab, &campaign).await?;
        lab.lose_power()?;
        std::fs::remove_dir_all(ledger_of(lab, device))?;
        copy_folder(&backup.join(device), &ledger_of(lab, device))?;
        doubted_and_resolved(lab, device, &campaign).await
    })
    .await
}

/// Makes every write beyond the first 4 KiB of a file fail, for a process and those that it starts from now on: a
/// journal is longer, the list of processes by which `ppu up` tells what stays down is not.
fn fill_disk(process: u32, full: bool) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(process)?).context("0 is no process")?;
    let current = if full { Some(4096) } else { None };
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum })?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_scheduler_which_stays_down_and_loses_nothing() -> anyhow::Result<()> {
    let lab = RunningLab::start_with(options(23)).await?;
    lab.check(async |lab| {
        let campaign = lab.campaign(2, "random", 6).await?;
        annealing(lab, &campaign).await?;
        // What `ppu up` starts from now on finds the disk full, and so does the scheduler that runs.
        let scheduler = lab.pid("scheduler").context("no scheduler")?;
        fill_disk(lab.up_id(), true)?;
        fill_disk(scheduler, true)?;
        let down = wait_until("the scheduler stays down", SOON, async || {
            lab.processes()["down"]["scheduler"].as_str().map(str::to_owned)
        })
        .await?;
        ensure!(down.contains("exit status: 74"), "it ended otherwise: {down}");
        ensure!(lab.processes()["restarts"]["scheduler"] == 5, "{}", lab.processes());
        // A person makes room and starts the lab again.
        fill_disk(lab.up_id(), false)?;
        lab.shut_down()?;
        lab.power_on().await?;
        let ended = lab.trials_ended(&campaign, 2, SOON).await?;
        ensure!(ended.state() == wire::CampaignState::Completed, "{:?}", ended.state());
        let failures: Vec<_> = ended.trials.iter().map(|trial| &trial.failure).filter(|why| !why.is_empty()).collect();
        ensure!(failures.is_empty(), "{failures:?}");
        ledger::exactly_once(lab, &ledger::runs_of(&ended)).await.map(|_| ())
    })
    .await
}

//! Two schedulers on one lab: the journal has one writer, and a scheduler that was stopped while another one took over
//! commands nothing any more when it wakes up (REL-2, row 13).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ppu_proto::device::v1::DeviceState;
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use ppu_tests::harness::{RunningLab, copy_folder, executable, root, wait_until};
use ppu_tests::ledger;
use ppu_tests::process::Process;

const SOON: Duration = Duration::from_secs(90);
/// How long the first scheduler is stopped at least.
const STOPPED_FOR: Duration = Duration::from_secs(10);

/// A scheduler beside the lab's own, on a data folder.
fn scheduler(lab: &RunningLab, data: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(lab.path().join("standby.log"))?;
    let mut command = Command::new(executable()?);
    command.args(["scheduler", "--listen", "127.0.0.1:0", "--clock-rate", "300", "--lab"]);
    command.arg(root().join("config/labs/demo.toml")).arg("--data").arg(data);
    command.arg("--drivers").arg(lab.path().join("drivers"));
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)
}

async fn state(address: &str) -> Option<wire::GetLabResponse> {
    let mut client = LabServiceClient::connect(format!("http://{address}")).await.ok()?;
    Some(client.get_lab(wire::GetLabRequest {}).await.ok()?.into_inner())
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_has_one_writer() -> anyhow::Result<()> {
    let lab = RunningLab::start(300.0, 23).await?;
    lab.check(async |lab| {
        let mut second = Ended(scheduler(lab, &lab.path().join("scheduler"))?);
        let code =
            wait_until("the second scheduler gave up", SOON, async || second.0.try_wait().ok().flatten()).await?;
        ensure!(!code.success(), "two schedulers hold one journal");
        ensure!(std::fs::read_to_string(lab.path().join("standby.log"))?.contains("lock"), "it says why");
        let state = lab.state().await?;
        ensure!(state.devices.iter().all(|device| device.problem.is_empty()), "the first one goes on");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_was_stopped_while_another_took_over_starts_nothing() -> anyhow::Result<()> {
    let lab = RunningLab::start(300.0, 29).await?;
    lab.check(async |lab| {
        let campaign = lab.campaign(3, "random", 5).await?;
        lab.trials_ended(&campaign, 1, SOON).await?;
        let first = lab.pid("scheduler").and_then(Process::find).context("no scheduler runs")?;
        ensure!(first.pause(), "the scheduler cannot be stopped");
        let stopped = Instant::now();
        let data = lab.path().join("standby");
        copy_folder(&lab.path().join("scheduler"), &data)?;
        std::fs::remove_file(data.join("endpoint.json"))?;
        let _standby = Ended(scheduler(lab, &data)?);
        let address = wait_until("the standby serves", SOON, async || {
            let text = std::fs::read(data.join("endpoint.json")).ok()?;
            let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
            Some(json["grpc"].as_str()?.to_owned())
        })
        .await?;
        let ended = wait_until("the standby finished the campaign", 2 * SOON, async || {
            let state = state(&address).await?;
            let over = state.campaigns.first()?.state() == wire::CampaignState::Completed;
            (over && stopped.elapsed() >= STOPPED_FOR).then(|| state.campaigns.into_iter().next())?
        })
        .await?;
        ensure!(first.resume(), "the first scheduler is gone");
        let woken = wait_until("the first scheduler found out", SOON, async || {
            let state = lab.state().await.ok()?;
            let fenced = |device: &wire::Device| device.problem.contains("newer scheduler");
            state.devices.iter().all(fenced).then_some(state)
        })
        .await?;
        ensure!(woken.devices.iter().all(|device| device.state() == DeviceState::Unreachable), "{woken:?}");
        // What was done is in the journal of the standby; the first scheduler does not know it.
        let mut client = LabServiceClient::connect(format!("http://{address}")).await?;
        let mut runs = Vec::new();
        for run in ledger::runs_of(&ended) {
            runs.extend(client.get_run(wire::GetRunRequest { run }).await?.into_inner().run);
        }
        let audit = ledger::audit(&ledger::lines(lab.path())?, &runs)?;
        ensure!(!audit.checked.is_empty() && audit.violations().is_empty(), "{:?}", audit.violations());
        let still = state(&address).await.context("the standby is gone")?;
        ensure!(still.devices.iter().all(|device| device.problem.is_empty()), "the standby still commands");
        Ok(())
    })
    .await
}

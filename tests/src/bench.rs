//! Measurements on real processes: a scheduler as it ships, and a driver with an instrument that does next to nothing, so
//! that what is measured is the stack.

pub mod crash;
pub mod dispatch;
pub mod instruments;
pub mod memory;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::harness::{executable, wait_until};
use crate::process::Process;
use crate::torture::operator;

/// How long a process may take to be there.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// The one device.
pub(crate) const DEVICE: &str = "bench";
/// The lab file: one device, whose driver is this program.
const LAB: &str = "version = 1\nlab = \"bench\"\ntitle = \"One device that does next to nothing\"\n\n\
                   [[device]]\nid = \"bench\"\ninstrument = \"bench\"\nconnect = \"tcp:127.0.0.1:1\"\n";

/// A scheduler and one driver, each a process.
pub(crate) struct BenchLab {
    folder: TempDir,
    instrument: Vec<String>,
    scheduler: Child,
    driver: Child,
}

impl BenchLab {
    /// Starts both, the driver with this instrument (a subcommand of this program), and waits until it is attached.
    pub(crate) async fn start(instrument: &[&str]) -> anyhow::Result<BenchLab> {
        let folder = TempDir::with_prefix("ppu-bench-")?;
        std::fs::write(folder.path().join("lab.toml"), LAB)?;
        let instrument: Vec<String> = instrument.iter().map(|word| (*word).to_owned()).collect();
        let driver = spawn_driver(folder.path(), &instrument)?;
        let scheduler = spawn_scheduler(folder.path())?;
        let lab = BenchLab { folder, instrument, scheduler, driver };
        lab.wait_until_attached().await?;
        Ok(lab)
    }

    /// Waits until the driver is attached to the scheduler that runs now.
    pub(crate) async fn wait_until_attached(&self) -> anyhow::Result<()> {
        let attached = wait_until("the driver attached", UP_WITHIN, async || {
            let json = std::fs::read(self.path().join("scheduler/endpoint.json")).ok()?;
            let json: serde_json::Value = serde_json::from_slice(&json).ok()?;
            (json["pid"].as_u64() == Some(u64::from(self.scheduler.id()))).then_some(())?;
            let mut client = self.client().await.ok()?;
            let lab = client.get_lab(wire::GetLabRequest {}).await.ok()?.into_inner();
            let device = lab.devices.first()?;
            (device.problem.is_empty() && device.manifest.is_some()).then_some(())
        });
        attached.await.with_context(|| self.last_words())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn client(&self) -> anyhow::Result<LabServiceClient<Channel>> {
        operator::client(self.path()).await
    }

    /// kill -9 of the driver, and a new one.
    pub(crate) fn kill_driver(&mut self) -> anyhow::Result<()> {
        strike(&mut self.driver)?;
        self.driver = spawn_driver(self.folder.path(), &self.instrument)?;
        Ok(())
    }

    /// kill -9 of the scheduler, and a new one.
    pub(crate) fn kill_scheduler(&mut self) -> anyhow::Result<()> {
        strike(&mut self.scheduler)?;
        self.scheduler = spawn_scheduler(self.folder.path())?;
        Ok(())
    }

    /// Submits a protocol; the id of its run.
    pub(crate) async fn submit(&self, protocol: &str, request_id: &str) -> anyhow::Result<String> {
        let request = wire::SubmitPlanRequest {
            protocol_toml: protocol.to_owned(),
            file: "bench.toml".to_owned(),
            parameters: Vec::new(),
            request_id: request_id.to_owned(),
        };
        Ok(self.client().await?.submit_plan(request).await?.into_inner().run)
    }

    fn last_words(&self) -> String {
        let words = |name: &str| {
            let text = std::fs::read_to_string(self.path().join(name)).unwrap_or_default();
            let last: Vec<_> = text.lines().rev().take(3).map(str::to_owned).collect();
            format!("{name}: {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "))
        };
        format!("{}; {}", words("scheduler.log"), words("driver.log"))
    }
}

impl Drop for BenchLab {
    fn drop(&mut self) {
        for child in [&mut self.driver, &mut self.scheduler] {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn strike(child: &mut Child) -> anyhow::Result<()> {
    let process = Process::find(child.id()).context("the process ended by itself")?;
    ensure!(process.kill()?, "the process ended before it was killed");
    child.wait()?;
    Ok(())
}

fn log(folder: &Path, name: &str) -> anyhow::Result<std::fs::File> {
    Ok(std::fs::File::options().create(true).append(true).open(folder.join(name))?)
}

fn spawn_scheduler(folder: &Path) -> anyhow::Result<Child> {
    let child = Command::new(executable()?)
        .args(["scheduler", "--listen", "127.0.0.1:0", "--lab"])
        .arg(folder.join("lab.toml"))
        .arg("--data")
        .arg(folder.join("scheduler"))
        .arg("--drivers")
        .arg(folder.join("drivers"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log(folder, "scheduler.log")?)
        .spawn()?;
    Ok(child)
}

fn spawn_driver(folder: &Path, instrument: &[String]) -> anyhow::Result<Child> {
    let child = Command::new(std::env::current_exe()?)
        .arg("driver")
        .arg("--data")
        .arg(folder.join("drivers").join(DEVICE))
        .args(instrument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log(folder, "driver.log")?)
        .spawn()?;
    Ok(child)
}

/// Quantile of sorted values by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996).
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

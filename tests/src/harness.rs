//! A lab brought up by `ppu up`, and what tests do to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

/// How long a lab may take to come up on a loaded machine.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks while waiting for a level.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The executable under test.
pub fn executable() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PPU_EXECUTABLE") {
        return Ok(path.into());
    }
    // target/debug/deps/<test> → target/debug/ppu
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).context("the test has no build folder")?.join("ppu");
    ensure!(path.exists(), "{} is not there: run `cargo build -p ppu`, or use `cargo xtask test`", path.display());
    Ok(path)
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository").to_owned()
}

/// Waits for a level with a bound.
pub async fn wait_until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(began.elapsed() < within, "{what}: not within {} s", within.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A running lab. Dropping it ends all its processes.
pub struct RunningLab {
    up: Child,
    folder: Option<TempDir>,
    /// Address of the public API, host:port.
    pub address: String,
}

impl RunningLab {
    /// Brings up the demo's lab at this speed and seed, and waits until every driver is attached.
    pub async fn start(speed: f64, seed: u64) -> anyhow::Result<RunningLab> {
        let folder = TempDir::with_prefix("ppu-test-")?;
        let log = std::fs::File::create(folder.path().join("up.log"))?;
        let up = Command::new(executable()?)
            .args(["up", "--speed", &speed.to_string(), "--seed", &seed.to_string(), "--lab"])
            .arg(root().join("config/labs/demo.toml"))
            .arg("--data")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut lab = RunningLab { up, folder: Some(folder), address: String::new() };
        let file = lab.path().join("scheduler/endpoint.json");
        let address = wait_until("the scheduler's address", UP_WITHIN, async || {
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            Some(json["grpc"].as_str()?.to_owned())
        });
        lab.address = address.await.map_err(|error| lab.evidence(error))?;
        let attached = wait_until("all drivers attached", UP_WITHIN, async || {
            let state = lab.state().await.ok()?;
            let ready = |device: &wire::Device| device.problem.is_empty() && device.manifest.is_some();
            (!state.devices.is_empty() && state.devices.iter().all(ready)).then_some(())
        });
        attached.await.map_err(|error| lab.evidence(error))?;
        Ok(lab)
    }

    /// The folder of everything that the lab writes.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is kept as long as the lab").path()
    }

    /// Keeps the folder and names it, with the last words of each process.
    fn evidence(&self, error: anyhow::Error) -> anyhow::Error {
        let mut text = format!("evidence is in {}", self.path().display());
        let logs = std::fs::read_dir(self.path().join("log")).into_iter().flatten().flatten();
        for log in logs.chain(std::fs::read_dir(self.path()).into_iter().flatten().flatten()) {
            if log.path().extension().is_some_and(|extension| extension == "log") {
                let words = std::fs::read_to_string(log.path()).unwrap_or_default();
                let last: Vec<_> = words.lines().rev().take(4).collect();
                text.push_str(&format!(
                    "\n{}:\n  {}",
                    log.file_name().display(),
                    last.into_iter().rev().collect::<Vec<_>>().join("\n  ")
                ));
            }
        }
        error.context(text)
    }

    /// Runs a test's body on the lab; on an error the folder is kept as evidence.
    pub async fn check(mut self, body: impl AsyncFnOnce(&mut RunningLab) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let result = body(&mut self).await;
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = self.evidence(error);
                if let Some(folder) = self.folder.take() {
                    self.end();
                    // The person who looks into the failure removes it.
                    let _ = folder.keep();
                }
                Err(error)
            }
        }
    }

    /// A client of the public API.
    pub async fn client(&self) -> anyhow::Result<LabServiceClient<Channel>> {
        let client = LabServiceClient::connect(format!("http://{}", self.address)).await?;
        Ok(client.max_decoding_message_size(64 << 20))
    }

    /// The state of the lab.
    pub async fn state(&self) -> anyhow::Result<wire::GetLabResponse> {
        Ok(self.client().await?.get_lab(wire::GetLabRequest {}).await?.into_inner())
    }

    /// A run.
    pub async fn run(&self, id: &str) -> anyhow::Result<wire::Run> {
        let request = wire::GetRunRequest { run: id.to_owned() };
        self.client().await?.get_run(request).await?.into_inner().run.context("the answer holds no run")
    }

    /// Process ids by name, as the supervisor lists them.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let text = std::fs::read(self.path().join("processes.json")).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        json["pids"][name].as_u64().map(|pid| pid as u32)
    }

    /// kill -9 of a process, and a wait until the supervisor has started another one.
    pub async fn kill(&self, name: &str) -> anyhow::Result<()> {
        let before = self.pid(name).with_context(|| format!("no process {name}"))?;
        ensure!(Command::new("kill").args(["-9", &before.to_string()]).status()?.success(), "kill -9 {before} failed");
        wait_until(&format!("{name} started again"), Duration::from_secs(20), async || {
            self.pid(name).filter(|pid| *pid != before).map(|_| ())
        })
        .await
    }

    /// Starts the wide-gap campaign.
    pub async fn campaign(&self, trials: u32, strategy: &str, seed: u64) -> anyhow::Result<String> {
        let campaign = root().join("config/campaigns/wide_gap_perovskite.toml");
        let protocol = root().join("config/protocols/drop_cast_film.toml");
        let request = wire::CreateCampaignRequest {
            campaign_toml: std::fs::read_to_string(&campaign)?,
            file: campaign.display().to_string(),
            protocol_toml: std::fs::read_to_string(&protocol)?,
            protocol_file: protocol.display().to_string(),
            request_id: "test".to_owned(),
            seed: Some(seed),
            strategy: strategy.to_owned(),
            trials,
        };
        Ok(self.client().await?.create_campaign(request).await?.into_inner().campaign)
    }

    /// A campaign.
    pub async fn campaign_state(&self, id: &str) -> anyhow::Result<wire::Campaign> {
        let request = wire::GetCampaignRequest { campaign: id.to_owned() };
        self.client().await?.get_campaign(request).await?.into_inner().campaign.context("the answer holds no campaign")
    }

    /// Waits until so many trials have ended.
    pub async fn trials_ended(&self, id: &str, count: u32, within: Duration) -> anyhow::Result<wire::Campaign> {
        wait_until(&format!("{count} trials ended"), within, async || {
            let campaign = self.campaign_state(id).await.ok()?;
            (campaign.completed + campaign.failed >= count).then_some(campaign)
        })
        .await
    }

    /// Runs a command of the executable on this lab; its exit code and standard output.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let output = Command::new(executable()?)
            .args(arguments)
            .env("PPU_DATA", self.path())
            .env_remove("PPU_URL")
            .stdin(Stdio::null())
            .output()?;
        if !output.stderr.is_empty() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok((output.status.code().unwrap_or(-1), String::from_utf8(output.stdout)?))
    }

    /// Arms a fault of the simulation.
    pub fn fault(&self, device: &str, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let (code, _) = self.command(&[&["sim", "fault", device, name], arguments].concat())?;
        if code != 0 {
            bail!("`ppu sim fault {device} {name}` ended with {code}");
        }
        Ok(())
    }

    fn end(&mut self) {
        // SIGTERM lets `up` end its children in order; the wait is bounded by its own grace.
        let _ = Command::new("kill").arg(self.up.id().to_string()).status();
        let _ = self.up.wait();
    }
}

impl Drop for RunningLab {
    fn drop(&mut self) {
        if self.folder.is_some() {
            self.end();
        }
    }
}

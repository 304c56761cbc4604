//! A lab brought up by `ppu up`, and what tests do to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::process::Process;

/// How long a lab may take to come up on a loaded machine.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks while waiting for a level.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The executable under test.
pub fn executable() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PPU_EXECUTABLE") {
        return Ok(path.into());
    }
    // target/debug/deps/<test> → target/debug/ppu, and target/release/<binary> → target/release/ppu
    let own = std::env::current_exe()?;
    let mut beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("ppu"));
    let found = beside.find(|path| path.is_file());
    found.with_context(|| {
        format!("no `ppu` beside {}: run `cargo build -p ppu`, or use `cargo xtask test`", own.display())
    })
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

/// How a lab is brought up.
#[derive(Debug, Clone, PartialEq)]
pub struct LabOptions {
    /// Simulated seconds a second.
    pub speed: f64,
    /// Seed of the simulation.
    pub seed: u64,
    /// The simulated instruments run in a process of their own and go on when everything else is gone.
    pub instruments_outlive: bool,
    /// Restarts of one process after which the supervisor leaves it down, and its longest wait before one; the
    /// supervisor's own limits if left out.
    pub restarts: Option<(usize, Duration)>,
    /// Environment of all processes of the lab, beside the test's own.
    pub environment: Vec<(String, String)>,
    /// Lines added to the demo's lab file.
    pub lab_toml: String,
}

impl LabOptions {
    /// A lab as `ppu up` brings it up.
    pub fn new(speed: f64, seed: u64) -> LabOptions {
        LabOptions {
            speed,
            seed,
            instruments_outlive: false,
            restarts: None,
            environment: Vec::new(),
            lab_toml: String::new(),
        }
    }
}

/// A running lab. Dropping it ends all its processes.
pub struct RunningLab {
    up: Child,
    sim: Option<Child>,
    options: LabOptions,
    folder: Option<TempDir>,
    /// Address of the public API, host:port.
    pub address: String,
}

impl RunningLab {
    /// Brings up the demo's lab at this speed and seed, and waits until every driver is attached.
    pub async fn start(speed: f64, seed: u64) -> anyhow::Result<RunningLab> {
        Self::start_with(LabOptions::new(speed, seed)).await
    }

    /// Brings up the demo's lab and waits until every driver is attached.
    pub async fn start_with(options: LabOptions) -> anyhow::Result<RunningLab> {
        let folder = TempDir::with_prefix("ppu-test-")?;
        let sim =
            if options.instruments_outlive { Some(spawn_instruments(folder.path(), &options).await?) } else { None };
        let up = spawn_up(folder.path(), &options)?;
        let mut lab = RunningLab { up, sim, options, folder: Some(folder), address: String::new() };
        lab.wait_until_up().await.map_err(|error| lab.evidence(error))?;
        let attached = lab.wait_until_attached().await;
        attached.map_err(|error| lab.evidence(error))?;
        Ok(lab)
    }

    /// Waits until the scheduler has said where it serves.
    async fn wait_until_up(&mut self) -> anyhow::Result<()> {
        let file = self.path().join("scheduler/endpoint.json");
        let up = Process::find(self.up.id());
        let address = wait_until("the scheduler's address", UP_WITHIN, async || {
            if up.is_none_or(|up| !up.is_alive()) {
                return Some(Err(anyhow!("`ppu up` has ended")));
            }
            let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            // The file of an earlier start names a process that is gone.
            Process::find(u32::try_from(json["pid"].as_u64()?).ok()?)?;
            Some(Ok(json["grpc"].as_str()?.to_owned()))
        });
        self.address = address.await??;
        Ok(())
    }

    /// Waits until every driver is attached.
    pub async fn wait_until_attached(&self) -> anyhow::Result<()> {
        wait_until("all drivers attached", UP_WITHIN, async || {
            let state = self.state().await.ok()?;
            let ready = |device: &wire::Device| device.problem.is_empty() && device.manifest.is_some();
            (!state.devices.is_empty() && state.devices.iter().all(ready)).then_some(())
        })
        .await
    }

    /// Power loss as far as processes go: kill -9 of everything but the instruments at one moment. Says how many lived.
    pub fn lose_power(&mut self) -> anyhow::Result<usize> {
        let ids = [("up".to_owned(), self.up.id())].into_iter().chain(self.pids());
        let all: Vec<Process> =
            ids.filter(|(name, _)| name != "firmware-sim").filter_map(|(_, id)| Process::find(id)).collect();
        let struck = all.iter().filter(|process| process.strike()).count();
        self.up.wait()?;
        for process in &all {
            process.kill()?;
        }
        Ok(struck)
    }

    /// Starts the lab again on the same data after [`RunningLab::lose_power`].
    pub async fn power_on(&mut self) -> anyhow::Result<()> {
        self.up = spawn_up(self.path(), &self.options)?;
        self.wait_until_up().await
    }

    /// Process id of the supervisor.
    pub fn up_id(&self) -> u32 {
        self.up.id()
    }

    /// Ends everything but the instruments in order, so that its files can be tampered with.
    pub fn shut_down(&mut self) -> anyhow::Result<()> {
        if let Some(up) = Process::find(self.up.id()) {
            up.terminate();
        }
        self.up.wait()?;
        Ok(())
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

    /// What the supervisor wrote of its processes: `pids`, `restarts` and `down` by name.
    pub fn processes(&self) -> serde_json::Value {
        let text = std::fs::read(self.path().join("processes.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Process ids by name, as the supervisor lists them.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        let listed = self.processes();
        let pids = listed["pids"].as_object().into_iter().flatten();
        pids.filter_map(|(name, pid)| Some((name.clone(), u32::try_from(pid.as_u64()?).ok()?))).collect()
    }

    /// Process id of one of them.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.pids().remove(name)
    }

    /// kill -9 of a process, and a wait until the supervisor has started another one.
    pub async fn kill(&self, name: &str) -> anyhow::Result<()> {
        let before = self.pid(name).with_context(|| format!("no process {name}"))?;
        let process = Process::find(before).with_context(|| format!("{name} is not running"))?;
        ensure!(process.kill()?, "{name} was gone before it was killed");
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
            request_id: format!("test {strategy} {seed} {trials}"),
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
        let _ = self.shut_down();
        if let Some(mut sim) = self.sim.take() {
            let _ = sim.kill();
            let _ = sim.wait();
        }
    }
}

/// Copies a folder with everything in it, as a backup does.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Starts `ppu up` on the demo's lab.
fn spawn_up(folder: &Path, options: &LabOptions) -> anyhow::Result<Child> {
    // A restarted lab goes on in the same log.
    let log = std::fs::File::options().create(true).append(true).open(folder.join("up.log"))?;
    // A write beyond a limit of file size shall fail as one on a full disk does, not end the process by a signal.
    let mut up = Command::new("sh");
    up.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(executable()?);
    up.args(["up", "--speed", &options.speed.to_string(), "--seed", &options.seed.to_string(), "--lab"])
        .arg(lab_file(folder, &options.lab_toml)?)
        .arg("--data")
        .arg(folder);
    if options.instruments_outlive {
        up.arg("--sim").arg(folder.join("sim"));
    }
    if let Some((limit, longest_wait)) = options.restarts {
        up.args(["--restart-limit", &limit.to_string(), "--restart-wait-ms", &longest_wait.as_millis().to_string()]);
    }
    up.envs(options.environment.iter().cloned());
    Ok(up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)
}

/// The demo's lab file, or one below the folder with these lines added.
fn lab_file(folder: &Path, added: &str) -> anyhow::Result<PathBuf> {
    let shipped = root().join("config/labs/demo.toml");
    if added.is_empty() {
        return Ok(shipped);
    }
    let labs = folder.join("config/labs");
    std::fs::create_dir_all(&labs)?;
    for beside in ["instruments", "worlds"] {
        let link = folder.join("config").join(beside);
        if !link.exists() {
            std::os::unix::fs::symlink(root().join("config").join(beside), link)?;
        }
    }
    let own = labs.join("demo.toml");
    std::fs::write(&own, format!("{}\n{added}", std::fs::read_to_string(shipped)?))?;
    Ok(own)
}

/// Starts the simulated instruments alone and waits until they listen.
async fn spawn_instruments(folder: &Path, options: &LabOptions) -> anyhow::Result<Child> {
    let log = std::fs::File::create(folder.join("instruments.log"))?;
    let data = folder.join("sim");
    let child = Command::new(executable()?)
        .args(["firmware-sim", "--speed", &options.speed.to_string(), "--seed", &options.seed.to_string(), "--world"])
        .arg(root().join("config/worlds/perovskite.toml"))
        .arg("--data")
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let file = data.join("endpoints.json");
    wait_until("the instruments", UP_WITHIN, async || file.exists().then_some(())).await?;
    Ok(child)
}

impl Drop for RunningLab {
    fn drop(&mut self) {
        if self.folder.is_some() {
            self.end();
        }
    }
}

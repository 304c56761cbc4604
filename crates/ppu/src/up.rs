//! `ppu up`: broker, instruments (simulated ones), drivers, scheduler and console of one lab, supervised.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ppu_core::lab::{Connection, Lab};

use crate::cli::UpArguments;
use crate::supervisor::{RestartPolicy, Supervisor};
use crate::{exit, files, roles};

/// How long a part may take to begin to serve.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A lab that is up.
pub(crate) struct Running {
    pub(crate) supervisor: Supervisor,
    pub(crate) lab: Lab,
    /// Address of the public API, host:port.
    pub(crate) scheduler: String,
    /// Address of the console, host:port.
    pub(crate) console: String,
    /// Folder of the simulation, where there is one.
    pub(crate) sim: Option<PathBuf>,
}

pub(crate) async fn run(arguments: UpArguments) -> anyhow::Result<u8> {
    let running = start(&arguments).await?;
    eprintln!("{}: {}", running.lab.name, running.lab.title);
    eprintln!("  console    http://{}", running.console);
    eprintln!("  gRPC API   {}", running.scheduler);
    eprintln!("  processes  {}", running.supervisor.status().pids.len() + 1);
    eprintln!("  logs       {}", running.supervisor.logs().display());
    eprintln!("Ctrl-C ends it. Nothing that runs in an instrument is stopped by that.");
    interrupted().await;
    running.supervisor.stop().await;
    Ok(exit::INTERRUPTED)
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// Brings a lab up and returns once every driver is attached to the scheduler or has said why not.
pub(crate) async fn start(arguments: &UpArguments) -> anyhow::Result<Running> {
    let lab = files::lab(&arguments.lab)?;
    for device in &lab.devices {
        files::instrument(&arguments.lab, &device.instrument)?;
    }
    std::fs::create_dir_all(&arguments.data).with_context(|| format!("{} cannot be made", arguments.data.display()))?;
    let data = std::path::absolute(&arguments.data)?;
    let lab_file = std::path::absolute(&arguments.lab)?.display().to_string();
    let restarts = RestartPolicy {
        limit: arguments.restart_limit,
        longest_wait: Duration::from_millis(arguments.restart_wait_ms),
    };
    let mut supervisor = Supervisor::new(&data, restarts)?;
    let broker = start_broker(&mut supervisor, &lab, &data)?;
    let mut clock_rate = 1.0;
    let mut sim = None;
    let mut endpoints = serde_json::Value::Null;
    if let Some(simulation) = &lab.simulation {
        clock_rate = arguments.speed.unwrap_or(simulation.speed);
        let seed = arguments.seed.unwrap_or(simulation.seed);
        let world = arguments.lab.parent().unwrap_or(Path::new(".")).join(&simulation.world);
        let folder = arguments.sim.clone().unwrap_or_else(|| data.join("sim"));
        endpoints = match arguments.sim {
            Some(_) => read_endpoints(&folder.join(firmware_sim::run::ENDPOINTS))?,
            None => start_sim(&mut supervisor, &world, &folder, seed, clock_rate).await?,
        };
        sim = Some(folder);
    }
    let rate = clock_rate.to_string();
    let drivers = data.join("drivers");
    for device in &lab.devices {
        let folder = drivers.join(device.id.as_str());
        let mut command = strings(["driver", device.id.as_str(), "--lab", &lab_file, "--data"]);
        command.push(folder.display().to_string());
        command.extend(strings(["--broker", &broker, "--clock-rate", &rate]));
        if device.connect == Connection::Simulated {
            command.extend(simulated(&endpoints["devices"][device.id.as_str()]).with_context(|| {
                format!("the simulation has no instrument for `{}`; add it to the world file", device.id)
            })?);
        }
        supervisor.start(&format!("driver-{}", device.id), command)?;
    }
    let folder = data.join("scheduler");
    let mut command = strings(["scheduler", "--lab", &lab_file, "--broker", &broker, "--clock-rate", &rate]);
    command.extend(strings(["--listen", &arguments.listen.to_string(), "--data"]));
    command.extend([folder.display().to_string(), "--drivers".to_owned(), drivers.display().to_string()]);
    supervisor.start("scheduler", command)?;
    let scheduler = served(&supervisor, "scheduler", &folder.join("endpoint.json"), "grpc").await?;
    let console = start_console(&mut supervisor, &data, &scheduler, arguments.console).await?;
    Ok(Running { supervisor, lab, scheduler, console, sim })
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Starts the embedded broker on a free port that it keeps over restarts, or names the external one.
fn start_broker(supervisor: &mut Supervisor, lab: &Lab, data: &Path) -> anyhow::Result<String> {
    if let Some(external) = &lab.broker {
        return Ok(external.clone());
    }
    let file = data.join("broker.json");
    let free = |address: &str| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    let last = roles::address(&file, "mqtt").and_then(|address| free(&address).ok());
    let address = last.map_or_else(|| free("127.0.0.1:0"), Ok).context("no free port for the broker")?.to_string();
    ppu_store::write_atomically(&file, serde_json::json!({ "mqtt": address }).to_string().as_bytes())?;
    supervisor.start("broker", strings(["broker", "--listen", &address]))?;
    Ok(address)
}

async fn start_sim(
    supervisor: &mut Supervisor,
    world: &Path,
    folder: &Path,
    seed: u64,
    speed: f64,
) -> anyhow::Result<serde_json::Value> {
    let file = folder.join(firmware_sim::run::ENDPOINTS);
    // Only this process writes it, and only when everything listens: an old one would be believed.
    if file.exists() {
        std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    let mut command = strings(["firmware-sim", "--seed", &seed.to_string(), "--speed", &speed.to_string(), "--world"]);
    command.extend([world.display().to_string(), "--data".to_owned(), folder.display().to_string()]);
    supervisor.start("firmware-sim", command)?;
    wait_for(supervisor, "firmware-sim", || roles::address(&file, "control")).await?;
    read_endpoints(&file)
}

/// Where the simulated instruments listen.
fn read_endpoints(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// The driver's arguments for a simulated instrument: where it listens, and further addresses as settings.
fn simulated(endpoint: &serde_json::Value) -> Option<Vec<String>> {
    let endpoint = endpoint.as_object()?;
    let mut arguments = Vec::new();
    for (key, value) in endpoint {
        let value = value.as_str()?;
        match key.as_str() {
            "serial" | "tcp" => arguments.extend(["--connect".to_owned(), format!("{key}:{value}")]),
            _ => arguments.extend(["--set".to_owned(), format!("{key}={}", toml::Value::String(value.to_owned()))]),
        }
    }
    Some(arguments)
}

async fn start_console(
    supervisor: &mut Supervisor,
    data: &Path,
    scheduler: &str,
    listen: SocketAddr,
) -> anyhow::Result<String> {
    let file = data.join("console.json");
    let earlier = roles::address(&file, "http");
    // The console has no memory of its port; a restarted one must be found under the same address.
    let last = earlier.as_deref().and_then(|address| TcpListener::bind(address).ok()?.local_addr().ok());
    let listen = match last {
        Some(last) if listen.port() == 0 => last,
        _ if listen.port() == 0 => {
            TcpListener::bind(listen).and_then(|l| l.local_addr()).context("no free port for the console")?
        }
        _ => listen,
    };
    if file.exists() {
        std::fs::remove_file(&file)?;
    }
    let mut command = strings(["console", "--scheduler", scheduler, "--listen", &listen.to_string(), "--address-file"]);
    command.push(file.display().to_string());
    supervisor.start("console", command)?;
    served(supervisor, "console", &file, "http").await
}

/// Waits until a process serves at the address that it wrote. The file of an earlier start names an address that nobody
/// serves, so only one that takes connections counts.
async fn served(supervisor: &Supervisor, name: &str, file: &Path, key: &str) -> anyhow::Result<String> {
    let answers = |address: String| {
        let socket: SocketAddr = address.parse().ok()?;
        std::net::TcpStream::connect_timeout(&socket, Duration::from_millis(200)).ok().map(|_| address)
    };
    wait_for(supervisor, name, || roles::address(file, key).and_then(answers)).await
}

/// Waits, with a bound, until something is there; a process that stays down ends the wait with its log's last lines.
async fn wait_for<T>(supervisor: &Supervisor, name: &str, mut there: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = there() {
            return Ok(found);
        }
        let status = supervisor.status();
        let restarts = status.restarts.get(name).copied().unwrap_or(0);
        if began.elapsed() > START_WITHIN || status.down.contains_key(name) || restarts >= 3 {
            let log = supervisor.logs().join(format!("{name}.log"));
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            bail!("{name} does not serve; its log {} ends with:\n{}", log.display(), lines.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

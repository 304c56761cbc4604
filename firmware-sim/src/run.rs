//! Runs a simulated laboratory: links, control port, ledger and endpoints file.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock::{BadSpeed, Clock};
use crate::config::{ConfigError, DeviceEntry, FirmwareConfig, WorldFile};
use crate::control;
use crate::device::Port;
use crate::lab::{Lab, LinkKind};
use crate::link::{SharedLab, lock, pty, tcp};
use crate::world::{LedgerWriter, World, WorldError};

/// Name of the file that tells where everything listens, in the run directory.
pub const ENDPOINTS: &str = "endpoints.json";
/// Name of the ledger, in the run directory.
pub const LEDGER: &str = "world-ledger.jsonl";
/// The world is integrated at least this often, so that a long silence does not make one long catch-up.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
/// The timer's resolution: events of a fast simulation are done together.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// World file (TOML).
    pub world_file: PathBuf,
    /// Folder for serial ports, result files, ledger and endpoints; made if it is missing.
    pub run_dir: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// Simulated seconds a wall second.
    pub speed: f64,
}

/// Why a simulation could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The world file is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The speed is not usable.
    #[error(transparent)]
    Speed(#[from] BadSpeed),
    /// The world cannot be built from its configuration.
    #[error("cannot build the world")]
    World(#[from] WorldError),
    /// A file or folder in the run directory could not be made.
    #[error("cannot prepare {path}")]
    Files {
        /// What could not be made.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A device's port could not be opened.
    #[error("cannot open the port of device {device:?}")]
    Port {
        /// The device, or `control`.
        device: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A simulation that runs until it is dropped.
pub struct Running {
    /// The laboratory, for tests in the same process.
    pub lab: SharedLab,
    /// The control port.
    pub control: SocketAddr,
    /// What stands in the endpoints file.
    pub endpoints: Value,
    endpoints_file: PathBuf,
    tasks: JoinSet<()>,
}

/// Runs a simulation until `cancel` resolves, then ends it cleanly.
///
/// # Errors
/// [`RunError`] when the simulation cannot start.
pub async fn run(options: Options, cancel: impl Future<Output = ()>) -> Result<(), RunError> {
    let mut running = start(&options).await?;
    tracing::info!(control = %running.control, run_dir = %options.run_dir.display(), "simulation runs");
    cancel.await;
    running.stop().await;
    tracing::info!("simulation has ended");
    Ok(())
}

/// Starts a simulation; everything listens when this returns, and the endpoints file is there.
///
/// # Errors
/// [`RunError`] when the simulation cannot start.
pub async fn start(options: &Options) -> Result<Running, RunError> {
    let file = WorldFile::load(&options.world_file)?;
    let clock = Clock::running(options.speed)?;
    make_folder(&options.run_dir)?;
    let ledger_path = options.run_dir.join(LEDGER);
    let ledger = open_ledger(&ledger_path).map_err(|source| RunError::Files { path: ledger_path, source })?;
    let world = World::new(&file.world, options.seed, ledger)?;
    let lab = SharedLab::new(std::sync::Mutex::new(Lab::new(world, clock, options.seed)));
    let mut tasks = JoinSet::new();
    let mut devices = Map::new();
    for entry in &file.devices {
        let endpoint = start_device(entry, &options.run_dir, &lab, &mut tasks).await?;
        devices.insert(entry.name.clone(), endpoint);
    }
    let port = |source| RunError::Port { device: "control".into(), source };
    let (listener, control) = tcp::listen(0).await.map_err(port)?;
    tasks.spawn(control::serve(SharedLab::clone(&lab), listener));
    tasks.spawn(keep_time(SharedLab::clone(&lab)));
    let endpoints = json!({ "control": control.to_string(), "devices": devices });
    let endpoints_file = options.run_dir.join(ENDPOINTS);
    write_atomically(&endpoints_file, &format!("{endpoints:#}\n"))
        .map_err(|source| RunError::Files { path: endpoints_file.clone(), source })?;
    Ok(Running { lab, control, endpoints, endpoints_file, tasks })
}

impl Running {
    /// Ends all tasks, closes all ports and takes the endpoints file away.
    pub async fn stop(&mut self) {
        let _ = std::fs::remove_file(&self.endpoints_file);
        self.tasks.shutdown().await;
        lock(&self.lab).settle();
    }
}

async fn start_device(
    entry: &DeviceEntry,
    run_dir: &Path,
    lab: &SharedLab,
    tasks: &mut JoinSet<()>,
) -> Result<Value, RunError> {
    let fault = |source| RunError::Port { device: entry.name.clone(), source };
    let results = run_dir.join(format!("{}-results", entry.name));
    let has_results = matches!(entry.firmware, FirmwareConfig::Aeris(_));
    if has_results {
        make_folder(&results)?;
    }
    let device = {
        let mut lab = lock(lab);
        let firmware = entry.build(lab.world(), &results);
        lab.add_device(&entry.name, entry.link, firmware)
    };
    if entry.link == LinkKind::Serial {
        let link = run_dir.join(format!("{}.tty", entry.name));
        let first = pty::Pty::open(&link).map_err(fault)?;
        let endpoint = json!({ "serial": link });
        tasks.spawn(pty::serve(SharedLab::clone(lab), device, link, first));
        return Ok(endpoint);
    }
    let (listener, address) = tcp::listen(entry.tcp_port).await.map_err(fault)?;
    serve_tcp(lab, device, Port::Main, listener, address, tasks);
    let mut endpoint = json!({ "tcp": address.to_string() });
    if let FirmwareConfig::Arm(config) = &entry.firmware {
        let (listener, address) = tcp::listen(config.rtde_port).await.map_err(fault)?;
        serve_tcp(lab, device, Port::RealTime, listener, address, tasks);
        endpoint["rtde"] = json!(address.to_string());
    }
    if has_results {
        endpoint["results"] = json!(results);
    }
    Ok(endpoint)
}

fn serve_tcp(
    lab: &SharedLab,
    device: usize,
    port: Port,
    listener: TcpListener,
    address: SocketAddr,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(tcp::serve(SharedLab::clone(lab), device, port, listener, address));
}

/// Lets simulated events happen when they are due, whether or not a client asks.
async fn keep_time(lab: SharedLab) {
    let (clock, changed) = {
        let lab = lock(&lab);
        (lab.clock().clone(), lab.changed())
    };
    loop {
        let next_s = {
            let mut lab = lock(&lab);
            lab.settle();
            lab.next_event_s()
        };
        let sleep = next_s.and_then(|due_s| clock.wall_until(due_s)).unwrap_or(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)) => {}
            () = changed.notified() => {}
        }
    }
}

fn make_folder(path: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(path).map_err(|source| RunError::Files { path: path.to_owned(), source })
}

/// Opens a new ledger; the one of an earlier run in the same folder is put aside, because it belongs to another world.
fn open_ledger(path: &Path) -> io::Result<LedgerWriter> {
    if path.exists() {
        let aside = (1..).map(|number| path.with_extension(format!("{number}.jsonl"))).find(|aside| !aside.exists());
        if let Some(aside) = aside {
            std::fs::rename(path, aside)?;
        }
    }
    LedgerWriter::to_file(path)
}

fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

//! The roles that this executable can play, one a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ppu_core::DeviceId;
use ppu_core::lab::Connection;
use ppu_driver::transport::Connect;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::files;

#[derive(Debug, Args)]
pub(crate) struct SchedulerArguments {
    /// Lab file.
    #[arg(long)]
    lab: PathBuf,
    /// Folder of journal and artifacts.
    #[arg(long)]
    data: PathBuf,
    /// Folder in which each driver keeps <device>/endpoint.json.
    #[arg(long)]
    drivers: PathBuf,
    /// Address of the public API.
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// MQTT broker, host:port.
    #[arg(long)]
    broker: Option<String>,
    /// Simulated seconds a second; 1 in a real lab.
    #[arg(long, default_value_t = 1.0)]
    clock_rate: f64,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
pub(crate) struct DriverArguments {
    /// The device, as the lab file names it.
    device: String,
    /// Lab file.
    #[arg(long)]
    lab: PathBuf,
    /// Folder of ledger and raw data.
    #[arg(long)]
    data: PathBuf,
    /// How the instrument is reached, instead of the lab file's: serial:<path> or tcp:<host>:<port>.
    #[arg(long)]
    connect: Option<String>,
    /// A setting instead of the files', name=value (TOML); once for each.
    #[arg(long = "set", value_parser = files::name_and_toml)]
    settings: Vec<(String, toml::Value)>,
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// MQTT broker, host:port.
    #[arg(long)]
    broker: Option<String>,
    /// Simulated seconds a second; 1 with a real instrument.
    #[arg(long, default_value_t = 1.0)]
    clock_rate: f64,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
pub(crate) struct SimArguments {
    /// World file.
    #[arg(long)]
    world: PathBuf,
    /// Folder of ports, results and the world's ledger.
    #[arg(long)]
    data: PathBuf,
    /// Seed of the hidden truth.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
pub(crate) struct ConsoleArguments {
    /// Address of the scheduler, host:port.
    #[arg(long)]
    scheduler: String,
    /// Address to serve on; loopback only, since there are no accounts yet.
    #[arg(long, default_value = "127.0.0.1:7780")]
    listen: SocketAddr,
    /// Name that goes into the record of decisions made here.
    #[arg(long, env = "USER", default_value = "operator")]
    operator: String,
    /// File that is given the address once it is bound.
    #[arg(long)]
    address_file: Option<PathBuf>,
    /// Address under which browsers reach the console, if it is another one.
    #[arg(long)]
    public_url: Option<String>,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
pub(crate) struct BrokerArguments {
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
pub(crate) struct OptimizerArguments {
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:7790")]
    listen: SocketAddr,
    /// Folder in which every study is kept as one file; studies live in memory only if left out.
    #[arg(long)]
    data: Option<PathBuf>,
    /// File that is given the address once it is bound.
    #[arg(long)]
    address_file: Option<PathBuf>,
    #[command(flatten)]
    life: Life,
}

#[derive(Debug, Args)]
struct Life {
    /// End when standard input does: for children of `ppu up`.
    #[arg(long, hide = true)]
    supervised: bool,
}

impl Life {
    /// Becomes true when the process shall end: Ctrl-C, SIGTERM, or the supervisor gone.
    fn shutdown(&self) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        let supervised = self.supervised;
        tokio::spawn(async move {
            let signalled = async {
                match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                    Ok(mut terminate) => drop(terminate.recv().await),
                    Err(_) => std::future::pending().await,
                }
            };
            let abandoned = async {
                if !supervised {
                    std::future::pending::<()>().await;
                }
                let mut byte = [0u8];
                while matches!(tokio::io::stdin().read(&mut byte).await, Ok(1..)) {}
            };
            tokio::select! {
                () = signalled => {}
                () = abandoned => {}
                _ = tokio::signal::ctrl_c(), if !supervised => {}
            }
            sender.send_replace(true);
            // Whatever still hangs after this long must not keep ports and locks from the next process.
            tokio::time::sleep(Duration::from_secs(5)).await;
            std::process::exit(1);
        });
        receiver
    }
}

async fn stopped(mut shutdown: watch::Receiver<bool>) {
    // The sender lives in the task that ends the process.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

pub(crate) async fn scheduler(arguments: SchedulerArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let mut options =
        ppu_scheduler::SchedulerOptions::new(files::lab(&arguments.lab)?, arguments.data, arguments.drivers);
    options.listen = arguments.listen;
    options.broker = arguments.broker;
    options.clock_rate = arguments.clock_rate;
    ppu_scheduler::run(options, shutdown).await?;
    Ok(0)
}

pub(crate) async fn driver(arguments: DriverArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let lab = files::lab(&arguments.lab)?;
    let id = DeviceId::new(arguments.device)?;
    let device = lab
        .devices
        .iter()
        .find(|device| device.id == id)
        .with_context(|| format!("{} has no device `{id}`", arguments.lab.display()))?;
    let connection = match &arguments.connect {
        Some(text) => Connection::parse(text)
            .with_context(|| format!("`{text}` is not a connection; write serial:<path> or tcp:<host>:<port>"))?,
        None => device.connect.clone(),
    };
    let file = files::instrument(&arguments.lab, &device.instrument)?;
    let mut settings = file.settings_with(&device.settings);
    settings.extend(arguments.settings);
    let line =
        ppu_instruments::serial_settings(&file.driver).with_context(|| format!("no driver `{}`", file.driver))?;
    let connect = Connect::from_connection(&connection, line)
        .with_context(|| format!("device `{id}` is simulated: give --connect, or start it with `ppu up`"))?;
    let instrument = ppu_instruments::open(&file.driver, connect, &settings)?;
    let mut options = ppu_driver::DriverOptions::new(lab.name, id, arguments.data);
    options.sample_position = device.sample_position.clone();
    options.listen = arguments.listen;
    options.broker = arguments.broker;
    options.clock_rate = arguments.clock_rate;
    options.safe_watchdog = file.watchdog.safe_after;
    options.stop_when_silent = file.watchdog.stops_running;
    match ppu_driver::run(options, instrument, stopped(shutdown)).await {
        Ok(()) => Ok(0),
        Err(error) => {
            let ledger_failed = matches!(error, ppu_driver::RunError::LedgerFailed(_));
            let error = anyhow::Error::new(error);
            let code = if ledger_failed { crate::exit::DISK_FAILED } else { crate::exit::code(&error) };
            Err(crate::exit::coded(code, crate::exit::sentence(&error)))
        }
    }
}

pub(crate) async fn firmware_sim(arguments: SimArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let options = firmware_sim::run::Options {
        world_file: arguments.world,
        run_dir: arguments.data,
        seed: arguments.seed,
        speed: arguments.speed,
    };
    firmware_sim::run::run(options, stopped(shutdown)).await?;
    Ok(0)
}

pub(crate) async fn console(arguments: ConsoleArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let options = ppu_console::ConsoleOptions {
        listen: arguments.listen,
        scheduler: format!("http://{}", arguments.scheduler),
        public_url: arguments.public_url,
        operator: arguments.operator,
    };
    let bound = move |address: SocketAddr| {
        let text = serde_json::json!({ "http": address.to_string(), "pid": std::process::id() }).to_string();
        if let Some(Err(error)) = arguments.address_file.map(|path| ppu_store::write_atomically(path, text.as_bytes()))
        {
            tracing::error!(%error, "the console's address could not be written");
        }
    };
    ppu_console::run(options, bound, stopped(shutdown)).await?;
    Ok(0)
}

pub(crate) async fn broker(arguments: BrokerArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let config = broker_config(arguments.listen);
    // The broker blocks its thread for ever; the process ends around it.
    let serving = tokio::task::spawn_blocking(move || rumqttd::Broker::new(config).start().map_err(Box::new));
    tracing::info!(listen = %arguments.listen, "broker serves");
    tokio::select! {
        ended = serving => ended?.context("the broker ended")?,
        () = stopped(shutdown) => {}
    }
    Ok(0)
}

pub(crate) async fn optimizer(arguments: OptimizerArguments) -> anyhow::Result<u8> {
    let shutdown = arguments.life.shutdown();
    let options = ppu_optimizer_service::ServiceOptions {
        listen: arguments.listen,
        directory: arguments.data,
        address_file: arguments.address_file,
    };
    ppu_optimizer_service::run(options, shutdown).await?;
    Ok(0)
}

/// The limits are raised above the defaults: births and spectra are larger than 20 KiB, and a host that comes back must
/// get more than a hundred retained messages (BR-1).
fn broker_config(listen: SocketAddr) -> rumqttd::Config {
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 1 << 20,
        max_inflight_count: 1_000,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        rumqttd::ServerSettings { name: "ppu".to_owned(), listen, tls: None, next_connection_delay_ms: 1, connections };
    let router = rumqttd::RouterConfig {
        max_connections: 1_000,
        max_outgoing_packet_count: 1_000,
        max_segment_size: 16 << 20,
        max_segment_count: 4,
        custom_segment: None,
        initialized_filters: None,
        shared_subscriptions_strategy: Default::default(),
    };
    rumqttd::Config { id: 0, router, v4: Some([("ppu".to_owned(), server)].into()), ..Default::default() }
}

/// The address that a process wrote, once it is there.
pub(crate) fn address(file: &Path, key: &str) -> Option<String> {
    let text = std::fs::read(file).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    json.get(key)?.as_str().map(str::to_owned)
}

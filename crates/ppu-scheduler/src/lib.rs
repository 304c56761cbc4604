//! The shell around the engine: the central scheduler process.
//!
//! One loop (`reactor`) owns the engine and the journal. Everything else talks to it through one bounded channel of
//! inputs with an urgent lane: links to the drivers (`link`), slow pure work on blocking threads (`propose`,
//! `analyse`), the public API (`service`). What they see of the state is a snapshot that is published after each
//! fact was durable.

mod analyse;
mod feed;
mod link;
mod link_wire;
mod propose;
mod reactor;
mod service;
mod telemetry;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ppu_core::lab::Lab;
use ppu_journal::Journal;
use tokio::sync::watch;

pub use reactor::{Command, Handle, Snapshot};

/// How a scheduler process is set up.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// The lab, checked.
    pub lab: Lab,
    /// Where journal, artifacts and the address file live.
    pub directory: PathBuf,
    /// Folder in which each driver keeps `<device>/endpoint.json`.
    pub drivers: PathBuf,
    /// Address to serve on; port 0 for any free one.
    pub listen: SocketAddr,
    /// Address of the MQTT broker; `None` for no telemetry.
    pub broker: Option<String>,
    /// Seconds of lab time in a second.
    pub clock_rate: f64,
}

/// Why a scheduler ended.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The journal cannot be used.
    #[error("the journal in {directory} cannot be used")]
    Journal {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: ppu_journal::JournalError,
    },
    /// A record of the journal does not follow from those before it.
    #[error("record {sequence} of the journal cannot be replayed")]
    Replay {
        /// Which.
        sequence: u64,
        /// Why.
        source: ppu_engine::EvolveError,
    },
    /// The lab file does not fit the journal.
    #[error("{0}")]
    Lab(ppu_engine::Refusal),
    /// A write or sync failed. It is never repeated (LOG-4): the supervisor starts a new process, which replays.
    #[error("the journal failed; the process ends so that nothing is acknowledged that is not on disk")]
    JournalFailed {
        /// What failed.
        source: ppu_journal::JournalError,
    },
    /// The address cannot be used.
    #[error("{address} cannot be served on")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address file cannot be written.
    #[error("{path} cannot be written: {reason}")]
    AddressFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server broke.
    #[error("the gRPC server ended")]
    Server {
        /// Why.
        source: tonic::transport::Error,
    },
}

/// Runs a scheduler until `shutdown` becomes true or the journal fails. Its address is in
/// `<directory>/endpoint.json` as soon as it serves.
pub async fn run(options: SchedulerOptions, shutdown: watch::Receiver<bool>) -> Result<(), SchedulerError> {
    let directory = options.directory.clone();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&directory)).await.expect("opening does not panic");
    let journal_error = |source| SchedulerError::Journal { directory: options.directory.clone(), source };
    let (journal, recovery) = opened.map_err(journal_error)?;
    for note in &recovery.notes {
        tracing::warn!("{note}");
    }
    let telemetry = telemetry::Telemetry::start(&options.lab.name, options.broker.clone(), shutdown.clone());
    let (handle, reactor) = reactor::start(&options, journal, recovery)?;
    let epoch = reactor.epoch();
    let mut tasks = tokio::task::JoinSet::new();
    for device in &options.lab.devices {
        let link = link::Link::new(device.id.clone(), epoch, handle.clone(), options.drivers.join(device.id.as_str()));
        tasks.spawn(link.run(reactor.link_requests(&device.id), shutdown.clone()));
    }
    let api = service::Api::new(handle, Arc::new(options.clone()), telemetry);
    let serving = tokio::spawn(service::serve(api, options.clone(), shutdown.clone()));
    let ended = reactor.run(shutdown).await;
    tasks.shutdown().await;
    if ended.is_ok() {
        serving.await.expect("the server does not panic")?;
    } else {
        serving.abort();
    }
    ended
}

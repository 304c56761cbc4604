//! The shell around the engine: the central scheduler process.
//!
//! One loop (`reactor`) owns the engine and the journal. Everything else talks to it through one bounded channel of
//! inputs with an urgent lane: links to the drivers (`link`), slow pure work on blocking threads (`propose`,
//! `analyse`), the public API (`service`). What they see of the state is a snapshot that is published after each
//! fact was durable.

mod analyse;
mod counters;
mod external;
mod feed;
mod link;
mod link_wire;
mod propose;
mod reach;
mod reactor;
mod service;
mod telemetry;
mod view;
mod wall_clock;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ppu_core::lab::Lab;
use ppu_host::{Host, RealHost};
use ppu_journal::{Journal, JournalOptions};
use ppu_proto::lab::v1::lab_service_server::LabService;
use tokio::sync::watch;

pub use reach::{EndpointFiles, Reach, ReachError, endpoint};
pub use reactor::{Command, Gone, Handle, OfferError, Snapshot};

/// How a scheduler process is set up.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// The lab, checked.
    pub lab: Lab,
    /// Where journal, artifacts and the address file live.
    pub directory: PathBuf,
    /// The way to the drivers.
    pub drivers: Arc<dyn Reach>,
    /// Address to serve on; port 0 for any free one.
    pub listen: SocketAddr,
    /// Address of the MQTT broker; `None` for no telemetry.
    pub broker: Option<String>,
    /// Seconds of lab time in a second.
    pub clock_rate: f64,
    /// The computer under the process.
    pub host: Arc<dyn Host>,
    /// How the journal is kept; its host is the one above.
    pub journal: JournalOptions,
}

impl SchedulerOptions {
    /// A scheduler of this lab with its files in `directory` and drivers that write their addresses into folders of
    /// `drivers`, on any free port of the loopback interface, without telemetry.
    pub fn new(lab: Lab, directory: PathBuf, drivers: PathBuf) -> Self {
        Self {
            lab,
            directory,
            drivers: Arc::new(EndpointFiles { folder: drivers }),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            broker: None,
            clock_rate: 1.0,
            host: Arc::new(RealHost),
            journal: JournalOptions::default(),
        }
    }
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

/// A scheduler without its public API: the reactor and the links to the drivers.
pub struct Scheduler {
    options: SchedulerOptions,
    handle: Handle,
    reactor: reactor::Reactor,
}

impl Scheduler {
    /// Opens the journal and replays it.
    ///
    /// # Errors
    /// The journal cannot be used, or belongs to another lab.
    pub async fn open(options: SchedulerOptions) -> Result<Scheduler, SchedulerError> {
        let directory = options.directory.clone();
        let journal_options = JournalOptions { host: Arc::clone(&options.host), ..options.journal.clone() };
        let opened = options.host.do_blocking(move || Journal::open_with(&directory, &journal_options)).await;
        let journal_error = |source| SchedulerError::Journal { directory: options.directory.clone(), source };
        let (journal, recovery) = opened.map_err(journal_error)?;
        for note in &recovery.notes {
            tracing::warn!("{note}");
        }
        let (handle, reactor) = reactor::start(&options, journal, recovery)?;
        Ok(Scheduler { options, handle, reactor })
    }

    /// The public API without a network.
    pub fn api(&self) -> impl LabService + Clone + use<> {
        service::Api::new(self.handle(), Arc::new(self.options.clone()), telemetry::Telemetry::default())
    }

    /// The way to talk to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `shutdown` becomes true or the journal fails.
    ///
    /// # Errors
    /// The journal failed: the process must end (LOG-4).
    pub async fn run(self, shutdown: watch::Receiver<bool>) -> Result<(), SchedulerError> {
        let epoch = self.reactor.epoch();
        let mut tasks = tokio::task::JoinSet::new();
        for device in &self.options.lab.devices {
            let link =
                link::Link::new(device.id.clone(), epoch, self.handle.clone(), Arc::clone(&self.options.drivers));
            tasks.spawn(link.run(self.reactor.link_requests(&device.id), shutdown.clone()));
        }
        tasks.spawn(wall_clock::watch(self.handle.clone()));
        let ended = self.reactor.run(shutdown).await;
        tasks.shutdown().await;
        ended
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("directory", &self.options.directory).finish_non_exhaustive()
    }
}

/// Runs a scheduler with its public API and telemetry until `shutdown` becomes true or the journal fails. Its address is
/// in `<directory>/endpoint.json` as soon as it serves.
pub async fn run(options: SchedulerOptions, shutdown: watch::Receiver<bool>) -> Result<(), SchedulerError> {
    let scheduler = Scheduler::open(options.clone()).await?;
    let telemetry = telemetry::Telemetry::start(&options.lab.name, options.broker.clone(), shutdown.clone());
    let api = service::Api::new(scheduler.handle(), Arc::new(options.clone()), telemetry);
    let serving = tokio::spawn(service::serve(api, options, shutdown.clone()));
    let ended = scheduler.run(shutdown).await;
    if ended.is_ok() {
        serving.await.expect("the server does not panic")?;
    } else {
        serving.abort();
    }
    ended
}

//! The driver of one instrument: ledger, instrument task, watchdogs, and the server of `DeviceService`.

mod checks;
mod events;
mod gate;
mod requests;
mod server;
mod shared;

pub(crate) use checks::{StoredRequest, stored_request};
pub(crate) use shared::{ReadRequest, SafeRequest, Shared, StoredReading};

use std::sync::Arc;
use std::time::Duration;

use ppu_core::ActionClass;
use ppu_proto::device::v1::device_service_server::DeviceServiceServer;
use ppu_store::{ArtifactError, ArtifactStore};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::instrument::Instrument;
use crate::ledger::{Ledger, LedgerOpenError};
use crate::options::{DriverOptions, ManifestError, check_manifest};
use crate::worker::Worker;

pub use server::DeviceServer;

/// Requests that may wait for the instrument task (reliability 14).
const LANE: usize = 64;
/// How often the watchdogs look; far below the smallest T1 in use.
const WATCHDOG_PERIOD: Duration = Duration::from_millis(100);

/// Why a driver could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The manifest contradicts itself.
    #[error("the manifest of the instrument is refused")]
    Manifest(#[from] ManifestError),
    /// The lab clock rate is not a positive number.
    #[error("a clock rate of {0} is not possible")]
    ClockRate(f64),
    /// The ledger could not be opened.
    #[error("could not open the ledger")]
    Ledger(#[from] LedgerOpenError),
    /// The artifact store could not be opened.
    #[error("could not open the artifact store")]
    Artifacts(#[from] ArtifactError),
}

/// A running driver without its network: the instrument task, the watchdogs, and what the server needs.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    /// `None` once its end has been heard: a task can be awaited only once.
    worker: Option<JoinHandle<()>>,
    watchdog: JoinHandle<()>,
}

impl Driver {
    /// Opens ledger and artifacts in the directory, reconciles in the background, and begins to serve the instrument.
    pub async fn start<I: Instrument>(options: DriverOptions, instrument: I) -> Result<Driver, StartError> {
        let manifest = instrument.describe();
        check_manifest(&manifest)?;
        if !options.clock_rate.is_finite() || options.clock_rate <= 0.0 {
            return Err(StartError::ClockRate(options.clock_rate));
        }
        let (directory, device) = (options.directory.clone(), options.device.clone());
        let (host, disk) = (Arc::clone(&options.host), options.disk.clone());
        let open = move || -> Result<_, StartError> {
            let artifacts = ArtifactStore::open(disk.clone(), directory.join("artifacts"))?;
            artifacts.clear_incoming()?;
            Ok((Ledger::open(host, disk, &directory.join("ledger"), &device)?, artifacts))
        };
        let (ledger, artifacts) = options.host.do_blocking(open).await?;
        let (safe_lane, safe_requests) = mpsc::channel(LANE);
        let (read_lane, read_requests) = mpsc::channel(LANE);
        let shared = Shared::new(options, manifest, ledger, artifacts, safe_lane, read_lane);
        let worker = Worker::new(instrument, Arc::clone(&shared), safe_requests, read_requests);
        let (worker, watchdog) = (tokio::spawn(worker.run()), tokio::spawn(watch_over(Arc::clone(&shared))));
        Ok(Driver { shared, worker: Some(worker), watchdog })
    }

    /// The server of `DeviceService` for this driver.
    pub fn server(&self) -> DeviceServiceServer<DeviceServer> {
        DeviceServiceServer::new(self.device_server())
    }

    /// The implementation of the rpcs, for callers without a network.
    pub fn device_server(&self) -> DeviceServer {
        DeviceServer::new(Arc::clone(&self.shared))
    }

    /// Why the ledger failed, once it has: the process must exit then (LOG-4).
    pub fn watch_failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.ledger.watch_failure()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends the tasks, wherever they are, and closes the ledger. A command that runs stays STARTED in the ledger and is
    /// reconciled at the next start: for the ledger, stopping and crashing are the same.
    pub async fn stop(mut self) {
        for task in self.worker.iter_mut().chain([&mut self.watchdog]) {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "a task of the driver panicked");
            }
        }
        let shared = Arc::clone(&self.shared);
        let host = Arc::clone(&shared.options.host);
        host.do_blocking(move || shared.ledger.close()).await;
    }

    /// Waits until the instrument task has ended by itself, which happens only when the ledger failed or the task
    /// panicked; nothing is driven any more then.
    pub async fn ended(&mut self) {
        if let Some(worker) = &mut self.worker {
            if let Err(error) = worker.await {
                tracing::error!(%error, "the instrument task ended");
            }
            self.worker = None;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for task in self.worker.iter().chain([&self.watchdog]) {
            task.abort();
        }
    }
}

/// The watchdogs on the scheduler's heartbeat (REL-9). T1 is also checked wherever something is about to start; looking
/// here as well makes the state that people see change in time.
async fn watch_over(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(WATCHDOG_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_open = false;
    loop {
        ticks.tick().await;
        let now_ns = shared.options.host.boot_ns();
        let (open, safe_due) = {
            let mut gate = shared.gate();
            (gate.check(now_ns).is_ok(), gate.safe_state_due(now_ns))
        };
        if open != was_open {
            was_open = open;
            shared.touch();
        }
        if safe_due {
            let reason = "the scheduler was silent for longer than T2 allows".to_owned();
            let request = SafeRequest { who: "watchdog T2".to_owned(), reason, answer: None };
            // A full lane means that the safe state has been asked for already.
            if shared.safe_lane.try_send(request).is_err() {
                tracing::warn!("the lane for the safe state is full");
            }
            // What runs on without us is not stopped by our silence (class Continuing); it is made safe when it has ended.
            if shared.options.stop_when_silent
                && shared.running_class().is_some_and(|class| class != ActionClass::Continuing)
            {
                shared.abort.send_replace(true);
            }
            shared.wake.notify_one();
        }
    }
}

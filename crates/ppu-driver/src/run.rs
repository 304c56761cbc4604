//! A driver process: ledger, instrument, server, telemetry, until it is told to end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use crate::instrument::Instrument;
use crate::options::DriverOptions;
use crate::service::{Driver, StartError};
use crate::telemetry;

/// Name of the file that says where the driver listens.
pub const ENDPOINT_FILE: &str = "endpoint.json";
/// Keep-alive pings find a partition well before T1 would make the heartbeat useless for telling a pause from a loss.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for answers that are on their way when the process ends.
const FAREWELL: Duration = Duration::from_millis(300);

/// Why a driver process ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("could not start the driver")]
    Start(#[from] StartError),
    /// It could not listen.
    #[error("could not listen on {address}")]
    Listen {
        /// Address of the options.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It could not say where it listens.
    #[error("could not write the endpoint file")]
    Endpoint(#[from] ppu_store::DiskFailure),
    /// The descriptors of the protocol could not be served.
    #[error("could not set up reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server broke.
    #[error("the server ended")]
    Server(#[from] tonic::transport::Error),
    /// The disk of the ledger failed: nothing can be promised any more (LOG-4).
    #[error("the ledger failed: {0}")]
    LedgerFailed(String),
    /// The instrument task ended by itself.
    #[error("the instrument task ended")]
    InstrumentTask,
}

/// Where a driver listens, as its `endpoint.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address of `DeviceService`, `host:port`.
    pub grpc: String,
    /// Process id.
    pub pid: u32,
}

impl Endpoint {
    /// Reads the endpoint file of a driver's directory; `None` when there is none, or one that cannot be read.
    pub fn read(directory: &Path) -> Option<Endpoint> {
        let text = std::fs::read(directory.join(ENDPOINT_FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Runs a driver until `shutdown` resolves. A command that runs then stays STARTED and is reconciled at the next start.
pub async fn run<I: Instrument>(
    options: DriverOptions,
    instrument: I,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let (directory, listen) = (options.directory.clone(), options.listen);
    // The lock of the ledger comes first: a second process must not overwrite the endpoint of the first.
    let mut driver = Driver::start(options, instrument).await?;
    let result = serve(&mut driver, &directory, listen, shutdown).await;
    driver.stop().await;
    result
}

async fn serve(
    driver: &mut Driver,
    directory: &Path,
    listen: SocketAddr,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let listener = bind(listen, directory).await.map_err(|source| RunError::Listen { address: listen, source })?;
    let address = listener.local_addr().map_err(|source| RunError::Listen { address: listen, source })?;
    let endpoint = Endpoint { grpc: address.to_string(), pid: std::process::id() };
    let text = serde_json::to_vec(&endpoint).expect("two plain fields always serialise");
    ppu_store::write_atomically(directory.join(ENDPOINT_FILE), &text)?;
    tracing::info!(device_id = %driver.shared().options.device, %address, "the driver listens");

    let (health, health_service) = tonic_health::server::health_reporter();
    let service = driver.server();
    health.set_service_status(service_name(&service), tonic_health::ServingStatus::Serving).await;
    let descriptors =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(ppu_proto::DESCRIPTORS);
    let (end_server, server_ends) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(health_service)
        .add_service(descriptors().build_v1()?)
        .add_service(descriptors().build_v1alpha()?)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async {
            // A sender that is gone ends the server as well.
            let _ = server_ends.await;
        });
    let mut server = tokio::spawn(server);
    let telemetry = telemetry::start(driver.shared());
    let mut failure = driver.watch_failure();
    let result = tokio::select! {
        () = shutdown => Ok(()),
        failed = failure.wait_for(Option::is_some) => {
            Err(RunError::LedgerFailed(failed.ok().and_then(|why| why.clone()).unwrap_or_default()))
        }
        () = driver.ended() => Err(RunError::InstrumentTask),
        ended = &mut server => match ended {
            Ok(ended) => ended.map_err(RunError::Server),
            Err(_) => Err(RunError::InstrumentTask),
        },
    };
    telemetry.end().await;
    let _ = end_server.send(());
    if !server.is_finished() {
        // Streams of events never end by themselves, so the server is given a moment and no more.
        let _ = tokio::time::timeout(FAREWELL, &mut server).await;
        server.abort();
    }
    // The instrument task also ends when the ledger failed; the cause is what the caller must hear.
    match (result, driver.watch_failure().borrow().clone()) {
        (Err(RunError::InstrumentTask), Some(why)) => Err(RunError::LedgerFailed(why)),
        (result, _) => result,
    }
}

fn service_name<S: tonic::server::NamedService>(_: &S) -> &'static str {
    S::NAME
}

/// Listens on the address; with port 0 on the port of the last start if it is free, so that clients find the driver
/// again where it was.
async fn bind(listen: SocketAddr, directory: &Path) -> io::Result<TcpListener> {
    if listen.port() == 0
        && let Some(before) = Endpoint::read(directory)
        && let Ok(address) = before.grpc.parse::<SocketAddr>()
        && address.ip() == listen.ip()
        && let Ok(listener) = TcpListener::bind(address).await
    {
        return Ok(listener);
    }
    TcpListener::bind(listen).await
}

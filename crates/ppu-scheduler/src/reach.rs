//! How the way to a driver is found.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ppu_core::DeviceId;
use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

/// A driver that does not take the connection within this time is as good as gone.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Finds a partition that closes no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The way to the drivers of a lab.
pub trait Reach: fmt::Debug + Send + Sync + 'static {
    /// Connects to the driver of a device.
    fn connect(&self, device: &DeviceId) -> BoxFuture<'static, Result<Channel, ReachError>>;
}

/// Why a driver is not reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// It has not said where it listens.
    #[error("the driver's address is not known yet ({0})")]
    Address(String),
    /// It does not take the connection.
    #[error("the driver does not answer: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Drivers that write `<folder>/<device>/endpoint.json`.
#[derive(Debug, Clone)]
pub struct EndpointFiles {
    /// The folder.
    pub folder: PathBuf,
}

#[derive(Deserialize)]
struct EndpointFile {
    grpc: String,
}

impl Reach for EndpointFiles {
    fn connect(&self, device: &DeviceId) -> BoxFuture<'static, Result<Channel, ReachError>> {
        let path = self.folder.join(device.as_str()).join("endpoint.json");
        Box::pin(async move {
            let unknown = |error: String| ReachError::Address(format!("{}: {error}", path.display()));
            let text = tokio::fs::read(&path).await.map_err(|error| unknown(error.to_string()))?;
            let file: EndpointFile = serde_json::from_slice(&text).map_err(|error| unknown(error.to_string()))?;
            Ok(endpoint(&file.grpc)?.connect().await?)
        })
    }
}

/// The settings of every connection to a driver at `host:port`.
///
/// # Errors
/// The address is none.
pub fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE))
}

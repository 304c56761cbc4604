//! The optimizer over gRPC, `ppu.optimizer.v1.OptimizerService`: for people who only want to know what to try next.
//!
//! Studies have names and live in memory; with a folder each is one JSON file there as well, written before an answer is
//! given, so that a study outlives the process. The work is done by [`ppu_optimizer::Study`]; this crate translates.

mod from_wire;
mod service;
mod store;
mod to_wire;

use std::net::SocketAddr;
use std::path::PathBuf;

use ppu_proto::optimizer::v1::optimizer_service_server::OptimizerServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

pub use store::StoreError;

/// Largest request: a pool of some hundred thousand designs.
const LARGEST_REQUEST: usize = 64 << 20;

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Address to serve on; port 0 for any free one.
    pub listen: SocketAddr,
    /// Folder in which every study is one file; `None` to keep studies in memory only.
    pub directory: Option<PathBuf>,
    /// File that is given the address once it is bound, as `{"grpc": "host:port", "pid": …}`.
    pub address_file: Option<PathBuf>,
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The studies of the folder cannot be read.
    #[error("the studies cannot be read")]
    Store(#[from] StoreError),
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

/// A service that is bound, and not served yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    studies: store::Studies,
}

impl Bound {
    /// The address that it will answer on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves with health and reflection (v1 and v1alpha) until `shutdown` becomes true.
    pub async fn serve(self, mut shutdown: watch::Receiver<bool>) -> Result<(), ServiceError> {
        let api = service::Api::new(self.studies);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<OptimizerServiceServer<service::Api>>().await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(ppu_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let v1 = reflection().build_v1().expect("our own descriptors are sound");
        let v1alpha = reflection().build_v1alpha().expect("our own descriptors are sound");
        tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_service(OptimizerServiceServer::new(api).max_decoding_message_size(LARGEST_REQUEST))
            .add_service(health_service)
            .add_service(v1)
            .add_service(v1alpha)
            .serve_with_incoming_shutdown(TcpListenerStream::new(self.listener), async move {
                let _ = shutdown.wait_for(|stop| *stop).await;
            })
            .await
            .map_err(|source| ServiceError::Server { source })
    }
}

/// Reads the studies of the folder and binds the address.
pub async fn bind(options: ServiceOptions) -> Result<Bound, ServiceError> {
    let studies = store::Studies::open(options.directory)?;
    let failed = |source| ServiceError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if let Some(path) = options.address_file {
        let text = serde_json::json!({ "grpc": address.to_string(), "pid": std::process::id() }).to_string();
        ppu_store::write_atomically(&path, text.as_bytes())
            .map_err(|error| ServiceError::AddressFile { path, reason: error.to_string() })?;
    }
    tracing::info!(%address, "optimizer serves");
    Ok(Bound { listener, address, studies })
}

/// Binds and serves until `shutdown` becomes true.
pub async fn run(options: ServiceOptions, shutdown: watch::Receiver<bool>) -> Result<(), ServiceError> {
    bind(options).await?.serve(shutdown).await
}

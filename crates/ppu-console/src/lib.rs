//! The operator console: a client of the public gRPC API and nothing else.
//!
//! One task follows the lab ([`run`] starts it) and keeps a snapshot; the pages are laid out on the server from pure views of
//! that snapshot ([`view`], [`svg`]), and every page works for reading and for its forms without a script. With the script,
//! one WebSocket a tab carries the fragments that changed, rendered once for all tabs. While the scheduler is away the pages
//! say so and show what was known with its age.
//!
//! There are no accounts yet, so the console binds to loopback addresses only.

mod feed;
mod fragments;
mod live;
mod prometheus;
mod routes;
mod security;
mod state;
pub mod svg;
pub mod view;

pub use prometheus::prometheus;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use crate::security::Security;
use crate::state::Console;

/// Settings of the console.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// Address to serve on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the scheduler serves its public API, such as `http://127.0.0.1:7700`.
    pub scheduler: String,
    /// The address that browsers use, where it is not the one above: a proxy or a tunnel, such as `https://lab.example.org`.
    pub public_url: Option<String>,
    /// Who the person at this console is, for the record of every decision.
    pub operator: String,
}

/// Why the console does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// An address that others can reach was asked for, and the console has no accounts.
    #[error(
        "refusing to listen on {listen}: the console has no accounts, so everybody on that network could run the lab; \
         listen on a loopback address such as 127.0.0.1 and reach it through a tunnel or a proxy that asks for a password"
    )]
    NeedsAccounts {
        /// The address.
        listen: SocketAddr,
    },
    /// The scheduler's address cannot be read.
    #[error("{address:?} is no address of a scheduler; write it as http://host:port")]
    SchedulerAddress {
        /// The address.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The public address cannot be read.
    #[error("{address:?} is no public address; write it as https://host or http://host:port")]
    PublicUrl {
        /// The address.
        address: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {listen}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Serving ended with an error.
    #[error("the console's server failed")]
    Serve {
        /// Why.
        source: std::io::Error,
    },
}

/// A connection that takes longer than this counts as failed; the next attempt follows with back-off.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A silent connection is probed this often, so that a scheduler whose machine vanished is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Artifact pieces are 64 KiB, but a snapshot with hundreds of trials is larger than tonic's 4 MiB default allows.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Serves the console until `shutdown` completes; `on_bound` is told the address once it is bound.
///
/// The scheduler need not be there: the console tries to reach it for ever, and says on every page that it is away.
pub async fn run(
    options: ConsoleOptions,
    on_bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ConsoleError> {
    let ConsoleOptions { listen, scheduler, public_url, operator } = options;
    if !listen.ip().is_loopback() {
        return Err(ConsoleError::NeedsAccounts { listen });
    }
    let endpoint = Endpoint::from_shared(scheduler.clone())
        .map_err(|source| ConsoleError::SchedulerAddress { address: scheduler, source })?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let listener = TcpListener::bind(listen).await.map_err(|source| ConsoleError::Bind { listen, source })?;
    let bound = listener.local_addr().map_err(|source| ConsoleError::Bind { listen, source })?;
    let security = Security::new(bound, public_url.as_deref())
        .ok_or_else(|| ConsoleError::PublicUrl { address: public_url.unwrap_or_default() })?;
    let client = LabServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(LARGEST_MESSAGE);
    let console = Arc::new(Console::new(operator, security, client));
    let follower = tokio::spawn(feed::follow(Arc::clone(&console)));
    tracing::info!(address = %bound, "serving the console");
    on_bound(bound);
    // Open sockets would keep a graceful shutdown waiting for ever, so serving ends when it is asked to.
    let served = tokio::select! {
        served = async { axum::serve(listener, routes::router(console)).await } => served,
        () = shutdown => Ok(()),
    };
    follower.abort();
    served.map_err(|source| ConsoleError::Serve { source })
}

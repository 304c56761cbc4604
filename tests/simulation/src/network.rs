//! gRPC over the simulated network.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use ppu_core::DeviceId;
use ppu_scheduler::{Reach, ReachError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Uri};
use turmoil::net::{TcpListener, TcpStream};

/// Every driver listens here.
const PORT: u16 = 7000;

/// The name of a driver's host.
pub fn host_of(device: &str) -> String {
    format!("driver-{}", device.replace('_', "-"))
}

/// A connection as tonic's server takes it.
#[derive(Debug)]
pub struct Incoming(TcpStream);

impl Connected for Incoming {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The connections that a driver takes.
///
/// # Errors
/// The port is in use.
pub async fn listen() -> io::Result<impl tokio_stream::Stream<Item = io::Result<Incoming>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(futures_util::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| Incoming(stream));
        Some((accepted, listener))
    }))
}

/// The scheduler's way to the drivers.
#[derive(Debug, Clone, Copy)]
pub struct SimNetwork;

impl Reach for SimNetwork {
    fn connect(&self, device: &DeviceId) -> BoxFuture<'static, Result<Channel, ReachError>> {
        let host = host_of(device.as_str());
        Box::pin(async move {
            let connector = tower::service_fn(|uri: Uri| async move {
                let host = uri.host().unwrap_or_default().to_owned();
                Ok::<_, io::Error>(TokioIo::new(TcpStream::connect((host, PORT)).await?))
            });
            let endpoint = ppu_scheduler::endpoint(&format!("{host}:{PORT}"))?;
            Ok(endpoint.connect_with_connector(connector).await?)
        })
    }
}

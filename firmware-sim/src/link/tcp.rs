//! TCP ports of the instruments, on the loopback interface. Several clients may be connected at once.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Connection, SharedLab, cut, lock, wait_until_open};
use crate::device::Port;
use crate::lab::Transmission;

/// Listens on a loopback port; 0 takes a free one.
///
/// # Errors
/// What the operating system said.
pub async fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves a port of a device at `address`, for ever. After a cut the same port is opened again.
pub async fn serve(lab: SharedLab, device: usize, port: Port, first: TcpListener, address: SocketAddr) {
    let mut state = lock(&lab).link_state(device);
    let mut seen = 0;
    let mut ready = Some(first);
    loop {
        if state.borrow().generation != seen {
            ready = None;
        }
        if wait_until_open(&mut state, &mut seen).await.is_none() {
            return;
        }
        let listener = match ready.take() {
            Some(listener) => Ok(listener),
            None => TcpListener::bind(address).await,
        };
        match listener {
            Ok(listener) => {
                tokio::select! {
                    () = accept(&lab, device, port, &listener) => {}
                    () = cut(&mut state, seen) => {}
                }
            }
            Err(error) => {
                tracing::error!(%address, %error, "cannot open a port again");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn accept(lab: &SharedLab, device: usize, port: Port, listener: &TcpListener) {
    // Dropping the set ends every connection, as a cut cable does.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let lab = SharedLab::clone(lab);
                    connections.spawn(async move { carry(&lab, device, port, stream).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(lab: &SharedLab, device: usize, port: Port, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off the delay of small packets");
    }
    let (reader, writer) = stream.into_split();
    let (connection, output) = Connection::open(lab, device, port);
    tokio::select! {
        () = read(&connection, reader) => {}
        () = write(output, writer) => {}
    }
}

async fn read(connection: &Connection, mut reader: OwnedReadHalf) {
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => connection.receive(&buffer[..length]),
        }
    }
}

async fn write(mut output: mpsc::Receiver<Transmission>, mut writer: OwnedWriteHalf) {
    while let Some(Transmission::Write(chunk)) = output.recv().await {
        tokio::time::sleep(Duration::from_millis(chunk.delay_ms)).await;
        if writer.write_all(&chunk.bytes).await.is_err() {
            return;
        }
    }
}

//! The stream under a Modbus session: shared, so that stray bytes can be thrown away between two requests, and tapped.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{io, time::Duration};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::transport::{ByteStream, Direction, FrameLog};

/// A handle on the stream. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    stream: Arc<Mutex<Box<dyn ByteStream>>>,
    name: Arc<str>,
    frames: FrameLog,
}

impl Shared {
    pub(super) fn new(name: &str, stream: impl ByteStream + 'static, frames: FrameLog) -> Self {
        Self { stream: Arc::new(Mutex::new(Box::new(stream))), name: name.into(), frames }
    }

    /// Throws away what has come already, without waiting. Returns the number of bytes.
    pub(super) fn discard_pending(&mut self) -> io::Result<usize> {
        let mut chunk = [0_u8; 512];
        let mut discarded = 0;
        while let Some(read) = self.read(&mut chunk).now_or_never() {
            match read? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => discarded += count,
            }
        }
        Ok(discarded)
    }

    /// Throws away what comes until this moment. Returns the number of bytes.
    pub(super) async fn discard_until(&mut self, end: Instant) -> io::Result<usize> {
        let mut chunk = [0_u8; 512];
        let mut discarded = 0;
        loop {
            match tokio::time::timeout_at(end, self.read(&mut chunk)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(count)) => discarded += count,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(discarded),
            }
        }
    }

    /// Throws away what comes until the line is quiet for `idle`, for at most `within`.
    pub(super) async fn discard_until_idle(&mut self, idle: Duration, within: Duration) -> io::Result<usize> {
        let end = Instant::now() + within;
        let mut discarded = 0;
        loop {
            match self.discard_until((Instant::now() + idle).min(end)).await? {
                0 => return Ok(discarded),
                _ if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
                count => discarded += count,
            }
        }
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(&mut **stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.frames.record(&self.name, Direction::Received, &buf.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(&mut **stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &polled {
            self.frames.record(&self.name, Direction::Sent, &bytes[..*count]);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.stream.lock().unwrap_or_else(PoisonError::into_inner)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.stream.lock().unwrap_or_else(PoisonError::into_inner)).poll_shutdown(cx)
    }
}

//! A byte stream on which every read has a deadline and a limit.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::error::LineError;
use super::frames::{Direction, FrameLog};

/// Anything that bytes go through both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// What the bytes received so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The beginning of a frame: more is needed.
    More,
    /// The first bytes, of this number, are a frame.
    Complete(usize),
    /// The first bytes, of this number, are noise and are thrown away.
    Skip(usize),
}

/// A byte stream with deadlines and limits. Framing never depends on how the transport split or joined the bytes.
#[derive(Debug)]
pub struct Line<S = Box<dyn ByteStream>> {
    name: String,
    stream: S,
    received: Vec<u8>,
    at_end: bool,
    frames: FrameLog,
}

impl std::fmt::Debug for dyn ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stream")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line<S> {
    /// A line over an open stream; the name is for the trace.
    pub fn new(name: impl Into<String>, stream: S) -> Self {
        Self { name: name.into(), stream, received: Vec::new(), at_end: false, frames: FrameLog::default() }
    }

    /// Keeps its frames in a log that outlives it.
    #[must_use]
    pub fn with_frame_log(mut self, frames: FrameLog) -> Self {
        self.frames = frames;
        self
    }

    /// The same line with the type of its stream forgotten.
    pub fn into_boxed(self) -> Line
    where
        S: 'static,
    {
        let Line { name, stream, received, at_end, frames } = self;
        Line { name, stream: Box::new(stream), received, at_end, frames }
    }

    /// Writes all bytes within a time.
    pub async fn write(&mut self, bytes: &[u8], within: Duration) -> Result<(), LineError> {
        self.frames.record(&self.name, Direction::Sent, bytes);
        let stream = &mut self.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match tokio::time::timeout(within, write).await {
            Ok(written) => written.map_err(LineError::Broken),
            Err(_) => Err(LineError::TimedOut { waited: within, received: Vec::new() }),
        }
    }

    /// Reads up to and with a terminator, which must come within `limit` bytes and within a time. What follows it stays
    /// for the next read.
    pub async fn read_until(
        &mut self,
        terminator: &[u8],
        limit: usize,
        within: Duration,
    ) -> Result<Vec<u8>, LineError> {
        let width = terminator.len().max(1);
        self.read_frame(limit, within, |bytes| match bytes.windows(width).position(|window| window == terminator) {
            Some(start) => Frame::Complete(start + width),
            None => Frame::More,
        })
        .await
    }

    /// Reads exactly this number of bytes within a time.
    pub async fn read_exact(&mut self, count: usize, within: Duration) -> Result<Vec<u8>, LineError> {
        self.read_frame(count, within, |bytes| if bytes.len() >= count { Frame::Complete(count) } else { Frame::More })
            .await
    }

    /// Reads one frame of at most `limit` bytes within a time. `find` judges the bytes received so far, from the first
    /// byte that is not used up yet, and is called again whenever more have come.
    pub async fn read_frame(
        &mut self,
        limit: usize,
        within: Duration,
        mut find: impl FnMut(&[u8]) -> Frame,
    ) -> Result<Vec<u8>, LineError> {
        let deadline = Instant::now() + within;
        loop {
            match find(&self.received) {
                Frame::Complete(length) if length > limit => return Err(LineError::TooLong { limit }),
                Frame::Complete(length) => {
                    let frame: Vec<u8> = self.received.drain(..length.min(self.received.len())).collect();
                    self.frames.record(&self.name, Direction::Received, &frame);
                    return Ok(frame);
                }
                Frame::Skip(count) if count > 0 && !self.received.is_empty() => {
                    let noise: Vec<u8> = self.received.drain(..count.min(self.received.len())).collect();
                    self.frames.record(&self.name, Direction::Discarded, &noise);
                    continue;
                }
                Frame::More | Frame::Skip(_) => {}
            }
            if self.received.len() >= limit {
                return Err(LineError::TooLong { limit });
            }
            match tokio::time::timeout_at(deadline, self.receive()).await {
                Ok(received) => received?,
                Err(_) => return Err(LineError::TimedOut { waited: within, received: self.received.clone() }),
            }
        }
    }

    /// Throws away what comes until nothing has come for `idle` (SER-3), but no longer than `within`. Returns the number
    /// of bytes thrown away.
    pub async fn discard_until_idle(&mut self, idle: Duration, within: Duration) -> Result<usize, LineError> {
        let deadline = Instant::now() + within;
        let mut discarded = self.discard();
        loop {
            if Instant::now() >= deadline {
                return Err(LineError::TimedOut { waited: within, received: Vec::new() });
            }
            match tokio::time::timeout(idle, self.receive()).await {
                Ok(received) => received?,
                Err(_) => return Ok(discarded),
            }
            discarded += self.discard();
        }
    }

    /// Everything that has come and nobody asked for: unsolicited lines are events, never replies (SER-4). Never waits.
    pub fn take_pending(&mut self) -> Vec<u8> {
        while !self.at_end && self.receive().now_or_never().is_some_and(|received| received.is_ok()) {}
        let pending = std::mem::take(&mut self.received);
        if !pending.is_empty() {
            self.frames.record(&self.name, Direction::Received, &pending);
        }
        pending
    }

    fn discard(&mut self) -> usize {
        let noise = std::mem::take(&mut self.received);
        if !noise.is_empty() {
            self.frames.record(&self.name, Direction::Discarded, &noise);
        }
        noise.len()
    }

    /// Waits for at least one byte. Dropping the future loses nothing.
    async fn receive(&mut self) -> Result<(), LineError> {
        if self.at_end {
            return Err(LineError::Disconnected);
        }
        let mut chunk = [0_u8; 4096];
        let count = self.stream.read(&mut chunk).await.map_err(LineError::Broken)?;
        if count == 0 {
            self.at_end = true;
            return Err(LineError::Disconnected);
        }
        self.received.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn framing_does_not_depend_on_how_the_bytes_were_split_or_joined() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut line = Line::new("test", near);
        far.write_all(b"I4 A \"1\"\r").await.unwrap();
        far.write_all(b"\nS S 1 g\r\nrest").await.unwrap();
        assert_eq!(line.read_until(b"\r\n", 80, SOON).await.unwrap(), b"I4 A \"1\"\r\n");
        assert_eq!(line.read_until(b"\r\n", 80, SOON).await.unwrap(), b"S S 1 g\r\n");
        assert_eq!(line.take_pending(), b"rest");
        assert!(line.take_pending().is_empty());
    }

    #[tokio::test]
    async fn a_time_out_tells_what_came_and_a_limit_is_a_limit() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut line = Line::new("test", near);
        far.write_all(b"half").await.unwrap();
        let error = line.read_until(b"\n", 80, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(&error, LineError::TimedOut { received, .. } if received == b"half"), "{error}");
        far.write_all(&[b'x'; 20]).await.unwrap();
        assert!(matches!(line.read_until(b"\n", 10, SOON).await, Err(LineError::TooLong { limit: 10 })));
        assert_eq!(line.discard_until_idle(Duration::from_millis(10), SOON).await.unwrap(), 24);
    }

    #[tokio::test]
    async fn zero_bytes_mean_disconnected_and_never_a_busy_loop() {
        let (far, near) = tokio::io::duplex(64);
        let mut line = Line::new("test", near);
        drop(far);
        assert!(matches!(line.read_exact(1, SOON).await, Err(LineError::Disconnected)));
        assert!(matches!(line.read_exact(1, SOON).await, Err(LineError::Disconnected)));
    }

    #[tokio::test]
    async fn noise_before_a_frame_is_thrown_away() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut line = Line::new("test", near);
        far.write_all(b"\xFF\xFF\x02A\x03").await.unwrap();
        let frame = line
            .read_frame(16, SOON, |bytes| match bytes.iter().position(|byte| *byte == 2) {
                Some(0) => bytes.iter().position(|byte| *byte == 3).map_or(Frame::More, |end| Frame::Complete(end + 1)),
                Some(noise) => Frame::Skip(noise),
                None if bytes.is_empty() => Frame::More,
                None => Frame::Skip(bytes.len()),
            })
            .await
            .unwrap();
        assert_eq!(frame, b"\x02A\x03");
    }
}

//! A connection that is opened when needed and opened again after it broke.

use std::time::Duration;

use tokio::time::Instant;

use super::back_off::BackOff;
use super::connect::{Connect, open_serial, open_tcp};
use super::error::LineError;
use super::frames::FrameLog;
use super::line::Line;

/// A TCP server on the lab's network that has not answered by then is not there.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest wait between attempts to open; long enough not to burn a core on a port that is unplugged (SER-1).
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How an instrument is reached, and the line to it while it is open.
#[derive(Debug)]
pub struct Port {
    connect: Option<Connect>,
    line: Option<Line>,
    frames: FrameLog,
    back_off: BackOff,
    not_before: Option<Instant>,
}

impl Port {
    /// A port that is still closed.
    pub fn new(connect: Connect) -> Port {
        Self::with(Some(connect), None)
    }

    /// A port over an open line that cannot be opened again: for tests.
    pub fn from_line(line: Line) -> Port {
        Self::with(None, Some(line))
    }

    fn with(connect: Option<Connect>, line: Option<Line>) -> Port {
        let frames = FrameLog::default();
        let line = line.map(|line| line.with_frame_log(frames.clone()));
        Port { connect, line, frames, back_off: BackOff::new(FIRST_WAIT, LONGEST_WAIT), not_before: None }
    }

    /// The line, opened if it is closed. After a failure the next attempt waits for a growing time.
    pub async fn open(&mut self) -> Result<&mut Line, LineError> {
        if self.line.is_none() {
            let line = self.reopen().await?;
            self.line = Some(line.with_frame_log(self.frames.clone()));
        }
        self.line.as_mut().ok_or(LineError::Closed)
    }

    /// The line, if it is open.
    pub fn line(&mut self) -> Result<&mut Line, LineError> {
        self.line.as_mut().ok_or(LineError::Closed)
    }

    /// Closes the line; what was still on its way is lost with it.
    pub fn close(&mut self) {
        self.line = None;
    }

    /// Whether the line is open.
    pub fn is_open(&self) -> bool {
        self.line.is_some()
    }

    /// The last frames as text, over all openings.
    pub fn recent_frames(&self) -> Vec<String> {
        self.frames.recent()
    }

    async fn reopen(&mut self) -> Result<Line, LineError> {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        let opened = match &self.connect {
            Some(Connect::Serial { path, settings }) => open_serial(path, *settings).await,
            Some(Connect::Tcp { address }) => open_tcp(address, OPEN_TIMEOUT).await,
            Some(Connect::Local) => Err(LineError::NoAddress),
            None => Err(LineError::Closed),
        };
        match &opened {
            Ok(_) => {
                self.back_off.reset();
                self.not_before = None;
            }
            Err(_) => self.not_before = Some(Instant::now() + self.back_off.next_wait()),
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::SerialSettings;
    use std::io::Read as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_closed_port_is_opened_again_and_keeps_its_frames() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut port = Port::new(Connect::Tcp { address });
        for _ in 0..2 {
            let within = Duration::from_secs(1);
            let (opened, accepted) = tokio::join!(port.open(), listener.accept());
            let (line, mut far) = (opened.unwrap(), accepted.unwrap().0);
            far.write_all(b"A").await.unwrap();
            assert_eq!(line.read_exact(1, within).await.unwrap(), b"A");
            drop(far);
            assert!(matches!(line.read_exact(1, within).await, Err(LineError::Disconnected)));
            port.close();
            assert!(matches!(port.line(), Err(LineError::Closed)));
        }
        assert_eq!(port.recent_frames().len(), 2);
    }

    #[tokio::test]
    async fn a_port_in_use_is_not_a_port_that_is_missing() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let settings = SerialSettings::new_8n1(9600);
        let mut line = open_serial(&path, settings).await.unwrap();
        assert!(matches!(open_serial(&path, settings).await, Err(LineError::PortInUse { .. })));
        assert!(matches!(open_serial("/dev/ppu-no-such-port", settings).await, Err(LineError::Open { .. })));
        line.write(b"?", Duration::from_secs(1)).await.unwrap();
        let mut seen = [0_u8; 1];
        std::fs::File::from(master).read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"?");
    }
}

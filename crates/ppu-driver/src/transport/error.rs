//! How a line fails.

use std::io;
use std::time::Duration;

use crate::codes;
use crate::instrument::Fault;

/// Why a line could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Another process holds the serial port (SER-2): the device is there.
    #[error("{path} is in use by another process")]
    PortInUse {
        /// Path of the port.
        path: String,
    },
    /// The port or address could not be opened.
    #[error("could not open {target}")]
    Open {
        /// What was to be opened.
        target: String,
        /// Why not.
        source: io::Error,
    },
    /// A simulated device whose address nobody has filled in.
    #[error("the device is simulated, but the address of its simulator is not known")]
    NoAddress,
    /// The line is not open.
    #[error("the line is closed")]
    Closed,
    /// The deadline passed.
    #[error("no complete answer within {} ms; received {}", waited.as_millis(), super::frames::hex(received, 32))]
    TimedOut {
        /// How long was waited.
        waited: Duration,
        /// What came all the same.
        received: Vec<u8>,
    },
    /// Zero bytes were read: the other side is gone (SER-1).
    #[error("the line was disconnected")]
    Disconnected,
    /// The answer is longer than allowed.
    #[error("more than {limit} bytes came without an end")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The operating system reports an error.
    #[error("the line broke")]
    Broken(#[source] io::Error),
}

impl LineError {
    /// As [`Fault::Silent`]: something that acts may have been sent.
    pub fn silent(self) -> Fault {
        Fault::Silent { code: self.code(), message: self.explained() }
    }

    /// As [`Fault::Refused`]. Only where certainly nothing that acts was sent: connect, prepare, read.
    pub fn refused(self) -> Fault {
        Fault::Refused { code: self.code(), message: self.explained() }
    }

    /// Whether the deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, LineError::TimedOut { .. })
    }

    /// Code for `ppu explain`.
    pub fn code(&self) -> &'static str {
        match self {
            LineError::PortInUse { .. } => codes::PORT_IN_USE,
            LineError::TimedOut { .. } => codes::LINE_SILENT,
            LineError::TooLong { .. } => codes::BAD_REPLY,
            LineError::Open { .. }
            | LineError::NoAddress
            | LineError::Closed
            | LineError::Disconnected
            | LineError::Broken(_) => codes::LINE_CLOSED,
        }
    }

    /// The error with its cause in one line, for a fault that people read.
    fn explained(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<LineError> for Fault {
    /// The safe choice: nobody knows whether the bytes arrived.
    fn from(error: LineError) -> Fault {
        error.silent()
    }
}

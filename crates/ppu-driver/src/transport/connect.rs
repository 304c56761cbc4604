//! How an instrument is reached, and opening it.

use std::fmt;
use std::io;
use std::time::Duration;

use ppu_core::lab::Connection;
use tokio::net::TcpStream;
use tokio_serial::{ClearBuffer, SerialPort as _, SerialStream};

use super::error::LineError;
use super::line::Line;

/// Parity bit of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even parity.
    Even,
    /// Odd parity.
    Odd,
}

/// Stop bits of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBits {
    /// One.
    One,
    /// Two.
    Two,
}

/// Settings of a serial line; flow control is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialSettings {
    /// Bits a second.
    pub baud: u32,
    /// Data bits, 7 or 8; any other number is taken as 8.
    pub data_bits: u8,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits.
    pub stop_bits: StopBits,
}

impl SerialSettings {
    /// Eight data bits, no parity, one stop bit.
    pub const fn new_8n1(baud: u32) -> Self {
        Self { baud, data_bits: 8, parity: Parity::None, stop_bits: StopBits::One }
    }

    /// Seven data bits, even parity, one stop bit (NAMUR).
    pub const fn new_7e1(baud: u32) -> Self {
        Self { baud, data_bits: 7, parity: Parity::Even, stop_bits: StopBits::One }
    }
}

/// How an instrument is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// A serial port.
    Serial {
        /// Stable path, such as `/dev/serial/by-id/…`.
        path: String,
        /// Line settings.
        settings: SerialSettings,
    },
    /// A TCP server.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A program on this computer: there is no line.
    Local,
}

impl Connect {
    /// The connection of the lab file, with the line settings of the instrument for the serial case.
    pub fn from_connection(connection: &Connection, serial: SerialSettings) -> Result<Connect, LineError> {
        match connection {
            Connection::Serial(path) => Ok(Connect::Serial { path: path.clone(), settings: serial }),
            Connection::Tcp(address) => Ok(Connect::Tcp { address: address.clone() }),
            Connection::Local => Ok(Connect::Local),
            Connection::Simulated => Err(LineError::NoAddress),
        }
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Connect::Serial { path, .. } => write!(f, "serial:{path}"),
            Connect::Tcp { address } => write!(f, "tcp:{address}"),
            Connect::Local => f.write_str("local"),
        }
    }
}

/// Opens a serial port for this process alone and throws away what the operating system had queued for it.
pub async fn open_serial(path: &str, settings: SerialSettings) -> Result<Line, LineError> {
    Ok(Line::new(format!("serial:{path}"), open_serial_stream(path, settings)?).into_boxed())
}

/// Opens a TCP connection with Nagle's delay off, within a time.
pub async fn open_tcp(address: &str, within: Duration) -> Result<Line, LineError> {
    Ok(Line::new(format!("tcp:{address}"), open_tcp_stream(address, within).await?).into_boxed())
}

pub(crate) fn open_serial_stream(path: &str, settings: SerialSettings) -> Result<SerialStream, LineError> {
    let builder = tokio_serial::new(path, settings.baud)
        .data_bits(if settings.data_bits == 7 { tokio_serial::DataBits::Seven } else { tokio_serial::DataBits::Eight })
        .parity(match settings.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(match settings.stop_bits {
            StopBits::One => tokio_serial::StopBits::One,
            StopBits::Two => tokio_serial::StopBits::Two,
        })
        .flow_control(tokio_serial::FlowControl::None);
    let stream = SerialStream::open(&builder).map_err(|error| open_error(path, error))?;
    stream.clear(ClearBuffer::Input).map_err(|error| open_error(path, error))?;
    Ok(stream)
}

fn open_error(path: &str, error: tokio_serial::Error) -> LineError {
    // serialport reports both kinds of lock (TIOCEXCL and flock) as "no device"; a path that is not there comes as an
    // I/O error instead, so the two can be told apart (SER-2).
    if error.kind() == tokio_serial::ErrorKind::NoDevice && std::path::Path::new(path).exists() {
        return LineError::PortInUse { path: path.to_owned() };
    }
    LineError::Open { target: format!("serial:{path}"), source: error.into() }
}

pub(crate) async fn open_tcp_stream(address: &str, within: Duration) -> Result<TcpStream, LineError> {
    let failed = |source| LineError::Open { target: format!("tcp:{address}"), source };
    let stream = match tokio::time::timeout(within, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(failed)?,
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

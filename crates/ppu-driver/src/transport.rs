//! What drivers use to talk: byte streams with a deadline and a limit on every read (SER-1, SER-3), and a port that is
//! opened by its stable path and opened again after the line broke (SER-2).

mod back_off;
mod connect;
mod error;
mod frames;
mod line;
mod port;

pub use back_off::BackOff;
pub use connect::{Connect, Parity, SerialSettings, StopBits, open_serial, open_tcp};
pub use error::LineError;
pub use frames::FrameLog;
pub use line::{ByteStream, Frame, Line};
pub use port::Port;

pub(crate) use connect::{open_serial_stream, open_tcp_stream};
pub(crate) use frames::Direction;

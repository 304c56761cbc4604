//! The kit for writing a driver process: server, command ledger, lease, telemetry, transports.

pub mod codes;
pub mod instrument;
pub mod modbus;
pub mod transport;

pub use instrument::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};

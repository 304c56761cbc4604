//! The kit for writing a driver process: server, command ledger, lease, telemetry, transports.

pub mod instrument;

pub use instrument::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};

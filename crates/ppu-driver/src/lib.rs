//! The kit for writing a driver process: server, command ledger, lease, telemetry, transports.

pub mod codes;
pub mod instrument;
pub mod ledger;
pub mod modbus;
pub mod options;
mod run;
pub mod service;
pub mod telemetry;
pub mod transport;
mod worker;

pub use instrument::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};
pub use options::{DriverOptions, ManifestError, RecoveryLimits, check_manifest};
pub use run::{ENDPOINT_FILE, Endpoint, RunError, run};
pub use service::{DeviceServer, Driver, StartError};

//! Options of a driver process, and what a manifest must not say.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ppu_core::{DeviceId, Manifest, PositionId};
use ppu_host::{Host, RealHost};
use ppu_store::AnyDisk;

/// Everything that a driver process is told at its start.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// Name of the lab: the group of telemetry topics.
    pub lab: String,
    /// Device id in the lab.
    pub device: DeviceId,
    /// Where a sample stands in it.
    pub sample_position: Option<PositionId>,
    /// Directory of ledger, artifacts and `endpoint.json`; made if it is not there.
    pub directory: PathBuf,
    /// Address to listen on; with port 0 the port of the last start is taken again if it is free.
    pub listen: SocketAddr,
    /// MQTT broker, `host:port`; `None` switches telemetry off.
    pub broker: Option<String>,
    /// Seconds of lab time in a second of this computer; 1 with real instruments.
    pub clock_rate: f64,
    /// T1: after this time without a heartbeat nothing new is started (REL-9).
    pub start_watchdog: Duration,
    /// T2: after this time without a heartbeat the device is made safe; `None` where it may go on by itself.
    pub safe_watchdog: Option<Duration>,
    /// Whether a running command is told to end at T2. A command of class `Continuing` goes on in any case, and so does
    /// one whose motion ends by itself: the next one does not begin (reliability 4.6).
    pub stop_when_silent: bool,
    /// How hard a silent instrument is asked what became of a command.
    pub recovery: RecoveryLimits,
    /// Lab time between two readings of the properties; in real time never less than 100 ms.
    pub poll_interval: Duration,
    /// How long MakeSafe waits in real time for the device's word before it answers "not confirmed yet".
    pub safe_answer_within: Duration,
    /// The computer under the process.
    pub host: Arc<dyn Host>,
    /// Where ledger and artifacts are written.
    pub disk: AnyDisk,
}

impl DriverOptions {
    /// Options with the defaults of the reliability reference: T1 of 3 s, no T2, a reading each second, no telemetry,
    /// any free port of the loopback interface.
    pub fn new(lab: impl Into<String>, device: DeviceId, directory: impl Into<PathBuf>) -> Self {
        Self {
            lab: lab.into(),
            device,
            sample_position: None,
            directory: directory.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            broker: None,
            clock_rate: 1.0,
            start_watchdog: Duration::from_secs(3),
            safe_watchdog: None,
            stop_when_silent: true,
            recovery: RecoveryLimits::default(),
            poll_interval: Duration::from_secs(1),
            safe_answer_within: Duration::from_secs(10),
            host: Arc::new(RealHost),
            disk: AnyDisk::real(),
        }
    }
}

/// How hard a silent instrument is asked what became of a command before the attempt goes into doubt. All in real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryLimits {
    /// Attempts to reach it.
    pub tries: u32,
    /// Time for them.
    pub within: Duration,
    /// How often the command may be sent again where its class and the device's word allow it.
    pub resends: u32,
    /// First wait between two attempts; it doubles.
    pub first_wait: Duration,
    /// Longest wait between two attempts.
    pub longest_wait: Duration,
}

impl Default for RecoveryLimits {
    /// Ten tries within 30 s ride out the reboot of an instrument's controller; a longer silence needs a person anyway.
    fn default() -> Self {
        Self {
            tries: 10,
            within: Duration::from_secs(30),
            resends: 3,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(5),
        }
    }
}

/// Why a manifest is refused at the start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// Two things have one name.
    #[error("{what} `{name}` is declared twice")]
    Duplicate {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something has no name.
    #[error("{what} has no name")]
    Nameless {
        /// What kind of thing.
        what: &'static str,
    },
    /// A usual duration that is not one.
    #[error("the usual duration of `{command}` is {typical_s} s; it must be more than 0")]
    Duration {
        /// The command.
        command: String,
        /// What it declares.
        typical_s: f64,
    },
    /// A default that the argument's own limits refuse.
    #[error("the default of `{argument}` of `{command}` is not allowed by its own limits")]
    Default {
        /// The command.
        command: String,
        /// The argument.
        argument: String,
    },
}

/// Refuses a manifest that would make plans, dispatch or telemetry ambiguous.
pub fn check_manifest(manifest: &Manifest) -> Result<(), ManifestError> {
    unique("the capability", manifest.capabilities.iter().map(|capability| capability.name.as_str()))?;
    unique("the property", manifest.properties.iter().map(|property| property.name.as_str()))?;
    for capability in &manifest.capabilities {
        unique("the command", capability.commands.iter().map(|command| command.name.as_str()))?;
        for command in &capability.commands {
            let name = || format!("{}.{}", capability.name, command.name);
            unique("the argument", command.arguments.iter().map(|argument| argument.name.as_str()))?;
            unique("the result", command.results.iter().map(|result| result.name.as_str()))?;
            if !command.typical_s.is_finite() || command.typical_s <= 0.0 {
                return Err(ManifestError::Duration { command: name(), typical_s: command.typical_s });
            }
            for argument in &command.arguments {
                if argument.default.as_ref().is_some_and(|default| argument.check(default).is_err()) {
                    return Err(ManifestError::Default { command: name(), argument: argument.name.clone() });
                }
            }
        }
    }
    Ok(())
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), ManifestError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return Err(ManifestError::Nameless { what });
        }
        if !seen.insert(name) {
            return Err(ManifestError::Duplicate { what, name: name.to_owned() });
        }
    }
    Ok(())
}

//! Instruments by the name of their driver: files, settings, manifests, and opening.

use std::time::Duration;

use ppu_core::problem::Source;
use ppu_core::{Manifest, Problem, Problems};
use ppu_driver::transport::{Connect, Port, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};
use serde::Deserialize;
use toml::Spanned;

use crate::arm::{self, Arm};
use crate::balance::{self, Balance};
use crate::diffractometer::{self, Diffractometer};
use crate::furnace::{self, Furnace};
use crate::hotplate::{self, Hotplate};
use crate::quantum_espresso::{self, QuantumEspresso};
use crate::settings;
use crate::spectrometer::{self, Spectrometer};
use crate::syringe_pump::{self, SyringePump};

/// Names of all drivers of this crate.
pub const DRIVERS: [&str; 8] = [
    syringe_pump::DRIVER,
    hotplate::DRIVER,
    balance::DRIVER,
    furnace::DRIVER,
    arm::DRIVER,
    diffractometer::DRIVER,
    spectrometer::DRIVER,
    quantum_espresso::DRIVER,
];

/// Why an instrument could not be set up. No contact with the device is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no driver of that name.
    #[error("there is no driver `{driver}`; there are {}", DRIVERS.join(", "))]
    UnknownDriver {
        /// The name given.
        driver: String,
    },
    /// Settings are unknown, of the wrong type or out of range.
    #[error("settings of `{driver}`: {}", messages.join("; "))]
    Settings {
        /// The driver.
        driver: String,
        /// Everything that is wrong.
        messages: Vec<String>,
    },
    /// The instrument has no such connection.
    #[error("`{driver}` cannot be reached by `{connect}`")]
    Connection {
        /// The driver.
        driver: String,
        /// What was given.
        connect: String,
    },
}

/// One of the instruments.
#[derive(Debug)]
pub enum AnyInstrument {
    /// `cavro-xlp`.
    SyringePump(SyringePump),
    /// `ika-cmag`.
    Hotplate(Hotplate),
    /// `mettler-sics`.
    Balance(Balance),
    /// `eurotherm-epc3016`.
    Furnace(Furnace),
    /// `ur5e`.
    Arm(Arm),
    /// `aeris-uai`.
    Diffractometer(Diffractometer),
    /// `ocean-obp`.
    Spectrometer(Spectrometer),
    /// `quantum-espresso`.
    QuantumEspresso(QuantumEspresso),
}

/// Sets an instrument up. Nothing is contacted before [`Instrument::connect`]. The line settings of a serial connection
/// are replaced by those of the instrument.
pub fn open(driver: &str, connect: Connect, settings: &toml::Table) -> Result<AnyInstrument, OpenError> {
    let connect = match (connect, serial_settings(driver)) {
        (Connect::Serial { path, .. }, Some(settings)) => Connect::Serial { path, settings },
        (connect, _) => connect,
    };
    // A program has no line, and everything else has one.
    if DRIVERS.contains(&driver) && (driver == quantum_espresso::DRIVER) != (connect == Connect::Local) {
        return Err(OpenError::Connection { driver: driver.to_owned(), connect: connect.to_string() });
    }
    Ok(match driver {
        syringe_pump::DRIVER => {
            AnyInstrument::SyringePump(SyringePump::new(Port::new(connect), checked(driver, settings)?))
        }
        hotplate::DRIVER => AnyInstrument::Hotplate(Hotplate::new(Port::new(connect), checked(driver, settings)?)),
        balance::DRIVER => AnyInstrument::Balance(Balance::new(Port::new(connect), checked(driver, settings)?)),
        furnace::DRIVER => AnyInstrument::Furnace(Furnace::new(connect, checked(driver, settings)?)),
        arm::DRIVER => AnyInstrument::Arm(Arm::new(&tcp(driver, connect)?, checked(driver, settings)?)),
        diffractometer::DRIVER => {
            let address = tcp(driver, connect)?;
            AnyInstrument::Diffractometer(Diffractometer::new(&address, checked(driver, settings)?))
        }
        spectrometer::DRIVER => {
            let address = tcp(driver, connect)?;
            let port = Port::new(Connect::Tcp { address });
            AnyInstrument::Spectrometer(Spectrometer::new(port, checked(driver, settings)?))
        }
        quantum_espresso::DRIVER => AnyInstrument::QuantumEspresso(QuantumEspresso::new(checked(driver, settings)?)),
        _ => return Err(OpenError::UnknownDriver { driver: driver.to_owned() }),
    })
}

/// What a driver with default settings can do; `None` for a name that no driver has. Needs no contact.
pub fn manifest(driver: &str) -> Option<Manifest> {
    manifest_with(driver, &toml::Table::new()).ok()
}

/// What a driver with these settings can do. Needs no contact.
pub fn manifest_with(driver: &str, settings: &toml::Table) -> Result<Manifest, OpenError> {
    Ok(match driver {
        syringe_pump::DRIVER => checked::<syringe_pump::SyringePumpSettings>(driver, settings)?.manifest(),
        hotplate::DRIVER => checked::<hotplate::HotplateSettings>(driver, settings)?.manifest(),
        balance::DRIVER => checked::<balance::BalanceSettings>(driver, settings)?.manifest(),
        furnace::DRIVER => checked::<furnace::FurnaceSettings>(driver, settings)?.manifest(),
        arm::DRIVER => {
            checked::<arm::ArmSettings>(driver, settings)?;
            arm::manifest()
        }
        diffractometer::DRIVER => checked::<diffractometer::DiffractometerSettings>(driver, settings)?.manifest(),
        spectrometer::DRIVER => {
            checked::<spectrometer::SpectrometerSettings>(driver, settings)?;
            spectrometer::manifest()
        }
        quantum_espresso::DRIVER => checked::<quantum_espresso::QuantumEspressoSettings>(driver, settings)?.manifest(),
        _ => return Err(OpenError::UnknownDriver { driver: driver.to_owned() }),
    })
}

/// Line settings of an instrument on a serial port; `None` for a name that no driver has.
pub fn serial_settings(driver: &str) -> Option<SerialSettings> {
    Some(match driver {
        syringe_pump::DRIVER => syringe_pump::SERIAL,
        hotplate::DRIVER => hotplate::SERIAL,
        balance::DRIVER => balance::SERIAL,
        furnace::DRIVER => furnace::SERIAL,
        arm::DRIVER => arm::SERIAL,
        diffractometer::DRIVER => diffractometer::SERIAL,
        spectrometer::DRIVER => spectrometer::SERIAL,
        quantum_espresso::DRIVER => quantum_espresso::SERIAL,
        _ => return None,
    })
}

fn tcp(driver: &str, connect: Connect) -> Result<String, OpenError> {
    match connect {
        Connect::Tcp { address } => Ok(address),
        other => Err(OpenError::Connection { driver: driver.to_owned(), connect: other.to_string() }),
    }
}

fn checked<T: settings::Check>(driver: &str, table: &toml::Table) -> Result<T, OpenError> {
    settings::read(table).map_err(|found| OpenError::Settings {
        driver: driver.to_owned(),
        messages: found.into_iter().map(|(_, message)| message).collect(),
    })
}

/// What is wrong with the settings of a driver: (key or empty, message).
fn settings_problems(driver: &str, table: &toml::Table) -> Vec<(String, String)> {
    let result = match driver {
        syringe_pump::DRIVER => settings::read::<syringe_pump::SyringePumpSettings>(table).map(drop),
        hotplate::DRIVER => settings::read::<hotplate::HotplateSettings>(table).map(drop),
        balance::DRIVER => settings::read::<balance::BalanceSettings>(table).map(drop),
        furnace::DRIVER => settings::read::<furnace::FurnaceSettings>(table).map(drop),
        arm::DRIVER => settings::read::<arm::ArmSettings>(table).map(drop),
        diffractometer::DRIVER => settings::read::<diffractometer::DiffractometerSettings>(table).map(drop),
        spectrometer::DRIVER => settings::read::<spectrometer::SpectrometerSettings>(table).map(drop),
        quantum_espresso::DRIVER => settings::read::<quantum_espresso::QuantumEspressoSettings>(table).map(drop),
        _ => Ok(()),
    };
    result.err().unwrap_or_default()
}

/// An instrument file, `config/instruments/<name>.toml`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct InstrumentFile {
    /// The driver's name.
    pub driver: String,
    /// One line for people.
    pub title: String,
    /// Settings of the driver; what is left out has its default.
    pub settings: toml::Table,
    /// What happens when the scheduler falls silent for long.
    pub watchdog: Watchdog,
}

/// The second watchdog of a device (REL-9): the scheduler was silent for longer than T2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watchdog {
    /// T2; `None` where the device goes on by itself.
    pub safe_after: Option<Duration>,
    /// Whether a running command is told to end. One of class `Continuing` never is.
    pub stops_running: bool,
}

impl Watchdog {
    /// The defaults of the reliability reference, section 4.6. An arm makes a controlled stop and keeps its grip; the
    /// motion of a pump ends by itself; a furnace, a scan and a calculation go on; a plate holds its setpoint for a minute.
    pub fn of_driver(driver: &str) -> Watchdog {
        let (safe_after_s, stops_running) = match driver {
            arm::DRIVER => (Some(5), true),
            syringe_pump::DRIVER => (Some(5), false),
            hotplate::DRIVER => (Some(60), true),
            spectrometer::DRIVER => (Some(5), false),
            _ => (None, false),
        };
        Watchdog { safe_after: safe_after_s.map(Duration::from_secs), stops_running }
    }
}

/// Longest T2 that a file may set: an hour without a scheduler is no watchdog any more.
const LONGEST_T2_S: f64 = 3_600.0;
/// Shortest T2: T1, after which nothing new starts, comes first.
const SHORTEST_T2_S: f64 = 3.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWatchdog {
    safe_after_s: Option<f64>,
    #[serde(default)]
    never: bool,
    stops_running: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstrumentFile {
    version: Spanned<u32>,
    driver: Spanned<String>,
    title: String,
    #[serde(default)]
    settings: toml::Table,
    watchdog: Option<RawWatchdog>,
}

impl InstrumentFile {
    /// Reads and checks an instrument file, its settings included.
    pub fn parse(file: &str, text: &str) -> Result<InstrumentFile, Problems> {
        let source = Source { file, text };
        let raw: RawInstrumentFile = source.parse()?;
        let mut found: Vec<Problem> = Vec::new();
        if *raw.version.get_ref() != 1 {
            let message = format!("this ppu reads version 1, the file says {}", raw.version.get_ref());
            let at = Some(raw.version.span().start);
            found.push(source.problem(at, "", "version", message, "write `version = 1`"));
        }
        let driver = raw.driver.get_ref();
        if !DRIVERS.contains(&driver.as_str()) {
            let cure = match ppu_core::problem::nearest(driver, DRIVERS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the drivers are {}", DRIVERS.join(", ")),
            };
            let at = Some(raw.driver.span().start);
            found.push(source.problem(at, "", "driver", format!("there is no driver `{driver}`"), cure));
        }
        for (key, message) in settings_problems(driver, &raw.settings) {
            let cure = "see the settings of this driver in its module documentation; units belong to the key";
            found.push(source.problem(line_of(text, &key), "settings", key.as_str(), message, cure));
        }
        let mut watchdog = Watchdog::of_driver(driver);
        if let Some(given) = &raw.watchdog {
            let wrong = match given.safe_after_s {
                Some(_) if given.never => Some("`safe_after_s` and `never` exclude each other".to_owned()),
                Some(after_s) if !(SHORTEST_T2_S..=LONGEST_T2_S).contains(&after_s) => {
                    Some(format!("`safe_after_s` is {after_s}, but must be from {SHORTEST_T2_S} to {LONGEST_T2_S}"))
                }
                _ => None,
            };
            match wrong {
                Some(message) => {
                    let cure =
                        "give the seconds without a scheduler after which the device is made safe, or `never = true`";
                    found.push(source.problem(
                        line_of(text, "safe_after_s"),
                        "watchdog",
                        "safe_after_s",
                        message,
                        cure,
                    ));
                }
                None if given.never => watchdog.safe_after = None,
                None => {
                    watchdog.safe_after = given.safe_after_s.map(Duration::from_secs_f64).or(watchdog.safe_after);
                }
            }
            watchdog.stops_running = given.stops_running.unwrap_or(watchdog.stops_running);
        }
        let (driver, title, settings) = (raw.driver.into_inner(), raw.title, raw.settings);
        let file = InstrumentFile { driver, title, settings, watchdog };
        Problems::or(found, file)
    }

    /// The settings with single ones replaced, as a lab file does it.
    pub fn settings_with(&self, replaced: &toml::Table) -> toml::Table {
        let mut settings = self.settings.clone();
        settings.extend(replaced.iter().map(|(key, value)| (key.clone(), value.clone())));
        settings
    }
}

/// Offset of the line that begins with this key, for a key that is not empty.
fn line_of(text: &str, key: &str) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start().strip_prefix(key);
        if rest.is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

/// Does the same with whichever instrument it is.
macro_rules! each {
    ($any:expr, $instrument:ident => $what:expr) => {
        match $any {
            AnyInstrument::SyringePump($instrument) => $what,
            AnyInstrument::Hotplate($instrument) => $what,
            AnyInstrument::Balance($instrument) => $what,
            AnyInstrument::Furnace($instrument) => $what,
            AnyInstrument::Arm($instrument) => $what,
            AnyInstrument::Diffractometer($instrument) => $what,
            AnyInstrument::Spectrometer($instrument) => $what,
            AnyInstrument::QuantumEspresso($instrument) => $what,
        }
    };
}

impl Instrument for AnyInstrument {
    fn describe(&self) -> Manifest {
        each!(self, instrument => instrument.describe())
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        each!(self, instrument => instrument.connect().await)
    }

    async fn prepare(&mut self, request: &Request, attention: &Attention) -> Result<Vec<u8>, Fault> {
        each!(self, instrument => instrument.prepare(request, attention).await)
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        each!(self, instrument => instrument.execute(request, attention).await)
    }

    async fn recover(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Recovered, Fault> {
        each!(self, instrument => instrument.recover(request, snapshot, attention).await)
    }

    async fn attend(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Done, Fault> {
        each!(self, instrument => instrument.attend(request, snapshot, attention).await)
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        each!(self, instrument => instrument.read().await)
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        each!(self, instrument => instrument.make_safe(reason).await)
    }
}

#[cfg(test)]
mod tests;

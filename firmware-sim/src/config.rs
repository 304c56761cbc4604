//! The world file: what is simulated, and which instruments stand in it.
//!
//! TOML with `version = 1`, a `[world]` table (matter and physics, see [`WorldConfig`]) and one `[[device]]` table an
//! instrument with `name`, `firmware`, `link` and the keys of that firmware.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::device::Firmware;
use crate::firmware::{aeris_uai, cavro_xlp, epc3016, ika_cmag, mettler_sics, ocean_obp, ur5e};
use crate::lab::LinkKind;
use crate::modbus::Framing;
use crate::world::{World, WorldConfig};

/// Firmware kinds that a `[[device]]` may name.
pub const FIRMWARE_KINDS: [&str; 7] =
    ["cavro-xlp", "ika-cmag", "mettler-sics", "eurotherm-epc3016", "ur5e", "aeris-uai", "ocean-obp"];

/// Why a world file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the world file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is missing, unknown or of the wrong type; the message names line and key.
    #[error("world file: {0}")]
    Syntax(String),
    /// A device entry is wrong.
    #[error("world file, line {line}, device {device:?}: {problem}")]
    Device {
        /// Line of the device's table.
        line: usize,
        /// Its name.
        device: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    world: WorldConfig,
    #[serde(default)]
    device: Vec<Spanned<toml::Table>>,
}

/// A checked world file.
#[derive(Clone, Debug)]
pub struct WorldFile {
    /// Matter and physics.
    pub world: WorldConfig,
    /// The instruments, in the order of the file.
    pub devices: Vec<DeviceEntry>,
}

/// One instrument of the world file.
#[derive(Clone, Debug)]
pub struct DeviceEntry {
    /// Name in the laboratory.
    pub name: String,
    /// How it is reached.
    pub link: LinkKind,
    /// TCP port of the main link; 0 takes a free one.
    pub tcp_port: u16,
    /// What it is.
    pub firmware: FirmwareConfig,
}

/// The keys of one firmware.
#[derive(Clone, Debug)]
pub enum FirmwareConfig {
    /// Syringe pump.
    Cavro(cavro_xlp::Config),
    /// Hotplate-stirrer.
    Ika(ika_cmag::Config),
    /// Balance.
    Mettler(mettler_sics::Config),
    /// Furnace controller.
    Eurotherm(epc3016::Config),
    /// Robot arm.
    Arm(ur5e::Config),
    /// Diffractometer.
    Aeris(aeris_uai::Config),
    /// Spectrometer.
    Ocean(ocean_obp::Config),
}

impl WorldFile {
    /// Reads and checks a world file.
    ///
    /// # Errors
    /// [`ConfigError`] names the line and what is wrong there.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Checks the text of a world file.
    ///
    /// # Errors
    /// [`ConfigError`] names the line and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        if raw.version != 1 {
            return Err(ConfigError::Syntax(format!("version is {}, and only version 1 is known", raw.version)));
        }
        let mut devices: Vec<DeviceEntry> = Vec::new();
        for spanned in raw.device {
            let line = text[..spanned.span().start.min(text.len())].matches('\n').count() + 1;
            let table = spanned.into_inner();
            let device = table.get("name").and_then(toml::Value::as_str).unwrap_or("?").to_owned();
            let fault = |problem: String| ConfigError::Device { line, device: device.clone(), problem };
            let entry = DeviceEntry::from_table(table).map_err(fault)?;
            if devices.iter().any(|other| other.name == entry.name) {
                return Err(fault("the name is used twice".into()));
            }
            devices.push(entry);
        }
        Ok(Self { world: raw.world, devices })
    }
}

impl DeviceEntry {
    fn from_table(mut table: toml::Table) -> Result<Self, String> {
        let mut take = |key: &str| match table.remove(key) {
            Some(toml::Value::String(text)) => Ok(text),
            Some(_) => Err(format!("key `{key}` must be a text")),
            None => Err(format!("key `{key}` is missing")),
        };
        let (name, firmware, link) = (take("name")?, take("firmware")?, take("link")?);
        let plain = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("key `name`: {name:?} is not made of letters, digits, `_` and `-`"));
        }
        let link = match link.as_str() {
            "serial" => LinkKind::Serial,
            "tcp" => LinkKind::Tcp,
            other => return Err(format!("key `link` is {other:?}; it can be \"serial\" or \"tcp\"")),
        };
        let tcp_port = match table.remove("tcp_port") {
            None => 0,
            Some(_) if link == LinkKind::Serial => return Err("key `tcp_port` needs link = \"tcp\"".into()),
            Some(value) => {
                let port = value.as_integer().and_then(|port| u16::try_from(port).ok());
                port.ok_or("key `tcp_port` must be a number from 0 to 65535")?
            }
        };
        let firmware = FirmwareConfig::from_table(&firmware, table)?;
        firmware.check_link(link)?;
        Ok(Self { name, link, tcp_port, firmware })
    }

    /// Builds the instrument. `results` is the folder of a diffractometer's result files.
    pub fn build(&self, world: &World, results: &Path) -> Box<dyn Firmware> {
        match self.firmware.clone() {
            FirmwareConfig::Cavro(config) => Box::new(cavro_xlp::CavroXlp::new(config)),
            FirmwareConfig::Ika(config) => Box::new(ika_cmag::IkaCmag::new(config)),
            FirmwareConfig::Mettler(config) => Box::new(mettler_sics::MettlerSics::new(config)),
            FirmwareConfig::Eurotherm(config) => {
                let framing = if self.link == LinkKind::Serial { Framing::Rtu } else { Framing::Tcp };
                Box::new(epc3016::Epc3016::new(config, framing))
            }
            FirmwareConfig::Arm(config) => Box::new(ur5e::Ur5e::new(config, &world.positions())),
            FirmwareConfig::Aeris(config) => Box::new(aeris_uai::AerisUai::new(config, &self.name, results)),
            FirmwareConfig::Ocean(config) => Box::new(ocean_obp::OceanObp::new(config)),
        }
    }
}

impl FirmwareConfig {
    fn from_table(kind: &str, table: toml::Table) -> Result<Self, String> {
        fn read<T: DeserializeOwned>(table: toml::Table) -> Result<T, String> {
            table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
        }
        match kind {
            "cavro-xlp" => read(table).map(Self::Cavro),
            "ika-cmag" => read(table).map(Self::Ika),
            "mettler-sics" => read(table).map(Self::Mettler),
            "eurotherm-epc3016" => read(table).map(Self::Eurotherm),
            "ur5e" => read(table).map(Self::Arm),
            "aeris-uai" => read(table).map(Self::Aeris),
            "ocean-obp" => read(table).map(Self::Ocean),
            _ => Err(format!("key `firmware` is {kind:?}; it can be {}", FIRMWARE_KINDS.join(", "))),
        }
    }

    fn check_link(&self, link: LinkKind) -> Result<(), String> {
        let only = match self {
            Self::Cavro(_) | Self::Ika(_) => LinkKind::Serial,
            Self::Arm(_) | Self::Aeris(_) | Self::Ocean(_) => LinkKind::Tcp,
            Self::Mettler(_) | Self::Eurotherm(_) => link,
        };
        if only == link { Ok(()) } else { Err(format!("key `link`: this instrument has {only:?} only")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::testing::WORLD_FILE;

    #[test]
    fn the_shipped_world_holds_the_laboratory() {
        let file = WorldFile::parse(WORLD_FILE).unwrap();
        let names: Vec<&str> = file.devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["pump", "mixer", "balance", "furnace_a", "furnace_b", "arm", "aeris", "spectrometer"]);
        let declared: Vec<&str> = file.world.device.iter().map(|device| device.name.as_str()).collect();
        for name in names {
            assert!(declared.contains(&name), "the world does not know {name}");
        }
    }

    fn problem(replace: &str, with: &str) -> String {
        assert!(WORLD_FILE.contains(replace), "{replace}");
        WorldFile::parse(&WORLD_FILE.replacen(replace, with, 1)).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_told_with_line_and_key() {
        let unknown = problem("firmware = \"cavro-xlp\"", "firmware = \"cavro-xlp\"\nsyringe_ml = 3");
        assert!(
            unknown.contains("\"pump\"") && unknown.contains("syringe_ml") && unknown.contains("line "),
            "{unknown}"
        );
        let kind = problem("firmware = \"ika-cmag\"", "firmware = \"ika\"");
        assert!(kind.contains("\"mixer\"") && kind.contains("ika-cmag, mettler-sics"), "{kind}");
        let link = problem("firmware = \"ur5e\"\nlink = \"tcp\"", "firmware = \"ur5e\"\nlink = \"serial\"");
        assert!(link.contains("`link`"), "{link}");
        assert!(problem("version = 1", "version = 2").contains("version is 2"));
        assert!(problem("name = \"furnace_b\"\nfirmware", "name = \"furnace_a\"\nfirmware").contains("used twice"));
        assert!(problem("version = 1", "version = 1\ncolour = 3").contains("colour"));
    }
}

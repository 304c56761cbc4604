//! What a world is made of: the checked content of the `[world]` table of a world file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a world could not be built.
#[derive(Debug, Error)]
pub enum WorldError {
    /// A value of the configuration contradicts the others or lies outside what the models cover.
    #[error("world configuration: {0}")]
    Config(String),
    /// The ledger could not take its header.
    #[error("cannot write the world's ledger")]
    Ledger(#[source] std::io::Error),
}

/// Everything the world must know at its start. Units stand in the keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// The air (or nitrogen) around everything.
    pub ambient: AmbientConfig,
    /// How often things go wrong.
    #[serde(default)]
    pub mishaps: MishapConfig,
    /// Whether the hidden parameters are drawn from the seed or stay at their published values.
    #[serde(default)]
    pub truth: TruthMode,
    /// The syringe pump.
    pub pump: PumpConfig,
    /// What each port of the pump's valve leads to.
    pub port: Vec<PortConfig>,
    /// The mixing vial.
    pub vial: VialConfig,
    /// The places that can hold a sample.
    pub position: Vec<PositionConfig>,
    /// The substrates at the start.
    pub samples: SampleConfig,
    /// Devices the world must know by kind.
    pub device: Vec<DeviceConfig>,
}

/// Surroundings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmbientConfig {
    /// Temperature of the room, °C.
    pub temperature_c: f64,
    /// Relative humidity as a fraction 0..1 (glovebox 0.001, air 0.3 to 0.5).
    pub relative_humidity: f64,
    /// Whether gas sweeps over the coating stage (mass transfer 0.005 instead of 0.001 m/s).
    #[serde(default)]
    pub coat_gas_swept: bool,
    /// Gas flow through the tube furnaces, L/min. Flow cools the boat and speeds the loss of organic ions.
    #[serde(default)]
    pub furnace_gas_flow_l_per_min: f64,
}

/// How often things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MishapConfig {
    /// Multiplies every mishap probability; 0 switches mishaps off, 1 is the described world.
    pub scale: f64,
}

impl Default for MishapConfig {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

/// Where the hidden parameters come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruthMode {
    /// Each parameter takes its draw from the seed (W-4).
    #[default]
    Drawn,
    /// Each parameter stays at its published value: for tests against reference values.
    Nominal,
}

/// The syringe pump.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PumpConfig {
    /// Name of the pump device.
    pub device: String,
    /// Volume of the syringe, µL.
    pub syringe_ul: f64,
}

/// What a port of the pump's valve leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRole {
    /// A stock solution; `stock` says which.
    Stock,
    /// Pure solvent (DMF).
    Solvent,
    /// The mixing vial.
    Vial,
    /// The nozzle above the coating stage.
    Nozzle,
    /// The waste bottle.
    Waste,
}

/// One port of the pump's valve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// Number of the port, from 1.
    pub port: u8,
    /// What it leads to.
    pub role: PortRole,
    /// Capacity of a bottle, mL; bottles start full but for waste, which starts empty.
    #[serde(default = "default_bottle_ml")]
    pub volume_ml: f64,
    /// The ink, for ports of role `stock`.
    #[serde(default)]
    pub stock: Option<StockConfig>,
}

fn default_bottle_ml() -> f64 {
    50.0
}

/// An ion of the A site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ASite {
    /// Caesium.
    #[serde(rename = "Cs")]
    Caesium,
    /// Methylammonium.
    #[serde(rename = "MA")]
    Methylammonium,
    /// Formamidinium.
    #[serde(rename = "FA")]
    Formamidinium,
}

/// An ion of the X site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum XSite {
    /// Iodide.
    #[serde(rename = "I")]
    Iodide,
    /// Bromide.
    #[serde(rename = "Br")]
    Bromide,
}

/// An ink of one perovskite A Pb X3 in DMF and DMSO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockConfig {
    /// The A-site ion.
    pub a: ASite,
    /// The halide.
    pub x: XSite,
    /// Lead concentration, mol/L.
    pub lead_mol_per_l: f64,
    /// A-site ions per lead; halide follows as 2 + this value.
    #[serde(default = "one")]
    pub a_per_lead: f64,
    /// Volume share of DMSO in the solvent.
    #[serde(default = "default_dmso_fraction")]
    pub dmso_volume_fraction: f64,
}

fn one() -> f64 {
    1.0
}

fn default_dmso_fraction() -> f64 {
    0.2
}

/// The mixing vial, fixed on a hotplate-stirrer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VialConfig {
    /// Name of the fixed place, for example `mixer.vial`.
    pub name: String,
    /// The hotplate-stirrer it stands on.
    pub device: String,
    /// Capacity, mL.
    pub capacity_ml: f64,
    /// Volume the pump's tube cannot reach, µL.
    #[serde(default = "default_dead_volume_ul")]
    pub dead_volume_ul: f64,
}

fn default_dead_volume_ul() -> f64 {
    15.0
}

/// What kind of place a position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionKind {
    /// A rack of equal slots.
    Rack,
    /// Under the nozzle of the pump.
    Coat,
    /// The pan of a balance.
    Balance,
    /// The boat of a tube furnace.
    Furnace,
    /// A slot of a diffractometer.
    Diffractometer,
    /// The stage of a spectrometer.
    Spectrometer,
}

/// A place that can hold one sample, or a row of such places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionConfig {
    /// Name; with `count` the positions are `name.1` to `name.count`, or `name1` where the name ends in a letter after a dot.
    pub name: String,
    /// What it is.
    pub kind: PositionKind,
    /// The device it belongs to, if any.
    #[serde(default)]
    pub device: Option<String>,
    /// Number of equal slots; absent means a single position with the plain name.
    #[serde(default)]
    pub count: Option<u32>,
}

impl PositionConfig {
    /// The names this entry stands for.
    pub fn names(&self) -> Vec<String> {
        match self.count {
            None => vec![self.name.clone()],
            Some(count) if self.name.contains('.') => (1..=count).map(|k| format!("{}{k}", self.name)).collect(),
            Some(count) => (1..=count).map(|k| format!("{}.{k}", self.name)).collect(),
        }
    }
}

/// The substrates at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// Number of substrates; they are named `S01`, `S02` and so on.
    pub count: u32,
    /// Name of the rack they start in, one to a slot in order.
    pub rack: String,
    /// Edge length of the square substrate, mm.
    pub edge_mm: f64,
    /// Thickness of the glass, mm.
    pub thickness_mm: f64,
}

/// What the world must do for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Moves liquids.
    SyringePump,
    /// Heats and stirs the vial.
    HotplateStirrer,
    /// Weighs.
    Balance,
    /// Anneals.
    TubeFurnace,
    /// Carries.
    Arm,
    /// Diffracts.
    Diffractometer,
    /// Exposes.
    Spectrometer,
}

/// A device the world must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Name, as in the causes of actions.
    pub name: String,
    /// What it does.
    pub kind: DeviceKind,
}

impl WorldConfig {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// [`WorldError::Config`] names the first contradiction found.
    pub fn check(&self) -> Result<(), WorldError> {
        self.check_numbers()?;
        self.check_ports()?;
        self.check_places()
    }

    fn check_numbers(&self) -> Result<(), WorldError> {
        let numbers = [
            ("ambient.temperature_c", self.ambient.temperature_c, 5.0, 45.0),
            ("ambient.relative_humidity", self.ambient.relative_humidity, 0.0, 1.0),
            ("ambient.furnace_gas_flow_l_per_min", self.ambient.furnace_gas_flow_l_per_min, 0.0, 10.0),
            ("mishaps.scale", self.mishaps.scale, 0.0, 100.0),
            ("pump.syringe_ul", self.pump.syringe_ul, 10.0, 50_000.0),
            ("vial.capacity_ml", self.vial.capacity_ml, 0.1, 1000.0),
            ("vial.dead_volume_ul", self.vial.dead_volume_ul, 0.0, 1000.0),
            ("samples.edge_mm", self.samples.edge_mm, 2.0, 100.0),
            ("samples.thickness_mm", self.samples.thickness_mm, 0.1, 10.0),
        ];
        for (key, value, low, high) in numbers {
            if !(low..=high).contains(&value) {
                return Err(WorldError::Config(format!("{key} = {value} lies outside {low} to {high}")));
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for port in &self.port {
            if !seen.insert(port.port) {
                return Err(WorldError::Config(format!("port {} is given twice", port.port)));
            }
            if !(0.1..=100_000.0).contains(&port.volume_ml) {
                return Err(WorldError::Config(format!("port {}: volume_ml = {}", port.port, port.volume_ml)));
            }
            match (&port.stock, port.role) {
                (None, PortRole::Stock) => {
                    return Err(WorldError::Config(format!("port {}: role stock needs a stock", port.port)));
                }
                (Some(_), role) if role != PortRole::Stock => {
                    return Err(WorldError::Config(format!("port {}: a stock needs role stock", port.port)));
                }
                (Some(stock), _) => stock.check(port.port)?,
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn check_places(&self) -> Result<(), WorldError> {
        let mut names = BTreeSet::new();
        for name in self.position.iter().flat_map(PositionConfig::names) {
            if !names.insert(name.clone()) {
                return Err(WorldError::Config(format!("position {name} is given twice")));
            }
        }
        for k in 1..=self.samples.count {
            let slot = format!("{}.{k}", self.samples.rack);
            if !names.contains(&slot) {
                return Err(WorldError::Config(format!("there is no position {slot} for sample {k}")));
            }
        }
        let mut devices = BTreeSet::new();
        for device in &self.device {
            if !devices.insert(device.name.as_str()) {
                return Err(WorldError::Config(format!("device {} is given twice", device.name)));
            }
        }
        self.check_owners()?;
        let owners = self.position.iter().filter_map(|place| place.device.as_deref());
        for owner in owners.chain([self.pump.device.as_str(), self.vial.device.as_str()]) {
            if !devices.contains(owner) {
                return Err(WorldError::Config(format!("device {owner} is used but not declared")));
            }
        }
        Ok(())
    }
}

impl WorldConfig {
    /// Every position that works only with a device has one of the right kind.
    fn check_owners(&self) -> Result<(), WorldError> {
        let kind_of = |name: &str| self.device.iter().find(|device| device.name == name).map(|device| device.kind);
        for position in &self.position {
            let wanted = match position.kind {
                PositionKind::Rack | PositionKind::Coat => continue,
                PositionKind::Balance => DeviceKind::Balance,
                PositionKind::Furnace => DeviceKind::TubeFurnace,
                PositionKind::Diffractometer => DeviceKind::Diffractometer,
                PositionKind::Spectrometer => DeviceKind::Spectrometer,
            };
            if position.device.as_deref().and_then(kind_of) != Some(wanted) {
                let name = &position.name;
                return Err(WorldError::Config(format!("position {name} needs a device of kind {wanted:?}")));
            }
        }
        for (name, wanted) in
            [(&self.pump.device, DeviceKind::SyringePump), (&self.vial.device, DeviceKind::HotplateStirrer)]
        {
            if kind_of(name) != Some(wanted) {
                return Err(WorldError::Config(format!("device {name} must be of kind {wanted:?}")));
            }
        }
        Ok(())
    }
}

impl StockConfig {
    fn check(&self, port: u8) -> Result<(), WorldError> {
        let numbers = [
            ("lead_mol_per_l", self.lead_mol_per_l, 1e-4, 2.0),
            ("a_per_lead", self.a_per_lead, 0.2, 2.0),
            ("dmso_volume_fraction", self.dmso_volume_fraction, 0.0, 1.0),
        ];
        for (key, value, low, high) in numbers {
            if !(low..=high).contains(&value) {
                return Err(WorldError::Config(format!("port {port}: {key} = {value} lies outside {low} to {high}")));
            }
        }
        Ok(())
    }
}

//! A lab: which devices it has, how they are reached, where samples can stand. Read from `config/labs/*.toml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::capability::Manifest;
use crate::ids::{DeviceId, PositionId, SampleId};
use crate::problem::{Problem, Problems, Source, nearest};

/// How an instrument is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// A serial port by its stable path, such as `/dev/serial/by-id/…`.
    Serial(String),
    /// A TCP address, `host:port`.
    Tcp(String),
    /// A program on the driver's own computer, which its settings name.
    Local,
    /// The simulated instrument of the same name; `ppu up` fills the address in.
    Simulated,
}

impl Connection {
    /// Reads `serial:<path>`, `tcp:<host>:<port>`, `local` or `simulated`.
    pub fn parse(text: &str) -> Option<Connection> {
        match text {
            "local" => return Some(Connection::Local),
            "simulated" => return Some(Connection::Simulated),
            _ => {}
        }
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "serial" if !rest.is_empty() => Some(Connection::Serial(rest.to_owned())),
            "tcp"
                if rest
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
            {
                Some(Connection::Tcp(rest.to_owned()))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Connection::Serial(path) => write!(f, "serial:{path}"),
            Connection::Tcp(address) => write!(f, "tcp:{address}"),
            Connection::Local => f.write_str("local"),
            Connection::Simulated => f.write_str("simulated"),
        }
    }
}

/// One device of the lab file.
#[derive(Debug, Clone, PartialEq)]
pub struct LabDevice {
    /// Its name in this lab.
    pub id: DeviceId,
    /// The instrument file, `config/instruments/<name>.toml`.
    pub instrument: String,
    /// How it is reached.
    pub connect: Connection,
    /// Where a sample stands in it.
    pub sample_position: Option<PositionId>,
    /// Settings that replace those of the instrument file.
    pub settings: toml::Table,
    /// What its use costs.
    pub cost: DeviceCost,
}

/// What the use of a device costs; 0 where nobody has said.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceCost {
    /// Electrical power while it works, W.
    pub power_w: f64,
    /// Price of an hour of work, in the lab's currency.
    pub per_hour: f64,
    /// Price of a millilitre that it dispenses, in the lab's currency.
    pub per_ml: f64,
}

/// A model of the laboratory that runs elsewhere and is asked over gRPC (`ppu.twin.v1.TwinService`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabTwin {
    /// Its name in this lab.
    pub name: String,
    /// Where it answers, `host:port`.
    pub address: String,
}

/// The sim behind a simulated lab.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// World file, relative to the lab file.
    pub world: String,
    /// Simulated seconds a second.
    pub speed: f64,
    /// Seed of the hidden truth.
    pub seed: u64,
}

/// A lab file, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Lab {
    /// Name of the lab; one directory level in every path and topic.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Present where the instruments are simulated.
    pub simulation: Option<Simulation>,
    /// Address of an external MQTT broker; `None` means the embedded one.
    pub broker: Option<String>,
    /// Models of the laboratory that run elsewhere.
    pub twins: Vec<LabTwin>,
    /// Currency of all costs, such as `EUR`; empty where no cost is given.
    pub currency: String,
    /// Devices in the order of the file.
    pub devices: Vec<LabDevice>,
    /// Every place where a sample can stand.
    pub positions: BTreeSet<PositionId>,
    /// Samples that are there at the start, and where.
    pub samples: BTreeMap<SampleId, PositionId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLab {
    version: Spanned<u32>,
    lab: Spanned<String>,
    title: String,
    simulation: Option<RawSimulation>,
    broker: Option<String>,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    twin: Vec<Spanned<LabTwin>>,
    #[serde(default)]
    device: Vec<RawDevice>,
    #[serde(default)]
    rack: Vec<RawRack>,
    #[serde(default)]
    position: Vec<RawPosition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSimulation {
    world: String,
    speed: Spanned<f64>,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    id: Spanned<String>,
    instrument: String,
    connect: Spanned<String>,
    sample_position: Option<Spanned<String>>,
    #[serde(default)]
    settings: toml::Table,
    #[serde(default)]
    cost: DeviceCost,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRack {
    name: Spanned<String>,
    slots: Spanned<u32>,
    /// Slots from 1 that hold a fresh sample at the start.
    #[serde(default)]
    samples: u32,
    #[serde(default = "default_prefix")]
    sample_prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPosition {
    name: Spanned<String>,
}

fn default_prefix() -> String {
    "S".to_owned()
}

impl Lab {
    /// Reads and checks a lab file.
    pub fn parse(file: &str, text: &str) -> Result<Lab, Problems> {
        let source = Source { file, text };
        let raw: RawLab = source.parse()?;
        let mut found = Vec::new();
        check_version(&source, &raw.version, &mut found);
        if let Err(error) = DeviceId::new(raw.lab.get_ref().clone()) {
            let cure = "name the lab with letters, digits, '.', '_' and '-'";
            found.push(source.problem(Some(raw.lab.span().start), "lab", "", error.to_string(), cure));
        }
        let mut lab = Lab {
            name: raw.lab.into_inner(),
            title: raw.title,
            simulation: None,
            broker: raw.broker,
            currency: raw.currency,
            twins: Vec::new(),
            devices: Vec::new(),
            positions: BTreeSet::new(),
            samples: BTreeMap::new(),
        };
        if let Some(simulation) = raw.simulation {
            let speed = *simulation.speed.get_ref();
            if !(1.0..=10_000.0).contains(&speed) {
                let cure = "give simulated seconds a second, from 1 to 10000";
                let at = Some(simulation.speed.span().start);
                found.push(source.problem(at, "simulation", "speed", format!("{speed} is not a speed"), cure));
            }
            lab.simulation = Some(Simulation { world: simulation.world, speed, seed: simulation.seed });
        }
        for position in raw.position {
            lab.add_position(&source, &position.name, &mut found);
        }
        for rack in raw.rack {
            lab.add_rack(&source, rack, &mut found);
        }
        for twin in raw.twin {
            lab.add_twin(&source, twin, &mut found);
        }
        for device in raw.device {
            lab.add_device(&source, device, &mut found);
        }
        if lab.devices.is_empty() && found.is_empty() {
            found.push(source.problem(None, "", "device", "the lab has no device", "add at least one [[device]]"));
        }
        Problems::or(found, lab)
    }

    /// Whether any instrument is simulated.
    pub fn is_simulated(&self) -> bool {
        self.simulation.is_some()
    }

    /// The lab as plans are checked against it, with the manifests known so far.
    pub fn model(&self, manifests: &BTreeMap<DeviceId, Manifest>) -> LabModel {
        LabModel {
            devices: self
                .devices
                .iter()
                .map(|device| DeviceModel {
                    id: device.id.clone(),
                    sample_position: device.sample_position.clone(),
                    manifest: manifests.get(&device.id).cloned(),
                })
                .collect(),
            positions: self.positions.clone(),
        }
    }

    fn add_position(
        &mut self,
        source: &Source<'_>,
        name: &Spanned<String>,
        found: &mut Vec<Problem>,
    ) -> Option<PositionId> {
        let subject = format!("position \"{}\"", name.get_ref());
        let at = Some(name.span().start);
        match PositionId::new(name.get_ref().clone()) {
            Ok(id) if self.positions.insert(id.clone()) => Some(id),
            Ok(_) => {
                let cure = "give each position one name; a rack named `rack` makes `rack.1`, `rack.2` and so on";
                found.push(source.problem(at, subject, "name", "the position exists already", cure));
                None
            }
            Err(error) => {
                found.push(source.problem(at, subject, "name", error.to_string(), "use a name such as `rack.3`"));
                None
            }
        }
    }

    fn add_rack(&mut self, source: &Source<'_>, rack: RawRack, found: &mut Vec<Problem>) {
        let slots = *rack.slots.get_ref();
        let subject = format!("rack \"{}\"", rack.name.get_ref());
        if slots == 0 || slots > 1000 || rack.samples > slots {
            let message = format!("{slots} slots with {} samples is not a rack", rack.samples);
            let cure = "a rack has 1 to 1000 slots and at most as many samples";
            found.push(source.problem(Some(rack.slots.span().start), subject, "slots", message, cure));
            return;
        }
        for slot in 1..=slots {
            let name = Spanned::new(rack.name.span(), format!("{}.{slot}", rack.name.get_ref()));
            let Some(position) = self.add_position(source, &name, found) else { return };
            if slot <= rack.samples {
                match SampleId::new(format!("{}{slot:02}", rack.sample_prefix)) {
                    Ok(sample) => {
                        self.samples.insert(sample, position);
                    }
                    Err(error) => {
                        let at = Some(rack.name.span().start);
                        let cure = "use letters and digits in `sample_prefix`";
                        found.push(source.problem(at, subject, "sample_prefix", error.to_string(), cure));
                        return;
                    }
                }
            }
        }
    }

    fn add_twin(&mut self, source: &Source<'_>, raw: Spanned<LabTwin>, found: &mut Vec<Problem>) {
        let at = raw.span().start;
        let twin = raw.into_inner();
        let subject = format!("twin \"{}\"", twin.name);
        let (field, message, cure) = if twin.name.trim().is_empty() {
            ("name", "it has no name", "give it a name, such as `gap_by_dft`")
        } else if self.twins.iter().any(|known| known.name == twin.name) {
            ("name", "another twin has this name already", "give each twin a name of its own")
        } else if Connection::parse(&format!("tcp:{}", twin.address)).is_none() {
            ("address", "it is not an address", "write host:port, such as `127.0.0.1:7900`")
        } else {
            self.twins.push(twin);
            return;
        };
        found.push(source.problem(Some(at), subject, field, message, cure));
    }

    fn add_device(&mut self, source: &Source<'_>, raw: RawDevice, found: &mut Vec<Problem>) {
        let subject = format!("device \"{}\"", raw.id.get_ref());
        let at = raw.id.span().start;
        let id = match DeviceId::new(raw.id.get_ref().clone()) {
            Ok(id) => id,
            Err(error) => {
                found.push(source.problem(
                    Some(at),
                    subject,
                    "id",
                    error.to_string(),
                    "use a name such as `furnace_a`",
                ));
                return;
            }
        };
        if self.devices.iter().any(|device| device.id == id) {
            let cure = "give each device an id of its own";
            found.push(source.problem(Some(at), subject, "id", "another device has this id already", cure));
            return;
        }
        let Some(connect) = Connection::parse(raw.connect.get_ref()) else {
            let message = format!("`{}` is not a connection", raw.connect.get_ref());
            let cure = "write `serial:/dev/serial/by-id/…`, `tcp:host:port`, `local` or `simulated`";
            found.push(source.problem(Some(raw.connect.span().start), subject, "connect", message, cure));
            return;
        };
        if connect == Connection::Simulated && self.simulation.is_none() {
            let message = "the device is simulated, but the lab has no simulation";
            let cure = "add [simulation] with world, speed and seed, or say how the real instrument is reached";
            found.push(source.problem(Some(raw.connect.span().start), subject, "connect", message, cure));
            return;
        }
        let sample_position = match &raw.sample_position {
            Some(name) => match self.add_position(source, name, found) {
                Some(position) => Some(position),
                None => return,
            },
            None => None,
        };
        let DeviceCost { power_w, per_hour, per_ml } = raw.cost;
        if [power_w, per_hour, per_ml].iter().any(|cost| !(cost.is_finite() && *cost >= 0.0)) {
            let cure = "give power and prices as numbers from 0 on, or leave them out";
            found.push(source.problem(Some(at), subject, "cost", "a power or a price is not a number from 0 on", cure));
            return;
        }
        if (per_hour > 0.0 || per_ml > 0.0) && self.currency.is_empty() {
            let cure = "write `currency = \"EUR\"`, or yours, at the top of the lab file";
            found.push(source.problem(
                Some(at),
                subject,
                "cost",
                "a price is given, but the lab has no currency",
                cure,
            ));
            return;
        }
        self.devices.push(LabDevice {
            id,
            instrument: raw.instrument,
            connect,
            sample_position,
            settings: raw.settings,
            cost: raw.cost,
        });
    }
}

/// Every file says `version = 1`; another number was written for another ppu.
pub(crate) fn check_version(source: &Source<'_>, version: &Spanned<u32>, found: &mut Vec<Problem>) {
    if *version.get_ref() != 1 {
        let message = format!("this ppu reads version 1, the file says {}", version.get_ref());
        let cure = "write `version = 1`, or use the ppu that the file was written for";
        found.push(source.problem(Some(version.span().start), "", "version", message, cure));
    }
}

/// A device as plans are checked against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceModel {
    /// Its id.
    pub id: DeviceId,
    /// Where a sample stands in it.
    pub sample_position: Option<PositionId>,
    /// What its driver announced; `None` until the driver was reached for the first time.
    pub manifest: Option<Manifest>,
}

impl DeviceModel {
    /// Whether the device has this capability.
    pub fn provides(&self, capability: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.provides(capability))
    }
}

/// The lab as plans are checked against it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabModel {
    /// Devices with what they announced.
    pub devices: Vec<DeviceModel>,
    /// Every place where a sample can stand.
    pub positions: BTreeSet<PositionId>,
}

impl LabModel {
    /// The device with this id.
    pub fn device(&self, id: &DeviceId) -> Option<&DeviceModel> {
        self.devices.iter().find(|device| &device.id == id)
    }

    /// What to do about an unknown device.
    pub fn device_cure(&self, name: &str) -> String {
        suggestion(name, self.devices.iter().map(|device| device.id.as_str()))
    }

    /// What to do about an unknown position.
    pub fn position_cure(&self, name: &str) -> String {
        match nearest(name, self.positions.iter().map(PositionId::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "positions are declared in the lab file by [[position]], [[rack]] and `sample_position`".to_owned(),
        }
    }

    /// What to do about an unknown capability.
    pub fn capability_cure(&self, name: &str) -> String {
        let known: BTreeSet<&str> = self
            .devices
            .iter()
            .filter_map(|device| device.manifest.as_ref())
            .flat_map(|manifest| manifest.capabilities.iter().map(|capability| capability.name.as_str()))
            .collect();
        let silent: Vec<_> =
            self.devices.iter().filter(|device| device.manifest.is_none()).map(|device| device.id.as_str()).collect();
        let cure = suggestion(name, known);
        if silent.is_empty() { cure } else { format!("{cure}; not reached yet: {}", silent.join(", ")) }
    }
}

fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let all = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? This lab has: {all}"),
        None => format!("this lab has: {all}"),
    }
}

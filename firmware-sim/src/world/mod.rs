//! The simulated world: matter, heat, light and robots behind the simulated instruments.
//!
//! One [`World`] has one clock (simulated seconds). Its state moves only with time and with physical actions; each action
//! leaves one line in the ledger. Instruments see the world through sensor models with noise, never the state itself.
//! The seam to the firmware layer is the set of methods of [`World`] that take a [`Cause`] or a device name.
//!
//! What is modelled: dispensing with its errors, drying, phase kinetics, loss of organic ions, grain growth, heat in a
//! hotplate and tube furnaces, placement errors and mishaps of the arm, and the detectors of balance, diffractometer
//! and spectrometer.
//!
//! Choices where nature would offer more:
//! - Vials and bottles are closed by septa, so only films lose solvent; inks stay below their solubility limits.
//! - There is no tin, no spin coater and no second material.
//! - A drawn activation energy tilts a rate about 400 K, so that 3 % of it does not multiply rates by e.
//! - Films creep above 373 K and keep only the tension of cooling from there.
//! - A film's loss of organic ions scales with the thickness its lead would give, not with what is left.
//! - Tube furnaces weigh 3130 J/K in all, follow ramps up to 12 K/min and cool with about 33 min: a film can be
//!   annealed at 80 to 200 °C within an hour or two. Their thermocouple reads high, so the film is colder than shown.
//! - A drop-cast film has a mean thickness; the coffee ring is recorded but measured by no instrument here.

pub mod config;
pub mod ledger;

mod arm;
mod balance;
mod by_hand;
mod diffract;
mod expose;
mod film;
mod inspect;
mod invariants;
mod kinetics;
mod liquids;
mod matter;
mod noise;
mod optics;
mod pump;
mod scatter;
mod state;
mod thermal;
mod time;
mod truth;

#[cfg(test)]
mod sanity;

pub use by_hand::ByHandError;
pub use config::{WorldConfig, WorldError};
pub use invariants::BrokenInvariant;
pub use ledger::{LedgerReader, LedgerWriter, Outcome};

use config::{DeviceKind, PositionConfig, SampleConfig};
use film::Film;
use kinetics::ZERO_C;
use ledger::LedgerEntry;
use liquids::Liquids;
use noise::Streams;
use serde_json::{Value, json};
use state::{Lights, Place, Sample, Seat, Spot};
use std::collections::BTreeMap;
use thermal::{Furnace, Hotplate, Tuning};
use truth::HiddenTruth;

/// What caused a physical action: the bytes of a protocol, on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Name of the device.
    pub device: String,
    /// BLAKE3 hex (16 characters) of the protocol bytes.
    pub frame: String,
    /// Whatever command id those bytes carry.
    pub command_id: Option<String>,
}

/// What an aspirate or dispense really moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiquidMoved {
    /// Volume asked for, µL.
    pub requested_ul: f64,
    /// Volume of liquid truly moved, µL.
    pub realised_ul: f64,
    /// Whether air came in.
    pub bubble: bool,
    /// How it went.
    pub outcome: Outcome,
}

/// What a pick or a place did.
#[derive(Debug, Clone, PartialEq)]
pub struct HandOver {
    /// The object that changed hands; `None` when nothing moved. A dropped object is named, with outcome `Failed`.
    pub object: Option<String>,
    /// Radial placement error, mm.
    pub radial_error_mm: f64,
    /// How it went.
    pub outcome: Outcome,
    /// Whether the robot felt a collision and stopped.
    pub protective_stop: bool,
}

/// A diffraction scan at constant step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanRequest {
    /// First 2θ, degrees.
    pub start_deg: f64,
    /// Step, degrees.
    pub step_deg: f64,
    /// Number of points.
    pub points: usize,
    /// Counting time per point, s.
    pub dwell_s: f64,
    /// Simulated time at which the scan began, s.
    pub start_s: f64,
}

/// The world: all state behind the instruments, with its clock and its ledger.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    truth: HiddenTruth,
    streams: Streams,
    now_s: f64,
    /// Last step of the thermal grid that has been taken, s.
    grid_s: f64,
    liquids: Liquids,
    samples: BTreeMap<String, Sample>,
    places: BTreeMap<String, Place>,
    gripper: Option<String>,
    plates: BTreeMap<String, Hotplate>,
    furnaces: BTreeMap<String, Furnace>,
    lights: BTreeMap<String, Lights>,
    optics: optics::Cache,
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    ledger: LedgerWriter,
    line: u64,
    watermark: invariants::Watermark,
}

impl World {
    /// Builds a world at time 0 from its configuration and seed, and writes the ledger's header.
    ///
    /// # Errors
    /// When the configuration contradicts itself or the ledger cannot take its header.
    pub fn new(config: &WorldConfig, seed: u64, mut ledger: LedgerWriter) -> Result<Self, WorldError> {
        config.check()?;
        let streams = Streams::new(seed);
        let truth = HiddenTruth::draw(config, &streams);
        let text = serde_json::to_string(config).map_err(|e| WorldError::Config(e.to_string()))?;
        let hash = blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
        let header = json!({"ledger": 1, "seed": seed, "config_hash": hash, "hidden_truth": truth});
        ledger.append(&header).map_err(WorldError::Ledger)?;
        let mut places = places(config);
        let samples = samples(&config.samples, config.ambient.temperature_c, &streams, &mut places);
        let ambient_c = config.ambient.temperature_c;
        let (mut plates, mut furnaces, mut lights) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for device in &config.device {
            let name = device.name.clone();
            let offset = truth.sensor_offset_k.get(&name).copied().unwrap_or(0.0);
            match device.kind {
                DeviceKind::HotplateStirrer => {
                    let gain = truth.sensor_gain.get(&name).copied().unwrap_or(0.0);
                    plates.insert(name, Hotplate::new(ambient_c, offset, gain, Tuning::Shipped));
                }
                DeviceKind::TubeFurnace => {
                    let flow = config.ambient.furnace_gas_flow_l_per_min;
                    furnaces.insert(name, Furnace::new(ambient_c, offset, flow));
                }
                DeviceKind::Spectrometer => {
                    lights.insert(name, Lights::default());
                }
                _ => {}
            }
        }
        let liquids = Liquids::new(config, &truth);
        Ok(Self {
            config: config.clone(),
            truth,
            streams,
            now_s: 0.0,
            grid_s: 0.0,
            liquids,
            samples,
            places,
            gripper: None,
            plates,
            furnaces,
            lights,
            optics: optics::Cache::default(),
            counts: BTreeMap::new(),
            ledger,
            line: 0,
            watermark: invariants::Watermark::default(),
        })
    }

    /// Counts one more execution of an action of a device and returns the new count.
    fn count(&mut self, device: &str, action: &str) -> u64 {
        if !self.counts.contains_key(device) {
            self.counts.insert(device.to_owned(), BTreeMap::new());
        }
        let actions = self.counts.get_mut(device).expect("inserted above when absent");
        match actions.get_mut(action) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                actions.insert(action.to_owned(), 1);
                1
            }
        }
    }

    /// Writes one line of the ledger.
    fn record(&mut self, cause: &Cause, entry: Record<'_>) {
        self.line += 1;
        let line = LedgerEntry {
            n: self.line,
            start_s: entry.start_s,
            end_s: self.now_s,
            device: cause.device.clone(),
            action: entry.action.to_owned(),
            frame: cause.frame.clone(),
            command_id: cause.command_id.clone(),
            requested: entry.requested,
            realised: entry.realised,
            outcome: entry.outcome,
            executions: self.executions(&cause.device, entry.action),
            state_after: entry.after.unwrap_or_else(|| self.state_hash()),
            state_before: entry.before,
        };
        if let Err(error) = self.ledger.append(&line) {
            // The world cannot refuse to have happened; the loss of its record is reported where people look.
            tracing::error!(%error, n = self.line, "the world's ledger could not be written");
        }
    }

    /// Probability of a mishap in this world.
    fn mishap(&self, probability: f64) -> f64 {
        (probability * self.config.mishaps.scale).min(1.0)
    }
}

/// What [`World::record`] writes beside the cause.
struct Record<'a> {
    action: &'a str,
    start_s: f64,
    requested: Value,
    realised: Value,
    outcome: Outcome,
    before: String,
    /// Hash afterwards; computed when absent. A reading knows that it is the one from before.
    after: Option<String>,
}

fn places(config: &WorldConfig) -> BTreeMap<String, Place> {
    let one = |entry: &PositionConfig, name: String| {
        (name, Place { kind: entry.kind, device: entry.device.clone(), occupant: None })
    };
    config.position.iter().flat_map(|entry| entry.names().into_iter().map(move |name| one(entry, name))).collect()
}

fn samples(
    config: &SampleConfig,
    ambient_c: f64,
    streams: &Streams,
    places: &mut BTreeMap<String, Place>,
) -> BTreeMap<String, Sample> {
    let area_m2 = (config.edge_mm * 1e-3).powi(2);
    let mut samples = BTreeMap::new();
    for k in 1..=config.count {
        let id = format!("S{k:02}");
        let position = format!("{}.{k}", config.rack);
        // Soda-lime glass, 2.5 g/cm³; the cut varies by a percent.
        let nominal_g = area_m2 * config.thickness_mm * 1e-3 * 2.5e6;
        let substrate_g = nominal_g * streams.open("substrate", u64::from(k)).gauss(1.0, 0.01);
        if let Some(place) = places.get_mut(&position) {
            place.occupant = Some(id.clone());
        }
        let sample = Sample {
            film: Film::bare(area_m2, ambient_c + ZERO_C),
            substrate_g,
            spot: Spot::At(position),
            seat: Seat::default(),
            at_s: 0.0,
            suspect: false,
            milestones: [false; 3],
        };
        samples.insert(id, sample);
    }
    samples
}

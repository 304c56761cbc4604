//! X-ray diffractometer: Malvern Panalytical Aeris with the automation interface (protocol reference 2.10).
//!
//! Text over TCP, terminated by `@END` and by nothing else. A scan's result is a file in a folder, written in place some
//! seconds after the scan, so that a reader can catch it half-written.

mod message;
#[cfg(test)]
mod tests;
mod xrdml;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;
use crate::world::{ScanRequest, World};
use message::Message;
use xrdml::ScanRecord;

/// Simulated time between the first and the second half of a result file.
const WRITING_S: f64 = 1.0;

/// A measurement programme of the instrument.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// First 2θ, degrees.
    pub start_deg: f64,
    /// Last 2θ, degrees.
    pub end_deg: f64,
    /// Step, degrees.
    pub step_deg: f64,
    /// Duration of the scan, simulated seconds.
    pub scan_s: f64,
    /// Counting time a point, seconds: longer than scan time over points, because the strip detector sees every angle
    /// for as long as it passes over it.
    pub counting_s: f64,
}

impl Application {
    fn points(&self) -> usize {
        (((self.end_deg - self.start_deg) / self.step_deg).round().max(0.0) as usize) + 1
    }
}

/// Keys of a diffractometer in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Serial number; it must start with `SIM`.
    pub serial: String,
    /// Number of slots; slot `n` is the position `<device>.slot<n>`.
    pub slots: u8,
    /// Measurement programmes by name.
    pub applications: BTreeMap<String, Application>,
    /// Time from the end of a scan to the result file, simulated seconds.
    pub result_delay_s: f64,
    /// Sends `@SAMPLE@MEASURED…@END` unasked when a scan has ended.
    pub events: bool,
}

impl Default for Config {
    fn default() -> Self {
        let film_fast = Application { start_deg: 10.0, end_deg: 45.0, step_deg: 0.02, scan_s: 120.0, counting_s: 18.0 };
        Self {
            serial: "SIM-AERIS-0001".into(),
            slots: 2,
            applications: BTreeMap::from([("film_fast".into(), film_fast)]),
            result_delay_s: 10.0,
            events: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SampleState {
    Added,
    Measuring,
    Measured,
}

impl SampleState {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Measuring => "measuring",
            Self::Measured => "measured",
        }
    }
}

#[derive(Clone, Debug)]
struct Sample {
    slot: Option<u8>,
    application: String,
    state: SampleState,
}

#[derive(Clone, Debug)]
struct Scan {
    id: String,
    application: Application,
    application_name: String,
    slot: u8,
    started_s: f64,
    ends_s: f64,
    frame: Vec<u8>,
}

/// A piece of a result file that is still to be written.
#[derive(Clone, Debug)]
struct Piece {
    due_s: f64,
    path: PathBuf,
    bytes: Vec<u8>,
    append: bool,
}

/// The diffractometer.
#[derive(Debug)]
pub struct AerisUai {
    config: Config,
    device: String,
    results: PathBuf,
    samples: BTreeMap<String, Sample>,
    occupied: BTreeMap<u8, bool>,
    scan: Option<Scan>,
    pieces: VecDeque<Piece>,
}

impl AerisUai {
    /// A diffractometer called `device` that writes its results into the folder `results`.
    pub fn new(config: Config, device: &str, results: &Path) -> Self {
        Self {
            config,
            device: device.to_owned(),
            results: results.to_owned(),
            samples: BTreeMap::new(),
            occupied: BTreeMap::new(),
            scan: None,
            pieces: VecDeque::new(),
        }
    }

    fn position(&self, slot: u8) -> String {
        format!("{}.slot{slot}", self.device)
    }

    fn slot_of(&self, location: &str) -> Option<u8> {
        let slot = location.strip_prefix("0,")?.trim().parse().ok()?;
        (1..=self.config.slots).contains(&slot).then_some(slot)
    }

    fn status_of(&self, message: &Message) -> String {
        if message.has("SYSTEM") {
            return "@STATUS@SYSTEM=remote@END".into();
        }
        if message.value("UNIT") == Some("xrd") {
            let ready = if self.scan.is_none() { "yes" } else { "no" };
            return format!("@STATUS@UNIT=xrd@READY={ready}@END");
        }
        if let Some(location) = message.value("LOCATION") {
            return match self.slot_of(location) {
                Some(slot) => {
                    let taken = self.occupied.get(&slot).copied().unwrap_or(false);
                    let state = if taken { "occupied" } else { "free" };
                    format!("@STATUS@LOCATION=0,{slot}@STATE={state}@END")
                }
                None => format!("@STATUS@LOCATION={location}@STATUS=fatal: no such location@END"),
            };
        }
        if let Some(id) = message.value("SAMPLE_ID") {
            let state = self.samples.get(id).map_or("unknown", |sample| sample.state.name());
            return format!("@STATUS@SAMPLE_ID={id}@STATE={state}@END");
        }
        "@STATUS@STATUS=fatal: unknown request@END".into()
    }

    fn add(&mut self, message: &Message) -> Result<(), String> {
        let id = message.sample_id()?;
        let application = message.value("APPLICATION").unwrap_or_default();
        let at = message.value("AT").unwrap_or_default();
        let slot = self.slot_of(at).ok_or_else(|| format!("no such location {at}"))?;
        if !self.config.applications.contains_key(application) {
            return Err(format!("no such application {application}"));
        }
        if self.samples.contains_key(id) {
            return Err(format!("sample id {id} is already in use"));
        }
        if !self.occupied.get(&slot).copied().unwrap_or(false) {
            return Err(format!("location 0,{slot} is free"));
        }
        if self.samples.values().any(|sample| sample.slot == Some(slot)) {
            return Err(format!("location 0,{slot} holds another sample"));
        }
        let sample = Sample { slot: Some(slot), application: application.to_owned(), state: SampleState::Added };
        self.samples.insert(id.to_owned(), sample);
        Ok(())
    }

    fn measure(&mut self, message: &Message, frame: &[u8], bench: &mut Bench<'_>) -> Result<(), String> {
        let id = message.sample_id()?;
        if let Some(scan) = &self.scan {
            return Err(format!("busy measuring {}", scan.id));
        }
        let sample = self.samples.get_mut(id).ok_or_else(|| format!("unknown sample id {id}"))?;
        if sample.state == SampleState::Measured {
            return Err(format!("sample id {id} has been measured"));
        }
        let slot = sample.slot.ok_or_else(|| format!("sample id {id} has been removed"))?;
        let name = message.value("APPLICATION").unwrap_or(&sample.application).to_owned();
        let application =
            self.config.applications.get(&name).cloned().ok_or_else(|| format!("no such application {name}"))?;
        sample.state = SampleState::Measuring;
        bench.count("measure");
        let stuck = bench.strike(Fault::Stuck, frame).is_some();
        let started_s = bench.now_s;
        let ends_s = if stuck { f64::INFINITY } else { started_s + application.scan_s };
        let (id, application_name, frame) = (id.to_owned(), name, frame.to_vec());
        self.scan = Some(Scan { id, application, application_name, slot, started_s, ends_s, frame });
        Ok(())
    }

    fn remove(&mut self, message: &Message) -> Result<(), String> {
        let by_place = message.value("AT").and_then(|at| self.slot_of(at));
        let id = match (message.value("SAMPLE_ID"), by_place) {
            (Some(id), _) => id.to_owned(),
            (None, Some(slot)) => {
                let found = self.samples.iter().find(|(_, sample)| sample.slot == Some(slot));
                found.map(|(id, _)| id.clone()).ok_or_else(|| format!("location 0,{slot} is free"))?
            }
            (None, None) => return Err("no sample id and no location".into()),
        };
        let sample = self.samples.get_mut(&id).ok_or_else(|| format!("unknown sample id {id}"))?;
        match sample.state {
            SampleState::Measuring => Err(format!("sample id {id} is being measured")),
            SampleState::Added => {
                self.samples.remove(&id);
                Ok(())
            }
            // A measured id stays known: its result file carries the name.
            SampleState::Measured => {
                sample.slot = None;
                Ok(())
            }
        }
    }

    fn move_sample(&self, message: &Message) -> Result<(), String> {
        let slot = |key: &str| message.value(key).and_then(|location| self.slot_of(location));
        match (slot("AT"), slot("TO")) {
            (Some(_), Some(_)) => Err("this instrument has no sample changer".into()),
            _ => Err("no such location".into()),
        }
    }

    fn finish(&mut self, scan: &Scan, bench: &mut Bench<'_>) {
        let application = &scan.application;
        let request = ScanRequest {
            start_deg: application.start_deg,
            step_deg: application.step_deg,
            points: application.points(),
            dwell_s: application.counting_s,
            start_s: scan.started_s,
        };
        let cause = bench.cause(&scan.frame, Some(scan.id.clone()));
        let counts = bench.world.diffract(&cause, &self.position(scan.slot), &request);
        bench.count("scan");
        if let Some(sample) = self.samples.get_mut(&scan.id) {
            sample.state = SampleState::Measured;
        }
        let record = ScanRecord {
            id: &scan.id,
            application: &scan.application_name,
            serial: &self.config.serial,
            scan: application,
            started_s: scan.started_s,
            ended_s: bench.now_s,
            counts: &counts,
        };
        let text = xrdml::write(&record);
        self.plan_file(&scan.id, text.into_bytes(), &scan.frame, bench);
        if self.config.events {
            bench.tell(None, format!("@SAMPLE@MEASURED@SAMPLE_ID={}@END", scan.id));
        }
    }

    fn plan_file(&mut self, id: &str, mut first: Vec<u8>, frame: &[u8], bench: &mut Bench<'_>) {
        if bench.strike(Fault::ResultFileMissing, frame).is_some() {
            return;
        }
        let late_s = bench.strike(Fault::ResultFileLate, frame).map_or(0.0, |firing| firing.delay_ms as f64 / 1000.0);
        let path = self.results.join(format!("{id}.xrdml"));
        let due_s = bench.now_s + self.config.result_delay_s + late_s;
        let second = first.split_off(first.len() / 2);
        self.pieces.push_back(Piece { due_s, path: path.clone(), bytes: first, append: false });
        if bench.strike(Fault::ResultFilePartial, frame).is_none() {
            self.pieces.push_back(Piece { due_s: due_s + WRITING_S, path, bytes: second, append: true });
        }
    }
}

fn write_piece(piece: &Piece) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).append(piece.append).truncate(!piece.append);
    options.open(&piece.path)?.write_all(&piece.bytes)
}

impl Firmware for AerisUai {
    fn kind(&self) -> &'static str {
        "aeris-uai"
    }

    fn identity(&self) -> String {
        self.config.serial.clone()
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        message::cut(input)
    }

    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        let message = Message::parse(request);
        if message.words.first().is_some_and(|word| word == "STATUS_REQUEST") {
            bench.count("status_request");
            let answer = self.status_of(&message);
            return bench.reply(session, answer);
        }
        let verb = message.words.get(1).map(String::as_str).unwrap_or_default();
        let done = match (message.words.first().map(String::as_str), verb) {
            (Some("SAMPLE"), "ADD") => self.add(&message),
            (Some("SAMPLE"), "MEASURE") => self.measure(&message, request, bench),
            (Some("SAMPLE"), "REMOVE") => self.remove(&message),
            (Some("SAMPLE"), "MOVE") => self.move_sample(&message),
            _ => Err("unknown request".into()),
        };
        let id = message.value("SAMPLE_ID").map(|id| format!("@SAMPLE_ID={id}")).unwrap_or_default();
        let status = match done {
            Ok(()) => "normal".into(),
            Err(why) => format!("fatal: {why}"),
        };
        bench.reply(session, format!("@SAMPLE@{verb}{id}@STATUS={status}@END"));
    }

    fn next_event_s(&self) -> Option<f64> {
        let scan = self.scan.as_ref().map(|scan| scan.ends_s).filter(|ends_s| ends_s.is_finite());
        let pieces = self.pieces.iter().map(|piece| piece.due_s);
        pieces.chain(scan).min_by(f64::total_cmp)
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        if let Some(scan) = self.scan.take_if(|scan| scan.ends_s <= bench.now_s) {
            self.finish(&scan, bench);
        }
        while let Some(index) = self.pieces.iter().position(|piece| piece.due_s <= bench.now_s) {
            let Some(piece) = self.pieces.remove(index) else { break };
            if let Err(error) = write_piece(&piece) {
                tracing::error!(device = bench.device, path = %piece.path.display(), %error, "cannot write a result file");
            }
        }
    }

    fn sense(&mut self, world: &World, _now_s: f64) {
        for slot in 1..=self.config.slots {
            self.occupied.insert(slot, world.occupied(&self.position(slot)));
        }
    }

    fn power_cycle(&mut self, _bench: &mut Bench<'_>) {
        self.scan = None;
        self.samples.retain(|_, sample| sample.state == SampleState::Measured);
        for sample in self.samples.values_mut() {
            sample.slot = None;
        }
    }

    fn unsolicited(&self) -> Vec<u8> {
        b"@EVENT@UNIT=xrd@MESSAGE=door closed@END".to_vec()
    }

    fn status(&self) -> Value {
        let samples: BTreeMap<&str, &str> =
            self.samples.iter().map(|(id, sample)| (id.as_str(), sample.state.name())).collect();
        json!({
            "measuring": self.scan.as_ref().map(|scan| &scan.id),
            "ends_s": self.scan.as_ref().map(|scan| scan.ends_s),
            "samples": samples,
            "files_pending": self.pieces.len(),
            "results": self.results,
        })
    }
}

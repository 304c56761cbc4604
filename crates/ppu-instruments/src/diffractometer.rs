//! Malvern Panalytical Aeris powder diffractometer, Universal Automation Interface on TCP (port 702).
//!
//! The sample id of a scan is made from the key of the command, so it is unique for ever, and so is the name of the
//! result file: a complete `<id>.xrdml` proves that this very scan was made. The interface cannot stop a scan; a
//! request to abort is noted, and the scan runs to its end.

mod settings;
mod uai;

use std::path::PathBuf;
use std::time::Duration;

use md5::{Digest as _, Md5};
use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::transport::SerialSettings;
use ppu_driver::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};
use serde::{Deserialize, Serialize};

use crate::common::{self, LabTimer, before_start, partial, refused, silent};
use crate::{codes, specs};

pub use settings::DiffractometerSettings;
use uai::Uai;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "aeris-uai";
/// Not used: the instrument is reached by TCP only.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// Lab time between two looks at a running scan.
const POLL: Duration = Duration::from_secs(5);
/// Lab time between two looks for a file.
const FILE_POLL: Duration = Duration::from_secs(1);
/// How a complete result file ends.
const FILE_END: &str = "</xrdMeasurements>";
/// The largest result file that is read; a scan has some hundred kilobytes.
const FILE_LIMIT: u64 = 64 << 20;

/// A diffractometer.
#[derive(Debug)]
pub struct Diffractometer {
    uai: Uai,
    settings: DiffractometerSettings,
    /// A sample id that may still be registered after a scan that did not begin; removed before the next one.
    left_over: Option<String>,
}

/// What the instrument showed before the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Snapshot {
    /// Whether a result file of this sample id existed already.
    known: bool,
    /// State of the slot.
    slot: String,
}

impl Diffractometer {
    /// A diffractometer that has not been contacted yet; `address` is `host:port`.
    pub fn new(address: &str, settings: DiffractometerSettings) -> Self {
        Self { uai: Uai::new(address), settings, left_over: None }
    }

    /// Registers a sample at the slot and starts a scan of it.
    async fn start(&mut self, id: &str, program: &str, attention: &Attention) -> Result<(), Fault> {
        if let Some(left_over) = self.left_over.take() {
            self.remove(&left_over).await;
        }
        let slot = self.settings.slot;
        let add = format!("@SAMPLE@ADD@APPLICATION={program}@SAMPLE_ID={id}@AT=0,{slot}@END");
        // Registering moves and measures nothing, so a lost answer is a refusal; the next scan cleans up.
        self.left_over = Some(id.to_owned());
        self.demand(&add).await.map_err(before_start)?;
        let measure = format!("@SAMPLE@MEASURE@SAMPLE_ID={id}@APPLICATION={program}@END");
        attention.telling();
        match self.demand(&measure).await {
            Err(Fault::Refused { code, message }) => {
                self.remove(id).await;
                Err(attention.nothing_happened(code, message))
            }
            decided => decided,
        }
    }

    /// Stays until the scan has ended and its file is complete.
    async fn await_result(&mut self, id: &str, attention: &Attention) -> Result<Done, Fault> {
        let timer = LabTimer::start(attention);
        let mut ready_since: Option<LabTimer> = None;
        loop {
            if let Some(done) = self.result_file(id).await? {
                self.remove(id).await;
                return Ok(done);
            }
            if self.is_ready().await? {
                let since = ready_since.get_or_insert_with(|| LabTimer::start(attention));
                if since.has_passed(self.settings.wait_s) {
                    self.remove(id).await;
                    let message = format!("the scan has ended, but {} is not complete", self.path(id).display());
                    return Err(partial(codes::XRD_FILE, message));
                }
                attention.pause(FILE_POLL).await;
                continue;
            }
            ready_since = None;
            if timer.has_passed(self.settings.scan_limit_s) {
                let message = format!("the scan {id} still runs after {:.0} s", timer.elapsed_s());
                return Err(silent(codes::XRD_LATE, message));
            }
            attention.pause(POLL).await;
        }
    }

    /// The result, once its file is complete.
    async fn result_file(&self, id: &str) -> Result<Option<Done>, Fault> {
        let path = self.path(id);
        match tokio::fs::metadata(&path).await {
            Ok(file) if file.len() > FILE_LIMIT => {
                return Err(partial(codes::XRD_FILE, format!("{} has {} bytes", path.display(), file.len())));
            }
            Ok(_) => {}
            // A share that is away for a moment looks the same as a file that is not there yet: both are waited for.
            Err(_) => return Ok(None),
        }
        let Ok(bytes) = tokio::fs::read(&path).await else { return Ok(None) };
        if !is_complete(&bytes) {
            return Ok(None);
        }
        let mut done =
            common::done(format!("{id}: {} bytes", bytes.len()), [("sample_id", Value::Text(id.to_owned()))]);
        done.raw.push(RawData { name: format!("{id}.xrdml"), media_type: "application/xml", bytes });
        Ok(Some(done))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.settings.results.join(format!("{id}.xrdml"))
    }

    /// Sends a request that acts, once.
    async fn demand(&self, request: &str) -> Result<(), Fault> {
        let message = self.uai.request(request, "STATUS").await?;
        if message.contradicts(request) {
            let message = format!("`{request}` was answered with `{message}`, which answers something else");
            return Err(silent(ppu_driver::codes::BAD_REPLY, message));
        }
        match message.field("STATUS") {
            Some("normal") => Ok(()),
            Some(status) if status.contains("fatal") => {
                Err(refused(codes::XRD_REFUSED, format!("`{request}` was refused: {status}")))
            }
            // Neither a yes nor a no: the request may have been carried out.
            _ => Err(silent(ppu_driver::codes::BAD_REPLY, format!("`{request}` was answered with `{message}`"))),
        }
    }

    /// Takes a sample id off the list. Failing to do so spoils nothing that has been measured.
    async fn remove(&mut self, id: &str) {
        match self.demand(&format!("@SAMPLE@REMOVE@SAMPLE_ID={id}@END")).await {
            Ok(()) => self.left_over = None,
            Err(fault) => {
                tracing::warn!(%fault, id, "the sample id could not be removed");
                self.left_over = Some(id.to_owned());
            }
        }
    }

    async fn is_ready(&self) -> Result<bool, Fault> {
        let answer = self.uai.query("@STATUS_REQUEST@UNIT=xrd@END", "READY", &["yes", "no"]).await?;
        Ok(answer == "yes")
    }

    async fn slot_state(&self) -> Result<String, Fault> {
        let request = format!("@STATUS_REQUEST@LOCATION=0,{}@END", self.settings.slot);
        Ok(self.uai.query(&request, "STATE", &["free", "occupied"]).await?)
    }

    async fn system(&self) -> Result<String, Fault> {
        Ok(self.uai.query("@STATUS_REQUEST@SYSTEM@END", "SYSTEM", &[]).await?)
    }
}

/// Whether a result file has been written to its end.
fn is_complete(bytes: &[u8]) -> bool {
    bytes.trim_ascii_end().ends_with(FILE_END.as_bytes())
}

/// The sample id of a command: readable at the instrument, at most 40 letters, digits and `-`, and unique because it
/// ends with a hash of the whole key.
fn sample_id(key: &str) -> String {
    let words: Vec<String> =
        key.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    // 29 characters, a hyphen and 10 digits of the hash make 40.
    let readable: String = words.join("-").chars().take(29).collect();
    let hash: String = Md5::digest(key.as_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", readable.trim_end_matches('-')).trim_start_matches('-').to_owned()
}

impl Instrument for Diffractometer {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        let message = self.uai.request("@STATUS_REQUEST@SYSTEM@END", "SYSTEM").await?;
        let serial = ["SERIAL", "SERIAL_NUMBER", "INSTRUMENT"].into_iter().find_map(|key| message.field(key));
        Ok(common::identity_of(&[serial.unwrap_or("aeris"), &message.to_string()]))
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        if request.command != "scan" {
            return Err(common::unknown_command(request));
        }
        common::text(request, "program")?;
        let system = self.system().await.map_err(before_start)?;
        if system != "remote" {
            return Err(refused(codes::XRD_NOT_READY, format!("the instrument is under {system} control")));
        }
        if !self.is_ready().await.map_err(before_start)? {
            return Err(refused(codes::XRD_NOT_READY, "the instrument is measuring something else"));
        }
        if let Some(left_over) = self.left_over.take() {
            self.remove(&left_over).await;
        }
        let known = tokio::fs::try_exists(self.path(&sample_id(&request.key))).await.unwrap_or(true);
        let slot = self.slot_state().await.map_err(before_start)?;
        Ok(common::encode_snapshot(&Snapshot { known, slot }))
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        if request.command != "scan" {
            return Err(common::unknown_command(request));
        }
        let id = sample_id(&request.key);
        let outcome = match self.start(&id, common::text(request, "program")?, attention).await {
            Ok(()) => self.await_result(&id, attention).await,
            Err(fault) => Err(fault),
        };
        outcome.map_err(|fault| attention.honest(fault))
    }

    /// A complete file of this id proves the scan; an instrument that measures can only be measuring this, because it was
    /// idle before and is driven by nobody else. An idle instrument without a file has not scanned if the id was new, the
    /// slot looks as it did before registering, and no file comes within the time that a file may take: the instrument is
    /// busy from the moment it accepts a scan, and a scan that ends leaves a file.
    async fn recover(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Recovered, Fault> {
        let Some(snapshot) = common::decode_snapshot::<Snapshot>(snapshot) else {
            return Ok(Recovered::Unknown("the snapshot cannot be read".to_owned()));
        };
        let id = sample_id(&request.key);
        if snapshot.known {
            let message = "a file of this sample id existed before the scan, so it proves nothing";
            return Ok(Recovered::Unknown(message.to_owned()));
        }
        let timer = LabTimer::start(attention);
        loop {
            if let Some(done) = self.result_file(&id).await? {
                self.left_over = Some(id);
                return Ok(Recovered::Finished(Ok(done)));
            }
            if !self.is_ready().await? {
                return Ok(Recovered::Running);
            }
            if timer.has_passed(self.settings.wait_s) {
                break;
            }
            attention.pause(FILE_POLL).await;
        }
        self.left_over = Some(id);
        let slot = self.slot_state().await?;
        if slot == snapshot.slot {
            return Ok(Recovered::NeverStarted);
        }
        let message = format!("no scan runs and there is no file, but the slot went from {} to {slot}", snapshot.slot);
        Ok(Recovered::Unknown(message))
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        attention.telling();
        self.await_result(&sample_id(&request.key), attention).await.map_err(|fault| attention.honest(fault))
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let ready = self.is_ready().await.map_err(before_start)?;
        let slot = self.slot_state().await.map_err(before_start)?;
        let control = self.system().await.map_err(before_start)?;
        Ok(vec![
            Reading { name: "measuring", value: Value::Flag(!ready) },
            Reading { name: "slot_occupied", value: Value::Flag(slot == "occupied") },
            Reading { name: "control", value: Value::Text(control) },
        ])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        let state = if self.is_ready().await? { "idle" } else { "measuring; its own interlocks guard the beam" };
        Ok(format!("{reason}: the diffractometer is {state}"))
    }
}

impl DiffractometerSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let description = "Measures a powder pattern of the sample at the slot.";
        let mut scan = specs::command("scan", ActionClass::Continuing, self.typical_scan_s, description);
        scan.arguments = vec![specs::choice("program", &self.programs, "Measurement program of the instrument.")];
        scan.results = vec![specs::result("sample_id", Unit::One, "Name of the scan at the instrument.")];
        scan.artifacts = true;
        scan.needs_sample = true;
        let otherwise = "there is no sample at the slot";
        scan.requires = vec![specs::must_be("slot_occupied", Value::Flag(true), otherwise)];
        Manifest {
            driver: DRIVER.to_owned(),
            model: "Malvern Panalytical Aeris".to_owned(),
            capabilities: vec![specs::capability("diffraction", vec![scan])],
            properties: vec![
                specs::property("measuring", Unit::One, "Whether a scan runs."),
                specs::property("slot_occupied", Unit::One, "Whether the slot is occupied."),
                specs::property("control", Unit::One, "Who controls the instrument: remote or local."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

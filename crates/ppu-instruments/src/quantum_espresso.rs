//! Quantum ESPRESSO's `pw.x` as a virtual instrument: first principles behind the same kit as a furnace.
//!
//! `scf` is of class *continuing*. A calculation may take days and goes on by itself in a process of its own, so a driver
//! that is started anew attaches to it again instead of throwing the days away. Its folder is named by the SHA-256 of
//! everything that decides the result (input, pseudopotentials, version of the program), so a finished output proves the
//! outcome whoever began it, and the same question is answered from the folder the second time.

mod input;
mod job;
mod output;
mod pseudopotentials;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::Stdio;
use std::time::Duration;

use ppu_atoms::{Element, cif};
use ppu_core::{ActionClass, Arguments, Manifest, Unit, Value};
use ppu_driver::transport::SerialSettings;
use ppu_driver::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::process::Child;

use crate::common::{self, partial, refused, silent};
use crate::{codes, specs};
use input::Calculation;
use job::Job;
use output::NotFound;

pub use settings::QuantumEspressoSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "quantum-espresso";
/// Not used: the instrument is a program on the driver's own computer.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// Largest CIF file; the command has to fit into the ledger with everything else.
const LARGEST_STRUCTURE: u32 = 24 * 1024;
/// Real time between two looks at a calculation: it is a process of this computer, whatever the pace of lab time.
const LOOK: Duration = Duration::from_millis(200);
/// How long a program may take to say its name; MPI takes seconds to start on a busy computer.
const NAME_WITHIN: Duration = Duration::from_secs(30);
/// How long a killed calculation may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Density cutoff as a multiple of the cutoff: 4 is exact for pseudopotentials that conserve the norm; the others need
/// 8 to 12 for their augmentation charges (INPUT_PW, ecutrho).
const DENSITY_RATIO: (f64, f64) = (4.0, 10.0);

/// A first-principles program on this computer.
#[derive(Debug)]
pub struct QuantumEspresso {
    settings: QuantumEspressoSettings,
    /// Version of the program, once it has been heard.
    version: String,
    /// The calculation that this driver dealt with last.
    last: Option<Job>,
    calculated: i64,
    reused: i64,
}

/// What the driver knew before the start: enough to find the calculation again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Snapshot {
    /// Name of its folder.
    input_sha256: String,
}

/// Enough to calculate it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Provenance {
    program: String,
    input_sha256: String,
    atoms: usize,
    /// Element → file and its SHA-256.
    pseudopotentials: BTreeMap<String, (String, String)>,
}

impl QuantumEspresso {
    /// A program that has not been started yet.
    pub fn new(settings: QuantumEspressoSettings) -> Self {
        Self { settings, version: String::new(), last: None, calculated: 0, reused: 0 }
    }

    fn job(&self, input_sha256: &str) -> Job {
        Job::new(self.settings.folder.join(input_sha256))
    }

    /// Checks the request and lays its folder out; nothing is calculated.
    async fn ready(&self, request: &Request) -> Result<Snapshot, Fault> {
        if request.command != "scf" {
            return Err(common::unknown_command(request));
        }
        let (settings, program, request) = (self.settings.clone(), self.version.clone(), request.clone());
        let laid_out = tokio::task::spawn_blocking(move || lay_out(&settings, program, &request));
        laid_out.await.unwrap_or_else(|error| Err(refused(codes::DFT_FOLDER, error.to_string())))
    }

    /// Stays with a calculation until it has ended; `child` is it where this driver started it.
    async fn stay(&self, job: &Job, mut child: Option<Child>, attention: &Attention) -> Result<Done, Fault> {
        let mut seen = 0;
        loop {
            if attention.should_abort() {
                return Err(end(job, child).await);
            }
            match &mut child {
                Some(child) => {
                    if tokio::time::timeout(LOOK, child.wait()).await.is_ok() {
                        // What it started may hold the output for a moment longer.
                        gone(job).await;
                        break;
                    }
                }
                None => {
                    tokio::time::sleep(LOOK).await;
                    if !job.is_running().map_err(folder)? {
                        break;
                    }
                }
            }
            if let Some((steps, accuracy_ry)) = output::progress(&job.output()).filter(|(steps, _)| *steps != seen) {
                tracing::info!(steps, accuracy_ry, folder = %job.folder().display(), "the calculation goes on");
                seen = steps;
            }
        }
        result(job)
    }
}

/// Reads the request and the pseudopotentials and writes the folder of the calculation.
fn lay_out(settings: &QuantumEspressoSettings, program: String, request: &Request) -> Result<Snapshot, Fault> {
    let text = common::text(request, "structure")?;
    let structure = cif::read(text).map_err(|error| refused(codes::DFT_STRUCTURE, format!("structure: {error}")))?;
    let structure = structure.structure;
    let elements: BTreeSet<Element> = structure.species().iter().copied().collect();
    let found = pseudopotentials::find(settings, &elements)
        .map_err(|error| refused(codes::DFT_PSEUDOPOTENTIAL, error.to_string()))?;
    let mut density_ratio = common::quantity(request, "density_ratio", Unit::One)?;
    if density_ratio == 0.0 {
        let (norm_conserving, other) = DENSITY_RATIO;
        density_ratio = if found.values().all(|one| one.norm_conserving) { norm_conserving } else { other };
    }
    let flag = |name: &str| request.arguments.get(name) == Some(&Value::Flag(true));
    let calculation = Calculation {
        cutoff_ry: common::quantity(request, "cutoff", Unit::Rydberg)?,
        density_ratio,
        grid: [
            common::integer(request, "grid_1")?,
            common::integer(request, "grid_2")?,
            common::integer(request, "grid_3")?,
        ],
        shifted: flag("shifted"),
        smearing_ry: common::quantity(request, "smearing", Unit::Rydberg)?,
        moment: common::quantity(request, "moment", Unit::One)?,
        forces: flag("forces"),
        most_steps: settings.most_steps,
        structure,
    };
    let files = found.iter().map(|(element, one)| (*element, one.file.clone())).collect();
    let input = input::write(&calculation, &files, job::PSEUDOPOTENTIALS);
    let mut hash = Sha256::new();
    for part in [&program, &input].into_iter().chain(found.values().map(|one| &one.sha256)) {
        // The length keeps two parts from being read as two others.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let input_sha256 = pseudopotentials::hex(&hash.finalize());
    let provenance = Provenance {
        program,
        input_sha256: input_sha256.clone(),
        atoms: calculation.structure.atoms(),
        pseudopotentials: found
            .into_iter()
            .map(|(element, one)| (element.to_string(), (one.file, one.sha256)))
            .collect(),
    };
    let pseudo = std::path::absolute(&settings.pseudopotentials).map_err(folder)?;
    let job = Job::new(settings.folder.join(&input_sha256));
    job.lay_out(&input, &common::encode_snapshot(&provenance), &pseudo).map_err(folder)?;
    Ok(Snapshot { input_sha256 })
}

/// What a calculation that is not running found, or why it found nothing.
fn result(job: &Job) -> Result<Done, Fault> {
    let text = job.output();
    let found = output::read(&text).map_err(|why| not_found(job, &why))?;
    let unreadable = |what: &str| partial(codes::DFT_FOLDER, format!("{what} in {}", job.folder().display()));
    let provenance: Provenance = (job.file(job::PROVENANCE).ok())
        .and_then(|bytes| common::decode_snapshot(&bytes))
        .ok_or_else(|| unreadable("the provenance cannot be read"))?;
    let input = job.file(job::INPUT).map_err(|_| unreadable("the input cannot be read"))?;
    let per_atom = found.energy_ev / provenance.atoms as f64;
    let mut done = common::done(
        format!("{per_atom:.6} eV/atom after {} steps, {:.1} CPU s", found.scf_steps, found.cpu_s),
        [
            ("energy", Value::quantity(found.energy_ev, Unit::Electronvolt)),
            ("energy_per_atom", Value::quantity(per_atom, Unit::Electronvolt)),
            ("scf_steps", Value::Integer(found.scf_steps.into())),
            ("k_points", Value::Integer(found.k_points.into())),
            ("cpu_time", Value::quantity(found.cpu_s, Unit::Second)),
            ("program", Value::Text(provenance.program.clone())),
            ("input_sha256", Value::Text(provenance.input_sha256.clone())),
        ],
    );
    let summary = serde_json::json!({ "provenance": provenance, "result": found });
    done.raw = vec![
        RawData { name: job::INPUT.to_owned(), media_type: "text/plain", bytes: input },
        RawData { name: job::OUTPUT.to_owned(), media_type: "text/plain", bytes: text.into_bytes() },
        RawData {
            name: "scf.json".to_owned(),
            media_type: "application/json",
            bytes: summary.to_string().into_bytes(),
        },
    ];
    Ok(done)
}

fn not_found(job: &Job, why: &NotFound) -> Fault {
    let said = job.last_error().map(|line| format!("; it said `{line}`")).unwrap_or_default();
    let place = job.folder().display();
    match why {
        NotFound::NotConverged { steps, .. } => Fault::Partial {
            code: codes::DFT_NOT_CONVERGED,
            message: format!("{why}; see {place}"),
            results: Arguments::from([("scf_steps".to_owned(), Value::Integer((*steps).into()))]),
        },
        NotFound::Stopped { .. } | NotFound::Unreadable { .. } => {
            partial(codes::DFT_STOPPED, format!("{why}; see {place}"))
        }
        NotFound::Cut { .. } => partial(codes::DFT_STOPPED, format!("{why}{said}; see {place}")),
    }
}

/// Ends a calculation on request, and says how that went.
async fn end(job: &Job, child: Option<Child>) -> Fault {
    let killed = job.kill();
    if let Some(mut child) = child {
        // What was started a moment ago may not have its number on file yet; an error says that it is gone already.
        let _ = child.start_kill();
        // Nothing else collects the dead process.
        let _ = tokio::time::timeout(GONE_WITHIN, child.wait()).await;
    }
    match (killed, gone(job).await) {
        (_, true) => Fault::Aborted { message: "the calculation was ended; nothing of it counts".to_owned() },
        (Err(error), false) => silent(codes::DFT_STOPPED, format!("the calculation cannot be ended: {error}")),
        (Ok(_), false) => silent(codes::DFT_STOPPED, "the calculation was told to end and still runs"),
    }
}

/// Waits until nobody calculates in this folder.
async fn gone(job: &Job) -> bool {
    let gone = async {
        while job.is_running().unwrap_or(true) {
            tokio::time::sleep(LOOK / 10).await;
        }
    };
    tokio::time::timeout(GONE_WITHIN, gone).await.is_ok()
}

fn folder(error: io::Error) -> Fault {
    refused(codes::DFT_FOLDER, format!("the folder of the calculation: {error}"))
}

impl Instrument for QuantumEspresso {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        let words = self.settings.command();
        let probe = self.settings.folder.join("probe");
        std::fs::create_dir_all(&probe).map_err(folder)?;
        let mut command = tokio::process::Command::from(job::command(&words).map_err(folder)?);
        // Without an input the program says who it is, complains, and ends.
        command.current_dir(&probe).stdin(Stdio::null()).kill_on_drop(true);
        let not_there = |why: String| {
            let cure = "install it (Debian and Ubuntu: `apt install quantum-espresso quantum-espresso-data`) or name it \
                        in the settings, `program = [\"/path/to/pw.x\"]`";
            refused(codes::DFT_NOT_INSTALLED, format!("`{}` {why}; {cure}", words.join(" ")))
        };
        let said = match tokio::time::timeout(NAME_WITHIN, command.output()).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_there("is not on this computer".to_owned()));
            }
            Ok(Err(error)) => return Err(not_there(format!("cannot be started: {error}"))),
            Err(_) => return Err(not_there("does not say its name".to_owned())),
        };
        let text = String::from_utf8_lossy(&said.stdout);
        let version = output::version(&text).ok_or_else(|| not_there("does not speak like pw.x".to_owned()))?;
        self.version = format!("PWSCF {version}");
        Ok(self.version.clone())
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        Ok(common::encode_snapshot(&self.ready(request).await?))
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let job = self.job(&self.ready(request).await?.input_sha256);
        self.last = Some(job.clone());
        let mut child = None;
        if !job.is_running().map_err(folder)? {
            if let Ok(mut done) = result(&job) {
                self.reused += 1;
                done.message.push_str(", calculated before");
                return Ok(done);
            }
            attention.telling();
            child = match job.start(&self.settings.command()) {
                Ok(child) => Some(child),
                Err(error) => {
                    let message = format!("{} cannot be started: {error}", self.settings.command().join(" "));
                    return Err(attention.nothing_happened(codes::DFT_NOT_INSTALLED, message));
                }
            };
        }
        attention.telling();
        let outcome = self.stay(&job, child, attention).await;
        self.calculated += i64::from(outcome.is_ok());
        outcome.map_err(|fault| attention.honest(fault))
    }

    /// A whole output in the folder is the result of this input, whoever began it. A calculation that broke off has
    /// touched nothing but its own folder, which the next start empties: it is as if it had never begun.
    async fn recover(&mut self, _: &Request, snapshot: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        let Some(Snapshot { input_sha256 }) = common::decode_snapshot(snapshot) else {
            return Ok(Recovered::Unknown("the snapshot cannot be read".to_owned()));
        };
        let job = self.job(&input_sha256);
        self.last = Some(job.clone());
        if job.is_running().map_err(folder)? {
            return Ok(Recovered::Running);
        }
        Ok(match output::read(&job.output()) {
            Err(NotFound::Cut { .. }) => Recovered::NeverStarted,
            _ => Recovered::Finished(result(&job)),
        })
    }

    async fn attend(&mut self, _: &Request, snapshot: &[u8], attention: &Attention) -> Result<Done, Fault> {
        attention.telling();
        let Some(Snapshot { input_sha256 }) = common::decode_snapshot(snapshot) else {
            return Err(silent(codes::DFT_FOLDER, "the snapshot cannot be read"));
        };
        let outcome = self.stay(&self.job(&input_sha256), None, attention).await;
        self.calculated += i64::from(outcome.is_ok());
        outcome.map_err(|fault| attention.honest(fault))
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        Ok(vec![
            Reading { name: "program", value: Value::Text(self.version.clone()) },
            Reading { name: "calculated", value: Value::Integer(self.calculated) },
            Reading { name: "reused", value: Value::Integer(self.reused) },
        ])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        let Some(job) = &self.last else { return Ok(format!("{reason}: nothing is being calculated")) };
        if !job.is_running().map_err(folder)? {
            return Ok(format!("{reason}: nothing is being calculated"));
        }
        match end(job, None).await {
            Fault::Aborted { message } => Ok(format!("{reason}: {message}")),
            other => Err(other),
        }
    }
}

impl QuantumEspressoSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let description = "Energy of a crystal structure at fixed positions, self-consistent.";
        let mut scf = specs::command("scf", ActionClass::Continuing, self.typical_s, description);
        let grid = |name: &str, edge: &str| {
            let text = format!("Divisions of the k-point grid along the {edge} reciprocal edge.");
            specs::integer(name, (1, 64), None, &text)
        };
        let smearing = "Width of the cold smearing, for metals; 0 for fixed occupations.";
        let moment = "Magnetisation to begin with, as a share of the valence electrons; 0 for no spin.";
        let ratio =
            "Density cutoff as a multiple of the cutoff; 0 takes 4 for norm-conserving pseudopotentials, else 10.";
        scf.arguments = vec![
            specs::document("structure", LARGEST_STRUCTURE, "The structure as a CIF file, ordered."),
            specs::quantity("cutoff", Unit::Rydberg, (5.0, 400.0), None, "Cutoff of the plane waves."),
            grid("grid_1", "first"),
            grid("grid_2", "second"),
            grid("grid_3", "third"),
            specs::flag("shifted", "Whether the grid is moved by half a step."),
            specs::quantity("smearing", Unit::Rydberg, (0.0, 0.5), Some(0.0), smearing),
            specs::quantity("moment", Unit::One, (-1.0, 1.0), Some(0.0), moment),
            specs::quantity("density_ratio", Unit::One, (0.0, 16.0), Some(0.0), ratio),
            specs::flag("forces", "Whether forces and stress are calculated too."),
        ];
        scf.results = vec![
            specs::result("energy", Unit::Electronvolt, "Total energy of the cell."),
            specs::result("energy_per_atom", Unit::Electronvolt, "Total energy for each atom."),
            specs::result("scf_steps", Unit::One, "Steps to self-consistency."),
            specs::result("k_points", Unit::One, "k points after symmetry."),
            specs::result("cpu_time", Unit::Second, "CPU time that the program reports."),
            specs::result("program", Unit::One, "Program and version."),
            specs::result("input_sha256", Unit::One, "Hash of input, pseudopotentials and version."),
        ];
        scf.artifacts = true;
        Manifest {
            driver: DRIVER.to_owned(),
            model: "Quantum ESPRESSO pw.x".to_owned(),
            capabilities: vec![specs::capability("first_principles", vec![scf])],
            properties: vec![
                specs::property("program", Unit::One, "Program and version."),
                specs::property("calculated", Unit::One, "Calculations that ended well since the driver began."),
                specs::property("reused", Unit::One, "Requests that were answered from calculations made before."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

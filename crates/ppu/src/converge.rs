//! `ppu twin converge`: a precision is asked for, and cutoff and k-point grid are the answer. The calculations go through
//! the same driver as in a lab, whose folder is the cache: what was calculated before the approval is not calculated again.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ppu_atoms::Structure;
use ppu_core::{Arguments, Manifest, Unit, Value};
use ppu_driver::transport::Connect;
use ppu_driver::{Attention, Done, Instrument, Request};
use ppu_instruments::{AnyInstrument, InstrumentFile, quantum_espresso};
use ppu_twin::convergence::{Bill, Converged, Convergence, Ladder, Next, Point, Run};
use serde_json::json;
use tokio::sync::watch;

use crate::{exit, twin};

/// Cutoffs in Ry from soft pseudopotentials to hard ones, in steps over which convergence shows.
const CUTOFFS_RY: [f64; 11] = [20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 120.0, 160.0, 200.0];
/// Distances of k points in Å⁻¹: the coarsest gives an insulator of two atoms four divisions; each is finer by a factor
/// that changes an even number of divisions.
const SPACINGS: [f64; 8] = [0.5, 0.333, 0.25, 0.1667, 0.125, 0.0833, 0.0625, 0.0417];

#[derive(Debug, Args)]
pub(crate) struct ConvergeArguments {
    /// CIF file; the whole cell of the file is calculated.
    file: PathBuf,
    /// Precision of the energy for each atom, such as 5meV, against the finest parameters used.
    #[arg(long, value_parser = precision)]
    precision: f64,
    /// Instrument file with the settings of the program.
    #[arg(long)]
    instrument: Option<PathBuf>,
    /// Folder of the pseudopotentials, instead of the file's.
    #[arg(long)]
    pseudo: Option<PathBuf>,
    /// A setting instead of the file's, name=value (TOML); once for each.
    #[arg(long = "set", value_parser = crate::files::name_and_toml)]
    settings: Vec<(String, toml::Value)>,
    /// Width of the cold smearing in Ry; a metal needs one.
    #[arg(long, default_value_t = 0.0)]
    smearing_ry: f64,
    /// Magnetisation to begin with, as a share of the valence electrons; a magnet needs one.
    #[arg(long, default_value_t = 0.0)]
    moment: f64,
    /// Agree to the bill: also make the run that verifies the answer.
    #[arg(long)]
    approve: bool,
    /// Print the bill or the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// eV for each atom from a text such as `5meV` or `0.01eV`.
fn precision(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix("meV") {
        Some(number) => (number, 1e-3),
        None => (text.trim().strip_suffix("eV").ok_or("write a precision such as 5meV or 0.01eV")?, 1.0),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("`{number}` is not a number"))?;
    if number > 0.0 && number.is_finite() { Ok(number * scale) } else { Err(format!("{text} is no precision")) }
}

pub(crate) async fn run(arguments: ConvergeArguments) -> anyhow::Result<u8> {
    let (name, structure) = twin::read(&arguments.file)?;
    let cif = std::fs::read_to_string(&arguments.file)?;
    let mut search = Convergence::new(arguments.precision, ladder(&structure))?;
    let mut program = Program::open(&arguments).await?;
    eprintln!("{name}, {} atoms, {}", structure.atoms(), program.name);
    loop {
        match search.next().map_err(|error| exit::coded(exit::INVALID, error.to_string()))? {
            Next::Run(point) => {
                let (cutoff_ry, grid) = search.parameters(point).context("the search asks for points of its ladder")?;
                let run = program.calculate(&cif, cutoff_ry, grid, &arguments).await?;
                let [a, b, c] = grid;
                let energy = run.energy_ev_per_atom;
                eprintln!("{cutoff_ry:>6} Ry  {a}x{b}x{c}  {energy:.6} eV/atom  {:.1} CPU s", run.cpu_s);
                search.record(point, run)?;
            }
            Next::Approve(bill) if arguments.approve => search.approve(&bill),
            Next::Approve(bill) => {
                twin::print(&if arguments.json {
                    bill_json(&search, &bill).to_string()
                } else {
                    bill_text(&search, &bill)
                });
                return Ok(0);
            }
            Next::Done(done) => {
                twin::print(&if arguments.json {
                    done_json(&search, &done).to_string()
                } else {
                    done_text(&search, &done)
                });
                return Ok(0);
            }
        }
    }
}

/// Cutoffs, and grids whose points lie equally far apart along the three reciprocal edges; even divisions only, because
/// even and odd grids converge along different lines.
fn ladder(structure: &Structure) -> Ladder {
    let inverse = structure.lattice().inverse().expect("a structure has a volume");
    let length = |edge: usize| {
        let squares: f64 = (0..3).map(|axis| inverse[axis][edge] * inverse[axis][edge]).sum();
        2.0 * std::f64::consts::PI * squares.sqrt()
    };
    let edges = [length(0), length(1), length(2)];
    // A hair less, so that rounding does not make the next even number out of a whole one.
    let divisions = |edge: f64, spacing: f64| 2 * (edge / (2.0 * spacing) - 0.05).ceil().max(1.0) as u32;
    let mut grids: Vec<[u32; 3]> = SPACINGS.iter().map(|spacing| edges.map(|edge| divisions(edge, *spacing))).collect();
    grids.dedup();
    Ladder { cutoffs_ry: CUTOFFS_RY.to_vec(), grids }
}

/// The driver of the program, without a lab around it.
struct Program {
    instrument: AnyInstrument,
    manifest: Manifest,
    attention: Attention,
    name: String,
    calculations: usize,
}

impl Program {
    async fn open(arguments: &ConvergeArguments) -> anyhow::Result<Program> {
        let mut settings = match &arguments.instrument {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
                InstrumentFile::parse(&path.display().to_string(), &text)?.settings
            }
            None => toml::Table::new(),
        };
        if let Some(folder) = &arguments.pseudo {
            settings.insert("pseudopotentials".to_owned(), folder.display().to_string().into());
        }
        settings.extend(arguments.settings.iter().cloned());
        let mut instrument = ppu_instruments::open(quantum_espresso::DRIVER, Connect::Local, &settings)?;
        let (abort, aborted) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                abort.send_replace(true);
            }
            // Kept until the process ends.
            std::future::pending::<()>().await;
        });
        let name = instrument.connect().await.map_err(|fault| exit::coded(exit::NOT_FOUND, fault.to_string()))?;
        let manifest = instrument.describe();
        Ok(Program { instrument, manifest, attention: Attention::new(1.0, aborted), name, calculations: 0 })
    }

    async fn calculate(
        &mut self,
        cif: &str,
        cutoff_ry: f64,
        grid: [u32; 3],
        arguments: &ConvergeArguments,
    ) -> anyhow::Result<Run> {
        self.calculations += 1;
        let given = Arguments::from([
            ("structure".to_owned(), Value::Text(cif.to_owned())),
            ("cutoff".to_owned(), Value::quantity(cutoff_ry, Unit::Rydberg)),
            ("grid_1".to_owned(), Value::Integer(grid[0].into())),
            ("grid_2".to_owned(), Value::Integer(grid[1].into())),
            ("grid_3".to_owned(), Value::Integer(grid[2].into())),
            ("smearing".to_owned(), Value::quantity(arguments.smearing_ry, Unit::Rydberg)),
            ("moment".to_owned(), Value::quantity(arguments.moment, Unit::One)),
        ]);
        let (capability, command) = ("first_principles", "scf");
        let spec = self.manifest.command(capability, command).context("the driver can calculate")?;
        let checked = spec.check(&given).map_err(|errors| {
            let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
            exit::coded(exit::INVALID, all.join("; "))
        })?;
        let request = Request {
            key: format!("converge/{}#1", self.calculations),
            capability: capability.to_owned(),
            command: command.to_owned(),
            arguments: checked,
            sample: None,
            positions: Vec::new(),
        };
        let done = self.instrument.execute(&request, &self.attention).await;
        let done = done.map_err(|fault| {
            let code = if self.attention.should_abort() { exit::INTERRUPTED } else { exit::FAILURE };
            exit::coded(code, fault.to_string())
        })?;
        let energy_ev_per_atom = number(&done, "energy_per_atom", Unit::Electronvolt)?;
        Ok(Run { energy_ev_per_atom, cpu_s: number(&done, "cpu_time", Unit::Second)? })
    }
}

fn number(done: &Done, name: &str, unit: Unit) -> anyhow::Result<f64> {
    done.results.get(name).and_then(|value| value.in_unit(unit)).with_context(|| format!("there is no {name}"))
}

/// `40 Ry, 8x8x8`.
fn at(search: &Convergence, point: Point) -> String {
    let Some((cutoff_ry, [a, b, c])) = search.parameters(point) else { return String::new() };
    format!("{cutoff_ry} Ry, {a}x{b}x{c}")
}

fn bill_text(search: &Convergence, bill: &Bill) -> String {
    format!(
        "{}: modelled error {:.2} meV/atom, {:.1} CPU s each\nverified by one run at {}: {:.1} CPU s ({} runs and {:.1} CPU s \
         so far)\nAgree to the bill with --approve; what was calculated is kept.",
        at(search, bill.chosen),
        bill.error_ev_per_atom * 1e3,
        bill.chosen_s,
        at(search, bill.verify),
        bill.verify_s,
        bill.runs,
        bill.spent_s,
    )
}

fn done_text(search: &Convergence, done: &Converged) -> String {
    format!(
        "{}: within {:.2} meV/atom of the finest parameters used, {:.1} CPU s each\nverified at {}, which the model missed \
         by {:.2} meV/atom; beyond the finest parameters perhaps another {:.2} meV/atom ({} runs, {:.1} CPU s)",
        at(search, done.bill.chosen),
        (done.bill.error_ev_per_atom + done.residual_ev_per_atom) * 1e3,
        done.bill.chosen_s,
        at(search, done.bill.verify),
        done.residual_ev_per_atom * 1e3,
        done.beyond_ev_per_atom * 1e3,
        done.bill.runs,
        done.bill.spent_s,
    )
}

fn bill_json(search: &Convergence, bill: &Bill) -> serde_json::Value {
    let parameters = |point: Point| {
        search.parameters(point).map(|(cutoff_ry, grid)| json!({ "cutoff_ry": cutoff_ry, "grid": grid }))
    };
    json!({
        "approved": false,
        "chosen": parameters(bill.chosen),
        "verify": parameters(bill.verify),
        "error_ev_per_atom": bill.error_ev_per_atom,
        "runs": bill.runs,
        "spent_cpu_s": bill.spent_s,
        "verify_cpu_s": bill.verify_s,
        "chosen_cpu_s": bill.chosen_s,
    })
}

fn done_json(search: &Convergence, done: &Converged) -> serde_json::Value {
    let mut json = bill_json(search, &done.bill);
    json["approved"] = true.into();
    json["residual_ev_per_atom"] = done.residual_ev_per_atom.into();
    json["beyond_ev_per_atom"] = done.beyond_ev_per_atom.into();
    json["verified_ev_per_atom"] = done.verified.energy_ev_per_atom.into();
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppu_atoms::{Element, Lattice};

    #[test]
    fn a_precision_has_a_unit() {
        assert_eq!(precision("5meV"), Ok(5e-3));
        assert_eq!(precision(" 0.01 eV"), Ok(0.01));
        assert!(precision("5").is_err() && precision("-1meV").is_err() && precision("xeV").is_err());
    }

    #[test]
    fn grids_have_even_divisions_in_proportion_to_the_cell() {
        let silicon: Element = "Si".parse().expect("an element");
        let lattice = Lattice::from_parameters([3.84, 3.84, 7.68], [60.0, 60.0, 60.0]);
        let structure = Structure::new(lattice, vec![silicon], vec![[0.0; 3]]).expect("a structure");
        let ladder = ladder(&structure);
        assert_eq!(ladder.grids[..4], [[4, 4, 2], [6, 6, 4], [8, 8, 4], [12, 12, 6]]);
        Convergence::new(1e-3, ladder).expect("it ascends");
    }
}

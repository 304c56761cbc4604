//! `ppu twin`: the weights of the universal potential, and what it says of crystal structures in CIF files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use ppu_atoms::wheel::{self, Head};
use ppu_atoms::{Structure, cif};
use ppu_twin::{AtomisticEvaluation, AtomisticStage, AtomisticTwin};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::converge::{self, ConvergeArguments};
use crate::exit;
use crate::invent::{self, InventArguments};
use crate::rules::{self, RulesArguments};

/// The wheel of the package chgnet 0.4.2 on PyPI, which holds the published weights.
const WHEEL: &str = "https://files.pythonhosted.org/packages/70/43/\
    eb6677e8da6b60432a967239be3a77358c3dc50d7a6fe46d13c695119089/\
    chgnet-0.4.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
const WHEEL_SHA256: &str = "f60a3ed0dacc4657c511807eb1de44e12654e54d8f5a0cc483d1255564fb378a";
/// Name of the licence notice that stays beside the weights.
const LICENCE_FILE: &str = "LICENCE-chgnet.txt";

/// Levels of the digital twin for compositions and crystals.
#[derive(Debug, Subcommand)]
pub(crate) enum TwinVerb {
    /// Gets the published weights of the potential and converts them; the only command of ppu that uses the internet.
    Fetch {
        /// A wheel of the package chgnet 0.4.2 that is here already, in place of the one on PyPI.
        #[arg(long)]
        from: Option<PathBuf>,
        /// Folder for the weights.
        #[arg(long, default_value = "ppu-weights", env = "PPU_WEIGHTS")]
        to: PathBuf,
    },
    /// What charges, radii and bans say of compositions; needs no weights.
    Rules(RulesArguments),
    /// Energies of crystal structures; ordered ones, as they stand or relaxed within their symmetry.
    Evaluate(EvaluateArguments),
    /// Draws new crystals from the shipped model of Wyckoff positions and writes them as CIF files.
    Invent(InventArguments),
    /// Finds the cheapest cutoff and k-point grid for a precision, with Quantum ESPRESSO; a person approves the bill.
    Converge(ConvergeArguments),
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    /// CIF files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Relax positions and cell first.
    #[arg(long)]
    relax: bool,
    /// Which training.
    #[arg(long, value_enum, default_value_t = HeadName::Pbe)]
    head: HeadName,
    /// Folder of the weights.
    #[arg(long, default_value = "ppu-weights", env = "PPU_WEIGHTS")]
    weights: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HeadName {
    /// PBE and PBE+U.
    Pbe,
    /// r²SCAN.
    R2scan,
}

impl From<HeadName> for Head {
    fn from(name: HeadName) -> Head {
        match name {
            HeadName::Pbe => Head::Pbe,
            HeadName::R2scan => Head::R2scan,
        }
    }
}

pub(crate) async fn run(verb: TwinVerb) -> anyhow::Result<u8> {
    match verb {
        TwinVerb::Fetch { from, to } => fetch(from.as_deref(), &to),
        TwinVerb::Rules(arguments) => rules::run(&arguments),
        TwinVerb::Evaluate(arguments) => evaluate(&arguments),
        TwinVerb::Invent(arguments) => invent::run(&arguments),
        TwinVerb::Converge(arguments) => converge::run(arguments).await,
    }
}

fn weights_file(folder: &Path, head: Head) -> PathBuf {
    folder.join(format!("chgnet-{}.safetensors", head.name()))
}

fn fetch(from: Option<&Path>, to: &Path) -> anyhow::Result<u8> {
    let bytes = match from {
        Some(path) => std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => download()?,
    };
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for head in Head::ALL {
        let weights = wheel::weights(&bytes, head)
            .map_err(|error| exit::coded(exit::INVALID, format!("the wheel is not the one that is known: {error}")))?;
        let file = weights_file(to, head);
        write(&file, &weights.to_safetensors())?;
        if let Some(licence) = weights.metadata().get("licence") {
            write(&to.join(LICENCE_FILE), licence.as_bytes())?;
        }
        eprintln!("{}: {}", file.display(), weights.metadata().get("model").map_or("", String::as_str));
    }
    eprintln!("the licence of the weights is in {}", to.join(LICENCE_FILE).display());
    Ok(0)
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ppu_store::write_atomically(file, bytes).with_context(|| format!("{} cannot be written", file.display()))
}

/// The system's curl keeps TLS and its certificates out of a control stack that needs them once, at set-up.
fn download() -> anyhow::Result<Vec<u8>> {
    eprintln!("fetching {WHEEL}");
    let answer = Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error", "--max-time", "600", WHEEL])
        .output()
        .with_context(|| format!("curl cannot be run; fetch {WHEEL} by other means and give it with --from"))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        let text = format!("the download failed: {}; --from takes a wheel that is here already", said.trim());
        return Err(exit::coded(exit::UNREACHABLE, text));
    }
    let digest: String = Sha256::digest(&answer.stdout).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != WHEEL_SHA256 {
        let text = format!("what was downloaded is not the wheel: SHA-256 {digest}, expected {WHEEL_SHA256}");
        return Err(exit::coded(exit::INVALID, text));
    }
    Ok(answer.stdout)
}

fn evaluate(arguments: &EvaluateArguments) -> anyhow::Result<u8> {
    let file = weights_file(&arguments.weights, arguments.head.into());
    let twin = match std::fs::read(&file) {
        Ok(bytes) => AtomisticTwin::from_safetensors(&bytes)
            .map_err(|error| exit::coded(exit::INVALID, format!("{}: {error}", file.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => AtomisticTwin::without_weights(),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("{} cannot be read", file.display()))),
    };
    let stage = if arguments.relax { AtomisticStage::Relaxed } else { AtomisticStage::AsGiven };
    for path in &arguments.files {
        let (name, structure) = read(path)?;
        let found = twin
            .evaluate(&structure, stage)
            .map_err(|refusal| exit::coded(exit::INVALID, format!("{}: {}", path.display(), with_cause(&refusal))))?;
        print(&if arguments.json {
            to_json(path, &name, &structure, &found).to_string()
        } else {
            to_line(path, &name, &structure, &found)
        });
    }
    Ok(0)
}

/// An error with its cause.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The first structure of a CIF file, atom by atom.
pub(crate) fn read(path: &Path) -> anyhow::Result<(String, Structure)> {
    let invalid = |error: &dyn std::fmt::Display| exit::coded(exit::INVALID, format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::coded(exit::NOT_FOUND, format!("{} does not exist", path.display())),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
    })?;
    let found = cif::read(&text).map_err(|error| invalid(&error))?;
    for warning in &found.warnings {
        eprintln!("{}: {warning}", path.display());
    }
    Ok((found.name, found.structure))
}

fn to_json(path: &Path, name: &str, structure: &Structure, found: &AtomisticEvaluation) -> Value {
    json!({
        "file": path.display().to_string(),
        "name": name,
        "atoms": structure.atoms(),
        "energy_ev_per_atom": found.energy.mean,
        "sd_ev_per_atom": found.energy.sd,
        "moments_mu_b": found.detail.moments,
        "volume_a3_per_atom": volume(found, structure),
        "provenance": found.provenance,
    })
}

fn to_line(path: &Path, name: &str, structure: &Structure, found: &AtomisticEvaluation) -> String {
    format!(
        "{}: {name}, {} atoms: {:.4} ± {:.2} eV/atom, {:.2} Å³/atom, largest moment {:.2} µB ({}, {} steps)",
        path.display(),
        structure.atoms(),
        found.energy.mean,
        found.energy.sd,
        volume(found, structure),
        found.detail.moments.iter().copied().fold(0.0, f64::max),
        found.provenance.model,
        found.provenance.steps,
    )
}

/// Å³ for each atom of the structure that was evaluated last.
fn volume(found: &AtomisticEvaluation, asked: &Structure) -> f64 {
    let structure = found.relaxed.as_ref().unwrap_or(asked);
    structure.lattice().volume().abs() / structure.atoms() as f64
}

#[expect(clippy::print_stdout, reason = "the result is the data that was asked for")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caesium chloride without symmetry; the chlorine is filled to this share.
    fn cif(folder: &tempfile::TempDir, occupancy: &str, second: &str) -> PathBuf {
        let path = folder.path().join("cscl.cif");
        let text = format!(
            "data_CsCl\n_cell_length_a 4.12\n_cell_length_b 4.12\n_cell_length_c 4.12\nloop_\n\
             _symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n\
             _atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\nCs1 Cs 0 0 0 1\n\
             Cl1 Cl 0.5 0.5 0.5 {occupancy}\n{second}"
        );
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    #[test]
    fn an_ordered_structure_is_read_atom_by_atom_and_another_is_refused_by_its_site() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let (name, structure) = read(&cif(&folder, "1", "")).expect("it is ordered");
        assert_eq!((name.as_str(), structure.atoms()), ("CsCl", 2));
        let partly = read(&cif(&folder, "0.6", "")).expect_err("a vacancy is no atom").to_string();
        assert!(partly.contains("Cl1") && partly.contains("0.6"), "{partly}");
        let shared = read(&cif(&folder, "0.5", "Br1 Br 0.5 0.5 0.5 0.5\n")).expect_err("two halves are no atom");
        assert!(shared.to_string().contains("Cl1"), "{shared}");
    }

    #[test]
    fn without_weights_the_way_to_them_is_named() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let arguments = EvaluateArguments {
            files: vec![cif(&folder, "1", "")],
            relax: false,
            head: HeadName::Pbe,
            weights: folder.path().join("none"),
            json: false,
        };
        let refused = evaluate(&arguments).expect_err("there are no weights").to_string();
        assert!(refused.contains("ppu twin fetch"), "{refused}");
        let nothing = fetch(Some(&arguments.files[0]), folder.path()).expect_err("a CIF file is no wheel").to_string();
        assert!(nothing.contains("wheel"), "{nothing}");
    }
}

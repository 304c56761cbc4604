//! `ppu twin invent`: new crystals from the shipped model of Wyckoff positions, as CIF files to begin a relaxation with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ppu_atoms::{Element, Structure, cif};
use ppu_twin::rules::ChargeSettings;
use ppu_wyckoff::{Artifact, Condition, Grammar, Sampled, sample};
use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use serde_json::json;

use crate::exit;

/// Draws for each crystal that is wanted; a narrow condition soon has no others.
const DRAWS: usize = 50;

#[derive(Debug, Args)]
pub(crate) struct InventArguments {
    /// Elements, all of which are used, such as Ba,Ti,O; two or three. Any if left out.
    #[arg(long, value_delimiter = ',')]
    elements: Vec<Element>,
    /// Number of the space group, 1 to 230; any if left out.
    #[arg(long)]
    group: Option<u8>,
    /// Crystals wanted, all different.
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// Above 1 for the unusual, below 1 for the usual.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Also crystals whose oxidation states do not balance.
    #[arg(long)]
    any_charge: bool,
    /// Seed of the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the CIF files.
    #[arg(long, default_value = "ppu-crystals")]
    to: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &InventArguments) -> anyhow::Result<u8> {
    if !(arguments.temperature.is_finite() && arguments.temperature > 0.0) {
        return Err(exit::coded(exit::INVALID, "--temperature takes a number above 0".to_owned()));
    }
    let model = Artifact::shipped().context("the shipped model cannot be read")?;
    let condition = Condition {
        group: arguments.group,
        elements: (!arguments.elements.is_empty()).then(|| arguments.elements.clone()),
        all_elements: !arguments.elements.is_empty(),
        charges: (!arguments.any_charge).then(ChargeSettings::default),
        ..Condition::default()
    };
    let grammar = Grammar::new(&condition).map_err(|error| exit::coded(exit::INVALID, error.to_string()))?;
    std::fs::create_dir_all(&arguments.to).with_context(|| format!("{} cannot be made", arguments.to.display()))?;
    let mut rng = ChaCha12Rng::seed_from_u64(arguments.seed);
    let (mut seen, mut written, mut crowded) = (BTreeSet::new(), 0, 0);
    for _ in 0..DRAWS * arguments.count {
        if written == arguments.count {
            break;
        }
        let Some(found) = sample(&model.network, &grammar, arguments.temperature, &mut rng) else { continue };
        if !seen.insert(found.crystal.to_string()) {
            continue;
        }
        match model.realiser.realise(&found.crystal, &mut rng) {
            Ok(structure) => {
                written += 1;
                write(arguments, written, &found, &structure)?;
            }
            Err(_) => crowded += 1,
        }
    }
    if crowded > 0 {
        eprintln!("{crowded} got no atoms that keep apart and were left out");
    }
    if written < arguments.count {
        eprintln!("{written} different crystals are all that {} draws gave", DRAWS * arguments.count);
    }
    eprintln!(
        "a start for `ppu twin evaluate --relax`: coordinates are drawn, not predicted; new is not the same as stable"
    );
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "the crystals are the data that was asked for")]
fn write(arguments: &InventArguments, number: usize, found: &Sampled, structure: &Structure) -> anyhow::Result<()> {
    let name = format!("{:03}_{}_{}", number, found.crystal.formula(), found.crystal.group());
    let file = arguments.to.join(format!("{name}.cif"));
    let text = cif::write(&name, structure);
    ppu_store::write_atomically(&file, text.as_bytes())
        .with_context(|| format!("{} cannot be written", file.display()))?;
    if arguments.json {
        let crystal = found.crystal.to_string();
        println!("{}", json!({ "crystal": crystal, "ln_q": found.log_q, "atoms": structure.atoms(), "file": file }));
    } else {
        println!("{:<60} ln q {:>7.2}  {}", found.crystal.to_string(), found.log_q, file.display());
    }
    Ok(())
}

//! Speed and quality of the potential: one JSON object a line.
//!
//! `atoms_bench WEIGHTS [--perov5 CSV [ROWS]] [--relax JSON]`: WEIGHTS is a wheel of chgnet 0.4.2 or a converted file,
//! CSV the Perov-5 table, JSON relaxations by the published package. Without `--perov5` and `--relax` it measures speed.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads files and measures time")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::time::Instant;

use ppu_atoms::references::{FitSettings, References, Sample};
use ppu_atoms::relax::{RelaxError, RelaxSettings, relax};
use ppu_atoms::wheel::{Head, weights};
use ppu_atoms::{Chgnet, Composition, Lattice, Structure, Weights};
use serde_json::{Value, json};
use support::{Random, lithium_manganate, perovskite, read_structure};

/// Each time is the shortest and the median of this many.
const REPEATS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: atoms_bench WEIGHTS [--perov5 CSV [ROWS]] [--relax JSON]")?;
    let bytes = std::fs::read(path)?;
    let weights =
        if bytes.starts_with(b"PK") { weights(&bytes, Head::Pbe)? } else { Weights::from_safetensors(&bytes)? };
    let model = Chgnet::<f32>::new(&weights);
    let after = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| &arguments[at + 1..]);
    if let Some(rest) = after("--perov5") {
        let table = std::fs::read_to_string(rest.first().ok_or("--perov5 needs a file")?)?;
        let rows = rest.get(1).and_then(|rows| rows.parse().ok()).unwrap_or(usize::MAX);
        perov5(&model, &table, rows)?;
    }
    if let Some(rest) = after("--relax") {
        let file = std::fs::read_to_string(rest.first().ok_or("--relax needs a file")?)?;
        relaxations(&model, &serde_json::from_str(&file)?)?;
    }
    if arguments.len() == 1 {
        speed(&model)?;
    }
    Ok(())
}

fn speed(model: &Chgnet) -> Result<(), Box<dyn Error>> {
    let cases = [
        ("LiMnO2, 8 atoms", lithium_manganate()),
        ("SrTiO3, 5 atoms", perovskite(3.9, ["Sr", "Ti", "O"], 0.03, 1)),
        ("SrTiO3, 40 atoms", perovskite(3.9, ["Sr", "Ti", "O"], 0.03, 1).supercell([2, 2, 2])?),
    ];
    for (name, structure) in cases {
        let times = |run: &dyn Fn() -> f64| {
            let (mut elapsed, mut on_processor) = (Vec::new(), Vec::new());
            for _ in 0..REPEATS {
                let (start, before) = (Instant::now(), processor_ms());
                std::hint::black_box(run());
                elapsed.push(start.elapsed().as_secs_f64() * 1e3);
                on_processor.push(processor_ms() - before);
            }
            elapsed.sort_by(f64::total_cmp);
            on_processor.sort_by(f64::total_cmp);
            json!({"least_ms": elapsed[0], "median_ms": elapsed[REPEATS / 2],
                "processor_least_ms": on_processor[0], "processor_median_ms": on_processor[REPEATS / 2]})
        };
        let work = model.energy(&structure)?.work;
        let energy = times(&|| model.energy(&structure).map_or(f64::NAN, |found| found.total));
        let forces = times(&|| model.forces(&structure).map_or(f64::NAN, |found| found.energy.total));
        let line =
            json!({"case": name, "edges": work.edges, "angles": work.angles, "energy": energy, "forces": forces});
        println!("{line}");
    }
    Ok(())
}

/// Time that this process has been on a processor, where Linux says it: other work on the machine does not count.
fn processor_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns * 1e-6)
}

fn relaxations(model: &Chgnet, file: &Value) -> Result<(), Box<dyn Error>> {
    let mut worst: f64 = 0.0;
    let entries = file["structures"].as_array().ok_or("the file has no structures")?;
    for entry in entries {
        let expected = entry["energy_per_atom"].as_f64().ok_or("an entry has no energy")?;
        let start = Instant::now();
        let found = relax(model, &read_structure(entry), &RelaxSettings::default());
        let (energy, volume, steps, state) = match found {
            Ok(found) => {
                let volume = found.structure.lattice().volume();
                (found.forces.energy.per_atom(), volume, found.steps, format!("{} operations", found.operations))
            }
            Err(RelaxError::NotConverged { steps, best, energy, .. }) => {
                (energy.per_atom(), best.lattice().volume(), steps, "not converged".to_owned())
            }
            Err(error) => (f64::NAN, f64::NAN, 0, error.to_string()),
        };
        let difference = 1e3 * (energy - expected);
        worst = worst.max(difference.abs());
        let seconds = start.elapsed().as_secs_f64();
        let line = json!({"relax": entry["name"], "energy": energy, "package": expected, "difference_mev": difference,
            "volume": volume, "package_volume": entry["volume"], "steps": steps, "package_steps": entry["steps"],
            "seconds": seconds, "state": state});
        println!("{line}");
    }
    println!("{}", json!({"relaxations": entries.len(), "worst_mev_per_atom": worst}));
    Ok(())
}

struct Row {
    structure: Structure,
    heat: f64,
}

fn read_row(line: &str) -> Result<Row, Box<dyn Error>> {
    let cells: Vec<&str> = line.split(',').collect();
    let number = |index: usize| -> Result<f64, Box<dyn Error>> { Ok(cells.get(index).ok_or("short row")?.parse()?) };
    let names = cells.get(2..7).ok_or("short row")?;
    let species = names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>()?;
    let along = [number(12)?, number(13)?, number(14)?, number(15)?, number(16)?];
    let across = [[0.0, 0.0], [0.5, 0.5], [0.0, 0.5], [0.5, 0.0], [0.5, 0.5]];
    let fractional = along.iter().zip(across).map(|(&x, [y, z])| [x, y, z]).collect();
    Ok(Row { structure: Structure::new(Lattice::cubic(number(11)?), species, fractional)?, heat: number(7)? })
}

/// Half of the rows fit the references, the other half is predicted.
fn perov5(model: &Chgnet, table: &str, most: usize) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<&str> = table.lines().skip(1).collect();
    // A seeded shuffle, so that a part of the table is like the whole.
    let mut random = Random(5);
    for last in (1..lines.len()).rev() {
        lines.swap(last, (random.next() * (last + 1) as f64) as usize % (last + 1));
    }
    lines.truncate(most);
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut refused = 0;
    for line in &lines {
        let row = read_row(line)?;
        let Ok(energy) = model.energy(&row.structure) else {
            refused += 1;
            continue;
        };
        let composition = Composition::of(row.structure.species())?;
        samples.push(Sample { composition, energy: energy.per_atom(), target: row.heat });
    }
    let seconds = start.elapsed().as_secs_f64();
    let (fitted, tested) = samples.split_at(samples.len() / 2);
    let references = References::fit(fitted, &FitSettings::default())?;
    let mut pairs = Vec::new();
    for sample in tested {
        if let Ok(predicted) = references.predict(&sample.composition, sample.energy) {
            pairs.push((predicted, sample.target));
        }
    }
    let mean_error = pairs.iter().map(|(a, b)| (a - b).abs()).sum::<f64>() / pairs.len() as f64;
    let line = json!({"perov5_rows": lines.len(), "refused": refused, "fitted": references.samples(),
        "tested": pairs.len(), "spearman": spearman(&pairs), "mean_absolute_error": mean_error,
        "slope": references.slope(), "left_out_sd": references.left_out_sd(), "seconds": seconds});
    println!("{line}");
    Ok(())
}

fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let ranks = |value: &dyn Fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|&a, &b| value(&pairs[a]).total_cmp(&value(&pairs[b])));
        let mut ranks = vec![0.0; pairs.len()];
        let mut from = 0;
        for group in order.chunk_by(|&a, &b| value(&pairs[a]) == value(&pairs[b])) {
            // Equal values share the mean of their ranks.
            let mean = from as f64 + (group.len() - 1) as f64 / 2.0;
            group.iter().for_each(|&index| ranks[index] = mean);
            from += group.len();
        }
        ranks
    };
    let (first, second) = (ranks(&|pair| pair.0), ranks(&|pair| pair.1));
    let middle = (pairs.len() - 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    product(&first, &second) / (product(&first, &first) * product(&second, &second)).sqrt()
}

//! `cargo xtask tables DATABASE`: scattering data of the elements as Rust source, from the XrayDB database.
//!
//! DATABASE is `xraydb.sqlite` as the Python package `xraydb` carries it (`pip install xraydb`; data CC0, code MIT).
//! Python's standard library reads it, because that is the one SQLite reader which is everywhere.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// Kα energies in eV of the tubes in use (Cu: the value that reference tables of f' and f'' are stated for; others
/// intensity-weighted means of the Kα1 and Kα2 lines of the X-ray data booklet), in the order of the enum `Tube`.
const TUBES: [(&str, f64); 6] =
    [("Cr", 5411.7), ("Fe", 6399.8), ("Co", 6925.7), ("Cu", 8047.8), ("Mo", 17_443.4), ("Ag", 22_103.1)];
/// Heavier elements have no values of Chantler.
const LAST_ELEMENT: u32 = 92;
/// Where the table goes, from the root of the repository.
const TARGET: &str = "crates/ppu-diffraction/src/structure/table.rs";

const READER: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
def rows(sql):
    cursor = db.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]
arrays = lambda row, names: {name: json.loads(row[name]) for name in names}
out = []
for e in rows("select * from elements where atomic_number <= 92 order by atomic_number"):
    symbol = e["element"]
    one = lambda table: rows(f"select * from {table} where element = '{symbol}'")
    f0 = [r for r in one("Waasmaier") if r["ion"] == symbol]
    chantler, photo, scatter = one("Chantler"), one("photoabsorption"), one("scattering")
    if not (f0 and chantler and photo and scatter):
        continue
    out.append({
        "symbol": symbol, "name": e["name"], "atomic_number": e["atomic_number"], "molar_mass": e["molar_mass"],
        "offset": f0[0]["offset"], **arrays(f0[0], ["scale", "exponents"]),
        **arrays(chantler[0], ["energy", "f1", "f2"]),
        "photo": list(arrays(photo[0], ["log_energy", "log_photoabsorption", "log_photoabsorption_spline"]).values()),
        "coherent": list(arrays(scatter[0], ["log_energy", "log_coherent_scatter", "log_coherent_scatter_spline"]).values()),
        "incoherent": list(arrays(scatter[0], ["log_energy", "log_incoherent_scatter", "log_incoherent_scatter_spline"]).values()),
        "edges": [r["absorption_edge"] for r in one("xray_levels")],
    })
print(json.dumps({"version": rows("select tag from Version order by id desc")[0]["tag"], "elements": out}))
"#;

#[derive(Debug, Deserialize)]
struct Database {
    version: String,
    elements: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    symbol: String,
    name: String,
    atomic_number: u32,
    molar_mass: f64,
    offset: f64,
    scale: [f64; 5],
    exponents: [f64; 5],
    energy: Vec<f64>,
    f1: Vec<f64>,
    f2: Vec<f64>,
    /// ln energy, ln cross section, second derivative of the spline through it.
    photo: [Vec<f64>; 3],
    coherent: [Vec<f64>; 3],
    incoherent: [Vec<f64>; 3],
    edges: Vec<f64>,
}

/// Reads the database and writes the table.
pub(crate) fn run(database: &Path) -> anyhow::Result<()> {
    let output = Command::new("python3").args(["-c", READER]).arg(database).output().context("python3 did not run")?;
    ensure!(output.status.success(), "the database cannot be read: {}", String::from_utf8_lossy(&output.stderr));
    let database: Database = serde_json::from_slice(&output.stdout).context("the database is not laid out as known")?;
    ensure!(database.elements.len() >= 90, "only {} elements in the database", database.elements.len());
    let text = source(&database)?;
    let target = xtask::root().join(TARGET);
    std::fs::write(&target, text).with_context(|| format!("{} cannot be written", target.display()))?;
    eprintln!("{} elements written to {}", database.elements.len(), target.display());
    Ok(())
}

fn source(database: &Database) -> anyhow::Result<String> {
    let mut text = format!(
        "//! Scattering data of the elements. Written by `cargo xtask tables`; do not edit.\n\
         //!\n\
         //! Source: XrayDB (M. Newville; data CC0), database version {}: f0 of neutral atoms after Waasmaier and Kirfel,\n\
         //! Acta Cryst. A51, 416 (1995); f' and f'' after Chantler, J. Phys. Chem. Ref. Data 29, 597 (2000), f' with its\n\
         //! relativistic and nuclear Thomson corrections; mass attenuation after Elam, Ravel and Sieber, Radiat. Phys.\n\
         //! Chem. 63, 121 (2002).\n\n\
         use super::elements::ElementData;\n\n\
         /// A chemical element with tabulated scattering factors.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         #[rustfmt::skip]\n\
         pub enum Element {{\n",
        database.version
    );
    for row in &database.elements {
        let mut name = row.name.clone();
        name[..1].make_ascii_uppercase();
        writeln!(text, "    /// {name}.\n    {},", row.symbol)?;
    }
    let count = database.elements.len();
    write!(text, "}}\n\nimpl Element {{\n    /// Every tabulated element.\n    #[rustfmt::skip]\n")?;
    write!(text, "    pub const ALL: [Element; {count}] = [")?;
    for (index, row) in database.elements.iter().enumerate() {
        write!(text, "{}Element::{},", if index % 10 == 0 { "\n        " } else { " " }, row.symbol)?;
    }
    let tubes: Vec<String> = TUBES.iter().map(|(name, energy)| format!("{name} {energy:.1}")).collect();
    write!(
        text,
        "\n    ];\n}}\n\n/// One row for each element, in the order of the enum: symbol, atomic number, molar mass in g/mol, c, a and b \
         of f0;\n/// then f', f'' (electrons) and μ/ρ (cm²/g) at the Kα energies in eV: {}.\n#[rustfmt::skip]\n\
         pub(super) static TABLE: [ElementData; {count}] = [\n",
        tubes.join(", ")
    )?;
    for row in &database.elements {
        ensure!(row.atomic_number <= LAST_ELEMENT && row.energy.len() == row.f1.len(), "{} is malformed", row.symbol);
        writeln!(
            text,
            "    ElementData {{ symbol: \"{}\", atomic_number: {}, molar_mass: {:?}, offset: {:?},\n        \
             scale: {:?}, exponent: {:?}, tubes: [",
            row.symbol, row.atomic_number, row.molar_mass, row.offset, row.scale, row.exponents
        )?;
        let mut line = String::new();
        for (index, (_, energy)) in TUBES.iter().enumerate() {
            let (f1, f2) = (anomalous(row, &row.f1, *energy), anomalous(row, &row.f2, *energy));
            write!(line, "{}[{f1:.4}, {f2:.4}, {:.4}],", if index == 0 { "" } else { " " }, attenuation(row, *energy))?;
        }
        writeln!(text, "        {line}\n    ] }},")?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// Lagrange interpolation in ln E over up to four grid points, never across an absorption edge.
fn anomalous(row: &Row, values: &[f64], energy: f64) -> f64 {
    let same_side = |point: f64| !row.edges.iter().any(|edge| (point - edge) * (energy - edge) <= 0.0);
    let mut near: Vec<usize> = (0..row.energy.len()).filter(|&index| same_side(row.energy[index])).collect();
    near.sort_by(|&a, &b| (row.energy[a] - energy).abs().total_cmp(&(row.energy[b] - energy).abs()));
    near.truncate(4);
    let x = energy.ln();
    let at = |index: usize| row.energy[index].ln();
    let term = |&i: &usize| {
        let others = near.iter().filter(|&&j| j != i);
        values[i] * others.map(|&j| (x - at(j)) / (at(i) - at(j))).product::<f64>()
    };
    near.iter().map(term).sum()
}

/// Total μ/ρ in cm²/g: photoabsorption, coherent and incoherent scattering by the splines of the database.
fn attenuation(row: &Row, energy: f64) -> f64 {
    [&row.photo, &row.coherent, &row.incoherent].into_iter().map(|table| spline(table, energy.ln()).exp()).sum()
}

fn spline([x, y, second]: &[Vec<f64>; 3], at: f64) -> f64 {
    let high = x.partition_point(|&value| value <= at).clamp(1, x.len() - 1);
    let low = high - 1;
    let h = x[high] - x[low];
    let (a, b) = ((x[high] - at) / h, (at - x[low]) / h);
    a * y[low] + b * y[high] + ((a.powi(3) - a) * second[low] + (b.powi(3) - b) * second[high]) * h * h / 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let line = || [vec![1.0, 2.0, 3.0], vec![2.0, 4.0, 6.0], vec![0.0; 3]];
        Row {
            symbol: "X".to_owned(),
            name: "test".to_owned(),
            atomic_number: 1,
            molar_mass: 1.0,
            offset: 0.0,
            scale: [0.0; 5],
            exponents: [0.0; 5],
            energy: vec![90.0, 95.0, 100.0, 105.0, 110.0, 115.0],
            f1: vec![1.0, 1.0, 1.0, 7.0, 7.0, 7.0],
            f2: Vec::new(),
            photo: line(),
            coherent: line(),
            incoherent: line(),
            edges: vec![102.0],
        }
    }

    #[test]
    fn interpolation_does_not_cross_an_edge() {
        let row = row();
        assert!((anomalous(&row, &row.f1, 101.0) - 1.0).abs() < 1e-12);
        assert!((anomalous(&row, &row.f1, 103.0) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn a_spline_without_curvature_is_a_line() {
        assert!((spline(&row().photo, 2.25) - 4.5).abs() < 1e-12);
    }
}

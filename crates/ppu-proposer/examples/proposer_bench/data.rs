//! Reference tables.

use std::path::Path;

use ppu_atoms::{Element, Lattice, Structure};
use ppu_proposer::crystal::ReplayLab;
use serde::Deserialize;

use crate::Problem;

/// The Perov-5 table; `None` where it is not there.
pub(crate) fn perov5(data: &Path) -> Result<Option<ReplayLab>, Problem> {
    let path = data.join("perov5/perov5.csv");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    ReplayLab::parse(&text).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// A compound of MP-20, as much of it as is needed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Compound {
    pub(crate) formula: String,
    pub(crate) sg: u16,
    pub(crate) sites: Vec<(String, u32)>,
    /// Energy of formation, eV/atom.
    pub(crate) e_form: f64,
    /// a, b, c in angstrom; the angles in degrees.
    pub(crate) cell: [f64; 6],
    /// Fractional coordinates, three an atom.
    pub(crate) frac: Vec<f64>,
}

impl Compound {
    /// The elements of all atoms, in the order of the coordinates.
    pub(crate) fn species(&self) -> Result<Vec<Element>, Problem> {
        let mut species = Vec::new();
        for (symbol, count) in &self.sites {
            let element: Element = symbol.parse().map_err(|error| format!("{}: {error}", self.formula))?;
            species.extend(std::iter::repeat_n(element, *count as usize));
        }
        Ok(species)
    }

    pub(crate) fn structure(&self) -> Result<Structure, Problem> {
        let [a, b, c, alpha, beta, gamma] = self.cell;
        let lattice = Lattice::from_parameters([a, b, c], [alpha, beta, gamma]);
        let places = self.frac.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
        Structure::new(lattice, self.species()?, places).map_err(|error| format!("{}: {error}", self.formula))
    }
}

/// Binaries and ternaries of MP-20; `None` where the file is not there.
pub(crate) fn mp20(data: &Path) -> Result<Option<Vec<Compound>>, Problem> {
    let path = data.join("mp20/mp20_binary_ternary.jsonl.gz");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = gunzip(&bytes).ok_or(format!("{} is no gzip file", path.display()))?;
    let one = |line: &str| serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()));
    text.lines().map(one).collect::<Result<Vec<_>, _>>().map(Some)
}

/// RFC 1952: a header of ten bytes, extra fields by the flags, then a deflate stream.
fn gunzip(bytes: &[u8]) -> Option<String> {
    let flags = *bytes.get(3).filter(|_| bytes.starts_with(&[0x1f, 0x8b, 8]))?;
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(*bytes.get(at)?) + 256 * usize::from(*bytes.get(at + 1)?);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    String::from_utf8(miniz_oxide::inflate::decompress_to_vec(bytes.get(at..)?).ok()?).ok()
}

//! Reference structures: lines of JSON, and the fixed split by composition.

use ppu_atoms::{Element, Lattice, Structure, StructureError, UnknownElement};
use ppu_twin::rules::Formula;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// One reference structure.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in the source.
    pub id: String,
    /// The structure.
    pub structure: Structure,
}

/// Why a line is no structure.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// No JSON of the expected form.
    #[error("line {line} is not a structure as JSON")]
    Json {
        /// Line, from 1.
        line: usize,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// Coordinates do not come in threes.
    #[error("line {line} has {numbers} coordinates, which is no multiple of 3")]
    Coordinates {
        /// Line, from 1.
        line: usize,
        /// How many numbers.
        numbers: usize,
    },
    /// An element that is not known.
    #[error("line {line} names an unknown element")]
    Element {
        /// Line, from 1.
        line: usize,
        /// Which.
        source: UnknownElement,
    },
    /// Atoms and cell do not make a structure.
    #[error("line {line} is not a structure")]
    Structure {
        /// Line, from 1.
        line: usize,
        /// Why.
        source: StructureError,
    },
}

/// A part of the reference structures. All structures of a reduced formula are in the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Eight tenths of the formulas.
    Train,
    /// A tenth, for the end of the training.
    Validation,
    /// A tenth, for nothing but the final figures.
    Test,
}

#[derive(Deserialize)]
struct RawEntry {
    id: String,
    cell: [f64; 6],
    sites: Vec<(String, usize)>,
    frac: Vec<f64>,
}

/// Reads structures, one JSON object a line: `id`, `cell` (edges in Å, angles in degrees), `sites` (runs of element and
/// count), `frac` (coordinates, flat). Other keys are left aside.
///
/// # Errors
/// [`EntryError`] for the first line that is none.
pub fn read(text: &str) -> Result<Vec<Entry>, EntryError> {
    text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()).map(|(text, line)| entry(text, line)).collect()
}

fn entry(text: &str, line: usize) -> Result<Entry, EntryError> {
    let raw: RawEntry = serde_json::from_str(text).map_err(|source| EntryError::Json { line, source })?;
    let mut species = Vec::new();
    for (symbol, count) in &raw.sites {
        let element: Element = symbol.parse().map_err(|source| EntryError::Element { line, source })?;
        species.extend(std::iter::repeat_n(element, *count));
    }
    let (points, rest) = raw.frac.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(EntryError::Coordinates { line, numbers: raw.frac.len() });
    }
    let [a, b, c, alpha, beta, gamma] = raw.cell;
    let lattice = Lattice::from_parameters([a, b, c], [alpha, beta, gamma]);
    let structure =
        Structure::new(lattice, species, points.to_vec()).map_err(|source| EntryError::Structure { line, source })?;
    Ok(Entry { id: raw.id, structure })
}

/// The part of a formula: the first four bytes (big end first) of the SHA-256 of the reduced formula's text, modulo 10;
/// 0 is test, 1 validation, the rest training.
#[must_use]
pub fn part(formula: &Formula) -> Part {
    let digest = Sha256::digest(formula.reduced().to_string().as_bytes());
    match u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 10 {
        0 => Part::Test,
        1 => Part::Validation,
        _ => Part::Train,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = r#"{"id":"x-1","gap":0.0,"cell":[4.0,4.0,4.0,90.0,90.0,90.0],"sites":[["Cs",1],["Cl",1]],"frac":[0,0,0,0.5,0.5,0.5]}"#;
        let entries = read(&format!("{line}\n\n{line}\n")).unwrap();
        assert_eq!((entries.len(), entries[0].id.as_str(), entries[1].structure.atoms()), (2, "x-1", 2));
        assert!(matches!(read("{}"), Err(EntryError::Json { line: 1, .. })));
        let short = line.replace("0.5,0.5,0.5", "0.5,0.5");
        assert!(matches!(read(&short), Err(EntryError::Coordinates { numbers: 5, .. })));
        assert!(matches!(read(&line.replace("Cs", "Qq")), Err(EntryError::Element { .. })));
    }

    #[test]
    fn formulas_keep_their_part_and_the_parts_their_shares() {
        let mut counts = [0; 3];
        for a in 1..40_u32 {
            for b in 1..40_u32 {
                let formula: Formula = format!("Na{a}Cl{b}").parse().unwrap();
                assert_eq!(part(&formula), part(&formula.reduced()));
                if formula == formula.reduced() {
                    counts[part(&formula) as usize] += 1;
                }
            }
        }
        let total: i32 = counts.iter().sum();
        assert!((counts[0] * 10 - total * 8).abs() < total && (counts[2] * 10 - total).abs() < total, "{counts:?}");
    }
}

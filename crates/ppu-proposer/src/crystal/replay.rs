//! A table of computed perovskites that answers like a laboratory. It is a replay, and is called one wherever it is reported.

use ppu_twin::rules::UnknownElement;
use serde::{Deserialize, Serialize};

use super::perovskite::Perovskite;

/// Rows with the two labels of the yardstick.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayLab {
    /// Number of every row in its source.
    pub ids: Vec<u64>,
    /// Decorations.
    pub rows: Vec<Perovskite>,
    /// Heat of formation against competing phases, eV/atom.
    pub heat: Vec<f64>,
    /// Direct gap, eV; 0 for metals and where the source reports none.
    pub gap: Vec<f64>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The heat lies below this, eV/atom.
    pub heat_below: f64,
    /// The gap lies here, eV, ends included.
    pub gap: (f64, f64),
}

impl Default for Target {
    /// Stable enough and a gap for splitting water: I. E. Castelli et al., Energy Environ. Sci. 5, 5814 (2012), without the
    /// condition on band edges, which the table does not have.
    fn default() -> Self {
        Target { heat_below: 0.2, gap: (1.5, 3.0) }
    }
}

/// Why a text is no such table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A column is missing in the first line.
    #[error("the table has no column `{0}`")]
    Column(&'static str),
    /// A row that cannot be read.
    #[error("line {line} of the table cannot be read: `{text}`")]
    Row {
        /// Its line, from 1.
        line: usize,
        /// Its text.
        text: String,
    },
    /// An unknown element.
    #[error("line {line} of the table names an unknown element")]
    Element {
        /// Its line, from 1.
        line: usize,
        /// Which.
        source: UnknownElement,
    },
}

const COLUMNS: [&str; 8] =
    ["material_id", "a_site", "b_site", "x1", "x2", "x3", "heat_all_ev_per_atom", "direct_gap_ev"];

impl ReplayLab {
    /// Reads the Perov-5 table: comma-separated, with a header.
    pub fn parse(text: &str) -> Result<ReplayLab, ReplayError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let header: Vec<&str> = lines.next().map(|(_, line)| line.split(',').collect()).unwrap_or_default();
        let mut at = [0; 8];
        for (slot, name) in at.iter_mut().zip(COLUMNS) {
            *slot = header.iter().position(|column| *column == name).ok_or(ReplayError::Column(name))?;
        }
        let mut lab = ReplayLab { ids: Vec::new(), rows: Vec::new(), heat: Vec::new(), gap: Vec::new() };
        for (number, line) in lines {
            let bad = || ReplayError::Row { line: number + 1, text: line.chars().take(80).collect() };
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |column: usize| cells.get(at[column]).copied().ok_or_else(bad);
            let element = |column: usize| {
                cell(column)?.parse().map_err(|source| ReplayError::Element { line: number + 1, source })
            };
            let value = |column: usize| cell(column)?.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(bad);
            lab.ids.push(cell(0)?.parse().map_err(|_| bad())?);
            lab.rows.push(Perovskite::new(element(1)?, element(2)?, [element(3)?, element(4)?, element(5)?]));
            lab.heat.push(value(6)?);
            lab.gap.push(value(7)?);
        }
        Ok(lab)
    }

    /// Whether a row meets the target.
    pub fn meets(&self, row: usize, target: &Target) -> bool {
        self.heat[row] < target.heat_below && (target.gap.0..=target.gap.1).contains(&self.gap[row])
    }

    /// All rows that meet the target.
    pub fn targets(&self, target: &Target) -> Vec<usize> {
        (0..self.rows.len()).filter(|row| self.meets(*row, target)).collect()
    }

    /// The factors of every row, for moves that redraw A, B or the anions: numbers of elements and of the anion set.
    pub fn factors(&self) -> Vec<Vec<u16>> {
        let mut anions: Vec<_> = self.rows.iter().map(|row| row.x).collect();
        anions.sort_unstable();
        anions.dedup();
        let factor = |row: &Perovskite| {
            let set = anions.binary_search(&row.x).unwrap_or(0);
            vec![u16::from(row.a.atomic_number()), u16::from(row.b.atomic_number()), set as u16]
        };
        self.rows.iter().map(factor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "material_id,a_site,b_site,x1,x2,x3,heat_all_ev_per_atom,direct_gap_ev\n";

    #[test]
    fn rows_are_read_and_slips_are_named() {
        let lab = ReplayLab::parse(&format!("{HEADER}7,Ba,Ta,N,O,O,-0.02,2.0\n8,Ti,As,N,O,O,1.2,0.0\n")).unwrap();
        assert_eq!(lab.targets(&Target::default()), [0]);
        assert_eq!(lab.rows[0].formula(), "BaTaO2N".parse().unwrap());
        assert_eq!(lab.factors()[0][2], lab.factors()[1][2]);
        assert_eq!(ReplayLab::parse("a,b\n"), Err(ReplayError::Column("material_id")));
        assert!(matches!(ReplayLab::parse(&format!("{HEADER}7,Ba,Ta,N\n")), Err(ReplayError::Row { line: 2, .. })));
        let unknown = ReplayLab::parse(&format!("{HEADER}7,Ba,Qq,N,O,O,0.1,1.0\n"));
        assert!(matches!(unknown, Err(ReplayError::Element { line: 2, .. })));
    }
}

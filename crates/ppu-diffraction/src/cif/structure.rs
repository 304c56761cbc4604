use std::collections::BTreeSet;
use std::f64::consts::PI;

use super::CifError;
use super::elements::{self, Symbol};
use super::number::{self, Uncertain};
use super::symmetry::{NUMBER_TAGS, Symmetry};
use super::syntax::{Block, Loop, Value};
use crate::structure::{Cell, Element, Phase, Site, SpaceGroup};

/// The largest asymmetric unit that is read; powder work on a larger one is not this crate's.
const MOST_SITES: usize = 4096;
/// Amounts that differ by more than this from the stated formula are pointed out.
const FORMULA_TOLERANCE: f64 = 0.03;
/// Messages quote this many characters of a value.
const QUOTED: usize = 40;

const LABEL: &str = "_atom_site_label";
const TYPE: &str = "_atom_site_type_symbol";
const FRACTION: [&str; 3] = ["_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"];

/// What a file says about the thermal displacement of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Displacement {
    /// Nothing; the site of the phase then has B = 0.
    Unstated,
    /// B = 8π²U in Å².
    Isotropic(f64),
    /// U in Å² as U11, U22, U33, U12, U13, U23; the site of the phase has it too, and the
    /// equivalent isotropic B beside it.
    Anisotropic([f64; 6]),
}

/// A structure of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// Name of the data block.
    pub block: String,
    /// The phase, named after the mineral, the structural formula, the formula or the block, whichever comes first.
    pub phase: Phase,
    /// Formula as stated, for example `Ti4 O8`.
    pub formula: Option<String>,
    /// Number of the space group as stated.
    pub space_group_number: Option<u16>,
    /// Stated uncertainties of a, b, c in Å and α, β, γ in degrees.
    pub cell_uncertainty: [Option<f64>; 6],
    /// For each site of the phase, in its order.
    pub displacements: Vec<Displacement>,
    /// What to know about the file.
    pub warnings: Vec<String>,
}

pub(super) fn is_structure(block: &Block<'_>) -> bool {
    block.item(&["_cell_length_a"]).is_some() && block.table(&FRACTION[..1]).is_some()
}

pub(super) fn build(block: &Block<'_>) -> Result<Structure, CifError> {
    let mut warnings = Vec::new();
    let (cell, cell_uncertainty) = cell(block)?;
    let symmetry = Symmetry::read(block, &cell, &mut warnings)?;
    let formula = block.item(&["_chemical_formula_sum"]).and_then(|(_, value)| value.known());
    let amounts = formula.and_then(elements::formula);
    let (sites, displacements) = sites(block, &cell, amounts.as_deref(), &mut warnings)?;
    let source = |source| CifError::Structure { block: block.name.to_owned(), line: block.line, source };
    let build = |group: SpaceGroup| Phase::new(&name(block), cell, group, sites.clone()).map_err(source);
    let units = block.item(&["_cell_formula_units_z"]).and_then(|(_, value)| number::parse(value.text));
    let agrees = |phase: &Phase| {
        amounts.as_ref().is_none_or(|amounts| agreement(phase, amounts, units.map(|units| units.value)).is_ok())
    };
    let phase = symmetry.phase(build, agrees, &mut warnings)?;
    if let Some(Err(contents)) = amounts.as_ref().map(|amounts| agreement(&phase, amounts, None)) {
        warnings.push(format!("the cell holds {contents}, which is not the stated formula"));
    }
    let space_group_number = block.item(&NUMBER_TAGS).and_then(|(_, value)| value.text.trim().parse().ok());
    Ok(Structure {
        block: block.name.to_owned(),
        phase,
        formula: formula.map(str::to_owned),
        space_group_number,
        cell_uncertainty,
        displacements,
        warnings,
    })
}

fn name(block: &Block<'_>) -> String {
    let tags = ["_chemical_name_mineral", "_chemical_formula_structural", "_chemical_formula_sum"];
    let text = block.item(&tags).and_then(|(_, value)| value.known()).unwrap_or(block.name);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect()
}

fn cell(block: &Block<'_>) -> Result<(Cell, [Option<f64>; 6]), CifError> {
    const TAGS: [&str; 6] = [
        "_cell_length_a",
        "_cell_length_b",
        "_cell_length_c",
        "_cell_angle_alpha",
        "_cell_angle_beta",
        "_cell_angle_gamma",
    ];
    let mut numbers = [0.0; 6];
    let mut uncertainty = [None; 6];
    for (index, tag) in TAGS.into_iter().enumerate() {
        match block.item(&[tag]) {
            Some((_, value)) => {
                let parsed = number::parse(value.text).ok_or_else(|| bad_number(tag, &value))?;
                (numbers[index], uncertainty[index]) = (parsed.value, parsed.u);
            }
            // The dictionary gives angles, and only them, the default 90°.
            None if index >= 3 => numbers[index] = 90.0,
            None => return Err(CifError::Missing { block: block.name.to_owned(), line: block.line, tag }),
        }
    }
    let [a, b, c, alpha, beta, gamma] = numbers;
    Ok((Cell { a, b, c, alpha, beta, gamma }, uncertainty))
}

fn bad_number(tag: &str, value: &Value<'_>) -> CifError {
    CifError::Number { line: value.line, tag: tag.to_owned(), text: value.text.chars().take(QUOTED).collect() }
}

/// The sites in file order, each with what the file says about its displacement.
fn sites(
    block: &Block<'_>,
    cell: &Cell,
    formula: Option<&[(String, f64)]>,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Site>, Vec<Displacement>), CifError> {
    let table = block.table(&FRACTION[..1]).expect("a structure block has this loop");
    let rows = table.values.len() / table.tags.len();
    if rows > MOST_SITES {
        return Err(CifError::TooMuch { line: table.line, tag: LABEL, rows, most: MOST_SITES });
    }
    let columns = SiteColumns::of(block, table)?;
    let symbols: Option<BTreeSet<String>> =
        formula.map(|amounts| amounts.iter().map(|(symbol, _)| symbol.clone()).collect());
    let aniso = Anisotropic::of(block);
    let (mut sites, mut displacements) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in table.rows() {
        if columns.flag.is_some_and(|column| row[column].text.eq_ignore_ascii_case("dum")) {
            continue;
        }
        let mut position = [0.0; 3];
        for axis in 0..3 {
            let value = row[columns.fraction[axis]];
            position[axis] = number::coordinate(value.text).ok_or_else(|| bad_number(FRACTION[axis], &value))?;
        }
        let label =
            columns.label.map_or_else(|| format!("site {}", sites.len() + 1), |column| row[column].text.to_owned());
        let element = element(row, &columns, symbols.as_ref(), warnings)?;
        let occupancy = optional(row, columns.occupancy, "_atom_site_occupancy")?.map_or(1.0, |number| number.value);
        let displacement = match aniso.as_ref().map(|aniso| aniso.find(&label)).transpose()?.flatten() {
            Some(tensor) => Displacement::Anisotropic(tensor),
            None => isotropic(row, &columns)?,
        };
        let b_iso = equivalent_b(&displacement, cell);
        if b_iso < 0.0 {
            warnings.push(format!("site {label} has a negative displacement parameter, which was set to zero"));
        }
        let site = Site::new(&label, position, &[(element, occupancy)], b_iso.max(0.0));
        sites.push(match displacement {
            Displacement::Anisotropic(tensor) => site.with_u_aniso(tensor),
            _ => site,
        });
        displacements.push(displacement);
    }
    Ok((sites, displacements))
}

struct SiteColumns {
    label: Option<usize>,
    symbol: Option<usize>,
    fraction: [usize; 3],
    occupancy: Option<usize>,
    u_iso: Option<usize>,
    b_iso: Option<usize>,
    flag: Option<usize>,
}

impl SiteColumns {
    fn of(block: &Block<'_>, table: &Loop<'_>) -> Result<Self, CifError> {
        let missing = |tag| CifError::Missing { block: block.name.to_owned(), line: table.line, tag };
        let mut fraction = [0; 3];
        for (place, tag) in fraction.iter_mut().zip(FRACTION) {
            *place = table.column(&[tag]).ok_or_else(|| missing(tag))?;
        }
        let (label, symbol) = (table.column(&[LABEL]), table.column(&[TYPE]));
        if label.is_none() && symbol.is_none() {
            return Err(missing(LABEL));
        }
        Ok(Self {
            label,
            symbol,
            fraction,
            occupancy: table.column(&["_atom_site_occupancy"]),
            u_iso: table.column(&["_atom_site_u_iso_or_equiv"]),
            b_iso: table.column(&["_atom_site_b_iso_or_equiv"]),
            flag: table.column(&["_atom_site_calc_flag"]),
        })
    }
}

fn element(
    row: &[Value<'_>],
    columns: &SiteColumns,
    formula: Option<&BTreeSet<String>>,
    warnings: &mut Vec<String>,
) -> Result<Element, CifError> {
    let stated = columns.symbol.map(|column| (TYPE, row[column])).filter(|(_, value)| value.known().is_some());
    let (tag, value) = match (stated, columns.label) {
        (Some(stated), _) => stated,
        (None, Some(column)) => (LABEL, row[column]),
        (None, None) => (TYPE, row[columns.symbol.expect("a loop has one of the two")]),
    };
    // A type symbol says what it says; only a label needs the formula to be understood.
    let symbol = elements::read(value.text, if tag == LABEL { formula } else { None });
    let text = || value.text.chars().take(QUOTED).collect::<String>();
    match symbol {
        Some(Symbol::Known(element)) => {
            let rest = value.text.get(element.symbol().len()..).unwrap_or_default();
            let stated = formula.is_some_and(|formula| formula.contains(element.symbol()));
            if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-') && tag == LABEL && !stated {
                warnings.push(format!("the label {} was taken for {}", text(), element.symbol()));
            }
            Ok(element)
        }
        Some(Symbol::Untabulated(symbol)) => {
            Err(CifError::Untabulated { line: value.line, tag: tag.to_owned(), symbol })
        }
        None => Err(CifError::Element { line: value.line, tag: tag.to_owned(), text: text() }),
    }
}

/// The number of a column that may be absent or unknown.
fn optional(row: &[Value<'_>], column: Option<usize>, tag: &str) -> Result<Option<Uncertain>, CifError> {
    let Some(value) = column.map(|column| row[column]).filter(|value| value.known().is_some()) else { return Ok(None) };
    number::parse(value.text).map(Some).ok_or_else(|| bad_number(tag, &value))
}

fn isotropic(row: &[Value<'_>], columns: &SiteColumns) -> Result<Displacement, CifError> {
    if let Some(u) = optional(row, columns.u_iso, "_atom_site_U_iso_or_equiv")? {
        return Ok(Displacement::Isotropic(8.0 * PI * PI * u.value));
    }
    let b = optional(row, columns.b_iso, "_atom_site_B_iso_or_equiv")?;
    Ok(b.map_or(Displacement::Unstated, |b| Displacement::Isotropic(b.value)))
}

/// B in Å². Of a tensor it is 8π²/3 Σ U_ij a*_i a*_j (a_i · a_j) (Fischer and Tillmanns, Acta Cryst. C44, 775, 1988).
fn equivalent_b(displacement: &Displacement, cell: &Cell) -> f64 {
    match displacement {
        Displacement::Unstated => 0.0,
        Displacement::Isotropic(b) => *b,
        Displacement::Anisotropic([u11, u22, u33, u12, u13, u23]) => {
            let Some(reciprocal) = cell.reciprocal_metric() else { return 0.0 };
            let metric = cell.metric();
            let edge = |i: usize| reciprocal[(i, i)].sqrt();
            let u = [[*u11, *u12, *u13], [*u12, *u22, *u23], [*u13, *u23, *u33]];
            let mut sum = 0.0;
            for i in 0..3 {
                for j in 0..3 {
                    sum += u[i][j] * edge(i) * edge(j) * metric[(i, j)];
                }
            }
            8.0 * PI * PI * sum / 3.0
        }
    }
}

/// The loop of anisotropic displacements.
struct Anisotropic<'b, 'a> {
    table: &'b Loop<'a>,
    label: usize,
    columns: [usize; 6],
    /// B is given in place of U.
    from_b: bool,
}

impl<'b, 'a> Anisotropic<'b, 'a> {
    /// Nothing when the file has no such loop or not all six columns, or gives a kind (β) that this reader does not know.
    fn of(block: &'b Block<'a>) -> Option<Self> {
        let table = block.table(&["_atom_site_aniso_label"])?;
        let label = table.column(&["_atom_site_aniso_label"])?;
        for (letter, from_b) in [("u", false), ("b", true)] {
            let column = |index: &str| table.column(&[&format!("_atom_site_aniso_{letter}_{index}")]);
            let columns: Vec<usize> = ["11", "22", "33", "12", "13", "23"].into_iter().filter_map(column).collect();
            if let Ok(columns) = columns.try_into() {
                return Some(Self { table, label, columns, from_b });
            }
        }
        None
    }

    fn find(&self, label: &str) -> Result<Option<[f64; 6]>, CifError> {
        let Some(row) = self.table.rows().find(|row| row[self.label].text == label) else { return Ok(None) };
        let mut tensor = [0.0; 6];
        for (value, column) in tensor.iter_mut().zip(self.columns) {
            match optional(row, Some(column), &self.table.tags[column])? {
                Some(number) => *value = number.value / if self.from_b { 8.0 * PI * PI } else { 1.0 },
                None => return Ok(None),
            }
        }
        Ok(Some(tensor))
    }
}

/// Atoms on the sites against the formula, which must agree up to the number of formula units, or in it too where it is
/// given; what the cell holds when they do not. Some programs state the contents of the whole cell as the formula.
fn agreement(phase: &Phase, amounts: &[(String, f64)], units: Option<f64>) -> Result<(), String> {
    let contents: Vec<(f64, f64)> = amounts
        .iter()
        .map(|(symbol, amount)| {
            let element = Element::ALL.iter().find(|element| element.symbol() == symbol);
            (*amount, element.map_or(0.0, |element| phase.atoms_per_cell(*element)))
        })
        .collect();
    let (stated, found): (f64, f64) = contents.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let strange = |units: f64| {
        let differs =
            |(amount, atoms): &(f64, f64)| (atoms - amount * units).abs() > FORMULA_TOLERANCE * stated * units;
        contents.iter().any(differs)
    };
    let any = match units {
        Some(units) => strange(units) && strange(1.0),
        None => strange(found / stated),
    };
    if any || found <= 0.0 {
        let atoms: Vec<String> =
            amounts.iter().zip(&contents).map(|((symbol, _), (_, atoms))| format!("{symbol}{atoms:.3}")).collect();
        return Err(atoms.join(" "));
    }
    Ok(())
}

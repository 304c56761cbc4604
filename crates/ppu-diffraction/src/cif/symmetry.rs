//! The symmetry of a structure: the operators of the file where it lists them, else its Hall symbol, its Hermann-Mauguin
//! symbol or its number, in this order.

use super::CifError;
use super::syntax::{Block, Value};
use crate::structure::settings::{self, Setting};
use crate::structure::{Cell, Operator, Phase, SpaceGroup, StructureError, hall};

/// Files list an operation for each lattice point of the cell, at most 192.
const MOST_OPERATORS: usize = 192;
/// Messages quote this many characters of a value.
const QUOTED: usize = 40;
/// Atoms of different sites closer than this in Å, or with hydrogen closer than the second, stand in one place.
const CLOSEST_A: f64 = 1.0;
const CLOSEST_WITH_HYDROGEN_A: f64 = 0.6;
/// Sites that share a place, as alternatives do, fill it no more than this.
const FULL: f64 = 1.05;
/// Distances are looked at for structures of up to this many sites and atoms only.
const MOST_SITES_COMPARED: usize = 100;
const MOST_ATOMS_COMPARED: usize = 4000;

const OPERATOR_TAGS: [&str; 3] =
    ["_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"];
const HALL_TAGS: [&str; 2] = ["_space_group_name_hall", "_symmetry_space_group_name_hall"];
const NAME_TAGS: [&str; 3] =
    ["_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_ref"];
pub(super) const NUMBER_TAGS: [&str; 2] = ["_space_group_it_number", "_symmetry_int_tables_number"];

/// The symmetry that a file states.
pub(super) enum Symmetry {
    /// One group.
    Group(SpaceGroup),
    /// A symbol that stands for several settings.
    Several { line: usize, tag: String, text: String, settings: Vec<Setting> },
}

impl Symmetry {
    /// Reads what the file says, and leaves out settings that do not suit the cell.
    pub(super) fn read(block: &Block<'_>, cell: &Cell, warnings: &mut Vec<String>) -> Result<Self, CifError> {
        let name = block.item(&NAME_TAGS).and_then(|(_, value)| value.known());
        if let Some(group) = from_operators(block, name.unwrap_or("unnamed"), warnings)? {
            if !settings::suits(&group, cell) {
                warnings.push("the cell does not have the symmetry of the operations".to_owned());
            }
            return Ok(Symmetry::Group(group));
        }
        if let Some((tag, value)) = block.item(&HALL_TAGS) {
            let symmetry = |source| CifError::Symmetry { line: value.line, tag: tag.to_owned(), source };
            let group = hall::group(name.unwrap_or(value.text), value.text).map_err(symmetry)?;
            return suited(group, cell, tag, &value).map(Symmetry::Group);
        }
        let (tag, value, settings) = match (block.item(&NAME_TAGS), block.item(&NUMBER_TAGS)) {
            (Some((tag, value)), _) => (tag, value, settings::by_symbol(value.text)),
            (None, Some((tag, value))) => {
                warnings
                    .push("only the number of the space group is stated: its standard setting was taken".to_owned());
                (tag, value, value.text.trim().parse().map_or_else(|_| Vec::new(), settings::by_number))
            }
            (None, None) => {
                let (block, line) = (block.name.to_owned(), block.line);
                return Err(CifError::Missing { block, line, tag: OPERATOR_TAGS[0] });
            }
        };
        of_settings(settings, cell, tag, &value)
    }

    /// The one group that places the atoms sensibly; `build` makes the phase, `agrees` compares it with the formula.
    pub(super) fn phase(
        self,
        build: impl Fn(SpaceGroup) -> Result<Phase, CifError>,
        agrees: impl Fn(&Phase) -> bool,
        warnings: &mut Vec<String>,
    ) -> Result<Phase, CifError> {
        let (line, tag, text, settings) = match self {
            Symmetry::Group(group) => return build(group),
            Symmetry::Several { line, tag, text, settings } => (line, tag, text, settings),
        };
        let names = |settings: &[Setting]| settings.iter().map(Setting::name).collect::<Vec<_>>().join(" or ");
        let mut sensible = Vec::new();
        for setting in &settings {
            let phase = build(setting.group())?;
            if agrees(&phase) && !has_clash(&phase) {
                sensible.push((*setting, phase));
            }
        }
        if sensible.len() > 1 {
            return Err(CifError::AmbiguousSymbol { line, tag, text, settings: names(&settings) });
        }
        match sensible.pop() {
            Some((setting, phase)) => {
                warnings.push(format!("of {} only {} places the atoms sensibly", names(&settings), setting.name()));
                Ok(phase)
            }
            None => Err(CifError::AmbiguousSymbol { line, tag, text, settings: names(&settings) }),
        }
    }
}

fn of_settings(settings: Vec<Setting>, cell: &Cell, tag: &str, value: &Value<'_>) -> Result<Symmetry, CifError> {
    if settings.is_empty() {
        return Err(CifError::UnknownSymbol { line: value.line, tag: tag.to_owned(), text: quoted(value) });
    }
    let mut fitting: Vec<Setting> = settings.iter().copied().filter(|s| settings::suits(&s.group(), cell)).collect();
    // A short monoclinic symbol in a cell of right angles: the unique axis is b by convention, which the table lists first.
    if fitting.iter().any(|setting| setting.symbol != fitting[0].symbol) {
        fitting.truncate(1);
    }
    match fitting.as_slice() {
        [] => Err(CifError::SymbolCell { line: value.line, tag: tag.to_owned(), text: quoted(value) }),
        [one] => Ok(Symmetry::Group(one.group())),
        _ => Ok(Symmetry::Several { line: value.line, tag: tag.to_owned(), text: quoted(value), settings: fitting }),
    }
}

fn suited(group: SpaceGroup, cell: &Cell, tag: &str, value: &Value<'_>) -> Result<SpaceGroup, CifError> {
    if settings::suits(&group, cell) {
        Ok(group)
    } else {
        Err(CifError::SymbolCell { line: value.line, tag: tag.to_owned(), text: quoted(value) })
    }
}

fn quoted(value: &Value<'_>) -> String {
    value.text.chars().take(QUOTED).collect()
}

fn from_operators(block: &Block<'_>, name: &str, warnings: &mut Vec<String>) -> Result<Option<SpaceGroup>, CifError> {
    let (tag, values, line) = if let Some(table) = block.table(&OPERATOR_TAGS) {
        let column = table.column(&OPERATOR_TAGS).expect("the loop was chosen for this column");
        let values: Vec<Value<'_>> = table.rows().map(|row| row[column]).collect();
        (table.tags[column].clone(), values, table.line)
    } else if let Some((tag, value)) = block.item(&OPERATOR_TAGS) {
        (tag.to_owned(), vec![value], value.line)
    } else {
        return Ok(None);
    };
    if values.iter().all(|value| value.known().is_none()) {
        return Ok(None);
    }
    if values.len() > MOST_OPERATORS {
        return Err(CifError::TooMuch { line, tag: OPERATOR_TAGS[0], rows: values.len(), most: MOST_OPERATORS });
    }
    for value in &values {
        let symmetry = |source| CifError::Symmetry { line: value.line, tag: tag.clone(), source };
        Operator::parse(value.text).map_err(symmetry)?;
    }
    let texts: Vec<&str> = values.iter().map(|value| value.text).collect();
    let symmetry = |source: StructureError| CifError::Symmetry { line, tag: tag.clone(), source };
    let group = SpaceGroup::from_operators(name, &texts).map_err(symmetry)?;
    if group.operators().len() != texts.len() {
        warnings.push(format!("the file lists {} symmetry operations of {}", texts.len(), group.operators().len()));
    }
    Ok(Some(group))
}

/// True when atoms that cannot be alternatives of one place stand in one place.
fn has_clash(phase: &Phase) -> bool {
    let atoms: usize = phase.orbits().iter().map(Vec::len).sum();
    if phase.sites().len() > MOST_SITES_COMPARED || atoms > MOST_ATOMS_COMPARED {
        return false;
    }
    let metric = phase.cell().metric();
    let filled = |site: usize| phase.sites()[site].occupants.iter().map(|o| o.occupancy).sum::<f64>();
    let hydrogen = |site: usize| phase.sites()[site].occupants.iter().all(|o| o.element.symbol() == "H");
    for (first, orbit) in phase.orbits().iter().enumerate() {
        // Every atom of an orbit sees the same neighbours.
        let Some(origin) = orbit.first() else { continue };
        for (second, others) in phase.orbits().iter().enumerate() {
            if first != second && filled(first) + filled(second) <= FULL {
                continue;
            }
            if first == second && 2.0 * filled(first) <= FULL {
                continue;
            }
            let least = if hydrogen(first) || hydrogen(second) { CLOSEST_WITH_HYDROGEN_A } else { CLOSEST_A };
            let others = others.iter().skip(usize::from(first == second));
            if others.map(|other| nearest(&metric, origin.position, other.position)).any(|d| d < least) {
                return true;
            }
        }
    }
    false
}

/// Distance in Å from one point to the nearest lattice image of another, among the cells around.
fn nearest(metric: &nalgebra::Matrix3<f64>, from: [f64; 3], to: [f64; 3]) -> f64 {
    let mut least = f64::INFINITY;
    for cell in 0..27 {
        let shift = [cell % 3 - 1, cell / 3 % 3 - 1, cell / 9 - 1].map(f64::from);
        let gap = nalgebra::Vector3::from_fn(|i, _| to[i] - from[i] + shift[i]);
        least = least.min(gap.dot(&(metric * gap)));
    }
    least.max(0.0).sqrt()
}

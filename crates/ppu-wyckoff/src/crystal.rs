//! A crystal as a space group and its occupied Wyckoff positions, and how a structure is read as one.

use std::fmt;

use moyo::MoyoDataset;
use moyo::base::{AngleTolerance, Cell, Lattice as MoyoLattice};
use moyo::data::Setting;
use nalgebra::Vector3;
use ppu_atoms::{Element, Structure};
use ppu_twin::rules::{Element as RuleElement, Formula};

use crate::counts::MOST_ATOMS;
use crate::group::{Operation, Point, SpaceGroup, space_group};

/// One occupied Wyckoff position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Orbit {
    /// Index into the positions of the group, 0 for `a`.
    pub position: u8,
    /// Who occupies it.
    pub element: Element,
}

/// A space group and its occupied Wyckoff positions, without the values of free coordinates and without a cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crystal {
    group: u8,
    orbits: Vec<Orbit>,
}

/// Why a list of orbits is no crystal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrystalError {
    /// There is no such space group.
    #[error("{0} is no space group; they are numbered from 1 to 230")]
    Group(u8),
    /// There is no orbit.
    #[error("the crystal has no atoms")]
    Empty,
    /// The group has no such position.
    #[error("group {group} has no Wyckoff position number {position}")]
    Position {
        /// The group.
        group: u8,
        /// The index.
        position: u8,
    },
    /// A position without free coordinates is occupied more than once.
    #[error("position {letter} of group {group} has no free coordinate, so only one element can occupy it")]
    Twice {
        /// The group.
        group: u8,
        /// The letter.
        letter: char,
    },
}

/// A structure as a crystal, with what the crystal leaves open.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Space group and orbits, in the canonical choice of origin and axes.
    pub crystal: Crystal,
    /// Free coordinates of each orbit.
    pub coordinates: Vec<Point>,
    /// Edges in Å and angles in degrees of the conventional cell.
    pub cell: [f64; 6],
}

/// Why a structure could not be read as a crystal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DescribeError {
    /// The search for the symmetry failed.
    #[error("no space group was found at a tolerance of {tolerance} Å: {reason}")]
    Symmetry {
        /// Tolerance in Å.
        tolerance: f64,
        /// What the search says.
        reason: String,
    },
    /// The refined atoms do not fill whole orbits.
    #[error("the refined atoms of group {0} do not fill whole orbits")]
    Orbits(u8),
    /// The primitive cell is larger than what is described.
    #[error("the primitive cell has {0} atoms; the limit is {MOST_ATOMS}")]
    Atoms(usize),
}

impl Crystal {
    /// A crystal of these orbits in any order; they are sorted by position, then by element.
    ///
    /// # Errors
    /// [`CrystalError`] when there is no such group or position, none is occupied, or one without freedom is occupied twice.
    pub fn new(group: u8, mut orbits: Vec<Orbit>) -> Result<Crystal, CrystalError> {
        let known = space_group(group).ok_or(CrystalError::Group(group))?;
        if orbits.is_empty() {
            return Err(CrystalError::Empty);
        }
        orbits.sort_unstable();
        for (at, orbit) in orbits.iter().enumerate() {
            let Some(position) = known.positions.get(usize::from(orbit.position)) else {
                return Err(CrystalError::Position { group, position: orbit.position });
            };
            if position.freedom == 0 && at > 0 && orbits[at - 1].position == orbit.position {
                return Err(CrystalError::Twice { group, letter: position.letter });
            }
        }
        Ok(Crystal { group, orbits })
    }

    /// Number of the space group.
    #[must_use]
    pub fn group(&self) -> u8 {
        self.group
    }

    /// The space group.
    #[must_use]
    pub fn space_group(&self) -> &'static SpaceGroup {
        space_group(self.group).expect("a crystal is made with a known group")
    }

    /// Orbits, sorted by position, then by element.
    #[must_use]
    pub fn orbits(&self) -> &[Orbit] {
        &self.orbits
    }

    /// Its elements in the order of atomic number.
    #[must_use]
    pub fn elements(&self) -> Vec<Element> {
        let mut all: Vec<Element> = self.orbits.iter().map(|orbit| orbit.element).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Atoms in the primitive cell.
    #[must_use]
    pub fn atoms(&self) -> usize {
        let group = self.space_group();
        self.orbits.iter().map(|orbit| group.positions[usize::from(orbit.position)].atoms).sum()
    }

    /// The reduced formula.
    #[must_use]
    pub fn formula(&self) -> Formula {
        let group = self.space_group();
        let count = |orbit: &Orbit| {
            let element = RuleElement::from_atomic_number(orbit.element.number() as u8)?;
            Some((element, group.positions[usize::from(orbit.position)].atoms as u32))
        };
        let formula = Formula::new(self.orbits.iter().filter_map(count));
        formula.expect("a crystal has atoms of elements that the rules know").reduced()
    }

    /// The same crystal in the choice of origin and axes that sorts first: two crystals are equal in this form if their
    /// orbits differ only by a relabelling of the group.
    #[must_use]
    pub fn canonical(&self) -> Crystal {
        let images = self.space_group().relabellings().iter().map(|change| self.relabelled(&change.positions));
        images.min().unwrap_or_else(|| self.clone())
    }

    fn relabelled(&self, positions: &[u8]) -> Crystal {
        let image = |orbit: &Orbit| Orbit { position: positions[usize::from(orbit.position)], element: orbit.element };
        let mut orbits: Vec<Orbit> = self.orbits.iter().map(image).collect();
        orbits.sort_unstable();
        Crystal { group: self.group, orbits }
    }
}

impl fmt::Display for Crystal {
    /// Formula, group and orbits, for example `NaCl 225: a Na, b Cl`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:", self.formula(), self.group)?;
        let group = self.space_group();
        for (at, orbit) in self.orbits.iter().enumerate() {
            let letter = group.positions[usize::from(orbit.position)].letter;
            write!(f, "{} {letter} {}", if at == 0 { "" } else { "," }, orbit.element)?;
        }
        Ok(())
    }
}

/// Finds the space group of a structure and its occupied positions; atoms may be off their places by `tolerance` Å.
///
/// # Errors
/// [`DescribeError`] when no symmetry is found, or the primitive cell is too large.
pub fn describe(structure: &Structure, tolerance: f64) -> Result<Described, DescribeError> {
    let positions = structure.fractional().iter().map(|point| Vector3::from(*point)).collect();
    let numbers = structure.species().iter().map(|element| element.number() as i32).collect();
    let cell = Cell::new(MoyoLattice::from_basis(structure.lattice().0), positions, numbers);
    let found = MoyoDataset::new(&cell, tolerance, AngleTolerance::Default, Setting::Standard, true)
        .map_err(|error| DescribeError::Symmetry { tolerance, reason: error.to_string() })?;
    if found.prim_std_cell.num_atoms() > MOST_ATOMS {
        return Err(DescribeError::Atoms(found.prim_std_cell.num_atoms()));
    }
    let number = found.number as u8;
    let group = space_group(number).ok_or(DescribeError::Orbits(number))?;
    let standard = &found.std_cell;
    let atoms: Vec<(Point, i32)> =
        standard.positions_as_arrays().into_iter().zip(standard.numbers.iter().copied()).collect();
    let orbits = orbits(group, &atoms).ok_or(DescribeError::Orbits(number))?;
    Ok(canonical(group, &orbits, standard.lattice.basis_as_array()))
}

/// Sorts atoms of the conventional cell into orbits, each with one of its points.
fn orbits(group: &SpaceGroup, atoms: &[(Point, i32)]) -> Option<Vec<(Point, Orbit)>> {
    let mut left: Vec<&(Point, i32)> = atoms.iter().collect();
    let mut found = Vec::new();
    while let Some((point, number)) = left.first().copied() {
        let (position, coordinates) = group.locate(*point);
        let images = group.orbit(position, coordinates);
        let before = left.len();
        left.retain(|(other, kind)| kind != number || !images.iter().any(|image| near(*image, *other)));
        if before - left.len() != group.positions[position].multiplicity {
            return None;
        }
        let element = Element::from_number(u32::try_from(*number).ok()?).ok()?;
        found.push((*point, Orbit { position: position as u8, element }));
    }
    Some(found)
}

/// Whether two points are one, up to the lattice; refined atoms agree to 1e-8, distinct ones differ by far more.
fn near(one: Point, other: Point) -> bool {
    one.iter().zip(other).all(|(a, b)| ((a - b) - (a - b).round()).abs() < 1e-3)
}

fn canonical(group: &SpaceGroup, orbits: &[(Point, Orbit)], basis: [Point; 3]) -> Described {
    let identity = Operation { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], shift: [0.0; 3] };
    let given: Vec<u8> = (0..group.positions.len() as u8).collect();
    let relabelled = |positions: &[u8]| {
        let mut list: Vec<Orbit> = orbits
            .iter()
            .map(|(_, orbit)| Orbit { position: positions[usize::from(orbit.position)], element: orbit.element })
            .collect();
        list.sort_unstable();
        list
    };
    // Of several changes with the same result the first one counts, so that the given axes are kept where they may be.
    let mut best = (relabelled(&given), identity);
    for change in group.relabellings() {
        let list = relabelled(&change.positions);
        if list < best.0 {
            best = (list, change.operation);
        }
    }
    let (_, change) = best;
    let mut placed: Vec<(Orbit, Point)> = orbits
        .iter()
        .map(|(point, orbit)| {
            let (position, coordinates) = group.locate(change.apply(*point));
            (Orbit { position: position as u8, element: orbit.element }, coordinates)
        })
        .collect();
    placed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal)));
    let (orbits, coordinates) = placed.into_iter().unzip();
    let cell = parameters(basis, &change.inverse().rotation);
    Described { crystal: Crystal { group: group.number, orbits }, coordinates, cell }
}

/// Edges and angles of the cell whose axes are the given combinations of the old ones, a column each.
fn parameters(basis: [Point; 3], axes: &[[i32; 3]; 3]) -> [f64; 6] {
    let edge = |column: usize| -> Point {
        std::array::from_fn(|axis| (0..3).map(|old| f64::from(axes[old][column]) * basis[old][axis]).sum())
    };
    let edges = [edge(0), edge(1), edge(2)];
    let dot = |a: Point, b: Point| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let lengths = edges.map(|edge| dot(edge, edge).sqrt());
    let angle = |one: usize, other: usize| {
        (dot(edges[one], edges[other]) / (lengths[one] * lengths[other])).clamp(-1.0, 1.0).acos().to_degrees()
    };
    [lengths[0], lengths[1], lengths[2], angle(1, 2), angle(0, 2), angle(0, 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppu_atoms::Lattice;

    fn element(symbol: &str) -> Element {
        symbol.parse().unwrap()
    }

    #[test]
    fn rock_salt_is_the_same_from_either_origin() {
        let half = 2.82;
        let primitive = Lattice([[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]);
        let read = |first: &str, second: &str| {
            let species = vec![element(first), element(second)];
            describe(&Structure::new(primitive, species, vec![[0.0; 3], [0.5; 3]]).unwrap(), 0.01).unwrap()
        };
        let salt = read("Na", "Cl");
        assert_eq!(salt.crystal.to_string(), "NaCl 225: a Na, b Cl");
        assert_eq!(salt, read("Cl", "Na"));
        assert!((salt.cell[0] - 5.64).abs() < 1e-9 && (salt.cell[3] - 90.0).abs() < 1e-9);
        assert_eq!((salt.crystal.atoms(), salt.crystal.elements().len()), (2, 2));
    }

    #[test]
    fn perovskite_has_three_orbits_and_rutile_its_coordinate() {
        let species = ["Ba", "Ti", "O", "O", "O"].map(element).to_vec();
        let points = vec![[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
        let found = describe(&Structure::new(Lattice::cubic(4.0), species, points).unwrap(), 0.01).unwrap();
        assert_eq!(found.crystal.to_string(), "BaTiO3 221: a Ti, b Ba, d O");
        let lattice = Lattice([[4.59, 0.0, 0.0], [0.0, 4.59, 0.0], [0.0, 0.0, 2.96]]);
        let u = 0.305;
        let points =
            vec![[0.0; 3], [0.5; 3], [u, u, 0.0], [-u, -u, 0.0], [0.5 - u, 0.5 + u, 0.5], [0.5 + u, 0.5 - u, 0.5]];
        let species = ["Ti", "Ti", "O", "O", "O", "O"].map(element).to_vec();
        let found = describe(&Structure::new(lattice, species, points).unwrap(), 0.01).unwrap();
        assert_eq!(found.crystal.group(), 136);
        let x = found.coordinates.last().unwrap()[0];
        assert!([u, 1.0 - u, 0.5 - u, 0.5 + u].iter().any(|image| (x - image).abs() < 1e-6), "{x}");
    }

    #[test]
    fn what_is_no_crystal_is_refused() {
        let orbit = |position| Orbit { position, element: element("Na") };
        assert_eq!(Crystal::new(0, vec![orbit(0)]), Err(CrystalError::Group(0)));
        assert_eq!(Crystal::new(225, vec![]), Err(CrystalError::Empty));
        assert_eq!(Crystal::new(225, vec![orbit(12)]), Err(CrystalError::Position { group: 225, position: 12 }));
        assert_eq!(Crystal::new(225, vec![orbit(0); 2]), Err(CrystalError::Twice { group: 225, letter: 'a' }));
        assert!(Crystal::new(225, vec![orbit(4); 2]).is_ok());
    }
}

//! The 230 space groups: operations, Wyckoff positions, and the relabellings that describe the same crystal.
//!
//! Settings are those of International Tables A: unique axis b, cell choice 1, hexagonal axes, origin choice 2. Lists and
//! operations come from moyo (Shinohara, MIT OR Apache-2.0); freedom and relabellings are computed here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, OnceLock};

use moyo::data::{Setting, hall_symbol_entry, iter_wyckoff_positions_from_hall_number, operations_from_number};

/// Fractional coordinates.
pub type Point = [f64; 3];

/// Coordinates that differ by less than this, in fractions of an edge, are the same: moyo's refined cells are exact to 1e-8.
const SAME_POINT: f64 = 1e-4;

/// How many space groups there are.
pub const GROUPS: usize = 230;

/// A rotation and a shift of fractional coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operation {
    /// Rotation, row by row.
    pub rotation: [[i32; 3]; 3],
    /// Shift.
    pub shift: Point,
}

/// One Wyckoff position of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Letter of International Tables.
    pub letter: char,
    /// Points in the conventional cell.
    pub multiplicity: usize,
    /// Points in the primitive cell.
    pub atoms: usize,
    /// Symbol of the site symmetry without its orientation.
    pub site_symmetry: String,
    /// Which one of the positions of this site symmetry in the group it is, from 0 in the order of letters.
    pub enumeration: usize,
    /// Free coordinates, 0 to 3. A position without any can be occupied once.
    pub freedom: usize,
    linear: [[i32; 3]; 3],
    origin: Point,
}

/// A space group in its standard setting.
#[derive(Debug)]
pub struct SpaceGroup {
    /// Number of International Tables, 1 to 230.
    pub number: u8,
    /// Hermann-Mauguin symbol, short.
    pub symbol: &'static str,
    /// Points of the lattice in the conventional cell.
    pub lattice_points: Vec<Point>,
    /// Edges of a primitive cell, one a row, in edges of the conventional cell.
    pub primitive: [Point; 3],
    /// All operations of the conventional cell, centrings included.
    pub operations: Vec<Operation>,
    /// Wyckoff positions in the order of letters, `a` first.
    pub positions: Vec<Position>,
    relabellings: OnceLock<Vec<Relabelling>>,
}

/// Another choice of origin or axes in which the group is the same: what it does to points and to Wyckoff positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Relabelling {
    /// How coordinates change.
    pub operation: Operation,
    /// The position that each one becomes.
    pub positions: Vec<u8>,
}

static ALL: LazyLock<Vec<SpaceGroup>> = LazyLock::new(|| (1..=GROUPS as u8).map(SpaceGroup::build).collect());

/// The space group of a number from 1 to 230.
#[must_use]
pub fn space_group(number: u8) -> Option<&'static SpaceGroup> {
    ALL.get(usize::from(number).checked_sub(1)?)
}

/// All space groups in the order of their numbers.
pub fn space_groups() -> impl ExactSizeIterator<Item = &'static SpaceGroup> {
    ALL.iter()
}

impl Operation {
    /// The image of a point.
    #[must_use]
    pub fn apply(&self, point: Point) -> Point {
        affine(&self.rotation, self.shift, point)
    }

    fn after(&self, first: &Operation) -> Operation {
        let rotation = std::array::from_fn(|row| {
            std::array::from_fn(|column| (0..3).map(|k| self.rotation[row][k] * first.rotation[k][column]).sum())
        });
        Operation { rotation, shift: self.apply(first.shift) }
    }

    /// The operation that undoes this one; the determinant of `rotation` is ±1.
    #[must_use]
    pub fn inverse(&self) -> Operation {
        let r = &self.rotation;
        let minor = |row: usize, column: usize| {
            let (a, b, c, d) = ((row + 1) % 3, (row + 2) % 3, (column + 1) % 3, (column + 2) % 3);
            r[a][c] * r[b][d] - r[a][d] * r[b][c]
        };
        let determinant: i32 = (0..3).map(|column| r[0][column] * minor(0, column)).sum();
        let rotation = std::array::from_fn(|row| std::array::from_fn(|column| determinant * minor(column, row)));
        let shift = affine(&rotation, [0.0; 3], self.shift).map(|value| -value);
        Operation { rotation, shift }
    }

    /// The rotation and the shift in 48ths of an edge, which all standard settings and their normalizers divide.
    fn key(&self) -> ([[i32; 3]; 3], [i32; 3]) {
        (self.rotation, self.shift.map(|value| ((value * 48.0).round() as i32).rem_euclid(48)))
    }
}

impl Position {
    /// The point of these free coordinates; those that are not free do not matter.
    #[must_use]
    pub fn point(&self, coordinates: Point) -> Point {
        affine(&self.linear, self.origin, coordinates)
    }

    /// Which of the three coordinates are free.
    #[must_use]
    pub fn free(&self) -> [bool; 3] {
        std::array::from_fn(|column| self.linear.iter().any(|row| row[column] != 0))
    }

    /// The free coordinates of a point of this very form, each from 0 to 1.
    fn solve(&self, point: Point) -> Option<Point> {
        let mut found = [0.0; 3];
        let mut open = self.free();
        while open.contains(&true) {
            // Every form of the tables names each coordinate with the factor ±1 once the others are known.
            let (row, column) = (0..3).find_map(|row| {
                let mut unknown = (0..3).filter(|column| open[*column] && self.linear[row][*column] != 0);
                let column = unknown.next()?;
                (unknown.next().is_none() && self.linear[row][column].abs() == 1).then_some((row, column))
            })?;
            let known: f64 = (0..3).map(|k| f64::from(self.linear[row][k]) * found[k]).sum();
            found[column] = f64::from(self.linear[row][column]) * (point[row] - self.origin[row] - known);
            open[column] = false;
        }
        same(self.point(found), point).then(|| found.map(|value| value.rem_euclid(1.0)))
    }
}

impl SpaceGroup {
    fn build(number: u8) -> SpaceGroup {
        let hall = Setting::Standard.hall_number(number.into()).expect("moyo knows 230 groups");
        let entry = hall_symbol_entry(hall).expect("moyo lists every Hall number that it names");
        let operations = operations_from_number(number.into(), Setting::Standard, false)
            .expect("moyo reads its own Hall symbols")
            .iter()
            .map(|operation| Operation {
                rotation: operation.rotation_as_array(),
                shift: operation.translation_as_array(),
            })
            .collect();
        let mut positions: Vec<Position> = Vec::new();
        let mut listed: Vec<_> = iter_wyckoff_positions_from_hall_number(hall).collect();
        // In the order of letters; after `z` comes `A`, in group 47 alone.
        listed.sort_by_key(|listed| (listed.letter.is_uppercase(), listed.letter));
        for listed in listed {
            let (linear, origin) = form(listed.coordinates).expect("moyo's coordinates are triplets");
            let site_symmetry: String = listed.site_symmetry.chars().filter(|symbol| *symbol != '.').collect();
            positions.push(Position {
                letter: listed.letter,
                multiplicity: listed.multiplicity,
                atoms: listed.multiplicity / entry.centering.order(),
                enumeration: positions.iter().filter(|other| other.site_symmetry == site_symmetry).count(),
                site_symmetry,
                freedom: (0..3).filter(|column| linear.iter().any(|row| row[*column] != 0)).count(),
                linear,
                origin,
            });
        }
        let inverse = entry.centering.inverse();
        SpaceGroup {
            number,
            symbol: entry.hm_short,
            lattice_points: entry.centering.lattice_points().iter().map(|p| [p.x, p.y, p.z]).collect(),
            primitive: std::array::from_fn(|edge| std::array::from_fn(|axis| inverse[(axis, edge)])),
            operations,
            positions,
            relabellings: OnceLock::new(),
        }
    }

    /// The position that a point lies on, and its free coordinates.
    #[must_use]
    pub fn locate(&self, point: Point) -> (usize, Point) {
        let mut order: Vec<usize> = (0..self.positions.len()).collect();
        order.sort_by_key(|index| self.positions[*index].freedom);
        let found = order.into_iter().find_map(|index| Some((index, self.coordinates(index, point)?)));
        found.unwrap_or((self.positions.len() - 1, point))
    }

    /// The free coordinates of the first image of a point that has the form of a position.
    #[must_use]
    pub fn coordinates(&self, position: usize, point: Point) -> Option<Point> {
        self.operations.iter().find_map(|operation| self.positions[position].solve(operation.apply(point)))
    }

    /// All points of an orbit in the conventional cell, each coordinate from 0 to 1.
    #[must_use]
    pub fn orbit(&self, position: usize, coordinates: Point) -> Vec<Point> {
        let start = self.positions[position].point(coordinates);
        let mut points: Vec<Point> = Vec::with_capacity(self.positions[position].multiplicity);
        for operation in &self.operations {
            let image = operation.apply(start).map(|value| value.rem_euclid(1.0));
            if !points.iter().any(|point| same(*point, image)) {
                points.push(image);
            }
        }
        points
    }

    /// The choices of origin and axes in which the group is the same, one for each way in which they permute the positions.
    ///
    /// Considered are all exchanges and reversals of axes (those of the hexagon on hexagonal axes) with shifts by quarters,
    /// and thirds on hexagonal axes. Other cells of oblique lattices are left out.
    pub fn relabellings(&self) -> &[Relabelling] {
        self.relabellings.get_or_init(|| {
            let members: BTreeSet<_> = self.operations.iter().map(Operation::key).collect();
            let mut found: BTreeMap<Vec<u8>, Operation> = BTreeMap::new();
            for rotation in rotations((143..=194).contains(&self.number)) {
                for shift in shifts((143..=194).contains(&self.number)) {
                    let change = Operation { rotation, shift };
                    let back = change.inverse();
                    let normal = |member: &Operation| members.contains(&change.after(member).after(&back).key());
                    if self.operations.iter().all(normal) {
                        found.entry(self.permutation(&change)).or_insert(change);
                    }
                }
            }
            found.into_iter().map(|(positions, operation)| Relabelling { operation, positions }).collect()
        })
    }

    fn permutation(&self, change: &Operation) -> Vec<u8> {
        // Coordinates without any relation to each other, so that a point lies on no position but its own.
        let generic = [0.137_21, 0.311_87, 0.229_03];
        let image = |position: &Position| self.locate(change.apply(position.point(generic))).0 as u8;
        self.positions.iter().map(image).collect()
    }
}

fn affine(linear: &[[i32; 3]; 3], shift: Point, point: Point) -> Point {
    std::array::from_fn(|row| shift[row] + (0..3).map(|k| f64::from(linear[row][k]) * point[k]).sum::<f64>())
}

/// Whether two points are the same up to translations of the lattice.
fn same(one: Point, other: Point) -> bool {
    one.iter().zip(other).all(|(a, b)| ((a - b) - (a - b).round()).abs() < SAME_POINT)
}

/// Reads a triplet like `x,2x,-z+1/4`.
fn form(text: &str) -> Option<([[i32; 3]; 3], Point)> {
    let (mut linear, mut origin) = ([[0; 3]; 3], [0.0; 3]);
    let mut terms = text.split(',');
    for row in 0..3 {
        let term = terms.next()?.replace(' ', "").replace('-', "+-");
        for part in term.split('+').filter(|part| !part.is_empty()) {
            let (body, sign) = part.strip_prefix('-').map_or((part, 1), |body| (body, -1));
            if let Some(column) = body.find(['x', 'y', 'z']) {
                let variable = usize::from(body.as_bytes()[column] - b'x');
                let factor: i32 = if column == 0 { 1 } else { body[..column].parse().ok()? };
                linear[row][variable] += sign * factor;
            } else {
                let (top, bottom) = body.split_once('/').unwrap_or((body, "1"));
                origin[row] += f64::from(sign) * top.parse::<f64>().ok()? / bottom.parse::<f64>().ok()?;
            }
        }
    }
    Some((linear, origin))
}

/// The identity first, then exchanges and reversals of axes: 48 on right-angled axes, 24 on hexagonal ones.
fn rotations(hexagonal: bool) -> Vec<[[i32; 3]; 3]> {
    let identity = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    let generators: &[[[i32; 3]; 3]] = if hexagonal {
        &[[[1, -1, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, -1]]]
    } else {
        &[[[0, 0, 1], [1, 0, 0], [0, 1, 0]], [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]]
    };
    let mut found = vec![identity];
    let mut at = 0;
    while at < found.len() {
        for generator in generators {
            let next = Operation { rotation: *generator, shift: [0.0; 3] }
                .after(&Operation { rotation: found[at], shift: [0.0; 3] })
                .rotation;
            if !found.contains(&next) {
                found.push(next);
            }
        }
        at += 1;
    }
    found
}

fn shifts(hexagonal: bool) -> Vec<Point> {
    let along: &[f64] = &[0.0, 0.25, 0.5, 0.75];
    let across: &[f64] = if hexagonal { &[0.0, 1.0 / 3.0, 2.0 / 3.0] } else { along };
    let mut found = Vec::new();
    for x in across {
        for y in across {
            found.extend(along.iter().map(|z| [*x, *y, *z]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orbit_has_the_points_that_the_tables_state() {
        let generic = [0.137_21, 0.311_87, 0.229_03];
        for group in space_groups() {
            for (index, position) in group.positions.iter().enumerate() {
                assert_eq!(
                    group.orbit(index, generic).len(),
                    position.multiplicity,
                    "{} {}",
                    group.number,
                    position.letter
                );
                assert_eq!(position.multiplicity, position.atoms * group.lattice_points.len());
            }
            let general = group.positions.last().unwrap();
            assert_eq!((general.freedom, general.multiplicity), (3, group.operations.len()), "{}", group.number);
        }
        assert_eq!(space_groups().map(|group| group.positions.len()).sum::<usize>(), 1731);
    }

    #[test]
    fn known_groups_have_their_known_positions() {
        let list = |number: u8| -> String {
            let group = space_group(number).unwrap();
            group.positions.iter().map(|p| format!("{}{} ", p.multiplicity, p.letter)).collect()
        };
        assert_eq!(list(225), "4a 4b 8c 24d 24e 32f 48g 48h 48i 96j 96k 192l ");
        assert_eq!(list(221), "1a 1b 3c 3d 6e 6f 8g 12h 12i 12j 24k 24l 24m 48n ");
        assert_eq!(list(62), "4a 4b 4c 8d ");
        assert_eq!(list(166), "3a 3b 6c 9d 9e 18f 18g 18h 36i ");
        let spinel = space_group(227).unwrap();
        let site = |letter: char| spinel.positions.iter().find(|p| p.letter == letter).unwrap();
        assert_eq!((site('a').site_symmetry.as_str(), site('a').freedom), ("-43m", 0));
        assert_eq!((site('e').site_symmetry.as_str(), site('e').freedom, site('e').atoms), ("3m", 1, 8));
        assert_eq!((site('b').enumeration, site('d').enumeration), (1, 1));
        assert!(space_group(0).is_none() && space_group(231).is_none());
    }

    #[test]
    fn points_are_located_on_their_positions() {
        let spinel = space_group(227).unwrap();
        let (position, coordinates) = spinel.locate([0.26, 0.26, 0.26]);
        assert_eq!(spinel.positions[position].letter, 'e');
        let images = spinel.orbit(position, coordinates);
        assert!(images.iter().any(|image| same(*image, [0.26; 3])), "{coordinates:?}");
        assert_eq!(spinel.positions[spinel.locate([0.125; 3]).0].letter, 'a');
    }

    #[test]
    fn relabellings_are_the_known_ones() {
        // Rock salt: either kind of atom may be at the origin.
        let swaps = space_group(225).unwrap().relabellings();
        assert_eq!(swaps.len(), 2);
        assert!(swaps.iter().any(|swap| swap.positions[..3] == [1, 0, 2]));
        // Perovskite: corner and centre, edges and faces.
        let swaps = space_group(221).unwrap().relabellings();
        assert!(swaps.iter().any(|swap| swap.positions[..4] == [1, 0, 3, 2]));
        for number in [2, 62, 139, 166, 194, 227] {
            let group = space_group(number).unwrap();
            for swap in group.relabellings() {
                let mut sorted = swap.positions.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..group.positions.len() as u8).collect::<Vec<_>>(), "{number}");
            }
        }
    }
}

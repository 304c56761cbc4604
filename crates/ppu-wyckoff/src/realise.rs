//! From a crystal to atoms: free coordinates and the shape of the cell from what reference structures of the same space
//! group have, its volume from the volumes of the elements. A start for a relaxation, not more.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};
use ppu_atoms::{Element, Lattice, Structure, StructureError};
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::crystal::{Crystal, Described};
use crate::group::{Point, SpaceGroup};

/// Coordinates that are kept of each Wyckoff position, and cells of each group: enough to tell what is usual.
const KEPT: usize = 16;
/// Draws of coordinates and cell, of which that with the most room between atoms is taken.
const TRIALS: usize = 24;
/// Below this share of the sum of their radii two atoms are in each other: real ones come down to 0.7.
const LEAST_DISTANCE: f64 = 0.5;
/// Pull of an element's volume towards the mean, in structures: settles elements that are hardly ever seen.
const PULL: f64 = 0.05;

/// Volumes, cells and free coordinates of reference structures.
#[derive(Debug, Clone, PartialEq)]
pub struct Realiser {
    /// Å³ an atom, of every element.
    volumes: Vec<f64>,
    /// Edges and angles of conventional cells of volume 1, for each group.
    cells: BTreeMap<u8, Vec<[f64; 6]>>,
    /// Free coordinates, for each group and position.
    coordinates: BTreeMap<(u8, u8), Vec<Point>>,
}

/// Why reference structures do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// There are none.
    #[error("there is no reference structure to take volumes and coordinates from")]
    Empty,
    /// The regression has no solution.
    #[error(
        "the volumes of the elements could not be determined: a reference structure has a volume that is not finite"
    )]
    Volumes,
}

/// Why a crystal got no atoms.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RealiseError {
    /// In every draw two atoms were in each other.
    #[error(
        "the closest atoms are at {0:.2} of the sum of their radii in the best of {TRIALS} draws; draw again, or leave it"
    )]
    TooClose(f64),
    /// The atoms and the cell make no structure.
    #[error("the draw is no structure")]
    Structure(#[source] StructureError),
}

impl Realiser {
    /// Takes volumes, cells and coordinates from reference structures.
    ///
    /// # Errors
    /// [`FitError`] when there is none, or a volume is not finite.
    pub fn fit(references: &[Described]) -> Result<Realiser, FitError> {
        if references.is_empty() {
            return Err(FitError::Empty);
        }
        let mut cells: BTreeMap<u8, Vec<[f64; 6]>> = BTreeMap::new();
        let mut coordinates: BTreeMap<(u8, u8), Vec<Point>> = BTreeMap::new();
        for one in references {
            let group = one.crystal.group();
            cells.entry(group).or_default().push(scaled(one.cell, 1.0));
            for (orbit, point) in one.crystal.orbits().iter().zip(&one.coordinates) {
                if one.crystal.space_group().positions[usize::from(orbit.position)].freedom > 0 {
                    coordinates.entry((group, orbit.position)).or_default().push(*point);
                }
            }
        }
        cells.values_mut().for_each(thin);
        coordinates.values_mut().for_each(thin);
        Ok(Realiser { volumes: volumes(references)?, cells, coordinates })
    }

    /// The volume of the primitive cell that its elements suggest, Å³.
    #[must_use]
    pub fn volume(&self, crystal: &Crystal) -> f64 {
        let positions = &crystal.space_group().positions;
        let of = |element: Element, atoms: usize| self.volumes[element.index()] * atoms as f64;
        crystal.orbits().iter().map(|orbit| of(orbit.element, positions[usize::from(orbit.position)].atoms)).sum()
    }

    /// Atoms in a primitive cell.
    ///
    /// # Errors
    /// [`RealiseError`] when no draw keeps the atoms apart.
    pub fn realise(&self, crystal: &Crystal, rng: &mut ChaCha12Rng) -> Result<Structure, RealiseError> {
        let mut best: Option<(f64, Structure)> = None;
        let open = crystal
            .orbits()
            .iter()
            .any(|orbit| crystal.space_group().positions[usize::from(orbit.position)].freedom > 0);
        // Without free coordinates only the cell is drawn.
        for _ in 0..if open { TRIALS } else { TRIALS / 4 } {
            let structure = self.draw(crystal, rng).map_err(RealiseError::Structure)?;
            let room = self.room(&structure);
            if best.as_ref().is_none_or(|(most, _)| room > *most) {
                best = Some((room, structure));
            }
        }
        match best {
            Some((room, structure)) if room >= LEAST_DISTANCE => Ok(structure),
            other => Err(RealiseError::TooClose(other.map_or(0.0, |(room, _)| room))),
        }
    }

    fn draw(&self, crystal: &Crystal, rng: &mut ChaCha12Rng) -> Result<Structure, StructureError> {
        let group = crystal.space_group();
        let cells = self.cells.get(&group.number).map_or(&[][..], Vec::as_slice);
        // A group that no reference has gets the cell that every group allows: cubic or hexagonal axes of equal length.
        let gamma = if (143..=194).contains(&group.number) { 120.0 } else { 90.0 };
        let shape = pick(cells, rng).unwrap_or([1.0, 1.0, 1.0, 90.0, 90.0, gamma]);
        let cell = scaled(shape, self.volume(crystal) * group.lattice_points.len() as f64);
        let (mut species, mut points) = (Vec::new(), Vec::new());
        for orbit in crystal.orbits() {
            let known = self.coordinates.get(&(group.number, orbit.position)).map_or(&[][..], Vec::as_slice);
            // As often as one of many references anything: no reference need have the right one.
            let usual = rng.random_range(0..=known.len()) > 0;
            let point =
                pick(known, rng).filter(|_| usual).unwrap_or_else(|| [rng.random(), rng.random(), rng.random()]);
            let images = primitive_points(group, &group.orbit(usize::from(orbit.position), point));
            species.extend(std::iter::repeat_n(orbit.element, images.len()));
            points.extend(images);
        }
        let conventional = Lattice::from_parameters([cell[0], cell[1], cell[2]], [cell[3], cell[4], cell[5]]);
        Structure::new(Lattice(group.primitive.map(|edge| conventional.cartesian(edge))), species, points)
    }

    /// The smallest distance as a share of the sum of the two radii, half the cube roots of the volumes.
    fn room(&self, structure: &Structure) -> f64 {
        let radius: Vec<f64> =
            structure.species().iter().map(|element| 0.5 * self.volumes[element.index()].cbrt()).collect();
        let points = structure.fractional();
        let mut least = f64::INFINITY;
        for (one, a) in points.iter().enumerate() {
            for (other, b) in points.iter().enumerate().skip(one) {
                for image in 0..27 {
                    let shift = [image % 3, image / 3 % 3, image / 9].map(|step| f64::from(step) - 1.0);
                    if one == other && image == 13 {
                        continue;
                    }
                    let between: Point = std::array::from_fn(|k| {
                        let apart = a[k] - b[k];
                        apart - apart.round() + shift[k]
                    });
                    let vector = structure.lattice().cartesian(between);
                    let distance = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
                    least = least.min(distance / (radius[one] + radius[other]));
                }
            }
        }
        least
    }

    /// Everything as flat tables: volumes; group and cell; group, position and coordinates.
    pub(crate) fn tables(&self) -> [(usize, Vec<f32>); 3] {
        let volumes = self.volumes.iter().map(|volume| *volume as f32).collect();
        let cells = self.cells.iter().flat_map(|(group, cells)| {
            cells.iter().flat_map(|cell| std::iter::once(f32::from(*group)).chain(cell.map(|value| value as f32)))
        });
        let coordinates = self.coordinates.iter().flat_map(|((group, position), points)| {
            points.iter().flat_map(|point| {
                [f32::from(*group), f32::from(*position)].into_iter().chain(point.map(|value| value as f32))
            })
        });
        [(1, volumes), (7, cells.collect()), (5, coordinates.collect())]
    }

    /// What [`Realiser::tables`] gave; `None` if it has another form.
    pub(crate) fn from_tables(volumes: &[f32], cells: &[f32], coordinates: &[f32]) -> Option<Realiser> {
        let volumes: Vec<f64> = volumes.iter().map(|volume| f64::from(*volume)).collect();
        let usable =
            volumes.len() == Element::COUNT && volumes.iter().all(|volume| *volume > 0.0 && volume.is_finite());
        let ((cells, []), (coordinates, []), true) = (cells.as_chunks::<7>(), coordinates.as_chunks::<5>(), usable)
        else {
            return None;
        };
        let mut found = Realiser { volumes, cells: BTreeMap::new(), coordinates: BTreeMap::new() };
        for [group, cell @ ..] in cells {
            found.cells.entry(*group as u8).or_default().push(cell.map(f64::from));
        }
        for [group, position, point @ ..] in coordinates {
            found.coordinates.entry((*group as u8, *position as u8)).or_default().push(point.map(f64::from));
        }
        Some(found)
    }
}

fn pick<V: Copy>(from: &[V], rng: &mut ChaCha12Rng) -> Option<V> {
    if from.is_empty() { None } else { Some(from[rng.random_range(0..from.len())]) }
}

/// Keeps [`KEPT`] entries, evenly spread over the list.
fn thin<V: Copy>(list: &mut Vec<V>) {
    if list.len() > KEPT {
        *list = (0..KEPT).map(|at| list[at * list.len() / KEPT]).collect();
    }
}

/// The same shape with another volume.
fn scaled(cell: [f64; 6], volume: f64) -> [f64; 6] {
    let [a, b, c, alpha, beta, gamma] = cell;
    let factor = (volume / Lattice::from_parameters([a, b, c], [alpha, beta, gamma]).volume()).cbrt();
    [a * factor, b * factor, c * factor, alpha, beta, gamma]
}

/// Points of the conventional cell in coordinates of the primitive one, each once.
fn primitive_points(group: &SpaceGroup, points: &[Point]) -> Vec<Point> {
    let edges = Lattice(group.primitive);
    let inverse = edges.inverse().expect("the primitive cell of a space group has a volume");
    let mut found: Vec<Point> = Vec::new();
    for point in points {
        let image: Point = Lattice(inverse).cartesian(*point).map(|value| value.rem_euclid(1.0));
        let same = |other: &Point| other.iter().zip(image).all(|(a, b)| ((a - b) - (a - b).round()).abs() < 1e-3);
        if !found.iter().any(same) {
            found.push(image);
        }
    }
    found
}

/// Ridge regression of the volume an atom on the shares of the elements.
fn volumes(references: &[Described]) -> Result<Vec<f64>, FitError> {
    let mut rows = Vec::with_capacity(references.len());
    for one in references {
        let [a, b, c, alpha, beta, gamma] = one.cell;
        let group = one.crystal.space_group();
        let whole = Lattice::from_parameters([a, b, c], [alpha, beta, gamma]).volume();
        let atoms = one.crystal.atoms() as f64;
        let mut shares = vec![0.0; Element::COUNT];
        for orbit in one.crystal.orbits() {
            let of_orbit = group.positions[usize::from(orbit.position)].atoms as f64;
            shares[orbit.element.index()] += of_orbit / atoms;
        }
        rows.push((shares, whole / (atoms * group.lattice_points.len() as f64)));
    }
    let mean = rows.iter().map(|(_, volume)| volume).sum::<f64>() / rows.len() as f64;
    let mut normal = DMatrix::<f64>::identity(Element::COUNT, Element::COUNT) * PULL;
    let mut right = DVector::<f64>::zeros(Element::COUNT);
    for (shares, volume) in &rows {
        for (i, a) in shares.iter().enumerate().filter(|(_, a)| **a > 0.0) {
            right[i] += a * (volume - mean);
            for (j, b) in shares.iter().enumerate().filter(|(_, b)| **b > 0.0) {
                normal[(i, j)] += a * b;
            }
        }
    }
    let found = normal.cholesky().ok_or(FitError::Volumes)?.solve(&right);
    // Small atoms in the gaps of large ones come out near or below zero; none takes less than this share of the mean.
    let all: Vec<f64> = found.iter().map(|more| (mean + more).max(0.15 * mean)).collect();
    if all.iter().all(|volume| volume.is_finite()) { Ok(all) } else { Err(FitError::Volumes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crystal::describe;
    use rand::SeedableRng as _;

    fn perovskite(edge: f64) -> Structure {
        let species = ["Ba", "Ti", "O", "O", "O"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let points = vec![[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
        Structure::new(Lattice::cubic(edge), species, points).unwrap()
    }

    #[test]
    fn a_crystal_comes_back_as_the_structure_that_it_was_read_from() {
        let mut rng = ChaCha12Rng::seed_from_u64(5);
        let half = 4.2;
        let spinel = Lattice([[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]);
        let group = crate::group::space_group(227).unwrap();
        let at = |letter: char| group.positions.iter().position(|p| p.letter == letter).unwrap();
        let (mut species, mut points) = (Vec::new(), Vec::new());
        for (symbol, letter, x) in [("Mg", 'a', 0.0), ("Al", 'd', 0.0), ("O", 'e', 0.262)] {
            let images = primitive_points(group, &group.orbit(at(letter), [x; 3]));
            species.extend(std::iter::repeat_n(symbol.parse::<Element>().unwrap(), images.len()));
            points.extend(images);
        }
        assert_eq!(points.len(), 14);
        for structure in [perovskite(4.0), Structure::new(spinel, species, points).unwrap()] {
            let described = describe(&structure, 0.01).unwrap();
            let realiser = Realiser::fit(std::slice::from_ref(&described)).unwrap();
            let back = realiser.realise(&described.crystal, &mut rng).unwrap();
            let again = describe(&back, 0.01).unwrap();
            assert_eq!(again.crystal, described.crystal);
            assert!((back.lattice().volume() / structure.lattice().volume() - 1.0).abs() < 1e-6);
            let [(_, volumes), (_, cells), (_, coordinates)] = realiser.tables();
            let read = Realiser::from_tables(&volumes, &cells, &coordinates).unwrap();
            assert!((read.volume(&described.crystal) - structure.lattice().volume()).abs() < 1e-3);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Realiser::fit(&[]), Err(FitError::Empty));
        let described = describe(&perovskite(4.0), 0.01).unwrap();
        let realiser = Realiser::fit(&[described]).unwrap();
        // Atoms of a thousandth of a cubic ångström make a cell that is no structure.
        let orbit = |position| crate::Orbit { position, element: "Ba".parse().unwrap() };
        let mut tight = realiser.clone();
        tight.volumes = vec![1e-3; Element::COUNT];
        let crystal = Crystal::new(221, vec![orbit(0), orbit(1), orbit(2), orbit(3)]).unwrap();
        assert!(tight.realise(&crystal, &mut ChaCha12Rng::seed_from_u64(1)).is_err());
        assert_eq!(Realiser::from_tables(&[1.0], &[], &[]), None);
    }
}

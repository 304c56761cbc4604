//! Crystal structures: a lattice, and which element sits where.

use crate::element::Element;

/// Three numbers: a vector in Å or fractions of the cell.
pub type Vector = [f64; 3];
/// Three rows of three.
pub type Matrix = [Vector; 3];

/// Flatter cells have no meaningful volume, in Å³ for each atom. The densest known solids have 5.
const LEAST_VOLUME_PER_ATOM: f64 = 0.5;

/// Edge vectors of the cell, one a row, in Å.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice(pub Matrix);

impl Lattice {
    /// A cube with the given edge in Å.
    #[must_use]
    pub fn cubic(edge: f64) -> Self {
        Self([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]])
    }

    /// Edges a, b, c in Å and angles α, β, γ in degrees; a lies along x, b in the xy plane.
    #[must_use]
    pub fn from_parameters([a, b, c]: Vector, angles_deg: Vector) -> Self {
        let [alpha, beta, gamma] = angles_deg.map(f64::to_radians);
        let x = beta.cos();
        let y = (alpha.cos() - beta.cos() * gamma.cos()) / gamma.sin();
        let z = (1.0 - x * x - y * y).max(0.0).sqrt();
        Self([[a, 0.0, 0.0], [b * gamma.cos(), b * gamma.sin(), 0.0], [c * x, c * y, c * z]])
    }

    /// Cartesian coordinates in Å of a point given in fractions of the cell.
    #[must_use]
    pub fn cartesian(&self, fractional: Vector) -> Vector {
        std::array::from_fn(|axis| (0..3).map(|edge| fractional[edge] * self.0[edge][axis]).sum())
    }

    /// Volume of the cell in Å³.
    #[must_use]
    pub fn volume(&self) -> f64 {
        determinant(&self.0).abs()
    }

    /// The matrix that turns Cartesian rows into fractions of the cell, or `None` for a flat cell.
    #[must_use]
    pub fn inverse(&self) -> Option<Matrix> {
        inverse(&self.0)
    }
}

/// A crystal: cell, elements, and their positions in fractions of the cell (any image will do).
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    lattice: Lattice,
    species: Vec<Element>,
    fractional: Vec<Vector>,
}

/// Why a structure cannot be one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StructureError {
    /// There is no atom.
    #[error("the structure has no atoms")]
    Empty,
    /// Elements and positions differ in number.
    #[error("{species} elements are given for {positions} positions")]
    Lengths {
        /// Number of elements.
        species: usize,
        /// Number of positions.
        positions: usize,
    },
    /// A coordinate or an edge is infinite or not a number.
    #[error("a coordinate or an edge of the cell is not finite")]
    NotFinite,
    /// The cell is flat, or too small for its atoms.
    #[error("the cell has a volume of {volume} Å³ for {atoms} atoms")]
    Volume {
        /// Volume in Å³.
        volume: f64,
        /// Number of atoms.
        atoms: usize,
    },
}

impl Structure {
    /// A structure of `species[k]` at `fractional[k]`.
    ///
    /// # Errors
    /// [`StructureError`] when it is empty, of unequal lengths, not finite, or has no volume.
    pub fn new(lattice: Lattice, species: Vec<Element>, fractional: Vec<Vector>) -> Result<Self, StructureError> {
        if species.is_empty() {
            return Err(StructureError::Empty);
        }
        if species.len() != fractional.len() {
            return Err(StructureError::Lengths { species: species.len(), positions: fractional.len() });
        }
        if !lattice.0.iter().chain(&fractional).flatten().all(|value| value.is_finite()) {
            return Err(StructureError::NotFinite);
        }
        let (volume, atoms) = (lattice.volume(), species.len());
        if volume < LEAST_VOLUME_PER_ATOM * atoms as f64 {
            return Err(StructureError::Volume { volume, atoms });
        }
        Ok(Self { lattice, species, fractional })
    }

    /// The cell.
    #[must_use]
    pub fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Element of each atom.
    #[must_use]
    pub fn species(&self) -> &[Element] {
        &self.species
    }

    /// Position of each atom in fractions of the cell.
    #[must_use]
    pub fn fractional(&self) -> &[Vector] {
        &self.fractional
    }

    /// Number of atoms in the cell.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.species.len()
    }

    /// Position of each atom in Å.
    #[must_use]
    pub fn cartesian(&self) -> Vec<Vector> {
        self.fractional.iter().map(|&point| self.lattice.cartesian(point)).collect()
    }

    /// The same atoms in a cell of `counts` times the edges.
    ///
    /// # Errors
    /// [`StructureError::Empty`] when a count is zero.
    pub fn supercell(&self, counts: [usize; 3]) -> Result<Self, StructureError> {
        let mut lattice = self.lattice;
        for (edge, &count) in lattice.0.iter_mut().zip(&counts) {
            edge.iter_mut().for_each(|value| *value *= count as f64);
        }
        let (mut species, mut fractional) = (Vec::new(), Vec::new());
        for image in 0..counts.iter().product() {
            let shift = [image % counts[0], image / counts[0] % counts[1], image / (counts[0] * counts[1])];
            species.extend_from_slice(&self.species);
            fractional.extend(self.fractional.iter().map(|point| -> Vector {
                std::array::from_fn(|axis| (point[axis] + shift[axis] as f64) / counts[axis] as f64)
            }));
        }
        Self::new(lattice, species, fractional)
    }
}

/// The determinant.
pub(crate) fn determinant(m: &Matrix) -> f64 {
    dot(m[0], cross(m[1], m[2]))
}

/// The inverse, or `None` for a singular matrix.
pub(crate) fn inverse(m: &Matrix) -> Option<Matrix> {
    let volume = determinant(m);
    if volume == 0.0 || !volume.is_finite() {
        return None;
    }
    let columns = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
    Some(std::array::from_fn(|row| std::array::from_fn(|column| columns[column][row] / volume)))
}

/// The product of two matrices.
pub(crate) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| (0..3).map(|k| a[row][k] * b[k][column]).sum()))
}

/// The transpose.
pub(crate) fn transpose(m: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| m[column][row]))
}

/// A matrix applied to a column vector.
pub(crate) fn apply(m: &Matrix, v: Vector) -> Vector {
    std::array::from_fn(|row| dot(m[row], v))
}

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(crate) fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_give_the_edges_and_angles_they_state() {
        let lattice = Lattice::from_parameters([3.0, 4.0, 5.0], [80.0, 95.0, 110.0]);
        let [a, b, c] = lattice.0;
        let angle = |u: Vector, v: Vector| (dot(u, v) / (norm(u) * norm(v))).acos().to_degrees();
        let found = [norm(a), norm(b), norm(c), angle(b, c), angle(a, c), angle(a, b)];
        for (found, stated) in found.into_iter().zip([3.0, 4.0, 5.0, 80.0, 95.0, 110.0]) {
            assert!((found - stated).abs() < 1e-10, "{found} is not {stated}");
        }
        let back = product(&lattice.0, &lattice.inverse().unwrap());
        assert!((0..3).all(|k| (back[k][k] - 1.0).abs() < 1e-12 && back[k][(k + 1) % 3].abs() < 1e-12));
    }

    #[test]
    fn what_is_no_structure_is_refused() {
        let iron = Element::from_number(26).unwrap();
        let cube = Lattice::cubic(3.0);
        assert_eq!(Structure::new(cube, vec![], vec![]), Err(StructureError::Empty));
        assert_eq!(Structure::new(cube, vec![iron], vec![]), Err(StructureError::Lengths { species: 1, positions: 0 }));
        assert_eq!(Structure::new(cube, vec![iron], vec![[f64::NAN; 3]]), Err(StructureError::NotFinite));
        assert!(matches!(
            Structure::new(Lattice([[1.0; 3]; 3]), vec![iron], vec![[0.0; 3]]),
            Err(StructureError::Volume { .. })
        ));
    }
}

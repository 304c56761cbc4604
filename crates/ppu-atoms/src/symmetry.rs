//! The symmetry of a structure as given: which rotations and shifts bring it onto itself, and what they do to forces.
//!
//! The operations are found in the cell as it is, conventional or not, and a supercell's inner translations count.

use crate::structure::{Matrix, Structure, Vector, apply, dot, inverse, norm, product, transpose};

/// One operation: x' = W x + w on fractional coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// W, row by row.
    pub rotation: [[i32; 3]; 3],
    /// w, each part from 0 to 1.
    pub translation: Vector,
    /// The same rotation for Cartesian columns.
    pub cartesian: Matrix,
    /// Where each atom goes: atom k comes to the place of atom `images[k]`.
    pub images: Vec<usize>,
}

/// All operations of a structure. The identity is always among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetry {
    operations: Vec<Operation>,
}

impl Symmetry {
    /// The operations that move no atom and no lattice point by more than `tolerance` Å from an equal one.
    #[must_use]
    pub fn find(structure: &Structure, tolerance: f64) -> Self {
        let operations: Vec<Operation> = lattice_rotations(&structure.lattice().0, tolerance)
            .into_iter()
            .flat_map(|rotation| with_rotation(structure, rotation, tolerance))
            .collect();
        if operations.is_empty() { Self::none(structure.atoms()) } else { Self { operations } }
    }

    /// Only the identity, for a relaxation that may break every symmetry.
    #[must_use]
    pub fn none(atoms: usize) -> Self {
        let rotation = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
        let identity = Operation {
            rotation,
            translation: [0.0; 3],
            cartesian: rotation.map(|row| row.map(f64::from)),
            images: (0..atoms).collect(),
        };
        Self { operations: vec![identity] }
    }

    /// The operations.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The mean of a vector at each atom over all operations: forces as the symmetry demands them.
    #[must_use]
    pub fn symmetrise_vectors(&self, vectors: &[Vector]) -> Vec<Vector> {
        let mut sums = vec![[0.0; 3]; vectors.len()];
        for operation in &self.operations {
            for (vector, &image) in vectors.iter().zip(&operation.images) {
                let turned = apply(&operation.cartesian, *vector);
                sums[image].iter_mut().zip(turned).for_each(|(sum, part)| *sum += part);
            }
        }
        let share = 1.0 / self.operations.len() as f64;
        sums.into_iter().map(|sum| sum.map(|value| value * share)).collect()
    }

    /// The mean of a Cartesian tensor over all operations: a stress as the symmetry demands it.
    #[must_use]
    pub fn symmetrise_tensor(&self, tensor: &Matrix) -> Matrix {
        let mut sum = [[0.0; 3]; 3];
        for Operation { cartesian, .. } in &self.operations {
            let turned = product(&product(cartesian, tensor), &transpose(cartesian));
            for (row, turned) in sum.iter_mut().zip(turned) {
                row.iter_mut().zip(turned).for_each(|(sum, part)| *sum += part);
            }
        }
        let share = 1.0 / self.operations.len() as f64;
        sum.map(|row| row.map(|value| value * share))
    }
}

/// Integer matrices that map the lattice onto itself and keep all its lengths and angles.
fn lattice_rotations(edges: &Matrix, tolerance: f64) -> Vec<[[i32; 3]; 3]> {
    let Some(inverse) = inverse(edges) else { return Vec::new() };
    let lengths = edges.map(norm);
    let candidates: Vec<Vec<([i32; 3], Vector)>> =
        lengths.iter().map(|&length| vectors_of_length(edges, &inverse, length, tolerance)).collect();
    // A change of two edges by the tolerance changes their product by this much.
    let keeps = |a: usize, b: usize, one: Vector, two: Vector| {
        (dot(one, two) - dot(edges[a], edges[b])).abs() <= tolerance * (lengths[a] + lengths[b])
    };
    let mut found = Vec::new();
    for (first, x) in &candidates[0] {
        for (second, y) in candidates[1].iter().filter(|(_, y)| keeps(0, 1, *x, *y)) {
            for (third, _) in candidates[2].iter().filter(|(_, z)| keeps(0, 2, *x, *z) && keeps(1, 2, *y, *z)) {
                // The images of the edges are the columns of W.
                let rotation: [[i32; 3]; 3] = std::array::from_fn(|row| [first[row], second[row], third[row]]);
                if determinant(&rotation).abs() == 1 {
                    found.push(rotation);
                }
            }
        }
    }
    found
}

fn determinant(m: &[[i32; 3]; 3]) -> i32 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

fn vectors_of_length(edges: &Matrix, inverse: &Matrix, length: f64, tolerance: f64) -> Vec<([i32; 3], Vector)> {
    let reach: [i32; 3] = std::array::from_fn(|edge| {
        let per_length = norm([inverse[0][edge], inverse[1][edge], inverse[2][edge]]);
        ((length + tolerance) * per_length).floor() as i32
    });
    let mut found = Vec::new();
    for x in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            for z in -reach[2]..=reach[2] {
                let vector = std::array::from_fn(|axis| {
                    f64::from(x) * edges[0][axis] + f64::from(y) * edges[1][axis] + f64::from(z) * edges[2][axis]
                });
                if (norm(vector) - length).abs() <= tolerance {
                    found.push(([x, y, z], vector));
                }
            }
        }
    }
    found
}

/// Every operation with a given rotation.
fn with_rotation(structure: &Structure, rotation: [[i32; 3]; 3], tolerance: f64) -> Vec<Operation> {
    let (species, points) = (structure.species(), structure.fractional());
    let Some(inverse) = structure.lattice().inverse() else { return Vec::new() };
    let real: Matrix = rotation.map(|row| row.map(f64::from));
    let turned: Vec<Vector> = points.iter().map(|&point| apply(&real, point)).collect();
    let edges = &structure.lattice().0;
    let cartesian = product(&product(&transpose(edges), &real), &transpose(&inverse));
    // The first atom of the rarest element can go to few places.
    let count = |atom: usize| species.iter().filter(|&&other| other == species[atom]).count();
    let Some(anchor) = (0..points.len()).min_by_key(|&atom| count(atom)) else { return Vec::new() };
    let goals = (0..points.len()).filter(|&atom| species[atom] == species[anchor]);
    let operation = |goal: usize| {
        let translation = std::array::from_fn(|axis| (points[goal][axis] - turned[anchor][axis]).rem_euclid(1.0));
        let image = |atom: usize| {
            let moved: Vector = std::array::from_fn(|axis| turned[atom][axis] + translation[axis]);
            (0..points.len()).find(|&other| {
                species[other] == species[atom] && distance(structure, moved, points[other]) <= tolerance
            })
        };
        let images = (0..points.len()).map(image).collect::<Option<Vec<usize>>>()?;
        Some(Operation { rotation, translation, cartesian, images })
    };
    goals.filter_map(operation).collect()
}

/// Distance between the nearest images of two points that are near each other.
fn distance(structure: &Structure, one: Vector, other: Vector) -> f64 {
    let apart = std::array::from_fn(|axis| {
        let difference: f64 = one[axis] - other[axis];
        difference - difference.round()
    });
    norm(structure.lattice().cartesian(apart))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Element;
    use crate::structure::Lattice;

    fn structure(lattice: Lattice, atoms: &[(u32, Vector)]) -> Structure {
        let species = atoms.iter().map(|(number, _)| Element::from_number(*number).unwrap()).collect();
        Structure::new(lattice, species, atoms.iter().map(|(_, at)| *at).collect()).unwrap()
    }

    fn perovskite(shift: f64) -> Structure {
        let (half, third) = (0.5, 0.0);
        let titanium = [0.5, 0.5, 0.5 + shift];
        let oxygen = [[half, half, third], [half, third, half], [third, half, half]];
        let atoms = [(38, [0.0; 3]), (22, titanium), (8, oxygen[0]), (8, oxygen[1]), (8, oxygen[2])];
        structure(Lattice::cubic(3.9), &atoms)
    }

    #[test]
    fn known_groups_have_their_orders() {
        let orders = |structure: &Structure| Symmetry::find(structure, 1e-4).operations().len();
        assert_eq!(orders(&perovskite(0.0)), 48);
        assert_eq!(orders(&perovskite(0.02)), 8);
        assert_eq!(orders(&perovskite(0.0).supercell([2, 1, 1]).unwrap()), 32);
        // Hexagonal close packing (P6₃/mmc) has 24, diamond in its primitive cell 48.
        let hexagonal = Lattice::from_parameters([2.95, 2.95, 4.68], [90.0, 90.0, 120.0]);
        let third = 1.0 / 3.0;
        assert_eq!(
            orders(&structure(hexagonal, &[(22, [third, 2.0 * third, 0.25]), (22, [2.0 * third, third, 0.75])])),
            24
        );
        let primitive = Lattice([[0.0, 2.7, 2.7], [2.7, 0.0, 2.7], [2.7, 2.7, 0.0]]);
        assert_eq!(orders(&structure(primitive, &[(14, [0.0; 3]), (14, [0.25; 3])])), 48);
        let skew = Lattice::from_parameters([3.1, 4.2, 5.3], [81.0, 97.0, 113.0]);
        assert_eq!(orders(&structure(skew, &[(14, [0.0; 3]), (8, [0.21, 0.33, 0.47])])), 1);
    }

    #[test]
    fn the_mean_has_the_symmetry_and_keeps_what_has_it() {
        let symmetry = Symmetry::find(&perovskite(0.02), 1e-4);
        let vectors: Vec<Vector> = (0..5).map(|k| [0.3, -0.2, 0.1 * f64::from(k)]).collect();
        let mean = symmetry.symmetrise_vectors(&vectors);
        assert!(mean.iter().all(|vector| vector[0].abs() < 1e-12 && vector[1].abs() < 1e-12));
        assert!((mean[3][2] - mean[4][2]).abs() < 1e-12 && (mean[3][2] - 0.35).abs() < 1e-12);
        let again = symmetry.symmetrise_vectors(&mean);
        assert!(mean.iter().flatten().zip(again.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-12));
        let tensor = symmetry.symmetrise_tensor(&[[1.0, 0.5, 0.1], [0.5, 3.0, 0.2], [0.1, 0.2, 5.0]]);
        assert!((tensor[0][0] - 2.0).abs() < 1e-12 && (tensor[2][2] - 5.0).abs() < 1e-12);
        assert!(tensor[0][1].abs() < 1e-12 && tensor[1][2].abs() < 1e-12);
    }
}

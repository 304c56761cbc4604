//! The neighbour graph of CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023): directed edges to all periodic images
//! within 6 Å, one bond for an edge and its reverse, and angles between bonds shorter than 3 Å.

use crate::element::Element;
use crate::structure::{Structure, Vector, norm};

/// Atoms within this distance see each other, Å.
pub const ATOM_CUTOFF: f64 = 6.0;
/// Bonds within this distance span angles, Å.
pub const BOND_CUTOFF: f64 = 3.0;
/// Nuclei are never nearer than this, Å: the shortest bond known, of H₂, is 0.74.
const LEAST_DISTANCE: f64 = 0.1;

/// A neighbour as its atom sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The atom that sees.
    pub centre: usize,
    /// The atom that is seen.
    pub neighbour: usize,
    /// The bond that this edge shares with its reverse.
    pub bond: usize,
    /// Unit vector from the neighbour to the centre.
    pub direction: Vector,
}

/// Two edges at one atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Angle {
    /// The atom at the vertex.
    pub centre: usize,
    /// Position of the first edge in [`Graph::edges`]; the angle informs the bond of this one.
    pub first: usize,
    /// Position of the second edge.
    pub second: usize,
}

/// Atoms, edges, bonds and angles of a crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Element of each atom.
    pub species: Vec<Element>,
    /// Directed edges, those of one centre together, in order of the centres.
    pub edges: Vec<Edge>,
    /// Length of each bond in Å; bonds that span angles come first.
    pub bond_lengths: Vec<f64>,
    /// How many bonds span angles.
    pub short_bonds: usize,
    /// Ordered pairs of different short edges at one centre, in order of their first edge.
    pub angles: Vec<Angle>,
}

/// How large a crystal may be. Memory for forces is about 7 kB an edge and 9 kB an angle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most atoms in the cell.
    pub atoms: usize,
    /// Most directed edges.
    pub edges: usize,
    /// Most angles.
    pub angles: usize,
}

impl Default for Limits {
    /// About two gigabytes at worst.
    fn default() -> Self {
        Self { atoms: 256, edges: 60_000, angles: 150_000 }
    }
}

/// Why the potential does not answer for a structure. A refusal is data, not a bad score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// More of something than the limit allows.
    #[error("the cell has {found} {what}, more than the {most} that are allowed")]
    TooLarge {
        /// Atoms, edges or angles.
        what: &'static str,
        /// How many there are (at least).
        found: usize,
        /// How many are allowed.
        most: usize,
    },
    /// An atom has no neighbour within [`ATOM_CUTOFF`]: the potential was never shown a free atom.
    #[error("atom {atom} ({element}) has no neighbour within 6 Å")]
    Isolated {
        /// Position in the list of atoms.
        atom: usize,
        /// Its element.
        element: Element,
    },
    /// Two atoms are at the same place.
    #[error("atoms {first} and {second} are {distance} Å apart")]
    Coincident {
        /// Position of one in the list of atoms.
        first: usize,
        /// Position of the other; the same one where an image of itself is too near.
        second: usize,
        /// Their distance in Å.
        distance: f64,
    },
    /// The network's answer is no number.
    #[error("the potential gives no finite answer for this structure")]
    NotFinite,
}

/// A bond before its edges have places.
struct Pair {
    atoms: [usize; 2],
    image: [i32; 3],
    vector: Vector,
    length: f64,
}

impl Graph {
    /// The graph of a structure.
    ///
    /// # Errors
    /// [`Refusal`] for structures that are too large, or hold an isolated atom or coinciding ones.
    pub fn new(structure: &Structure, limits: &Limits) -> Result<Self, Refusal> {
        let atoms = structure.atoms();
        if atoms > limits.atoms {
            return Err(Refusal::TooLarge { what: "atoms", found: atoms, most: limits.atoms });
        }
        let mut pairs = pairs(structure, limits)?;
        let is_short = |pair: &Pair| pair.length < BOND_CUTOFF;
        pairs.sort_by_key(|pair| (!is_short(pair), pair.atoms, pair.image));
        let edges = directed(&pairs);
        let mut seen = vec![false; atoms];
        edges.iter().for_each(|edge| seen[edge.centre] = true);
        if let Some(atom) = seen.iter().position(|seen| !seen) {
            return Err(Refusal::Isolated { atom, element: structure.species()[atom] });
        }
        let short_bonds = pairs.iter().take_while(|pair| is_short(pair)).count();
        let angles = angles(&edges, short_bonds, limits)?;
        let bond_lengths = pairs.iter().map(|pair| pair.length).collect();
        Ok(Self { species: structure.species().to_vec(), edges, bond_lengths, short_bonds, angles })
    }

    /// Number of atoms.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.species.len()
    }

    /// Number of bonds.
    #[must_use]
    pub fn bonds(&self) -> usize {
        self.bond_lengths.len()
    }
}

/// Each bond once. Images are enumerated from the distances between lattice planes, so no cell is too skew.
fn pairs(structure: &Structure, limits: &Limits) -> Result<Vec<Pair>, Refusal> {
    let lattice = structure.lattice();
    let inverse = lattice.inverse().ok_or(Refusal::NotFinite)?;
    // A sphere of the cutoff reaches this far along each edge, in fractions of it.
    let reach: Vector =
        std::array::from_fn(|edge| ATOM_CUTOFF * norm([inverse[0][edge], inverse[1][edge], inverse[2][edge]]));
    let most = limits.edges / 2;
    let mut found = Vec::new();
    for (first, &from) in structure.fractional().iter().enumerate() {
        for (second, &to) in structure.fractional().iter().enumerate().skip(first) {
            let apart: Vector = std::array::from_fn(|axis| from[axis] - to[axis]);
            let range =
                |axis: usize| (apart[axis] - reach[axis]).ceil() as i32..=(apart[axis] + reach[axis]).floor() as i32;
            for x in range(0) {
                for y in range(1) {
                    for z in range(2) {
                        let image = [x, y, z];
                        // An atom and its own images: one of T and -T makes the bond, none is the atom itself.
                        if first == second && image <= [0; 3] {
                            continue;
                        }
                        let shift: Vector = std::array::from_fn(|axis| apart[axis] - f64::from(image[axis]));
                        let vector = lattice.cartesian(shift);
                        let length = norm(vector);
                        if length < LEAST_DISTANCE {
                            return Err(Refusal::Coincident { first, second, distance: length });
                        }
                        if length < ATOM_CUTOFF {
                            found.push(Pair { atoms: [first, second], image, vector, length });
                        }
                    }
                }
            }
            if found.len() > most {
                return Err(Refusal::TooLarge { what: "edges", found: 2 * found.len(), most: limits.edges });
            }
        }
    }
    Ok(found)
}

/// Both edges of each bond, sorted by centre and bond.
fn directed(pairs: &[Pair]) -> Vec<Edge> {
    let mut edges = Vec::with_capacity(2 * pairs.len());
    for (bond, pair) in pairs.iter().enumerate() {
        let [first, second] = pair.atoms;
        let direction = pair.vector.map(|value| value / pair.length);
        edges.push(Edge { centre: first, neighbour: second, bond, direction });
        edges.push(Edge { centre: second, neighbour: first, bond, direction: direction.map(|value| -value) });
    }
    // Stable: the two edges of a bond from an atom to its own image keep their order.
    edges.sort_by_key(|edge| (edge.centre, edge.bond));
    edges
}

fn angles(edges: &[Edge], short_bonds: usize, limits: &Limits) -> Result<Vec<Angle>, Refusal> {
    let short: Vec<usize> = (0..edges.len()).filter(|&edge| edges[edge].bond < short_bonds).collect();
    let centre = |edge: usize| edges[edge].centre;
    let mut found = Vec::new();
    for group in short.chunk_by(|&one, &next| centre(one) == centre(next)) {
        let count = found.len() + group.len() * (group.len() - 1);
        if count > limits.angles {
            return Err(Refusal::TooLarge { what: "angles", found: count, most: limits.angles });
        }
        for &first in group {
            let others = group.iter().filter(|&&second| second != first);
            found.extend(others.map(|&second| Angle { centre: centre(first), first, second }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::Lattice;

    fn cubic(edge: f64, atoms: &[(&str, Vector)]) -> Structure {
        let species = atoms.iter().map(|(symbol, _)| symbol.parse().unwrap()).collect();
        Structure::new(Lattice::cubic(edge), species, atoms.iter().map(|(_, at)| *at).collect()).unwrap()
    }

    #[test]
    fn a_simple_cube_has_the_shells_of_a_simple_cube() {
        let graph = Graph::new(&cubic(2.9, &[("Po", [0.3, 0.1, 5.7])]), &Limits::default()).unwrap();
        // 6 at a, 12 at a√2, 8 at a√3, 6 at 2a; the next shell is at 6.5 Å.
        assert_eq!((graph.edges.len(), graph.bonds(), graph.short_bonds), (32, 16, 3));
        assert_eq!(graph.angles.len(), 6 * 5);
    }

    #[test]
    fn every_bond_has_two_opposite_edges() {
        let salt = cubic(4.1, &[("Cs", [0.0; 3]), ("Cl", [0.52, 0.49, 0.5])]);
        let graph = Graph::new(&salt, &Limits::default()).unwrap();
        for bond in 0..graph.bonds() {
            let ends: Vec<&Edge> = graph.edges.iter().filter(|edge| edge.bond == bond).collect();
            assert_eq!(ends.len(), 2);
            assert_eq!(ends[0].direction, ends[1].direction.map(|value| -value));
            assert_eq!((ends[0].centre, ends[0].neighbour), (ends[1].neighbour, ends[1].centre));
        }
        assert!(graph.edges.windows(2).all(|pair| pair[0].centre <= pair[1].centre));
    }

    #[test]
    fn what_the_potential_cannot_answer_is_refused() {
        let limits = Limits::default();
        let lone = Graph::new(&cubic(12.0, &[("He", [0.0; 3])]), &limits);
        assert!(matches!(lone, Err(Refusal::Isolated { atom: 0, .. })));
        let same = Graph::new(&cubic(4.0, &[("Na", [0.0; 3]), ("Cl", [1.001, 0.0, 0.0])]), &limits);
        assert!(matches!(same, Err(Refusal::Coincident { first: 0, second: 1, .. })));
        let few = Limits { atoms: 1, edges: 10, angles: 10 };
        let two = cubic(4.0, &[("Na", [0.0; 3]), ("Cl", [0.5; 3])]);
        assert!(matches!(Graph::new(&two, &few), Err(Refusal::TooLarge { what: "atoms", .. })));
        assert!(matches!(Graph::new(&two, &Limits { atoms: 2, ..few }), Err(Refusal::TooLarge { what: "edges", .. })));
    }
}

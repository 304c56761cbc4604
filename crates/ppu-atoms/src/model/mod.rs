//! CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023): energy, magnetic moments, and by a reverse pass written by
//! hand forces and stress.

mod basis;
mod convolution;
mod gated;
mod kernels;
mod network;
mod pool;
mod readout;
mod real;

pub use real::Real;

use crate::graph::{Graph, Limits, Refusal};
use crate::structure::{Matrix, Structure, Vector};
use crate::weights::{BLOCKS, RADIAL, Weights};
use basis::{Basis, BasisGradients, Frequencies};
use convolution::{Features, Gates};
use gated::Tape;
use kernels::WIDTH;
use network::Network;
use pool::Pool;

/// 1 eV/Å³ in GPa.
pub const GPA_PER_EV_PER_CUBIC_ANGSTROM: f64 = 160.217_662_08;

/// The potential, ready to answer. `f32` is the precision it was trained in; `f64` is slower and checks it.
#[derive(Debug, Clone)]
pub struct Chgnet<T: Real = f32> {
    network: Network<T>,
    limits: Limits,
    digest: String,
    pool: Pool<T>,
}

/// Work of one evaluation. Edges and angles, not atoms, set the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Directed edges.
    pub edges: usize,
    /// Angles.
    pub angles: usize,
    /// Evaluations with forces.
    pub gradients: usize,
}

/// What the potential says without a reverse pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Energy {
    /// Energy of the cell in eV, with the potential's own element references.
    pub total: f64,
    /// The share of each atom in eV.
    pub sites: Vec<f64>,
    /// Magnetic moment of each atom in Bohr magnetons, without sign.
    pub moments: Vec<f64>,
    /// Mean over the atoms of their normalised features before the read-out; 64 numbers that describe the crystal.
    pub crystal_feature: Vec<f64>,
    /// Mean over the atoms of their features before the last convolution.
    pub atom_feature: Vec<f64>,
    /// What it cost.
    pub work: Work,
}

impl Energy {
    /// Energy in eV for each atom.
    #[must_use]
    pub fn per_atom(&self) -> f64 {
        self.total / self.sites.len() as f64
    }
}

/// Energy with its derivatives.
#[derive(Debug, Clone, PartialEq)]
pub struct Forces {
    /// Energy, moments and features.
    pub energy: Energy,
    /// Force on each atom in eV/Å, Cartesian.
    pub forces: Vec<Vector>,
    /// Derivative of the energy by strain over the volume, in GPa; tension is positive, as in the published package.
    pub stress_gpa: Matrix,
}

/// What the forward pass leaves for the reverse pass.
struct Passed<T> {
    basis: Basis<T>,
    gates: Gates<T>,
    atom_tapes: Vec<Tape<T>>,
    bond_tapes: Vec<Tape<T>>,
    angle_tapes: Vec<Tape<T>>,
    /// Features of the atoms after the last convolution.
    atoms: Vec<T>,
}

impl<T: Real> Passed<T> {
    fn release(self, pool: &Pool<T>) {
        for tape in self.atom_tapes.into_iter().chain(self.bond_tapes).chain(self.angle_tapes) {
            tape.release(pool);
        }
    }
}

impl<T: Real> Chgnet<T> {
    /// The potential with the given weights and the default [`Limits`].
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        Self {
            network: Network::new(weights),
            limits: Limits::default(),
            digest: weights.digest(),
            pool: Pool::default(),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// SHA-256 of the weights, for provenance.
    #[must_use]
    pub fn weights_digest(&self) -> &str {
        &self.digest
    }

    /// Energy and magnetic moments.
    ///
    /// # Errors
    /// [`Refusal`] for structures outside the potential's domain.
    pub fn energy(&self, structure: &Structure) -> Result<Energy, Refusal> {
        let graph = Graph::new(structure, &self.limits)?;
        let (energy, passed) = self.forward(&graph, false)?;
        passed.release(&self.pool);
        Ok(energy)
    }

    /// Energy, magnetic moments, forces and stress.
    ///
    /// # Errors
    /// [`Refusal`] for structures outside the potential's domain.
    pub fn forces(&self, structure: &Structure) -> Result<Forces, Refusal> {
        let graph = Graph::new(structure, &self.limits)?;
        let (mut energy, passed) = self.forward(&graph, true)?;
        energy.work.gradients = 1;
        let gradients = self.reverse(&graph, &passed);
        passed.release(&self.pool);
        let mut forces = vec![[0.0; 3]; graph.atoms()];
        let mut stress_gpa = [[0.0; 3]; 3];
        let scale = GPA_PER_EV_PER_CUBIC_ANGSTROM / structure.lattice().volume();
        for (edge, gradient) in graph.edges.iter().zip(&gradients) {
            let length = graph.bond_lengths[edge.bond];
            for axis in 0..3 {
                forces[edge.centre][axis] -= gradient[axis];
                forces[edge.neighbour][axis] += gradient[axis];
                for (column, &slope) in gradient.iter().enumerate() {
                    stress_gpa[axis][column] += edge.direction[axis] * length * slope * scale;
                }
            }
        }
        if !forces.iter().chain(&stress_gpa).flatten().all(|value| value.is_finite()) {
            return Err(Refusal::NotFinite);
        }
        Ok(Forces { energy, forces, stress_gpa })
    }

    fn forward(&self, graph: &Graph, keep: bool) -> Result<(Energy, Passed<T>), Refusal> {
        let network = &self.network;
        let frequencies = Frequencies {
            atoms: &network.atom_frequencies,
            bonds: &network.bond_frequencies,
            angles: &network.angle_frequencies,
        };
        let basis = Basis::new(graph, &frequencies);
        let embedded = |linear: &network::Linear<T>, basis: &[T]| {
            let mut output = vec![T::ZERO; basis.len() / RADIAL * WIDTH];
            linear.forward.add_product(basis, &mut output);
            output
        };
        let gates = Gates {
            atoms: embedded(&network.atom_gates, &basis.atoms),
            bonds: embedded(&network.bond_gates, &basis.bonds),
        };
        let atoms =
            graph.species.iter().flat_map(|element| kernels::row(&network.atom_embedding, element.index(), WIDTH));
        let mut features = Features {
            atoms: atoms.copied().collect(),
            bonds: embedded(&network.bond_embedding, &basis.atoms),
            angles: embedded(&network.angle_embedding, &basis.angles),
        };
        let tapes =
            |count: usize, rows: usize| (0..count).map(|_| Tape::new(rows, keep, &self.pool)).collect::<Vec<_>>();
        let mut atom_tapes = tapes(BLOCKS + 1, graph.edges.len());
        let mut bond_tapes = tapes(BLOCKS, graph.angles.len());
        let mut angle_tapes = tapes(BLOCKS - 1, graph.angles.len());
        for block in 0..BLOCKS {
            network.atom_convolutions[block].forward(graph, &mut features, &gates, &mut atom_tapes[block]);
            network.bond_convolutions[block].forward(graph, &mut features, &gates, &mut bond_tapes[block]);
            if let Some(update) = network.angle_updates.get(block) {
                update.forward(graph, &mut features, &gates, &mut angle_tapes[block]);
            }
        }
        let moments = readout::moments(&network.moment, &features.atoms);
        let atom_feature = readout::mean(&features.atoms);
        network.atom_convolutions[BLOCKS].forward(graph, &mut features, &gates, &mut atom_tapes[BLOCKS]);
        let (mut sites, crystal_feature) = network.read_out(&features.atoms);
        for (site, element) in sites.iter_mut().zip(&graph.species) {
            *site += network.reference_energies[element.index()];
        }
        let total: f64 = sites.iter().sum();
        if !total.is_finite() {
            return Err(Refusal::NotFinite);
        }
        let work = Work { edges: graph.edges.len(), angles: graph.angles.len(), gradients: 0 };
        let energy = Energy { total, sites, moments, crystal_feature, atom_feature, work };
        Ok((energy, Passed { basis, gates, atom_tapes, bond_tapes, angle_tapes, atoms: features.atoms }))
    }

    /// Derivative of the energy by the vector of each edge, eV/Å.
    fn reverse(&self, graph: &Graph, passed: &Passed<T>) -> Vec<Vector> {
        let network = &self.network;
        let gates = &passed.gates;
        let mut by = Features {
            atoms: network.read_out_reverse(&passed.atoms),
            bonds: vec![T::ZERO; graph.bonds() * WIDTH],
            angles: vec![T::ZERO; graph.angles.len() * WIDTH],
        };
        let mut by_gates = Gates { atoms: vec![T::ZERO; gates.atoms.len()], bonds: vec![T::ZERO; gates.bonds.len()] };
        let tapes = &passed.atom_tapes;
        network.atom_convolutions[BLOCKS].reverse(graph, gates, &tapes[BLOCKS], &mut by, &mut by_gates);
        for block in (0..BLOCKS).rev() {
            if let Some(update) = network.angle_updates.get(block) {
                update.reverse(graph, gates, &passed.angle_tapes[block], &mut by, &mut by_gates);
            }
            let bonds = &network.bond_convolutions[block];
            bonds.reverse(graph, gates, &passed.bond_tapes[block], &mut by, &mut by_gates);
            network.atom_convolutions[block].reverse(graph, gates, &tapes[block], &mut by, &mut by_gates);
        }
        let stride = network.bond_embedding.reverse.columns();
        let rows = |gradient: &[T]| vec![T::ZERO; gradient.len() / WIDTH * stride];
        let mut by_basis =
            BasisGradients { stride, atoms: rows(&by.bonds), bonds: rows(&by_gates.bonds), angles: rows(&by.angles) };
        network.bond_embedding.reverse.add_product(&by.bonds, &mut by_basis.atoms);
        network.atom_gates.reverse.add_product(&by_gates.atoms, &mut by_basis.atoms);
        network.bond_gates.reverse.add_product(&by_gates.bonds, &mut by_basis.bonds);
        network.angle_embedding.reverse.add_product(&by.angles, &mut by_basis.angles);
        passed.basis.edge_gradients(graph, &by_basis)
    }
}

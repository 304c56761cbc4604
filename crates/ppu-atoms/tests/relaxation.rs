//! Relaxation with a pair potential whose minima are known, and its refusals.

mod support;

use ppu_atoms::graph::{ATOM_CUTOFF, Graph};
use ppu_atoms::model::{GPA_PER_EV_PER_CUBIC_ANGSTROM, Work};
use ppu_atoms::relax::{Potential, RelaxError, RelaxSettings, relax};
use ppu_atoms::{Chgnet, Energy, Forces, Lattice, Limits, Refusal, Structure, Weights};
use support::structure;

/// A Morse potential that ends smoothly at 6 Å.
struct Morse {
    depth: f64,
    distance: f64,
}

impl Morse {
    /// Energy and its derivative.
    fn pair(&self, d: f64) -> (f64, f64) {
        let width = 1.6;
        let decay = (-width * (d - self.distance)).exp();
        let (value, slope) =
            (self.depth * (decay * decay - 2.0 * decay), self.depth * 2.0 * width * (decay - decay * decay));
        let x = d / ATOM_CUTOFF;
        let (fade, fade_slope) = ((1.0 - x * x).powi(3), -6.0 * x * (1.0 - x * x).powi(2) / ATOM_CUTOFF);
        (value * fade, slope * fade + value * fade_slope)
    }
}

impl Potential for Morse {
    fn forces(&self, structure: &Structure) -> Result<Forces, Refusal> {
        let graph = Graph::new(structure, &Limits::default())?;
        let mut forces = vec![[0.0; 3]; graph.atoms()];
        let mut stress_gpa = [[0.0; 3]; 3];
        let mut sites = vec![0.0; graph.atoms()];
        let scale = GPA_PER_EV_PER_CUBIC_ANGSTROM / structure.lattice().volume();
        for edge in &graph.edges {
            let length = graph.bond_lengths[edge.bond];
            let (value, slope) = self.pair(length);
            sites[edge.centre] += 0.5 * value;
            for axis in 0..3 {
                let by = 0.5 * slope * edge.direction[axis];
                forces[edge.centre][axis] -= by;
                forces[edge.neighbour][axis] += by;
                (0..3).for_each(|other| stress_gpa[axis][other] += length * edge.direction[other] * by * scale);
            }
        }
        let work = Work { edges: graph.edges.len(), angles: graph.angles.len(), gradients: 1 };
        let moments = vec![0.0; graph.atoms()];
        let energy =
            Energy { total: sites.iter().sum(), sites, moments, crystal_feature: vec![], atom_feature: vec![], work };
        Ok(Forces { energy, forces, stress_gpa })
    }
}

const POTENTIAL: Morse = Morse { depth: 0.4, distance: 2.9 };

fn tight() -> RelaxSettings {
    RelaxSettings { largest_force: 1e-5, largest_stress_gpa: 1e-4, most_steps: 500, ..RelaxSettings::default() }
}

/// Energy for each atom of copper-like close packing with the given edge.
fn face_centred(edge: f64) -> f64 {
    let primitive =
        Lattice([[0.0, edge / 2.0, edge / 2.0], [edge / 2.0, 0.0, edge / 2.0], [edge / 2.0, edge / 2.0, 0.0]]);
    POTENTIAL.forces(&structure(primitive, &[("Cu", [0.0; 3])])).expect("copper has neighbours").energy.total
}

#[test]
fn a_cubic_crystal_finds_the_edge_of_lowest_energy_and_stays_cubic() {
    let lowest = (0..4000).map(|k| face_centred(3.4 + 2.5e-4 * f64::from(k))).fold(f64::INFINITY, f64::min);
    let sites = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]].map(|at| ("Cu", at));
    let found = relax(&POTENTIAL, &structure(Lattice::cubic(3.6), &sites), &tight()).unwrap();
    assert_eq!(found.operations, 192);
    assert!((found.forces.energy.per_atom() - lowest).abs() < 1e-6, "{} {lowest}", found.forces.energy.per_atom());
    let edges = found.structure.lattice().0;
    assert!((edges[0][0] - edges[2][2]).abs() < 1e-9 && edges[0][1].abs() < 1e-9, "{edges:?}");
    assert!(found.steps < 40, "{} steps", found.steps);
    assert_eq!(found.work.gradients, found.steps);
}

#[test]
fn a_disordered_start_reaches_a_minimum_with_no_force_left() {
    let start = support::perovskite(3.9, ["Cu", "Cu", "Cu"], 0.1, 5);
    let found = relax(&POTENTIAL, &start, &tight()).unwrap();
    assert_eq!(found.operations, 1);
    assert!(found.forces.energy.total < POTENTIAL.forces(&start).unwrap().energy.total - 0.5);
    assert!(found.forces.forces.iter().flatten().all(|force| force.abs() < 2e-5));
}

#[test]
fn symmetry_is_kept_where_it_is_asked_for_and_lost_where_not() {
    // Two atoms in a long cell would rather leave the symmetric middle; the symmetry holds them there.
    let line = structure(
        Lattice([[2.7, 0.0, 0.0], [0.0, 2.7, 0.0], [0.0, 0.0, 8.2]]),
        &[("Cu", [0.0; 3]), ("Cu", [0.0, 0.0, 0.5])],
    );
    let settings = RelaxSettings { is_cell_fixed: true, ..tight() };
    let kept = relax(&POTENTIAL, &line, &settings).unwrap();
    assert!((kept.structure.fractional()[1][2] - 0.5).abs() < 1e-9);
    assert_eq!(kept.structure.lattice(), line.lattice());
    let nudged = structure(*line.lattice(), &[("Cu", [0.0; 3]), ("Cu", [0.02, 0.01, 0.48])]);
    let free = RelaxSettings { symmetry_tolerance: None, ..settings };
    let lost = relax(&POTENTIAL, &nudged, &free).unwrap();
    assert!(lost.forces.energy.total < kept.forces.energy.total - 0.05);
}

#[test]
fn what_does_not_converge_says_so_and_keeps_the_best() {
    let start = support::perovskite(3.9, ["Cu", "Cu", "Cu"], 0.1, 5);
    let few = RelaxSettings { most_steps: 3, ..tight() };
    let Err(RelaxError::NotConverged { steps: 3, largest_force, best, energy, .. }) = relax(&POTENTIAL, &start, &few)
    else {
        panic!("three steps cannot be enough");
    };
    assert!(largest_force > 1e-3 && best.atoms() == 5);
    assert!(energy.total < POTENTIAL.forces(&start).unwrap().energy.total);
}

#[test]
fn a_refusal_of_the_potential_is_passed_on() {
    let lone = structure(Lattice::cubic(9.0), &[("He", [0.0; 3])]);
    let model = Chgnet::<f32>::new(&Weights::random(1));
    let found = relax(&model, &lone, &RelaxSettings::default());
    assert!(matches!(found, Err(RelaxError::Refused { step: 0, refusal: Refusal::Isolated { .. } })));
}

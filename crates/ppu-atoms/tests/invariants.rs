//! What must hold for any weights: symmetries of space and of bookkeeping, and derivatives that are derivatives. The
//! network is untrained, so these run everywhere.

mod support;

use ppu_atoms::model::GPA_PER_EV_PER_CUBIC_ANGSTROM;
use ppu_atoms::{Chgnet, Forces, Lattice, Structure, Weights};
use support::{lithium_manganate, perovskite, structure};

fn double() -> Chgnet<f64> {
    Chgnet::new(&Weights::random(7))
}

fn crystal() -> Structure {
    perovskite(3.9, ["Sr", "Ti", "O"], 0.05, 11)
}

fn close(a: &Forces, b: &Forces, order: impl Fn(usize) -> usize, tolerance: f64) {
    assert!((a.energy.per_atom() - b.energy.per_atom()).abs() < tolerance, "{} {}", a.energy.total, b.energy.total);
    for (index, force) in a.forces.iter().enumerate() {
        let other = order(index);
        for axis in 0..3 {
            assert!((force[axis] - b.forces[other][axis]).abs() < tolerance, "{force:?} {:?}", b.forces[other]);
        }
        assert!((a.energy.sites[index] - b.energy.sites[other]).abs() < tolerance);
        assert!((a.energy.moments[index] - b.energy.moments[other]).abs() < tolerance);
    }
    for (row, other) in a.stress_gpa.iter().zip(&b.stress_gpa) {
        assert!(row.iter().zip(other).all(|(a, b)| (a - b).abs() < 100.0 * tolerance), "{row:?} {other:?}");
    }
}

#[test]
fn forces_are_minus_the_derivative_of_the_energy() {
    let model = double();
    let start = crystal();
    let found = model.forces(&start).unwrap();
    let inverse = start.lattice().inverse().unwrap();
    let largest = found.forces.iter().flatten().fold(0.0f64, |most, force| most.max(force.abs()));
    assert!(largest > 0.05, "the test is empty: no force is above {largest}");
    for atom in 0..start.atoms() {
        for (axis, along) in inverse.iter().enumerate() {
            let moved = |step: f64| {
                let mut fractional = start.fractional().to_vec();
                (0..3).for_each(|k| fractional[atom][k] += step * along[k]);
                let moved = Structure::new(*start.lattice(), start.species().to_vec(), fractional).unwrap();
                model.energy(&moved).unwrap().total
            };
            let numeric = -(moved(1e-4) - moved(-1e-4)) / 2e-4;
            let exact = found.forces[atom][axis];
            assert!((exact - numeric).abs() < 1e-6 * largest.max(1.0), "atom {atom} axis {axis}: {exact} {numeric}");
        }
    }
}

#[test]
fn stress_is_the_derivative_by_strain() {
    let model = double();
    let start = crystal();
    let found = model.forces(&start).unwrap();
    for row in 0..3 {
        for column in 0..3 {
            let strained = |step: f64| {
                let edges = start.lattice().0.map(|mut edge| {
                    edge[column] += step * edge[row];
                    edge
                });
                let same = (start.species().to_vec(), start.fractional().to_vec());
                model.energy(&Structure::new(Lattice(edges), same.0, same.1).unwrap()).unwrap().total
            };
            let slope = (strained(1e-5) - strained(-1e-5)) / 2e-5;
            let numeric = slope / start.lattice().volume() * GPA_PER_EV_PER_CUBIC_ANGSTROM;
            let exact = found.stress_gpa[row][column];
            assert!((exact - numeric).abs() < 1e-5 * (1.0 + numeric.abs()), "{row} {column}: {exact} {numeric}");
        }
    }
}

#[test]
fn no_net_force_and_no_torque() {
    let found = double().forces(&crystal()).unwrap();
    for axis in 0..3 {
        assert!(found.forces.iter().map(|force| force[axis]).sum::<f64>().abs() < 1e-10);
        let next = (axis + 1) % 3;
        assert!((found.stress_gpa[axis][next] - found.stress_gpa[next][axis]).abs() < 1e-9);
    }
}

#[test]
fn rotation_turns_forces_and_nothing_else() {
    let model = double();
    let start = crystal();
    let (sine, cosine) = 0.7f64.sin_cos();
    let turn = |v: [f64; 3]| [cosine * v[0] - sine * v[2], v[1], sine * v[0] + cosine * v[2]];
    let turned =
        Structure::new(Lattice(start.lattice().0.map(turn)), start.species().to_vec(), start.fractional().to_vec())
            .unwrap();
    let (plain, found) = (model.forces(&start).unwrap(), model.forces(&turned).unwrap());
    assert!((plain.energy.total - found.energy.total).abs() < 1e-9);
    for (force, other) in plain.forces.iter().zip(&found.forces) {
        assert!(turn(*force).iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn translation_order_images_and_cell_choice_do_not_matter() {
    let model = double();
    let start = crystal();
    let plain = model.forces(&start).unwrap();
    let rebuilt = |lattice: Lattice, order: [usize; 5], at: &dyn Fn([f64; 3]) -> [f64; 3]| {
        let species = order.map(|index| start.species()[index]).to_vec();
        let fractional = order.map(|index| at(start.fractional()[index])).to_vec();
        model.forces(&Structure::new(lattice, species, fractional).unwrap()).unwrap()
    };
    let straight = [0, 1, 2, 3, 4];
    let shifted = rebuilt(*start.lattice(), straight, &|at| [at[0] + 0.37, at[1] - 2.41, at[2] + 5.0]);
    close(&plain, &shifted, |index| index, 1e-9);
    let reordered = rebuilt(*start.lattice(), [3, 1, 4, 0, 2], &|at| at);
    close(&plain, &reordered, |index| [3, 1, 4, 0, 2].iter().position(|&was| was == index).unwrap(), 1e-9);
    // The same crystal in a skew cell: c' = c + 2a, so z' = z and x' = x - 2z.
    let [a, b, c] = start.lattice().0;
    let skew = Lattice([a, b, std::array::from_fn(|axis| c[axis] + 2.0 * a[axis])]);
    let recut = rebuilt(skew, straight, &|at| [at[0] - 2.0 * at[2], at[1], at[2]]);
    close(&plain, &recut, |index| index, 1e-9);
}

#[test]
fn a_supercell_has_the_same_energy_for_each_atom() {
    let model = double();
    let start = crystal();
    let plain = model.forces(&start).unwrap();
    let large = model.forces(&start.supercell([2, 1, 2]).unwrap()).unwrap();
    assert_eq!(large.forces.len(), 20);
    close(&large, &plain, |index| index % 5, 1e-9);
}

#[test]
fn single_precision_agrees_with_double() {
    let weights = Weights::random(7);
    let (single, double) = (Chgnet::<f32>::new(&weights), Chgnet::<f64>::new(&weights));
    for start in [crystal(), lithium_manganate()] {
        let (single, double) = (single.forces(&start).unwrap(), double.forces(&start).unwrap());
        assert!((single.energy.per_atom() - double.energy.per_atom()).abs() < 1e-5);
        for (a, b) in single.forces.iter().flatten().zip(double.forces.iter().flatten()) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let model = Chgnet::<f32>::new(&Weights::random(3));
    let first = model.forces(&crystal());
    model.forces(&lithium_manganate()).unwrap();
    assert_eq!(first, model.forces(&crystal()), "another structure in between leaves a trace");
    let (alone, with_forces) = (model.energy(&crystal()).unwrap(), model.forces(&crystal()).unwrap());
    assert_eq!(alone.total.to_bits(), with_forces.energy.total.to_bits());
}

#[test]
fn a_crystal_without_angles_has_an_answer() {
    let wide = structure(Lattice::cubic(5.0), &[("Cs", [0.0; 3]), ("Xe", [0.5; 3])]);
    let found = double().forces(&wide).unwrap();
    assert_eq!(found.energy.work.angles, 0);
    assert!(found.forces.iter().flatten().all(|force| force.abs() < 1e-9), "symmetry forbids forces");
}

#[test]
fn the_published_example_has_its_edges_and_angles() {
    let found = double().energy(&lithium_manganate()).unwrap();
    assert_eq!((found.work.edges, found.work.angles), (672, 744));
}

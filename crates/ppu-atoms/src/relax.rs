//! Relaxation of positions and cell within the symmetry of the start: limited-memory BFGS (Liu and Nocedal, Math.
//! Program. 45, 503, 1989) with steps that are bounded and taken back when the energy rises.

mod lbfgs;

use crate::graph::Refusal;
use crate::model::{Chgnet, Energy, Forces, GPA_PER_EV_PER_CUBIC_ANGSTROM, Real, Work};
use crate::structure::{Lattice, Matrix, Structure, Vector, apply, inverse, norm, product, transpose};
use crate::symmetry::Symmetry;
use lbfgs::Memory;

/// What a relaxation needs to know of a potential.
pub trait Potential {
    /// Energy, forces and stress.
    ///
    /// # Errors
    /// [`Refusal`] for structures outside the potential's domain.
    fn forces(&self, structure: &Structure) -> Result<Forces, Refusal>;
}

impl<T: Real> Potential for Chgnet<T> {
    fn forces(&self, structure: &Structure) -> Result<Forces, Refusal> {
        Chgnet::forces(self, structure)
    }
}

/// When a relaxation ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelaxSettings {
    /// No force on an atom may be larger, eV/Å.
    pub largest_force: f64,
    /// No component of the stress may be larger, GPa.
    pub largest_stress_gpa: f64,
    /// Most evaluations of the potential.
    pub most_steps: usize,
    /// Whether the cell keeps its shape and size.
    pub is_cell_fixed: bool,
    /// Distance in Å within which atoms count as symmetric; `None` lets every symmetry break.
    pub symmetry_tolerance: Option<f64>,
}

impl Default for RelaxSettings {
    /// Energies are then within 0.1 meV for each atom of the minimum in ordinary solids.
    fn default() -> Self {
        Self {
            largest_force: 0.02,
            largest_stress_gpa: 0.1,
            most_steps: 300,
            is_cell_fixed: false,
            symmetry_tolerance: Some(1e-3),
        }
    }
}

/// A structure at rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Relaxed {
    /// The structure.
    pub structure: Structure,
    /// Energy and what is left of forces and stress.
    pub forces: Forces,
    /// Evaluations of the potential.
    pub steps: usize,
    /// What they cost together.
    pub work: Work,
    /// Operations of the symmetry that was kept.
    pub operations: usize,
}

/// Why there is no relaxed structure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RelaxError {
    /// The potential refuses the start, or a structure on the way.
    #[error("the potential refuses the structure of step {step}")]
    Refused {
        /// Evaluations before.
        step: usize,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The steps are used up, or none lowers the energy further.
    #[error(
        "after {steps} steps a force of {largest_force:.3} eV/Å and a stress of {largest_stress_gpa:.2} GPa are left"
    )]
    NotConverged {
        /// Evaluations of the potential.
        steps: usize,
        /// Largest force that is left.
        largest_force: f64,
        /// Largest component of the stress that is left; zero where the cell is fixed.
        largest_stress_gpa: f64,
        /// The best structure found.
        best: Box<Structure>,
        /// Its energy.
        energy: Box<Energy>,
    },
}

/// No atom moves further in one step, Å.
const LONGEST_STEP: f64 = 0.2;
/// Energies are noise below this, eV for each atom: single precision of a sum of some ten eV.
const ENERGY_NOISE: f64 = 2e-5;
/// A step that raised the energy is halved this often before the search starts anew.
const MOST_HALVINGS: usize = 6;

/// Relaxes a structure.
///
/// # Errors
/// [`RelaxError`] when the potential refuses, or forces or stress do not become small enough.
pub fn relax(potential: &impl Potential, start: &Structure, settings: &RelaxSettings) -> Result<Relaxed, RelaxError> {
    let symmetry = match settings.symmetry_tolerance {
        Some(tolerance) => Symmetry::find(start, tolerance),
        None => Symmetry::none(start.atoms()),
    };
    let mut search = Search { potential, start, settings, symmetry: &symmetry, steps: 0, work: Work::default() };
    let mut point = search.evaluate(search.origin())?;
    let mut memory = Memory::default();
    let mut restarts = 0;
    while !point.is_converged(settings) {
        if search.steps >= settings.most_steps || restarts > 3 {
            return Err(point.not_converged(search.steps));
        }
        let direction = memory.direction(&point.gradient);
        match search.step(&point, direction)? {
            Some(next) => {
                memory.remember(&point.variables, &next.variables, &point.gradient, &next.gradient);
                point = next;
                restarts = 0;
            }
            None => {
                memory = Memory::default();
                restarts += 1;
            }
        }
    }
    Ok(Relaxed {
        structure: point.structure,
        forces: point.forces,
        steps: search.steps,
        work: search.work,
        operations: symmetry.operations().len(),
    })
}

struct Search<'a, P> {
    potential: &'a P,
    start: &'a Structure,
    settings: &'a RelaxSettings,
    symmetry: &'a Symmetry,
    steps: usize,
    work: Work,
}

/// A point of the search. The variables are the positions in the undeformed cell, in Å, and the deformation of the cell
/// times the number of atoms, so that both respond to a step by about as much energy.
struct Point {
    variables: Vec<f64>,
    gradient: Vec<f64>,
    structure: Structure,
    forces: Forces,
    largest_force: f64,
    largest_stress_gpa: f64,
}

impl Point {
    fn is_converged(&self, settings: &RelaxSettings) -> bool {
        self.largest_force <= settings.largest_force && self.largest_stress_gpa <= settings.largest_stress_gpa
    }

    fn not_converged(self, steps: usize) -> RelaxError {
        RelaxError::NotConverged {
            steps,
            largest_force: self.largest_force,
            largest_stress_gpa: self.largest_stress_gpa,
            best: Box::new(self.structure),
            energy: Box::new(self.forces.energy),
        }
    }
}

impl<P: Potential> Search<'_, P> {
    fn atoms(&self) -> usize {
        self.start.atoms()
    }

    fn origin(&self) -> Vec<f64> {
        let scale = self.atoms() as f64;
        let mut variables: Vec<f64> = self.start.cartesian().into_iter().flatten().collect();
        variables.extend((0..9).map(|index| if index % 4 == 0 { scale } else { 0.0 }));
        variables
    }

    fn deformation(&self, variables: &[f64]) -> Matrix {
        let scale = self.atoms() as f64;
        let cell = &variables[3 * self.atoms()..];
        std::array::from_fn(|row| std::array::from_fn(|column| cell[3 * row + column] / scale))
    }

    fn structure(&self, variables: &[f64]) -> Result<Structure, RelaxError> {
        let refused = |refusal| RelaxError::Refused { step: self.steps, refusal };
        let deformation = self.deformation(variables);
        let lattice = Lattice(self.start.lattice().0.map(|edge| apply(&deformation, edge)));
        let inverse = self.start.lattice().inverse().ok_or_else(|| refused(Refusal::NotFinite))?;
        let positions = variables[..3 * self.atoms()].as_chunks::<3>().0;
        let fractional = positions.iter().map(|&position| apply(&transpose(&inverse), position)).collect();
        Structure::new(lattice, self.start.species().to_vec(), fractional).map_err(|_| refused(Refusal::NotFinite))
    }

    fn evaluate(&mut self, variables: Vec<f64>) -> Result<Point, RelaxError> {
        let structure = self.structure(&variables)?;
        let found = self.potential.forces(&structure);
        let forces = found.map_err(|refusal| RelaxError::Refused { step: self.steps, refusal })?;
        self.steps += 1;
        self.work.edges += forces.energy.work.edges;
        self.work.angles += forces.energy.work.angles;
        self.work.gradients += 1;
        let deformation = self.deformation(&variables);
        // Back in the undeformed frame, where the symmetry was found.
        let pulled: Vec<Vector> = forces.forces.iter().map(|&force| apply(&transpose(&deformation), force)).collect();
        let pulled = self.symmetry.symmetrise_vectors(&pulled);
        let mut gradient: Vec<f64> = pulled.iter().flatten().map(|force| -force).collect();
        let by_cell = self.by_cell(&structure, &deformation, &forces.stress_gpa);
        gradient.extend(by_cell.iter().flatten().map(|value| value / self.atoms() as f64));
        let largest_force = pulled.iter().map(|&force| norm(force)).fold(0.0, f64::max);
        let largest_stress_gpa = if self.settings.is_cell_fixed {
            0.0
        } else {
            forces.stress_gpa.iter().flatten().fold(0.0, |most: f64, value| most.max(value.abs()))
        };
        Ok(Point { variables, gradient, structure, forces, largest_force, largest_stress_gpa })
    }

    /// Derivative of the energy by the deformation of the cell, eV.
    fn by_cell(&self, structure: &Structure, deformation: &Matrix, stress_gpa: &Matrix) -> Matrix {
        let Some(inverse) = inverse(deformation).filter(|_| !self.settings.is_cell_fixed) else {
            return [[0.0; 3]; 3];
        };
        let volume = structure.lattice().volume() / GPA_PER_EV_PER_CUBIC_ANGSTROM;
        let virial = stress_gpa.map(|row| row.map(|value| value * volume));
        self.symmetry.symmetrise_tensor(&product(&virial, &transpose(&inverse)))
    }

    /// The next point along a direction, or `None` when the energy rises however short the step is.
    fn step(&mut self, from: &Point, mut direction: Vec<f64>) -> Result<Option<Point>, RelaxError> {
        let rows = direction.as_chunks::<3>().0;
        let longest = rows.iter().map(|&row| norm(row)).fold(0.0, f64::max);
        if longest > LONGEST_STEP {
            direction.iter_mut().for_each(|value| *value *= LONGEST_STEP / longest);
        }
        let allowed = from.forces.energy.total + ENERGY_NOISE * self.atoms() as f64;
        for _ in 0..MOST_HALVINGS {
            let variables = from.variables.iter().zip(&direction).map(|(at, by)| at + by).collect();
            let next = self.evaluate(variables)?;
            if next.forces.energy.total <= allowed {
                return Ok(Some(next));
            }
            if self.steps >= self.settings.most_steps {
                return Ok(None);
            }
            direction.iter_mut().for_each(|value| *value *= 0.5);
        }
        Ok(None)
    }
}

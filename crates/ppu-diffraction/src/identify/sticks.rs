//! The library: for each candidate its lines, how they move with the cell, and its mass.

use nalgebra::{DMatrix, Matrix3, Vector3};

use crate::forward::ForwardError;
use crate::profile::Instrument;
use crate::structure::{Cell, Phase};

/// Lines that carry less than this share of the strongest are left out; together they carry under one per cent.
const WEAKEST: f64 = 1e-3;
/// Texture axes that are tried, as lattice planes.
const AXES: [[i32; 3]; 6] = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]];

/// One set of equivalent planes.
#[derive(Debug, Clone)]
pub(super) struct Stick {
    /// 1/d² in Å⁻² at the nominal cell.
    pub(super) q: f64,
    /// Relative change of q for a unit of each strain parameter.
    pub(super) strain: Vec<f64>,
    /// m|F|² in electrons².
    pub(super) strength: f64,
    /// cos² of the angle between each equivalent and each texture axis.
    pub(super) cos_squared: Vec<Vec<f64>>,
}

/// A candidate of the library.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) sticks: Vec<Stick>,
    /// The strain parameters as changes of the reciprocal metric.
    pub(super) basis: Vec<Matrix3<f64>>,
    pub(super) axes: usize,
}

/// Structures prepared for [`super::identify`]; build it once for a series of patterns.
#[derive(Debug, Clone)]
pub struct StickLibrary {
    pub(super) candidates: Vec<Candidate>,
    pub(super) instrument: Instrument,
}

impl StickLibrary {
    /// Lists the lines of each structure up to `largest_deg` of 2θ.
    ///
    /// # Errors
    /// [`ForwardError::Instrument`] for an unusable instrument.
    pub fn new(
        structures: &[(String, Phase)],
        instrument: &Instrument,
        largest_deg: f64,
    ) -> Result<Self, ForwardError> {
        if !instrument.is_sound() {
            return Err(ForwardError::Instrument);
        }
        let shortest = instrument.lines.iter().map(|line| line.wavelength_a).fold(f64::INFINITY, f64::min);
        let d_min = shortest / (2.0 * (largest_deg.clamp(10.0, 170.0) / 2.0 + 0.5).to_radians().sin());
        let candidates = structures.iter().map(|(name, phase)| Candidate::new(name, phase, d_min)).collect();
        Ok(Self { candidates, instrument: instrument.clone() })
    }

    /// Names of the candidates in the order of their indices.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.candidates.iter().map(|candidate| candidate.name.as_str())
    }

    /// The same library without the candidate of that index.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let mut rest = self.clone();
        if index < rest.candidates.len() {
            rest.candidates.remove(index);
        }
        rest
    }
}

impl Candidate {
    fn new(name: &str, phase: &Phase, d_min: f64) -> Self {
        let reflections = phase.reflections(d_min);
        let reciprocal = phase.cell().reciprocal_metric().unwrap_or_else(Matrix3::identity);
        let basis = basis(phase, &reciprocal);
        let strongest = reflections.iter().map(|r| f64::from(r.multiplicity) * r.f_squared).fold(0.0, f64::max);
        let vector = |hkl: [i32; 3]| Vector3::new(f64::from(hkl[0]), f64::from(hkl[1]), f64::from(hkl[2]));
        let sticks = reflections
            .iter()
            .filter(|r| f64::from(r.multiplicity) * r.f_squared > WEAKEST * strongest)
            .map(|reflection| {
                let q = 1.0 / (reflection.d * reflection.d);
                let h = vector(reflection.hkl);
                let cos_squared = AXES
                    .iter()
                    .map(|axis| {
                        let along = reciprocal * vector(*axis);
                        let square = vector(*axis).dot(&along);
                        let of = |hkl: &[i32; 3]| (vector(*hkl).dot(&along).powi(2) / (q * square)).min(1.0);
                        reflection.equivalents.iter().map(of).collect()
                    })
                    .collect();
                Stick {
                    q,
                    strain: basis.iter().map(|change| h.dot(&(change * h)) / q).collect(),
                    strength: f64::from(reflection.multiplicity) * reflection.f_squared,
                    cos_squared,
                }
            })
            .collect();
        Self { name: name.to_owned(), phase: phase.clone(), sticks, basis, axes: AXES.len() }
    }

    /// The cell at given strain parameters.
    pub(super) fn cell(&self, strain: &[f64]) -> Cell {
        let nominal = *self.phase.cell();
        let Some(mut reciprocal) = nominal.reciprocal_metric() else { return nominal };
        for (change, amount) in self.basis.iter().zip(strain) {
            reciprocal += change * *amount;
        }
        let Some(metric) = reciprocal.try_inverse() else { return nominal };
        let edge = |i: usize| metric[(i, i)].max(0.0).sqrt();
        let angle = |i: usize, j: usize| (metric[(i, j)] / (edge(i) * edge(j))).clamp(-1.0, 1.0).acos().to_degrees();
        Cell { a: edge(0), b: edge(1), c: edge(2), alpha: angle(1, 2), beta: angle(0, 2), gamma: angle(0, 1) }
    }
}

/// Independent changes of the reciprocal metric that keep the symmetry: symmetric matrices averaged over the rotations
/// of the group. Scaled so that a unit changes q of a typical line by its own size.
fn basis(phase: &Phase, reciprocal: &Matrix3<f64>) -> Vec<Matrix3<f64>> {
    let mut found: Vec<Matrix3<f64>> = Vec::new();
    for (i, j) in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)] {
        let mut unit = Matrix3::zeros();
        let size = (reciprocal[(i, i)] * reciprocal[(j, j)]).sqrt();
        unit[(i, j)] = size;
        unit[(j, i)] = size;
        let mut sum = Matrix3::zeros();
        for operator in phase.group().operators() {
            let r = DMatrix::from_fn(3, 3, |row, column| f64::from(operator.rotation[row][column]));
            let r = Matrix3::from_fn(|row, column| r[(row, column)]);
            // q(hᵀR) = hᵀ R G* Rᵀ h must equal q(h).
            sum += r * unit * r.transpose();
        }
        let mut change = sum / phase.group().operators().len() as f64;
        // Rounding leaves traces of what the symmetry forbids.
        for known in &found {
            let overlap = change.dot(known) / known.dot(known);
            change -= known * overlap;
        }
        let largest = change.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        if largest > 1e-6 * reciprocal.norm() {
            found.push(change);
        }
    }
    found
}

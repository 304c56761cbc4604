//! Distances and angles as the network sees them: smooth radial Bessel functions and a Fourier series, with derivatives.

use super::kernels::row;
use super::real::Real;
use crate::graph::{ATOM_CUTOFF, BOND_CUTOFF, Graph};
use crate::structure::{Vector, dot};
use crate::weights::{HARMONICS, RADIAL};

/// The cosine is kept this far from ±1, where the angle has no derivative; the network was trained with it.
const COSINE_SHRINK: f64 = 1.0 - 1e-6;

/// Values of the radial functions at one distance.
pub(super) struct Radial {
    pub(super) values: [f64; RADIAL],
    pub(super) derivatives: [f64; RADIAL],
}

/// √(2/c) sin(f d/c)/d times the polynomial cut-off of order 8 (Gasteiger et al., arXiv 2003.03123, eq. 8).
pub(super) fn radial(distance: f64, cutoff: f64, frequencies: &[f64; RADIAL]) -> Radial {
    let x = distance / cutoff;
    if x >= 1.0 {
        return Radial { values: [0.0; RADIAL], derivatives: [0.0; RADIAL] };
    }
    let x7 = x.powi(7);
    let envelope = 1.0 + x7 * x * (-45.0 + x * (80.0 - 36.0 * x));
    let envelope_slope = x7 * (-360.0 + x * (720.0 - 360.0 * x)) / cutoff;
    let scale = (2.0 / cutoff).sqrt() / distance;
    let mut found = Radial { values: [0.0; RADIAL], derivatives: [0.0; RADIAL] };
    for (k, frequency) in frequencies.iter().enumerate() {
        let (sine, cosine) = (frequency * x).sin_cos();
        let slope = frequency / cutoff * cosine - sine / distance;
        found.values[k] = scale * sine * envelope;
        found.derivatives[k] = scale * (slope * envelope + sine * envelope_slope);
    }
    found
}

/// The angle between two edges, whose cosine is `cosine`, and its derivative by that cosine.
fn angle(cosine: f64) -> (f64, f64) {
    let cosine = cosine.clamp(-1.0, 1.0) * COSINE_SHRINK;
    (cosine.acos(), -COSINE_SHRINK / (1.0 - cosine * cosine).sqrt())
}

/// Basis functions of every bond and angle, a row each, in the network's precision.
pub(super) struct Basis<T> {
    /// With the cut-off of atoms, for every bond.
    pub(super) atoms: Vec<T>,
    /// With the cut-off of bonds, for those that span angles.
    pub(super) bonds: Vec<T>,
    /// Constant, sines, cosines of every angle.
    pub(super) angles: Vec<T>,
    /// Derivatives by the distance, for every bond.
    atom_slopes: Vec<T>,
    bond_slopes: Vec<T>,
    /// Derivatives by the cosine; that of the constant is zero.
    angle_slopes: Vec<T>,
}

/// The learned frequencies of the three bases.
pub(super) struct Frequencies<'a> {
    pub(super) atoms: &'a [f64; RADIAL],
    pub(super) bonds: &'a [f64; RADIAL],
    pub(super) angles: &'a [f64; HARMONICS],
}

impl<T: Real> Basis<T> {
    pub(super) fn new(graph: &Graph, frequencies: &Frequencies<'_>) -> Self {
        let mut basis = Self {
            atoms: Vec::with_capacity(graph.bonds() * RADIAL),
            bonds: Vec::with_capacity(graph.short_bonds * RADIAL),
            angles: Vec::with_capacity(graph.angles.len() * RADIAL),
            atom_slopes: Vec::with_capacity(graph.bonds() * RADIAL),
            bond_slopes: Vec::with_capacity(graph.short_bonds * RADIAL),
            angle_slopes: Vec::with_capacity(graph.angles.len() * RADIAL),
        };
        for (bond, &length) in graph.bond_lengths.iter().enumerate() {
            let found = radial(length, ATOM_CUTOFF, frequencies.atoms);
            basis.atoms.extend(found.values.map(T::from_f64));
            basis.atom_slopes.extend(found.derivatives.map(T::from_f64));
            if bond < graph.short_bonds {
                let found = radial(length, BOND_CUTOFF, frequencies.bonds);
                basis.bonds.extend(found.values.map(T::from_f64));
                basis.bond_slopes.extend(found.derivatives.map(T::from_f64));
            }
        }
        for known in &graph.angles {
            let between = dot(graph.edges[known.first].direction, graph.edges[known.second].direction);
            basis.push_angle(between, frequencies.angles);
        }
        basis
    }

    fn push_angle(&mut self, cosine: f64, frequencies: &[f64; HARMONICS]) {
        let scale = 1.0 / std::f64::consts::PI.sqrt();
        let (theta, slope) = angle(cosine);
        let mut values = [0.0; RADIAL];
        let mut slopes = [0.0; RADIAL];
        values[0] = std::f64::consts::FRAC_1_SQRT_2 * scale;
        for (k, frequency) in frequencies.iter().enumerate() {
            let (sine, cosine) = (frequency * theta).sin_cos();
            values[1 + k] = sine * scale;
            values[1 + HARMONICS + k] = cosine * scale;
            slopes[1 + k] = frequency * cosine * scale * slope;
            slopes[1 + HARMONICS + k] = -frequency * sine * scale * slope;
        }
        self.angles.extend(values.map(T::from_f64));
        self.angle_slopes.extend(slopes.map(T::from_f64));
    }

    /// Derivative of the energy by each edge vector, from the derivatives by the basis functions (rows of `stride`).
    pub(super) fn edge_gradients(&self, graph: &Graph, by: &BasisGradients<T>) -> Vec<Vector> {
        let mut gradients = vec![[0.0; 3]; graph.edges.len()];
        let mut is_counted = vec![false; graph.bonds()];
        for (edge, gradient) in graph.edges.iter().zip(&mut gradients) {
            // A bond has one length and two edges; the first of them carries its derivative.
            if std::mem::replace(&mut is_counted[edge.bond], true) {
                continue;
            }
            let mut slope = contract(&self.atom_slopes, &by.atoms, edge.bond, by.stride);
            if edge.bond < graph.short_bonds {
                slope += contract(&self.bond_slopes, &by.bonds, edge.bond, by.stride);
            }
            *gradient = edge.direction.map(|along| along * slope);
        }
        for (index, angle) in graph.angles.iter().enumerate() {
            let slope = contract(&self.angle_slopes, &by.angles, index, by.stride);
            let [first, second] = [&graph.edges[angle.first], &graph.edges[angle.second]];
            let cosine = dot(first.direction, second.direction);
            // The cosine changes with what is perpendicular to an edge, and the more the shorter the edge is.
            for (place, own, other) in [(angle.first, first, second), (angle.second, second, first)] {
                let scale = slope / graph.bond_lengths[own.bond];
                let across = other.direction.iter().zip(own.direction).map(|(other, own)| other - cosine * own);
                gradients[place].iter_mut().zip(across).for_each(|(value, part)| *value += scale * part);
            }
        }
        gradients
    }
}

/// Derivatives of the energy by the basis functions, in rows of `stride`.
pub(super) struct BasisGradients<T> {
    pub(super) stride: usize,
    pub(super) atoms: Vec<T>,
    pub(super) bonds: Vec<T>,
    pub(super) angles: Vec<T>,
}

fn contract<T: Real>(slopes: &[T], gradients: &[T], index: usize, stride: usize) -> f64 {
    let pairs = row(slopes, index, RADIAL).iter().zip(row(gradients, index, stride));
    pairs.map(|(&slope, &gradient)| slope.to_f64() * gradient.to_f64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radial_functions_are_smooth_and_have_their_derivatives() {
        let frequencies = std::array::from_fn(|k| std::f64::consts::PI * (k as f64 + 1.0));
        for distance in [0.8, 2.0, 4.4, 5.9] {
            let found = radial(distance, ATOM_CUTOFF, &frequencies);
            let ahead = radial(distance + 1e-6, ATOM_CUTOFF, &frequencies);
            let behind = radial(distance - 1e-6, ATOM_CUTOFF, &frequencies);
            for k in 0..RADIAL {
                let numeric = (ahead.values[k] - behind.values[k]) / 2e-6;
                assert!((found.derivatives[k] - numeric).abs() < 1e-6 * (1.0 + numeric.abs()));
            }
        }
        let last = radial(ATOM_CUTOFF - 1e-4, ATOM_CUTOFF, &frequencies);
        assert!(last.values.iter().chain(&last.derivatives).all(|value| value.abs() < 1e-6));
        assert_eq!(radial(6.0, ATOM_CUTOFF, &frequencies).values, [0.0; RADIAL]);
    }

    #[test]
    fn a_straight_angle_has_a_finite_derivative() {
        for cosine in [-1.0 - 1e-12, 1.0 + 1e-12] {
            let (theta, slope) = angle(cosine);
            assert!(theta.is_finite() && slope.is_finite());
        }
        let (theta, slope) = angle(0.5);
        assert!((theta - 60f64.to_radians()).abs() < 1e-6 && (slope + 1.0 / 0.75f64.sqrt()).abs() < 1e-5);
    }
}

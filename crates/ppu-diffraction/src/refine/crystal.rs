//! One phase prepared for a fit: its planes with everything that the fit does not change, and their intensities at a
//! given state with derivatives.

use nalgebra::{Matrix3, Vector3};

use super::Candidate;
use crate::structure::geometry::Atoms;
use crate::structure::planes::{self, Plane};
use crate::structure::{Cell, Element, Phase, Scattering, Tube, reflections};

/// Cells with less symmetry than none do not exist: six numbers describe every one.
pub(super) const MOST_CELL_PARAMETERS: usize = 6;

/// A phase with its planes in the range of a scan.
pub(super) struct Crystal {
    pub(super) planes: Vec<Plane>,
    /// Geometric sums of every site for every plane.
    sums: Vec<[f64; 2]>,
    sites: Vec<SiteData>,
    metric: Matrix3<f64>,
    /// Symmetric matrices that the point group leaves alone: every allowed cell is the metric plus a sum of them.
    pub(super) cell_basis: Vec<Matrix3<f64>>,
    /// cos² of the angle to the texture axis for every equivalent, per plane.
    texture: Vec<Vec<f64>>,
}

struct SiteData {
    atoms: Vec<(Scattering, f64)>,
    b_iso: f64,
}

/// Values of the parameters of one phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CrystalState {
    /// Coefficients of the cell basis; 0 is the cell of the structure.
    pub(super) cell: [f64; MOST_CELL_PARAMETERS],
    /// Change of each site's isotropic B in Å².
    pub(super) b: Vec<f64>,
    /// March coefficient.
    pub(super) march: f64,
}

/// A plane at a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlaneState {
    /// 1/d² in Å⁻².
    pub(super) q: f64,
    /// Derivatives of q by the cell parameters.
    pub(super) q_by_cell: [f64; MOST_CELL_PARAMETERS],
    /// m |F|² P.
    pub(super) strength: f64,
    pub(super) strength_by_q: f64,
    pub(super) strength_by_ln_march: f64,
}

impl Crystal {
    /// Lists the planes with spacings between `d_min` and `d_max` Å.
    pub(super) fn new(candidate: &Candidate, tube: Tube, d_min: f64, d_max: f64) -> Self {
        let phase = &candidate.phase;
        let scattering = |element: Element| element.scattering(tube);
        let strong = reflections::strengths(phase, 1.0 / (d_min * d_min), &scattering);
        let lowest = 1.0 / (d_max * d_max);
        let planes: Vec<Plane> = strong.into_iter().map(|(plane, _)| plane).filter(|plane| plane.q >= lowest).collect();
        let groups: Vec<Vec<usize>> = (0..phase.sites().len()).map(|site| vec![site]).collect();
        let sums = Atoms::new(phase, &groups).sums(&planes);
        let site = |site: &crate::structure::Site| SiteData {
            atoms: site.occupants.iter().map(|o| (scattering(o.element), o.occupancy)).collect(),
            b_iso: if site.u_aniso.is_some() { 0.0 } else { site.b_iso },
        };
        let texture = candidate.texture_axis.map_or_else(Vec::new, |axis| angles(phase, axis, &planes));
        Self {
            sums,
            sites: phase.sites().iter().map(site).collect(),
            metric: phase.cell().metric(),
            cell_basis: cell_basis(phase),
            texture,
            planes,
        }
    }

    pub(super) fn site_count(&self) -> usize {
        self.sites.len()
    }

    /// True when a displacement parameter was stated for the site.
    pub(super) fn site_is_stated(&self, site: usize, phase: &Phase) -> bool {
        self.sites[site].b_iso > 0.0 || phase.sites()[site].u_aniso.is_some()
    }

    /// The metric tensor at a state.
    pub(super) fn metric_at(&self, state: &CrystalState) -> Matrix3<f64> {
        let mut metric = self.metric;
        for (coefficient, matrix) in state.cell.iter().zip(&self.cell_basis) {
            metric += *coefficient * matrix;
        }
        metric
    }

    /// The cell at a state.
    pub(super) fn cell_at(&self, state: &CrystalState) -> Cell {
        cell_of(&self.metric_at(state))
    }

    /// Every plane at a state, and the derivatives of the strengths by each site's B, site by site for each plane.
    /// Nothing when the metric of the state closes no cell.
    pub(super) fn evaluate(&self, state: &CrystalState, by_b: &mut Vec<f64>) -> Option<Vec<PlaneState>> {
        let reciprocal = self.metric_at(state).try_inverse()?;
        let count = self.sites.len();
        by_b.clear();
        by_b.resize(self.planes.len() * count, 0.0);
        let mut terms = vec![[0.0; 4]; count];
        let mut states = Vec::with_capacity(self.planes.len());
        for (index, plane) in self.planes.iter().enumerate() {
            let h = vector(plane.hkl);
            let u = reciprocal * h;
            let q = h.dot(&u);
            if q <= 0.0 {
                return None;
            }
            let mut q_by_cell = [0.0; MOST_CELL_PARAMETERS];
            for (by, matrix) in q_by_cell.iter_mut().zip(&self.cell_basis) {
                *by = -u.dot(&(matrix * u));
            }
            let (texture, texture_slope) = self.texture_factor(index, state.march);
            let weight = f64::from(plane.multiplicity) * texture;
            let targets = &mut by_b[index * count..(index + 1) * count];
            let (f_squared, by_s2) = self.f_squared(index, q / 4.0, state, &mut terms, targets);
            for target in targets {
                *target *= weight;
            }
            states.push(PlaneState {
                q,
                q_by_cell,
                strength: weight * f_squared,
                strength_by_q: weight * by_s2 / 4.0,
                strength_by_ln_march: f64::from(plane.multiplicity) * texture_slope * f_squared,
            });
        }
        Some(states)
    }

    /// |F|² with its derivatives by s² and by every B.
    fn f_squared(
        &self,
        plane: usize,
        s2: f64,
        state: &CrystalState,
        terms: &mut [[f64; 4]],
        by_b: &mut [f64],
    ) -> (f64, f64) {
        let sums = &self.sums[plane * self.sites.len()..];
        let (mut total, mut slope) = ([0.0; 4], [0.0; 4]);
        for (((site, sum), b), term) in self.sites.iter().zip(sums).zip(&state.b).zip(terms.iter_mut()) {
            let (mut real, mut imaginary, mut real_slope) = (0.0, 0.0, 0.0);
            for (scattering, occupancy) in &site.atoms {
                let (f0, f0_slope) = scattering.f0_and_slope(s2);
                real += occupancy * (f0 + scattering.f1);
                imaginary += occupancy * scattering.f2;
                real_slope += occupancy * f0_slope;
            }
            let b = site.b_iso + b;
            let displacement = (-b * s2).exp();
            let (real, imaginary) = (displacement * real, displacement * imaginary);
            let real_slope = displacement * real_slope - b * real;
            let imaginary_slope = -b * imaginary;
            *term = [real * sum[0], real * sum[1], imaginary * sum[0], imaginary * sum[1]];
            let term_slope =
                [real_slope * sum[0], real_slope * sum[1], imaginary_slope * sum[0], imaginary_slope * sum[1]];
            for part in 0..4 {
                total[part] += term[part];
                slope[part] += term_slope[part];
            }
        }
        let dot = |a: &[f64; 4], b: &[f64; 4]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
        for (target, term) in by_b.iter_mut().zip(terms.iter()) {
            *target = -2.0 * s2 * dot(&total, term);
        }
        (dot(&total, &total), 2.0 * dot(&total, &slope))
    }

    /// Mean March-Dollase weight over the equivalents of a plane (J. Appl. Cryst. 19, 267, 1986), and its derivative
    /// by ln r.
    fn texture_factor(&self, plane: usize, r: f64) -> (f64, f64) {
        let Some(angles) = self.texture.get(plane) else { return (1.0, 0.0) };
        let (mut sum, mut slope) = (0.0, 0.0);
        for cos_squared in angles {
            let (along, across) = (r * r * cos_squared, (1.0 - cos_squared) / r);
            let weight = (along + across).powf(-1.5);
            sum += weight;
            slope += -1.5 * weight / (along + across) * (2.0 * along - across);
        }
        let count = angles.len() as f64;
        (sum / count, slope / count)
    }
}

fn vector(hkl: [i32; 3]) -> Vector3<f64> {
    Vector3::new(f64::from(hkl[0]), f64::from(hkl[1]), f64::from(hkl[2]))
}

fn cell_of(g: &Matrix3<f64>) -> Cell {
    let edge = |i: usize| g[(i, i)].max(0.0).sqrt();
    let angle = |i: usize, j: usize| {
        let product = edge(i) * edge(j);
        // Exactly right angles stay exact.
        if g[(i, j)] == 0.0 { 90.0 } else { (g[(i, j)] / product).clamp(-1.0, 1.0).acos().to_degrees() }
    };
    Cell { a: edge(0), b: edge(1), c: edge(2), alpha: angle(1, 2), beta: angle(0, 2), gamma: angle(0, 1) }
}

/// cos² between the texture axis and every equivalent of every plane.
fn angles(phase: &Phase, axis: [i32; 3], planes: &[Plane]) -> Vec<Vec<f64>> {
    let Some(reciprocal) = phase.cell().reciprocal_metric() else { return Vec::new() };
    let reciprocal_axis = reciprocal * vector(axis);
    let square = vector(axis).dot(&reciprocal_axis);
    let cos_squared = |q: f64, hkl: [i32; 3]| {
        let projection = vector(hkl).dot(&reciprocal_axis);
        (projection * projection / (q * square)).min(1.0)
    };
    planes
        .iter()
        .map(|plane| {
            let equivalents = planes::equivalents(phase.group(), plane.hkl);
            equivalents.into_iter().map(|hkl| cos_squared(plane.q, hkl)).collect()
        })
        .collect()
}

/// A basis of the metrics that the point group allows. An element for an edge changes it, and the edges tied to it, by
/// its own length; one for an angle changes a cosine by one.
fn cell_basis(phase: &Phase) -> Vec<Matrix3<f64>> {
    let metric = phase.cell().metric();
    let rotations: Vec<Matrix3<f64>> = phase
        .group()
        .laue_rotations()
        .iter()
        .map(|rotation| Matrix3::from_fn(|i, j| f64::from(rotation[i][j])))
        .collect();
    let mut basis: Vec<Matrix3<f64>> = Vec::new();
    let mut spanned: Vec<Matrix3<f64>> = Vec::new();
    for (i, j) in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)] {
        let mut seed = Matrix3::zeros();
        seed[(i, j)] = 1.0;
        seed[(j, i)] = 1.0;
        let mean = rotations.iter().fold(Matrix3::zeros(), |sum, r| sum + r.transpose() * seed * r);
        // What is left of it outside the span of the elements found before.
        let rest = spanned.iter().fold(mean, |rest, known| rest - known * known.dot(&rest));
        let norm = rest.norm();
        if norm < 1e-6 * mean.norm().max(1.0) {
            continue;
        }
        spanned.push(rest / norm);
        let wanted = if i == j { 2.0 * metric[(i, i)] } else { (metric[(i, i)] * metric[(j, j)]).sqrt() };
        basis.push(mean * (wanted / mean[(i, j)]));
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::{Site, SpaceGroup};

    fn phase(cell: Cell, group: SpaceGroup) -> Phase {
        let sites = vec![
            Site::new("Zn", [1.0 / 3.0, 2.0 / 3.0, 0.02], &[(Element::Zn, 1.0)], 0.5),
            Site::new("O", [0.1, 0.27, 0.38], &[(Element::O, 0.9)], 0.8),
        ];
        Phase::new("test", cell, group, sites).unwrap()
    }

    #[test]
    fn the_cell_has_as_many_parameters_as_its_system_allows() {
        let triclinic = Cell { a: 5.0, b: 6.0, c: 7.0, alpha: 80.0, beta: 85.0, gamma: 95.0 };
        let monoclinic = Cell { alpha: 90.0, gamma: 90.0, ..triclinic };
        let group = |operators: &[&str]| SpaceGroup::from_operators("test", operators).unwrap();
        for (cell, group, count) in [
            (Cell::cubic(5.0), SpaceGroup::pm3m(), 1),
            (Cell::hexagonal(3.2, 5.2), SpaceGroup::p63mc(), 2),
            (Cell::tetragonal(4.0, 5.0), SpaceGroup::i4mcm(), 2),
            (Cell::orthorhombic(5.0, 6.0, 7.0), SpaceGroup::pnma(), 3),
            (monoclinic, group(&["-x,y,-z", "-x,-y,-z"]), 4),
            (triclinic, group(&["-x,-y,-z"]), 6),
        ] {
            let phase = phase(cell, group);
            let crystal = Crystal::new(&Candidate::new(phase.clone()), Tube::Cu, 1.0, 100.0);
            assert_eq!(crystal.cell_basis.len(), count, "{cell:?}");
            let mut state = CrystalState { cell: [0.0; 6], b: vec![0.0; 2], march: 1.0 };
            let same = crystal.cell_at(&state);
            assert!((same.a - cell.a).abs() < 1e-9 && (same.beta - cell.beta).abs() < 1e-9);
            state.cell[0] = 0.01;
            // The first element is an edge: a, and with it the edges of the same length.
            assert!((crystal.cell_at(&state).a / cell.a - 1.02_f64.sqrt()).abs() < 1e-12, "{cell:?}");
        }
    }

    #[test]
    fn strengths_and_their_derivatives_agree_with_central_differences() {
        let candidate = Candidate {
            texture_axis: Some([0, 0, 1]),
            ..Candidate::new(phase(
                Cell { a: 5.0, b: 6.0, c: 7.0, alpha: 80.0, beta: 85.0, gamma: 95.0 },
                SpaceGroup::from_operators("P1", &["x,y,z"]).unwrap(),
            ))
        };
        let crystal = Crystal::new(&candidate, Tube::Cu, 1.2, 100.0);
        let state = CrystalState { cell: [0.002, -0.003, 0.001, 0.004, -0.002, 0.003], b: vec![0.1, -0.2], march: 0.7 };
        let mut by_b = Vec::new();
        let at = crystal.evaluate(&state, &mut by_b).unwrap();
        let h = 1e-6;
        let shifted = |change: &dyn Fn(&mut CrystalState, f64)| {
            let mut scratch = Vec::new();
            let mut one = |sign: f64| {
                let mut moved = state.clone();
                change(&mut moved, sign * h);
                crystal.evaluate(&moved, &mut scratch).unwrap()
            };
            (one(1.0), one(-1.0))
        };
        for index in 0..6 {
            let (high, low) = shifted(&|state, h| state.cell[index] += h);
            for (plane, (high, low)) in at.iter().zip(high.iter().zip(&low)) {
                let q = (high.q - low.q) / (2.0 * h);
                assert!((plane.q_by_cell[index] - q).abs() < 1e-7 * plane.q.max(0.01), "{q}");
                let strength = (high.strength - low.strength) / (2.0 * h);
                let found = plane.strength_by_q * plane.q_by_cell[index];
                assert!((found - strength).abs() < 1e-6 * plane.strength.max(1.0), "{found} {strength}");
            }
        }
        for site in 0..2 {
            let (high, low) = shifted(&|state, h| state.b[site] += h);
            for (index, (high, low)) in high.iter().zip(&low).enumerate() {
                let strength = (high.strength - low.strength) / (2.0 * h);
                assert!((by_b[2 * index + site] - strength).abs() < 1e-6 * strength.abs().max(1.0));
            }
        }
        let (high, low) = shifted(&|state, h| state.march *= h.exp());
        for (plane, (high, low)) in at.iter().zip(high.iter().zip(&low)) {
            let strength = (high.strength - low.strength) / (2.0 * h);
            assert!((plane.strength_by_ln_march - strength).abs() < 1e-6 * strength.abs().max(1.0));
        }
    }
}

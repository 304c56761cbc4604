//! Short fits of a set of phases and the evidence for it.

use nalgebra::{DMatrix, DVector};

use super::data::Data;
use super::model::{self, Columns, PLAIN, PhaseState, Shared};
use super::sticks::StickLibrary;

/// Prior of ln of the Lorentzian width in degrees: 0.06°, within a factor of e.
pub(super) const WIDTH_MEAN: f64 = -2.8;
const WIDTH_SIGMA: f64 = 0.8;
/// Prior of B in Å².
pub(super) const B_MEAN: f64 = 0.5;
const B_SIGMA: f64 = 0.5;
/// Prior of the change of q: twice a cell error of 0.25 %.
const STRAIN_SIGMA: f64 = 0.005;
/// No cell of a powder differs from the literature by more than this share of q before it is another phase.
const STRAIN_LIMIT: f64 = 0.03;
const RHO_SIGMA: f64 = 0.35;
const DISPLACEMENT_SIGMA_MM: f64 = 0.1;
const GAUSSIAN_SIGMA: f64 = 0.3;
/// A phase gives anything from a hundredth to all of the intensity.
const SCALE_SIGMA: f64 = 2.0;
const LAMBDA_START: f64 = 1e-2;
const MOST_TRIES: usize = 4;
/// A step that lowers the objective by less than this share ends a short fit.
const SMALL_DECREASE: f64 = 2e-3;

/// A fitted set of phases.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Indices of the candidates, rising.
    pub(super) set: Vec<usize>,
    pub(super) phases: Vec<PhaseState>,
    pub(super) shared: Shared,
    pub(super) background: DVector<f64>,
    pub(super) calculated: Vec<f64>,
    pub(super) chi_squared: f64,
    pub(super) penalty: f64,
    /// Σ ln σ of the priors that this set has beyond the shared ones.
    ln_sigma: f64,
    /// JᵀWJ without priors, background first.
    information: DMatrix<f64>,
    /// 1/σ² of the priors in the same order.
    precision: DVector<f64>,
}

impl Node {
    /// Laplace evidence in nats at over-dispersion `kappa`, up to a constant common to all sets of one pattern.
    pub(super) fn ln_evidence(&self, kappa: f64) -> f64 {
        let mut h = &self.information / kappa;
        for (i, precision) in self.precision.iter().enumerate() {
            h[(i, i)] += precision;
        }
        let ln_det = h.cholesky().map_or(f64::INFINITY, |c| 2.0 * c.l().diagonal().iter().map(|v| v.ln()).sum::<f64>());
        -0.5 * self.chi_squared / kappa - 0.5 * self.penalty - self.ln_sigma - 0.5 * ln_det
    }

    /// Degrees of freedom that are left.
    pub(super) fn freedom(&self) -> f64 {
        (self.calculated.len() as f64 - self.information.nrows() as f64).max(1.0)
    }

    /// Covariance of the ln scales at over-dispersion `kappa`.
    pub(super) fn scale_covariance(&self, kappa: f64, library: &StickLibrary) -> Option<DMatrix<f64>> {
        let mut h = &self.information / kappa;
        for (i, precision) in self.precision.iter().enumerate() {
            h[(i, i)] += precision.max(1e-300);
        }
        let inverse = h.cholesky()?.inverse();
        let places = self.places(library);
        Some(DMatrix::from_fn(places.len(), places.len(), |i, j| inverse[(places[i], places[j])]))
    }

    /// Where the ln scale of each phase stands.
    fn places(&self, library: &StickLibrary) -> Vec<usize> {
        let mut at = self.background.len() + 2;
        let mut places = Vec::new();
        for phase in &self.phases {
            places.push(at);
            at += model::parameters(&library.candidates[phase.candidate]);
        }
        places
    }
}

/// What a fit needs besides its start.
pub(super) struct Problem<'a> {
    pub(super) library: &'a StickLibrary,
    pub(super) data: &'a Data,
    pub(super) background: &'a [Vec<f64>],
    /// Mean of the prior of the ln scale of each candidate: a tenth of the intensity above the background.
    pub(super) scale_mean: &'a [f64],
}

struct Point {
    phases: Vec<PhaseState>,
    shared: Shared,
    background: DVector<f64>,
}

impl Problem<'_> {
    /// Minimises χ² plus priors from the given start; `iterations` bounds the time.
    pub(super) fn fit(&self, phases: Vec<PhaseState>, shared: Shared, iterations: usize) -> Option<Node> {
        let mut point = Point { phases, shared, background: DVector::zeros(self.background.len()) };
        let mut columns = self.columns::<true>(&point);
        self.solve_background(&mut point, &columns)?;
        let mut calculated = self.calculated(&point, &columns);
        let mut objective = self.chi_squared(&calculated) + self.penalty(&point);
        let mut lambda = LAMBDA_START;
        for _ in 0..iterations {
            let (h, g) = self.normal(&point, &columns, &calculated);
            let precision = self.precision(&point);
            let mut accepted = false;
            let before = objective;
            for _ in 0..MOST_TRIES {
                let mut damped = h.clone();
                for i in 0..damped.nrows() {
                    damped[(i, i)] += precision[i];
                    damped[(i, i)] *= 1.0 + lambda;
                    damped[(i, i)] += 1e-12;
                }
                let Some(delta) = damped.cholesky().map(|c| c.solve(&g)) else {
                    lambda *= 10.0;
                    continue;
                };
                let trial = self.moved(&point, &delta);
                let trial_columns = self.columns::<false>(&trial);
                let trial_calculated = self.calculated(&trial, &trial_columns);
                let value = self.chi_squared(&trial_calculated) + self.penalty(&trial);
                if value < objective {
                    (point, calculated, objective) = (trial, trial_calculated, value);
                    lambda = (0.2 * lambda).max(1e-6);
                    accepted = true;
                    break;
                }
                lambda *= 6.0;
            }
            if !accepted {
                break;
            }
            columns = self.columns::<true>(&point);
            if before - objective < SMALL_DECREASE * before {
                break;
            }
        }
        Some(self.node(point, &columns, calculated))
    }

    fn node(&self, point: Point, columns: &[Columns], calculated: Vec<f64>) -> Node {
        let (information, _) = self.normal(&point, columns, &calculated);
        let mut set: Vec<usize> = point.phases.iter().map(|phase| phase.candidate).collect();
        set.sort_unstable();
        let ln_sigma = point
            .phases
            .iter()
            .map(|phase| {
                SCALE_SIGMA.ln()
                    + WIDTH_SIGMA.ln()
                    + B_SIGMA.ln()
                    + RHO_SIGMA.ln()
                    + phase.strain.len() as f64 * STRAIN_SIGMA.ln()
            })
            .sum();
        Node {
            set,
            chi_squared: self.chi_squared(&calculated),
            penalty: self.penalty(&point),
            ln_sigma,
            precision: self.precision(&point),
            information,
            calculated,
            phases: point.phases,
            shared: point.shared,
            background: point.background,
        }
    }

    fn columns<const D: bool>(&self, point: &Point) -> Vec<Columns> {
        let one = |phase: &PhaseState| {
            let candidate = &self.library.candidates[phase.candidate];
            model::columns::<D>(candidate, phase, &point.shared, &self.library.instrument, self.data)
        };
        point.phases.iter().map(one).collect()
    }

    fn calculated(&self, point: &Point, columns: &[Columns]) -> Vec<f64> {
        let mut sum = vec![0.0; self.data.len()];
        for (column, c) in self.background.iter().zip(point.background.iter()) {
            sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += c * value);
        }
        for column in columns {
            sum.iter_mut().zip(&column.value).for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    fn chi_squared(&self, calculated: &[f64]) -> f64 {
        let data = self.data;
        calculated.iter().zip(&data.y).zip(&data.weight).map(|((f, y), w)| w * (y - f) * (y - f)).sum()
    }

    /// Background and scales by least squares at the start; scales stay within a factor of 100 of their start.
    fn solve_background(&self, point: &mut Point, columns: &[Columns]) -> Option<()> {
        let values: Vec<&[f64]> = self
            .background
            .iter()
            .map(Vec::as_slice)
            .chain(columns.iter().map(|column| column.value.as_slice()))
            .collect();
        let h = gram(&values, &self.data.weight);
        let g = project(&values, &self.data.weight, &self.data.y);
        let offset = self.background.len();
        let mut kept: Vec<usize> = (0..values.len()).collect();
        loop {
            let part = DMatrix::from_fn(kept.len(), kept.len(), |i, j| {
                h[(kept[i], kept[j])] * if i == j { 1.0 + 1e-10 } else { 1.0 }
            });
            let right = DVector::from_fn(kept.len(), |i, _| g[kept[i]]);
            let c = part.cholesky()?.solve(&right);
            // Scales that would be negative are set aside and the rest is solved again.
            if let Some(bad) = (0..kept.len()).find(|&i| kept[i] >= offset && c[i] <= 0.01) {
                kept.remove(bad);
                continue;
            }
            point.background = DVector::from_fn(offset, |i, _| c[i]);
            for (phase, state) in point.phases.iter_mut().enumerate() {
                let found = kept.iter().position(|index| *index == offset + phase).map_or(0.01, |place| c[place]);
                state.ln_scale += found.clamp(0.01, 100.0).ln();
            }
            return Some(());
        }
    }

    fn normal(&self, point: &Point, columns: &[Columns], calculated: &[f64]) -> (DMatrix<f64>, DVector<f64>) {
        let n = self.data.len();
        let mut shared = [vec![0.0; n], vec![0.0; n]];
        for column in columns {
            for (sum, part) in shared.iter_mut().zip(&column.shared) {
                sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }
        let mut all: Vec<&[f64]> = self.background.iter().map(Vec::as_slice).collect();
        all.extend(shared.iter().map(Vec::as_slice));
        all.extend(columns.iter().flat_map(|column| column.own.iter().map(Vec::as_slice)));
        let residual: Vec<f64> = self.data.y.iter().zip(calculated).map(|(y, f)| y - f).collect();
        let h = gram(&all, &self.data.weight);
        let mut g = project(&all, &self.data.weight, &residual);
        for (i, (deviation, precision)) in
            self.deviations(point).into_iter().zip(self.precision(point).iter()).enumerate()
        {
            g[i] -= precision * deviation;
        }
        (h, g)
    }

    /// Parameters minus the means of their priors, background first.
    fn deviations(&self, point: &Point) -> Vec<f64> {
        let mut all = vec![0.0; self.background.len()];
        all.extend([point.shared.displacement_mm, point.shared.ln_gaussian]);
        for phase in &point.phases {
            all.extend([phase.ln_scale - self.scale_mean[phase.candidate], phase.ln_width - WIDTH_MEAN]);
            all.extend([phase.b - B_MEAN, phase.rho]);
            all.extend(&phase.strain);
        }
        all
    }

    fn precision(&self, point: &Point) -> DVector<f64> {
        let of = |sigma: f64| 1.0 / (sigma * sigma);
        let mut all = vec![0.0; self.background.len()];
        all.extend([of(DISPLACEMENT_SIGMA_MM), of(GAUSSIAN_SIGMA)]);
        for phase in &point.phases {
            all.extend([of(SCALE_SIGMA), of(WIDTH_SIGMA), of(B_SIGMA), of(RHO_SIGMA)]);
            all.extend(phase.strain.iter().map(|_| of(STRAIN_SIGMA)));
        }
        DVector::from_vec(all)
    }

    fn penalty(&self, point: &Point) -> f64 {
        self.deviations(point).iter().zip(self.precision(point).iter()).map(|(d, p)| p * d * d).sum()
    }

    fn moved(&self, point: &Point, delta: &DVector<f64>) -> Point {
        let offset = self.background.len();
        let background = DVector::from_fn(offset, |i, _| point.background[i] + delta[i]);
        let shared = Shared {
            displacement_mm: (point.shared.displacement_mm + delta[offset].clamp(-0.1, 0.1)).clamp(-0.5, 0.5),
            ln_gaussian: (point.shared.ln_gaussian + delta[offset + 1].clamp(-0.3, 0.3)).clamp(-1.0, 1.0),
        };
        let mut at = offset + 2;
        let phases = point
            .phases
            .iter()
            .map(|phase| {
                let d = |k: usize, most: f64| delta[at + k].clamp(-most, most);
                let moved = PhaseState {
                    candidate: phase.candidate,
                    ln_scale: phase.ln_scale + d(0, 2.0),
                    ln_width: (phase.ln_width + d(1, 0.7)).clamp(WIDTH_MEAN - 4.0, WIDTH_MEAN + 3.5),
                    b: (phase.b + d(2, 0.7)).clamp(-1.0, 4.0),
                    rho: (phase.rho + d(3, 0.3)).clamp(-1.2, 1.2),
                    strain: phase
                        .strain
                        .iter()
                        .enumerate()
                        .map(|(k, value)| (value + d(PLAIN + k, STRAIN_SIGMA)).clamp(-STRAIN_LIMIT, STRAIN_LIMIT))
                        .collect(),
                    axis: phase.axis,
                };
                at += PLAIN + phase.strain.len();
                moved
            })
            .collect();
        Point { phases, shared, background }
    }

    /// The texture axis whose derivative takes most of the residual of a node.
    pub(super) fn best_axis(&self, node: &Node, phase: usize) -> usize {
        let state = &node.phases[phase];
        let candidate = &self.library.candidates[state.candidate];
        let residual: Vec<f64> = self.data.y.iter().zip(&node.calculated).map(|(y, f)| y - f).collect();
        let gain = |axis: usize| {
            let tilted = PhaseState { axis, rho: 0.05, ..state.clone() };
            let level = PhaseState { axis, rho: -0.05, ..state.clone() };
            let of = |state: &PhaseState| {
                model::columns::<false>(candidate, state, &node.shared, &self.library.instrument, self.data).value
            };
            let slope: Vec<f64> = of(&tilted).iter().zip(of(&level)).map(|(a, b)| a - b).collect();
            let (mut top, mut norm) = (0.0, 1e-300);
            for ((slope, residual), weight) in slope.iter().zip(&residual).zip(&self.data.weight) {
                top += weight * slope * residual;
                norm += weight * slope * slope;
            }
            top * top / norm
        };
        (0..candidate.axes).max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap_or(0)
    }
}

/// AᵀWA for columns of equal length.
pub(super) fn gram(columns: &[&[f64]], weight: &[f64]) -> DMatrix<f64> {
    let mut h = DMatrix::zeros(columns.len(), columns.len());
    let mut weighted = vec![0.0; weight.len()];
    for i in 0..columns.len() {
        for (target, (value, weight)) in weighted.iter_mut().zip(columns[i].iter().zip(weight)) {
            *target = value * weight;
        }
        for j in i..columns.len() {
            let value = dot(&weighted, columns[j]);
            h[(i, j)] = value;
            h[(j, i)] = value;
        }
    }
    h
}

/// AᵀWr.
pub(super) fn project(columns: &[&[f64]], weight: &[f64], residual: &[f64]) -> DVector<f64> {
    let weighted: Vec<f64> = weight.iter().zip(residual).map(|(weight, value)| weight * value).collect();
    DVector::from_fn(columns.len(), |i, _| dot(&weighted, columns[i]))
}

/// Dot product in eight strands, which the compiler can keep in vector registers; the order of summation is fixed.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut strands = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            strands[k] += x[k] * y[k];
        }
    }
    strands.iter().sum::<f64>() + tail
}

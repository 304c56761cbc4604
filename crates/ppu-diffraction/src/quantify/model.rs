//! The parameters of the fit, their priors, and the columns they give.

use nalgebra::{DMatrix, DVector};

use super::{QuantifyError, Settings};
use crate::forward::{PhaseColumns, PhaseState, PreparedPhase, accumulate};
use crate::library::Candidate;
use crate::pattern::Pattern;
use crate::profile::{Instrument, Texture};

/// Chebyshev terms of the background; the glass hump of a film substrate needs about eight.
const CHEBYSHEV_TERMS: usize = 10;
/// Prior of the Lorentzian size parameter X (degrees): 100 nm crystallites, from some 30 to 400 nm.
const SIZE_PRIOR: (f64, f64) = (-2.53, 0.7);
/// Prior of the Lorentzian strain parameter Y (degrees): 0.13 % microstrain within a factor of two.
const STRAIN_PRIOR: (f64, f64) = (-1.2, 0.7);
/// The Gaussian width of the instrument is known to 10 %.
const GAUSSIAN_PRIOR: (f64, f64) = (0.0, 0.1);
/// A parameter may leave the mean of its prior by this many standard deviations and no further.
pub(super) const LIMIT_SIGMAS: f64 = 4.0;

/// Which quantity a nonlinear parameter is; phases are numbered as in [`Model::phases`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Displacement,
    GaussianFactor,
    OpticalThickness,
    Strain,
    Cell(usize),
    Size(usize),
    March(usize),
}

/// A nonlinear parameter with its Gaussian prior.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) kind: Kind,
    pub(super) mean: f64,
    pub(super) sigma: f64,
}

/// A pattern, the phases that may be in it, and the parameters that shape them.
pub(super) struct Model<'a> {
    pub(super) x: &'a [f64],
    pub(super) y: &'a [f64],
    pub(super) phases: Vec<(&'a Candidate, PreparedPhase)>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) background: Vec<Vec<f64>>,
    pub(super) instrument: &'a Instrument,
    sigma: Option<&'a [f64]>,
}

/// Columns and derivatives at one set of nonlinear parameters.
pub(super) struct Evaluated {
    pub(super) columns: Vec<PhaseColumns>,
}

impl<'a> Model<'a> {
    /// Prepares the phases; the first candidate is the perovskite.
    pub(super) fn new(
        pattern: &'a Pattern,
        range: std::ops::Range<usize>,
        candidates: Vec<&'a Candidate>,
        settings: &'a Settings,
    ) -> Result<Self, QuantifyError> {
        let x = &pattern.two_theta()[range.clone()];
        let (first, last) = (x[0], x[x.len() - 1]);
        let mut phases = Vec::new();
        for candidate in candidates {
            let prepared = PreparedPhase::for_range(&candidate.phase, &settings.instrument, first, last)?;
            phases.push((candidate, prepared));
        }
        let mut parameters = vec![
            Parameter { kind: Kind::Displacement, mean: 0.0, sigma: settings.displacement_prior_mm },
            Parameter { kind: Kind::GaussianFactor, mean: GAUSSIAN_PRIOR.0, sigma: GAUSSIAN_PRIOR.1 },
            Parameter { kind: Kind::Strain, mean: STRAIN_PRIOR.0, sigma: STRAIN_PRIOR.1 },
        ];
        if let Some((thickness, u)) = settings.film_thickness_nm {
            let attenuation = phases[0].0.phase.linear_attenuation_per_cm();
            let mean = (attenuation * thickness * 1e-7).ln();
            parameters.push(Parameter { kind: Kind::OpticalThickness, mean, sigma: (u / thickness).max(0.01) });
        }
        for (index, (candidate, _)) in phases.iter().enumerate() {
            let (march, march_sigma) = candidate.texture_prior;
            parameters.push(Parameter { kind: Kind::Cell(index), mean: 0.0, sigma: candidate.cell_prior });
            parameters.push(Parameter { kind: Kind::Size(index), mean: SIZE_PRIOR.0, sigma: SIZE_PRIOR.1 });
            parameters.push(Parameter { kind: Kind::March(index), mean: march, sigma: march_sigma });
        }
        let sigma = (!pattern.are_counts()).then(|| &pattern.sigma()[range.clone()]);
        let background = background_columns(x);
        let y = &pattern.intensity()[range];
        Ok(Self { x, y, phases, parameters, background, instrument: &settings.instrument, sigma })
    }

    /// Number of linear parameters: scales, then background.
    pub(super) fn linear_count(&self) -> usize {
        self.phases.len() + self.background.len()
    }

    /// Means of the priors: where the fit starts.
    pub(super) fn start(&self) -> Vec<f64> {
        self.parameters.iter().map(|parameter| parameter.mean).collect()
    }

    /// Weights 1/variance: from the file where it states uncertainties, else from the model. Weighting counts by
    /// themselves would bias every area low by about one count a point.
    pub(super) fn weights(&self, calculated: &[f64]) -> Vec<f64> {
        match self.sigma {
            Some(sigma) => sigma.iter().map(|sigma| 1.0 / (sigma * sigma)).collect(),
            // Half a count keeps empty regions from dominating the sum.
            None => calculated.iter().map(|value| 1.0 / value.max(0.5)).collect(),
        }
    }

    /// Starting weights, from the data smoothed over a few points.
    pub(super) fn first_weights(&self) -> Vec<f64> {
        let half = 3;
        let smooth: Vec<f64> = (0..self.y.len())
            .map(|index| {
                let window = &self.y[index.saturating_sub(half)..(index + half + 1).min(self.y.len())];
                window.iter().sum::<f64>() / window.len() as f64
            })
            .collect();
        self.weights(&smooth)
    }

    /// The unit pattern of one phase, with derivatives when `D`.
    pub(super) fn phase_columns<const D: bool>(&self, phase: usize, p: &[f64]) -> PhaseColumns {
        let points = self.x.len();
        let mut columns = if D { PhaseColumns::with_derivatives(points) } else { PhaseColumns::new(points) };
        accumulate::<D>(&self.phases[phase].1, &self.state(phase, p), self.instrument, self.x, &mut columns);
        columns
    }

    /// Every phase with derivatives.
    pub(super) fn evaluate(&self, p: &[f64]) -> Evaluated {
        Evaluated { columns: (0..self.phases.len()).map(|phase| self.phase_columns::<true>(phase, p)).collect() }
    }

    fn state(&self, phase: usize, p: &[f64]) -> PhaseState {
        let value = |kind: Kind| self.parameters.iter().position(|parameter| parameter.kind == kind).map(|i| p[i]);
        let axis = self.phases[phase].0.texture_axis;
        PhaseState {
            cell_factor: value(Kind::Cell(phase)).map_or(1.0, f64::exp),
            size_deg: value(Kind::Size(phase)).map_or(0.0, f64::exp),
            strain_deg: value(Kind::Strain).map_or(0.0, f64::exp),
            texture: value(Kind::March(phase)).map(|ln_r| Texture { axis, r: ln_r.exp() }),
            gaussian_factor: value(Kind::GaussianFactor).map_or(1.0, f64::exp),
            displacement_mm: value(Kind::Displacement).unwrap_or(0.0),
            optical_thickness: value(Kind::OpticalThickness).map(f64::exp),
        }
    }

    /// The calculated pattern for linear parameters `c`.
    pub(super) fn calculated<'e>(&'e self, values: impl Iterator<Item = &'e [f64]>, c: &DVector<f64>) -> Vec<f64> {
        let mut sum = vec![0.0; self.x.len()];
        let all = values.chain(self.background.iter().map(Vec::as_slice));
        for (column, &factor) in all.zip(c.iter()) {
            if factor != 0.0 {
                for (total, value) in sum.iter_mut().zip(column) {
                    *total += factor * value;
                }
            }
        }
        sum
    }

    /// Derivative of the calculated pattern by every nonlinear parameter, one column each.
    pub(super) fn nonlinear_columns(&self, evaluated: &Evaluated, c: &DVector<f64>) -> Vec<Vec<f64>> {
        let which = |kind: Kind| match kind {
            Kind::Displacement => (0, None),
            Kind::Cell(phase) => (1, Some(phase)),
            Kind::Size(phase) => (2, Some(phase)),
            Kind::Strain => (3, None),
            Kind::March(phase) => (4, Some(phase)),
            Kind::GaussianFactor => (5, None),
            Kind::OpticalThickness => (6, None),
        };
        let column = |parameter: &Parameter| {
            let (derivative, only) = which(parameter.kind);
            let mut sum = vec![0.0; self.x.len()];
            for (phase, columns) in evaluated.columns.iter().enumerate() {
                if c[phase] == 0.0 || only.is_some_and(|only| only != phase) {
                    continue;
                }
                for (total, value) in sum.iter_mut().zip(&columns.derivatives[derivative]) {
                    *total += c[phase] * value;
                }
            }
            sum
        };
        self.parameters.iter().map(column).collect()
    }

    /// Penalty of the priors at `p`.
    pub(super) fn penalty(&self, p: &[f64]) -> f64 {
        self.parameters
            .iter()
            .zip(p)
            .map(|(parameter, value)| ((value - parameter.mean) / parameter.sigma).powi(2))
            .sum()
    }
}

/// AᵀWA for columns stored one after the other.
pub(super) fn normal_matrix(columns: &[&[f64]], weights: &[f64]) -> DMatrix<f64> {
    let mut h = DMatrix::zeros(columns.len(), columns.len());
    let mut weighted = vec![0.0; weights.len()];
    for i in 0..columns.len() {
        for (target, (value, weight)) in weighted.iter_mut().zip(columns[i].iter().zip(weights)) {
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
pub(super) fn projection(columns: &[&[f64]], weights: &[f64], residual: &[f64]) -> DVector<f64> {
    let weighted: Vec<f64> = weights.iter().zip(residual).map(|(weight, value)| weight * value).collect();
    DVector::from_fn(columns.len(), |i, _| dot(&weighted, columns[i]))
}

/// Dot product in four strands, which the compiler can keep in vector registers; the order of summation is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut strands = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for k in 0..4 {
            strands[k] += x[k] * y[k];
        }
    }
    strands.iter().sum::<f64>() + tail
}

/// Chebyshev polynomials over the range and a term in 1/2θ for scatter by air.
fn background_columns(x: &[f64]) -> Vec<Vec<f64>> {
    let (first, last) = (x[0], x[x.len() - 1]);
    let map = |angle: f64| 2.0 * (angle - first) / (last - first) - 1.0;
    let terms = CHEBYSHEV_TERMS.min(x.len() / 20).max(1);
    let mut columns: Vec<Vec<f64>> = (0..terms)
        .map(|order| x.iter().map(|&angle| (order as f64 * map(angle).clamp(-1.0, 1.0).acos()).cos()).collect())
        .collect();
    if first > 0.0 {
        columns.push(x.iter().map(|&angle| first / angle).collect());
    }
    columns
}

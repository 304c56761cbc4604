//! Fit of one edge with the excitonic model on a straight background.

use super::{BandGapError, Bin};
use crate::absorption::{AbsorptionModel, Edge};
use crate::least_squares::{Effort, Projector, minimise_with, project};

/// Window below and above the inflection in eV. Above, it ends before non-parabolic bands and higher transitions, which
/// differ from film to film, matter.
pub(super) const WIDE: (f64, f64) = (0.18, 0.12);
pub(super) const NARROW: (f64, f64) = (0.12, 0.07);
/// Part of the window that must hold data on each side.
const LEAST_SHARE: f64 = 0.6;
/// Priors of ln E_u (15 meV within 35 %) and of ln σ (25 meV within 10 %): tail and broadening look alike near the edge.
const URBACH_PRIOR: (f64, f64) = (-4.2, 0.35);
const BROADENING_PRIOR: (f64, f64) = (-3.689, 0.1);
/// The model describes absorbance to this share of the step; without it noise-free data would claim μeV.
const MODEL_SHARE: f64 = 0.003;
/// α at which the model is normalised, 0.3 eV above the continuum edge.
const REFERENCE_PER_CM: f64 = 2.8e4;

pub(super) struct EdgeFit {
    pub(super) gap_ev: f64,
    pub(super) u_gap_ev: f64,
    pub(super) urbach_ev: f64,
    pub(super) u_urbach_ev: f64,
    pub(super) broadening_ev: f64,
    pub(super) u_broadening_ev: f64,
    pub(super) binding_ev: f64,
    pub(super) u_binding_ev: f64,
    pub(super) step: f64,
    pub(super) reduced_chi_squared: f64,
    pub(super) rms: f64,
    /// Gap, ln Urbach energy, ln broadening and ln binding energy: where another fit of the same edge may start.
    pub(super) p: [f64; 4],
    /// Uncertainties of the three logarithms as shares of those of their priors: 1 says that the data told nothing.
    pub(super) prior_share: [f64; 3],
}

/// On what an edge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// A straight line.
    Straight,
    /// A parabola: the higher transitions of a phase with a smaller gap.
    Bent,
}

/// Increment of a logarithm for a difference quotient.
const INCREMENT: f64 = 5e-3;
/// Steps of a fit, and the relative decrease of χ² that ends it.
const EFFORT: Effort = Effort::new(12, 1e-4);

/// Data of a window with their weights.
struct Points {
    at_ev: f64,
    energy: Vec<f64>,
    y: Vec<f64>,
    u: Vec<f64>,
    weights: Vec<f64>,
}

impl Points {
    fn new(bins: &[Bin], at_ev: f64, window: (f64, f64)) -> Option<Self> {
        let inside = |bin: &&Bin| bin.energy > at_ev - window.0 && bin.energy < at_ev + window.1;
        let used: Vec<Bin> = bins.iter().filter(inside).copied().collect();
        let covered = used.first().is_some_and(|first| first.energy < at_ev - LEAST_SHARE * window.0)
            && used.last().is_some_and(|last| last.energy > at_ev + LEAST_SHARE * window.1);
        if !covered || used.len() < 20 {
            return None;
        }
        let range = used.iter().map(|bin| bin.value).fold(f64::NEG_INFINITY, f64::max)
            - used.iter().map(|bin| bin.value).fold(f64::INFINITY, f64::min);
        let u: Vec<f64> = used.iter().map(|bin| bin.u.hypot(MODEL_SHARE * range)).collect();
        Some(Self {
            at_ev,
            energy: used.iter().map(|bin| bin.energy).collect(),
            y: used.iter().map(|bin| bin.value).collect(),
            weights: u.iter().map(|u| 1.0 / (u * u)).collect(),
            u,
        })
    }

    /// The model's functions at `p` with `N` of them: constant, slope, edge and, with four, curvature.
    fn rows<const N: usize>(&self, model: &AbsorptionModel) -> Vec<[f64; N]> {
        let row = |energy: &f64| -> [f64; N] {
            let t = energy - self.at_ev;
            let all = [1.0, t, model.alpha_per_cm(*energy) / REFERENCE_PER_CM, t * t / 0.1];
            std::array::from_fn(|k| all[k])
        };
        self.energy.iter().map(row).collect()
    }

    /// Height of the edge and misfit of the model at `p`.
    fn solve<const N: usize>(&self, p: &[f64]) -> Option<(f64, Vec<f64>)> {
        let rows = self.rows::<N>(&model(p)?);
        let c = project(&rows, &self.y, &self.weights)?;
        let misfit = rows.iter().zip(&self.y).map(|(row, y)| y - row.iter().zip(&c).map(|(a, c)| a * c).sum::<f64>());
        Some((c[2], misfit.collect()))
    }

    /// Derivatives of the misfit by the four parameters: of a fit whose linear part is always solved only what lies outside
    /// the span of its functions counts (Kaufman, BIT 15, 49, 1975).
    fn slopes<const N: usize>(&self, p: &[f64]) -> Option<Vec<Vec<f64>>> {
        let here = model(p)?;
        let slopes = here.slopes()?;
        let mut rows = Vec::with_capacity(self.energy.len());
        let mut columns = [const { Vec::new() }; 4];
        for energy in &self.energy {
            let (alpha, by) = slopes.at(*energy)?;
            let t = energy - self.at_ev;
            let all = [1.0, t, alpha / REFERENCE_PER_CM, t * t / 0.1];
            rows.push(std::array::from_fn::<f64, N, _>(|k| all[k]));
            columns.iter_mut().zip(by).for_each(|(column, by)| column.push(by / REFERENCE_PER_CM));
        }
        let projector = Projector::new(&rows, &self.weights)?;
        let height = projector.coefficients(&self.y)[2];
        columns.iter_mut().for_each(|column| column.iter_mut().for_each(|by| *by *= height));
        Some(columns.iter().map(|column| projector.beyond(column)).collect())
    }
}

fn model(p: &[f64]) -> Option<AbsorptionModel> {
    let edge = Edge { gap_ev: p[0], binding_ev: p[3].exp(), urbach_ev: p[1].exp(), broadening_ev: p[2].exp() };
    AbsorptionModel::without_table(edge).ok()
}

/// Fits gap, Urbach energy, broadening and binding energy; `binding` is the prior of the latter in eV. `start` is where the
/// fit of another window ended.
pub(super) fn fit(
    bins: &[Bin],
    at_ev: f64,
    binding: (f64, f64),
    window: (f64, f64),
    ground: Ground,
    start: Option<[f64; 4]>,
) -> Result<EdgeFit, BandGapError> {
    let points = Points::new(bins, at_ev, window).ok_or(BandGapError::AtRangeEnd { energy_ev: at_ev })?;
    let solve = |p: &[f64]| match ground {
        Ground::Straight => points.solve::<3>(p),
        Ground::Bent => points.solve::<4>(p),
    };
    let sigmas = [URBACH_PRIOR.1, BROADENING_PRIOR.1, binding.1 / binding.0];
    let residuals = |p: &[f64]| -> Vec<f64> {
        // A step out of the model's range gives no number, and the fit turns back.
        let mut all = solve(p).map_or_else(|| vec![f64::NAN; points.y.len()], |found| found.1);
        all.iter_mut().zip(&points.u).for_each(|(value, u)| *value /= u);
        for (k, mean) in [URBACH_PRIOR.0, BROADENING_PRIOR.0, binding.0.ln()].into_iter().enumerate() {
            all.push((p[k + 1] - mean) / sigmas[k]);
        }
        all
    };
    let slopes = |p: &[f64], _: &[f64]| -> Option<Vec<Vec<f64>>> {
        let mut columns = match ground {
            Ground::Straight => points.slopes::<3>(p)?,
            Ground::Bent => points.slopes::<4>(p)?,
        };
        for (index, column) in columns.iter_mut().enumerate() {
            column.iter_mut().zip(&points.u).for_each(|(value, u)| *value /= -u);
            column.extend((0..3).map(|k| if index == k + 1 { 1.0 / sigmas[k] } else { 0.0 }));
        }
        Some(columns)
    };
    let failed = BandGapError::NoFit { energy_ev: at_ev };
    let start = start.unwrap_or([at_ev, URBACH_PRIOR.0, BROADENING_PRIOR.0, binding.0.ln()]);
    let Some(found) = minimise_with(&start, &[2e-4, INCREMENT, INCREMENT, INCREMENT], 80.0, EFFORT, &residuals, slopes)
        .filter(|found| found.converged)
    else {
        return Err(failed);
    };
    let Some((step, misfit)) = solve(&found.p) else { return Err(failed) };
    // An edge that fell or wandered off is another feature than the one that was asked about.
    if step <= 0.0 || (found.p[0] - at_ev).abs() > window.1 {
        return Err(failed);
    }
    let reduced = found.chi_squared / (points.y.len() - 5) as f64;
    let inflation = reduced.max(1.0).sqrt();
    let u = |k: usize| found.covariance[(k, k)].sqrt();
    let [urbach_ev, broadening_ev, binding_ev] = [1, 2, 3].map(|k| found.p[k].exp());
    Ok(EdgeFit {
        gap_ev: found.p[0],
        u_gap_ev: u(0) * inflation,
        urbach_ev,
        u_urbach_ev: urbach_ev * u(1) * inflation,
        broadening_ev,
        u_broadening_ev: broadening_ev * u(2) * inflation,
        binding_ev,
        u_binding_ev: binding_ev * u(3) * inflation,
        step,
        reduced_chi_squared: reduced,
        rms: (misfit.iter().map(|value| value * value).sum::<f64>() / misfit.len() as f64).sqrt(),
        p: [found.p[0], found.p[1], found.p[2], found.p[3]],
        prior_share: [0, 1, 2].map(|k| u(k + 1) / sigmas[k]),
    })
}

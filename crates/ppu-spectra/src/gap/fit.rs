//! Fit of one edge with the excitonic model on a straight background.

use super::{BandGapError, Bin};
use crate::absorption::{AbsorptionModel, Edge};
use crate::least_squares::{linear, minimise};

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
    pub(super) step: f64,
    pub(super) reduced_chi_squared: f64,
    pub(super) rms: f64,
}

/// On what an edge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// A straight line.
    Straight,
    /// A parabola: the higher transitions of a phase with a smaller gap.
    Bent,
}

/// Steps of a fit, and the relative decrease of χ² that ends it.
const EFFORT: (usize, f64) = (12, 1e-4);

/// Fits gap, Urbach energy, broadening and binding energy; `binding` is the prior of the latter in eV.
pub(super) fn fit(
    bins: &[Bin],
    at_ev: f64,
    binding: (f64, f64),
    window: (f64, f64),
    ground: Ground,
) -> Result<EdgeFit, BandGapError> {
    let inside = |bin: &&Bin| bin.energy > at_ev - window.0 && bin.energy < at_ev + window.1;
    let used: Vec<Bin> = bins.iter().filter(inside).copied().collect();
    let covered = used.first().is_some_and(|first| first.energy < at_ev - LEAST_SHARE * window.0)
        && used.last().is_some_and(|last| last.energy > at_ev + LEAST_SHARE * window.1);
    if !covered || used.len() < 20 {
        return Err(BandGapError::AtRangeEnd { energy_ev: at_ev });
    }
    let range = used.iter().map(|bin| bin.value).fold(f64::NEG_INFINITY, f64::max)
        - used.iter().map(|bin| bin.value).fold(f64::INFINITY, f64::min);
    let y: Vec<f64> = used.iter().map(|bin| bin.value).collect();
    let u: Vec<f64> = used.iter().map(|bin| bin.u.hypot(MODEL_SHARE * range)).collect();
    let weights: Vec<f64> = u.iter().map(|u| 1.0 / (u * u)).collect();
    let solve = |p: &[f64]| -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
        let edge = Edge { gap_ev: p[0], binding_ev: p[3].exp(), urbach_ev: p[1].exp(), broadening_ev: p[2].exp() };
        let model = AbsorptionModel::without_table(edge).ok()?;
        let mut columns = vec![
            vec![1.0; used.len()],
            used.iter().map(|bin| bin.energy - at_ev).collect(),
            used.iter().map(|bin| model.alpha_per_cm(bin.energy) / REFERENCE_PER_CM).collect(),
        ];
        if ground == Ground::Bent {
            columns.push(used.iter().map(|bin| (bin.energy - at_ev).powi(2) / 0.1).collect());
        }
        let (c, _) = linear(&columns, &y, &weights)?;
        Some((c, columns))
    };
    let misfit = |p: &[f64]| -> Option<Vec<f64>> {
        let (c, columns) = solve(p)?;
        Some((0..y.len()).map(|i| y[i] - (0..c.len()).map(|k| c[k] * columns[k][i]).sum::<f64>()).collect())
    };
    let residuals = |p: &[f64]| -> Vec<f64> {
        // A step out of the model's range gives no number, and the fit turns back.
        let misfit = misfit(p).unwrap_or_else(|| vec![f64::NAN; y.len()]);
        let mut all: Vec<f64> = misfit.iter().zip(&u).map(|(value, u)| value / u).collect();
        all.push((p[1] - URBACH_PRIOR.0) / URBACH_PRIOR.1);
        all.push((p[2] - BROADENING_PRIOR.0) / BROADENING_PRIOR.1);
        all.push((p[3] - binding.0.ln()) * binding.0 / binding.1);
        all
    };
    let failed = BandGapError::NoFit { energy_ev: at_ev };
    let start = [at_ev, URBACH_PRIOR.0, BROADENING_PRIOR.0, binding.0.ln()];
    let Some(found) =
        minimise(&start, &[2e-4, 5e-3, 5e-3, 5e-3], 80.0, EFFORT, residuals).filter(|found| found.converged)
    else {
        return Err(failed);
    };
    let (Some((c, _)), Some(misfit)) = (solve(&found.p), misfit(&found.p)) else { return Err(failed) };
    // An edge that fell or wandered off is another feature than the one that was asked about.
    if c[2] <= 0.0 || (found.p[0] - at_ev).abs() > window.1 {
        return Err(failed);
    }
    let reduced = found.chi_squared / (y.len() - 5) as f64;
    let inflation = reduced.max(1.0).sqrt();
    let urbach_ev = found.p[1].exp();
    Ok(EdgeFit {
        gap_ev: found.p[0],
        u_gap_ev: found.covariance[(0, 0)].sqrt() * inflation,
        urbach_ev,
        u_urbach_ev: urbach_ev * found.covariance[(1, 1)].sqrt() * inflation,
        step: c[2],
        reduced_chi_squared: reduced,
        rms: (misfit.iter().map(|value| value * value).sum::<f64>() / y.len() as f64).sqrt(),
    })
}

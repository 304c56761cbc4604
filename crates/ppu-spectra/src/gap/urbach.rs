//! The exponential tail below an absorption edge (Urbach, Phys. Rev. 92, 1324, 1953), fitted by itself.

use super::{BandGapError, Bin, GapFlag, GapSettings, bins, edges};
use crate::absorbance::Absorbance;
use crate::least_squares::{Effort, minimise, project};
use crate::raw::Estimate;

/// Distances in eV from the inflection down to the upper end of the window: nearer, the broadened edge itself is seen,
/// farther, little is left of the tail.
const TOPS_EV: [f64; 10] = [0.020, 0.027, 0.034, 0.041, 0.048, 0.055, 0.062, 0.070, 0.080, 0.090];
/// The window reaches this far below its upper end, for the background.
const REACH_EV: f64 = 0.14;
/// Fewest points of a window.
const FEWEST: usize = 25;
/// A window whose reduced χ² is below this holds nothing but tail and background.
const GOOD_FIT: f64 = 1.25;
/// Relative precision to which an exponential describes a tail.
const MODEL_SHARE: f64 = 0.01;
/// Reflections within the film and pinholes bend its absorbance; over films of known tails the Urbach energy errs by this
/// share.
const FILM_SHARE: f64 = 0.04;
/// Start of the Urbach energy in eV, and the range in which one is believed.
const START_EV: f64 = 0.018;
const RANGE_EV: (f64, f64) = (0.003, 0.15);
/// An Urbach energy less certain than this share of itself says nothing.
const LEAST_CERTAIN: f64 = 0.5;
/// Fewer e-foldings above the noise than this are no exponential yet.
const FEW_E_FOLDS: f64 = 2.0;
/// A background this many times the tail at its upper end decides what is left of it.
const MOST_BACKGROUND: f64 = 10.0;
/// Steps of a fit, and the relative decrease of χ² that ends it.
const EFFORT: Effort = Effort::new(20, 1e-4);

/// The tail of the lowest edge.
#[derive(Debug, Clone, PartialEq)]
pub struct UrbachTail {
    /// Urbach energy in eV. The total uncertainty holds how much it changes with the window.
    pub energy_ev: Estimate,
    /// Window that was fitted, in eV.
    pub window_ev: (f64, f64),
    /// e-foldings of the tail between the noise of a point and the upper end of the window.
    pub e_folds: f64,
    /// Absorbance of the tail and of the background at the upper end of the window.
    pub tail: f64,
    /// Background there.
    pub background: f64,
    /// Reduced χ² of the fit.
    pub reduced_chi_squared: f64,
    /// What else to know.
    pub flags: Vec<GapFlag>,
}

struct Fit {
    urbach_ev: f64,
    u_ev: f64,
    window: (f64, f64),
    tail: f64,
    background: f64,
    reduced: f64,
    noise: f64,
}

impl Fit {
    /// e-foldings from three times the noise of a point to the upper end of the window.
    fn e_folds(&self) -> f64 {
        (self.tail / (3.0 * self.noise)).max(1.0).ln()
    }
}

/// Fits an exponential on a straight background below the lowest edge. Of the windows tried, the one that ends nearest to the
/// edge while an exponential still describes it is taken: it holds most of the tail.
///
/// # Errors
/// [`BandGapError::NoEdge`] without an edge, [`BandGapError::AtRangeEnd`] when too little of the spectrum lies below it,
/// [`BandGapError::NoFit`] when no window determines a tail.
pub fn urbach_tail(absorbance: &Absorbance, settings: &GapSettings) -> Result<UrbachTail, BandGapError> {
    let bins = bins(absorbance, settings)?;
    let found = edges::find(&bins, settings.smallest_edge)?;
    let edge_ev = found[0].energy_ev;
    if bins[0].energy > edge_ev - TOPS_EV[TOPS_EV.len() - 1] - 0.5 * REACH_EV {
        return Err(BandGapError::AtRangeEnd { energy_ev: edge_ev });
    }
    let fits: Vec<Fit> = TOPS_EV.iter().filter_map(|distance| fit(&bins, edge_ev - distance)).collect();
    let good = fits.iter().position(|fit| fit.reduced < GOOD_FIT && fit.e_folds() > FEW_E_FOLDS);
    let least = || (0..fits.len()).min_by(|a, b| fits[*a].reduced.total_cmp(&fits[*b].reduced));
    let Some(chosen) = good.or_else(least) else { return Err(BandGapError::NoFit { energy_ev: edge_ev }) };
    let best = &fits[chosen];
    // The windows beside it that hold nearly as much bound the choice.
    let others = fits.iter().skip(chosen + 1).take(2).map(|other| (other.urbach_ev - best.urbach_ev).abs());
    let spread = others.fold(0.0, f64::max) / 3f64.sqrt();
    let e_folds = best.e_folds();
    let mut flags = Vec::new();
    if e_folds < FEW_E_FOLDS {
        flags.push(GapFlag::ShortTail { e_folds });
    }
    if best.reduced >= GOOD_FIT {
        flags.push(GapFlag::CurvedTail { reduced_chi_squared: best.reduced });
    }
    if best.background > MOST_BACKGROUND * best.tail {
        flags.push(GapFlag::Background { absorbance: best.background });
    }
    if absorbance.is_proxy() {
        flags.push(GapFlag::Proxy);
    }
    Ok(UrbachTail {
        energy_ev: Estimate {
            value: best.urbach_ev,
            u_stat: best.u_ev,
            u_total: best.u_ev.hypot(spread).hypot(FILM_SHARE * best.urbach_ev),
        },
        window_ev: best.window,
        e_folds,
        tail: best.tail,
        background: best.background,
        reduced_chi_squared: best.reduced,
        flags,
    })
}

/// The fit of the window that ends at `top`; nothing when it determines no tail.
fn fit(bins: &[Bin], top: f64) -> Option<Fit> {
    let inside = |bin: &&Bin| bin.energy > top - REACH_EV && bin.energy <= top;
    let used: Vec<Bin> = bins.iter().filter(inside).copied().collect();
    if used.len() < FEWEST {
        return None;
    }
    let y: Vec<f64> = used.iter().map(|bin| bin.value).collect();
    let height = (y[y.len() - 1] - y[0]).abs();
    let t: Vec<f64> = used.iter().map(|bin| bin.energy - top).collect();
    // The model's share grows with the tail itself, whose size is known well enough from its start.
    let u: Vec<f64> =
        used.iter().zip(&t).map(|(bin, t)| bin.u.hypot(MODEL_SHARE * height * (t / START_EV).exp())).collect();
    let weights: Vec<f64> = u.iter().map(|u| 1.0 / (u * u)).collect();
    let solve = |p: &[f64]| -> Option<([f64; 3], Vec<f64>)> {
        let slope = (-p[0]).exp();
        let rows: Vec<[f64; 3]> = t.iter().map(|t| [1.0, *t, (t * slope).exp()]).collect();
        let c = project(&rows, &y, &weights)?;
        let misfit = |i: usize| (y[i] - (0..3).map(|k| c[k] * rows[i][k]).sum::<f64>()) / u[i];
        Some((c, (0..y.len()).map(misfit).collect()))
    };
    let residuals = |p: &[f64]| solve(p).map_or_else(|| vec![f64::NAN; y.len()], |found| found.1);
    let found = minimise(&[START_EV.ln()], &[2e-3], 250.0, EFFORT, residuals).filter(|found| found.converged)?;
    let ([background, _, tail], _) = solve(&found.p)?;
    let reduced = found.chi_squared / (y.len() - 4) as f64;
    let urbach_ev = found.p[0].exp();
    let share = found.covariance[(0, 0)].sqrt() * reduced.max(1.0).sqrt();
    if tail <= 0.0 || !(RANGE_EV.0..RANGE_EV.1).contains(&urbach_ev) || share > LEAST_CERTAIN {
        return None;
    }
    let mut noises: Vec<f64> = used.iter().map(|bin| bin.u).collect();
    noises.sort_by(f64::total_cmp);
    Some(Fit {
        urbach_ev,
        u_ev: urbach_ev * share,
        window: (used[0].energy, top),
        tail,
        background,
        reduced,
        noise: noises[noises.len() / 2],
    })
}

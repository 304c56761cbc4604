//! Every edge of a spectrum, each by three models with their weights.

use super::edges::{self, EdgeFound};
use super::fit::{self, EdgeFit, Ground};
use super::{
    AMBIGUOUS_EV, BandGapError, Bin, GapFlag, GapSettings, MODEL_FLOOR_EV, axis_uncertainty, binding_trend, bins, flags,
};
use crate::absorbance::Absorbance;
use crate::least_squares::{Effort, Projector, linear, minimise_with, project};
use crate::raw::Estimate;

/// More edges than this are fringes or noise.
const MOST_EDGES: usize = 4;
/// Part of the distance to the next edge that a window may span.
const NEIGHBOUR_SHARE: f64 = 0.55;
/// The models describe absorbance to this share of the step; the same figure as for the excitonic fit.
const MODEL_SHARE: f64 = 0.003;
/// Start of the softness of an onset in eV, and its prior as ln: within a factor of two.
const SOFTNESS: (f64, f64) = (-3.7, 0.7);
/// A Bayes factor beyond this many nats is not believed: the models are no truth.
const MOST_NATS: f64 = 12.0;
/// A model of less weight than this is ruled out.
const RULED_OUT: f64 = 0.05;
/// Relative tail of the absorbance around an edge that neighbouring edges and band structure shift it by, in eV, for
/// each eV⁻¹ of nearness.
const NEIGHBOUR_EV: f64 = 0.0006;

/// A way to describe an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeModel {
    /// Direct allowed transition: (αE)² rises linearly.
    Direct,
    /// Indirect allowed transition: (αE)^½ rises linearly.
    Indirect,
    /// Direct transition with excitons (Elliott) and Urbach tail.
    Excitonic,
}

/// One edge.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeModels {
    /// Gap in eV by the model with the largest weight; the spread of the others is part of its total uncertainty as far
    /// as they have weight.
    pub gap_ev: Estimate,
    /// The model with the largest weight.
    pub model: EdgeModel,
    /// Each model that could be fitted: weight (sum 1) and gap in eV with its statistical uncertainty.
    pub models: Vec<(EdgeModel, f64, f64, f64)>,
    /// Urbach energy in eV from the excitonic fit.
    pub urbach_ev: Option<Estimate>,
    /// Step in absorbance.
    pub step: f64,
    /// Probability that there is an edge rather than a smooth background.
    pub probability: f64,
}

impl EdgeModels {
    /// Largest difference in eV between the gap that is stated and that of a model which is not ruled out.
    fn spread_ev(&self) -> f64 {
        let likely = self.models.iter().filter(|(_, weight, ..)| *weight > RULED_OUT);
        likely.map(|(_, _, gap, _)| (gap - self.gap_ev.value).abs()).fold(0.0, f64::max)
    }
}

/// Every edge of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct SeveralEdges {
    /// Edges by rising energy.
    pub edges: Vec<EdgeModels>,
    /// Probability of 0, 1, 2 … edges.
    pub count: Vec<f64>,
    /// What else to know.
    pub flags: Vec<GapFlag>,
}

/// Finds every edge and weighs a direct, an indirect and an excitonic model for each by their evidence (Schwarz's
/// approximation, with over-dispersion).
///
/// # Errors
/// As [`super::band_gap`].
pub fn several_edges(absorbance: &Absorbance, settings: &GapSettings) -> Result<SeveralEdges, BandGapError> {
    let bins = bins(absorbance, settings)?;
    let mut found = edges::find(&bins, settings.smallest_edge)?;
    if found.len() > MOST_EDGES {
        found.sort_by(|a, b| b.step.total_cmp(&a.step));
        found.truncate(MOST_EDGES);
        found.sort_by(|a, b| a.energy_ev.total_cmp(&b.energy_ev));
    }
    let mut edges = Vec::new();
    let mut failure = None;
    for index in 0..found.len() {
        match one(&bins, &found, index, absorbance.wavelength_u_nm(), settings) {
            Ok(edge) => edges.push(edge),
            Err(error) => failure = Some(error),
        }
    }
    let main = super::tallest(&found);
    if let (true, Some(error)) = (edges.is_empty(), failure) {
        return Err(error);
    }
    let mut count = vec![1.0];
    for edge in &edges {
        let mut next = vec![0.0; count.len() + 1];
        for (k, p) in count.iter().enumerate() {
            next[k] += p * (1.0 - edge.probability);
            next[k + 1] += p * edge.probability;
        }
        count = next;
    }
    let mut flags = flags(absorbance, &bins, &found, main, main.step);
    let spread_ev = edges.iter().map(EdgeModels::spread_ev).fold(0.0, f64::max);
    if spread_ev > AMBIGUOUS_EV {
        flags.push(GapFlag::Ambiguous { spread_ev });
    }
    Ok(SeveralEdges { edges, count, flags })
}

/// Windows below and above an edge that end before its neighbours begin.
fn window(found: &[EdgeFound], index: usize, full: (f64, f64)) -> (f64, f64) {
    let here = found[index].energy_ev;
    let below = index.checked_sub(1).map_or(f64::INFINITY, |i| here - found[i].energy_ev);
    let above = found.get(index + 1).map_or(f64::INFINITY, |next| next.energy_ev - here);
    (full.0.min(NEIGHBOUR_SHARE * below), full.1.min(NEIGHBOUR_SHARE * above))
}

fn one(
    bins: &[Bin],
    found: &[EdgeFound],
    index: usize,
    wavelength_u_nm: f64,
    settings: &GapSettings,
) -> Result<EdgeModels, BandGapError> {
    let edge = &found[index];
    let binding = settings.binding_ev.unwrap_or_else(|| binding_trend(edge.energy_ev));
    let wide = window(found, index, fit::WIDE);
    // A phase with a smaller gap lies below as its higher transitions set in.
    let ground = if index > 0 { Ground::Bent } else { Ground::Straight };
    let excitonic = fit::fit(bins, edge.energy_ev, binding, wide, ground, None)
        .or_else(|_| fit::fit(bins, edge.energy_ev, binding, wide, Ground::Straight, None));
    let start = excitonic.as_ref().ok().map(|fit| fit.p);
    let narrow = fit::fit(bins, edge.energy_ev, binding, window(found, index, fit::NARROW), ground, start).ok();
    let local = Local::new(bins, edge.energy_ev, wide).ok_or(BandGapError::AtRangeEnd { energy_ev: edge.energy_ev })?;
    // A model that is ruled out by what another one reaches need not be followed to its minimum.
    let hopeless = excitonic.as_ref().map_or(f64::INFINITY, |fit| {
        let (freedom, kappa) = (local.y.len() as f64 - 5.0, fit.reduced_chi_squared.max(1.0));
        fit.reduced_chi_squared * freedom + 3.0 * MOST_NATS * kappa
    });
    let direct = local.onset(0.5, hopeless);
    let indirect = local.onset(2.0, hopeless);
    // χ² and number of parameters; the priors of the excitonic fit leave it about one more than an onset has.
    let mut candidates: Vec<(EdgeModel, f64, f64, f64, f64)> = Vec::new();
    if let Ok(fit) = &excitonic {
        candidates.push((
            EdgeModel::Excitonic,
            fit.reduced_chi_squared * (local.y.len() as f64 - 5.0),
            6.0,
            fit.gap_ev,
            fit.u_gap_ev,
        ));
    }
    for (model, onset) in [(EdgeModel::Direct, &direct), (EdgeModel::Indirect, &indirect)] {
        if let Some(onset) = onset {
            candidates.push((model, onset.chi_squared, 5.0, onset.gap_ev, onset.u_gap_ev));
        }
    }
    let n = local.y.len() as f64;
    let least = candidates.iter().map(|c| c.1).fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return Err(excitonic.err().unwrap_or(BandGapError::NoFit { energy_ev: edge.energy_ev }));
    }
    let kappa = (least / (n - 6.0)).max(1.0);
    let ln_evidence = |chi_squared: f64, parameters: f64| -0.5 * chi_squared / kappa - 0.5 * parameters * n.ln();
    let scores: Vec<f64> = candidates.iter().map(|c| ln_evidence(c.1, c.2)).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let tempered: Vec<f64> = scores.iter().map(|score| (score - top).max(-MOST_NATS).exp()).collect();
    let total: f64 = tempered.iter().sum();
    let models: Vec<(EdgeModel, f64, f64, f64)> =
        candidates.iter().zip(&tempered).map(|(c, weight)| (c.0, weight / total, c.3, c.4)).collect();
    let best = models.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).expect("at least one model was fitted");
    let spread: f64 = models.iter().map(|(_, weight, gap, _)| weight * (gap - best.2).powi(2)).sum();
    // The same edge by other acceptable routes, as for the main gap.
    let routes = if best.0 == EdgeModel::Excitonic {
        let others = narrow.iter().map(|fit| fit.gap_ev).chain([edge.energy_ev]);
        others.map(|other| (other - best.2).abs()).fold(0.0, f64::max) / 3f64.sqrt()
    } else {
        0.0
    };
    let nearness: f64 = found
        .iter()
        .filter(|other| *other != edge)
        .map(|other| NEIGHBOUR_EV / (other.energy_ev - edge.energy_ev).abs())
        .fold(0.0, f64::max);
    let u_total = [best.3, routes, spread.sqrt(), nearness, MODEL_FLOOR_EV, axis_uncertainty(best.2, wavelength_u_nm)]
        .iter()
        .fold(0.0f64, |sum, part| sum.hypot(*part));
    let without = ln_evidence(local.smooth().unwrap_or(f64::INFINITY), 4.0);
    let nats = (top - without).clamp(-MOST_NATS, MOST_NATS);
    Ok(EdgeModels {
        gap_ev: Estimate { value: best.2, u_stat: best.3, u_total },
        model: best.0,
        models,
        urbach_ev: excitonic.as_ref().ok().map(urbach),
        step: excitonic.as_ref().map_or(edge.step, |fit| fit.step),
        probability: 1.0 / (1.0 + (-nats).exp()),
    })
}

fn urbach(fit: &EdgeFit) -> Estimate {
    let u_total = fit.u_urbach_ev.hypot(0.15 * fit.urbach_ev);
    Estimate { value: fit.urbach_ev, u_stat: fit.u_urbach_ev, u_total }
}

/// The data around one edge.
struct Local {
    at: f64,
    energy: Vec<f64>,
    y: Vec<f64>,
    u: Vec<f64>,
}

struct Onset {
    gap_ev: f64,
    u_gap_ev: f64,
    chi_squared: f64,
}

impl Local {
    fn new(bins: &[Bin], at: f64, window: (f64, f64)) -> Option<Self> {
        let used: Vec<&Bin> =
            bins.iter().filter(|bin| bin.energy > at - window.0 && bin.energy < at + window.1).collect();
        if used.len() < 20 {
            return None;
        }
        let y: Vec<f64> = used.iter().map(|bin| bin.value).collect();
        let range =
            y.iter().copied().fold(f64::NEG_INFINITY, f64::max) - y.iter().copied().fold(f64::INFINITY, f64::min);
        let u = used.iter().map(|bin| bin.u.hypot(MODEL_SHARE * range)).collect();
        Some(Self { at, energy: used.iter().map(|bin| bin.energy).collect(), y, u })
    }

    fn weights(&self) -> Vec<f64> {
        self.u.iter().map(|u| 1.0 / (u * u)).collect()
    }

    /// An onset αE ∝ (E - Eg)^power with power ½ or 2, rounded over a softness w: w ln(1 + e^((E - Eg)/w)) in place of E - Eg.
    fn onset(&self, power: f64, hopeless: f64) -> Option<Onset> {
        let weights = self.weights();
        // Soft rise and its derivative by (E - Eg)/w, the logistic function.
        let soften = |energy: f64, p: &[f64], softness: f64| {
            let t = (energy - p[0]) / softness;
            let soft = if t > 30.0 { t } else { t.exp().ln_1p() };
            (t, softness * soft, -(-soft).exp_m1())
        };
        let raise = |rise: f64| if power < 1.0 { rise.max(1e-12).sqrt() } else { rise * rise };
        let rows = |p: &[f64]| -> Vec<[f64; 3]> {
            let softness = p[1].exp();
            let row = |energy: &f64| [1.0, energy - self.at, raise(soften(*energy, p, softness).1) / energy];
            self.energy.iter().map(row).collect()
        };
        let misfit = |p: &[f64]| -> Option<(Vec<f64>, f64)> {
            let rows = rows(p);
            let c = project(&rows, &self.y, &weights)?;
            let residual = |i: usize| (self.y[i] - (0..3).map(|k| c[k] * rows[i][k]).sum::<f64>()) / self.u[i];
            Some(((0..self.y.len()).map(residual).collect(), c[2]))
        };
        let residuals = |p: &[f64]| {
            let mut all = misfit(p).map_or_else(|| vec![f64::NAN; self.y.len()], |found| found.0);
            all.push((p[1] - SOFTNESS.0) / SOFTNESS.1);
            all
        };
        // Of the derivative of a fit whose linear part is always solved only what lies outside the span of its functions
        // counts (Kaufman, BIT 15, 49, 1975).
        let slopes = |p: &[f64], _: &[f64]| -> Option<Vec<Vec<f64>>> {
            let rows = rows(p);
            let projector = Projector::new(&rows, &weights)?;
            let c = projector.coefficients(&self.y);
            let softness = p[1].exp();
            let (mut by_gap, mut by_softness) = (Vec::new(), Vec::new());
            for energy in &self.energy {
                let (t, rise, logistic) = soften(*energy, p, softness);
                let slope = c[2] / energy * if power < 1.0 { 0.5 / rise.max(1e-12).sqrt() } else { 2.0 * rise };
                by_gap.push(-slope * logistic);
                by_softness.push(slope * (rise - softness * t * logistic));
            }
            let column = |values: &[f64], prior: f64| -> Vec<f64> {
                let mut column = projector.beyond(values);
                column.iter_mut().zip(&self.u).for_each(|(value, u)| *value /= -u);
                column.push(prior);
                column
            };
            Some(vec![column(&by_gap, 0.0), column(&by_softness, 1.0 / SOFTNESS.1)])
        };
        let effort = Effort { hopeless, ..Effort::new(10, 1e-3) };
        let start = if power < 1.0 { self.at - 0.01 } else { self.at - 0.05 };
        let found = minimise_with(&[start, SOFTNESS.0], &[2e-4, 5e-3], 100.0, effort, &residuals, slopes)?;
        let (_, rise) = misfit(&found.p)?;
        let inside = found.p[0] > self.energy[0] - 0.2 && found.p[0] < self.energy[self.energy.len() - 1];
        if rise <= 0.0 || !inside || !found.converged {
            return None;
        }
        let inflation = (found.chi_squared / (self.y.len() as f64 - 5.0)).max(1.0).sqrt();
        let u_gap_ev = found.covariance[(0, 0)].sqrt() * inflation;
        Some(Onset { gap_ev: found.p[0], u_gap_ev, chi_squared: found.chi_squared })
    }

    /// χ² of a cubic: what the window looks like without an edge.
    fn smooth(&self) -> Option<f64> {
        let weights = self.weights();
        let t: Vec<f64> = self.energy.iter().map(|energy| (energy - self.at) / 0.1).collect();
        let columns: Vec<Vec<f64>> = (0..4).map(|power| t.iter().map(|t| t.powi(power)).collect()).collect();
        let (c, _) = linear(&columns, &self.y, &weights)?;
        Some(
            (0..t.len())
                .map(|i| weights[i] * (self.y[i] - (0..4).map(|k| c[k] * columns[k][i]).sum::<f64>()).powi(2))
                .sum(),
        )
    }
}

//! The parameters of a fit, and the pattern and Jacobian they give.

use std::ops::Range;

use super::columns::Places;
use super::crystal::{Crystal, CrystalState, MOST_CELL_PARAMETERS};
use super::lines::Frames;
use super::{Candidate, Prior, Settings};
use crate::kernel::Window;
use crate::pattern::Pattern;

/// A parameter may leave the mean of its prior by this many standard deviations and no further.
pub(super) const LIMIT_SIGMAS: f64 = 5.0;
/// ln of the Lorentzian size width X of a phase in degrees: from none that shows to nanocrystals.
const SIZE_PRIOR: Prior = Prior::new(-3.5, 1.2);
/// ln of the Lorentzian strain width Y of a phase in degrees. The spectrum of copper alone gives 0.033.
const STRAIN_PRIOR: Prior = Prior::new(-3.0, 0.8);
/// B in Å² of a site for which none is stated.
const UNSTATED_B: Prior = Prior::new(0.6, 0.5);
/// ln of the March coefficient.
const MARCH_PRIOR: Prior = Prior::new(0.0, 0.35);
/// Lines whose centre lies this far outside the range still reach into it with their tails.
const MARGIN_DEG: f64 = 1.5;
/// Half a count keeps empty regions from dominating the sum.
const LEAST_VARIANCE: f64 = 0.5;

/// Which quantity a nonlinear parameter is; phases are numbered as the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zero,
    Displacement,
    Alpha,
    Beta,
    Gamma,
    Ratio,
    Axial,
    Cell(usize, usize),
    Size(usize),
    Strain(usize),
    March(usize),
    B(usize, usize),
}

impl Kind {
    /// For a parameter that is the logarithm of a width: the power of the width in which the pattern is linear when the
    /// width is small. Zero for every other.
    pub(super) fn exponent(self) -> f64 {
        match self {
            Kind::Size(_) | Kind::Strain(_) => 1.0,
            Kind::Gamma | Kind::Axial => 2.0,
            _ => 0.0,
        }
    }
}

/// A nonlinear parameter with its prior.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) kind: Kind,
    pub(super) prior: Prior,
}

/// A pattern, the phases that may be in it, and the parameters that shape them.
pub(super) struct Model<'a> {
    pub(super) x: &'a [f64],
    pub(super) y: &'a [f64],
    pub(super) sigma: Option<&'a [f64]>,
    pub(super) candidates: &'a [Candidate],
    pub(super) crystals: Vec<Crystal>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) background: Vec<Vec<f64>>,
    pub(super) settings: &'a Settings,
    pub(super) step: f64,
}

impl<'a> Model<'a> {
    pub(super) fn new(
        pattern: &'a Pattern,
        range: Range<usize>,
        candidates: &'a [Candidate],
        settings: &'a Settings,
    ) -> Self {
        let x = &pattern.two_theta()[range.clone()];
        let (first, last) = (x[0], x[x.len() - 1]);
        let lines = &settings.instrument.radiation.lines;
        let shortest = lines.iter().map(|line| line.wavelength_a).fold(f64::INFINITY, f64::min);
        let longest = lines.iter().map(|line| line.wavelength_a).fold(0.0, f64::max);
        let spacing = |two_theta: f64, wavelength: f64| wavelength / (2.0 * (two_theta / 2.0).to_radians().sin());
        let d_min = spacing((last + MARGIN_DEG).min(178.0), shortest);
        let d_max = spacing((first - MARGIN_DEG).max(0.5), longest);
        let crystals: Vec<Crystal> = candidates
            .iter()
            .map(|candidate| Crystal::new(candidate, settings.instrument.radiation.tube, d_min, d_max))
            .collect();
        let parameters = parameters(candidates, &crystals, settings);
        Self {
            x,
            y: &pattern.intensity()[range.clone()],
            sigma: (!pattern.are_counts()).then(|| &pattern.sigma()[range]),
            candidates,
            crystals,
            parameters,
            background: background_columns(x, settings.background_terms),
            settings,
            step: (last - first) / (x.len() - 1) as f64,
        }
    }

    /// Number of linear parameters: scales, then background.
    pub(super) fn linear_count(&self) -> usize {
        self.crystals.len() + self.background.len()
    }

    /// Means of the priors: where the fit starts.
    pub(super) fn start(&self) -> Vec<f64> {
        self.parameters.iter().map(|parameter| parameter.prior.mean).collect()
    }

    /// The value of a parameter at `p`; nothing when it is held or absent.
    pub(super) fn value(&self, p: &[f64], kind: Kind) -> Option<f64> {
        self.place_of(kind).map(|index| p[index])
    }

    pub(super) fn place_of(&self, kind: Kind) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.kind == kind)
    }

    /// The state of one phase at `p`.
    pub(super) fn crystal_state(&self, phase: usize, p: &[f64]) -> CrystalState {
        let crystal = &self.crystals[phase];
        let mut cell = [0.0; MOST_CELL_PARAMETERS];
        for (index, target) in cell.iter_mut().enumerate().take(crystal.cell_basis.len()) {
            *target = self.value(p, Kind::Cell(phase, index)).unwrap_or(0.0);
        }
        let b = (0..crystal.site_count()).map(|site| self.value(p, Kind::B(phase, site)).unwrap_or(0.0)).collect();
        CrystalState { cell, b, march: self.value(p, Kind::March(phase)).map_or(1.0, f64::exp) }
    }

    /// The unit pattern of every phase; nothing at a state that closes no cell.
    pub(super) fn values(&self, p: &[f64], frames: &Frames) -> Option<Vec<Vec<f64>>> {
        let shape = self.shape(p);
        let (mut window, mut by_b) = (Window::default(), Vec::new());
        let one = |phase: usize| {
            let planes = self.crystals[phase].evaluate(&self.crystal_state(phase, p), &mut by_b)?;
            let mut column = vec![0.0; self.x.len()];
            for line in self.lines(phase, &planes, &shape, p, &frames[phase]) {
                let x = &self.x[line.points.clone()];
                window.fill_value(x, &line.core, line.place, &line.mixture, &line.smearing);
                add(&mut column[line.points.clone()], line.factor * planes[line.plane].strength, &window.value);
            }
            Some(column)
        };
        (0..self.crystals.len()).map(one).collect()
    }

    /// Derivatives of the pattern by every nonlinear parameter at the given scales, one column each.
    pub(super) fn jacobian(&self, p: &[f64], scales: &[f64], frames: &Frames) -> Option<Vec<Vec<f64>>> {
        let mut columns = vec![vec![0.0; self.x.len()]; self.parameters.len()];
        let shape = self.shape(p);
        let (mut window, mut by_b, mut mixed) = (Window::default(), Vec::new(), Vec::new());
        for (phase, &scale) in scales.iter().enumerate().take(self.crystals.len()) {
            if scale == 0.0 {
                continue;
            }
            let planes = self.crystals[phase].evaluate(&self.crystal_state(phase, p), &mut by_b)?;
            let places = Places::new(self, phase);
            for line in self.lines(phase, &planes, &shape, p, &frames[phase]) {
                let x = &self.x[line.points.clone()];
                window.fill(x, &line.core, line.place, &line.mixture, &line.smearing, places.axial.is_some());
                let plane = &planes[line.plane];
                let line_scale = scale * line.factor;
                let sites = self.crystals[phase].site_count();
                let by_b = &by_b[line.plane * sites..(line.plane + 1) * sites];
                places.add_intensity(&mut columns, &line, line_scale, plane, by_b, &window);
                places.add_profile(&mut columns, &line, &shape, line_scale * plane.strength, &window, self);
                places.add_cell(&mut columns, &line, scale, plane, &window, &mut mixed);
            }
        }
        Some(columns)
    }

    /// The calculated pattern: phases and background times their linear parameters.
    pub(super) fn calculated(&self, values: &[Vec<f64>], linear: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.x.len()];
        for (column, &factor) in values.iter().chain(&self.background).zip(linear) {
            if factor != 0.0 {
                add(&mut sum, factor, column);
            }
        }
        sum
    }

    /// Weights 1/variance: from the file where it states uncertainties, else from the model. Weighting counts by
    /// themselves would bias every area low by about one count a point.
    pub(super) fn weights(&self, calculated: &[f64]) -> Vec<f64> {
        match self.sigma {
            Some(sigma) => sigma.iter().map(|sigma| 1.0 / (sigma * sigma)).collect(),
            None => calculated.iter().map(|value| 1.0 / value.max(LEAST_VARIANCE)).collect(),
        }
    }

    /// Starting weights, from the data smoothed over a few points.
    pub(super) fn first_weights(&self) -> Vec<f64> {
        let half = 3;
        let smooth = |index: usize| {
            let window = &self.y[index.saturating_sub(half)..(index + half + 1).min(self.y.len())];
            window.iter().sum::<f64>() / window.len() as f64
        };
        self.weights(&(0..self.y.len()).map(smooth).collect::<Vec<_>>())
    }

    /// Twice the negative log likelihood up to a constant: the Poisson deviance of counts, χ² otherwise.
    pub(super) fn deviance(&self, calculated: &[f64]) -> f64 {
        match self.sigma {
            Some(sigma) => {
                self.y.iter().zip(calculated).zip(sigma).map(|((y, f), s)| ((y - f) / s).powi(2)).sum::<f64>()
            }
            None => {
                let term = |(&y, &f): (&f64, &f64)| {
                    let f = f.max(LEAST_VARIANCE);
                    f - y + if y > 0.0 { y * (y / f).ln() } else { 0.0 }
                };
                2.0 * self.y.iter().zip(calculated).map(term).sum::<f64>()
            }
        }
    }

    /// Penalty of the priors at `p`.
    pub(super) fn penalty(&self, p: &[f64]) -> f64 {
        let term =
            |(parameter, value): (&Parameter, &f64)| ((value - parameter.prior.mean) / parameter.prior.sigma).powi(2);
        self.parameters.iter().zip(p).map(term).sum()
    }
}

pub(super) fn add(target: &mut [f64], factor: f64, source: &[f64]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += factor * source;
    }
}

fn parameters(candidates: &[Candidate], crystals: &[Crystal], settings: &Settings) -> Vec<Parameter> {
    let instrument = &settings.instrument;
    let mut list = vec![
        (Kind::Zero, instrument.zero_deg),
        (Kind::Displacement, settings.displacement_mm),
        (Kind::Alpha, instrument.ln_alpha),
        (Kind::Beta, instrument.beta),
        (Kind::Gamma, instrument.ln_gamma),
    ];
    if instrument.radiation.lines.iter().any(|line| line.second) {
        list.push((Kind::Ratio, instrument.ln_ratio));
    }
    list.extend(instrument.ln_axial.map(|prior| (Kind::Axial, prior)));
    for (phase, (candidate, crystal)) in candidates.iter().zip(crystals).enumerate() {
        for index in 0..crystal.cell_basis.len() {
            list.push((Kind::Cell(phase, index), Prior::new(0.0, candidate.cell_sigma)));
        }
        list.push((Kind::Size(phase), SIZE_PRIOR));
        list.push((Kind::Strain(phase), STRAIN_PRIOR));
        if candidate.texture_axis.is_some() {
            list.push((Kind::March(phase), MARCH_PRIOR));
        }
        for site in 0..crystal.site_count() {
            let prior = if candidate.b_sigma == 0.0 || crystal.site_is_stated(site, &candidate.phase) {
                Prior::new(0.0, candidate.b_sigma)
            } else {
                UNSTATED_B
            };
            list.push((Kind::B(phase, site), prior));
        }
    }
    // What is held is no parameter.
    list.into_iter().filter(|(_, prior)| prior.sigma > 0.0).map(|(kind, prior)| Parameter { kind, prior }).collect()
}

/// Chebyshev polynomials over the range and a term in 1/2θ for scatter by air.
fn background_columns(x: &[f64], terms: usize) -> Vec<Vec<f64>> {
    let (first, last) = (x[0], x[x.len() - 1]);
    let map = |angle: f64| (2.0 * (angle - first) / (last - first) - 1.0).clamp(-1.0, 1.0);
    let terms = terms.min(x.len() / 20).max(1);
    let mut columns: Vec<Vec<f64>> = vec![vec![1.0; x.len()]];
    if terms > 1 {
        columns.push(x.iter().map(|&angle| map(angle)).collect());
    }
    for order in 2..terms {
        let next = (0..x.len()).map(|i| 2.0 * map(x[i]) * columns[order - 1][i] - columns[order - 2][i]).collect();
        columns.push(next);
    }
    if first > 0.0 {
        columns.push(x.iter().map(|&angle| first / angle).collect());
    }
    columns
}

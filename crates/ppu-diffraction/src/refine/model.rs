//! The parameters of a fit, and the pattern and Jacobian they give.

use std::ops::Range;

use super::crystal::{Crystal, CrystalState, MOST_CELL_PARAMETERS, PlaneState};
use super::kernel::{Mixture, Smearing, Window};
use super::settings::EPSILON_DEG;
use super::{Candidate, Prior, Settings};
use crate::pattern::Pattern;

/// A parameter may leave the mean of its prior by this many standard deviations and no further.
pub(super) const LIMIT_SIGMAS: f64 = 5.0;
/// ln of the Lorentzian size width X of a phase in degrees: from none that shows to nanocrystals.
const SIZE_PRIOR: Prior = Prior::new(-3.5, 1.2);
/// ln of the Lorentzian strain width Y of a phase in degrees, the tube's spectrum not included.
const STRAIN_PRIOR: Prior = Prior::new(-3.2, 1.2);
/// B in Å² of a site for which none is stated.
const UNSTATED_B: Prior = Prior::new(0.6, 0.5);
/// ln of the March coefficient.
const MARCH_PRIOR: Prior = Prior::new(0.0, 0.35);
/// Strong lines are followed to this many full widths; at 25 a Lorentzian has lost 1.3 % of its area.
const WINDOW_WIDTHS: f64 = 25.0;
/// Weak ones to no less than this.
const SHORTEST_WINDOW: f64 = 8.0;
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
    step: f64,
}

/// The instrument at a state.
struct Shape {
    zero: f64,
    /// Shift in degrees for cosθ = 1.
    displacement: f64,
    alpha: f64,
    beta: f64,
    gamma: f64,
    ratio: f64,
    axial: f64,
}

/// One line of a plane.
struct Line {
    plane: usize,
    second: bool,
    sin: f64,
    cos: f64,
    place: f64,
    place_by_theta: f64,
    gaussian: f64,
    size: f64,
    strain: f64,
    gaussian_by_theta: f64,
    lorentzian_by_theta: f64,
    mixture: Mixture,
    smearing: Smearing,
    /// LP · weight: intensity over strength of the plane, and its derivative by θ.
    factor: f64,
    factor_by_theta: f64,
    points: Range<usize>,
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

    fn shape(&self, p: &[f64]) -> Shape {
        let instrument = &self.settings.instrument;
        let value = |kind: Kind, prior: &Prior| self.value(p, kind).unwrap_or(prior.mean);
        let displacement = value(Kind::Displacement, &self.settings.displacement_mm);
        Shape {
            zero: value(Kind::Zero, &instrument.zero_deg),
            displacement: -2.0 * displacement / instrument.radius_mm * 1_f64.to_degrees(),
            alpha: value(Kind::Alpha, &instrument.ln_alpha).exp(),
            beta: value(Kind::Beta, &instrument.beta),
            gamma: value(Kind::Gamma, &instrument.ln_gamma).exp(),
            ratio: value(Kind::Ratio, &instrument.ln_ratio).exp(),
            axial: instrument.ln_axial.as_ref().map_or(0.0, |prior| value(Kind::Axial, prior).exp()),
        }
    }

    /// Every line of one phase that reaches into the range.
    fn lines(&self, phase: usize, planes: &[PlaneState], shape: &Shape, p: &[f64]) -> Vec<Line> {
        let instrument = &self.settings.instrument;
        let k = instrument.polarisation_k;
        let size = self.value(p, Kind::Size(phase)).map_or(0.0, f64::exp);
        let strain = self.value(p, Kind::Strain(phase)).map_or(0.0, f64::exp);
        let strongest = planes.iter().map(|plane| plane.strength).fold(0.0, f64::max);
        let mut lines = Vec::with_capacity(planes.len() * instrument.radiation.lines.len());
        for (index, plane) in planes.iter().enumerate() {
            let nominal = self.crystals[phase].planes[index].q;
            for emission in &instrument.radiation.lines {
                let sin = 0.5 * emission.wavelength_a * plane.q.sqrt();
                if !(1e-4..0.9999).contains(&sin) {
                    continue;
                }
                let cos = (1.0 - sin * sin).sqrt();
                let (theta, tan) = (sin.asin(), sin / cos);
                let slanted = shape.alpha + shape.beta * tan;
                let gaussian = (slanted * slanted + (shape.gamma * tan).powi(2) + EPSILON_DEG * EPSILON_DEG).sqrt();
                // The spectrum's own width and the strain of the phase both grow with tanθ.
                let spectral = (2.0 * emission.relative_width).to_degrees() + strain;
                let mixture = Mixture::new(gaussian, size / cos + spectral * tan);
                // The kernel belongs to the nominal cell, so that it does not enter the derivative by the cell.
                let two_theta = 2.0 * (0.5 * emission.wavelength_a * nominal.sqrt()).min(0.9999).asin();
                let smearing = if shape.axial > 0.0 {
                    Smearing::new(two_theta, shape.axial, mixture.width, self.step)
                } else {
                    Smearing::NONE
                };
                let place = 2.0 * theta.to_degrees() + shape.zero + shape.displacement * cos;
                let widths =
                    (WINDOW_WIDTHS * (30.0 * plane.strength / strongest).sqrt()).clamp(SHORTEST_WINDOW, WINDOW_WIDTHS);
                let reach = smearing.reach(&mixture, widths);
                let from = self.x.partition_point(|&x| x < place - reach);
                let to = self.x.partition_point(|&x| x <= place + reach);
                if from >= to {
                    continue;
                }
                let (c, s) = (1.0 - 2.0 * sin * sin, 2.0 * sin * cos);
                let polarised = 1.0 + k * c * c;
                let weight = emission.share * if emission.second { shape.ratio } else { 1.0 };
                let factor = weight * polarised / ((1.0 + k) * sin * sin * cos);
                let factor_by_theta = factor * (-4.0 * k * c * s / polarised - 2.0 * cos / sin + tan);
                let secant2 = 1.0 / (cos * cos);
                lines.push(Line {
                    plane: index,
                    second: emission.second,
                    sin,
                    cos,
                    place,
                    place_by_theta: 2_f64.to_degrees() - shape.displacement * sin,
                    gaussian,
                    size: size / cos,
                    strain: strain * tan,
                    gaussian_by_theta: (slanted * shape.beta + shape.gamma * shape.gamma * tan) * secant2 / gaussian,
                    lorentzian_by_theta: size * sin * secant2 + spectral * secant2,
                    mixture,
                    smearing,
                    factor,
                    factor_by_theta,
                    points: from..to,
                });
            }
        }
        lines
    }

    /// The unit pattern of every phase; nothing at a state that closes no cell.
    pub(super) fn values(&self, p: &[f64]) -> Option<Vec<Vec<f64>>> {
        let shape = self.shape(p);
        let (mut window, mut by_b) = (Window::default(), Vec::new());
        let one = |phase: usize| {
            let planes = self.crystals[phase].evaluate(&self.crystal_state(phase, p), &mut by_b)?;
            let mut column = vec![0.0; self.x.len()];
            for line in self.lines(phase, &planes, &shape, p) {
                let x = &self.x[line.points.clone()];
                window.fill_value(x, line.place, &line.mixture, &line.smearing);
                add(&mut column[line.points.clone()], line.factor * planes[line.plane].strength, &window.value);
            }
            Some(column)
        };
        (0..self.crystals.len()).map(one).collect()
    }

    /// Derivatives of the pattern by every nonlinear parameter at the given scales, one column each.
    pub(super) fn jacobian(&self, p: &[f64], scales: &[f64]) -> Option<Vec<Vec<f64>>> {
        let mut columns = vec![vec![0.0; self.x.len()]; self.parameters.len()];
        let shape = self.shape(p);
        let (mut window, mut by_b, mut mixed) = (Window::default(), Vec::new(), Vec::new());
        for (phase, &scale) in scales.iter().enumerate().take(self.crystals.len()) {
            if scale == 0.0 {
                continue;
            }
            let planes = self.crystals[phase].evaluate(&self.crystal_state(phase, p), &mut by_b)?;
            let places = Places::new(self, phase);
            for line in self.lines(phase, &planes, &shape, p) {
                let x = &self.x[line.points.clone()];
                window.fill(x, line.place, &line.mixture, &line.smearing, places.axial.is_some());
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

/// Where the parameters of one phase stand in the list.
struct Places {
    zero: Option<usize>,
    displacement: Option<usize>,
    alpha: Option<usize>,
    beta: Option<usize>,
    gamma: Option<usize>,
    ratio: Option<usize>,
    axial: Option<usize>,
    size: Option<usize>,
    strain: Option<usize>,
    march: Option<usize>,
    cell: Vec<(usize, usize)>,
    b: Vec<(usize, usize)>,
}

impl Places {
    fn new(model: &Model<'_>, phase: usize) -> Self {
        let of = |kind: Kind| model.place_of(kind);
        let crystal = &model.crystals[phase];
        Self {
            zero: of(Kind::Zero),
            displacement: of(Kind::Displacement),
            alpha: of(Kind::Alpha),
            beta: of(Kind::Beta),
            gamma: of(Kind::Gamma),
            ratio: of(Kind::Ratio),
            axial: of(Kind::Axial),
            size: of(Kind::Size(phase)),
            strain: of(Kind::Strain(phase)),
            march: of(Kind::March(phase)),
            cell: (0..crystal.cell_basis.len()).filter_map(|i| Some((i, of(Kind::Cell(phase, i))?))).collect(),
            b: (0..crystal.site_count()).filter_map(|i| Some((i, of(Kind::B(phase, i))?))).collect(),
        }
    }

    /// Parameters that change the height of a line alone.
    fn add_intensity(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        scale: f64,
        plane: &PlaneState,
        by_b: &[f64],
        window: &Window,
    ) {
        let mut put = |place: usize, factor: f64| add(&mut columns[place][line.points.clone()], factor, &window.value);
        for &(site, place) in &self.b {
            put(place, scale * by_b[site]);
        }
        if let Some(place) = self.march {
            put(place, scale * plane.strength_by_ln_march);
        }
        if let (Some(place), true) = (self.ratio, line.second) {
            put(place, scale * plane.strength);
        }
    }

    /// Parameters that change its place and shape alone.
    fn add_profile(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        shape: &Shape,
        intensity: f64,
        window: &Window,
        model: &Model<'_>,
    ) {
        let tan = line.sin / line.cos;
        let slanted = (shape.alpha + shape.beta * tan) / line.gaussian;
        let shift = -2.0 / model.settings.instrument.radius_mm * 1_f64.to_degrees() * line.cos;
        let mut put = |place: Option<usize>, factor: f64, basis: &[f64]| {
            if let Some(place) = place {
                add(&mut columns[place][line.points.clone()], factor * intensity, basis);
            }
        };
        put(self.zero, 1.0, &window.by_place);
        put(self.displacement, shift, &window.by_place);
        put(self.alpha, shape.alpha * slanted, &window.by_gaussian);
        put(self.beta, tan * slanted, &window.by_gaussian);
        put(self.gamma, (shape.gamma * tan).powi(2) / line.gaussian, &window.by_gaussian);
        put(self.size, line.size, &window.by_lorentzian);
        put(self.strain, line.strain, &window.by_lorentzian);
        put(self.axial, shape.axial, &window.by_axial);
    }

    /// The cell changes everything: place, widths, and through sinθ/λ the height.
    fn add_cell(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        scale: f64,
        plane: &PlaneState,
        window: &Window,
        mixed: &mut Vec<f64>,
    ) {
        if self.cell.is_empty() {
            return;
        }
        let theta_by_q = line.sin / line.cos / (2.0 * plane.q);
        let intensity = scale * line.factor * plane.strength * theta_by_q;
        let height = scale * (line.factor * plane.strength_by_q + line.factor_by_theta * plane.strength * theta_by_q);
        let (place, gaussian, lorentzian) =
            (intensity * line.place_by_theta, intensity * line.gaussian_by_theta, intensity * line.lorentzian_by_theta);
        mixed.clear();
        mixed.extend(
            window.value.iter().zip(&window.by_place).zip(&window.by_gaussian).zip(&window.by_lorentzian).map(
                |(((value, by_place), by_gaussian), by_lorentzian)| {
                    height * value + place * by_place + gaussian * by_gaussian + lorentzian * by_lorentzian
                },
            ),
        );
        for &(index, target) in &self.cell {
            add(&mut columns[target][line.points.clone()], plane.q_by_cell[index], mixed);
        }
    }
}

fn add(target: &mut [f64], factor: f64, source: &[f64]) {
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

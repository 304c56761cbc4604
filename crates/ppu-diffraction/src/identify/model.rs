//! The calculated pattern of a set of phases and its derivatives.

use super::data::Data;
use super::sticks::{Candidate, StickLibrary};
use crate::kernel::{Mixture, Nodes, Smearing, Window};
use crate::profile::Instrument;

/// Lines are followed to this many full widths; tails beyond matter for fractions, not for identity.
const WINDOW_WIDTHS: f64 = 9.0;
const SHORTEST_WINDOW: f64 = 3.0;
/// Chebyshev terms of the background.
const CHEBYSHEV_TERMS: usize = 10;

/// State of one phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PhaseState {
    pub(super) candidate: usize,
    pub(super) ln_scale: f64,
    pub(super) strain: Vec<f64>,
    /// ln of the Lorentzian width in degrees, which goes with 1/cosθ.
    pub(super) ln_width: f64,
    /// B in Å², added to those of the structure.
    pub(super) b: f64,
    /// ln of the March coefficient, and the index of its axis.
    pub(super) rho: f64,
    pub(super) axis: usize,
}

/// What all phases share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shared {
    pub(super) displacement_mm: f64,
    /// ln of a factor on the Gaussian width of the instrument.
    pub(super) ln_gaussian: f64,
}

/// Number of nonlinear parameters of a phase other than its strains: ln scale, ln width, B, ρ.
pub(super) const PLAIN: usize = 4;

/// Parameters of a phase: ln scale, ln width, B, ρ, then strains.
pub(super) fn parameters(candidate: &Candidate) -> usize {
    PLAIN + candidate.basis.len()
}

/// A phase's pattern with one column of derivatives for each shared parameter and each of its own.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) value: Vec<f64>,
    pub(super) shared: [Vec<f64>; 2],
    pub(super) own: Vec<Vec<f64>>,
}

/// Factors that turn the derivatives of a profile into those by the parameters.
struct Slopes {
    intensity: f64,
    displacement: f64,
    gaussian: f64,
    size: f64,
    b: f64,
    texture: f64,
    strain: f64,
}

impl Columns {
    /// Adds a line with its derivatives; the first point of `window` is point `from`.
    fn add(&mut self, window: &Window, from: usize, slopes: &Slopes, strain: &[f64]) {
        let range = from..from + window.value.len();
        let add = |column: &mut Vec<f64>, factor: f64, source: &[f64]| {
            column[range.clone()].iter_mut().zip(source).for_each(|(sum, value)| *sum += factor * value);
        };
        add(&mut self.value, slopes.intensity, &window.value);
        add(&mut self.shared[0], slopes.displacement, &window.by_place);
        add(&mut self.shared[1], slopes.gaussian, &window.by_gaussian);
        add(&mut self.own[1], slopes.size, &window.by_lorentzian);
        add(&mut self.own[2], slopes.b, &window.value);
        add(&mut self.own[3], slopes.texture, &window.value);
        for (column, coefficient) in self.own[PLAIN..].iter_mut().zip(strain) {
            if *coefficient != 0.0 {
                add(column, coefficient * slopes.strain, &window.by_place);
            }
        }
    }
}

/// The pattern of one phase in counts; with derivatives when `D`.
pub(super) fn columns<const D: bool>(
    candidate: &Candidate,
    state: &PhaseState,
    shared: &Shared,
    instrument: &Instrument,
    data: &Data,
) -> Columns {
    let n = data.len();
    let own = if D { parameters(candidate) } else { 0 };
    let column = |wanted: bool| if wanted { vec![0.0; n] } else { Vec::new() };
    let mut columns =
        Columns { value: vec![0.0; n], shared: [column(D), column(D)], own: (0..own).map(|_| column(true)).collect() };
    let strongest = candidate.sticks.iter().map(|stick| stick.strength).fold(0.0, f64::max);
    let scale = state.ln_scale.exp() / strongest.max(f64::MIN_POSITIVE);
    let lorentzian = state.ln_width.exp();
    let gaussian_factor = shared.ln_gaussian.exp();
    let (x, step) = (&data.x, data.step());
    let (first, last) = (x[0], x[n - 1]);
    let textured = state.rho != 0.0 || D;
    let displacement = -2.0 / instrument.radius_mm * 1f64.to_degrees();
    let mut window = Window::default();
    for stick in &candidate.sticks {
        let change: f64 = stick.strain.iter().zip(&state.strain).map(|(s, p)| s * p).sum();
        let q = stick.q * (1.0 + change).max(0.5);
        let (texture, texture_slope) =
            if textured { march(&stick.cos_squared[state.axis], state.rho) } else { (1.0, 0.0) };
        let damping = (-0.5 * state.b * q).exp();
        for line in &instrument.lines {
            let sin = 0.5 * line.wavelength_a * q.sqrt();
            if sin >= 0.999 {
                continue;
            }
            let theta = sin.asin();
            let (cos, tan) = (theta.cos(), theta.tan());
            let centre = 2.0 * theta.to_degrees() + instrument.zero_deg + displacement * cos * shared.displacement_mm;
            let bare = scale * stick.strength * line.weight * instrument.lorentz_polarisation(theta) * damping;
            let intensity = bare * texture;
            let gaussian = gaussian_factor * instrument.gaussian_width_squared(tan).sqrt();
            let size = lorentzian / cos;
            let mixture = Mixture::new(gaussian, instrument.x / cos + instrument.y * tan + size);
            let relative = stick.strength * line.weight / strongest;
            let widths = (WINDOW_WIDTHS * (10.0 * relative).sqrt()).clamp(SHORTEST_WINDOW, WINDOW_WIDTHS);
            if centre + widths * mixture.width < first || centre - widths * mixture.width > last {
                continue;
            }
            let nodes = Nodes::choose(2.0 * theta, instrument.axial, mixture.width, step);
            let smearing = Smearing::new(2.0 * theta, instrument.axial, nodes);
            let span = data.span(centre, smearing.reach(&mixture, widths));
            let core = data.span(centre, smearing.core(&mixture));
            let core =
                core.start.clamp(span.start, span.end) - span.start..core.end.clamp(span.start, span.end) - span.start;
            if !D {
                window.fill_value(&x[span.clone()], &core, centre, &mixture, &smearing);
                for (value, part) in columns.value[span].iter_mut().zip(&window.value) {
                    *value += intensity * part;
                }
                continue;
            }
            window.fill(&x[span.clone()], &core, centre, &mixture, &smearing, false);
            let slopes = Slopes {
                intensity,
                displacement: displacement * cos * intensity,
                gaussian: intensity * gaussian,
                size: intensity * size,
                b: -0.5 * q * intensity,
                texture: bare * texture_slope,
                // d(2θ)/d ln q = tanθ, in degrees; a strain changes ln q by its coefficient over 1 + change.
                strain: intensity * tan.to_degrees() / (1.0 + change),
            };
            columns.add(&window, span.start, &slopes, &stick.strain);
        }
    }
    if D {
        let value = columns.value.clone();
        columns.own[0].copy_from_slice(&value);
    }
    columns
}

/// Mean March-Dollase weight over the equivalents, and its derivative by ρ = ln r.
fn march(cos_squared: &[f64], rho: f64) -> (f64, f64) {
    let count = cos_squared.len() as f64;
    if rho == 0.0 {
        return (1.0, -1.5 * (3.0 * cos_squared.iter().sum::<f64>() / count - 1.0));
    }
    let r = rho.exp();
    let (mut sum, mut slope) = (0.0, 0.0);
    for c in cos_squared {
        let (along, across) = (r * r * c, (1.0 - c) / r);
        let base = along + across;
        let weight = 1.0 / (base * base.sqrt());
        sum += weight;
        slope += -1.5 * weight / base * (2.0 * along - across);
    }
    (sum / count, slope / count)
}

/// Columns of the background: Chebyshev polynomials and a term in 1/2θ.
pub(super) fn background(data: &Data) -> Vec<Vec<f64>> {
    let (first, last) = (data.x[0], data.x[data.len() - 1]);
    let map = |x: f64| (2.0 * (x - first) / (last - first) - 1.0).clamp(-1.0, 1.0);
    let terms = CHEBYSHEV_TERMS.min(data.len() / 20).max(1);
    let mut found: Vec<Vec<f64>> =
        (0..terms).map(|k| data.x.iter().map(|&x| (k as f64 * map(x).acos()).cos()).collect()).collect();
    found.push(data.x.iter().map(|x| first.max(1.0) / x.max(1.0)).collect());
    found
}

/// A candidate at the means of its priors, with the given strains and scale.
pub(super) fn start(library: &StickLibrary, candidate: usize, strain: Vec<f64>, ln_scale: f64) -> PhaseState {
    debug_assert_eq!(library.candidates[candidate].basis.len(), strain.len());
    PhaseState {
        candidate,
        ln_scale,
        strain,
        ln_width: super::fit::WIDTH_MEAN,
        b: super::fit::B_MEAN,
        rho: 0.0,
        axis: 0,
    }
}

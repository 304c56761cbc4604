//! The lines of a phase at a state: place, width, height, and the points of the grid that they reach.

use std::ops::Range;

use super::crystal::PlaneState;
use super::model::{Kind, Model};
use super::settings::EPSILON_DEG;
use crate::kernel::{Mixture, Nodes, Smearing};

/// Strong lines are followed to this many full widths; at 25 a Lorentzian has lost 1.3 % of its area.
const WINDOW_WIDTHS: f64 = 25.0;
/// Weak ones to no less than this.
const SHORTEST_WINDOW: f64 = 8.0;
/// From this share of the strongest line on, lines get the whole window.
const STRONG_SHARE: f64 = 1.0 / 30.0;

/// The instrument at a state.
pub(super) struct Shape {
    pub(super) zero: f64,
    /// Shift in degrees for cosθ = 1.
    pub(super) displacement: f64,
    pub(super) alpha: f64,
    pub(super) beta: f64,
    pub(super) gamma: f64,
    pub(super) ratio: f64,
    pub(super) axial: f64,
}

/// The points that a line reaches, and how its smearing is computed. They stay as they are while an objective is
/// minimised: a window that gained a point with every change of a width would make steps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    points: Range<usize>,
    /// Within `points`, counted from its start.
    core: Range<usize>,
    nodes: Nodes,
}

/// A frame for every line of every phase; nothing for lines out of range.
pub(super) type Frames = Vec<Vec<Option<Frame>>>;

/// One line of a plane.
pub(super) struct Line {
    pub(super) plane: usize,
    pub(super) second: bool,
    pub(super) sin: f64,
    pub(super) cos: f64,
    pub(super) place: f64,
    pub(super) place_by_theta: f64,
    pub(super) gaussian: f64,
    /// Share of the size and of the strain in the Lorentzian width.
    pub(super) size: f64,
    pub(super) strain: f64,
    pub(super) gaussian_by_theta: f64,
    pub(super) lorentzian_by_theta: f64,
    pub(super) mixture: Mixture,
    pub(super) smearing: Smearing,
    /// LP · weight: intensity over strength of the plane, and its derivative by θ.
    pub(super) factor: f64,
    pub(super) factor_by_theta: f64,
    pub(super) points: Range<usize>,
    pub(super) core: Range<usize>,
}

/// Where and how wide a line is, before anything else is known of it.
struct Outline {
    sin: f64,
    cos: f64,
    place: f64,
    gaussian: f64,
    mixture: Mixture,
    /// Bragg angle 2θ of the nominal cell in radians: axial divergence is computed there, so that it does not enter the
    /// derivative by the cell.
    nominal: f64,
}

impl Model<'_> {
    /// The instrument at `p`.
    pub(super) fn shape(&self, p: &[f64]) -> Shape {
        let instrument = &self.settings.instrument;
        let value = |kind: Kind, mean: f64| self.value(p, kind).unwrap_or(mean);
        let displacement = value(Kind::Displacement, self.settings.displacement_mm.mean);
        Shape {
            zero: value(Kind::Zero, instrument.zero_deg.mean),
            displacement: -2.0 * displacement / instrument.radius_mm * 1_f64.to_degrees(),
            alpha: value(Kind::Alpha, instrument.ln_alpha.mean).exp(),
            beta: value(Kind::Beta, instrument.beta.mean),
            gamma: value(Kind::Gamma, instrument.ln_gamma.mean).exp(),
            ratio: value(Kind::Ratio, instrument.ln_ratio.mean).exp(),
            axial: instrument.ln_axial.map_or(0.0, |prior| value(Kind::Axial, prior.mean).exp()),
        }
    }

    fn outline(
        &self,
        phase: usize,
        index: usize,
        plane: &PlaneState,
        emission: usize,
        shape: &Shape,
        [size, spectral]: [f64; 2],
    ) -> Option<Outline> {
        let wavelength = self.settings.instrument.radiation.lines[emission].wavelength_a;
        let sin = 0.5 * wavelength * plane.q.sqrt();
        if !(1e-4..0.9999).contains(&sin) {
            return None;
        }
        let cos = (1.0 - sin * sin).sqrt();
        let tan = sin / cos;
        let slanted = shape.alpha + shape.beta * tan;
        let gaussian = (slanted * slanted + (shape.gamma * tan).powi(2) + EPSILON_DEG * EPSILON_DEG).sqrt();
        let nominal = self.crystals[phase].planes[index].q;
        Some(Outline {
            sin,
            cos,
            place: 2.0 * sin.asin().to_degrees() + shape.zero + shape.displacement * cos,
            gaussian,
            mixture: Mixture::new(gaussian, size / cos + spectral * tan),
            nominal: 2.0 * (0.5 * wavelength * nominal.sqrt()).min(0.9999).asin(),
        })
    }

    /// Size width, and strain width with the spectrum's own for each emission line, in degrees.
    fn widths(&self, phase: usize, p: &[f64], emission: usize) -> [f64; 2] {
        let of = |kind: Kind| self.value(p, kind).map_or(0.0, f64::exp);
        let relative = self.settings.instrument.radiation.lines[emission].relative_width;
        // The spectrum's own width and the strain of the phase both grow with tanθ.
        [of(Kind::Size(phase)), (2.0 * relative).to_degrees() + of(Kind::Strain(phase))]
    }

    /// The frames of every line at `p`; nothing at a state that closes no cell.
    pub(super) fn frames(&self, p: &[f64]) -> Option<Frames> {
        let shape = self.shape(p);
        let mut by_b = Vec::new();
        let emissions = self.settings.instrument.radiation.lines.len();
        let one = |phase: usize| {
            let planes = self.crystals[phase].evaluate(&self.crystal_state(phase, p), &mut by_b)?;
            let strongest = planes.iter().map(|plane| plane.strength).fold(0.0, f64::max);
            let widths: Vec<[f64; 2]> = (0..emissions).map(|emission| self.widths(phase, p, emission)).collect();
            let mut frames = Vec::with_capacity(planes.len() * emissions);
            for (index, plane) in planes.iter().enumerate() {
                for (emission, &pair) in widths.iter().enumerate() {
                    let outline = self.outline(phase, index, plane, emission, &shape, pair);
                    let share = plane.strength / (STRONG_SHARE * strongest);
                    frames.push(outline.and_then(|outline| self.frame(&outline, &shape, share)));
                }
            }
            Some(frames)
        };
        (0..self.crystals.len()).map(one).collect()
    }

    fn frame(&self, outline: &Outline, shape: &Shape, share: f64) -> Option<Frame> {
        let Outline { place, mixture, .. } = outline;
        let nodes = Nodes::choose(outline.nominal, shape.axial, mixture.width, self.step);
        let smearing = Smearing::new(outline.nominal, shape.axial, nodes);
        // What a tail carries falls with the square of the distance, so weak lines need not be followed as far.
        let widths = (WINDOW_WIDTHS * share.sqrt()).clamp(SHORTEST_WINDOW, WINDOW_WIDTHS);
        let reach = smearing.reach(mixture, widths);
        let within = |reach: f64| {
            self.x.partition_point(|&x| x < place - reach)..self.x.partition_point(|&x| x <= place + reach)
        };
        let (points, core) = (within(reach), within(smearing.core(mixture).min(reach)));
        let core = core.start - points.start..core.end - points.start;
        (!points.is_empty()).then_some(Frame { points, core, nodes })
    }

    /// Every line of one phase that has a frame.
    pub(super) fn lines(
        &self,
        phase: usize,
        planes: &[PlaneState],
        shape: &Shape,
        p: &[f64],
        frames: &[Option<Frame>],
    ) -> Vec<Line> {
        let instrument = &self.settings.instrument;
        let k = instrument.polarisation_k;
        let emissions = &instrument.radiation.lines;
        let widths: Vec<[f64; 2]> = (0..emissions.len()).map(|emission| self.widths(phase, p, emission)).collect();
        let strain = self.value(p, Kind::Strain(phase)).map_or(0.0, f64::exp);
        let mut lines = Vec::with_capacity(frames.len());
        for (at, frame) in frames.iter().enumerate() {
            let (index, emission) = (at / emissions.len(), at % emissions.len());
            let pair = widths[emission];
            let Some(frame) = frame else { continue };
            let Some(outline) = self.outline(phase, index, &planes[index], emission, shape, pair) else { continue };
            let Outline { sin, cos, place, gaussian, mixture, nominal } = outline;
            let tan = sin / cos;
            let secant2 = 1.0 / (cos * cos);
            let (c, s) = (1.0 - 2.0 * sin * sin, 2.0 * sin * cos);
            let polarised = 1.0 + k * c * c;
            let second = emissions[emission].second;
            let weight = emissions[emission].share * if second { shape.ratio } else { 1.0 };
            let factor = weight * polarised / ((1.0 + k) * sin * sin * cos);
            let slanted = shape.alpha + shape.beta * tan;
            lines.push(Line {
                plane: index,
                second,
                sin,
                cos,
                place,
                place_by_theta: 2_f64.to_degrees() - shape.displacement * sin,
                gaussian,
                size: pair[0] / cos,
                strain: strain * tan,
                gaussian_by_theta: (slanted * shape.beta + shape.gamma * shape.gamma * tan) * secant2 / gaussian,
                lorentzian_by_theta: (pair[0] * sin + pair[1]) * secant2,
                mixture,
                smearing: Smearing::new(nominal, shape.axial, frame.nodes),
                factor,
                factor_by_theta: factor * (-4.0 * k * c * s / polarised - 2.0 * cos / sin + tan),
                points: frame.points.clone(),
                core: frame.core.clone(),
            });
        }
        lines
    }
}

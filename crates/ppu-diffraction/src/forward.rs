//! The pattern of a phase and of a mixture, without noise: used by the analysis and by simulated instruments.

use nalgebra::Vector3;

use crate::peak::{SHORTEST_WINDOW, Shape, SmearedShape, WINDOW_WIDTHS};
use crate::profile::{Condition, Instrument, Specimen, Texture, film_factor};
use crate::structure::{Phase, Reflection};

/// Longest pattern that is computed; a real scan has at most some ten thousand points.
pub const MOST_POINTS: usize = 1_000_000;
/// Lines whose centre lies this far outside the range still reach into it with their tails.
const MARGIN_DEG: f64 = 2.0;

/// Why a pattern could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForwardError {
    /// The angles cannot be a scan.
    #[error(
        "the scan from {start_deg}° in {points} steps of {step_deg}° is not within 0.1° to 179° or has too many points"
    )]
    Grid {
        /// First angle in degrees.
        start_deg: f64,
        /// Step in degrees.
        step_deg: f64,
        /// Number of points.
        points: usize,
    },
    /// A number of the instrument is unusable.
    #[error("the instrument description has a number outside its range")]
    Instrument,
    /// A number of the specimen or of the state of a phase is unusable.
    #[error("{what} is outside its range: {value}")]
    Parameter {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The background does not have one value for each point.
    #[error("the background has {found} values for {wanted} points")]
    Background {
        /// Values given.
        found: usize,
        /// Points of the grid.
        wanted: usize,
    },
}

/// Equidistant angles 2θ in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// First angle in degrees.
    pub start_deg: f64,
    /// Step in degrees.
    pub step_deg: f64,
    /// Number of points.
    pub points: usize,
}

impl Grid {
    /// Angle of point `index` in degrees.
    #[must_use]
    pub fn two_theta(&self, index: usize) -> f64 {
        self.start_deg + self.step_deg * index as f64
    }

    /// Every angle in degrees.
    #[must_use]
    pub fn angles(&self) -> Vec<f64> {
        (0..self.points).map(|index| self.two_theta(index)).collect()
    }

    fn check(&self) -> Result<(), ForwardError> {
        let sound = self.points > 0
            && self.points <= MOST_POINTS
            && self.step_deg > 0.0
            && self.start_deg >= 0.1
            && self.two_theta(self.points - 1) <= 179.0;
        let Self { start_deg, step_deg, points } = *self;
        if sound { Ok(()) } else { Err(ForwardError::Grid { start_deg, step_deg, points }) }
    }
}

/// A phase with its reflections in the range of a scan: build it once, then compute patterns for many states.
#[derive(Debug, Clone)]
pub struct PreparedPhase {
    phase: Phase,
    reflections: Vec<Reflection>,
}

impl PreparedPhase {
    /// Lists the reflections that can reach into the grid.
    ///
    /// # Errors
    /// [`ForwardError::Grid`] and [`ForwardError::Instrument`].
    pub fn new(phase: &Phase, instrument: &Instrument, grid: &Grid) -> Result<Self, ForwardError> {
        grid.check()?;
        Self::for_range(phase, instrument, grid.start_deg, grid.two_theta(grid.points - 1))
    }

    /// Lists the reflections that can reach into a range of 2θ in degrees.
    pub(crate) fn for_range(phase: &Phase, instrument: &Instrument, from: f64, to: f64) -> Result<Self, ForwardError> {
        if !instrument.is_sound() {
            return Err(ForwardError::Instrument);
        }
        let shortest = instrument.lines.iter().map(|line| line.wavelength_a).fold(f64::INFINITY, f64::min);
        let longest = instrument.lines.iter().map(|line| line.wavelength_a).fold(0.0, f64::max);
        let spacing = |two_theta: f64, wavelength: f64| wavelength / (2.0 * (two_theta / 2.0).to_radians().sin());
        let d_min = spacing((to + MARGIN_DEG).min(179.5), shortest);
        let d_max = spacing((from - MARGIN_DEG).max(0.05), longest);
        let mut reflections = phase.reflections(d_min);
        reflections.retain(|reflection| reflection.d <= d_max);
        Ok(Self { phase: phase.clone(), reflections })
    }

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its reflections, falling in spacing.
    #[must_use]
    pub fn reflections(&self) -> &[Reflection] {
        &self.reflections
    }
}

/// One phase of a mixture.
#[derive(Debug, Clone, Copy)]
pub struct Component<'a> {
    /// The phase.
    pub phase: &'a PreparedPhase,
    /// Its state.
    pub condition: Condition,
    /// Factor on its unit-scale pattern; proportional to v_p/V_c² for volume fraction v_p and cell volume V_c.
    pub scale: f64,
}

/// The pattern of one phase at unit scale: Σ m |F|² · LP · texture · film · line weight · profile, in electrons²
/// for each degree. Multiply by S v_p/V_c² (v_p volume fraction, V_c cell volume) for intensities of a mixture.
///
/// # Errors
/// [`ForwardError`] for a grid, instrument, specimen or condition outside its range.
pub fn phase_pattern(
    prepared: &PreparedPhase,
    condition: &Condition,
    instrument: &Instrument,
    specimen: &Specimen,
    grid: &Grid,
) -> Result<Vec<f64>, ForwardError> {
    grid.check()?;
    if !instrument.is_sound() {
        return Err(ForwardError::Instrument);
    }
    check_state(condition, specimen)?;
    let reference = instrument.lines[0].wavelength_a;
    let state = PhaseState {
        cell_factor: 1.0,
        size_deg: condition.size_width_deg(reference),
        strain_deg: condition.strain_width_deg(),
        texture: condition.texture,
        gaussian_factor: 1.0,
        displacement_mm: specimen.displacement_mm,
        optical_thickness: specimen.film.map(|film| film.optical_thickness()),
    };
    let mut columns = PhaseColumns::new(grid.points);
    accumulate::<false>(prepared, &state, instrument, &grid.angles(), &mut columns);
    Ok(columns.value)
}

/// Expected counts of a mixture: Σ scale · pattern + background (counts for each point). No noise and no dead time:
/// a simulated detector adds those.
///
/// # Errors
/// [`ForwardError`] for anything outside its range.
pub fn expected_counts(
    components: &[Component<'_>],
    background: &[f64],
    instrument: &Instrument,
    specimen: &Specimen,
    grid: &Grid,
) -> Result<Vec<f64>, ForwardError> {
    grid.check()?;
    if background.len() != grid.points {
        return Err(ForwardError::Background { found: background.len(), wanted: grid.points });
    }
    let mut counts = background.to_vec();
    for component in components {
        if !(0.0..f64::INFINITY).contains(&component.scale) {
            return Err(ForwardError::Parameter { what: "scale", value: component.scale });
        }
        let pattern = phase_pattern(component.phase, &component.condition, instrument, specimen, grid)?;
        for (total, value) in counts.iter_mut().zip(pattern) {
            *total += component.scale * value;
        }
    }
    Ok(counts)
}

fn check_state(condition: &Condition, specimen: &Specimen) -> Result<(), ForwardError> {
    let within = |what, value: f64, range: std::ops::RangeInclusive<f64>| {
        if range.contains(&value) { Ok(()) } else { Err(ForwardError::Parameter { what, value }) }
    };
    within("crystallite size (nm)", condition.crystallite_size_nm, 0.5..=f64::INFINITY)?;
    within("microstrain", condition.microstrain, 0.0..=0.1)?;
    if let Some(texture) = condition.texture {
        within("March coefficient", texture.r, 0.05..=20.0)?;
        if texture.axis == [0, 0, 0] {
            return Err(ForwardError::Parameter { what: "texture axis", value: 0.0 });
        }
    }
    within("displacement (mm)", specimen.displacement_mm, -5.0..=5.0)?;
    if let Some(film) = specimen.film {
        within("film optical thickness", film.optical_thickness(), f64::MIN_POSITIVE..=f64::INFINITY)?;
    }
    Ok(())
}

/// The parameters of one phase in the terms in which intensities depend on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhaseState {
    /// Factor on every cell edge.
    pub(crate) cell_factor: f64,
    /// Lorentzian size parameter X in degrees.
    pub(crate) size_deg: f64,
    /// Lorentzian strain parameter Y in degrees.
    pub(crate) strain_deg: f64,
    pub(crate) texture: Option<Texture>,
    /// Factor on the Gaussian width of the instrument.
    pub(crate) gaussian_factor: f64,
    pub(crate) displacement_mm: f64,
    /// μt, or nothing for a thick specimen.
    pub(crate) optical_thickness: Option<f64>,
}

/// Unit-scale pattern of a phase and its derivatives, one value a point.
#[derive(Debug, Clone)]
pub(crate) struct PhaseColumns {
    pub(crate) value: Vec<f64>,
    /// By displacement in mm, ln of the cell factor, ln X, ln Y, ln r, ln of the Gaussian factor and ln μt.
    pub(crate) derivatives: [Vec<f64>; 7],
}

impl PhaseColumns {
    pub(crate) fn new(points: usize) -> Self {
        Self { value: vec![0.0; points], derivatives: std::array::from_fn(|_| Vec::new()) }
    }

    pub(crate) fn with_derivatives(points: usize) -> Self {
        Self { value: vec![0.0; points], derivatives: std::array::from_fn(|_| vec![0.0; points]) }
    }
}

/// One line of a phase with everything that its place on the grid does not change.
struct Line {
    theta: f64,
    centre: f64,
    gaussian: f64,
    size: f64,
    strain: f64,
    lorentzian: f64,
    /// Intensity without film and texture, and these two factors with their derivatives.
    bare: f64,
    film: (f64, f64),
    texture: (f64, f64),
}

impl Line {
    fn intensity(&self) -> f64 {
        self.bare * self.film.0 * self.texture.0
    }
}

/// Every line of a phase.
fn lines(prepared: &PreparedPhase, state: &PhaseState, instrument: &Instrument) -> Vec<Line> {
    let mut lines = Vec::with_capacity(prepared.reflections.len() * instrument.lines.len());
    for reflection in &prepared.reflections {
        let texture = texture_factor(&prepared.phase, reflection, state.texture);
        let strength = f64::from(reflection.multiplicity) * reflection.f_squared;
        for component in &instrument.lines {
            let sin = component.wavelength_a / (2.0 * reflection.d * state.cell_factor);
            if sin >= 0.9999 {
                continue;
            }
            let theta = sin.asin();
            let (cos, tan) = (theta.cos(), theta.tan());
            let (size, strain) = (state.size_deg / cos, state.strain_deg * tan);
            lines.push(Line {
                theta,
                centre: 2.0 * theta.to_degrees()
                    + instrument.zero_deg
                    + state.displacement_mm * displacement_shift(cos, instrument),
                gaussian: state.gaussian_factor * instrument.gaussian_width_squared(tan).sqrt(),
                size,
                strain,
                lorentzian: instrument.x / cos + instrument.y * tan + size + strain,
                bare: strength * component.weight * instrument.lorentz_polarisation(theta),
                film: film_terms(state.optical_thickness, sin),
                texture,
            });
        }
    }
    lines
}

/// Shift of a line in degrees for each mm of specimen displacement.
fn displacement_shift(cos: f64, instrument: &Instrument) -> f64 {
    -2.0 * cos / instrument.radius_mm * 1f64.to_degrees()
}

/// Adds every line of a phase at the angles `x` (rising, degrees), with derivatives when `D`.
pub(crate) fn accumulate<const D: bool>(
    prepared: &PreparedPhase,
    state: &PhaseState,
    instrument: &Instrument,
    x: &[f64],
    columns: &mut PhaseColumns,
) {
    let (Some(&first), Some(&last)) = (x.first(), x.last()) else { return };
    let step = (last - first) / x.len() as f64;
    let lines = lines(prepared, state, instrument);
    let strongest = lines.iter().map(Line::intensity).fold(0.0, f64::max);
    for line in &lines {
        let intensity = line.intensity();
        let shape = Shape::new(line.gaussian, line.lorentzian);
        // What a tail carries falls with the square of the distance, so weak lines need not be followed as far.
        let widths = (WINDOW_WIDTHS * (10.0 * intensity / strongest).sqrt()).clamp(SHORTEST_WINDOW, WINDOW_WIDTHS);
        if line.centre + widths * shape.width < first || line.centre - widths * shape.width > last {
            continue;
        }
        let shape = SmearedShape::new(shape, 2.0 * line.theta, instrument.axial, step);
        let from = x.partition_point(|&angle| angle < line.centre - shape.reach(widths));
        let to = x.partition_point(|&angle| angle <= line.centre + shape.reach(widths));
        if !D {
            for (angle, value) in x[from..to].iter().zip(&mut columns.value[from..to]) {
                *value += intensity * shape.value(angle - line.centre);
            }
            continue;
        }
        // Factors that turn the derivatives of the profile into those by the parameters.
        let by_displacement = intensity * displacement_shift(line.theta.cos(), instrument);
        let by_cell = intensity * -2.0 * line.theta.tan() * 1f64.to_degrees();
        let (by_size, by_strain, by_gauss) =
            (intensity * line.size, intensity * line.strain, intensity * line.gaussian);
        let by_texture = line.bare * line.film.0 * line.texture.1;
        let by_film = line.bare * line.film.1 * line.texture.0;
        let [displacement, cell, size, strain, march, gaussian, thickness] = &mut columns.derivatives;
        for index in from..to {
            let basis = shape.basis(x[index] - line.centre);
            columns.value[index] += intensity * basis.value;
            displacement[index] += by_displacement * basis.by_position;
            cell[index] += by_cell * basis.by_position;
            size[index] += by_size * basis.by_lorentzian;
            strain[index] += by_strain * basis.by_lorentzian;
            march[index] += by_texture * basis.value;
            gaussian[index] += by_gauss * basis.by_gaussian;
            thickness[index] += by_film * basis.value;
        }
    }
}

/// Film factor and its derivative by ln μt; a thick specimen gives 1 and 0.
fn film_terms(optical_thickness: Option<f64>, sin: f64) -> (f64, f64) {
    match optical_thickness {
        None => (1.0, 0.0),
        Some(thickness) => {
            let depth = 2.0 * thickness / sin;
            (film_factor(thickness, sin), depth * (-depth).exp())
        }
    }
}

/// Mean March-Dollase weight over the equivalents of a reflection, and its derivative by ln r.
fn texture_factor(phase: &Phase, reflection: &Reflection, texture: Option<Texture>) -> (f64, f64) {
    let Some(texture) = texture else { return (1.0, 0.0) };
    let Some(reciprocal) = phase.cell().reciprocal_metric() else { return (1.0, 0.0) };
    let vector = |hkl: [i32; 3]| Vector3::new(f64::from(hkl[0]), f64::from(hkl[1]), f64::from(hkl[2]));
    let axes = phase.texture_axes(texture.axis);
    let (mut sum, mut slope) = (0.0, 0.0);
    for axis in &axes {
        let reciprocal_axis = reciprocal * vector(*axis);
        let axis_square = vector(*axis).dot(&reciprocal_axis);
        for equivalent in &reflection.equivalents {
            let projection = vector(*equivalent).dot(&reciprocal_axis);
            let cos_squared = (projection * projection * reflection.d * reflection.d / axis_square).min(1.0);
            let (along, across) = (texture.r * texture.r * cos_squared, (1.0 - cos_squared) / texture.r);
            let weight = texture.weight(cos_squared);
            sum += weight;
            slope += -1.5 * weight / (along + across) * (2.0 * along - across);
        }
    }
    let count = (axes.len() * reflection.equivalents.len()) as f64;
    (sum / count, slope / count)
}

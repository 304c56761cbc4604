//! Photoluminescence line from raw spectra of sample and dark.
//!
//! Peak and width refer to the density per energy: the fit multiplies the model by hc/λ² before it meets the pixels. The
//! response of the instrument is taken as flat; a line of 0.1 eV shifts by some meV where the response is steep.

use crate::HC_EV_NM;
use crate::emission::{EmissionLine, LineShape};
use crate::least_squares::{Effort, minimise_with};
use crate::raw::{Detector, Estimate, Exposure, RawError, check_axis};

/// Fewest usable pixels in the range.
const FEWEST_PIXELS: usize = 40;
/// A line must exceed its uncertainty by this factor: among some thirty independent places, chance rarely reaches 5.
const DETECTED_SIGMAS: f64 = 5.0;
/// One-sided 95 % quantile of a normal distribution.
const ONE_SIDED_95: f64 = 1.645;
/// Steps of a fit, and the relative decrease of χ² that ends it.
const EFFORT: Effort = Effort::new(25, 1e-5);
/// Pixels finer than this share of the slit are gathered: they hold no more detail.
const GATHERED_SHARE: f64 = 0.7;
/// The search looks at about this many points: the narrowest line it knows spans ten of them.
const SEARCH_POINTS: usize = 160;
/// Widths tried in the search for a line, in eV.
const SEARCH_WIDTHS_EV: [f64; 3] = [0.06, 0.10, 0.16];
/// The search follows a line to this many half widths: beyond is less than 2e-5 of its height.
const SEARCH_REACH: f64 = 4.0;
/// Prior of the asymmetry: halide perovskites have a wider low-energy side.
const ASYMMETRY_PRIOR: (f64, f64) = (0.1, 0.1);
/// Relative uncertainty of the intensity by focus and laser power from one placement to the next.
const INTENSITY_SYSTEMATIC: f64 = 0.05;
/// Uncertainty of the peak by response and reabsorption, as a share of the width.
const PEAK_SYSTEMATIC_SHARE: f64 = 0.01;
/// Uncertainty of the width by the shape that is assumed.
const WIDTH_SYSTEMATIC_SHARE: f64 = 0.02;
/// A second line of this share of the first is pointed out.
const SECOND_LINE_SHARE: f64 = 0.03;
/// Parameters of a line: peak, ln of the width, asymmetry, ln of the area.
const PER_LINE: usize = 4;

/// How to look for emission.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlSettings {
    /// Range of wavelengths in nm, without the laser line.
    pub range_nm: (f64, f64),
}

impl Default for PlSettings {
    fn default() -> Self {
        Self { range_nm: (560.0, 1020.0) }
    }
}

/// Why nothing can be said about emission.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlError {
    /// The raw spectra cannot be used.
    #[error("the raw spectra cannot be used")]
    Raw(#[from] RawError),
    /// Too few usable pixels in the range.
    #[error("{pixels} usable pixels between {from_nm} and {to_nm} nm are too few (at least {FEWEST_PIXELS})")]
    TooFewPixels {
        /// Usable pixels.
        pixels: usize,
        /// Lower end in nm.
        from_nm: f64,
        /// Upper end in nm.
        to_nm: f64,
    },
    /// The top of the line is clipped.
    #[error("{pixels} pixels at the top of the line near {wavelength_nm:.0} nm are saturated: integrate for less time")]
    Saturated {
        /// Clipped pixels.
        pixels: usize,
        /// Their mean wavelength in nm.
        wavelength_nm: f64,
    },
    /// Something is there, but no line describes it.
    #[error("the signal near {energy_ev:.3} eV is not a line (significance {significance:.1})")]
    NoFit {
        /// Where in eV.
        energy_ev: f64,
        /// How many standard deviations it stands out.
        significance: f64,
    },
}

/// What a reader of the line should know.
#[derive(Debug, Clone, PartialEq)]
pub enum PlFlag {
    /// Saturated pixels on the flank were left out.
    Saturated {
        /// Their number.
        pixels: usize,
    },
    /// A second line stands beside the first, for example of a segregated mixed halide.
    SecondLine {
        /// Its energy in eV.
        energy_ev: f64,
        /// Its intensity as a share of the first.
        share: f64,
    },
    /// The peak stands at the end of the range: position and intensity are extrapolated.
    AtRangeEnd,
    /// The line shape misses the data by more than noise.
    PoorFit {
        /// Reduced χ².
        reduced_chi_squared: f64,
    },
}

impl std::fmt::Display for PlFlag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PlFlag::Saturated { pixels } => write!(f, "{pixels} saturated pixels were left out"),
            PlFlag::SecondLine { energy_ev, share } => {
                write!(f, "second line at {energy_ev:.3} eV with {:.0} % of the first", 100.0 * share)
            }
            PlFlag::AtRangeEnd => write!(f, "the line stands at the end of the range"),
            PlFlag::PoorFit { reduced_chi_squared } => {
                write!(f, "the line shape misses the data (reduced χ² {reduced_chi_squared:.1})")
            }
        }
    }
}

/// A photoluminescence line.
#[derive(Debug, Clone, PartialEq)]
pub struct PlPeak {
    /// Energy of the maximum (density per energy) in eV.
    pub peak_ev: Estimate,
    /// Full width at half maximum in eV.
    pub fwhm_ev: Estimate,
    /// Intensity of the whole line in photoelectrons per second.
    pub electrons_per_s: Estimate,
    /// Relative difference of the half widths, positive for a wide low-energy side.
    pub asymmetry: f64,
    /// Reduced χ² of the fit.
    pub reduced_chi_squared: f64,
    /// What else to know.
    pub flags: Vec<PlFlag>,
}

/// The outcome of a measurement of emission.
#[derive(Debug, Clone, PartialEq)]
pub enum Photoluminescence {
    /// A line.
    Emission(PlPeak),
    /// None above the noise.
    NoEmission {
        /// Upper limit of the intensity of any line in the range, in photoelectrons per second.
        upper_limit_electrons_per_s: f64,
        /// Confidence of the limit for a line at the most favourable place.
        confidence: f64,
    },
}

/// Usable pixels: wavelength, signal in electrons per second and per nm, and its uncertainty.
struct Signal {
    wavelength: Vec<f64>,
    value: Vec<f64>,
    u: Vec<f64>,
    saturated: Vec<f64>,
}

/// Finds and fits the strongest line.
///
/// # Errors
/// [`PlError`]. A dark sample is not an error but [`Photoluminescence::NoEmission`] with an upper limit.
pub fn photoluminescence(
    wavelength_nm: &[f64],
    sample: &Exposure,
    dark: &Exposure,
    detector: &Detector,
    settings: &PlSettings,
) -> Result<Photoluminescence, PlError> {
    let signal = signal(wavelength_nm, sample, dark, detector, settings)?;
    let best = search(&signal, &signal.value);
    if best.significance < DETECTED_SIGMAS {
        // A broad clipped region leaves no line to find, and is not darkness.
        if signal.saturated.len() > 3 {
            return Err(saturated(&signal.saturated));
        }
        // Light below the limit would have shown more than was seen in at most one case of twenty.
        let limit = best.area.max(0.0) + ONE_SIDED_95 * best.u_area;
        return Ok(Photoluminescence::NoEmission { upper_limit_electrons_per_s: limit, confidence: 0.95 });
    }
    let found =
        fit_lines(&signal, &best).ok_or(PlError::NoFit { energy_ev: best.energy, significance: best.significance })?;
    let line = found.lines[0].line;
    let top: Vec<f64> = signal
        .saturated
        .iter()
        .copied()
        .filter(|wavelength| (HC_EV_NM / wavelength - line.peak_ev).abs() < 0.6 * line.fwhm_ev)
        .collect();
    if !top.is_empty() {
        return Err(saturated(&top));
    }
    Ok(Photoluminescence::Emission(describe(&signal, &found, detector)))
}

fn saturated(wavelengths: &[f64]) -> PlError {
    let mean = wavelengths.iter().sum::<f64>() / wavelengths.len() as f64;
    PlError::Saturated { pixels: wavelengths.len(), wavelength_nm: mean }
}

fn signal(
    wavelength_nm: &[f64],
    sample: &Exposure,
    dark: &Exposure,
    detector: &Detector,
    settings: &PlSettings,
) -> Result<Signal, PlError> {
    detector.check()?;
    check_axis(wavelength_nm)?;
    sample.check("sample", wavelength_nm.len())?;
    dark.check("dark", wavelength_nm.len())?;
    sample.check_dark(dark, "sample")?;
    let (from, to) = settings.range_nm;
    let mut signal = Signal { wavelength: Vec::new(), value: Vec::new(), u: Vec::new(), saturated: Vec::new() };
    for (pixel, &wavelength) in wavelength_nm.iter().enumerate() {
        if !(from..=to).contains(&wavelength) {
            continue;
        }
        let (s, d) = (sample.counts[pixel], dark.counts[pixel]);
        if detector.is_saturated(s) {
            signal.saturated.push(wavelength);
            continue;
        }
        let (before, after) = (pixel.saturating_sub(1), (pixel + 1).min(wavelength_nm.len() - 1));
        let width = (wavelength_nm[after] - wavelength_nm[before]) / (after - before) as f64;
        let factor = 1.0 / (detector.gain_counts_per_electron * sample.integration_s * width);
        let variance = detector.variance(s, sample.averages) + detector.variance(d, dark.averages);
        signal.wavelength.push(wavelength);
        signal.value.push((s - d) * factor);
        signal.u.push(variance.sqrt() * factor);
    }
    if signal.wavelength.len() < FEWEST_PIXELS {
        if signal.saturated.len() >= FEWEST_PIXELS {
            return Err(saturated(&signal.saturated));
        }
        return Err(PlError::TooFewPixels { pixels: signal.wavelength.len(), from_nm: from, to_nm: to });
    }
    let (first, last) = (signal.wavelength[0], signal.wavelength[signal.wavelength.len() - 1]);
    let pixel_nm = (last - first) / (signal.wavelength.len() - 1) as f64;
    let group = (GATHERED_SHARE * detector.resolution_nm / pixel_nm).floor() as usize;
    let fewest = signal.wavelength.len() / FEWEST_PIXELS;
    Ok(signal.gathered(group.min(fewest).max(1)))
}

impl Signal {
    /// Energy of every pixel in eV, falling, and the factor from a density per eV to one per nm.
    fn energies(&self) -> (Vec<f64>, Vec<f64>) {
        let energies: Vec<f64> = self.wavelength.iter().map(|wavelength| HC_EV_NM / wavelength).collect();
        let jacobian = energies.iter().zip(&self.wavelength).map(|(energy, wavelength)| energy / wavelength).collect();
        (energies, jacobian)
    }

    /// Neighbouring pixels taken together.
    fn gathered(self, group: usize) -> Self {
        if group < 2 {
            return self;
        }
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let spread = |part: &[f64]| part.iter().map(|u| u * u).sum::<f64>().sqrt() / part.len() as f64;
        Self {
            wavelength: self.wavelength.chunks(group).map(mean).collect(),
            value: self.value.chunks(group).map(mean).collect(),
            u: self.u.chunks(group).map(spread).collect(),
            saturated: self.saturated,
        }
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    energy: f64,
    width: f64,
    area: f64,
    u_area: f64,
    significance: f64,
}

/// The most significant line of ordinary width on a constant background.
fn search(signal: &Signal, value: &[f64]) -> Candidate {
    let group = (value.len() / SEARCH_POINTS).max(1);
    let coarse = Signal {
        wavelength: signal.wavelength.clone(),
        value: value.to_vec(),
        u: signal.u.clone(),
        saturated: Vec::new(),
    }
    .gathered(group);
    let (energies, jacobian) = coarse.energies();
    let weights: Vec<f64> = coarse.u.iter().map(|u| 1.0 / (u * u)).collect();
    let weighted: Vec<f64> = weights.iter().zip(&coarse.value).map(|(weight, value)| weight * value).collect();
    let (flat, flat_value) = (weights.iter().sum::<f64>(), weighted.iter().sum::<f64>());
    let (high, low) = (energies[0], energies[energies.len() - 1]);
    let mut best =
        Candidate { energy: low, width: 0.1, area: 0.0, u_area: f64::INFINITY, significance: f64::NEG_INFINITY };
    for width in SEARCH_WIDTHS_EV {
        let steps = ((high - low) / (0.25 * width)).ceil() as usize;
        let reach = SEARCH_REACH * 0.5 * width * (1.0 + ASYMMETRY_PRIOR.0);
        for index in 0..=steps {
            let energy = low + 0.25 * width * index as f64;
            let line = EmissionLine { peak_ev: energy, fwhm_ev: width, asymmetry: ASYMMETRY_PRIOR.0, photons: 1.0 };
            let shape = LineShape::new(&line);
            // Energies fall as wavelengths rise.
            let from = energies.partition_point(|other| *other > energy + reach);
            let to = energies.partition_point(|other| *other >= energy - reach);
            let (mut square, mut cross, mut value) = (0.0, 0.0, 0.0);
            for pixel in from..to {
                let height = shape.per_ev(energies[pixel]) * jacobian[pixel];
                square += weights[pixel] * height * height;
                cross += weights[pixel] * height;
                value += weighted[pixel] * height;
            }
            // The line beside a constant: the normal equations of two unknowns.
            let determinant = square * flat - cross * cross;
            if determinant.is_nan() || determinant <= 1e-12 * square * flat {
                continue;
            }
            let (area, u_area) = ((value * flat - cross * flat_value) / determinant, (flat / determinant).sqrt());
            if area / u_area > best.significance {
                best = Candidate { energy, width, area, u_area, significance: area / u_area };
            }
        }
    }
    best
}

/// One line of a fit with its uncertainties.
#[derive(Clone, Copy)]
struct Fitted {
    line: EmissionLine,
    u_peak: f64,
    u_width: f64,
    u_area: f64,
}

/// Lines on a common background.
struct Fit {
    lines: Vec<Fitted>,
    background: f64,
    reduced_chi_squared: f64,
}

/// Fits the strongest line, and where a second one stands beside it both together.
fn fit_lines(signal: &Signal, start: &Candidate) -> Option<Fit> {
    let without = |fit: &Fit| -> Vec<f64> {
        let shapes: Vec<LineShape> = fit.lines.iter().map(|fitted| LineShape::new(&fitted.line)).collect();
        let pixels = signal.value.iter().zip(&signal.wavelength);
        let lines = |wavelength: f64| {
            let energy = HC_EV_NM / wavelength;
            shapes.iter().map(|shape| shape.per_ev(energy)).sum::<f64>() * energy / wavelength
        };
        pixels.map(|(value, wavelength)| value - lines(*wavelength) - fit.background).collect()
    };
    let one = fit(signal, &[*start])?;
    let rest = search(signal, &without(&one));
    let line = one.lines[0].line;
    let apart = (rest.energy - line.peak_ev).abs() > 0.3 * line.fwhm_ev;
    let significant = rest.significance > 2.0 * DETECTED_SIGMAS && rest.area > SECOND_LINE_SHARE * line.photons;
    if !(apart && significant) {
        return Some(one);
    }
    let first = Candidate { energy: line.peak_ev, width: line.fwhm_ev, area: line.photons, ..*start };
    let Some(mut two) = fit(signal, &[first, rest]) else { return Some(one) };
    two.lines.sort_by(|a, b| b.line.photons.total_cmp(&a.line.photons));
    Some(two)
}

/// Fits one line for each start, all with a common background.
fn fit(signal: &Signal, starts: &[Candidate]) -> Option<Fit> {
    let area = starts.iter().map(|start| start.area).fold(0.0, f64::max);
    let line = |p: &[f64]| EmissionLine {
        peak_ev: p[0],
        fwhm_ev: p[1].exp(),
        asymmetry: p[2].clamp(-0.9, 0.9),
        photons: area * p[3].exp(),
    };
    // The background in units that make its parameter of the size of the others.
    let unit = area * 0.05;
    let (energies, jacobian) = signal.energies();
    let count = PER_LINE * starts.len();
    let shapes =
        |p: &[f64]| -> Vec<LineShape> { p[..count].chunks_exact(PER_LINE).map(|p| LineShape::new(&line(p))).collect() };
    let residuals = |p: &[f64]| -> Vec<f64> {
        let shapes = shapes(p);
        let light = |i: usize| shapes.iter().map(|shape| shape.per_ev(energies[i])).sum::<f64>() * jacobian[i];
        let mut all: Vec<f64> =
            (0..energies.len()).map(|i| (signal.value[i] - light(i) - p[count] * unit) / signal.u[i]).collect();
        all.extend(p[..count].chunks_exact(PER_LINE).map(|p| (p[2] - ASYMMETRY_PRIOR.0) / ASYMMETRY_PRIOR.1));
        all
    };
    let slopes = |p: &[f64], r: &[f64]| -> Option<Vec<Vec<f64>>> {
        let mut columns = vec![vec![0.0; r.len()]; count + 1];
        for (index, shape) in shapes(p).iter().enumerate() {
            for i in 0..energies.len() {
                let factor = -jacobian[i] / signal.u[i];
                for (k, slope) in shape.slopes(energies[i]).into_iter().enumerate() {
                    columns[PER_LINE * index + k][i] = factor * slope;
                }
            }
            columns[PER_LINE * index + 2][energies.len() + index] = 1.0 / ASYMMETRY_PRIOR.1;
        }
        columns[count].iter_mut().zip(&signal.u).for_each(|(value, u)| *value = -unit / u);
        Some(columns)
    };
    let mut first = Vec::new();
    let mut steps = Vec::new();
    for start in starts {
        first.extend([start.energy, start.width.ln(), ASYMMETRY_PRIOR.0, (start.area / area).max(1e-6).ln()]);
        steps.extend([2e-4, 2e-3, 2e-3, 2e-3]);
    }
    first.push(0.0);
    steps.push(1e-4);
    let found = minimise_with(&first, &steps, 150.0, EFFORT, &residuals, slopes).filter(|found| found.converged)?;
    let reduced = found.chi_squared / (energies.len() - 5).max(1) as f64;
    let u = |index: usize| (found.covariance[(index, index)] * reduced.max(1.0)).sqrt();
    let (low, high) = (energies[energies.len() - 1], energies[0]);
    let mut lines = Vec::new();
    for (index, p) in found.p[..count].chunks_exact(PER_LINE).enumerate() {
        let line = line(p);
        if !(0.01..0.6).contains(&line.fwhm_ev) || line.peak_ev < low - 0.05 || line.peak_ev > high + 0.05 {
            return None;
        }
        let at = PER_LINE * index;
        let (u_width, u_area) = (line.fwhm_ev * u(at + 1), line.photons * u(at + 3));
        lines.push(Fitted { line, u_peak: u(at), u_width, u_area });
    }
    Some(Fit { lines, background: found.p[count] * unit, reduced_chi_squared: reduced })
}

fn describe(signal: &Signal, found: &Fit, detector: &Detector) -> PlPeak {
    let main = &found.lines[0];
    let line = &main.line;
    let mut flags = Vec::new();
    if !signal.saturated.is_empty() {
        flags.push(PlFlag::Saturated { pixels: signal.saturated.len() });
    }
    if let Some(Fitted { line: second, .. }) = found.lines.get(1) {
        flags.push(PlFlag::SecondLine { energy_ev: second.peak_ev, share: second.photons / line.photons });
    }
    let low = HC_EV_NM / signal.wavelength[signal.wavelength.len() - 1];
    let high = HC_EV_NM / signal.wavelength[0];
    if line.peak_ev - low < 0.5 * line.fwhm_ev || high - line.peak_ev < 0.5 * line.fwhm_ev {
        flags.push(PlFlag::AtRangeEnd);
    }
    if found.reduced_chi_squared > 4.0 {
        flags.push(PlFlag::PoorFit { reduced_chi_squared: found.reduced_chi_squared });
    }
    // The slit widens the line in quadrature.
    let ev_per_nm = line.peak_ev * line.peak_ev / HC_EV_NM;
    let slit = detector.resolution_nm * ev_per_nm;
    let width = (line.fwhm_ev * line.fwhm_ev - slit * slit).max(0.25 * line.fwhm_ev * line.fwhm_ev).sqrt();
    let axis = detector.wavelength_u_nm * ev_per_nm;
    let total = |stat: f64, first: f64, second: f64| stat.hypot(first).hypot(second);
    PlPeak {
        peak_ev: Estimate {
            value: line.peak_ev,
            u_stat: main.u_peak,
            u_total: total(main.u_peak, axis, PEAK_SYSTEMATIC_SHARE * width),
        },
        fwhm_ev: Estimate {
            value: width,
            u_stat: main.u_width,
            u_total: total(main.u_width, WIDTH_SYSTEMATIC_SHARE * width, 0.0),
        },
        electrons_per_s: Estimate {
            value: line.photons,
            u_stat: main.u_area,
            u_total: total(main.u_area, INTENSITY_SYSTEMATIC * line.photons, 0.0),
        },
        asymmetry: line.asymmetry,
        reduced_chi_squared: found.reduced_chi_squared,
        flags,
    }
}

//! Absorbance from raw spectra of sample, reference and dark.

use crate::raw::{Detector, Exposure, RawError, check_axis};

/// The lamp must stand out of the dark by this many standard deviations for a pixel to count.
const LAMP_SIGMAS: f64 = 10.0;
/// A sample that passes less light than this many standard deviations is opaque here.
const OPAQUE_SIGMAS: f64 = 3.0;
/// A reflectance below this is stray light.
const LEAST_REFLECTANCE: f64 = 1e-3;
/// Fewest good pixels that make a spectrum.
const FEWEST_GOOD: usize = 32;

/// Why there is no absorbance.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AbsorbanceError {
    /// The raw spectra cannot be used.
    #[error("the raw spectra cannot be used")]
    Raw(#[from] RawError),
    /// Too few pixels are good.
    #[error(
        "only {good} pixels are good: {dark} without lamp light, {saturated} saturated, {opaque} behind an opaque sample"
    )]
    TooFewPixels {
        /// Good pixels.
        good: usize,
        /// Pixels at which the reference does not stand out of the dark.
        dark: usize,
        /// Pixels at which sample or reference is saturated.
        saturated: usize,
        /// Pixels at which no light passes the sample.
        opaque: usize,
    },
}

/// Why a pixel was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excluded {
    /// Sample or reference is saturated.
    Saturated,
    /// The reference does not stand out of the dark.
    NoLamp,
    /// No light passes the sample: absorbance has only a lower limit.
    Opaque,
}

/// Absorbance at one pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Wavelength in nm.
    pub wavelength_nm: f64,
    /// -log10 of the transmittance against the reference.
    pub absorbance: f64,
    /// Its standard uncertainty from counting and read noise.
    pub u: f64,
}

/// An absorbance spectrum: good pixels by rising wavelength, and the others with their reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Absorbance {
    points: Vec<Point>,
    excluded: Vec<(f64, Excluded)>,
    wavelength_u_nm: f64,
    proxy: bool,
}

impl Absorbance {
    /// A spectrum whose absorbance is known already, for example from another instrument. Points must rise in
    /// wavelength; `wavelength_u_nm` is the standard uncertainty of the axis.
    ///
    /// # Errors
    /// [`AbsorbanceError::Raw`] for a bad axis, value or uncertainty.
    pub fn from_points(points: Vec<Point>, wavelength_u_nm: f64) -> Result<Self, AbsorbanceError> {
        let axis: Vec<f64> = points.iter().map(|point| point.wavelength_nm).collect();
        check_axis(&axis)?;
        for (pixel, point) in points.iter().enumerate() {
            if !point.absorbance.is_finite() {
                return Err(RawError::Count { which: "absorbance", pixel, value: point.absorbance }.into());
            }
            if !(point.u > 0.0 && point.u.is_finite()) {
                return Err(RawError::Count { which: "uncertainty", pixel, value: point.u }.into());
            }
        }
        if !(wavelength_u_nm >= 0.0 && wavelength_u_nm.is_finite()) {
            return Err(RawError::Setting { what: "wavelength uncertainty (nm)", value: wavelength_u_nm }.into());
        }
        Ok(Self { points, excluded: Vec::new(), wavelength_u_nm, proxy: false })
    }

    /// The Kubelka-Munk function (1-R)²/2R of a diffuse reflectance from 0 to 1 in place of an absorbance. It is
    /// proportional to absorption over scattering for thick, undiluted, scattering layers; for thin films it is a monotone
    /// proxy, and results say so. Each point is wavelength in nm, R, and the uncertainty of R.
    ///
    /// # Errors
    /// As [`Absorbance::from_points`]; [`AbsorbanceError::TooFewPixels`] when hardly any R is positive.
    pub fn from_reflectance(points: &[(f64, f64, f64)], wavelength_u_nm: f64) -> Result<Self, AbsorbanceError> {
        let mut excluded = Vec::new();
        let mut good = Vec::new();
        for &(wavelength_nm, reflectance, u) in points {
            if reflectance < LEAST_REFLECTANCE {
                excluded.push((wavelength_nm, Excluded::Opaque));
                continue;
            }
            let absorbance = (1.0 - reflectance).powi(2) / (2.0 * reflectance);
            // |dF/dR| = |1 - R²| / 2R²; near a white standard the curvature takes over.
            let slope = (1.0 - reflectance * reflectance).abs() / (2.0 * reflectance * reflectance);
            let u = (slope * u).hypot(u * u / (2.0 * reflectance));
            good.push(Point { wavelength_nm, absorbance, u });
        }
        if good.len() < FEWEST_GOOD {
            let opaque = excluded.len();
            return Err(AbsorbanceError::TooFewPixels { good: good.len(), dark: 0, saturated: 0, opaque });
        }
        Ok(Self { excluded, proxy: true, ..Self::from_points(good, wavelength_u_nm)? })
    }

    /// True when the values are the Kubelka-Munk function of a reflectance.
    #[must_use]
    pub fn is_proxy(&self) -> bool {
        self.proxy
    }

    /// Good pixels by rising wavelength.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Wavelengths in nm that were left out, with the reason.
    #[must_use]
    pub fn excluded(&self) -> &[(f64, Excluded)] {
        &self.excluded
    }

    /// Standard uncertainty of the wavelength axis in nm.
    #[must_use]
    pub fn wavelength_u_nm(&self) -> f64 {
        self.wavelength_u_nm
    }
}

/// Absorbance -log10[(sample - dark)/(reference - dark)], each divided by its integration time, with the uncertainty of
/// every pixel. Sample, reference and dark must have the same integration time, because dark current is subtracted.
///
/// # Errors
/// [`AbsorbanceError::Raw`] for unusable input, [`AbsorbanceError::TooFewPixels`] when too little of the spectrum is
/// left.
pub fn absorbance(
    wavelength_nm: &[f64],
    sample: &Exposure,
    reference: &Exposure,
    dark: &Exposure,
    detector: &Detector,
) -> Result<Absorbance, AbsorbanceError> {
    detector.check()?;
    check_axis(wavelength_nm)?;
    for (which, exposure) in [("sample", sample), ("reference", reference), ("dark", dark)] {
        exposure.check(which, wavelength_nm.len())?;
        exposure.check_dark(dark, which)?;
    }
    let (mut points, mut excluded) = (Vec::new(), Vec::new());
    for (pixel, &wavelength) in wavelength_nm.iter().enumerate() {
        let (s, r, d) = (sample.counts[pixel], reference.counts[pixel], dark.counts[pixel]);
        if detector.is_saturated(s) || detector.is_saturated(r) {
            excluded.push((wavelength, Excluded::Saturated));
            continue;
        }
        let (vs, vr) = (detector.variance(s, sample.averages), detector.variance(r, reference.averages));
        let vd = detector.variance(d, dark.averages);
        let (light, lamp) = (s - d, r - d);
        if lamp < LAMP_SIGMAS * (vr + vd).sqrt() {
            excluded.push((wavelength, Excluded::NoLamp));
        } else if light < OPAQUE_SIGMAS * (vs + vd).sqrt() {
            excluded.push((wavelength, Excluded::Opaque));
        } else {
            // The dark spectrum enters both signals, so its noise partly cancels.
            let relative = vs / (light * light) + vr / (lamp * lamp) + vd * (1.0 / light - 1.0 / lamp).powi(2);
            let u = relative.sqrt() / std::f64::consts::LN_10;
            points.push(Point { wavelength_nm: wavelength, absorbance: -(light / lamp).log10(), u });
        }
    }
    if points.len() < FEWEST_GOOD {
        let count = |reason| excluded.iter().filter(|(_, found)| *found == reason).count();
        return Err(AbsorbanceError::TooFewPixels {
            good: points.len(),
            dark: count(Excluded::NoLamp),
            saturated: count(Excluded::Saturated),
            opaque: count(Excluded::Opaque),
        });
    }
    Ok(Absorbance { points, excluded, wavelength_u_nm: detector.wavelength_u_nm, proxy: false })
}

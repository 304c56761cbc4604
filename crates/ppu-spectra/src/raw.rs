//! What a spectrometer delivers, and how sure it is of it.

/// Fewer pixels than this are no spectrum.
const FEWEST_PIXELS: usize = 32;
/// More pixels than any array detector has.
const MOST_PIXELS: usize = 1_000_000;
/// Pixels above this share of the full scale are taken as saturated: an average of exposures hides single clipped ones.
const SATURATED_SHARE: f64 = 0.98;

/// Why raw spectra cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RawError {
    /// The columns differ in length.
    #[error("the {which} spectrum has {found} pixels, the wavelength axis {wanted}")]
    Lengths {
        /// Which spectrum.
        which: &'static str,
        /// Its pixels.
        found: usize,
        /// Pixels of the axis.
        wanted: usize,
    },
    /// Too few or too many pixels.
    #[error("{pixels} pixels are not a spectrum (between {FEWEST_PIXELS} and {MOST_PIXELS})")]
    Pixels {
        /// Number of pixels.
        pixels: usize,
    },
    /// The wavelength axis does not rise from pixel to pixel within 100 to 10000 nm.
    #[error("the wavelength axis fails at pixel {pixel}: {value} nm")]
    Axis {
        /// Pixel, from 0.
        pixel: usize,
        /// Its wavelength.
        value: f64,
    },
    /// A count is not a number or far below zero.
    #[error("pixel {pixel} of the {which} spectrum holds {value}")]
    Count {
        /// Which spectrum.
        which: &'static str,
        /// Pixel, from 0.
        pixel: usize,
        /// Its value.
        value: f64,
    },
    /// Integration time, number of averages or a number of the detector is unusable.
    #[error("{what} is {value}")]
    Setting {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The dark spectrum was taken with another integration time.
    #[error("the dark spectrum was integrated for {dark_s} s, the {which} spectrum for {other_s} s")]
    IntegrationTime {
        /// Integration time of the dark spectrum in s.
        dark_s: f64,
        /// Which other spectrum.
        which: &'static str,
        /// Its integration time in s.
        other_s: f64,
    },
}

/// A spectrometer's array detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detector {
    /// Counts for each electron.
    pub gain_counts_per_electron: f64,
    /// Read noise in electrons.
    pub read_noise_electrons: f64,
    /// Counts of an exposure without light and dark current.
    pub baseline_counts: f64,
    /// Counts at which the converter clips.
    pub saturation_counts: f64,
    /// Full width of the instrument's line in nm.
    pub resolution_nm: f64,
    /// Standard uncertainty of the wavelength axis in nm.
    pub wavelength_u_nm: f64,
}

impl Detector {
    /// A 16-bit fibre spectrometer of the usual kind.
    #[must_use]
    pub fn ocean_like() -> Self {
        Self {
            gain_counts_per_electron: 0.35,
            read_noise_electrons: 12.0,
            baseline_counts: 1500.0,
            saturation_counts: 65_535.0,
            resolution_nm: 1.5,
            wavelength_u_nm: 0.3,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RawError> {
        let positive = [
            ("detector gain (counts per electron)", self.gain_counts_per_electron),
            ("saturation (counts)", self.saturation_counts),
            ("resolution (nm)", self.resolution_nm),
        ];
        let not_negative = [
            ("read noise (electrons)", self.read_noise_electrons),
            ("wavelength uncertainty (nm)", self.wavelength_u_nm),
            ("baseline (counts)", self.baseline_counts),
        ];
        let bad_positive = positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite()));
        let bad = bad_positive.or(not_negative.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())));
        bad.map_or(Ok(()), |(what, value)| Err(RawError::Setting { what, value }))
    }

    /// Variance in counts² of one pixel of an exposure: Poisson electrons, read noise and rounding, less by averaging.
    pub(crate) fn variance(&self, counts: f64, averages: u32) -> f64 {
        let gain = self.gain_counts_per_electron;
        let poisson = gain * (counts - self.baseline_counts).max(0.0);
        (poisson + (gain * self.read_noise_electrons).powi(2) + 1.0 / 12.0) / f64::from(averages)
    }

    pub(crate) fn is_saturated(&self, counts: f64) -> bool {
        counts >= SATURATED_SHARE * self.saturation_counts
    }
}

/// One spectrum, or the mean of several taken alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// Counts of each pixel, averaged over the exposures.
    pub counts: Vec<f64>,
    /// Integration time of one exposure in s.
    pub integration_s: f64,
    /// Number of exposures averaged.
    pub averages: u32,
}

impl Exposure {
    pub(crate) fn check(&self, which: &'static str, pixels: usize) -> Result<(), RawError> {
        if self.counts.len() != pixels {
            return Err(RawError::Lengths { which, found: self.counts.len(), wanted: pixels });
        }
        if let Some(pixel) = self.counts.iter().position(|count| !(count.is_finite() && *count > -1e6)) {
            return Err(RawError::Count { which, pixel, value: self.counts[pixel] });
        }
        if !(self.integration_s > 0.0 && self.integration_s.is_finite()) {
            return Err(RawError::Setting { what: "integration time (s)", value: self.integration_s });
        }
        if self.averages == 0 {
            return Err(RawError::Setting { what: "number of averages", value: 0.0 });
        }
        Ok(())
    }

    pub(crate) fn check_dark(&self, dark: &Exposure, which: &'static str) -> Result<(), RawError> {
        // Dark current grows with time; one per cent of it is below the read noise.
        if (dark.integration_s / self.integration_s - 1.0).abs() > 0.01 {
            return Err(RawError::IntegrationTime { dark_s: dark.integration_s, which, other_s: self.integration_s });
        }
        Ok(())
    }
}

pub(crate) fn check_axis(wavelength_nm: &[f64]) -> Result<(), RawError> {
    let pixels = wavelength_nm.len();
    if !(FEWEST_PIXELS..=MOST_PIXELS).contains(&pixels) {
        return Err(RawError::Pixels { pixels });
    }
    for (pixel, &value) in wavelength_nm.iter().enumerate() {
        let rises = pixel == 0 || value > wavelength_nm[pixel - 1];
        if !(rises && (100.0..=10_000.0).contains(&value)) {
            return Err(RawError::Axis { pixel, value });
        }
    }
    Ok(())
}

/// A value with its standard uncertainties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Best value.
    pub value: f64,
    /// From the scatter of the data.
    pub u_stat: f64,
    /// With the choice of model and the instrument's scale.
    pub u_total: f64,
}

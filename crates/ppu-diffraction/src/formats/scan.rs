//! What every reader returns: one scan over 2θ.

use crate::pattern::{Pattern, PatternError};

/// Header wavelengths that differ from Cu Kα1 by more than this (relative) are pointed out.
const WAVELENGTH_TOLERANCE: f64 = 5e-6;

/// One scan over 2θ.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Name of the scan axis as stated, for example `Gonio`; empty where the format names none.
    pub axis: String,
    /// Angles, intensities (attenuation applied) and uncertainties.
    pub pattern: Pattern,
    /// Common counting time of a point in seconds.
    pub counting_time_s: Option<f64>,
    /// Wavelengths as stated. The file is not the authority for the wavelength scale: use the instrument's.
    pub wavelength: Option<UsedWavelength>,
    /// Goniometer radius in mm as stated.
    pub radius_mm: Option<f64>,
    /// Status as stated, for example `Completed`.
    pub status: Option<String>,
    /// Name of the sample as stated.
    pub sample_id: Option<String>,
    /// True when attenuation factors other than 1 were applied.
    pub attenuated: bool,
    /// What to know about the file.
    pub warnings: Vec<String>,
}

impl Scan {
    /// A scan of which nothing but its pattern is known.
    pub(crate) fn bare(pattern: Pattern) -> Self {
        Self {
            axis: String::new(),
            pattern,
            counting_time_s: None,
            wavelength: None,
            radius_mm: None,
            status: None,
            sample_id: None,
            attenuated: false,
            warnings: Vec::new(),
        }
    }
}

/// Wavelengths in Å as a file states them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UsedWavelength {
    /// Kα1.
    pub k_alpha1: Option<f64>,
    /// Kα2.
    pub k_alpha2: Option<f64>,
    /// Kβ.
    pub k_beta: Option<f64>,
    /// Intensity ratio Kα2/Kα1.
    pub ratio: Option<f64>,
}

impl UsedWavelength {
    /// A sentence when the stated Kα1 is not the one of the scale that this crate uses.
    pub(super) fn warning(&self) -> Option<String> {
        let stated = self.k_alpha1?;
        let known = crate::profile::CU_K_ALPHA[0];
        ((stated / known - 1.0).abs() > WAVELENGTH_TOLERANCE)
            .then(|| format!("the header states Kα1 = {stated} Å, the scale used here has {known} Å"))
    }
}

pub(super) fn is_whole(values: &[f64]) -> bool {
    values.iter().all(|value| (value - value.round()).abs() < 1e-6 && *value >= 0.0)
}

/// √n where the values are counts. Values that are no integers have lost their statistics (summed detector channels,
/// corrections): the scatter between neighbours then tells how large the noise is.
pub(super) fn count_sigma(values: &[f64], warnings: &mut Vec<String>) -> Vec<f64> {
    let poisson: Vec<f64> = values.iter().map(|value| value.max(1.0).sqrt()).collect();
    if is_whole(values) || values.len() < 20 {
        return poisson;
    }
    let mut ratios: Vec<f64> = (1..values.len() - 1)
        .map(|i| {
            // The variance of a second difference of independent values is six times theirs.
            let second = values[i - 1] - 2.0 * values[i] + values[i + 1];
            second * second / (6.0 * poisson[i] * poisson[i])
        })
        .filter(|ratio| ratio.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    // The median of a squared standard normal deviate is 0.455; a floor keeps smoothed data from having no noise.
    let scale = ratios.get(ratios.len() / 2).map_or(1.0, |median| (median / 0.455).sqrt().max(0.1));
    warnings.push(format!("the values are not counts; their noise was estimated as {scale:.2} of counting noise"));
    poisson.into_iter().map(|sigma| sigma * scale).collect()
}

/// A pattern of values that may or may not be counts; decides by arithmetic, because headers lie.
pub(super) fn pattern(angles: Vec<f64>, values: Vec<f64>, warnings: &mut Vec<String>) -> Result<Pattern, PatternError> {
    if is_whole(&values) {
        return Pattern::from_counts(angles, values);
    }
    let sigma = count_sigma(&values, warnings);
    Pattern::with_sigma(angles, values, sigma)
}

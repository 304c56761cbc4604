//! Malvern Panalytical XRDML, any schema version.
//!
//! The file states raw counts: attenuation factors of the beam are *not* applied in it, so intensity is counts × factor
//! and its uncertainty √counts × factor.

mod document;

pub use super::scan::{Scan, UsedWavelength};
use super::scan::{count_sigma, is_whole};
use crate::pattern::{Pattern, PatternError};

/// Why a file is not a usable XRDML measurement.
#[derive(Debug, Clone, thiserror::Error)]
pub enum XrdmlError {
    /// The bytes are not UTF-8.
    #[error("the file is not UTF-8 text at byte {byte}")]
    Encoding {
        /// Offset of the first bad byte.
        byte: usize,
    },
    /// The XML is broken.
    #[error("the XML is broken at byte {byte}")]
    Xml {
        /// Offset at which the parser stopped.
        byte: u64,
        /// What the parser says.
        source: quick_xml::Error,
    },
    /// The file ends inside an element.
    #[error("the file ends inside <{element}>")]
    Truncated {
        /// The innermost open element.
        element: String,
    },
    /// The root is another kind of document.
    #[error("the root element is <{found}>, not <xrdMeasurements>")]
    NotXrdml {
        /// Name of the root element, empty when there is none.
        found: String,
    },
    /// Elements are nested or repeated beyond anything an instrument writes.
    #[error("<{element}> is nested too deeply or holds too much")]
    TooMuch {
        /// The element.
        element: String,
    },
    /// A number cannot be read.
    #[error("<{element}> before byte {byte} holds `{text}` where a number belongs")]
    Number {
        /// The element.
        element: String,
        /// The text, at most 40 characters of it.
        text: String,
        /// Offset of the end of the element.
        byte: u64,
    },
    /// Something that a scan needs is not there.
    #[error("scan {scan} has no <{element}>")]
    Missing {
        /// Number of the scan in the file, from 1.
        scan: usize,
        /// The element.
        element: &'static str,
    },
    /// A list is shorter or longer than the counts.
    #[error("<{element}> of scan {scan} has {found} values for {wanted} points")]
    Length {
        /// Number of the scan in the file, from 1.
        scan: usize,
        /// The element.
        element: &'static str,
        /// Values found.
        found: usize,
        /// Points of the scan.
        wanted: usize,
    },
    /// An attenuation factor or counting time is not positive, or intensities have an unknown unit.
    #[error("<{element}> of scan {scan} holds the unusable value `{value}`")]
    Value {
        /// Number of the scan in the file, from 1.
        scan: usize,
        /// The element.
        element: &'static str,
        /// The value.
        value: String,
    },
    /// No scan moves 2θ.
    #[error("no scan of the file moves 2θ (found: {axes})")]
    NoPowderScan {
        /// The axes that were found.
        axes: String,
    },
    /// The columns of a scan are no pattern.
    #[error("scan {scan} is no powder pattern")]
    Pattern {
        /// Number of the scan in the file, from 1.
        scan: usize,
        /// Why.
        source: PatternError,
    },
}

/// A measurement file.
#[derive(Debug, Clone, PartialEq)]
pub struct XrdmlFile {
    /// Version of the schema, for example `2.3`, when the file names one.
    pub version: Option<String>,
    /// The scans that move 2θ, in file order; at least one.
    pub scans: Vec<Scan>,
}

/// Reads every 2θ scan of a file.
///
/// # Errors
/// [`XrdmlError`] names the element, scan or byte that cannot be used.
pub fn read(bytes: &[u8]) -> Result<XrdmlFile, XrdmlError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| XrdmlError::Encoding { byte: error.valid_up_to() })?;
    let document = document::parse(text)?;
    let mut scans = Vec::new();
    let mut axes = Vec::new();
    for (index, raw) in document.scans.iter().enumerate() {
        if raw.moves_two_theta() {
            scans.push(build(index + 1, raw)?);
        } else {
            axes.push(if raw.axis.is_empty() { "no axis".to_owned() } else { raw.axis.clone() });
        }
    }
    if scans.is_empty() {
        let axes = if axes.is_empty() { "no scan at all".to_owned() } else { axes.join(", ") };
        return Err(XrdmlError::NoPowderScan { axes });
    }
    for axis in axes {
        scans[0].warnings.push(format!("a scan over {axis} was left out"));
    }
    Ok(XrdmlFile { version: document.version, scans })
}

fn build(number: usize, raw: &document::RawScan) -> Result<Scan, XrdmlError> {
    let missing = |element| XrdmlError::Missing { scan: number, element };
    let mut warnings = Vec::new();
    let counts = raw.counts.as_ref().ok_or_else(|| missing("counts"))?;
    let points = counts.len();
    let angles = angles(number, raw, points)?;
    let mut intensity = counts.clone();
    match raw.unit.as_str() {
        "counts" => {}
        "cps" => {
            let time = raw.counting_time_s.ok_or_else(|| missing("commonCountingTime"))?;
            intensity.iter_mut().for_each(|value| *value *= time);
            warnings
                .push("intensities were stated in counts per second and multiplied by the counting time".to_owned());
        }
        unit => return Err(XrdmlError::Value { scan: number, element: "intensities", value: unit.to_owned() }),
    }
    let mut sigma = count_sigma(&intensity, &mut warnings);
    let mut attenuated = false;
    if let Some(factors) = &raw.attenuation {
        check_length(number, "beamAttenuationFactors", factors.len(), points)?;
        for (index, factor) in factors.iter().enumerate() {
            if !(*factor > 0.0 && factor.is_finite()) {
                let value = factor.to_string();
                return Err(XrdmlError::Value { scan: number, element: "beamAttenuationFactors", value });
            }
            attenuated |= *factor != 1.0;
            intensity[index] *= factor;
            sigma[index] *= factor;
        }
    }
    if let Some(times) = &raw.counting_times {
        check_length(number, "countingTimes", times.len(), points)?;
        normalise_times(number, times, &mut intensity, &mut sigma)?;
        warnings.push("counting times differ between points; intensities are scaled to the longest".to_owned());
    }
    let are_plain = !attenuated && raw.counting_times.is_none() && is_whole(&intensity);
    let pattern =
        if are_plain { Pattern::from_counts(angles, intensity) } else { Pattern::with_sigma(angles, intensity, sigma) };
    let pattern = pattern.map_err(|source| XrdmlError::Pattern { scan: number, source })?;
    header_warnings(raw, &mut warnings);
    Ok(Scan {
        axis: raw.axis.clone(),
        pattern,
        counting_time_s: raw.counting_time_s,
        wavelength: raw.wavelength,
        radius_mm: raw.radius_mm,
        status: raw.status.clone(),
        sample_id: raw.sample_id.clone(),
        attenuated,
        warnings,
    })
}

fn check_length(scan: usize, element: &'static str, found: usize, wanted: usize) -> Result<(), XrdmlError> {
    if found == wanted { Ok(()) } else { Err(XrdmlError::Length { scan, element, found, wanted }) }
}

fn angles(scan: usize, raw: &document::RawScan, points: usize) -> Result<Vec<f64>, XrdmlError> {
    if let Some(list) = &raw.angles {
        check_length(scan, "listPositions", list.len(), points)?;
        return Ok(list.clone());
    }
    let start = raw.start.ok_or(XrdmlError::Missing { scan, element: "startPosition" })?;
    let end = raw.end.ok_or(XrdmlError::Missing { scan, element: "endPosition" })?;
    let step = (end - start) / (points.max(2) - 1) as f64;
    Ok((0..points).map(|index| start + step * index as f64).collect())
}

fn normalise_times(scan: usize, times: &[f64], intensity: &mut [f64], sigma: &mut [f64]) -> Result<(), XrdmlError> {
    let longest = times.iter().copied().fold(0.0, f64::max);
    for (index, time) in times.iter().enumerate() {
        if !(*time > 0.0 && time.is_finite()) {
            return Err(XrdmlError::Value { scan, element: "countingTimes", value: time.to_string() });
        }
        intensity[index] *= longest / time;
        sigma[index] *= longest / time;
    }
    Ok(())
}

fn header_warnings(raw: &document::RawScan, warnings: &mut Vec<String>) {
    warnings.extend(raw.wavelength.and_then(|wavelength| wavelength.warning()));
    match raw.status.as_deref() {
        None | Some("Completed") => {}
        Some(status) => warnings.push(format!("the scan is {status}, not Completed")),
    }
}

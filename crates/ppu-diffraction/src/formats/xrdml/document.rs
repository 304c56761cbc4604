//! The part of an XRDML document that a powder pattern needs, as it stands in the file.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{UsedWavelength, XrdmlError};
use crate::pattern::MOST_POINTS;

/// Real files nest about eight deep.
const DEEPEST: usize = 64;
/// Real files hold at most some hundred scans.
const MOST_SCANS: usize = 10_000;
/// Text of elements that are not lists of numbers; longer text is comment.
const LONGEST_TEXT: usize = 1_000;

/// A document before any check of sense.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) version: Option<String>,
    pub(super) scans: Vec<RawScan>,
}

/// A scan before any check of sense.
#[derive(Debug, Default, Clone)]
pub(super) struct RawScan {
    pub(super) axis: String,
    pub(super) two_theta_stands: bool,
    pub(super) status: Option<String>,
    pub(super) sample_id: Option<String>,
    pub(super) start: Option<f64>,
    pub(super) end: Option<f64>,
    pub(super) angles: Option<Vec<f64>>,
    pub(super) counts: Option<Vec<f64>>,
    pub(super) unit: String,
    pub(super) attenuation: Option<Vec<f64>>,
    pub(super) counting_time_s: Option<f64>,
    pub(super) counting_times: Option<Vec<f64>>,
    pub(super) wavelength: Option<UsedWavelength>,
    pub(super) radius_mm: Option<f64>,
}

impl RawScan {
    /// True for the axes of powder scans; rocking curves, rotations and maps move other axes or hold 2θ still.
    pub(super) fn moves_two_theta(&self) -> bool {
        let axis = self.axis.to_ascii_lowercase();
        !self.two_theta_stands && (axis == "gonio" || axis.contains("2theta"))
    }
}

/// State while walking through the elements.
#[derive(Default)]
struct Walk {
    path: Vec<String>,
    text: String,
    document: Document,
    scan: Option<RawScan>,
    wavelength: Option<UsedWavelength>,
    radius_mm: Option<f64>,
    sample_id: Option<String>,
    in_two_theta: bool,
}

pub(super) fn parse(text: &str) -> Result<Document, XrdmlError> {
    let mut reader = Reader::from_str(text);
    let mut walk = Walk::default();
    loop {
        let event = reader.read_event();
        let byte = reader.buffer_position();
        match event {
            Ok(Event::Start(element)) => walk.open(&element, byte)?,
            Ok(Event::Empty(element)) => {
                walk.open(&element, byte)?;
                walk.close(byte)?;
            }
            Ok(Event::End(_)) => walk.close(byte)?,
            Ok(Event::Text(part)) => walk.keep(&part),
            Ok(Event::CData(part)) => walk.keep(&part),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(source) => return Err(XrdmlError::Xml { byte, source }),
        }
    }
    if let Some(element) = walk.path.pop() {
        return Err(XrdmlError::Truncated { element });
    }
    if walk.document.version.is_none() && walk.document.scans.is_empty() && text.trim().is_empty() {
        return Err(XrdmlError::NotXrdml { found: String::new() });
    }
    Ok(walk.document)
}

impl Walk {
    fn keep(&mut self, part: &str) {
        let list = matches!(
            self.path.last().map(String::as_str),
            Some("counts" | "intensities" | "listPositions" | "beamAttenuationFactors" | "countingTimes")
        );
        if list || self.text.len() + part.len() <= LONGEST_TEXT {
            self.text.push_str(part);
        }
    }

    fn open(&mut self, element: &BytesStart<'_>, byte: u64) -> Result<(), XrdmlError> {
        let name = element.local_name().as_ref().to_owned();
        if self.path.is_empty() {
            if name != "xrdMeasurements" {
                return Err(XrdmlError::NotXrdml { found: name });
            }
            let namespace = attribute(element, "xmlns", byte)?.unwrap_or_default();
            self.document.version = namespace.rsplit_once('/').map(|(_, version)| version.to_owned());
        }
        if self.path.len() >= DEEPEST || self.document.scans.len() >= MOST_SCANS {
            return Err(XrdmlError::TooMuch { element: name });
        }
        match name.as_str() {
            "xrdMeasurement" => {
                self.wavelength = None;
                self.radius_mm = None;
            }
            "scan" => {
                self.scan = Some(RawScan {
                    axis: attribute(element, "scanAxis", byte)?.unwrap_or_default(),
                    status: attribute(element, "status", byte)?,
                    unit: "counts".to_owned(),
                    ..RawScan::default()
                });
            }
            "positions" => self.in_two_theta = attribute(element, "axis", byte)?.as_deref() == Some("2Theta"),
            "counts" | "intensities" => {
                let unit = attribute(element, "unit", byte)?;
                if let (Some(scan), Some(unit)) = (self.scan.as_mut(), unit) {
                    scan.unit = unit;
                }
            }
            _ => {}
        }
        self.text.clear();
        self.path.push(name);
        Ok(())
    }

    fn close(&mut self, byte: u64) -> Result<(), XrdmlError> {
        let Some(name) = self.path.pop() else { return Ok(()) };
        let text = std::mem::take(&mut self.text);
        let parent = self.path.last().cloned().unwrap_or_default();
        match (parent.as_str(), name.as_str()) {
            ("usedWavelength", _) => self.close_wavelength(&name, &text, byte)?,
            ("incidentBeamPath", "radius") => self.radius_mm = Some(number(&name, &text, byte)?),
            ("sample", "id") if !text.trim().is_empty() => self.sample_id = Some(text.trim().to_owned()),
            (_, "scan") => {
                if let Some(mut scan) = self.scan.take() {
                    scan.wavelength = self.wavelength;
                    scan.radius_mm = self.radius_mm;
                    scan.sample_id = self.sample_id.clone();
                    self.document.scans.push(scan);
                }
            }
            _ => {}
        }
        let in_two_theta = self.in_two_theta && parent == "positions";
        let Some(scan) = self.scan.as_mut() else { return Ok(()) };
        match name.as_str() {
            "startPosition" if in_two_theta => scan.start = Some(number(&name, &text, byte)?),
            "endPosition" if in_two_theta => scan.end = Some(number(&name, &text, byte)?),
            "listPositions" if in_two_theta => scan.angles = Some(numbers(&name, &text, byte)?),
            "commonPosition" if in_two_theta => scan.two_theta_stands = true,
            "counts" | "intensities" => scan.counts = Some(numbers(&name, &text, byte)?),
            "beamAttenuationFactors" => scan.attenuation = Some(numbers(&name, &text, byte)?),
            "commonCountingTime" => scan.counting_time_s = Some(positive(&name, &text, byte)?),
            "countingTimes" => scan.counting_times = Some(numbers(&name, &text, byte)?),
            _ => {}
        }
        Ok(())
    }

    fn close_wavelength(&mut self, name: &str, text: &str, byte: u64) -> Result<(), XrdmlError> {
        let wavelength = self.wavelength.get_or_insert_default();
        let slot = match name {
            "kAlpha1" => &mut wavelength.k_alpha1,
            "kAlpha2" => &mut wavelength.k_alpha2,
            "kBeta" => &mut wavelength.k_beta,
            "ratioKAlpha2KAlpha1" => &mut wavelength.ratio,
            _ => return Ok(()),
        };
        *slot = Some(number(name, text, byte)?);
        Ok(())
    }
}

fn attribute(element: &BytesStart<'_>, name: &str, byte: u64) -> Result<Option<String>, XrdmlError> {
    let found = element.try_get_attribute(name).map_err(|error| XrdmlError::Xml { byte, source: error.into() })?;
    Ok(found.map(|attribute| attribute.value.to_string()))
}

fn number(element: &str, text: &str, byte: u64) -> Result<f64, XrdmlError> {
    let shown =
        || XrdmlError::Number { element: element.to_owned(), text: text.trim().chars().take(40).collect(), byte };
    text.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(shown)
}

fn positive(element: &str, text: &str, byte: u64) -> Result<f64, XrdmlError> {
    let value = number(element, text, byte)?;
    if value > 0.0 {
        Ok(value)
    } else {
        Err(XrdmlError::Number { element: element.to_owned(), text: text.trim().chars().take(40).collect(), byte })
    }
}

fn numbers(element: &str, text: &str, byte: u64) -> Result<Vec<f64>, XrdmlError> {
    let mut values = Vec::new();
    for word in text.split_ascii_whitespace() {
        if values.len() >= MOST_POINTS {
            return Err(XrdmlError::TooMuch { element: element.to_owned() });
        }
        values.push(number(element, word, byte)?);
    }
    Ok(values)
}

//! Bruker BRML: a zip archive of XML parts.
//!
//! The stored intensity already contains the absorber: y divided by the factor is the count, so the uncertainty is
//! √(y/a) · a. Columns are found by their declared names, never by position.

use super::error::{ReadError, shown};
use super::scan::{Scan, UsedWavelength, is_whole};
use super::xml::{self, Element};
use super::zip::Archive;
use crate::pattern::{MOST_POINTS, Pattern};

const FORMAT: &str = "BRML file";
/// Experiments of one archive; more are a mapping, not a powder measurement.
const MOST_PARTS: usize = 256;
/// A row of a point scan holds some ten numbers; longer rows are frames of an area detector.
const LONGEST_ROW: usize = 64;

/// Reads every 2θ scan of an archive, in the order of its manifest.
///
/// # Errors
/// [`ReadError`] names the part, element or byte that cannot be used.
pub fn read(bytes: &[u8]) -> Result<Vec<Scan>, ReadError> {
    let archive = Archive::open(bytes, FORMAT)?;
    let parts = parts(&archive)?;
    let (mut scans, mut axes) = (Vec::new(), Vec::new());
    for part in &parts {
        let Some(content) = archive.read(part)? else {
            return Err(ReadError::Missing { part: "the archive".to_owned(), element: format!("member {part}") });
        };
        let root = xml::parse(&content, part)?;
        read_part(&root, part, &mut scans, &mut axes)?;
    }
    if scans.is_empty() {
        let axes = if axes.is_empty() { "no scan at all".to_owned() } else { axes.join(", ") };
        return Err(ReadError::NoPowderScan { axes });
    }
    scans[0].warnings.extend(axes.iter().map(|axis| format!("a scan over {axis} was left out")));
    Ok(scans)
}

/// Names of the raw data in the order of the manifests; without a manifest in the order of their numbers.
fn parts(archive: &Archive<'_>) -> Result<Vec<String>, ReadError> {
    let mut manifests: Vec<&str> = archive.names().filter(|name| name.ends_with("DataContainer.xml")).collect();
    manifests.sort_by_key(|name| (name.len(), name.to_string()));
    let mut parts = Vec::new();
    for manifest in manifests {
        let content = archive.read(manifest)?.unwrap_or_default();
        let root = xml::parse(&content, manifest)?;
        let list = root.find("RawDataReferenceList").map_or(&[][..], |list| &list.children);
        parts.extend(list.iter().map(|entry| entry.text.trim().to_owned()));
    }
    if parts.is_empty() {
        let is_raw = |name: &&str| {
            name.rsplit('/').next().is_some_and(|file| file.starts_with("RawData") && file.ends_with(".xml"))
        };
        parts = archive.names().filter(is_raw).map(str::to_owned).collect();
        parts.sort_by_key(|name| (name.len(), name.clone()));
    }
    if parts.len() > MOST_PARTS {
        let part = "the archive".to_owned();
        return Err(ReadError::TooMuch { part, what: "measurements", most: MOST_PARTS as u64 });
    }
    if parts.is_empty() {
        return Err(ReadError::Missing { part: "the archive".to_owned(), element: "RawData part".to_owned() });
    }
    Ok(parts)
}

fn read_part(root: &Element, part: &str, scans: &mut Vec<Scan>, axes: &mut Vec<String>) -> Result<(), ReadError> {
    let missing = |element: &str| ReadError::Missing { part: part.to_owned(), element: element.to_owned() };
    let routes = root.child("DataRoutes").ok_or_else(|| missing("DataRoutes"))?;
    let mut found = false;
    for route in routes.children.iter().filter(|child| child.name == "DataRoute") {
        if route.attribute("RouteFlag").is_some_and(|flag| flag == "Aborted") {
            continue;
        }
        found = true;
        let columns = Columns::of(route, part)?;
        let axis = route.child("ScanInformation").and_then(|info| info.attribute("VisibleName")).unwrap_or("").trim();
        match columns.angle {
            Some(angle) => {
                let mut scan = scan(root, route, part, angle, &columns)?;
                scan.axis = axis.to_owned();
                scans.push(scan);
            }
            None => axes.push(if axis.is_empty() { "no axis".to_owned() } else { axis.to_owned() }),
        }
    }
    if found { Ok(()) } else { Err(missing("DataRoute")) }
}

/// Where in a row each number stands.
struct Columns {
    angle: Option<usize>,
    counts: usize,
    factor: Option<usize>,
    time: Option<usize>,
    length: usize,
}

impl Columns {
    fn of(route: &Element, part: &str) -> Result<Self, ReadError> {
        let missing = |element: &str| ReadError::Missing { part: part.to_owned(), element: element.to_owned() };
        let views = route.child("DataViews").ok_or_else(|| missing("DataViews"))?;
        let (mut angle, mut counts, mut factor, mut time, mut length) = (None, None, None, None, 0);
        for view in &views.children {
            let number = |name: &str| {
                let text = view.attribute(name).unwrap_or("");
                let value = || ReadError::Value {
                    part: part.to_owned(),
                    element: format!("RawDataView {name}"),
                    value: shown(text),
                };
                text.parse::<usize>().map_err(|_| value())
            };
            let (start, size) = (number("Start")?, number("Length")?);
            length = length.max(start.saturating_add(size));
            if length > LONGEST_ROW {
                let what = "a measurement with an area or line detector that was not integrated".to_owned();
                return Err(ReadError::NotSupported { format: FORMAT, what });
            }
            match view.attribute("LogicName") {
                Some("AbsorptionFactor") => factor = Some(start),
                Some("MeasuredTime") => time = Some(start),
                _ => {}
            }
            if let Some(varying) = view.child("Varying") {
                let fields = varying.children.iter().filter(|child| child.name == "FieldDefinitions");
                for (offset, field) in fields.enumerate() {
                    if matches!(field.attribute("AxisId").or(field.attribute("FieldName")), Some("TwoTheta"))
                        && offset < size
                    {
                        angle = Some(start + offset);
                    }
                }
            }
            if view.child("Recording").is_some() {
                counts = counts.or(Some(start));
            }
        }
        Ok(Self { angle, counts: counts.ok_or_else(|| missing("recorded column"))?, factor, time, length })
    }
}

fn scan(root: &Element, route: &Element, part: &str, angle: usize, columns: &Columns) -> Result<Scan, ReadError> {
    let (mut angles, mut values, mut factors, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, datum) in route.children.iter().filter(|child| child.name == "Datum").enumerate() {
        if index >= MOST_POINTS {
            return Err(ReadError::TooMuch { part: part.to_owned(), what: "points", most: MOST_POINTS as u64 });
        }
        let row = row(&datum.text, part, index, columns.length)?;
        angles.push(row[angle]);
        values.push(row[columns.counts]);
        factors.push(columns.factor.map_or(1.0, |column| row[column]));
        times.push(columns.time.map_or(0.0, |column| row[column]));
    }
    let stated = route.child("ScanInformation").and_then(|info| info.child("MeasurementPoints"));
    let mut warnings = Vec::new();
    if let Some(stated) = stated.and_then(|element| element.text.parse::<usize>().ok())
        && stated != values.len()
    {
        warnings.push(format!("{stated} points were planned, {} were measured", values.len()));
    }
    if let Some(index) = factors.iter().position(|factor| !(*factor >= 1.0 && *factor < 1e9)) {
        let element = format!("AbsorptionFactor of Datum {}", index + 1);
        return Err(ReadError::Value { part: part.to_owned(), element, value: factors[index].to_string() });
    }
    let attenuated = factors.iter().any(|factor| *factor != 1.0);
    let counts: Vec<f64> = values.iter().zip(&factors).map(|(value, factor)| value / factor).collect();
    let pattern = if attenuated {
        let sigma = counts.iter().zip(&factors).map(|(count, factor)| count.max(1.0).sqrt() * factor).collect();
        // Factors are printed with five digits, so counts come back only that exactly.
        if counts.iter().any(|count| (count - count.round()).abs() > 1e-3 * count.abs().max(1.0)) {
            warnings.push("intensities divided by the absorber factors are not whole counts".to_owned());
        }
        Pattern::with_sigma(angles, values, sigma)
    } else if is_whole(&values) {
        Pattern::from_counts(angles, values)
    } else {
        super::scan::pattern(angles, values, &mut warnings)
    };
    let pattern = pattern.map_err(|source| ReadError::Pattern { part: part.to_owned(), source })?;
    let wavelength = wavelength(root);
    warnings.extend(wavelength.and_then(|wavelength| wavelength.warning()));
    let radius = root.find("SecondaryTracks").or(root.find("PrimaryTracks")).and_then(|track| track.find("Radius"));
    let time = times.first().copied().filter(|first| *first > 0.0 && times.iter().all(|time| time == first));
    Ok(Scan {
        counting_time_s: time,
        wavelength,
        radius_mm: radius.and_then(value),
        status: root.child("MeasurementStatus").map(|status| status.text.clone()),
        attenuated,
        warnings,
        ..Scan::bare(pattern)
    })
}

fn row(text: &str, part: &str, index: usize, length: usize) -> Result<Vec<f64>, ReadError> {
    let place = || format!("Datum {}", index + 1);
    let bad = |word: &str| ReadError::Value { part: part.to_owned(), element: place(), value: shown(word) };
    let numbers: Vec<f64> = text
        .split(',')
        .take(LONGEST_ROW + 1)
        .map(|word| word.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| bad(word)))
        .collect::<Result<_, _>>()?;
    if numbers.len() == length {
        return Ok(numbers);
    }
    let part = format!("{} of {part}", place());
    Err(ReadError::Mismatch { part, what: "columns", stated: length as u64, found: numbers.len() as u64 })
}

fn value(element: &Element) -> Option<f64> {
    element.attribute("Value").unwrap_or(&element.text).trim().parse().ok().filter(|value: &f64| *value > 0.0)
}

fn wavelength(root: &Element) -> Option<UsedWavelength> {
    let of = |name: &str| root.find(name).and_then(value);
    let found = UsedWavelength {
        k_alpha1: of("WaveLengthAlpha1"),
        k_alpha2: of("WaveLengthAlpha2"),
        k_beta: of("WaveLengthBeta"),
        ratio: of("WaveLengthRatio"),
    };
    (found != UsedWavelength::default()).then_some(found)
}

//! Rigaku RASX: a zip archive with `Profile<N>.txt` and `MesurementConditions<N>.xml` (spelled so) in each `Data<N>`.

use super::error::{ReadError, shown};
use super::ras;
use super::scan::{Scan, UsedWavelength};
use super::xml::{self, Element};
use super::zip::Archive;
use crate::pattern::MOST_POINTS;

const FORMAT: &str = "RASX file";
/// Scans of one archive; more are a mapping, not a powder measurement.
const MOST_SCANS: usize = 256;

/// Reads every 2θ scan of an archive, in the order of its manifest.
///
/// # Errors
/// [`ReadError`] names the part, element or line that cannot be used.
pub fn read(bytes: &[u8]) -> Result<Vec<Scan>, ReadError> {
    let archive = Archive::open(bytes, FORMAT)?;
    let manifest = archive.read("root.xml")?.ok_or_else(|| missing("the archive", "member root.xml"))?;
    let manifest = xml::parse(&manifest, "root.xml")?;
    let (mut scans, mut axes) = (Vec::new(), Vec::new());
    let profiles = manifest.children.iter().filter(|child| child.attribute("Type") == Some("Profile"));
    for (index, data) in profiles.enumerate() {
        if index >= MOST_SCANS {
            let part = "root.xml".to_owned();
            return Err(ReadError::TooMuch { part, what: "scans", most: MOST_SCANS as u64 });
        }
        one(&archive, data, &mut scans, &mut axes)?;
    }
    if scans.is_empty() {
        let axes = if axes.is_empty() { "no scan at all".to_owned() } else { axes.join(", ") };
        return Err(ReadError::NoPowderScan { axes });
    }
    scans[0].warnings.extend(axes.iter().map(|axis| format!("a scan over {axis} was left out")));
    Ok(scans)
}

fn missing(part: &str, element: &str) -> ReadError {
    ReadError::Missing { part: part.to_owned(), element: element.to_owned() }
}

fn one(archive: &Archive<'_>, data: &Element, scans: &mut Vec<Scan>, axes: &mut Vec<String>) -> Result<(), ReadError> {
    let names = || data.children.iter().filter_map(|child| child.attribute("Name"));
    let named = |word: &str| names().find(|name| name.contains(word)).map(|name| format!("{}/{name}", data.name));
    let profile = named("Profile").ok_or_else(|| missing(&data.name, "Profile"))?;
    let rows = rows(&archive.read(&profile)?.ok_or_else(|| missing("the archive", &profile))?, &profile)?;
    let conditions = match named("Conditions") {
        Some(name) => archive.read(&name)?.map(|bytes| xml::parse(&bytes, &name)).transpose()?.unwrap_or_default(),
        None => Element::default(),
    };
    let text = |name: &str| conditions.find(name).map(|element| element.text.trim()).filter(|text| !text.is_empty());
    let number = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok()).filter(|value| value.is_finite());
    let info = conditions.child("ScanInformation");
    let scan_text = |name: &str| info.and_then(|info| info.child(name)).map(|element| element.text.trim());
    let scan_number = |name: &str| scan_text(name).and_then(|text| text.parse::<f64>().ok());
    if let Some(stated) = scan_number("DataCount")
        && stated != rows.len() as f64
    {
        return Err(ReadError::Mismatch {
            part: profile,
            what: "points",
            stated: stated as u64,
            found: rows.len() as u64,
        });
    }
    let axis = scan_text("AxisName").unwrap_or("").to_owned();
    if !axis.is_empty() && !ras::moves_two_theta(&axis) {
        axes.push(axis);
        return Ok(());
    }
    let time = ras::counting_time(scan_number("Step"), scan_number("Speed"), scan_text("SpeedUnit"));
    let mut scan = ras::from_rows(&rows, scan_text("IntensityUnit"), time, &profile)?;
    let wavelength = UsedWavelength {
        k_alpha1: number("WavelengthKalpha1"),
        k_alpha2: number("WavelengthKalpha2"),
        k_beta: number("WavelengthKbeta"),
        ratio: None,
    };
    scan.warnings.extend(wavelength.warning());
    scan.wavelength = (wavelength != UsedWavelength::default()).then_some(wavelength);
    scan.sample_id = text("SampleName").map(str::to_owned);
    scan.axis = axis;
    scans.push(scan);
    Ok(())
}

fn rows(bytes: &[u8], part: &str) -> Result<Vec<[f64; 3]>, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ReadError::Encoding { part: part.to_owned(), byte: error.valid_up_to() as u64 })?;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if rows.len() >= MOST_POINTS {
            return Err(ReadError::TooMuch { part: part.to_owned(), what: "points", most: MOST_POINTS as u64 });
        }
        let bad =
            || ReadError::Value { part: part.to_owned(), element: format!("line {}", index + 1), value: shown(line) };
        rows.push(ras::columns(line).ok_or_else(bad)?);
    }
    Ok(rows)
}

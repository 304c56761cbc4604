//! Bruker RAW, binary, versions 3 (`RAW1.01`) and 4 (`RAW4.00`). Versions 1 and 2 are named and refused.
//!
//! Layout of version 3 after the appendix of the DIFFRAC^plus XCH manual; of version 4 as found in real files.

use super::error::{ReadError, shown};
use super::scan::{self, Scan, UsedWavelength};
use crate::pattern::MOST_POINTS;

const FORMAT: &str = "Bruker RAW file";
/// Ranges of one file; more are a mapping.
const MOST_RANGES: usize = 4096;
/// Bytes before the first range header of version 3, and of each range header.
const V3_HEADER: usize = 712;
const V3_RANGE: usize = 304;
/// Bytes before the first segment of version 4, and of each range header.
const V4_PREAMBLE: usize = 61;
const V4_RANGE: usize = 160;

/// Reads every 2θ range of a file.
///
/// # Errors
/// [`ReadError`] names the range and byte that cannot be used.
pub fn read(bytes: &[u8]) -> Result<Vec<Scan>, ReadError> {
    let file = File { bytes };
    match bytes.get(..7) {
        Some(b"RAW4.00") => version4(&file),
        Some(b"RAW1.01") => version3(&file),
        Some([b'R', b'A', b'W', b' ', ..]) => unsupported("version 1 (DIFFRAC-AT)"),
        Some([b'R', b'A', b'W', b'2', ..]) => unsupported("version 2 (DIFFRAC-AT)"),
        Some([b'R', b'A', b'W', ..]) => unsupported(&format!("`{}`", shown(&String::from_utf8_lossy(&bytes[..7])))),
        _ => {
            let found = format!("it begins with `{}`", shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(7)])));
            Err(ReadError::Format { format: FORMAT, found })
        }
    }
}

fn unsupported(what: &str) -> Result<Vec<Scan>, ReadError> {
    Err(ReadError::NotSupported { format: FORMAT, what: what.to_owned() })
}

struct File<'a> {
    bytes: &'a [u8],
}

impl File<'_> {
    fn part(&self, part: &str, what: &'static str, at: usize, length: usize) -> Result<&[u8], ReadError> {
        at.checked_add(length).and_then(|end| self.bytes.get(at..end)).ok_or_else(|| ReadError::Truncated {
            part: part.to_owned(),
            what,
            end: (at as u64).saturating_add(length as u64),
            length: self.bytes.len() as u64,
        })
    }

    fn u32(&self, part: &str, what: &'static str, at: usize) -> Result<usize, ReadError> {
        let found = self.part(part, what, at, 4)?;
        Ok(u32::from_le_bytes([found[0], found[1], found[2], found[3]]) as usize)
    }

    fn f32(&self, part: &str, what: &'static str, at: usize) -> Result<f64, ReadError> {
        let found = self.part(part, what, at, 4)?;
        Ok(f64::from(f32::from_le_bytes([found[0], found[1], found[2], found[3]])))
    }

    fn f64(&self, part: &str, what: &'static str, at: usize) -> Result<f64, ReadError> {
        let found = self.part(part, what, at, 8)?;
        Ok(f64::from_le_bytes(found.try_into().expect("eight bytes were asked for")))
    }

    fn text(&self, part: &str, what: &'static str, at: usize, length: usize) -> Result<String, ReadError> {
        let found = self.part(part, what, at, length)?;
        let end = found.iter().position(|byte| *byte == 0).unwrap_or(length);
        Ok(found[..end].iter().map(|&byte| char::from(byte)).collect::<String>().trim().to_owned())
    }

    /// Intensities: the first number of each record.
    fn intensities(&self, part: &str, at: usize, steps: usize, stride: usize) -> Result<Vec<f64>, ReadError> {
        let data = self.part(part, "its records", at, steps.saturating_mul(stride))?;
        let first = |record: &[u8]| f64::from(f32::from_le_bytes([record[0], record[1], record[2], record[3]]));
        Ok(data.chunks_exact(stride).map(first).collect())
    }
}

fn bad(part: &str, element: &str, value: impl ToString) -> ReadError {
    ReadError::Value { part: part.to_owned(), element: element.to_owned(), value: value.to_string() }
}

/// What a range header says of its points.
struct Range {
    start: f64,
    step: f64,
    steps: usize,
    time: f64,
}

impl Range {
    fn check(&self, part: &str) -> Result<(), ReadError> {
        if !(2..=MOST_POINTS).contains(&self.steps) {
            return Err(bad(part, "number of steps", self.steps));
        }
        let end = self.start + self.step * self.steps as f64;
        if !(self.step > 0.0 && self.start > -20.0 && end < 180.0) {
            return Err(bad(part, "range of 2θ", format!("{} + {} × {}", self.start, self.steps, self.step)));
        }
        Ok(())
    }

    fn scan(&self, part: &str, values: Vec<f64>, wavelength: UsedWavelength) -> Result<Scan, ReadError> {
        let mut warnings: Vec<String> = wavelength.warning().into_iter().collect();
        let angles = (0..values.len()).map(|index| self.start + self.step * index as f64).collect();
        let pattern = scan::pattern(angles, values, &mut warnings)
            .map_err(|source| ReadError::Pattern { part: part.to_owned(), source })?;
        let counting_time_s = (self.time > 0.0 && self.time < 1e6).then_some(self.time);
        Ok(Scan { counting_time_s, wavelength: Some(wavelength), warnings, ..Scan::bare(pattern) })
    }
}

fn sound(value: f64) -> Option<f64> {
    (0.1..10.0).contains(&value).then_some(value)
}

fn version3(file: &File<'_>) -> Result<Vec<Scan>, ReadError> {
    let part = "the file header";
    file.part(part, "its 712 bytes", 0, V3_HEADER)?;
    let status = match file.u32(part, "the status", 8)? {
        1 => "done",
        2 => "active",
        3 => "aborted",
        4 => "interrupted",
        _ => "unknown",
    };
    let ranges = file.u32(part, "the number of ranges", 12)?;
    if !(1..=MOST_RANGES).contains(&ranges) {
        return Err(bad(part, "number of ranges", ranges));
    }
    let sample = file.text(part, "the sample", 326, 60)?;
    let wavelength = UsedWavelength {
        k_alpha1: sound(file.f64(part, "a wavelength", 624)?),
        k_alpha2: sound(file.f64(part, "a wavelength", 632)?),
        k_beta: sound(file.f64(part, "a wavelength", 640)?),
        ratio: sound(file.f64(part, "the line ratio", 648)?),
    };
    let radius = file.f32(part, "the radius", 564)?;
    let mut scans = Vec::new();
    let mut at = V3_HEADER;
    for number in 1..=ranges {
        let part = format!("range {number}");
        let header = file.u32(&part, "its header", at)?;
        if header != V3_RANGE {
            return Err(bad(&part, "header length", header));
        }
        file.part(&part, "its header", at, V3_RANGE)?;
        let mask = file.u32(&part, "its varying parameters", at + 248)? as u32;
        let record = file.u32(&part, "its record length", at + 252)?;
        if record != 4 + 8 * mask.count_ones() as usize {
            return Err(bad(&part, "record length", record));
        }
        let range = Range {
            start: file.f64(&part, "its start", at + 16)?,
            step: file.f64(&part, "its step", at + 176)?,
            steps: file.u32(&part, "its steps", at + 4)?,
            time: file.f32(&part, "its time", at + 192)?,
        };
        range.check(&part)?;
        let extra = file.u32(&part, "its supplementary headers", at + 256)?;
        let data = at + V3_RANGE + extra;
        let values = file.intensities(&part, data, range.steps, record)?;
        let mut scan = range.scan(&part, values, wavelength)?;
        if mask != 0 {
            scan.warnings.push("drives vary from point to point; the angles are those of an even scan".to_owned());
        }
        scan.status = Some(status.to_owned());
        scan.sample_id = (!sample.is_empty()).then(|| sample.clone());
        scan.radius_mm = (radius > 10.0 && radius < 5000.0).then_some(radius);
        scans.push(scan);
        at = data + range.steps * record;
    }
    let length = file.bytes.len();
    if at != length {
        let part = "the file".to_owned();
        return Err(ReadError::Mismatch { part, what: "bytes", stated: at as u64, found: length as u64 });
    }
    Ok(scans)
}

fn version4(file: &File<'_>) -> Result<Vec<Scan>, ReadError> {
    let mut wavelength = UsedWavelength::default();
    let mut sample = None;
    let (mut scans, mut others) = (Vec::new(), Vec::new());
    let mut at = V4_PREAMBLE;
    let mut number = 0;
    file.part("the file header", "its 61 bytes", 0, V4_PREAMBLE)?;
    while at < file.bytes.len() {
        let part = if number == 0 { "the file header".to_owned() } else { format!("what follows range {number}") };
        let kind = file.u32(&part, "a segment", at)?;
        if kind == 0 || kind == 160 {
            number += 1;
            if number > MOST_RANGES {
                let part = "the file".to_owned();
                return Err(ReadError::TooMuch { part, what: "ranges", most: MOST_RANGES as u64 });
            }
            at = range4(file, at, number, wavelength, &mut scans, &mut others)?;
            continue;
        }
        let length = file.u32(&part, "a segment", at + 4)?;
        if length < 8 {
            return Err(bad(&part, &format!("length of the segment at byte {at}"), length));
        }
        file.part(&part, "a segment", at, length)?;
        if kind == 10 && length > 36 && file.text(&part, "a name", at + 12, 24)? == "SAMPLEID" {
            sample = Some(file.text(&part, "the sample", at + 36, length - 36)?).filter(|text| !text.is_empty());
        }
        if kind == 30 && length >= 120 {
            wavelength = UsedWavelength {
                k_alpha1: sound(file.f64(&part, "a wavelength", at + 80)?),
                k_alpha2: sound(file.f64(&part, "a wavelength", at + 88)?),
                k_beta: sound(file.f64(&part, "a wavelength", at + 96)?),
                ratio: sound(file.f64(&part, "the line ratio", at + 104)?),
            };
        }
        at += length;
    }
    if scans.is_empty() {
        let axes = if others.is_empty() { "no range at all".to_owned() } else { others.join(", ") };
        return Err(ReadError::NoPowderScan { axes });
    }
    let left_out = others.iter().map(|axis| format!("a scan over {axis} was left out"));
    scans[0].warnings.extend(left_out);
    for scan in &mut scans {
        scan.sample_id.clone_from(&sample);
    }
    Ok(scans)
}

/// Reads the range at byte `at` and returns the byte after it.
fn range4(
    file: &File<'_>,
    at: usize,
    number: usize,
    wavelength: UsedWavelength,
    scans: &mut Vec<Scan>,
    others: &mut Vec<String>,
) -> Result<usize, ReadError> {
    let part = format!("range {number}");
    file.part(&part, "its header", at, V4_RANGE)?;
    let kind = file.text(&part, "its kind", at + 32, 24)?;
    let range = Range {
        start: file.f64(&part, "its start", at + 72)?,
        step: file.f64(&part, "its step", at + 80)?,
        steps: file.u32(&part, "its steps", at + 88)?,
        time: file.f32(&part, "its time", at + 92)?,
    };
    let stride = file.u32(&part, "its record size", at + 136)?;
    let nested = file.u32(&part, "its nested headers", at + 140)?;
    if !(4..=256).contains(&stride) {
        return Err(bad(&part, "record size", stride));
    }
    file.part(&part, "its nested headers", at + V4_RANGE, nested)?;
    let data = at + V4_RANGE + nested;
    let end = data.saturating_add(range.steps.saturating_mul(stride));
    file.part(&part, "its records", data, range.steps.saturating_mul(stride))?;
    // Coupled scans move 2θ; everything else (rocking, phi, maps) is no powder pattern, and so is a coupled scan whose
    // angle is not that of the 2θ drive.
    let coupled = kind.contains("Coupled") || kind.contains("2Theta") || kind.contains("TwoTheta");
    let drive = drive_start(file, &part, at + V4_RANGE, data)?;
    if !coupled || drive.is_some_and(|drive| (drive - range.start).abs() > 1e-3) {
        others.push(if kind.is_empty() { "no axis".to_owned() } else { kind });
        return Ok(end);
    }
    range.check(&part)?;
    let values = file.intensities(&part, data, range.steps, stride)?;
    let mut scan = range.scan(&part, values, wavelength)?;
    scan.axis = kind;
    scans.push(scan);
    Ok(end)
}

/// Where the 2θ drive stands at the start. The drive is listed twice when it is scanned; the entry with a flag counts.
fn drive_start(file: &File<'_>, part: &str, from: usize, to: usize) -> Result<Option<f64>, ReadError> {
    let (mut at, mut found, mut flagged) = (from, None, false);
    while at < to {
        let (kind, length) = (file.u32(part, "a nested header", at)?, file.u32(part, "a nested header", at + 4)?);
        if length < 8 || at + length > to {
            return Err(bad(part, &format!("length of the nested header at byte {at}"), length));
        }
        if kind == 50 && length >= 64 && file.text(part, "a drive", at + 12, 24)? == "2Theta" {
            let flag = file.u32(part, "a drive", at + 8)? != 0;
            if found.is_none() || (flag && !flagged) {
                found = Some(file.f64(part, "a drive", at + 56)?);
                flagged = flag;
            }
        }
        at += length;
    }
    Ok(found)
}

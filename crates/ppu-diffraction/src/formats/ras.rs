//! Rigaku RAS: text with `*KEY "value"` headers and rows of angle, intensity and attenuator factor.
//!
//! Whether the intensity already contains the attenuator is not documented; where the factor is not 1 it is reported and
//! not applied.

use super::error::{ReadError, shown};
use super::scan::{self, Scan, UsedWavelength};
use crate::pattern::MOST_POINTS;

const FORMAT: &str = "RAS file";
/// Header lines of one scan; real files have some 500.
const MOST_HEADER_LINES: usize = 20_000;

/// Reads every 2θ scan of a file. Letters outside ASCII are read as Latin-1; numbers do not need them.
///
/// # Errors
/// [`ReadError`] names the scan and line that cannot be used.
pub fn read(bytes: &[u8]) -> Result<Vec<Scan>, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if !bytes.starts_with(b"*RAS_DATA_START") {
        let found = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
        return Err(ReadError::Format { format: FORMAT, found: format!("it begins with `{}`", shown(&found)) });
    }
    let mut walk = Walk::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        walk.line(index + 1, line)?;
    }
    walk.finish(bytes.len())
}

#[derive(Default)]
struct Walk {
    header: Vec<(String, String)>,
    rows: Option<Vec<[f64; 3]>>,
    ended: bool,
    number: usize,
    scans: Vec<Scan>,
    axes: Vec<String>,
}

impl Walk {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), ReadError> {
        let line: String = line.iter().map(|&byte| char::from(byte)).collect();
        let line = line.trim();
        match line {
            "" => return Ok(()),
            "*RAS_HEADER_START" => self.header.clear(),
            "*RAS_INT_START" => self.rows = Some(Vec::new()),
            "*RAS_INT_END" => {
                let rows = self.rows.take().unwrap_or_default();
                self.scan(&rows)?;
            }
            "*RAS_DATA_END" => self.ended = true,
            _ => match (&mut self.rows, line.strip_prefix('*')) {
                (None, Some(entry)) => {
                    let (key, value) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
                    if self.header.len() >= MOST_HEADER_LINES {
                        let part = format!("scan {}", self.number + 1);
                        return Err(ReadError::TooMuch { part, what: "header lines", most: MOST_HEADER_LINES as u64 });
                    }
                    self.header.push((key.to_owned(), value.trim().trim_matches('"').to_owned()));
                }
                (Some(rows), None) => rows.push(row(number, line, rows.len())?),
                _ => {
                    let part = format!("scan {}", self.number + 1);
                    return Err(ReadError::Value { part, element: format!("line {number}"), value: shown(line) });
                }
            },
        }
        Ok(())
    }

    fn header(&self, key: &str) -> Option<&str> {
        self.header
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.header(key)?.parse().ok().filter(|value: &f64| value.is_finite())
    }

    fn scan(&mut self, rows: &[[f64; 3]]) -> Result<(), ReadError> {
        self.number += 1;
        let part = format!("scan {}", self.number);
        if let Some(stated) = self.number("MEAS_DATA_COUNT")
            && stated != rows.len() as f64
        {
            return Err(ReadError::Mismatch { part, what: "points", stated: stated as u64, found: rows.len() as u64 });
        }
        let axis = self.header("MEAS_SCAN_AXIS_X").unwrap_or("").to_owned();
        if !moves_two_theta(&axis) {
            self.axes.push(if axis.is_empty() { "no axis".to_owned() } else { axis });
            return Ok(());
        }
        let unit = self.header("MEAS_SCAN_UNIT_Y").map(str::to_owned);
        let wavelength = UsedWavelength {
            k_alpha1: self.number("HW_XG_WAVE_LENGTH_ALPHA1"),
            k_alpha2: self.number("HW_XG_WAVE_LENGTH_ALPHA2"),
            k_beta: self.number("HW_XG_WAVE_LENGTH_BETA"),
            ratio: None,
        };
        let time = counting_time(
            self.number("MEAS_SCAN_STEP"),
            self.number("MEAS_SCAN_SPEED"),
            self.header("MEAS_SCAN_SPEED_UNIT"),
        );
        let sample_id = self.header("FILE_SAMPLE").map(str::to_owned);
        let mut found = from_rows(rows, unit.as_deref(), time, &part)?;
        found.axis = axis;
        found.warnings.extend(wavelength.warning());
        found.wavelength = (wavelength != UsedWavelength::default()).then_some(wavelength);
        found.sample_id = sample_id;
        self.scans.push(found);
        Ok(())
    }

    fn finish(mut self, length: usize) -> Result<Vec<Scan>, ReadError> {
        if self.rows.is_some() || !self.ended {
            let part = "the file".to_owned();
            let (end, length) = (length as u64 + 1, length as u64);
            return Err(ReadError::Truncated { part, what: "*RAS_DATA_END", end, length });
        }
        if self.scans.is_empty() {
            let axes = if self.axes.is_empty() { "no scan at all".to_owned() } else { self.axes.join(", ") };
            return Err(ReadError::NoPowderScan { axes });
        }
        let left_out = self.axes.iter().map(|axis| format!("a scan over {axis} was left out"));
        self.scans[0].warnings.extend(left_out);
        Ok(self.scans)
    }
}

fn row(number: usize, line: &str, rows: usize) -> Result<[f64; 3], ReadError> {
    if rows >= MOST_POINTS {
        return Err(ReadError::TooMuch { part: "the file".to_owned(), what: "points", most: MOST_POINTS as u64 });
    }
    columns(line).ok_or_else(|| ReadError::Value {
        part: "the file".to_owned(),
        element: format!("line {number}"),
        value: shown(line),
    })
}

/// Angle, intensity and attenuator factor; a row without a factor has 1.
pub(super) fn columns(line: &str) -> Option<[f64; 3]> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next().map(|word| word.parse::<f64>().ok().filter(|value| value.is_finite()));
    let row = [next()??, next()??, next().unwrap_or(Some(1.0))?];
    words.next().is_none().then_some(row)
}

pub(super) fn moves_two_theta(axis: &str) -> bool {
    let axis = axis.to_ascii_lowercase().replace(['-', '/', ' '], "");
    axis.contains("twotheta") || axis.contains("2theta")
}

/// Seconds that a continuous scan spends on a step.
pub(super) fn counting_time(step: Option<f64>, speed: Option<f64>, unit: Option<&str>) -> Option<f64> {
    let (step, speed) = (step?, speed?);
    let seconds = match unit? {
        "deg/min" => 60.0 * step / speed,
        "deg/sec" | "deg/s" => step / speed,
        "sec" | "s" | "sec/step" => speed,
        _ => return None,
    };
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

/// A scan from its rows; `unit` is the declared one of the intensity.
pub(super) fn from_rows(
    rows: &[[f64; 3]],
    unit: Option<&str>,
    time: Option<f64>,
    part: &str,
) -> Result<Scan, ReadError> {
    let mut warnings = Vec::new();
    let angles: Vec<f64> = rows.iter().map(|row| row[0]).collect();
    let mut values: Vec<f64> = rows.iter().map(|row| row[1]).collect();
    if unit == Some("cps") {
        let time =
            time.ok_or_else(|| ReadError::Missing { part: part.to_owned(), element: "counting time".to_owned() })?;
        values.iter_mut().for_each(|value| *value *= time);
        warnings.push("intensities were stated in counts per second and multiplied by the counting time".to_owned());
    }
    let odd = rows.iter().filter(|row| row[2] != 1.0).count();
    if odd > 0 {
        warnings.push(format!("{odd} points carry an attenuator factor other than 1, which was not applied"));
    }
    let pattern = scan::pattern(angles, values, &mut warnings)
        .map_err(|source| ReadError::Pattern { part: part.to_owned(), source })?;
    Ok(Scan { counting_time_s: time, warnings, ..Scan::bare(pattern) })
}

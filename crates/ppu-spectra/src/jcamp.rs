//! JCAMP-DX 4.24 and 5 (McDonald and Wilks, Appl. Spectrosc. 42, 151, 1988): spectra in and out.
//!
//! Every form of ordinates is read: plain, packed, squeezed, difference and duplicate codes, and pairs. Linked blocks give
//! several spectra. NTUPLES are named and refused.

mod codes;

use std::fmt::Write as _;

/// Longest spectrum that is accepted.
const MOST_POINTS: usize = 4_000_000;
/// Blocks of one file.
const MOST_BLOCKS: usize = 4096;

/// Why a file is not a usable spectrum.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JcampError {
    /// The file does not begin with a labelled record.
    #[error("the file does not begin with ##TITLE=")]
    NotJcamp,
    /// The file has no data of a kind that is read.
    #[error("no block of the file holds XYDATA, XYPOINTS or a PEAK TABLE")]
    NoData,
    /// A form of data that is not read.
    #[error("{what} in line {line} is not supported")]
    NotSupported {
        /// Line, from 1.
        line: usize,
        /// What it is.
        what: String,
    },
    /// A label that the data need is absent.
    #[error("the block in line {line} has no ##{label}=")]
    Missing {
        /// Line where the block begins, from 1.
        line: usize,
        /// The label.
        label: &'static str,
    },
    /// A value is not the number that its label asks for.
    #[error("##{label}= in line {line} is `{text}`, not a usable number")]
    Number {
        /// Line, from 1.
        line: usize,
        /// The label.
        label: String,
        /// The value, at most 40 characters of it.
        text: String,
    },
    /// A character that belongs to no ordinate.
    #[error("line {line} holds `{found}` where an ordinate belongs")]
    Ordinate {
        /// Line, from 1.
        line: usize,
        /// What was found, at most 20 characters of it.
        found: String,
    },
    /// The number of ordinates is not the stated one.
    #[error("##NPOINTS= states {stated} points, the data in line {line} hold {found}")]
    Count {
        /// Line where the data begin, from 1.
        line: usize,
        /// As stated.
        stated: usize,
        /// As found.
        found: usize,
    },
    /// More points or blocks than any spectrum has.
    #[error("the data in line {line} are longer than any spectrum")]
    TooMuch {
        /// Line, from 1.
        line: usize,
    },
    /// The file ends within a block.
    #[error("the file ends in line {line} before ##END=")]
    Truncated {
        /// Last line, from 1.
        line: usize,
    },
}

/// One spectrum of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Title.
    pub title: String,
    /// Kind of data as stated, for example `UV-VIS SPECTRUM`.
    pub data_type: String,
    /// Unit of the abscissa as stated, upper case.
    pub x_units: String,
    /// Unit of the ordinate as stated, upper case.
    pub y_units: String,
    /// Abscissae in file order, which may fall.
    pub x: Vec<f64>,
    /// Ordinates, factors applied.
    pub y: Vec<f64>,
    /// What to know about the file.
    pub warnings: Vec<String>,
}

/// Reads every spectrum of a file. Bytes outside ASCII are read as Latin-1.
///
/// # Errors
/// [`JcampError`] names line and label.
pub fn read(bytes: &[u8]) -> Result<Vec<Spectrum>, JcampError> {
    let text: String =
        bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).iter().map(|&byte| char::from(byte)).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let records = records(&text);
    if records.first().is_none_or(|record| record.label != "TITLE") {
        return Err(JcampError::NotJcamp);
    }
    let (mut spectra, mut open) = (Vec::new(), Vec::<Block<'_>>::new());
    let mut blocks = 0;
    for record in &records {
        match record.label.as_str() {
            "TITLE" => {
                blocks += 1;
                if blocks > MOST_BLOCKS {
                    return Err(JcampError::TooMuch { line: record.line });
                }
                open.push(Block { line: record.line, records: vec![record] });
            }
            "END" => {
                let Some(block) = open.pop() else { continue };
                spectra.extend(block.spectrum()?);
            }
            _ => {
                if let Some(block) = open.last_mut() {
                    block.records.push(record);
                }
            }
        }
    }
    if !open.is_empty() {
        return Err(JcampError::Truncated { line: text.lines().count() });
    }
    if spectra.is_empty() { Err(JcampError::NoData) } else { Ok(spectra) }
}

/// A labelled record: label without blanks, `-`, `/` and `_`, in upper case.
struct Record<'a> {
    label: String,
    line: usize,
    /// The value with its first line; comments are still in it.
    value: &'a str,
}

fn records(text: &str) -> Vec<Record<'_>> {
    let mut found: Vec<Record<'_>> = Vec::new();
    let mut offset = 0;
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let indent = line.len() - line.trim_start().len();
        if line[indent..].starts_with("##") {
            starts.push((offset + indent, index + 1));
        }
        offset += line.len() + 1;
    }
    for (place, (start, line)) in starts.iter().enumerate() {
        let end = starts.get(place + 1).map_or(text.len(), |next| next.0);
        let body = &text[start + 2..end];
        let (label, value) = body.split_once('=').unwrap_or((body.lines().next().unwrap_or(""), ""));
        let label: String = label
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '/' | '_'))
            .flat_map(char::to_uppercase)
            .take(40)
            .collect();
        found.push(Record { label, line: *line, value });
    }
    found
}

/// A value without its comments, trimmed.
fn plain(value: &str) -> String {
    let without = |line: &str| line.split("$$").next().unwrap_or("").trim().to_owned();
    value.lines().map(without).collect::<Vec<_>>().join("\n").trim().to_owned()
}

struct Block<'a> {
    line: usize,
    records: Vec<&'a Record<'a>>,
}

impl Block<'_> {
    fn text(&self, label: &str) -> Option<String> {
        self.records.iter().find(|record| record.label == label).map(|record| plain(record.value))
    }

    fn number(&self, label: &'static str) -> Result<Option<f64>, JcampError> {
        let Some(record) = self.records.iter().find(|record| record.label == label) else { return Ok(None) };
        let text = plain(record.value);
        let parsed = text.parse::<f64>().ok().filter(|value| value.is_finite());
        parsed.map(Some).ok_or_else(|| JcampError::Number {
            line: record.line,
            label: label.to_owned(),
            text: text.chars().take(40).collect(),
        })
    }

    fn needed(&self, label: &'static str) -> Result<f64, JcampError> {
        self.number(label)?.ok_or(JcampError::Missing { line: self.line, label })
    }

    /// The spectrum of a block; a block that only links others has none.
    fn spectrum(&self) -> Result<Option<Spectrum>, JcampError> {
        let data = self.records.iter().find(|record| {
            matches!(
                record.label.as_str(),
                "XYDATA" | "XYPOINTS" | "PEAKTABLE" | "NTUPLES" | "RADATA" | "PEAKASSIGNMENTS"
            )
        });
        let Some(data) = data else { return Ok(None) };
        if matches!(data.label.as_str(), "NTUPLES" | "RADATA" | "PEAKASSIGNMENTS") {
            return Err(JcampError::NotSupported { line: data.line, what: data.label.clone() });
        }
        let (form, body) = data.value.split_once('\n').unwrap_or((data.value, ""));
        let form: String = plain(form).chars().filter(|c| !c.is_whitespace()).collect();
        let mut warnings = Vec::new();
        let (x_factor, y_factor) = (self.number("XFACTOR")?.unwrap_or(1.0), self.number("YFACTOR")?.unwrap_or(1.0));
        let (x, y) = match form.as_str() {
            "(X++(Y..Y))" => self.even(body, data.line, (x_factor, y_factor), &mut warnings)?,
            "(XY..XY)" => {
                let pairs = codes::pairs(body, data.line + 1)?;
                pairs.into_iter().map(|(x, y)| (x_factor * x, y_factor * y)).unzip()
            }
            _ => return Err(JcampError::NotSupported { line: data.line, what: format!("the form `{form}`") }),
        };
        if let Some(stated) = self.number("NPOINTS")?
            && stated != x.len() as f64
        {
            return Err(JcampError::Count { line: data.line, stated: stated.max(0.0) as usize, found: x.len() });
        }
        let (least, most) =
            (y.iter().copied().fold(f64::INFINITY, f64::min), y.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        for (label, found) in [("MINY", least), ("MAXY", most)] {
            if let Ok(Some(stated)) = self.number(label)
                && (stated - found).abs() > 2.0 * y_factor.abs() + 1e-4 * most.abs().max(least.abs())
            {
                warnings.push(format!("note: ##{label}= states {stated}, the data have {found}"));
            }
        }
        let upper = |label: &str| self.text(label).unwrap_or_default().to_uppercase();
        Ok(Some(Spectrum {
            title: self.text("TITLE").unwrap_or_default(),
            data_type: self.text("DATATYPE").unwrap_or_default(),
            x_units: upper("XUNITS"),
            y_units: upper("YUNITS"),
            x,
            y,
            warnings,
        }))
    }

    fn even(
        &self,
        body: &str,
        line: usize,
        (x_factor, y_factor): (f64, f64),
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<f64>, Vec<f64>), JcampError> {
        let (first, last) = (self.needed("FIRSTX")?, self.needed("LASTX")?);
        let stated = self.needed("NPOINTS")?;
        if !(stated >= 1.0 && stated <= MOST_POINTS as f64) {
            return Err(JcampError::TooMuch { line });
        }
        let decoded = codes::ordinates(body, line + 1, MOST_POINTS)?;
        let points = decoded.values.len();
        if points != stated as usize {
            return Err(JcampError::Count { line, stated: stated as usize, found: points });
        }
        let step = if points > 1 { (last - first) / (points - 1) as f64 } else { 0.0 };
        let x: Vec<f64> = (0..points).map(|index| first + step * index as f64).collect();
        warnings.extend(decoded.warnings);
        for (start, index, at) in &decoded.starts {
            let expected = x.get(*index).copied().unwrap_or(last);
            // Abscissae at the line starts are printed with few digits; half a step is beyond any rounding.
            if (start * x_factor - expected).abs() > 0.51 * step.abs() + 1e-3 * expected.abs() {
                warnings.push(format!("the abscissa in line {at} is {}, not {expected}", start * x_factor));
                break;
            }
        }
        let y: Vec<f64> = decoded.values.iter().map(|value| value * y_factor).collect();
        if let Some(first_y) = self.number("FIRSTY")?
            && y.first().is_some_and(|found| (found - first_y).abs() > 1.001 * y_factor.abs() + 1e-4 * first_y.abs())
        {
            warnings.push(format!("##FIRSTY= states {first_y}, the data begin with {}", y[0]));
        }
        Ok((x, y))
    }
}

/// Writes one spectrum as pairs, which lose no digit and need no even axis.
#[must_use]
pub fn write(spectrum: &Spectrum) -> String {
    let clean = |text: &str| text.replace(['\r', '\n'], " ").replace("$$", "$ $").replace("##", "# #");
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "##TITLE={}", clean(&spectrum.title));
    let _ = writeln!(text, "##JCAMP-DX=4.24");
    let _ = writeln!(text, "##DATA TYPE={}", clean(&spectrum.data_type));
    let _ = writeln!(text, "##ORIGIN=ppu\n##OWNER=");
    let _ = writeln!(text, "##XUNITS={}\n##YUNITS={}", clean(&spectrum.x_units), clean(&spectrum.y_units));
    let _ = writeln!(text, "##XFACTOR=1\n##YFACTOR=1\n##NPOINTS={}", spectrum.x.len());
    let _ = writeln!(text, "##XYPOINTS=(XY..XY)");
    for (x, y) in spectrum.x.iter().zip(&spectrum.y) {
        let _ = writeln!(text, "{x}, {y}");
    }
    text.push_str("##END=\n");
    text
}

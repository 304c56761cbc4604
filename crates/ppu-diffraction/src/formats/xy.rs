//! Two or three columns of text: 2θ, intensity and perhaps an uncertainty (.xy, .xye, .csv, .prn, .dat).

use crate::pattern::{MOST_POINTS, Pattern, PatternError};

/// What a third column holds. Files do not say, so the caller must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThirdColumn {
    /// Standard uncertainties.
    Sigma,
    /// Weights 1/σ².
    Weight,
    /// Nothing of use.
    Ignore,
}

/// Why text is not a pattern.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum XyError {
    /// The bytes are not UTF-8.
    #[error("the file is not UTF-8 text at byte {byte}")]
    Encoding {
        /// Offset of the first bad byte.
        byte: usize,
    },
    /// A line is neither a comment nor numbers.
    #[error("line {line} holds `{text}` where two or three numbers belong")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The line, at most 40 characters of it.
        text: String,
    },
    /// A third column is wanted but a line has none, or its value cannot be used.
    #[error("line {line} has no usable third column")]
    ThirdColumn {
        /// Number of the line, from 1.
        line: usize,
    },
    /// More points than any powder pattern has.
    #[error("the file has more than {MOST_POINTS} points")]
    TooMuch,
    /// The columns are no pattern.
    #[error("the columns are no powder pattern")]
    Pattern(#[from] PatternError),
}

/// Reads columns separated by blanks, tabs, semicolons or commas. Lines that begin with `#`, `!`, `'` or `*`, and
/// headings before the first row, are comments; a comma is a decimal mark where blanks, tabs or semicolons separate columns.
/// Without a usable third column whole numbers are counts; other values get √intensity.
///
/// # Errors
/// [`XyError`] names the line or byte that cannot be used.
pub fn read(bytes: &[u8], third: ThirdColumn) -> Result<Pattern, XyError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| XyError::Encoding { byte: error.valid_up_to() })?;
    let (mut angles, mut intensities, mut sigmas) = (Vec::new(), Vec::new(), Vec::new());
    // A lone CR ends lines in very old files.
    let lines = text.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r'));
    for (index, line) in lines.enumerate() {
        let line_number = index + 1;
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', '!', '\'', '*']) {
            continue;
        }
        let heading = || angles.is_empty() && trimmed.contains(char::is_alphabetic);
        if split(trimmed).is_none() && heading() {
            continue;
        }
        let bad = || XyError::Line { line: line_number, text: trimmed.chars().take(40).collect() };
        let columns = split(trimmed).ok_or_else(bad)?;
        if angles.len() >= MOST_POINTS {
            return Err(XyError::TooMuch);
        }
        angles.push(columns[0]);
        intensities.push(columns[1]);
        let sigma = match (third, columns.get(2)) {
            (ThirdColumn::Ignore, _) => continue,
            (ThirdColumn::Sigma, Some(sigma)) => *sigma,
            (ThirdColumn::Weight, Some(weight)) => 1.0 / weight.sqrt(),
            (_, None) => return Err(XyError::ThirdColumn { line: line_number }),
        };
        if !(sigma > 0.0 && sigma.is_finite()) {
            return Err(XyError::ThirdColumn { line: line_number });
        }
        sigmas.push(sigma);
    }
    if third != ThirdColumn::Ignore {
        return Ok(Pattern::with_sigma(angles, intensities, sigmas)?);
    }
    if intensities.iter().all(|value: &f64| (value - value.round()).abs() < 1e-6 && *value >= 0.0) {
        return Ok(Pattern::from_counts(angles, intensities)?);
    }
    let sigmas = intensities.iter().map(|value: &f64| value.max(1.0).sqrt()).collect();
    Ok(Pattern::with_sigma(angles, intensities, sigmas)?)
}

fn split(line: &str) -> Option<Vec<f64>> {
    let blank = |c: char| c.is_ascii_whitespace() || c == ';';
    let parse = |word: &str| word.replace(',', ".").parse::<f64>().ok();
    let mut columns: Vec<f64> =
        line.split(blank).filter(|word| !word.is_empty()).map(parse).collect::<Option<_>>().unwrap_or_default();
    if columns.len() < 2 {
        let words = line.split(|c: char| c == ',' || blank(c)).filter(|word| !word.is_empty());
        columns = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    }
    (2..=8).contains(&columns.len()).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_of_columns_are_read() {
        for text in [
            "# c\n10.0 5\n10.1 6\n",
            "\u{feff}2theta, I\r\n10.0,5\r\n10.1,6\r\n",
            "10,0 5\n10,1 6",
            "10,0;5\n10,1;6",
            "10.0\t5\t0.1\r10.1\t6\t0.1\r",
        ] {
            let pattern = read(text.as_bytes(), ThirdColumn::Ignore).unwrap();
            assert_eq!(pattern.two_theta(), [10.0, 10.1], "{text:?}");
            assert_eq!(pattern.intensity(), [5.0, 6.0], "{text:?}");
            assert!(pattern.are_counts());
        }
        let weighted = read(b"10 5.5 4\n11 6.5 0.25\n", ThirdColumn::Weight).unwrap();
        assert_eq!(weighted.sigma(), [0.5, 2.0]);
    }

    #[test]
    fn bad_lines_are_named() {
        let error = |text: &str, third| read(text.as_bytes(), third).unwrap_err().to_string();
        assert_eq!(
            error("10 5\n10.1 x\n", ThirdColumn::Ignore),
            "line 2 holds `10.1 x` where two or three numbers belong"
        );
        assert_eq!(error("10 5 1\n10.1 6\n", ThirdColumn::Sigma), "line 2 has no usable third column");
        assert_eq!(error("10 5 0\n10.1 6 1\n", ThirdColumn::Sigma), "line 1 has no usable third column");
        assert_eq!(error("", ThirdColumn::Ignore), "the columns are no powder pattern");
        assert!(matches!(read(b"10 5\n\xff", ThirdColumn::Ignore), Err(XyError::Encoding { byte: 5 })));
    }
}

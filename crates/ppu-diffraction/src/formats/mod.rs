//! Readers of measured patterns: bytes in, checked patterns or an error with its place out. Writers of results.

pub mod brml;
mod error;
pub mod json;
pub mod pdcif;
pub mod ras;
pub mod rasx;
pub mod raw;
mod report;
mod scan;
mod xml;
pub mod xrdml;
pub mod xy;
mod zip;

pub use error::ReadError;
pub use report::{Report, ReportedPhase};
pub use scan::{Scan, UsedWavelength};

/// File formats of measured patterns that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns of text, the third one left aside.
    Xy,
    /// Columns of text, the third one a standard uncertainty.
    Xye,
    /// Malvern Panalytical XRDML.
    Xrdml,
    /// Bruker BRML.
    Brml,
    /// Bruker RAW.
    Raw,
    /// Rigaku RAS.
    Ras,
    /// Rigaku RASX.
    Rasx,
    /// Powder CIF.
    PdCif,
}

/// Why a file of any format could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// XRDML.
    #[error(transparent)]
    Xrdml(#[from] xrdml::XrdmlError),
    /// Columns of text.
    #[error(transparent)]
    Xy(#[from] xy::XyError),
    /// A vendor's archive or binary file.
    #[error(transparent)]
    Vendor(#[from] ReadError),
    /// Powder CIF.
    #[error(transparent)]
    PdCif(#[from] pdcif::PdCifError),
}

/// The format of a file by its first bytes and, where they do not tell, by the ending of its name.
#[must_use]
pub fn detect(bytes: &[u8], name: &str) -> Format {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let head = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = head.trim_ascii_start();
    if head.starts_with(b"PK") {
        return if ending == "rasx" { Format::Rasx } else { Format::Brml };
    }
    if head.starts_with(b"RAW") {
        return Format::Raw;
    }
    if head.starts_with(b"*RAS_") {
        return Format::Ras;
    }
    match ending.as_str() {
        "xrdml" => Format::Xrdml,
        "cif" => Format::PdCif,
        "xye" => Format::Xye,
        "brml" => Format::Brml,
        "rasx" => Format::Rasx,
        "ras" => Format::Ras,
        "raw" => Format::Raw,
        _ if text.starts_with(b"<") => Format::Xrdml,
        _ => Format::Xy,
    }
}

/// Reads every 2θ scan of a file; `name` is its name, of which only the ending is looked at.
///
/// # Errors
/// [`OpenError`] with the error of the format's reader.
pub fn read(bytes: &[u8], name: &str) -> Result<Vec<Scan>, OpenError> {
    let text = |third| Ok(vec![Scan::bare(xy::read(bytes, third)?)]);
    match detect(bytes, name) {
        Format::Xy => text(xy::ThirdColumn::Ignore),
        Format::Xye => text(xy::ThirdColumn::Sigma),
        Format::Xrdml => Ok(xrdml::read(bytes)?.scans),
        Format::Brml => Ok(brml::read(bytes)?),
        Format::Raw => Ok(raw::read(bytes)?),
        Format::Ras => Ok(ras::read(bytes)?),
        Format::Rasx => Ok(rasx::read(bytes)?),
        Format::PdCif => Ok(vec![pdcif::read(bytes)?]),
    }
}

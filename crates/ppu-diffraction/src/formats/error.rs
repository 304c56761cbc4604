use crate::pattern::PatternError;

/// Why a vendor's file is not a usable measurement. `part` names the place: a member of an archive, a range, a scan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The bytes do not begin as this format does.
    #[error("the file is no {format}: {found}")]
    Format {
        /// The format that was expected.
        format: &'static str,
        /// What was found.
        found: String,
    },
    /// A version or kind of measurement that is known but not read.
    #[error("{format}: {what} is not supported")]
    NotSupported {
        /// The format.
        format: &'static str,
        /// What is not supported.
        what: String,
    },
    /// The file ends before something that it announces.
    #[error("{part} is cut short: {what} needs byte {end}, the file has {length}")]
    Truncated {
        /// Where.
        part: String,
        /// What was to be read.
        what: &'static str,
        /// First byte after it.
        end: u64,
        /// Bytes there are.
        length: u64,
    },
    /// An archive is broken.
    #[error("the archive is broken at byte {byte}: {what}")]
    Archive {
        /// Offset in the file.
        byte: u64,
        /// What is wrong there.
        what: String,
    },
    /// A part is not text in its encoding.
    #[error("{part} is no text at byte {byte}")]
    Encoding {
        /// Where.
        part: String,
        /// Offset of the first bad byte.
        byte: u64,
    },
    /// The XML of a part is broken.
    #[error("the XML of {part} is broken at byte {byte}: {what}")]
    Xml {
        /// Where.
        part: String,
        /// Offset at which reading stopped.
        byte: u64,
        /// What is wrong there.
        what: String,
    },
    /// Something that the measurement needs is absent.
    #[error("{part} has no {element}")]
    Missing {
        /// Where.
        part: String,
        /// What is absent.
        element: String,
    },
    /// A value cannot stand in its place.
    #[error("{element} of {part} is `{value}`, which cannot be used")]
    Value {
        /// Where.
        part: String,
        /// The element, field or line.
        element: String,
        /// The value, at most 40 characters of it.
        value: String,
    },
    /// Two statements of the file contradict each other.
    #[error("{part} states {stated} {what} and holds {found}")]
    Mismatch {
        /// Where.
        part: String,
        /// What is counted.
        what: &'static str,
        /// As stated.
        stated: u64,
        /// As found.
        found: u64,
    },
    /// More than any measurement holds.
    #[error("{part} holds more {what} than the {most} that are accepted")]
    TooMuch {
        /// Where.
        part: String,
        /// What is too much.
        what: &'static str,
        /// How much is accepted.
        most: u64,
    },
    /// No scan of the file moves 2θ.
    #[error("no scan of the file moves 2θ (found: {axes})")]
    NoPowderScan {
        /// The axes that were found.
        axes: String,
    },
    /// The columns are no pattern.
    #[error("{part} is no powder pattern")]
    Pattern {
        /// Where.
        part: String,
        /// Why.
        source: PatternError,
    },
}

/// At most 40 characters of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

//! Crystal structures from CIF files (core dictionary): cell, symmetry operators, sites, displacement, occupancy.
//!
//! The operators of the file are the authority for the symmetry. A file without them is read by its Hall symbol, or by its
//! Hermann-Mauguin symbol or number where that leaves one setting: of two origins the one that alone places the atoms
//! sensibly is taken, with a warning, and none when both or neither does.

mod elements;
mod number;
mod structure;
mod symmetry;
pub(crate) mod syntax;

pub use number::Uncertain;
pub(crate) use number::parse as number;
pub use structure::{Displacement, Structure};

use crate::structure::StructureError;

/// Why a CIF holds no usable structure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CifError {
    /// A quote is not closed in its line.
    #[error("the quote that opens in line {line} is not closed")]
    OpenQuote {
        /// Line of the quote, from 1.
        line: usize,
    },
    /// A text field has no closing semicolon.
    #[error("the text field that opens in line {line} is not closed")]
    OpenText {
        /// Line of the semicolon that opens it, from 1.
        line: usize,
    },
    /// A tag without value.
    #[error("`{tag}` in line {line} has no value")]
    NoValue {
        /// Line of the tag, from 1.
        line: usize,
        /// The tag.
        tag: String,
    },
    /// A value without tag.
    #[error("`{text}` in line {line} belongs to no tag")]
    NoTag {
        /// Line of the value, from 1.
        line: usize,
        /// The value, at most 40 characters of it.
        text: String,
    },
    /// A loop without tags.
    #[error("the loop in line {line} names no tag")]
    EmptyLoop {
        /// Line of the loop, from 1.
        line: usize,
    },
    /// The values of a loop do not fill whole rows.
    #[error("the loop in line {line} with `{tag}` has {values} values for {columns} columns")]
    LoopShape {
        /// Line of the loop, from 1.
        line: usize,
        /// Its first tag.
        tag: String,
        /// Number of values.
        values: usize,
        /// Number of tags.
        columns: usize,
    },
    /// Something stands before the first data block.
    #[error("`{text}` in line {line} stands before the first data block")]
    BeforeBlock {
        /// Line, from 1.
        line: usize,
        /// The text, at most 40 characters of it.
        text: String,
    },
    /// No data block holds a cell and atom sites.
    #[error("none of the {blocks} data blocks holds a unit cell and atom sites")]
    NoStructure {
        /// Number of data blocks.
        blocks: usize,
    },
    /// A tag that a structure needs is absent.
    #[error("block `{block}` (line {line}) has no `{tag}`")]
    Missing {
        /// Name of the block.
        block: String,
        /// Line where the block begins, from 1.
        line: usize,
        /// The tag.
        tag: &'static str,
    },
    /// A value is not the number that its tag asks for.
    #[error("`{tag}` in line {line} is `{text}`, not a usable number")]
    Number {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The value, at most 40 characters of it.
        text: String,
    },
    /// A type symbol or label names no element.
    #[error("`{tag}` in line {line} is `{text}`, which names no element")]
    Element {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The value, at most 40 characters of it.
        text: String,
    },
    /// An element for which this crate has no scattering factors.
    #[error("`{tag}` in line {line} names {symbol}, for which no scattering factors are tabulated here")]
    Untabulated {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// Symbol of the element.
        symbol: &'static str,
    },
    /// A symmetry operator cannot be used.
    #[error("`{tag}` in line {line} is no symmetry")]
    Symmetry {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// Why.
        source: StructureError,
    },
    /// A file without operators names a space group that is not in the table of settings.
    #[error("`{tag}` in line {line} is `{text}`, which names no known space group, and the file lists no operations")]
    UnknownSymbol {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The symbol or number, at most 40 characters of it.
        text: String,
    },
    /// A file without operators names a space group that its cell cannot have.
    #[error("`{tag}` in line {line} is `{text}`, whose symmetry the cell does not have")]
    SymbolCell {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The symbol or number, at most 40 characters of it.
        text: String,
    },
    /// The symbol of a file without operators has several settings, and the atoms do not tell which is meant.
    #[error("`{tag}` in line {line} is `{text}`, which may be {settings}; the file lists no operations to tell which")]
    AmbiguousSymbol {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The symbol or number, at most 40 characters of it.
        text: String,
        /// The settings that it may mean.
        settings: String,
    },
    /// The numbers make no structure.
    #[error("block `{block}` (line {line}) is no crystal structure")]
    Structure {
        /// Name of the block.
        block: String,
        /// Line where the block begins, from 1.
        line: usize,
        /// Why.
        source: StructureError,
    },
    /// More atoms or operators than any structure here has.
    #[error("the loop in line {line} has {rows} rows of `{tag}`, more than the {most} that are accepted")]
    TooMuch {
        /// Line of the loop, from 1.
        line: usize,
        /// The tag.
        tag: &'static str,
        /// Rows found.
        rows: usize,
        /// Rows accepted.
        most: usize,
    },
}

/// Reads the first data block that holds a structure.
///
/// # Errors
/// [`CifError`] names line and tag.
pub fn read_structure(text: &str) -> Result<Structure, CifError> {
    let blocks = syntax::parse(text)?;
    match blocks.iter().find(|block| structure::is_structure(block)) {
        Some(block) => structure::build(block),
        None => Err(CifError::NoStructure { blocks: blocks.len() }),
    }
}

/// Reads every data block that holds a structure, in file order.
///
/// # Errors
/// [`CifError`] names line and tag; one bad block spoils the file.
pub fn read_structures(text: &str) -> Result<Vec<Structure>, CifError> {
    let blocks = syntax::parse(text)?;
    let found: Vec<_> = blocks.iter().filter(|block| structure::is_structure(block)).collect();
    if found.is_empty() {
        return Err(CifError::NoStructure { blocks: blocks.len() });
    }
    found.into_iter().map(structure::build).collect()
}

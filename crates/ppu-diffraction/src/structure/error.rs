/// Why a crystal structure was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StructureError {
    /// A cell edge or angle is not a usable number, or the three angles close no cell.
    #[error("the cell {cell} is not a cell: edges must be 1 to 100 Å and the angles must span a volume")]
    Cell {
        /// The cell as it was given.
        cell: String,
    },
    /// A symmetry operator could not be read.
    #[error("the symmetry operator `{operator}` cannot be read at `{at}`")]
    Operator {
        /// The text of the operator.
        operator: String,
        /// The part that was not understood.
        at: String,
    },
    /// A Hall symbol could not be read.
    #[error("the Hall symbol `{symbol}` cannot be read at `{at}`")]
    Hall {
        /// The symbol.
        symbol: String,
        /// The part that was not understood.
        at: String,
    },
    /// The operators generate more than a space group can hold.
    #[error("the operators of `{group}` generate more than 192 operations, so they are no space group")]
    NotAGroup {
        /// Name of the group.
        group: String,
    },
    /// A site holds an unusable number.
    #[error("site `{site}` of phase `{phase}` has a bad {what}")]
    Site {
        /// Name of the phase.
        phase: String,
        /// Label of the site.
        site: String,
        /// Which property is bad.
        what: &'static str,
    },
    /// A phase without sites scatters nothing.
    #[error("phase `{phase}` has no sites")]
    NoSites {
        /// Name of the phase.
        phase: String,
    },
    /// The mole fractions of a composition are unusable.
    #[error("composition: {what}")]
    Composition {
        /// What is wrong with it.
        what: String,
    },
}

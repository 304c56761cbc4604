//! Crystal structures: cells, symmetry operators, sites, reflections and |F|².

mod cell;
mod elements;
mod error;
mod phase;
mod reflections;
mod symmetry;

pub use cell::Cell;
pub use elements::Element;
pub use error::StructureError;
pub use phase::{Occupant, Phase, Site};
pub use reflections::Reflection;
pub use symmetry::{Operator, SpaceGroup};

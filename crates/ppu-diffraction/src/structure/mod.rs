//! Crystal structures: cells, symmetry operators, sites, reflections and |F|².

mod cell;
mod elements;
mod error;
pub(crate) mod geometry;
pub(crate) mod hall;
mod phase;
pub(crate) mod planes;
pub(crate) mod reflections;
pub(crate) mod settings;
mod symmetry;
#[rustfmt::skip]
mod table;

pub use cell::Cell;
pub use elements::{Scattering, Tube};
pub use error::StructureError;
pub use phase::{Occupant, Phase, Site};
pub use reflections::Reflection;
pub use symmetry::{Operator, SpaceGroup};
pub use table::Element;

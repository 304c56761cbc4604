//! Design spaces: numbers on several scales, integers, levels with and without order or descriptors, mixtures, linear
//! constraints, at most k of m components, parameters that exist only sometimes, forbidden combinations, finite pools.
//!
//! [`Space`] is the description, [`Domain`] the checked space. A domain turns a [`Design`] into the columns that surrogate
//! models work on, draws designs inside the constraints, projects onto them, and finds neighbours for a local search. It
//! works on all parts of a mixture at once: a method that leaves out "the rest" gives one component a shorter length scale
//! and a different density of draws than the others.

mod block;
mod build;
mod definition;
mod domain;
mod encode;
mod error;
mod linear_program;
mod polytope;
pub mod pool;
mod search;

pub use definition::{
    Condition, Constraint, Design, Kind, Level, OrdinalLevel, Parameter, Relation, Scale, Setting, Space,
};
pub use domain::Domain;
pub(crate) use domain::Values;
pub use encode::{Feature, FeatureRole};
pub use error::{DesignError, SpaceError};
pub(crate) use search::distance;

//! Atomistic models in plain Rust: crystal structures, the universal potential CHGNet with forces and stress, relaxation
//! within the symmetry, element references and convex hulls.
//!
//! Nothing here reads a file or the network: weights are bytes that the caller gives, and everything is deterministic.
//! Energies carry the references of the potential's own training; compare them only after [`references`] were refitted
//! or within one hull.

pub mod element;
pub mod graph;
pub mod model;
pub mod structure;
pub mod weights;

pub use element::{Element, UnknownElement};
pub use graph::{Limits, Refusal};
pub use model::{Chgnet, Energy, Forces};
pub use structure::{Lattice, Structure, StructureError};
pub use weights::Weights;

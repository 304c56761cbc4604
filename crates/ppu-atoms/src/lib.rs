//! Atomistic models in plain Rust: crystal structures, the universal potential CHGNet with forces and stress, relaxation
//! within the symmetry, element references and convex hulls.
//!
//! Nothing here reads a file or the network: weights are bytes that the caller gives, and everything is deterministic.
//! Energies carry the references of the potential's own training; compare them only after [`references`] were refitted
//! or within one hull.

pub mod cif;
pub mod composition;
pub mod element;
pub mod graph;
pub mod hull;
pub mod model;
pub mod references;
pub mod relax;
pub mod structure;
pub mod symmetry;
pub mod tensors;
pub mod weights;
pub mod wheel;

pub use composition::Composition;
pub use element::{Element, UnknownElement};
pub use graph::{Limits, Refusal};
pub use model::{Chgnet, Energy, Forces};
pub use structure::{Lattice, Structure, StructureError};
pub use weights::Weights;

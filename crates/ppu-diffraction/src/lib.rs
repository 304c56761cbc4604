//! Powder diffraction: forward model, phase quantification, file formats.
//!
//! Everything here is pure: bytes and numbers in, values or typed errors out. Angles are 2θ in degrees, lengths in Å
//! unless a name says otherwise.

pub mod cif;
pub mod formats;
pub mod forward;
pub mod identify;
mod kernel;
pub mod library;
pub mod pattern;
mod peak;
pub mod profile;
pub mod quantify;
pub mod refine;
pub mod sticks;
pub mod structure;

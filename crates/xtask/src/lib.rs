//! What people and CI run on this repository: `cargo xtask test`, `bench`, `tidy`.
//!
//! The rules that a machine can check about the source live here as plain functions, so that `cargo xtask tidy` and the
//! test suite judge by the same ones.

pub mod house;
pub mod layers;
pub mod peers;

use std::path::PathBuf;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository that this was compiled in is still there")
}

//! Readers of measured patterns: bytes in, checked patterns or an error with its place out.

pub mod xrdml;
pub mod xy;

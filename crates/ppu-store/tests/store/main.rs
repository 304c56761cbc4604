//! What the log and the artifact store promise, held against disks that lose, tear, flip, fill up and fail.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod artifacts;
mod corruption;
mod crashes;
mod faults;
mod format;
mod limits;
mod model;
mod support;
mod writer;

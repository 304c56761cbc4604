//! The journal from outside: durable, replayable, and honest about damage.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod artifacts;
mod index;
mod inspecting;
mod opening;
mod paging;
mod records;
mod repair;
mod samples;
mod support;

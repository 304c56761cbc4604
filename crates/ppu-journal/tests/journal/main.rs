//! The journal from outside: durable, replayable, and honest about damage.

mod artifacts;
mod index;
mod inspecting;
mod opening;
mod paging;
mod records;
mod samples;
mod support;

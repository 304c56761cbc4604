//! What the pages show, as pure values made from the messages of the lab: no clock, no input or output.

pub mod campaign;
pub mod counters;
pub mod events;
pub mod format;
pub mod goal;
pub mod inbox;
pub mod instruments;
pub mod plots;
pub mod runs;
pub mod samples;
pub mod stop;
pub mod topbar;
pub mod when;
pub mod words;

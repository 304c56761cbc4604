//! The journal from outside: durable, replayable, and honest about damage.

mod opening;
mod samples;

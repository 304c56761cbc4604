//! The numerical mind behind every campaign: one value to optimise over coordinates, a committee of surrogates, batches.
//!
//! Spaces with names and units, several objectives, and feasibility are built on it; on its own it serves pools of feature
//! rows and boxes. [`Engine::from_pool`] and [`Engine::from_region`] are pure functions of their arguments: the same
//! question has the same answer, bit for bit, on one kind of computer.

mod ask;
mod climb;
mod contract;
mod sensitivity;
mod stopping;

pub use ask::Engine;
pub(crate) use ask::{CHAIN, RANKED};
pub use climb::{Cube, Region};
pub use contract::{
    Answer, Best, Cheaper, Direction, EngineError, Experiment, LogCost, MemberReport, Mode, Pick, Question,
};
pub use sensitivity::{Sensitivity, sensitivities};
pub use stopping::{Stopping, stopping};

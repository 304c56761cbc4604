//! The decisions of a lab: life cycles, leases, dispatch, approvals, recovery. No I/O, no clock, no randomness.
//!
//! ```text
//! engine.decide(now, input)  -> facts or a refusal     changes nothing
//! engine.evolve(&fact)                                 takes a fact in
//! engine.outstanding()       -> effects                what remains to be done, given all that is known
//! ```
//!
//! The shell journals the facts, waits until they are durable, and only then lets them in. Recovery replays the journal
//! through the same [`Engine::evolve`] and asks [`Engine::outstanding`]: there is no second code path.

mod decide;
mod dispatch;
pub mod event;
mod evolve;
pub mod input;
pub mod lifecycle;
mod outstanding;
mod person;
mod priority;
mod reshape;
pub mod rules;
mod settle;
pub mod state;
pub mod tally;

pub use event::{Event, Fact};
pub use evolve::EvolveError;
pub use input::{Input, InventoryLine, Refusal};
pub use outstanding::Effect;
pub use state::State;
pub use tally::Tally;

/// Attempts at one step before it fails: a refusal without effect may pass by itself, but not for ever.
pub const MAX_ATTEMPTS: u32 = 3;

/// The engine: all that is known, and the rules.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    state: State,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes in a fact. An error means that the journal was not written by this engine, or is damaged.
    pub fn evolve(&mut self, fact: &Fact) -> Result<(), EvolveError> {
        self.state.evolve(fact)
    }
}

//! Generative proposals over a design space: where to look, before the optimizer decides what to try.
//!
//! [`PriorProposer`] draws uniformly from mixtures and ranges. [`AnnealedProposer`] tilts that prior towards what a twin
//! expects to score well, by annealed sequential Monte Carlo with an information budget: the tilt is never stronger than
//! the population can carry and the twin deserves, and a run that cannot be trusted is refused and replaced by the prior,
//! with the reason. [`screen()`] turns what is offered into the optimizer's pool.
//!
//! Everything is a pure function of its arguments and a ChaCha generator; see [`rng()`].

pub mod anneal;
mod annealed;
mod contract;
pub mod crystal;
mod delta;
pub mod flow;
mod guided;
mod opinion;
mod prior;
mod screen;
pub mod smc;
mod utility;

pub use annealed::{AnnealSettings, AnnealedProposer};
pub use contract::{
    BudgetLimit, Condition, Diagnostics, LogDensity, Offer, Offered, ProposalProvenance, ProposeError, Proposer,
    Refusal, rng,
};
pub use guided::{Guidance, Guided, GuidedError, Round};
pub use opinion::{Heard, Opinion};
pub use prior::PriorProposer;
pub use screen::{Screened, TwinPrior, screen};
pub use utility::Utility;

//! Model S: a small flow over a design space, trained in seconds on what a campaign or a twin has found, with densities.

mod model;
mod network;
mod proposer;
mod simplex;
mod taught;

pub use model::{Flow, FlowError, FlowSettings, LEAST_POINTS};
pub use network::{AdamW, Network, Trace};
pub use proposer::{FlowProposer, FlowSpace, LearnError};
pub use simplex::{from_log_ratios, log_ratio_volume, to_log_ratios};
pub use taught::{FlowRound, TaughtProposer, Tilt};

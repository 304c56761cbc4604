//! The nouns of a self-driving laboratory: no I/O, no async, no clock.
//!
//! Everything that two processes of `ppu` must mean alike is defined here once: identifiers, quantities with units,
//! capabilities, plans, labs, campaigns, and the life cycle of one attempt at a command. Text formats (TOML) are checked
//! into these types by [`lab`], [`protocol`] and [`campaign`]; every refusal is a [`problem::Problem`] that names the
//! place and the cure.

pub mod admission;
pub mod attempt;
pub mod campaign;
pub mod capability;
pub mod design;
pub mod expression;
pub mod ids;
pub mod lab;
pub mod objective;
pub mod plan;
pub mod problem;
pub mod protocol;
pub mod unit;
pub mod value;

pub use attempt::{ActionClass, AttemptEvent, AttemptState};
pub use capability::{ArgumentKind, ArgumentSpec, CapabilitySpec, CommandSpec, Manifest, ResultSpec};
pub use design::{Candidate, DesignSpace, Parameter};
pub use ids::{ArtifactHash, CampaignId, CommandKey, DeviceId, PositionId, RunId, SampleId, StepId, TrialId};
pub use objective::{Goal, Measured, Objective, Observation};
pub use plan::{Place, Plan, Step, StepAction};
pub use problem::{Problem, Problems};
pub use unit::{Quantity, Unit};
pub use value::{Arguments, Value};

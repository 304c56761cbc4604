//! The protocol between scheduler and driver as a model that a machine checks: every state that crashes, losses,
//! repetitions, delays and a deposed scheduler can lead to, within bounds.
//!
//! ```text
//! cargo test -p ppu-model                                    the checks of every change
//! cargo run --release -p ppu-model -- --long                 two crashes on each side, more faults together
//! cargo run --release -p ppu-model -- --only W4 --ways       how a weakened variant fails, step by step
//! ```
//!
//! # What is real
//!
//! The model moves by the production tables and judges by the production functions, so a change of these is checked:
//!
//! | production code | decides here |
//! |---|---|
//! | [`ppu_core::AttemptState::next`] | every change of an attempt in a ledger |
//! | [`ppu_core::admission`] | fence (REL-2), de-duplication (REL-4), step lock (REL-5), tombstone (REL-6), start (REL-7), verdicts |
//! | [`ppu_core::ActionClass::settling`] | what becomes of STARTED without outcome (REL-8) |
//! | [`ppu_engine::lifecycle`] | every change of a step and of a link in the journal |
//! | [`ppu_engine::rules`] | what an outcome, a verdict and an inventory do to a step (REL-3, REL-5, REL-10) |
//!
//! # What is modelled
//!
//! - A plan of one or two steps on device 0. The first one may be replaced by a new step on device 1, once it is void;
//!   both serve one purpose, so their effects are counted together. Each step has two attempts.
//! - The scheduler: journal (durable), session state (dies with the process). Epochs grow with each start.
//! - A deposed scheduler, which keeps its sessions and a copy of the journal; it sends again what it had intended, or
//!   intends and sends a command of its own with arguments of its own.
//! - Two drivers: ledger (durable), session and what the instrument task is about (dies). Two devices with a line to each:
//!   the command, the reply, or a reading in between may be lost; a device may refuse.
//! - Requests: a bounded number in flight, in any order, any number of times, late, or never; with or without their answer.
//! - A person who resolves doubts truthfully after the device came to rest, or scraps the sample; who retires a ledger
//!   after the device was isolated, and replaces one that nobody may trust (REL-14).
//! - Ledger 0 lost, restored from an old copy, or retired (row 18 of the crash points).
//!
//! A session is one bit: the ids are random, so one that is not current never is again. [`state::Truth`] holds what nobody
//! in the lab can read: effects, and what must never have happened.
//!
//! # What is checked
//!
//! stateright explores all states breadth first for the properties in [`properties`]. "From every state a final state can
//! be reached" is not one of its questions, so [`explore`] answers it over the same model, backwards from the final states;
//! it also finds the shortest way to a violation. Each rule is left out once ([`bounds::Variant`]), and the check must then
//! find a violation: otherwise the model would miss something.
//!
//! # What is not modelled
//!
//! - Time. A deadline may pass and a watchdog may wait at any moment, which covers every clock; T2 and safe states do not.
//! - Answers that overtake each other. A link makes one call at a time, and an answer dies with its connection, so it
//!   arrives with its call or not at all. A request that was refused for good is not delivered again in its session.
//! - Outcomes that arrive late: the stream is in order, and what is offered is taken, or is offered again.
//! - Abort, CloseRun, MakeSafe and Clear; FAILED_PARTIAL; preconditions (REL-15); samples and positions.
//! - A person who errs; a deposed scheduler that attaches to a driver which lost its ledger and with it the epochs.
//! - An old copy of a ledger that holds all that the journal ever heard of that ledger. Nobody can tell it from the ledger
//!   itself, so a backup taken after the last word that reached the scheduler is outside of the promise.
//! - Torn records, lying disks and the file format: the torture of the store has those.
//! - Safety commands, which are never de-duplicated. Continuing commands are settled as queryable ones, so the rows of the
//!   class `Queryable` stand for both; idempotent ones are judged by the keys that acted, not by how often one acted.

pub mod action;
pub mod bounds;
pub mod cases;
mod driver;
pub mod explore;
pub mod message;
pub mod model;
pub mod properties;
mod scheduler;
pub mod state;

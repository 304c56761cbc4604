//! When and where: timetables for a flexible job shop with transport and blocking positions.
//!
//! Time is counted in whole ticks whose length the caller chooses. Everything here is a pure function of its arguments.
//! A timetable is a forecast and a priority, never an order to act: the dispatcher uses [`ranks`] and waits for facts.
//!
//! - [`Problem`] says what must be done, [`schedule()`] says when and where, [`verify()`] checks any timetable without
//!   sharing code with the scheduler.
//! - A machine is also the position on it. A job may stay on it after its operation ([`Operation::held_until`]); whole
//!   jobs are inserted one after the other, so that a deadlock of positions cannot arise in a timetable.

mod place;
mod problem;
mod rank;
mod schedule;
mod verify;

pub use problem::{Job, Machine, Mode, Operation, Problem, ProblemError, Ticks};
pub use rank::{lower_bound, ranks};
pub use schedule::{Placed, ScheduleError, Timetable, schedule};
pub use verify::{Violation, verify};

//! The life of one attempt at a command, shared by the scheduler's engine and the driver's ledger, so that both sides
//! of the wire obey one table. Source of the states: the project's reliability rules (REL-5, REL-8).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What may be done with a command whose outcome is unknown. Every command of every driver declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionClass {
    /// The same effect however often it is sent: it may be sent again.
    Idempotent,
    /// The device can prove what happened: it is asked, and the command is sent again only after it proves "never started".
    Queryable,
    /// Irreversible and silent: never sent again; the attempt is in doubt.
    Unqueryable,
    /// Runs on without us: the driver attaches to it again; otherwise as [`ActionClass::Queryable`].
    Continuing,
    /// Stop, vent, cool, close: always allowed, never de-duplicated.
    Safety,
}

impl ActionClass {
    /// Every class.
    pub const ALL: [ActionClass; 5] = [
        ActionClass::Idempotent,
        ActionClass::Queryable,
        ActionClass::Unqueryable,
        ActionClass::Continuing,
        ActionClass::Safety,
    ];

    /// Whether ACCEPTED and STARTED may share one commit of the ledger. Not for the unqueryable class, because ACCEPTED
    /// is the only state that proves that nothing happened.
    pub fn may_join_accepted_and_started(self) -> bool {
        self != ActionClass::Unqueryable
    }
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Promised by the driver, certainly not begun.
    Accepted,
    /// The device may have been told.
    Started,
    /// The effect happened and the result is stored.
    Succeeded,
    /// Refused, a precondition failed, too late, or cancelled before it began: nothing happened.
    FailedNoEffect,
    /// Something happened; the outcome says what is known of samples and positions.
    FailedPartial,
    /// Stopped on request after it began.
    Aborted,
    /// Nobody knows.
    InDoubt,
    /// A proof or a person says that it happened.
    ResolvedDone,
    /// A proof or a person says that the sample is lost.
    ResolvedScrapped,
    /// A proof or a person says that it did not happen.
    ResolvedNotDone,
}

/// What can happen to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEvent {
    /// The driver is about to tell the device.
    Start,
    /// The device did it.
    Succeed,
    /// The device refused, or nothing was sent.
    FailNoEffect,
    /// The device did part of it.
    FailPartial,
    /// It was stopped on request after it began.
    Abort,
    /// Contact was lost or the driver restarted, and the device cannot prove the outcome.
    Doubt,
    /// Resolution: it happened.
    ResolveDone,
    /// Resolution: the sample is lost.
    ResolveScrapped,
    /// Resolution: it did not happen.
    ResolveNotDone,
}

/// A transition that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attempt that is {from} cannot {event:?}")]
pub struct IllegalAttemptTransition {
    /// The state it was in.
    pub from: AttemptState,
    /// The event that does not fit.
    pub event: AttemptEvent,
}

impl AttemptState {
    /// Every state, in the order of life.
    pub const ALL: [AttemptState; 10] = [
        AttemptState::Accepted,
        AttemptState::Started,
        AttemptState::Succeeded,
        AttemptState::FailedNoEffect,
        AttemptState::FailedPartial,
        AttemptState::Aborted,
        AttemptState::InDoubt,
        AttemptState::ResolvedDone,
        AttemptState::ResolvedScrapped,
        AttemptState::ResolvedNotDone,
    ];

    /// The transition table.
    pub fn next(self, event: AttemptEvent) -> Result<AttemptState, IllegalAttemptTransition> {
        use AttemptEvent as E;
        use AttemptState as S;
        Ok(match (self, event) {
            (S::Accepted, E::Start) => S::Started,
            (S::Accepted, E::FailNoEffect) => S::FailedNoEffect,
            (S::Started, E::Succeed) => S::Succeeded,
            (S::Started, E::FailNoEffect) => S::FailedNoEffect,
            (S::Started, E::FailPartial) => S::FailedPartial,
            (S::Started, E::Abort) => S::Aborted,
            (S::Started, E::Doubt) => S::InDoubt,
            (S::InDoubt, E::Succeed) => S::Succeeded,
            (S::InDoubt, E::ResolveDone) => S::ResolvedDone,
            (S::InDoubt, E::ResolveScrapped) => S::ResolvedScrapped,
            (S::InDoubt, E::ResolveNotDone) => S::ResolvedNotDone,
            (from, event) => return Err(IllegalAttemptTransition { from, event }),
        })
    }

    /// Whether the attempt may still have an effect: accepted, started or in doubt.
    pub fn is_live(self) -> bool {
        matches!(self, AttemptState::Accepted | AttemptState::Started | AttemptState::InDoubt)
    }

    /// Whether nothing more can happen to it.
    pub fn is_final(self) -> bool {
        !self.is_live()
    }

    /// Whether the next attempt at the same step is allowed (REL-5).
    pub fn allows_next_attempt(self) -> bool {
        matches!(self, AttemptState::FailedNoEffect | AttemptState::ResolvedNotDone)
    }

    /// Whether the step is done.
    pub fn is_done(self) -> bool {
        matches!(self, AttemptState::Succeeded | AttemptState::ResolvedDone)
    }
}

impl fmt::Display for AttemptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            AttemptState::Accepted => "accepted",
            AttemptState::Started => "started",
            AttemptState::Succeeded => "succeeded",
            AttemptState::FailedNoEffect => "failed without effect",
            AttemptState::FailedPartial => "failed in part",
            AttemptState::Aborted => "aborted",
            AttemptState::InDoubt => "in doubt",
            AttemptState::ResolvedDone => "resolved as done",
            AttemptState::ResolvedScrapped => "resolved as scrapped",
            AttemptState::ResolvedNotDone => "resolved as not done",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [AttemptEvent; 9] = [
        AttemptEvent::Start,
        AttemptEvent::Succeed,
        AttemptEvent::FailNoEffect,
        AttemptEvent::FailPartial,
        AttemptEvent::Abort,
        AttemptEvent::Doubt,
        AttemptEvent::ResolveDone,
        AttemptEvent::ResolveScrapped,
        AttemptEvent::ResolveNotDone,
    ];

    #[test]
    fn the_table_is_as_written_down() {
        let mut table = String::new();
        for state in AttemptState::ALL {
            for event in EVENTS {
                if let Ok(next) = state.next(event) {
                    table.push_str(&format!("{state} + {event:?} -> {next}\n"));
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn final_states_accept_nothing_and_live_states_can_end() {
        for state in AttemptState::ALL {
            let ways: Vec<_> = EVENTS.into_iter().filter_map(|event| state.next(event).ok()).collect();
            assert_eq!(state.is_final(), ways.is_empty(), "{state}");
        }
    }

    #[test]
    fn every_state_is_reached_from_accepted() {
        let mut reached = vec![AttemptState::Accepted];
        let mut at = 0;
        while at < reached.len() {
            for event in EVENTS {
                if let Ok(next) = reached[at].next(event)
                    && !reached.contains(&next)
                {
                    reached.push(next);
                }
            }
            at += 1;
        }
        assert_eq!(reached.len(), AttemptState::ALL.len());
    }
}

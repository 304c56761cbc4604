//! What the words of a driver and of a person do to a step, as plain functions of the life cycles. The engine decides and
//! evolves by them, and the machine-checked model of the protocol calls the very same ones.

use ppu_core::AttemptState;

use crate::event::Verdict;
use crate::lifecycle::{StepEvent, StepState};

/// What the outcome of an attempt does to its step. The next attempt is made only after one that proved to be without
/// effect (REL-5), and not for ever.
pub fn after_outcome(outcome: AttemptState, attempt: u32, most_attempts: u32) -> StepEvent {
    match outcome {
        AttemptState::Succeeded | AttemptState::ResolvedDone => StepEvent::Finish,
        AttemptState::InDoubt => StepEvent::Doubt,
        state if state.allows_next_attempt() && attempt < most_attempts => StepEvent::Retry,
        _ => StepEvent::Fail,
    }
}

/// What a verdict does to a step in doubt, and what becomes of its attempt.
pub fn after_verdict(verdict: Verdict) -> (StepEvent, AttemptState) {
    match verdict {
        Verdict::Done => (StepEvent::Finish, AttemptState::ResolvedDone),
        Verdict::NotDone => (StepEvent::Retry, AttemptState::ResolvedNotDone),
        Verdict::Scrapped => (StepEvent::Fail, AttemptState::ResolvedScrapped),
    }
}

/// What a driver's word about the last attempt of a step means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taking {
    /// It is known already, or a person decides: no fact.
    Nothing,
    /// It is taken.
    Take,
    /// The driver cannot have ended what it did not promise: the answer was lost, the promise was not. Both are taken.
    PromiseThenTake,
}

/// Whether an outcome is taken from a driver (REL-10: what is known already makes no fact).
pub fn takes_outcome(step: StepState, outcome: AttemptState) -> Taking {
    match step {
        StepState::Intended => Taking::PromiseThenTake,
        StepState::Accepted => Taking::Take,
        StepState::InDoubt if outcome.is_done() => Taking::Take,
        _ => Taking::Nothing,
    }
}

/// What the inventory of a driver says of the last attempt of a step, before anything is sent (REL-3). One that the journal
/// holds for promised, or that a lost ledger may have held, is in doubt; one that never arrived is sent again.
pub fn reconcile(step: StepState, is_listed: bool, is_same_ledger: bool) -> Option<StepEvent> {
    match (step, is_listed) {
        (StepState::Intended, true) => Some(StepEvent::Promise),
        (StepState::Intended, false) if !is_same_ledger => Some(StepEvent::Doubt),
        (StepState::Accepted, false) => Some(StepEvent::Doubt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::LifeCycle;

    #[test]
    fn a_step_is_tried_again_only_after_proof_of_no_effect() {
        for state in AttemptState::ALL {
            let event = after_outcome(state, 1, 3);
            assert_eq!(event == StepEvent::Retry, state.allows_next_attempt(), "{state}");
            assert_eq!(event == StepEvent::Finish, state.is_done(), "{state}");
            assert_ne!(after_outcome(state, 3, 3), StepEvent::Retry, "{state}");
        }
    }

    #[test]
    fn whatever_is_taken_fits_the_life_cycle_of_a_step() {
        let outcomes = AttemptState::ALL.into_iter().filter(|s| s.is_final() || *s == AttemptState::InDoubt);
        for outcome in outcomes {
            for step in StepState::STATES {
                let promised = match takes_outcome(*step, outcome) {
                    Taking::Nothing => continue,
                    Taking::Take => *step,
                    Taking::PromiseThenTake => step.next(StepEvent::Promise).unwrap(),
                };
                assert!(promised.table(after_outcome(outcome, 1, 3)).is_some(), "{step:?} + {outcome}");
            }
        }
    }

    #[test]
    fn reconciliation_fits_the_life_cycle_of_a_step() {
        for step in StepState::STATES {
            for (listed, same) in [(false, false), (false, true), (true, false), (true, true)] {
                if let Some(event) = reconcile(*step, listed, same) {
                    assert!(step.table(event).is_some(), "{step:?} {listed} {same}");
                    assert_eq!(event == StepEvent::Promise, listed);
                }
            }
        }
        assert_eq!(reconcile(StepState::Intended, false, true), None, "it is sent again under the same key");
    }
}

use super::*;
use AttemptState as S;

/// Attempts as (step, number, state); every digest is `[7]`.
#[derive(Clone, Copy)]
struct Ledger<'a> {
    attempts: &'a [(u8, u32, AttemptState)],
    void: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Line(u8, u32, AttemptState);

impl AttemptView for Line {
    fn number(self) -> u32 {
        self.1
    }

    fn state(self) -> AttemptState {
        self.2
    }

    fn has_digest(self, digest: &[u8]) -> bool {
        digest == [7]
    }
}

impl LedgerView for Ledger<'_> {
    type Step = u8;
    type Attempt = Line;

    fn is_void(self, step: &u8) -> bool {
        self.void.contains(step)
    }

    fn attempts_of(self, step: &u8) -> impl Iterator<Item = Line> {
        self.attempts().filter(move |line| line.0 == *step)
    }

    fn attempts(self) -> impl Iterator<Item = Line> {
        self.attempts.iter().map(|(step, number, state)| Line(*step, *number, *state))
    }
}

fn offer(attempt: u32) -> Offer<'static, u8> {
    Offer { step: &1, attempt, digest: &[7], digest_fits: true, late: false, degraded: false }
}

fn ledger<'a>(attempts: &'a [(u8, u32, AttemptState)]) -> Ledger<'a> {
    Ledger { attempts, void: &[] }
}

#[test]
fn the_fence_asks_for_the_epoch_first() {
    assert_eq!(fence(3, 3, true), Ok(()));
    assert_eq!(fence(4, 3, true), Ok(()));
    assert_eq!(fence(2, 3, true), Err(Fence::OlderEpoch));
    assert_eq!(fence(2, 3, false), Err(Fence::OlderEpoch));
    assert_eq!(fence(3, 3, false), Err(Fence::StaleSession));
}

#[test]
fn a_known_key_is_answered_and_a_tombstone_comes_before_it() {
    let done = [(1, 1, S::Succeeded)];
    assert_eq!(admit(ledger(&done), &offer(1)), Ok(Admission::Known(Line(1, 1, S::Succeeded))));
    let other = Offer { digest: &[8], ..offer(1) };
    assert_eq!(admit(ledger(&done), &other), Err(Refusal::OtherArguments));
    let void = Ledger { attempts: &done, void: &[1] };
    assert_eq!(admit(void, &offer(1)), Err(Refusal::Void));
    assert_eq!(admit(ledger(&[]), &Offer { digest_fits: false, ..offer(1) }), Err(Refusal::DigestDoesNotFit));
    assert_eq!(admit(ledger(&[]), &offer(1)), Ok(Admission::Accept));
}

#[test]
fn the_next_attempt_needs_the_proof_that_the_last_had_no_effect() {
    for state in S::ALL {
        let before = [(1, 1, state)];
        let expected = match state {
            S::FailedNoEffect | S::ResolvedNotDone => Ok(Admission::Accept),
            _ => Err(Refusal::Conflict(Line(1, 1, state))),
        };
        assert_eq!(admit(ledger(&before), &offer(2)), expected, "{state}");
    }
    let later = [(1, 2, S::FailedNoEffect)];
    assert_eq!(admit(ledger(&later), &offer(1)), Err(Refusal::Conflict(Line(1, 2, S::FailedNoEffect))));
}

#[test]
fn a_live_attempt_of_another_step_blocks_its_device() {
    for state in S::ALL {
        let other = [(2, 1, state)];
        let expected = if state.is_live() { Err(Refusal::Conflict(Line(2, 1, state))) } else { Ok(Admission::Accept) };
        assert_eq!(admit(ledger(&other), &offer(1)), expected, "{state}");
    }
}

#[test]
fn what_cannot_be_promised_now_is_said_last() {
    assert_eq!(admit(ledger(&[]), &Offer { late: true, degraded: true, ..offer(1) }), Err(Refusal::Late));
    assert_eq!(admit(ledger(&[]), &Offer { degraded: true, ..offer(1) }), Err(Refusal::Degraded));
}

#[test]
fn only_what_had_no_effect_can_be_made_void() {
    for state in S::ALL {
        let line = Line(1, 1, state);
        let expected = match state {
            S::Accepted => VoidJudgement::CancelThenVoid(line),
            S::FailedNoEffect | S::ResolvedNotDone => VoidJudgement::Void,
            _ => VoidJudgement::Conflict(line),
        };
        assert_eq!(judge_void(ledger(&[(1, 1, state)]), &1, false), expected, "{state}");
        assert_eq!(judge_void(ledger(&[(1, 1, state)]), &1, true), VoidJudgement::Already);
    }
    assert_eq!(judge_void(ledger(&[(2, 1, S::Started)]), &1, false), VoidJudgement::Void);
}

#[test]
fn only_a_doubt_is_resolved() {
    for state in S::ALL {
        let expected = match state {
            S::InDoubt => ResolveJudgement::Record,
            S::Accepted | S::Started => ResolveJudgement::UnderWay,
            _ => ResolveJudgement::Settled,
        };
        assert_eq!(judge_resolve(state), expected, "{state}");
    }
}

#[test]
fn nothing_begins_but_what_is_accepted_under_a_session_and_in_time() {
    let conditions = |state, may_move, over| judge_start(StartConditions { state, may_move, over });
    assert_eq!(conditions(Some(S::Accepted), true, false), StartJudgement::Begin);
    assert_eq!(conditions(Some(S::Accepted), true, true), StartJudgement::End);
    assert_eq!(conditions(Some(S::Accepted), false, true), StartJudgement::Wait);
    assert_eq!(conditions(None, true, false), StartJudgement::Gone);
    for state in S::ALL.into_iter().filter(|state| *state != S::Accepted) {
        assert_eq!(conditions(Some(state), true, false), StartJudgement::Gone, "{state}");
    }
}

#[test]
fn each_class_says_what_becomes_of_a_started_command() {
    let table: Vec<_> = ActionClass::ALL.map(|class| (class, class.settling())).to_vec();
    assert_eq!(
        table,
        [
            (ActionClass::Idempotent, Settling::SendAgain),
            (ActionClass::Queryable, Settling::AskDevice),
            (ActionClass::Unqueryable, Settling::Doubt),
            (ActionClass::Continuing, Settling::AskDevice),
            (ActionClass::Safety, Settling::SendAgain),
        ]
    );
}

//! What a driver answers to a request, as plain functions over a view of its ledger. The driver calls them under the turn
//! of its ledger, and the machine-checked model of the protocol calls the very same ones. They read, and write nothing.
//!
//! Source of the rules: the project's reliability rules REL-2 (fence), REL-4 (de-duplicate), REL-5 (one live attempt of a
//! step), REL-6 (tombstone), REL-8 (STARTED goes by its class) and REL-11 (a doubt blocks its device).

use crate::attempt::{ActionClass, AttemptState};

/// One attempt as a ledger tells of it; a reference or a small copy.
pub trait AttemptView: Copy {
    /// Number of the attempt at its step, from 1.
    fn number(self) -> u32;
    /// Where it stands.
    fn state(self) -> AttemptState;
    /// Whether it was promised with these arguments.
    fn has_digest(self, digest: &[u8]) -> bool;
}

/// What a judgement must know of a driver's ledger; a reference or a small copy.
pub trait LedgerView: Copy {
    /// Name of a step.
    type Step: ?Sized;
    /// One attempt.
    type Attempt: AttemptView;

    /// Whether the step has a tombstone, or its run was closed.
    fn is_void(self, step: &Self::Step) -> bool;
    /// The attempts at one step.
    fn attempts_of(self, step: &Self::Step) -> impl Iterator<Item = Self::Attempt>;
    /// All attempts that are not closed.
    fn attempts(self) -> impl Iterator<Item = Self::Attempt>;
}

/// Why whoever sent a request may not command the device (REL-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fence {
    /// A scheduler with a newer epoch was here.
    OlderEpoch,
    /// Another session is the current one, or none is.
    StaleSession,
}

/// The fence (REL-2): an older epoch, or a session that is not the current one.
pub fn fence(epoch: u64, max_epoch: u64, session_is_current: bool) -> Result<(), Fence> {
    if epoch < max_epoch {
        return Err(Fence::OlderEpoch);
    }
    if session_is_current { Ok(()) } else { Err(Fence::StaleSession) }
}

/// An attempt that a driver is asked to promise.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a, S: ?Sized> {
    /// The step.
    pub step: &'a S,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Digest of the command.
    pub digest: &'a [u8],
    /// Whether the digest is that of the command which came with it.
    pub digest_fits: bool,
    /// Whether the deadline for its start has passed.
    pub late: bool,
    /// Whether the driver can promise nothing at the moment.
    pub degraded: bool,
}

/// What is done with an offer that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission<A> {
    /// It may be promised.
    Accept,
    /// The key is known: it is answered with this attempt, and nothing is done (REL-4).
    Known(A),
}

/// Why an offer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<A> {
    /// The step has a tombstone, or its run was closed (REL-6).
    Void,
    /// The digest is not that of the command.
    DigestDoesNotFit,
    /// The key is known with other arguments, which a person must hear of (REL-4).
    OtherArguments,
    /// This attempt is in the way (REL-5, REL-11).
    Conflict(A),
    /// The deadline for its start has passed.
    Late,
    /// The driver can promise nothing at the moment.
    Degraded,
}

/// The judgement on an offer whose sender passed the [`fence`].
pub fn admit<L: LedgerView>(
    ledger: L,
    offer: &Offer<'_, L::Step>,
) -> Result<Admission<L::Attempt>, Refusal<L::Attempt>> {
    if ledger.is_void(offer.step) {
        return Err(Refusal::Void);
    }
    if !offer.digest_fits {
        return Err(Refusal::DigestDoesNotFit);
    }
    if let Some(known) = ledger.attempts_of(offer.step).find(|known| known.number() == offer.attempt) {
        return if known.has_digest(offer.digest) { Ok(Admission::Known(known)) } else { Err(Refusal::OtherArguments) };
    }
    // REL-5: the next attempt only after every one before it proved to be without effect, and none before a later one.
    let in_the_way = |other: &L::Attempt| other.number() > offer.attempt || !other.state().allows_next_attempt();
    if let Some(other) = ledger.attempts_of(offer.step).find(in_the_way) {
        return Err(Refusal::Conflict(other));
    }
    // One command at a time; a doubt blocks its device (REL-11).
    if let Some(other) = ledger.attempts().find(|other| other.state().is_live()) {
        return Err(Refusal::Conflict(other));
    }
    if offer.late {
        return Err(Refusal::Late);
    }
    if offer.degraded {
        return Err(Refusal::Degraded);
    }
    Ok(Admission::Accept)
}

/// What is done with the wish to make a step void (REL-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidJudgement<A> {
    /// It is void already.
    Already,
    /// Nothing of it is live or had an effect: it becomes void.
    Void,
    /// This attempt is only ACCEPTED, which proves that nothing happened: it is cancelled and the step becomes void.
    CancelThenVoid(A),
    /// This attempt is live or had an effect: the step goes on.
    Conflict(A),
}

/// The judgement on a wish to make a step void whose sender passed the [`fence`]. Unlike [`LedgerView::is_void`],
/// `has_tombstone` does not speak of closed runs.
pub fn judge_void<L: LedgerView>(ledger: L, step: &L::Step, has_tombstone: bool) -> VoidJudgement<L::Attempt> {
    if has_tombstone {
        return VoidJudgement::Already;
    }
    match ledger.attempts_of(step).find(|attempt| !attempt.state().allows_next_attempt()) {
        None => VoidJudgement::Void,
        Some(attempt) if attempt.state() == AttemptState::Accepted => VoidJudgement::CancelThenVoid(attempt),
        Some(attempt) => VoidJudgement::Conflict(attempt),
    }
}

/// What is done with a verdict on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveJudgement {
    /// It is under way, so there is nothing to decide.
    UnderWay,
    /// It has ended or was resolved before: it is answered with what became of it.
    Settled,
    /// It is in doubt: the verdict is recorded.
    Record,
}

/// The judgement on a verdict about an attempt in this state whose sender passed the [`fence`].
pub fn judge_resolve(state: AttemptState) -> ResolveJudgement {
    match state {
        AttemptState::Accepted | AttemptState::Started => ResolveJudgement::UnderWay,
        AttemptState::InDoubt => ResolveJudgement::Record,
        _ => ResolveJudgement::Settled,
    }
}

/// What holds at the moment at which a promised command would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartConditions {
    /// Where the attempt stands now; `None` when the ledger has it no more.
    pub state: Option<AttemptState>,
    /// Whether a session is current and not silent (T1), and the device was not made safe since.
    pub may_move: bool,
    /// Whether it was cancelled, or the deadline for its start has passed.
    pub over: bool,
}

/// What is done with a promised command that would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartJudgement {
    /// It is ACCEPTED no more: it was cancelled or made void in between.
    Gone,
    /// ACCEPTED stays ACCEPTED until a scheduler attaches (REL-9).
    Wait,
    /// It ends without effect.
    End,
    /// STARTED is recorded, then the device is told (REL-7).
    Begin,
}

/// The judgement right before STARTED is recorded (F5).
pub fn judge_start(conditions: StartConditions) -> StartJudgement {
    match conditions {
        StartConditions { state: Some(AttemptState::Accepted), may_move: true, over: false } => StartJudgement::Begin,
        StartConditions { state: Some(AttemptState::Accepted), may_move: true, over: true } => StartJudgement::End,
        StartConditions { state: Some(AttemptState::Accepted), may_move: false, .. } => StartJudgement::Wait,
        _ => StartJudgement::Gone,
    }
}

/// How a driver settles a command that is STARTED and of which nobody knows the outcome (REL-8): it was found so when the
/// driver started, or the device fell silent after it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settling {
    /// It may be sent again without asking.
    SendAgain,
    /// The device is asked; only the proof "never started" allows to send again.
    AskDevice,
    /// The device is made safe and the attempt is in doubt; it is never sent again.
    Doubt,
}

impl ActionClass {
    /// How a command of this class is settled when nobody knows its outcome (REL-8).
    pub fn settling(self) -> Settling {
        match self {
            ActionClass::Idempotent | ActionClass::Safety => Settling::SendAgain,
            ActionClass::Queryable | ActionClass::Continuing => Settling::AskDevice,
            ActionClass::Unqueryable => Settling::Doubt,
        }
    }
}

#[cfg(test)]
mod tests;

//! The driver: its judgement is the real one of [`ppu_core::admission`], its attempts move by the real table.

use ppu_core::admission::{
    Admission, AttemptView, LedgerView, Offer, Refusal, ResolveJudgement, Settling, StartConditions, StartJudgement,
    VoidJudgement, admit, fence, judge_resolve, judge_start, judge_void,
};
use ppu_core::{AttemptEvent, AttemptState};

use crate::bounds::Variant;
use crate::message::{Answer, Message, Verdict, Witness};
use crate::model::Protocol;
use crate::state::{Attempt, Key, Ledger, Line, STEPS, State, Work};

/// A ledger as the judgement sees it.
#[derive(Clone, Copy)]
struct View<'a> {
    ledger: &'a Ledger,
    /// W2: no attempt but the one asked for is seen.
    only: Option<u32>,
}

/// One attempt in a ledger, as the judgement sees it.
#[derive(Clone, Copy)]
struct Held(Key, Attempt);

impl AttemptView for Held {
    fn number(self) -> u32 {
        u32::from(self.0.attempt())
    }

    fn state(self) -> AttemptState {
        self.1.state
    }

    fn has_digest(self, digest: &[u8]) -> bool {
        digest == [self.1.digest]
    }
}

impl LedgerView for View<'_> {
    type Step = u8;
    type Attempt = Held;

    fn is_void(self, step: &u8) -> bool {
        self.ledger.void & (1 << step) != 0
    }

    fn attempts_of(self, step: &u8) -> impl Iterator<Item = Held> {
        let step = *step;
        let all = Key::ALL.into_iter().filter(move |key| key.step() == step);
        all.filter_map(move |key| Some(Held(key, self.ledger.attempts[key.index()]?)))
            .filter(move |line| self.only.is_none_or(|only| line.number() == only))
    }

    fn attempts(self) -> impl Iterator<Item = Held> {
        STEPS.into_iter().flat_map(move |step| View { only: None, ..self }.attempts_of(&step).collect::<Vec<_>>())
    }
}

impl Protocol {
    /// A request reaches a driver.
    pub(crate) fn at_driver(&self, state: &mut State, message: Message, is_unwilling: bool) -> Option<Answer> {
        let device = message.device();
        if state.drivers[device].work == Work::Down {
            return None;
        }
        match message {
            Message::None => None,
            Message::Attach { epoch, witness, .. } => self.attach(state, device, epoch, witness),
            _ if !self.passes_fence(state, device, message.epoch(), message.is_current()) => None,
            Message::Execute { key, epoch, digest, .. } => self.execute(state, key, epoch, digest, is_unwilling),
            Message::VoidStep { step, .. } => Some(self.void_step(state, device, step)),
            Message::Resolve { key, verdict, .. } => self.resolve(state, key, verdict),
        }
    }

    fn passes_fence(&self, state: &State, device: usize, epoch: u8, is_current: bool) -> bool {
        let driver = &state.drivers[device];
        let is_current = is_current && driver.has_session;
        self.bounds.variant == Variant::NoFence
            || fence(u64::from(epoch), u64::from(driver.ledger.max_epoch), is_current).is_ok()
    }

    fn attach(&self, state: &mut State, device: usize, epoch: u8, witness: Witness) -> Option<Answer> {
        let driver = &state.drivers[device];
        let ledger = &driver.ledger;
        // Attach is answered after the reconciliation at the driver's start (REL-8), and not to an older epoch (F2).
        if matches!(driver.work, Work::Settle(_)) || epoch < ledger.max_epoch {
            return None;
        }
        let is_old_copy = witness.ledger == ledger.id && witness.seen > ledger.last_dseq();
        let is_dead = is_old_copy || witness.retired & (1 << ledger.id) != 0;
        if is_dead && self.bounds.variant != Variant::DeadLedgerLives {
            return None;
        }
        state.end_sessions(device);
        let driver = &mut state.drivers[device];
        driver.ledger.max_epoch = epoch;
        driver.has_session = true;
        let listed = Key::ALL.into_iter().filter(|key| driver.ledger.attempts[key.index()].is_some());
        Some(Answer::Attached { ledger: driver.ledger.id, inventory: listed.fold(0, |keys, key| keys | key.bit()) })
    }

    fn execute(&self, state: &mut State, key: Key, epoch: u8, digest: u8, is_unwilling: bool) -> Option<Answer> {
        let ledger = &mut state.drivers[key.device()].ledger;
        let attempt = u32::from(key.attempt());
        let only = (self.bounds.variant == Variant::NoStepLock).then_some(attempt);
        let (step, digest_bytes) = (key.step(), [digest]);
        let offer = Offer {
            step: &step,
            attempt,
            digest: &digest_bytes,
            digest_fits: true,
            late: false,
            degraded: is_unwilling,
        };
        match admit(View { ledger, only }, &offer) {
            Ok(Admission::Accept) => {
                ledger.attempts[key.index()] =
                    Some(Attempt { state: AttemptState::Accepted, digest, is_acknowledged: false });
                state.truth.deposed_was_obeyed |= epoch < ledger.max_epoch;
                Some(Answer::Promised(key))
            }
            Ok(Admission::Known(_)) => Some(Answer::Promised(key)),
            Err(Refusal::Void) => Some(Answer::Void(step)),
            Err(Refusal::Degraded) => {
                state.budget.refusals -= 1;
                Some(Answer::NotPromised(key))
            }
            Err(Refusal::OtherArguments) => Some(Answer::NotPromised(key)),
            // The same key is offered again later; the scheduler learns nothing that it acts on.
            Err(Refusal::Conflict(_) | Refusal::Late | Refusal::DigestDoesNotFit) => None,
        }
    }

    fn void_step(&self, state: &mut State, device: usize, step: u8) -> Answer {
        let ledger = &mut state.drivers[device].ledger;
        let only = (self.bounds.variant == Variant::NoStepLock).then_some(0);
        let has_tombstone = ledger.void & (1 << step) != 0;
        match judge_void(View { ledger, only }, &step, has_tombstone) {
            VoidJudgement::Conflict(_) => return Answer::NotVoid(step),
            VoidJudgement::CancelThenVoid(Held(key, _)) => move_attempt(ledger, key, AttemptEvent::FailNoEffect),
            VoidJudgement::Already | VoidJudgement::Void => {}
        }
        ledger.void |= 1 << step;
        Answer::Void(step)
    }

    fn resolve(&self, state: &mut State, key: Key, verdict: Verdict) -> Option<Answer> {
        let ledger = &mut state.drivers[key.device()].ledger;
        let attempt = ledger.attempts[key.index()]?;
        match judge_resolve(attempt.state) {
            ResolveJudgement::UnderWay => return None,
            ResolveJudgement::Settled => {}
            ResolveJudgement::Record => move_attempt(ledger, key, event_of(verdict)),
        }
        Some(Answer::Resolved(key, ledger.attempts[key.index()]?.state))
    }

    /// The scheduler acknowledges an outcome on the event stream of its session.
    pub(crate) fn acknowledge(&self, state: &mut State, key: Key, outcome: AttemptState) {
        let driver = &mut state.drivers[key.device()];
        let attempt = driver.ledger.attempts[key.index()].as_mut();
        if let Some(attempt) = attempt.filter(|attempt| attempt.state == outcome && driver.has_session) {
            attempt.is_acknowledged = true;
        }
    }

    /// What the driver's process loses when it ends.
    pub(crate) fn crash_driver(&self, state: &mut State, device: usize) {
        state.end_sessions(device);
        state.network.disconnect(device);
        let driver = &mut state.drivers[device];
        driver.work = Work::Down;
        driver.has_session = false;
        for slot in &mut driver.ledger.attempts {
            let forgotten = match self.bounds.variant {
                Variant::KeysInMemory => true,
                Variant::LedgerAtTheEnd => slot.is_some_and(|attempt| !attempt.state.is_final()),
                _ => false,
            };
            if forgotten {
                *slot = None;
            }
        }
    }

    pub(crate) fn start_driver(&self, state: &mut State, device: usize) {
        let driver = &mut state.drivers[device];
        driver.work = driver.ledger.key_in(AttemptState::Started).map_or(Work::Idle, Work::Settle);
    }

    /// The attempt that may begin now.
    pub(crate) fn can_start(&self, state: &State, device: usize) -> Option<Key> {
        let driver = &state.drivers[device];
        let key = driver.ledger.key_in(AttemptState::Accepted).filter(|_| driver.work == Work::Idle)?;
        let conditions =
            StartConditions { state: Some(AttemptState::Accepted), may_move: driver.has_session, over: false };
        (judge_start(conditions) == StartJudgement::Begin).then_some(key)
    }

    pub(crate) fn start(&self, state: &mut State, device: usize) {
        let Some(key) = self.can_start(state, device) else { return };
        self.note_start(state, device);
        self.record(state, device, key, AttemptEvent::Start);
        state.drivers[device].work = Work::Begin(key);
    }

    /// The device is told, whether for the first time or again.
    pub(crate) fn tell(&self, state: &mut State, device: usize, key: Key) {
        if matches!(state.drivers[device].work, Work::SendAgain(_)) {
            self.note_start(state, device);
        }
        let may_have_acted =
            matches!(state.drivers[device].work, Work::SendAgain(_)) && self.bounds.settling() == Settling::SendAgain;
        state.lines[device] = Line::Sent(key);
        state.drivers[device].work = if may_have_acted { Work::WaitAgain(key) } else { Work::Wait(key) };
    }

    fn note_start(&self, state: &mut State, device: usize) {
        let driver = &state.drivers[device];
        let is_retired = device == 0 && state.journal.retired & (1 << driver.ledger.id) != 0;
        state.truth.dead_ledger_started |= driver.is_restored || is_retired;
    }

    pub(crate) fn hear(&self, state: &mut State, device: usize, key: Key) {
        let event = match state.lines[device] {
            Line::Ended(_) => AttemptEvent::Succeed,
            // The refusal of what is sent again does not say that the first one had no effect.
            _ if matches!(state.drivers[device].work, Work::WaitAgain(_)) => AttemptEvent::Doubt,
            _ => AttemptEvent::FailNoEffect,
        };
        state.lines[device] = Line::Quiet;
        self.conclude(state, device, key, event);
    }

    /// STARTED without outcome goes by its class (REL-8).
    pub(crate) fn settle(&self, state: &mut State, device: usize, key: Key) {
        let line = state.lines[device];
        match self.bounds.settling() {
            Settling::Doubt => {
                if line.is_at_rest() {
                    state.lines[device] = Line::Quiet;
                }
                self.conclude(state, device, key, AttemptEvent::Doubt);
            }
            Settling::SendAgain => state.drivers[device].work = Work::SendAgain(key),
            Settling::AskDevice if line == Line::Running(key) => state.drivers[device].work = Work::Wait(key),
            Settling::AskDevice if state.begun[device] == Some(key) => {
                state.lines[device] = Line::Quiet;
                self.conclude(state, device, key, AttemptEvent::Succeed);
            }
            Settling::AskDevice => {
                state.lines[device] = Line::Quiet;
                state.drivers[device].work = Work::SendAgain(key);
            }
        }
    }

    /// The end of an attempt is written, or that it is in doubt (F6).
    pub(crate) fn conclude(&self, state: &mut State, device: usize, key: Key, event: AttemptEvent) {
        self.record(state, device, key, event);
        state.drivers[device].work = Work::Idle;
    }

    fn record(&self, state: &mut State, device: usize, key: Key, event: AttemptEvent) {
        move_attempt(&mut state.drivers[device].ledger, key, event);
    }

    /// The attempts that the driver offers on its event stream.
    pub(crate) fn offers(&self, state: &State, device: usize) -> impl Iterator<Item = Key> {
        let driver = state.drivers[device];
        let is_open = driver.work != Work::Down && driver.has_session;
        Key::ALL.into_iter().filter(move |key| is_open && key.device() == device).filter_map(move |key| {
            let attempt = driver.ledger.attempts[key.index()]?;
            let has_news = attempt.state.is_final() || attempt.state == AttemptState::InDoubt;
            (has_news && !attempt.is_acknowledged).then_some(key)
        })
    }
}

/// Moves an attempt by the real table. A move that the table does not have is not recorded, as in the driver.
fn move_attempt(ledger: &mut Ledger, key: Key, event: AttemptEvent) {
    if let Some(attempt) = &mut ledger.attempts[key.index()]
        && let Ok(next) = attempt.state.next(event)
    {
        attempt.state = next;
        attempt.is_acknowledged = false;
    }
}

fn event_of(verdict: Verdict) -> AttemptEvent {
    match verdict {
        Verdict::Done => AttemptEvent::ResolveDone,
        Verdict::NotDone => AttemptEvent::ResolveNotDone,
        Verdict::Scrapped => AttemptEvent::ResolveScrapped,
    }
}

impl From<Verdict> for ppu_engine::event::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Done,
            Verdict::NotDone => Self::NotDone,
            Verdict::Scrapped => Self::Scrapped,
        }
    }
}

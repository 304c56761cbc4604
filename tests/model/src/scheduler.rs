//! The scheduler: steps move by the real life cycle, and what words of drivers and persons mean is the real
//! [`ppu_engine::rules`].

use ppu_core::AttemptState;
use ppu_engine::lifecycle::{LifeCycle, LinkEvent, LinkState, StepEvent, StepState};
use ppu_engine::rules::{Taking, after_outcome, after_verdict, reconcile, takes_outcome};

use crate::bounds::{Plan, Variant};
use crate::message::{Answer, Message, Verdict, Witness};
use crate::model::Protocol;
use crate::state::{
    ATTEMPTS, FIRST, Journal, Key, Keys, Link, REPLACEMENT, SECOND, STEPS, Scheduler, State, Step, device_of,
};

/// Moves a step by the real table. The rules only ask for moves that the table has.
fn move_step(step: &mut Step, event: StepEvent) {
    step.state = step.state.next(event).expect("the rules of the engine fit its life cycles");
}

fn is_live(step: &Step) -> bool {
    step.state.is_live()
}

impl Journal {
    fn step(&mut self, step: u8) -> &mut Step {
        &mut self.steps[usize::from(step)]
    }

    /// The step, if the key names its last attempt.
    fn last(&mut self, key: Key) -> Option<&mut Step> {
        Some(self.step(key.step())).filter(|step| step.attempts == key.attempt())
    }

    /// `StepVoided`: no attempt of it is live or had an effect, and none ever will.
    fn make_void(&mut self, step: u8) {
        let step = self.step(step);
        if step.state.table(StepEvent::Void).is_some() {
            move_step(step, StepEvent::Void);
            step.is_void = true;
            step.wants_void = false;
        }
    }

    /// The event after a proof of no effect, under the bound on attempts.
    fn retry(step: &mut Step) {
        let event = after_outcome(AttemptState::FailedNoEffect, u32::from(step.attempts), u32::from(ATTEMPTS));
        move_step(step, event);
    }

    /// A verdict on a step in doubt.
    fn decide(step: &mut Step, verdict: Verdict) {
        match after_verdict(verdict.into()) {
            (StepEvent::Retry, _) => Journal::retry(step),
            (event, _) => move_step(step, event),
        }
        step.is_orphan = false;
    }
}

/// Whether a scheduler with these steps and this link may make the next attempt of a step.
fn may_intend(plan: Plan, steps: &[Step; 3], link: Link, step: u8) -> bool {
    let this = &steps[usize::from(step)];
    let device_is_free =
        STEPS.into_iter().all(|other| device_of(other) != device_of(step) || !is_live(&steps[usize::from(other)]));
    // A replacement only after the tombstone (REL-6).
    let first = &steps[usize::from(FIRST)];
    let first_is_over = if first.is_void { steps[usize::from(REPLACEMENT)].state } else { first.state }.is_over();
    let is_allowed = match step {
        REPLACEMENT => first.is_void,
        SECOND => plan == Plan::SideBySide || first_is_over,
        _ => true,
    };
    link.state == LinkState::Attached
        && this.state == StepState::Waiting
        && this.attempts < ATTEMPTS
        && !this.wants_void
        && device_is_free
        && is_allowed
}

impl Protocol {
    /// The answer to a call reaches the scheduler, if the connection of the call is still the one in use.
    pub(crate) fn at_scheduler(&self, state: &mut State, call: Message, answer: Answer) {
        let device = call.device();
        let link = state.scheduler.links[device];
        let is_attached = link.state == LinkState::Attached;
        let is_awaited = match call {
            Message::Attach { .. } => !is_attached,
            _ => is_attached && link.is_current && call.is_current(),
        };
        if !state.scheduler.is_up || call.epoch() != state.journal.epoch || !is_awaited {
            return;
        }
        self.hear_of(state, device);
        match answer {
            Answer::Attached { ledger, inventory } => self.attached(state, device, ledger, inventory),
            Answer::Promised(key) => {
                if let Some(step) = state.journal.last(key).filter(|step| step.state == StepState::Intended) {
                    move_step(step, StepEvent::Promise);
                }
            }
            Answer::NotPromised(key) => {
                if let Some(step) = state.journal.last(key).filter(|step| step.state == StepState::Intended) {
                    Journal::retry(step);
                }
            }
            Answer::Void(step) => state.journal.make_void(step),
            Answer::NotVoid(step) => {
                let step = state.journal.step(step);
                step.wants_void = false;
                // The attempt is live or had an effect: it is what the step goes on with (REL-6).
                if step.state == StepState::Intended {
                    move_step(step, StepEvent::Promise);
                }
            }
            Answer::Resolved(key, became) => {
                let verdict = match became {
                    AttemptState::ResolvedNotDone => Verdict::NotDone,
                    AttemptState::ResolvedScrapped => Verdict::Scrapped,
                    _ => Verdict::Done,
                };
                if let Some(step) = state.journal.last(key).filter(|step| step.state == StepState::InDoubt) {
                    Journal::decide(step, verdict);
                }
            }
        }
    }

    /// Every answer and every outcome carries the sequence of the ledger's last record.
    fn hear_of(&self, state: &mut State, device: usize) {
        if device == 0 && self.bounds.faults.ledger_faults > 0 {
            state.journal.seen = state.drivers[0].ledger.last_dseq();
        }
    }

    /// Attach before command (REL-3).
    fn attached(&self, state: &mut State, device: usize, ledger: u8, inventory: Keys) {
        let link = &mut state.scheduler.links[device];
        *link = Link { state: link.state.next(LinkEvent::Attach).unwrap_or(link.state), is_current: true };
        let is_same_ledger = [0, ledger].contains(&state.journal.ledgers[device]);
        state.journal.ledgers[device] = ledger;
        if self.bounds.variant == Variant::NoReconciliation {
            return;
        }
        for name in STEPS.into_iter().filter(|step| device_of(*step) == device) {
            let step = state.journal.step(name);
            let is_listed = step.attempts > 0 && inventory & step.key(name).bit() != 0;
            if let Some(event) = reconcile(step.state, is_listed, is_same_ledger) {
                move_step(step, event);
                step.is_orphan = event == StepEvent::Doubt;
            }
            // A doubt that the driver no longer knows of cannot be resolved there.
            step.is_orphan |= step.state == StepState::InDoubt && !is_listed;
            // An attempt that the journal does not know becomes the step's own.
            for attempt in step.attempts + 1..=ATTEMPTS {
                let key = Key::new(name, attempt);
                if inventory & key.bit() != 0 && step.state == StepState::Waiting {
                    move_step(step, StepEvent::Intend);
                    move_step(step, StepEvent::Promise);
                    step.attempts = attempt;
                    state.truth.journaled |= key.bit();
                }
            }
        }
    }

    /// An event of a driver's stream: first durable, then acknowledged (F7). The stream is in order and ends with its
    /// connection, so an outcome is either taken or offered again.
    pub(crate) fn take_outcome(&self, state: &mut State, key: Key, is_acknowledged: bool) {
        let Some(attempt) = state.drivers[key.device()].ledger.attempts[key.index()] else { return };
        if self.bounds.variant == Variant::EarlyAck {
            state.scheduler.unwritten_outcome = Some((key, attempt.state));
        } else {
            self.write_outcome(state, key, attempt.state);
        }
        self.hear_of(state, key.device());
        if is_acknowledged {
            self.acknowledge(state, key, attempt.state);
        }
    }

    pub(crate) fn write_outcome(&self, state: &mut State, key: Key, outcome: AttemptState) {
        let Some(step) = state.journal.last(key) else { return };
        let taking = takes_outcome(step.state, outcome);
        if taking == Taking::Nothing {
            return;
        }
        if taking == Taking::PromiseThenTake {
            move_step(step, StepEvent::Promise);
        }
        move_step(step, after_outcome(outcome, u32::from(key.attempt()), u32::from(ATTEMPTS)));
    }

    /// The process ends: a crash, or the standby's turn. The journal stays.
    pub(crate) fn stop_scheduler(&self, state: &mut State) {
        let links = state
            .scheduler
            .links
            .map(|link| Link { state: link.state.table(LinkEvent::Lose).unwrap_or(link.state), is_current: false });
        state.scheduler = Scheduler { is_up: false, links, unwritten_intent: None, unwritten_outcome: None };
    }

    pub(crate) fn lose_link(&self, state: &mut State, device: usize) {
        let link = &mut state.scheduler.links[device];
        *link = Link { state: link.state.table(LinkEvent::Lose).unwrap_or(link.state), is_current: false };
    }

    pub(crate) fn attach_request(&self, state: &State, device: usize) -> Message {
        let Journal { epoch, ledgers, seen, retired, .. } = state.journal;
        let is_tracked = self.bounds.faults.ledger_faults > 0 && device == 0;
        let witness = if is_tracked { Witness { ledger: ledgers[0], seen, retired } } else { Witness::default() };
        Message::Attach { device: device as u8, epoch, witness }
    }

    pub(crate) fn may_intend(&self, state: &State, step: u8) -> bool {
        may_intend(self.bounds.plan, &state.journal.steps, state.scheduler.links[device_of(step)], step)
    }

    /// F3: the Intent is durable before anything is sent.
    pub(crate) fn intend(&self, state: &mut State, name: u8) -> Key {
        let step = state.journal.step(name);
        move_step(step, StepEvent::Intend);
        step.attempts += 1;
        let key = Key::new(name, step.attempts);
        state.truth.journaled |= key.bit();
        key
    }

    pub(crate) fn may_intend_deposed(&self, state: &State, step: u8) -> bool {
        let plan = self.bounds.plan;
        state.deposed.is_some_and(|deposed| may_intend(plan, &deposed.steps, deposed.links[device_of(step)], step))
    }

    /// A deposed scheduler sends what its own copy of the journal holds; its own commands have their own arguments.
    pub(crate) fn deposed_sends(&self, state: &mut State, name: u8, is_new: bool) {
        let Some(mut deposed) = state.deposed else { return };
        let step = &mut deposed.steps[usize::from(name)];
        if is_new {
            move_step(step, StepEvent::Intend);
            step.attempts += 1;
            state.truth.journaled |= Key::new(name, step.attempts).bit();
        }
        let key = step.key(name);
        deposed.sends -= 1;
        let is_current = deposed.links[key.device()].is_current;
        let digest = u8::from(is_new);
        state.deposed = Some(deposed);
        state.send(Message::Execute { key, epoch: deposed.epoch, is_current, digest });
    }

    /// What a person may say of a doubt who inspects the device: the truth, or that the sample is lost.
    pub(crate) fn verdicts(&self, state: &State, key: Key) -> [Verdict; 2] {
        let has_acted = state.truth.acted & key.bit() != 0;
        [if has_acted { Verdict::Done } else { Verdict::NotDone }, Verdict::Scrapped]
    }

    pub(crate) fn resolve_orphan(&self, state: &mut State, name: u8, verdict: Verdict) {
        Journal::decide(state.journal.step(name), verdict);
    }

    /// `LedgerRetired` (REL-14): what was open there is decided by a person who has isolated and inspected the device.
    pub(crate) fn retire_ledger(&self, state: &mut State) {
        self.lose_link(state, 0);
        state.journal.retired |= 1 << state.journal.ledgers[0];
        for name in STEPS.into_iter().filter(|step| device_of(*step) == 0) {
            let acted = state.truth.acted;
            let step = state.journal.step(name);
            if !is_live(step) {
                continue;
            }
            if acted & step.key(name).bit() != 0 {
                move_step(step, StepEvent::Finish);
            } else {
                Journal::retry(step);
                state.journal.step(name).is_orphan = false;
                if name == FIRST {
                    state.journal.make_void(FIRST);
                }
            }
        }
    }

    /// W1 and W3: the first step is given up without a tombstone, and the replacement is allowed.
    pub(crate) fn act_elsewhere(&self, state: &mut State) {
        state.journal.make_void(FIRST);
    }
}

//! The model that stateright explores: what can happen in a state, what then holds, and what must always hold.

use ppu_core::AttemptEvent;
use ppu_core::admission::Settling;
use ppu_engine::lifecycle::{LifeCycle, LinkState, StepEvent, StepState};
use stateright::{Model, Property};

use crate::action::Action;
use crate::bounds::{Bounds, Plan, Variant};
use crate::message::{Message, Network};
use crate::properties;
use crate::state::{
    DEVICES, Deposed, Driver, FIRST, Journal, Key, Ledger, Line, Link, REPLACEMENT, SECOND, STEPS, Scheduler, State,
    Step, Truth, Work, device_of,
};

/// The protocol within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The bounds.
    pub bounds: Bounds,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let waiting =
            Step { state: StepState::FIRST, attempts: 0, is_void: false, wants_void: false, is_orphan: false };
        let mut steps = [waiting; 3];
        if self.bounds.plan == Plan::OneStep {
            steps[usize::from(SECOND)].state = StepState::Skipped;
        }
        let link = Link { state: LinkState::FIRST, is_current: false };
        let driver = Driver { ledger: Ledger::new(1), work: Work::Idle, has_session: false, is_restored: false };
        vec![State {
            journal: Journal { epoch: 1, steps, ledgers: [0; DEVICES], seen: 0, retired: 0 },
            scheduler: Scheduler {
                is_up: true,
                links: [link; DEVICES],
                unwritten_intent: None,
                unwritten_outcome: None,
            },
            deposed: None,
            drivers: [driver; DEVICES],
            lines: [Line::Quiet; DEVICES],
            begun: [None; DEVICES],
            backup: None,
            network: Network::new(self.bounds.in_flight),
            budget: self.bounds.faults,
            truth: Truth::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.network_actions(state, actions);
        self.scheduler_actions(state, actions);
        self.person_actions(state, actions);
        self.deposed_actions(state, actions);
        for device in 0..DEVICES {
            self.driver_actions(state, device, actions);
            self.device_actions(state, device, actions);
        }
        if self.bounds.faults.ledger_faults > 0 {
            self.ledger_actions(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.apply(&mut state, action);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    fn network_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for message in state.network.iter() {
            actions.push(Action::Deliver(message));
            actions.push(Action::DeliverCopy(message));
            actions.push(Action::DeliverUnanswered(message));
            actions.push(Action::Lose(message));
            if matches!(message, Message::Execute { .. }) && state.budget.refusals > 0 {
                actions.push(Action::DeliverToUnwilling(message));
            }
        }
    }

    fn scheduler_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let State { scheduler, journal, network, .. } = state;
        if !scheduler.is_up {
            actions.push(Action::StartScheduler);
            return;
        }
        if state.budget.scheduler_crashes > 0 {
            actions.push(Action::CrashScheduler);
            if state.deposed.is_none() && state.budget.deposed_sends > 0 {
                actions.push(Action::DeposeScheduler);
            }
        }
        for device in 0..DEVICES {
            let link = scheduler.links[device];
            if link.state == LinkState::Attached && !link.is_current {
                actions.push(Action::NoticeStaleSession(device));
            }
            let is_asked = |message: &Message| matches!(message, Message::Attach { .. }) && message.device() == device;
            let is_needed = device == 0 || journal.steps[usize::from(FIRST)].is_void;
            if is_needed && link.state != LinkState::Attached && network.has_room() && !network.has(is_asked) {
                actions.push(Action::Attach(device));
            }
        }
        for name in STEPS {
            let step = journal.steps[usize::from(name)];
            let is_attached = scheduler.links[device_of(name)].state == LinkState::Attached;
            if self.may_intend(state, name) {
                if self.bounds.variant != Variant::LateIntent {
                    actions.push(Action::Intend(name));
                } else if scheduler.unwritten_intent.is_none() && network.has_room() {
                    actions.push(Action::SendUnwritten(name));
                }
            }
            if is_attached && step.state == StepState::Intended && !step.wants_void && network.has_room() {
                actions.push(Action::SendExecute(name));
            }
        }
        let first = &journal.steps[usize::from(FIRST)];
        if first.state.table(StepEvent::Void).is_some() {
            if !first.wants_void {
                actions.push(Action::WantVoid);
            } else if scheduler.links[0].state == LinkState::Attached && network.has_room() {
                actions.push(Action::SendVoidStep);
            }
        }
        for device in (0..DEVICES).filter(|device| scheduler.links[*device].is_current) {
            for key in self.offers(state, device) {
                actions.push(Action::TakeOutcome(key));
                actions.push(Action::TakeUnacknowledged(key));
            }
        }
        if self.may_act_elsewhere(state) {
            actions.push(Action::ActElsewhere);
        }
        if scheduler.unwritten_intent.is_some() {
            actions.push(Action::WriteIntent);
        }
        if scheduler.unwritten_outcome.is_some() {
            actions.push(Action::WriteOutcome);
        }
    }

    fn may_act_elsewhere(&self, state: &State) -> bool {
        let step = state.journal.steps[usize::from(FIRST)];
        let is_open = matches!(step.state, StepState::Intended | StepState::Accepted);
        match self.bounds.variant {
            Variant::TimeOutDecides => is_open,
            Variant::NoTombstone => {
                let is_unknown = state.drivers[0].ledger.attempts[step.key(FIRST).index()].is_none();
                is_open && is_unknown && state.drivers[0].work != Work::Down
            }
            _ => false,
        }
    }

    fn person_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.scheduler.is_up {
            return;
        }
        for name in STEPS {
            let step = state.journal.steps[usize::from(name)];
            let device = device_of(name);
            if step.state != StepState::InDoubt || !state.lines[device].is_at_rest() {
                continue;
            }
            let key = step.key(name);
            let can_send = state.scheduler.links[device].state == LinkState::Attached && state.network.has_room();
            for verdict in self.verdicts(state, key) {
                if step.is_orphan {
                    actions.push(Action::ResolveOrphan(name, verdict));
                } else if can_send {
                    actions.push(Action::SendResolve(name, verdict));
                }
            }
        }
    }

    fn deposed_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(deposed) = state.deposed.filter(|deposed| deposed.sends > 0 && state.network.has_room()) else {
            return;
        };
        for name in STEPS {
            if deposed.steps[usize::from(name)].state == StepState::Intended {
                actions.push(Action::DeposedSendsAgain(name));
            }
            if self.may_intend_deposed(state, name) {
                actions.push(Action::DeposedSendsItsOwn(name));
            }
        }
    }

    fn driver_actions(&self, state: &State, device: usize, actions: &mut Vec<Action>) {
        let driver = &state.drivers[device];
        let line = state.lines[device];
        if driver.work == Work::Down {
            actions.push(Action::StartDriver(device));
            return;
        }
        if state.budget.driver_crashes > 0 {
            actions.push(Action::CrashDriver(device));
        }
        match driver.work {
            Work::Begin(_) if line.is_at_rest() => actions.push(Action::Tell(device)),
            Work::Wait(_) | Work::WaitAgain(_) => match line {
                Line::Quiet => actions.push(Action::FallSilent(device)),
                Line::Ended(_) | Line::Refused(_) => {
                    actions.push(Action::Hear(device));
                    if state.budget.line_faults > 0 {
                        actions.push(Action::FallSilent(device));
                    }
                }
                Line::Running(_) if state.budget.line_faults > 0 => actions.push(Action::FallSilent(device)),
                _ => {}
            },
            // A device is asked, or told again, on the same line: what was sent before has arrived or is lost by then.
            Work::Settle(_) if line.is_at_rest() || self.bounds.settling() == Settling::Doubt => {
                actions.push(Action::Settle(device));
            }
            Work::Settle(_) if matches!(line, Line::Running(_)) && self.bounds.settling() == Settling::AskDevice => {
                actions.push(Action::Settle(device));
            }
            Work::SendAgain(_) => {
                if driver.has_session && line.is_at_rest() {
                    actions.push(Action::TellAgain(device));
                }
                if state.budget.refusals > 0 && self.bounds.settling() == Settling::AskDevice {
                    actions.push(Action::GiveUp(device));
                }
            }
            Work::Idle => {
                if self.can_start(state, device).is_some() {
                    actions.push(Action::Start(device));
                }
                if state.budget.refusals > 0 && driver.ledger.key_in(ppu_core::AttemptState::Accepted).is_some() {
                    actions.push(Action::EndLate(device));
                }
            }
            _ => {}
        }
    }

    fn device_actions(&self, state: &State, device: usize, actions: &mut Vec<Action>) {
        match state.lines[device] {
            Line::Sent(_) => {
                actions.push(Action::DeviceBegins(device));
                if state.budget.line_faults > 0 {
                    actions.push(Action::CommandLost(device));
                }
                if state.budget.refusals > 0 {
                    actions.push(Action::DeviceRefuses(device));
                }
            }
            Line::Running(_) => actions.push(Action::DeviceEnds(device)),
            _ => {}
        }
    }

    fn ledger_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let driver = &state.drivers[0];
        let is_down = driver.work == Work::Down;
        let is_retired = state.journal.retired & (1 << driver.ledger.id) != 0;
        if state.budget.ledger_faults > 0 {
            if state.backup.is_none() {
                actions.push(Action::BackUpLedger);
            }
            if is_down {
                actions.push(Action::LoseLedger);
                // A copy that holds all that anybody has heard of cannot be told from the ledger itself.
                if state.backup.is_some_and(|old| old.id == driver.ledger.id && state.journal.seen > old.last_dseq()) {
                    actions.push(Action::RestoreLedger);
                }
            }
            let is_known = state.journal.ledgers[0] != 0 && !is_retired;
            if is_down && is_known && state.scheduler.is_up && state.lines[0].is_at_rest() {
                actions.push(Action::RetireLedger);
            }
        }
        let nobody_trusts_it = driver.is_restored || is_retired;
        if nobody_trusts_it && !driver.has_session && state.lines[0].is_at_rest() {
            actions.push(Action::ReplaceLedger);
        }
    }

    fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::Deliver(message) => {
                state.network.remove(message);
                self.call(state, message, false);
            }
            Action::DeliverCopy(message) => self.call(state, message, false),
            Action::DeliverToUnwilling(message) => {
                state.network.remove(message);
                self.call(state, message, true);
            }
            Action::DeliverUnanswered(message) => {
                self.at_driver(state, message, false);
            }
            Action::Lose(message) => state.network.remove(message),
            Action::BackUpLedger | Action::LoseLedger | Action::RestoreLedger | Action::ReplaceLedger => {
                self.apply_to_ledger(state, action);
            }
            Action::RetireLedger => {
                state.budget.ledger_faults -= 1;
                self.retire_ledger(state);
            }
            Action::DeviceBegins(_) | Action::CommandLost(_) | Action::DeviceRefuses(_) | Action::DeviceEnds(_) => {
                self.apply_to_device(state, action);
            }
            Action::CrashDriver(_)
            | Action::StartDriver(_)
            | Action::Start(_)
            | Action::EndLate(_)
            | Action::Tell(_)
            | Action::Hear(_)
            | Action::FallSilent(_)
            | Action::Settle(_)
            | Action::TellAgain(_)
            | Action::GiveUp(_) => self.apply_to_driver(state, action),
            _ => self.apply_to_scheduler(state, action),
        }
    }

    fn call(&self, state: &mut State, message: Message, is_unwilling: bool) {
        if let Some(answer) = self.at_driver(state, message, is_unwilling) {
            self.at_scheduler(state, message, answer);
        }
    }

    fn apply_to_scheduler(&self, state: &mut State, action: Action) {
        match action {
            Action::CrashScheduler => {
                state.budget.scheduler_crashes -= 1;
                self.stop_scheduler(state);
            }
            Action::DeposeScheduler => {
                state.budget.scheduler_crashes -= 1;
                let State { journal, scheduler, .. } = *state;
                let sends = std::mem::take(&mut state.budget.deposed_sends);
                state.deposed =
                    Some(Deposed { epoch: journal.epoch, steps: journal.steps, links: scheduler.links, sends });
                self.stop_scheduler(state);
            }
            Action::StartScheduler => {
                state.scheduler.is_up = true;
                state.journal.epoch += 1;
            }
            Action::Attach(device) => {
                let request = self.attach_request(state, device);
                state.send(request);
            }
            Action::NoticeStaleSession(device) => self.lose_link(state, device),
            Action::Intend(step) => {
                self.intend(state, step);
            }
            Action::SendExecute(step) => {
                let key = state.journal.steps[usize::from(step)].key(step);
                self.send_execute(state, key);
            }
            Action::TakeOutcome(key) => self.take_outcome(state, key, true),
            Action::TakeUnacknowledged(key) => self.take_outcome(state, key, false),
            Action::WantVoid => state.journal.steps[usize::from(FIRST)].wants_void = true,
            Action::SendVoidStep => {
                let is_current = state.scheduler.links[0].is_current;
                state.send(Message::VoidStep { step: FIRST, epoch: state.journal.epoch, is_current });
            }
            Action::SendResolve(step, verdict) => {
                let key = state.journal.steps[usize::from(step)].key(step);
                let is_current = state.scheduler.links[key.device()].is_current;
                state.send(Message::Resolve { key, epoch: state.journal.epoch, is_current, verdict });
            }
            Action::ResolveOrphan(step, verdict) => self.resolve_orphan(state, step, verdict),
            Action::ActElsewhere => self.act_elsewhere(state),
            Action::SendUnwritten(step) => {
                let key = Key::new(step, state.journal.steps[usize::from(step)].attempts + 1);
                state.scheduler.unwritten_intent = Some(key);
                self.send_execute(state, key);
            }
            Action::WriteIntent => {
                if let Some(key) = state.scheduler.unwritten_intent.take()
                    && state.journal.steps[usize::from(key.step())].state == StepState::Waiting
                {
                    self.intend(state, key.step());
                }
            }
            Action::WriteOutcome => {
                if let Some((key, outcome)) = state.scheduler.unwritten_outcome.take() {
                    self.write_outcome(state, key, outcome);
                }
            }
            Action::DeposedSendsAgain(step) => self.deposed_sends(state, step, false),
            Action::DeposedSendsItsOwn(step) => self.deposed_sends(state, step, true),
            _ => {}
        }
    }

    fn send_execute(&self, state: &mut State, key: Key) {
        let is_current = state.scheduler.links[key.device()].is_current;
        state.send(Message::Execute { key, epoch: state.journal.epoch, is_current, digest: 0 });
    }

    fn apply_to_driver(&self, state: &mut State, action: Action) {
        match action {
            Action::CrashDriver(device) => {
                state.budget.driver_crashes -= 1;
                self.crash_driver(state, device);
            }
            Action::StartDriver(device) => self.start_driver(state, device),
            Action::Start(device) => self.start(state, device),
            Action::EndLate(device) => {
                state.budget.refusals -= 1;
                if let Some(key) = state.drivers[device].ledger.key_in(ppu_core::AttemptState::Accepted) {
                    self.conclude(state, device, key, AttemptEvent::FailNoEffect);
                }
            }
            Action::FallSilent(device) => {
                if state.lines[device] != Line::Quiet {
                    state.budget.line_faults -= 1;
                }
                if let Work::Wait(key) | Work::WaitAgain(key) = state.drivers[device].work {
                    state.drivers[device].work = Work::Settle(key);
                }
            }
            Action::GiveUp(_) => state.budget.refusals -= 1,
            _ => {}
        }
        match (action, self.key_at_work(state, action)) {
            (Action::Tell(device) | Action::TellAgain(device), Some(key)) => self.tell(state, device, key),
            (Action::Hear(device), Some(key)) => self.hear(state, device, key),
            (Action::Settle(device), Some(key)) => self.settle(state, device, key),
            (Action::GiveUp(device), Some(key)) => self.conclude(state, device, key, AttemptEvent::FailNoEffect),
            _ => {}
        }
    }

    fn key_at_work(&self, state: &State, action: Action) -> Option<Key> {
        let (Action::Tell(device)
        | Action::TellAgain(device)
        | Action::Hear(device)
        | Action::Settle(device)
        | Action::GiveUp(device)) = action
        else {
            return None;
        };
        match state.drivers[device].work {
            Work::Begin(key) | Work::Wait(key) | Work::WaitAgain(key) | Work::Settle(key) | Work::SendAgain(key) => {
                Some(key)
            }
            Work::Down | Work::Idle => None,
        }
    }

    fn apply_to_device(&self, state: &mut State, action: Action) {
        match action {
            Action::DeviceBegins(device) => {
                let Line::Sent(key) = state.lines[device] else { return };
                state.lines[device] = Line::Running(key);
                state.begun[device] = Some(key);
                let truth = &mut state.truth;
                let purpose = usize::from(key.step() == SECOND);
                debug_assert!(key.step() != REPLACEMENT || purpose == 0);
                truth.effects[purpose] = (truth.effects[purpose] + 1).min(2);
                truth.acted |= key.bit();
                truth.unwritten_acted |= truth.journaled & key.bit() == 0;
            }
            Action::CommandLost(device) => {
                state.budget.line_faults -= 1;
                state.lines[device] = Line::Quiet;
            }
            Action::DeviceRefuses(device) => {
                let Line::Sent(key) = state.lines[device] else { return };
                state.budget.refusals -= 1;
                state.lines[device] = Line::Refused(key);
            }
            Action::DeviceEnds(device) => {
                let Line::Running(key) = state.lines[device] else { return };
                state.lines[device] = Line::Ended(key);
            }
            _ => {}
        }
    }

    fn apply_to_ledger(&self, state: &mut State, action: Action) {
        let driver = &mut state.drivers[0];
        let new = Ledger::new(driver.ledger.id + 1);
        match action {
            Action::BackUpLedger => {
                state.backup = Some(driver.ledger);
                return;
            }
            Action::RestoreLedger => {
                driver.ledger = state.backup.take().unwrap_or(driver.ledger);
                driver.is_restored = true;
            }
            Action::LoseLedger => {
                driver.ledger = new;
                driver.is_restored = false;
            }
            _ => {
                driver.ledger = new;
                driver.is_restored = false;
                driver.work = Work::Down;
                state.network.disconnect(0);
                return;
            }
        }
        state.budget.ledger_faults -= 1;
        state.backup = None;
    }
}

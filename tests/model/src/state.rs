//! A state of the whole lab, as small as it can be: what is durable, what dies with a process, what is on the wires, and
//! what nature did. Steps, attempts and devices are small numbers; the life cycles are the real enums.

use ppu_core::AttemptState;
use ppu_engine::lifecycle::{LinkState, StepState};

use crate::bounds::Budget;
use crate::message::{Message, Network};

/// The first step of the plan, on device 0. It may be replaced by [`REPLACEMENT`].
pub const FIRST: u8 = 0;
/// The second step of the plan, also on device 0 and independent of the first.
pub const SECOND: u8 = 1;
/// What replaces the first step once it is void: a new step with a new name, on device 1.
pub const REPLACEMENT: u8 = 2;
/// Every step.
pub const STEPS: [u8; 3] = [FIRST, SECOND, REPLACEMENT];
/// Attempts at one step; the engine allows three, but two are what the rules are about: "one" and "the next".
pub const ATTEMPTS: u8 = 2;
/// Drivers, each with one device.
pub const DEVICES: usize = 2;

/// Name of an attempt: a step and a number from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u8);

impl Key {
    /// Every key.
    pub const ALL: [Key; 6] = [Key(0), Key(1), Key(2), Key(3), Key(4), Key(5)];

    /// The key of an attempt, numbered from 1.
    pub fn new(step: u8, attempt: u8) -> Key {
        debug_assert!(STEPS.contains(&step) && (1..=ATTEMPTS).contains(&attempt));
        Key(step * ATTEMPTS + attempt - 1)
    }

    /// Its step.
    pub fn step(self) -> u8 {
        self.0 / ATTEMPTS
    }

    /// Its number, from 1.
    pub fn attempt(self) -> u8 {
        self.0 % ATTEMPTS + 1
    }

    /// Where it stands in arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its bit in a set.
    pub fn bit(self) -> u8 {
        1 << self.0
    }

    /// Its device.
    pub fn device(self) -> usize {
        device_of(self.step())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", ["first", "second", "replacement"][usize::from(self.step())], self.attempt())
    }
}

/// The device of a step.
pub fn device_of(step: u8) -> usize {
    usize::from(step == REPLACEMENT)
}

/// A set of keys.
pub type Keys = u8;

/// A step as a journal knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// Attempts intended so far.
    pub attempts: u8,
    /// Whether `StepVoided` is recorded.
    pub is_void: bool,
    /// Whether it is to be done elsewhere, once it is void.
    pub wants_void: bool,
    /// Whether the scheduler itself raised the doubt, because the driver has no memory of the attempt (row 18).
    pub is_orphan: bool,
}

impl Step {
    /// The key of its last attempt.
    pub fn key(&self, step: u8) -> Key {
        Key::new(step, self.attempts.max(1))
    }
}

/// The durable part of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Journal {
    /// Epoch of the last process.
    pub epoch: u8,
    /// The steps.
    pub steps: [Step; 3],
    /// Ledger id of each driver; 0 before the first contact.
    pub ledgers: [u8; DEVICES],
    /// The last record of ledger 0 that the journal has heard of; tracked only where ledgers may be restored.
    pub seen: u8,
    /// Retired ledger ids of driver 0, as a set.
    pub retired: u8,
}

/// A driver as a scheduler process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Whether it is in session.
    pub state: LinkState,
    /// Whether that session is the driver's current one. Sessions are random, so one that is not current never is again,
    /// and this bit is all that a session means.
    pub is_current: bool,
}

/// The part of the scheduler that dies with its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheduler {
    /// Whether the process lives.
    pub is_up: bool,
    /// Its links.
    pub links: [Link; DEVICES],
    /// An intent that was sent before it is durable (only with a late Intent).
    pub unwritten_intent: Option<Key>,
    /// An outcome that was acknowledged before it is durable (only with Ack before F7).
    pub unwritten_outcome: Option<(Key, AttemptState)>,
}

/// A scheduler that was paused and deposed: it lives on with what it knew, on its own copy of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deposed {
    /// Its epoch.
    pub epoch: u8,
    /// Its copy.
    pub steps: [Step; 3],
    /// Drivers it was in session with, and whether that session is still current.
    pub links: [Link; DEVICES],
    /// Commands it may still send.
    pub sends: u8,
}

/// One attempt in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Where it stands.
    pub state: AttemptState,
    /// What it was promised with: 0 for what the lab's plan says, 1 for what a deposed scheduler made up.
    pub digest: u8,
    /// Whether its state was acknowledged.
    pub is_acknowledged: bool,
}

/// The durable part of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Its identity, from 1.
    pub id: u8,
    /// Largest epoch that attached.
    pub max_epoch: u8,
    /// The attempts, by key.
    pub attempts: [Option<Attempt>; 6],
    /// Void steps, as a set.
    pub void: u8,
}

impl Ledger {
    /// A new ledger.
    pub fn new(id: u8) -> Ledger {
        Ledger { id, max_epoch: 0, attempts: [None; 6], void: 0 }
    }

    /// The attempt in this state.
    pub fn key_in(&self, state: AttemptState) -> Option<Key> {
        Key::ALL.into_iter().find(|key| self.attempts[key.index()].is_some_and(|attempt| attempt.state == state))
    }

    /// Records about steps so far, which stands for the sequence of the last one.
    pub fn last_dseq(&self) -> u8 {
        let records = |attempt: &Attempt| match attempt.state {
            AttemptState::Accepted => 1,
            AttemptState::Started => 2,
            AttemptState::ResolvedDone | AttemptState::ResolvedScrapped | AttemptState::ResolvedNotDone => 4,
            _ => 3,
        };
        self.attempts.iter().flatten().map(records).sum::<u8>() + self.void.count_ones() as u8
    }
}

/// What the task that owns the instrument is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// The process is dead.
    Down,
    /// Nothing.
    Idle,
    /// STARTED is durable and the device not yet told.
    Begin(Key),
    /// The device was told and has not answered.
    Wait(Key),
    /// The same, for a command that was sent before without knowing what became of it.
    WaitAgain(Key),
    /// STARTED, and nobody knows the outcome (REL-8).
    Settle(Key),
    /// It may be sent again, once a scheduler is in session.
    SendAgain(Key),
}

/// A driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Driver {
    /// The durable part.
    pub ledger: Ledger,
    /// What it is about.
    pub work: Work,
    /// Whether a session is current.
    pub has_session: bool,
    /// Whether the ledger is an old copy; nobody in the lab can read this bit.
    pub is_restored: bool,
}

/// What is between a driver and its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// Nothing.
    Quiet,
    /// The bytes of a command are on their way.
    Sent(Key),
    /// The device is at it.
    Running(Key),
    /// It is done; the answer is on its way, and a device that can be asked still knows.
    Ended(Key),
    /// The device said no; nothing happened.
    Refused(Key),
}

impl Line {
    /// Whether the device is at rest and no bytes are on their way to it, so that a person can inspect it.
    pub fn is_at_rest(self) -> bool {
        !matches!(self, Line::Sent(_) | Line::Running(_))
    }
}

/// What nature did and what must never have happened; no process can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Truth {
    /// Effects for the purpose of the first step (replacement included) and of the second, up to two.
    pub effects: [u8; 2],
    /// Keys on which a device acted.
    pub acted: Keys,
    /// Keys whose Intent was durable in the journal of whoever sent them.
    pub journaled: Keys,
    /// A driver did the will of a deposed scheduler after the new one was in session.
    pub deposed_was_obeyed: bool,
    /// A device acted on a key that no journal held.
    pub unwritten_acted: bool,
    /// A retired or restored ledger started something.
    pub dead_ledger_started: bool,
}

/// The whole lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Durable part of the scheduler.
    pub journal: Journal,
    /// Its volatile part.
    pub scheduler: Scheduler,
    /// A deposed scheduler.
    pub deposed: Option<Deposed>,
    /// The drivers.
    pub drivers: [Driver; DEVICES],
    /// The lines to the devices.
    pub lines: [Line; DEVICES],
    /// Key on which each device began last: the counter that a queryable device can show.
    pub begun: [Option<Key>; DEVICES],
    /// An old copy of ledger 0.
    pub backup: Option<Ledger>,
    /// Messages in flight.
    pub network: Network,
    /// Faults that may still happen.
    pub budget: Budget,
    /// What nobody knows.
    pub truth: Truth,
}

impl State {
    /// Whether everything that the plan asks for has an end.
    pub fn is_finished(&self) -> bool {
        let over = |step: u8| self.journal.steps[usize::from(step)].state.is_over();
        let replaced = self.journal.steps[usize::from(FIRST)].is_void;
        over(FIRST) && over(SECOND) && (!replaced || over(REPLACEMENT))
    }

    /// Sends a request; one to a driver whose process is down finds nobody to connect to.
    pub(crate) fn send(&mut self, message: Message) {
        if self.drivers[message.device()].work != Work::Down {
            self.network.send(message);
        }
    }

    /// Drops every session with this driver but its own memory of having one: links and messages no longer current.
    pub(crate) fn end_sessions(&mut self, device: usize) {
        self.scheduler.links[device].is_current = false;
        if let Some(deposed) = &mut self.deposed {
            deposed.links[device].is_current = false;
        }
        self.network.end_sessions(device);
    }
}

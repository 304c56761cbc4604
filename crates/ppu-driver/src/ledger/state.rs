//! What a ledger says, rebuilt by replay: one function takes every record in, at the start and while running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ppu_core::admission::{AttemptView, LedgerView};
use ppu_core::attempt::IllegalAttemptTransition;
use ppu_core::{AttemptEvent, AttemptState, CommandKey, StepId};
use ppu_proto::ConversionError;
use ppu_proto::convert;
use ppu_proto::device::v1 as wire;
use ppu_proto::journal::v1::{LedgerRecord, ledger_record::Event};

/// One attempt as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which command.
    pub key: CommandKey,
    /// Digest of its arguments, 32 bytes.
    pub digest: Vec<u8>,
    /// What to do, as it came over the wire.
    pub command: wire::Command,
    /// Where it stands.
    pub state: AttemptState,
    /// Ledger sequence of its last change.
    pub dseq: u64,
    /// Deadline for the start in nanoseconds of CLOCK_BOOTTIME; 0 for none.
    pub start_before_ns: u64,
    /// Boot id of the computer under which the deadline was made.
    pub machine_boot: String,
    /// What the device showed just before it was told; empty before STARTED.
    pub snapshot: Vec<u8>,
    /// CLOCK_BOOTTIME of STARTED; 0 before.
    pub started_boot_ns: u64,
    /// How it ended, once it has, or why it is in doubt.
    pub outcome: Option<wire::Outcome>,
    /// Whether it was asked to end.
    pub abort_requested: bool,
    /// What must be true right before it begins, besides what the manifest requires.
    pub preconditions: Vec<ppu_proto::capability::v1::Requirement>,
}

impl Attempt {
    /// As it goes over the wire.
    pub fn to_wire(&self) -> wire::AttemptRecord {
        wire::AttemptRecord {
            key: Some((&self.key).into()),
            digest: self.digest.clone(),
            state: wire::AttemptState::from(self.state).into(),
            dseq: self.dseq,
            command: Some(self.command.clone()),
        }
    }
}

impl AttemptView for &Attempt {
    fn number(self) -> u32 {
        self.key.attempt
    }

    fn state(self) -> AttemptState {
        self.state
    }

    fn has_digest(self, digest: &[u8]) -> bool {
        self.digest == digest
    }
}

impl<'a> LedgerView for &'a LedgerState {
    type Step = StepId;
    type Attempt = &'a Attempt;

    fn is_void(self, step: &StepId) -> bool {
        self.void_since(step).is_some() || self.is_closed(step.parts().0)
    }

    fn attempts_of(self, step: &StepId) -> impl Iterator<Item = &'a Attempt> {
        LedgerState::attempts_of(self, step)
    }

    fn attempts(self) -> impl Iterator<Item = &'a Attempt> {
        LedgerState::attempts(self)
    }
}

/// Why a record does not fit what the ledger says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// The record says nothing.
    #[error("the record has no event")]
    Empty,
    /// A field of it cannot be read.
    #[error("the record cannot be read")]
    Conversion(#[from] ConversionError),
    /// The attempt is not in the ledger.
    #[error("the attempt {0} is not in the ledger")]
    UnknownAttempt(CommandKey),
    /// The attempt is in the ledger already.
    #[error("the attempt {0} is in the ledger already")]
    KnownAttempt(CommandKey),
    /// The table of states does not allow it.
    #[error("the attempt {key} cannot change so")]
    Illegal {
        /// The attempt.
        key: CommandKey,
        /// What the table says.
        source: IllegalAttemptTransition,
    },
}

/// The projection of a ledger.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerState {
    /// Random number of the ledger, 16 bytes.
    pub ledger_id: Vec<u8>,
    /// Device that the ledger belongs to.
    pub device: String,
    /// Count of the driver's starts.
    pub boot: u64,
    /// Boot id of the computer at the last start.
    pub machine_boot: String,
    /// Largest epoch seen.
    pub max_epoch: u64,
    /// Sequence of the last record.
    pub last_dseq: u64,
    /// Everything up to here is durable at the scheduler.
    pub acknowledged: u64,
    /// Whether the device was made safe and no person has cleared it since.
    pub made_safe: bool,
    /// Whether the second watchdog brought it to its safe state and no scheduler has attached since.
    pub suspended: bool,
    /// Why this ledger cannot be believed, until a person clears it.
    pub memory_doubt: Option<String>,
    /// Random number of the last start.
    pub boot_nonce: Vec<u8>,
    /// Random numbers of all starts: what a copy of the ledger does not contain.
    boot_nonces: Arc<BTreeSet<Vec<u8>>>,
    /// Shared like the sets above and below, so that a copy of the projection, on which each change is tried first, stays
    /// cheap however old the ledger is.
    attempts: BTreeMap<CommandKey, Arc<Attempt>>,
    void_steps: BTreeMap<StepId, u64>,
    closed_runs: Arc<BTreeSet<String>>,
    events: BTreeMap<u64, Arc<wire::EventsResponse>>,
}

impl LedgerState {
    /// Takes a record in. An error leaves everything as it was.
    pub fn apply(&mut self, dseq: u64, record: &LedgerRecord) -> Result<(), RecordError> {
        let event = record.event.as_ref().ok_or(RecordError::Empty)?;
        match event {
            Event::Created(created) => {
                self.ledger_id.clone_from(&created.ledger_id);
                self.device.clone_from(&created.device);
            }
            Event::Booted(booted) => {
                self.boot = booted.boot;
                self.machine_boot.clone_from(&booted.machine_boot);
                self.boot_nonce.clone_from(&booted.nonce);
                Arc::make_mut(&mut self.boot_nonces).insert(booted.nonce.clone());
            }
            Event::Epoch(seen) => {
                self.max_epoch = self.max_epoch.max(seen.epoch);
                // A new Attach ends both watchdogs (reliability 4.6). What a person made safe, a person clears.
                self.suspended = false;
            }
            Event::Cleared(_) => (self.made_safe, self.memory_doubt) = (false, None),
            Event::MemoryDoubted(doubted) => self.memory_doubt = Some(doubted.reason.clone()),
            Event::Accepted(accepted) => self.apply_accepted(dseq, accepted)?,
            Event::Started(started) => {
                let attempt = self.change(convert::key(started.key.as_ref())?, AttemptEvent::Start, dseq)?;
                attempt.snapshot.clone_from(&started.snapshot);
                attempt.started_boot_ns = record.boot_ns;
                let outcome = wire::Outcome { state: wire::AttemptState::Started.into(), ..Default::default() };
                self.offer_attempt(dseq, started.key.clone(), outcome);
            }
            Event::Ended(ended) => {
                let outcome = ended.outcome.clone().unwrap_or_default();
                let key = convert::key(ended.key.as_ref())?;
                self.change(key, ending_event(&outcome)?, dseq)?.outcome = Some(outcome.clone());
                self.offer_attempt(dseq, ended.key.clone(), outcome);
            }
            Event::Resolved(resolved) => {
                let key = convert::key(resolved.key.as_ref())?;
                let attempt = self.change(key, verdict_event(resolved.verdict())?, dseq)?;
                let resolution = resolved.resolution.clone().unwrap_or_default();
                let note = resolution.note;
                let outcome = attempt.outcome.get_or_insert_default();
                outcome.resolved_by = resolution.who;
                outcome.state = wire::AttemptState::from(attempt.state).into();
                outcome.message = note;
                let outcome = outcome.clone();
                self.offer_attempt(dseq, resolved.key.clone(), outcome);
            }
            Event::Void(void) => {
                self.void_steps.insert(step(&void.step)?, dseq);
            }
            Event::MadeSafe(_) | Event::TailCut(_) => {}
            Event::Fact(fact) => {
                self.made_safe |= fact.state() == wire::DeviceState::Aborted;
                self.suspended |= fact.state() == wire::DeviceState::Suspended;
                self.offer(dseq, wire::events_response::Event::Fact(fact.clone()));
            }
            Event::Closed(closed) => self.close_run(&closed.run),
            Event::Acknowledged(acknowledged) => {
                self.acknowledged = self.acknowledged.max(acknowledged.dseq);
                self.events = self.events.split_off(&(self.acknowledged + 1));
            }
            Event::AbortRequested(abort) => {
                let key = convert::key(abort.key.as_ref())?;
                let attempt = self.attempts.get_mut(&key).ok_or(RecordError::UnknownAttempt(key))?;
                let attempt = Arc::make_mut(attempt);
                attempt.abort_requested = true;
            }
        }
        self.last_dseq = dseq;
        Ok(())
    }

    /// Why nothing may start, as far as the ledger says; `None` when it says nothing of the kind.
    pub fn why_stopped(&self) -> Option<String> {
        if let Some(doubt) = &self.memory_doubt {
            return Some(format!("the ledger is in doubt: {doubt}; a person must clear it"));
        }
        if self.made_safe {
            return Some("the device was made safe: it starts nothing until a person clears it".to_owned());
        }
        self.suspended.then(|| "the device is in its safe state until a scheduler attaches".to_owned())
    }

    /// Whether the ledger contains what a journal knows of it (row 18): it is the same, it has that start of the driver,
    /// and it goes on at least as far.
    pub fn contains(&self, known: &wire::LedgerWitness) -> Result<(), String> {
        if known.ledger_id.is_empty() {
            return Ok(());
        }
        if known.ledger_id != self.ledger_id {
            return Err(
                "the scheduler knows another ledger of this device; what that one promised is forgotten".to_owned()
            );
        }
        if known.dseq > self.last_dseq {
            return Err(format!(
                "it ends at {}, but the scheduler has seen {}: it is an old copy",
                self.last_dseq, known.dseq
            ));
        }
        if !known.boot_nonce.is_empty() && !self.boot_nonces.contains(&known.boot_nonce) {
            return Err("it has no record of a start that the scheduler has seen: it is an old copy".to_owned());
        }
        Ok(())
    }

    /// One attempt.
    pub fn attempt(&self, key: &CommandKey) -> Option<&Attempt> {
        self.attempts.get(key).map(Arc::as_ref)
    }

    /// All attempts that are not closed, in the order of their keys.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.values().map(Arc::as_ref)
    }

    /// The attempts at one step.
    pub fn attempts_of(&self, step: &StepId) -> impl Iterator<Item = &Attempt> {
        let first = CommandKey { step: step.clone(), attempt: 0 };
        let last = CommandKey { step: step.clone(), attempt: u32::MAX };
        self.attempts.range(first..=last).map(|(_, attempt)| attempt.as_ref())
    }

    /// The attempt that is live, if any; at most one is, because no other is accepted before it has ended.
    pub fn live(&self) -> Option<&Attempt> {
        self.attempts().find(|attempt| attempt.state.is_live())
    }

    /// The live attempt in this state.
    pub fn live_in(&self, state: AttemptState) -> Option<&Attempt> {
        self.attempts().find(|attempt| attempt.state == state)
    }

    /// Sequence of the tombstone of a void step.
    pub fn void_since(&self, step: &StepId) -> Option<u64> {
        self.void_steps.get(step).copied()
    }

    /// Steps that are void and belong to a run that is not closed.
    pub fn void_steps(&self) -> impl Iterator<Item = &StepId> {
        self.void_steps.keys()
    }

    /// Whether the run's records were closed.
    pub fn is_closed(&self, run: &str) -> bool {
        self.closed_runs.contains(run)
    }

    /// Events from a sequence on, in order; those that are acknowledged are in the log only.
    pub fn events_from(&self, dseq: u64) -> impl Iterator<Item = &wire::EventsResponse> {
        self.events.range(dseq..).map(|(_, event)| event.as_ref())
    }

    fn apply_accepted(
        &mut self,
        dseq: u64,
        accepted: &ppu_proto::journal::v1::AttemptAccepted,
    ) -> Result<(), RecordError> {
        let key = convert::key(accepted.key.as_ref())?;
        if self.attempts.contains_key(&key) {
            return Err(RecordError::KnownAttempt(key));
        }
        let attempt = Attempt {
            key: key.clone(),
            digest: accepted.digest.clone(),
            command: accepted.command.clone().unwrap_or_default(),
            state: AttemptState::Accepted,
            dseq,
            start_before_ns: accepted.start_before_ns,
            machine_boot: self.machine_boot.clone(),
            snapshot: Vec::new(),
            started_boot_ns: 0,
            outcome: None,
            abort_requested: false,
            preconditions: accepted.preconditions.clone(),
        };
        self.attempts.insert(key, Arc::new(attempt));
        Ok(())
    }

    fn change(&mut self, key: CommandKey, event: AttemptEvent, dseq: u64) -> Result<&mut Attempt, RecordError> {
        let Some(attempt) = self.attempts.get_mut(&key) else { return Err(RecordError::UnknownAttempt(key)) };
        let attempt = Arc::make_mut(attempt);
        attempt.state = attempt.state.next(event).map_err(|source| RecordError::Illegal { key, source })?;
        attempt.dseq = dseq;
        Ok(attempt)
    }

    fn close_run(&mut self, run: &str) {
        self.attempts.retain(|key, _| key.step.parts().0 != run);
        self.void_steps.retain(|step, _| step.parts().0 != run);
        Arc::make_mut(&mut self.closed_runs).insert(run.to_owned());
    }

    fn offer_attempt(&mut self, dseq: u64, key: Option<ppu_proto::common::v1::CommandKey>, outcome: wire::Outcome) {
        let changed = wire::AttemptChanged { key, outcome: Some(outcome) };
        self.offer(dseq, wire::events_response::Event::Attempt(changed));
    }

    fn offer(&mut self, dseq: u64, event: wire::events_response::Event) {
        self.events.insert(dseq, Arc::new(wire::EventsResponse { dseq, event: Some(event) }));
    }
}

fn step(text: &str) -> Result<StepId, ConversionError> {
    StepId::new(text).map_err(|error| ConversionError::new("step", error.to_string()))
}

/// What an outcome does to its attempt.
fn ending_event(outcome: &wire::Outcome) -> Result<AttemptEvent, ConversionError> {
    Ok(match AttemptState::try_from(outcome.state())? {
        AttemptState::Succeeded => AttemptEvent::Succeed,
        AttemptState::FailedNoEffect => AttemptEvent::FailNoEffect,
        AttemptState::FailedPartial => AttemptEvent::FailPartial,
        AttemptState::Aborted => AttemptEvent::Abort,
        AttemptState::InDoubt => AttemptEvent::Doubt,
        other => return Err(ConversionError::new("outcome.state", format!("no command ends as {other}"))),
    })
}

/// What a verdict does to its attempt.
fn verdict_event(verdict: wire::Verdict) -> Result<AttemptEvent, ConversionError> {
    match verdict {
        wire::Verdict::Done => Ok(AttemptEvent::ResolveDone),
        wire::Verdict::NotDone => Ok(AttemptEvent::ResolveNotDone),
        wire::Verdict::Scrapped => Ok(AttemptEvent::ResolveScrapped),
        wire::Verdict::Unspecified => Err(ConversionError::new("verdict", "it is missing")),
    }
}

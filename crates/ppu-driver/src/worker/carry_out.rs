//! One command from ACCEPTED to its outcome.

use std::time::Duration;

use ppu_core::admission::{self, StartConditions, StartJudgement};
use ppu_core::capability::Requirement;
use ppu_core::{Arguments, AttemptState};
use ppu_host::{CrashPoint, Host};
use ppu_proto::common::v1::Artifact;
use ppu_proto::convert::arguments_to_wire;
use ppu_proto::device::v1 as wire;
use ppu_proto::journal::v1 as record;
use ppu_proto::journal::v1::ledger_record::Event;
use ppu_store::{AnyDisk, ArtifactStore};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{LedgerFailed, Worker, fault_code, is_late};
use crate::codes;
use crate::instrument::{Done, Fault, Instrument, RawData, Request};
use crate::ledger::Attempt;
use crate::service::{StoredRequest, stored_request};

/// The snapshot goes into a record of the ledger, which holds 64 KiB in all.
const LARGEST_SNAPSHOT: usize = 16 * 1024;
/// Results beyond this size are data and belong into an artifact.
const LARGEST_RESULTS: usize = 32 * 1024;
/// Readings of what must be true before a start: a balance that is not at rest has none at first.
const READ_TRIES: u32 = 5;
/// Lab time between them.
const READ_PAUSE: Duration = Duration::from_millis(250);
/// A message for people that is longer than this is cut.
const LONGEST_MESSAGE: usize = 2000;

/// How a command ended, before it is recorded.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) state: AttemptState,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) results: Arguments,
    pub(super) raw: Vec<RawData>,
}

impl Ending {
    pub(super) fn new(state: AttemptState, code: &'static str, message: impl Into<String>) -> Self {
        Self { state, code, message: message.into(), results: Arguments::new(), raw: Vec::new() }
    }

    /// What the instrument said as an ending; `None` when it fell silent, so that nobody knows.
    pub(super) fn of(result: Result<Done, Fault>) -> Result<Ending, Fault> {
        match result {
            Ok(Done { results, raw, message }) => {
                Ok(Ending { state: AttemptState::Succeeded, code: "", message, results, raw })
            }
            Err(Fault::Refused { code, message }) => Ok(Ending::new(AttemptState::FailedNoEffect, code, message)),
            Err(Fault::Partial { code, message, results }) => {
                Ok(Ending { results, ..Ending::new(AttemptState::FailedPartial, code, message) })
            }
            Err(Fault::Aborted { message }) => Ok(Ending::new(AttemptState::Aborted, codes::CANCELLED, message)),
            Err(silent @ Fault::Silent { .. }) => Err(silent),
        }
    }
}

impl<I: Instrument> Worker<I> {
    /// Carries out an attempt that is ACCEPTED and may begin.
    pub(super) async fn carry_out(&mut self, attempt: Attempt) -> Result<(), LedgerFailed> {
        let span = tracing::info_span!(
            "carry out command",
            device_id = %self.shared.options.device, command_id = %attempt.key, step_id = %attempt.key.step,
        );
        self.shared.set_contact(|contact| contact.running = Some(attempt.key.clone()));
        let result = self.prepare_and_execute(&attempt).instrument(span).await;
        self.shared.set_contact(|contact| contact.running = None);
        self.poll_at = Instant::now();
        result
    }

    async fn prepare_and_execute(&mut self, attempt: &Attempt) -> Result<(), LedgerFailed> {
        self.shared.abort.send_replace(false);
        // MakeSafe puts its wish into the lane before it sets the abort flag, so a wish whose flag was just cleared is
        // seen here.
        if !self.safe_requests.is_empty() {
            return Ok(());
        }
        let StoredRequest { request, class, requires } = match stored_request(&self.shared.manifest, attempt) {
            Ok(stored) => stored,
            // A driver with another manifest was started since the command was accepted.
            Err(message) => return self.end_accepted(attempt, codes::DEVICE_REFUSED, &message).await,
        };
        let snapshot = match self.prepare(&request).await? {
            Ok(snapshot) => snapshot,
            Err(fault) => return self.end_accepted(attempt, fault_code(&fault), &fault.to_string()).await,
        };
        self.shared.options.host.at(CrashPoint::BeforeStarted).await;
        if let Some(outcome) = self.check_requirements(attempt, &requires).await? {
            let ended = record::AttemptEnded { key: Some((&attempt.key).into()), outcome: Some(outcome) };
            return self.commit(vec![Event::Ended(ended)]).await;
        }
        if !self.start(attempt, snapshot.clone()).await? {
            return Ok(());
        }
        self.shared.options.host.at(CrashPoint::StartedDurable).await;
        tracing::info!("the instrument is told");
        self.attention.begin();
        let result = self.instrument.execute(&request, &self.attention).await;
        match Ending::of(result.map_err(|fault| self.attention.honest(fault))) {
            Ok(ending) => self.end(attempt, ending).await,
            Err(fault) => self.settle_silence(attempt, &request, class, &snapshot, fault).await,
        }
    }

    /// Prepares, with a new connection in between when the instrument falls silent: nothing that acts was sent.
    async fn prepare(&mut self, request: &Request) -> Result<Result<Vec<u8>, Fault>, LedgerFailed> {
        let limits = self.shared.options.recovery;
        let end = Instant::now() + limits.within;
        for _ in 0..limits.tries {
            if self.attention.should_abort() {
                return Ok(Err(Fault::Aborted { message: "cancelled before it began".to_owned() }));
            }
            if self.shared.contact().reachable || self.connect().await? {
                match self.instrument.prepare(request, &self.attention).await {
                    Ok(snapshot) if snapshot.len() > LARGEST_SNAPSHOT => {
                        let message = format!("the driver's snapshot has {} bytes", snapshot.len());
                        return Ok(Err(Fault::Refused { code: codes::BAD_REPLY, message }));
                    }
                    Err(fault @ Fault::Silent { .. }) => self.lose_contact(&fault.to_string()),
                    other => return Ok(other),
                }
            }
            let wait = self.back_off.next_wait();
            if Instant::now() + wait > end {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        let message = format!("the instrument cannot be reached, nothing was sent: {}", self.shared.contact().why);
        Ok(Err(Fault::Refused { code: codes::LINE_SILENT, message }))
    }

    /// What must be true right before the start (REL-15), from fresh readings. A mismatch is looked at twice, because one
    /// reading may be damaged. Returns the outcome where the command may not begin.
    async fn check_requirements(
        &mut self,
        attempt: &Attempt,
        requires: &[Requirement],
    ) -> Result<Option<wire::Outcome>, LedgerFailed> {
        if requires.is_empty() {
            return Ok(None);
        }
        let (mut broken, mut seen_broken) = (None, 0);
        for attempt_to_read in 0..READ_TRIES {
            if attempt_to_read > 0 {
                self.attention.pause(READ_PAUSE).await;
            }
            let readings = match self.instrument.read().await {
                Ok(readings) => readings,
                Err(fault) => {
                    if matches!(fault, Fault::Silent { .. }) {
                        self.lose_contact(&fault.to_string());
                    }
                    let message = format!("what must be true before it begins cannot be read: {fault}");
                    return Ok(Some(no_effect(fault_code(&fault), message, false)));
                }
            };
            let value = |name: &str| readings.iter().find(|reading| reading.name == name).map(|reading| &reading.value);
            let unmet = requires.iter().find(|requirement| !requirement.holds_for(value(&requirement.property)));
            broken = unmet.map(|requirement| {
                let found = value(&requirement.property).map_or("missing".to_owned(), ToString::to_string);
                let message = format!("{requirement}, but is {found}: {}; nothing was done", requirement.otherwise);
                // A value that is not there says nothing of the sample.
                let is_seen = value(&requirement.property).is_some();
                seen_broken += u32::from(is_seen);
                no_effect(codes::PRECONDITION, message, is_seen && !attempt.command.sample.is_empty())
            });
            self.shared.store_readings(readings);
            if broken.is_none() || seen_broken == 2 {
                break;
            }
        }
        Ok(broken)
    }

    /// Records STARTED (F5), if everything that allowed the start still holds. Says whether it does.
    async fn start(&mut self, attempt: &Attempt, snapshot: Vec<u8>) -> Result<bool, LedgerFailed> {
        let mut turn = self.shared.ledger.turn().await;
        let (state, late, stopped) = {
            let ledger = turn.state();
            let state = ledger.attempt(&attempt.key).map(|now| now.state);
            (state, is_late(&*self.shared.options.host, attempt, &ledger.machine_boot), ledger.why_stopped().is_some())
        };
        // T1 once more: preparing may have taken longer than the scheduler has lived (REL-9, CLK-2).
        let in_session = self.shared.gate().check(self.shared.options.host.boot_ns()).is_ok();
        let over = late || self.attention.should_abort();
        match admission::judge_start(StartConditions { state, may_move: in_session && !stopped, over }) {
            StartJudgement::Begin => {}
            // Cancelled or made void while it was prepared, or no scheduler is there.
            StartJudgement::Gone | StartJudgement::Wait => return Ok(false),
            StartJudgement::End => {
                drop(turn);
                let (code, message) = if late {
                    (codes::TOO_LATE, "the deadline for the start passed while it was prepared")
                } else {
                    (codes::CANCELLED, "cancelled before it began")
                };
                self.end_accepted(attempt, code, message).await?;
                return Ok(false);
            }
        }
        let started = record::AttemptStarted { key: Some((&attempt.key).into()), snapshot };
        match turn.commit(vec![Event::Started(started)]).await {
            Ok(_) => Ok(true),
            Err(error) => {
                tracing::error!(%error, "the start was not recorded, so the instrument is told nothing");
                LedgerFailed::from_commit(&error).map_or(Ok(false), Err)
            }
        }
    }

    /// Stores raw data, then records the outcome (F6).
    pub(super) async fn end(&mut self, attempt: &Attempt, mut ending: Ending) -> Result<(), LedgerFailed> {
        self.shared.options.host.at(CrashPoint::DeviceEnded).await;
        let mut artifacts = Vec::new();
        for raw in std::mem::take(&mut ending.raw) {
            match store(&*self.shared.options.host, self.shared.artifacts.clone(), raw).await {
                Ok(artifact) => artifacts.push(artifact),
                Err(why) => {
                    ending.state = AttemptState::FailedPartial;
                    ending.code = codes::ARTIFACT_LOST;
                    ending.message = format!("it was carried out, but its raw data could not be stored: {why}");
                }
            }
        }
        let mut results = arguments_to_wire(&ending.results);
        if results.iter().map(prost::Message::encoded_len).sum::<usize>() > LARGEST_RESULTS {
            results.clear();
            ending.state = AttemptState::FailedPartial;
            ending.code = codes::BAD_REPLY;
            ending.message = "it was carried out, but its results are too large to be recorded".to_owned();
        }
        let sample_position = sample_position(attempt, ending.state);
        let outcome = wire::Outcome {
            state: wire::AttemptState::from(ending.state).into(),
            results,
            artifacts,
            message: cut(ending.message),
            code: ending.code.to_owned(),
            sample_position,
            duration_s: self.duration_s(attempt),
            ..Default::default()
        };
        tracing::info!(state = %ending.state, code = outcome.code, message = outcome.message, "the command ended");
        let ended = record::AttemptEnded { key: Some((&attempt.key).into()), outcome: Some(outcome) };
        self.commit(vec![Event::Ended(ended)]).await?;
        self.shared.options.host.at(CrashPoint::OutcomeDurable).await;
        Ok(())
    }

    /// Seconds since STARTED; 0 where the computer was started anew in between, because its clock began anew.
    fn duration_s(&self, attempt: &Attempt) -> f64 {
        let state = self.shared.ledger.state();
        let Some(now) = state.attempt(&attempt.key) else { return 0.0 };
        if now.started_boot_ns == 0 || now.machine_boot != state.machine_boot {
            return 0.0;
        }
        self.shared.options.host.boot_ns().saturating_sub(now.started_boot_ns) as f64 / 1e9
    }
}

/// The outcome of a command that was not begun.
fn no_effect(code: &str, message: String, sample_in_doubt: bool) -> wire::Outcome {
    wire::Outcome {
        state: wire::AttemptState::FailedNoEffect.into(),
        code: code.to_owned(),
        message,
        sample_in_doubt,
        ..Default::default()
    }
}

/// Stores raw data durably, away from the reactor.
async fn store(host: &dyn Host, artifacts: ArtifactStore<AnyDisk>, raw: RawData) -> Result<Artifact, String> {
    let RawData { name, media_type, bytes } = raw;
    let stored = host.do_blocking(move || artifacts.put(&bytes)).await;
    let stored = stored.map_err(|error| crate::ledger::explained(&error))?;
    let (hash, size) = (stored.hash.0.to_vec(), stored.bytes);
    Ok(Artifact { hash, name, media_type: media_type.to_owned(), size })
}

/// Where the sample is now: a transfer that succeeded put it at its end, one without effect left it at its beginning.
fn sample_position(attempt: &Attempt, state: AttemptState) -> String {
    let [from, to] = attempt.command.positions.as_slice() else { return String::new() };
    match state {
        AttemptState::Succeeded => to.clone(),
        AttemptState::FailedNoEffect => from.clone(),
        _ => String::new(),
    }
}

/// The message, cut at a limit.
fn cut(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|index| message.is_char_boundary(*index)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

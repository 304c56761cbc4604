//! What each request does: judge under the turn of the ledger, record, answer.

use std::time::Duration;

use ppu_core::admission::{self, ResolveJudgement, VoidJudgement};
use ppu_core::{AttemptState, CommandKey, StepId};
use ppu_host::CrashPoint;
use ppu_proto::convert;
use ppu_proto::device::v1 as wire;
use ppu_proto::journal::v1 as record;
use ppu_proto::journal::v1::ledger_record::Event;
use tokio::sync::oneshot;
use tonic::Status;

use super::checks::{Judgement, conflict, fence, judge, refused};
use super::gate::SessionId;
use super::shared::{ReadRequest, SafeRequest, Shared};
use crate::codes;
use crate::ledger::{Attempt, CommitError, LedgerState, Turn};

/// How long Attach waits beyond the limits of recovery before it says "not yet".
const RECONCILE_MARGIN: Duration = Duration::from_secs(10);
/// How long ReadProperties waits for fresh readings before it answers with the last known ones.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// A commit that failed, as a refusal where the protocol has one.
fn not_recorded(error: &CommitError) -> Result<wire::Refused, Status> {
    let message = crate::ledger::explained(error);
    match error {
        error if error.is_fatal() => Ok(refused(wire::RefusalReason::Degraded, message)),
        CommitError::Record(_) => Ok(refused(wire::RefusalReason::Conflict, message)),
        CommitError::Append(ppu_store::AppendError::QueueFull) => Err(Status::resource_exhausted(message)),
        CommitError::Append(_) => Ok(refused(wire::RefusalReason::Invalid, message)),
    }
}

fn ended(key: &CommandKey, state: AttemptState, code: &str, message: &str) -> Event {
    let outcome = wire::Outcome {
        state: wire::AttemptState::from(state).into(),
        code: code.to_owned(),
        message: message.to_owned(),
        ..Default::default()
    };
    Event::Ended(record::AttemptEnded { key: Some(key.into()), outcome: Some(outcome) })
}

fn invalid(error: impl std::fmt::Display) -> wire::Refused {
    refused(wire::RefusalReason::Invalid, error.to_string())
}

/// The attempt after a change.
fn now(turn: &Turn<'_>, key: &CommandKey) -> Option<wire::AttemptRecord> {
    turn.state().attempt(key).map(Attempt::to_wire)
}

/// What an Attach records: the epoch (F2), and what follows where the ledger is not the one that the journal knows.
fn events_of_attach(state: &LedgerState, request: &wire::AttachRequest) -> Vec<Event> {
    let mut events =
        vec![Event::Epoch(record::EpochSeen { epoch: request.epoch, scheduler: request.scheduler.clone() })];
    let doubt = request.known.as_ref().and_then(|known| state.contains(known).err());
    let retired = request.retired.iter().find(|retired| retired.ledger_id == state.ledger_id);
    if doubt.is_none() && retired.is_none() {
        return events;
    }
    // What was promised and not begun never begins. For the scheduler these attempts are in doubt, whatever this ledger
    // says, and a retired ledger makes their steps void as well (REL-14).
    for attempt in state.attempts().filter(|attempt| attempt.state.is_live()) {
        if attempt.state == AttemptState::Accepted {
            let message = "the ledger that promised it is in doubt";
            events.push(ended(&attempt.key, AttemptState::FailedNoEffect, codes::MEMORY_DOUBT, message));
        }
        if retired.is_some() && state.void_since(&attempt.key.step).is_none() {
            let step = attempt.key.step.to_string();
            events.push(Event::Void(record::StepTombstone { step, epoch: request.epoch }));
        }
    }
    if let Some(retired) = retired {
        tracing::error!(reason = retired.reason, "this ledger was retired: its open steps are void");
    }
    if let Some(reason) = doubt.filter(|_| state.memory_doubt.is_none()) {
        tracing::error!(reason, "the ledger is in doubt: nothing starts until a person clears it");
        events.push(Event::MemoryDoubted(record::MemoryDoubted { reason }));
    }
    events
}

impl Shared {
    pub(super) async fn attach(&self, request: wire::AttachRequest) -> Result<wire::AttachResponse, Status> {
        use wire::attach_response::Answer;
        let mut reconciled = self.reconciled.subscribe();
        let within = self.options.recovery.within + RECONCILE_MARGIN;
        match tokio::time::timeout(within, reconciled.wait_for(|done| *done)).await {
            Ok(Ok(_)) => {}
            _ => return Err(Status::unavailable("what was started before is still being reconciled")),
        }
        let mut turn = self.ledger.turn().await;
        let max_epoch = turn.state().max_epoch;
        if request.epoch < max_epoch {
            return Ok(wire::AttachResponse { answer: Some(Answer::Fenced(wire::Fenced { max_epoch })) });
        }
        let events = events_of_attach(&turn.state(), &request);
        turn.commit(events).await.map_err(|error| Status::unavailable(error.to_string()))?;
        let session: SessionId = self.options.host.random();
        self.gate().attach(session, self.options.host.boot_ns());
        self.session_changed.send_modify(|count| *count = count.wrapping_add(1));
        tracing::info!(epoch = request.epoch, scheduler = request.scheduler, "a scheduler attached");
        let device_state = self.device_state().into();
        let attached = {
            let state = turn.state();
            wire::Attached {
                session: session.to_vec(),
                boot: state.boot,
                ledger_id: state.ledger_id.clone(),
                max_epoch: state.max_epoch,
                inventory: state.attempts().map(Attempt::to_wire).collect(),
                void_steps: state.void_steps().map(ToString::to_string).collect(),
                device_state,
                clock_ns: self.options.host.boot_ns(),
                last_dseq: state.last_dseq,
                boot_nonce: state.boot_nonce.clone(),
                memory_doubt: state.memory_doubt.clone().unwrap_or_default(),
            }
        };
        drop(turn);
        self.wake.notify_one();
        self.touch();
        Ok(wire::AttachResponse { answer: Some(Answer::Attached(attached)) })
    }

    pub(super) async fn execute(&self, request: wire::ExecuteRequest) -> Result<wire::ExecuteResponse, Status> {
        use wire::execute_response::Answer;
        let respond = |answer| Ok(wire::ExecuteResponse { answer: Some(answer) });
        self.options.host.at(CrashPoint::BeforeAccepted).await;
        let mut turn = self.ledger.turn().await;
        let judgement = judge(self, &turn.state(), &request);
        let command = match judgement {
            Ok(Judgement::Accept(command)) => *command,
            Ok(Judgement::Known(attempt)) => return respond(Answer::Known(attempt)),
            Err(refusal) => {
                tracing::info!(reason = ?refusal.reason(), message = refusal.message, "a command was refused");
                return respond(Answer::Refused(refusal));
            }
        };
        let accepted = record::AttemptAccepted {
            key: request.key,
            digest: request.digest,
            command: Some(command),
            epoch: request.epoch,
            start_before_ns: request.start_before_ns,
            preconditions: request.preconditions,
        };
        match turn.commit(vec![Event::Accepted(accepted)]).await {
            Ok(range) => {
                drop(turn);
                self.options.host.at(CrashPoint::AcceptedDurable).await;
                self.wake.notify_one();
                respond(Answer::Accepted(wire::Accepted { dseq: range.last }))
            }
            Err(error) => respond(Answer::Refused(not_recorded(&error)?)),
        }
    }

    pub(super) async fn void_step(&self, request: wire::VoidStepRequest) -> Result<wire::VoidStepResponse, Status> {
        use wire::void_step_response::Answer;
        let respond = |answer| Ok(wire::VoidStepResponse { answer: Some(answer) });
        let mut turn = self.ledger.turn().await;
        let judgement = {
            let state = turn.state();
            fence(self, &state, request.epoch, &request.session).and_then(|()| {
                let step = StepId::new(request.step.clone()).map_err(invalid)?;
                let since = state.void_since(&step);
                let mut events = Vec::new();
                match admission::judge_void(&*state, &step, since.is_some()) {
                    VoidJudgement::Already | VoidJudgement::Void => {}
                    VoidJudgement::CancelThenVoid(attempt) => events.push(ended(
                        &attempt.key,
                        AttemptState::FailedNoEffect,
                        codes::CANCELLED,
                        "cancelled before it began, because its step was made void",
                    )),
                    VoidJudgement::Conflict(attempt) => return Ok(Err(attempt.to_wire())),
                }
                Ok(Ok((step, since, events)))
            })
        };
        let (step, since, mut events) = match judgement {
            Ok(Ok(judgement)) => judgement,
            Ok(Err(in_the_way)) => return respond(Answer::Conflict(in_the_way)),
            Err(refusal) => return respond(Answer::Refused(refusal)),
        };
        if let Some(dseq) = since {
            return respond(Answer::Voided(wire::Voided { dseq }));
        }
        events.push(Event::Void(record::StepTombstone { step: step.to_string(), epoch: request.epoch }));
        match turn.commit(events).await {
            Ok(range) => respond(Answer::Voided(wire::Voided { dseq: range.last })),
            Err(error) => respond(Answer::Refused(not_recorded(&error)?)),
        }
    }

    pub(super) async fn resolve(&self, request: wire::ResolveRequest) -> Result<wire::ResolveResponse, Status> {
        use wire::resolve_response::Answer;
        let respond = |answer| Ok(wire::ResolveResponse { answer: Some(answer) });
        let mut turn = self.ledger.turn().await;
        let judgement = {
            let state = turn.state();
            fence(self, &state, request.epoch, &request.session).and_then(|()| {
                let key = convert::key(request.key.as_ref()).map_err(invalid)?;
                if request.verdict() == wire::Verdict::Unspecified {
                    return Err(invalid("the verdict is missing"));
                }
                let unknown = || refused(wire::RefusalReason::UnknownKey, format!("{key} is not in this ledger"));
                let attempt = state.attempt(&key).ok_or_else(unknown)?;
                Ok((admission::judge_resolve(attempt.state), attempt.clone()))
            })
        };
        let attempt = match judgement {
            Ok((ResolveJudgement::Record, attempt)) => attempt,
            // A verdict that was given already is answered with what became of it.
            Ok((ResolveJudgement::Settled, attempt)) => return respond(Answer::Attempt(attempt.to_wire())),
            Ok((ResolveJudgement::UnderWay, attempt)) => {
                return respond(Answer::Refused(conflict(&attempt.key, attempt.state)));
            }
            Err(refusal) => return respond(Answer::Refused(refusal)),
        };
        let resolved =
            record::AttemptResolved { key: request.key, verdict: request.verdict, resolution: request.resolution };
        match turn.commit(vec![Event::Resolved(resolved)]).await {
            Ok(_) => {
                let resolved = now(&turn, &attempt.key).unwrap_or_else(|| attempt.to_wire());
                self.touch();
                respond(Answer::Attempt(resolved))
            }
            Err(error) => respond(Answer::Refused(not_recorded(&error)?)),
        }
    }

    pub(super) async fn abort(&self, request: wire::AbortRequest) -> Result<wire::AbortResponse, Status> {
        use wire::abort_response::Answer;
        let respond = |answer| Ok(wire::AbortResponse { answer: Some(answer) });
        let mut turn = self.ledger.turn().await;
        let judgement = {
            let state = turn.state();
            fence(self, &state, request.epoch, &request.session).and_then(|()| {
                let key = convert::key(request.key.as_ref()).map_err(invalid)?;
                state.attempt(&key).cloned().ok_or_else(|| invalid(format!("{key} is not known")))
            })
        };
        let attempt = match judgement {
            Ok(attempt) => attempt,
            Err(refusal) => return respond(Answer::Refused(refusal)),
        };
        let event = match attempt.state {
            AttemptState::Accepted => {
                ended(&attempt.key, AttemptState::FailedNoEffect, codes::CANCELLED, "cancelled before it began")
            }
            AttemptState::Started => {
                Event::AbortRequested(record::AbortRequested { key: request.key, mode: request.mode })
            }
            _ => return respond(Answer::Attempt(attempt.to_wire())),
        };
        if let Err(error) = turn.commit(vec![event]).await {
            return respond(Answer::Refused(not_recorded(&error)?));
        }
        if attempt.state == AttemptState::Started {
            self.abort.send_replace(true);
            return respond(Answer::Aborting(wire::Aborting {}));
        }
        let cancelled = now(&turn, &attempt.key).unwrap_or_else(|| attempt.to_wire());
        respond(Answer::Attempt(cancelled))
    }

    /// A person lets the device start again.
    pub(super) async fn clear(&self, request: wire::ClearRequest) -> Result<wire::ClearResponse, Status> {
        use wire::clear_response::Answer;
        let respond = |answer| Ok(wire::ClearResponse { answer: Some(answer) });
        let mut turn = self.ledger.turn().await;
        let judgement = {
            let state = turn.state();
            fence(self, &state, request.epoch, &request.session).and_then(|()| {
                if request.who.trim().is_empty() {
                    return Err(invalid("a clear carries the name of a person"));
                }
                match state.live_in(AttemptState::InDoubt).filter(|_| state.memory_doubt.is_some()) {
                    Some(doubt) => Err(conflict(&doubt.key, doubt.state)),
                    None => Ok(()),
                }
            })
        };
        if let Err(refusal) = judgement {
            return respond(Answer::Refused(refusal));
        }
        let message = format!("cleared by {}: {}", request.who, request.reason);
        let fact = wire::DeviceFact { state: wire::DeviceState::Idle.into(), message, code: String::new() };
        let cleared = record::DeviceCleared { who: request.who, reason: request.reason };
        match turn.commit(vec![Event::Cleared(cleared), Event::Fact(fact)]).await {
            Ok(range) => {
                drop(turn);
                self.wake.notify_one();
                self.touch();
                respond(Answer::Cleared(wire::Cleared { dseq: range.first }))
            }
            Err(error) => respond(Answer::Refused(not_recorded(&error)?)),
        }
    }

    pub(super) async fn close_run(&self, request: wire::CloseRunRequest) -> Result<wire::CloseRunResponse, Status> {
        use wire::close_run_response::Answer;
        let respond = |answer| Ok(wire::CloseRunResponse { answer: Some(answer) });
        let mut turn = self.ledger.turn().await;
        let acknowledged = self.ledger.acknowledged();
        let judgement = {
            let state = turn.state();
            fence(self, &state, request.epoch, &request.session).and_then(|()| {
                let open = state.attempts().find(|attempt| {
                    attempt.key.step.parts().0 == request.run
                        && (attempt.state.is_live() || attempt.dseq > acknowledged)
                });
                open.map_or(Ok(state.is_closed(&request.run)), |open| Err(conflict(&open.key, open.state)))
            })
        };
        match judgement {
            Ok(true) => return respond(Answer::Closed(wire::Closed {})),
            Ok(false) => {}
            Err(refusal) => return respond(Answer::Refused(refusal)),
        }
        match turn.commit(vec![Event::Closed(record::LedgerRunClosed { run: request.run })]).await {
            Ok(_) => respond(Answer::Closed(wire::Closed {})),
            Err(error) => respond(Answer::Refused(not_recorded(&error)?)),
        }
    }

    pub(super) async fn make_safe(&self, request: wire::MakeSafeRequest) -> Result<wire::MakeSafeResponse, Status> {
        tracing::warn!(who = request.who, reason = request.reason, "the safe state was asked for");
        let (answer, answered) = oneshot::channel();
        let safe = SafeRequest { who: request.who, reason: request.reason, answer: Some(answer) };
        // The wish is in the lane before the running command is told to end: the instrument task relies on this order.
        if self.safe_lane.try_send(safe).is_err() {
            return Err(Status::resource_exhausted("the safe state has been asked for many times already"));
        }
        self.abort.send_replace(true);
        self.wake.notify_one();
        match tokio::time::timeout(self.options.safe_answer_within, answered).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(Status::unavailable("the instrument task has ended")),
            Err(_) => {
                let message = match self.contact().running {
                    Some(key) => format!("{key} was told to end and has not ended yet; the safe state follows"),
                    None => "the device has not confirmed it yet".to_owned(),
                };
                Ok(wire::MakeSafeResponse { confirmed: false, message })
            }
        }
    }

    pub(super) async fn read_properties(&self) -> wire::ReadPropertiesResponse {
        let contact = self.contact();
        if contact.reachable && contact.running.is_none() {
            let (answer, answered) = oneshot::channel();
            if self.read_lane.try_send(ReadRequest { answer }).is_ok() {
                self.wake.notify_one();
                // The last known readings are the answer when fresh ones do not come in time.
                let _ = tokio::time::timeout(READ_WITHIN, answered).await;
            }
        }
        let readings = self.readings().into_iter().filter_map(|(name, reading)| {
            let value = reading.value.as_ref().map(Into::into)?;
            Some(wire::Reading { name, value: Some(value), time_ms: reading.time_ms, good: reading.good })
        });
        wire::ReadPropertiesResponse { readings: readings.collect() }
    }
}

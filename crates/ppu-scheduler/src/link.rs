//! The link to one driver: attach before command, execute, results pulled and acknowledged, heartbeats.

use std::sync::Arc;
use std::time::Duration;

use ppu_core::{CommandKey, DeviceId, StepId};
use ppu_engine::{Input, InventoryLine};
use ppu_host::{CrashPoint, Host};
use ppu_proto::convert::{self, ConversionError};
use ppu_proto::device::v1 as wire;
use ppu_proto::device::v1::device_service_client::DeviceServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::link_wire;
use crate::reach::{Reach, ReachError};
use crate::reactor::{Command, Gone, Handle};

/// A driver that does not answer within this time is as good as gone.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The driver starts nothing more after three missed heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A promise is good for this long: a driver that wakes from a pause later than this starts nothing old (CLK-1).
const START_WITHIN: Duration = Duration::from_secs(30);
/// Pause before a driver that could not promise is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Waits between attempts to reach a driver, the last one for ever after.
const BACK_OFF_MS: [u64; 5] = [50, 100, 200, 500, 1000];

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("the driver does not answer: {}", .0.message())]
    Call(Box<tonic::Status>),
    #[error("the driver said something that cannot be read: {0}")]
    Message(#[from] ConversionError),
    #[error("a newer scheduler (epoch {0}) was here: this one commands nothing any more")]
    Fenced(u64),
    #[error("the driver's event stream ended")]
    StreamEnded,
    #[error("the session is no longer the current one")]
    Stale,
    #[error("raw data could not be stored: {0}")]
    Artifact(String),
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        LinkError::Call(Box::new(status))
    }
}

/// One device's link.
pub(crate) struct Link {
    device: DeviceId,
    epoch: u64,
    handle: Handle,
    reach: Arc<dyn Reach>,
}

/// An open session.
struct Session {
    client: DeviceServiceClient<Channel>,
    session: Vec<u8>,
    /// The driver's clock at a moment of ours, both in nanoseconds of CLOCK_BOOTTIME (CLK-2).
    clock: (u64, u64),
    acknowledge: mpsc::Sender<wire::EventsRequest>,
}

impl Link {
    pub(crate) fn new(device: DeviceId, epoch: u64, handle: Handle, reach: Arc<dyn Reach>) -> Self {
        Self { device, epoch, handle, reach }
    }

    /// Keeps the link for ever; ends with the process.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<Command>, mut shutdown: watch::Receiver<bool>) {
        let mut failures = 0usize;
        loop {
            let error = tokio::select! {
                ended = self.session(&mut requests, &mut failures) => ended,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let reason = error.to_string();
            if failures == 0 {
                tracing::warn!(device_id = %self.device, "link lost: {reason}");
            }
            self.handle.set_unreached(&self.device, Some(reason.clone()));
            let lost = Input::Lost { device: self.device.clone(), reason: reason.clone() };
            if self.handle.give_urgent(lost).await.is_err() || matches!(error, LinkError::Gone(_)) {
                return;
            }
            // Whatever was asked of the lost session is asked again by the engine after the next attach.
            while let Ok(command) = requests.try_recv() {
                refuse(command, &reason);
            }
            let wait = BACK_OFF_MS[failures.min(BACK_OFF_MS.len() - 1)];
            failures += 1;
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// One session from connect to loss.
    async fn session(&self, requests: &mut mpsc::Receiver<Command>, failures: &mut usize) -> LinkError {
        let (mut session, mut events) = match self.open().await {
            Ok(open) => open,
            Err(error) => return error,
        };
        *failures = 0;
        self.handle.set_unreached(&self.device, None);
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut counter = 0;
        loop {
            let done = tokio::select! {
                event = events.message() => match event {
                    Ok(Some(event)) => self.event(&mut session, event).await,
                    Ok(None) => Err(LinkError::StreamEnded),
                    Err(status) => Err(status.into()),
                },
                Some(command) = requests.recv() => self.request(&mut session, command).await,
                _ = beat.tick() => {
                    counter += 1;
                    session.heartbeat(&**self.handle.host(), counter).await
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn open(&self) -> Result<(Session, tonic::Streaming<wire::EventsResponse>), LinkError> {
        let mut client = DeviceServiceClient::new(self.reach.connect(&self.device).await?);
        let described = within(client.describe(wire::DescribeRequest {})).await?;
        if described.device != self.device.as_str() {
            let message = format!("it belongs to device `{}`", described.device);
            return Err(ConversionError::new("describe.device", message).into());
        }
        let manifest = described.manifest.ok_or_else(|| ConversionError::new("describe.manifest", "it is missing"))?;
        let manifest = Box::new((&manifest).try_into()?);
        let serial_number = described.serial_number;
        self.tell(Input::Described { device: self.device.clone(), manifest, serial_number }).await?;

        let asked = self.handle.host().boot_ns();
        let scheduler = format!("ppu-scheduler pid {}", std::process::id());
        let request = link_wire::attach(&self.handle.snapshot().state, &self.device, self.epoch, scheduler);
        let answer = within(client.attach(request)).await?;
        let attached = match answer.answer {
            Some(wire::attach_response::Answer::Attached(attached)) => attached,
            Some(wire::attach_response::Answer::Fenced(fenced)) => return Err(LinkError::Fenced(fenced.max_epoch)),
            None => return Err(ConversionError::new("attach.answer", "it is missing").into()),
        };
        let mut inventory = Vec::new();
        for record in &attached.inventory {
            inventory.push(InventoryLine {
                key: convert::key(record.key.as_ref())?,
                state: ppu_core::AttemptState::try_from(record.state())?,
            });
        }
        let (acknowledge, outgoing) = mpsc::channel(64);
        let open = wire::EventsOpen { session: attached.session.clone(), from_dseq: 0 };
        let first = wire::EventsRequest { message: Some(wire::events_request::Message::Open(open)) };
        acknowledge.send(first).await.expect("the receiver is held two lines above");
        let events = client.events(ReceiverStream::new(outgoing)).await?.into_inner();

        // Attach before command (REL-3): the engine reconciles the inventory before anything is sent.
        self.tell(link_wire::attached(&self.device, &attached, inventory)).await?;
        tracing::info!(device_id = %self.device, boot = attached.boot, "attached");
        let clock = (attached.clock_ns, asked);
        Ok((Session { client, session: attached.session, clock, acknowledge }, events))
    }

    /// Gives an input and waits until it is durable. A refusal by the engine is a fault of this program and is logged.
    async fn tell(&self, input: Input) -> Result<(), LinkError> {
        if let Err(refusal) = self.handle.give_urgent(input).await? {
            tracing::error!(device_id = %self.device, %refusal, "the engine refused a driver's word");
        }
        Ok(())
    }

    /// The same for what may be known already: events are delivered again after each attach.
    async fn tell_if_news(&self, input: Input) -> Result<(), LinkError> {
        if let Err(refusal) = self.handle.give_urgent(input).await? {
            tracing::debug!(device_id = %self.device, %refusal, "known already");
        }
        Ok(())
    }

    /// One event: raw data are stored first, then the record is durable, then it is acknowledged (F7).
    async fn event(&self, session: &mut Session, event: wire::EventsResponse) -> Result<(), LinkError> {
        let dseq = event.dseq;
        match event.event {
            Some(wire::events_response::Event::Attempt(changed)) => {
                let key = convert::key(changed.key.as_ref())?;
                let outcome = changed.outcome.ok_or_else(|| ConversionError::new("event.outcome", "it is missing"))?;
                self.outcome(session, dseq, key, &outcome).await?;
                self.handle.host().at(CrashPoint::OutcomeRecorded).await;
            }
            Some(wire::events_response::Event::Fact(fact)) => {
                tracing::info!(device_id = %self.device, state = ?fact.state(), "{}", fact.message);
                if fact.state() == wire::DeviceState::Aborted {
                    self.tell(Input::DeviceAborted { device: self.device.clone(), reason: fact.message }).await?;
                }
            }
            None => {}
        }
        let acknowledge = wire::events_request::Message::AcknowledgedDseq(dseq);
        let request = wire::EventsRequest { message: Some(acknowledge) };
        session.acknowledge.send(request).await.map_err(|_| LinkError::StreamEnded)
    }

    async fn outcome(
        &self,
        session: &mut Session,
        dseq: u64,
        key: CommandKey,
        outcome: &wire::Outcome,
    ) -> Result<(), LinkError> {
        self.handle.host().at(CrashPoint::OutcomeReceived).await;
        let resolved_by = outcome.resolved_by.clone();
        let outcome = link_wire::outcome(outcome)?;
        if let Some(verdict) = link_wire::verdict_of(outcome.state) {
            // A person's verdict comes with its record from the API; only the device's own proof comes from here.
            if resolved_by == ppu_engine::event::INSTRUMENT {
                let resolved = link_wire::proven(key, verdict, outcome.message, outcome.sample_position);
                self.tell_if_news(resolved).await?;
            }
            return Ok(());
        }
        let concluded = outcome.state.is_final() || outcome.state == ppu_core::AttemptState::InDoubt;
        if !concluded {
            return Ok(());
        }
        for artifact in &outcome.artifacts {
            self.fetch(session, artifact.hash).await?;
        }
        self.tell(Input::Ended { device: self.device.clone(), dseq, key, outcome: Box::new(outcome) }).await
    }

    async fn fetch(&self, session: &mut Session, hash: ppu_core::ArtifactHash) -> Result<(), LinkError> {
        let request = wire::FetchArtifactRequest { hash: hash.as_bytes().to_vec(), offset: 0 };
        let mut stream = session.client.fetch_artifact(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.message().await? {
            bytes.extend_from_slice(&piece.chunk);
        }
        if ppu_core::ArtifactHash::of(&bytes) != hash {
            return Err(LinkError::Artifact(format!("{} bytes arrived that are not {hash}", bytes.len())));
        }
        let journal = self.handle.journal().clone();
        let stored = self.handle.host().do_blocking(move || journal.store_artifact(&bytes)).await;
        stored.map(|_| ()).map_err(|error| LinkError::Artifact(error.to_string()))
    }

    async fn request(&self, session: &mut Session, command: Command) -> Result<(), LinkError> {
        match command {
            Command::Execute(intent) => self.execute(session, &intent).await,
            Command::CloseRun(run) => {
                let run_id = run.to_string();
                let request =
                    wire::CloseRunRequest { session: session.session.clone(), epoch: self.epoch, run: run_id };
                let answer = within(session.client.close_run(request)).await?;
                match answer.answer {
                    Some(wire::close_run_response::Answer::Closed(_)) => {
                        self.tell(Input::Closed { run, device: self.device.clone() }).await
                    }
                    // Acknowledgements may still be on their way; it is asked again at the next attach at the latest.
                    _ => Ok(()),
                }
            }
            Command::VoidStep(step) => self.void_step(session, step).await,
            Command::ClearMemoryDoubt => self.clear_memory_doubt(session).await,
            Command::Clear { who, reason, answer } => {
                let (session_id, epoch) = (session.session.clone(), self.epoch);
                let request = wire::ClearRequest { session: session_id, epoch, who, reason };
                let done = within(session.client.clear(request)).await;
                let told = match &done {
                    Ok(wire::ClearResponse { answer: Some(wire::clear_response::Answer::Cleared(_)) }) => Ok(()),
                    Ok(wire::ClearResponse { answer: Some(wire::clear_response::Answer::Refused(refused)) }) => {
                        Err(refused.message.clone())
                    }
                    Ok(_) => Err("the driver gave no answer".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                let _ = answer.send(told);
                done.map(|_| ())
            }
            Command::MakeSafe { who, reason, answer } => {
                let done = within(session.client.make_safe(wire::MakeSafeRequest { who, reason })).await;
                let told =
                    done.as_ref().map(|safe| (safe.confirmed, safe.message.clone())).map_err(ToString::to_string);
                // The person who asked may have gone; the device was told all the same.
                let _ = answer.send(told);
                done.map(|_| ())
            }
            Command::Resolve { request, answer } => {
                let request = wire::ResolveRequest { session: session.session.clone(), epoch: self.epoch, ..*request };
                let done = within(session.client.resolve(request.clone())).await;
                let told = match &done {
                    // An earlier verdict whose answer was lost may stand there: the journal must not hold another one.
                    Ok(wire::ResolveResponse { answer: Some(wire::resolve_response::Answer::Attempt(attempt)) }) => {
                        link_wire::agrees(request.verdict(), attempt.state())
                    }
                    Ok(wire::ResolveResponse { answer: Some(wire::resolve_response::Answer::Refused(refused)) }) => {
                        match refused.reason() {
                            // A ledger that has forgotten the command has no doubt about it either (row 18).
                            wire::RefusalReason::UnknownKey => Ok(()),
                            _ => Err(refused.message.clone()),
                        }
                    }
                    Ok(_) => Err("the driver gave no answer".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                let _ = answer.send(told);
                done.map(|_| ())
            }
        }
    }

    async fn clear_memory_doubt(&self, session: &mut Session) -> Result<(), LinkError> {
        let (who, reason) = ("scheduler".to_owned(), "nothing of the device is open or in doubt".to_owned());
        let (session_id, epoch) = (session.session.clone(), self.epoch);
        let request = wire::ClearRequest { session: session_id, epoch, who: who.clone(), reason: reason.clone() };
        match within(session.client.clear(request)).await?.answer {
            Some(wire::clear_response::Answer::Cleared(_)) => {
                self.tell_if_news(Input::Cleared { device: self.device.clone(), who, reason }).await
            }
            // It is asked for again after the next attach.
            _ => Ok(()),
        }
    }

    async fn execute(&self, session: &mut Session, intent: &ppu_engine::state::Intent) -> Result<(), LinkError> {
        use wire::execute_response::Answer;
        let command = link_wire::command(intent);
        let digest = ppu_proto::digest::of(&command).to_vec();
        let request = wire::ExecuteRequest {
            session: session.session.clone(),
            epoch: self.epoch,
            key: Some((&intent.key).into()),
            digest,
            command: Some(command),
            start_before_ns: session.driver_clock(self.handle.host().boot_ns(), START_WITHIN),
            traceparent: link_wire::traceparent(intent),
            preconditions: link_wire::preconditions(&self.handle.snapshot().state, intent),
        };
        let key = intent.key.clone();
        match within(session.client.execute(request)).await?.answer {
            Some(Answer::Accepted(_) | Answer::Known(_)) => self.tell(Input::Accepted { key }).await,
            Some(Answer::Refused(refused)) => match refused.reason() {
                wire::RefusalReason::Fenced | wire::RefusalReason::StaleSession => Err(LinkError::Stale),
                wire::RefusalReason::Degraded | wire::RefusalReason::Conflict | wire::RefusalReason::Late => {
                    self.ask_again(intent, &refused.message);
                    Ok(())
                }
                _ => self.tell(Input::Refused { key, message: refused.message }).await,
            },
            None => Err(ConversionError::new("execute.answer", "it is missing").into()),
        }
    }

    /// Has the tombstone of a step made (REL-6). An attempt that has started is asked to end; its outcome decides whether
    /// a tombstone is still needed, and then it is asked for again.
    async fn void_step(&self, session: &mut Session, step: StepId) -> Result<(), LinkError> {
        use wire::void_step_response::Answer;
        let (session_id, epoch) = (session.session.clone(), self.epoch);
        let request = wire::VoidStepRequest { session: session_id.clone(), epoch, step: step.to_string() };
        match within(session.client.void_step(request)).await?.answer {
            Some(Answer::Voided(voided)) => {
                self.tell(Input::Voided { step, device: self.device.clone(), dseq: voided.dseq }).await
            }
            Some(Answer::Conflict(attempt)) if attempt.state() == wire::AttemptState::Started => {
                let mode = wire::AbortMode::Stop.into();
                let request = wire::AbortRequest { session: session_id, epoch, key: attempt.key, mode };
                within(session.client.abort(request)).await?;
                Ok(())
            }
            // It is in doubt, which a person must resolve first, or it had an effect, which its event tells.
            Some(Answer::Conflict(_)) => Ok(()),
            Some(Answer::Refused(refused)) => match refused.reason() {
                wire::RefusalReason::Fenced | wire::RefusalReason::StaleSession => Err(LinkError::Stale),
                _ => {
                    self.ask_for_tombstone_again(step, &refused.message);
                    Ok(())
                }
            },
            None => Err(ConversionError::new("void_step.answer", "it is missing").into()),
        }
    }

    fn ask_for_tombstone_again(&self, step: StepId, message: &str) {
        tracing::debug!(device_id = %self.device, step_id = %step, "no tombstone yet: {message}");
        let Some(own) = self.handle.link(&self.device).cloned() else { return };
        let handle = self.handle.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ASK_AGAIN).await;
            let still = handle
                .snapshot()
                .state
                .step(&step)
                .is_some_and(|(_, known)| known.void_wanted.is_some() && !known.state.is_over());
            if still {
                let _ = own.try_send(Command::VoidStep(step));
            }
        });
    }

    /// The driver promised nothing and may be able to later: the same key is offered again after a pause.
    fn ask_again(&self, intent: &ppu_engine::state::Intent, message: &str) {
        tracing::debug!(device_id = %self.device, step_id = %intent.key.step, "not promised yet: {message}");
        let Some(own) = self.handle.link(&self.device).cloned() else { return };
        let intent = std::sync::Arc::new(intent.clone());
        let handle = self.handle.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ASK_AGAIN).await;
            let snapshot = handle.snapshot();
            let still = is_only_intended(&snapshot.state, &intent.key);
            if still {
                // A full queue or a lost link: the engine asks again after the next attach.
                let _ = own.try_send(Command::Execute(intent));
            }
        });
    }
}

/// Whether an attempt is still only intended.
fn is_only_intended(state: &ppu_engine::State, key: &CommandKey) -> bool {
    state.find(key).is_some_and(|(run, index)| {
        state.runs.get(&run).is_some_and(|run| {
            let step = &run.steps[index];
            let intended = step.state == ppu_engine::lifecycle::StepState::Intended;
            step.attempts == key.attempt && intended && step.void_wanted.is_none()
        })
    })
}

/// Tells whoever waits that the link is lost.
fn refuse(command: Command, reason: &str) {
    match command {
        Command::MakeSafe { answer, .. } => {
            let _ = answer.send(Err(reason.to_owned()));
        }
        Command::Resolve { answer, .. } | Command::Clear { answer, .. } => {
            let _ = answer.send(Err(reason.to_owned()));
        }
        Command::Execute(_) | Command::CloseRun(_) | Command::VoidStep(_) | Command::ClearMemoryDoubt => {}
    }
}

impl Session {
    async fn heartbeat(&mut self, host: &dyn Host, counter: u64) -> Result<(), LinkError> {
        let asked = host.boot_ns();
        let request = wire::HeartbeatRequest { session: self.session.clone(), counter };
        let answer = within(self.client.heartbeat(request)).await?;
        if !answer.current {
            return Err(LinkError::Stale);
        }
        self.clock = (answer.clock_ns, asked);
        Ok(())
    }

    /// A moment from now in the driver's clock.
    fn driver_clock(&self, now_ns: u64, from_now: Duration) -> u64 {
        self.clock.0 + now_ns.saturating_sub(self.clock.1) + from_now.as_nanos() as u64
    }
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T, LinkError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(tonic::Status::deadline_exceeded("no answer within 5 s").into()),
    }
}

//! The public API, `ppu.lab.v1.LabService`.

mod campaign;
mod person;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ppu_core::protocol::Protocol;
use ppu_core::{ArtifactHash, CampaignId, DeviceId, PositionId, Problems, RunId, TrialId};
use ppu_engine::event::{Resolution, Verdict};
use ppu_engine::lifecycle::LinkState;
use ppu_engine::{Fact, Input, Refusal};
use ppu_proto::convert::{self, numbers_from_wire};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_server::{LabService, LabServiceServer};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::reactor::{Command, Handle, OfferError, submitted_run};
use crate::telemetry::Telemetry;
use crate::{SchedulerError, SchedulerOptions, counters, feed, link_wire, view};

/// Events that wait for one client before its stream is closed with the place to go on from.
const CLIENT_QUEUE: usize = 256;
/// How long a request waits for a place in the queue of the engine before its sender is told to come back.
const FULL_FOR: Duration = Duration::from_secs(2);
/// When it may come back.
const TRY_AGAIN_IN: Duration = Duration::from_secs(1);
/// How long a stop waits for each device's confirmation before it is reported as unconfirmed.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// Bytes of an artifact in one message.
const CHUNK: usize = 64 * 1024;
/// Largest file that a client may submit.
const LARGEST_FILE: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Api {
    handle: Handle,
    options: Arc<SchedulerOptions>,
    telemetry: Telemetry,
    started_ms: i64,
    judged: Arc<counters::Judged>,
}

/// Serves the API with health and reflection (v1 and v1alpha, since Python's client speaks the latter).
pub(crate) async fn serve(
    api: Api,
    options: SchedulerOptions,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), SchedulerError> {
    let address = options.listen;
    let listener = bind(address, &options.directory.join("endpoint.json"))
        .await
        .map_err(|source| SchedulerError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| SchedulerError::Listen { address, source })?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LabServiceServer<Api>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(ppu_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().expect("our own descriptors are sound");
    let v1alpha = reflection().build_v1alpha().expect("our own descriptors are sound");
    let path = options.directory.join("endpoint.json");
    let text = serde_json::json!({ "grpc": bound.to_string(), "pid": std::process::id() }).to_string();
    ppu_store::write_atomically(&path, text.as_bytes())
        .map_err(|error| SchedulerError::AddressFile { path, reason: error.to_string() })?;
    tracing::info!(%bound, "scheduler serves");
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(LabServiceServer::new(api).max_decoding_message_size(4 * LARGEST_FILE))
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            // An open Watch stream must not hold the process: the reactor has ended by then.
            let _ = shutdown.wait_for(|stop| *stop).await;
        })
        .await
        .map_err(|source| SchedulerError::Server { source })
}

/// Port 0 takes the port of the last start where it is still free, so that clients find a restarted scheduler again.
async fn bind(address: std::net::SocketAddr, file: &std::path::Path) -> std::io::Result<tokio::net::TcpListener> {
    #[derive(serde::Deserialize)]
    struct Last {
        grpc: std::net::SocketAddr,
    }
    if address.port() == 0
        && let Some(last) = std::fs::read(file).ok().and_then(|text| serde_json::from_slice::<Last>(&text).ok())
        && last.grpc.ip() == address.ip()
        && let Ok(listener) = tokio::net::TcpListener::bind(last.grpc).await
    {
        return Ok(listener);
    }
    tokio::net::TcpListener::bind(address).await
}

impl Api {
    pub(crate) fn new(handle: Handle, options: Arc<SchedulerOptions>, telemetry: Telemetry) -> Self {
        let started_ms = options.host.wall_ms();
        Self { handle, options, telemetry, started_ms, judged: Arc::default() }
    }

    async fn give(&self, input: Input) -> Result<Vec<Fact>, Status> {
        match self.handle.offer(input, FULL_FOR).await {
            Ok(answer) => answer.map_err(|refusal| refused(&refusal)),
            Err(OfferError::Gone(gone)) => Err(Status::unavailable(gone.to_string())),
            Err(full @ OfferError::Full) => {
                let message = format!("{full}: try again in {} s", TRY_AGAIN_IN.as_secs());
                let details = ErrorDetails::with_retry_info(Some(TRY_AGAIN_IN));
                Err(Status::with_error_details(tonic::Code::ResourceExhausted, message, details))
            }
        }
    }

    async fn give_urgent(&self, input: Input) -> Result<Vec<Fact>, Status> {
        let answer = self.handle.give_urgent(input).await.map_err(|gone| Status::unavailable(gone.to_string()))?;
        answer.map_err(|refusal| refused(&refusal))
    }

    /// Tells one device to become safe and reports honestly what is known of it.
    async fn make_safe(&self, device: &DeviceId, who: String, reason: String) -> wire::DeviceStop {
        let stop = |reached, confirmed, message: String| wire::DeviceStop {
            device: device.to_string(),
            reached,
            confirmed,
            message,
        };
        let attached = self.handle.snapshot().state.devices.get(device).is_some_and(|d| d.link == LinkState::Attached);
        let Some(link) = self.handle.link(device).filter(|_| attached) else {
            return stop(false, false, "its driver is not attached".to_owned());
        };
        let (answer, receiver) = oneshot::channel();
        let told = tokio::time::timeout(STOP_WAIT, async {
            link.send(Command::MakeSafe { who, reason, answer }).await.ok()?;
            receiver.await.ok()
        });
        match told.await {
            Ok(Some(Ok((confirmed, message)))) => stop(true, confirmed, message),
            Ok(Some(Err(message))) => stop(false, false, message),
            Ok(None) => stop(false, false, "the link ended".to_owned()),
            Err(_) => stop(true, false, format!("no confirmation within {} s", STOP_WAIT.as_secs())),
        }
    }
}

/// A refusal as a status; what a person wrote comes back with one field violation a problem.
fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Invalid(problems) => invalid(problems),
        Refusal::NotFound { .. } => Status::not_found(refusal.to_string()),
        Refusal::NotNow(_) | Refusal::OtherLab(_) => Status::failed_precondition(refusal.to_string()),
    }
}

fn invalid(problems: &Problems) -> Status {
    let mut details = ErrorDetails::new();
    for problem in &problems.0 {
        let line = problem.line.map_or(String::new(), |line| format!(":{line}"));
        let place = [format!("{}{line}", problem.file), problem.subject.clone(), problem.field.clone()];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
        details.add_bad_request_violation(place.join(" / "), format!("{} ({})", problem.message, problem.cure));
    }
    Status::with_error_details(tonic::Code::InvalidArgument, problems.to_string(), details)
}

fn parsed<T: std::str::FromStr<Err = ppu_core::ids::IdError>>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: ppu_core::ids::IdError| Status::invalid_argument(error.to_string()))
}

fn check_size(name: &str, text: &str) -> Result<(), Status> {
    if text.len() > LARGEST_FILE {
        return Err(Status::invalid_argument(format!(
            "{name} has {} bytes; at most {LARGEST_FILE} are taken",
            text.len()
        )));
    }
    Ok(())
}

fn who(name: &str) -> Result<String, Status> {
    if name.trim().is_empty() {
        return Err(Status::invalid_argument("`who` is empty: every decision carries a name"));
    }
    if [ppu_engine::event::INSTRUMENT, "scheduler", "driver"].contains(&name.trim()) {
        return Err(Status::invalid_argument(format!("`{name}` is no person")));
    }
    Ok(name.to_owned())
}

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl LabService for Api {
    async fn get_lab(&self, _: Request<wire::GetLabRequest>) -> Result<Response<wire::GetLabResponse>, Status> {
        let snapshot = self.handle.snapshot();
        let (state, now) = (&snapshot.state, self.options.host.wall_ms());
        let (lab_state, state_reason) = view::lab_state(state);
        // In the order of the lab file, as people know their lab.
        let devices = self.options.lab.devices.iter().filter_map(|device| {
            let known = state.devices.get(&device.id)?;
            let mut shown = view::device(device.id.as_str(), known, state, now, self.started_ms);
            shown.readings = self.telemetry.readings(device.id.as_str());
            if known.link != LinkState::Attached
                && let Some(reason) = self.handle.unreached(&device.id)
            {
                shown.problem = reason;
            }
            Some(shown)
        });
        let campaigns = state.campaign_order.iter().filter_map(|id| Some((id, state.campaigns.get(id)?)));
        Ok(Response::new(wire::GetLabResponse {
            name: self.options.lab.name.clone(),
            title: self.options.lab.title.clone(),
            simulated: self.options.lab.is_simulated(),
            state: lab_state.into(),
            seq: snapshot.seq,
            devices: devices.collect(),
            campaigns: campaigns.map(|(id, campaign)| view::campaign(state, id, campaign, now)).collect(),
            active_runs: state.live().map(|(id, run)| view::run(state, id, run, false)).collect(),
            samples: view::samples(state),
            doubts: view::doubts(state),
            started_ms: self.started_ms,
            clock_rate: self.options.clock_rate,
            epoch: state.epoch,
            state_reason,
        }))
    }

    async fn check_plan(
        &self,
        request: Request<wire::CheckPlanRequest>,
    ) -> Result<Response<wire::CheckPlanResponse>, Status> {
        let request = request.into_inner();
        check_size("the protocol", &request.protocol_toml)?;
        let checked = Protocol::parse(&request.file, &request.protocol_toml).and_then(|protocol| {
            let plan = protocol.fill_in(&numbers_from_wire(&request.parameters))?;
            plan.check(&self.handle.snapshot().state.lab_model())?;
            Ok(plan)
        });
        Ok(Response::new(match checked {
            Ok(plan) => wire::CheckPlanResponse { problems: vec![], plan: Some((&plan).into()) },
            Err(problems) => {
                wire::CheckPlanResponse { problems: problems.0.iter().map(Into::into).collect(), plan: None }
            }
        }))
    }

    async fn submit_plan(
        &self,
        request: Request<wire::SubmitPlanRequest>,
    ) -> Result<Response<wire::SubmitPlanResponse>, Status> {
        let request = request.into_inner();
        check_size("the protocol", &request.protocol_toml)?;
        let plan = Protocol::parse(&request.file, &request.protocol_toml)
            .and_then(|protocol| protocol.fill_in(&numbers_from_wire(&request.parameters)))
            .map_err(|problems| invalid(&problems))?;
        let request_id = request.request_id;
        let facts = self.give(Input::SubmitPlan { plan: Box::new(plan), request_id: request_id.clone() }).await?;
        let run = submitted_run(&facts).or_else(|| {
            let state = self.handle.snapshot().state;
            state.runs.iter().find(|(_, run)| run.request_id == request_id).map(|(id, _)| id.clone())
        });
        let run = run.ok_or_else(|| Status::internal("the run was accepted but cannot be found"))?;
        Ok(Response::new(wire::SubmitPlanResponse { run: run.to_string() }))
    }

    async fn get_run(&self, request: Request<wire::GetRunRequest>) -> Result<Response<wire::GetRunResponse>, Status> {
        let id: RunId = parsed(&request.into_inner().run)?;
        let state = self.handle.snapshot().state;
        let run = state.runs.get(&id).ok_or_else(|| Status::not_found(format!("there is no run `{id}`")))?;
        Ok(Response::new(wire::GetRunResponse { run: Some(view::run(&state, &id, run, true)) }))
    }

    async fn create_campaign(
        &self,
        request: Request<wire::CreateCampaignRequest>,
    ) -> Result<Response<wire::CreateCampaignResponse>, Status> {
        self.create(request.into_inner()).await.map(Response::new)
    }

    async fn get_campaign(
        &self,
        request: Request<wire::GetCampaignRequest>,
    ) -> Result<Response<wire::GetCampaignResponse>, Status> {
        let id: CampaignId = parsed(&request.into_inner().campaign)?;
        let state = self.handle.snapshot().state;
        let campaign =
            state.campaigns.get(&id).ok_or_else(|| Status::not_found(format!("there is no campaign `{id}`")))?;
        let campaign = view::campaign(&state, &id, campaign, self.options.host.wall_ms());
        Ok(Response::new(wire::GetCampaignResponse { campaign: Some(campaign) }))
    }

    async fn stop_campaign(
        &self,
        request: Request<wire::StopCampaignRequest>,
    ) -> Result<Response<wire::StopCampaignResponse>, Status> {
        let request = request.into_inner();
        let input = Input::StopCampaign {
            campaign: parsed(&request.campaign)?,
            who: who(&request.who)?,
            reason: request.reason,
            stop_runs: request.stop_runs,
        };
        self.give_urgent(input).await?;
        Ok(Response::new(wire::StopCampaignResponse {}))
    }

    async fn reshape_campaign(
        &self,
        request: Request<wire::ReshapeCampaignRequest>,
    ) -> Result<Response<wire::ReshapeCampaignResponse>, Status> {
        self.reshape(request.into_inner()).await.map(Response::new)
    }

    async fn pin_candidate(
        &self,
        request: Request<wire::PinCandidateRequest>,
    ) -> Result<Response<wire::PinCandidateResponse>, Status> {
        self.pin(request.into_inner()).await.map(Response::new)
    }

    async fn get_counters(
        &self,
        _: Request<wire::GetCountersRequest>,
    ) -> Result<Response<wire::GetCountersResponse>, Status> {
        Ok(Response::new(self.counters().await))
    }

    async fn decide(&self, request: Request<wire::DecideRequest>) -> Result<Response<wire::DecideResponse>, Status> {
        let request = request.into_inner();
        let id: TrialId = parsed(&request.trial)?;
        let input = Input::Decide {
            trial: id.clone(),
            accept: request.accept,
            who: who(&request.who)?,
            reason: request.reason,
        };
        self.give_urgent(input).await?;
        let state = self.handle.snapshot().state;
        let trial = state.trials.get(&id).ok_or_else(|| Status::not_found(format!("there is no trial `{id}`")))?;
        Ok(Response::new(wire::DecideResponse { trial: Some(view::trial(&id, trial)) }))
    }

    async fn resolve_doubt(
        &self,
        request: Request<wire::ResolveDoubtRequest>,
    ) -> Result<Response<wire::ResolveDoubtResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: convert::ConversionError| Status::invalid_argument(error.to_string());
        let key = convert::key(request.key.as_ref()).map_err(bad)?;
        let verdict = link_wire::verdict(request.verdict()).map_err(bad)?;
        let resolution =
            request.resolution.clone().ok_or_else(|| Status::invalid_argument("`resolution` is missing"))?;
        who(&resolution.who)?;
        if resolution.inspected.trim().is_empty() {
            return Err(Status::invalid_argument("`resolution.inspected` is empty: say what was looked at"));
        }
        let sample_position = match request.sample_position.as_str() {
            "" => None,
            text => Some(parsed::<PositionId>(text)?),
        };
        let evidence = resolution.evidence.iter().map(|hash| ArtifactHash::from_slice(hash));
        let evidence: Vec<_> =
            evidence.collect::<Result<_, _>>().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (inspected, note) = (resolution.inspected, resolution.note);
        let mut resolution = Resolution { who: resolution.who, inspected, evidence, note, countersigned_by: None };
        // Two people under a hazardous verdict: the first signature is recorded and the doubt stays.
        let signed = Input::SignDoubt { key: key.clone(), verdict, resolution: resolution.clone() };
        if !self.give_urgent(signed).await?.is_empty() {
            return Ok(Response::new(wire::ResolveDoubtResponse { needs_second_signature: true }));
        }
        let state = self.handle.snapshot().state;
        if state.is_hazardous(&key)
            && let Some((_, first)) = state.step(&key.step).and_then(|(_, step)| step.signed.clone())
        {
            let second = std::mem::replace(&mut resolution, first);
            resolution.countersigned_by = Some(second.who);
            resolution.evidence.extend(second.evidence);
        }
        if request.then_skip && verdict == Verdict::NotDone {
            let reason = format!("skipped after its doubt: {}", resolution.inspected);
            let skip = Input::SkipStep { step: key.step.clone(), who: resolution.who.clone(), reason };
            self.give_urgent(skip).await?;
        }
        self.tell_driver_the_verdict(&state, &key, request.verdict, &resolution).await?;
        let resolved = self.give_urgent(Input::Resolved { key, verdict, resolution, sample_position }).await;
        match resolved {
            // The driver's own event may have arrived first; the doubt is gone either way.
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {}
            other => drop(other?),
        }
        Ok(Response::new(wire::ResolveDoubtResponse { needs_second_signature: false }))
    }

    async fn stop_run(
        &self,
        request: Request<wire::StopRunRequest>,
    ) -> Result<Response<wire::StopRunResponse>, Status> {
        let request = request.into_inner();
        let input = Input::StopRun { run: parsed(&request.run)?, who: who(&request.who)?, reason: request.reason };
        self.give_urgent(input).await?;
        Ok(Response::new(wire::StopRunResponse {}))
    }

    async fn skip_step(
        &self,
        request: Request<wire::SkipStepRequest>,
    ) -> Result<Response<wire::SkipStepResponse>, Status> {
        let request = request.into_inner();
        let input = Input::SkipStep { step: parsed(&request.step)?, who: who(&request.who)?, reason: request.reason };
        self.give_urgent(input).await?;
        Ok(Response::new(wire::SkipStepResponse {}))
    }

    async fn clear_device(
        &self,
        request: Request<wire::ClearDeviceRequest>,
    ) -> Result<Response<wire::ClearDeviceResponse>, Status> {
        let request = request.into_inner();
        let device: DeviceId = parsed(&request.device)?;
        self.clear(&device, who(&request.who)?, request.reason).await?;
        Ok(Response::new(wire::ClearDeviceResponse {}))
    }

    async fn retire_ledger(
        &self,
        request: Request<wire::RetireLedgerRequest>,
    ) -> Result<Response<wire::RetireLedgerResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: convert::ConversionError| Status::invalid_argument(error.to_string());
        let void = request.void.iter().map(TryInto::try_into).collect::<Result<_, _>>().map_err(bad)?;
        let input = Input::RetireLedger {
            device: parsed(&request.device)?,
            ledger_id: request.ledger_id,
            who: who(&request.who)?,
            isolated: request.isolated,
            void,
        };
        self.give_urgent(input).await?;
        Ok(Response::new(wire::RetireLedgerResponse {}))
    }

    async fn locate_sample(
        &self,
        request: Request<wire::LocateSampleRequest>,
    ) -> Result<Response<wire::LocateSampleResponse>, Status> {
        let request = request.into_inner();
        let position = match request.position.as_str() {
            "" => None,
            text => Some(parsed::<PositionId>(text)?),
        };
        let input = Input::LocateSample {
            sample: parsed(&request.sample)?,
            position,
            who: who(&request.who)?,
            inspected: request.inspected,
        };
        self.give_urgent(input).await?;
        Ok(Response::new(wire::LocateSampleResponse {}))
    }

    async fn pause(&self, request: Request<wire::PauseRequest>) -> Result<Response<wire::PauseResponse>, Status> {
        let request = request.into_inner();
        self.give_urgent(Input::Pause { who: who(&request.who)?, reason: request.reason }).await?;
        Ok(Response::new(wire::PauseResponse {}))
    }

    async fn resume(&self, request: Request<wire::ResumeRequest>) -> Result<Response<wire::ResumeResponse>, Status> {
        let request = request.into_inner();
        let (who, reason) = (who(&request.who)?, request.reason);
        self.clear_what_the_stop_made_safe(&who, &reason).await?;
        self.give_urgent(Input::Resume { who, reason }).await?;
        Ok(Response::new(wire::ResumeResponse {}))
    }

    async fn stop_all(
        &self,
        request: Request<wire::StopAllRequest>,
    ) -> Result<Response<wire::StopAllResponse>, Status> {
        let request = request.into_inner();
        let (who, reason) = (who(&request.who)?, request.reason);
        // Nothing new may start before the devices are told, or the stop would race with the next command.
        self.give_urgent(Input::Stop { who: who.clone(), reason: reason.clone() }).await?;
        let devices = self.options.lab.devices.iter();
        let stops = devices.map(|device| self.make_safe(&device.id, who.clone(), reason.clone()));
        let devices = futures_util::future::join_all(stops).await;
        Ok(Response::new(wire::StopAllResponse { devices }))
    }

    type WatchStream = Stream<wire::WatchResponse>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let after = request.into_inner().after_seq;
        let (sender, receiver) = mpsc::channel(CLIENT_QUEUE);
        tokio::spawn(watch_events(self.handle.clone(), after, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type ReadArtifactStream = Stream<wire::ReadArtifactResponse>;

    async fn read_artifact(
        &self,
        request: Request<wire::ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        let hash = ArtifactHash::from_slice(&request.into_inner().hash)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let journal = self.handle.journal().clone();
        let read = self.handle.host().do_blocking(move || journal.artifact(&hash)).await;
        let bytes = read.map_err(|error| Status::not_found(error.to_string()))?;
        let pieces: Vec<_> =
            bytes.chunks(CHUNK).map(|chunk| Ok(wire::ReadArtifactResponse { chunk: chunk.to_vec() })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }
}

/// History first, then live events, without a gap and without a repeat. A client that is too slow gets its stream closed
/// with the place to go on from; the lab does not wait for it.
async fn watch_events(handle: Handle, mut after: u64, sender: mpsc::Sender<Result<wire::WatchResponse, Status>>) {
    let mut live = handle.subscribe();
    loop {
        let journal = handle.journal().clone();
        let page = match handle.host().do_blocking(move || journal.facts_after(after, CLIENT_QUEUE)).await {
            Ok(page) => page,
            Err(error) => {
                let reason = format!("the journal could not be read: {error}");
                let _ = sender.send(Err(Status::internal(reason))).await;
                return;
            }
        };
        let full = page.len() == CLIENT_QUEUE;
        for (seq, fact) in page {
            after = seq;
            if sender.send(Ok(feed::event(seq, &fact))).await.is_err() {
                return;
            }
        }
        if full {
            continue;
        }
        if !follow_live(&mut live, &mut after, &sender).await {
            return;
        }
    }
}

/// Passes live events on; `true` when the journal has to be read because the live feed has gone ahead.
async fn follow_live(
    live: &mut broadcast::Receiver<Arc<Vec<(u64, Fact)>>>,
    after: &mut u64,
    sender: &mpsc::Sender<Result<wire::WatchResponse, Status>>,
) -> bool {
    loop {
        let batch = match live.recv().await {
            Ok(batch) => batch,
            Err(broadcast::error::RecvError::Lagged(_)) => return true,
            Err(broadcast::error::RecvError::Closed) => return false,
        };
        let seen = *after;
        for (seq, fact) in batch.iter().filter(|(seq, _)| *seq > seen) {
            if sender.try_send(Ok(feed::event(*seq, fact))).is_err() {
                let message = format!("too slow: go on with after_seq = {after}");
                let _ = sender.send(Err(Status::resource_exhausted(message))).await;
                return false;
            }
            *after = *seq;
        }
    }
}

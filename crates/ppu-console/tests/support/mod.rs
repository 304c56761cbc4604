//! A lab that answers the public API from memory and remembers what it was asked.
#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by several test programs and an example; none uses all of it"
)]

pub mod data;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt as _, stream};
use ppu_proto::lab::v1::lab_service_server::{LabService, LabServiceServer};
use ppu_proto::lab::v1::*;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// What the console asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Decide(DecideRequest),
    Resolve(ResolveDoubtRequest),
    Pause(PauseRequest),
    Resume(ResumeRequest),
    StopAll(StopAllRequest),
    StopCampaign(StopCampaignRequest),
    Clear(ClearDeviceRequest),
    Locate(LocateSampleRequest),
    StopRun(StopRunRequest),
    Reshape(ReshapeCampaignRequest),
    Pin(PinCandidateRequest),
}

pub struct FakeLab {
    lab: Mutex<GetLabResponse>,
    events: Mutex<Vec<WatchResponse>>,
    live: broadcast::Sender<WatchResponse>,
    calls: Mutex<Vec<Call>>,
}

#[derive(Clone)]
pub struct Handle(Arc<FakeLab>);

/// A lab under this address until it is dropped.
pub struct Served {
    pub lab: Handle,
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

pub const ARTIFACT: &[u8] = b"<xrdMeasurements/>";

impl Handle {
    pub fn new(lab: GetLabResponse, events: Vec<WatchResponse>) -> Self {
        let live = broadcast::Sender::new(256);
        Self(Arc::new(FakeLab { lab: Mutex::new(lab), events: Mutex::new(events), live, calls: Mutex::default() }))
    }

    /// Changes the lab and tells the watchers.
    pub fn change(&self, kind: &str, text: &str, change: impl FnOnce(&mut GetLabResponse)) {
        let mut lab = self.0.lab.lock().unwrap();
        change(&mut lab);
        lab.seq += 1;
        let event = data::event(lab.seq, kind, text);
        self.0.events.lock().unwrap().push(event.clone());
        let _ = self.0.live.send(event);
    }

    pub fn lab(&self) -> GetLabResponse {
        self.0.lab.lock().unwrap().clone()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap().clone()
    }

    fn note(&self, call: Call) {
        self.0.calls.lock().unwrap().push(call);
    }

    /// Serves on this address; port 0 takes a free one. The server has a runtime of its own, so that it can die with all
    /// its connections.
    pub async fn serve(self, address: SocketAddr) -> Served {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = LabServiceServer::new(self.clone());
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        Served { lab: self, address, runtime: Some(runtime) }
    }
}

impl Served {
    /// Ends the server and its connections, as a crash would.
    pub fn crash(self) -> Handle {
        self.lab.clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tonic::async_trait]
impl LabService for Handle {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;
    type ReadArtifactStream = Pin<Box<dyn Stream<Item = Result<ReadArtifactResponse, Status>> + Send>>;

    async fn get_lab(&self, _: Request<GetLabRequest>) -> Result<Response<GetLabResponse>, Status> {
        Ok(Response::new(self.lab()))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        let id = request.into_inner().run;
        let run = self.lab().active_runs.into_iter().find(|run| run.id == id);
        match run.or_else(|| (id == data::FINISHED_RUN).then(data::finished_run)) {
            Some(run) => Ok(Response::new(GetRunResponse { run: Some(run) })),
            None => Err(Status::not_found(format!("no run {id}"))),
        }
    }

    async fn get_campaign(
        &self,
        request: Request<GetCampaignRequest>,
    ) -> Result<Response<GetCampaignResponse>, Status> {
        Err(Status::not_found(format!("no campaign {}", request.into_inner().campaign)))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let request = request.into_inner();
        self.note(Call::Decide(request.clone()));
        let mut answer = None;
        let word = if request.accept { "accepted" } else { "rejected" };
        self.change("trial_decided", &format!("{} {} by {}", request.trial, word, request.who), |lab| {
            let trials = lab.campaigns.iter_mut().flat_map(|campaign| &mut campaign.trials);
            for trial in trials.filter(|trial| trial.id == request.trial) {
                if trial.state() == TrialState::AwaitingApproval {
                    trial.set_state(if request.accept { TrialState::Queued } else { TrialState::Rejected });
                    trial.decision = format!("{} by {}", word, request.who);
                }
                answer = Some(trial.clone());
            }
        });
        answer
            .map(|trial| Response::new(DecideResponse { trial: Some(trial) }))
            .ok_or_else(|| Status::not_found("no such trial"))
    }

    async fn resolve_doubt(
        &self,
        request: Request<ResolveDoubtRequest>,
    ) -> Result<Response<ResolveDoubtResponse>, Status> {
        let request = request.into_inner();
        self.note(Call::Resolve(request.clone()));
        self.change("doubt_resolved", "resolved", |lab| lab.doubts.retain(|doubt| doubt.key != request.key));
        Ok(Response::new(ResolveDoubtResponse::default()))
    }

    async fn stop_run(&self, request: Request<StopRunRequest>) -> Result<Response<StopRunResponse>, Status> {
        self.note(Call::StopRun(request.into_inner()));
        Ok(Response::new(StopRunResponse {}))
    }

    async fn skip_step(&self, _: Request<SkipStepRequest>) -> Result<Response<SkipStepResponse>, Status> {
        Err(Status::unimplemented("not part of this double"))
    }

    async fn clear_device(
        &self,
        request: Request<ClearDeviceRequest>,
    ) -> Result<Response<ClearDeviceResponse>, Status> {
        self.note(Call::Clear(request.into_inner()));
        Ok(Response::new(ClearDeviceResponse {}))
    }

    async fn retire_ledger(&self, _: Request<RetireLedgerRequest>) -> Result<Response<RetireLedgerResponse>, Status> {
        Err(Status::unimplemented("not part of this double"))
    }

    async fn locate_sample(
        &self,
        request: Request<LocateSampleRequest>,
    ) -> Result<Response<LocateSampleResponse>, Status> {
        self.note(Call::Locate(request.into_inner()));
        Ok(Response::new(LocateSampleResponse {}))
    }

    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<PauseResponse>, Status> {
        let request = request.into_inner();
        self.note(Call::Pause(request.clone()));
        self.change("paused", &format!("paused by {}", request.who), |lab| {
            lab.set_state(LabState::Paused);
            lab.state_reason = request.reason.clone();
        });
        Ok(Response::new(PauseResponse {}))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        let request = request.into_inner();
        self.note(Call::Resume(request.clone()));
        self.change("resumed", &format!("resumed by {}", request.who), |lab| lab.set_state(LabState::Running));
        Ok(Response::new(ResumeResponse {}))
    }

    async fn stop_all(&self, request: Request<StopAllRequest>) -> Result<Response<StopAllResponse>, Status> {
        let request = request.into_inner();
        self.note(Call::StopAll(request.clone()));
        self.change("stopped", &format!("STOP ALL by {}", request.who), |lab| {
            lab.set_state(LabState::Stopped);
            lab.state_reason = format!("STOP ALL by {}", request.who);
        });
        Ok(Response::new(StopAllResponse { devices: data::stop_answers(&self.lab()) }))
    }

    async fn stop_campaign(
        &self,
        request: Request<StopCampaignRequest>,
    ) -> Result<Response<StopCampaignResponse>, Status> {
        self.note(Call::StopCampaign(request.into_inner()));
        Ok(Response::new(StopCampaignResponse {}))
    }

    async fn reshape_campaign(
        &self,
        request: Request<ReshapeCampaignRequest>,
    ) -> Result<Response<ReshapeCampaignResponse>, Status> {
        self.note(Call::Reshape(request.into_inner()));
        Ok(Response::new(ReshapeCampaignResponse::default()))
    }

    async fn pin_candidate(
        &self,
        request: Request<PinCandidateRequest>,
    ) -> Result<Response<PinCandidateResponse>, Status> {
        self.note(Call::Pin(request.into_inner()));
        Ok(Response::new(PinCandidateResponse::default()))
    }

    async fn get_counters(&self, _: Request<GetCountersRequest>) -> Result<Response<GetCountersResponse>, Status> {
        Ok(Response::new(data::counters()))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let after = request.into_inner().after_seq;
        let live = BroadcastStream::new(self.0.live.subscribe());
        let past: Vec<_> =
            self.0.events.lock().unwrap().iter().filter(|event| event.seq > after).cloned().map(Ok).collect();
        let live = live.filter_map(|event| async move {
            match event {
                Ok(event) => Some(Ok(event)),
                Err(_) => Some(Err(Status::resource_exhausted("too slow"))),
            }
        });
        Ok(Response::new(Box::pin(stream::iter(past).chain(live))))
    }

    async fn read_artifact(
        &self,
        request: Request<ReadArtifactRequest>,
    ) -> Result<Response<Self::ReadArtifactStream>, Status> {
        if request.into_inner().hash != data::ARTIFACT_HASH {
            return Err(Status::not_found("no such artifact"));
        }
        let pieces = ARTIFACT.chunks(7).map(|chunk| Ok(ReadArtifactResponse { chunk: chunk.to_vec() }));
        Ok(Response::new(Box::pin(stream::iter(pieces.collect::<Vec<_>>()))))
    }

    async fn check_plan(&self, _: Request<CheckPlanRequest>) -> Result<Response<CheckPlanResponse>, Status> {
        Err(Status::unimplemented("not part of this fake"))
    }

    async fn submit_plan(&self, _: Request<SubmitPlanRequest>) -> Result<Response<SubmitPlanResponse>, Status> {
        Err(Status::unimplemented("not part of this fake"))
    }

    async fn create_campaign(
        &self,
        _: Request<CreateCampaignRequest>,
    ) -> Result<Response<CreateCampaignResponse>, Status> {
        Err(Status::unimplemented("not part of this fake"))
    }
}

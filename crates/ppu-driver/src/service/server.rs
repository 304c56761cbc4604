//! The rpcs of `DeviceService`. Every answer is data; a status means that the call did not get through.

use std::future::Future;
use std::sync::Arc;

use ppu_proto::convert;
use ppu_proto::device::v1::{self as wire, device_service_server::DeviceService};
use ppu_store::{ArtifactError, ArtifactHash};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::events;
use super::shared::Shared;
use crate::ledger::Attempt;

/// Bytes of one piece of an artifact, as the protocol says.
const CHUNK: usize = 64 * 1024;

type Answer<T> = Result<Response<T>, Status>;

/// The server of `DeviceService`; cheap to clone.
#[derive(Debug, Clone)]
pub struct DeviceServer {
    shared: Arc<Shared>,
}

impl DeviceServer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Whether the running command has been asked to end and has not ended yet.
    pub fn is_told_to_end(&self) -> bool {
        *self.shared.abort.borrow()
    }
}

/// Runs to the end even when the caller goes away: a commit that was begun must also be taken in.
async fn uncancelled<T: Send + 'static>(work: impl Future<Output = Result<T, Status>> + Send + 'static) -> Answer<T> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result.map(Response::new),
        Err(error) => Err(Status::internal(format!("the request could not be carried out: {error}"))),
    }
}

#[tonic::async_trait]
impl DeviceService for DeviceServer {
    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Answer<wire::DescribeResponse> {
        let shared = &self.shared;
        let position = shared.options.sample_position.as_ref();
        Ok(Response::new(wire::DescribeResponse {
            device: shared.options.device.to_string(),
            manifest: Some((&shared.manifest).into()),
            serial_number: shared.contact().serial_number,
            sample_position: position.map(ToString::to_string).unwrap_or_default(),
        }))
    }

    #[tracing::instrument(name = "attach", skip_all, fields(device_id = %self.shared.options.device))]
    async fn attach(&self, request: Request<wire::AttachRequest>) -> Answer<wire::AttachResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.attach(request.into_inner()).await }).await
    }

    #[tracing::instrument(name = "execute command", skip_all, fields(
        device_id = %self.shared.options.device,
        command_id = %written(request.get_ref().key.as_ref()),
        traceparent = request.get_ref().traceparent,
    ))]
    async fn execute(&self, request: Request<wire::ExecuteRequest>) -> Answer<wire::ExecuteResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.execute(request.into_inner()).await }).await
    }

    async fn query(&self, request: Request<wire::QueryRequest>) -> Answer<wire::QueryResponse> {
        let key = convert::key(request.get_ref().key.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let state = self.shared.ledger.state();
        let attempt = state.attempt(&key);
        let outcome = attempt.and_then(|attempt| attempt.outcome.clone());
        Ok(Response::new(wire::QueryResponse { attempt: attempt.map(Attempt::to_wire), outcome }))
    }

    #[tracing::instrument(name = "void step", skip_all, fields(
        device_id = %self.shared.options.device, step_id = request.get_ref().step
    ))]
    async fn void_step(&self, request: Request<wire::VoidStepRequest>) -> Answer<wire::VoidStepResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.void_step(request.into_inner()).await }).await
    }

    #[tracing::instrument(name = "resolve doubt", skip_all, fields(
        device_id = %self.shared.options.device, command_id = %written(request.get_ref().key.as_ref())
    ))]
    async fn resolve(&self, request: Request<wire::ResolveRequest>) -> Answer<wire::ResolveResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.resolve(request.into_inner()).await }).await
    }

    #[tracing::instrument(name = "abort command", skip_all, fields(
        device_id = %self.shared.options.device, command_id = %written(request.get_ref().key.as_ref())
    ))]
    async fn abort(&self, request: Request<wire::AbortRequest>) -> Answer<wire::AbortResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.abort(request.into_inner()).await }).await
    }

    type EventsStream = ReceiverStream<Result<wire::EventsResponse, Status>>;

    async fn events(&self, request: Request<Streaming<wire::EventsRequest>>) -> Answer<Self::EventsStream> {
        let receiver = events::open(Arc::clone(&self.shared), request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn heartbeat(&self, request: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatResponse> {
        let shared = &self.shared;
        let current = shared.gate().heartbeat(&request.get_ref().session, shared.options.host.boot_ns());
        Ok(Response::new(wire::HeartbeatResponse {
            current,
            clock_ns: shared.options.host.boot_ns(),
            device_state: shared.device_state().into(),
            last_dseq: shared.ledger.state().last_dseq,
            degraded: shared.degraded().unwrap_or_default(),
        }))
    }

    async fn read_properties(&self, _: Request<wire::ReadPropertiesRequest>) -> Answer<wire::ReadPropertiesResponse> {
        Ok(Response::new(self.shared.read_properties().await))
    }

    #[tracing::instrument(name = "make safe", skip_all, fields(device_id = %self.shared.options.device))]
    async fn make_safe(&self, request: Request<wire::MakeSafeRequest>) -> Answer<wire::MakeSafeResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.make_safe(request.into_inner()).await }).await
    }

    #[tracing::instrument(name = "clear device", skip_all, fields(device_id = %self.shared.options.device))]
    async fn clear(&self, request: Request<wire::ClearRequest>) -> Answer<wire::ClearResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.clear(request.into_inner()).await }).await
    }

    async fn close_run(&self, request: Request<wire::CloseRunRequest>) -> Answer<wire::CloseRunResponse> {
        let shared = Arc::clone(&self.shared);
        uncancelled(async move { shared.close_run(request.into_inner()).await }).await
    }

    type FetchArtifactStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::FetchArtifactResponse, Status>>>;

    async fn fetch_artifact(&self, request: Request<wire::FetchArtifactRequest>) -> Answer<Self::FetchArtifactStream> {
        let request = request.into_inner();
        let hash: [u8; 32] =
            request.hash.as_slice().try_into().map_err(|_| Status::invalid_argument("a hash has 32 bytes"))?;
        let artifacts = self.shared.artifacts.clone();
        let host = Arc::clone(&self.shared.options.host);
        let bytes = match host.do_blocking(move || artifacts.get(&ArtifactHash(hash))).await {
            Ok(bytes) => bytes,
            Err(error @ ArtifactError::NotFound(_)) => return Err(Status::not_found(error.to_string())),
            Err(error) => return Err(Status::data_loss(crate::ledger::explained(&error))),
        };
        let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
        let rest = bytes.get(offset..).ok_or_else(|| Status::out_of_range("the artifact is shorter"))?;
        let chunks: Vec<_> =
            rest.chunks(CHUNK).map(|chunk| Ok(wire::FetchArtifactResponse { chunk: chunk.to_vec() })).collect();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }
}

/// A key as people write it, for traces.
fn written(key: Option<&ppu_proto::common::v1::CommandKey>) -> String {
    key.map(|key| format!("{}#{}", key.step, key.attempt)).unwrap_or_default()
}

//! The people of the lab: somebody submits plans, and somebody looks at what is in doubt and says what is true.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ppu_core::DeviceId;
use ppu_engine::lifecycle::{LifeCycle as _, StepState};
use ppu_proto::device::v1 as device;
use ppu_proto::device::v1::device_service_client::DeviceServiceClient;
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_server::LabService;
use ppu_scheduler::{Handle, Reach as _};
use tonic::Request;

use crate::host::now_ns;
use crate::network::SimNetwork;
use crate::world::World;

/// How often people look.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What people know of the plans; it outlives the scheduler.
#[derive(Debug, Clone, Default)]
pub struct Office(Arc<Mutex<Desk>>);

/// The papers.
#[derive(Debug, Default)]
pub struct Desk {
    /// Protocols to be submitted.
    pub plans: Vec<String>,
    /// How many are known to be accepted.
    pub accepted: usize,
    /// How many have ended.
    pub ended: usize,
    /// Doubts resolved.
    pub resolved: u64,
    /// Epoch of the scheduler.
    pub epoch: u64,
    /// A driver to which another scheduler, of a newer epoch, is to attach.
    pub standby: Option<String>,
    /// What the lab waits for, when it was last looked at.
    pub waiting_for: Vec<String>,
}

impl Office {
    /// Looks at the desk, or changes what is on it.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with one scheduler until it dies.
    pub async fn work(self, handle: Handle, api: impl LabService, world: World) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.submit(&api).await;
            self.look(&handle);
            self.resolve(&handle, &api, &world).await;
        }
    }

    /// Another computer that takes over when it is told to: it attaches with a newer epoch and does nothing else.
    pub async fn stand_by(self) -> turmoil::Result {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (Some(name), epoch) = ({
                let mut desk = self.desk();
                (desk.standby.take(), desk.epoch + 1)
            }) else {
                continue;
            };
            let attached = async {
                let channel = SimNetwork.connect(&DeviceId::new(name.as_str())?).await?;
                let request = device::AttachRequest { epoch, scheduler: "standby".to_owned(), ..Default::default() };
                Ok::<_, anyhow::Error>(DeviceServiceClient::new(channel).attach(request).await?)
            };
            if let Err(error) = attached.await {
                tracing::info!(%error, "the standby did not get through");
                self.desk().standby = Some(name);
            }
        }
    }

    /// Submits what is not known to be accepted, again and again under the same request id.
    async fn submit(&self, api: &impl LabService) {
        let next = {
            let desk = self.desk();
            desk.plans.get(desk.accepted).cloned().map(|plan| (desk.accepted, plan))
        };
        let Some((number, protocol_toml)) = next else { return };
        let request = wire::SubmitPlanRequest {
            protocol_toml,
            file: "story.toml".to_owned(),
            request_id: format!("plan {number}"),
            ..Default::default()
        };
        match api.submit_plan(Request::new(request)).await {
            Ok(_) => self.desk().accepted += 1,
            Err(status) => tracing::debug!(%status, "not accepted yet"),
        }
    }

    fn look(&self, handle: &Handle) {
        let state = handle.snapshot().state;
        let mut desk = self.desk();
        desk.epoch = state.epoch;
        desk.ended = state.runs.values().filter(|run| run.state.is_terminal()).count();
        desk.waiting_for = state
            .live()
            .flat_map(|(id, run)| {
                let open = run.plan.steps.iter().zip(&run.steps).filter(|(_, step)| !step.state.is_over());
                open.map(move |(plan, step)| format!("{id}/{} is {:?}: {}", plan.name, step.state, step.message))
            })
            .collect();
    }

    /// Looks at each instrument that a doubt concerns, once it stands still, and says what happened.
    async fn resolve(&self, handle: &Handle, api: &impl LabService, world: &World) {
        let state = handle.snapshot().state;
        let doubts = state.live().flat_map(|(_, run)| run.steps.iter()).filter(|step| step.state == StepState::InDoubt);
        let doubts: Vec<_> = doubts.filter_map(|step| step.intent.clone()).collect();
        for intent in doubts {
            let key = intent.key.to_string();
            let (happened, place) = {
                let mut nature = world.nature();
                nature.advance(now_ns());
                if nature.machines.get(intent.device.as_str()).is_some_and(|machine| machine.busy.is_some()) {
                    continue;
                }
                let place = intent.sample.as_ref().and_then(|sample| nature.place_of(sample.as_str()));
                (nature.has_begun(&key), place.unwrap_or_default().to_owned())
            };
            let verdict = if happened { device::Verdict::Done } else { device::Verdict::NotDone };
            let request = wire::ResolveDoubtRequest {
                key: Some((&intent.key).into()),
                verdict: verdict.into(),
                resolution: Some(device::Resolution {
                    who: "the person on duty".to_owned(),
                    inspected: format!("{} and its sample", intent.device),
                    ..Default::default()
                }),
                sample_position: place,
                ..Default::default()
            };
            match api.resolve_doubt(Request::new(request)).await {
                Ok(_) => self.desk().resolved += 1,
                Err(status) => tracing::debug!(%status, key, "the verdict was not taken"),
            }
        }
    }
}

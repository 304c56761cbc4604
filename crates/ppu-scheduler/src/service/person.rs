//! What a person says that must be durable at a driver before it is in the journal: verdicts and clears.

use ppu_core::DeviceId;
use ppu_engine::Input;
use ppu_engine::event::Resolution;
use ppu_engine::lifecycle::LinkState;
use tokio::sync::oneshot;
use tonic::Status;

use super::{Api, refused};
use crate::reactor::Command;

impl Api {
    /// Makes a verdict durable at the driver first (F9), so that the next attempt cannot meet an old doubt. The ledger
    /// of a driver that was retired is asked nothing any more.
    pub(super) async fn tell_driver_the_verdict(
        &self,
        state: &ppu_engine::State,
        key: &ppu_core::CommandKey,
        verdict: i32,
        resolution: &Resolution,
    ) -> Result<(), Status> {
        let adopter = state.devices.iter().find(|(_, device)| device.adopted_in_doubt.contains(key));
        let awaiting = || state.step(&key.step).and_then(|(_, step)| step.device.clone());
        let device = adopter.map(|(id, _)| id.clone()).or_else(awaiting);
        let device = device.ok_or_else(|| Status::failed_precondition(format!("`{key}` is not in doubt")))?;
        let known = state.devices.get(&device);
        if known.is_some_and(|known| {
            known.link != LinkState::Attached && !known.retired.is_empty() && known.ledger_id.is_empty()
        }) {
            return Ok(());
        }
        let link = self.handle.link(&device).ok_or_else(|| Status::internal("the device has no link"))?;
        let (answer, receiver) = oneshot::channel();
        let to_driver = ppu_proto::device::v1::ResolveRequest {
            key: Some(key.into()),
            verdict,
            resolution: Some(ppu_proto::device::v1::Resolution {
                who: resolution.who.clone(),
                inspected: resolution.inspected.clone(),
                evidence: resolution.evidence.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
                note: resolution.note.clone(),
                countersigned_by: resolution.countersigned_by.clone().unwrap_or_default(),
                time_ms: self.options.host.wall_ms(),
            }),
            ..Default::default()
        };
        let command = Command::Resolve { request: Box::new(to_driver), answer };
        link.send(command).await.map_err(|_| Status::unavailable("the scheduler is ending"))?;
        let told = receiver.await.map_err(|_| Status::unavailable("the link to the driver ended"))?;
        told.map_err(|reason| Status::unavailable(format!("the driver of {device} did not take the verdict: {reason}")))
    }

    /// A person who lets the lab go on after StopAll clears the devices that this very stop made safe. What was made safe
    /// for another reason keeps waiting for a clear of its own.
    pub(super) async fn clear_what_the_stop_made_safe(&self, who: &str, reason: &str) -> Result<(), Status> {
        let state = self.handle.snapshot().state;
        let Some(hold) = state.hold.as_ref().filter(|hold| hold.stopped) else { return Ok(()) };
        for (id, device) in &state.devices {
            let by_stop = device.aborted.as_ref().is_some_and(|why| why.starts_with(&hold.reason));
            if by_stop && device.link == LinkState::Attached && state.may_clear(id).is_ok() {
                self.clear(id, who.to_owned(), reason.to_owned()).await?;
            }
        }
        Ok(())
    }

    /// A person's clear: durable at the driver, then in the journal.
    pub(super) async fn clear(&self, device: &DeviceId, who: String, reason: String) -> Result<(), Status> {
        self.handle.snapshot().state.may_clear(device).map_err(|refusal| refused(&refusal))?;
        let link = self.handle.link(device).ok_or_else(|| Status::internal("the device has no link"))?;
        let (answer, receiver) = oneshot::channel();
        let command = Command::Clear { who: who.clone(), reason: reason.clone(), answer };
        link.send(command).await.map_err(|_| Status::unavailable("the scheduler is ending"))?;
        let told = receiver.await.map_err(|_| Status::unavailable("the link to the driver ended"))?;
        told.map_err(|why| Status::unavailable(format!("the driver of {device} was not cleared: {why}")))?;
        self.give_urgent(Input::Cleared { device: device.clone(), who, reason }).await?;
        Ok(())
    }
}

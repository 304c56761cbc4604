//! Where samples are, and what adopted attempts do to their devices.

use ppu_core::{AttemptState, CommandKey, DeviceId, PositionId, RunId, SampleId, plan};

use super::{EvolveError, unknown};
use crate::event::Outcome;
use crate::lifecycle::{LifeCycle as _, RunEvent, RunState, StepState};
use crate::state::{Intent, State};

impl State {
    /// Whether an attempt is the one that its step waits for; otherwise an adopted one concerns its device alone.
    pub(super) fn is_awaited(&self, key: &CommandKey) -> bool {
        self.find(key).is_some_and(|(run, index)| {
            let step = &self.runs[&run].steps[index];
            step.attempts == key.attempt && step.state.is_live()
        })
    }

    /// Takes the outcome of an adopted attempt off its device. Says whether that was all.
    pub(super) fn end_adopted(
        &mut self,
        key: &CommandKey,
        device: &DeviceId,
        dseq: u64,
        outcome: &Outcome,
    ) -> Result<bool, EvolveError> {
        let awaited = self.is_awaited(key);
        let device = self.device_mut(device)?;
        device.last_dseq = device.last_dseq.max(dseq);
        if !device.adopted.contains(key) {
            return Ok(false);
        }
        if outcome.state == AttemptState::InDoubt {
            device.adopted_in_doubt.insert(key.clone());
        } else {
            device.adopted.remove(key);
            device.adopted_in_doubt.remove(key);
        }
        Ok(!awaited)
    }

    pub(super) fn locate(&mut self, id: &SampleId, position: Option<&PositionId>) -> Result<(), EvolveError> {
        let sample = self.samples.get_mut(id).ok_or_else(|| unknown("sample", id))?;
        sample.position = position.cloned();
        sample.in_doubt = false;
        sample.may_be_at.clear();
        // What was taken out of the lab does not come back by itself.
        sample.used |= position.is_none();
        Ok(())
    }

    /// What an ended attempt says of the sample's place.
    pub(super) fn place_sample(&mut self, intent: &Intent, outcome: &Outcome) {
        let Some(sample) = intent.sample.as_ref().and_then(|id| self.samples.get_mut(id)) else { return };
        let is_transfer = intent.capability == plan::TRANSFER.0;
        if outcome.sample_in_doubt {
            sample.may_be_at = intent.positions.iter().cloned().chain(sample.position.take()).collect();
            sample.in_doubt = true;
            return;
        }
        if let Some(position) = &outcome.sample_position {
            sample.position = Some(position.clone());
        } else if is_transfer && outcome.state.is_done() {
            sample.position = intent.positions.get(1).cloned();
        } else if is_transfer && !outcome.state.allows_next_attempt() {
            // A movement that failed in part leaves the sample nobody knows where.
            sample.may_be_at = intent.positions.iter().cloned().chain(sample.position.take()).collect();
            sample.in_doubt = true;
        }
    }

    /// A run is held while a step of it is in doubt, and no longer.
    pub(super) fn release_hold(&mut self, run_id: &RunId) -> Result<(), EvolveError> {
        let run = self.run_mut(run_id)?;
        if run.state == RunState::Held && !run.steps.iter().any(|step| step.state == StepState::InDoubt) {
            run.state = run.state.next(RunEvent::Release)?;
            run.message.clear();
        }
        Ok(())
    }
}

//! What remains to be done, given all that is known. Asking twice gives the same answer; starting an effect twice is the
//! shell's no-op, because each has an id.

use std::sync::Arc;

use ppu_core::{CampaignId, DeviceId, RunId, StepId, TrialId};

use crate::Engine;
use crate::lifecycle::{CampaignState, LinkState, StepState, TrialState};
use crate::state::Intent;

/// Something that the shell must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send an intended command to its driver, which is in session.
    Execute(Arc<Intent>),
    /// Ask proposer, twin and optimizer for the next candidates.
    Propose {
        /// The campaign.
        campaign: CampaignId,
        /// The round, counted from 1.
        round: u32,
        /// How many.
        count: usize,
        /// How often people have changed the space so far: a new space asks anew.
        reshaped: usize,
    },
    /// Turn the raw data of a trial into an observation.
    Analyse {
        /// The trial.
        trial: TrialId,
    },
    /// Have the tombstone of a step made by its driver, which ends an attempt that is under way (REL-6).
    VoidStep {
        /// The step.
        step: StepId,
        /// The device that was told of it.
        device: DeviceId,
        /// Where the step stands: after an attempt has ended it is asked again.
        state: StepState,
    },
    /// Let a device start again whose ledger was in doubt and of which nothing is open or in doubt any more.
    ClearMemoryDoubt {
        /// The device.
        device: DeviceId,
    },
    /// Let a driver forget a run that is over.
    CloseRun {
        /// The run.
        run: RunId,
        /// The device.
        device: DeviceId,
    },
}

impl Effect {
    /// The id by which the shell knows that it has started the effect already.
    pub fn id(&self) -> String {
        match self {
            Effect::Execute(intent) => format!("execute {}", intent.key),
            Effect::Propose { campaign, round, reshaped, .. } => format!("propose {campaign} {round} {reshaped}"),
            Effect::Analyse { trial } => format!("analyse {trial}"),
            Effect::VoidStep { step, device, state } => format!("void {step} {device} {state:?}"),
            Effect::ClearMemoryDoubt { device } => format!("clear {device}"),
            Effect::CloseRun { run, device } => format!("close {run} {device}"),
        }
    }
}

impl Engine {
    /// Everything that remains to be done.
    pub fn outstanding(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let state = &self.state;
        let attached = |id: &DeviceId| state.devices.get(id).is_some_and(|device| device.link == LinkState::Attached);
        for (_, run) in state.live() {
            for step in &run.steps {
                let Some(intent) = step.intent.as_ref().filter(|intent| attached(&intent.device)) else { continue };
                match step.state {
                    StepState::Waiting | StepState::Intended | StepState::Accepted if step.void_wanted.is_some() => {
                        let (step_id, device) = (intent.key.step.clone(), intent.device.clone());
                        effects.push(Effect::VoidStep { step: step_id, device, state: step.state });
                    }
                    StepState::Intended => effects.push(Effect::Execute(intent.clone())),
                    _ => {}
                }
            }
        }
        for (id, device) in state.devices.iter().filter(|(id, _)| attached(id)) {
            // What a person made safe, a person clears.
            let settled = device.memory_doubt.is_some() && device.aborted.is_none() && device.adopted.is_empty();
            if settled && state.may_clear(id).is_ok() {
                effects.push(Effect::ClearMemoryDoubt { device: id.clone() });
            }
        }
        for (id, campaign) in &state.campaigns {
            for trial in campaign
                .trials
                .iter()
                .filter(|id| state.trials.get(*id).is_some_and(|t| t.state == TrialState::Analysing))
            {
                effects.push(Effect::Analyse { trial: trial.clone() });
            }
            if campaign.state == CampaignState::Running {
                let remaining = (campaign.spec.budget_trials as usize).saturating_sub(state.counted_trials(campaign));
                let count = remaining.min(campaign.spec.batch as usize);
                let open = state.open_trials(campaign);
                let room = open + count <= (campaign.spec.in_flight as usize).max(count);
                if count > 0 && (room || open == 0) {
                    let (round, reshaped) = (campaign.rounds + 1, campaign.reshaped.len());
                    effects.push(Effect::Propose { campaign: id.clone(), round, count, reshaped });
                }
            }
        }
        for (id, run) in state.runs.iter().filter(|(_, run)| !run.is_live()) {
            let devices = run.unclosed.iter().filter(|device| attached(device));
            effects.extend(devices.map(|device| Effect::CloseRun { run: id.clone(), device: device.clone() }));
        }
        effects
    }
}

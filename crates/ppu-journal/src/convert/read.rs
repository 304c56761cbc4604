//! Events from records.

use ppu_engine::Event;
use ppu_engine::event::Outcome;
use ppu_proto::ConversionError;
use ppu_proto::convert::{arguments_from_wire, key};
use ppu_proto::journal::v1 as wire;
use ppu_proto::journal::v1::journal_record::Event as Wire;

use super::campaign::{level_from_wire, limit_from_wire, observation_from_wire, spec_from_wire, trial_from_wire};
use super::words::{
    artifact_from_wire, by_name, id, ids, missing, optional_id, resolution_from_wire, verdict_from_wire,
};

#[expect(clippy::too_many_lines, reason = "one arm a variant: split up, the compiler could not name a missing one")]
pub(super) fn event(event: &Wire) -> Result<Event, ConversionError> {
    Ok(match event {
        Wire::LabOpened(said) => lab_opened(said)?,
        Wire::EpochStarted(said) => Event::EpochStarted { epoch: said.epoch },
        Wire::DeviceDescribed(said) => Event::DeviceDescribed {
            device: id("device", &said.device)?,
            manifest: said.manifest.as_ref().ok_or_else(|| missing("manifest"))?.try_into()?,
            serial_number: said.serial_number.clone(),
        },
        Wire::DeviceAttached(said) => Event::DeviceAttached {
            device: id("device", &said.device)?,
            boot: said.boot,
            ledger_id: said.ledger_id.clone(),
            boot_nonce: said.boot_nonce.clone(),
            last_dseq: said.last_dseq,
            memory_doubt: said.memory_doubt.clone(),
        },
        Wire::DeviceAborted(said) => {
            Event::DeviceAborted { device: id("device", &said.device)?, reason: said.reason.clone() }
        }
        Wire::DeviceCleared(said) => Event::DeviceCleared {
            device: id("device", &said.device)?,
            who: said.who.clone(),
            reason: said.reason.clone(),
        },
        Wire::LedgerRetired(said) => Event::LedgerRetired {
            device: id("device", &said.device)?,
            ledger_id: said.ledger_id.clone(),
            who: said.who.clone(),
            isolated: said.isolated.clone(),
            void: said.void.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        },
        Wire::SampleLocated(said) => Event::SampleLocated {
            sample: id("sample", &said.sample)?,
            position: optional_id("position", &said.position)?,
            who: said.who.clone(),
            inspected: said.inspected.clone(),
        },
        Wire::ClockJumped(said) => Event::ClockJumped { by_ms: said.by_ms },
        Wire::DeviceLost(said) => {
            Event::DeviceLost { device: id("device", &said.device)?, reason: said.reason.clone() }
        }
        Wire::AttemptAdopted(said) => {
            Event::AttemptAdopted { device: id("device", &said.device)?, key: key(said.key.as_ref())? }
        }
        Wire::CampaignCreated(said) => Event::CampaignCreated {
            campaign: id("campaign", &said.campaign)?,
            spec: Box::new(spec_from_wire(said.spec.as_ref().ok_or_else(|| missing("spec"))?)?),
            protocol_file: said.protocol_file.clone(),
            protocol_toml: said.protocol_toml.clone(),
            request_id: said.request_id.clone(),
        },
        Wire::CampaignEnding(said) => {
            Event::CampaignEnding { campaign: id("campaign", &said.campaign)?, reason: said.reason.clone() }
        }
        Wire::CampaignCompleted(said) => Event::CampaignCompleted { campaign: id("campaign", &said.campaign)? },
        Wire::CampaignStopped(said) => Event::CampaignStopped {
            campaign: id("campaign", &said.campaign)?,
            who: said.who.clone(),
            reason: said.reason.clone(),
        },
        Wire::Proposed(said) => Event::Proposed {
            campaign: id("campaign", &said.campaign)?,
            round: said.round,
            trials: said.trials.iter().map(trial_from_wire).collect::<Result<_, _>>()?,
            note: said.note.clone(),
            levels: said.levels.iter().map(level_from_wire).collect(),
        },
        Wire::CampaignReshaped(said) => Event::CampaignReshaped {
            campaign: id("campaign", &said.campaign)?,
            limits: said.limits.iter().map(limit_from_wire).collect(),
            who: said.who.clone(),
            reason: said.reason.clone(),
        },
        Wire::TrialDecided(said) => Event::TrialDecided {
            trial: id("trial", &said.trial)?,
            accept: said.accept,
            who: said.who.clone(),
            reason: said.reason.clone(),
        },
        Wire::RunSubmitted(said) => Event::RunSubmitted {
            run: id("run", &said.run)?,
            trial: optional_id("trial", &said.trial)?,
            plan: Box::new(said.plan.as_ref().ok_or_else(|| missing("plan"))?.try_into()?),
            request_id: said.request_id.clone(),
        },
        Wire::RunStarted(said) => {
            Event::RunStarted { run: id("run", &said.run)?, sample: optional_id("sample", &said.sample)? }
        }
        Wire::LeaseGranted(said) => Event::LeaseGranted {
            run: id("run", &said.run)?,
            lease: said.lease.clone(),
            devices: ids("devices", &said.devices)?,
            positions: ids("positions", &said.positions)?,
            fencing: said.fencing,
        },
        Wire::LeaseReleased(said) => Event::LeaseReleased { run: id("run", &said.run)?, lease: said.lease.clone() },
        Wire::StepIntended(said) => Event::StepIntended {
            key: key(said.key.as_ref())?,
            device: id("device", &said.device)?,
            capability: said.capability.clone(),
            command: said.command.clone(),
            arguments: arguments_from_wire(&said.arguments)?,
            sample: optional_id("sample", &said.sample)?,
            positions: ids("positions", &said.positions)?,
        },
        Wire::StepAccepted(said) => Event::StepAccepted { key: key(said.key.as_ref())? },
        Wire::StepEnded(said) => Event::StepEnded {
            key: key(said.key.as_ref())?,
            device: id("device", &said.device)?,
            dseq: said.dseq,
            outcome: Box::new(outcome_from_wire(said.outcome.as_ref().ok_or_else(|| missing("outcome"))?)?),
        },
        Wire::StepSkipped(said) => {
            Event::StepSkipped { step: id("step", &said.step)?, achieved: said.achieved, reason: said.reason.clone() }
        }
        Wire::StepVoidWanted(said) => {
            Event::StepVoidWanted { step: id("step", &said.step)?, who: said.who.clone(), reason: said.reason.clone() }
        }
        Wire::StepVoided(said) => {
            Event::StepVoided { step: id("step", &said.step)?, device: id("device", &said.device)?, dseq: said.dseq }
        }
        Wire::DoubtSigned(said) => Event::DoubtSigned {
            key: key(said.key.as_ref())?,
            verdict: verdict_from_wire(said.verdict())?,
            resolution: resolution_from_wire(said.resolution.as_ref().ok_or_else(|| missing("resolution"))?)?,
        },
        Wire::DoubtResolved(said) => Event::DoubtResolved {
            key: key(said.key.as_ref())?,
            verdict: verdict_from_wire(said.verdict())?,
            resolution: resolution_from_wire(said.resolution.as_ref().ok_or_else(|| missing("resolution"))?)?,
            sample_position: optional_id("sample_position", &said.sample_position)?,
        },
        Wire::RunCompleted(said) => Event::RunCompleted { run: id("run", &said.run)? },
        Wire::RunFailed(said) => Event::RunFailed { run: id("run", &said.run)?, reason: said.reason.clone() },
        Wire::RunStopping(said) => {
            Event::RunStopping { run: id("run", &said.run)?, who: said.who.clone(), reason: said.reason.clone() }
        }
        Wire::RunAborted(said) => Event::RunAborted { run: id("run", &said.run)?, reason: said.reason.clone() },
        Wire::RunClosed(said) => Event::RunClosed { run: id("run", &said.run)?, device: id("device", &said.device)? },
        Wire::TrialObserved(said) => {
            let observation = said.observation.as_ref().ok_or_else(|| missing("observation"))?;
            Event::TrialObserved {
                trial: id("trial", &said.trial)?,
                observation: Box::new(observation_from_wire(observation)?),
            }
        }
        Wire::TrialFailed(said) => Event::TrialFailed { trial: id("trial", &said.trial)?, reason: said.reason.clone() },
        Wire::LabPaused(said) => Event::LabPaused { who: said.who.clone(), reason: said.reason.clone() },
        Wire::LabStopped(said) => Event::LabStopped { who: said.who.clone(), reason: said.reason.clone() },
        Wire::LabResumed(said) => Event::LabResumed { who: said.who.clone(), reason: said.reason.clone() },
        Wire::TailCut(_) | Wire::Repaired(_) => return Err(ConversionError::new("event", "it is no fact of the lab")),
    })
}

fn lab_opened(said: &wire::LabOpened) -> Result<Event, ConversionError> {
    let devices = said
        .devices
        .iter()
        .map(|place| Ok((id("devices.device", &place.device)?, optional_id("devices.position", &place.position)?)));
    let samples = said
        .samples
        .iter()
        .map(|place| Ok((id("samples.sample", &place.sample)?, id("samples.position", &place.position)?)));
    Ok(Event::LabOpened {
        lab: said.lab.clone(),
        devices: by_name("devices", devices)?,
        positions: ids("positions", &said.positions)?,
        samples: by_name("samples", samples)?,
    })
}

fn outcome_from_wire(outcome: &wire::StepOutcome) -> Result<Outcome, ConversionError> {
    Ok(Outcome {
        state: outcome.state().try_into()?,
        results: arguments_from_wire(&outcome.results)?,
        artifacts: outcome.artifacts.iter().map(artifact_from_wire).collect::<Result<_, _>>()?,
        message: outcome.message.clone(),
        code: outcome.code.clone(),
        sample_position: optional_id("sample_position", &outcome.sample_position)?,
        sample_in_doubt: outcome.sample_in_doubt,
    })
}

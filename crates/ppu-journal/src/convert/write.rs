//! Events as records.

use std::collections::BTreeMap;

use ppu_core::{DeviceId, PositionId, SampleId};
use ppu_engine::Event;
use ppu_engine::event::Outcome;
use ppu_proto::convert::arguments_to_wire;
use ppu_proto::journal::v1 as wire;
use ppu_proto::journal::v1::journal_record::Event as Wire;

use super::campaign::{level_to_wire, limit_to_wire, observation_to_wire, spec_to_wire, trial_to_wire};
use super::words::{artifact_to_wire, resolution_to_wire, text_or_empty, texts, verdict_to_wire};

#[expect(clippy::too_many_lines, reason = "one arm a variant: split up, the compiler could not name a missing one")]
pub(super) fn event(event: &Event) -> Wire {
    match event {
        Event::LabOpened { lab, devices, positions, samples } => {
            Wire::LabOpened(lab_opened(lab, devices, positions, samples))
        }
        Event::EpochStarted { epoch } => Wire::EpochStarted(wire::EpochStarted { epoch: *epoch }),
        Event::DeviceDescribed { device, manifest, serial_number } => Wire::DeviceDescribed(wire::DeviceDescribed {
            device: device.to_string(),
            manifest: Some(manifest.into()),
            serial_number: serial_number.clone(),
        }),
        Event::DeviceAttached { device, boot, ledger_id, boot_nonce, last_dseq, memory_doubt } => {
            Wire::DeviceAttached(wire::DeviceAttached {
                device: device.to_string(),
                boot: *boot,
                ledger_id: ledger_id.clone(),
                boot_nonce: boot_nonce.clone(),
                last_dseq: *last_dseq,
                memory_doubt: memory_doubt.clone(),
            })
        }
        Event::DeviceAborted { device, reason } => {
            Wire::DeviceAborted(wire::DeviceAborted { device: device.to_string(), reason: reason.clone() })
        }
        Event::DeviceCleared { device, who, reason } => Wire::DeviceCleared(wire::JournalDeviceCleared {
            device: device.to_string(),
            who: who.clone(),
            reason: reason.clone(),
        }),
        Event::LedgerRetired { device, ledger_id, who, isolated, void } => Wire::LedgerRetired(wire::LedgerRetired {
            device: device.to_string(),
            ledger_id: ledger_id.clone(),
            who: who.clone(),
            isolated: isolated.clone(),
            void: void.iter().map(Into::into).collect(),
        }),
        Event::SampleLocated { sample, position, who, inspected } => Wire::SampleLocated(wire::SampleLocated {
            sample: sample.to_string(),
            position: text_or_empty(position.as_ref()),
            who: who.clone(),
            inspected: inspected.clone(),
        }),
        Event::ClockJumped { by_ms } => Wire::ClockJumped(wire::ClockJumped { by_ms: *by_ms }),
        Event::DeviceLost { device, reason } => {
            Wire::DeviceLost(wire::DeviceLost { device: device.to_string(), reason: reason.clone() })
        }
        Event::AttemptAdopted { device, key } => {
            Wire::AttemptAdopted(wire::AttemptAdopted { device: device.to_string(), key: Some(key.into()) })
        }
        Event::CampaignCreated { campaign, spec, protocol_file, protocol_toml, request_id } => {
            Wire::CampaignCreated(wire::CampaignCreated {
                campaign: campaign.to_string(),
                spec: Some(spec_to_wire(spec)),
                protocol_file: protocol_file.clone(),
                protocol_toml: protocol_toml.clone(),
                request_id: request_id.clone(),
            })
        }
        Event::CampaignEnding { campaign, reason } => {
            Wire::CampaignEnding(wire::CampaignEnding { campaign: campaign.to_string(), reason: reason.clone() })
        }
        Event::CampaignCompleted { campaign } => {
            Wire::CampaignCompleted(wire::CampaignCompleted { campaign: campaign.to_string() })
        }
        Event::CampaignStopped { campaign, who, reason } => Wire::CampaignStopped(wire::CampaignStopped {
            campaign: campaign.to_string(),
            who: who.clone(),
            reason: reason.clone(),
        }),
        Event::CampaignReshaped { campaign, limits, who, reason } => Wire::CampaignReshaped(wire::CampaignReshaped {
            campaign: campaign.to_string(),
            limits: limits.iter().map(limit_to_wire).collect(),
            who: who.clone(),
            reason: reason.clone(),
        }),
        Event::Proposed { campaign, round, trials, note, levels } => Wire::Proposed(wire::Proposed {
            campaign: campaign.to_string(),
            round: *round,
            trials: trials.iter().map(trial_to_wire).collect(),
            note: note.clone(),
            levels: levels.iter().map(level_to_wire).collect(),
        }),
        Event::TrialDecided { trial, accept, who, reason } => Wire::TrialDecided(wire::TrialDecided {
            trial: trial.to_string(),
            accept: *accept,
            who: who.clone(),
            reason: reason.clone(),
        }),
        Event::RunSubmitted { run, trial, plan, request_id } => Wire::RunSubmitted(wire::RunSubmitted {
            run: run.to_string(),
            trial: text_or_empty(trial.as_ref()),
            plan: Some((&**plan).into()),
            request_id: request_id.clone(),
        }),
        Event::RunStarted { run, sample } => {
            Wire::RunStarted(wire::RunStarted { run: run.to_string(), sample: text_or_empty(sample.as_ref()) })
        }
        Event::LeaseGranted { run, lease, devices, positions, fencing } => Wire::LeaseGranted(wire::LeaseGranted {
            run: run.to_string(),
            lease: lease.clone(),
            devices: texts(devices),
            positions: texts(positions),
            fencing: *fencing,
        }),
        Event::LeaseReleased { run, lease } => {
            Wire::LeaseReleased(wire::LeaseReleased { run: run.to_string(), lease: lease.clone() })
        }
        Event::StepIntended { key, device, capability, command, arguments, sample, positions } => {
            Wire::StepIntended(wire::StepIntended {
                key: Some(key.into()),
                device: device.to_string(),
                capability: capability.clone(),
                command: command.clone(),
                arguments: arguments_to_wire(arguments),
                sample: text_or_empty(sample.as_ref()),
                positions: texts(positions),
            })
        }
        Event::StepAccepted { key } => Wire::StepAccepted(wire::StepAccepted { key: Some(key.into()) }),
        Event::StepEnded { key, device, dseq, outcome } => Wire::StepEnded(wire::StepEnded {
            key: Some(key.into()),
            device: device.to_string(),
            dseq: *dseq,
            outcome: Some(outcome_to_wire(outcome)),
        }),
        Event::StepSkipped { step, achieved, reason } => {
            Wire::StepSkipped(wire::StepSkipped { step: step.to_string(), achieved: *achieved, reason: reason.clone() })
        }
        Event::StepVoidWanted { step, who, reason } => Wire::StepVoidWanted(wire::StepVoidWanted {
            step: step.to_string(),
            who: who.clone(),
            reason: reason.clone(),
        }),
        Event::StepVoided { step, device, dseq } => {
            Wire::StepVoided(wire::StepVoided { step: step.to_string(), device: device.to_string(), dseq: *dseq })
        }
        Event::DoubtSigned { key, verdict, resolution } => Wire::DoubtSigned(wire::DoubtSigned {
            key: Some(key.into()),
            verdict: verdict_to_wire(*verdict).into(),
            resolution: Some(resolution_to_wire(resolution)),
        }),
        Event::DoubtResolved { key, verdict, resolution, sample_position } => {
            Wire::DoubtResolved(wire::DoubtResolved {
                key: Some(key.into()),
                verdict: verdict_to_wire(*verdict).into(),
                resolution: Some(resolution_to_wire(resolution)),
                sample_position: text_or_empty(sample_position.as_ref()),
            })
        }
        Event::RunCompleted { run } => Wire::RunCompleted(wire::RunCompleted { run: run.to_string() }),
        Event::RunFailed { run, reason } => {
            Wire::RunFailed(wire::RunFailed { run: run.to_string(), reason: reason.clone() })
        }
        Event::RunStopping { run, who, reason } => {
            Wire::RunStopping(wire::RunStopping { run: run.to_string(), who: who.clone(), reason: reason.clone() })
        }
        Event::RunAborted { run, reason } => {
            Wire::RunAborted(wire::RunAborted { run: run.to_string(), reason: reason.clone() })
        }
        Event::RunClosed { run, device } => {
            Wire::RunClosed(wire::RunClosed { run: run.to_string(), device: device.to_string() })
        }
        Event::TrialObserved { trial, observation } => Wire::TrialObserved(wire::TrialObserved {
            trial: trial.to_string(),
            observation: Some(observation_to_wire(observation)),
        }),
        Event::TrialFailed { trial, reason } => {
            Wire::TrialFailed(wire::TrialFailed { trial: trial.to_string(), reason: reason.clone() })
        }
        Event::LabPaused { who, reason } => {
            Wire::LabPaused(wire::LabPaused { who: who.clone(), reason: reason.clone() })
        }
        Event::LabStopped { who, reason } => {
            Wire::LabStopped(wire::LabStopped { who: who.clone(), reason: reason.clone() })
        }
        Event::LabResumed { who, reason } => {
            Wire::LabResumed(wire::LabResumed { who: who.clone(), reason: reason.clone() })
        }
    }
}

fn lab_opened(
    lab: &str,
    devices: &BTreeMap<DeviceId, Option<PositionId>>,
    positions: &[PositionId],
    samples: &BTreeMap<SampleId, PositionId>,
) -> wire::LabOpened {
    let devices = devices.iter().map(|(device, position)| wire::DevicePlace {
        device: device.to_string(),
        position: text_or_empty(position.as_ref()),
    });
    let samples = samples
        .iter()
        .map(|(sample, position)| wire::SamplePlace { sample: sample.to_string(), position: position.to_string() });
    wire::LabOpened {
        lab: lab.to_owned(),
        devices: devices.collect(),
        positions: texts(positions),
        samples: samples.collect(),
    }
}

fn outcome_to_wire(outcome: &Outcome) -> wire::StepOutcome {
    wire::StepOutcome {
        state: ppu_proto::device::v1::AttemptState::from(outcome.state).into(),
        results: arguments_to_wire(&outcome.results),
        artifacts: outcome.artifacts.iter().map(artifact_to_wire).collect(),
        message: outcome.message.clone(),
        code: outcome.code.clone(),
        sample_position: text_or_empty(outcome.sample_position.as_ref()),
        sample_in_doubt: outcome.sample_in_doubt,
    }
}

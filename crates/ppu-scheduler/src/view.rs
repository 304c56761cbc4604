//! The state as the public API shows it. Pure functions.

use std::collections::BTreeMap;

use ppu_core::{AttemptState, CampaignId, Goal, Measured, Observation, RunId, TrialId};
use ppu_engine::State;
use ppu_engine::lifecycle::{CampaignState, LinkState, RunState, StepState, TrialState};
use ppu_engine::state::{Campaign, Device, Run, RunStep, Trial};
use ppu_proto::convert::{arguments_to_wire, numbers_to_wire};
use ppu_proto::{common::v1 as common, device::v1 as device_wire, lab::v1 as wire};

use crate::link_wire::artifact_to_wire;

/// The state of the lab as a whole, and who wanted it so.
pub(crate) fn lab_state(state: &State) -> (wire::LabState, String) {
    match &state.hold {
        None => (wire::LabState::Running, String::new()),
        Some(hold) => {
            let word = if hold.stopped { wire::LabState::Stopped } else { wire::LabState::Paused };
            (word, format!("{}: {}", hold.who, hold.reason))
        }
    }
}

/// A device; readings are filled in by the caller.
pub(crate) fn device(id: &str, device: &Device, state: &State, now_ms: i64, started_ms: i64) -> wire::Device {
    let busy_ms = device.busy_total_ms + if device.busy.is_some() { (now_ms - device.busy_since_ms).max(0) } else { 0 };
    let since_start = (now_ms - started_ms).max(1);
    let in_doubt = device.busy.as_ref().and_then(|key| state.find(key)).is_some_and(|(run, index)| {
        state.runs.get(&run).is_some_and(|run| run.steps[index].state == StepState::InDoubt)
    });
    let problem = match device.link {
        LinkState::Unknown => "not reached yet".to_owned(),
        LinkState::Lost => device.lost_because.clone(),
        LinkState::Attached if device.memory_doubt.is_some() => {
            let doubt = device.memory_doubt.as_deref().unwrap_or_default();
            format!("its ledger cannot be believed ({doubt}): resolve its doubts, then clear it")
        }
        LinkState::Attached if device.aborted.is_some() => {
            format!("made safe, waits for a person's clear: {}", device.aborted.as_deref().unwrap_or_default())
        }
        LinkState::Attached if in_doubt => "a step on it is in doubt".to_owned(),
        LinkState::Attached if !device.adopted.is_empty() => {
            "it holds a command that the journal does not know".to_owned()
        }
        LinkState::Attached => String::new(),
    };
    let word = match (device.link, &device.busy) {
        (LinkState::Attached, _) if device.aborted.is_some() => device_wire::DeviceState::Aborted,
        (LinkState::Attached, _) if in_doubt || device.memory_doubt.is_some() => device_wire::DeviceState::Held,
        (LinkState::Attached, Some(_)) => device_wire::DeviceState::Execute,
        (LinkState::Attached, None) => device_wire::DeviceState::Idle,
        _ => device_wire::DeviceState::Unreachable,
    };
    wire::Device {
        id: id.to_owned(),
        manifest: device.manifest.as_deref().map(Into::into),
        state: word.into(),
        step: device.busy.as_ref().map(|key| key.step.to_string()).unwrap_or_default(),
        step_title: device.busy.as_ref().and_then(|key| title(state, key)).unwrap_or_default(),
        since_ms: if device.busy.is_some() { device.busy_since_ms } else { 0 },
        readings: Vec::new(),
        needs_clear: device.link == LinkState::Attached && (device.aborted.is_some() || device.memory_doubt.is_some()),
        utilisation: (busy_ms as f64 / since_start as f64).clamp(0.0, 1.0),
        problem,
        sample_position: device.sample_position.as_ref().map(ToString::to_string).unwrap_or_default(),
        commands: device.commands,
    }
}

fn title(state: &State, key: &ppu_core::CommandKey) -> Option<String> {
    let (run, index) = state.find(key)?;
    Some(state.runs.get(&run)?.plan.steps[index].title.clone())
}

/// A campaign with its trials.
pub(crate) fn campaign(state: &State, id: &CampaignId, campaign: &Campaign, now_ms: i64) -> wire::Campaign {
    let trials: Vec<(&TrialId, &Trial)> =
        campaign.trials.iter().filter_map(|id| Some((id, &**state.trials.get(id)?))).collect();
    let count = |wanted: &[TrialState]| trials.iter().filter(|(_, trial)| wanted.contains(&trial.state)).count() as u32;
    let completed = count(&[TrialState::Completed]);
    let failed = count(&[TrialState::Failed, TrialState::Rejected]);
    let word = match campaign.state {
        CampaignState::Running => wire::CampaignState::Running,
        CampaignState::Ending => wire::CampaignState::Ending,
        CampaignState::Completed => wire::CampaignState::Completed,
        CampaignState::Stopped => wire::CampaignState::Stopped,
    };
    let objectives = campaign.spec.objectives.iter().map(|objective| wire::Objective {
        name: objective.name.clone(),
        unit: objective.unit.symbol().to_owned(),
        goal: goal(&objective.goal, objective.unit),
        weight: objective.weight,
    });
    wire::Campaign {
        id: id.to_string(),
        title: campaign.spec.title.clone(),
        state: word.into(),
        objectives: objectives.collect(),
        budget_trials: campaign.spec.budget_trials,
        completed,
        failed,
        trials: trials.iter().map(|(id, trial)| self::trial(id, trial)).collect(),
        best_trial: state.best_trial(campaign).map(|(id, _)| id.to_string()).unwrap_or_default(),
        asks: campaign.spec.approval == ppu_core::campaign::ApprovalPolicy::Ask,
        ended: campaign.ended.clone(),
        created_ms: campaign.created_ms,
        eta_ms: eta(campaign, completed + failed, now_ms),
        levels: campaign.levels.iter().map(ppu_journal::level_to_wire).collect(),
        reshaped: campaign.reshaped.clone(),
        parameters: campaign.spec.space.parameters.iter().map(parameter).collect(),
    }
}

fn parameter(parameter: &ppu_core::Parameter) -> wire::CampaignParameter {
    wire::CampaignParameter {
        name: parameter.name.clone(),
        unit: parameter.unit.symbol().to_owned(),
        min: parameter.min,
        max: parameter.max,
        resolution: parameter.resolution,
    }
}

/// The end if trials go on ending at the mean pace so far.
fn eta(campaign: &Campaign, ended: u32, now_ms: i64) -> i64 {
    let left = campaign.spec.budget_trials.saturating_sub(ended);
    if ended == 0 || left == 0 || campaign.state != CampaignState::Running {
        return 0;
    }
    now_ms + (now_ms - campaign.created_ms) / i64::from(ended) * i64::from(left)
}

fn goal(goal: &Goal, unit: ppu_core::Unit) -> String {
    let text = match goal {
        Goal::Maximize { low, high } => format!("as high as possible: {low} is worthless, {high} fully satisfying"),
        Goal::Minimize { low, high } => format!("as low as possible: {high} is worthless, {low} fully satisfying"),
        Goal::Target { value, tolerance, limit } => format!("{value} ± {tolerance}; worthless beyond ± {limit}"),
    };
    if unit == ppu_core::Unit::One { text } else { format!("{text} ({unit})") }
}

/// A trial.
pub(crate) fn trial(id: &TrialId, trial: &Trial) -> wire::Trial {
    let word = match trial.state {
        TrialState::AwaitingApproval => wire::TrialState::AwaitingApproval,
        TrialState::Queued => wire::TrialState::Queued,
        TrialState::Running => wire::TrialState::Running,
        TrialState::Analysing => wire::TrialState::Analysing,
        TrialState::Completed => wire::TrialState::Completed,
        TrialState::Rejected => wire::TrialState::Rejected,
        TrialState::Failed => wire::TrialState::Failed,
    };
    wire::Trial {
        id: id.to_string(),
        number: trial.number,
        state: word.into(),
        candidate: numbers_to_wire(&trial.proposed.candidate.0),
        proposer: trial.proposed.proposer.clone(),
        reason: trial.proposed.reason.clone(),
        expected: measured(&trial.proposed.expected),
        run: trial.run.as_ref().map(ToString::to_string).unwrap_or_default(),
        sample: String::new(),
        observation: trial.observation.as_ref().map(observation),
        score: trial.score,
        decision: trial.decision.clone(),
        failure: trial.failure.clone(),
    }
}

fn measured(values: &BTreeMap<String, Measured>) -> Vec<wire::Measured> {
    let one = |(name, measured): (&String, &Measured)| wire::Measured {
        name: name.clone(),
        value: measured.value,
        sd: measured.sd,
        flags: measured.flags.clone(),
    };
    values.iter().map(one).collect()
}

fn observation(observation: &Observation) -> wire::Observation {
    let raw =
        observation.raw.iter().map(|hash| common::Artifact { hash: hash.as_bytes().to_vec(), ..Default::default() });
    let invalid =
        observation.invalid.iter().map(|(name, reason)| wire::Invalid { name: name.clone(), reason: reason.clone() });
    wire::Observation {
        values: measured(&observation.values),
        invalid: invalid.collect(),
        raw: raw.collect(),
        analysis: observation.analysis.clone(),
    }
}

/// A run with its steps; the plan only where it is wanted.
pub(crate) fn run(state: &State, id: &RunId, run: &Run, with_plan: bool) -> wire::Run {
    let word = match run.state {
        RunState::Queued => wire::RunState::Queued,
        RunState::Running => wire::RunState::Running,
        RunState::Held => wire::RunState::Held,
        RunState::Completed => wire::RunState::Completed,
        RunState::Failed => wire::RunState::Failed,
        RunState::Aborted => wire::RunState::Aborted,
    };
    let trial = run.trial.as_ref().and_then(|id| state.trials.get(id));
    wire::Run {
        id: id.to_string(),
        state: word.into(),
        trial: run.trial.as_ref().map(ToString::to_string).unwrap_or_default(),
        sample: run.sample.as_ref().map(ToString::to_string).unwrap_or_default(),
        plan: with_plan.then(|| (&*run.plan).into()),
        steps: run.plan.steps.iter().zip(&run.steps).map(|(plan, step)| run_step(plan, step)).collect(),
        observation: trial.and_then(|trial| trial.observation.as_ref()).map(observation),
        message: run.message.clone(),
    }
}

fn run_step(plan: &ppu_core::Step, step: &RunStep) -> wire::RunStep {
    let word = match step.state {
        StepState::Waiting => wire::StepState::Waiting,
        StepState::Intended | StepState::Accepted => wire::StepState::Running,
        StepState::InDoubt => wire::StepState::InDoubt,
        StepState::Done => wire::StepState::Done,
        StepState::Failed => wire::StepState::Failed,
        StepState::Skipped => wire::StepState::Skipped,
    };
    wire::RunStep {
        name: plan.name.clone(),
        title: plan.title.clone(),
        state: word.into(),
        device: step.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        attempts: step.attempts,
        started_ms: step.started_ms,
        ended_ms: step.ended_ms,
        results: arguments_to_wire(&step.results),
        artifacts: step.artifacts.iter().map(artifact_to_wire).collect(),
        message: step.message.clone(),
    }
}

/// Samples by id.
pub(crate) fn samples(state: &State) -> Vec<wire::Sample> {
    let one = |(id, sample): (&ppu_core::SampleId, &ppu_engine::state::Sample)| wire::Sample {
        id: id.to_string(),
        position: sample.position.as_ref().map(ToString::to_string).unwrap_or_default(),
        run: sample.run.as_ref().map(ToString::to_string).unwrap_or_default(),
        in_doubt: sample.in_doubt,
        used: sample.used,
    };
    state.samples.iter().map(one).collect()
}

/// Steps that nobody knows the outcome of.
pub(crate) fn doubts(state: &State) -> Vec<wire::Doubt> {
    let in_doubt = |(_, run): (&RunId, &std::sync::Arc<Run>)| {
        let steps = run.steps.iter().filter(|step| step.state == StepState::InDoubt);
        steps
            .filter_map(|step| {
                let intent = step.intent.as_ref()?;
                Some(wire::Doubt {
                    key: Some((&intent.key).into()),
                    device: intent.device.to_string(),
                    message: format!("{}: {}", AttemptState::InDoubt, step.message),
                    sample: intent.sample.as_ref().map(ToString::to_string).unwrap_or_default(),
                    hazardous: state.is_hazardous(&intent.key),
                    signed_by: step.signed.as_ref().map(|(_, by)| by.who.clone()).unwrap_or_default(),
                    adopted: false,
                })
            })
            .collect::<Vec<_>>()
    };
    let adopted = state.devices.iter().flat_map(|(id, device)| {
        device.adopted.iter().map(|key| {
            let word = match device.adopted_in_doubt.contains(key) {
                true => "in doubt: another scheduler sent it and nobody knows its outcome",
                false => "under way: another scheduler sent it; nothing is sent to the device until it has ended",
            };
            wire::Doubt {
                key: Some(key.into()),
                device: id.to_string(),
                message: word.to_owned(),
                adopted: true,
                ..Default::default()
            }
        })
    });
    state.live().flat_map(in_doubt).chain(adopted).collect()
}

//! Facts as people read them.

use ppu_engine::{Event, Fact};
use ppu_proto::lab::v1 as wire;

/// One fact as an event of the public API.
#[expect(clippy::too_many_lines, reason = "one arm a kind of event: a table that is read from top to bottom")]
pub(crate) fn event(seq: u64, fact: &Fact) -> wire::WatchResponse {
    let mut event = wire::WatchResponse { seq, time_ms: fact.at_ms, ..Default::default() };
    let mut set = |kind: &str, severity: wire::Severity, text: String| {
        event.kind = kind.to_owned();
        event.severity = severity.into();
        event.text = text;
    };
    use wire::Severity::{Alarm, Info, Notice};
    match &fact.event {
        Event::LabOpened { lab, samples, .. } => {
            set("lab_opened", Info, format!("journal of lab {lab} begun with {} samples", samples.len()));
        }
        Event::EpochStarted { epoch } => set("epoch_started", Info, format!("scheduler started, epoch {epoch}")),
        Event::DeviceDescribed { device, manifest, serial_number } => {
            set("device_described", Info, format!("{device} is a {} ({serial_number})", manifest.model));
        }
        Event::DeviceAttached { device, boot, memory_doubt, .. } if memory_doubt.is_empty() => {
            set("device_attached", Info, format!("{device} attached, driver start {boot}"));
        }
        Event::DeviceAttached { device, memory_doubt, .. } => {
            let text = format!("{device} attached, but its ledger cannot be believed: {memory_doubt}");
            set("device_attached", Alarm, text);
        }
        Event::DeviceLost { device, reason } => set("device_lost", Notice, format!("{device} lost: {reason}")),
        Event::AttemptAdopted { device, key } => set(
            "attempt_adopted",
            Alarm,
            format!(
                "{device} holds {key}, which this journal does not know: nothing is sent to it until that has ended"
            ),
        ),
        Event::DeviceAborted { device, reason } => {
            set("device_aborted", Alarm, format!("{device} was made safe and waits for a clear: {reason}"));
        }
        Event::DeviceCleared { device, who, reason } => {
            set("device_cleared", Notice, format!("{device} cleared by {who}: {reason}"));
        }
        Event::LedgerRetired { device, who, isolated, .. } => {
            set(
                "ledger_retired",
                Alarm,
                format!("ledger of {device} retired by {who}; the device is isolated: {isolated}"),
            );
        }
        Event::SampleLocated { sample, position, who, inspected } => {
            let place = position.as_ref().map_or("taken out".to_owned(), ToString::to_string);
            set("sample_located", Notice, format!("{sample} is {place}, says {who}: {inspected}"));
        }
        Event::ClockJumped { by_ms } => {
            let seconds = *by_ms as f64 / 1000.0;
            set("clock_jumped", Alarm, format!("the wall clock jumped by {seconds:+.1} s; nothing was decided by it"));
        }
        Event::CampaignCreated { campaign, spec, .. } => {
            set("campaign_created", Info, format!("campaign {campaign} begun: {} trials", spec.budget_trials));
        }
        Event::CampaignEnding { campaign, reason } => {
            set("campaign_ending", Info, format!("campaign {campaign} takes up nothing new: {reason}"));
        }
        Event::CampaignCompleted { campaign } => {
            set("campaign_completed", Notice, format!("campaign {campaign} is complete"))
        }
        Event::CampaignStopped { campaign, who, reason } => {
            set("campaign_stopped", Notice, format!("campaign {campaign} stopped by {who}: {reason}"));
        }
        Event::CampaignReshaped { campaign, limits, who, reason } => {
            let limit =
                |limit: &ppu_engine::event::Limit| format!("{} from {} to {}", limit.parameter, limit.min, limit.max);
            let limits: Vec<String> = limits.iter().map(limit).collect();
            let limits = limits.join(", ");
            set("campaign_reshaped", Notice, format!("campaign {campaign} reshaped by {who}: {limits}: {reason}"));
        }
        Event::Proposed { round, trials, note, .. } => {
            let remark = if note.is_empty() { String::new() } else { format!(" ({note})") };
            set("proposed", Info, format!("round {round}: {} candidates{remark}", trials.len()));
        }
        Event::TrialDecided { trial, accept, who, reason } => {
            let verb = if *accept { "accepted" } else { "rejected" };
            set("trial_decided", Notice, format!("{trial} {verb} by {who}: {reason}"));
        }
        Event::RunSubmitted { run, plan, .. } => {
            set("run_submitted", Info, format!("{run}: {} steps", plan.steps.len()))
        }
        Event::RunStarted { run, sample } => {
            let sample = sample.as_ref().map_or(String::new(), |sample| format!(" with sample {sample}"));
            set("run_started", Info, format!("{run} begins{sample}"));
        }
        Event::LeaseGranted { run, devices, .. } => {
            let names: Vec<_> = devices.iter().map(ToString::to_string).collect();
            set("lease_granted", Info, format!("{run} holds {}", names.join(", ")));
        }
        Event::LeaseReleased { run, lease } => set("lease_released", Info, format!("{run} frees {lease}")),
        Event::StepIntended { key, device, command, positions, .. } => {
            let places: Vec<_> = positions.iter().map(ToString::to_string).collect();
            set(
                "step_intended",
                Info,
                format!("{device}: {command} for {key} {}", places.join(" → ")).trim_end().to_owned(),
            );
        }
        Event::StepAccepted { key } => set("step_accepted", Info, format!("{key} promised")),
        Event::StepEnded { key, device, outcome, .. } => {
            let severity = match outcome.state {
                ppu_core::AttemptState::InDoubt => Alarm,
                state if state.is_done() => Info,
                _ => Notice,
            };
            let code = if outcome.code.is_empty() { String::new() } else { format!(" [{}]", outcome.code) };
            let message = if outcome.message.is_empty() { String::new() } else { format!(": {}", outcome.message) };
            set("step_ended", severity, format!("{key} on {device} {}{message}{code}", outcome.state));
        }
        Event::StepSkipped { step, reason, .. } => {
            set("step_skipped", Info, format!("{step} not needed or not possible: {reason}"))
        }
        Event::StepVoidWanted { step, who, reason } => {
            set("step_void_wanted", Notice, format!("{step} shall not be done, says {who}: {reason}"));
        }
        Event::StepVoided { step, device, .. } => set("step_voided", Info, format!("{device} will never begin {step}")),
        Event::DoubtSigned { key, verdict, resolution } => {
            let text = format!("{key}: {verdict:?} says {}; a second person must say the same", resolution.who);
            set("doubt_signed", Notice, text);
        }
        Event::DoubtResolved { key, verdict, resolution, .. } => {
            set(
                "doubt_resolved",
                Notice,
                format!("{key}: {verdict:?} says {}: {}", resolution.who, resolution.inspected),
            );
        }
        Event::RunCompleted { run } => set("run_completed", Info, format!("{run} is complete")),
        Event::RunFailed { run, reason } => set("run_failed", Notice, format!("{run} failed: {reason}")),
        Event::RunStopping { run, who, reason } => {
            set("run_stopping", Notice, format!("{run} is ended by {who}: {reason}"));
        }
        Event::RunAborted { run, reason } => set("run_aborted", Notice, format!("{run} {reason}")),
        Event::RunClosed { run, device } => set("run_closed", Info, format!("{device} closed its records of {run}")),
        Event::TrialObserved { trial, observation } => {
            let values: Vec<_> =
                observation.values.iter().map(|(name, m)| format!("{name} {:.4} ± {:.4}", m.value, m.sd)).collect();
            let invalid: Vec<_> =
                observation.invalid.iter().map(|(name, why)| format!("{name} invalid: {why}")).collect();
            set("trial_observed", Info, format!("{trial}: {}", [values, invalid].concat().join(", ")));
        }
        Event::TrialFailed { trial, reason } => set("trial_failed", Notice, format!("{trial} failed: {reason}")),
        Event::LabPaused { who, reason } => set("lab_paused", Notice, format!("paused by {who}: {reason}")),
        Event::LabStopped { who, reason } => set("lab_stopped", Alarm, format!("STOPPED by {who}: {reason}")),
        Event::LabResumed { who, reason } => set("lab_resumed", Notice, format!("resumed by {who}: {reason}")),
    }
    name_subjects(&mut event, &fact.event);
    event
}

/// Fills in which campaign, trial, run, step and device the event concerns.
fn name_subjects(to: &mut wire::WatchResponse, event: &Event) {
    match event {
        Event::DeviceDescribed { device, .. }
        | Event::DeviceAttached { device, .. }
        | Event::DeviceAborted { device, .. }
        | Event::DeviceCleared { device, .. }
        | Event::LedgerRetired { device, .. }
        | Event::DeviceLost { device, .. } => to.device = device.to_string(),
        Event::CampaignCreated { campaign, .. }
        | Event::CampaignEnding { campaign, .. }
        | Event::CampaignCompleted { campaign }
        | Event::CampaignStopped { campaign, .. }
        | Event::CampaignReshaped { campaign, .. }
        | Event::Proposed { campaign, .. } => to.campaign = campaign.to_string(),
        Event::TrialDecided { trial, .. } | Event::TrialObserved { trial, .. } | Event::TrialFailed { trial, .. } => {
            to.trial = trial.to_string();
        }
        Event::RunSubmitted { run, trial, .. } => {
            to.run = run.to_string();
            to.trial = trial.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        Event::RunStarted { run, .. }
        | Event::LeaseGranted { run, .. }
        | Event::LeaseReleased { run, .. }
        | Event::RunCompleted { run }
        | Event::RunStopping { run, .. }
        | Event::RunAborted { run, .. }
        | Event::RunFailed { run, .. } => to.run = run.to_string(),
        Event::RunClosed { run, device } => {
            to.run = run.to_string();
            to.device = device.to_string();
        }
        Event::AttemptAdopted { device, key }
        | Event::StepIntended { device, key, .. }
        | Event::StepEnded { device, key, .. } => {
            to.device = device.to_string();
            name_step(to, &key.step);
        }
        Event::StepAccepted { key } | Event::DoubtResolved { key, .. } | Event::DoubtSigned { key, .. } => {
            name_step(to, &key.step);
        }
        Event::StepVoided { step, device, .. } => {
            to.device = device.to_string();
            name_step(to, step);
        }
        Event::StepSkipped { step, .. } | Event::StepVoidWanted { step, .. } => name_step(to, step),
        _ => {}
    }
}

fn name_step(to: &mut wire::WatchResponse, step: &ppu_core::StepId) {
    to.step = step.to_string();
    to.run = step.parts().0.to_owned();
}

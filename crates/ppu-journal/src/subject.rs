//! What a fact is about.

use std::collections::BTreeSet;

use ppu_core::{CampaignId, CommandKey, DeviceId, RunId, SampleId, StepId, TrialId};
use ppu_engine::Event;

/// Something with a history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A campaign: what was decided about it as a whole, its proposals included.
    Campaign(CampaignId),
    /// A trial: what was decided about it, and all of its runs.
    Trial(TrialId),
    /// A run.
    Run(RunId),
    /// One command.
    Command(CommandKey),
    /// A sample: everything that its runs did from the moment that they had it.
    Sample(SampleId),
    /// A device.
    Device(DeviceId),
}

/// What an event names. What it concerns through its run is not among these.
#[expect(clippy::too_many_lines, reason = "one arm a kind of event: a table that is read from top to bottom")]
pub fn named(event: &Event) -> BTreeSet<Subject> {
    let mut found = BTreeSet::new();
    match event {
        Event::LabOpened { devices, samples, .. } => {
            found.extend(devices.keys().cloned().map(Subject::Device));
            found.extend(samples.keys().cloned().map(Subject::Sample));
        }
        Event::EpochStarted { .. }
        | Event::LabPaused { .. }
        | Event::LabStopped { .. }
        | Event::LabResumed { .. }
        | Event::ClockJumped { .. } => {}
        Event::DeviceDescribed { device, .. }
        | Event::DeviceAttached { device, .. }
        | Event::DeviceAborted { device, .. }
        | Event::DeviceCleared { device, .. }
        | Event::DeviceLost { device, .. } => {
            found.insert(Subject::Device(device.clone()));
        }
        Event::CampaignCreated { campaign, .. }
        | Event::CampaignEnding { campaign, .. }
        | Event::CampaignCompleted { campaign }
        | Event::CampaignStopped { campaign, .. }
        | Event::CampaignReshaped { campaign, .. }
        | Event::Proposed { campaign, .. } => {
            found.insert(Subject::Campaign(campaign.clone()));
        }
        Event::TrialDecided { trial, .. } | Event::TrialObserved { trial, .. } | Event::TrialFailed { trial, .. } => {
            found.insert(Subject::Trial(trial.clone()));
        }
        Event::RunSubmitted { run, .. }
        | Event::RunStarted { run, .. }
        | Event::LeaseReleased { run, .. }
        | Event::RunCompleted { run }
        | Event::RunStopping { run, .. }
        | Event::RunAborted { run, .. }
        | Event::RunFailed { run, .. } => {
            found.insert(Subject::Run(run.clone()));
        }
        Event::LeaseGranted { run, devices, .. } => {
            found.insert(Subject::Run(run.clone()));
            found.extend(devices.iter().cloned().map(Subject::Device));
        }
        Event::RunClosed { run, device } => {
            found.insert(Subject::Run(run.clone()));
            found.insert(Subject::Device(device.clone()));
        }
        Event::StepSkipped { step, .. } | Event::StepVoidWanted { step, .. } => found.extend(run_of(step)),
        Event::StepVoided { step, device, .. } => {
            found.extend(run_of(step));
            found.insert(Subject::Device(device.clone()));
        }
        Event::LedgerRetired { device, void, .. } => {
            found.insert(Subject::Device(device.clone()));
            void.iter().for_each(|key| found.extend(command(key)));
        }
        Event::SampleLocated { sample, .. } => {
            found.insert(Subject::Sample(sample.clone()));
        }
        Event::StepAccepted { key } | Event::DoubtResolved { key, .. } | Event::DoubtSigned { key, .. } => {
            found.extend(command(key));
        }
        Event::AttemptAdopted { device, key } | Event::StepEnded { key, device, .. } => {
            found.extend(command(key));
            found.insert(Subject::Device(device.clone()));
        }
        Event::StepIntended { key, device, sample, .. } => {
            found.extend(command(key));
            found.insert(Subject::Device(device.clone()));
            found.extend(sample.clone().map(Subject::Sample));
        }
    }
    found
}

fn command(key: &CommandKey) -> impl Iterator<Item = Subject> {
    [Subject::Command(key.clone())].into_iter().chain(run_of(&key.step))
}

/// The run of a step; none for a step of something else than a run, such as a person's command.
pub(crate) fn run_of(step: &StepId) -> Option<Subject> {
    RunId::new(step.parts().0).ok().map(Subject::Run)
}

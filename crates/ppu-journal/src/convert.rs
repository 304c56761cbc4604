//! Conversion between the facts of the engine and the records of the journal (`ppu.journal.v1`).
//!
//! Writing never fails; reading refuses what is not a fact with a [`ConversionError`] that names the field.

mod campaign;
mod read;
mod words;
mod write;

use ppu_engine::{Event, Fact};
use ppu_proto::ConversionError;
use ppu_proto::journal::v1 as wire;

pub use campaign::level_to_wire;

/// The name of an event in records and messages.
pub(crate) fn event_name(event: &Event) -> &'static str {
    match event {
        Event::LabOpened { .. } => "lab_opened",
        Event::EpochStarted { .. } => "epoch_started",
        Event::DeviceDescribed { .. } => "device_described",
        Event::DeviceAttached { .. } => "device_attached",
        Event::DeviceLost { .. } => "device_lost",
        Event::DeviceAborted { .. } => "device_aborted",
        Event::DeviceCleared { .. } => "device_cleared",
        Event::LedgerRetired { .. } => "ledger_retired",
        Event::SampleLocated { .. } => "sample_located",
        Event::ClockJumped { .. } => "clock_jumped",
        Event::AttemptAdopted { .. } => "attempt_adopted",
        Event::CampaignCreated { .. } => "campaign_created",
        Event::CampaignEnding { .. } => "campaign_ending",
        Event::CampaignCompleted { .. } => "campaign_completed",
        Event::CampaignStopped { .. } => "campaign_stopped",
        Event::CampaignReshaped { .. } => "campaign_reshaped",
        Event::Proposed { .. } => "proposed",
        Event::TrialDecided { .. } => "trial_decided",
        Event::RunSubmitted { .. } => "run_submitted",
        Event::RunStarted { .. } => "run_started",
        Event::LeaseGranted { .. } => "lease_granted",
        Event::LeaseReleased { .. } => "lease_released",
        Event::StepIntended { .. } => "step_intended",
        Event::StepAccepted { .. } => "step_accepted",
        Event::StepEnded { .. } => "step_ended",
        Event::StepSkipped { .. } => "step_skipped",
        Event::StepVoidWanted { .. } => "step_void_wanted",
        Event::StepVoided { .. } => "step_voided",
        Event::DoubtSigned { .. } => "doubt_signed",
        Event::DoubtResolved { .. } => "doubt_resolved",
        Event::RunCompleted { .. } => "run_completed",
        Event::RunFailed { .. } => "run_failed",
        Event::RunStopping { .. } => "run_stopping",
        Event::RunAborted { .. } => "run_aborted",
        Event::RunClosed { .. } => "run_closed",
        Event::TrialObserved { .. } => "trial_observed",
        Event::TrialFailed { .. } => "trial_failed",
        Event::LabPaused { .. } => "lab_paused",
        Event::LabStopped { .. } => "lab_stopped",
        Event::LabResumed { .. } => "lab_resumed",
    }
}

/// The person who decided a fact, otherwise `scheduler`.
fn actor(event: &Event) -> &str {
    match event {
        Event::CampaignStopped { who, .. }
        | Event::CampaignReshaped { who, .. }
        | Event::TrialDecided { who, .. }
        | Event::LabPaused { who, .. }
        | Event::LabStopped { who, .. }
        | Event::LabResumed { who, .. }
        | Event::DeviceCleared { who, .. }
        | Event::LedgerRetired { who, .. }
        | Event::SampleLocated { who, .. }
        | Event::StepVoidWanted { who, .. }
        | Event::RunStopping { who, .. } => who,
        Event::DoubtResolved { resolution, .. } | Event::DoubtSigned { resolution, .. } => &resolution.who,
        _ => SCHEDULER,
    }
}

/// Actor of records that no person decided.
pub(crate) const SCHEDULER: &str = "scheduler";

/// When and where a record is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub(crate) boot_ns: u64,
    /// Boot id of the computer, 16 bytes or none.
    pub(crate) boot_id: Vec<u8>,
    /// W3C trace context; empty for none.
    pub(crate) traceparent: String,
}

/// The record of a fact.
pub(crate) fn fact_to_record(fact: &Fact, origin: &Origin) -> wire::JournalRecord {
    wire::JournalRecord {
        wall_ms: fact.at_ms,
        boot_ns: origin.boot_ns,
        boot_id: origin.boot_id.clone(),
        actor: actor(&fact.event).to_owned(),
        traceparent: origin.traceparent.clone(),
        event: Some(write::event(&fact.event)),
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// A fact of the lab.
    Fact(Fact),
    /// Recovery cut the log.
    TailCut(wire::JournalTailCut),
    /// A person repaired the journal.
    Repaired(wire::JournalRepaired),
}

/// What a record says, checked.
pub(crate) fn read_record(record: &wire::JournalRecord) -> Result<Said, ConversionError> {
    // A record of a newer version has an event that this one does not know, which reads as none.
    let event = record.event.as_ref().ok_or_else(|| ConversionError::new("event", "it is unknown to this version"))?;
    Ok(match event {
        wire::journal_record::Event::TailCut(cut) => Said::TailCut(cut.clone()),
        wire::journal_record::Event::Repaired(repaired) => Said::Repaired(repaired.clone()),
        other => Said::Fact(Fact { at_ms: record.wall_ms, event: read::event(other)? }),
    })
}

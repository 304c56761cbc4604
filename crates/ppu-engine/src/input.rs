//! What comes in from outside: wishes of people, words of drivers, answers of slow work.

use std::collections::BTreeMap;

use ppu_core::protocol::Protocol;
use ppu_core::{
    AttemptState, CampaignId, Candidate, CommandKey, DeviceId, Manifest, Observation, Plan, PositionId, RunId,
    SampleId, StepId, TrialId,
};

use crate::event::{Limit, Outcome, Proposal, Resolution, Verdict};

/// One line of a driver's inventory: an attempt that is not closed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryLine {
    /// The attempt.
    pub key: CommandKey,
    /// Where it stands at the driver.
    pub state: AttemptState,
}

/// One input of the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// A scheduler process begins, with the lab as its files describe it. Sent first.
    Start {
        /// Name of the lab.
        lab: String,
        /// Devices with their sample positions.
        devices: BTreeMap<DeviceId, Option<PositionId>>,
        /// Positions.
        positions: Vec<PositionId>,
        /// Samples for a new journal; an existing one knows better.
        samples: BTreeMap<SampleId, PositionId>,
    },
    /// A driver described its device.
    Described {
        /// The device.
        device: DeviceId,
        /// What it can do.
        manifest: Box<Manifest>,
        /// Serial number of the instrument.
        serial_number: String,
    },
    /// A driver opened a session.
    Attached {
        /// The device.
        device: DeviceId,
        /// Starts of the driver.
        boot: u64,
        /// Identity of the ledger.
        ledger_id: String,
        /// Random number of this start of the driver, as hexadecimal digits.
        boot_nonce: String,
        /// Last sequence in the ledger.
        last_dseq: u64,
        /// Why the ledger cannot be believed; empty when it can.
        memory_doubt: String,
        /// Whether the device was made safe and waits for a person's clear.
        aborted: bool,
        /// What is not closed there.
        inventory: Vec<InventoryLine>,
    },
    /// The line to a driver broke.
    Lost {
        /// The device.
        device: DeviceId,
        /// What was seen.
        reason: String,
    },
    /// A driver promised an attempt.
    Accepted {
        /// The attempt.
        key: CommandKey,
    },
    /// A driver refused an attempt for good; nothing was done.
    Refused {
        /// The attempt.
        key: CommandKey,
        /// Why.
        message: String,
    },
    /// A driver reported how an attempt ended, or that it is in doubt.
    Ended {
        /// The device.
        device: DeviceId,
        /// Sequence in its ledger.
        dseq: u64,
        /// The attempt.
        key: CommandKey,
        /// How.
        outcome: Box<Outcome>,
    },
    /// A verdict on a doubt, durable at the driver.
    Resolved {
        /// The attempt.
        key: CommandKey,
        /// The verdict.
        verdict: Verdict,
        /// The record behind it.
        resolution: Resolution,
        /// Where the sample is now.
        sample_position: Option<PositionId>,
    },
    /// The device was made safe and starts nothing until a person clears it.
    DeviceAborted {
        /// The device.
        device: DeviceId,
        /// Why.
        reason: String,
    },
    /// A person's clear is durable at the driver.
    Cleared {
        /// The device.
        device: DeviceId,
        /// Who.
        who: String,
        /// What was checked before.
        reason: String,
    },
    /// A driver has the tombstone of a step.
    Voided {
        /// The step.
        step: StepId,
        /// The device.
        device: DeviceId,
        /// Sequence of the tombstone.
        dseq: u64,
    },
    /// A person ends a run.
    StopRun {
        /// The run.
        run: RunId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person ends a step that is not over.
    SkipStep {
        /// The step.
        step: StepId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person declares the ledger of a driver dead.
    RetireLedger {
        /// The device.
        device: DeviceId,
        /// Identity of the ledger; empty for the one that is known last.
        ledger_id: String,
        /// Who.
        who: String,
        /// How the device was isolated.
        isolated: String,
        /// Attempts that certainly never began.
        void: Vec<CommandKey>,
    },
    /// A person says where a sample is.
    LocateSample {
        /// The sample.
        sample: SampleId,
        /// Its position; `None` where it was taken out of the lab.
        position: Option<PositionId>,
        /// Who.
        who: String,
        /// What was inspected.
        inspected: String,
    },
    /// A person signs a verdict on a doubt, before the driver is told.
    SignDoubt {
        /// The attempt.
        key: CommandKey,
        /// The verdict.
        verdict: Verdict,
        /// The record behind it.
        resolution: Resolution,
    },
    /// The wall clock jumped.
    ClockJumped {
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// A driver closed its records of a run.
    Closed {
        /// The run.
        run: RunId,
        /// The device.
        device: DeviceId,
    },
    /// A person or program submits a plan.
    SubmitPlan {
        /// The plan, not yet checked.
        plan: Box<Plan>,
        /// The client's id of the request.
        request_id: String,
    },
    /// A person or program submits a campaign.
    CreateCampaign {
        /// The campaign, checked against its protocol.
        spec: Box<ppu_core::campaign::CampaignSpec>,
        /// Its protocol.
        protocol: Box<Protocol>,
        /// The client's id of the request.
        request_id: String,
    },
    /// A person ends a campaign.
    StopCampaign {
        /// The campaign.
        campaign: CampaignId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
        /// Whether its runs are stopped as well.
        stop_runs: bool,
    },
    /// The next candidates, or why there are none.
    Proposal {
        /// The campaign.
        campaign: CampaignId,
        /// The round that was asked for.
        round: u32,
        /// The candidates, or why there are none.
        result: Result<Proposal, String>,
    },
    /// A person changes the space that a campaign searches.
    ReshapeCampaign {
        /// The campaign.
        campaign: CampaignId,
        /// The new limits.
        limits: Vec<Limit>,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person wants a candidate tried.
    PinCandidate {
        /// The campaign.
        campaign: CampaignId,
        /// The point, complete.
        candidate: Candidate,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person accepts or rejects a trial.
    Decide {
        /// The trial.
        trial: TrialId,
        /// Which of the two.
        accept: bool,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// An analysis is ready, or failed.
    Analysed {
        /// The trial.
        trial: TrialId,
        /// What was measured, or why nothing could be.
        result: Result<Box<Observation>, String>,
    },
    /// Nothing new shall start.
    Pause {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// Everything shall stop.
    Stop {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// The lab goes on.
    Resume {
        /// Who.
        who: String,
        /// What was checked.
        reason: String,
    },
}

/// Why an input changes nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// What a person wrote does not fit this lab.
    #[error("{0}")]
    Invalid(ppu_core::Problems),
    /// Something that does not exist.
    #[error("there is no {noun} `{id}`")]
    NotFound {
        /// What it should have been.
        noun: &'static str,
        /// The name.
        id: String,
    },
    /// It is not the time for it.
    #[error("{0}")]
    NotNow(String),
    /// The lab file does not describe the lab of this journal.
    #[error("{0}")]
    OtherLab(String),
}

//! Facts. The journal holds nothing else, and [`crate::Engine::evolve`] takes in nothing else.

use std::collections::BTreeMap;

use ppu_core::campaign::CampaignSpec;
use ppu_core::{
    Arguments, ArtifactHash, AttemptState, CampaignId, Candidate, CommandKey, DeviceId, Manifest, Measured,
    Observation, Plan, PositionId, RunId, SampleId, StepId, TrialId,
};
use serde::{Deserialize, Serialize};

/// A fact with the wall time at which it was decided: a label for people; no decision uses the difference of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What happened.
    pub event: Event,
}

/// Raw data that a measurement left, now in the scheduler's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// BLAKE3 of the bytes.
    pub hash: ArtifactHash,
    /// File name for people.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Length in bytes.
    pub size: u64,
}

/// How an attempt ended, or that it is in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A final state or [`AttemptState::InDoubt`].
    pub state: AttemptState,
    /// Reported values.
    pub results: Arguments,
    /// Raw data.
    pub artifacts: Vec<ArtifactRef>,
    /// For people.
    pub message: String,
    /// Code for `ppu explain`; empty on success.
    pub code: String,
    /// Where the sample is now, where the driver says so.
    pub sample_position: Option<PositionId>,
    /// Whether the sample is not what or where it should be (REL-15): it is in doubt, whatever the state says.
    pub sample_in_doubt: bool,
}

/// One candidate of a proposal, with what was known when it was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposedTrial {
    /// The point.
    pub candidate: Candidate,
    /// Who proposed it.
    pub proposer: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What is expected of it, by observable.
    pub expected: BTreeMap<String, Measured>,
}

/// What one level of the twin did for a proposal, and how far the campaign's own measurements support it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LevelReport {
    /// Name of the level.
    pub level: String,
    /// Candidates evaluated, and evaluated again while annealing.
    pub evaluations: u64,
    /// Candidates that it refused.
    pub refused: u64,
    /// Seconds of computing, as the shell measured them.
    pub seconds: f64,
    /// Whether its predictions had a say.
    pub used: bool,
    /// How well it has predicted, by observable.
    pub observables: Vec<LevelObservable>,
    /// Why it was left out, or what else people should know.
    pub note: String,
}

/// How well a level predicts one observable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelObservable {
    /// The observable.
    pub name: String,
    /// Correlation of prediction and measurement, pooled with the declared one.
    pub correlation: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Candidates that were both predicted and measured.
    pub pairs: u64,
}

/// What a round of choosing gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposal {
    /// The candidates.
    pub trials: Vec<ProposedTrial>,
    /// Remarks of proposer, twin and optimizer.
    pub note: String,
    /// The levels of the twin.
    pub levels: Vec<LevelReport>,
}

/// New limits of a parameter, in its unit. Equal limits fix it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The parameter.
    pub parameter: String,
    /// Smallest value from now on.
    pub min: f64,
    /// Largest value from now on.
    pub max: f64,
}

/// What a proof or a person says of a command in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It happened.
    Done,
    /// It did not happen.
    NotDone,
    /// The sample is lost.
    Scrapped,
}

/// Who resolves a doubt that the device itself settles by a readback; no person may use this name.
pub const INSTRUMENT: &str = "instrument";

/// The record behind a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Person or instance.
    pub who: String,
    /// What was inspected.
    pub inspected: String,
    /// Hashes of the evidence.
    pub evidence: Vec<ArtifactHash>,
    /// Free text.
    pub note: String,
    /// The second person, where the command is hazardous.
    pub countersigned_by: Option<String>,
}

/// A fact of the lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The journal was begun for this lab, with these positions and samples.
    LabOpened {
        /// Name of the lab.
        lab: String,
        /// Devices of the lab file with their sample positions.
        devices: BTreeMap<DeviceId, Option<PositionId>>,
        /// Every place where a sample can stand.
        positions: Vec<PositionId>,
        /// Samples and where they stand.
        samples: BTreeMap<SampleId, PositionId>,
    },
    /// A scheduler process began; its epoch fences all earlier ones.
    EpochStarted {
        /// One more than the last.
        epoch: u64,
    },
    /// A driver said what its device can do.
    DeviceDescribed {
        /// The device.
        device: DeviceId,
        /// What it can do.
        manifest: Manifest,
        /// Serial number of the instrument.
        serial_number: String,
    },
    /// A driver opened a session for this scheduler.
    DeviceAttached {
        /// The device.
        device: DeviceId,
        /// Starts of the driver so far.
        boot: u64,
        /// Identity of its ledger, as hexadecimal digits.
        ledger_id: String,
        /// Random number of this start of the driver, as hexadecimal digits.
        boot_nonce: String,
        /// Last sequence in its ledger.
        last_dseq: u64,
        /// Why its ledger cannot be believed; empty when it can.
        memory_doubt: String,
    },
    /// The line to a driver broke.
    DeviceLost {
        /// The device.
        device: DeviceId,
        /// What was seen.
        reason: String,
    },
    /// A driver's inventory holds a live attempt that the journal did not know; it is watched from now on.
    AttemptAdopted {
        /// The device.
        device: DeviceId,
        /// The attempt.
        key: CommandKey,
    },
    /// The device was made safe: it starts nothing until a person clears it.
    DeviceAborted {
        /// The device.
        device: DeviceId,
        /// Why.
        reason: String,
    },
    /// A person let the device start again.
    DeviceCleared {
        /// The device.
        device: DeviceId,
        /// Who.
        who: String,
        /// What was checked before.
        reason: String,
    },
    /// A person declared the ledger of a driver dead (REL-14).
    LedgerRetired {
        /// The device.
        device: DeviceId,
        /// Identity of the ledger, as hexadecimal digits.
        ledger_id: String,
        /// Who.
        who: String,
        /// How the device was isolated, so that the old driver cannot act.
        isolated: String,
        /// Attempts that certainly never began; every other open one is in doubt.
        void: Vec<CommandKey>,
    },
    /// A person said where a sample is.
    SampleLocated {
        /// The sample.
        sample: SampleId,
        /// Its position; `None` where it was taken out of the lab.
        position: Option<PositionId>,
        /// Who.
        who: String,
        /// What was inspected.
        inspected: String,
    },
    /// The wall clock jumped against the clock of the computer's boot (CLK-3).
    ClockJumped {
        /// By how many milliseconds; negative for backwards.
        by_ms: i64,
    },
    /// A campaign was accepted.
    CampaignCreated {
        /// Its id.
        campaign: CampaignId,
        /// What was asked for.
        spec: Box<CampaignSpec>,
        /// Name of the protocol file.
        protocol_file: String,
        /// Text of the protocol, so that it can never change underneath.
        protocol_toml: String,
        /// The client's id of the request; empty for none.
        request_id: String,
    },
    /// The campaign takes up no new candidates.
    CampaignEnding {
        /// Its id.
        campaign: CampaignId,
        /// Why.
        reason: String,
    },
    /// Every trial has ended.
    CampaignCompleted {
        /// Its id.
        campaign: CampaignId,
    },
    /// A person ended it.
    CampaignStopped {
        /// Its id.
        campaign: CampaignId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// The next candidates were chosen.
    Proposed {
        /// Its campaign.
        campaign: CampaignId,
        /// Round, counted from 1.
        round: u32,
        /// The candidates, numbered on from the last trial.
        trials: Vec<ProposedTrial>,
        /// Remarks of proposer, twin and optimizer.
        note: String,
        /// The levels of the twin.
        levels: Vec<LevelReport>,
    },
    /// A person changed the space that a campaign searches: a constraint from then on.
    CampaignReshaped {
        /// The campaign.
        campaign: CampaignId,
        /// The new limits.
        limits: Vec<Limit>,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A person accepted or rejected a trial.
    TrialDecided {
        /// The trial.
        trial: TrialId,
        /// Which of the two.
        accept: bool,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A plan was accepted; for a trial, or for a person.
    RunSubmitted {
        /// The run.
        run: RunId,
        /// Its trial.
        trial: Option<TrialId>,
        /// What is to be done.
        plan: Box<Plan>,
        /// The client's id of the request; empty for none.
        request_id: String,
    },
    /// The run got its sample and began.
    RunStarted {
        /// The run.
        run: RunId,
        /// Its sample, where the plan needs one.
        sample: Option<SampleId>,
    },
    /// Devices and positions are the run's alone until released.
    LeaseGranted {
        /// The run.
        run: RunId,
        /// Name of the lease in the plan.
        lease: String,
        /// The devices, the chosen one included.
        devices: Vec<DeviceId>,
        /// The positions, those of the devices included.
        positions: Vec<PositionId>,
        /// Grows with each grant in the lab.
        fencing: u64,
    },
    /// They are free again.
    LeaseReleased {
        /// The run.
        run: RunId,
        /// Name of the lease in the plan.
        lease: String,
    },
    /// The intent to act, durable before anything is sent.
    StepIntended {
        /// The attempt.
        key: CommandKey,
        /// The device.
        device: DeviceId,
        /// Capability.
        capability: String,
        /// Verb.
        command: String,
        /// Checked arguments in the units of the manifest.
        arguments: Arguments,
        /// Sample concerned.
        sample: Option<SampleId>,
        /// Positions concerned: from and to for a transfer.
        positions: Vec<PositionId>,
    },
    /// The driver promised the attempt, durably.
    StepAccepted {
        /// The attempt.
        key: CommandKey,
    },
    /// An attempt ended, or is in doubt.
    StepEnded {
        /// The attempt.
        key: CommandKey,
        /// The device that reported it.
        device: DeviceId,
        /// Sequence in the driver's ledger; 0 when the scheduler itself concluded it.
        dseq: u64,
        /// How.
        outcome: Box<Outcome>,
    },
    /// A step will not be done.
    StepSkipped {
        /// The step.
        step: StepId,
        /// Whether what it was to achieve holds all the same.
        achieved: bool,
        /// Why.
        reason: String,
    },
    /// A person wants the step not to be done: it is skipped once its driver has the tombstone (REL-6).
    StepVoidWanted {
        /// The step.
        step: StepId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// The driver has the tombstone: no attempt at the step can begin there any more.
    StepVoided {
        /// The step.
        step: StepId,
        /// The device.
        device: DeviceId,
        /// Sequence of the tombstone in the driver's ledger; 0 where a person gave the verdict for a dead ledger.
        dseq: u64,
    },
    /// The first of two signatures under a verdict on a hazardous command.
    DoubtSigned {
        /// The attempt.
        key: CommandKey,
        /// The verdict.
        verdict: Verdict,
        /// The record behind it.
        resolution: Resolution,
    },
    /// A proof or a person said what became of an attempt in doubt.
    DoubtResolved {
        /// The attempt.
        key: CommandKey,
        /// The verdict.
        verdict: Verdict,
        /// The record behind it.
        resolution: Resolution,
        /// Where the sample is now.
        sample_position: Option<PositionId>,
    },
    /// Every step is done.
    RunCompleted {
        /// The run.
        run: RunId,
    },
    /// A step failed; cleanup is over.
    RunFailed {
        /// The run.
        run: RunId,
        /// Which step and why.
        reason: String,
    },
    /// A person ends the run: what has not begun does not begin, what runs is stopped, cleanup follows.
    RunStopping {
        /// The run.
        run: RunId,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// A run that a person ended is over.
    RunAborted {
        /// The run.
        run: RunId,
        /// Who ended it and why.
        reason: String,
    },
    /// A driver forgot the run's records, which are all final here.
    RunClosed {
        /// The run.
        run: RunId,
        /// The device.
        device: DeviceId,
    },
    /// Raw data became an observation.
    TrialObserved {
        /// The trial.
        trial: TrialId,
        /// What was measured.
        observation: Box<Observation>,
    },
    /// A trial ended without observation.
    TrialFailed {
        /// The trial.
        trial: TrialId,
        /// Why.
        reason: String,
    },
    /// Nothing new starts.
    LabPaused {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// Everything was told to stop; nothing new starts.
    LabStopped {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// The lab goes on.
    LabResumed {
        /// Who.
        who: String,
        /// What was checked before.
        reason: String,
    },
}

//! What is known: the sum of all facts. Changed by [`crate::Engine::evolve`] alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ppu_core::campaign::CampaignSpec;
use ppu_core::lab::{DeviceModel, LabModel};
use ppu_core::{
    Arguments, CampaignId, CommandKey, DeviceId, Manifest, Observation, Plan, PositionId, RunId, SampleId, StepId,
    TrialId,
};

use crate::event::{ArtifactRef, LevelReport, ProposedTrial, Resolution, Verdict};
use crate::lifecycle::{CampaignState, LeaseState, LinkState, RunState, StepState, TrialState};

/// A device and its driver.
#[derive(Debug, Clone)]
pub struct Device {
    /// Whether the driver is in session with this scheduler.
    pub link: LinkState,
    /// Why the link is lost.
    pub lost_because: String,
    /// What it can do, once it said so.
    pub manifest: Option<Arc<Manifest>>,
    /// Serial number of the instrument.
    pub serial_number: String,
    /// Where a sample stands in it.
    pub sample_position: Option<PositionId>,
    /// Identity of the driver's ledger; empty before the first contact.
    pub ledger_id: String,
    /// The attempt that occupies it; stays while the attempt is in doubt.
    pub busy: Option<CommandKey>,
    /// Since when, in Unix milliseconds.
    pub busy_since_ms: i64,
    /// Milliseconds spent on commands.
    pub busy_total_ms: i64,
    /// Commands carried out.
    pub commands: u64,
    /// Live attempts of the driver that the journal did not know.
    pub adopted: BTreeSet<CommandKey>,
    /// The adopted ones that are in doubt: a person must say what became of them.
    pub adopted_in_doubt: BTreeSet<CommandKey>,
    /// Why it starts nothing until a person clears it: it was made safe.
    pub aborted: Option<String>,
    /// Why its ledger cannot be believed, until a person clears it.
    pub memory_doubt: Option<String>,
    /// The last start of the driver that was seen: its count and its random number.
    pub boot: (u64, String),
    /// Largest sequence of the driver's ledger that the journal knows.
    pub last_dseq: u64,
    /// Ledgers of it that a person has retired, with the reason.
    pub retired: BTreeMap<String, String>,
    /// The run that holds it, and by which lease.
    pub lease: Option<(RunId, String)>,
}

/// A piece of matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Where it stands; `None` when nobody knows.
    pub position: Option<PositionId>,
    /// The run that works on it.
    pub run: Option<RunId>,
    /// Whether a run has worked on it.
    pub used: bool,
    /// Whether its whereabouts or state must be inspected before it may be used.
    pub in_doubt: bool,
    /// Positions where it may be while nobody knows: nothing else is put there (REL-11).
    pub may_be_at: Vec<PositionId>,
}

/// One closed-loop search.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Where it stands.
    pub state: CampaignState,
    /// What was asked for.
    pub spec: CampaignSpec,
    /// Name of the protocol file.
    pub protocol_file: String,
    /// Text of the protocol.
    pub protocol_toml: String,
    /// The client's id of the request.
    pub request_id: String,
    /// Its trials, by number.
    pub trials: Vec<TrialId>,
    /// Proposals so far.
    pub rounds: u32,
    /// The levels of the twin as the last proposal found them.
    pub levels: Vec<LevelReport>,
    /// What people have changed of its space, in words, in their order.
    pub reshaped: Vec<String>,
    /// Why it ends or ended.
    pub ended: String,
    /// When it was accepted.
    pub created_ms: i64,
}

/// One candidate taken to the lab.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its campaign.
    pub campaign: CampaignId,
    /// Number in the campaign, from 1.
    pub number: u32,
    /// The proposal round that made it.
    pub round: u32,
    /// Where it stands.
    pub state: TrialState,
    /// What was proposed.
    pub proposed: ProposedTrial,
    /// Its run.
    pub run: Option<RunId>,
    /// Who decided what, where a person did.
    pub decision: String,
    /// What was measured.
    pub observation: Option<Observation>,
    /// Overall score, where every objective has a value.
    pub score: Option<f64>,
    /// Why it failed.
    pub failure: String,
    /// When it ended.
    pub ended_ms: i64,
}

/// One node of a plan under way. Its plan step has the same index.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// Where it stands.
    pub state: StepState,
    /// Whether what it was to achieve holds.
    pub achieved: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// The device of the last attempt.
    pub device: Option<DeviceId>,
    /// What the last attempt asks for.
    pub intent: Option<Arc<Intent>>,
    /// Reported values.
    pub results: Arguments,
    /// Raw data.
    pub artifacts: Vec<ArtifactRef>,
    /// What happened, or why it is not done.
    pub message: String,
    /// Code for `ppu explain`.
    pub code: String,
    /// When its last attempt was intended.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// Why a person wants it not to be done; it is skipped once its driver has the tombstone.
    pub void_wanted: Option<String>,
    /// The first of two signatures under a verdict on its doubt.
    pub signed: Option<(Verdict, Resolution)>,
}

/// What an attempt asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The attempt.
    pub key: CommandKey,
    /// The device.
    pub device: DeviceId,
    /// Capability.
    pub capability: String,
    /// Verb.
    pub command: String,
    /// Arguments.
    pub arguments: Arguments,
    /// Sample concerned.
    pub sample: Option<SampleId>,
    /// Positions concerned.
    pub positions: Vec<PositionId>,
}

/// A claim under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// Where it stands.
    pub state: LeaseState,
    /// Devices held.
    pub devices: Vec<DeviceId>,
    /// Positions held.
    pub positions: Vec<PositionId>,
    /// Grows with each grant in the lab.
    pub fencing: u64,
}

/// One attempt at a plan.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where it stands.
    pub state: RunState,
    /// Its place in the order of submission.
    pub order: u64,
    /// Its trial.
    pub trial: Option<TrialId>,
    /// The client's id of the request.
    pub request_id: String,
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// Longest remaining path of each step in seconds: what is longest behind goes first.
    pub ranks: Arc<Vec<f64>>,
    /// Its sample.
    pub sample: Option<SampleId>,
    /// Where the sample stood at the start; stays reserved for it.
    pub home: Option<PositionId>,
    /// Its steps, with the indices of the plan's.
    pub steps: Vec<RunStep>,
    /// Its leases by name.
    pub leases: BTreeMap<String, Lease>,
    /// Devices whose drivers still hold records of it.
    pub unclosed: BTreeSet<DeviceId>,
    /// Why it failed or is held.
    pub message: String,
    /// Who ends it and why, once a person has.
    pub stopping: Option<String>,
}

impl Run {
    /// Index of a step by its name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.plan.steps.iter().position(|step| step.name == name)
    }

    /// Whether something may still happen.
    pub fn is_live(&self) -> bool {
        matches!(self.state, RunState::Queued | RunState::Running | RunState::Held)
    }
}

/// Why nothing new starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Everything was told to stop, not only asked to pause.
    pub stopped: bool,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// The sum of all facts. Large parts are shared, so that a copy to think ahead on is cheap.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Name of the lab; empty until the journal was begun.
    pub lab: String,
    /// Epoch of the current scheduler.
    pub epoch: u64,
    /// Devices by id.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Every place where a sample can stand.
    pub positions: BTreeSet<PositionId>,
    /// Samples by id.
    pub samples: BTreeMap<SampleId, Sample>,
    /// Campaigns by id.
    pub campaigns: BTreeMap<CampaignId, Arc<Campaign>>,
    /// Campaigns in the order of their creation.
    pub campaign_order: Vec<CampaignId>,
    /// Trials by id.
    pub trials: BTreeMap<TrialId, Arc<Trial>>,
    /// Runs by id.
    pub runs: BTreeMap<RunId, Arc<Run>>,
    /// Runs that are not over, in the order of submission.
    pub live_runs: Vec<RunId>,
    /// Why nothing new starts.
    pub hold: Option<Hold>,
    /// Leases granted so far.
    pub fencing: u64,
}

impl State {
    /// The lab as plans are checked against it.
    pub fn lab_model(&self) -> LabModel {
        LabModel {
            devices: self
                .devices
                .iter()
                .map(|(id, device)| DeviceModel {
                    id: id.clone(),
                    sample_position: device.sample_position.clone(),
                    manifest: device.manifest.as_deref().cloned(),
                })
                .collect(),
            positions: self.positions.clone(),
        }
    }

    /// The sample that stands at a position.
    pub fn occupant(&self, position: &PositionId) -> Option<&SampleId> {
        self.samples.iter().find(|(_, sample)| sample.position.as_ref() == Some(position)).map(|(id, _)| id)
    }

    /// Live runs in the order of submission.
    pub fn live(&self) -> impl Iterator<Item = (&RunId, &Arc<Run>)> {
        self.live_runs.iter().filter_map(|id| Some((id, self.runs.get(id)?)))
    }

    /// The specification of the command that an attempt carries out, as its device announces it.
    pub fn spec_of(&self, intent: &Intent) -> Option<&ppu_core::CommandSpec> {
        let device = self.devices.get(&intent.device)?;
        device.manifest.as_ref()?.command(&intent.capability, &intent.command)
    }

    /// The step of an id.
    pub fn step(&self, step: &StepId) -> Option<(&RunId, &RunStep)> {
        let (run, name) = step.parts();
        let (id, run) = self.runs.get_key_value(&RunId::new(run).ok()?)?;
        Some((id, &run.steps[run.index(name)?]))
    }

    /// Whether a device may start something: in session, not at work, not made safe, its ledger believed, and holding
    /// nothing that the journal does not know.
    pub fn may_start(&self, device: &Device) -> bool {
        device.link == LinkState::Attached
            && device.busy.is_none()
            && device.adopted.is_empty()
            && device.aborted.is_none()
            && device.memory_doubt.is_none()
    }

    /// The run and step index of an attempt, where the journal knows the step.
    pub fn find(&self, key: &CommandKey) -> Option<(RunId, usize)> {
        let (run, step) = key.step.parts();
        let run = RunId::new(run).ok()?;
        let index = self.runs.get(&run)?.index(step)?;
        Some((run, index))
    }

    /// Id of the trial with this number, from 1.
    pub(crate) fn trial_id(campaign: &CampaignId, number: u32) -> TrialId {
        TrialId::new(format!("{campaign}-t{number:03}")).expect("a campaign id with a suffix is a valid id")
    }

    /// Trials of a campaign that take a place among those under way.
    pub fn open_trials(&self, campaign: &Campaign) -> usize {
        campaign.trials.iter().filter_map(|id| self.trials.get(id)).filter(|trial| trial.state.is_open()).count()
    }

    /// Trials of a campaign that count towards its budget: all but those that a person rejected.
    pub fn counted_trials(&self, campaign: &Campaign) -> usize {
        let counts = |id: &TrialId| self.trials.get(id).is_some_and(|trial| trial.state != TrialState::Rejected);
        campaign.trials.iter().filter(|id| counts(id)).count()
    }

    /// The trial with the best score.
    pub fn best_trial<'a>(&'a self, campaign: &'a Campaign) -> Option<(&'a TrialId, &'a Arc<Trial>)> {
        campaign
            .trials
            .iter()
            .filter_map(|id| Some((id, self.trials.get(id)?)))
            // What people have excluded since is no answer, however good it was.
            .filter(|(_, trial)| trial.score.is_some() && campaign.spec.space.check(&trial.proposed.candidate).is_ok())
            .max_by(|(_, a), (_, b)| a.score.partial_cmp(&b.score).expect("scores are finite"))
    }
}

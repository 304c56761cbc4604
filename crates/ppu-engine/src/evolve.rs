//! Taking in facts. The one path by which the state changes, in operation and in recovery alike.

mod campaign;
mod matter;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ppu_core::objective::score;
use ppu_core::{CommandKey, DeviceId, PositionId, RunId, SampleId, TrialId};

use crate::event::{Event, Fact, Outcome, Resolution, Verdict};
use crate::lifecycle::{
    IllegalTransition, LeaseEvent, LeaseState, LifeCycle, LinkEvent, LinkState, RunEvent, RunState, StepEvent,
    StepState, TrialEvent,
};
use crate::rules;
use crate::state::{Campaign, Device, Hold, Intent, Lease, Run, RunStep, Sample, State, Trial};

/// A fact that cannot follow from those before it: the journal is not what this engine wrote.
#[derive(Debug, thiserror::Error)]
pub enum EvolveError {
    /// A life cycle has no such move.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The fact names something that does not exist.
    #[error("the fact names the {noun} `{id}`, which does not exist")]
    Unknown {
        /// What it should have been.
        noun: &'static str,
        /// The name.
        id: String,
    },
    /// An id that is not well-formed.
    #[error(transparent)]
    Id(#[from] ppu_core::ids::IdError),
}

fn unknown(noun: &'static str, id: impl ToString) -> EvolveError {
    EvolveError::Unknown { noun, id: id.to_string() }
}

impl State {
    fn device_mut(&mut self, id: &DeviceId) -> Result<&mut Device, EvolveError> {
        self.devices.get_mut(id).ok_or_else(|| unknown("device", id))
    }

    fn run_mut(&mut self, id: &RunId) -> Result<&mut Run, EvolveError> {
        self.runs.get_mut(id).map(Arc::make_mut).ok_or_else(|| unknown("run", id))
    }

    fn trial_mut(&mut self, id: &TrialId) -> Result<&mut Trial, EvolveError> {
        self.trials.get_mut(id).map(Arc::make_mut).ok_or_else(|| unknown("trial", id))
    }

    fn campaign_mut(&mut self, id: &ppu_core::CampaignId) -> Result<&mut Campaign, EvolveError> {
        self.campaigns.get_mut(id).map(Arc::make_mut).ok_or_else(|| unknown("campaign", id))
    }

    fn step_mut(&mut self, key: &CommandKey) -> Result<(RunId, usize, &mut RunStep), EvolveError> {
        let (run, index) = self.find(key).ok_or_else(|| unknown("step", &key.step))?;
        let step = &mut self.run_mut(&run)?.steps[index];
        Ok((run, index, step))
    }

    /// Takes in one fact.
    pub(crate) fn evolve(&mut self, fact: &Fact) -> Result<(), EvolveError> {
        let now = fact.at_ms;
        match &fact.event {
            Event::LabOpened { .. }
            | Event::EpochStarted { .. }
            | Event::LabPaused { .. }
            | Event::LabStopped { .. }
            | Event::LabResumed { .. }
            | Event::ClockJumped { .. } => self.evolve_lab(&fact.event),
            Event::DeviceDescribed { .. }
            | Event::DeviceAttached { .. }
            | Event::DeviceLost { .. }
            | Event::DeviceAborted { .. }
            | Event::DeviceCleared { .. }
            | Event::LedgerRetired { .. }
            | Event::AttemptAdopted { .. } => self.evolve_device(&fact.event),
            Event::SampleLocated { sample, position, .. } => self.locate(sample, position.as_ref()),
            Event::CampaignCreated { .. }
            | Event::CampaignEnding { .. }
            | Event::CampaignCompleted { .. }
            | Event::CampaignStopped { .. }
            | Event::CampaignReshaped { .. } => self.evolve_campaign(now, &fact.event),
            Event::Proposed { campaign, round, trials, levels, .. } => self.proposed(campaign, *round, trials, levels),
            Event::TrialDecided { .. } | Event::TrialObserved { .. } | Event::TrialFailed { .. } => {
                self.evolve_trial(now, &fact.event)
            }
            Event::RunSubmitted { run, trial, plan, request_id } => self.submit(run, trial.as_ref(), plan, request_id),
            Event::RunStarted { run, sample } => self.start(run, sample.as_ref()),
            Event::RunCompleted { run } => self.finish(now, run, RunEvent::Complete, ""),
            Event::RunFailed { run, reason } => self.finish(now, run, RunEvent::Fail, reason),
            Event::RunAborted { run, reason } => self.finish(now, run, RunEvent::Abort, reason),
            Event::RunStopping { run, who, reason } => {
                self.run_mut(run)?.stopping = Some(format!("stopped by {who}: {reason}"));
                Ok(())
            }
            Event::RunClosed { run, device } => {
                self.run_mut(run)?.unclosed.remove(device);
                Ok(())
            }
            Event::LeaseGranted { run, lease, devices, positions, fencing } => {
                self.grant(run, lease, devices, positions, *fencing)
            }
            Event::LeaseReleased { run, lease } => self.release(run, lease),
            Event::StepIntended { .. }
            | Event::StepAccepted { .. }
            | Event::StepEnded { .. }
            | Event::StepSkipped { .. }
            | Event::StepVoidWanted { .. }
            | Event::StepVoided { .. }
            | Event::DoubtSigned { .. }
            | Event::DoubtResolved { .. } => self.evolve_step(now, &fact.event),
        }
    }

    fn evolve_lab(&mut self, event: &Event) -> Result<(), EvolveError> {
        let hold =
            |stopped, who: &String, reason: &String| Some(Hold { stopped, who: who.clone(), reason: reason.clone() });
        match event {
            Event::LabOpened { lab, devices, positions, samples } => self.open(lab, devices, positions, samples),
            Event::EpochStarted { epoch } => {
                self.epoch = *epoch;
                for device in self.devices.values_mut().filter(|device| device.link == LinkState::Attached) {
                    device.link = device.link.next(LinkEvent::Lose)?;
                    device.lost_because = "the scheduler was restarted".to_owned();
                }
            }
            Event::LabPaused { who, reason } => self.hold = hold(false, who, reason),
            Event::LabStopped { who, reason } => self.hold = hold(true, who, reason),
            Event::LabResumed { .. } => self.hold = None,
            // A label: nothing that is decided rests on the wall clock (CLK-3).
            _ => {}
        }
        Ok(())
    }

    fn evolve_device(&mut self, event: &Event) -> Result<(), EvolveError> {
        match event {
            Event::DeviceDescribed { device, manifest, serial_number } => {
                let device = self.device_mut(device)?;
                device.manifest = Some(Arc::new(manifest.clone()));
                device.serial_number.clone_from(serial_number);
            }
            Event::DeviceAttached { device, boot, ledger_id, boot_nonce, last_dseq, memory_doubt } => {
                let device = self.device_mut(device)?;
                device.link = device.link.next(LinkEvent::Attach)?;
                device.ledger_id.clone_from(ledger_id);
                device.boot = (*boot, boot_nonce.clone());
                device.last_dseq = *last_dseq;
                device.lost_because.clear();
                if !memory_doubt.is_empty() {
                    device.memory_doubt = Some(memory_doubt.clone());
                }
            }
            Event::DeviceAborted { device, reason } => self.device_mut(device)?.aborted = Some(reason.clone()),
            Event::DeviceCleared { device, .. } => {
                let device = self.device_mut(device)?;
                (device.aborted, device.memory_doubt) = (None, None);
            }
            Event::LedgerRetired { device, ledger_id, who, isolated, .. } => {
                let device = self.device_mut(device)?;
                device.retired.insert(ledger_id.clone(), format!("{who}: {isolated}"));
                if &device.ledger_id == ledger_id {
                    device.ledger_id.clear();
                    (device.boot, device.last_dseq) = ((0, String::new()), 0);
                }
            }
            Event::DeviceLost { device, reason } => {
                let device = self.device_mut(device)?;
                device.link = device.link.next(LinkEvent::Lose)?;
                device.lost_because.clone_from(reason);
            }
            Event::AttemptAdopted { device, key } => {
                self.device_mut(device)?.adopted.insert(key.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn evolve_step(&mut self, now: i64, event: &Event) -> Result<(), EvolveError> {
        match event {
            Event::StepIntended { key, device, capability, command, arguments, sample, positions } => {
                let intent = Intent {
                    key: key.clone(),
                    device: device.clone(),
                    capability: capability.clone(),
                    command: command.clone(),
                    arguments: arguments.clone(),
                    sample: sample.clone(),
                    positions: positions.clone(),
                };
                self.intend(now, intent)
            }
            Event::StepAccepted { key } => {
                let (_, _, step) = self.step_mut(key)?;
                step.state = step.state.next(StepEvent::Promise)?;
                Ok(())
            }
            Event::StepEnded { key, device, dseq, outcome } => self.end(now, key, device, *dseq, outcome),
            Event::StepSkipped { step, achieved, reason } => {
                let key = CommandKey { step: step.clone(), attempt: 1 };
                let (_, _, step) = self.step_mut(&key)?;
                step.state = step.state.next(if *achieved { StepEvent::Finish } else { StepEvent::Skip })?;
                step.achieved = *achieved;
                step.message.clone_from(reason);
                step.ended_ms = now;
                Ok(())
            }
            Event::StepVoidWanted { step, who, reason } => {
                let key = CommandKey { step: step.clone(), attempt: 1 };
                self.step_mut(&key)?.2.void_wanted = Some(format!("{who}: {reason}"));
                Ok(())
            }
            Event::StepVoided { step, device, .. } => self.void(now, step, device),
            Event::DoubtSigned { key, verdict, resolution } => {
                self.step_mut(key)?.2.signed = Some((*verdict, resolution.clone()));
                Ok(())
            }
            Event::DoubtResolved { key, verdict, resolution, sample_position } => {
                self.resolve(now, key, *verdict, resolution, sample_position.as_ref())
            }
            _ => Ok(()),
        }
    }

    fn grant(
        &mut self,
        run: &RunId,
        name: &str,
        devices: &[DeviceId],
        positions: &[PositionId],
        fencing: u64,
    ) -> Result<(), EvolveError> {
        let state = LeaseState::Wanted.next(LeaseEvent::Grant)?;
        let lease = Lease { state, devices: devices.to_vec(), positions: positions.to_vec(), fencing };
        self.run_mut(run)?.leases.insert(name.to_owned(), lease);
        for id in devices {
            self.device_mut(id)?.lease = Some((run.clone(), name.to_owned()));
        }
        self.fencing = fencing;
        Ok(())
    }

    fn open(
        &mut self,
        lab: &str,
        devices: &BTreeMap<DeviceId, Option<PositionId>>,
        positions: &[PositionId],
        samples: &BTreeMap<SampleId, PositionId>,
    ) {
        self.lab = lab.to_owned();
        self.positions = positions.iter().cloned().collect();
        for (id, sample_position) in devices {
            let device = Device {
                link: LinkState::FIRST,
                lost_because: String::new(),
                manifest: None,
                serial_number: String::new(),
                sample_position: sample_position.clone(),
                ledger_id: String::new(),
                busy: None,
                busy_since_ms: 0,
                busy_total_ms: 0,
                commands: 0,
                adopted: BTreeSet::new(),
                adopted_in_doubt: BTreeSet::new(),
                aborted: None,
                memory_doubt: None,
                boot: (0, String::new()),
                last_dseq: 0,
                retired: BTreeMap::new(),
                lease: None,
            };
            self.devices.insert(id.clone(), device);
        }
        for (id, position) in samples {
            let position = Some(position.clone());
            let sample = Sample { position, run: None, used: false, in_doubt: false, may_be_at: Vec::new() };
            self.samples.insert(id.clone(), sample);
        }
    }

    fn evolve_trial(&mut self, now: i64, event: &Event) -> Result<(), EvolveError> {
        match event {
            Event::TrialDecided { trial, accept, who, reason } => {
                let trial = self.trial_mut(trial)?;
                trial.state = trial.state.next(if *accept { TrialEvent::Accept } else { TrialEvent::Reject })?;
                let verb = if *accept { "accepted" } else { "rejected" };
                trial.decision =
                    if reason.is_empty() { format!("{verb} by {who}") } else { format!("{verb} by {who}: {reason}") };
            }
            Event::TrialObserved { trial: id, observation } => {
                let campaign =
                    self.trials.get(id).map(|trial| trial.campaign.clone()).ok_or_else(|| unknown("trial", id))?;
                let objectives =
                    &self.campaigns.get(&campaign).ok_or_else(|| unknown("campaign", campaign))?.spec.objectives;
                let score = observation.complete(objectives).map(|values| score(objectives, &values));
                let trial = self.trial_mut(id)?;
                trial.state = trial.state.next(TrialEvent::Observe)?;
                trial.observation = Some((**observation).clone());
                trial.score = score;
                trial.ended_ms = now;
            }
            Event::TrialFailed { trial, reason } => {
                let trial = self.trial_mut(trial)?;
                trial.state = trial.state.next(TrialEvent::Fail)?;
                trial.failure.clone_from(reason);
                trial.ended_ms = now;
            }
            _ => {}
        }
        Ok(())
    }

    fn submit(
        &mut self,
        id: &RunId,
        trial: Option<&TrialId>,
        plan: &ppu_core::Plan,
        request_id: &str,
    ) -> Result<(), EvolveError> {
        let waiting = RunStep {
            state: StepState::FIRST,
            achieved: false,
            attempts: 0,
            device: None,
            intent: None,
            results: BTreeMap::new(),
            artifacts: Vec::new(),
            message: String::new(),
            code: String::new(),
            started_ms: 0,
            ended_ms: 0,
            void_wanted: None,
            signed: None,
        };
        let run = Run {
            state: RunState::FIRST,
            order: self.runs.len() as u64,
            trial: trial.cloned(),
            request_id: request_id.to_owned(),
            plan: Arc::new(plan.clone()),
            ranks: Arc::new(crate::priority::ranks(plan, self)),
            sample: None,
            home: None,
            steps: vec![waiting; plan.steps.len()],
            leases: BTreeMap::new(),
            unclosed: BTreeSet::new(),
            message: String::new(),
            stopping: None,
        };
        if let Some(trial) = trial {
            let trial = self.trial_mut(trial)?;
            trial.state = trial.state.next(TrialEvent::Start)?;
            trial.run = Some(id.clone());
        }
        self.runs.insert(id.clone(), Arc::new(run));
        self.live_runs.push(id.clone());
        Ok(())
    }

    fn start(&mut self, id: &RunId, sample: Option<&SampleId>) -> Result<(), EvolveError> {
        let mut home = None;
        if let Some(sample_id) = sample {
            let sample = self.samples.get_mut(sample_id).ok_or_else(|| unknown("sample", sample_id))?;
            sample.run = Some(id.clone());
            sample.used = true;
            home.clone_from(&sample.position);
        }
        let run = self.run_mut(id)?;
        run.state = run.state.next(RunEvent::Start)?;
        run.sample = sample.cloned();
        run.home = home;
        Ok(())
    }

    fn release(&mut self, run_id: &RunId, name: &str) -> Result<(), EvolveError> {
        let lease = self.run_mut(run_id)?.leases.get_mut(name).ok_or_else(|| unknown("lease", name))?;
        lease.state = lease.state.next(LeaseEvent::Release)?;
        for id in lease.devices.clone() {
            self.device_mut(&id)?.lease = None;
        }
        Ok(())
    }

    fn intend(&mut self, now: i64, intent: Intent) -> Result<(), EvolveError> {
        let device = self.device_mut(&intent.device)?;
        device.busy = Some(intent.key.clone());
        device.busy_since_ms = now;
        let (run, _, step) = self.step_mut(&intent.key)?;
        step.state = step.state.next(StepEvent::Intend)?;
        step.attempts = intent.key.attempt;
        step.device = Some(intent.device.clone());
        step.started_ms = now;
        let device = intent.device.clone();
        step.intent = Some(Arc::new(intent));
        self.run_mut(&run)?.unclosed.insert(device);
        Ok(())
    }

    fn end(
        &mut self,
        now: i64,
        key: &CommandKey,
        device_id: &DeviceId,
        dseq: u64,
        outcome: &Outcome,
    ) -> Result<(), EvolveError> {
        if self.end_adopted(key, device_id, dseq, outcome)? {
            return Ok(());
        }
        let (run_id, _, step) = self.step_mut(key)?;
        let event = match rules::after_outcome(outcome.state, key.attempt, crate::MAX_ATTEMPTS) {
            // Another attempt would meet the same sample; a person must look at it first (REL-15).
            StepEvent::Retry if outcome.sample_in_doubt => StepEvent::Fail,
            event => event,
        };
        step.state = step.state.next(event)?;
        step.achieved = event == StepEvent::Finish;
        step.results.clone_from(&outcome.results);
        step.artifacts.clone_from(&outcome.artifacts);
        step.message.clone_from(&outcome.message);
        step.code.clone_from(&outcome.code);
        step.ended_ms = now;
        let intent = step.intent.clone();
        if event == StepEvent::Doubt {
            let run = self.run_mut(&run_id)?;
            if run.state == RunState::Running {
                run.state = run.state.next(RunEvent::Hold)?;
            }
            run.message = format!("step {} is in doubt: {}", key.step.parts().1, outcome.message);
            return Ok(());
        }
        self.free(now, device_id, key)?;
        if let Some(intent) = intent {
            self.place_sample(&intent, outcome);
        }
        self.release_hold(&run_id)
    }

    fn void(&mut self, now: i64, step_id: &ppu_core::StepId, device: &DeviceId) -> Result<(), EvolveError> {
        let (_, _, step) = self.step_mut(&CommandKey { step: step_id.clone(), attempt: 1 })?;
        step.state = step.state.next(StepEvent::Void)?;
        step.ended_ms = now;
        step.message = step.void_wanted.clone().unwrap_or_else(|| "its ledger was retired".to_owned());
        let key = CommandKey { step: step_id.clone(), attempt: step.attempts };
        self.free(now, device, &key)
    }

    /// The device has done with the attempt.
    fn free(&mut self, now: i64, device: &DeviceId, key: &CommandKey) -> Result<(), EvolveError> {
        let device = self.device_mut(device)?;
        if device.busy.as_ref() == Some(key) {
            device.busy = None;
            device.busy_total_ms += (now - device.busy_since_ms).max(0);
            device.commands += 1;
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        now: i64,
        key: &CommandKey,
        verdict: Verdict,
        resolution: &Resolution,
        sample_position: Option<&PositionId>,
    ) -> Result<(), EvolveError> {
        let awaited = self.is_awaited(key);
        let mut adopted = false;
        for device in self.devices.values_mut() {
            adopted |= device.adopted.remove(key);
            device.adopted_in_doubt.remove(key);
        }
        if adopted && !awaited {
            return Ok(());
        }
        let (run_id, _, step) = self.step_mut(key)?;
        let (event, state) = rules::after_verdict(verdict);
        step.state = step.state.next(event)?;
        step.achieved = verdict == Verdict::Done;
        step.signed = None;
        step.ended_ms = now;
        step.message = format!("{state} by {}: {}", resolution.who, resolution.inspected);
        let intent = step.intent.clone();
        if let Some(intent) = intent {
            self.free(now, &intent.device, key)?;
            let outcome = Outcome {
                state,
                results: BTreeMap::new(),
                artifacts: Vec::new(),
                message: String::new(),
                code: String::new(),
                sample_position: sample_position.cloned(),
                sample_in_doubt: false,
            };
            self.place_sample(&intent, &outcome);
        }
        self.release_hold(&run_id)
    }

    fn finish(&mut self, now: i64, id: &RunId, event: RunEvent, reason: &str) -> Result<(), EvolveError> {
        let run = self.run_mut(id)?;
        run.state = run.state.next(event)?;
        run.message = reason.to_owned();
        let (sample, trial) = (run.sample.clone(), run.trial.clone());
        self.live_runs.retain(|live| live != id);
        if let Some(sample) = sample.and_then(|id| self.samples.get_mut(&id)) {
            sample.run = None;
        }
        if let (Some(trial), RunEvent::Complete) = (&trial, event) {
            let trial = self.trial_mut(trial)?;
            trial.state = trial.state.next(TrialEvent::Measure)?;
            trial.ended_ms = now;
        }
        Ok(())
    }
}

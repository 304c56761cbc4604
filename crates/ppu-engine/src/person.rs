//! What people decide about runs, steps, samples, doubts and devices.

use ppu_core::{CampaignId, CommandKey, DeviceId, PositionId, RunId, SampleId, StepId};

use crate::decide::{in_doubt, not_found};
use crate::event::{Event, Resolution, Verdict};
use crate::input::{Input, Refusal};
use crate::lifecycle::{LifeCycle, StepState};
use crate::state::State;

impl State {
    pub(crate) fn answer_person(&self, input: Input) -> Result<Vec<Event>, Refusal> {
        match input {
            Input::StopRun { run, who, reason } => {
                let known = self.runs.get(&run).ok_or_else(|| not_found("run", &run))?;
                if known.state.is_terminal() {
                    return Err(Refusal::NotNow(format!("run `{run}` has ended already")));
                }
                Ok(if known.stopping.is_some() { vec![] } else { vec![Event::RunStopping { run, who, reason }] })
            }
            Input::SkipStep { step, who, reason } => self.skip_step(step, who, reason),
            Input::Voided { step, device, dseq } => Ok(match self.step(&step) {
                // One that was asked for before a restart may be answered after its step is over.
                Some((_, known)) if known.void_wanted.is_some() && may_become_void(known.state) => {
                    vec![Event::StepVoided { step, device, dseq }]
                }
                _ => vec![],
            }),
            Input::DeviceAborted { device, reason } => {
                let known = self.devices.get(&device).ok_or_else(|| not_found("device", &device))?;
                Ok(if known.aborted.is_some() { vec![] } else { vec![Event::DeviceAborted { device, reason }] })
            }
            Input::Cleared { device, who, reason } => {
                self.may_clear(&device)?;
                Ok(vec![Event::DeviceCleared { device, who, reason }])
            }
            Input::RetireLedger { device, ledger_id, who, isolated, void } => {
                self.retire_ledger(device, ledger_id, who, isolated, void)
            }
            Input::LocateSample { sample, position, who, inspected } => {
                self.locate_sample(sample, position, who, inspected)
            }
            Input::ClockJumped { by_ms } => Ok(vec![Event::ClockJumped { by_ms }]),
            _ => Ok(vec![]),
        }
    }

    pub(crate) fn stop_campaign(
        &self,
        campaign: CampaignId,
        who: String,
        reason: String,
        stop_runs: bool,
    ) -> Result<Vec<Event>, Refusal> {
        let known = self.campaigns.get(&campaign).ok_or_else(|| not_found("campaign", &campaign))?;
        if known.state.is_terminal() {
            return Err(Refusal::NotNow(format!("campaign `{campaign}` has ended already")));
        }
        let mut events =
            vec![Event::CampaignStopped { campaign: campaign.clone(), who: who.clone(), reason: reason.clone() }];
        if stop_runs {
            let of_campaign = |run: &crate::state::Run| {
                run.trial.as_ref().and_then(|id| self.trials.get(id)).is_some_and(|trial| trial.campaign == campaign)
            };
            let runs = self.live().filter(|(_, run)| of_campaign(run) && run.stopping.is_none());
            let stop = |(run, _): (&RunId, _)| Event::RunStopping {
                run: run.clone(),
                who: who.clone(),
                reason: reason.clone(),
            };
            events.extend(runs.map(stop));
        }
        Ok(events)
    }

    /// A step that was never sent is skipped at once; any other one is made void at its driver first (REL-6).
    fn skip_step(&self, step: StepId, who: String, reason: String) -> Result<Vec<Event>, Refusal> {
        let (run, known) = self.step(&step).ok_or_else(|| not_found("step", &step))?;
        if !self.runs[run].is_live() || known.state.is_over() {
            return Err(Refusal::NotNow(format!("step `{step}` is over")));
        }
        Ok(if known.attempts == 0 {
            vec![Event::StepSkipped { step, achieved: false, reason: format!("skipped by {who}: {reason}") }]
        } else if known.void_wanted.is_some() {
            vec![]
        } else {
            vec![Event::StepVoidWanted { step, who, reason }]
        })
    }

    /// Whether a person may let a device start again: what its ledger may have forgotten must be resolved first.
    pub fn may_clear(&self, device: &DeviceId) -> Result<(), Refusal> {
        let known = self.devices.get(device).ok_or_else(|| not_found("device", device))?;
        if known.aborted.is_none() && known.memory_doubt.is_none() {
            return Err(Refusal::NotNow(format!("{device} waits for no clear")));
        }
        let open = known.busy.as_ref().filter(|key| self.live_step(key) == Some(StepState::InDoubt));
        match open.or(known.adopted_in_doubt.first()) {
            Some(key) => Err(Refusal::NotNow(format!("resolve the doubt about `{key}` first"))),
            None => Ok(()),
        }
    }

    /// A dead ledger (REL-14): its open attempts are void by the person's verdict, or in doubt.
    fn retire_ledger(
        &self,
        device: DeviceId,
        ledger_id: String,
        who: String,
        isolated: String,
        void: Vec<CommandKey>,
    ) -> Result<Vec<Event>, Refusal> {
        let known = self.devices.get(&device).ok_or_else(|| not_found("device", &device))?;
        let ledger_id = if ledger_id.is_empty() { known.ledger_id.clone() } else { ledger_id };
        if ledger_id.is_empty() {
            return Err(Refusal::NotNow(format!("no ledger of {device} is known")));
        }
        if isolated.trim().is_empty() {
            let message = "say how the device was isolated: its old driver may still act";
            return Err(Refusal::NotNow(message.to_owned()));
        }
        let mut events = Vec::new();
        let mut unused: Vec<&CommandKey> = void.iter().collect();
        for (_, run) in self.live() {
            for intent in run.steps.iter().filter_map(|step| step.intent.as_ref()).filter(|i| i.device == device) {
                let state = self.live_step(&intent.key);
                let open = matches!(state, Some(StepState::Intended | StepState::Accepted));
                // A step that waits for the tombstone of a dead ledger would wait for ever.
                let waits = state == Some(StepState::Waiting)
                    && self.step(&intent.key.step).is_some_and(|(_, step)| step.void_wanted.is_some());
                if waits || (open && void.contains(&intent.key)) {
                    unused.retain(|key| **key != intent.key);
                    let step = intent.key.step.clone();
                    events.push(Event::StepVoided { step, device: device.clone(), dseq: 0 });
                } else if open {
                    let message = format!("the ledger of {device} was retired by {who}");
                    events.push(in_doubt(intent.key.clone(), device.clone(), message));
                }
            }
        }
        if let Some(key) = unused.first() {
            return Err(Refusal::NotNow(format!("`{key}` is not open on {device}")));
        }
        let retired = Event::LedgerRetired { device, ledger_id, who, isolated, void };
        Ok([vec![retired], events].concat())
    }

    fn locate_sample(
        &self,
        sample: SampleId,
        position: Option<PositionId>,
        who: String,
        inspected: String,
    ) -> Result<Vec<Event>, Refusal> {
        let known = self.samples.get(&sample).ok_or_else(|| not_found("sample", &sample))?;
        if known.run.is_some() {
            return Err(Refusal::NotNow(format!("a run works on {sample}: end it first")));
        }
        if let Some(position) = &position {
            if !self.positions.contains(position) {
                return Err(not_found("position", position));
            }
            if let Some(other) = self.occupant(position).filter(|other| **other != sample) {
                return Err(Refusal::NotNow(format!("{other} stands at {position}")));
            }
        }
        Ok(vec![Event::SampleLocated { sample, position, who, inspected }])
    }

    /// Whether a doubt may only be resolved by two people.
    pub fn is_hazardous(&self, key: &CommandKey) -> bool {
        let intent = self.find(key).and_then(|(run, index)| self.runs[&run].steps[index].intent.clone());
        intent.is_some_and(|intent| self.spec_of(&intent).is_some_and(|spec| spec.hazardous))
    }

    /// Refuses a key that is not in doubt, neither as a step nor as an adopted attempt.
    pub(crate) fn check_doubt(&self, key: &CommandKey) -> Result<(), Refusal> {
        let adopted = self.devices.values().any(|device| device.adopted_in_doubt.contains(key));
        if adopted || self.live_step(key) == Some(StepState::InDoubt) {
            return Ok(());
        }
        Err(Refusal::NotNow(format!("`{key}` is not in doubt")))
    }

    /// The signature of one person under a verdict. None is needed where one person is enough; the first of two is
    /// recorded; the second must come from somebody else and say the same.
    pub(crate) fn sign_doubt(
        &self,
        key: CommandKey,
        verdict: Verdict,
        resolution: Resolution,
    ) -> Result<Vec<Event>, Refusal> {
        self.check_doubt(&key)?;
        if resolution.who.trim().is_empty() || resolution.inspected.trim().is_empty() {
            return Err(Refusal::NotNow("a verdict says who gives it and what was inspected".to_owned()));
        }
        if !self.is_hazardous(&key) {
            return Ok(vec![]);
        }
        match self.step(&key.step).and_then(|(_, step)| step.signed.as_ref()) {
            Some((first, by)) if *first == verdict && by.who == resolution.who => {
                Err(Refusal::NotNow(format!("{} has signed already: another person must", by.who)))
            }
            Some((first, _)) if *first == verdict => Ok(vec![]),
            // Another verdict is a new first signature: two people must agree.
            _ => Ok(vec![Event::DoubtSigned { key, verdict, resolution }]),
        }
    }
}

fn may_become_void(state: StepState) -> bool {
    matches!(state, StepState::Waiting | StepState::Intended | StepState::Accepted)
}

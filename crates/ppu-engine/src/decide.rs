//! From an input to the facts that follow from it, automatic consequences included. Changes nothing.

use std::collections::BTreeSet;

use ppu_core::{AttemptState, CampaignId, CommandKey, DeviceId, RunId};

use crate::Engine;
use crate::event::{Event, Fact, Outcome, Proposal};
use crate::input::{Input, Refusal};
use crate::lifecycle::{CampaignState, LinkState, StepEvent, StepState, TrialState};
use crate::rules::{self, Taking};
use crate::state::{Device, State};

pub(crate) fn not_found(noun: &'static str, id: impl ToString) -> Refusal {
    Refusal::NotFound { noun, id: id.to_string() }
}

impl Engine {
    /// What follows from an input: the facts to be journaled, in order. An input that is known already gives none.
    pub fn decide(&self, now_ms: i64, input: Input) -> Result<Vec<Fact>, Refusal> {
        let mut ahead = Ahead { state: self.state.clone(), now_ms, facts: Vec::new() };
        for event in self.state.answer(input)? {
            ahead.take(event);
        }
        crate::settle::settle(&mut ahead);
        Ok(ahead.facts)
    }
}

/// A copy of the state to think ahead on, and the facts thought of so far.
pub(crate) struct Ahead {
    pub(crate) state: State,
    pub(crate) now_ms: i64,
    facts: Vec<Fact>,
}

impl Ahead {
    /// Adds a fact and its effect on the copy.
    pub(crate) fn take(&mut self, event: Event) {
        let fact = Fact { at_ms: self.now_ms, event };
        self.state.evolve(&fact).expect("a decision only makes facts that its own state allows");
        self.facts.push(fact);
    }
}

impl State {
    fn answer(&self, input: Input) -> Result<Vec<Event>, Refusal> {
        match input {
            Input::Start { lab, devices, positions, samples } => self.start_up(lab, devices, positions, samples),
            Input::Described { device, manifest, serial_number } => {
                let known = self.devices.get(&device).ok_or_else(|| not_found("device", &device))?;
                let same = known.manifest.as_deref() == Some(&*manifest) && known.serial_number == serial_number;
                Ok(if same {
                    vec![]
                } else {
                    vec![Event::DeviceDescribed { device, manifest: *manifest, serial_number }]
                })
            }
            attached @ Input::Attached { .. } => self.attach(attached),
            Input::Lost { device, reason } => {
                let known = self.devices.get(&device).ok_or_else(|| not_found("device", &device))?;
                Ok(if known.link == LinkState::Attached { vec![Event::DeviceLost { device, reason }] } else { vec![] })
            }
            Input::Accepted { key } => Ok(match self.live_step(&key) {
                Some(StepState::Intended) => vec![Event::StepAccepted { key }],
                _ => vec![],
            }),
            Input::Refused { key, message } => Ok(self.refused(key, message)),
            Input::Ended { device, dseq, key, outcome } => Ok(self.ended(device, dseq, key, outcome)),
            Input::Resolved { key, verdict, resolution, sample_position } => {
                self.check_doubt(&key)?;
                let by_person = resolution.who != crate::event::INSTRUMENT;
                if by_person && self.is_hazardous(&key) && resolution.countersigned_by.is_none() {
                    return Err(Refusal::NotNow(format!(
                        "`{key}` is hazardous: two people must give the same verdict"
                    )));
                }
                Ok(vec![Event::DoubtResolved { key, verdict, resolution, sample_position }])
            }
            Input::Closed { run, device } => {
                let unclosed = self.runs.get(&run).is_some_and(|known| known.unclosed.contains(&device));
                Ok(if unclosed { vec![Event::RunClosed { run, device }] } else { vec![] })
            }
            Input::SubmitPlan { plan, request_id } => self.submit_plan(plan, request_id),
            Input::Pause { who, reason } => {
                Ok(if self.hold.is_some() { vec![] } else { vec![Event::LabPaused { who, reason }] })
            }
            Input::Stop { who, reason } => Ok(vec![Event::LabStopped { who, reason }]),
            Input::SignDoubt { key, verdict, resolution } => self.sign_doubt(key, verdict, resolution),
            Input::Resume { who, reason } => {
                if self.hold.is_none() {
                    return Err(Refusal::NotNow("the lab is running already".to_owned()));
                }
                Ok(vec![Event::LabResumed { who, reason }])
            }
            stopping @ (Input::StopRun { .. }
            | Input::SkipStep { .. }
            | Input::Voided { .. }
            | Input::DeviceAborted { .. }
            | Input::Cleared { .. }
            | Input::RetireLedger { .. }
            | Input::LocateSample { .. }
            | Input::ClockJumped { .. }) => self.answer_person(stopping),
            campaigning => self.answer_campaign(campaigning),
        }
    }

    fn answer_campaign(&self, input: Input) -> Result<Vec<Event>, Refusal> {
        match input {
            Input::CreateCampaign { spec, protocol, request_id } => self.create_campaign(spec, &protocol, request_id),
            Input::StopCampaign { campaign, who, reason, stop_runs } => {
                self.stop_campaign(campaign, who, reason, stop_runs)
            }
            Input::Proposal { campaign, round, result } => {
                let known = self.campaigns.get(&campaign).ok_or_else(|| not_found("campaign", &campaign))?;
                // A late answer to a question that is no longer asked is dropped.
                if known.state != CampaignState::Running || round != known.rounds + 1 {
                    return Ok(vec![]);
                }
                // People may have changed the space meanwhile: the question is asked again with the new one.
                let space = &known.spec.space;
                let proposed = result.as_ref().map_or(&[][..], |proposal| &proposal.trials);
                if !known.reshaped.is_empty() && proposed.iter().any(|trial| space.check(&trial.candidate).is_err()) {
                    return Ok(vec![]);
                }
                Ok(vec![match result {
                    Ok(Proposal { mut trials, note, levels }) if !trials.is_empty() => {
                        // Points that people pinned meanwhile are part of the budget.
                        let left = (known.spec.budget_trials as usize).saturating_sub(self.counted_trials(known));
                        trials.truncate(left);
                        Event::Proposed { campaign, round, trials, note, levels }
                    }
                    Ok(_) => Event::CampaignEnding { campaign, reason: "no candidate is left".to_owned() },
                    Err(reason) => Event::CampaignEnding { campaign, reason },
                }])
            }
            Input::ReshapeCampaign { campaign, limits, who, reason } => {
                self.reshape_campaign(campaign, limits, who, reason)
            }
            Input::PinCandidate { campaign, candidate, who, reason } => self.pin(campaign, candidate, who, reason),
            Input::Decide { trial, accept, who, reason } => {
                let known = self.trials.get(&trial).ok_or_else(|| not_found("trial", &trial))?;
                // The first decision counts; a second one is shown what was decided, and changes nothing.
                let waits = known.state == TrialState::AwaitingApproval;
                if waits && !accept && reason.trim().is_empty() {
                    return Err(Refusal::NotNow(
                        "a rejection needs a reason, so that others can learn from it".to_owned(),
                    ));
                }
                Ok(if waits { vec![Event::TrialDecided { trial, accept, who, reason }] } else { vec![] })
            }
            Input::Analysed { trial, result } => {
                let known = self.trials.get(&trial).ok_or_else(|| not_found("trial", &trial))?;
                if known.state != TrialState::Analysing {
                    return Ok(vec![]);
                }
                Ok(vec![match result {
                    Ok(observation) => Event::TrialObserved { trial, observation },
                    Err(reason) => Event::TrialFailed { trial, reason },
                }])
            }
            _ => Ok(vec![]),
        }
    }

    fn start_up(
        &self,
        lab: String,
        devices: std::collections::BTreeMap<DeviceId, Option<ppu_core::PositionId>>,
        positions: Vec<ppu_core::PositionId>,
        samples: std::collections::BTreeMap<ppu_core::SampleId, ppu_core::PositionId>,
    ) -> Result<Vec<Event>, Refusal> {
        let begin = Event::EpochStarted { epoch: self.epoch + 1 };
        if self.lab.is_empty() {
            return Ok(vec![Event::LabOpened { lab, devices, positions, samples }, begin]);
        }
        let known: BTreeSet<_> = self.devices.keys().collect();
        let given: BTreeSet<_> = devices.keys().collect();
        if self.lab != lab || known != given || self.positions != positions.into_iter().collect() {
            return Err(Refusal::OtherLab(format!(
                "this journal belongs to the lab `{}` with the devices and positions it was begun with; the lab file \
                 describes `{lab}`: use another data folder for another lab",
                self.lab
            )));
        }
        Ok(vec![begin])
    }

    /// Where the step of an attempt stands, if this attempt is its last.
    pub(crate) fn live_step(&self, key: &CommandKey) -> Option<StepState> {
        let (run, index) = self.find(key)?;
        let step = &self.runs[&run].steps[index];
        (step.attempts == key.attempt).then_some(step.state)
    }

    /// Attach before command (REL-3): the inventory is reconciled first. A live attempt that the journal does not know
    /// is adopted; one that the journal holds for promised and the ledger has lost is in doubt.
    ///
    /// A ledger that lost its memory, or that was restored from a copy, proves nothing: every attempt that is not final
    /// is in doubt (row 18), and the device starts nothing until a person clears it.
    fn attach(&self, attached: Input) -> Result<Vec<Event>, Refusal> {
        let Input::Attached { device, boot, ledger_id, boot_nonce, last_dseq, memory_doubt, aborted, inventory } =
            attached
        else {
            return Ok(vec![]);
        };
        let known = self.devices.get(&device).ok_or_else(|| not_found("device", &device))?;
        let memory_doubt = if memory_doubt.is_empty() {
            memory_doubt_of(known, &ledger_id, boot, &boot_nonce, last_dseq)
        } else {
            memory_doubt
        };
        let believed = memory_doubt.is_empty();
        let mut events = vec![Event::DeviceAttached {
            device: device.clone(),
            boot,
            ledger_id,
            boot_nonce,
            last_dseq,
            memory_doubt,
        }];
        if aborted && known.aborted.is_none() {
            let reason = "it was made safe while this scheduler was away".to_owned();
            events.push(Event::DeviceAborted { device: device.clone(), reason });
        }
        for (run_id, run) in self.live() {
            for (index, step) in run.steps.iter().enumerate().filter(|(_, step)| step.device.as_ref() == Some(&device))
            {
                let Some(intent) = step.intent.as_ref() else { continue };
                let listed = believed && inventory.iter().any(|line| line.key == intent.key);
                match rules::reconcile(step.state, listed, believed) {
                    Some(StepEvent::Promise) => events.push(Event::StepAccepted { key: intent.key.clone() }),
                    Some(_) => {
                        let name = &run.plan.steps[index].name;
                        let message = format!(
                            "the ledger of {device} has no proof of {run_id}/{name}, which it had promised or may have"
                        );
                        events.push(in_doubt(intent.key.clone(), device.clone(), message));
                    }
                    None => {}
                }
            }
        }
        for line in inventory.iter().filter(|line| line.state.is_live() && !self.waits_for(&line.key)) {
            if !known.adopted.contains(&line.key) {
                events.push(Event::AttemptAdopted { device: device.clone(), key: line.key.clone() });
            }
            if line.state == AttemptState::InDoubt && !known.adopted_in_doubt.contains(&line.key) {
                let message = format!("{device} holds {}, of which nobody knows the outcome", line.key);
                events.push(in_doubt(line.key.clone(), device.clone(), message));
            }
        }
        Ok(events)
    }

    /// Whether a step waits for this very attempt. A live attempt at a driver that nobody here waits for is adopted: the
    /// journal does not know it, or believes that it ended.
    fn waits_for(&self, key: &CommandKey) -> bool {
        self.live_step(key).is_some_and(StepState::is_live)
    }

    fn refused(&self, key: CommandKey, message: String) -> Vec<Event> {
        let Some((run, index)) = self.find(&key) else { return vec![] };
        let step = &self.runs[&run].steps[index];
        match (&step.device, step.state) {
            (Some(device), StepState::Intended) if step.attempts == key.attempt => {
                let mut outcome = plain(AttemptState::FailedNoEffect, message);
                outcome.code = "E0401".to_owned();
                vec![Event::StepEnded { key, device: device.clone(), dseq: 0, outcome: Box::new(outcome) }]
            }
            _ => vec![],
        }
    }

    /// Handling is idempotent (REL-10): an outcome that is known already makes no fact.
    fn ended(&self, device: DeviceId, dseq: u64, key: CommandKey, outcome: Box<Outcome>) -> Vec<Event> {
        let mut events = Vec::new();
        match self.live_step(&key).map(|step| rules::takes_outcome(step, outcome.state)) {
            Some(Taking::PromiseThenTake) => {
                events.push(Event::StepAccepted { key: key.clone() });
                events.push(Event::StepEnded { key, device, dseq, outcome });
            }
            Some(Taking::Take) => events.push(Event::StepEnded { key, device, dseq, outcome }),
            Some(Taking::Nothing) | None if self.is_news_of_adopted(&device, &key, outcome.state) => {
                events.push(Event::StepEnded { key, device, dseq, outcome });
            }
            Some(Taking::Nothing) | None => {}
        }
        events
    }

    /// Whether the outcome of an adopted attempt is one that is not known yet.
    fn is_news_of_adopted(&self, device: &DeviceId, key: &CommandKey, state: AttemptState) -> bool {
        let Some(known) = self.devices.get(device) else { return false };
        let doubt_is_known = state == AttemptState::InDoubt && known.adopted_in_doubt.contains(key);
        known.adopted.contains(key) && !doubt_is_known
    }

    fn submit_plan(&self, plan: Box<ppu_core::Plan>, request_id: String) -> Result<Vec<Event>, Refusal> {
        if !request_id.is_empty() && self.runs.values().any(|run| run.request_id == request_id) {
            return Ok(vec![]);
        }
        plan.check(&self.lab_model()).map_err(Refusal::Invalid)?;
        let run = RunId::new(format!("plan-{:04}", self.runs.len() + 1)).expect("a number makes a valid id");
        Ok(vec![Event::RunSubmitted { run, trial: None, plan, request_id }])
    }

    fn create_campaign(
        &self,
        spec: Box<ppu_core::campaign::CampaignSpec>,
        protocol: &ppu_core::protocol::Protocol,
        request_id: String,
    ) -> Result<Vec<Event>, Refusal> {
        if !request_id.is_empty() && self.campaigns.values().any(|campaign| campaign.request_id == request_id) {
            return Ok(vec![]);
        }
        // One plan in the middle of the space stands for all: structure, capabilities and units are the same in each.
        let middle = vec![0.5; spec.space.free().count()];
        let probe = spec.space.from_unit(&middle).or_else(|| spec.space.from_unit(&vec![0.1; middle.len()]));
        if let Some(probe) = probe {
            let mut values = spec.fixed.clone();
            values
                .extend(probe.0.into_iter().filter(|(name, _)| protocol.parameters().iter().any(|p| &p.name == name)));
            let plan = protocol.fill_in(&values).map_err(Refusal::Invalid)?;
            plan.check(&self.lab_model()).map_err(Refusal::Invalid)?;
        }
        let name = format!("{}-{}", spec.name, self.campaigns.len() + 1);
        let campaign = CampaignId::new(name).map_err(|error| Refusal::NotNow(error.to_string()))?;
        Ok(vec![Event::CampaignCreated {
            campaign,
            spec,
            protocol_file: protocol.file().to_owned(),
            protocol_toml: protocol.text().to_owned(),
            request_id,
        }])
    }
}

pub(crate) fn plain(state: AttemptState, message: String) -> Outcome {
    Outcome {
        state,
        results: std::collections::BTreeMap::new(),
        artifacts: Vec::new(),
        message,
        code: String::new(),
        sample_position: None,
        sample_in_doubt: false,
    }
}

/// Why the ledger that a driver shows cannot be the one that the journal knows (row 18); empty when it can.
fn memory_doubt_of(known: &Device, ledger_id: &str, boot: u64, boot_nonce: &str, last_dseq: u64) -> String {
    let (known_boot, known_nonce) = &known.boot;
    if known.ledger_id.is_empty() {
        String::new()
    } else if known.ledger_id != ledger_id {
        "its ledger is new: what the one before promised is forgotten".to_owned()
    } else if last_dseq < known.last_dseq {
        format!("its ledger ends at {last_dseq}, but {} was seen before: it is an old copy", known.last_dseq)
    } else if boot < *known_boot || (boot == *known_boot && boot_nonce != known_nonce) {
        format!("its ledger counts {boot} starts of the driver, of which the last is another one: it is an old copy")
    } else {
        String::new()
    }
}

pub(crate) fn in_doubt(key: CommandKey, device: DeviceId, message: String) -> Event {
    let mut outcome = plain(AttemptState::InDoubt, message);
    outcome.code = "E0402".to_owned();
    Event::StepEnded { key, device, dseq: 0, outcome: Box::new(outcome) }
}

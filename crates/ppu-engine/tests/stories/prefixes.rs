//! Every prefix of every story's journal: a scheduler that begins there finishes, or names what it waits for, and finishes
//! once it is answered. Checked when a story ends, so that no story can be forgotten.

use std::collections::BTreeMap;

use ppu_core::{AttemptState, DeviceId};
use ppu_engine::event::{Resolution, Verdict};
use ppu_engine::lifecycle::{StepState, TrialState};
use ppu_engine::{Engine, Event, Input};

use crate::story::{Story, manifest_of, seen_by};

/// A person answers a story's questions a few times at most; one that asks for ever does not finish.
const MOST_ROUNDS: usize = 10;

impl Drop for Story {
    fn drop(&mut self) {
        // A story that broke has said why already.
        if std::thread::panicking() {
            return;
        }
        let facts = std::mem::take(&mut self.facts);
        // One that was continued from the middle of another has no journal of its own.
        if !facts.first().is_some_and(|fact| matches!(fact.event, Event::LabOpened { .. })) {
            return;
        }
        for cut in 1..=facts.len() {
            let mut after = Story { engine: Engine::new(), facts: vec![], clock: 1000, effects: BTreeMap::new() };
            facts[..cut].iter().for_each(|fact| after.engine.evolve(fact).unwrap());
            after.begins_again();
            after.finishes_or_asks(cut);
            after.facts.clear();
        }
    }
}

impl Story {
    /// The scheduler starts anew, and every driver is there with a ledger that agrees with the journal.
    fn begins_again(&mut self) {
        self.start();
        for device in ["arm", "oven_a", "oven_b"] {
            let id = DeviceId::new(device).unwrap();
            let manifest = self.engine.state().devices[&id].manifest.as_deref().cloned();
            let manifest = Box::new(manifest.unwrap_or_else(|| manifest_of(device)));
            self.give(Input::Described { device: id.clone(), manifest, serial_number: "SIM1".into() }).unwrap();
            self.give(self.attached_as_known(id)).unwrap();
        }
    }

    fn attached_as_known(&self, id: DeviceId) -> Input {
        let state = self.engine.state();
        let known = &state.devices[&id];
        let steps = state.live().flat_map(|(_, run)| run.steps.iter());
        let open = steps.filter(|step| step.device.as_ref() == Some(&id)).filter_map(|step| {
            let key = step.intent.as_ref()?.key.clone();
            let state = match step.state {
                StepState::Accepted => AttemptState::Started,
                StepState::InDoubt => AttemptState::InDoubt,
                _ => return None,
            };
            Some(ppu_engine::InventoryLine { key, state })
        });
        let adopted = known.adopted.iter().map(|key| {
            let is_in_doubt = known.adopted_in_doubt.contains(key);
            let state = if is_in_doubt { AttemptState::InDoubt } else { AttemptState::Started };
            ppu_engine::InventoryLine { key: key.clone(), state }
        });
        Input::Attached {
            boot: known.boot.0 + 1,
            ledger_id: if known.ledger_id.is_empty() { "aa".into() } else { known.ledger_id.clone() },
            boot_nonce: "prefix".into(),
            last_dseq: known.last_dseq + 1,
            memory_doubt: String::new(),
            aborted: known.aborted.is_some(),
            inventory: open.chain(adopted).collect(),
            device: id,
        }
    }

    fn finishes_or_asks(&mut self, cut: usize) {
        for _ in 0..MOST_ROUNDS {
            self.drives_on();
            self.positions_are_single();
            if self.is_finished() {
                return;
            }
            let questions = self.questions();
            assert!(!questions.is_empty(), "after {cut} facts it neither finishes nor says what it waits for");
            for answer in questions {
                // An answer may have made the next question void.
                let _ = self.give(answer);
            }
        }
        panic!("after {cut} facts it asks for ever: {:?}", self.questions());
    }

    fn is_finished(&self) -> bool {
        use ppu_engine::lifecycle::LifeCycle as _;
        let state = self.engine.state();
        state.live().next().is_none() && state.campaigns.values().all(|campaign| campaign.state.is_terminal())
    }

    /// Drivers do what they are asked, and report what they had promised.
    fn drives_on(&mut self) {
        for _ in 0..1000 {
            if self.work() {
                continue;
            }
            let state = self.engine.state();
            let steps = state.live().flat_map(|(_, run)| run.steps.iter());
            let promised = steps.filter(|step| step.state == StepState::Accepted).find_map(|step| {
                let intent = step.intent.as_ref()?;
                Some((intent.key.clone(), intent.device.to_string()))
            });
            let adopted = state.devices.iter().find_map(|(id, device)| {
                let key = device.adopted.difference(&device.adopted_in_doubt).next()?;
                Some((key.clone(), id.to_string()))
            });
            let Some((key, device)) = promised.or(adopted) else { return };
            self.end(&key, &device, AttemptState::Succeeded);
        }
        panic!("the work does not end");
    }

    /// What it waits for, as the answers that a person would give.
    fn questions(&self) -> Vec<Input> {
        let state = self.engine.state();
        let (who, reason) = ("Ana".to_owned(), "looked at it".to_owned());
        let mut answers = vec![];
        if state.hold.is_some() {
            answers.push(Input::Resume { who: who.clone(), reason: reason.clone() });
        }
        for (device, known) in &state.devices {
            if known.aborted.is_some() || known.memory_doubt.is_some() {
                answers.push(Input::Cleared { device: device.clone(), who: who.clone(), reason: reason.clone() });
            }
        }
        let doubts = state.live().flat_map(|(_, run)| run.steps.iter()).filter(|s| s.state == StepState::InDoubt);
        let own = doubts.filter_map(|step| Some(step.intent.as_ref()?.key.clone()));
        let adopted = state.devices.values().flat_map(|device| device.adopted_in_doubt.iter().cloned());
        for key in own.chain(adopted) {
            let resolution = Resolution { countersigned_by: Some("Ben".into()), ..seen_by("Ana") };
            answers.push(Input::Resolved { key, verdict: Verdict::NotDone, resolution, sample_position: None });
        }
        for (sample, _) in state.samples.iter().filter(|(_, sample)| sample.in_doubt || sample.position.is_none()) {
            let (who, inspected) = (who.clone(), reason.clone());
            answers.push(Input::LocateSample { sample: sample.clone(), position: None, who, inspected });
        }
        for (trial, _) in state.trials.iter().filter(|(_, trial)| trial.state == TrialState::AwaitingApproval) {
            let (who, reason) = (who.clone(), reason.clone());
            answers.push(Input::Decide { trial: trial.clone(), accept: true, who, reason });
        }
        answers
    }
}

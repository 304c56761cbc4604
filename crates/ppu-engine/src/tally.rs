//! What the lab has done so far, counted from the facts of the journal alone: the same facts give the same counts.

use std::collections::BTreeMap;

use ppu_core::{AttemptState, CommandKey, DeviceId, RunId, Unit, Value};

use crate::event::{Event, Fact, INSTRUMENT, LevelReport, Outcome};

/// Upper ends of the duration classes in seconds of the clock that stamped the facts; a last class takes the rest. Three
/// in a decade: from the reply of a balance to a night in a furnace.
pub const DURATION_CLASSES_S: [f64; 14] =
    [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

/// The verb whose reported volumes and masses are material that leaves the store.
const CONSUMES: &str = "dispense";

/// Counts of one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeviceTally {
    /// Attempts that did what was asked.
    pub succeeded: u64,
    /// Attempts that failed or were stopped.
    pub failed: u64,
    /// Attempts that were in doubt at least once.
    pub in_doubt: u64,
    /// Milliseconds from intent to end, summed over ended attempts.
    pub busy_ms: i64,
    /// Ended attempts by duration; see [`DURATION_CLASSES_S`].
    pub durations: [u64; DURATION_CLASSES_S.len() + 1],
    /// Volume dispensed, µL.
    pub dispensed_ul: f64,
    /// Mass dispensed, mg.
    pub dispensed_mg: f64,
}

/// What people did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeopleTally {
    /// Campaigns and plans submitted.
    pub submissions: u64,
    /// Trials accepted or rejected: decisions that the campaign asked for.
    pub decisions: u64,
    /// Acts that nothing had planned: stops, clears, verdicts, samples looked for, changes of a campaign.
    pub interventions: u64,
}

/// Counts of one level of the twin, over all campaigns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LevelTally {
    /// Candidates evaluated, and evaluated again while annealing.
    pub evaluations: u64,
    /// Candidates that it refused.
    pub refused: u64,
    /// Seconds of computing.
    pub seconds: f64,
}

/// All counts of a journal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// When the first fact was decided, Unix milliseconds; 0 before it.
    pub first_ms: i64,
    /// When the last one was.
    pub last_ms: i64,
    /// By device.
    pub devices: BTreeMap<DeviceId, DeviceTally>,
    /// People.
    pub people: PeopleTally,
    /// Levels of the twin, by name.
    pub levels: BTreeMap<String, LevelTally>,
    /// Trials with an observation.
    pub trials_completed: u64,
    /// Trials that ended without one.
    pub trials_failed: u64,
    /// Milliseconds with a run under way while a scheduler was there to see it.
    pub working_ms: i64,
    /// The longest working time without an intervention, milliseconds.
    pub unassisted_ms: i64,
    /// Working time since the last intervention.
    since_intervention_ms: i64,
    live: std::collections::BTreeSet<RunId>,
    open: BTreeMap<CommandKey, Open>,
}

/// An attempt that has not ended.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    device: DeviceId,
    since_ms: i64,
    consumes: bool,
}

impl Tally {
    /// Takes in the next fact of the journal.
    pub fn evolve(&mut self, fact: &Fact) {
        self.pass_time(fact);
        match &fact.event {
            Event::RunStarted { run, .. } => {
                self.live.insert(run.clone());
            }
            Event::RunCompleted { run } | Event::RunFailed { run, .. } | Event::RunAborted { run, .. } => {
                self.live.remove(run);
            }
            Event::StepIntended { key, device, command, .. } => {
                let (device, consumes) = (device.clone(), command == CONSUMES);
                let open = Open { device, since_ms: fact.at_ms, consumes };
                self.open.insert(key.clone(), open);
            }
            Event::StepEnded { key, device, outcome, .. } => self.ended(fact.at_ms, key, device, outcome),
            Event::TrialObserved { .. } => self.trials_completed += 1,
            Event::TrialFailed { .. } => self.trials_failed += 1,
            Event::Proposed { levels, .. } => self.proposed(levels),
            Event::CampaignCreated { .. } | Event::RunSubmitted { trial: None, .. } => self.people.submissions += 1,
            Event::TrialDecided { .. } => self.people.decisions += 1,
            Event::DoubtResolved { key, resolution, .. } => {
                self.open.remove(key);
                if resolution.who != INSTRUMENT {
                    self.intervened();
                }
            }
            other if is_intervention(other) => self.intervened(),
            _ => {}
        }
    }

    /// Working time passes up to a fact. While no scheduler runs, nobody knows whether the lab works: that time does not
    /// count.
    fn pass_time(&mut self, fact: &Fact) {
        if self.first_ms == 0 {
            self.first_ms = fact.at_ms;
        }
        let absent = matches!(fact.event, Event::EpochStarted { .. });
        if !self.live.is_empty() && !absent {
            // A wall clock that was set back takes nothing away.
            let passed = (fact.at_ms - self.last_ms).max(0);
            self.working_ms += passed;
            self.since_intervention_ms += passed;
            self.unassisted_ms = self.unassisted_ms.max(self.since_intervention_ms);
        }
        self.last_ms = fact.at_ms;
    }

    fn intervened(&mut self) {
        self.people.interventions += 1;
        self.since_intervention_ms = 0;
    }

    fn ended(&mut self, at_ms: i64, key: &CommandKey, device: &DeviceId, outcome: &Outcome) {
        let tally = self.devices.entry(device.clone()).or_default();
        if outcome.state == AttemptState::InDoubt {
            tally.in_doubt += 1;
            return;
        }
        let Some(open) = self.open.remove(key) else { return };
        let passed = (at_ms - open.since_ms).max(0);
        let tally = self.devices.entry(open.device).or_default();
        tally.busy_ms += passed;
        let class = DURATION_CLASSES_S.iter().position(|end| passed as f64 <= 1e3 * end);
        tally.durations[class.unwrap_or(DURATION_CLASSES_S.len())] += 1;
        if outcome.state != AttemptState::Succeeded {
            tally.failed += 1;
            return;
        }
        tally.succeeded += 1;
        if open.consumes {
            let sum =
                |unit: Unit| outcome.results.values().filter_map(|value: &Value| value.in_unit(unit)).sum::<f64>();
            tally.dispensed_ul += sum(Unit::Microlitre);
            tally.dispensed_mg += sum(Unit::Milligram);
        }
    }

    fn proposed(&mut self, levels: &[LevelReport]) {
        for level in levels {
            let tally = self.levels.entry(level.level.clone()).or_default();
            tally.evaluations += level.evaluations;
            tally.refused += level.refused;
            tally.seconds += level.seconds;
        }
    }
}

/// Whether a person did something that nothing had planned.
fn is_intervention(event: &Event) -> bool {
    matches!(
        event,
        Event::DeviceCleared { .. }
            | Event::LedgerRetired { .. }
            | Event::SampleLocated { .. }
            | Event::CampaignStopped { .. }
            | Event::CampaignReshaped { .. }
            | Event::StepVoidWanted { .. }
            | Event::DoubtSigned { .. }
            | Event::RunStopping { .. }
            | Event::LabPaused { .. }
            | Event::LabStopped { .. }
            | Event::LabResumed { .. }
    )
}

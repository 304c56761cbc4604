//! What physically happens, and the ledger of it. It outlives every process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ppu_core::ActionClass;

use crate::instrument::Fate;

/// An instrument as the world knows it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What may be done with a command whose outcome is unknown.
    pub class: ActionClass,
    /// Actions begun so far: what a queryable device shows.
    pub counter: u64,
    /// What it is doing, and until when (nanoseconds of simulated time).
    pub busy: Option<Busy>,
    /// Nothing comes through on its line until then.
    pub line_down_until_ns: u64,
    /// What becomes of the next command, where that is not left to chance.
    pub next_fate: Option<Fate>,
}

/// An action under way.
#[derive(Debug, Clone)]
pub struct Busy {
    /// The command.
    pub key: String,
    /// When it ends, in nanoseconds of simulated time.
    pub ends_ns: u64,
    /// Where it moves a sample from and to, for the arm.
    pub moves: Option<(String, String)>,
}

/// One line of the world's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The device.
    pub device: String,
    /// The command that asked for it, `<run>/<step>#<attempt>`.
    pub key: String,
    /// When it began, in nanoseconds of simulated time.
    pub at_ns: u64,
}

impl Execution {
    /// The step that it belongs to, whatever the attempt.
    pub fn step(&self) -> &str {
        self.key.split('#').next().unwrap_or(&self.key)
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Nature {
    /// The instruments by device id.
    pub machines: BTreeMap<String, Machine>,
    /// Everything that was begun, in order.
    pub ledger: Vec<Execution>,
    /// Which sample stands where.
    pub places: BTreeMap<String, String>,
    /// What must never happen.
    pub violations: Vec<String>,
}

/// The world, shared by the instruments.
#[derive(Debug, Clone, Default)]
pub struct World(Arc<Mutex<Nature>>);

impl World {
    /// Looks at it, or changes it.
    pub fn nature(&self) -> MutexGuard<'_, Nature> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nature {
    /// Ends what has ended by now.
    pub fn advance(&mut self, now_ns: u64) {
        let mut moved = Vec::new();
        for machine in self.machines.values_mut() {
            if machine.busy.as_ref().is_some_and(|busy| busy.ends_ns <= now_ns)
                && let Some(Busy { moves: Some(moves), .. }) = machine.busy.take()
            {
                moved.push(moves);
            }
        }
        for (from, to) in moved {
            self.carry(&from, &to);
        }
    }

    /// An instrument begins an action; `false` where it is still busy and refuses.
    pub fn begin(
        &mut self,
        device: &str,
        key: &str,
        moves: Option<(String, String)>,
        now_ns: u64,
        span_ns: u64,
    ) -> bool {
        self.advance(now_ns);
        let Some(machine) = self.machines.get_mut(device) else { return false };
        if machine.busy.is_some() {
            return false;
        }
        machine.counter += 1;
        machine.busy = Some(Busy { key: key.to_owned(), ends_ns: now_ns + span_ns, moves });
        self.ledger.push(Execution { device: device.to_owned(), key: key.to_owned(), at_ns: now_ns });
        true
    }

    /// An instrument stops in the middle; a sample that was on its way stays where it came from.
    pub fn stop(&mut self, device: &str) {
        if let Some(machine) = self.machines.get_mut(device) {
            machine.busy = None;
        }
    }

    /// Whether this command was ever carried out, wholly or in part.
    pub fn has_begun(&self, key: &str) -> bool {
        self.ledger.iter().any(|execution| execution.key == key)
    }

    /// Where a sample stands.
    pub fn place_of(&self, sample: &str) -> Option<&str> {
        self.places.iter().find(|(_, there)| *there == sample).map(|(place, _)| place.as_str())
    }

    fn carry(&mut self, from: &str, to: &str) {
        let Some(sample) = self.places.remove(from) else {
            self.violations.push(format!("the arm reached for a sample in {from}, where there is none"));
            return;
        };
        if let Some(other) = self.places.insert(to.to_owned(), sample.clone()) {
            self.violations.push(format!("{sample} was put into {to}, where {other} stands"));
        }
    }
}

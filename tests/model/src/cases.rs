//! The checks that are run: what is explored, what must be found, and how many states that took before.

use std::time::{Duration, Instant};

use ppu_core::ActionClass;
use stateright::{Checker, HasDiscoveries, Model};

use crate::action::Action;
use crate::bounds::{Bounds, Budget, Plan, Variant};
use crate::explore::{explore, shortest_violation};
use crate::model::Protocol;
use crate::properties;

/// Transitions for each state, about; stateright counts those.
const SUCCESSORS: usize = 6;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What is explored.
    pub bounds: Bounds,
    /// States that the whole exploration had when it was last looked at; 0 for a weakened variant, which ends early.
    pub expected_states: usize,
    /// The property that a weakened variant must violate.
    pub must_violate: Option<&'static str>,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Wall time of the check.
    pub time: Duration,
    /// Whether everything within the bounds was visited.
    pub is_complete: bool,
    /// Violated properties, each with the shortest way to it.
    pub violations: Vec<(&'static str, Vec<Action>)>,
    /// States from which no final state can be reached; `None` where that was not asked.
    pub stuck: Option<usize>,
}

const NO_FAULTS: Budget =
    Budget { scheduler_crashes: 0, driver_crashes: 0, deposed_sends: 0, line_faults: 0, refusals: 0, ledger_faults: 0 };

const fn crashes(scheduler: u8, driver: u8) -> Budget {
    Budget { scheduler_crashes: scheduler, driver_crashes: driver, ..NO_FAULTS }
}

const fn whole(class: ActionClass, plan: Plan, faults: Budget, expected_states: usize) -> Case {
    Case {
        bounds: Bounds { class, variant: Variant::Whole, faults, in_flight: 2, plan },
        expected_states,
        must_violate: None,
    }
}

/// The checks of every change: every class, every kind of fault, both drivers, both plans.
pub fn small() -> Vec<Case> {
    use ActionClass::{Idempotent, Queryable, Unqueryable};
    let line = Budget { line_faults: 1, refusals: 1, ..NO_FAULTS };
    vec![
        whole(Queryable, Plan::OneStep, crashes(1, 1), 123_770),
        whole(Unqueryable, Plan::OneStep, crashes(0, 1), 88_684),
        whole(Idempotent, Plan::OneStep, crashes(0, 1), 33_248),
        whole(Queryable, Plan::SideBySide, NO_FAULTS, 149_604),
        whole(Queryable, Plan::OneStep, Budget { deposed_sends: 1, ..crashes(1, 0) }, 395_912),
        whole(Unqueryable, Plan::InOrder, Budget { deposed_sends: 1, ..crashes(1, 0) }, 1_441_260),
        whole(Queryable, Plan::OneStep, line, 125_009),
        whole(Unqueryable, Plan::OneStep, line, 436_432),
        whole(Queryable, Plan::OneStep, Budget { ledger_faults: 1, ..crashes(0, 1) }, 372_529),
    ]
}

/// The long checks: two crashes on each side, and more faults together.
pub fn large() -> Vec<Case> {
    use ActionClass::{Idempotent, Queryable, Unqueryable};
    vec![
        whole(Queryable, Plan::OneStep, crashes(2, 2), 1),
        whole(Unqueryable, Plan::OneStep, crashes(2, 2), 1),
        whole(Idempotent, Plan::OneStep, crashes(2, 2), 1),
        whole(Unqueryable, Plan::InOrder, crashes(0, 1), 365_108),
        whole(Queryable, Plan::InOrder, Budget { deposed_sends: 2, ..crashes(2, 0) }, 1),
        whole(Queryable, Plan::SideBySide, crashes(1, 0), 1),
        whole(Queryable, Plan::OneStep, Budget { line_faults: 1, refusals: 1, ..crashes(0, 1) }, 1),
        whole(Unqueryable, Plan::OneStep, Budget { line_faults: 1, refusals: 1, ..crashes(0, 1) }, 1),
        whole(Idempotent, Plan::OneStep, Budget { line_faults: 1, refusals: 1, ..crashes(0, 1) }, 1),
        whole(Unqueryable, Plan::OneStep, Budget { ledger_faults: 1, ..crashes(0, 1) }, 1),
        whole(Queryable, Plan::OneStep, Budget { ledger_faults: 1, ..crashes(1, 1) }, 1),
    ]
}

/// Each weakened variant with the faults that it needs.
pub fn weakened() -> Vec<Case> {
    Variant::WEAKENED.into_iter().map(weakened_case).collect()
}

fn weakened_case(variant: Variant) -> Case {
    use ActionClass::{Queryable, Unqueryable};
    let deposed = Budget { deposed_sends: 1, ..crashes(1, 0) };
    let (class, plan, faults, must_violate) = match variant {
        Variant::Whole | Variant::NoTombstone | Variant::TimeOutDecides => {
            (Queryable, Plan::OneStep, NO_FAULTS, properties::ONE_EFFECT)
        }
        Variant::NoStepLock => (Queryable, Plan::OneStep, NO_FAULTS, properties::ONE_EFFECT),
        Variant::KeysInMemory | Variant::LedgerAtTheEnd => {
            (Queryable, Plan::OneStep, crashes(0, 1), properties::ONE_EFFECT)
        }
        Variant::BlindResend => (Unqueryable, Plan::OneStep, crashes(0, 1), properties::ONE_EFFECT),
        Variant::NoFence => (Queryable, Plan::InOrder, deposed, properties::DEPOSED_IS_FENCED),
        Variant::NoReconciliation => (Queryable, Plan::InOrder, deposed, properties::NOTHING_UNKNOWN),
        Variant::LateIntent => (Queryable, Plan::InOrder, NO_FAULTS, properties::INTENT_FIRST),
        Variant::EarlyAck => (Queryable, Plan::InOrder, crashes(1, 0), properties::NOTHING_LOST),
        Variant::DeadLedgerLives => {
            (Queryable, Plan::OneStep, Budget { ledger_faults: 1, ..crashes(0, 1) }, properties::DEAD_STAYS_DEAD)
        }
    };
    let bounds = Bounds { class, variant, faults, in_flight: 2, plan };
    Case { bounds, expected_states: 0, must_violate: Some(must_violate) }
}

impl Case {
    /// Checks the case within so many states. A weakened variant ends at its first violation. The whole protocol is
    /// explored by stateright for the properties, and then once more for "can finish".
    pub fn run(&self, most_states: usize) -> Report {
        let begun = Instant::now();
        let model = Protocol { bounds: self.bounds };
        let checker = model.checker().target_state_count(most_states.saturating_mul(SUCCESSORS));
        let mut report =
            Report { states: 0, time: Duration::ZERO, is_complete: false, violations: vec![], stuck: None };
        if let Some(name) = self.must_violate {
            let checker = checker.finish_when(HasDiscoveries::AnyOf([name].into())).spawn_bfs().join();
            let (states, way) = shortest_violation(&model, name, most_states);
            report.states = states;
            // Both searches must find it.
            report.violations.extend(way.filter(|_| checker.discovery(name).is_some()).map(|way| (name, way)));
        } else {
            let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
            report.states = checker.unique_state_count();
            for name in checker.discoveries().into_keys() {
                let (_, way) = shortest_violation(&model, name, most_states);
                report.violations.push((name, way.unwrap_or_default()));
            }
            if report.violations.is_empty() {
                let explored = explore(&model, most_states);
                report.is_complete = explored.is_complete;
                // Where both saw everything they saw the same; otherwise each stopped at its own edge.
                report.states = report.states.min(explored.states);
                report.stuck = Some(explored.stuck);
                report.violations.extend(explored.way_to_stuck.map(|way| (properties::CAN_FINISH, way)));
            }
        }
        report.time = begun.elapsed();
        report
    }

    /// Whether the report is what it must be: the weakened variant caught, the protocol without violation and with at
    /// least half of the states that it had before.
    pub fn is_as_expected(&self, report: &Report, most_states: usize) -> bool {
        match self.must_violate {
            Some(name) => report.violations.iter().any(|(violated, way)| *violated == name && !way.is_empty()),
            None => {
                report.violations.is_empty()
                    && report.stuck == Some(0)
                    && report.states >= self.expected_states.min(most_states) / 2
            }
        }
    }
}

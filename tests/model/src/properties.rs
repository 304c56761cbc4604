//! What must hold in every state that can be reached.

use ppu_core::{ActionClass, AttemptState};
use ppu_engine::lifecycle::{LinkState, StepState};
use stateright::Property;

use crate::model::Protocol;
use crate::state::{DEVICES, FIRST, Key, REPLACEMENT, SECOND, STEPS, State};

/// At most one physical effect for the purpose of each step.
pub const ONE_EFFECT: &str = "at most one effect per step";
/// A deposed scheduler starts nothing after a newer Attach was answered (REL-2).
pub const DEPOSED_IS_FENCED: &str = "a deposed scheduler starts nothing after a newer Attach";
/// After Attach no live key is unknown to the journal (REL-3).
pub const NOTHING_UNKNOWN: &str = "after Attach no live key is unknown to the journal";
/// No device acts on a key that no journal holds (REL-1).
pub const INTENT_FIRST: &str = "no device acts on a key that the journal lacks";
/// No acknowledged outcome is lost (REL-10).
pub const NOTHING_LOST: &str = "no acknowledged outcome is lost";
/// A retired or restored ledger starts nothing (REL-14, row 18).
pub const DEAD_STAYS_DEAD: &str = "a retired or restored ledger starts nothing";
/// From every state a state is reachable in which every step has ended. Checked by [`crate::explore`].
pub const CAN_FINISH: &str = "a final state is reachable";

/// The properties that stateright checks.
pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_EFFECT, one_effect),
        Property::always(DEPOSED_IS_FENCED, |_, state: &State| !state.truth.deposed_was_obeyed),
        Property::always(NOTHING_UNKNOWN, |_, state: &State| nothing_unknown(state)),
        Property::always(INTENT_FIRST, |_, state: &State| !state.truth.unwritten_acted),
        Property::always(NOTHING_LOST, |_, state: &State| nothing_lost(state)),
        Property::always(DEAD_STAYS_DEAD, |_, state: &State| !state.truth.dead_ledger_started),
    ]
}

/// Commands that may be repeated are judged by the state they reach: one key may act again, two keys may not act.
fn one_effect(protocol: &Protocol, state: &State) -> bool {
    if protocol.bounds.class != ActionClass::Idempotent {
        return state.truth.effects.iter().all(|effects| *effects <= 1);
    }
    let acted = |steps: &[u8]| {
        let keys = Key::ALL.into_iter().filter(|key| steps.contains(&key.step()));
        keys.filter(|key| state.truth.acted & key.bit() != 0).count()
    };
    acted(&[FIRST, REPLACEMENT]) <= 1 && acted(&[SECOND]) <= 1
}

fn nothing_unknown(state: &State) -> bool {
    (0..DEVICES).all(|device| {
        let link = state.scheduler.links[device];
        let is_in_session = state.scheduler.is_up && link.state == LinkState::Attached && link.is_current;
        let known = |key: &Key| state.journal.steps[usize::from(key.step())].attempts >= key.attempt();
        let ledger = &state.drivers[device].ledger;
        let live = |key: &Key| ledger.attempts[key.index()].is_some_and(|attempt| attempt.state.is_live());
        !is_in_session || Key::ALL.into_iter().filter(live).all(|key| known(&key))
    })
}

fn nothing_lost(state: &State) -> bool {
    let ledgers = state.drivers.iter().map(|driver| &driver.ledger);
    let acknowledged = ledgers.flat_map(|ledger| {
        Key::ALL.into_iter().filter_map(|key| {
            let attempt = ledger.attempts[key.index()].filter(|attempt| attempt.is_acknowledged)?;
            Some((key, attempt.state))
        })
    });
    acknowledged.into_iter().all(|(key, outcome)| is_recorded(state, key, outcome))
}

/// Whether the journal has the outcome, or a process that lives still holds it in its hands.
fn is_recorded(state: &State, key: Key, outcome: AttemptState) -> bool {
    debug_assert!(STEPS.contains(&key.step()));
    let step = &state.journal.steps[usize::from(key.step())];
    let waits_for_it = matches!(step.state, StepState::Intended | StepState::Accepted);
    step.attempts > key.attempt()
        || (step.attempts == key.attempt() && !waits_for_it)
        || (state.scheduler.is_up && state.scheduler.unwritten_outcome == Some((key, outcome)))
}

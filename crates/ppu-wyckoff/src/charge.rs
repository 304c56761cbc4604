//! Which compositions oxidation states can balance, for all compositions of a chemical system at once: the rule of
//! [`ppu_twin::rules::charge_balance`], in a form that can be looked ahead.

use ppu_twin::rules::{ChargeSettings, Charges, Element, Formula, Ion, charge_balance, in_order};

use crate::counts::{CountSet, Counts, MOST_ELEMENTS, each};

/// Why the charge rule cannot be looked ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// Atoms of one element in two states.
    #[error("mixed valence is not supported while crystals are generated; test it afterwards instead")]
    MixedValence,
}

pub(crate) fn supported(settings: &ChargeSettings) -> Result<(), ChargeError> {
    if settings.mixed_valence { Err(ChargeError::MixedValence) } else { Ok(()) }
}

/// Every balanced composition with all elements of the system (indices from hydrogen on), at most `limit` atoms together.
pub(crate) fn balanced(system: &[u8], settings: &ChargeSettings, limit: usize) -> CountSet {
    let mut found = CountSet::empty(system.len());
    if alloy(system, settings) {
        return CountSet::all_present(system.len(), limit);
    }
    assignments(system, settings, |charges| {
        neutral(charges, limit, |counts| {
            found.insert(counts);
            true
        })
    });
    found
}

/// Whether any composition is balanced that also lies in `reach`.
pub(crate) fn any_balanced(system: &[u8], settings: &ChargeSettings, limit: usize, reach: Option<&CountSet>) -> bool {
    if alloy(system, settings) {
        let all = CountSet::all_present(system.len(), limit);
        return reach.map_or(!all.is_empty(), |reach| reach.meets(&all));
    }
    let mut found = false;
    assignments(system, settings, |charges| {
        neutral(charges, limit, |counts| {
            found = reach.is_none_or(|reach| reach.contains(counts));
            !found
        })
    });
    found
}

fn element(index: u8) -> Element {
    Element::from_atomic_number(index + 1).expect("the rules know every element that the structures know")
}

/// Whether the settings accept the system without a test.
fn alloy(system: &[u8], settings: &ChargeSettings) -> bool {
    settings.alloys_pass
        && Formula::new(system.iter().map(|index| (element(*index), 1)))
            .is_some_and(|formula| charge_balance(&formula, settings).charges == Charges::Alloy)
}

/// Every choice of one state an element that is in order and has both signs, until `visit` asks to stop.
fn assignments(system: &[u8], settings: &ChargeSettings, mut visit: impl FnMut(&[i32]) -> bool) {
    let states: Vec<Vec<i8>> = system.iter().map(|index| states(element(*index), settings)).collect();
    let total: usize = states.iter().map(Vec::len).product();
    for number in 0..total {
        let mut rest = number;
        let mut charges = [0; MOST_ELEMENTS];
        let mut ions = [Ion { element: element(system[0]), charge: 0 }; MOST_ELEMENTS];
        for (slot, states) in states.iter().enumerate() {
            let charge = states[rest % states.len()];
            rest /= states.len();
            charges[slot] = i32::from(charge);
            ions[slot] = Ion { element: element(system[slot]), charge };
        }
        let charges = &charges[..system.len()];
        let both = charges.iter().any(|charge| *charge > 0) && charges.iter().any(|charge| *charge < 0);
        let ordered = || !settings.electronegativity || in_order(ions[..system.len()].iter().copied());
        if both && ordered() && !visit(charges) {
            return;
        }
    }
}

fn states(element: Element, settings: &ChargeSettings) -> Vec<i8> {
    let total: u32 = element.oxidation_states(0).map(|(_, reports)| reports).sum();
    let usual = |reports: u32| f64::from(reports) / f64::from(total.max(1)) >= settings.least_share;
    let states = element.oxidation_states(settings.least_reports);
    states.filter(|(_, reports)| usual(*reports)).map(|(charge, _)| charge).collect()
}

/// Every neutral composition of these charges, until `visit` asks to stop; tells whether it went to the end.
fn neutral(charges: &[i32], limit: usize, mut visit: impl FnMut(Counts) -> bool) -> bool {
    let Some((last, before)) = charges.split_last() else { return true };
    let mut going = true;
    each(before.len(), limit.saturating_sub(1), |mut counts| {
        let charge: i32 = counts.iter().zip(before).map(|(count, charge)| i32::from(*count) * charge).sum();
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let count = if *last == 0 || charge % last != 0 { 0 } else { -charge / last };
        if going && count > 0 && total + count as usize <= limit && counts[..before.len()].iter().all(|n| *n > 0) {
            counts[before.len()] = count as u8;
            going = visit(counts);
        }
    });
    going
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_agree_with_the_rule_itself() {
        let settings = ChargeSettings { least_share: 0.01, ..ChargeSettings::default() };
        let lenient = ChargeSettings { alloys_pass: true, electronegativity: false, ..ChargeSettings::default() };
        // Sodium chloride, barium titanate, iron oxyfluoride, an alloy, a noble gas.
        for (system, limit) in
            [(vec![10, 16], 20), (vec![7, 21, 55], 20), (vec![7, 8, 25], 14), (vec![12, 27], 9), (vec![1, 7], 9)]
        {
            for settings in [settings, lenient] {
                let set = balanced(&system, &settings, limit);
                let mut any = false;
                each(system.len(), limit, |counts| {
                    if counts[..system.len()].contains(&0) {
                        return assert!(!set.contains(counts));
                    }
                    let pairs = system.iter().zip(counts).map(|(index, n)| (element(*index), u32::from(n)));
                    let passes = charge_balance(&Formula::new(pairs).unwrap(), &settings).passes();
                    assert_eq!(set.contains(counts), passes, "{system:?} {counts:?}");
                    any |= passes;
                });
                assert_eq!(any_balanced(&system, &settings, limit, None), any);
            }
        }
        let mixed = ChargeSettings { mixed_valence: true, ..settings };
        assert_eq!(supported(&mixed), Err(ChargeError::MixedValence));
    }
}

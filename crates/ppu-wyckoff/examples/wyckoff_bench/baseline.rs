//! The baseline: ionic substitution in the training crystals. Hautier et al., Inorg. Chem. 50, 656 (2011).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ppu_twin::rules::{Charges, Element as RuleElement, Ion, charge_balance};
use ppu_wyckoff::{Crystal, Orbit};
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::RULE;

/// The published weights, as the proposer of ionic substitution has them; the crate itself would bring the optimizer along.
const TABLE: &str = include_str!("../../../ppu-proposer/data/substitution.txt");
/// Weight of a pair that was never seen; the same as the proposer's.
const NEVER_SEEN: f64 = -5.0;

/// Weights λ(s, t) by the names of the ions, in both orders.
static WEIGHTS: LazyLock<BTreeMap<(&str, &str), f64>> = LazyLock::new(|| {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let species: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let name = |number: &str| number.parse::<usize>().ok().and_then(|number| species.get(number).copied());
    let mut weights = BTreeMap::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let Some(one) = words.next().and_then(name) else { continue };
        for (number, weight) in words.filter_map(|word| word.split_once(':')) {
            if let (Some(other), Ok(weight)) = (name(number), weight.parse()) {
                weights.insert((one, other), weight);
                weights.insert((other, one), weight);
            }
        }
    }
    weights
});

/// Children of random parents: one or two of the parent's ions are exchanged for others of the same charge by p(t | s) of the
/// published table, so that the child is neutral. Only parents whose charges balance can be substituted; all have the same
/// chance. A child with two equal elements is drawn again.
pub(crate) fn substituted(parents: &[Crystal], count: usize, rng: &mut ChaCha12Rng) -> Vec<Crystal> {
    let fruitful: Vec<(&Crystal, Vec<Ion>)> =
        parents.iter().filter_map(|parent| Some((parent, ions(parent)?))).collect();
    let mut children = Vec::with_capacity(count);
    while children.len() < count && !fruitful.is_empty() {
        let (parent, ions) = &fruitful[rng.random_range(0..fruitful.len())];
        children.extend(child(parent, ions, rng));
    }
    children
}

fn ions(parent: &Crystal) -> Option<Vec<Ion>> {
    match charge_balance(&parent.formula(), &RULE).charges {
        Charges::Balanced { ions, .. } => Some(ions.into_iter().map(|(ion, _)| ion).collect()),
        _ => None,
    }
}

fn child(parent: &Crystal, ions: &[Ion], rng: &mut ChaCha12Rng) -> Option<Crystal> {
    let mut after = ions.to_vec();
    let mut places: Vec<usize> = (0..ions.len()).collect();
    let exchanged = rng.random_range(1..=2.min(ions.len()));
    for _ in 0..exchanged {
        let place = places.swap_remove(rng.random_range(0..places.len()));
        after[place] = exchange(ions[place], rng)?;
    }
    let distinct = (1..after.len()).all(|at| after[..at].iter().all(|other| other.element != after[at].element));
    if !distinct || after == ions {
        return None;
    }
    let orbit = |orbit: &Orbit| {
        let place = ions.iter().position(|ion| u32::from(ion.element.atomic_number()) == orbit.element.number())?;
        let element = ppu_atoms::Element::from_number(after[place].element.atomic_number().into()).ok()?;
        Some(Orbit { position: orbit.position, element })
    };
    let orbits: Option<Vec<Orbit>> = parent.orbits().iter().map(orbit).collect();
    Crystal::new(parent.group(), orbits?).ok()
}

/// Another ion of the same charge, of an element that the model knows too.
fn exchange(from: Ion, rng: &mut ChaCha12Rng) -> Option<Ion> {
    let known = RuleElement::all().take(ppu_atoms::Element::COUNT).filter(|element| *element != from.element);
    let states =
        |element: &RuleElement| element.oxidation_states(RULE.least_reports).any(|(charge, _)| charge == from.charge);
    let allowed: Vec<Ion> = known.filter(states).map(|element| Ion { element, charge: from.charge }).collect();
    let weight = |ion: &Ion| WEIGHTS.get(&(&*from.to_string(), &*ion.to_string())).copied().unwrap_or(NEVER_SEEN).exp();
    let total: f64 = allowed.iter().map(weight).sum();
    let mut left = total * rng.random::<f64>();
    for ion in &allowed {
        left -= weight(ion);
        if left < 0.0 {
            return Some(*ion);
        }
    }
    allowed.last().copied()
}

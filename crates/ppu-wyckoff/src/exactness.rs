//! Tests of the promise that holds grammar, network and sampling together: probabilities are exact.

use std::collections::BTreeSet;

use ppu_atoms::Element;
use ppu_twin::rules::{ChargeSettings, charge_balance};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::grammar::{Condition, ConditionError, Grammar, Partial};
use crate::group::space_group;
use crate::model::{Draft, log_q, sample};
use crate::network::Network;
use crate::steer::{SteerError, SteerSettings, Value, steer};
use crate::{Crystal, Orbit};

fn network() -> Network<f32> {
    Network::random(&mut ChaCha12Rng::seed_from_u64(11))
}

fn elements(symbols: &[&str]) -> Vec<Element> {
    symbols.iter().map(|symbol| symbol.parse().unwrap()).collect()
}

fn within(group: u8, symbols: &[&str], most_atoms: usize, charges: Option<ChargeSettings>) -> Condition {
    let elements = Some(elements(symbols));
    Condition { group: Some(group), elements, all_elements: true, charges, most_atoms }
}

/// Every list of orbits of a group with all elements of a system, found without the grammar.
fn all_crystals(group: u8, system: &[Element], most_atoms: usize) -> BTreeSet<Crystal> {
    fn extend(group: u8, system: &[Element], left: usize, orbits: &mut Vec<Orbit>, found: &mut BTreeSet<Crystal>) {
        for (at, position) in space_group(group).unwrap().positions.iter().enumerate() {
            for element in system {
                if position.atoms > left {
                    continue;
                }
                orbits.push(Orbit { position: at as u8, element: *element });
                if let Ok(crystal) = Crystal::new(group, orbits.clone()) {
                    if !found.contains(&crystal) {
                        extend(group, system, left - position.atoms, orbits, found);
                    }
                    found.insert(crystal);
                }
                orbits.pop();
            }
        }
    }
    let mut found = BTreeSet::new();
    extend(group, system, most_atoms, &mut Vec::new(), &mut found);
    found.retain(|crystal| crystal.elements() == system);
    found
}

#[test]
fn probabilities_of_all_crystals_sum_to_one() {
    let network = network();
    let settings = ChargeSettings { least_share: 0.01, ..ChargeSettings::default() };
    for (group, symbols, most_atoms) in [
        (225, vec!["Na", "Cl"], 8),
        (2, vec!["Na", "Cl"], 3),
        (166, vec!["Li", "O", "Co"], 4),
        (62, vec!["O", "Fe"], 12),
    ] {
        let mut system = elements(&symbols);
        system.sort_unstable();
        let all = all_crystals(group, &system, most_atoms);
        for charges in [None, Some(settings)] {
            let grammar = Grammar::new(&within(group, &symbols, most_atoms, charges)).unwrap();
            let allowed = |crystal: &&Crystal| charges.is_none_or(|s| charge_balance(&crystal.formula(), &s).passes());
            let probabilities: Vec<f64> =
                all.iter().filter(allowed).map(|crystal| log_q(&network, &grammar, 1.0, crystal).exp()).collect();
            let sum: f64 = probabilities.iter().sum();
            assert!(probabilities.iter().all(|p| *p > 0.0), "{group}: {} crystals", all.len());
            assert!((sum - 1.0).abs() < 1e-5, "{group} {charges:?}: {sum} over {}", probabilities.len());
        }
    }
}

#[test]
fn every_draw_meets_its_condition_and_reports_its_own_probability() {
    let network = network();
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let charges = Some(ChargeSettings::default());
    let some = Some(elements(&["Li", "O", "Fe", "P", "Cl", "Ti"]));
    let conditions = [
        Condition::default(),
        Condition { charges, elements: some.clone(), ..Condition::default() },
        Condition { charges, elements: some, group: Some(227), ..Condition::default() },
        Condition { group: Some(230), ..Condition::default() },
        within(221, &["O", "Ba", "Ti"], 5, charges),
    ];
    for condition in conditions {
        let grammar = Grammar::new(&condition).unwrap();
        for draw in 0..20 {
            let temperature = if draw % 2 == 0 { 1.0 } else { 0.7 };
            let found = sample(&network, &grammar, temperature, &mut rng).unwrap();
            let crystal = &found.crystal;
            assert!((log_q(&network, &grammar, temperature, crystal) - found.log_q).abs() < 1e-9);
            assert!(crystal.atoms() <= condition.most_atoms && condition.group.is_none_or(|g| g == crystal.group()));
            let used = crystal.elements();
            let allowed = condition.elements.as_ref().is_none_or(|all| used.iter().all(|one| all.contains(one)));
            assert!(allowed && (2..=3).contains(&used.len()), "{crystal}");
            assert!(condition.charges.is_none_or(|s| charge_balance(&crystal.formula(), &s).passes()), "{crystal}");
        }
    }
}

#[test]
fn conditions_that_nothing_meets_are_refused() {
    let condition = |symbols: &[&str]| Condition { elements: Some(elements(symbols)), ..Condition::default() };
    let charged = |symbols: &[&str]| Condition { charges: Some(ChargeSettings::default()), ..condition(symbols) };
    let refused = |condition: Condition| Grammar::new(&condition).err().unwrap();
    assert_eq!(refused(condition(&["Na"])), ConditionError::Impossible);
    assert_eq!(refused(charged(&["Na", "K", "Li"])), ConditionError::Impossible);
    assert_eq!(refused(Condition { all_elements: true, ..charged(&["Na", "K"]) }), ConditionError::Impossible);
    assert_eq!(refused(Condition { group: Some(231), ..Condition::default() }), ConditionError::Group(231));
    assert_eq!(refused(Condition { most_atoms: 21, ..Condition::default() }), ConditionError::Atoms(21));
    assert_eq!(refused(within(1, &["Na", "Cl", "O", "H"], 20, None)), ConditionError::Elements(4));
    // One formula unit does not fit: the smallest orbits of group 230 have 8 atoms in the primitive cell.
    assert_eq!(refused(within(230, &["Na", "Cl"], 8, None)), ConditionError::Impossible);
    let mixed = ChargeSettings { mixed_valence: true, ..ChargeSettings::default() };
    assert!(matches!(refused(within(1, &["Fe", "O"], 7, Some(mixed))), ConditionError::Charges(_)));
}

/// Wants chlorine: half a nat an orbit, and a guess from the orbits so far.
struct Chlorine;

impl Value for Chlorine {
    fn complete(&self, crystal: &Crystal) -> f64 {
        0.5 * crystal.orbits().iter().filter(|orbit| orbit.element.symbol() == "Cl").count() as f64
    }

    fn partial(&self, partial: &Partial) -> f64 {
        let chlorine = "Cl".parse::<Element>().unwrap().index() as u8;
        let slot = partial.system().iter().position(|element| *element == chlorine);
        0.5 * partial.orbits().iter().filter(|(_, of)| Some(usize::from(*of)) == slot).count() as f64
    }
}

/// Excludes everything.
struct Nothing;

impl Value for Nothing {
    fn complete(&self, _: &Crystal) -> f64 {
        f64::NEG_INFINITY
    }

    fn partial(&self, _: &Partial) -> f64 {
        0.0
    }
}

#[test]
fn steered_sampling_finds_the_exact_normalisation() {
    let network = network();
    let grammar = Grammar::new(&within(225, &["Na", "Cl"], 8, None)).unwrap();
    let mut system = elements(&["Na", "Cl"]);
    system.sort_unstable();
    let tilted = |crystal: &Crystal| (log_q(&network, &grammar, 1.0, crystal) + Chlorine.complete(crystal)).exp();
    let all = all_crystals(225, &system, 8);
    let exact: f64 = all.iter().map(tilted).sum();
    let likeliest = all.iter().max_by(|a, b| tilted(a).total_cmp(&tilted(b))).unwrap();
    let settings = SteerSettings { particles: 100, resample_below: 0.95, ..SteerSettings::default() };
    let (mut sum, mut squares, mut share) = (0.0, 0.0, 0.0);
    let repeats = 40;
    for seed in 0..repeats {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let found = steer(&network, &grammar, &Chlorine, &settings, &mut rng).unwrap();
        let ratio = found.ln_z.exp() / exact;
        sum += ratio;
        squares += ratio * ratio;
        assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9 && found.ancestors <= 100);
        let pairs = found.crystals.iter().zip(&found.weights);
        share += pairs.filter(|(one, _)| one.crystal == *likeliest).map(|(_, weight)| weight).sum::<f64>();
    }
    let n = repeats as f64;
    let (mean, sd) = (sum / n, ((squares - sum * sum / n) / (n - 1.0)).sqrt());
    assert!((mean - 1.0).abs() < 3.0 * sd / n.sqrt() + 1e-9, "{mean} ± {sd}");
    assert!((share / n - tilted(likeliest) / exact).abs() < 0.03, "{}", share / n);
    let mut rng = ChaCha12Rng::seed_from_u64(0);
    assert_eq!(steer(&network, &grammar, &Nothing, &settings, &mut rng), Err(SteerError::NothingLeft));
    let none = SteerSettings { particles: 0, ..settings };
    assert_eq!(steer(&network, &grammar, &Chlorine, &none, &mut rng), Err(SteerError::NoParticles));
}

#[test]
fn the_same_seed_gives_the_same_crystals() {
    let (network, grammar) = (network(), Grammar::new(&Condition::default()).unwrap());
    let draw = |seed| sample(&network, &grammar, 1.0, &mut ChaCha12Rng::seed_from_u64(seed)).unwrap();
    let mut seeds = ChaCha12Rng::seed_from_u64(9);
    let seed: u64 = seeds.random();
    assert_eq!(draw(seed), draw(seed));
    assert_eq!(Draft::new(&network, &grammar).log_q(), 0.0);
}

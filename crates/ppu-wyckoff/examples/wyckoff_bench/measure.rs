//! What is said about a list of crystals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Instant;

use ppu_twin::rules::charge_balance;
use ppu_wyckoff::Crystal;

use crate::RULE;
use crate::data::Parts;

/// Shares and distances; see the names of the bars.
#[derive(Debug)]
pub(crate) struct Portrait {
    pub(crate) valid: f64,
    pub(crate) unique: f64,
    pub(crate) novel: f64,
    pub(crate) group_distance: f64,
    pub(crate) arity_distance: f64,
    pub(crate) covered: f64,
    pub(crate) covered_new: f64,
}

impl Portrait {
    pub(crate) fn new(crystals: &[Crystal], parts: &Parts) -> Portrait {
        let canonical: BTreeSet<Crystal> = crystals.iter().map(Crystal::canonical).collect();
        let known: BTreeSet<&Crystal> = parts.train.iter().collect();
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let templates = |crystals: &mut dyn Iterator<Item = &Crystal>| crystals.map(template).collect::<BTreeSet<_>>();
        let (drawn, trained) = (templates(&mut canonical.iter()), templates(&mut parts.train.iter()));
        let held_out = templates(&mut parts.test.iter());
        let unseen: BTreeSet<_> = held_out.difference(&trained).collect();
        Portrait {
            valid: share(crystals.iter().filter(|crystal| valid(crystal)).count(), crystals.len()),
            unique: share(canonical.len(), crystals.len()),
            novel: share(canonical.iter().filter(|crystal| !known.contains(crystal)).count(), canonical.len()),
            group_distance: distance(crystals, &parts.test, Crystal::group),
            arity_distance: distance(crystals, &parts.test, |crystal| crystal.elements().len() as u8),
            covered: share(held_out.intersection(&drawn).count(), held_out.len()),
            covered_new: share(unseen.iter().filter(|template| drawn.contains(**template)).count(), unseen.len()),
        }
    }
}

/// Whether the charge rule accepts a crystal.
pub(crate) fn valid(crystal: &Crystal) -> bool {
    charge_balance(&crystal.formula(), &RULE).passes()
}

/// Space group and occupied positions, whoever occupies them.
fn template(crystal: &Crystal) -> (u8, Vec<u8>) {
    let group = crystal.space_group();
    let image = |positions: &[u8]| {
        let mut list: Vec<u8> = crystal.orbits().iter().map(|orbit| positions[usize::from(orbit.position)]).collect();
        list.sort_unstable();
        list
    };
    let least = group.relabellings().iter().map(|change| image(&change.positions)).min();
    (group.number, least.unwrap_or_default())
}

/// Total variation between two distributions of a number.
fn distance(one: &[Crystal], other: &[Crystal], number: fn(&Crystal) -> u8) -> f64 {
    let mut difference: BTreeMap<u8, f64> = BTreeMap::new();
    for crystal in one {
        *difference.entry(number(crystal)).or_default() += 1.0 / one.len() as f64;
    }
    for crystal in other {
        *difference.entry(number(crystal)).or_default() -= 1.0 / other.len() as f64;
    }
    0.5 * difference.values().map(|value| value.abs()).sum::<f64>()
}

/// Seconds that this thread has run, so that other work on the computer does not count; those of the clock where the system
/// does not tell.
pub(crate) fn cpu_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |nanoseconds| nanoseconds * 1e-9)
}

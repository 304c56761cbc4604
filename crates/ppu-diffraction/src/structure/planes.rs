//! The symmetry-unique lattice planes of a cell.

use std::collections::BTreeSet;

use super::{Phase, SpaceGroup};

/// Longest list of planes that is made: a typing error in a cell must not fill the memory.
const MOST_PLANES: usize = 2_000_000;

/// One set of equivalent planes that no symmetry operation forbids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plane {
    /// The equivalent that is last in lexical order.
    pub(crate) hkl: [i32; 3],
    /// q = 1/d² in Å⁻².
    pub(crate) q: f64,
    /// Number of equivalents, Friedel mates included.
    pub(crate) multiplicity: u32,
}

/// Every plane with q up to `limit` (Å⁻²), in lexical order.
pub(crate) fn unique(phase: &Phase, limit: f64) -> Vec<Plane> {
    let Some(g) = phase.cell().reciprocal_metric() else { return Vec::new() };
    // |h| <= a / d_min holds in every cell because a is the longest spacing that index can have.
    let bound = |edge: f64| (edge * limit.sqrt()).floor() as i32;
    let (h_max, k_max, l_max) = (bound(phase.cell().a), bound(phase.cell().b), bound(phase.cell().c));
    let mut found = Vec::new();
    // Half of reciprocal space is enough: the other half holds the Friedel mates.
    for h in 0..=h_max {
        for k in (if h == 0 { 0 } else { -k_max })..=k_max {
            let (x, y) = (f64::from(h), f64::from(k));
            let plane = g[(0, 0)] * x * x + g[(1, 1)] * y * y + 2.0 * g[(0, 1)] * x * y;
            let slope = 2.0 * (g[(0, 2)] * x + g[(1, 2)] * y);
            for l in (if h == 0 && k == 0 { 1 } else { -l_max })..=l_max {
                let z = f64::from(l);
                let q = plane + z * (slope + g[(2, 2)] * z);
                if q > limit || found.len() >= MOST_PLANES {
                    continue;
                }
                if let Some(multiplicity) = multiplicity(phase.group(), [h, k, l]) {
                    found.push(Plane { hkl: [h, k, l], q, multiplicity });
                }
            }
        }
    }
    found
}

/// Number of equivalents of a plane; nothing when another equivalent stands for it or symmetry forbids it.
fn multiplicity(group: &SpaceGroup, hkl: [i32; 3]) -> Option<u32> {
    let allowed = |shift: &[i32; 3]| super::symmetry::is_whole(hkl, *shift);
    if !group.centring().iter().all(allowed) {
        return None;
    }
    let mut stabilisers = 0;
    for rotation in group.laue_rotations() {
        let image = fold(super::symmetry::turn(hkl, rotation));
        if image > hkl {
            return None;
        }
        stabilisers += u32::from(image == hkl);
    }
    if group.operators().iter().any(|operator| operator.forbids(hkl)) {
        return None;
    }
    let rotations = u32::try_from(group.laue_rotations().len()).unwrap_or(u32::MAX / 2);
    Some(2 * rotations / stabilisers.max(1))
}

/// The member of a Friedel pair that is not below (0,0,0) in lexical order.
fn fold(hkl: [i32; 3]) -> [i32; 3] {
    if hkl < [0, 0, 0] { hkl.map(|index| -index) } else { hkl }
}

/// The distinct planes equivalent to `hkl`, one of each Friedel pair, in lexical order.
pub(crate) fn equivalents(group: &SpaceGroup, hkl: [i32; 3]) -> Vec<[i32; 3]> {
    let turned = group.laue_rotations().iter().map(|rotation| fold(super::symmetry::turn(hkl, rotation)));
    turned.collect::<BTreeSet<_>>().into_iter().collect()
}

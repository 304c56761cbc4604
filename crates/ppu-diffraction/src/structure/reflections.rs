use std::collections::BTreeSet;
use std::f64::consts::TAU;

use super::{Operator, Phase};

/// Reflections weaker than this share of the strongest m|F|² are left out: a long list of structural zeros costs time
/// and changes no count.
const VANISHING: f64 = 1e-7;

/// One set of symmetry-equivalent lattice planes.
#[derive(Debug, Clone, PartialEq)]
pub struct Reflection {
    /// Representative indices: the equivalent that is last in lexical order, so (100) rather than (00-1).
    pub hkl: [i32; 3],
    /// Number of equivalent planes, Friedel mates included.
    pub multiplicity: u32,
    /// Spacing in Å.
    pub d: f64,
    /// ½(|F(h)|² + |F(-h)|²) in electrons² per cell, with displacement and anomalous scattering.
    pub f_squared: f64,
    /// The equivalents, one of each Friedel pair.
    pub equivalents: Vec<[i32; 3]>,
}

/// Lists the reflections of a phase down to `d_min` Å.
pub(super) fn list(phase: &Phase, d_min: f64) -> Vec<Reflection> {
    let Some(reciprocal) = phase.cell().reciprocal_metric() else { return Vec::new() };
    let limit = 1.0 / (d_min * d_min);
    // |h| <= a / d_min holds in every cell because a is the longest spacing that index can have.
    let bound = |edge: f64| (edge / d_min).floor() as i32;
    let (h_max, k_max, l_max) = (bound(phase.cell().a), bound(phase.cell().b), bound(phase.cell().c));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    // Half of reciprocal space is enough: the other half holds the Friedel mates.
    for h in 0..=h_max {
        for k in -k_max..=k_max {
            for l in -l_max..=l_max {
                let hkl = [h, k, l];
                let g = &reciprocal;
                let (x, y, z) = (f64::from(h), f64::from(k), f64::from(l));
                let q = g[(0, 0)] * x * x
                    + g[(1, 1)] * y * y
                    + g[(2, 2)] * z * z
                    + 2.0 * (g[(0, 1)] * x * y + g[(0, 2)] * x * z + g[(1, 2)] * y * z);
                if q > limit || q <= 0.0 || hkl < [0, 0, 0] || seen.contains(&hkl) {
                    continue;
                }
                let equivalents = equivalents(phase.group().operators(), hkl);
                for plane in &equivalents {
                    seen.insert(*plane);
                }
                if phase.group().operators().iter().any(|operator| operator.forbids(hkl)) {
                    continue;
                }
                let multiplicity = 2 * u32::try_from(equivalents.len()).unwrap_or(u32::MAX / 2);
                let f_squared = f_squared(phase, hkl, q);
                let hkl = *equivalents.last().expect("a plane is equivalent to itself");
                found.push(Reflection { hkl, multiplicity, d: 1.0 / q.sqrt(), f_squared, equivalents });
            }
        }
    }
    let strength = |reflection: &Reflection| f64::from(reflection.multiplicity) * reflection.f_squared;
    let strongest = found.iter().map(strength).fold(0.0, f64::max);
    found.retain(|reflection| strength(reflection) > VANISHING * strongest);
    found.sort_by(|a, b| b.d.total_cmp(&a.d).then(a.hkl.cmp(&b.hkl)));
    found
}

/// The distinct planes hᵀR, one of each Friedel pair: the member that is not below (0,0,0) in lexical order.
fn equivalents(operators: &[Operator], hkl: [i32; 3]) -> Vec<[i32; 3]> {
    let planes: BTreeSet<[i32; 3]> = operators
        .iter()
        .map(|operator| {
            let plane = operator.transform_hkl(hkl);
            if plane < [0, 0, 0] { plane.map(|index| -index) } else { plane }
        })
        .collect();
    planes.into_iter().collect()
}

/// ½(|F(h)|² + |F(-h)|²) = |A|² + |B|², where A gathers f0 + f' and B gathers f'' over the geometric sums of the sites.
fn f_squared(phase: &Phase, hkl: [i32; 3], q: f64) -> f64 {
    let s2 = q / 4.0;
    let s = s2.sqrt();
    let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
    for (site, orbit) in phase.sites().iter().zip(phase.orbits()) {
        let mut geometric = [0.0; 2];
        for point in orbit {
            let angle = TAU * (0..3).map(|k| f64::from(hkl[k]) * point[k]).sum::<f64>();
            let (sin, cos) = angle.sin_cos();
            geometric[0] += cos;
            geometric[1] += sin;
        }
        let displacement = (-site.b_iso * s2).exp();
        for occupant in &site.occupants {
            let (f1, f2) = occupant.element.anomalous();
            let real = occupant.occupancy * displacement * (occupant.element.form_factor(s) + f1);
            let imaginary = occupant.occupancy * displacement * f2;
            for part in 0..2 {
                a[part] += real * geometric[part];
                b[part] += imaginary * geometric[part];
            }
        }
    }
    a[0] * a[0] + a[1] * a[1] + b[0] * b[0] + b[1] * b[1]
}

use super::geometry::Atoms;
use super::planes::{self, Plane};
use super::{Element, Phase, Scattering};

/// Reflections weaker than this share of the strongest m|F|² are left out: a long list of structural zeros costs time
/// and changes no count.
const VANISHING: f64 = 1e-7;
/// From this many planes on, form factors are interpolated.
const MANY_PLANES: usize = 400;
/// Intervals of that interpolation: with third-order polynomials in s they keep 1e-8 of the steepest form factor.
const INTERVALS: usize = 256;

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
pub(super) fn list(phase: &Phase, d_min: f64, scattering: &dyn Fn(Element) -> Scattering) -> Vec<Reflection> {
    let mut found: Vec<Reflection> = strengths(phase, 1.0 / (d_min * d_min), scattering)
        .into_iter()
        .map(|(Plane { hkl, q, multiplicity }, f_squared)| {
            let equivalents = planes::equivalents(phase.group(), hkl);
            Reflection { hkl, multiplicity, d: 1.0 / q.sqrt(), f_squared, equivalents }
        })
        .collect();
    found.sort_by(|a, b| b.d.total_cmp(&a.d).then(a.hkl.cmp(&b.hkl)));
    found
}

/// Every plane up to q = `limit` (Å⁻²) that scatters, with its |F|² in electrons², in lexical order.
pub(crate) fn strengths(phase: &Phase, limit: f64, scattering: &dyn Fn(Element) -> Scattering) -> Vec<(Plane, f64)> {
    let planes = planes::unique(phase, limit);
    let kinds = kinds(phase);
    let sites: Vec<Vec<usize>> = kinds.iter().map(|kind| kind.sites.clone()).collect();
    let sums = Atoms::new(phase, &sites).sums(&planes);
    let factors = FormFactors::new(phase, limit.sqrt() / 2.0, planes.len(), scattering);
    let mut f0 = vec![0.0; factors.elements.len()];
    let strength = |(plane, sums): (&Plane, &[[f64; 2]])| {
        let s2 = plane.q / 4.0;
        factors.at(s2.sqrt(), &mut f0);
        let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
        for (kind, sum) in kinds.iter().zip(sums) {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for occupant in &phase.sites()[kind.sites[0]].occupants {
                let index = factors.index(occupant.element);
                let (f1, f2) = (factors.data[index].f1, factors.data[index].f2);
                real += occupant.occupancy * (f0[index] + f1);
                imaginary += occupant.occupancy * f2;
            }
            let displacement = if kind.b_iso == 0.0 { 1.0 } else { (-kind.b_iso * s2).exp() };
            for part in 0..2 {
                a[part] += displacement * real * sum[part];
                b[part] += displacement * imaginary * sum[part];
            }
        }
        (*plane, a[0] * a[0] + a[1] * a[1] + b[0] * b[0] + b[1] * b[1])
    };
    let mut found: Vec<(Plane, f64)> = planes.iter().zip(sums.chunks(kinds.len())).map(strength).collect();
    let weight = |(plane, f_squared): &(Plane, f64)| f64::from(plane.multiplicity) * f_squared;
    let strongest = found.iter().map(weight).fold(0.0, f64::max);
    found.retain(|entry| weight(entry) > VANISHING * strongest);
    found
}

/// Sites with the same occupants and isotropic displacement.
struct Kind {
    sites: Vec<usize>,
    b_iso: f64,
}

fn kinds(phase: &Phase) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (index, site) in phase.sites().iter().enumerate() {
        let b_iso = if site.u_aniso.is_some() { 0.0 } else { site.b_iso };
        let same = |kind: &&mut Kind| kind.b_iso == b_iso && phase.sites()[kind.sites[0]].occupants == site.occupants;
        match kinds.iter_mut().find(same) {
            Some(kind) => kind.sites.push(index),
            None => kinds.push(Kind { sites: vec![index], b_iso }),
        }
    }
    kinds
}

/// f0 of every element of a phase, exact for short lists and by Hermite polynomials in s for long ones.
struct FormFactors {
    elements: Vec<Element>,
    data: Vec<Scattering>,
    /// Value and slope by s times the interval, for each node and element.
    nodes: Vec<[f64; 2]>,
    per_s: f64,
}

impl FormFactors {
    fn new(phase: &Phase, s_max: f64, planes: usize, scattering: &dyn Fn(Element) -> Scattering) -> Self {
        let mut elements: Vec<Element> = phase.contents().map(|(element, _)| element).collect();
        elements.sort_unstable();
        elements.dedup();
        let data: Vec<Scattering> = elements.iter().map(|element| scattering(*element)).collect();
        let per_s = INTERVALS as f64 / s_max;
        let mut nodes = Vec::new();
        if planes >= MANY_PLANES {
            for node in 0..=INTERVALS + 1 {
                let s = node as f64 / per_s;
                for entry in &data {
                    let (value, by_s2) = entry.f0_and_slope(s * s);
                    nodes.push([value, 2.0 * s * by_s2 / per_s]);
                }
            }
        }
        Self { elements, data, nodes, per_s }
    }

    fn index(&self, element: Element) -> usize {
        self.elements.iter().position(|known| *known == element).unwrap_or(0)
    }

    fn at(&self, s: f64, f0: &mut [f64]) {
        if self.nodes.is_empty() {
            for (value, entry) in f0.iter_mut().zip(&self.data) {
                *value = entry.f0(s * s);
            }
            return;
        }
        let place = s * self.per_s;
        let cell = (place as usize).min(INTERVALS);
        let t = place - cell as f64;
        let count = self.data.len();
        for (index, value) in f0.iter_mut().enumerate() {
            let [low, low_slope] = self.nodes[cell * count + index];
            let [high, high_slope] = self.nodes[(cell + 1) * count + index];
            let rise = high - low;
            let (first, second) = (low_slope - rise, rise - high_slope);
            *value = low + t * (rise + (1.0 - t) * (first * (1.0 - t) + second * t));
        }
    }
}

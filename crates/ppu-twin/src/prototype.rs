//! Level F2a for cubic perovskites whose geometry nobody has measured or computed: ideal sites, and an edge that the
//! potential itself prefers. A line search finds the edge of a sample; a model linear in the species gives it for the others.

use std::collections::{BTreeMap, BTreeSet};

use ppu_atoms::{Element, Lattice, Structure};

use crate::atomistic::{AtomisticEvaluation, AtomisticRefusal, AtomisticStage, AtomisticTwin};
use crate::contract::Work;

/// Where the search for an edge begins, Å: amid the known cubic perovskites (3.6 to 4.6).
const FIRST_EDGE: f64 = 4.1;
/// Step of the search, Å. A parabola through three such points misses the minimum by about a hundredth.
const EDGE_STEP: f64 = 0.15;
/// Edges beyond are no perovskites; below them the potential has seen nothing like it, and its energies mean nothing.
const EDGES: (f64, f64) = (3.2, 6.5);
/// Pseudo-count of every coefficient: what is seen once is believed by three quarters.
const RIDGE: f64 = 1.0 / 3.0;
/// Rounds of the fit; each halves what is left of the error or better.
const ROUNDS: usize = 60;

/// One element on A, one on B, three anions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdealPerovskite {
    /// Corner.
    pub a: Element,
    /// Body centre.
    pub b: Element,
    /// Faces; at ideal sites their order does not matter.
    pub x: [Element; 3],
}

impl IdealPerovskite {
    /// The cell with ideal sites at an edge in Å.
    #[must_use]
    pub fn structure(&self, edge: f64) -> Structure {
        let sites = [[0.0; 3], [0.5; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
        let species = vec![self.a, self.b, self.x[0], self.x[1], self.x[2]];
        Structure::new(Lattice::cubic(edge), species, sites.to_vec()).expect("a cube of positive edge holds five sites")
    }
}

/// A quantity of a cubic perovskite, such as its edge, as a sum over its species.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeciesModel {
    mean: f64,
    /// Coefficients of A, B and the anions.
    sites: [BTreeMap<Element, f64>; 3],
    left_out_sd: f64,
}

impl SpeciesModel {
    /// Ridge regression by the method of backfitting; an element that no sample has counts as the mean. `None` without
    /// samples or with a value that is not finite.
    #[must_use]
    pub fn fit(samples: &[(IdealPerovskite, f64)]) -> Option<SpeciesModel> {
        if samples.is_empty() || samples.iter().any(|(_, value)| !value.is_finite()) {
            return None;
        }
        let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / samples.len() as f64;
        let mut model = SpeciesModel { mean, sites: Default::default(), left_out_sd: f64::NAN };
        for _ in 0..ROUNDS {
            for site in 0..3 {
                let mut sums: BTreeMap<Element, (f64, f64)> = BTreeMap::new();
                for (sample, value) in samples {
                    let rest = value - model.predict(sample) + model.part(sample, site);
                    for (element, share) in shares(sample, site) {
                        let others = model.part(sample, site) - share * model.coefficient(site, element);
                        let sum = sums.entry(element).or_insert((0.0, RIDGE));
                        sum.0 += share * (rest - others);
                        sum.1 += share * share;
                    }
                }
                model.sites[site] = sums.into_iter().map(|(element, (sum, weight))| (element, sum / weight)).collect();
            }
        }
        let squares = samples.iter().map(|(sample, value)| (value - model.predict(sample)).powi(2)).sum::<f64>();
        let unknowns: usize = model.sites.iter().map(BTreeMap::len).sum();
        model.left_out_sd = (squares / samples.len().saturating_sub(unknowns).max(1) as f64).sqrt();
        Some(model)
    }

    /// The expected value.
    #[must_use]
    pub fn predict(&self, of: &IdealPerovskite) -> f64 {
        self.mean + (0..3).map(|site| self.part(of, site)).sum::<f64>()
    }

    /// Standard deviation of its error, from the residuals and the degrees of freedom.
    #[must_use]
    pub fn sd(&self) -> f64 {
        self.left_out_sd
    }

    fn coefficient(&self, site: usize, element: Element) -> f64 {
        self.sites[site].get(&element).copied().unwrap_or(0.0)
    }

    fn part(&self, of: &IdealPerovskite, site: usize) -> f64 {
        shares(of, site).into_iter().map(|(element, share)| share * self.coefficient(site, element)).sum()
    }
}

/// The elements of a kind of site with their shares.
fn shares(of: &IdealPerovskite, site: usize) -> Vec<(Element, f64)> {
    match site {
        0 => vec![(of.a, 1.0)],
        1 => vec![(of.b, 1.0)],
        _ => {
            let distinct: BTreeSet<Element> = of.x.into_iter().collect();
            let share = |element| of.x.iter().filter(|other| **other == element).count() as f64 / 3.0;
            distinct.into_iter().map(|element| (element, share(element))).collect()
        }
    }
}

/// What the level says of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct PrototypeScreen {
    /// One answer a candidate, in their order.
    pub answers: Vec<Result<AtomisticEvaluation, AtomisticRefusal>>,
    /// The model of the edge.
    pub edges: SpeciesModel,
    /// Candidates whose edge was found by a search.
    pub searched: Vec<usize>,
    /// Evaluations of the potential in all.
    pub evaluations: usize,
    /// Work in all.
    pub cost: Work,
}

impl AtomisticTwin {
    /// Judges every candidate at ideal sites. The edges come from a search for candidates that have every element at least
    /// `per_element` times on its site, as far as the list has it. Same list, same bits.
    ///
    /// # Errors
    /// [`AtomisticRefusal`] where no edge at all can be found, such as without weights.
    pub fn screen_perovskites(
        &self,
        candidates: &[IdealPerovskite],
        per_element: usize,
    ) -> Result<PrototypeScreen, AtomisticRefusal> {
        let (mut samples, mut searched) = (Vec::new(), Vec::new());
        let (mut evaluations, mut cost) = (0, Work(0));
        let mut refusal = AtomisticRefusal::NoWeights;
        for at in representative(candidates, per_element) {
            match self.ideal_edge(&candidates[at], &mut evaluations, &mut cost) {
                Ok(Some(edge)) => {
                    samples.push((candidates[at], edge));
                    searched.push(at);
                }
                Ok(None) => {}
                Err(refused) => refusal = refused,
            }
        }
        let edges = SpeciesModel::fit(&samples).ok_or(refusal)?;
        let mut answer = |candidate: &IdealPerovskite| {
            let edge = edges.predict(candidate).clamp(EDGES.0, EDGES.1);
            let found = self.evaluate(&candidate.structure(edge), AtomisticStage::Guessed)?;
            evaluations += 1;
            cost.0 += found.cost.0;
            Ok(found)
        };
        let answers = candidates.iter().map(&mut answer).collect();
        Ok(PrototypeScreen { answers, edges, searched, evaluations, cost })
    }

    /// The edge of the lowest energy at ideal sites, downhill from a common edge; `None` where it runs out of range.
    fn ideal_edge(
        &self,
        of: &IdealPerovskite,
        evaluations: &mut usize,
        cost: &mut Work,
    ) -> Result<Option<f64>, AtomisticRefusal> {
        let mut energy = |edge: f64| {
            let found = self.potential_energy(&of.structure(edge))?;
            *evaluations += 1;
            cost.0 += found.1.0;
            Ok(found.0)
        };
        let (mut here, mut at) = (FIRST_EDGE, energy(FIRST_EDGE)?);
        let mut ahead = energy(here + EDGE_STEP)?;
        let mut step = EDGE_STEP;
        let mut behind = if ahead <= at {
            std::mem::replace(&mut at, ahead)
        } else {
            step = -EDGE_STEP;
            ahead
        };
        here = if step > 0.0 { here + step } else { here };
        loop {
            if !(EDGES.0..=EDGES.1).contains(&(here + step)) {
                return Ok(None);
            }
            ahead = energy(here + step)?;
            if ahead >= at {
                break;
            }
            (behind, at, here) = (at, ahead, here + step);
        }
        let curvature = ahead - 2.0 * at + behind;
        Ok(Some(if curvature > 0.0 { here - 0.5 * step * (ahead - behind) / curvature } else { here }))
    }
}

/// Candidates that show every element of every site `per_element` times, taken from all over the list.
fn representative(candidates: &[IdealPerovskite], per_element: usize) -> Vec<usize> {
    // The golden ratio spreads the places that are looked at first.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| (*at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut seen: BTreeMap<(usize, Element), usize> = BTreeMap::new();
    order.retain(|at| {
        let parts: Vec<(usize, Element)> = (0..3)
            .flat_map(|site| shares(&candidates[*at], site).into_iter().map(move |(one, _)| (site, one)))
            .collect();
        let wanted = parts.iter().any(|part| seen.get(part).copied().unwrap_or(0) < per_element);
        if wanted {
            parts.into_iter().for_each(|part| *seen.entry(part).or_insert(0) += 1);
        }
        wanted
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perovskite(a: &str, b: &str, x: [&str; 3]) -> IdealPerovskite {
        let element = |symbol: &str| symbol.parse().unwrap();
        IdealPerovskite { a: element(a), b: element(b), x: x.map(element) }
    }

    #[test]
    fn a_sum_over_species_is_found_again() {
        let mut samples = Vec::new();
        for (a, in_a) in [("Ba", 0.1), ("Sr", 0.0), ("Ca", -0.1)] {
            for (b, in_b) in [("Ti", 0.0), ("Zr", 0.2), ("Hf", 0.15), ("Sn", 0.1)] {
                for (x, in_x) in [(["O", "O", "O"], 0.0), (["N", "O", "O"], 0.05), (["S", "S", "S"], 0.9)] {
                    samples.push((perovskite(a, b, x), 3.9 + in_a + in_b + in_x));
                }
            }
        }
        let model = SpeciesModel::fit(&samples).unwrap();
        for (one, edge) in &samples {
            assert!((model.predict(one) - edge).abs() < 0.05, "{one:?}: {} for {edge}", model.predict(one));
        }
        assert!(model.sd() < 0.05, "{}", model.sd());
        let unknown = model.predict(&perovskite("Pb", "Ti", ["O", "O", "O"]));
        assert!((3.8..4.1).contains(&unknown), "an unknown A counts as the mean: {unknown}");
        assert!(SpeciesModel::fit(&[]).is_none());
        let covering = representative(&samples.iter().map(|(one, _)| *one).collect::<Vec<_>>(), 1);
        assert!((4..=10).contains(&covering.len()), "{covering:?}");
    }

    #[test]
    fn without_weights_it_refuses() {
        let refused = AtomisticTwin::without_weights().screen_perovskites(&[perovskite("Ba", "Ti", ["O"; 3])], 2);
        assert_eq!(refused.unwrap_err(), AtomisticRefusal::NoWeights);
    }

    #[test]
    fn ideal_sites_are_those_of_a_perovskite() {
        let cell = perovskite("Ba", "Ti", ["O"; 3]).structure(4.0);
        let [a, b, x] = [0, 1, 2].map(|at| cell.cartesian()[at]);
        let distance = |p: [f64; 3], q: [f64; 3]| (0..3).map(|k| (p[k] - q[k]).powi(2)).sum::<f64>().sqrt();
        assert!((distance(b, x) - 2.0).abs() < 1e-12 && (distance(a, x) - 8f64.sqrt()).abs() < 1e-12);
    }
}

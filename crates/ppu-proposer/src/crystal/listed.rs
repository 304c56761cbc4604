//! Proposers over a listed set, with exact densities, and the provenance of what they propose.

use std::collections::BTreeSet;

use ppu_twin::rules::{Formula, TAU_LIMIT};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::perovskite::{Assessment, Perovskite};
use crate::anneal::log_sum_exp;
use crate::contract::LogDensity;

/// A distribution over a list of candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name, for provenance.
    pub name: String,
    /// ln q of every candidate, normalised; −∞ where excluded.
    pub log_q: Vec<f64>,
}

impl Listed {
    /// Uniform over the list.
    pub fn uniform(count: usize) -> Listed {
        Listed { name: "uniform".into(), log_q: vec![-(count as f64).ln(); count] }
    }

    /// The chemical rules: mass by the weights of F0, and a share `uniform` over all candidates that no ban excludes, so that a
    /// rule that errs costs time and not the find.
    pub fn rules(assessed: &[Assessment], banned: &[bool], uniform: f64) -> Listed {
        let total = log_sum_exp(assessed.iter().map(|one| one.log_weight));
        let allowed = banned.iter().filter(|banned| !**banned).count().max(1) as f64;
        let uniform = if total.is_finite() { uniform } else { 1.0 };
        let log_q = assessed.iter().zip(banned).map(|(one, banned)| {
            let flat = if *banned { 0.0 } else { uniform / allowed };
            let ruled = if total.is_finite() { (1.0 - uniform) * (one.log_weight - total).exp() } else { 0.0 };
            (ruled + flat).ln()
        });
        Listed { name: "chemical rules".into(), log_q: log_q.collect() }
    }

    /// The chemical rules with their published limits alone: usual states that are neutral and in the order of
    /// electronegativity, electrons that pair, tau below 4.18 without exchange of A and B. What passes all is equally likely,
    /// beside a share `uniform` over everything. Nothing here is weighed or fitted.
    pub fn published_rules(assessed: &[Assessment], uniform: f64) -> Listed {
        let passes = |one: &Assessment| {
            let factors = one.factors.as_ref().and_then(|found| found.as_ref().ok());
            let perovskite = factors.is_some_and(|found| found.tau < TAU_LIMIT && !found.swapped);
            one.log_weight.is_finite() && one.even_electrons && perovskite
        };
        let passing = assessed.iter().filter(|one| passes(one)).count();
        let uniform = if passing == 0 { 1.0 } else { uniform };
        let flat = uniform / assessed.len() as f64;
        let each = (1.0 - uniform) / passing.max(1) as f64;
        let log_q = assessed.iter().map(|one| if passes(one) { (flat + each).ln() } else { flat.ln() });
        Listed { name: "published rules".into(), log_q: log_q.collect() }
    }

    /// Entropy in nats over what is not taken, renormalised.
    pub fn entropy(&self, taken: &BTreeSet<usize>) -> f64 {
        let left = || {
            self.log_q
                .iter()
                .enumerate()
                .filter(|(at, log)| log.is_finite() && !taken.contains(at))
                .map(|(_, log)| *log)
        };
        let total = log_sum_exp(left());
        -left().map(|log| (log - total).exp() * (log - total)).sum::<f64>()
    }

    /// `n` draws without replacement from what is not taken (exponential races, Efraimidis and Spirakis 2006).
    pub fn draw(&self, n: usize, taken: &BTreeSet<usize>, rng: &mut ChaCha12Rng) -> Vec<usize> {
        let mut races: Vec<(f64, usize)> = Vec::with_capacity(self.log_q.len());
        for (at, log_q) in self.log_q.iter().enumerate() {
            let ring = -(1.0 - rng.random::<f64>()).ln();
            if log_q.is_finite() && !taken.contains(&at) {
                races.push((ring.ln() - log_q, at));
            }
        }
        races.sort_by(|a, b| a.0.total_cmp(&b.0));
        races.into_iter().take(n).map(|(_, at)| at).collect()
    }

    /// All candidates, the most probable first; ties in random order, excluded ones last.
    pub fn ranked(&self, rng: &mut ChaCha12Rng) -> Vec<usize> {
        let mut all: Vec<(f64, u64, usize)> =
            self.log_q.iter().enumerate().map(|(at, log_q)| (*log_q, rng.random::<u64>(), at)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.into_iter().map(|(_, _, at)| at).collect()
    }
}

/// Known compounds under a name that says where they come from and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceSet {
    /// Name, date, size.
    pub name: String,
    /// Reduced formulas.
    pub formulas: BTreeSet<Formula>,
}

/// Whether a composition is in a named set. "New" means "not in this set" and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Novelty {
    /// The set.
    pub set: String,
    /// Whether its reduced formula is there; structures are not compared.
    pub known: bool,
}

impl ReferenceSet {
    /// What the set says of a composition.
    pub fn novelty(&self, formula: &Formula) -> Novelty {
        Novelty { set: self.name.clone(), known: self.formulas.contains(&formula.reduced()) }
    }
}

/// What a level of the twin says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The level, `F0` or the name of a model with its training size.
    pub level: String,
    /// What it says, for people.
    pub says: String,
    /// Expected value and standard deviation where it predicts one, with its name and unit.
    pub expects: Vec<(String, f64, f64)>,
}

/// Where a proposal comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrystalProvenance {
    /// Who proposed it.
    pub proposer: String,
    /// Seed of the campaign.
    pub seed: u64,
    /// Round of the campaign.
    pub round: u64,
    /// The prior it was drawn from.
    pub prior: String,
    /// 1/β of the search, in the unit of U; `None` without a tilt. Not a temperature in kelvin.
    pub temperature: Option<f64>,
    /// Verdicts of the twin, cheapest level first.
    pub verdicts: Vec<Verdict>,
    /// Novelty against named sets.
    pub novelty: Vec<Novelty>,
}

/// One proposed composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrystalProposal {
    /// Its place in the list.
    pub index: usize,
    /// The decoration.
    pub candidate: Perovskite,
    /// Share of the weight of the offer.
    pub weight: f64,
    /// ln q under the prior, counting measure over the list.
    pub log_q: LogDensity,
    /// Where it comes from.
    pub provenance: CrystalProvenance,
    /// One sentence for the approval inbox.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn draws_follow_the_distribution_and_skip_what_is_taken() {
        let listed = Listed { name: "test".into(), log_q: [0.7, 0.2, 0.1, 0.0].map(f64::ln).to_vec() };
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let none = BTreeSet::new();
        let first = (0..4000).filter(|_| listed.draw(1, &none, &mut rng) == [0]).count();
        assert!((2680..2920).contains(&first), "{first}");
        assert_eq!(listed.draw(9, &none, &mut rng).len(), 3);
        assert_eq!(listed.draw(1, &[0, 1].into(), &mut rng), [2]);
        assert_eq!(listed.ranked(&mut rng), [0, 1, 2, 3]);
        assert!((Listed::uniform(8).entropy(&none) - 8_f64.ln()).abs() < 1e-12);
        let set = ReferenceSet { name: "two oxides".into(), formulas: ["MgO".parse().unwrap()].into() };
        assert!(set.novelty(&"Mg2O2".parse().unwrap()).known && !set.novelty(&"CaO".parse().unwrap()).known);
    }
}

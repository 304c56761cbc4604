//! The baseline: ionic substitution in known compounds. Hautier et al., Inorg. Chem. 50, 656 (2011).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ppu_twin::rules::Ion;
use serde::{Deserialize, Serialize};

use crate::anneal::log_sum_exp;

/// Weight of a pair that was never seen.
const NEVER_SEEN: f64 = -5.0;

static PUBLISHED: LazyLock<SubstitutionTable> =
    LazyLock::new(|| SubstitutionTable::parse(include_str!("../../data/substitution.txt")).expect("a test reads it"));

/// Weights λ(s, t) of putting one ion for another.
#[derive(Debug, Clone, PartialEq)]
pub struct SubstitutionTable {
    species: BTreeMap<Ion, u16>,
    weights: BTreeMap<(u16, u16), f64>,
}

impl SubstitutionTable {
    /// The published table, for elements up to curium.
    pub fn published() -> &'static SubstitutionTable {
        &PUBLISHED
    }

    /// Species.
    pub fn species(&self) -> usize {
        self.species.len()
    }

    /// Listed pairs.
    pub fn pairs(&self) -> usize {
        self.weights.len()
    }

    /// λ(s, t), which is symmetric.
    pub fn weight(&self, one: Ion, other: Ion) -> f64 {
        let number = |ion: Ion| self.species.get(&ion).copied();
        let (Some(a), Some(b)) = (number(one), number(other)) else { return NEVER_SEEN };
        self.weights.get(&(a.min(b), a.max(b))).copied().unwrap_or(NEVER_SEEN)
    }

    /// ln p(t | s) for every allowed t, normalised over them.
    pub fn log_probabilities(&self, from: Ion, allowed: &[Ion]) -> Vec<f64> {
        let weights: Vec<f64> = allowed.iter().map(|to| self.weight(from, *to)).collect();
        let total = log_sum_exp(weights.iter().copied());
        weights.iter().map(|weight| weight - total).collect()
    }

    fn parse(text: &str) -> Option<SubstitutionTable> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let ion = |word: &str| {
            let digits = word.find(|c: char| c.is_ascii_digit())?;
            let (element, charge) = word.split_at(digits);
            let (size, sign) = charge.split_at(charge.len().checked_sub(1)?);
            let size: i8 = size.parse().ok()?;
            Some(Ion { element: element.parse().ok()?, charge: if sign == "-" { -size } else { size } })
        };
        let species: Option<BTreeMap<Ion, u16>> =
            lines.next()?.split_whitespace().enumerate().map(|(at, word)| Some((ion(word)?, at as u16))).collect();
        let mut weights = BTreeMap::new();
        for line in lines {
            let mut words = line.split_whitespace();
            let one: u16 = words.next()?.parse().ok()?;
            for word in words {
                let (other, weight) = word.split_once(':')?;
                weights.insert((one, other.parse().ok()?), weight.parse().ok()?);
            }
        }
        Some(SubstitutionTable { species: species?, weights })
    }
}

/// A known compound on the sites of a prototype.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// Its formula.
    pub name: String,
    /// One ion a site.
    pub sites: Vec<Ion>,
    /// How often it is chosen, relative to the others.
    pub weight: f64,
}

/// How substitution is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExchangeSettings {
    /// Sites that may change at once.
    pub most_exchanged: usize,
    /// Share of the mass that is uniform over all children, which bounds every weight relative to uniform.
    pub uniform: f64,
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        ExchangeSettings { most_exchanged: 2, uniform: 0.05 }
    }
}

/// Substitution over a listed set of children on the same sites: exact densities.
#[derive(Debug, Clone, PartialEq)]
pub struct IonExchange {
    /// ln q of every child, normalised.
    pub log_q: Vec<f64>,
    /// The parent that brings most of the mass of every child, where substitution reaches it.
    pub parent: Vec<Option<usize>>,
}

impl IonExchange {
    /// q of every child: a parent by its weight, then a child on at most so many changed sites with p ∝ exp Σ λ over them, summed
    /// over all parents. A child without ions (no neutral states) is reached by the uniform share alone, as is everything
    /// where there is no parent.
    pub fn new(
        table: &SubstitutionTable,
        parents: &[Parent],
        children: &[Option<Vec<Ion>>],
        settings: &ExchangeSettings,
    ) -> IonExchange {
        let count = children.len();
        let mut reached: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
        let total_weight: f64 = parents.iter().map(|parent| parent.weight).sum();
        let mut fruitful = 0.0;
        for (number, parent) in parents.iter().enumerate() {
            let terms: Vec<(usize, f64)> = children
                .iter()
                .enumerate()
                .filter_map(|(at, child)| Some((at, exchange(table, &parent.sites, child.as_ref()?, settings)?)))
                .collect();
            let sum = log_sum_exp(terms.iter().map(|(_, weight)| *weight));
            if sum.is_finite() {
                let chosen = (parent.weight / total_weight).ln();
                fruitful += parent.weight / total_weight;
                terms.into_iter().for_each(|(at, weight)| reached[at].push((number, chosen + weight - sum)));
            }
        }
        let uniform = if fruitful > 0.0 { settings.uniform } else { 1.0 };
        let flat = uniform / count as f64;
        let mut log_q = Vec::with_capacity(count);
        let mut parent = Vec::with_capacity(count);
        for by_parent in &reached {
            let mass: f64 = by_parent.iter().map(|(_, log)| log.exp()).sum();
            // Parents without children in the list give their share to the others.
            let substituted = if fruitful > 0.0 { (1.0 - uniform) * mass / fruitful } else { 0.0 };
            log_q.push((substituted + flat).ln());
            parent.push(by_parent.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(number, _)| *number));
        }
        IonExchange { log_q, parent }
    }
}

/// Σ λ over changed sites; `None` where too many change or the prototypes differ.
fn exchange(table: &SubstitutionTable, parent: &[Ion], child: &[Ion], settings: &ExchangeSettings) -> Option<f64> {
    if parent.len() != child.len() {
        return None;
    }
    let mut pairs: Vec<(Ion, Ion)> = Vec::new();
    // The order of equal sites does not matter: ions that both have are matched first, site by site for cations.
    let (mut from, mut to): (Vec<Ion>, Vec<Ion>) = (Vec::new(), Vec::new());
    for (one, other) in parent.iter().zip(child) {
        if one.charge < 0 && other.charge < 0 {
            from.push(*one);
            to.push(*other);
        } else if one != other {
            pairs.push((*one, *other));
        }
    }
    from.retain(|ion| match to.iter().position(|other| other == ion) {
        Some(at) => {
            to.remove(at);
            false
        }
        None => true,
    });
    pairs.extend(from.into_iter().zip(to));
    (pairs.len() <= settings.most_exchanged).then(|| pairs.iter().map(|(one, other)| table.weight(*one, *other)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ion(symbol: &str, charge: i8) -> Ion {
        Ion { element: symbol.parse().unwrap(), charge }
    }

    #[test]
    fn the_published_table_is_whole() {
        let table = SubstitutionTable::published();
        assert_eq!((table.species(), table.pairs()), (227, 6628));
        assert!((table.weight(ion("Ac", 3), ion("Am", 3)) + 1.22).abs() < 1e-9);
        assert_eq!(table.weight(ion("Am", 3), ion("Ac", 3)), table.weight(ion("Ac", 3), ion("Am", 3)));
        assert_eq!(table.weight(ion("He", 1), ion("Ac", 3)), NEVER_SEEN);
        let allowed = [ion("Sr", 2), ion("Ba", 2), ion("Fe", 3)];
        let log_p = table.log_probabilities(ion("Ca", 2), &allowed);
        assert!((log_p.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(log_p[0] > log_p[2]);
    }

    #[test]
    fn densities_sum_to_one_over_all_parents() {
        let oxide = ion("O", -2);
        let sites = |a: Ion, b: Ion, x: [Ion; 3]| vec![a, b, x[0], x[1], x[2]];
        let barium = sites(ion("Ba", 2), ion("Ti", 4), [oxide; 3]);
        let strontium = sites(ion("Sr", 2), ion("Ti", 4), [oxide; 3]);
        let oxynitride = sites(ion("Ba", 2), ion("Ta", 5), [ion("N", -3), oxide, oxide]);
        let far = sites(ion("La", 3), ion("Ta", 5), [ion("N", -3), ion("N", -3), oxide]);
        let children = [Some(barium.clone()), Some(strontium.clone()), Some(oxynitride), Some(far), None];
        let parent = |name: &str, sites: &Vec<Ion>, weight| Parent { name: name.into(), sites: sites.clone(), weight };
        let parents = [parent("BaTiO3", &barium, 2.0), parent("SrTiO3", &strontium, 1.0)];
        let settings = ExchangeSettings::default();
        let found = IonExchange::new(SubstitutionTable::published(), &parents, &children, &settings);
        assert!((found.log_q.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(found.parent[2], Some(0), "SrTiO3 is three exchanges away, BaTiO3 two");
        assert_eq!((found.parent[3], found.parent[4]), (None, None));
        assert!((found.log_q[4].exp() - 0.01).abs() < 1e-12, "the uniform share alone");
        let lonely = IonExchange::new(SubstitutionTable::published(), &[], &children, &settings);
        assert!(lonely.log_q.iter().all(|log| (log.exp() - 0.2).abs() < 1e-12));
    }
}

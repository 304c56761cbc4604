//! ABX3 decorations and what level F0 says of them.

use ppu_twin::rules::{
    Element, Formula, Inventory, Ion, PerovskiteFactors, PerovskiteRefusal, RadiusPolicy, in_order, perovskite_factors,
};
use serde::{Deserialize, Serialize};

/// A cubic perovskite with one element on A, one on B and three anions, in the order of atomic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Perovskite {
    /// Corner.
    pub a: Element,
    /// Body centre.
    pub b: Element,
    /// Faces, sorted.
    pub x: [Element; 3],
}

impl Perovskite {
    /// A decoration; the order of the anions does not matter.
    pub fn new(a: Element, b: Element, mut x: [Element; 3]) -> Perovskite {
        x.sort_unstable();
        Perovskite { a, b, x }
    }

    /// Its composition.
    pub fn formula(&self) -> Formula {
        let sites = [self.a, self.b, self.x[0], self.x[1], self.x[2]];
        Formula::new(sites.map(|element| (element, 1))).expect("five atoms are not nothing")
    }

    /// The elements of its five sites: A, B, then the anions.
    pub fn sites(&self) -> [Element; 5] {
        [self.a, self.b, self.x[0], self.x[1], self.x[2]]
    }
}

/// Which rules are applied and how; recorded with every assessment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerovskiteRules {
    /// Oxidation states of cations with fewer reports are left out.
    pub least_reports: u32,
    /// What to do where a radius is not tabulated for the coordination.
    pub radius: RadiusPolicy,
    /// What may be used.
    pub inventory: Inventory,
    /// Weight that a composition keeps where tau speaks against it: tau is wrong for 8 % of known compounds.
    pub tau_floor: f64,
    /// Weight where tau cannot be told.
    pub tau_unknown: f64,
    /// Weight of an odd number of electrons, which cannot be an ordinary insulator.
    pub odd_electrons: f64,
}

impl Default for PerovskiteRules {
    fn default() -> Self {
        PerovskiteRules {
            least_reports: 3,
            radius: RadiusPolicy::NearestCoordination,
            inventory: Inventory::default(),
            tau_floor: 0.02,
            tau_unknown: 0.07,
            odd_electrons: 0.1,
        }
    }
}

/// What F0 says of one decoration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Ions of the five sites, in the most often reported neutral way; `None` if there is none.
    pub ions: Option<[Ion; 5]>,
    /// ln of the share of reports of the two cations' states; 0 is the most usual.
    pub log_share: f64,
    /// Geometric factors, or why there are none.
    pub factors: Option<Result<PerovskiteFactors, PerovskiteRefusal>>,
    /// Whether the electrons pair.
    pub even_electrons: bool,
    /// ln of an unnormalised prior weight; −∞ where a hard rule is broken.
    pub log_weight: f64,
    /// One sentence for people.
    pub verdict: String,
}

impl PerovskiteRules {
    /// Judges one decoration. Hard rules (neutrality, order of electronegativities, bans, the shelf for one millimole) exclude;
    /// tau and the parity of electrons only weigh.
    pub fn assess(&self, one: &Perovskite) -> Assessment {
        let formula = one.formula();
        let even_electrons = formula.electrons().is_multiple_of(2);
        let excluded = |verdict: String| Assessment {
            ions: None,
            log_share: f64::NEG_INFINITY,
            factors: None,
            even_electrons,
            log_weight: f64::NEG_INFINITY,
            verdict,
        };
        if let Err(refusal) = self.inventory.check(&formula, 1.0) {
            return excluded(refusal.to_string());
        }
        let Some((ions, log_share)) = self.ions(one) else {
            return excluded("no usual oxidation states are neutral with anions above cations".into());
        };
        let anions = [(ions[2], 1), (ions[3], 1), (ions[4], 1)];
        let factors = perovskite_factors(ions[0], ions[1], &anions, self.radius);
        // A small A belongs on B: what tau then says is about the decoration with both exchanged.
        let tau_weight = match &factors {
            Ok(found) if found.swapped => self.tau_floor,
            Ok(found) => self.tau_floor + found.probability,
            Err(_) => self.tau_unknown,
        };
        let parity = if even_electrons { 1.0 } else { self.odd_electrons };
        let geometry = match &factors {
            Ok(found) => format!("tau {:.2}, tolerance factor {:.2}", found.tau, found.tolerance),
            Err(refusal) => refusal.to_string(),
        };
        Assessment {
            verdict: format!("neutral as {} {} with {}; {geometry}", ions[0], ions[1], ions[2]),
            ions: Some(ions),
            log_share,
            factors: Some(factors),
            even_electrons,
            log_weight: log_share + tau_weight.ln() + f64::ln(parity),
        }
    }

    /// The most usual cation states that balance the anions, each in its most reported negative state.
    fn ions(&self, one: &Perovskite) -> Option<([Ion; 5], f64)> {
        let anion = |element: Element| {
            let negative = element.oxidation_states(self.least_reports).filter(|(charge, _)| *charge < 0);
            negative.max_by_key(|(_, reports)| *reports).map(|(charge, _)| Ion { element, charge })
        };
        let x = [anion(one.x[0])?, anion(one.x[1])?, anion(one.x[2])?];
        let wanted: i8 = -x.iter().map(|ion| ion.charge).sum::<i8>();
        let states = |element: Element| {
            let total: u32 = element.oxidation_states(0).map(|(_, reports)| reports).sum();
            element
                .oxidation_states(self.least_reports)
                .filter(|(charge, _)| *charge > 0)
                .map(move |(charge, reports)| (charge, (f64::from(reports) / f64::from(total)).ln()))
        };
        let mut best: Option<([Ion; 5], f64)> = None;
        for (a, a_share) in states(one.a) {
            for (b, b_share) in states(one.b).filter(|(b, _)| a + *b == wanted) {
                let share = a_share + b_share;
                if best.as_ref().is_some_and(|(_, known)| *known >= share) {
                    continue;
                }
                let ions = [Ion { element: one.a, charge: a }, Ion { element: one.b, charge: b }, x[0], x[1], x[2]];
                if in_order(ions.into_iter()) {
                    best = Some((ions, share));
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(symbol: &str) -> Element {
        symbol.parse().unwrap()
    }

    fn perovskite(a: &str, b: &str, x: [&str; 3]) -> Perovskite {
        Perovskite::new(element(a), element(b), x.map(element))
    }

    #[test]
    fn rules_tell_likely_from_unlikely_and_excluded() {
        let rules = PerovskiteRules::default();
        let good = rules.assess(&perovskite("Ba", "Ta", ["O", "O", "N"]));
        assert_eq!(good.ions.unwrap().map(|ion| ion.to_string()), ["Ba2+", "Ta5+", "N3-", "O2-", "O2-"]);
        assert!(good.even_electrons && good.factors.as_ref().unwrap().as_ref().unwrap().tau < 4.18);
        let poor = rules.assess(&perovskite("Ti", "Sr", ["O", "O", "O"]));
        let odd = rules.assess(&perovskite("Ba", "V", ["O", "O", "N"]));
        assert!(poor.log_weight <= good.log_weight && odd.log_weight < good.log_weight);
        let impossible = rules.assess(&perovskite("Na", "K", ["O", "O", "O"]));
        assert_eq!((impossible.ions, impossible.log_weight), (None, f64::NEG_INFINITY));
        let banned = PerovskiteRules {
            inventory: Inventory { banned: [element("Ta")].into(), ..Inventory::default() },
            ..PerovskiteRules::default()
        };
        let refused = banned.assess(&perovskite("Ba", "Ta", ["O", "O", "N"]));
        assert!(refused.log_weight == f64::NEG_INFINITY && refused.verdict.contains("Ta is banned"));
    }
}

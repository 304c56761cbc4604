//! What a person should know of a candidate before it is approved.

use serde::{Deserialize, Serialize};

use super::charge::Charges;
use super::elements::{Element, Ion};
use super::formula::Formula;
use super::mixing::{Solubility, mixing};

/// A caution. None of them excludes a candidate; bans do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Cations so alike in radius and charge that they may share a site: an ordered model may be a known disordered compound.
    DisorderLikely(Ion, Ion),
    /// Needs special precautions.
    Toxic(Element),
    /// Has no stable isotope.
    Radioactive(Element),
    /// Reserves lie in few countries.
    Scarce(Element),
}

/// All cautions about a composition whose charges were judged.
pub fn flags(formula: &Formula, charges: &Charges) -> Vec<Flag> {
    let mut found = Vec::new();
    if let Charges::Balanced { ions, .. } = charges {
        let cations: Vec<Ion> = ions.iter().map(|(ion, _)| *ion).filter(|ion| ion.charge > 0).collect();
        for (at, one) in cations.iter().enumerate() {
            found.extend(
                cations[at + 1..]
                    .iter()
                    .filter(|other| alike(*one, **other))
                    .map(|other| Flag::DisorderLikely(*one, *other)),
            );
        }
    }
    for (element, _) in formula.counts() {
        if element.is_toxic() {
            found.push(Flag::Toxic(element));
        }
        if element.is_radioactive() {
            found.push(Flag::Radioactive(element));
        }
        if element.is_scarce() == Some(true) {
            found.push(Flag::Scarce(element));
        }
    }
    found
}

fn alike(one: Ion, other: Ion) -> bool {
    mixing(one, other).is_some_and(|found| found.solubility == Solubility::Complete)
}

#[cfg(test)]
mod tests {
    use super::super::charge::{ChargeSettings, charge_balance};
    use super::*;

    #[test]
    fn cautions_are_found() {
        let of = |text: &str| {
            let formula: Formula = text.parse().unwrap();
            let settings = ChargeSettings { least_share: 0.05, ..ChargeSettings::default() };
            flags(&formula, &charge_balance(&formula, &settings).charges)
        };
        let element = |symbol: &str| symbol.parse::<Element>().unwrap();
        let (zirconium, titanium) =
            (Ion { element: element("Zr"), charge: 4 }, Ion { element: element("Hf"), charge: 4 });
        assert!(of("ZrHfO4").contains(&Flag::DisorderLikely(zirconium, titanium)));
        assert!(of("PbTiO3").contains(&Flag::Toxic(element("Pb"))));
        assert!(of("UO2").contains(&Flag::Radioactive(element("U"))));
        assert!(!of("CaTiO3").iter().any(|flag| matches!(flag, Flag::DisorderLikely(..))));
        assert!(of("KCl").contains(&Flag::Scarce(element("K"))));
    }
}

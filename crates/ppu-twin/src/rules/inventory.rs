//! What this laboratory can and may make: what is on the shelf, what is banned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::elements::Element;
use super::formula::Formula;

/// A bottle on the shelf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precursor {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub formula: Formula,
    /// How much is left, millimoles of formula units.
    pub amount_mmol: f64,
}

/// Constraints of the laboratory. A ban holds from the moment it is made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Elements that may not be used ("no Pb").
    #[serde(default)]
    pub banned: BTreeSet<Element>,
    /// The shelf; without one every element is taken to be at hand.
    #[serde(default)]
    pub shelf: Option<Vec<Precursor>>,
    /// Elements that come from air or process gas and need no bottle.
    #[serde(default)]
    pub from_gas: BTreeSet<Element>,
}

/// Why a composition cannot be made here.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryRefusal {
    /// An element is banned.
    #[error("{0} is banned")]
    Banned(Element),
    /// No bottle free of banned elements has it.
    #[error("nothing on the shelf brings {0}")]
    NotOnShelf(Element),
    /// All bottles together hold too little.
    #[error("the shelf holds {held_mmol} mmol of {element}, {needed_mmol} mmol are needed")]
    TooLittle {
        /// The element.
        element: Element,
        /// What all bottles hold.
        held_mmol: f64,
        /// What the batch needs.
        needed_mmol: f64,
    },
}

impl Inventory {
    /// Whether `amount_mmol` formula units can be made. Necessary, not sufficient: that bottles which bring one element bring
    /// no unwanted other one is for the protocol to check.
    pub fn check(&self, formula: &Formula, amount_mmol: f64) -> Result<(), InventoryRefusal> {
        if let Some((element, _)) = formula.counts().find(|(element, _)| self.banned.contains(element)) {
            return Err(InventoryRefusal::Banned(element));
        }
        let Some(shelf) = &self.shelf else { return Ok(()) };
        let mut held: BTreeMap<Element, f64> = BTreeMap::new();
        let allowed = |bottle: &&Precursor| bottle.formula.counts().all(|(element, _)| !self.banned.contains(&element));
        for bottle in shelf.iter().filter(allowed).filter(|bottle| bottle.amount_mmol > 0.0) {
            for (element, count) in bottle.formula.counts() {
                *held.entry(element).or_insert(0.0) += bottle.amount_mmol * f64::from(count);
            }
        }
        for (element, count) in formula.counts().filter(|(element, _)| !self.from_gas.contains(element)) {
            let held_mmol = held.get(&element).copied().ok_or(InventoryRefusal::NotOnShelf(element))?;
            let needed_mmol = amount_mmol * f64::from(count);
            if needed_mmol.is_nan() || held_mmol < needed_mmol {
                return Err(InventoryRefusal::TooLittle { element, held_mmol, needed_mmol });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(text: &str) -> Formula {
        text.parse().unwrap()
    }

    #[test]
    fn bans_and_the_shelf_decide() {
        let element = |symbol: &str| symbol.parse::<Element>().unwrap();
        let bottle = |text: &str, amount_mmol| Precursor { name: text.into(), formula: formula(text), amount_mmol };
        let inventory = Inventory {
            banned: [element("Pb")].into(),
            shelf: Some(vec![bottle("BaCO3", 10.0), bottle("TiO2", 2.0), bottle("PbTiO3", 50.0)]),
            from_gas: [element("O")].into(),
        };
        assert_eq!(inventory.check(&formula("BaTiO3"), 2.0), Ok(()));
        assert_eq!(inventory.check(&formula("PbTiO3"), 1.0), Err(InventoryRefusal::Banned(element("Pb"))));
        assert_eq!(inventory.check(&formula("SrTiO3"), 1.0), Err(InventoryRefusal::NotOnShelf(element("Sr"))));
        // The titanium of the banned bottle does not count.
        let too_little = InventoryRefusal::TooLittle { element: element("Ti"), held_mmol: 2.0, needed_mmol: 3.0 };
        assert_eq!(inventory.check(&formula("BaTiO3"), 3.0), Err(too_little));
        assert!(inventory.check(&formula("BaTiO3"), f64::NAN).is_err());
        assert_eq!(Inventory::default().check(&formula("PbTiO3"), 1.0), Ok(()));
    }
}

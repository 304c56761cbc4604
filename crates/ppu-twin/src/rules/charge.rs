//! Charge neutrality and the order of electronegativities, with every setting recorded: Davies et al., Chem 1, 617 (2016).

use serde::{Deserialize, Serialize};

use super::elements::{Element, Ion};
use super::formula::Formula;

/// What counts as a valid composition. A verdict without its settings means nothing, so it carries them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChargeSettings {
    /// Oxidation states with fewer reports in the database are left out; the table starts at 3.
    pub least_reports: u32,
    /// Oxidation states with a smaller share of the reports of their element are left out.
    pub least_share: f64,
    /// Whether every anion must be more electronegative than every cation. Elements without a value are not compared.
    pub electronegativity: bool,
    /// Whether the atoms of one element may be in two states.
    pub mixed_valence: bool,
    /// Whether compositions of metals alone pass without a test.
    pub alloys_pass: bool,
}

impl Default for ChargeSettings {
    /// The defaults of the reference implementation: 3 reports, no mixed valence, electronegativities compared.
    fn default() -> Self {
        ChargeSettings {
            least_reports: 3,
            least_share: 0.0,
            electronegativity: true,
            mixed_valence: false,
            alloys_pass: false,
        }
    }
}

/// What the rule finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charges {
    /// Neutral; the most often reported way, and the sum over atoms of ln(share of reports of the state).
    Balanced {
        /// Ions and how many of each.
        ions: Vec<(Ion, u32)>,
        /// How usual the states are; 0 is the most usual.
        log_share: f64,
    },
    /// Neutral only with a cation that is at least as electronegative as an anion.
    OutOfOrder,
    /// No choice of states is neutral.
    Unbalanced,
    /// An element has no state in the list under the settings.
    NoStates(Element),
    /// Metals alone, accepted without a test because the settings say so.
    Alloy,
    /// One element; nothing to balance.
    Elemental,
}

/// A verdict and what it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChargeVerdict {
    /// What was found.
    pub charges: Charges,
    /// With these settings.
    pub settings: ChargeSettings,
}

impl ChargeVerdict {
    /// Whether the composition is valid under the settings.
    pub fn passes(&self) -> bool {
        matches!(self.charges, Charges::Balanced { .. } | Charges::Alloy | Charges::Elemental)
    }
}

/// How one element may be charged: ions with counts, the total charge, and ln of the share of its reports.
struct Choice {
    ions: Vec<(Ion, u32)>,
    charge: i64,
    log_share: f64,
}

/// Looks for oxidation states that balance the reduced formula.
pub fn charge_balance(formula: &Formula, settings: &ChargeSettings) -> ChargeVerdict {
    let verdict = |charges| ChargeVerdict { charges, settings: *settings };
    let reduced = formula.reduced();
    if reduced.counts().len() == 1 {
        return verdict(Charges::Elemental);
    }
    if settings.alloys_pass && reduced.counts().all(|(element, _)| is_metal(element)) {
        return verdict(Charges::Alloy);
    }
    let mut choices = Vec::new();
    for (element, count) in reduced.counts() {
        let of_element = choices_of(element, count, settings);
        if of_element.is_empty() {
            return verdict(Charges::NoStates(element));
        }
        choices.push(of_element);
    }
    let mut search = Search { choices: &choices, ordered: settings.electronegativity, neutral: false, best: None };
    search.descend(&mut Vec::new(), 0, 0.0);
    verdict(match search.best {
        Some((log_share, picked)) => {
            let ions = picked.iter().zip(&choices).flat_map(|(at, of)| of[*at].ions.iter().copied()).collect();
            Charges::Balanced { ions, log_share }
        }
        None if search.neutral => Charges::OutOfOrder,
        None => Charges::Unbalanced,
    })
}

fn choices_of(element: Element, count: u32, settings: &ChargeSettings) -> Vec<Choice> {
    let total: u32 = element.oxidation_states(0).map(|(_, reports)| reports).sum();
    let share = |reports: u32| f64::from(reports) / f64::from(total.max(1));
    let states: Vec<(i8, f64)> = element
        .oxidation_states(settings.least_reports)
        .map(|(charge, reports)| (charge, share(reports)))
        .filter(|(_, share)| *share >= settings.least_share)
        .collect();
    let part = |charge: i8, count: u32| (Ion { element, charge }, count);
    let mut all: Vec<Choice> = states
        .iter()
        .map(|(charge, share)| Choice {
            ions: vec![part(*charge, count)],
            charge: i64::from(*charge) * i64::from(count),
            log_share: f64::from(count) * share.ln(),
        })
        .collect();
    if settings.mixed_valence && count > 1 {
        for (at, (low, low_share)) in states.iter().enumerate() {
            for (high, high_share) in &states[at + 1..] {
                all.extend((1..count).map(|of_low| {
                    let of_high = count - of_low;
                    Choice {
                        ions: vec![part(*low, of_low), part(*high, of_high)],
                        charge: i64::from(*low) * i64::from(of_low) + i64::from(*high) * i64::from(of_high),
                        log_share: f64::from(of_low) * low_share.ln() + f64::from(of_high) * high_share.ln(),
                    }
                }));
            }
        }
    }
    all
}

struct Search<'a> {
    choices: &'a [Vec<Choice>],
    ordered: bool,
    neutral: bool,
    best: Option<(f64, Vec<usize>)>,
}

impl Search<'_> {
    fn descend(&mut self, picked: &mut Vec<usize>, charge: i64, log_share: f64) {
        let rest = &self.choices[picked.len()..];
        let Some(next) = rest.first() else {
            if charge == 0 {
                self.found(picked, log_share);
            }
            return;
        };
        let reach =
            |of: &[Choice], pick: fn(i64, i64) -> i64| of.iter().map(|one| one.charge).reduce(pick).unwrap_or(0);
        let lowest: i64 = rest.iter().map(|of| reach(of, i64::min)).sum();
        let highest: i64 = rest.iter().map(|of| reach(of, i64::max)).sum();
        if charge + lowest > 0 || charge + highest < 0 {
            return;
        }
        for (at, choice) in next.iter().enumerate() {
            picked.push(at);
            self.descend(picked, charge + choice.charge, log_share + choice.log_share);
            picked.pop();
        }
    }

    fn found(&mut self, picked: &[usize], log_share: f64) {
        let ions = || picked.iter().zip(self.choices).flat_map(|(at, of)| of[*at].ions.iter().map(|(ion, _)| *ion));
        if self.best.as_ref().is_some_and(|(best, _)| *best >= log_share) {
            return;
        }
        let in_order = !self.ordered || in_order(ions());
        self.neutral = true;
        if in_order {
            self.best = Some((log_share, picked.to_vec()));
        }
    }
}

/// Whether every anion is more electronegative than every cation; ions without a value are left out.
pub fn in_order(ions: impl Iterator<Item = Ion>) -> bool {
    let (mut cation, mut anion) = (f64::NEG_INFINITY, f64::INFINITY);
    for ion in ions {
        let Some(value) = ion.element.electronegativity() else { continue };
        if ion.charge > 0 { cation = cation.max(value) } else { anion = anion.min(value) }
    }
    anion > cation
}

/// Metals for the test of alloys: all but noble gases, halogens, and the non-metals above the line from boron to tellurium.
fn is_metal(element: Element) -> bool {
    const NOT: [&str; 22] = [
        "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "As", "Se", "Br", "Kr", "Te", "I", "Xe",
        "At", "Rn",
    ];
    !NOT.contains(&element.symbol())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, settings: ChargeSettings) -> Charges {
        charge_balance(&text.parse().unwrap(), &settings).charges
    }

    #[test]
    fn compounds_worked_by_hand() {
        let common = ChargeSettings { least_share: 0.01, ..ChargeSettings::default() };
        let states = |text: &str| match verdict(text, common) {
            Charges::Balanced { ions, .. } => ions.iter().map(|(ion, _)| ion.to_string()).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        for (formula, expected) in [
            ("NaCl", "Na1+ Cl1-"),
            ("BaTiO3", "O2- Ti4+ Ba2+"),
            ("CaTaO2N", "N3- O2- Ca2+ Ta5+"),
            ("LaTaON2", "N3- O2- La3+ Ta5+"),
            ("CsPbI3", "I1- Cs1+ Pb2+"),
            ("Al2O3", "O2- Al3+"),
            ("SrSnO3", "O2- Sr2+ Sn4+"),
            ("Fe2O3", "O2- Fe3+"),
            ("NaAlCl", "Unbalanced"),
            ("BaTaO3", "O2- Ba2+ Ta4+"),
            ("BaTaO4", "Unbalanced"),
            ("O2", "Elemental"),
        ] {
            assert_eq!(states(formula), expected, "{formula}");
        }
        assert_eq!(verdict("HeO", common), Charges::NoStates("He".parse().unwrap()));
    }

    #[test]
    fn settings_change_the_verdict_and_are_recorded() {
        let strict = ChargeSettings { least_share: 0.01, ..ChargeSettings::default() };
        assert_eq!(verdict("Fe3O4", strict), Charges::Unbalanced);
        let mixed = ChargeSettings { mixed_valence: true, ..strict };
        match verdict("Fe3O4", mixed) {
            Charges::Balanced { ions, .. } => assert_eq!(ions.iter().map(|(_, n)| n).sum::<u32>(), 7),
            other => panic!("{other:?}"),
        }
        assert_eq!(verdict("NiTi", ChargeSettings { alloys_pass: true, ..strict }), Charges::Alloy);
        let verdict = charge_balance(&"Fe3O4".parse().unwrap(), &mixed);
        assert!(verdict.passes() && verdict.settings.mixed_valence);
    }

    #[test]
    fn a_cation_more_electronegative_than_the_anion_is_out_of_order() {
        // Oxygen as cation beside nitride is neutral on paper only.
        let ions =
            |text: [(&str, i8); 2]| text.map(|(symbol, charge)| Ion { element: symbol.parse().unwrap(), charge });
        assert!(in_order(ions([("Na", 1), ("Cl", -1)]).into_iter()));
        assert!(!in_order(ions([("O", 2), ("N", -3)]).into_iter()));
        // Gold is an anion beside caesium and a cation beside chlorine; the other way round is out of order.
        let settings = ChargeSettings::default();
        assert!(charge_balance(&"CsAu".parse().unwrap(), &settings).passes());
        assert_eq!(verdict("OF", settings), Charges::Unbalanced);
    }
}

//! Elements and ions with the few facts that the rules need.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::tables::{ELEMENTS, RADII};

/// Above this index reserves lie in few hands; the limit is that of the U.S. Department of Justice for markets.
const CONCENTRATED: f64 = 2500.0;
/// Elements that a laboratory without special precautions does not handle as powders.
const TOXIC: [&str; 9] = ["Be", "As", "Cd", "Hg", "Tl", "Pb", "Os", "Se", "Te"];

/// A chemical element, hydrogen to curium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Element(u8);

/// No element of the table has this symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("`{0}` is not the symbol of an element from hydrogen to curium")]
pub struct UnknownElement(pub String);

/// An element in an oxidation state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ion {
    /// The element.
    pub element: Element,
    /// Its charge in units of e.
    pub charge: i8,
}

/// An effective ionic radius, and how it was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Radius {
    /// Picometres.
    pub pm: f64,
    /// Coordination number of the tabulated value.
    pub coordination: u8,
}

/// What to do where the wanted coordination is not tabulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RadiusPolicy {
    /// Refuse.
    #[default]
    Exact,
    /// Take the nearest tabulated coordination of the same ion; the answer says which.
    NearestCoordination,
}

struct Facts {
    symbol: &'static str,
    group: u8,
    electronegativity: Option<f64>,
    reserves: Option<f64>,
    states: Vec<(i8, u32)>,
}

static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| ELEMENTS.lines().filter_map(facts).collect());
static IONS: LazyLock<Vec<(Ion, Vec<Radius>)>> = LazyLock::new(|| RADII.split(';').filter_map(ion_radii).collect());

fn facts(line: &'static str) -> Option<Facts> {
    let mut words = line.split_whitespace();
    let (symbol, group) = (words.next()?, words.next()?.parse().ok()?);
    let electronegativity = words.next()?.parse().ok();
    let reserves = words.next()?.parse().ok();
    let states =
        words.filter_map(|word| word.split_once(':')).filter_map(|(z, n)| Some((z.parse().ok()?, n.parse().ok()?)));
    Some(Facts { symbol, group, electronegativity, reserves, states: states.collect() })
}

fn ion_radii(text: &str) -> Option<(Ion, Vec<Radius>)> {
    let mut words = text.split_whitespace();
    let ion = Ion { element: words.next()?.parse().ok()?, charge: words.next()?.parse().ok()? };
    let radius = |word: &str| {
        let (coordination, pm) = word.split_once(':')?;
        Some(Radius { pm: pm.parse().ok()?, coordination: coordination.parse().ok()? })
    };
    Some((ion, words.filter_map(radius).collect()))
}

impl Element {
    /// The element of an atomic number.
    pub fn from_atomic_number(number: u8) -> Option<Element> {
        (1..=FACTS.len()).contains(&usize::from(number)).then_some(Element(number))
    }

    /// All elements of the table in the order of atomic number.
    pub fn all() -> impl Iterator<Item = Element> {
        (1..=FACTS.len() as u8).map(Element)
    }

    fn facts(self) -> &'static Facts {
        &FACTS[usize::from(self.0) - 1]
    }

    /// Protons.
    pub fn atomic_number(self) -> u8 {
        self.0
    }

    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        self.facts().symbol
    }

    /// Group of the periodic table; 3 for all lanthanides and actinides.
    pub fn group(self) -> u8 {
        self.facts().group
    }

    /// Period of the periodic table.
    pub fn period(self) -> u8 {
        // Noble gases close the periods.
        1 + [2, 10, 18, 36, 54, 86].iter().filter(|last| self.0 > **last).count() as u8
    }

    /// Electronegativity on Pauling's scale, where there is one.
    pub fn electronegativity(self) -> Option<f64> {
        self.facts().electronegativity
    }

    /// Oxidation states that at least `least_reports` entries of the database report, ascending, with that number; the table
    /// itself leaves out states with fewer than 3, and the state 0.
    pub fn oxidation_states(self, least_reports: u32) -> impl Iterator<Item = (i8, u32)> {
        self.facts().states.iter().copied().filter(move |(_, reports)| *reports >= least_reports)
    }

    /// Whether it is handled with special precautions.
    pub fn is_toxic(self) -> bool {
        TOXIC.contains(&self.symbol())
    }

    /// Whether it has no isotope of practical stability: technetium, promethium and all after bismuth.
    pub fn is_radioactive(self) -> bool {
        self.0 == 43 || self.0 == 61 || self.0 > 83
    }

    /// Whether its reserves are concentrated in few countries; `None` where the source gives no index.
    pub fn is_scarce(self) -> Option<bool> {
        self.facts().reserves.map(|index| index > CONCENTRATED)
    }
}

impl Ion {
    /// Its radius at a coordination number; `None` where the table does not tell under the policy.
    pub fn radius(self, coordination: u8, policy: RadiusPolicy) -> Option<Radius> {
        let known = &IONS.iter().find(|(ion, _)| *ion == self)?.1;
        match policy {
            RadiusPolicy::Exact => known.iter().find(|radius| radius.coordination == coordination).copied(),
            RadiusPolicy::NearestCoordination => {
                known.iter().min_by_key(|radius| radius.coordination.abs_diff(coordination)).copied()
            }
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Ion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.charge < 0 { '-' } else { '+' };
        write!(f, "{}{}{sign}", self.element, self.charge.unsigned_abs())
    }
}

impl FromStr for Element {
    type Err = UnknownElement;

    fn from_str(symbol: &str) -> Result<Element, UnknownElement> {
        let at = FACTS.iter().position(|facts| facts.symbol == symbol);
        at.map(|at| Element(at as u8 + 1)).ok_or_else(|| UnknownElement(symbol.to_owned()))
    }
}

impl TryFrom<String> for Element {
    type Error = UnknownElement;

    fn try_from(symbol: String) -> Result<Element, UnknownElement> {
        symbol.parse()
    }
}

impl From<Element> for String {
    fn from(element: Element) -> String {
        element.symbol().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read_whole() {
        assert_eq!(FACTS.len(), 96);
        assert_eq!(IONS.len(), RADII.split(';').count());
        let states: usize = FACTS.iter().map(|facts| facts.states.len()).sum();
        let written: usize = ELEMENTS.lines().map(|line| line.split_whitespace().skip(4).count()).sum();
        assert_eq!(states, written);
        assert!(IONS.iter().all(|(_, radii)| !radii.is_empty()));
    }

    #[test]
    fn known_elements_have_their_facts() {
        let element = |symbol: &str| symbol.parse::<Element>().unwrap();
        for (symbol, number, group, period) in [
            ("H", 1, 1, 1),
            ("O", 8, 16, 2),
            ("Ti", 22, 4, 4),
            ("La", 57, 3, 6),
            ("Lu", 71, 3, 6),
            ("Hf", 72, 4, 6),
            ("Pb", 82, 14, 6),
            ("U", 92, 3, 7),
        ] {
            let one = element(symbol);
            assert_eq!((one.atomic_number(), one.group(), one.period()), (number, group, period), "{symbol}");
        }
        assert_eq!(element("O").electronegativity(), Some(3.44));
        assert_eq!(element("He").electronegativity(), None);
        assert_eq!(element("Ti").oxidation_states(100).map(|(z, _)| z).collect::<Vec<_>>(), [2, 3, 4]);
        let barium = Ion { element: element("Ba"), charge: 2 };
        assert_eq!(barium.radius(12, RadiusPolicy::Exact).unwrap().pm, 161.0);
        let nitride = Ion { element: element("N"), charge: -3 };
        assert_eq!(nitride.radius(6, RadiusPolicy::Exact), None);
        assert_eq!(nitride.radius(6, RadiusPolicy::NearestCoordination).unwrap().coordination, 4);
        assert_eq!("Xx".parse::<Element>(), Err(UnknownElement("Xx".into())));
        assert!(element("Pb").is_toxic() && element("Tc").is_radioactive() && !element("Bi").is_radioactive());
    }
}

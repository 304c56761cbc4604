//! Chemical formulas with whole numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::elements::{Element, UnknownElement};

/// Elements and how many of each; never empty, no count is 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Formula(BTreeMap<Element, u32>);

/// Why a text is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// A symbol that is none.
    #[error("the formula `{formula}` has an unknown symbol")]
    Symbol {
        /// The text.
        formula: String,
        /// Which.
        source: UnknownElement,
    },
    /// Brackets or numbers out of place, a count of 0 or above 10,000, or nothing at all.
    #[error("`{0}` is not a formula: symbols, whole numbers and round brackets are expected")]
    Form(String),
}

/// Counts above this are taken for a slip.
const MOST: u32 = 10_000;

impl Formula {
    /// A formula of these counts; elements that occur twice are added, counts of 0 are left out. `None` if nothing remains.
    pub fn new(counts: impl IntoIterator<Item = (Element, u32)>) -> Option<Formula> {
        let mut all = BTreeMap::new();
        for (element, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            *all.entry(element).or_insert(0_u32) += count;
        }
        (!all.is_empty()).then_some(Formula(all))
    }

    /// The smallest whole numbers in the same ratio.
    pub fn reduced(&self) -> Formula {
        let divisor = self.0.values().copied().fold(0, gcd).max(1);
        Formula(self.0.iter().map(|(element, count)| (*element, count / divisor)).collect())
    }

    /// Elements and counts in the order of atomic number.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (Element, u32)> {
        self.0.iter().map(|(element, count)| (*element, *count))
    }

    /// Atoms of one element.
    pub fn count(&self, element: Element) -> u32 {
        self.0.get(&element).copied().unwrap_or(0)
    }

    /// Electrons of the neutral formula unit. An odd number cannot fill bands: no insulator without magnetic order.
    pub fn electrons(&self) -> u32 {
        self.counts().map(|(element, count)| u32::from(element.atomic_number()) * count).sum()
    }

    /// Atoms of the formula unit.
    pub fn atoms(&self) -> u32 {
        self.0.values().sum()
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl FromStr for Formula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Formula, FormulaError> {
        let bad = || FormulaError::Form(text.to_owned());
        let bytes = text.as_bytes();
        // One map of counts for every open bracket.
        let mut open: Vec<BTreeMap<Element, u32>> = vec![BTreeMap::new()];
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'(' => {
                    open.push(BTreeMap::new());
                    at += 1;
                }
                b')' => {
                    let inner = open.pop().ok_or_else(bad)?;
                    let times = number(bytes, &mut at).ok_or_else(bad)?;
                    let outer = open.last_mut().ok_or_else(bad)?;
                    for (element, count) in inner {
                        let count = count.checked_mul(times).filter(|count| *count <= MOST).ok_or_else(bad)?;
                        *outer.entry(element).or_insert(0) += count;
                    }
                }
                b'A'..=b'Z' => {
                    let end = at + 1 + bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
                    let symbol = &text[at..end];
                    let element =
                        symbol.parse().map_err(|source| FormulaError::Symbol { formula: text.to_owned(), source })?;
                    at = end - 1;
                    let count = number(bytes, &mut at).ok_or_else(bad)?;
                    *open.last_mut().ok_or_else(bad)?.entry(element).or_insert(0) += count;
                }
                _ => return Err(bad()),
            }
        }
        let all = open.pop().ok_or_else(bad)?;
        if !open.is_empty() {
            return Err(bad());
        }
        Formula::new(all).ok_or_else(bad)
    }
}

/// The number after the byte at `at`, 1 where there is none; moves behind it.
fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    *at += 1;
    let digits = bytes[*at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Some(1);
    }
    let text = std::str::from_utf8(&bytes[*at..*at + digits]).ok()?;
    *at += digits;
    text.parse().ok().filter(|count| (1..=MOST).contains(count))
}

impl fmt::Display for Formula {
    /// Least electronegative element first; elements without a value come last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<(Element, u32)> = self.counts().collect();
        let key = |element: Element| element.electronegativity().unwrap_or(f64::INFINITY);
        all.sort_by(|a, b| key(a.0).total_cmp(&key(b.0)));
        for (element, count) in all {
            f.write_str(element.symbol())?;
            if count > 1 {
                write!(f, "{count}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Formula {
    type Error = FormulaError;

    fn try_from(text: String) -> Result<Formula, FormulaError> {
        text.parse()
    }
}

impl From<Formula> for String {
    fn from(formula: Formula) -> String {
        formula.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_read_reduced_and_written() {
        for (text, reduced) in [
            ("BaTiO3", "BaTiO3"),
            ("Ca(MnS2)4", "CaMn4S8"),
            ("Mg2Si2O6", "MgSiO3"),
            ("O2", "O"),
            ("Al2(SO4)3", "Al2S3O12"),
        ] {
            assert_eq!(text.parse::<Formula>().unwrap().reduced().to_string(), reduced);
        }
    }

    #[test]
    fn what_is_no_formula_is_refused() {
        for text in ["", "ba", "Ba(", "Ba)", "BaO0", "Ba-O", "BaO99999999999", "()"] {
            assert!(matches!(text.parse::<Formula>(), Err(FormulaError::Form(_))), "{text}");
        }
        assert!(matches!("QqO".parse::<Formula>(), Err(FormulaError::Symbol { .. })));
    }
}

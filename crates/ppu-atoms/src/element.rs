//! Chemical elements as the potential knows them: hydrogen (1) to plutonium (94).

use std::fmt;
use std::str::FromStr;

/// Symbols in order of atomic number, hydrogen first.
const SYMBOLS: [&str; Element::COUNT] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce",
    "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu",
];

/// An element from hydrogen to plutonium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element(u8);

/// The text or number names no element from hydrogen to plutonium.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no element from H to Pu, so the potential knows nothing of it")]
pub struct UnknownElement(pub String);

impl Element {
    /// How many elements there are: the potential was trained on the first 94.
    pub const COUNT: usize = 94;

    /// The element of an atomic number from 1 to 94.
    ///
    /// # Errors
    /// [`UnknownElement`] for any other number.
    pub fn from_number(number: u32) -> Result<Self, UnknownElement> {
        match u8::try_from(number) {
            Ok(small) if (1..=Self::COUNT).contains(&usize::from(small)) => Ok(Self(small)),
            _ => Err(UnknownElement(number.to_string())),
        }
    }

    /// Atomic number, 1 to 94.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// Position in a table that begins with hydrogen, 0 to 93.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// Symbol, for example `Mn`.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        SYMBOLS[self.index()]
    }
}

impl FromStr for Element {
    type Err = UnknownElement;

    fn from_str(symbol: &str) -> Result<Self, UnknownElement> {
        let found = SYMBOLS.iter().zip(1u8..).find(|(known, _)| **known == symbol);
        found.map(|(_, number)| Self(number)).ok_or_else(|| UnknownElement(symbol.to_owned()))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_agree() {
        for (symbol, number) in [("H", 1), ("O", 8), ("Mn", 25), ("Cs", 55), ("Lu", 71), ("Pb", 82), ("Pu", 94)] {
            let element: Element = symbol.parse().unwrap();
            assert_eq!((element.number(), element.symbol()), (number, symbol));
            assert_eq!(Element::from_number(number), Ok(element));
        }
        assert!("Xx".parse::<Element>().is_err());
        assert!(Element::from_number(0).is_err() && Element::from_number(95).is_err());
    }
}

//! Chemical compositions as fractions of atoms.

use std::collections::BTreeMap;

use crate::element::Element;

/// Fractions of atoms by element: positive, with a sum of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition(BTreeMap<Element, f64>);

/// Amounts that are no composition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a composition needs finite amounts of which none is negative and one at least is positive")]
pub struct NoComposition;

impl Composition {
    /// The composition of the given amounts; they are divided by their sum, and zeros are left out.
    ///
    /// # Errors
    /// [`NoComposition`] for negative or infinite amounts, or when all are zero.
    pub fn new(amounts: impl IntoIterator<Item = (Element, f64)>) -> Result<Self, NoComposition> {
        let mut fractions = BTreeMap::new();
        let mut sum = 0.0;
        for (element, amount) in amounts {
            if !amount.is_finite() || amount < 0.0 {
                return Err(NoComposition);
            }
            if amount > 0.0 {
                *fractions.entry(element).or_insert(0.0) += amount;
                sum += amount;
            }
        }
        if !(sum > 0.0 && f64::is_finite(sum)) {
            return Err(NoComposition);
        }
        fractions.values_mut().for_each(|fraction| *fraction /= sum);
        Ok(Self(fractions))
    }

    /// The composition of a list of atoms.
    ///
    /// # Errors
    /// [`NoComposition`] for an empty list.
    pub fn of(species: &[Element]) -> Result<Self, NoComposition> {
        Self::new(species.iter().map(|&element| (element, 1.0)))
    }

    /// Fraction of an element.
    #[must_use]
    pub fn fraction(&self, element: Element) -> f64 {
        self.0.get(&element).copied().unwrap_or(0.0)
    }

    /// Elements and fractions in order of atomic number.
    pub fn iter(&self) -> impl Iterator<Item = (Element, f64)> {
        self.0.iter().map(|(&element, &fraction)| (element, fraction))
    }

    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_become_fractions() {
        let [oxygen, iron] = [8, 26].map(|number| Element::from_number(number).unwrap());
        let rust = Composition::new([(iron, 2.0), (oxygen, 3.0)]).unwrap();
        assert_eq!((rust.fraction(iron), rust.fraction(oxygen), rust.elements()), (0.4, 0.6, 2));
        assert_eq!(rust, Composition::of(&[oxygen, iron, oxygen, iron, oxygen]).unwrap());
        assert_eq!(Composition::of(&[]), Err(NoComposition));
        assert_eq!(Composition::new([(iron, -1.0), (oxygen, 2.0)]), Err(NoComposition));
        assert_eq!(Composition::new([(iron, f64::INFINITY)]), Err(NoComposition));
    }
}

//! From type symbols and labels of files to elements.

use std::collections::BTreeSet;

use crate::structure::Element;

/// Every chemical symbol, so that an element without scattering data is told from a word that names none.
const SYMBOLS: &str = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr \
    Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os \
    Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv \
    Ts Og";

/// What a symbol turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Known(Element),
    /// An element for which this crate has no scattering factors.
    Untabulated(&'static str),
}

/// Reads a type symbol such as `Ti4+`, `O2-`, `CA`, `Cval`, `D` or a label such as `Fe1`, `O-H1`. The longest beginning
/// that is a symbol counts; with a formula at hand, the longest that occurs in it.
pub(super) fn read(text: &str, formula: Option<&BTreeSet<String>>) -> Option<Symbol> {
    let letters: String = text.chars().take_while(char::is_ascii_alphabetic).take(3).collect();
    // Water written as one atom, and deuterium, which scatters as hydrogen.
    let lower = letters.to_ascii_lowercase();
    if matches!(lower.as_str(), "wat") {
        return find("O");
    }
    let spelled = |length: usize| {
        let part = lower.get(..length)?;
        let mut symbol = part[..1].to_ascii_uppercase();
        symbol.push_str(&part[1..]);
        Some(symbol)
    };
    let candidates: Vec<String> = [2, 1].into_iter().filter_map(spelled).collect();
    let stated = candidates.iter().find(|symbol| formula.is_some_and(|formula| formula.contains(symbol.as_str())));
    if let Some(found) = stated.and_then(|symbol| find(symbol)) {
        return Some(found);
    }
    candidates.iter().find_map(|symbol| find(symbol))
}

fn find(symbol: &str) -> Option<Symbol> {
    let symbol = if symbol == "D" { "H" } else { symbol };
    if let Some(element) = Element::ALL.iter().find(|element| element.symbol() == symbol) {
        return Some(Symbol::Known(*element));
    }
    SYMBOLS.split_ascii_whitespace().find(|known| *known == symbol).map(Symbol::Untabulated)
}

/// Elements and amounts of a formula such as `Ti4 O8`; nothing when it has parts that cannot be read.
pub(super) fn formula(text: &str) -> Option<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for word in text.split_ascii_whitespace() {
        let digits = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (symbol, amount) = word.split_at(digits);
        find(symbol)?;
        let amount = if amount.is_empty() { 1.0 } else { amount.parse::<f64>().ok().filter(|n| n.is_finite())? };
        found.push((if symbol == "D" { "H" } else { symbol }.to_owned(), amount));
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_labels_give_their_element() {
        for (text, wanted) in [
            ("Ti4+", "Ti"),
            ("O2-", "O"),
            ("CA", "Ca"),
            ("Cval", "C"),
            ("Siva", "Si"),
            ("D", "H"),
            ("O-H1", "O"),
            ("Wat", "O"),
            ("OW1", "O"),
            ("Pb1A", "Pb"),
            ("i", "I"),
        ] {
            match read(text, None) {
                Some(Symbol::Known(element)) => assert_eq!(element.symbol(), wanted, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(read("Xx", None), None);
        assert_eq!(read("1O", None), None);
        assert_eq!(read("", None), None);
        assert_eq!(read("Es1", None), Some(Symbol::Untabulated("Es")));
    }

    #[test]
    fn the_formula_decides_between_readings_of_a_label() {
        // HO1 is a hydroxyl hydrogen in brucite and holmium in a garnet.
        let brucite: BTreeSet<String> = ["Mg", "O", "H"].map(str::to_owned).into();
        assert_eq!(read("HO1", Some(&brucite)), find("H"));
        let carbonate: BTreeSet<String> = ["Cs", "C", "O"].map(str::to_owned).into();
        assert_eq!(read("Cs1", Some(&carbonate)), find("Cs"));
    }

    #[test]
    fn formulas_are_read() {
        assert_eq!(formula("Ti4 O8"), Some(vec![("Ti".to_owned(), 4.0), ("O".to_owned(), 8.0)]));
        assert_eq!(formula("O Zn"), Some(vec![("O".to_owned(), 1.0), ("Zn".to_owned(), 1.0)]));
        assert_eq!(formula("C0.5 H1.5(2)"), None);
        assert_eq!(formula(""), None);
    }
}

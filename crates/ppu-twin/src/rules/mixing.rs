//! Miscibility: can two ions share one site? Goldschmidt's rules of substitution, J. Chem. Soc. 655 (1937).

use serde::{Deserialize, Serialize};

use super::elements::{Ion, RadiusPolicy};

/// Radii that differ by less than this share of the larger mix in all proportions.
const COMPLETE: f64 = 0.15;
/// From this share on hardly anything dissolves.
const LIMITED: f64 = 0.30;
/// Coordination in which ions are compared, or for each the nearest that is tabulated.
const COMPARED: u8 = 6;

/// How well two ions mix on one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solubility {
    /// In all proportions: radii within 15 %. An ordered model of both may be a known disordered compound.
    Complete,
    /// In part, or only when hot: radii within 30 %.
    Limited,
    /// Hardly: radii further apart, or charges that differ by more than one.
    Rare,
}

/// Two ions on one site.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixing {
    /// How well they mix.
    pub solubility: Solubility,
    /// Difference of the radii as a share of the larger.
    pub mismatch: f64,
    /// Whether the charges differ, so that another ion must make up for it.
    pub compensated: bool,
}

/// What the rules say of two ions on one site; `None` where they are of opposite charge or a radius is not tabulated, because
/// a missing radius is never guessed.
pub fn mixing(one: Ion, other: Ion) -> Option<Mixing> {
    let radius = |ion: Ion| ion.radius(COMPARED, RadiusPolicy::NearestCoordination).map(|radius| radius.pm);
    let (a, b) = (radius(one)?, radius(other)?);
    if one.charge.signum() != other.charge.signum() || a.max(b) <= 0.0 {
        return None;
    }
    let mismatch = (a - b).abs() / a.max(b);
    let difference = one.charge.abs_diff(other.charge);
    let solubility = match mismatch {
        _ if difference > 1 => Solubility::Rare,
        m if m < COMPLETE => Solubility::Complete,
        m if m < LIMITED => Solubility::Limited,
        _ => Solubility::Rare,
    };
    Some(Mixing { solubility, mismatch, compensated: difference > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(one: (&str, i8), other: (&str, i8)) -> Option<Mixing> {
        let ion = |(symbol, charge): (&str, i8)| Ion { element: symbol.parse().unwrap(), charge };
        mixing(ion(one), ion(other))
    }

    /// Systems whose phase diagrams are in every textbook.
    #[test]
    fn known_solid_solutions_are_told_from_known_gaps() {
        let solubility = |one, other| found(one, other).unwrap().solubility;
        // (Ba,Sr)TiO3, olivines and the exchange of plagioclase are complete; NaCl and KCl unmix when cold; NaCl and CsCl do not mix.
        assert_eq!(solubility(("Ba", 2), ("Sr", 2)), Solubility::Complete);
        assert_eq!(solubility(("Mg", 2), ("Fe", 2)), Solubility::Complete);
        assert_eq!(solubility(("I", -1), ("Br", -1)), Solubility::Complete);
        assert_eq!(solubility(("Na", 1), ("K", 1)), Solubility::Limited);
        assert_eq!(solubility(("Na", 1), ("Cs", 1)), Solubility::Rare);
        let exchange = found(("Na", 1), ("Ca", 2)).unwrap();
        assert_eq!((exchange.solubility, exchange.compensated), (Solubility::Complete, true));
        assert!(exchange.mismatch < 0.03);
    }

    #[test]
    fn charges_count_and_nothing_is_guessed() {
        // One size, but three charges apart.
        assert_eq!(found(("Li", 1), ("Ti", 4)).unwrap().solubility, Solubility::Rare);
        assert_eq!(found(("Na", 1), ("Cl", -1)), None);
        assert_eq!(found(("He", 1), ("Na", 1)), None);
    }
}

//! Will an ABX3 be a perovskite? Goldschmidt's tolerance factor, the octahedral factor, and Bartel's tau: Bartel et al.,
//! Sci. Adv. 5, eaav0693 (2019).

use serde::{Deserialize, Serialize};

use super::elements::{Ion, Radius, RadiusPolicy};

/// Perovskites are expected below this value of tau.
pub const TAU_LIMIT: f64 = 4.18;
/// Width of the logistic in tau. The paper's calibrated probability falls from about 0.9 to 0.1 over one unit.
const TAU_WIDTH: f64 = 0.25;
/// Closer ratios of the radii of A and B than this make tau diverge.
const LEAST_DIFFERENCE: f64 = 1e-3;
/// Coordination of A; B and X have [`OCTAHEDRAL`].
const CUBOCTAHEDRAL: u8 = 12;
const OCTAHEDRAL: u8 = 6;

/// Geometric factors of an ABX3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerovskiteFactors {
    /// Goldschmidt's t = (r_A + r_X) / (√2 (r_B + r_X)).
    pub tolerance: f64,
    /// Octahedral factor μ = r_B / r_X.
    pub octahedral: f64,
    /// Bartel's τ = r_X/r_B − n_A (n_A − (r_A/r_B)/ln(r_A/r_B)).
    pub tau: f64,
    /// Logistic in τ around 4.18: a soft hint; 92 % of known ABX3 compounds lie on the right side of the limit.
    pub probability: f64,
    /// Whether A and B changed places because the ion named A is the smaller one.
    pub swapped: bool,
    /// Radii of A, B and X as used, picometres; X is the mean over mixed anions.
    pub radii_pm: [f64; 3],
    /// Whether a radius stands for another coordination than the site has.
    pub substituted: bool,
}

/// Why there are no factors.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerovskiteRefusal {
    /// The table has no radius for an ion under the policy.
    #[error("no radius of {ion} in {coordination}-fold coordination is tabulated")]
    NoRadius {
        /// The ion.
        ion: Ion,
        /// The coordination.
        coordination: u8,
    },
    /// A and B are of one size: tau diverges and says nothing.
    #[error("the radii of A ({a_pm} pm) and B ({b_pm} pm) are too close for tau")]
    AlikeRadii {
        /// Radius of A.
        a_pm: f64,
        /// Radius of B.
        b_pm: f64,
    },
    /// A site ion that is no cation, an anion site that is no anion, or no anion at all.
    #[error("{0} cannot stand on its site")]
    WrongCharge(Ion),
    /// No anion was given.
    #[error("a perovskite needs an anion")]
    NoAnion,
    /// A radius that is not positive leaves the factors without meaning.
    #[error("the radius of {0} is not positive")]
    NotPositive(Ion),
}

/// Factors of `a` and `b` with the anions `x` (ion and count); mixed anions count with their mole-weighted radius.
pub fn perovskite_factors(
    a: Ion,
    b: Ion,
    x: &[(Ion, u32)],
    policy: RadiusPolicy,
) -> Result<PerovskiteFactors, PerovskiteRefusal> {
    for ion in [a, b] {
        if ion.charge <= 0 {
            return Err(PerovskiteRefusal::WrongCharge(ion));
        }
    }
    let (anion, anion_substituted) = mean_anion(x, policy)?;
    let mut order = [a, b];
    let mut swapped = false;
    let mut radii = site_radii(order, policy)?;
    if radii[0].pm < radii[1].pm {
        // The smaller cation belongs in the octahedron; its radius is then that of the other coordination.
        order.swap(0, 1);
        swapped = true;
        radii = site_radii(order, policy)?;
    }
    let (a_pm, b_pm) = (radii[0].pm, radii[1].pm);
    let ratio = a_pm / b_pm;
    if ratio.is_nan() || ratio <= 1.0 + LEAST_DIFFERENCE {
        return Err(PerovskiteRefusal::AlikeRadii { a_pm, b_pm });
    }
    let charge = f64::from(order[0].charge);
    let tau = anion / b_pm - charge * (charge - ratio / ratio.ln());
    let substituted =
        anion_substituted || radii[0].coordination != CUBOCTAHEDRAL || radii[1].coordination != OCTAHEDRAL;
    Ok(PerovskiteFactors {
        tolerance: (a_pm + anion) / (std::f64::consts::SQRT_2 * (b_pm + anion)),
        octahedral: b_pm / anion,
        tau,
        probability: 1.0 / (1.0 + ((tau - TAU_LIMIT) / TAU_WIDTH).exp()),
        swapped,
        radii_pm: [a_pm, b_pm, anion],
        substituted,
    })
}

fn radius(ion: Ion, coordination: u8, policy: RadiusPolicy) -> Result<Radius, PerovskiteRefusal> {
    let found = ion.radius(coordination, policy).ok_or(PerovskiteRefusal::NoRadius { ion, coordination })?;
    if found.pm > 0.0 { Ok(found) } else { Err(PerovskiteRefusal::NotPositive(ion)) }
}

fn site_radii([a, b]: [Ion; 2], policy: RadiusPolicy) -> Result<[Radius; 2], PerovskiteRefusal> {
    Ok([radius(a, CUBOCTAHEDRAL, policy)?, radius(b, OCTAHEDRAL, policy)?])
}

fn mean_anion(x: &[(Ion, u32)], policy: RadiusPolicy) -> Result<(f64, bool), PerovskiteRefusal> {
    let (mut sum, mut count, mut substituted) = (0.0, 0, false);
    for (ion, of_it) in x {
        if ion.charge >= 0 {
            return Err(PerovskiteRefusal::WrongCharge(*ion));
        }
        let found = radius(*ion, OCTAHEDRAL, policy)?;
        substituted |= found.coordination != OCTAHEDRAL;
        sum += found.pm * f64::from(*of_it);
        count += of_it;
    }
    if count == 0 { Err(PerovskiteRefusal::NoAnion) } else { Ok((sum / f64::from(count), substituted)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ion(symbol: &str, charge: i8) -> Ion {
        Ion { element: symbol.parse().unwrap(), charge }
    }

    fn factors(a: Ion, b: Ion, x: Ion) -> Result<PerovskiteFactors, PerovskiteRefusal> {
        perovskite_factors(a, b, &[(x, 3)], RadiusPolicy::Exact)
    }

    #[test]
    fn compounds_worked_by_hand() {
        let oxide = ion("O", -2);
        // Radii in pm: A (XII), B (VI), X (VI); t, μ and τ from the formulas with a pocket calculator.
        for (a, b, x, t, mu, tau) in [
            // 161, 60.5, 140.
            (ion("Ba", 2), ion("Ti", 4), oxide, 1.0616, 0.4321, 3.7527),
            // 144, 60.5, 140.
            (ion("Sr", 2), ion("Ti", 4), oxide, 1.0016, 0.4321, 3.8040),
            // 134, 60.5, 140.
            (ion("Ca", 2), ion("Ti", 4), oxide, 0.9663, 0.4321, 3.8839),
            // 188, 119, 220: the known exception, a perovskite on the wrong side.
            (ion("Cs", 1), ion("Pb", 2), ion("I", -1), 0.8510, 0.5409, 4.3037),
            // 164, 64, 140.
            (ion("K", 1), ion("Ta", 5), oxide, 1.0537, 0.4571, 3.9107),
            // 136, 53.5, 140.
            (ion("La", 3), ion("Al", 3), oxide, 1.0086, 0.3821, 1.7905),
        ] {
            let found = factors(a, b, x).unwrap();
            assert!((found.tolerance - t).abs() < 1e-3, "{a} {b} {found:?}");
            assert!((found.octahedral - mu).abs() < 1e-3, "{a} {b} {found:?}");
            assert!((found.tau - tau).abs() < 2e-3, "{a} {b} {found:?}");
            assert!(!found.swapped && !found.substituted);
        }
    }

    #[test]
    fn a_small_a_changes_places() {
        let straight = factors(ion("Sr", 2), ion("Ti", 4), ion("O", -2)).unwrap();
        let policy = RadiusPolicy::NearestCoordination;
        let swapped = perovskite_factors(ion("Ti", 4), ion("Sr", 2), &[(ion("O", -2), 3)], policy).unwrap();
        assert!(swapped.swapped && !swapped.substituted);
        assert_eq!(swapped.tau, straight.tau);
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let oxide = ion("O", -2);
        let no_radius = PerovskiteRefusal::NoRadius { ion: ion("Ti", 4), coordination: 12 };
        assert_eq!(factors(ion("Ti", 4), ion("Sr", 2), oxide), Err(no_radius));
        assert_eq!(factors(ion("Ba", -2), ion("Ti", 4), oxide), Err(PerovskiteRefusal::WrongCharge(ion("Ba", -2))));
        assert_eq!(factors(ion("Ba", 2), ion("Ti", 4), ion("O", 2)), Err(PerovskiteRefusal::WrongCharge(ion("O", 2))));
        let none = perovskite_factors(ion("Ba", 2), ion("Ti", 4), &[], RadiusPolicy::Exact);
        assert_eq!(none, Err(PerovskiteRefusal::NoAnion));
        let nearest = RadiusPolicy::NearestCoordination;
        let alike = perovskite_factors(ion("Ti", 3), ion("Ti", 3), &[(oxide, 3)], nearest);
        assert!(matches!(alike, Err(PerovskiteRefusal::AlikeRadii { .. })), "{alike:?}");
    }

    #[test]
    fn mixed_anions_count_by_moles() {
        let anions = [(ion("O", -2), 2), (ion("N", -3), 1)];
        let strict = perovskite_factors(ion("Ba", 2), ion("Ta", 5), &anions, RadiusPolicy::Exact);
        assert!(matches!(strict, Err(PerovskiteRefusal::NoRadius { coordination: 6, .. })));
        let found = perovskite_factors(ion("Ba", 2), ion("Ta", 5), &anions, RadiusPolicy::NearestCoordination).unwrap();
        assert!((found.radii_pm[2] - 142.0).abs() < 1e-9 && found.substituted);
    }
}

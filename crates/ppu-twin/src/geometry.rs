//! Level F0: does the ion set fit a perovskite? Goldschmidt's tolerance factor, the octahedral factor, Bartel's tau.

use serde::{Deserialize, Serialize};

/// Radii in pm. Cs⁺ (XII), Pb²⁺, I⁻, Br⁻ (VI): Shannon, Acta Cryst. A 32, 751 (1976). MA⁺, FA⁺: effective radii of
/// Kieslich, Sun and Cheetham, Chem. Sci. 5, 4712 (2014).
const CS: f64 = 188.0;
const MA: f64 = 217.0;
const FA: f64 = 253.0;
const PB: f64 = 119.0;
const I: f64 = 220.0;
const BR: f64 = 196.0;

/// Perovskites are expected below this: Bartel et al., Sci. Adv. 5, eaav0693 (2019).
const TAU_LIMIT: f64 = 4.18;
/// Width of the logistic in tau. Bartel's calibrated probability falls from about 0.9 to 0.1 over roughly one unit.
const TAU_WIDTH: f64 = 0.25;

/// Geometric factors of a mixed perovskite; mixed sites count with mole-weighted radii.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Goldschmidt's t = (r_A + r_X) / (√2 (r_B + r_X)).
    pub tolerance: f64,
    /// Octahedral factor μ = r_B / r_X.
    pub octahedral: f64,
    /// Bartel's τ = r_X/r_B − n_A (n_A − (r_A/r_B)/ln(r_A/r_B)), n_A = 1.
    pub tau: f64,
    /// Logistic in τ around 4.18: a soft hint, 92 % of known ABX3 compounds lie on the right side of the limit.
    pub perovskite_probability: f64,
}

/// Why there is no geometry.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GeometryError {
    /// A fraction below 0 or above 1, or not finite.
    #[error("the fraction {0} is outside 0 to 1")]
    Fraction(f64),
    /// The fractions of the A site do not sum to 1, so that the charges would not balance.
    #[error("the A-site fractions sum to {0}, not to 1, so the charges do not balance")]
    Charge(f64),
}

/// Geometry of Cs_cs MA_ma FA_fa Pb(I_1−br Br_br)3. Charges balance by construction once the A site is full.
pub fn geometry(cs: f64, ma: f64, fa: f64, br: f64) -> Result<Geometry, GeometryError> {
    if let Some(bad) = [cs, ma, fa, br].into_iter().find(|fraction| !(-1e-6..=1.0 + 1e-6).contains(fraction)) {
        return Err(GeometryError::Fraction(bad));
    }
    let sum = cs + ma + fa;
    if (sum - 1.0).abs() > 1e-3 {
        return Err(GeometryError::Charge(sum));
    }
    let a = cs * CS + ma * MA + fa * FA;
    let x = (1.0 - br) * I + br * BR;
    let ratio = a / PB;
    let tau = x / PB - (1.0 - ratio / ratio.ln());
    Ok(Geometry {
        tolerance: (a + x) / (std::f64::consts::SQRT_2 * (PB + x)),
        octahedral: PB / x,
        tau,
        perovskite_probability: 1.0 / (1.0 + ((tau - TAU_LIMIT) / TAU_WIDTH).exp()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_members_have_their_published_factors() {
        let cases = [(1.0, 0.0, 0.0, 0.0, 0.851), (0.0, 1.0, 0.0, 0.0, 0.912), (0.0, 0.0, 1.0, 0.0, 0.987)];
        for (cs, ma, fa, br, tolerance) in cases {
            let found = geometry(cs, ma, fa, br).unwrap();
            assert!((found.tolerance - tolerance).abs() < 1e-3, "{found:?}");
            assert!((found.octahedral - 0.541).abs() < 1e-3);
        }
        // Bartel's rule puts CsPbI3 on the wrong side and the organic iodides on the right one.
        assert!(geometry(1.0, 0.0, 0.0, 0.0).unwrap().tau > 4.18);
        assert!(geometry(0.0, 0.0, 1.0, 0.0).unwrap().perovskite_probability > 0.8);
    }

    #[test]
    fn an_unbalanced_site_is_refused() {
        assert_eq!(geometry(0.5, 0.0, 0.4, 0.0), Err(GeometryError::Charge(0.9)));
        assert!(matches!(geometry(f64::NAN, 0.0, 1.0, 0.0), Err(GeometryError::Fraction(_))));
    }
}

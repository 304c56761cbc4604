//! Thermodynamics and rate laws of chapter 5: which phase is stable, and how fast a film gets there.

use super::matter::Composition;
use super::truth::{HiddenTruth, Step};

/// Gas constant, kJ/(mol K).
pub(crate) const R_KJ: f64 = 8.314e-3;
/// 0 °C in K.
pub(crate) const ZERO_C: f64 = 273.15;

/// Free energy of α relative to its demixed δ phases, kJ/mol per formula unit; α is stable where it is negative.
pub(crate) fn free_energy(composition: &Composition, temperature_k: f64, truth: &HiddenTruth) -> f64 {
    let Composition { cs, ma, fa, br, .. } = *composition;
    let entropy = |y: f64| if y > 0.0 { y * y.ln() } else { 0.0 };
    fa * (6.0 * (1.0 - temperature_k / 350.0) - 12.0 * br)
        + ma * (-8.0 - 5.0 * br)
        + cs * (14.2 * (1.0 - temperature_k / 593.0) - 15.0 * br)
        + R_KJ * temperature_k * (entropy(cs) + entropy(ma) + entropy(fa))
        - 8.0 * cs * fa
        + truth.free_energy_shift
}

/// Rates at one instant, all per minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    /// Wet film to crystals, dry film (to be multiplied by (1 − s_res)²).
    pub(crate) crystallise: f64,
    /// Probability that a crystal forms as α.
    pub(crate) alpha_branch: f64,
    /// δ to α.
    pub(crate) to_alpha: f64,
    /// α to δO.
    pub(crate) to_delta_o: f64,
    /// α to δH.
    pub(crate) to_delta_h: f64,
    /// First-order loss of MA at the reference thickness in still gas.
    pub(crate) lose_ma: f64,
    /// First-order loss of FA.
    pub(crate) lose_fa: f64,
    /// Free energy of α.
    pub(crate) free_energy: f64,
}

/// Avrami exponents of crystallisation, δ→α, α→δO, α→δH.
pub(crate) const AVRAMI: [f64; 4] = [1.5, 1.5, 2.0, 2.0];

impl Rates {
    /// The rates of a composition at a temperature and relative humidity (a fraction).
    pub(crate) fn at(composition: &Composition, temperature_k: f64, humidity: f64, truth: &HiddenTruth) -> Self {
        let rt = R_KJ * temperature_k;
        let g = free_energy(composition, temperature_k, truth);
        let moisture = if temperature_k > 373.0 { 1.0 } else { (humidity / 0.08).exp() };
        let Composition { cs, ma, fa, .. } = *composition;
        let share_o = if cs + fa > 1e-9 { cs / (cs + fa) } else { 0.0 };
        let alpha_branch = if ma > 1.0 - 1e-9 { 1.0 } else { 1.0 / (1.0 + ((g + 0.9) / 0.25).exp()) };
        let arrhenius =
            |energy: f64, reference: f64| (-(energy / R_KJ) * (1.0 / temperature_k - 1.0 / reference)).exp();
        let (mut to_alpha, mut to_delta_o, mut to_delta_h) = (0.0, 0.0, 0.0);
        if g < 0.0 {
            to_alpha = 2.5e15 * (-120.0 / rt).exp() * (1.0 - (g / rt).exp()) * truth.rate(Step::ToAlpha, temperature_k);
        } else if cs + fa > 1e-9 && g > 0.0 {
            to_delta_o = share_o
                * 1.213e6
                * (-64.0 / rt - 33.6 / (g * g * rt)).exp()
                * moisture
                * truth.rate(Step::ToDeltaO, temperature_k);
            to_delta_h = (1.0 - share_o)
                * 4.0e7
                * (-75.0 / rt).exp()
                * (1.0 - (-g / rt).exp())
                * moisture
                * truth.rate(Step::ToDeltaH, temperature_k);
        }
        Self {
            crystallise: arrhenius(70.0, 373.15) * truth.rate(Step::Crystallise, temperature_k),
            alpha_branch,
            to_alpha,
            to_delta_o,
            to_delta_h,
            lose_ma: 0.030 * arrhenius(130.0, 473.15) * truth.rate(Step::LoseMa, temperature_k),
            lose_fa: 0.005 * arrhenius(112.0, 473.15) * truth.rate(Step::LoseFa, temperature_k),
            free_energy: g,
        }
    }
}

/// Optical gap at a temperature, eV (chapter 4).
pub(crate) fn gap_ev(composition: &Composition, temperature_k: f64, truth: &HiddenTruth) -> f64 {
    let Composition { cs, ma, fa, br, .. } = *composition;
    let bowing = cs * truth.bowing_ev[0] + ma * truth.bowing_ev[1] + fa * truth.bowing_ev[2];
    composition.blend(truth.gap_iodide_ev, truth.gap_bromide_ev) - br * (1.0 - br) * bowing
        + 0.3e-3 * (temperature_k - 298.0)
}

/// Pseudo-cubic edge at a temperature, Å (chapter 3).
pub(crate) fn edge_a(composition: &Composition, temperature_k: f64, truth: &HiddenTruth) -> f64 {
    let at_298 = composition.blend([6.187, 6.279, 6.362], [5.832, 5.932, 5.994]) + truth.edge_shift_a;
    at_298 * (1.0 + 4.7e-5 * (temperature_k - 298.0))
}

/// Temperature above which the perovskite is cubic, K (chapter 3).
pub(crate) fn cubic_above_k(composition: &Composition) -> f64 {
    let t = composition.tolerance();
    let iodide = 554.0 - 3750.0 * (t - 0.851);
    let bromide = 403.0 - 2570.0 * (t - 0.862);
    (1.0 - composition.br) * iodide + composition.br * bromide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composition(cs: f64, ma: f64, br: f64) -> Composition {
        Composition { cs, ma, fa: 1.0 - cs - ma, br, a_per_b: 1.0 }
    }

    #[test]
    fn free_energies_at_298_k() {
        let truth = HiddenTruth::nominal();
        for (c, expected) in [
            (composition(0.0, 0.0, 0.0), 0.89),
            (composition(0.05, 0.0, 0.0), 0.33),
            (composition(0.17, 0.0, 0.0), -0.32),
            (composition(0.30, 0.0, 0.0), -0.45),
            (composition(0.50, 0.0, 0.0), 0.26),
            (composition(1.0, 0.0, 0.0), 7.06),
            (composition(0.0, 1.0, 0.0), -8.0),
            (composition(1.0, 0.0, 1.0 / 3.0), 2.06),
            (composition(0.17, 0.0, 0.25), -3.45),
            (composition(1.0, 0.0, 1.0), -7.9),
        ] {
            let g = free_energy(&c, 298.0, &truth);
            assert!((g - expected).abs() < 0.06, "g = {g}, expected {expected} at {c:?}");
        }
    }

    #[test]
    fn gaps_of_the_anchors() {
        let truth = HiddenTruth::nominal();
        for (c, expected) in [
            (composition(0.17, 0.0, 0.25), 1.676),
            (composition(0.25, 0.0, 0.20), 1.663),
            (composition(0.40, 0.0, 0.30), 1.752),
            (composition(0.17, 0.0, 0.40), 1.771),
            (composition(0.05, 0.16, 0.17), 1.615),
            (composition(1.0, 0.0, 1.0 / 3.0), 1.89),
        ] {
            let gap = gap_ev(&c, 298.0, &truth);
            assert!((gap - expected).abs() < 0.003, "gap {gap}, expected {expected}");
        }
    }

    #[test]
    fn tilt_temperatures_of_the_end_members() {
        for (c, expected) in [
            (composition(0.0, 1.0, 0.0), 327.0),
            (composition(1.0, 0.0, 0.0), 554.0),
            (composition(1.0, 0.0, 1.0), 403.0),
            (composition(0.0, 1.0, 1.0), 236.0),
        ] {
            let k = cubic_above_k(&c);
            assert!((k - expected).abs() < 5.0, "{k}, expected {expected}");
        }
    }
}

//! What statistics cannot know: absorption in grains, tables of f', orientation, and the shape of lines.

use crate::structure::{Phase, Tube};

/// cm in a µm.
const CM_PER_UM: f64 = 1e-4;
/// |x| = |μ - μ̄| R above which microabsorption is flagged: Brindley's formula errs by more than its own correction is
/// worth from here on.
const FENCE: f64 = 0.1;
/// The flag asks for grains as large as two standard deviations of ln R allow.
const FLAG_SIGMAS: f64 = 2.0;
/// Radius in µm of the largest grains that pass a sieve of 50 µm: behind the fence any radius up to it is possible.
const SIEVED_RADIUS_UM: f64 = 25.0;
/// Displacement, occupancy and coordinates from another crystal, extinction, and orientation that nobody refines.
const STRUCTURE: f64 = 0.01;
/// The March-Dollase function is one shape of many: a share of the texture that it found.
const TEXTURE_SHARE: f64 = 0.1;
/// Tails and misfit of strong lines look like this mass fraction of any other phase, which is what limits the detection of
/// traces with a laboratory instrument.
pub(super) const TRACE: f64 = 0.001;
/// Tables of f' (Chantler; Cromer and Liberman) differ by 0.05 electrons at Z = 25, growing as Z².
const F1_AT_25: f64 = 0.05;
/// s in Å⁻¹ where most of the intensity of a powder pattern lies.
const TYPICAL_S: f64 = 0.3;

/// How much a phase is absorbed in its own grains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Absorption {
    /// Brindley's τ: the apparent amount is the true one times τ.
    pub(super) tau: f64,
    /// Relative standard uncertainty of τ.
    pub(super) u: f64,
    /// |μ - μ̄| R at the largest radius that the prior allows.
    pub(super) worst: f64,
    /// μ - μ̄ in cm⁻¹.
    contrast: f64,
}

impl Absorption {
    /// No contrast at all.
    pub(super) const NONE: Absorption = Absorption { tau: 1.0, u: 0.0, worst: 0.0, contrast: 0.0 };

    /// True when Brindley's formula is beyond its reach.
    pub(super) fn is_beyond(&self) -> bool {
        self.worst > FENCE
    }
}

/// Absorption of a phase whose μ differs from the mean of the specimen by `contrast` cm⁻¹, in grains of median radius
/// `radius_um` with standard deviation `spread` of ln R.
pub(super) fn absorption(contrast: f64, radius_um: f64, spread: f64) -> Absorption {
    let at = |radius: f64| brindley(contrast * radius * CM_PER_UM);
    let worst = contrast.abs() * radius_um * (FLAG_SIGMAS * spread).exp() * CM_PER_UM;
    let u = 0.5 * (at(radius_um * spread.exp()) / at(radius_um * (-spread).exp())).ln().abs();
    Absorption { tau: at(radius_um), u, worst, contrast }
}

/// Widens the uncertainties of all phases when one of them, of those in `present`, is beyond the fence: its apparent
/// amount, and with it every fraction, then hangs on grain sizes that the pattern does not tell. Any radius from none to
/// the sieve may be true, so half the range of ln τ is the uncertainty.
pub(super) fn widen(absorptions: &mut [Absorption], present: &[bool]) {
    let beyond = absorptions.iter().zip(present).any(|(absorption, present)| *present && absorption.is_beyond());
    if beyond {
        for absorption in absorptions {
            let sieved = brindley(absorption.contrast * SIEVED_RADIUS_UM * CM_PER_UM);
            absorption.u = absorption.u.max(0.5 * sieved.ln().abs());
        }
    }
}

/// τ(x) for spheres (Brindley, Phil. Mag. 36, 347, 1945), exact in the forward direction.
pub(super) fn brindley(x: f64) -> f64 {
    let a = 2.0 * x;
    if a.abs() < 0.02 {
        // The closed form loses digits here.
        return 1.0 + a * (-0.75 + a * (0.3 - a / 12.0));
    }
    3.0 * (2.0 / a.powi(3) - (-a).exp() * (1.0 / a + 2.0 / (a * a) + 2.0 / a.powi(3)))
}

/// Relative standard uncertainty of the scattering power of a phase: structure, table of f', texture (`ln_march` of
/// its March coefficient, 0 for none).
pub(super) fn scattering_power(phase: &Phase, tube: Tube, ln_march: f64) -> f64 {
    let (mut total, mut variance) = (0.0, 0.0);
    for (element, atoms) in phase.contents() {
        let data = element.scattering(tube);
        let f = data.f0(TYPICAL_S * TYPICAL_S) + data.f1;
        let u = F1_AT_25 * (f64::from(element.atomic_number()) / 25.0).powi(2);
        total += atoms * (f * f + data.f2 * data.f2);
        variance += (2.0 * atoms * f * u).powi(2);
    }
    let table = if total > 0.0 { variance.sqrt() / total } else { 0.0 };
    (table * table + STRUCTURE * STRUCTURE + (TEXTURE_SHARE * ln_march).powi(2)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brindley_follows_its_series_and_both_branches_meet() {
        for x in [-0.1, -0.02, 0.02, 0.1_f64] {
            assert!((brindley(x) - (1.0 - 1.5 * x + 1.2 * x * x)).abs() < 1.0 * x.abs().powi(3), "{x}");
        }
        assert!((brindley(0.009_999) - brindley(0.010_001)).abs() < 1e-5);
        assert_eq!(brindley(0.0), 1.0);
    }

    #[test]
    fn a_strong_contrast_makes_every_phase_uncertain() {
        let mut all = [absorption(-120.0, 1.0, 0.7), absorption(700.0, 1.0, 0.7)];
        assert!(!all[0].is_beyond() && all[0].tau > 1.0 && all[0].u < 0.02, "{all:?}");
        assert!(all[1].is_beyond() && all[1].tau < 0.95, "{all:?}");
        widen(&mut all, &[true, false]);
        assert!(all[0].u < 0.02);
        widen(&mut all, &[true, true]);
        assert!(all[0].u > 0.15 && all[1].u > 0.3, "{all:?}");
    }
}

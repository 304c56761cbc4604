//! Shape of a photoluminescence line.

use std::f64::consts::{LN_2, PI};

use crate::{HC_EV_NM, ModelError, within};

/// Boltzmann's constant in eV/K.
const BOLTZMANN_EV_PER_K: f64 = 8.617_333e-5;

/// A line in photons per energy: two half Gaussians that meet at the peak, the lower one wider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmissionLine {
    /// Energy of the peak in eV.
    pub peak_ev: f64,
    /// Full width at half maximum in eV.
    pub fwhm_ev: f64,
    /// The low-energy half width is (1 + asymmetry) × half the full width, the other one (1 - asymmetry).
    pub asymmetry: f64,
    /// Area: photons of the whole line.
    pub photons: f64,
}

impl EmissionLine {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] names the one outside its range.
    pub fn check(&self) -> Result<(), ModelError> {
        within("peak (eV)", self.peak_ev, 0.3, 6.0)?;
        within("full width (eV)", self.fwhm_ev, 1e-3, 1.0)?;
        within("asymmetry", self.asymmetry, -0.9, 0.9)?;
        within("photons", self.photons, 0.0, f64::MAX)
    }

    /// Photons per eV at an energy in eV.
    #[must_use]
    pub fn per_ev(&self, energy_ev: f64) -> f64 {
        let side = if energy_ev < self.peak_ev { 1.0 + self.asymmetry } else { 1.0 - self.asymmetry };
        let offset = (energy_ev - self.peak_ev) / (0.5 * self.fwhm_ev * side);
        // The mean of both half areas does not depend on the asymmetry.
        let height = self.photons * 2.0 * (LN_2 / PI).sqrt() / self.fwhm_ev;
        height * (-LN_2 * offset * offset).exp()
    }

    /// Photons per nm at a wavelength in nm: the density per energy times hc/λ².
    #[must_use]
    pub fn per_nm(&self, wavelength_nm: f64) -> f64 {
        let energy = HC_EV_NM / wavelength_nm;
        self.per_ev(energy) * energy / wavelength_nm
    }
}

/// A line with everything worked out that does not depend on energy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineShape {
    peak_ev: f64,
    /// Exponents for the sides below and above the peak: -ln 2 over the square of the half width.
    exponents: [f64; 2],
    sides: [f64; 2],
    height: f64,
}

impl LineShape {
    pub(crate) fn new(line: &EmissionLine) -> Self {
        let sides = [1.0 + line.asymmetry, 1.0 - line.asymmetry];
        Self {
            peak_ev: line.peak_ev,
            exponents: sides.map(|side| -LN_2 / (0.5 * line.fwhm_ev * side).powi(2)),
            sides,
            height: line.photons * 2.0 * (LN_2 / PI).sqrt() / line.fwhm_ev,
        }
    }

    /// [`EmissionLine::per_ev`].
    pub(crate) fn per_ev(&self, energy_ev: f64) -> f64 {
        let offset = energy_ev - self.peak_ev;
        self.height * (self.exponents[usize::from(offset >= 0.0)] * offset * offset).exp()
    }

    /// Derivatives of [`LineShape::per_ev`] by peak, ln of the full width, asymmetry, and ln of the photons.
    pub(crate) fn slopes(&self, energy_ev: f64) -> [f64; 4] {
        let offset = energy_ev - self.peak_ev;
        let above = usize::from(offset >= 0.0);
        let exponent = self.exponents[above];
        let value = self.height * (exponent * offset * offset).exp();
        let bend = exponent * offset * offset;
        let by_side = -2.0 * bend / self.sides[above];
        [
            -2.0 * exponent * offset * value,
            -value * (1.0 + 2.0 * bend),
            if above == 0 { by_side * value } else { -by_side * value },
            value,
        ]
    }
}

/// Full width in eV of a line broadened by longitudinal optical phonons: Γ₀ + γ_LO/(exp(E_LO/kT) - 1)
/// (Wright et al., Nat. Commun. 7, 11755, 2016). Energies in eV, temperature in K.
#[must_use]
pub fn thermal_fwhm_ev(gamma0_ev: f64, gamma_lo_ev: f64, e_lo_ev: f64, temperature_k: f64) -> f64 {
    gamma0_ev + gamma_lo_ev / (e_lo_ev / (BOLTZMANN_EV_PER_K * temperature_k)).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_a_line_agree_with_differences() {
        let line = EmissionLine { peak_ev: 1.6, fwhm_ev: 0.09, asymmetry: 0.1, photons: 3.0 };
        let at = LineShape::new(&line);
        let h = 1e-6;
        for step in -30..=30 {
            let energy = 1.6013 + 0.006 * f64::from(step);
            assert!((at.per_ev(energy) - line.per_ev(energy)).abs() < 1e-12);
            let by = |change: &dyn Fn(f64) -> EmissionLine| {
                (LineShape::new(&change(h)).per_ev(energy) - LineShape::new(&change(-h)).per_ev(energy)) / (2.0 * h)
            };
            let wanted = [
                by(&|h| EmissionLine { peak_ev: line.peak_ev + h, ..line }),
                by(&|h| EmissionLine { fwhm_ev: line.fwhm_ev * h.exp(), ..line }),
                by(&|h| EmissionLine { asymmetry: line.asymmetry + h, ..line }),
                by(&|h| EmissionLine { photons: line.photons * h.exp(), ..line }),
            ];
            for (found, wanted) in at.slopes(energy).into_iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-5 * wanted.abs().max(1.0), "{energy}: {found} {wanted}");
            }
        }
    }
}

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

/// Full width in eV of a line broadened by longitudinal optical phonons: Γ₀ + γ_LO/(exp(E_LO/kT) - 1)
/// (Wright et al., Nat. Commun. 7, 11755, 2016). Energies in eV, temperature in K.
#[must_use]
pub fn thermal_fwhm_ev(gamma0_ev: f64, gamma_lo_ev: f64, e_lo_ev: f64, temperature_k: f64) -> f64 {
    gamma0_ev + gamma_lo_ev / (e_lo_ev / (BOLTZMANN_EV_PER_K * temperature_k)).exp_m1()
}

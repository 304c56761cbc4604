//! Transmittance of a thin film on glass, without interference.

use crate::{HC_EV_NM, ModelError, within};

/// Transmittance of the bare glass substrate (two faces of index 1.52, no absorption).
pub const GLASS_TRANSMITTANCE: f64 = 0.92;
/// Wavelength at which the scattering loss is stated, in nm, and its power law.
const SCATTERING_AT_NM: f64 = 550.0;
const SCATTERING_POWER: f64 = 2.5;

/// Refractive index of a halide perovskite: 2.3 + 0.25 (E/E_g)⁴, at most 2.8.
#[must_use]
pub fn refractive_index(energy_ev: f64, gap_ev: f64) -> f64 {
    (2.3 + 0.25 * (energy_ev / gap_ev).powi(4)).min(2.8)
}

/// A film on glass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Film {
    /// Thickness in nm.
    pub thickness_nm: f64,
    /// Gap in eV that sets the dispersion of the refractive index.
    pub gap_ev: f64,
    /// Covered share of the substrate; the rest is bare glass.
    pub coverage: f64,
    /// Absorbance-like loss by scattering at 550 nm; it falls with λ^-2.5.
    pub scattering: f64,
}

impl Film {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] names the one outside its range.
    pub fn check(&self) -> Result<(), ModelError> {
        within("film thickness (nm)", self.thickness_nm, 0.0, 1e6)?;
        within("gap (eV)", self.gap_ev, 0.5, 6.0)?;
        within("coverage", self.coverage, 0.0, 1.0)?;
        within("scattering loss", self.scattering, 0.0, 10.0)
    }

    /// Share of the light that passes film and glass: the incoherent slab (1-R)² e^(-αh)/(1 - R² e^(-2αh)) times the
    /// glass, less scattering, averaged with the bare glass of pinholes.
    #[must_use]
    pub fn transmittance(&self, energy_ev: f64, alpha_per_cm: f64) -> f64 {
        let n = refractive_index(energy_ev, self.gap_ev);
        let reflected = ((n - 1.0) / (n + 1.0)).powi(2);
        let passed = (-alpha_per_cm * self.thickness_nm * 1e-7).exp();
        let slab = (1.0 - reflected).powi(2) * passed / (1.0 - (reflected * passed).powi(2));
        let wavelength = HC_EV_NM / energy_ev;
        let loss = self.scattering * (SCATTERING_AT_NM / wavelength).powf(SCATTERING_POWER);
        GLASS_TRANSMITTANCE * (self.coverage * slab * 10f64.powf(-loss) + 1.0 - self.coverage)
    }
}

//! UV-Vis and photoluminescence: forward models and analysis.
//!
//! Everything here is pure: numbers in, values or typed errors out. Wavelengths in nm, energies in eV, absorption
//! coefficients in cm⁻¹, thickness in nm.

pub mod absorbance;
pub mod absorption;
pub mod emission;
pub mod film;
pub mod fringes;
pub mod gap;
pub mod jcamp;
mod least_squares;
pub mod photoluminescence;
pub mod raw;

/// Planck's constant times the speed of light in eV nm (exact SI values).
pub const HC_EV_NM: f64 = 1_239.841_98;

/// Why a forward model cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A parameter is outside the range in which the model means something.
    #[error("{what} is {value}, outside {low} to {high}")]
    Parameter {
        /// Which parameter, with its unit.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Smallest meaningful value.
        low: f64,
        /// Largest meaningful value.
        high: f64,
    },
}

/// Refuses a parameter outside its range, not-a-number included.
pub(crate) fn within(what: &'static str, value: f64, low: f64, high: f64) -> Result<(), ModelError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(ModelError::Parameter { what, value, low, high }) }
}

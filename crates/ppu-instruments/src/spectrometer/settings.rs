//! Settings of the spectrometer.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// How the spectrometer is wired.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectrometerSettings {
    /// Counts of the detector for one electron, from its data sheet or a photon-transfer curve.
    pub gain_counts_per_electron: f64,
    /// General-purpose output that switches the excitation laser, 0 to 31.
    pub laser_gpio: u8,
    /// Lab time that lamp and laser need to become steady, in seconds.
    pub settle_s: f64,
}

impl Default for SpectrometerSettings {
    fn default() -> Self {
        Self { gain_counts_per_electron: 0.35, laser_gpio: 0, settle_s: 1.0 }
    }
}

impl Check for SpectrometerSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "gain_counts_per_electron", self.gain_counts_per_electron, 1e-4, 100.0);
        between(&mut found, "laser_gpio", f64::from(self.laser_gpio), 0.0, 31.0);
        between(&mut found, "settle_s", self.settle_s, 0.0, 3_600.0);
        found
    }
}

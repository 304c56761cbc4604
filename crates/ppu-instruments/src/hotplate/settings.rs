//! Settings of the hotplate.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// What the hotplate may be asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotplateSettings {
    /// Highest plate temperature allowed in degrees Celsius.
    pub highest_temperature_c: f64,
    /// Highest speed allowed in revolutions per minute.
    pub highest_speed_rpm: f64,
}

impl Default for HotplateSettings {
    fn default() -> Self {
        Self { highest_temperature_c: 310.0, highest_speed_rpm: 1500.0 }
    }
}

impl Check for HotplateSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "highest_temperature_c", self.highest_temperature_c, 30.0, 500.0);
        between(&mut found, "highest_speed_rpm", self.highest_speed_rpm, 100.0, 2000.0);
        found
    }
}

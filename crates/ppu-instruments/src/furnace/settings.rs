//! Settings of the furnace.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// How the controller is configured and what the furnace may do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FurnaceSettings {
    /// Modbus unit of the controller.
    pub unit: u8,
    /// Decimals of temperatures in registers, as configured in the controller.
    pub decimals: u8,
    /// Below this temperature in degrees Celsius the furnace may be opened and the anneal has ended.
    pub idle_below_c: f64,
    /// Setpoint in degrees Celsius while nothing is annealed.
    pub standby_c: f64,
    /// Highest temperature allowed in degrees Celsius.
    pub highest_temperature_c: f64,
    /// Fastest heating allowed in kelvin per minute.
    pub fastest_ramp_k_per_min: f64,
    /// Lab time that cooling to `idle_below_c` may take, in minutes.
    pub cooling_limit_min: f64,
}

impl Default for FurnaceSettings {
    fn default() -> Self {
        Self {
            unit: 1,
            decimals: 1,
            idle_below_c: 60.0,
            standby_c: 20.0,
            highest_temperature_c: 1000.0,
            fastest_ramp_k_per_min: 12.0,
            // A muffle furnace cools from 1000 °C overnight.
            cooling_limit_min: 1440.0,
        }
    }
}

impl Check for FurnaceSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "unit", f64::from(self.unit), 1.0, 247.0);
        between(&mut found, "decimals", f64::from(self.decimals), 0.0, 2.0);
        between(&mut found, "idle_below_c", self.idle_below_c, 25.0, 300.0);
        between(&mut found, "standby_c", self.standby_c, 0.0, self.idle_below_c);
        // Words are signed 16-bit numbers.
        let highest = (f64::from(i16::MAX) / 10_f64.powi(self.decimals.into())).min(1_800.0);
        between(&mut found, "highest_temperature_c", self.highest_temperature_c, 50.0, highest);
        between(&mut found, "fastest_ramp_k_per_min", self.fastest_ramp_k_per_min, 1.0, 100.0);
        between(&mut found, "cooling_limit_min", self.cooling_limit_min, 10.0, 10_000.0);
        found
    }
}

//! Settings of the syringe pump.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// What the pump is made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyringePumpSettings {
    /// Volume of a full stroke in microlitres.
    pub syringe_ul: f64,
    /// Steps of a full stroke in standard resolution.
    pub stroke_steps: u32,
    /// Ports of the distribution valve.
    pub valve_ports: u32,
    /// Speed code of the plunger, 0 (6000 pulses/s) to 40 (10 pulses/s).
    pub speed_code: u8,
    /// Address switch at the back of the pump, 0 to 14.
    pub address_switch: u8,
    /// Valve port to which the initialisation goes first.
    pub initialise_from_port: u32,
    /// Valve port through which the initialisation empties the syringe: the waste.
    pub initialise_to_port: u32,
}

impl Default for SyringePumpSettings {
    fn default() -> Self {
        // Code 11 is 1400 pulses/s: a full stroke in about nine seconds, slow enough for dimethyl sulfoxide.
        Self {
            syringe_ul: 250.0,
            stroke_steps: 6000,
            valve_ports: 12,
            speed_code: 11,
            address_switch: 0,
            initialise_from_port: 9,
            initialise_to_port: 10,
        }
    }
}

impl SyringePumpSettings {
    /// Whole steps of a volume.
    pub(super) fn steps(&self, volume_ul: f64) -> i64 {
        (volume_ul * f64::from(self.stroke_steps) / self.syringe_ul).round() as i64
    }

    /// Volume of steps in microlitres.
    pub(super) fn volume_ul(&self, steps: i64) -> f64 {
        steps as f64 * self.syringe_ul / f64::from(self.stroke_steps)
    }
}

impl Check for SyringePumpSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "syringe_ul", self.syringe_ul, 10.0, 50_000.0);
        between(&mut found, "stroke_steps", f64::from(self.stroke_steps), 1_000.0, 48_000.0);
        between(&mut found, "valve_ports", f64::from(self.valve_ports), 2.0, 12.0);
        between(&mut found, "speed_code", f64::from(self.speed_code), 0.0, 40.0);
        let ports = f64::from(self.valve_ports);
        between(&mut found, "initialise_from_port", f64::from(self.initialise_from_port), 1.0, ports);
        between(&mut found, "initialise_to_port", f64::from(self.initialise_to_port), 1.0, ports);
        between(&mut found, "address_switch", f64::from(self.address_switch), 0.0, 14.0);
        found
    }
}

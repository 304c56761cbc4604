//! The simulated world: matter, heat, light and robots behind the simulated instruments.
//!
//! One [`World`] has one clock (simulated seconds). Its state moves only with time and with physical actions; each action
//! leaves one line in the ledger. Instruments see the world through sensor models with noise, never the state itself.
//! The seam to the firmware layer is the set of methods of [`World`] that take a [`Cause`] or a device name.

pub mod config;
pub mod ledger;

pub use config::{WorldConfig, WorldError};
pub use ledger::{LedgerReader, LedgerWriter, Outcome};

/// What caused a physical action: the bytes of a protocol, on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Name of the device.
    pub device: String,
    /// BLAKE3 hex (16 characters) of the protocol bytes.
    pub frame: String,
    /// Whatever command id those bytes carry.
    pub command_id: Option<String>,
}

/// What an aspirate or dispense really moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiquidMoved {
    /// Volume asked for, µL.
    pub requested_ul: f64,
    /// Volume of liquid truly moved, µL.
    pub realised_ul: f64,
    /// Whether air came in.
    pub bubble: bool,
    /// How it went.
    pub outcome: Outcome,
}

/// What a pick or a place did.
#[derive(Debug, Clone, PartialEq)]
pub struct HandOver {
    /// The object that changed hands; `None` when nothing moved.
    pub object: Option<String>,
    /// Radial placement error, mm.
    pub radial_error_mm: f64,
    /// How it went.
    pub outcome: Outcome,
    /// Whether the robot felt a collision and stopped.
    pub protective_stop: bool,
}

/// A diffraction scan at constant step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanRequest {
    /// First 2θ, degrees.
    pub start_deg: f64,
    /// Step, degrees.
    pub step_deg: f64,
    /// Number of points.
    pub points: usize,
    /// Counting time per point, s.
    pub dwell_s: f64,
    /// Simulated time at which the scan began, s.
    pub start_s: f64,
}

/// The world.
#[derive(Debug)]
pub struct World {
    now_s: f64,
}

#[allow(unused_variables, clippy::unused_self, reason = "signatures of the seam, bodies follow")]
impl World {
    /// Builds a world at time 0 from its configuration and seed.
    ///
    /// # Errors
    /// When the configuration contradicts itself or the ledger cannot take its header.
    pub fn new(config: &WorldConfig, seed: u64, ledger: LedgerWriter) -> Result<Self, WorldError> {
        config.check()?;
        Ok(Self { now_s: 0.0 })
    }
    /// Simulated seconds since the start.
    pub fn now_s(&self) -> f64 { self.now_s }
    /// Advances time.
    pub fn advance_to(&mut self, now_s: f64) { self.now_s = self.now_s.max(now_s); }
    /// Draws liquid.
    pub fn aspirate(&mut self, cause: &Cause, port: u8, volume_ul: f64) -> LiquidMoved {
        LiquidMoved { requested_ul: volume_ul, realised_ul: volume_ul, bubble: false, outcome: Outcome::Done }
    }
    /// Expels liquid.
    pub fn dispense(&mut self, cause: &Cause, port: u8, volume_ul: f64) -> LiquidMoved {
        LiquidMoved { requested_ul: volume_ul, realised_ul: volume_ul, bubble: false, outcome: Outcome::Done }
    }
    /// Sets the hotplate.
    pub fn set_plate(&mut self, cause: &Cause, setpoint_c: Option<f64>) {}
    /// Sets the stirrer.
    pub fn set_stirrer(&mut self, cause: &Cause, rpm: Option<f64>) {}
    /// Plate sensor, °C.
    pub fn plate_c(&self, device: &str) -> f64 { 25.0 }
    /// Probe in the vial, °C.
    pub fn probe_c(&self, device: &str) -> f64 { 25.0 }
    /// Stirrer speed, rpm.
    pub fn stirrer_rpm(&self, device: &str) -> f64 { 0.0 }
    /// Working set point of a furnace.
    pub fn set_furnace(&mut self, device: &str, working_setpoint_c: Option<f64>) {}
    /// A programme started or finished.
    pub fn furnace_event(&mut self, cause: &Cause, name: &str, detail: serde_json::Value) {}
    /// Controlled thermocouple, °C.
    pub fn furnace_pv_c(&self, device: &str) -> f64 { 25.0 }
    /// Heater output, percent.
    pub fn furnace_output_percent(&self, device: &str) -> f64 { 0.0 }
    /// Picks.
    pub fn pick(&mut self, cause: &Cause, position: &str) -> HandOver {
        HandOver { object: None, radial_error_mm: 0.0, outcome: Outcome::Failed, protective_stop: false }
    }
    /// Places.
    pub fn place(&mut self, cause: &Cause, position: &str) -> HandOver {
        HandOver { object: None, radial_error_mm: 0.0, outcome: Outcome::Failed, protective_stop: false }
    }
    /// All positions.
    pub fn positions(&self) -> Vec<String> { Vec::new() }
    /// Gross reading, g.
    pub fn weigh_g(&mut self, cause: &Cause) -> f64 { 0.0 }
    /// Counts of a scan.
    pub fn diffract(&mut self, cause: &Cause, position: &str, scan: &ScanRequest) -> Vec<u64> { vec![0; scan.points] }
    /// Lamp switch.
    pub fn set_lamp(&mut self, cause: &Cause, on: bool) {}
    /// Laser switch.
    pub fn set_laser(&mut self, cause: &Cause, on: bool) {}
    /// One exposure.
    pub fn expose(&mut self, cause: &Cause, integration_us: u32) -> Vec<u16> { vec![1500; 2048] }
    /// Vendor's wavelength calibration.
    pub fn wavelength_coefficients(&self) -> [f32; 4] { [350.0, 0.342, 0.0, 0.0] }
    /// Records a fault or an operator's act.
    pub fn ambient_event(&mut self, cause: &Cause, name: &str, detail: serde_json::Value) {}
    /// Whether something stands at a position.
    pub fn occupied(&self, position: &str) -> bool { false }
    /// Place of an object.
    pub fn where_is(&self, object: &str) -> String { String::new() }
    /// True state of a sample.
    pub fn truth(&self, sample: &str) -> serde_json::Value { serde_json::Value::Null }
    /// How often a device did an action.
    pub fn executions(&self, device: &str, action: &str) -> u64 { 0 }
}

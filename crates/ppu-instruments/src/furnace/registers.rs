//! Registers of the Eurotherm EPC3016 that the driver uses (protocol numbers, zero-based Modbus addresses).

pub(super) const PROCESS_VALUE: u16 = 1;
pub(super) const TARGET_SETPOINT: u16 = 2;
pub(super) const WORKING_OUTPUT: u16 = 4;
pub(super) const WORKING_SETPOINT: u16 = 5;
pub(super) const PROGRAM_NUMBER: u16 = 22;
pub(super) const PROGRAM_MODE: u16 = 23;
/// Bit field; its bitwise inverse stands in the next register.
pub(super) const STATUS_WORD: u16 = 75;
/// Bit 7: the power failed since the last acknowledgement.
pub(super) const DIGITAL_INPUTS: u16 = 87;
pub(super) const VERSION: u16 = 107;
pub(super) const INSTRUMENT_TYPE: u16 = 122;
pub(super) const ACKNOWLEDGE_ALL: u16 = 274;
pub(super) const RAMP_UNITS: u16 = 8330;
pub(super) const DWELL_UNITS: u16 = 8331;
pub(super) const END_TYPE: u16 = 8334;
/// First register of segment 1 of programme 1: type, target, then the register that rate, time and dwell share.
pub(super) const SEGMENT_1: u16 = 8336;
/// Registers from one segment to the next.
pub(super) const SEGMENT_STRIDE: u16 = 8;
pub(super) const RUN: u16 = 10_573;
pub(super) const RESET: u16 = 10_575;

/// Sensor break in the status word (HA028651 p. 82).
pub(super) const SENSOR_BREAK: u16 = 1 << 5;
/// Power failure in the digital inputs.
pub(super) const POWER_FAILED: u16 = 1 << 7;

/// What the programmer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Reset,
    Run,
    Hold,
    HoldBack,
    Complete,
}

impl Mode {
    pub(super) fn of(word: u16) -> Option<Mode> {
        Some(match word {
            1 => Mode::Reset,
            2 => Mode::Run,
            4 => Mode::Hold,
            8 => Mode::HoldBack,
            16 => Mode::Complete,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Mode::Reset => "reset",
            Mode::Run => "run",
            Mode::Hold => "hold",
            Mode::HoldBack => "holdback",
            Mode::Complete => "complete",
        }
    }

    /// Whether the programme has begun and not ended.
    pub(super) fn is_under_way(self) -> bool {
        matches!(self, Mode::Run | Mode::Hold | Mode::HoldBack)
    }
}

//! The register map.

use super::programmer::{EndType, Mode, PROGRAMS, SEGMENTS, SegmentType};
use super::{Epc3016, Watchdog};
use crate::device::Bench;
use crate::modbus::Exception;

/// First register of programme 1, and the distance to the next one.
const PROGRAM_BASE: u16 = 8328;
const PROGRAM_STRIDE: u16 = 136;
/// First segment register of a programme, and registers of a segment.
const SEGMENT_OFFSET: u16 = 8;
const SEGMENT_STRIDE: u16 = 8;
/// Segments 1 to 16 lie in the programme's block; 17 to 25 of programme 1 from here.
const LATE_SEGMENTS: u16 = 9768;
const FIRST_LATE_SEGMENT: usize = 16;

/// Bits of the status word 75.
mod status {
    pub(crate) const MANUAL: u16 = 1 << 4;
    pub(crate) const SENSOR_BREAK: u16 = 1 << 5;
    pub(crate) const PROGRAM_END: u16 = 1 << 9;
    pub(crate) const OVER_RANGE: u16 = 1 << 10;
    pub(crate) const NEW_ALARM: u16 = 1 << 12;
    pub(crate) const RAMP_RUNNING: u16 = 1 << 13;
}

/// A register of a programme.
enum ProgramRegister {
    RampUnits,
    DwellUnits,
    End,
    SegmentType(usize),
    SegmentTarget(usize),
    SegmentShared(usize),
    /// Mapped, but without a meaning in the simulation.
    Unused,
}

impl Epc3016 {
    pub(super) fn read_register(&mut self, address: u16, now_s: f64) -> Result<u16, Exception> {
        if let Some((program, register)) = program_register(address) {
            return Ok(self.read_program(program, &register));
        }
        let value = match address {
            1 if self.sensor_break => self.scaled(self.config.range_high_c),
            1 => self.scaled(self.pv_c),
            2 | 160 => self.scaled(self.target_c),
            3 => self.manual_output,
            // The output carries one decimal.
            4 => (self.output_percent * 10.0).round() as u16,
            5 => self.scaled(self.working_setpoint_c()),
            11 => self.scaled(self.config.range_low_c),
            12 => self.scaled(self.config.range_high_c),
            13 => self.scaled(self.config.alarm_1_c),
            14 => self.scaled(self.config.alarm_2_c),
            22 => self.selected,
            23 => self.programmer.mode as u16,
            24 | 25 => self.scaled(self.setpoints_c[usize::from(address - 24)]),
            35 => self.setpoint_rate,
            56 => self.programmer.segment as u16,
            58 => self.programmer.time_left_s(now_s).round().min(65_535.0) as u16,
            75 => self.status_word(),
            76 => !self.status_word(),
            87 => 0,
            107 => self.config.version,
            122 => self.config.instrument_type,
            163 => self.scaled(self.programmer.setpoint_c),
            258 => u16::from(self.sensor_break),
            260 => u16::from(self.new_alarm),
            273 => u16::from(self.manual),
            274 => 0,
            294 | 295 => u16::from(self.alarms[usize::from(address - 294)]),
            525 => u16::from(self.config.decimals),
            1072 => self.alarm_word(),
            1169 => self.watchdog.timeout,
            1170 => self.watchdog.action,
            1171 => self.watchdog.recovery,
            1172 => u16::from(self.watchdog.expired),
            10_573 => u16::from(self.programmer.mode == Mode::Run),
            10_574 => u16::from(self.programmer.mode == Mode::Hold),
            10_575 => u16::from(self.programmer.mode == Mode::Reset),
            _ => return Err(Exception::IllegalAddress),
        };
        Ok(value)
    }

    pub(super) fn write_register(
        &mut self,
        address: u16,
        value: u16,
        frame: &[u8],
        bench: &mut Bench<'_>,
    ) -> Result<(), Exception> {
        if let Some((program, register)) = program_register(address) {
            return self.write_program(program, &register, value);
        }
        match address {
            2 | 160 => self.target_c = self.temperature(value)?,
            // The simulated heater cannot be driven by hand; only "off" can be set.
            3 if value == 0 => self.manual_output = 0,
            13 => self.config.alarm_1_c = self.temperature(value)?,
            14 => self.config.alarm_2_c = self.temperature(value)?,
            22 if (1..=PROGRAMS as u16).contains(&value) && self.programmer.mode == Mode::Reset => {
                self.selected = value
            }
            23 => self.set_mode(value, frame, bench)?,
            24 | 25 => {
                let setpoint_c = self.temperature(value)?;
                self.setpoints_c[usize::from(address - 24)] = setpoint_c;
                if address == 24 {
                    self.target_c = setpoint_c;
                }
            }
            35 => self.setpoint_rate = value,
            273 if value <= 1 => self.manual = value == 1,
            274 => {
                self.new_alarm = false;
                bench.count("acknowledge");
            }
            1169 => {
                let last_request_s = bench.now_s;
                self.watchdog = Watchdog { timeout: value, last_request_s, ..self.watchdog };
            }
            1170 if value <= 1 => self.watchdog.action = value,
            1171 => self.watchdog.recovery = value,
            1172 if value == 0 => (self.watchdog.expired, self.watchdog.resumed_s) = (false, None),
            10_573..=10_575 if value == 0 => {}
            10_573 => self.set_mode(2, frame, bench)?,
            10_574 => self.set_mode(4, frame, bench)?,
            10_575 => self.set_mode(1, frame, bench)?,
            3 | 22 | 273 | 1170 | 1172 => return Err(Exception::IllegalValue),
            _ => return Err(Exception::IllegalAddress),
        }
        Ok(())
    }

    fn read_program(&mut self, program: usize, register: &ProgramRegister) -> u16 {
        let program = &mut self.programs[program];
        match register {
            ProgramRegister::RampUnits => program.ramp_units,
            ProgramRegister::DwellUnits => program.dwell_units,
            ProgramRegister::End => program.end as u16,
            ProgramRegister::SegmentType(index) => program.segments[*index].kind as u16,
            ProgramRegister::SegmentTarget(index) => program.segments[*index].target.cast_unsigned(),
            ProgramRegister::SegmentShared(index) => program.segments[*index].shared().map_or(0, |value| *value),
            ProgramRegister::Unused => 0,
        }
    }

    fn write_program(&mut self, number: usize, register: &ProgramRegister, value: u16) -> Result<(), Exception> {
        let runs = !matches!(self.programmer.mode, Mode::Reset | Mode::Complete);
        if runs && number + 1 == usize::from(self.selected) {
            return Err(Exception::IllegalAddress);
        }
        let program = &mut self.programs[number];
        match register {
            ProgramRegister::RampUnits if value <= 2 => program.ramp_units = value,
            ProgramRegister::DwellUnits if value <= 2 => program.dwell_units = value,
            ProgramRegister::End => {
                let ends = [EndType::Dwell, EndType::Reset, EndType::Track];
                program.end = *ends.get(usize::from(value)).ok_or(Exception::IllegalValue)?;
            }
            ProgramRegister::SegmentType(index) => {
                // Type 5, a call of another programme, is not simulated.
                program.segments[*index].kind = SegmentType::from_register(value).ok_or(Exception::IllegalValue)?;
            }
            ProgramRegister::SegmentTarget(index) => program.segments[*index].target = value.cast_signed(),
            ProgramRegister::SegmentShared(index) => {
                // Without a type that gives it a meaning, the value is taken and lost: the type must be written first.
                if let Some(shared) = program.segments[*index].shared() {
                    *shared = value;
                }
            }
            ProgramRegister::Unused => {}
            ProgramRegister::RampUnits | ProgramRegister::DwellUnits => return Err(Exception::IllegalValue),
        }
        Ok(())
    }

    fn scaled(&self, celsius: f64) -> u16 {
        // Rounding and the range of i16 are what the controller itself does to the number.
        ((celsius * self.scale()).round() as i16).cast_unsigned()
    }

    fn temperature(&self, value: u16) -> Result<f64, Exception> {
        let celsius = f64::from(value.cast_signed()) / self.scale();
        let allowed = self.config.range_low_c..=self.config.range_high_c;
        if allowed.contains(&celsius) { Ok(celsius) } else { Err(Exception::IllegalValue) }
    }

    fn status_word(&self) -> u16 {
        let running = matches!(self.programmer.mode, Mode::Run | Mode::Hold);
        let bits = [
            (self.alarms[0], 1),
            (self.alarms[1], 1 << 1),
            (self.manual, status::MANUAL),
            (self.sensor_break, status::SENSOR_BREAK),
            (self.programmer.mode == Mode::Complete, status::PROGRAM_END),
            (self.pv_c > self.config.range_high_c || self.sensor_break, status::OVER_RANGE),
            (self.new_alarm, status::NEW_ALARM),
            (running, status::RAMP_RUNNING),
        ];
        bits.iter().filter(|(on, _)| *on).fold(0, |word, (_, bit)| word | bit)
    }

    fn alarm_word(&self) -> u16 {
        u16::from(self.alarms[0]) | u16::from(self.alarms[1]) << 1 | u16::from(self.watchdog.expired) << 2
    }
}

/// Which register of which programme (from 0) an address is.
fn program_register(address: u16) -> Option<(usize, ProgramRegister)> {
    let late_end = LATE_SEGMENTS + SEGMENT_STRIDE * (SEGMENTS - FIRST_LATE_SEGMENT) as u16;
    if (LATE_SEGMENTS..late_end).contains(&address) {
        let offset = address - LATE_SEGMENTS;
        let index = FIRST_LATE_SEGMENT + usize::from(offset / SEGMENT_STRIDE);
        return Some((0, segment_register(index, offset % SEGMENT_STRIDE)));
    }
    let offset = address.checked_sub(PROGRAM_BASE)?;
    let program = usize::from(offset / PROGRAM_STRIDE);
    if program >= PROGRAMS {
        return None;
    }
    let register = match offset % PROGRAM_STRIDE {
        2 => ProgramRegister::RampUnits,
        3 => ProgramRegister::DwellUnits,
        6 => ProgramRegister::End,
        offset if offset >= SEGMENT_OFFSET => {
            let offset = offset - SEGMENT_OFFSET;
            segment_register(usize::from(offset / SEGMENT_STRIDE), offset % SEGMENT_STRIDE)
        }
        _ => ProgramRegister::Unused,
    };
    Some((program, register))
}

fn segment_register(index: usize, offset: u16) -> ProgramRegister {
    match offset {
        0 => ProgramRegister::SegmentType(index),
        1 => ProgramRegister::SegmentTarget(index),
        2 => ProgramRegister::SegmentShared(index),
        _ => ProgramRegister::Unused,
    }
}

//! Tube furnace controller Eurotherm EPC3016, Modbus RTU and TCP (protocol reference 2.7).
//!
//! The firmware owns the programmer; the world owns the control loop, the heat and the samples in it. Temperatures go
//! over the wire as integers with a configured number of decimals: a client must know it, the bytes do not tell.

mod programmer;
mod registers;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;
use crate::modbus::{Exception, Framing, Query, Request};
use programmer::{Mode, PROGRAMS, Program, Programmer, Progress};

/// Keys of a furnace controller in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Modbus station or unit number.
    pub unit: u8,
    /// Decimals of process value and set points in their registers.
    pub decimals: u8,
    /// Range of the process value, °C.
    pub range_low_c: f64,
    /// Range of the process value, °C.
    pub range_high_c: f64,
    /// Threshold of alarm 1 (absolute high), °C.
    pub alarm_1_c: f64,
    /// Threshold of alarm 2 (absolute high), °C.
    pub alarm_2_c: f64,
    /// Register 107, firmware version. The default spells `SI` of `SIM`, which no real controller has.
    pub version: u16,
    /// Register 122, instrument type.
    pub instrument_type: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unit: 1,
            decimals: 1,
            range_low_c: 0.0,
            range_high_c: 1200.0,
            alarm_1_c: 1150.0,
            alarm_2_c: 1180.0,
            version: u16::from_be_bytes(*b"SI"),
            instrument_type: 0x3016,
        }
    }
}

/// Communication watchdog, registers 1169 to 1172.
#[derive(Clone, Copy, Debug, Default)]
struct Watchdog {
    /// Wall seconds without a valid request; 0 is off.
    timeout: u16,
    /// 0: the flag is cleared by a write; 1: by itself when communication resumes.
    action: u16,
    /// Wall seconds between resumption and the automatic clearing.
    recovery: u16,
    expired: bool,
    last_request_s: f64,
    resumed_s: Option<f64>,
}

/// The furnace controller.
#[derive(Debug)]
pub struct Epc3016 {
    config: Config,
    framing: Framing,
    programs: Vec<Program>,
    selected: u16,
    programmer: Programmer,
    target_c: f64,
    setpoints_c: [f64; 2],
    setpoint_rate: u16,
    manual: bool,
    manual_output: u16,
    sensor_break: bool,
    new_alarm: bool,
    alarms: [bool; 2],
    watchdog: Watchdog,
    speed: f64,
    commanded_c: Option<f64>,
    pv_c: f64,
    output_percent: f64,
    run_frame: Vec<u8>,
}

impl Epc3016 {
    /// A controller that was just switched on: programmer in reset, target 0 °C, heater off.
    pub fn new(config: Config, framing: Framing) -> Self {
        Self {
            config,
            framing,
            programs: vec![Program::default(); PROGRAMS],
            selected: 1,
            programmer: Programmer::default(),
            target_c: 0.0,
            setpoints_c: [0.0; 2],
            setpoint_rate: 0,
            manual: false,
            manual_output: 0,
            sensor_break: false,
            new_alarm: false,
            alarms: [false; 2],
            watchdog: Watchdog::default(),
            speed: 1.0,
            commanded_c: None,
            pv_c: 0.0,
            output_percent: 0.0,
            run_frame: Vec::new(),
        }
    }

    fn scale(&self) -> f64 {
        10_f64.powi(i32::from(self.config.decimals))
    }

    fn working_setpoint_c(&self) -> f64 {
        if self.programmer.mode == Mode::Reset { self.target_c } else { self.programmer.setpoint_c }
    }

    /// Reads the sensors and works out the alarms.
    fn look(&mut self, bench: &Bench<'_>) {
        self.speed = bench.speed;
        self.pv_c = bench.world.furnace_pv_c(bench.device);
        self.output_percent = bench.world.furnace_output_percent(bench.device);
        let broken = bench.lasting(Fault::SensorBreak);
        let alarms = [self.pv_c >= self.config.alarm_1_c || broken, self.pv_c >= self.config.alarm_2_c || broken];
        self.new_alarm |= (alarms[0] && !self.alarms[0]) || (alarms[1] && !self.alarms[1]);
        (self.alarms, self.sensor_break) = (alarms, broken);
    }

    /// Hands the working set point to the control loop: heater off in manual mode and with a broken sensor.
    fn command(&mut self, bench: &mut Bench<'_>) {
        let off = self.manual || self.sensor_break;
        let wanted_c = (!off && self.working_setpoint_c() > 0.0).then(|| self.working_setpoint_c());
        if wanted_c != self.commanded_c {
            self.commanded_c = wanted_c;
            bench.world.set_furnace(bench.device, wanted_c);
        }
    }

    fn report(&self, name: &str, bench: &mut Bench<'_>) {
        let cause = bench.cause(&self.run_frame, None);
        let detail = json!({
            "program": self.selected,
            "segment": self.programmer.segment,
            "setpoint_c": self.programmer.setpoint_c,
            "pv_c": self.pv_c,
        });
        bench.world.furnace_event(&cause, name, detail);
    }

    fn start_program(&mut self, bench: &mut Bench<'_>) {
        let program = self.programs[usize::from(self.selected) - 1].clone();
        bench.count("run");
        let progress = self.programmer.start(program, self.pv_c, self.scale(), bench.now_s);
        self.report("heat_start", bench);
        if progress == Progress::Completed {
            self.report("heat_end", bench);
        }
        if bench.strike(Fault::Stuck, &self.run_frame).is_some() {
            // A controller in holdback that never comes out of it looks like this.
            self.programmer.hold(bench.now_s);
        }
    }

    fn set_mode(&mut self, mode: u16, frame: &[u8], bench: &mut Bench<'_>) -> Result<(), Exception> {
        match (mode, self.programmer.mode) {
            (1, Mode::Reset) | (4, Mode::Hold) | (2, Mode::Run) => {}
            (1, before) => {
                bench.count("reset");
                self.programmer.reset();
                if before != Mode::Complete {
                    self.report("heat_end", bench);
                }
            }
            (2, Mode::Hold) => self.programmer.resume(bench.now_s),
            (2, _) => {
                self.run_frame = frame.to_vec();
                self.start_program(bench);
            }
            (4, Mode::Run) => {
                bench.count("hold");
                self.programmer.hold(bench.now_s);
            }
            _ => return Err(Exception::IllegalValue),
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request, frame: &[u8], bench: &mut Bench<'_>) -> Vec<u8> {
        match request.query() {
            Query::Read { address, count } => {
                bench.count("read");
                let addresses = (0..count).map(|offset| address.checked_add(offset).ok_or(Exception::IllegalAddress));
                let values: Result<Vec<u16>, Exception> =
                    addresses.map(|address| self.read_register(address?, bench.now_s)).collect();
                values.map_or_else(|exception| request.exception(exception), |values| request.registers(&values))
            }
            Query::Write { address, values } => {
                bench.count("write");
                for (address, value) in (address..=u16::MAX).zip(values) {
                    if let Err(exception) = self.write_register(address, value, frame, bench) {
                        return request.exception(exception);
                    }
                }
                request.acknowledged()
            }
            Query::Loopback => request.acknowledged(),
            Query::Unsupported(exception) => request.exception(exception),
        }
    }

    fn hear(&mut self, now_s: f64) {
        self.watchdog.last_request_s = now_s;
        if self.watchdog.expired && self.watchdog.action == 1 && self.watchdog.resumed_s.is_none() {
            self.watchdog.resumed_s = Some(now_s);
        }
    }

    fn watchdog_event_s(&self) -> Option<f64> {
        let wall = |seconds: u16| f64::from(seconds) * self.speed;
        match (self.watchdog.expired, self.watchdog.resumed_s) {
            (false, _) if self.watchdog.timeout > 0 => Some(self.watchdog.last_request_s + wall(self.watchdog.timeout)),
            (true, Some(resumed_s)) => Some(resumed_s + wall(self.watchdog.recovery)),
            _ => None,
        }
    }

    fn watch(&mut self, now_s: f64) {
        if self.watchdog_event_s().is_some_and(|due_s| due_s <= now_s) {
            if self.watchdog.expired {
                (self.watchdog.expired, self.watchdog.resumed_s) = (false, None);
                self.watchdog.last_request_s = now_s;
            } else {
                self.expire();
            }
        }
    }

    fn expire(&mut self) {
        self.watchdog.expired = true;
        self.watchdog.resumed_s = None;
        self.new_alarm = true;
    }
}

impl Firmware for Epc3016 {
    fn kind(&self) -> &'static str {
        "eurotherm-epc3016"
    }

    fn identity(&self) -> String {
        format!("SIM-EPC3016 version {:#06x} type {:#06x}", self.config.version, self.config.instrument_type)
    }

    fn connected(&mut self, _session: Session, bench: &mut Bench<'_>) {
        self.look(bench);
        self.command(bench);
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        self.framing.cut(input)
    }

    fn line_idle(&mut self, input: &mut Vec<u8>) {
        // A pause of 3.5 characters ends an RTU frame, complete or not.
        if self.framing == Framing::Rtu {
            input.clear();
        }
    }

    fn execute(&mut self, session: Session, bytes: &[u8], bench: &mut Bench<'_>) {
        let Some(request) = self.framing.parse(bytes).filter(|request| request.unit == self.config.unit) else {
            return;
        };
        self.look(bench);
        self.hear(bench.now_s);
        let answer = if bench.strike(Fault::ExceptionReply, bytes).is_some() {
            request.exception(Exception::Busy)
        } else {
            self.answer(&request, bytes, bench)
        };
        self.command(bench);
        bench.reply(session, answer);
    }

    fn next_event_s(&self) -> Option<f64> {
        [self.programmer.next_event_s(), self.watchdog_event_s()].into_iter().flatten().min_by(f64::total_cmp)
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        self.look(bench);
        self.watch(bench.now_s);
        if self.programmer.next_event_s().is_some_and(|due_s| due_s <= bench.now_s)
            && self.programmer.advance(bench.now_s) == Progress::Completed
        {
            self.report("heat_end", bench);
        }
        self.command(bench);
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        if !matches!(self.programmer.mode, Mode::Reset | Mode::Complete) {
            self.report("heat_end", bench);
        }
        // Programmes and the target are kept in non-volatile memory; the programmer restarts in reset.
        self.programmer = Programmer::default();
        (self.target_c, self.manual, self.watchdog) = (0.0, false, Watchdog::default());
        self.command(bench);
    }

    fn inject(&mut self, fault: Fault, bench: &mut Bench<'_>) {
        if fault == Fault::WatchdogTrip {
            self.expire();
        }
        self.look(bench);
        self.command(bench);
    }

    fn spoil_checksum(&self, reply: &mut [u8]) -> bool {
        self.framing.spoil_checksum(reply)
    }

    fn spoil_address(&self, reply: &mut Vec<u8>) -> bool {
        self.framing.spoil_address(reply)
    }

    fn shorten(&self, reply: &mut Vec<u8>) -> bool {
        self.framing.shorten(reply)
    }

    fn status(&self) -> Value {
        json!({
            "pv_c": self.pv_c,
            "working_setpoint_c": self.working_setpoint_c(),
            "output_percent": self.output_percent,
            "mode": format!("{:?}", self.programmer.mode),
            "segment": self.programmer.segment,
            "watchdog_expired": self.watchdog.expired,
            "alarms": self.alarms,
        })
    }
}

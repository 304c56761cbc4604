//! Hotplate-stirrer with the NAMUR command set: IKA C-MAG HS7 (protocol reference 2.5).
//!
//! The device never speaks unasked and does not answer writes: a driver has to read back what it wrote.

use serde::Deserialize;
use serde_json::{Value, json};

use super::cut_line;
use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;

/// Longest command, characters.
const LONGEST: usize = 80;
/// Range of the plate's set point, °C.
const HIGHEST_C: f64 = 500.0;
/// Range of the stirrer, rpm.
const SPEED_RPM: (f64, f64) = (50.0, 1500.0);
/// Range of the watchdog time, seconds.
const WATCHDOG_S: (f64, f64) = (20.0, 1500.0);

/// Keys of a hotplate-stirrer in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Answer to `IN_NAME`; it must contain `SIM`.
    pub name: String,
    /// Safety limit of the plate that the knob on the device is set to, °C.
    pub safety_limit_c: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: "C-MAG HS7 SIM".into(), safety_limit_c: 350.0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Watchdog {
    mode: u8,
    period_s: f64,
    due_s: f64,
}

/// The hotplate-stirrer.
#[derive(Debug)]
pub struct IkaCmag {
    config: Config,
    setpoint_c: f64,
    speed_rpm: f64,
    heating: bool,
    stirring: bool,
    fallback_c: f64,
    fallback_rpm: f64,
    watchdog: Option<Watchdog>,
    error: Option<u8>,
    mode: char,
    /// Set point and speed that heater and motor follow now.
    applied: (Option<f64>, Option<f64>),
}

impl IkaCmag {
    /// A device that was just switched on: nothing runs.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            setpoint_c: 25.0,
            speed_rpm: 0.0,
            heating: false,
            stirring: false,
            fallback_c: 25.0,
            fallback_rpm: 0.0,
            watchdog: None,
            error: None,
            mode: 'A',
            applied: (None, None),
        }
    }

    fn read(&self, what: &str, bench: &Bench<'_>) -> Option<String> {
        let (value, channel) = match what {
            "IN_NAME" => return Some(self.config.name.clone()),
            "IN_PV_1" => (bench.world.probe_c(bench.device), 1),
            "IN_PV_2" => (bench.world.plate_c(bench.device), 2),
            "IN_PV_4" => (bench.world.stirrer_rpm(bench.device), 4),
            // The plate infers viscosity from the motor's torque; thin inks read as none.
            "IN_PV_5" => (0.0, 5),
            "IN_SP_1" => (self.setpoint_c, 1),
            "IN_SP_2" => (self.setpoint_c, 2),
            "IN_SP_3" => (self.config.safety_limit_c, 3),
            "IN_SP_4" => (self.speed_rpm, 4),
            _ => return None,
        };
        Some(format!("{value:.1} {channel}"))
    }

    /// Carries out a write; `Some` is the echo of the few writes that have one.
    fn write(&mut self, command: &str, line: &[u8], bench: &mut Bench<'_>) -> Option<String> {
        if let Some((name, value)) = command.split_once('@') {
            return self.write_limit(name, value.trim().parse().ok()?, bench);
        }
        let (name, value) = command.split_once(' ').unwrap_or((command, ""));
        let number: Option<f64> = value.trim().parse().ok().filter(|value: &f64| value.is_finite());
        match name {
            "OUT_SP_1" | "OUT_SP_2" => {
                self.setpoint_c = number.filter(|c| (0.0..=HIGHEST_C.min(self.config.safety_limit_c)).contains(c))?;
            }
            "OUT_SP_4" => {
                self.speed_rpm = number.filter(|rpm| *rpm == 0.0 || (SPEED_RPM.0..=SPEED_RPM.1).contains(rpm))?;
            }
            // After a watchdog error the device stays off until it is reset.
            "START_1" | "START_2" => self.heating = self.error.is_none(),
            "STOP_1" | "STOP_2" => self.heating = false,
            "START_4" => self.stirring = self.error.is_none(),
            "STOP_4" => self.stirring = false,
            "RESET" => {
                (self.heating, self.stirring, self.watchdog, self.error) = (false, false, None, None);
            }
            "SET_MODE_A" | "SET_MODE_B" | "SET_MODE_D" => {
                self.mode = name.chars().next_back()?;
            }
            _ => return None,
        }
        bench.count(name);
        self.apply(line, bench);
        None
    }

    fn write_limit(&mut self, name: &str, value: f64, bench: &mut Bench<'_>) -> Option<String> {
        let echo = match name {
            "OUT_SP_12" if (0.0..=HIGHEST_C).contains(&value) => {
                self.fallback_c = value;
                Some(format!("{value:.1} 12"))
            }
            "OUT_SP_42" if (0.0..=SPEED_RPM.1).contains(&value) => {
                self.fallback_rpm = value;
                Some(format!("{value:.1} 42"))
            }
            "OUT_WD2" if value == 0.0 => {
                self.watchdog = None;
                None
            }
            "OUT_WD1" | "OUT_WD2" if (WATCHDOG_S.0..=WATCHDOG_S.1).contains(&value) => {
                let mode = if name == "OUT_WD1" { 1 } else { 2 };
                // The watchdog guards the line to the controller, so it runs in wall seconds.
                let period_s = value * bench.speed;
                self.watchdog = Some(Watchdog { mode, period_s, due_s: bench.now_s + period_s });
                None
            }
            _ => return None,
        };
        bench.count(name);
        echo
    }

    /// Hands on what has changed: a command that leaves heater or motor as it is is no physical action.
    fn apply(&mut self, line: &[u8], bench: &mut Bench<'_>) {
        let cause = bench.cause(line, None);
        let plate_c = self.heating.then_some(self.setpoint_c);
        if plate_c != self.applied.0 {
            bench.world.set_plate(&cause, plate_c);
        }
        let speed_rpm = (self.stirring && self.speed_rpm > 0.0).then_some(self.speed_rpm);
        if speed_rpm != self.applied.1 {
            bench.world.set_stirrer(&cause, speed_rpm);
        }
        self.applied = (plate_c, speed_rpm);
    }

    fn trip(&mut self, mode: u8, bench: &mut Bench<'_>) {
        tracing::info!(device = bench.device, mode, "communication watchdog has expired");
        if mode == 1 {
            (self.heating, self.stirring, self.error) = (false, false, Some(2));
        } else {
            (self.setpoint_c, self.speed_rpm) = (self.fallback_c, self.fallback_rpm);
        }
        self.watchdog = None;
        bench.count("watchdog");
        self.apply(b"watchdog", bench);
    }
}

impl Firmware for IkaCmag {
    fn kind(&self) -> &'static str {
        "ika-cmag"
    }

    fn identity(&self) -> String {
        self.config.name.clone()
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        cut_line(input, LONGEST)
    }

    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        let Ok(text) = std::str::from_utf8(request) else { return };
        let text = text.trim();
        if text.starts_with("IN_") {
            if let Some(answer) = self.read(text, bench) {
                bench.count(text);
                bench.reply(session, format!("{answer}\r\n"));
            }
            return;
        }
        if text.is_empty() || bench.strike(Fault::SilentWriteIgnored, request).is_some() {
            return;
        }
        if let Some(echo) = self.write(text, request, bench) {
            bench.reply(session, format!("{echo}\r\n"));
        }
    }

    fn next_event_s(&self) -> Option<f64> {
        self.watchdog.map(|watchdog| watchdog.due_s)
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        if let Some(watchdog) = self.watchdog.filter(|watchdog| watchdog.due_s <= bench.now_s) {
            self.trip(watchdog.mode, bench);
        }
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        *self = Self { applied: self.applied, ..Self::new(self.config.clone()) };
        self.apply(b"power", bench);
    }

    fn inject(&mut self, fault: Fault, bench: &mut Bench<'_>) {
        if fault == Fault::WatchdogTrip {
            self.trip(self.watchdog.map_or(1, |watchdog| watchdog.mode), bench);
        }
    }

    fn status(&self) -> Value {
        json!({
            "heating": self.heating,
            "stirring": self.stirring,
            "setpoint_c": self.setpoint_c,
            "speed_rpm": self.speed_rpm,
            "watchdog_s": self.watchdog.map(|watchdog| watchdog.period_s),
            "error": self.error,
            "mode": self.mode.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::fault::FaultParameters;
    use crate::firmware::testing::Rig;

    use super::*;

    fn rig() -> Rig {
        Rig::new("mixer", Box::new(IkaCmag::new(Config::default())))
    }

    #[test]
    fn reads_answer_value_and_channel_and_writes_are_silent() {
        let mut rig = rig();
        assert_eq!(rig.ask("IN_NAME \r\n"), "C-MAG HS7 SIM\r\n");
        assert_eq!(rig.ask("OUT_SP_1 150 \r\n"), "");
        assert_eq!(rig.ask("IN_SP_1 \r\n"), "150.0 1\r\n");
        assert_eq!(rig.ask("START_1 \r\nOUT_SP_4 600 \r\nSTART_4 \r\n"), "");
        assert_eq!(rig.ask("IN_SP_4 \r\n"), "600.0 4\r\n");
        assert!(rig.ask("IN_PV_2 \r\n").ends_with(" 2\r\n"));
        assert_eq!(rig.executions("START_1"), 1);
        assert_eq!(rig.ledger_lines("set_plate").len(), 1, "a set point without heating is no physical action");
        rig.step(60.0);
        let answer = rig.ask("IN_PV_2 \r\n");
        assert!(answer[..answer.len() - 4].parse::<f64>().unwrap() > 40.0, "{answer:?} after a minute of heating");
    }

    #[test]
    fn values_out_of_range_and_unknown_commands_are_ignored_in_silence() {
        let mut rig = rig();
        assert_eq!(rig.ask("OUT_SP_1 9000 \r\nOUT_SP_4 10 \r\nHELLO \r\n"), "");
        assert_eq!(rig.ask("IN_SP_1 \r\n"), "25.0 1\r\n");
        assert_eq!(rig.ask(&format!("IN_NAME{} \r\n", " ".repeat(90))), "", "longer than 80 characters");
    }

    #[test]
    fn watchdog_one_switches_off_and_needs_a_reset() {
        let mut rig = rig();
        rig.ask("OUT_SP_1 100 \r\nSTART_1 \r\nOUT_WD1@30 \r\n");
        rig.step(29.0);
        rig.ask("OUT_WD1@30 \r\n");
        rig.step(29.0);
        assert_eq!(rig.state()["heating"], true, "the repeated command kept it alive");
        rig.step(2.0);
        assert_eq!(rig.state()["heating"], false);
        assert_eq!(rig.state()["error"], 2);
        rig.ask("START_1 \r\n");
        assert_eq!(rig.state()["heating"], false);
        rig.ask("RESET \r\nSTART_1 \r\n");
        assert_eq!(rig.state()["heating"], true);
    }

    #[test]
    fn watchdog_two_falls_back_to_its_limits() {
        let mut rig = rig();
        assert_eq!(rig.ask("OUT_SP_12@40 \r\n"), "40.0 12\r\n");
        assert_eq!(rig.ask("OUT_SP_42@100 \r\n"), "100.0 42\r\n");
        rig.ask("OUT_SP_1 120 \r\nSTART_1 \r\nOUT_WD2@20 \r\n");
        rig.step(21.0);
        assert_eq!(rig.ask("IN_SP_1 \r\n"), "40.0 1\r\n");
        assert_eq!(rig.state()["heating"], true);
    }

    #[test]
    fn an_ignored_write_can_only_be_seen_by_reading_back() {
        let mut rig = rig();
        rig.inject("silent_write_ignored", FaultParameters::default());
        assert_eq!(rig.ask("OUT_SP_1 80 \r\n"), "");
        assert_eq!(rig.ask("IN_SP_1 \r\n"), "25.0 1\r\n");
        rig.ask("OUT_SP_1 80 \r\n");
        assert_eq!(rig.ask("IN_SP_1 \r\n"), "80.0 1\r\n");
    }
}

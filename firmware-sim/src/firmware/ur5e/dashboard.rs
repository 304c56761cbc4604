//! The dashboard server: one line per command, one line per answer.

use super::{ProgramState, RELEASE_AFTER_S, RobotMode, Ur5e};
use crate::device::Bench;
use crate::fault::Fault;

impl Ur5e {
    pub(super) fn dashboard(&mut self, request: &[u8], bench: &mut Bench<'_>) -> String {
        let text = String::from_utf8_lossy(request);
        let text = text.trim();
        if let Some(name) = text.strip_prefix("load ") {
            return self.load(name.trim(), bench);
        }
        match text {
            "play" if self.play(request, bench) => "Starting program".into(),
            "play" => "Failed to execute: play".into(),
            "stop" if self.state == ProgramState::Stopped => "Failed to execute: stop".into(),
            "stop" => {
                bench.count("stop");
                self.stop();
                "Stopped".into()
            }
            "pause" if self.state == ProgramState::Playing => {
                bench.count("pause");
                self.pause(bench.now_s);
                "Pausing program".into()
            }
            "pause" => "Failed to execute: pause".into(),
            "running" => format!("Program running: {}", self.state == ProgramState::Playing),
            "robotmode" => format!("Robotmode: {}", self.mode.name()),
            "safetystatus" => format!("Safetystatus: {}", self.safety()),
            "safetymode" => format!("Safetymode: {}", self.safety()),
            "programState" => self.program_state(),
            "is in remote control" => (!bench.lasting(Fault::LocalMode)).to_string(),
            "get loaded program" => match &self.loaded {
                Some(name) => format!("Loaded program: {name}"),
                None => "No program loaded".into(),
            },
            "PolyscopeVersion" => "URSoftware 5.15.0.0 (SIM)".into(),
            "get serial number" => self.config.serial.clone(),
            "get robot model" => "UR5".into(),
            "quit" => "Disconnected".into(),
            _ => self.control(text, bench),
        }
    }

    fn control(&mut self, text: &str, bench: &mut Bench<'_>) -> String {
        match text {
            "close popup" => {
                self.popup = false;
                "closing popup".into()
            }
            "close safety popup" => "closing safety popup".into(),
            "unlock protective stop" => self.unlock(bench.now_s),
            "power on" => {
                if self.mode == RobotMode::PowerOff {
                    self.mode = RobotMode::Idle;
                }
                "Powering on".into()
            }
            "power off" => {
                self.stop();
                self.mode = RobotMode::PowerOff;
                "Powering off".into()
            }
            "brake release" => {
                if self.mode == RobotMode::PowerOff {
                    return "Failed to execute: brake release".into();
                }
                self.mode = RobotMode::Running;
                "Brake releasing".into()
            }
            _ => format!("could not understand: '{text}'"),
        }
    }

    fn load(&mut self, name: &str, bench: &mut Bench<'_>) -> String {
        let plain = name.rsplit('/').next().unwrap_or(name);
        if !self.programs.contains_key(plain) {
            return format!("File not found: {name}");
        }
        if self.state != ProgramState::Stopped || bench.lasting(Fault::LocalMode) {
            return format!("Error while loading program: {name}");
        }
        bench.count("load");
        self.loaded = Some(plain.to_owned());
        format!("Loading program: {name}")
    }

    fn unlock(&mut self, now_s: f64) -> String {
        match self.stopped_since_s {
            None => "Protective stop releasing".into(),
            Some(since_s) if now_s - since_s < RELEASE_AFTER_S => {
                "Cannot unlock protective stop until 5s after occurrence. Always inspect cause of protective stop before unlocking"
                    .into()
            }
            Some(_) => {
                self.stopped_since_s = None;
                "Protective stop releasing".into()
            }
        }
    }

    fn safety(&self) -> &'static str {
        if self.stopped_since_s.is_some() { "PROTECTIVE_STOP" } else { "NORMAL" }
    }

    fn program_state(&self) -> String {
        let state = match self.state {
            ProgramState::Stopped => "STOPPED",
            ProgramState::Playing => "PLAYING",
            ProgramState::Paused => "PAUSED",
        };
        format!("{state} {}", self.loaded.as_deref().unwrap_or("<unnamed>"))
    }
}

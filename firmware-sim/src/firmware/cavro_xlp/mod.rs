//! Syringe pump with a distribution valve: Tecan Cavro XLP 6000, OEM framing (protocol reference 2.3).
//!
//! The firmware owns plunger and valve; the world owns the liquids. A move that was started is completed even if the
//! client vanishes, and its volume is moved in the world when the plunger has arrived.

mod frame;
mod machine;
mod motion;
mod program;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;
use frame::{Framing, Request};
use machine::{Machine, error};

/// The string buffer of the XLP 6000, characters.
const BUFFER_CHARACTERS: usize = 255;

/// Keys of a pump in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address switch, 0 to 14; the address byte is `'1'` + this.
    pub address: u8,
    /// Volume of a full stroke, µL.
    pub syringe_ul: f64,
    /// Full steps of a stroke.
    pub stroke_steps: u32,
    /// Ports of the distribution valve.
    pub ports: u8,
    /// Serial number; it must start with `SIM`.
    pub serial: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: 0, syringe_ul: 250.0, stroke_steps: 6000, ports: 12, serial: "SIM-XLP-0001".into() }
    }
}

/// The pump.
#[derive(Debug)]
pub struct CavroXlp {
    config: Config,
    machine: Machine,
    locked: Option<Framing>,
    last: Option<(u8, Vec<u8>)>,
    buffer: Option<Vec<u8>>,
    last_string: Option<Vec<u8>>,
}

impl CavroXlp {
    /// A pump that was just switched on: not initialised, framing not yet decided.
    pub fn new(config: Config) -> Self {
        let machine = Machine::new(&config);
        Self { config, machine, locked: None, last: None, buffer: None, last_string: None }
    }

    fn answer_to(&mut self, request: &Request, frame: &[u8], bench: &mut Bench<'_>) -> Vec<u8> {
        let (code, data) = match request.text.as_slice() {
            b"" => (0, String::new()),
            b"Q" | b"?29" => {
                bench.count("Q");
                (self.machine.take_error(), String::new())
            }
            b"T" => {
                bench.count("T");
                self.machine.terminate(bench);
                (0, String::new())
            }
            [b'?' | b'&' | b'F', ..] => {
                bench.count("?");
                self.report(&request.text, bench.now_s)
            }
            b"R" => (self.run_stored(frame, bench), String::new()),
            b"X" => (self.run_last(frame, bench), String::new()),
            _ => (self.accept(&request.text, frame, bench), String::new()),
        };
        let ready = if self.machine.reports_busy() { 0 } else { 0x20 };
        frame::answer(request.framing, 0x40 | ready | code, &data)
    }

    fn accept(&mut self, text: &[u8], frame: &[u8], bench: &mut Bench<'_>) -> u8 {
        if bench.strike(Fault::CommandOverflow, frame).is_some() {
            return error::COMMAND_OVERFLOW;
        }
        let Some(parsed) = program::parse(text) else { return error::INVALID_COMMAND };
        if text.len() > BUFFER_CHARACTERS {
            return error::COMMAND_OVERFLOW;
        }
        if self.machine.is_active() {
            let on_the_fly = matches!(parsed.commands.as_slice(), [program::Command::TopSpeed(_)]);
            return if on_the_fly { self.machine.set_now(parsed.commands[0], bench) } else { error::COMMAND_OVERFLOW };
        }
        if !parsed.run {
            self.buffer = Some(text.to_vec());
            return 0;
        }
        self.buffer = None;
        self.last_string = Some(text.to_vec());
        self.machine.run(parsed.commands, frame, bench)
    }

    fn run_stored(&mut self, frame: &[u8], bench: &mut Bench<'_>) -> u8 {
        if self.machine.is_halted() {
            return self.machine.resume(bench);
        }
        match self.buffer.take() {
            Some(mut text) => {
                text.push(b'R');
                self.accept(&text, frame, bench)
            }
            None => 0,
        }
    }

    fn run_last(&mut self, frame: &[u8], bench: &mut Bench<'_>) -> u8 {
        match self.last_string.clone() {
            Some(text) => self.accept(&text, frame, bench),
            None => 0,
        }
    }

    fn report(&self, text: &[u8], now_s: f64) -> (u8, String) {
        let machine = &self.machine;
        let data = match text {
            b"?" | b"?4" => machine.position_units(now_s).to_string(),
            b"?1" => machine.speeds.start.to_string(),
            b"?2" => machine.speeds.top.to_string(),
            b"?3" => machine.speeds.cutoff.to_string(),
            b"?6" => machine.valve.to_string(),
            b"?10" | b"F" => u8::from(self.buffer.is_some()).to_string(),
            b"?23" | b"&" => format!("XLP6000 {} Rev A", self.config.serial),
            b"?76" => format!(
                "{} {} steps {} ports {} uL",
                self.config.serial, self.config.stroke_steps, self.config.ports, self.config.syringe_ul
            ),
            _ => return (error::INVALID_COMMAND, String::new()),
        };
        (0, data)
    }
}

impl Firmware for CavroXlp {
    fn kind(&self) -> &'static str {
        "cavro-xlp"
    }

    fn identity(&self) -> String {
        self.config.serial.clone()
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        frame::cut(input)
    }

    fn execute(&mut self, session: Session, bytes: &[u8], bench: &mut Bench<'_>) {
        let Some(request) = frame::parse(bytes) else { return };
        if request.address != b'1' + self.config.address
            || *self.locked.get_or_insert(request.framing) != request.framing
        {
            return;
        }
        if let Some((sequence, answer)) = &self.last
            && request.repeat
            && *sequence == request.sequence
            && bench.strike(Fault::NoDedup, bytes).is_none()
        {
            let answer = answer.clone();
            return bench.reply(session, answer);
        }
        let answer = self.answer_to(&request, bytes, bench);
        self.last = Some((request.sequence, answer.clone()));
        bench.reply(session, answer);
    }

    fn next_event_s(&self) -> Option<f64> {
        self.machine.next_event_s()
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        self.machine.advance(bench);
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        self.machine.terminate(bench);
        self.machine.forget();
        self.locked = None;
        self.last = None;
        self.buffer = None;
        self.last_string = None;
    }

    fn inject(&mut self, fault: Fault, _bench: &mut Bench<'_>) {
        match fault {
            Fault::NotInitialised => self.machine.initialised = false,
            Fault::WrongFramingMode => self.locked = Some(Framing::Terminal),
            _ => {}
        }
    }

    fn spoil_checksum(&self, reply: &mut [u8]) -> bool {
        reply.last_mut().map(|sum| *sum ^= 0x15).is_some()
    }

    fn status(&self) -> Value {
        json!({
            "initialised": self.machine.initialised,
            "position_steps": self.machine.position_steps(),
            "valve": self.machine.valve,
            "moving": self.machine.is_active(),
            "framing": self.locked.map(|framing| format!("{framing:?}")),
        })
    }
}

//! Analytical balance with the MT-SICS command set: Mettler Toledo XPE206 (protocol reference 2.1).
//!
//! The balance has one outstanding command: while it waits for a stable value it drops what else arrives, except the
//! reset. The load cell settles some simulated seconds after the load has changed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::cut_line;
use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;
use crate::world::World;

const LONGEST: usize = 200;
/// How long `S`, `T` and `Z` wait for a stable value before they give up, seconds.
const PATIENCE_S: f64 = 30.0;
/// Interval of repeated values, wall seconds.
const REPEAT_S: f64 = 0.1;
/// Duration of an internal adjustment, seconds.
const ADJUSTMENT_S: f64 = 40.0;

/// Keys of a balance in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Serial number; it must start with `SIM`.
    pub serial: String,
    /// Position whose load it weighs.
    pub pan: String,
    /// Largest load, g.
    pub capacity_g: f64,
    /// Decimals of a value in grams: 5 is 0.01 mg.
    pub decimals: usize,
    /// Time until a changed load reads stable, simulated seconds.
    pub settle_s: f64,
}

impl Default for Config {
    fn default() -> Self {
        let (serial, pan) = ("SIM-XPE206-0001".into(), "balance.pan".into());
        Self { serial, pan, capacity_g: 220.0, decimals: 5, settle_s: 4.0 }
    }
}

/// A command that waits for a stable value.
#[derive(Clone, Debug)]
struct Waiting {
    command: &'static str,
    session: Session,
    frame: Vec<u8>,
    gives_up_s: f64,
    /// What `SC` sends when its own time is over.
    dynamic_at_end: bool,
    stuck: bool,
}

#[derive(Clone, Copy, Debug)]
struct Repeating {
    session: Session,
    due_s: f64,
    every_s: f64,
}

/// The balance.
#[derive(Debug)]
pub struct MettlerSics {
    config: Config,
    zero_g: f64,
    tare_g: f64,
    loaded: bool,
    stable_from_s: f64,
    waiting: Option<Waiting>,
    repeating: Option<Repeating>,
    adjusting: Option<(Session, &'static str, f64)>,
    display: Option<String>,
    door_open: bool,
}

impl MettlerSics {
    /// A balance that was just switched on.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            zero_g: 0.0,
            tare_g: 0.0,
            loaded: false,
            stable_from_s: 0.0,
            waiting: None,
            repeating: None,
            adjusting: None,
            display: None,
            door_open: false,
        }
    }

    fn banner(&self) -> String {
        format!("I4 A \"{}\"\r\n", self.config.serial)
    }

    fn value(&self, grams: f64) -> String {
        let decimals = self.config.decimals;
        // A rounded negative zero would print a minus sign that no balance shows.
        let rounded = (grams * 10_f64.powi(decimals as i32)).round() / 10_f64.powi(decimals as i32) + 0.0;
        format!("{rounded:>10.decimals$} g")
    }

    /// Reads the load cell; `Err` is the status letter of a load outside the range.
    fn gross_g(&self, frame: &[u8], bench: &mut Bench<'_>) -> Result<f64, char> {
        if bench.strike(Fault::Overload, frame).is_some() {
            return Err('+');
        }
        let cause = bench.cause(frame, None);
        let gross_g = bench.world.weigh_g(&cause);
        let shown_g = gross_g - self.zero_g;
        if shown_g > self.config.capacity_g {
            Err('+')
        } else if shown_g < -self.config.capacity_g * 0.05 {
            Err('-')
        } else {
            Ok(gross_g)
        }
    }

    fn stable(&self, now_s: f64) -> bool {
        now_s >= self.stable_from_s && !self.door_open
    }

    /// The answer of a weighing, zeroing or taring command at this instant.
    fn measure(&mut self, command: &str, frame: &[u8], bench: &mut Bench<'_>) -> String {
        bench.count(command);
        let stability = if self.stable(bench.now_s) { 'S' } else { 'D' };
        let gross_g = match self.gross_g(frame, bench) {
            Ok(gross_g) => gross_g,
            Err(limit) => {
                // Every form of the weighing command answers under the name of the plain one.
                let name = if command.starts_with('S') { "S" } else { command };
                return format!("{name} {limit}\r\n");
            }
        };
        match command {
            "Z" => {
                (self.zero_g, self.tare_g) = (gross_g, 0.0);
                "Z A\r\n".into()
            }
            "ZI" => {
                (self.zero_g, self.tare_g) = (gross_g, 0.0);
                format!("ZI {stability}\r\n")
            }
            "T" | "TI" => {
                self.tare_g = gross_g - self.zero_g;
                format!("{command} {stability} {}\r\n", self.value(self.tare_g))
            }
            _ => format!("S {stability} {}\r\n", self.value(gross_g - self.zero_g - self.tare_g)),
        }
    }

    fn wait(&mut self, command: &'static str, patience_s: f64, session: Session, frame: &[u8], bench: &mut Bench<'_>) {
        let stuck = bench.strike(Fault::Stuck, frame).is_some();
        let waiting = Waiting {
            command,
            session,
            frame: frame.to_vec(),
            gives_up_s: bench.now_s + patience_s,
            dynamic_at_end: command == "SC",
            stuck,
        };
        self.waiting = Some(waiting);
        self.advance(bench);
    }

    fn repeat(&mut self, session: Session, bench: &mut Bench<'_>) {
        // The interval belongs to the line: a faster simulation must not flood it.
        let every_s = REPEAT_S * bench.speed;
        self.repeating = Some(Repeating { session, due_s: bench.now_s, every_s });
        self.advance(bench);
    }

    /// Commands that are answered at once; `None` when there is no such command.
    fn immediate(
        &mut self,
        name: &str,
        rest: &str,
        frame: &[u8],
        session: Session,
        bench: &mut Bench<'_>,
    ) -> Option<String> {
        let answer = match (name, rest) {
            ("SI" | "ZI" | "TI", "") => self.measure(name, frame, bench),
            ("TA", "") => format!("TA A {}\r\n", self.value(self.tare_g)),
            ("TA", preset) => match preset.trim_end_matches('g').trim().parse::<f64>() {
                Ok(grams) if (0.0..=self.config.capacity_g).contains(&grams) => {
                    self.tare_g = grams;
                    format!("TA A {}\r\n", self.value(grams))
                }
                _ => "TA L\r\n".into(),
            },
            ("TAC", "") => {
                self.tare_g = 0.0;
                "TAC A\r\n".into()
            }
            ("I0", "") => COMMANDS.iter().enumerate().fold(String::new(), |list, (index, command)| {
                let status = if index + 1 == COMMANDS.len() { 'A' } else { 'B' };
                list + &format!("I0 {status} 0 \"{command}\"\r\n")
            }),
            ("I1", "") => "I1 A \"01\" \"2.30\" \"2.22\" \"\" \"\"\r\n".into(),
            ("I2", "") => format!("I2 A \"XPE206 SIM {:.5} g\"\r\n", self.config.capacity_g),
            ("I3", "") => "I3 A \"SIM 1.00\"\r\n".into(),
            ("I4", "") => self.banner(),
            ("I5", "") => "I5 A \"SIM00001A\"\r\n".into(),
            ("D", text) if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') => {
                self.display = Some(text.trim_matches('"').to_owned());
                "D A\r\n".into()
            }
            ("D", _) => "D L\r\n".into(),
            ("DW", "") => {
                self.display = None;
                "DW A\r\n".into()
            }
            ("M21", "") => "M21 B 0 0\r\nM21 B 1 0\r\nM21 A 2 0\r\n".into(),
            ("M21", "0 0" | "1 0" | "2 0") => "M21 A\r\n".into(),
            // Only grams are simulated.
            ("M21", _) => "M21 L\r\n".into(),
            ("C1" | "C3", "") => {
                let command = if name == "C1" { "C1" } else { "C3" };
                self.adjusting = Some((session, command, bench.now_s + ADJUSTMENT_S));
                format!("{command} B\r\n")
            }
            ("PWR", "0" | "1") => "PWR A\r\n".into(),
            ("PWR", _) => "PWR L\r\n".into(),
            ("WS", "") => format!("WS A {}\r\n", u8::from(self.door_open)),
            ("WS", "0" | "1") => {
                self.door_open = rest == "1";
                self.stable_from_s = bench.now_s + self.config.settle_s;
                "WS A\r\n".into()
            }
            ("WS", _) => "WS L\r\n".into(),
            _ => return None,
        };
        if !matches!(name, "SI" | "ZI" | "TI") {
            bench.count(name);
        }
        Some(answer)
    }

    fn reset(&mut self) {
        (self.waiting, self.repeating, self.adjusting, self.display) = (None, None, None, None);
        self.tare_g = 0.0;
    }
}

/// What `I0` lists.
const COMMANDS: [&str; 25] = [
    "@", "C1", "C3", "D", "DW", "I0", "I1", "I2", "I3", "I4", "I5", "M21", "PWR", "S", "SC", "SI", "SIR", "T", "TA",
    "TAC", "TI", "WS", "Z", "ZI", "SR",
];

impl Firmware for MettlerSics {
    fn kind(&self) -> &'static str {
        "mettler-sics"
    }

    fn identity(&self) -> String {
        self.config.serial.clone()
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        cut_line(input, LONGEST)
    }

    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        let Ok(text) = std::str::from_utf8(request) else { return bench.reply(session, "ET\r\n") };
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        if name == "@" {
            self.reset();
            bench.count("@");
            let banner = self.banner();
            return bench.reply(session, banner);
        }
        // One outstanding command: the balance drops what arrives while it waits for a stable value.
        if self.waiting.is_some() {
            return;
        }
        self.repeating = None;
        if self.adjusting.is_some() && !name.starts_with('I') {
            return bench.reply(session, format!("{name} I\r\n"));
        }
        match (name, rest) {
            ("S", "") => self.wait("S", PATIENCE_S, session, request, bench),
            ("Z", "") => self.wait("Z", PATIENCE_S, session, request, bench),
            ("T", "") => self.wait("T", PATIENCE_S, session, request, bench),
            ("SC", milliseconds) => match milliseconds.parse::<u32>() {
                Ok(ms) => self.wait("SC", f64::from(ms) / 1000.0, session, request, bench),
                Err(_) => bench.reply(session, "SC L\r\n"),
            },
            ("SIR" | "SR", _) => self.repeat(session, bench),
            _ => match self.immediate(name, rest, request, session, bench) {
                Some(answer) => bench.reply(session, answer),
                None => bench.reply(session, "ES\r\n"),
            },
        }
    }

    fn disconnected(&mut self, session: Session, _bench: &mut Bench<'_>) {
        self.waiting = self.waiting.take().filter(|waiting| waiting.session != session);
        self.repeating = self.repeating.take().filter(|repeating| repeating.session != session);
    }

    fn next_event_s(&self) -> Option<f64> {
        let waiting = self.waiting.as_ref().map(|waiting| {
            let stable_s = if waiting.stuck || self.door_open { f64::INFINITY } else { self.stable_from_s };
            stable_s.min(waiting.gives_up_s)
        });
        let repeating = self.repeating.map(|repeating| repeating.due_s);
        let adjusting = self.adjusting.map(|(_, _, ends_s)| ends_s);
        [waiting, repeating, adjusting].into_iter().flatten().min_by(f64::total_cmp)
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        if let Some((session, command, _)) = self.adjusting.take_if(|(_, _, ends_s)| *ends_s <= bench.now_s) {
            bench.reply(session, format!("{command} A\r\n"));
        }
        if let Some(repeating) = self.repeating.filter(|repeating| repeating.due_s <= bench.now_s) {
            self.repeating = Some(Repeating { due_s: bench.now_s + repeating.every_s, ..repeating });
            let value = self.measure("SIR", b"SIR", bench);
            bench.tell(Some(repeating.session), value);
        }
        let Some(waiting) = self.waiting.clone() else { return };
        if self.stable(bench.now_s) && !waiting.stuck {
            self.waiting = None;
            let answer = self.measure(waiting.command, &waiting.frame, bench);
            bench.reply(waiting.session, answer);
        } else if waiting.gives_up_s <= bench.now_s {
            self.waiting = None;
            let answer = if waiting.dynamic_at_end {
                self.measure("SC", &waiting.frame, bench)
            } else {
                format!("{} I\r\n", waiting.command)
            };
            bench.reply(waiting.session, answer);
        }
    }

    fn sense(&mut self, world: &World, now_s: f64) {
        let loaded = world.occupied(&self.config.pan);
        if loaded != self.loaded {
            self.loaded = loaded;
            self.stable_from_s = now_s + self.config.settle_s;
        }
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        self.reset();
        (self.zero_g, self.door_open) = (0.0, false);
        self.stable_from_s = bench.now_s + self.config.settle_s;
        let banner = self.banner();
        bench.tell(None, banner);
    }

    fn unsolicited(&self) -> Vec<u8> {
        self.banner().into_bytes()
    }

    fn status(&self) -> Value {
        json!({
            "loaded": self.loaded,
            "stable_from_s": self.stable_from_s,
            "zero_g": self.zero_g,
            "tare_g": self.tare_g,
            "waiting": self.waiting.as_ref().map(|waiting| waiting.command),
            "display": self.display,
        })
    }
}

#[cfg(test)]
mod tests;

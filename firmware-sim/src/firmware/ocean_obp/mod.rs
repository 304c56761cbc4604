//! Spectrometer with the Ocean Binary Protocol (protocol reference 2.11), with lamp and excitation laser.
//!
//! The instrument handles one message after the other: during an exposure everything else waits.

mod message;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::device::{Bench, Firmware, Session};
use crate::fault::Fault;
use message::{Message, ObpError, flag};

/// Integration times the detector can do, µs.
const INTEGRATION_US: std::ops::RangeInclusive<u32> = 10..=10_000_000;
/// Trigger modes: 0 runs freely; 1 and 2 wait for an edge or level that nobody sends here.
const TRIGGER_MODES: std::ops::RangeInclusive<u8> = 0..=2;
/// The detector answers linearly: the polynomial of the correction is 1.
const NONLINEARITY: [f32; 8] = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
/// Pin of the general-purpose port that switches the excitation laser.
const LASER_PIN: u32 = 1;
/// Pins of the general-purpose port.
const PINS: u8 = 4;
/// Requests that wait while an exposure runs.
const QUEUE: usize = 64;

/// Keys of a spectrometer in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Serial number; it must start with `SIM`.
    pub serial: String,
    /// Device string.
    pub description: String,
    /// Product id.
    pub product: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { serial: "SIM-OBP-0001".into(), description: "SIM Ocean HDX".into(), product: 0x5349 }
    }
}

#[derive(Clone, Debug)]
struct Exposure {
    session: Session,
    request: Message,
    frame: Vec<u8>,
    ends_s: f64,
    integration_us: u32,
}

/// The spectrometer.
#[derive(Debug)]
pub struct OceanObp {
    config: Config,
    integration_us: u32,
    trigger_mode: u8,
    lamp: bool,
    pin_outputs: u32,
    pin_values: u32,
    laser: bool,
    exposure: Option<Exposure>,
    queue: VecDeque<(Session, Vec<u8>)>,
}

/// What a message leads to.
enum Answer {
    Data(Vec<u8>),
    Done,
    Expose,
}

impl OceanObp {
    /// A spectrometer that was just switched on: 10 ms, free running, everything dark.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            integration_us: 10_000,
            trigger_mode: 0,
            lamp: false,
            pin_outputs: 0,
            pin_values: 0,
            laser: false,
            exposure: None,
            queue: VecDeque::new(),
        }
    }

    fn handle(&mut self, session: Session, frame: &[u8], bench: &mut Bench<'_>) {
        let request = match Message::parse(frame) {
            Ok(request) => request,
            Err((request, error)) => {
                return bench.reply(session, request.response(flag::NACK, vec![]).wrap(error as u16));
            }
        };
        bench.count(&format!("{:#x}", request.kind));
        let wants_ack = request.flags & flag::REQUEST_ACK != 0;
        match self.answer(&request, frame, bench) {
            Ok(Answer::Data(data)) => {
                let acknowledged = if wants_ack { flag::ACK } else { 0 };
                bench.reply(session, request.response(acknowledged, data).wrap(0));
            }
            Ok(Answer::Done) if wants_ack => bench.reply(session, request.response(flag::ACK, vec![]).wrap(0)),
            Ok(Answer::Done) => {}
            Ok(Answer::Expose) => self.start_exposure(session, request, frame, bench),
            Err(error) => bench.reply(session, request.response(flag::NACK, vec![]).wrap(error as u16)),
        }
    }

    fn answer(&mut self, request: &Message, frame: &[u8], bench: &mut Bench<'_>) -> Result<Answer, ObpError> {
        let data = match request.kind {
            0x100 => self.config.serial.clone().into_bytes(),
            0x101 => vec![self.config.serial.len() as u8],
            0xe01 => self.config.product.to_le_bytes().to_vec(),
            0xe11 => self.config.description.clone().into_bytes(),
            0x0011_0000 => self.integration_us.to_le_bytes().to_vec(),
            0x0011_0001 => INTEGRATION_US.start().to_le_bytes().to_vec(),
            0x0011_0002 => INTEGRATION_US.end().to_le_bytes().to_vec(),
            0x0011_0100 => vec![self.trigger_mode],
            0x0011_0400 => vec![u8::from(self.lamp)],
            0x0018_0100 => vec![4],
            0x0018_0101 => coefficient(&bench.world.wavelength_coefficients(), &request.data)?,
            0x0018_1100 => vec![NONLINEARITY.len() as u8],
            0x0018_1101 => coefficient(&NONLINEARITY, &request.data)?,
            0x0020_0000 => vec![PINS],
            0x0020_0001 => self.pin_outputs.to_le_bytes().to_vec(),
            0x0020_0101 => self.pin_values.to_le_bytes().to_vec(),
            0x0010_1000 | 0x0010_1100 => return Ok(Answer::Expose),
            // The detector of this model is not cooled.
            0x0042_0004 | 0x0042_0010 | 0x0042_0011 => return Err(ObpError::NoSuchInformation),
            _ => return self.set(request, frame, bench),
        };
        Ok(Answer::Data(data))
    }

    fn set(&mut self, request: &Message, frame: &[u8], bench: &mut Bench<'_>) -> Result<Answer, ObpError> {
        match request.kind {
            0x0011_0010 => {
                let integration_us = u32::from_le_bytes(exactly(&request.data)?);
                if !INTEGRATION_US.contains(&integration_us) {
                    return Err(ObpError::PayloadInvalid);
                }
                self.integration_us = integration_us;
            }
            0x0011_0110 => {
                let [mode] = exactly(&request.data)?;
                if !TRIGGER_MODES.contains(&mode) {
                    return Err(ObpError::PayloadInvalid);
                }
                self.trigger_mode = mode;
            }
            0x0011_0410 => {
                let [on] = exactly(&request.data)?;
                if on > 1 {
                    return Err(ObpError::PayloadInvalid);
                }
                self.lamp = on == 1;
                let cause = bench.cause(frame, None);
                bench.world.set_lamp(&cause, self.lamp);
            }
            0x0020_0010 => {
                self.pin_outputs = masked(self.pin_outputs, &request.data)?;
                self.switch_laser(frame, bench);
            }
            0x0020_0110 => {
                self.pin_values = masked(self.pin_values, &request.data)?;
                self.switch_laser(frame, bench);
            }
            _ => return Err(ObpError::UnknownType),
        }
        Ok(Answer::Done)
    }

    fn switch_laser(&mut self, frame: &[u8], bench: &mut Bench<'_>) {
        let laser = self.pin_outputs & self.pin_values & LASER_PIN != 0;
        if laser != self.laser {
            self.laser = laser;
            let cause = bench.cause(frame, None);
            bench.world.set_laser(&cause, laser);
        }
    }

    fn start_exposure(&mut self, session: Session, request: Message, frame: &[u8], bench: &mut Bench<'_>) {
        let never = self.trigger_mode != 0 || bench.strike(Fault::Stuck, frame).is_some();
        let exposure_s = f64::from(self.integration_us) * 1e-6;
        let ends_s = if never { f64::INFINITY } else { bench.now_s + exposure_s };
        let (frame, integration_us) = (frame.to_vec(), self.integration_us);
        self.exposure = Some(Exposure { session, request, frame, ends_s, integration_us });
    }

    fn catch_up(&mut self, bench: &mut Bench<'_>) {
        while self.exposure.is_none() {
            let Some((session, frame)) = self.queue.pop_front() else { return };
            self.handle(session, &frame, bench);
        }
    }

    fn darken(&mut self, bench: &mut Bench<'_>) {
        let cause = bench.cause(b"power", None);
        if std::mem::take(&mut self.lamp) {
            bench.world.set_lamp(&cause, false);
        }
        if std::mem::take(&mut self.laser) {
            bench.world.set_laser(&cause, false);
        }
    }
}

fn exactly<const N: usize>(data: &[u8]) -> Result<[u8; N], ObpError> {
    data.try_into().map_err(|_| ObpError::PayloadLength)
}

fn coefficient(coefficients: &[f32], data: &[u8]) -> Result<Vec<u8>, ObpError> {
    let [index] = exactly(data)?;
    let value = coefficients.get(usize::from(index)).ok_or(ObpError::PayloadInvalid)?;
    Ok(value.to_le_bytes().to_vec())
}

/// A bit vector, optionally followed by a mask of the bits that are meant.
fn masked(before: u32, data: &[u8]) -> Result<u32, ObpError> {
    if let Ok(value) = exactly(data) {
        return Ok(u32::from_le_bytes(value));
    }
    let [a, b, c, d, e, f, g, h] = exactly(data)?;
    let (value, mask) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    Ok(before & !mask | value & mask)
}

impl Firmware for OceanObp {
    fn kind(&self) -> &'static str {
        "ocean-obp"
    }

    fn identity(&self) -> String {
        self.config.serial.clone()
    }

    fn disconnected(&mut self, session: Session, bench: &mut Bench<'_>) {
        self.queue.retain(|(waiting, _)| *waiting != session);
        // An exposure runs to its end, unless it would wait for a trigger for ever.
        self.exposure =
            self.exposure.take().filter(|exposure| exposure.session != session || exposure.ends_s.is_finite());
        self.catch_up(bench);
    }

    fn cut(&mut self, _session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        message::cut(input)
    }

    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        if self.queue.len() < QUEUE {
            self.queue.push_back((session, request.to_vec()));
        }
        self.catch_up(bench);
    }

    fn next_event_s(&self) -> Option<f64> {
        self.exposure.as_ref().map(|exposure| exposure.ends_s).filter(|ends_s| ends_s.is_finite())
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        if let Some(exposure) = self.exposure.take_if(|exposure| exposure.ends_s <= bench.now_s) {
            let cause = bench.cause(&exposure.frame, None);
            let counts = bench.world.expose(&cause, exposure.integration_us);
            let data: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
            bench.count("exposure");
            bench.reply(exposure.session, exposure.request.response(0, data).wrap(0));
        }
        self.catch_up(bench);
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        self.darken(bench);
        *self = Self::new(self.config.clone());
    }

    fn spoil_checksum(&self, reply: &mut [u8]) -> bool {
        message::spoil_checksum(reply)
    }

    fn status(&self) -> Value {
        json!({
            "integration_us": self.integration_us,
            "trigger_mode": self.trigger_mode,
            "lamp": self.lamp,
            "laser": self.laser,
            "exposing": self.exposure.is_some(),
        })
    }
}

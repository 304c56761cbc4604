//! The real-time data exchange (RTDE), protocol version 2, output direction only.
//!
//! Packets are `u16` size of the whole packet, `u8` type, payload; everything big-endian.

use super::{ProgramState, Ur5e};
use crate::device::{Bench, Session};

/// Highest output frequency of an e-Series arm, Hz.
const HIGHEST_HZ: f64 = 500.0;
/// Recipes a client may define.
const RECIPES: usize = 8;

/// Names and wire types of the outputs that are simulated.
const OUTPUTS: [(&str, &str); 9] = [
    ("timestamp", "DOUBLE"),
    ("robot_mode", "INT32"),
    ("safety_mode", "INT32"),
    ("safety_status", "INT32"),
    ("runtime_state", "UINT32"),
    ("robot_status_bits", "UINT32"),
    ("output_int_register_24", "INT32"),
    ("output_int_register_25", "INT32"),
    ("output_int_register_26", "INT32"),
];

#[derive(Clone, Debug)]
struct Recipe {
    names: Vec<String>,
    frequency_hz: f64,
}

/// What one client has agreed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    version: u16,
    recipes: Vec<Recipe>,
    due_s: Option<f64>,
}

impl Stream {
    pub(super) fn due_s(&self) -> Option<f64> {
        self.due_s
    }
}

/// Cuts the next complete packet off the front of `input`.
pub(super) fn cut(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let size = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    if size < 3 {
        // No packet is shorter than its header: the stream is lost.
        input.clear();
        return None;
    }
    (input.len() >= size).then(|| input.drain(..size).collect())
}

/// Wraps a payload.
pub(super) fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    // Payloads here are a few hundred bytes at most.
    let mut bytes = (payload.len() as u16 + 3).to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}

impl Ur5e {
    pub(super) fn real_time(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        let (kind, payload) = (request[2], &request[3..]);
        let Some(stream) = self.streams.get_mut(&session) else { return };
        let answer = match kind {
            b'V' => {
                let version = payload.get(..2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                stream.version = version.filter(|version| *version == 2).unwrap_or(0);
                vec![u8::from(stream.version == 2)]
            }
            b'v' => [5_u32, 15, 0, 0].iter().flat_map(|part| part.to_be_bytes()).collect(),
            b'O' => stream.define(payload),
            b'S' => {
                let ready = !stream.recipes.is_empty();
                stream.due_s = ready.then_some(bench.now_s);
                vec![u8::from(ready)]
            }
            b'P' => {
                stream.due_s = None;
                vec![1]
            }
            // Inputs into a running programme are not simulated.
            b'I' => [&[0_u8][..], b"NOT_FOUND"].concat(),
            _ => {
                let message = b"unknown packet type";
                let payload = [&[message.len() as u8][..], message, &[3], b"SIM", &[2]].concat();
                return bench.reply(session, packet(b'M', &payload));
            }
        };
        bench.reply(session, packet(kind, &answer));
        self.stream(bench);
    }

    /// Sends the data packages that are due.
    pub(super) fn stream(&mut self, bench: &mut Bench<'_>) {
        let due: Vec<Session> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.due_s.is_some_and(|due_s| due_s <= bench.now_s))
            .map(|(session, _)| *session)
            .collect();
        for session in due {
            let Some(stream) = self.streams.get(&session) else { continue };
            let packets: Vec<Vec<u8>> = stream
                .recipes
                .iter()
                .enumerate()
                .map(|(index, recipe)| self.data(index, recipe, bench.now_s))
                .collect();
            let fastest_hz = stream.recipes.iter().map(|recipe| recipe.frequency_hz).fold(1.0, f64::max);
            for packet in packets {
                bench.tell(Some(session), packet);
            }
            // The rate belongs to the line: a faster simulation must not flood it.
            let next_s = bench.now_s + bench.speed / fastest_hz;
            if let Some(stream) = self.streams.get_mut(&session) {
                stream.due_s = Some(next_s);
            }
        }
    }

    fn data(&self, index: usize, recipe: &Recipe, now_s: f64) -> Vec<u8> {
        // Recipe numbers start at 1.
        let mut payload = vec![index as u8 + 1];
        for name in &recipe.names {
            payload.extend(self.output(name, now_s));
        }
        packet(b'U', &payload)
    }

    fn output(&self, name: &str, now_s: f64) -> Vec<u8> {
        let stopped = self.stopped_since_s.is_some();
        let word = match name {
            "timestamp" => return (now_s - self.powered_since_s).to_be_bytes().to_vec(),
            "robot_mode" => self.mode.number(),
            // 1 is normal, 3 a protective stop.
            "safety_mode" | "safety_status" => 1 + 2 * i32::from(stopped),
            // 1 stopped, 2 playing, 4 paused.
            "runtime_state" => match self.state {
                ProgramState::Stopped => 1,
                ProgramState::Playing => 2,
                ProgramState::Paused => 4,
            },
            "robot_status_bits" => {
                let powered = self.mode != super::RobotMode::PowerOff;
                i32::from(powered) | i32::from(self.state == ProgramState::Playing) << 1
            }
            "output_int_register_24" => self.started,
            "output_int_register_25" => self.finished,
            // The gripper's own sensor: 1 while it feels an object.
            _ => i32::from(self.holding),
        };
        word.to_be_bytes().to_vec()
    }
}

impl Stream {
    /// Defines an output recipe; the answer holds its number and the types.
    fn define(&mut self, payload: &[u8]) -> Vec<u8> {
        let Some((frequency, names)) = payload.split_first_chunk::<8>().filter(|_| self.version == 2) else {
            return [&[0_u8][..], b"NOT_FOUND"].concat();
        };
        let names = String::from_utf8_lossy(names);
        let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
        let kind =
            |name: &String| OUTPUTS.iter().find(|(known, _)| known == name).map_or("NOT_FOUND", |(_, kind)| *kind);
        let types: Vec<&str> = names.iter().map(kind).collect();
        let known = !types.contains(&"NOT_FOUND") && self.recipes.len() < RECIPES;
        if known {
            let frequency_hz = f64::from_be_bytes(*frequency);
            let frequency_hz = if frequency_hz.is_finite() { frequency_hz.clamp(1.0, HIGHEST_HZ) } else { 1.0 };
            self.recipes.push(Recipe { names, frequency_hz });
        }
        let number = if known { self.recipes.len() as u8 } else { 0 };
        [&[number][..], types.join(",").as_bytes()].concat()
    }
}

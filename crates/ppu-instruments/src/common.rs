//! What all drivers of this crate share: faults, arguments, snapshots, bounded waits in lab time.

use std::time::Duration;

use ppu_core::{Unit, Value};
use ppu_driver::{Attention, Done, Fault, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::codes;

/// Nothing happened.
pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::Refused { code, message: message.into() }
}

/// Something happened, and no values are known.
pub(crate) fn partial(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::Partial { code, message: message.into(), results: Default::default() }
}

/// Nobody knows.
pub(crate) fn silent(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::Silent { code, message: message.into() }
}

/// Turns a broken line into a refusal, for the steps before anything that acts is sent.
pub(crate) fn before_start(fault: Fault) -> Fault {
    match fault {
        Fault::Silent { code, message } => Fault::Refused { code, message },
        other => other,
    }
}

/// The fault for a command that the manifest does not have; the kit checks first, so this is a second line of defence.
pub(crate) fn unknown_command(request: &Request) -> Fault {
    refused(codes::UNKNOWN_COMMAND, format!("this driver has no command {}.{}", request.capability, request.command))
}

/// A quantity argument in a unit.
pub(crate) fn quantity(request: &Request, name: &str, unit: Unit) -> Result<f64, Fault> {
    let value = request.arguments.get(name).and_then(|value| value.in_unit(unit));
    value.filter(|number| number.is_finite()).ok_or_else(|| wrong_argument(request, name))
}

/// A whole-number argument.
pub(crate) fn integer(request: &Request, name: &str) -> Result<i64, Fault> {
    match request.arguments.get(name) {
        Some(Value::Integer(number)) => Ok(*number),
        _ => Err(wrong_argument(request, name)),
    }
}

/// A text or choice argument.
pub(crate) fn text<'a>(request: &'a Request, name: &str) -> Result<&'a str, Fault> {
    match request.arguments.get(name) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(wrong_argument(request, name)),
    }
}

fn wrong_argument(request: &Request, name: &str) -> Fault {
    let found = request.arguments.get(name).map_or("missing".to_owned(), |value| format!("`{value}`"));
    refused(codes::UNKNOWN_COMMAND, format!("{}: the argument `{name}` is {found}", request.command))
}

/// A success with named results.
pub(crate) fn done<const N: usize>(message: impl Into<String>, results: [(&str, Value); N]) -> Done {
    let results = results.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Done { results, raw: Vec::new(), message: message.into() }
}

/// A snapshot as bytes for the ledger.
pub(crate) fn encode_snapshot(snapshot: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(snapshot).expect("snapshots are plain structs with text keys")
}

/// A snapshot from the ledger; `None` where it was written by another version or is damaged, so that nothing is
/// concluded from it.
pub(crate) fn decode_snapshot<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// Measures lab time. Bounds of waits are in lab time, with a minimum in real time: a simulated lab that runs a
/// thousand times faster than real must not run out of patience because this computer was busy for a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabTimer {
    start: Instant,
    rate: f64,
}

impl LabTimer {
    /// Starts now.
    pub(crate) fn start(attention: &Attention) -> Self {
        Self { start: Instant::now(), rate: attention.clock_rate }
    }

    /// Seconds of lab time since the start.
    pub(crate) fn elapsed_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * self.rate
    }

    /// Whether both this much lab time and [`PATIENCE`] have passed.
    pub(crate) fn has_passed(&self, lab_time_s: f64) -> bool {
        self.elapsed_s() > lab_time_s && self.start.elapsed() > PATIENCE.min(Duration::from_secs_f64(lab_time_s))
    }
}

/// Shortest real time after which a bounded wait gives up; less for unit tests, whose devices answer at once.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 1_500 });

/// The word in these texts that marks a simulator (`SIM…`), or else the first text. Some instruments report no serial
/// number; their simulators still show themselves in the identity texts.
pub(crate) fn identity_of(texts: &[&str]) -> String {
    texts
        .iter()
        .flat_map(|text| text.split(|c: char| c.is_whitespace() || "\",;/()".contains(c)))
        .find(|word| word.starts_with("SIM"))
        .or(texts.first().copied())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulator_shows_in_any_identity_text() {
        assert_eq!(identity_of(&["XLP 6000", "rev 3 SIM-pump-1"]), "SIM-pump-1");
        assert_eq!(identity_of(&["  B021002593 ", "x"]), "B021002593");
        assert_eq!(identity_of(&[]), "");
    }

    #[test]
    fn a_damaged_snapshot_proves_nothing() {
        assert_eq!(decode_snapshot::<Vec<u32>>(b"[1,"), None);
        assert_eq!(decode_snapshot::<Vec<u32>>(&encode_snapshot(&[1, 2])), Some(vec![1, 2]));
    }
}

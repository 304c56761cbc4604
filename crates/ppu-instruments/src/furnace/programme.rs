//! The annealing programme as words for the controller.
//!
//! Ramp at a rate, dwell, step down to the standby setpoint, end. The programme ends with `EndType` dwell: the
//! programmer then stays in the mode *complete* at the standby setpoint until it is reset. `EndType` reset would take
//! the programmer back to *reset* by itself, and a finished anneal would look like one that never began; *complete* is
//! the proof, and the driver wipes it out only when it prepares the next anneal.

use serde::{Deserialize, Serialize};

use super::registers as register;

/// Time unit of the controller: seconds, for dwells up to [`LONGEST_DWELL_S`].
const UNIT_SECONDS: u16 = 0;
/// Time unit of the controller: minutes.
const UNIT_MINUTES: u16 = 1;
/// End of the programme: stay at the last setpoint, in the mode *complete*.
const END_DWELL: u16 = 0;
const SEGMENT_END: u16 = 0;
const SEGMENT_RAMP_RATE: u16 = 1;
const SEGMENT_DWELL: u16 = 3;
const SEGMENT_STEP: u16 = 4;
/// Registers are signed in the controller's own tools; longer dwells are written in minutes.
const LONGEST_DWELL_S: f64 = 32_767.0;

/// An anneal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Anneal {
    pub(super) temperature_c: f64,
    pub(super) dwell_min: f64,
    pub(super) ramp_k_per_min: f64,
}

/// One write: address, word.
pub(super) type Write = (u16, u16);

/// The anneal as the controller will carry it out, and the writes in the order in which they must be made: the type of
/// a segment decides what the register that rate, time and dwell share means, so it comes first.
pub(super) fn writes(anneal: &Anneal, standby_c: f64, decimals: u8) -> (Anneal, Vec<Write>) {
    let segment = |number: u16| register::SEGMENT_1 + (number - 1) * register::SEGMENT_STRIDE;
    let target = to_word(anneal.temperature_c, decimals);
    let standby = to_word(standby_c, decimals);
    let rate = (anneal.ramp_k_per_min * 10.0).round() as u16;
    let seconds = anneal.dwell_min * 60.0;
    let (dwell_unit, dwell, dwell_min) = if seconds <= LONGEST_DWELL_S {
        (UNIT_SECONDS, seconds.round() as u16, seconds.round() / 60.0)
    } else {
        (UNIT_MINUTES, anneal.dwell_min.round() as u16, anneal.dwell_min.round())
    };
    let rounded =
        Anneal { temperature_c: from_word(target, decimals), dwell_min, ramp_k_per_min: f64::from(rate) / 10.0 };
    let writes = vec![
        (register::PROGRAM_NUMBER, 1),
        (register::RAMP_UNITS, UNIT_MINUTES),
        (register::DWELL_UNITS, dwell_unit),
        (register::END_TYPE, END_DWELL),
        (segment(1), SEGMENT_RAMP_RATE),
        (segment(1) + 1, target),
        (segment(1) + 2, rate),
        (segment(2), SEGMENT_DWELL),
        (segment(2) + 2, dwell),
        (segment(3), SEGMENT_STEP),
        (segment(3) + 1, standby),
        (segment(4), SEGMENT_END),
    ];
    (rounded, writes)
}

/// A temperature as the controller's word, with its configured number of decimals.
pub(super) fn to_word(value_c: f64, decimals: u8) -> u16 {
    ((value_c * 10_f64.powi(decimals.into())).round() as i16).cast_unsigned()
}

/// The temperature in a word.
pub(super) fn from_word(word: u16, decimals: u8) -> f64 {
    f64::from(word.cast_signed()) / 10_f64.powi(decimals.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_before_the_register_they_give_a_meaning() {
        let anneal = Anneal { temperature_c: 150.0, dwell_min: 10.5, ramp_k_per_min: 10.0 };
        let (rounded, writes) = writes(&anneal, 20.0, 1);
        assert_eq!(rounded, anneal);
        let program = [(8336, 1), (8337, 1500), (8338, 100), (8344, 3), (8346, 630), (8352, 4), (8353, 200), (8360, 0)];
        assert_eq!(writes[4..], program);
        assert_eq!(writes[..4], [(22, 1), (8330, 1), (8331, 0), (8334, 0)]);
    }

    #[test]
    fn a_dwell_too_long_for_seconds_is_written_in_whole_minutes() {
        let anneal = Anneal { temperature_c: 900.0, dwell_min: 1000.4, ramp_k_per_min: 2.5 };
        let (rounded, writes) = writes(&anneal, 20.0, 1);
        assert_eq!(rounded.dwell_min, 1000.0);
        assert!(writes.contains(&(8331, 1)) && writes.contains(&(8346, 1000)));
    }

    #[test]
    fn words_are_signed() {
        assert_eq!(from_word(to_word(-12.3, 1), 1), -12.3);
        assert_eq!(to_word(25.0, 0), 25);
    }
}

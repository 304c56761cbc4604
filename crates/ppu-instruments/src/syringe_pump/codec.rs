//! Frames of the Cavro OEM protocol (operating manual 734237-C).
//!
//! Command: `STX` address sequence data `ETX` checksum; answer: `STX` `0` status data `ETX` checksum. The checksum is the
//! exclusive or of all bytes from `STX` to `ETX`. A frame with the repeat flag and the sequence number of the frame
//! before is acknowledged without being executed again: the only safe resend.

use ppu_driver::transport::Frame;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Address of the master in every answer.
const MASTER: u8 = b'0';
/// Flag of a repeated frame in the sequence byte.
const REPEAT: u8 = 1 << 3;

/// The longest answer: a configuration text.
pub(super) const ANSWER_LIMIT: usize = 256;

/// Sequence number of a frame, 1 to 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence(u8);

impl Sequence {
    pub(super) const FIRST: Sequence = Sequence(1);

    pub(super) fn next(self) -> Sequence {
        Sequence(self.0 % 7 + 1)
    }
}

/// The frame of one command string for the pump with this address switch (0 to 14).
pub(super) fn command(switch: u8, sequence: Sequence, repeat: bool, data: &str) -> Vec<u8> {
    let flag = if repeat { REPEAT } else { 0 };
    let mut frame = vec![STX, b'1' + switch, 0x30 | flag | sequence.0];
    frame.extend_from_slice(data.as_bytes());
    frame.push(ETX);
    frame.push(checksum(&frame));
    frame
}

/// What the pump says of itself. `ready` means something only in the answer to `Q`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) ready: bool,
    pub(super) error: PumpError,
}

/// Error number of the status byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PumpError(pub(super) u8);

impl PumpError {
    pub(super) const NONE: PumpError = PumpError(0);
    pub(super) const NOT_INITIALISED: PumpError = PumpError(7);

    /// Plunger or valve met too much resistance: the pump must be initialised before it moves again.
    pub(super) fn is_overload(self) -> bool {
        matches!(self.0, 9 | 10)
    }

    pub(super) fn meaning(self) -> &'static str {
        match self.0 {
            0 => "no error",
            1 => "initialisation failed",
            2 => "invalid command",
            3 => "invalid operand",
            4 => "invalid command sequence",
            5 => "fluid detection failed",
            6 => "EEPROM failure",
            7 => "not initialised",
            9 => "plunger overload",
            10 => "valve overload",
            11 => "plunger move not allowed",
            15 => "command overflow",
            _ => "an error without a known meaning",
        }
    }
}

/// An answer whose checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) data: String,
}

/// Finds an answer in what came: noise before it is skipped, and its end does not depend on how the bytes were split.
pub(super) fn find_answer(bytes: &[u8]) -> Frame {
    match bytes.iter().position(|byte| *byte == STX) {
        None if bytes.is_empty() => return Frame::More,
        None => return Frame::Skip(bytes.len()),
        Some(0) => {}
        Some(noise) => return Frame::Skip(noise),
    }
    if bytes.len() > 1 && bytes[1] != MASTER {
        return Frame::Skip(1);
    }
    match bytes.iter().skip(3).position(|byte| *byte == ETX) {
        Some(at) if bytes.len() > at + 4 => Frame::Complete(at + 5),
        _ => Frame::More,
    }
}

/// The answer in a frame, or what is wrong with it.
pub(super) fn answer(frame: &[u8]) -> Result<Answer, String> {
    let garbled = |what: &str| Err(format!("{what} in the answer {}", frame.escape_ascii()));
    let [STX, MASTER, status, data @ .., ETX, check] = frame else {
        return garbled("wrong framing");
    };
    if *check != checksum(&frame[..frame.len() - 1]) {
        return garbled("wrong checksum");
    }
    // Bit 6 is always 1 and bits 4 and 7 are always 0; anything else is not a status byte.
    if status & 0b1101_0000 != 0b0100_0000 {
        return garbled("wrong status byte");
    }
    if !data.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return garbled("unprintable data");
    }
    let status = Status { ready: status & 0x20 != 0, error: PumpError(status & 0x0F) };
    Ok(Answer { status, data: String::from_utf8_lossy(data).into_owned() })
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_framed_as_in_the_manual() {
        let [one, two, three] = [Sequence(1), Sequence(2), Sequence(3)];
        assert_eq!(command(0, one, false, "ZR"), [0x02, 0x31, 0x31, 0x5A, 0x52, 0x03, 0x09]);
        assert_eq!(command(0, one, true, "ZR"), [0x02, 0x31, 0x39, 0x5A, 0x52, 0x03, 0x01]);
        assert_eq!(command(0, two, false, "Q"), [0x02, 0x31, 0x32, 0x51, 0x03, 0x53]);
        let expected = [0x02, 0x31, 0x33, 0x41, 0x31, 0x35, 0x30, 0x30, 0x52, 0x03, 0x14];
        assert_eq!(command(0, three, false, "A1500R"), expected);
        assert_eq!(Sequence(7).next(), Sequence(1));
    }

    #[test]
    fn answers_are_read_as_in_the_manual() {
        let read = |frame: &[u8]| {
            assert_eq!(find_answer(frame), Frame::Complete(frame.len()));
            let answer = answer(frame).unwrap();
            (answer.status.ready, answer.status.error.0, answer.data)
        };
        assert_eq!(read(&[0x02, 0x30, 0x40, 0x03, 0x71]), (false, 0, String::new()));
        assert_eq!(read(&[0x02, 0x30, 0x60, 0x03, 0x51]), (true, 0, String::new()));
        assert_eq!(read(&[0x02, 0x30, 0x60, 0x31, 0x35, 0x30, 0x30, 0x03, 0x55]), (true, 0, "1500".to_owned()));
        assert_eq!(read(&[0x02, 0x30, 0x67, 0x03, 0x56]), (true, 7, String::new()));
        assert_eq!(read(&[0x02, 0x30, 0x69, 0x03, 0x58]), (true, 9, String::new()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let frame = [0x02, 0x30, 0x60, 0x31, 0x35, 0x30, 0x30, 0x03, 0x55];
        for at in 0..frame.len() * 8 {
            let mut flipped = frame;
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(answer(&flipped).is_err(), "bit {at}");
        }
    }

    #[test]
    fn noise_before_an_answer_is_skipped_and_parts_are_waited_for() {
        assert_eq!(find_answer(b"\xFF\xFE\x02"), Frame::Skip(2));
        assert_eq!(find_answer(b"\x02\x02\x30"), Frame::Skip(1));
        assert_eq!(find_answer(b"\xFF"), Frame::Skip(1));
        for length in 0..5 {
            assert_eq!(find_answer(&[0x02, 0x30, 0x60, 0x03, 0x51][..length]), Frame::More, "{length}");
        }
    }
}

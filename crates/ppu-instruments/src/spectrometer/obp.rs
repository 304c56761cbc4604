//! Ocean Binary Protocol: a header of 44 bytes, a payload, an MD5 of both, a footer; little-endian.
//!
//! Every request carries a number (`regarding`) that its answer repeats, and a checksum in both directions.

use md5::{Digest as _, Md5};
use ppu_driver::transport::Frame;

const START: [u8; 2] = [0xC1, 0xC0];
const FOOTER: [u8; 4] = [0xC5, 0xC4, 0xC3, 0xC2];
const VERSION: u16 = 0x1100;
const HEADER: usize = 44;
const CHECKSUM: usize = 16;
/// Checksum and footer: what follows the payload.
const TRAILER: usize = CHECKSUM + 4;
const CHECKSUM_MD5: u8 = 1;
/// Data of up to this many bytes stand in the header.
const IMMEDIATE: usize = 16;
/// The longest message: a spectrum of some thousand pixels of two bytes, with room to spare.
pub(super) const MESSAGE_LIMIT: usize = 64 << 10;

pub(super) const FLAG_RESPONSE: u16 = 1;
pub(super) const FLAG_ACK: u16 = 2;
pub(super) const FLAG_REQUEST_ACK: u16 = 4;
pub(super) const FLAG_NACK: u16 = 8;
pub(super) const FLAG_EXCEPTION: u16 = 0x10;

pub(super) const GET_SERIAL: u32 = 0x100;
pub(super) const SET_INTEGRATION: u32 = 0x11_0010;
pub(super) const SET_LAMP: u32 = 0x11_0410;
pub(super) const GET_RAW_SPECTRUM: u32 = 0x10_1100;
pub(super) const GET_WAVELENGTH_COUNT: u32 = 0x18_0100;
pub(super) const GET_WAVELENGTH_COEFFICIENT: u32 = 0x18_0101;
pub(super) const SET_GPIO_OUTPUTS: u32 = 0x20_0010;
pub(super) const SET_GPIO_VALUES: u32 = 0x20_0110;
pub(super) const GET_DETECTOR_TEMPERATURE: u32 = 0x42_0004;

/// A message in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) flags: u16,
    pub(super) error: u16,
    pub(super) kind: u32,
    pub(super) regarding: u32,
    pub(super) data: Vec<u8>,
}

impl Message {
    /// The message as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (immediate, payload) = if self.data.len() <= IMMEDIATE {
            (self.data.as_slice(), &[][..])
        } else {
            (&[][..], self.data.as_slice())
        };
        let mut bytes = Vec::with_capacity(HEADER + payload.len() + TRAILER);
        bytes.extend_from_slice(&START);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        bytes.extend_from_slice(&self.error.to_le_bytes());
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.regarding.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.push(CHECKSUM_MD5);
        bytes.push(u8::try_from(immediate.len()).expect("at most sixteen"));
        bytes.extend_from_slice(immediate);
        bytes.resize(40, 0);
        let remaining = u32::try_from(payload.len() + TRAILER).expect("messages are far shorter than 4 GiB");
        bytes.extend_from_slice(&remaining.to_le_bytes());
        bytes.extend_from_slice(payload);
        let checksum = Md5::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(&FOOTER);
        bytes
    }

    /// The message in a frame, or what is wrong with it.
    pub(super) fn decode(frame: &[u8]) -> Result<Message, String> {
        let wrong = |what: &str| Err(format!("a message of {} bytes has {what}", frame.len()));
        if frame.len() < HEADER + TRAILER || frame[..2] != START || frame[frame.len() - 4..] != FOOTER {
            return wrong("the wrong framing");
        }
        let (covered, trailer) = frame.split_at(frame.len() - TRAILER);
        let word = |at: usize| u16::from_le_bytes([covered[at], covered[at + 1]]);
        let double = |at: usize| u32::from_le_bytes([covered[at], covered[at + 1], covered[at + 2], covered[at + 3]]);
        if usize::try_from(double(40)) != Ok(frame.len() - HEADER) {
            return wrong("the wrong length");
        }
        if covered[22] != CHECKSUM_MD5 {
            return wrong("no checksum");
        }
        if Md5::digest(covered)[..] != trailer[..CHECKSUM] {
            return wrong("the wrong checksum");
        }
        let (immediate, payload) = (usize::from(covered[23]), &covered[HEADER..]);
        if immediate > IMMEDIATE || (immediate > 0 && !payload.is_empty()) {
            return wrong("immediate data and a payload");
        }
        let data = if immediate > 0 { &covered[24..24 + immediate] } else { payload };
        let (flags, error, kind, regarding) = (word(4), word(6), double(8), double(12));
        Ok(Message { flags, error, kind, regarding, data: data.to_vec() })
    }
}

/// Finds a message in what came; noise before it is skipped.
pub(super) fn find(bytes: &[u8]) -> Frame {
    match bytes.iter().position(|byte| *byte == START[0]) {
        None if bytes.is_empty() => return Frame::More,
        None => return Frame::Skip(bytes.len()),
        Some(0) => {}
        Some(noise) => return Frame::Skip(noise),
    }
    if bytes.len() > 1 && bytes[1] != START[1] {
        return Frame::Skip(1);
    }
    let Some(remaining) = bytes.get(40..HEADER) else { return Frame::More };
    let remaining = u32::from_le_bytes([remaining[0], remaining[1], remaining[2], remaining[3]]) as usize;
    if !(TRAILER..=MESSAGE_LIMIT - HEADER).contains(&remaining) {
        return Frame::Skip(1);
    }
    if bytes.len() >= HEADER + remaining { Frame::Complete(HEADER + remaining) } else { Frame::More }
}

/// Meaning of an error number.
pub(super) fn meaning(error: u16) -> &'static str {
    match error {
        0 => "no error",
        1 => "protocol not supported",
        2 => "unknown message type",
        3 => "bad checksum",
        4 => "message too large",
        5 => "wrong payload length",
        6 => "invalid payload",
        7 => "not ready",
        8 => "unknown checksum type",
        9 => "unexpected reset",
        10 => "too many buses",
        11 => "out of memory",
        12 => "no such information",
        13 => "internal error",
        255 => "deferred",
        _ => "an error without a known meaning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: Vec<u8>) -> Message {
        Message { flags: FLAG_RESPONSE, error: 0, kind: GET_SERIAL, regarding: 7, data }
    }

    #[test]
    fn short_data_stand_in_the_header_and_long_ones_behind_it() {
        let short = message(b"SIM1".to_vec()).encode();
        assert_eq!(short.len(), 64);
        assert_eq!(short[..4], [0xC1, 0xC0, 0x00, 0x11]);
        assert_eq!(short[8..16], [0x00, 0x01, 0, 0, 7, 0, 0, 0]);
        assert_eq!(short[22..28], [1, 4, b'S', b'I', b'M', b'1']);
        assert_eq!(short[40..44], [20, 0, 0, 0]);
        assert_eq!(short[60..], [0xC5, 0xC4, 0xC3, 0xC2]);
        let long = message(vec![5; 17]).encode();
        assert_eq!((long.len(), long[23], long[40]), (64 + 17, 0, 37));
        for bytes in [short, long] {
            assert_eq!(find(&bytes), Frame::Complete(bytes.len()));
            assert_eq!(Message::decode(&bytes).unwrap().encode(), bytes);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = message(vec![9; 20]).encode();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(Message::decode(&bad).is_err(), "bit {at}");
        }
    }

    #[test]
    fn noise_is_skipped_and_parts_are_waited_for() {
        let good = message(vec![1; 40]).encode();
        assert_eq!(find(b"noise"), Frame::Skip(5));
        assert_eq!(find(b"\xC1x"), Frame::Skip(1));
        for length in [0, 1, 43, 44, good.len() - 1] {
            assert_eq!(find(&good[..length]), Frame::More, "{length}");
        }
    }
}

//! Messages of the Ocean Binary Protocol: a 44-byte header, payload, 16-byte checksum, footer; little-endian.

use md5::{Digest, Md5};

const START: [u8; 2] = [0xc1, 0xc0];
const FOOTER: [u8; 4] = [0xc5, 0xc4, 0xc3, 0xc2];
const HEADER: usize = 44;
/// Checksum and footer after the payload.
const TRAILER: usize = 20;
/// Data up to this length travels in the header.
const IMMEDIATE: usize = 16;
/// More than any message of these instruments.
const LARGEST: usize = 64 * 1024;

/// Flag bits.
pub(super) mod flag {
    pub(crate) const RESPONSE: u16 = 1;
    pub(crate) const ACK: u16 = 2;
    pub(crate) const REQUEST_ACK: u16 = 4;
    pub(crate) const NACK: u16 = 8;
}

/// Error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObpError {
    Protocol = 1,
    UnknownType = 2,
    BadChecksum = 3,
    PayloadLength = 5,
    PayloadInvalid = 6,
    ChecksumType = 8,
    NoSuchInformation = 12,
}

/// A request, unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) version: u16,
    pub(super) flags: u16,
    pub(super) kind: u32,
    pub(super) regarding: u32,
    pub(super) checksum_type: u8,
    pub(super) data: Vec<u8>,
}

/// Cuts the next complete message off the front of `input`; noise before its start bytes is dropped.
pub(super) fn cut(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let start = input.windows(2).position(|pair| pair == START).unwrap_or_else(|| input.len().saturating_sub(1));
        input.drain(..start);
        if !input.starts_with(&START) || input.len() < HEADER {
            return None;
        }
        let remaining = u32::from_le_bytes([input[40], input[41], input[42], input[43]]) as usize;
        let length = HEADER + remaining;
        if remaining < TRAILER || length > LARGEST {
            input.drain(..START.len());
            continue;
        }
        return (input.len() >= length).then(|| input.drain(..length).collect());
    }
}

impl Message {
    /// Unwraps what [`cut`] delivered; the error comes with the header as far as it could be read.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, (Self, ObpError)> {
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let immediate = usize::from(bytes[23]);
        let payload = &bytes[HEADER..bytes.len() - TRAILER];
        let mut message = Self {
            version: word(2),
            flags: word(4),
            kind: long(8),
            regarding: long(12),
            checksum_type: bytes[22],
            data: payload.to_vec(),
        };
        if immediate > 0 && payload.is_empty() {
            message.data = bytes[24..24 + immediate.min(IMMEDIATE)].to_vec();
        }
        let checksum = &bytes[bytes.len() - TRAILER..bytes.len() - FOOTER.len()];
        let error = if !bytes.ends_with(&FOOTER) || !matches!(message.version, 0x1000 | 0x1100) {
            Some(ObpError::Protocol)
        } else if immediate > IMMEDIATE || (immediate > 0 && !payload.is_empty()) {
            Some(ObpError::PayloadLength)
        } else if message.checksum_type > 1 {
            Some(ObpError::ChecksumType)
        } else if message.checksum_type == 1 && Md5::digest(&bytes[..bytes.len() - TRAILER])[..] != *checksum {
            Some(ObpError::BadChecksum)
        } else {
            None
        };
        match error {
            Some(error) => Err((message, error)),
            None => Ok(message),
        }
    }

    /// The bytes of a message; `error` is the field of the header.
    pub(super) fn wrap(&self, error: u16) -> Vec<u8> {
        let immediate = self.data.len() <= IMMEDIATE;
        let payload: &[u8] = if immediate { &[] } else { &self.data };
        let mut bytes = Vec::with_capacity(HEADER + payload.len() + TRAILER);
        bytes.extend(START);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(error.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.regarding.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.push(self.checksum_type);
        bytes.push(if immediate { self.data.len() as u8 } else { 0 });
        let mut field = [0; IMMEDIATE];
        if immediate {
            field[..self.data.len()].copy_from_slice(&self.data);
        }
        bytes.extend(field);
        bytes.extend(((payload.len() + TRAILER) as u32).to_le_bytes());
        bytes.extend(payload);
        if self.checksum_type == 1 {
            bytes.extend_from_slice(&Md5::digest(&bytes));
        } else {
            bytes.extend([0; 16]);
        }
        bytes.extend(FOOTER);
        bytes
    }

    /// The answer to this request, with the same version, checksum type and `regarding`.
    pub(super) fn response(&self, flags: u16, data: Vec<u8>) -> Self {
        Self { flags: flag::RESPONSE | flags, data, ..self.clone() }
    }
}

/// Spoils the checksum of a message that carries one.
pub(super) fn spoil_checksum(bytes: &mut [u8]) -> bool {
    let at = bytes.len().saturating_sub(TRAILER);
    let carries_one = bytes.get(22) == Some(&1);
    bytes.get_mut(at).filter(|_| carries_one).map(|byte| *byte ^= 0xff).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u32, data: &[u8]) -> Message {
        Message { version: 0x1100, flags: 0, kind, regarding: 7, checksum_type: 1, data: data.to_vec() }
    }

    #[test]
    fn a_short_message_is_64_bytes_with_its_data_in_the_header() {
        let bytes = request(0x0011_0010, &10_000_u32.to_le_bytes()).wrap(0);
        assert_eq!(bytes.len(), 64);
        assert_eq!(bytes[..4], [0xc1, 0xc0, 0x00, 0x11]);
        assert_eq!(bytes[8..12], [0x10, 0x00, 0x11, 0x00]);
        assert_eq!((bytes[23], &bytes[24..28]), (4, &[0x10, 0x27, 0, 0][..]));
        assert_eq!(bytes[40..44], [20, 0, 0, 0]);
        assert_eq!(bytes[60..], [0xc5, 0xc4, 0xc3, 0xc2]);
        assert_eq!(Message::parse(&bytes).unwrap().data, [0x10, 0x27, 0, 0]);
    }

    #[test]
    fn a_changed_byte_is_found_by_the_checksum() {
        let mut bytes = request(0x100, &[]).wrap(0);
        bytes[12] ^= 1;
        assert_eq!(Message::parse(&bytes).unwrap_err().1, ObpError::BadChecksum);
    }

    #[test]
    fn messages_are_found_behind_noise_and_across_reads() {
        let message = request(0x100, &[1; 40]).wrap(0);
        let mut input = vec![0xc1, 0x00, 0x55];
        input.extend(&message[..50]);
        assert_eq!(cut(&mut input), None);
        input.extend(&message[50..]);
        assert_eq!(cut(&mut input).unwrap(), message);
    }
}

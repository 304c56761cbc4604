//! The two framings of the pump: OEM (checksum, sequence number, repeat flag) and DT (terminal).

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Master address in every answer.
const MASTER: u8 = b'0';
/// Longest command text plus framing: the string buffer holds 255 characters.
const LONGEST: usize = 300;

/// Which framing a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Oem,
    Terminal,
}

/// One request, unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) framing: Framing,
    pub(super) address: u8,
    /// Sequence number 0 to 7 and repeat flag; zero and false in terminal framing.
    pub(super) sequence: u8,
    pub(super) repeat: bool,
    pub(super) text: Vec<u8>,
}

/// XOR of all bytes from STX to ETX inclusive.
pub(super) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// Cuts the next complete request off the front of `input`, in either framing; noise before it is dropped.
pub(super) fn cut(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let start = input.iter().position(|byte| *byte == STX || *byte == b'/').unwrap_or(input.len());
        input.drain(..start);
        let length = match input.first()? {
            &STX => oem_length(input),
            _ => input.iter().position(|byte| *byte == b'\r').map(|end| end + 1),
        };
        match length {
            Some(length) => return Some(input.drain(..length).collect()),
            None if input.len() > LONGEST => {
                input.remove(0);
            }
            None => return None,
        }
    }
}

fn oem_length(input: &[u8]) -> Option<usize> {
    let end = input.iter().position(|byte| *byte == ETX)?;
    (input.len() > end + 1).then_some(end + 2)
}

/// Reads a request that [`cut`] delivered; `None` when the checksum or the shape is wrong.
pub(super) fn parse(bytes: &[u8]) -> Option<Request> {
    match bytes {
        [STX, address, sequence, text @ .., ETX, sum] => {
            let valid = checksum(&bytes[..bytes.len() - 1]) == *sum && sequence & 0xf0 == 0x30;
            valid.then(|| Request {
                framing: Framing::Oem,
                address: *address,
                sequence: sequence & 0x07,
                repeat: sequence & 0x08 != 0,
                text: text.to_vec(),
            })
        }
        [b'/', address, text @ .., b'\r'] => {
            let text = text.to_vec();
            Some(Request { framing: Framing::Terminal, address: *address, sequence: 0, repeat: false, text })
        }
        _ => None,
    }
}

/// Wraps an answer.
pub(super) fn answer(framing: Framing, status: u8, data: &str) -> Vec<u8> {
    let mut bytes = match framing {
        Framing::Oem => vec![STX, MASTER, status],
        Framing::Terminal => vec![b'/', MASTER, status],
    };
    bytes.extend_from_slice(data.as_bytes());
    bytes.push(ETX);
    match framing {
        Framing::Oem => bytes.push(checksum(&bytes)),
        Framing::Terminal => bytes.extend_from_slice(b"\r\n"),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_reference_have_their_checksums() {
        let zr = [0x02, 0x31, 0x31, 0x5a, 0x52, 0x03, 0x09];
        let request = parse(&zr).unwrap();
        assert_eq!((request.address, request.sequence, request.repeat), (0x31, 1, false));
        assert_eq!(request.text, b"ZR");
        assert!(parse(&[0x02, 0x31, 0x39, 0x5a, 0x52, 0x03, 0x01]).unwrap().repeat);
        assert_eq!(parse(&[0x02, 0x31, 0x32, 0x51, 0x03, 0x53]).unwrap().text, b"Q");
        assert_eq!(answer(Framing::Oem, 0x40, ""), [0x02, 0x30, 0x40, 0x03, 0x71]);
        assert_eq!(answer(Framing::Oem, 0x60, ""), [0x02, 0x30, 0x60, 0x03, 0x51]);
        assert_eq!(answer(Framing::Oem, 0x60, "1500"), [0x02, 0x30, 0x60, 0x31, 0x35, 0x30, 0x30, 0x03, 0x55]);
        assert_eq!(answer(Framing::Oem, 0x67, ""), [0x02, 0x30, 0x67, 0x03, 0x56]);
        assert_eq!(answer(Framing::Terminal, 0x40, ""), b"/0@\x03\r\n");
    }

    #[test]
    fn noise_before_a_frame_is_dropped_and_frames_may_arrive_in_pieces() {
        let mut input = vec![0xff, 0x00, 0x02, 0x31, 0x32];
        assert_eq!(cut(&mut input), None);
        input.extend([0x51, 0x03]);
        assert_eq!(cut(&mut input), None, "the checksum byte is still missing");
        input.push(0x53);
        assert_eq!(cut(&mut input).unwrap(), [0x02, 0x31, 0x32, 0x51, 0x03, 0x53]);
        assert!(input.is_empty());
    }

    #[test]
    fn a_wrong_checksum_is_no_request() {
        assert_eq!(parse(&[0x02, 0x31, 0x32, 0x51, 0x03, 0x54]), None);
    }
}

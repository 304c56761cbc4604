//! A small Modbus server codec: RTU and TCP framing around the same requests.
//!
//! Written for this crate alone so that faults can be put in at byte level and so that no driver library tests itself.

/// Function codes that are understood.
mod function {
    pub(crate) const READ_HOLDING: u8 = 3;
    pub(crate) const READ_INPUT: u8 = 4;
    pub(crate) const WRITE_ONE: u8 = 6;
    pub(crate) const DIAGNOSTICS: u8 = 8;
    pub(crate) const WRITE_MANY: u8 = 16;
}

/// Exception codes of the Modbus application protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exception {
    /// The function is not supported.
    IllegalFunction = 1,
    /// No such register, or not writable.
    IllegalAddress = 2,
    /// The value or the quantity is not allowed.
    IllegalValue = 3,
    /// The device is busy.
    Busy = 6,
}

/// How requests and replies are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Address, PDU, CRC-16 low byte first.
    Rtu,
    /// MBAP header, PDU.
    Tcp,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Read `count` registers from `address`.
    Read {
        /// First register.
        address: u16,
        /// Number of registers, 1 to 125.
        count: u16,
    },
    /// Write registers from `address`.
    Write {
        /// First register.
        address: u16,
        /// The values.
        values: Vec<u16>,
    },
    /// Diagnostics with sub-function 0: return the data.
    Loopback,
    /// Anything else, with the exception it earns.
    Unsupported(Exception),
}

/// One unwrapped request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Station or unit number.
    pub unit: u8,
    /// Bytes before the PDU in a TCP reply: transaction and protocol id.
    transaction: [u8; 4],
    pdu: Vec<u8>,
    framing: Framing,
}

impl Framing {
    /// Cuts the next complete request off the front of `input`. RTU requests with a bad CRC are dropped byte by byte.
    pub fn cut(self, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Framing::Tcp => {
                let length = usize::from(u16::from_be_bytes([*input.get(4)?, *input.get(5)?]));
                if !(2..=254).contains(&length) || input[2..4] != [0, 0] {
                    // A stream that has lost its frame boundaries cannot be followed any more.
                    input.clear();
                    return None;
                }
                (input.len() >= 6 + length).then(|| input.drain(..6 + length).collect())
            }
            Framing::Rtu => loop {
                let length = rtu_length(input)?;
                if input.len() < length {
                    return None;
                }
                if crc_is_right(&input[..length]) {
                    return Some(input.drain(..length).collect());
                }
                input.remove(0);
            },
        }
    }

    /// Unwraps a request that [`Framing::cut`] delivered.
    pub fn parse(self, bytes: &[u8]) -> Option<Request> {
        match self {
            Framing::Rtu => {
                let (unit, rest) = bytes.split_first()?;
                let pdu = rest.get(..rest.len().checked_sub(2)?)?.to_vec();
                Some(Request { unit: *unit, transaction: [0; 4], pdu, framing: self })
            }
            Framing::Tcp => {
                let transaction = bytes.get(..4)?.try_into().ok()?;
                Some(Request { unit: *bytes.get(6)?, transaction, pdu: bytes.get(7..)?.to_vec(), framing: self })
            }
        }
    }

    /// Spoils the CRC of an RTU reply; TCP has none.
    pub fn spoil_checksum(self, reply: &mut [u8]) -> bool {
        self == Framing::Rtu && reply.last_mut().map(|byte| *byte ^= 0xff).is_some()
    }

    /// Gives a reply another station's address.
    pub fn spoil_address(self, reply: &mut Vec<u8>) -> bool {
        let at = if self == Framing::Rtu { 0 } else { 6 };
        let Some(unit) = reply.get_mut(at) else { return false };
        *unit = unit.wrapping_add(1);
        self.reseal(reply);
        true
    }

    /// Takes one register out of a read reply and keeps the frame well-formed.
    pub fn shorten(self, reply: &mut Vec<u8>) -> bool {
        let at = if self == Framing::Rtu { 1 } else { 7 };
        let is_read = reply.get(at).is_some_and(|code| matches!(*code, function::READ_HOLDING | function::READ_INPUT));
        let Some(bytes) = reply.get(at + 1).copied().filter(|bytes| is_read && *bytes >= 2) else { return false };
        let end = at + 2 + usize::from(bytes);
        reply[at + 1] = bytes - 2;
        reply.drain(end - 2..end);
        self.reseal(reply);
        true
    }

    fn reseal(self, reply: &mut Vec<u8>) {
        match self {
            Framing::Rtu => {
                reply.truncate(reply.len().saturating_sub(2));
                reply.extend(crc16(reply).to_le_bytes());
            }
            Framing::Tcp => {
                let length = u16::try_from(reply.len().saturating_sub(6)).unwrap_or(u16::MAX);
                reply[4..6].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
}

impl Request {
    /// What is asked for.
    pub fn query(&self) -> Query {
        let word = |at: usize| self.pdu.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let Some(code) = self.pdu.first() else { return Query::Unsupported(Exception::IllegalFunction) };
        let (Some(address), Some(value)) = (word(1), word(3)) else {
            return Query::Unsupported(Exception::IllegalValue);
        };
        match *code {
            function::READ_HOLDING | function::READ_INPUT if (1..=125).contains(&value) => {
                Query::Read { address, count: value }
            }
            function::WRITE_ONE => Query::Write { address, values: vec![value] },
            function::DIAGNOSTICS if address == 0 => Query::Loopback,
            function::WRITE_MANY if (1..=123).contains(&value) => {
                let count = usize::from(value);
                let values: Option<Vec<u16>> = (0..count).map(|index| word(6 + 2 * index)).collect();
                match values.filter(|_| self.pdu[5] as usize == 2 * count && self.pdu.len() == 6 + 2 * count) {
                    Some(values) => Query::Write { address, values },
                    None => Query::Unsupported(Exception::IllegalValue),
                }
            }
            function::READ_HOLDING | function::READ_INPUT | function::WRITE_MANY => {
                Query::Unsupported(Exception::IllegalValue)
            }
            _ => Query::Unsupported(Exception::IllegalFunction),
        }
    }

    /// The reply to a read.
    pub fn registers(&self, values: &[u16]) -> Vec<u8> {
        // At most 125 registers were asked for, so the byte count fits.
        let mut pdu = vec![self.pdu[0], (2 * values.len()) as u8];
        pdu.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        self.wrap(&pdu)
    }

    /// The reply to a write or a loopback: the head of the request.
    pub fn acknowledged(&self) -> Vec<u8> {
        self.wrap(&self.pdu[..5])
    }

    /// An exception reply.
    pub fn exception(&self, exception: Exception) -> Vec<u8> {
        let code = self.pdu.first().copied().unwrap_or(0);
        self.wrap(&[code | 0x80, exception as u8])
    }

    fn wrap(&self, pdu: &[u8]) -> Vec<u8> {
        match self.framing {
            Framing::Rtu => {
                let mut bytes = vec![self.unit];
                bytes.extend_from_slice(pdu);
                bytes.extend(crc16(&bytes).to_le_bytes());
                bytes
            }
            Framing::Tcp => {
                let mut bytes = self.transaction.to_vec();
                bytes.extend((pdu.len() as u16 + 1).to_be_bytes());
                bytes.push(self.unit);
                bytes.extend_from_slice(pdu);
                bytes
            }
        }
    }
}

/// CRC-16 of Modbus RTU (polynomial 0xA001 reflected, initial value 0xFFFF).
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 })
    })
}

fn crc_is_right(frame: &[u8]) -> bool {
    let (body, crc) = frame.split_at(frame.len() - 2);
    crc16(body).to_le_bytes() == crc
}

/// Length of the request that starts here, by its function code; `None` when more bytes are needed to tell.
fn rtu_length(input: &[u8]) -> Option<usize> {
    match *input.get(1)? {
        function::WRITE_MANY | 15 => Some(9 + usize::from(*input.get(6)?)),
        // All other requests with a fixed shape are eight bytes long; others fail their CRC and are skipped.
        _ => Some(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_PV: [u8; 8] = [0x01, 0x03, 0x00, 0x01, 0x00, 0x01, 0xd5, 0xca];
    const WRITE_SP: [u8; 11] = [0x01, 0x10, 0x00, 0x02, 0x00, 0x01, 0x02, 0x03, 0x20, 0xa6, 0x9a];

    #[test]
    fn rtu_frames_of_the_reference() {
        let request = Framing::Rtu.parse(&Framing::Rtu.cut(&mut READ_PV.to_vec()).unwrap()).unwrap();
        assert_eq!((request.unit, request.query()), (1, Query::Read { address: 1, count: 1 }));
        assert_eq!(request.registers(&[25]), [0x01, 0x03, 0x02, 0x00, 0x19, 0x79, 0x8e]);
        let request = Framing::Rtu.parse(&Framing::Rtu.cut(&mut WRITE_SP.to_vec()).unwrap()).unwrap();
        assert_eq!(request.query(), Query::Write { address: 2, values: vec![800] });
        assert_eq!(request.acknowledged(), [0x01, 0x10, 0x00, 0x02, 0x00, 0x01, 0xa0, 0x09]);
    }

    #[test]
    fn rtu_finds_a_request_behind_noise() {
        let mut input = vec![0xff, 0x00, 0x13];
        input.extend(READ_PV);
        assert_eq!(Framing::Rtu.cut(&mut input).unwrap(), READ_PV);
        assert!(input.is_empty());
    }

    #[test]
    fn tcp_requests_carry_their_transaction_back() {
        let bytes = [0x12, 0x34, 0, 0, 0, 6, 1, 3, 0, 1, 0, 2];
        let mut input = bytes[..7].to_vec();
        assert_eq!(Framing::Tcp.cut(&mut input), None);
        input.extend(&bytes[7..]);
        let request = Framing::Tcp.parse(&Framing::Tcp.cut(&mut input).unwrap()).unwrap();
        assert_eq!(request.registers(&[1, 2]), [0x12, 0x34, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2]);
        assert_eq!(request.exception(Exception::IllegalAddress), [0x12, 0x34, 0, 0, 0, 3, 1, 0x83, 2]);
    }

    #[test]
    fn spoiled_replies_stay_well_formed_where_they_should() {
        let request = Framing::Rtu.parse(&READ_PV).unwrap();
        let mut reply = request.registers(&[25, 26]);
        assert!(Framing::Rtu.shorten(&mut reply));
        assert_eq!(reply[..5], [1, 3, 2, 0, 25]);
        assert!(crc_is_right(&reply));
        assert!(Framing::Rtu.spoil_address(&mut reply));
        assert!(reply[0] == 2 && crc_is_right(&reply));
        assert!(Framing::Rtu.spoil_checksum(&mut reply));
        assert!(!crc_is_right(&reply));
    }
}

//! Zip archives as far as measurement files need them: members stored or deflated, no encryption, no zip64
//! (PKWARE APPNOTE 6.3).

use super::error::ReadError;

/// Measurement archives hold some ten members.
const MOST_MEMBERS: usize = 4096;
/// No member that is read here is longer.
const LONGEST_MEMBER: usize = 256 << 20;
/// Deflate cannot do better than about 1032 : 1.
const BEST_RATIO: usize = 1100;

/// A member as the central directory describes it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    method: u16,
    flags: u16,
    crc: u32,
    packed: usize,
    size: usize,
    offset: usize,
}

pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    members: Vec<Member>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([part[0], part[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([part[0], part[1], part[2], part[3]]) as usize)
}

fn broken(byte: usize, what: impl Into<String>) -> ReadError {
    ReadError::Archive { byte: byte as u64, what: what.into() }
}

impl<'a> Archive<'a> {
    /// Reads the central directory.
    pub(super) fn open(bytes: &'a [u8], format: &'static str) -> Result<Self, ReadError> {
        if !bytes.starts_with(b"PK") {
            return Err(ReadError::Format { format, found: "byte 0 is not the start of a zip archive".to_owned() });
        }
        // The end record stands at the end, before a comment of at most 65 535 bytes.
        let from = bytes.len().saturating_sub(22 + 65_535);
        let end = (from..=bytes.len().saturating_sub(22)).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"));
        let Some(end) = end else {
            return Err(broken(bytes.len(), "its directory is missing, so the file is cut short"));
        };
        let count = u16_at(bytes, end + 10).unwrap_or(0);
        let start = u32_at(bytes, end + 16).unwrap_or(usize::MAX);
        if count > MOST_MEMBERS {
            let part = "the archive".to_owned();
            return Err(ReadError::TooMuch { part, what: "members", most: MOST_MEMBERS as u64 });
        }
        let mut members = Vec::with_capacity(count);
        let mut at = start;
        for _ in 0..count {
            let (member, next) =
                entry(bytes, at).ok_or_else(|| broken(at.min(bytes.len()), "no entry of the directory"))?;
            members.push(member);
            at = next;
        }
        Ok(Self { bytes, members })
    }

    /// Names of the members in archive order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Unpacks a member, found without regard to case and to the kind of slash.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let plain = |name: &str| name.replace('\\', "/").to_ascii_lowercase();
        let Some(member) = self.members.iter().find(|member| plain(&member.name) == plain(name)) else {
            return Ok(None);
        };
        self.unpack(member).map(Some)
    }

    fn unpack(&self, member: &Member) -> Result<Vec<u8>, ReadError> {
        if member.flags & 1 != 0 {
            let what = format!("the encrypted member `{}`", member.name);
            return Err(ReadError::NotSupported { format: "zip archive", what });
        }
        if member.size > LONGEST_MEMBER || member.size > BEST_RATIO * member.packed.max(64) {
            let part = member.name.clone();
            return Err(ReadError::TooMuch { part, what: "bytes", most: LONGEST_MEMBER as u64 });
        }
        let at = member.offset;
        if !self.bytes.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x03\x04")) {
            return Err(broken(at.min(self.bytes.len()), format!("the header of {} is not there", member.name)));
        }
        let data = || {
            let start = at + 30 + u16_at(self.bytes, at + 26)? + u16_at(self.bytes, at + 28)?;
            self.bytes.get(start..start.checked_add(member.packed)?)
        };
        let data = data().ok_or_else(|| ReadError::Truncated {
            part: member.name.clone(),
            what: "its packed data",
            end: (at + 30 + member.packed) as u64,
            length: self.bytes.len() as u64,
        })?;
        let unpacked = match member.method {
            0 => data.to_vec(),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(data, member.size)
                .map_err(|error| broken(at, format!("{} cannot be unpacked ({:?})", member.name, error.status)))?,
            method => {
                let what = format!("packing method {method} of {}", member.name);
                return Err(ReadError::NotSupported { format: "zip archive", what });
            }
        };
        if unpacked.len() != member.size {
            return Err(ReadError::Mismatch {
                part: member.name.clone(),
                what: "bytes",
                stated: member.size as u64,
                found: unpacked.len() as u64,
            });
        }
        if crc32(&unpacked) != member.crc {
            return Err(broken(at, format!("the checksum of {} is wrong", member.name)));
        }
        Ok(unpacked)
    }
}

fn entry(bytes: &[u8], at: usize) -> Option<(Member, usize)> {
    if !bytes.get(at..)?.starts_with(b"PK\x01\x02") {
        return None;
    }
    let name_length = u16_at(bytes, at + 28)?;
    let name = bytes.get(at + 46..at + 46 + name_length)?;
    let member = Member {
        name: String::from_utf8_lossy(name).into_owned(),
        method: u16_at(bytes, at + 10)? as u16,
        flags: u16_at(bytes, at + 8)? as u16,
        crc: u32_at(bytes, at + 16)? as u32,
        packed: u32_at(bytes, at + 20)?,
        size: u32_at(bytes, at + 24)?,
        offset: u32_at(bytes, at + 42)?,
    };
    Some((member, at + 46 + name_length + u16_at(bytes, at + 30)? + u16_at(bytes, at + 32)?))
}

/// The checksum of zip (ISO 3309), bit by bit over a table of nibbles: archives here are small.
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 16] = std::array::from_fn(|index| {
        (0..4).fold(index as u32, |value, _| if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 })
    });
    let step = |crc: u32, nibble: u32| table[((crc ^ nibble) & 15) as usize] ^ (crc >> 4);
    !bytes.iter().fold(!0u32, |crc, &byte| step(step(crc, u32::from(byte)), u32::from(byte >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}

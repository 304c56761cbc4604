//! Zip archives as far as wheels and checkpoints need them: members stored or deflated, no encryption, no zip64
//! (PKWARE APPNOTE 6.3).

/// Wheels and checkpoints hold some hundred members.
const MOST_MEMBERS: usize = 65_535;

/// Longest member that is unpacked, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest(pub(super) usize);

/// Why an archive cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// There is no directory at its end.
    #[error("it has no directory at its end: it is cut short or no zip archive")]
    NoDirectory,
    /// The directory or a header points to where nothing is.
    #[error("it is damaged at byte {0}")]
    Damaged(usize),
    /// A feature that wheels and checkpoints do not use.
    #[error("`{member}` is {what}, which is not supported")]
    NotSupported {
        /// The member.
        member: String,
        /// Encrypted, or packed by another method.
        what: String,
    },
    /// A member is too long.
    #[error("`{member}` has {found} bytes; at most {most} are read")]
    TooLong {
        /// The member.
        member: String,
        /// Its length.
        found: usize,
        /// The most allowed.
        most: usize,
    },
    /// The unpacked bytes are not those that were packed.
    #[error("the checksum of `{0}` is wrong")]
    Checksum(String),
}

struct Member {
    name: String,
    method: usize,
    flags: usize,
    crc: usize,
    packed: usize,
    size: usize,
    offset: usize,
}

/// An archive with its directory read.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    members: Vec<Member>,
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
}

fn directory_entry(bytes: &[u8], at: usize) -> Option<(Member, usize)> {
    if !bytes.get(at..)?.starts_with(b"PK\x01\x02") {
        return None;
    }
    let half = |offset: usize| number(bytes, at + offset, 2);
    let word = |offset: usize| number(bytes, at + offset, 4);
    let start = at + 46;
    let end = start + half(28)?;
    let member = Member {
        name: String::from_utf8_lossy(bytes.get(start..end)?).into_owned(),
        flags: half(8)?,
        method: half(10)?,
        crc: word(16)?,
        packed: word(20)?,
        size: word(24)?,
        offset: word(42)?,
    };
    Some((member, end + half(30)? + half(32)?))
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ZipError> {
        // The end record stands before a comment of at most 65 535 bytes.
        let last = bytes.len().checked_sub(22).ok_or(ZipError::NoDirectory)?;
        let from = last.saturating_sub(65_535);
        let is_end = |at: &usize| bytes[*at..].starts_with(b"PK\x05\x06");
        let end = (from..=last).rev().find(is_end).ok_or(ZipError::NoDirectory)?;
        let count = number(bytes, end + 10, 2).filter(|&count| count < MOST_MEMBERS).ok_or(ZipError::NoDirectory)?;
        let mut at = number(bytes, end + 16, 4).ok_or(ZipError::NoDirectory)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let (member, next) = directory_entry(bytes, at).ok_or(ZipError::Damaged(at))?;
            members.push(member);
            at = next;
        }
        Ok(Self { bytes, members })
    }

    /// Names of the members.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Unpacks a member, or says that there is none of this name.
    pub(super) fn read(&self, name: &str, longest: Longest) -> Result<Option<Vec<u8>>, ZipError> {
        let Some(member) = self.members.iter().find(|member| member.name == name) else { return Ok(None) };
        let not_supported = |what: String| Err(ZipError::NotSupported { member: name.to_owned(), what });
        if member.flags & 1 != 0 {
            return not_supported("encrypted".to_owned());
        }
        if member.size > longest.0 {
            return Err(ZipError::TooLong { member: name.to_owned(), found: member.size, most: longest.0 });
        }
        let packed = self.packed(member).ok_or(ZipError::Damaged(member.offset))?;
        let unpacked = match member.method {
            0 => packed.to_vec(),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(packed, member.size)
                .map_err(|_| ZipError::Damaged(member.offset))?,
            method => return not_supported(format!("packed by method {method}")),
        };
        if unpacked.len() != member.size || crc32(&unpacked) as usize != member.crc {
            return Err(ZipError::Checksum(name.to_owned()));
        }
        Ok(Some(unpacked))
    }

    fn packed(&self, member: &Member) -> Option<&'a [u8]> {
        let at = member.offset;
        if !self.bytes.get(at..)?.starts_with(b"PK\x03\x04") {
            return None;
        }
        let start = at + 30 + number(self.bytes, at + 26, 2)? + number(self.bytes, at + 28, 2)?;
        self.bytes.get(start..start.checked_add(member.packed)?)
    }
}

/// The checksum of zip (ISO 3309) over a table of bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|index| {
        (0..8).fold(index as u32, |value, _| if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 })
    });
    !bytes.iter().fold(!0u32, |crc, &byte| table[((crc ^ u32::from(byte)) & 255) as usize] ^ (crc >> 8))
}

/// An archive of stored members, for tests.
#[cfg(test)]
pub(super) fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let offset = bytes.len() as u32;
        let length = (data.len() as u32).to_le_bytes();
        let sizes = [crc32(data).to_le_bytes(), length, length].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        bytes.extend(
            [b"PK\x03\x04".as_slice(), &[0; 10], &sizes, &name_length, &[0; 2], name.as_bytes(), data].concat(),
        );
        let entry = [b"PK\x01\x02".as_slice(), &[0; 12], &sizes, &name_length, &[0; 12], &offset.to_le_bytes()];
        directory.extend([entry.concat().as_slice(), name.as_bytes()].concat());
    }
    let (start, count) = (bytes.len() as u32, (members.len() as u16).to_le_bytes());
    let length = (directory.len() as u32).to_le_bytes();
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count, &count, &length, &start.to_le_bytes(), &[0; 2]].concat());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn members_are_found_and_damage_is_noticed() {
        let bytes = stored(&[("a", b"one"), ("b/c", b"")]);
        let archive = Archive::open(&bytes).unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(archive.read("a", Longest(3)), Ok(Some(b"one".to_vec())));
        assert_eq!(archive.read("b/c", Longest(3)), Ok(Some(vec![])));
        assert_eq!(archive.read("d", Longest(3)), Ok(None));
        assert!(matches!(archive.read("a", Longest(2)), Err(ZipError::TooLong { .. })));
        let mut changed = bytes.clone();
        changed[31] ^= 1;
        let changed = Archive::open(&changed).unwrap().read("a", Longest(3));
        assert_eq!(changed, Err(ZipError::Checksum("a".to_owned())));
        assert!(matches!(Archive::open(&bytes[..bytes.len() - 1]), Err(ZipError::NoDirectory)));
        for cut in 0..bytes.len() {
            let mut holed = bytes.clone();
            holed[cut] ^= 0xff;
            if let Ok(archive) = Archive::open(&holed) {
                let _: Result<_, _> = archive.read("a", Longest(3));
            }
        }
    }
}

//! Bytes of the log on disk. `FORMAT.md` beside this crate describes the same in words; all numbers are little-endian.

use std::fmt;
use std::str::FromStr;

/// First eight bytes of a segment; the last two are the format version.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"PPULOG\x00\x01";
/// First four bytes of a batch frame.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"PPUF";
/// Marks a written slot of `HEAD`.
pub(crate) const HEAD_MAGIC: [u8; 4] = *b"PPUH";
/// Length of a segment's header, in bytes.
pub(crate) const SEGMENT_HEADER: usize = 128;
/// Length of a frame before its records area, in bytes.
pub(crate) const FRAME_HEADER: usize = 56;
/// Length of the checksum that ends a frame, in bytes.
pub(crate) const FRAME_CRC: usize = 4;
/// Length of one slot of `HEAD`, in bytes.
pub(crate) const HEAD_SLOT: usize = 64;
/// Distance of the two slots, in bytes: a torn 4 KiB page cannot hold both.
pub(crate) const HEAD_SLOT_DISTANCE: usize = 4096;
/// Longest record body, in bytes. Larger things are artifacts, and the record holds the hash (reliability 8.1).
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Longest records area of a frame, in bytes (LOG-1).
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Most records in a frame (LOG-1).
pub const MAX_BATCH_RECORDS: usize = 256;
/// Records up to about this many bytes are copied to be hashed: one chunk of BLAKE3.
const SHORT_INPUT: usize = 1024;
/// Domain of the first chain head, so that no other use of BLAKE3 can yield it.
const CHAIN_CONTEXT: &str = "ppu log v1";

/// Names a log: sixteen bytes that its maker draws at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 16]);

/// BLAKE3 over everything up to and including a record: `h(i) = BLAKE3(h(i-1) ‖ length ‖ body)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHead(pub [u8; 32]);

/// A place in the log: the number of a segment and the byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Byte in the segment's file.
    pub offset: u64,
}

/// A text is not the hexadecimal form of an id or a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {digits} hexadecimal digits")]
pub struct ParseHexError {
    /// What was given.
    pub text: String,
    /// How many digits were wanted.
    pub digits: usize,
}

/// What the end of every frame is padded to (LOG-6).
///
/// The log assumes that rewriting a sector with a longer prefix leaves the prefix whole. For a drive that cannot be trusted
/// with that, frames are padded to its sector, so that no sector is ever written twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PadTo {
    /// Eight bytes: the alignment of all frames.
    #[default]
    Eight,
    /// Sectors of 512 bytes.
    Sector512,
    /// Sectors of 4,096 bytes.
    Sector4096,
}

impl PadTo {
    pub(crate) fn exponent(self) -> u32 {
        match self {
            Self::Eight => 3,
            Self::Sector512 => 9,
            Self::Sector4096 => 12,
        }
    }
}

impl ChainHead {
    /// The chain before the first record of a log.
    #[must_use]
    pub fn first(id: LogId) -> Self {
        Self(blake3::derive_key(CHAIN_CONTEXT, &id.0))
    }

    /// The chain after one more record.
    #[must_use]
    pub fn next(self, body: &[u8]) -> Self {
        let length = length_of(body).to_le_bytes();
        let whole = self.0.len() + length.len() + body.len();
        if whole <= SHORT_INPUT {
            // One piece in one place is hashed in about half the time that three pieces take.
            let mut input = [0; SHORT_INPUT];
            input[..32].copy_from_slice(&self.0);
            input[32..36].copy_from_slice(&length);
            input[36..whole].copy_from_slice(body);
            return Self(blake3::hash(&input[..whole]).into());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&length);
        hasher.update(body);
        Self(hasher.finalize().into())
    }
}

fn length_of(body: &[u8]) -> u32 {
    u32::try_from(body.len()).expect("bodies are limited to 64 KiB before they are encoded")
}

/// The first 128 bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: LogId,
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    pub(crate) chain_before: ChainHead,
    pub(crate) previous_hash: [u8; 32],
    pub(crate) created_unix_ns: u64,
    /// Length of the file in bytes; 0 where it was not recorded.
    pub(crate) length: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..24].copy_from_slice(&self.id.0);
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.chain_before.0);
        bytes[72..104].copy_from_slice(&self.previous_hash);
        bytes[104..112].copy_from_slice(&self.created_unix_ns.to_le_bytes());
        bytes[112..120].copy_from_slice(&self.length.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` where the bytes are not a whole header of this format version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        let sound = bytes[0..8] == SEGMENT_MAGIC && u32_at(bytes, 124) == crc32c::crc32c(&bytes[..124]);
        sound.then(|| Self {
            id: LogId(array_at(bytes, 8)),
            number: u64_at(bytes, 24),
            first_sequence: u64_at(bytes, 32),
            chain_before: ChainHead(array_at(bytes, 40)),
            previous_hash: array_at(bytes, 72),
            created_unix_ns: u64_at(bytes, 104),
            length: u64_at(bytes, 112),
        })
    }
}

/// The fixed part of a frame, not yet checked against its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) first_sequence: u64,
    pub(crate) record_count: u32,
    pub(crate) chain_after: ChainHead,
    /// Bytes of the records area.
    pub(crate) area: usize,
    /// Bytes of the whole frame, padding and checksum included.
    pub(crate) length: usize,
}

impl FrameHeader {
    /// Reads the fixed part of a frame that starts at `offset` of its segment; `None` where it cannot be one.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER)?;
        let area = usize::try_from(u32_at(bytes, 4)).ok()?;
        let record_count = u32_at(bytes, 16);
        let flags = u32_at(bytes, 20);
        let plausible = bytes[0..4] == FRAME_MAGIC
            && area <= MAX_BATCH_BYTES
            && (1..=MAX_BATCH_RECORDS).contains(&usize::try_from(record_count).ok()?)
            && matches!(flags, 3 | 9 | 12);
        plausible.then(|| Self {
            first_sequence: u64_at(bytes, 8),
            record_count,
            chain_after: ChainHead(array_at(bytes, 24)),
            area,
            length: frame_length(offset, area, flags),
        })
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(u64::from(self.record_count) - 1)
    }
}

/// A frame whose checksum is right and whose records tile its area.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    area: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame that `bytes` begin with and that starts at `offset` of its segment; `None` where there is none.
    pub(crate) fn decode(bytes: &'a [u8], offset: u64, id: LogId) -> Option<Self> {
        let header = FrameHeader::decode(bytes, offset)?;
        let whole = bytes.get(..header.length)?;
        let (covered, crc) = whole.split_at(header.length - FRAME_CRC);
        if u32_at(crc, 0) != frame_crc(id, covered) {
            return None;
        }
        let frame = Self { area: &whole[FRAME_HEADER..FRAME_HEADER + header.area], header };
        let tiled: usize = frame.bodies().map(|body| 4 + body.len()).sum();
        let counted = frame.bodies().count() as u64 == u64::from(frame.header.record_count);
        (counted && tiled == frame.area.len()).then_some(frame)
    }

    /// The bodies of the records, in order.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.area;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_at_checked(4)?;
            let (body, after) = after.split_at_checked(usize::try_from(u32_at(length, 0)).ok()?)?;
            rest = after;
            Some(body)
        })
    }
}

/// Length of a frame that starts at `offset`, so that it ends at a multiple of two to the `exponent`.
pub(crate) fn frame_length(offset: u64, area: usize, exponent: u32) -> usize {
    let unit = 1_u64 << exponent;
    let bare = (FRAME_HEADER + area + FRAME_CRC) as u64;
    usize::try_from((offset + bare).next_multiple_of(unit) - offset).expect("a frame is little more than 1 MiB")
}

/// Writes a frame of records into `buffer`, replacing what it held, and returns the chain after its last record.
pub(crate) fn encode_frame<'r>(
    buffer: &mut Vec<u8>,
    id: LogId,
    offset: u64,
    pad_to: PadTo,
    first_sequence: u64,
    chain: ChainHead,
    records: impl Iterator<Item = &'r [u8]>,
) -> (ChainHead, u32) {
    buffer.clear();
    buffer.resize(FRAME_HEADER, 0);
    let (mut chain, mut count) = (chain, 0_u32);
    for body in records {
        buffer.extend_from_slice(&length_of(body).to_le_bytes());
        buffer.extend_from_slice(body);
        chain = chain.next(body);
        count += 1;
    }
    let area = buffer.len() - FRAME_HEADER;
    let flags = pad_to.exponent();
    buffer.resize(frame_length(offset, area, flags) - FRAME_CRC, 0);
    buffer[0..4].copy_from_slice(&FRAME_MAGIC);
    buffer[4..8].copy_from_slice(&u32::try_from(area).expect("an area is at most 1 MiB").to_le_bytes());
    buffer[8..16].copy_from_slice(&first_sequence.to_le_bytes());
    buffer[16..20].copy_from_slice(&count.to_le_bytes());
    buffer[20..24].copy_from_slice(&flags.to_le_bytes());
    buffer[24..56].copy_from_slice(&chain.0);
    let crc = frame_crc(id, buffer);
    buffer.extend_from_slice(&crc.to_le_bytes());
    (chain, count)
}

/// The checksum is seeded with the log's id, so that a frame of another log is not a frame here.
fn frame_crc(id: LogId, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&id.0), covered)
}

/// One slot of `HEAD`: how far the log was certainly durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlot {
    /// Last durable sequence, 0 where the log is empty.
    pub sequence: u64,
    /// End of the last durable frame.
    pub end: Position,
    /// Chain after that sequence.
    pub chain: ChainHead,
}

impl HeadSlot {
    pub(crate) fn encode(&self, id: LogId) -> [u8; HEAD_SLOT] {
        let mut bytes = [0; HEAD_SLOT];
        bytes[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.end.segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.end.offset.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.chain.0);
        bytes[56..60].copy_from_slice(&HEAD_MAGIC);
        let crc = frame_crc(id, &bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the slot of a page of `HEAD`. The rest of the page must be zeros, so that no changed bit goes unnoticed.
    pub(crate) fn decode(page: &[u8], id: LogId) -> Option<Self> {
        let (bytes, rest) = page.get(..HEAD_SLOT_DISTANCE)?.split_at(HEAD_SLOT);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        let sound = bytes[56..60] == HEAD_MAGIC && u32_at(bytes, 60) == frame_crc(id, &bytes[..60]);
        sound.then(|| Self {
            sequence: u64_at(bytes, 0),
            end: Position { segment: u64_at(bytes, 8), offset: u64_at(bytes, 16) },
            chain: ChainHead(array_at(bytes, 24)),
        })
    }
}

/// Name of the segment whose first record has a sequence.
pub(crate) fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.seg")
}

/// First sequence of the segment with a name; `None` where it is no segment's name.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Where the bytes after the last one that is not zero begin. Compares whole blocks: segments are mostly zeros.
pub(crate) fn end_of_data(bytes: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut end = bytes.len();
    while end >= BLOCK && bytes[end - BLOCK..end] == ZEROS {
        end -= BLOCK;
    }
    bytes[..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// Reads exactly `N` bytes from hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let wrong = || ParseHexError { text: text.to_owned(), digits: 2 * N };
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

impl fmt::Display for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogId({self})")
    }
}

impl FromStr for LogId {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, ParseHexError> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for ChainHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for ChainHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChainHead({self})")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "segment {} byte {}", self.segment, self.offset)
    }
}

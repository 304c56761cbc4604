//! A look at a whole log that changes nothing and explains what it finds (LOG-8).

use crate::disk::Disk;
use crate::error::{Corruption, ReadError};
use crate::format::{ChainHead, HeadSlot, LogId};
use crate::layout::Layout;
use crate::scan::scan;
use std::fmt;
use std::path::{Path, PathBuf};

/// What became of a log's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was ever written verifies, up to a clean end.
    Clean,
    /// Sound up to a write that was cut short; opening the log saves and cuts these bytes.
    TornTail {
        /// The segment.
        file: PathBuf,
        /// Where the bytes begin, in bytes.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
    /// Neither slot of `HEAD` can be read, so it is unknown whether the tail is lost. Opening refuses.
    HeadUnreadable,
    /// Damaged where it had been durable. Opening refuses.
    Corrupt(Corruption),
}

/// One segment of a log, as far as it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// Number of the segment, from 1.
    pub number: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Good records.
    pub records: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// End of the last good frame in bytes.
    pub bytes_used: u64,
    /// When it was begun, in nanoseconds since 1970.
    pub created_unix_ns: u64,
}

/// What verifying a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The log's id; `None` where the first header is damaged.
    pub id: Option<LogId>,
    /// All segments up to the first damage.
    pub segments: Vec<SegmentReport>,
    /// Last good sequence, 0 if none.
    pub last_sequence: u64,
    /// Chain after it.
    pub chain_head: ChainHead,
    /// The two slots of `HEAD`; `None` for one that cannot be read.
    pub head_slots: [Option<HeadSlot>; 2],
    /// The judgement.
    pub verdict: Verdict,
}

impl VerifyReport {
    /// Whether opening the log will succeed.
    #[must_use]
    pub fn can_be_opened(&self) -> bool {
        matches!(self.verdict, Verdict::Clean | Verdict::TornTail { .. })
    }

    /// Good records that are kept.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => formatter.write_str("clean"),
            Self::TornTail { file, offset, bytes } => {
                write!(formatter, "sound, with a torn write of {bytes} bytes at byte {offset} of {}", file.display())
            }
            Self::HeadUnreadable => formatter.write_str("both slots of HEAD are unreadable"),
            Self::Corrupt(corruption) => corruption.fmt(formatter),
        }
    }
}

/// Reads and checks a whole log: every frame, the chain, the hash of every closed segment, and `HEAD`. Takes no lock and
/// writes nothing; if the log is being written meanwhile, its last frame may look torn.
///
/// # Errors
/// [`ReadError::NotFound`] if there is no log, [`ReadError::Disk`] if it cannot be read. Damage is in the report.
pub fn verify<D: Disk>(disk: &D, dir: impl AsRef<Path>) -> Result<VerifyReport, ReadError> {
    let layout = Layout::new(dir.as_ref());
    let scan = scan(disk, &layout)?;
    if scan.segments.is_empty() && scan.corruption.is_none() {
        return Err(ReadError::NotFound(layout.dir().to_owned()));
    }
    let verdict = if let Some(corruption) = &scan.corruption {
        Verdict::Corrupt(corruption.clone())
    } else if scan.head().is_none() {
        Verdict::HeadUnreadable
    } else if let (Some(torn), Some(segment)) = (&scan.torn, scan.segments.last()) {
        Verdict::TornTail { file: segment.path.clone(), offset: torn.offset, bytes: torn.bytes.len() as u64 }
    } else {
        Verdict::Clean
    };
    let segments = scan.segments.iter().map(|segment| SegmentReport {
        file: segment.path.clone(),
        number: segment.header.number,
        first_sequence: segment.header.first_sequence,
        records: segment.records,
        bytes: segment.length,
        bytes_used: segment.end,
        created_unix_ns: segment.header.created_unix_ns,
    });
    Ok(VerifyReport {
        id: scan.id,
        segments: segments.collect(),
        last_sequence: scan.last_sequence(),
        chain_head: scan.chain,
        head_slots: scan.slots,
        verdict,
    })
}

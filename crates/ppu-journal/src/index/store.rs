//! The index as sled holds it. No other module knows sled.
//!
//! One tree: `<tag><id>0<sequence, 8 bytes big-endian>` for each subject of a record, `L<t|s><run>` for what a run is linked
//! to, and `applied`.

use std::path::Path;

use ppu_core::RunId;
use ppu_store::{ChainHead, LogId};

use super::links::{Link, LinkKind};
use super::{Applied, IndexError, guarded};
use crate::subject::Subject;

/// The default of one gigabyte keeps hundreds of megabytes resident (IDX-3).
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What is not flushed at a crash is read again from the log; more frequent syncs would compete with those of the log.
const FLUSH_MS: u64 = 10_000;
const APPLIED: &[u8] = b"applied";
const APPLIED_BYTES: usize = 8 + 32 + 16 + 8 + 8;
const CHECK_BYTES: usize = 8;

/// An open index.
#[derive(Debug)]
pub(crate) struct Index {
    db: sled::Db,
}

/// What lies in the index's directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing has been applied yet.
    Fresh(Index),
    /// An index that is whole.
    Whole(Index, Applied),
    /// Something that cannot be used.
    Unusable(IndexError),
}

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> Self {
        IndexError::Engine(error.to_string())
    }
}

/// Opens the index of a directory, or makes it, and verifies all of its entries.
pub(crate) fn find(path: &Path) -> Found {
    let opened = guarded(|| {
        let index = Index::open(path)?;
        let applied = index.verified()?;
        Ok((index, applied))
    });
    match opened {
        Ok((index, Some(applied))) => Found::Whole(index, applied),
        Ok((index, None)) => Found::Fresh(index),
        Err(error) => Found::Unusable(error),
    }
}

impl Index {
    fn open(path: &Path) -> Result<Self, IndexError> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_MS));
        Ok(Self { db: config.open()? })
    }

    /// Reads every entry, so that damage shows now and not as a gap in a history.
    fn verified(&self) -> Result<Option<Applied>, IndexError> {
        let (mut entries, mut digest) = (0, 0_u64);
        for entry in self.db.iter() {
            let (key, value) = entry?;
            if key != APPLIED {
                entries += 1;
                digest = digest.wrapping_add(digest_of(&key, &value));
            }
        }
        match self.applied()? {
            Some(applied) if applied.entries == entries && applied.digest == digest => Ok(Some(applied)),
            None if entries == 0 => Ok(None),
            Some(_) => Err(IndexError::Damaged("its entries are not those that were applied")),
            None => Err(IndexError::Damaged("it does not say how far it has come")),
        }
    }

    pub(crate) fn applied(&self) -> Result<Option<Applied>, IndexError> {
        let value = guarded(|| Ok(self.db.get(APPLIED)?))?;
        value
            .map(|bytes| decode_applied(&bytes).ok_or(IndexError::Damaged("how far it has come is unreadable")))
            .transpose()
    }

    /// Puts in the subjects and links of some records, and how far this goes: all of it or nothing.
    pub(crate) fn apply(
        &self,
        subjects: impl Iterator<Item = (u64, Subject)>,
        links: impl Iterator<Item = Link>,
        before: Applied,
        to: (u64, ChainHead),
    ) -> Result<Applied, IndexError> {
        let mut applied = Applied { sequence: to.0, chain: to.1, ..before };
        let mut batch = sled::Batch::default();
        let mut insert = |key: Vec<u8>, value: Vec<u8>| {
            applied.entries += 1;
            applied.digest = applied.digest.wrapping_add(digest_of(&key, &value));
            batch.insert(key, value);
        };
        for (sequence, subject) in subjects {
            insert(subject_key(&subject, sequence), Vec::new());
        }
        for link in links {
            insert(link_key(link.kind, &link.run), [&link.since.to_be_bytes()[..], link.to.as_bytes()].concat());
        }
        batch.insert(APPLIED, encode_applied(&applied));
        guarded(|| Ok(self.db.apply_batch(batch)?))?;
        Ok(applied)
    }

    /// What a run is linked to, and since which sequence.
    pub(crate) fn link(&self, kind: LinkKind, run: &RunId) -> Result<Option<(u64, String)>, IndexError> {
        let value = guarded(|| Ok(self.db.get(link_key(kind, run))?))?;
        value.map(|bytes| decode_link(&bytes).ok_or(IndexError::Damaged("a link is unreadable"))).transpose()
    }

    /// Sequences of a subject's records, in order: those in the range, `limit` at most.
    pub(crate) fn sequences(
        &self,
        subject: &Subject,
        range: std::ops::RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, IndexError> {
        let keys = subject_key(subject, *range.start())..=subject_key(subject, *range.end());
        guarded(|| {
            let sequences = self.db.range(keys).keys().take(limit).map(|key| {
                let key = key?;
                let digits = key.last_chunk::<8>().ok_or(IndexError::Damaged("an entry is unreadable"))?;
                Ok(u64::from_be_bytes(*digits))
            });
            sequences.collect()
        })
    }

    /// Writes out what is only in memory.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        guarded(|| Ok(self.db.flush().map(drop)?))
    }
}

fn subject_key(subject: &Subject, sequence: u64) -> Vec<u8> {
    let (tag, id) = match subject {
        Subject::Campaign(id) => (b'g', id.to_string()),
        Subject::Trial(id) => (b't', id.to_string()),
        Subject::Run(id) => (b'r', id.to_string()),
        Subject::Command(key) => (b'c', key.to_string()),
        Subject::Sample(id) => (b's', id.to_string()),
        Subject::Device(id) => (b'd', id.to_string()),
    };
    // No id holds a zero byte, so no subject's keys lie between those of another.
    [&[tag], id.as_bytes(), &[0], &sequence.to_be_bytes()].concat()
}

fn link_key(kind: LinkKind, run: &RunId) -> Vec<u8> {
    let kind = match kind {
        LinkKind::Trial => b't',
        LinkKind::Sample => b's',
    };
    [&[b'L', kind], run.as_str().as_bytes()].concat()
}

fn decode_link(bytes: &[u8]) -> Option<(u64, String)> {
    let (since, to) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*since), String::from_utf8(to.to_vec()).ok()?))
}

fn digest_of(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(value);
    first_eight(&hasher.finalize())
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

fn encode_applied(applied: &Applied) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(APPLIED_BYTES + CHECK_BYTES);
    bytes.extend(applied.sequence.to_be_bytes());
    bytes.extend(applied.chain.0);
    bytes.extend(applied.log.0);
    bytes.extend(applied.entries.to_be_bytes());
    bytes.extend(applied.digest.to_be_bytes());
    // A wrong sequence would refuse a sound log as one that lost its tail.
    bytes.extend(first_eight(&blake3::hash(&bytes)).to_be_bytes());
    bytes
}

fn decode_applied(bytes: &[u8]) -> Option<Applied> {
    let (said, check) = bytes.split_at_checked(APPLIED_BYTES)?;
    if check != first_eight(&blake3::hash(said)).to_be_bytes() {
        return None;
    }
    let (sequence, rest) = said.split_first_chunk::<8>()?;
    let (chain, rest) = rest.split_first_chunk::<32>()?;
    let (log, rest) = rest.split_first_chunk::<16>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    let (digest, _) = rest.split_first_chunk::<8>()?;
    Some(Applied {
        sequence: u64::from_be_bytes(*sequence),
        chain: ChainHead(*chain),
        log: LogId(*log),
        entries: u64::from_be_bytes(*entries),
        digest: u64::from_be_bytes(*digest),
    })
}

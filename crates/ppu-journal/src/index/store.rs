//! The index as sled holds it. No other module knows sled.
//!
//! One tree: `<tag><id>0<first sequence, 8 bytes big-endian>` with a list of sequences for each subject of some consecutive
//! records, `L<t|s><run>` for what a run is linked to, and `applied`. A list holds the distance of each sequence to the one
//! before, seven bits a byte, the lowest first.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ppu_core::RunId;
use ppu_store::{ChainHead, LogId};

use super::links::{Link, LinkKind};
use super::recent::Recent;
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
    recent: Mutex<Recent>,
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
        *index.recent() = Recent::after(applied.map_or(0, |applied| applied.sequence));
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
        Ok(Self { db: config.open()?, recent: Mutex::default() })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A panic while it was held came from the storage engine, and then nothing of it was changed.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn applied(&self) -> Result<Option<Applied>, IndexError> {
        let value = guarded(|| Ok(self.db.get(APPLIED)?))?;
        value
            .map(|bytes| decode_applied(&bytes).ok_or(IndexError::Damaged("how far it has come is unreadable")))
            .transpose()
    }

    /// Takes in the subjects and links of some records, and how far this goes. Once there are many, they are written out, all of
    /// them or none.
    pub(crate) fn take(
        &self,
        subjects: impl Iterator<Item = (u64, Subject)>,
        links: impl Iterator<Item = Link>,
        applied: &mut Applied,
        to: (u64, ChainHead),
    ) -> Result<(), IndexError> {
        let mut recent = self.recent();
        recent.take(subjects, links, to);
        if recent.is_full() { self.write_out(&mut recent, applied) } else { Ok(()) }
    }

    /// Lookups wait meanwhile, so that none finds an entry in both places or in neither.
    fn write_out(&self, recent: &mut Recent, applied: &mut Applied) -> Result<(), IndexError> {
        let Some((lists, links, to)) = recent.to_write() else { return Ok(()) };
        let mut new = Applied { sequence: to.0, chain: to.1, ..*applied };
        let mut batch = sled::Batch::default();
        let mut insert = |key: Vec<u8>, value: Vec<u8>| {
            new.entries += 1;
            new.digest = new.digest.wrapping_add(digest_of(&key, &value));
            batch.insert(key, value);
        };
        for (subject, sequences) in lists {
            insert(subject_key(subject, sequences[0]), encode_list(sequences));
        }
        for link in links {
            insert(link_key(link.kind, &link.run), [&link.since.to_be_bytes()[..], link.to.as_bytes()].concat());
        }
        batch.insert(APPLIED, encode_applied(&new));
        guarded(|| Ok(self.db.apply_batch(batch)?))?;
        *applied = new;
        recent.written(applied);
        Ok(())
    }

    /// What a run is linked to, and since which sequence.
    pub(crate) fn link(&self, kind: LinkKind, run: &RunId) -> Result<Option<(u64, String)>, IndexError> {
        let recent = self.recent().link(kind, run);
        if recent.is_some() {
            return Ok(recent);
        }
        let value = guarded(|| Ok(self.db.get(link_key(kind, run))?))?;
        value.map(|bytes| decode_link(&bytes).ok_or(IndexError::Damaged("a link is unreadable"))).transpose()
    }

    /// Sequences of a subject's records, in order: those after one, `limit` at most. Also the last sequence that the index knows
    /// of: what came later is in the log only.
    pub(crate) fn sequences(&self, subject: &Subject, after: u64, limit: usize) -> Result<(Vec<u64>, u64), IndexError> {
        let (written, known, recent) = {
            let recent = self.recent();
            (recent.since(), recent.to(), recent.sequences(subject).to_vec())
        };
        let mut found =
            if after < written { self.written_sequences(subject, after, written, limit)? } else { Vec::new() };
        found.extend(recent.into_iter().filter(|sequence| *sequence > after));
        found.truncate(limit);
        Ok((found, known))
    }

    fn written_sequences(&self, subject: &Subject, after: u64, to: u64, limit: usize) -> Result<Vec<u64>, IndexError> {
        let (begin, end) = (subject_key(subject, 0), subject_key(subject, to));
        guarded(|| {
            // The list that begins at or before the place may reach beyond it.
            let earlier = self.db.range(begin.clone()..=subject_key(subject, after)).next_back().transpose()?;
            let first = earlier.map_or(begin, |(key, _)| key.to_vec());
            let mut found = Vec::new();
            for list in self.db.range(first..=end) {
                let (key, value) = list?;
                let damaged = || IndexError::Damaged("an entry is unreadable");
                let digits = key.last_chunk::<8>().ok_or_else(damaged)?;
                let sequences = decode_list(u64::from_be_bytes(*digits), &value).ok_or_else(damaged)?;
                found.extend(sequences.into_iter().filter(|sequence| (after + 1..=to).contains(sequence)));
                if found.len() >= limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Writes out everything that is only in memory.
    pub(crate) fn close(&self, applied: &mut Applied) -> Result<(), IndexError> {
        self.write_out(&mut self.recent(), applied)?;
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

/// Distances between sequences; the first sequence is in the key.
fn encode_list(sequences: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(sequences.len() * 2);
    for pair in sequences.windows(2) {
        let mut distance = pair[1] - pair[0];
        while distance >= 0x80 {
            bytes.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        bytes.push(distance as u8);
    }
    bytes
}

fn decode_list(first: u64, bytes: &[u8]) -> Option<Vec<u64>> {
    let mut sequences = vec![first];
    let (mut last, mut distance, mut shift) = (first, 0_u64, 0);
    for byte in bytes {
        distance |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.checked_add(distance)?;
            sequences.push(last);
            (distance, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(sequences)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_sequences_read_back() {
        for list in [vec![7], vec![1, 2, 3], vec![5, 132, 133, 16_517, 3_000_000, u64::MAX - 1]] {
            assert_eq!(decode_list(list[0], &encode_list(&list)), Some(list));
        }
        assert_eq!(decode_list(1, &[0x80]), None, "it ends in the middle of a number");
        assert_eq!(decode_list(1, &[0xff; 12]), None, "no number is so large");
    }
}

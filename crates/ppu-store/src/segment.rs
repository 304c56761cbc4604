//! Files of the log while it is being written: segments made in advance, the active one, and `HEAD`.

use crate::disk::{Disk, DiskFile, DiskOperation, OpenMode};
use crate::error::DiskFailure;
use crate::format::{HEAD_SLOT, HEAD_SLOT_DISTANCE, HeadSlot, LogId, SEGMENT_HEADER, SegmentHeader};
use crate::layout::Layout;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Zeros are written in pieces of this many bytes.
const ZERO_BLOCK: usize = 1024 * 1024;
/// Frames are hashed together once they have so many bytes: long inputs are hashed several times as fast as short ones.
const HASH_BLOCK: usize = 256 * 1024;
/// Length of `HEAD` in bytes: two pages, one for each slot.
const HEAD_LENGTH: usize = 2 * HEAD_SLOT_DISTANCE;

/// The next segment, on its way from nothing to a zero-filled file.
#[derive(Debug, Default)]
pub(crate) enum NextSegment {
    #[default]
    Absent,
    Running(JoinHandle<Result<(), DiskFailure>>),
    Ready,
}

/// Makes the file of the next segment: all zeros, synced, under a name that is not a segment's.
///
/// Zero-filled space makes each later sync cheaper than a growing file does, and a full disk shows here and not in the
/// middle of a commit (LOG-5).
pub(crate) fn prepare_segment<D: Disk>(disk: &D, layout: &Layout, segment_bytes: u64) -> Result<(), DiskFailure> {
    let path = layout.prepared();
    let file = disk.open(&path, OpenMode::Create).map_err(DiskFailure::at(DiskOperation::Open, &path))?;
    let filled = fill_with_zeros(&file, 0, segment_bytes, &path)
        .and_then(|()| file.sync().map_err(DiskFailure::at(DiskOperation::Sync, &path)));
    if filled.is_err()
        && let Err(error) = disk.remove(&path)
    {
        tracing::warn!(path = %path.display(), %error, "a half-made segment could not be removed");
    }
    filled
}

/// Writes zeros from one offset up to another.
pub(crate) fn fill_with_zeros<F: DiskFile>(file: &F, from: u64, to: u64, path: &Path) -> Result<(), DiskFailure> {
    let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(ZERO_BLOCK);
    let zeros = vec![0_u8; length];
    let mut offset = from;
    while offset < to {
        let count = usize::try_from(to - offset).unwrap_or(usize::MAX).min(length);
        file.pwrite(&zeros[..count], offset).map_err(DiskFailure::at(DiskOperation::Write, path))?;
        offset += count as u64;
    }
    Ok(())
}

/// The segment that takes the appends.
#[derive(Debug)]
pub(crate) struct ActiveSegment<F> {
    pub(crate) file: F,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    /// Length of the file in bytes.
    pub(crate) length: u64,
    /// End of the last frame in bytes.
    pub(crate) end: u64,
    /// Over the file up to `end`, but for `unhashed`.
    pub(crate) hasher: blake3::Hasher,
    /// The last frames.
    pub(crate) unhashed: Vec<u8>,
}

impl<F: DiskFile> ActiveSegment<F> {
    /// Turns the prepared file into a segment: header, sync, name, directory sync, in that order, so that a name that ends in
    /// `.seg` always has a whole header behind it.
    pub(crate) fn begin<D: Disk<File = F>>(
        disk: &D,
        layout: &Layout,
        header: &SegmentHeader,
    ) -> Result<Self, DiskFailure> {
        let (prepared, path) = (layout.prepared(), layout.segment(header.first_sequence));
        let file =
            disk.open(&prepared, OpenMode::ReadWrite).map_err(DiskFailure::at(DiskOperation::Open, &prepared))?;
        let length = file.length().map_err(DiskFailure::at(DiskOperation::Read, &prepared))?;
        let bytes = SegmentHeader { length, ..header.clone() }.encode();
        file.pwrite(&bytes, 0).map_err(DiskFailure::at(DiskOperation::Write, &prepared))?;
        file.sync().map_err(DiskFailure::at(DiskOperation::Sync, &prepared))?;
        disk.rename(&prepared, &path).map_err(DiskFailure::at(DiskOperation::Rename, &path))?;
        let dir = layout.segments();
        disk.sync_dir(&dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, &dir))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        Ok(Self {
            file,
            path,
            number: header.number,
            first_sequence: header.first_sequence,
            length,
            end: SEGMENT_HEADER as u64,
            hasher,
            unhashed: Vec::new(),
        })
    }

    /// Writes a frame at the end and makes it durable.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<(), DiskFailure> {
        self.file.pwrite(frame, self.end).map_err(DiskFailure::at(DiskOperation::Write, &self.path))?;
        self.file.sync().map_err(DiskFailure::at(DiskOperation::Sync, &self.path))?;
        self.unhashed.extend_from_slice(frame);
        self.end += frame.len() as u64;
        if self.unhashed.len() >= HASH_BLOCK {
            self.hash_the_rest();
        }
        Ok(())
    }

    /// Takes the last frames into the hash. Nobody waits for it, so it is done when nobody waits for the log either.
    pub(crate) fn hash_the_rest(&mut self) {
        self.hasher.update(&self.unhashed);
        self.unhashed.clear();
    }

    /// The hash of the whole file, whose rest is zeros.
    pub(crate) fn whole_hash(&mut self) -> [u8; 32] {
        self.hash_the_rest();
        let mut hasher = self.hasher.clone();
        let zeros = vec![0_u8; ZERO_BLOCK];
        let mut rest = usize::try_from(self.length - self.end).expect("the file was in memory or is no larger");
        while rest > 0 {
            let count = rest.min(ZERO_BLOCK);
            hasher.update(&zeros[..count]);
            rest -= count;
        }
        hasher.finalize().into()
    }
}

/// The file `HEAD`, whose two slots are written in turn so that one of them is always whole.
#[derive(Debug)]
pub(crate) struct HeadFile<F> {
    file: F,
    path: PathBuf,
    next_slot: usize,
}

impl<F: DiskFile> HeadFile<F> {
    /// Makes `HEAD` with the same content in both slots; it appears whole or not at all.
    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        layout: &Layout,
        id: LogId,
        slot: &HeadSlot,
    ) -> Result<(), DiskFailure> {
        let (new, path) = (layout.new_head(), layout.head());
        let mut bytes = vec![0_u8; HEAD_LENGTH];
        for start in [0, HEAD_SLOT_DISTANCE] {
            bytes[start..start + HEAD_SLOT].copy_from_slice(&slot.encode(id));
        }
        crate::atomic::replace_file(disk, &new, &path, &bytes)
    }

    pub(crate) fn open<D: Disk<File = F>>(disk: &D, layout: &Layout, next_slot: usize) -> Result<Self, DiskFailure> {
        let path = layout.head();
        let file = disk.open(&path, OpenMode::ReadWrite).map_err(DiskFailure::at(DiskOperation::Open, &path))?;
        Ok(Self { file, path, next_slot })
    }

    /// Writes and syncs the slot whose turn it is.
    pub(crate) fn write(&mut self, id: LogId, slot: &HeadSlot) -> Result<(), DiskFailure> {
        let offset = (self.next_slot * HEAD_SLOT_DISTANCE) as u64;
        self.file.pwrite(&slot.encode(id), offset).map_err(DiskFailure::at(DiskOperation::Write, &self.path))?;
        self.file.sync().map_err(DiskFailure::at(DiskOperation::Sync, &self.path))?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

/// What the background thread that prepares a segment came to.
pub(crate) fn join_preparation(thread: JoinHandle<Result<(), DiskFailure>>, path: &Path) -> Result<(), DiskFailure> {
    thread.join().unwrap_or_else(|_| {
        let source = io::Error::other("the thread that prepares a segment panicked");
        Err(DiskFailure { operation: DiskOperation::Write, file: path.to_owned(), source })
    })
}

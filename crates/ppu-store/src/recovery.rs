//! What is done to a sound log before it is used again: the torn tail is saved and cut, and nothing is believed that only the
//! page cache may know (LOG-7).

use crate::atomic::write_and_sync;
use crate::disk::{Disk, DiskFile, DiskOperation, OpenMode};
use crate::error::DiskFailure;
use crate::format::HeadSlot;
use crate::layout::Layout;
use crate::scan::{Scan, ScannedSegment, Torn};
use crate::segment::fill_with_zeros;
use std::io;
use std::path::PathBuf;

/// Frames are written again in pieces of this many bytes.
const COPY_BLOCK: usize = 1024 * 1024;

/// Bytes of a write that was cut short were removed from the end of the log.
///
/// It must become the first new record of the log, so that the cut itself is on record; until something has been appended,
/// each open reports it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailCut {
    /// The next sequence at the time of the cut: that of the first record that was never acknowledged.
    pub sequence: u64,
    /// Number of the segment.
    pub segment: u64,
    /// Where the bytes began, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// The file that keeps them.
    pub saved_as: PathBuf,
}

/// Saves and cuts the torn tail, if there is one, and writes again in place whatever lies beyond `head`.
pub(crate) fn settle<D: Disk>(disk: &D, layout: &Layout, scan: &Scan, head: HeadSlot) -> Result<(), DiskFailure> {
    if let Some(segment) = scan.segments.last() {
        if let Some(torn) = &scan.torn {
            save(disk, layout, scan.next_sequence, segment, torn)?;
        }
        // Earlier cuts are zeroed again too: the sync of one may have failed and only the page cache show the zeros.
        for cut in open_cuts(disk, layout, scan.next_sequence)? {
            zero(disk, segment, &cut)?;
        }
    }
    let mut directory_is_stale = false;
    for segment in &scan.segments {
        let number = segment.header.number;
        if number == head.end.segment {
            write_again(disk, segment, head.end.offset)?;
        } else if number > head.end.segment {
            directory_is_stale = true;
            write_again(disk, segment, 0)?;
        }
    }
    if directory_is_stale {
        let dir = layout.segments();
        disk.sync_dir(&dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, &dir))?;
    }
    Ok(())
}

fn write_again<D: Disk>(disk: &D, segment: &ScannedSegment, from: u64) -> Result<(), DiskFailure> {
    if from >= segment.end {
        return Ok(());
    }
    let path = &segment.path;
    let file = disk.open(path, OpenMode::ReadWrite).map_err(DiskFailure::at(DiskOperation::Open, path))?;
    let mut buffer = vec![0_u8; COPY_BLOCK];
    let mut offset = from;
    while offset < segment.end {
        let count = usize::try_from(segment.end - offset).unwrap_or(usize::MAX).min(COPY_BLOCK);
        let read = file.read(&mut buffer[..count], offset).map_err(DiskFailure::at(DiskOperation::Read, path))?;
        if read == 0 {
            let shrunk = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(DiskFailure::at(DiskOperation::Read, path)(shrunk));
        }
        file.pwrite(&buffer[..read], offset).map_err(DiskFailure::at(DiskOperation::Write, path))?;
        offset += read as u64;
    }
    file.sync().map_err(DiskFailure::at(DiskOperation::Sync, path))
}

/// The bytes are saved before they are removed; a crash in between only makes the next open save them once more.
fn save<D: Disk>(
    disk: &D,
    layout: &Layout,
    sequence: u64,
    segment: &ScannedSegment,
    torn: &Torn,
) -> Result<(), DiskFailure> {
    let dir = layout.torn();
    let count = list_torn(disk, layout)?.len();
    let name = format!("{sequence:020}-{}-{}-{count}.bin", segment.header.number, torn.offset);
    write_and_sync(disk, &dir.join(&name), &torn.bytes)?;
    disk.sync_dir(&dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, &dir))?;
    tracing::warn!(path = %segment.path.display(), offset = torn.offset, bytes = torn.bytes.len(), saved_as = %name,
        "the log ends in a torn write, which is cut");
    Ok(())
}

fn zero<D: Disk>(disk: &D, segment: &ScannedSegment, cut: &TailCut) -> Result<(), DiskFailure> {
    let (from, to) = (cut.offset.max(segment.end), (cut.offset + cut.bytes).min(segment.length));
    if cut.segment != segment.header.number || from >= to {
        return Ok(());
    }
    let path = &segment.path;
    let file = disk.open(path, OpenMode::ReadWrite).map_err(DiskFailure::at(DiskOperation::Open, path))?;
    fill_with_zeros(&file, from, to, path)?;
    file.sync().map_err(DiskFailure::at(DiskOperation::Sync, path))
}

/// The cuts at the end of the log that no record follows yet, the newest last.
pub(crate) fn open_cuts<D: Disk>(disk: &D, layout: &Layout, next_sequence: u64) -> Result<Vec<TailCut>, DiskFailure> {
    let mut cuts = list_torn(disk, layout)?;
    cuts.retain(|cut| cut.sequence == next_sequence);
    for cut in &mut cuts {
        let path = &cut.saved_as;
        let file = disk.open(path, OpenMode::Read).map_err(DiskFailure::at(DiskOperation::Open, path))?;
        cut.bytes = file.length().map_err(DiskFailure::at(DiskOperation::Read, path))?;
    }
    Ok(cuts)
}

/// All cuts ever saved, in order; their lengths are not read.
fn list_torn<D: Disk>(disk: &D, layout: &Layout) -> Result<Vec<TailCut>, DiskFailure> {
    let dir = layout.torn();
    let names = disk.list(&dir).map_err(DiskFailure::at(DiskOperation::Read, &dir))?;
    let mut cuts: Vec<(u64, TailCut)> = names
        .iter()
        .filter_map(|name| {
            let mut parts = name.strip_suffix(".bin")?.split('-').map(|part| part.parse::<u64>().ok());
            let (sequence, segment, offset) = (parts.next()??, parts.next()??, parts.next()??);
            let count = parts.next()??;
            Some((count, TailCut { sequence, segment, offset, bytes: 0, saved_as: dir.join(name) }))
        })
        .collect();
    cuts.sort_unstable_by_key(|(count, _)| *count);
    Ok(cuts.into_iter().map(|(_, cut)| cut).collect())
}

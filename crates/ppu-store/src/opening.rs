//! The steps of opening a log, before and after it is scanned.

use crate::disk::{Disk, DiskOperation};
use crate::error::{DiskFailure, OpenError};
use crate::format::{ChainHead, HeadSlot, LogId, Position, SEGMENT_HEADER, SegmentHeader};
use crate::layout::Layout;
use crate::options::LogOptions;
use crate::scan::Scan;
use crate::segment::{ActiveSegment, HeadFile, prepare_segment};
use std::io;

pub(crate) fn id_of(scan: &Scan) -> LogId {
    scan.id.expect("a log that was opened has a segment, whose header names the log")
}

/// Refuses network file systems, makes the directories and takes the lock.
pub(crate) fn enter<D: Disk>(disk: &D, layout: &Layout, may_create: bool) -> Result<D::Lock, OpenError> {
    let dir = layout.dir();
    if may_create {
        disk.create_dir_all(dir).map_err(DiskFailure::at(DiskOperation::CreateDirectory, dir))?;
    } else {
        match disk.list(&layout.segments()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::NotFound(dir.to_owned()));
            }
            other => drop(other.map_err(DiskFailure::at(DiskOperation::Read, dir))?),
        }
    }
    if let Some(kind) = disk.network_file_system(dir).map_err(DiskFailure::at(DiskOperation::Read, dir))? {
        return Err(OpenError::NetworkFileSystem { dir: dir.to_owned(), kind });
    }
    let lock = disk.try_lock(&layout.lock()).map_err(DiskFailure::at(DiskOperation::Lock, &layout.lock()))?;
    let lock = lock.ok_or_else(|| OpenError::Locked(dir.to_owned()))?;
    for dir in [layout.segments(), layout.torn()] {
        disk.create_dir_all(&dir).map_err(DiskFailure::at(DiskOperation::CreateDirectory, &dir))?;
    }
    Ok(lock)
}

/// Files that a crash left between being made and being given their name hold nothing.
pub(crate) fn remove_leftovers<D: Disk>(disk: &D, layout: &Layout) -> Result<(), DiskFailure> {
    for path in [layout.prepared(), layout.new_head()] {
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DiskFailure::at(DiskOperation::Remove, &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn create<D: Disk>(disk: &D, layout: &Layout, options: &LogOptions, id: LogId) -> Result<(), DiskFailure> {
    prepare_segment(disk, layout, options.segment_bytes)?;
    let chain_before = ChainHead::first(id);
    let header = SegmentHeader {
        id,
        number: 1,
        first_sequence: 1,
        chain_before,
        previous_hash: [0; 32],
        created_unix_ns: disk.unix_ns(),
        length: 0,
    };
    ActiveSegment::begin(disk, layout, &header)?;
    HeadFile::<D::File>::create(disk, layout, id, &empty_head(chain_before))
}

fn empty_head(chain: ChainHead) -> HeadSlot {
    HeadSlot { sequence: 0, end: Position { segment: 1, offset: SEGMENT_HEADER as u64 }, chain }
}

/// The newest readable slot of `HEAD`. A log whose making was cut short has one empty segment and no `HEAD` yet: it is finished.
pub(crate) fn trusted_head<D: Disk>(disk: &D, layout: &Layout, scan: &Scan) -> Result<HeadSlot, OpenError> {
    if let Some(slot) = scan.head() {
        return Ok(slot);
    }
    let first = scan.segments.first().expect("the scan found a segment");
    let is_unborn = !scan.head_exists && first.header.number == 1 && scan.last_sequence() == 0 && scan.torn.is_none();
    if !is_unborn {
        return Err(OpenError::HeadUnreadable(layout.head()));
    }
    let slot = empty_head(first.header.chain_before);
    HeadFile::<D::File>::create(disk, layout, id_of(scan), &slot)?;
    Ok(slot)
}

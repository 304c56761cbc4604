//! Reads a log from its first segment to its end, changes nothing, and gives the verdicts of reliability section 8.3.

use crate::disk::{Disk, DiskOperation, read_whole};
use crate::error::{Corruption, CorruptionFault, DiskFailure};
use crate::format::{
    ChainHead, FRAME_CRC, FRAME_HEADER, FRAME_MAGIC, Frame, HEAD_SLOT_DISTANCE, HeadSlot, LogId, Position,
    SEGMENT_HEADER, SegmentHeader, end_of_data, parse_segment_name,
};
use crate::layout::Layout;
use crate::tip::{Mark, Marks};
use std::path::PathBuf;

/// Segments with more bytes in use are checked by several threads.
const WORTH_THREADS: usize = 1024 * 1024;
/// Threads that recompute the chain. Reading and hashing go on beside them, and more than these would wait for memory.
const CHAIN_THREADS: usize = 2;

/// All that one pass over a log finds out.
pub(crate) struct Scan {
    pub(crate) id: Option<LogId>,
    pub(crate) segments: Vec<ScannedSegment>,
    pub(crate) next_sequence: u64,
    pub(crate) chain: ChainHead,
    pub(crate) head_exists: bool,
    pub(crate) slots: [Option<HeadSlot>; 2],
    /// The slots whose place is the end of a frame, or the beginning of a segment.
    slots_met: Vec<HeadSlot>,
    pub(crate) torn: Option<Torn>,
    pub(crate) corruption: Option<Corruption>,
    pub(crate) marks: Marks,
    /// Over the last segment up to its last frame, so that closing it later need not read it again.
    pub(crate) last_hasher: blake3::Hasher,
}

/// A segment whose frames were read.
pub(crate) struct ScannedSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    /// Length of the file in bytes.
    pub(crate) length: u64,
    /// End of the last good frame in bytes.
    pub(crate) end: u64,
    /// Records found.
    pub(crate) records: u64,
}

/// What a write that was cut short left behind the last good frame.
pub(crate) struct Torn {
    /// Where the bytes begin, at the end of the last good frame.
    pub(crate) offset: u64,
    /// The bytes up to the last that is not zero.
    pub(crate) bytes: Vec<u8>,
}

impl Scan {
    /// The newest slot of `HEAD` that can be read.
    pub(crate) fn head(&self) -> Option<HeadSlot> {
        self.slots.iter().flatten().max_by_key(|slot| slot.end).copied()
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }
}

/// Reads the whole log; damage is in [`Scan::corruption`], and what was read before it is in the rest.
pub(crate) fn scan<D: Disk>(disk: &D, layout: &Layout) -> Result<Scan, DiskFailure> {
    let names = match disk.list(&layout.segments()) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(DiskFailure::at(DiskOperation::Read, &layout.segments())(error)),
    };
    let firsts: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    let head = read_head(disk, layout)?;
    let mut scan = Scan {
        id: None,
        segments: Vec::with_capacity(firsts.len()),
        next_sequence: 1,
        chain: ChainHead([0; 32]),
        head_exists: head.is_some(),
        slots: [None, None],
        slots_met: Vec::new(),
        torn: None,
        corruption: None,
        marks: Marks::default(),
        last_hasher: blake3::Hasher::new(),
    };
    if firsts.is_empty() && scan.head_exists {
        scan.corruption = Some(scan.corruption(layout.head(), 0, CorruptionFault::SegmentsMissing));
        return Ok(scan);
    }
    let mut previous_hash = None;
    for (index, first) in firsts.iter().enumerate() {
        let path = layout.segment(*first);
        let bytes = read_whole(disk, &path).map_err(DiskFailure::at(DiskOperation::Read, &path))?;
        let is_last = index + 1 == firsts.len();
        let header_is_good = scan.take_header(&path, &bytes, *first, previous_hash).map(|()| {
            if index == 0 {
                scan.read_slots(head.as_deref());
            }
        });
        let (chains_hold, hash) = scan.check_by_threads(&bytes, header_is_good.is_ok(), is_last);
        let read = header_is_good.and_then(|()| scan.take_frames(&bytes, is_last, chains_hold));
        if let Err(corruption) = read {
            scan.corruption = Some(corruption);
            return Ok(scan);
        }
        if is_last {
            let end = scan.segments.last().map_or(0, |segment| segment.end);
            scan.last_hasher.update(&bytes[..to_index(end)]);
        } else {
            previous_hash = Some(hash.unwrap_or_else(|| blake3::hash(&bytes).into()));
        }
    }
    scan.corruption = scan.check_head_reached(layout).err();
    Ok(scan)
}

fn read_head<D: Disk>(disk: &D, layout: &Layout) -> Result<Option<Vec<u8>>, DiskFailure> {
    match read_whole(disk, &layout.head()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskFailure::at(DiskOperation::Read, &layout.head())(error)),
    }
}

/// Both slots of `HEAD`, as far as they can be read.
pub(crate) fn head_slots(head: &[u8], id: LogId) -> [Option<HeadSlot>; 2] {
    let (first, second) = head.split_at(head.len().min(HEAD_SLOT_DISTANCE));
    // More than two pages are not what was written, and the second page is the one that was added to.
    let second = if second.len() == HEAD_SLOT_DISTANCE { second } else { &[] };
    [HeadSlot::decode(first, id), HeadSlot::decode(second, id)]
}

/// Whether each frame of a segment yields the chain that it records, given the one recorded in the frame before it: so the
/// frames can be checked in any order.
fn chains_hold(data: &[u8], id: LogId, first: ChainHead) -> bool {
    let mut frames = Vec::new();
    let (mut offset, mut before) = (SEGMENT_HEADER, first);
    while let Some(frame) = data.get(offset..).and_then(|rest| Frame::decode(rest, offset as u64, id)) {
        offset += frame.header.length;
        let after = frame.header.chain_after;
        frames.push((before, frame));
        before = after;
    }
    let holds = |part: &[(ChainHead, Frame<'_>)]| {
        part.iter().all(|(before, frame)| frame.bodies().fold(*before, ChainHead::next) == frame.header.chain_after)
    };
    let share = frames.len().div_ceil(CHAIN_THREADS).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = frames.chunks(share).map(|part| scope.spawn(move || holds(part))).collect();
        threads.into_iter().all(|thread| thread.join().unwrap_or(false))
    })
}

fn to_index(offset: u64) -> usize {
    usize::try_from(offset).expect("the offset lies in bytes that are in memory")
}

impl Scan {
    fn corruption(&self, file: PathBuf, offset: u64, fault: CorruptionFault) -> Corruption {
        Corruption { file, offset, last_good_sequence: self.last_sequence(), fault }
    }

    fn read_slots(&mut self, head: Option<&[u8]>) {
        if let (Some(bytes), Some(id)) = (head, self.id) {
            self.slots = head_slots(bytes, id);
        }
    }

    fn take_header(
        &mut self,
        path: &std::path::Path,
        bytes: &[u8],
        named_first: u64,
        previous_hash: Option<[u8; 32]>,
    ) -> Result<(), Corruption> {
        let at_header = |scan: &Self, fault| Err(scan.corruption(path.to_owned(), 0, fault));
        let Some(header) = SegmentHeader::decode(bytes) else {
            return at_header(self, CorruptionFault::HeaderDamaged);
        };
        let in_place = if let (Some(id), Some(before)) = (self.id, self.segments.last()) {
            if header.id != id {
                return at_header(self, CorruptionFault::ForeignSegment);
            }
            header.number == before.header.number + 1
                && header.first_sequence == self.next_sequence
                && header.chain_before == self.chain
        } else if header.number == 1 {
            header.first_sequence == 1
                && header.chain_before == ChainHead::first(header.id)
                && header.previous_hash == [0; 32]
        } else {
            // Earlier segments were removed after they had been shipped; what they held cannot be checked here.
            header.number > 1 && header.first_sequence > 0
        };
        if !in_place || header.first_sequence != named_first {
            return at_header(self, CorruptionFault::SegmentOutOfPlace);
        }
        if header.length != 0 && header.length != bytes.len() as u64 {
            return at_header(self, CorruptionFault::SegmentResized { recorded: header.length });
        }
        if previous_hash.is_some_and(|hash| hash != header.previous_hash) {
            return at_header(self, CorruptionFault::PreviousSegmentChanged);
        }
        self.id = Some(header.id);
        self.next_sequence = header.first_sequence;
        self.chain = header.chain_before;
        let length = bytes.len() as u64;
        self.segments.push(ScannedSegment {
            header,
            path: path.to_owned(),
            length,
            end: SEGMENT_HEADER as u64,
            records: 0,
        });
        Ok(())
    }

    /// The slow part of a long segment: whether every frame yields the chain that it records, and the hash of a closed
    /// segment. `false` only means that the frames must be checked one after another, which finds out what is wrong.
    fn check_by_threads(&self, bytes: &[u8], is_worthwhile: bool, is_last: bool) -> (bool, Option<[u8; 32]>) {
        let Some(id) = self.id.filter(|_| is_worthwhile) else { return (false, None) };
        let data = &bytes[..end_of_data(bytes)];
        if data.len() < WORTH_THREADS {
            return (false, None);
        }
        std::thread::scope(|scope| {
            let hash = (!is_last).then(|| scope.spawn(|| blake3::hash(bytes).into()));
            let chains_hold = chains_hold(data, id, self.chain);
            (chains_hold, hash.and_then(|thread| thread.join().ok()))
        })
    }

    /// Reads the frames of the segment whose header was taken last. Their chain need not be computed where it is known to hold.
    fn take_frames(&mut self, bytes: &[u8], is_last: bool, chains_hold: bool) -> Result<(), Corruption> {
        let segment = self.segments.last().expect("a header was taken just before");
        let (path, header) = (segment.path.clone(), segment.header.clone());
        let id = header.id;
        let data_end = end_of_data(bytes);
        let mut offset = SEGMENT_HEADER as u64;
        loop {
            let position = Position { segment: header.number, offset };
            self.check_head_here(position, &path)?;
            let rest = &bytes[to_index(offset)..];
            let Some(frame) = Frame::decode(rest, offset, id) else {
                break;
            };
            self.marks.add(Mark {
                sequence: self.next_sequence,
                position,
                segment_first: header.first_sequence,
                chain_before: self.chain,
            });
            self.take_frame(&frame, chains_hold).map_err(|fault| self.corruption(path.clone(), offset, fault))?;
            offset += frame.header.length as u64;
            let segment = self.segments.last_mut().expect("a header was taken just before");
            segment.end = offset;
            segment.records += u64::from(frame.header.record_count);
        }
        if data_end <= to_index(offset) {
            return Ok(());
        }
        self.judge_bad_bytes(bytes, offset, data_end, is_last).map_err(|fault| self.corruption(path, offset, fault))
    }

    fn take_frame(&mut self, frame: &Frame<'_>, chain_holds: bool) -> Result<(), CorruptionFault> {
        if frame.header.first_sequence != self.next_sequence {
            return Err(CorruptionFault::SequenceGap { found: frame.header.first_sequence });
        }
        let chain =
            if chain_holds { frame.header.chain_after } else { frame.bodies().fold(self.chain, ChainHead::next) };
        if chain != frame.header.chain_after {
            return Err(CorruptionFault::ChainBroken { recorded: frame.header.chain_after });
        }
        self.chain = chain;
        self.next_sequence = frame.header.last_sequence() + 1;
        Ok(())
    }

    /// A slot that names a frame's end must agree with what was read up to there.
    fn check_head_here(&mut self, position: Position, path: &std::path::Path) -> Result<(), Corruption> {
        for slot in self.slots.into_iter().flatten().filter(|slot| slot.end == position) {
            if slot.sequence != self.last_sequence() || slot.chain != self.chain {
                let fault = CorruptionFault::HeadDisagrees { head_sequence: slot.sequence };
                return Err(self.corruption(path.to_owned(), position.offset, fault));
            }
            self.slots_met.push(slot);
        }
        Ok(())
    }

    /// Bytes that are not zero and not a frame begin at or after `offset`: a torn write, or damage?
    fn judge_bad_bytes(
        &mut self,
        bytes: &[u8],
        offset: u64,
        data_end: usize,
        is_last: bool,
    ) -> Result<(), CorruptionFault> {
        let segment = self.segments.last().expect("a header was taken just before");
        let here = Position { segment: segment.header.number, offset };
        // A segment that was closed had no torn tail: closing comes after the sync of its last frame.
        if !is_last || self.head().is_some_and(|slot| slot.end > here) {
            return Err(CorruptionFault::FrameDamaged);
        }
        if let Some(found_at) = self.find_frame_after(bytes, to_index(offset), data_end) {
            return Err(CorruptionFault::FrameAfterGap { found_at: found_at as u64 });
        }
        self.torn = Some(Torn { offset, bytes: bytes[to_index(offset)..data_end].to_vec() });
        Ok(())
    }

    /// Looks for a valid frame with a higher sequence at every eight-byte boundary after a bad one.
    fn find_frame_after(&self, bytes: &[u8], offset: usize, data_end: usize) -> Option<usize> {
        let id = self.id?;
        let last = data_end.checked_sub(FRAME_HEADER + FRAME_CRC)?;
        (offset + 8..=last).step_by(8).filter(|at| bytes[*at..*at + 4] == FRAME_MAGIC).find(|at| {
            Frame::decode(&bytes[*at..], *at as u64, id)
                .is_some_and(|frame| frame.header.first_sequence >= self.next_sequence)
        })
    }

    /// `HEAD` must not lie beyond the end that was found, nor between two frames.
    fn check_head_reached(&self, layout: &Layout) -> Result<(), Corruption> {
        let (Some(first), Some(last)) = (self.segments.first(), self.segments.last()) else {
            return Ok(());
        };
        let newest = self.head();
        for slot in self.slots.iter().flatten() {
            let disagrees = CorruptionFault::HeadDisagrees { head_sequence: slot.sequence };
            if slot.end.segment == last.header.number && slot.end.offset > last.end {
                return Err(self.corruption(last.path.clone(), last.end, CorruptionFault::FrameDamaged));
            }
            if slot.end.segment > last.header.number {
                return Err(self.corruption(layout.head(), 0, disagrees));
            }
            // The older slot may name a segment that is not kept any more.
            let kept = slot.end.segment >= first.header.number;
            if (!kept && newest == Some(*slot)) || (kept && !self.slots_met.contains(slot)) {
                return Err(self.corruption(layout.head(), 0, disagrees));
            }
        }
        Ok(())
    }
}

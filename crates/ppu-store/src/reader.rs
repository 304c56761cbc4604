//! Reading records back, verified frame by frame.

use crate::disk::{Disk, DiskFile, DiskOperation, OpenMode};
use crate::error::{Corruption, CorruptionFault, DiskFailure, ReadError};
use crate::format::{
    ChainHead, FRAME_HEADER, Frame, FrameHeader, HeadSlot, LogId, Position, SEGMENT_HEADER, SegmentHeader,
    parse_segment_name,
};
use crate::layout::Layout;
use crate::scan::head_slots;
use crate::tip::SharedTip;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes fetched at once: many frames for one call, and little enough for a reader that stops early.
const WINDOW: usize = 256 * 1024;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's sequence, from 1.
    pub sequence: u64,
    /// The record's bytes.
    pub body: Vec<u8>,
    /// Chain after this record.
    pub chain_head: ChainHead,
    /// Where the record's frame begins.
    pub position: Position,
}

/// Reads a log; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader<D: Disk> {
    disk: D,
    layout: Layout,
    id: LogId,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The log is open in this process: what is durable is known.
    Owner(SharedTip),
    /// Nobody is asked: all that verifies is read, and what lies below `HEAD` must verify.
    Files { head: Option<HeadSlot> },
}

impl<D: Disk> LogReader<D> {
    /// A reader that takes no lock: for other processes, for a look at a log that is in use, and for salvage, since it reads up
    /// to the first damage.
    ///
    /// Beyond `HEAD` it takes what verifies and ends where nothing does; [`verify`](crate::verify()) tells a clean end from a torn one.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no segment, [`ReadError::Corrupt`] if the first header is damaged.
    pub fn open(disk: D, dir: impl AsRef<Path>) -> Result<Self, ReadError> {
        let layout = Layout::new(dir.as_ref());
        let firsts = list_segments(&disk, &layout)?;
        let first = *firsts.first().ok_or_else(|| ReadError::NotFound(layout.dir().to_owned()))?;
        let mut segment = OpenSegment::open(&disk, layout.segment(first))?;
        let header = segment.header(0)?;
        let head = read_newest_head(&disk, &layout, header.id)?;
        Ok(Self { disk, layout, id: header.id, source: Source::Files { head } })
    }

    pub(crate) fn of_open_log(disk: D, layout: Layout, id: LogId, tip: SharedTip) -> Self {
        Self { disk, layout, id, source: Source::Owner(tip) }
    }

    /// The log's id.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// All records from a sequence on (0 and 1 both mean the first), up to what was durable when this was called.
    ///
    /// # Errors
    /// [`ReadError::NotKept`] if the log begins later; otherwise as the iterator.
    pub fn read_from(&self, sequence: u64) -> Result<Entries<D>, ReadError> {
        let wanted = sequence.max(1);
        let (last, must_reach, cursor) = match &self.source {
            Source::Owner(tip) => {
                let (durable, end) = {
                    let tip = tip.lock();
                    (tip.next_sequence - 1, tip.end)
                };
                (durable, Some(end), self.start_at_mark(tip, wanted)?)
            }
            Source::Files { head } => (u64::MAX, head.map(|slot| slot.end), self.start_at_segment(wanted)?),
        };
        Ok(Entries {
            disk: self.disk.clone(),
            layout: self.layout.clone(),
            id: self.id,
            cursor,
            wanted,
            last,
            must_reach,
            ready: VecDeque::new(),
            ended: wanted > last,
        })
    }

    fn start_at_mark(&self, tip: &SharedTip, wanted: u64) -> Result<Cursor<D::File>, ReadError> {
        let (mark, first) = {
            let tip = tip.lock();
            (tip.marks.before(wanted), tip.marks.first())
        };
        let Some(mark) = mark else {
            return match first {
                Some(first) => Err(ReadError::NotKept { asked: wanted, first: first.sequence }),
                None => self.start_at_segment(wanted),
            };
        };
        Ok(Cursor {
            segment: OpenSegment::open(&self.disk, self.layout.segment(mark.segment_first))?,
            number: mark.position.segment,
            offset: mark.position.offset,
            next_sequence: mark.sequence,
            chain: mark.chain_before,
        })
    }

    fn start_at_segment(&self, wanted: u64) -> Result<Cursor<D::File>, ReadError> {
        let firsts = list_segments(&self.disk, &self.layout)?;
        let Some(first) = firsts.iter().rev().find(|first| **first <= wanted) else {
            let first = firsts.first().copied();
            return Err(first.map_or_else(
                || ReadError::NotFound(self.layout.dir().to_owned()),
                |first| ReadError::NotKept { asked: wanted, first },
            ));
        };
        let mut segment = OpenSegment::open(&self.disk, self.layout.segment(*first))?;
        let header = segment.header(first - 1)?;
        Ok(Cursor {
            segment,
            number: header.number,
            offset: SEGMENT_HEADER as u64,
            next_sequence: header.first_sequence,
            chain: header.chain_before,
        })
    }
}

/// The records of a log in order. After an error it ends.
#[derive(Debug)]
pub struct Entries<D: Disk> {
    disk: D,
    layout: Layout,
    id: LogId,
    cursor: Cursor<D::File>,
    wanted: u64,
    last: u64,
    /// Up to here everything was durable, so that anything that does not verify is damage.
    must_reach: Option<Position>,
    ready: VecDeque<Entry>,
    ended: bool,
}

#[derive(Debug)]
struct Cursor<F> {
    segment: OpenSegment<F>,
    number: u64,
    offset: u64,
    next_sequence: u64,
    chain: ChainHead,
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            if self.ended || self.cursor.next_sequence > self.last {
                return None;
            }
            match self.read_frame().and_then(|read| if read { Ok(true) } else { self.go_to_next_segment() }) {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<D: Disk> Entries<D> {
    /// Takes the frame at the cursor; `false` where there is none.
    fn read_frame(&mut self) -> Result<bool, ReadError> {
        let cursor = &mut self.cursor;
        let offset = cursor.offset;
        let fixed = cursor.segment.bytes(offset, FRAME_HEADER)?;
        let Some(length) = FrameHeader::decode(fixed, offset).map(|header| header.length) else {
            return Ok(false);
        };
        let bytes = cursor.segment.bytes(offset, length)?;
        let Some(frame) = Frame::decode(bytes, offset, self.id) else {
            return Ok(false);
        };
        let mut chain = cursor.chain;
        let mut sequence = cursor.next_sequence;
        let position = Position { segment: cursor.number, offset };
        let fault = if frame.header.first_sequence == sequence {
            for body in frame.bodies() {
                chain = chain.next(body);
                if (self.wanted..=self.last).contains(&sequence) {
                    self.ready.push_back(Entry { sequence, body: body.to_vec(), chain_head: chain, position });
                }
                sequence += 1;
            }
            (chain != frame.header.chain_after)
                .then_some(CorruptionFault::ChainBroken { recorded: frame.header.chain_after })
        } else {
            Some(CorruptionFault::SequenceGap { found: frame.header.first_sequence })
        };
        if let Some(fault) = fault {
            self.ready.clear();
            return Err(self.corrupt(fault));
        }
        cursor.offset += length as u64;
        cursor.next_sequence = sequence;
        cursor.chain = chain;
        Ok(true)
    }

    /// Goes on in the segment that begins with the next sequence; `false` at the end of the log.
    fn go_to_next_segment(&mut self) -> Result<bool, ReadError> {
        let path = self.layout.segment(self.cursor.next_sequence);
        let fresh = path != self.cursor.segment.path;
        let opened = if fresh { OpenSegment::open_if_exists(&self.disk, path)? } else { None };
        let Some(mut segment) = opened else {
            let here = Position { segment: self.cursor.number, offset: self.cursor.offset };
            if self.must_reach.is_some_and(|end| end > here) {
                return Err(self.corrupt(CorruptionFault::FrameDamaged));
            }
            return Ok(false);
        };
        let header = segment.header(self.cursor.next_sequence - 1)?;
        let follows = header.id == self.id
            && header.number == self.cursor.number + 1
            && header.first_sequence == self.cursor.next_sequence
            && header.chain_before == self.cursor.chain;
        self.cursor.segment = segment;
        self.cursor.number = header.number;
        self.cursor.offset = 0;
        if !follows {
            return Err(self.corrupt(CorruptionFault::SegmentOutOfPlace));
        }
        self.cursor.offset = SEGMENT_HEADER as u64;
        Ok(true)
    }

    fn corrupt(&self, fault: CorruptionFault) -> ReadError {
        ReadError::Corrupt(Corruption {
            file: self.cursor.segment.path.clone(),
            offset: self.cursor.offset,
            last_good_sequence: self.cursor.next_sequence - 1,
            fault,
        })
    }
}

/// A segment's file with a window of its bytes.
#[derive(Debug)]
struct OpenSegment<F> {
    file: F,
    path: PathBuf,
    window: Vec<u8>,
    window_start: u64,
}

impl<F: DiskFile> OpenSegment<F> {
    fn open<D: Disk<File = F>>(disk: &D, path: PathBuf) -> Result<Self, DiskFailure> {
        let file = disk.open(&path, OpenMode::Read).map_err(DiskFailure::at(DiskOperation::Open, &path))?;
        Ok(Self { file, path, window: Vec::new(), window_start: 0 })
    }

    fn open_if_exists<D: Disk<File = F>>(disk: &D, path: PathBuf) -> Result<Option<Self>, DiskFailure> {
        match Self::open(disk, path) {
            Err(failure) if failure.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    fn header(&mut self, last_good_sequence: u64) -> Result<SegmentHeader, ReadError> {
        SegmentHeader::decode(self.bytes(0, SEGMENT_HEADER)?).ok_or_else(|| {
            let fault = CorruptionFault::HeaderDamaged;
            ReadError::Corrupt(Corruption { file: self.path.clone(), offset: 0, last_good_sequence, fault })
        })
    }

    /// The bytes at an offset; fewer than asked for at the end of the file.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], DiskFailure> {
        let inside =
            offset >= self.window_start && offset + length as u64 <= self.window_start + self.window.len() as u64;
        if !inside {
            self.window.resize(length.max(WINDOW), 0);
            self.window_start = offset;
            let read = self.file.read(&mut self.window, offset);
            let read = read.map_err(DiskFailure::at(DiskOperation::Read, &self.path));
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let start = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX).min(self.window.len());
        let end = (start + length).min(self.window.len());
        Ok(&self.window[start..end])
    }
}

fn list_segments<D: Disk>(disk: &D, layout: &Layout) -> Result<Vec<u64>, ReadError> {
    match disk.list(&layout.segments()) {
        Ok(names) => Ok(names.iter().filter_map(|name| parse_segment_name(name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::NotFound(layout.dir().to_owned())),
        Err(error) => Err(DiskFailure::at(DiskOperation::Read, &layout.segments())(error).into()),
    }
}

fn read_newest_head<D: Disk>(disk: &D, layout: &Layout, id: LogId) -> Result<Option<HeadSlot>, DiskFailure> {
    let path = layout.head();
    let bytes = match crate::disk::read_whole(disk, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(DiskFailure::at(DiskOperation::Read, &path))?,
    };
    Ok(head_slots(&bytes, id).into_iter().flatten().max_by_key(|slot| slot.end))
}

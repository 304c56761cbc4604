//! What the owner of a log tells its readers: how far it is durable, and where to begin reading.

use crate::error::LogFailure;
use crate::format::{ChainHead, Position};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Distance of two marks in bytes: a reader passes over at most this much to reach a record, and a full segment of 64 MiB costs
/// about 80 KiB of memory.
const MARK_DISTANCE: u64 = 64 * 1024;

/// A frame from which reading can begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// First sequence of the frame.
    pub(crate) sequence: u64,
    /// Where the frame begins.
    pub(crate) position: Position,
    /// First sequence of its segment, which names the file.
    pub(crate) segment_first: u64,
    /// Chain before the frame.
    pub(crate) chain_before: ChainHead,
}

/// A sparse index of frames, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    /// Keeps a frame's place if it is the first of its segment or far enough from the one before.
    pub(crate) fn add(&mut self, mark: Mark) {
        let near = self.0.last().is_some_and(|last| {
            last.position.segment == mark.position.segment
                && mark.position.offset - last.position.offset < MARK_DISTANCE
        });
        if !near {
            self.0.push(mark);
        }
    }

    /// The last mark at or before a sequence.
    pub(crate) fn before(&self, sequence: u64) -> Option<Mark> {
        let after = self.0.partition_point(|mark| mark.sequence <= sequence);
        after.checked_sub(1).map(|index| self.0[index])
    }

    pub(crate) fn first(&self) -> Option<Mark> {
        self.0.first().copied()
    }
}

/// Where the next segment stands (LOG-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preparation {
    /// The current segment is not half full yet.
    #[default]
    NotNeeded,
    /// Being filled with zeros in the background.
    Running,
    /// Filled and synced: the space is reserved.
    Ready,
    /// It could not be made. Degrade before the current segment is full; it is tried again now and then.
    Failed(io::ErrorKind),
}

/// The state that the owner shares.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) next_sequence: u64,
    pub(crate) end: Position,
    pub(crate) chain: ChainHead,
    pub(crate) segment_length: u64,
    pub(crate) preparation: Preparation,
    pub(crate) marks: Marks,
    pub(crate) failure: Option<Arc<LogFailure>>,
}

/// The tip, shared between the log's owner, its readers and the handles of its writer thread.
#[derive(Clone, Debug)]
pub(crate) struct SharedTip(Arc<Mutex<Tip>>);

impl SharedTip {
    pub(crate) fn new(tip: Tip) -> Self {
        Self(Arc::new(Mutex::new(tip)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Tip> {
        // Every change of the tip is a plain assignment, so a panic elsewhere cannot leave it half made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

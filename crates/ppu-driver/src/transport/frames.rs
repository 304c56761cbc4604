//! The last frames of a line, kept as evidence for doubts.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Frames kept; at a poll a second this is about half a minute of conversation.
const KEPT_FRAMES: usize = 64;
/// Bytes of a frame that are kept; a spectrum would otherwise push everything else out of memory.
const KEPT_BYTES: usize = 256;

/// Which way a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the instrument.
    Sent,
    /// From the instrument.
    Received,
    /// From the instrument, and thrown away.
    Discarded,
}

#[derive(Debug)]
struct Kept {
    unix_ms: u128,
    direction: Direction,
    bytes: Vec<u8>,
    length: usize,
}

/// The last frames of a line. Clones share the same frames.
#[derive(Debug, Clone, Default)]
pub struct FrameLog {
    frames: Arc<Mutex<VecDeque<Kept>>>,
}

impl FrameLog {
    /// Takes in a frame and writes it to the trace.
    pub(crate) fn record(&self, line: &str, direction: Direction, bytes: &[u8]) {
        tracing::trace!(line, ?direction, length = bytes.len(), bytes = %hex(bytes, KEPT_BYTES), "frame");
        // Wall time is a label here; nothing is decided by it (CLK-3).
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let kept = bytes[..bytes.len().min(KEPT_BYTES)].to_vec();
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() == KEPT_FRAMES {
            frames.pop_front();
        }
        frames.push_back(Kept { unix_ms, direction, bytes: kept, length: bytes.len() });
    }

    /// The frames as text, oldest first: UTC time of day, direction (`>` sent, `<` received, `x` thrown away), bytes.
    pub fn recent(&self) -> Vec<String> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().map(Kept::to_string).collect()
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, milliseconds) = (self.unix_ms / 1000 % 86_400, self.unix_ms % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let arrow = match self.direction {
            Direction::Sent => '>',
            Direction::Received => '<',
            Direction::Discarded => 'x',
        };
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03} {arrow} {}", hex(&self.bytes, KEPT_BYTES))?;
        if self.length > self.bytes.len() {
            write!(f, " … {} bytes in all", self.length)?;
        }
        Ok(())
    }
}

/// Bytes as hexadecimal pairs, cut at `limit` bytes; "nothing" when there are none.
pub(crate) fn hex(bytes: &[u8], limit: usize) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = String::with_capacity(3 * bytes.len().min(limit));
    for (index, byte) in bytes.iter().take(limit).enumerate() {
        let gap = if index == 0 { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{gap}{byte:02X}");
    }
    if bytes.len() > limit {
        text.push_str(" …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_frames_are_kept_and_long_ones_are_cut() {
        let log = FrameLog::default();
        for number in 0..70_u8 {
            log.record("test", Direction::Sent, &[number]);
        }
        log.record("test", Direction::Received, &[0xAB; 300]);
        let recent = log.recent();
        assert_eq!(recent.len(), KEPT_FRAMES);
        assert!(recent[0].ends_with("> 07"), "{}", recent[0]);
        assert!(recent[63].ends_with("… 300 bytes in all"), "{}", recent[63]);
    }
}

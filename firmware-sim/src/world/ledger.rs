//! The append-only ledger: one JSON line per physical action, the judge of "no action is repeated or forgotten".

use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How a physical action went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened as asked, within the device's errors.
    Done,
    /// It happened in part: a bubble, a clinging drop, an overflow.
    Partial,
    /// It was tried and nothing useful happened.
    Failed,
    /// It cannot be tried: there is no such port or position.
    Refused,
}

/// One line of the ledger (chapter 14 of the world's specification).
#[derive(Debug, Clone, Serialize)]
pub struct LedgerEntry {
    /// Line number, from 1; the header is line 0.
    pub n: u64,
    /// Simulated start, s.
    pub start_s: f64,
    /// Simulated end, s.
    pub end_s: f64,
    /// Device that acted; `world` for what happens by itself.
    pub device: String,
    /// Transport-independent name of the action.
    pub action: String,
    /// Hash of the protocol bytes that caused it.
    pub frame: String,
    /// Command id those bytes carry, if any.
    pub command_id: Option<String>,
    /// What was asked.
    pub requested: Value,
    /// What truly happened.
    pub realised: Value,
    /// How it went.
    pub outcome: Outcome,
    /// How often this device has done this action by now, this one included.
    pub executions: u64,
    /// Hash of the state before.
    pub state_before: String,
    /// Hash of the state after.
    pub state_after: String,
}

#[derive(Debug)]
enum Sink {
    File(BufWriter<File>),
    Memory(Arc<Mutex<Vec<String>>>),
    Discard,
}

/// Writes ledger lines to a file or, for tests, to memory.
#[derive(Debug)]
pub struct LedgerWriter {
    sink: Sink,
}

impl LedgerWriter {
    /// A ledger in a file, appended to and flushed line by line.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { sink: Sink::File(BufWriter::new(file)) })
    }

    /// A ledger in memory; the second value reads it.
    pub fn to_memory() -> (Self, LedgerReader) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        (Self { sink: Sink::Memory(Arc::clone(&lines)) }, LedgerReader { lines })
    }

    /// A ledger that keeps nothing.
    pub fn discard() -> Self {
        Self { sink: Sink::Discard }
    }

    /// Appends one line and flushes it.
    pub(crate) fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file) => {
                serde_json::to_writer(&mut *file, line)?;
                file.write_all(b"\n")?;
                file.flush()
            }
            Sink::Memory(lines) => {
                let text = serde_json::to_string(line)?;
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                Ok(())
            }
            Sink::Discard => Ok(()),
        }
    }
}

/// Reads a ledger kept in memory.
#[derive(Debug, Clone)]
pub struct LedgerReader {
    lines: Arc<Mutex<Vec<String>>>,
}

impl LedgerReader {
    /// All lines so far, the header first.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines so far as JSON values, the header first.
    pub fn entries(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

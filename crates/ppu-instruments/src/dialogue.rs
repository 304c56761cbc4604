//! Question and answer over a line of text or frames, one at a time (MB-4), with the rules for a line that went wrong.

use std::time::Duration;

use ppu_driver::transport::{Frame, LineError, Port};
use ppu_driver::{Fault, codes};

/// How long a line must be quiet after a time-out or a garbled reply before anything is asked again: longer than the
/// latest late reply seen in the field (450 ms), so that it is thrown away and never taken for another answer (SER-3).
const HOLD_OFF: Duration = Duration::from_millis(550);
/// A device that still talks after this is broken.
const BABBLE_LIMIT: Duration = Duration::from_secs(3);
/// Writing a short command takes milliseconds; a port that does not take it is stuck.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// What went wrong with one question.
#[derive(Debug)]
pub(crate) enum Unheard {
    /// The line failed or nothing came in time.
    Line(LineError),
    /// Something came that is not an answer to the question.
    Garbled(String),
}

impl Unheard {
    /// Whether asking again on the same line makes sense.
    pub(crate) fn may_ask_again(&self) -> bool {
        matches!(self, Unheard::Garbled(_) | Unheard::Line(LineError::TimedOut { .. } | LineError::TooLong { .. }))
    }
}

impl From<LineError> for Unheard {
    fn from(error: LineError) -> Self {
        Unheard::Line(error)
    }
}

impl From<Unheard> for Fault {
    fn from(unheard: Unheard) -> Fault {
        match unheard {
            Unheard::Line(error) => error.silent(),
            Unheard::Garbled(message) => Fault::Silent { code: codes::BAD_REPLY, message },
        }
    }
}

/// Writes bytes that have no reply.
pub(crate) async fn tell(port: &mut Port, bytes: &[u8]) -> Result<(), Unheard> {
    let written = match port.line() {
        Ok(line) => line.write(bytes, WRITE_WITHIN).await,
        Err(error) => Err(error),
    };
    close_if_broken(port, written)
}

/// Writes a question and reads one frame as its answer. What lay in the input before the question is an event, never
/// the answer (SER-4); it is returned as the second value.
pub(crate) async fn ask(
    port: &mut Port,
    question: &[u8],
    limit: usize,
    within: Duration,
    find: impl FnMut(&[u8]) -> Frame,
) -> Result<(Vec<u8>, Vec<u8>), Unheard> {
    let answer = match port.line() {
        Ok(line) => {
            let unasked = line.take_pending();
            match line.write(question, WRITE_WITHIN).await {
                Ok(()) => line.read_frame(limit, within, find).await.map(|answer| (answer, unasked)),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    close_if_broken(port, answer)
}

/// Throws away everything until the line has been quiet for longer than any late reply.
pub(crate) async fn quieten(port: &mut Port) -> Result<(), Unheard> {
    let quiet = match port.line() {
        Ok(line) => line.discard_until_idle(HOLD_OFF, BABBLE_LIMIT).await,
        Err(error) => Err(error),
    };
    close_if_broken(port, quiet).map(drop)
}

/// The decision for frames that end with these bytes.
pub(crate) fn until(terminator: &'static [u8]) -> impl FnMut(&[u8]) -> Frame {
    move |bytes| match bytes.windows(terminator.len()).position(|window| window == terminator) {
        Some(start) => Frame::Complete(start + terminator.len()),
        None => Frame::More,
    }
}

/// Printable text of a reply without its line end; anything else is garbled.
pub(crate) fn printable(bytes: &[u8]) -> Result<&str, Unheard> {
    let garbled = || Unheard::Garbled(format!("unreadable reply {}", bytes.escape_ascii()));
    let text = std::str::from_utf8(bytes).map_err(|_| garbled())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.chars().any(char::is_control) { Err(garbled()) } else { Ok(text) }
}

/// A line that is gone is closed, so that the next opening makes a new one (SER-1); one that is merely late is kept.
fn close_if_broken<T>(port: &mut Port, outcome: Result<T, LineError>) -> Result<T, Unheard> {
    if let Err(error) = &outcome
        && !matches!(error, LineError::TimedOut { .. } | LineError::TooLong { .. })
    {
        port.close();
    }
    outcome.map_err(Unheard::Line)
}

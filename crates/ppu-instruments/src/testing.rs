//! What the tests of all drivers share: requests, attention, and a device at the far end of a line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ppu_core::{Arguments, Unit, Value};
use ppu_driver::transport::{Line, Port};
use ppu_driver::{Attention, Fault, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// A thousand seconds of lab time a second, never aborted.
pub(crate) fn attention() -> Attention {
    Attention::new(1000.0, watch::channel(false).1)
}

/// An attention that asks for the end at once.
pub(crate) fn aborting() -> Attention {
    Attention::new(1000.0, watch::channel(true).1)
}

pub(crate) fn request<const N: usize>(command: &str, arguments: [(&str, Value); N]) -> Request {
    Request {
        key: "run-7/step_3#1".to_owned(),
        capability: "any".to_owned(),
        command: command.to_owned(),
        arguments: arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Arguments>(),
        sample: None,
        positions: Vec::new(),
    }
}

pub(crate) fn quantity(value: f64, unit: Unit) -> Value {
    Value::quantity(value, unit)
}

pub(crate) fn is_refused<T>(outcome: &Result<T, Fault>, expected: &str) -> bool {
    matches!(outcome, Err(Fault::Refused { code, .. }) if *code == expected)
}

pub(crate) fn is_partial<T>(outcome: &Result<T, Fault>, expected: &str) -> bool {
    matches!(outcome, Err(Fault::Partial { code, .. }) if *code == expected)
}

pub(crate) fn is_silent<T>(outcome: &Result<T, Fault>) -> bool {
    matches!(outcome, Err(Fault::Silent { .. }))
}

/// What goes wrong with one exchange. A line takes them one after another for the questions it has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The device never hears the question.
    LostRequest,
    /// The device acts and its answer is lost.
    LostReply,
    /// The device acts and one bit of its answer is flipped.
    Garbled,
    /// The answer comes this many milliseconds later.
    Late(u64),
    /// The answer has noise in front of it.
    Noise,
}

/// A device model behind a line: what it answers to one question, `None` for no answer.
pub(crate) trait Device: Send + 'static {
    /// Takes the first whole question out of what has come.
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>>;
    /// Acts on a question.
    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>>;
}

/// Troubles to come, each with the bytes that its question contains.
type Troubles = Arc<Mutex<VecDeque<(Vec<u8>, Trouble)>>>;

/// A device that the test can look into while the driver talks to it.
#[derive(Debug)]
pub(crate) struct Shared<D> {
    pub(crate) device: Arc<Mutex<D>>,
    troubles: Troubles,
}

impl<D> Clone for Shared<D> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone(), troubles: self.troubles.clone() }
    }
}

impl<D: Device> Shared<D> {
    pub(crate) fn new(device: D) -> Self {
        Self { device: Arc::new(Mutex::new(device)), troubles: Arc::default() }
    }

    /// The next question that contains these bytes meets this trouble; troubles are used up in order.
    pub(crate) fn expect(&self, part: &[u8], trouble: Trouble) {
        self.troubles.lock().unwrap().push_back((part.to_vec(), trouble));
    }

    /// Whether all troubles have been met.
    pub(crate) fn all_met(&self) -> bool {
        self.troubles.lock().unwrap().is_empty()
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut D) -> T) -> T {
        look(&mut self.device.lock().unwrap())
    }

    /// A port to the device.
    pub(crate) fn port(&self) -> Port {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(self.clone().serve(far));
        Port::from_line(Line::new("test", near).into_boxed())
    }

    /// Serves one connection until it ends.
    pub(crate) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut received = Vec::new();
        let mut chunk = [0_u8; 1024];
        loop {
            while let Some(question) = self.look(|device| device.question(&mut received)) {
                let trouble = self.trouble(&question);
                if trouble == Some(Trouble::LostRequest) {
                    continue;
                }
                let Some(mut answer) = self.look(|device| device.answer(&question)) else { continue };
                match trouble {
                    Some(Trouble::LostReply) => continue,
                    Some(Trouble::Garbled) => {
                        let middle = answer.len() / 2;
                        answer[middle] ^= 0x10;
                    }
                    Some(Trouble::Late(delay)) => tokio::time::sleep(Duration::from_millis(delay)).await,
                    Some(Trouble::Noise) => answer.splice(0..0, *b"\xFF\xFE\x01").for_each(drop),
                    Some(Trouble::LostRequest) | None => {}
                }
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            match stream.read(&mut chunk).await {
                Ok(count) if count > 0 => received.extend_from_slice(&chunk[..count]),
                _ => return,
            }
        }
    }

    fn trouble(&self, question: &[u8]) -> Option<Trouble> {
        let mut troubles = self.troubles.lock().unwrap();
        let (part, _) = troubles.front()?;
        let met = question.windows(part.len()).any(|window| window == part);
        if met { troubles.pop_front().map(|(_, trouble)| trouble) } else { None }
    }
}

/// Runs cases side by side, because most of their time is spent waiting for a line to fall silent.
pub(crate) async fn side_by_side<F: Future<Output = ()> + Send + 'static>(cases: impl IntoIterator<Item = F>) {
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        running.spawn(case);
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// Takes a line that ends with this out of what has come.
pub(crate) fn take_line(received: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    let at = received.windows(end.len()).position(|window| window == end)?;
    Some(received.drain(..at + end.len()).collect())
}

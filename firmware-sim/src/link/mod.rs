//! The outside of the instruments: pseudo-terminals and TCP ports that carry the bytes of a [`Lab`].

pub mod pty;
pub mod tcp;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::device::{Port, Session};
use crate::lab::{Lab, LinkState, Transmission};

/// The laboratory, shared by all links. The lock is never held across an await.
pub type SharedLab = Arc<Mutex<Lab>>;

/// A pause that ends a message on a line without length fields. Far above 3.5 characters at 9600 baud (4 ms), because a
/// busy machine may hold a writer up; far below a driver's time-out.
pub const IDLE: Duration = Duration::from_millis(40);

/// Locks the laboratory; a panic in another task leaves it usable.
pub fn lock(lab: &SharedLab) -> MutexGuard<'_, Lab> {
    lab.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that ends when it is dropped, however its task ends.
pub(crate) struct Connection {
    lab: SharedLab,
    pub(crate) session: Session,
}

impl Connection {
    pub(crate) fn open(lab: &SharedLab, device: usize, port: Port) -> (Self, mpsc::Receiver<Transmission>) {
        let (session, output) = lock(lab).connect(device, port);
        (Self { lab: Arc::clone(lab), session }, output)
    }

    pub(crate) fn receive(&self, bytes: &[u8]) {
        lock(&self.lab).receive(self.session, bytes);
    }

    pub(crate) fn idle(&self) {
        lock(&self.lab).line_idle(self.session);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.lab).disconnect(self.session);
    }
}

/// Waits until the port may be open, and returns the state it was opened in.
pub(crate) async fn wait_until_open(state: &mut watch::Receiver<LinkState>, seen: &mut u64) -> Option<LinkState> {
    loop {
        let now = *state.borrow_and_update();
        if now.offline {
            state.changed().await.ok()?;
            continue;
        }
        if now.generation != *seen {
            *seen = now.generation;
            tokio::time::sleep(Duration::from_millis(now.reopen_after_ms)).await;
            continue;
        }
        return Some(now);
    }
}

/// Resolves when the line is cut.
pub(crate) async fn cut(state: &mut watch::Receiver<LinkState>, seen: u64) {
    loop {
        if state.borrow_and_update().generation != seen || state.changed().await.is_err() {
            return;
        }
    }
}

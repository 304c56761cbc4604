//! Who may command the device, and whether anything may start: one current session, and the watchdogs on its heartbeat
//! (REL-2, REL-9). A plain state machine; the time is an input.

use std::time::Duration;

/// 128 random bits that name a session.
pub(crate) type SessionId = [u8; 16];

/// Why nothing may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shut {
    /// No scheduler has attached since the driver started.
    #[error("no scheduler has attached")]
    NeverAttached,
    /// The scheduler was silent for longer than T1 allows. Heartbeats alone do not end it: what queued up during a pause
    /// of either side must not start, so the scheduler attaches again (CLK-2).
    #[error("the scheduler fell silent: it must attach again")]
    Silent,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    id: SessionId,
    last_sign_ns: u64,
    fell_silent: bool,
    made_safe: bool,
}

/// The gate in front of the device.
#[derive(Debug)]
pub(crate) struct Gate {
    session: Option<Session>,
    t1_ns: u64,
    t2_ns: Option<u64>,
}

fn as_ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Gate {
    pub(crate) fn new(t1: Duration, t2: Option<Duration>) -> Self {
        Self { session: None, t1_ns: as_ns(t1), t2_ns: t2.map(as_ns) }
    }

    /// A new session replaces the one before and ends both watchdogs.
    pub(crate) fn attach(&mut self, id: SessionId, now_ns: u64) {
        self.session = Some(Session { id, last_sign_ns: now_ns, fell_silent: false, made_safe: false });
    }

    /// Whether this is the current session.
    pub(crate) fn is_current(&self, id: &[u8]) -> bool {
        self.session.is_some_and(|session| session.id == id)
    }

    /// Takes in a heartbeat and says whether the session is the current one and has not fallen silent before.
    pub(crate) fn heartbeat(&mut self, id: &[u8], now_ns: u64) -> bool {
        if !self.is_current(id) {
            return false;
        }
        // The watchdog looks before the heartbeat counts, or one that queued up while this process slept would pass.
        let open = self.check(now_ns).is_ok();
        if let Some(session) = &mut self.session {
            session.last_sign_ns = now_ns;
        }
        open
    }

    /// Whether something may start now.
    pub(crate) fn check(&mut self, now_ns: u64) -> Result<(), Shut> {
        let t1_ns = self.t1_ns;
        let session = self.session.as_mut().ok_or(Shut::NeverAttached)?;
        if !session.fell_silent && now_ns.saturating_sub(session.last_sign_ns) > t1_ns {
            session.fell_silent = true;
            tracing::warn!("no heartbeat within T1: nothing more is started until the scheduler attaches again");
        }
        if session.fell_silent { Err(Shut::Silent) } else { Ok(()) }
    }

    /// Whether T2 has passed and the device is to be made safe; true once a session.
    pub(crate) fn safe_state_due(&mut self, now_ns: u64) -> bool {
        let (Some(session), Some(t2_ns)) = (&mut self.session, self.t2_ns) else { return false };
        if session.made_safe || now_ns.saturating_sub(session.last_sign_ns) <= t2_ns {
            return false;
        }
        session.fell_silent = true;
        session.made_safe = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const ONE: SessionId = [1; 16];
    const TWO: SessionId = [2; 16];

    fn gate() -> Gate {
        Gate::new(Duration::from_secs(3), Some(Duration::from_secs(5)))
    }

    #[test]
    fn nothing_starts_before_attach_and_after_t1_and_only_attach_opens_again() {
        let mut gate = gate();
        assert_eq!(gate.check(0), Err(Shut::NeverAttached));
        gate.attach(ONE, 0);
        assert_eq!(gate.check(3 * SECOND), Ok(()));
        assert!(gate.heartbeat(&ONE, 3 * SECOND));
        assert_eq!(gate.check(6 * SECOND), Ok(()));
        assert_eq!(gate.check(6 * SECOND + 1), Err(Shut::Silent));
        assert!(!gate.heartbeat(&ONE, 7 * SECOND), "a heartbeat after the silence does not open the gate");
        assert_eq!(gate.check(7 * SECOND), Err(Shut::Silent));
        gate.attach(TWO, 8 * SECOND);
        assert_eq!(gate.check(8 * SECOND), Ok(()));
        assert!(!gate.heartbeat(&ONE, 8 * SECOND), "the session before is stale");
    }

    #[test]
    fn a_heartbeat_that_queued_up_during_a_pause_does_not_open_the_gate() {
        let mut gate = gate();
        gate.attach(ONE, 0);
        assert!(!gate.heartbeat(&ONE, 30 * SECOND));
        assert_eq!(gate.check(30 * SECOND), Err(Shut::Silent));
    }

    #[test]
    fn the_safe_state_is_due_once_a_session() {
        let mut gate = gate();
        gate.attach(ONE, 0);
        assert!(!gate.safe_state_due(5 * SECOND));
        assert!(gate.safe_state_due(5 * SECOND + 1));
        assert!(!gate.safe_state_due(9 * SECOND));
        gate.attach(TWO, 10 * SECOND);
        assert!(gate.safe_state_due(16 * SECOND));
    }
}

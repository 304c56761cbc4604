//! The computer that a process runs on: its clocks, its threads, its randomness.
//!
//! Scheduler and drivers take nothing of these from anywhere else, so that the very same code runs on a real computer
//! and in a simulation that is repeated exactly from its seed. The disk is a seam of its own (`ppu_store::Disk`).

mod real;

pub use real::RealHost;

use std::fmt;

use futures_util::future::BoxFuture;

/// The computer under a process.
pub trait Host: fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds of CLOCK_BOOTTIME, which goes on while the computer sleeps (CLK-2). Decisions use this clock only.
    fn boot_ns(&self) -> u64;

    /// Unix time in nanoseconds, 0 for a clock set before 1970. A label in records (CLK-3).
    fn wall_ns(&self) -> i64;

    /// The boot id of the computer; empty where the kernel does not tell. CLOCK_BOOTTIME begins anew with each.
    fn machine_boot(&self) -> String;

    /// 128 random bits.
    fn random(&self) -> [u8; 16];

    /// Whether work that blocks goes to threads. In a simulation it is done on the spot.
    fn has_threads(&self) -> bool {
        true
    }

    /// Passes a named point at which a process may die. `None` on a real computer, where nothing has to be waited for.
    fn pass(&self, _point: CrashPoint) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl dyn Host {
    /// Unix time in milliseconds. A label.
    pub fn wall_ms(&self) -> i64 {
        self.wall_ns() / 1_000_000
    }

    /// Waits where a simulation wants a process to wait, or to die.
    pub async fn at(&self, point: CrashPoint) {
        if let Some(held) = self.pass(point) {
            held.await;
        }
    }

    /// Does work that blocks away from the reactor. A panic of the work goes on here.
    pub async fn do_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        if !self.has_threads() {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that is shutting down cancels it, and then nobody looks at what follows any more.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The moments around the durable records of the protocol. A crash between any two of them must leave a state from which
/// the lab goes on by itself or asks a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CrashPoint {
    /// Scheduler: an intent was decided and is not in the journal.
    BeforeIntent,
    /// Scheduler: the intent is durable, nothing was sent.
    IntentDurable,
    /// Scheduler: a driver's outcome arrived and is not in the journal.
    OutcomeReceived,
    /// Scheduler: the outcome is durable and not acknowledged.
    OutcomeRecorded,
    /// Driver: a command arrived and is not in the ledger.
    BeforeAccepted,
    /// Driver: ACCEPTED is durable, nobody was told.
    AcceptedDurable,
    /// Driver: the command may begin, STARTED is not in the ledger.
    BeforeStarted,
    /// Driver: STARTED is durable, the device was told nothing.
    StartedDurable,
    /// Driver: the device ended, the outcome is not in the ledger.
    DeviceEnded,
    /// Driver: the outcome is durable and was not delivered.
    OutcomeDurable,
}

impl CrashPoint {
    /// Every point, in the order of a step.
    pub const ALL: [CrashPoint; 10] = [
        CrashPoint::BeforeIntent,
        CrashPoint::IntentDurable,
        CrashPoint::BeforeAccepted,
        CrashPoint::AcceptedDurable,
        CrashPoint::BeforeStarted,
        CrashPoint::StartedDurable,
        CrashPoint::DeviceEnded,
        CrashPoint::OutcomeDurable,
        CrashPoint::OutcomeReceived,
        CrashPoint::OutcomeRecorded,
    ];
}

//! Everything that can happen next: steps of the protocol, and faults.

use crate::message::{Message, Verdict};
use crate::state::Key;

/// One step of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A request arrives, and its answer.
    Deliver(Message),
    /// A request arrives, and its answer; the request will arrive again.
    DeliverCopy(Message),
    /// A request arrives and its answer does not; the request may arrive again.
    DeliverUnanswered(Message),
    /// An Execute arrives at a driver that finds it invalid for a reason that may pass.
    DeliverToUnwilling(Message),
    /// A message is lost.
    Lose(Message),

    /// The scheduler's process ends.
    CrashScheduler,
    /// The scheduler is paused, and a standby will take over.
    DeposeScheduler,
    /// A scheduler's process begins with a new epoch (F1).
    StartScheduler,
    /// The scheduler asks a driver for a session.
    Attach(usize),
    /// A heartbeat shows that the session is no longer the current one.
    NoticeStaleSession(usize),
    /// The Intent of the next attempt is written (F3).
    Intend(u8),
    /// An intended command is sent, or sent again.
    SendExecute(u8),
    /// It is decided to do the first step elsewhere.
    WantVoid,
    /// The tombstone is asked for, or asked for again.
    SendVoidStep,
    /// An outcome is taken from the event stream and acknowledged.
    TakeOutcome(Key),
    /// An outcome is taken and its acknowledgement lost.
    TakeUnacknowledged(Key),
    /// A person sends a verdict on a doubt to the driver.
    SendResolve(u8, Verdict),
    /// A person gives a verdict on a doubt of which no driver knows (REL-14).
    ResolveOrphan(u8, Verdict),
    /// A person retires the ledger of driver 0, whose process is down and whose device was inspected (REL-14).
    RetireLedger,
    /// W1, W3: the replacement is allowed without a tombstone.
    ActElsewhere,
    /// Late Intent: a command is sent before its Intent is written.
    SendUnwritten(u8),
    /// Late Intent: the Intent is written at last.
    WriteIntent,
    /// Ack before F7: the outcome is written at last.
    WriteOutcome,

    /// A deposed scheduler sends again what it had intended.
    DeposedSendsAgain(u8),
    /// A deposed scheduler intends and sends a command of its own.
    DeposedSendsItsOwn(u8),

    /// A driver's process ends.
    CrashDriver(usize),
    /// A driver's process begins.
    StartDriver(usize),
    /// STARTED is written (F5).
    Start(usize),
    /// The deadline of an ACCEPTED attempt passes.
    EndLate(usize),
    /// The device is told.
    Tell(usize),
    /// The device's answer arrives, and the outcome is written (F6).
    Hear(usize),
    /// The device's answer does not arrive in time.
    FallSilent(usize),
    /// STARTED without outcome goes by its class (REL-8).
    Settle(usize),
    /// The device is told again.
    TellAgain(usize),
    /// The deadline passes while "never started" is proven.
    GiveUp(usize),

    /// The command reaches the device, which begins.
    DeviceBegins(usize),
    /// The command never reaches the device.
    CommandLost(usize),
    /// The device says no.
    DeviceRefuses(usize),
    /// The device has done it.
    DeviceEnds(usize),

    /// Somebody copies ledger 0.
    BackUpLedger,
    /// The disk of driver 0 is gone; it comes back with a new ledger.
    LoseLedger,
    /// Ledger 0 comes back from the old copy.
    RestoreLedger,
    /// A person gives driver 0 a new ledger in the place of one that nobody may trust.
    ReplaceLedger,
}

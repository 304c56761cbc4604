//! What a check explores: the class of the devices, the rule that is left out, and how much may go wrong.

use ppu_core::ActionClass;
use ppu_core::admission::Settling;

/// Which rule is left out, so that the check is known to be able to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// None: the protocol as it is.
    Whole,
    /// W1: the scheduler acts elsewhere because the driver does not know the key (no tombstone, REL-6).
    NoTombstone,
    /// W2: the driver takes the next attempt whatever became of the one before, and voids whatever runs (REL-5).
    NoStepLock,
    /// W3: a time-out makes a new command elsewhere (REL-13).
    TimeOutDecides,
    /// W4: the driver remembers keys in memory only (F4).
    KeysInMemory,
    /// W5: the driver writes its ledger only when a command has ended (F5).
    LedgerAtTheEnd,
    /// W6: a command of an unqueryable device is sent again by itself (REL-8).
    BlindResend,
    /// The driver looks at neither epoch nor session (REL-2).
    NoFence,
    /// The scheduler does not read the inventory (REL-3).
    NoReconciliation,
    /// The Intent is written after the send (REL-1, F3).
    LateIntent,
    /// An outcome is acknowledged before it is durable (REL-10, F7).
    EarlyAck,
    /// A driver trusts its ledger whatever the scheduler knows of it (REL-14, row 18).
    DeadLedgerLives,
}

impl Variant {
    /// Every weakened variant.
    pub const WEAKENED: [Variant; 11] = [
        Variant::NoTombstone,
        Variant::NoStepLock,
        Variant::TimeOutDecides,
        Variant::KeysInMemory,
        Variant::LedgerAtTheEnd,
        Variant::BlindResend,
        Variant::NoFence,
        Variant::NoReconciliation,
        Variant::LateIntent,
        Variant::EarlyAck,
        Variant::DeadLedgerLives,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Whole => "the protocol",
            Variant::NoTombstone => "W1 no tombstone (REL-6)",
            Variant::NoStepLock => "W2 no step lock (REL-5)",
            Variant::TimeOutDecides => "W3 a time-out decides (REL-13)",
            Variant::KeysInMemory => "W4 keys in memory only (F4)",
            Variant::LedgerAtTheEnd => "W5 ledger written at the end (F5)",
            Variant::BlindResend => "W6 blind resend (REL-8)",
            Variant::NoFence => "no fence (REL-2)",
            Variant::NoReconciliation => "no reconciliation (REL-3)",
            Variant::LateIntent => "late Intent (REL-1)",
            Variant::EarlyAck => "Ack before F7 (REL-10)",
            Variant::DeadLedgerLives => "dead ledger lives (REL-14)",
        }
    }
}

/// How often each fault may happen. Every count is an upper bound: the check also visits what happens with fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Ends of a scheduler process: crash, or deposed by a standby.
    pub scheduler_crashes: u8,
    /// Ends of a driver process, both drivers together.
    pub driver_crashes: u8,
    /// Schedulers that live on after they were deposed, each with so many sends.
    pub deposed_sends: u8,
    /// Commands, replies or readings lost between driver and device.
    pub line_faults: u8,
    /// Refusals: by the driver without a record, by the driver because it is too late, by the device.
    pub refusals: u8,
    /// Ledger 0 lost, restored from an old copy, or retired by a person.
    pub ledger_faults: u8,
}

/// What the lab wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// The first step only.
    OneStep,
    /// The second step after the first, on the same device.
    InOrder,
    /// Two steps that do not wait for each other, on the same device.
    SideBySide,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Class of every command.
    pub class: ActionClass,
    /// The rule that is left out.
    pub variant: Variant,
    /// What may go wrong.
    pub faults: Budget,
    /// Most messages in flight.
    pub in_flight: u8,
    /// The plan.
    pub plan: Plan,
}

impl Bounds {
    /// How a driver settles STARTED: the real rule of the class, unless it is the one left out.
    pub fn settling(&self) -> Settling {
        if self.variant == Variant::BlindResend { Settling::SendAgain } else { self.class.settling() }
    }

    /// In one line, for tables.
    pub fn summary(&self) -> String {
        let Budget { scheduler_crashes, driver_crashes, deposed_sends, line_faults, refusals, ledger_faults } =
            self.faults;
        format!(
            "{}, {} in flight, crashes {scheduler_crashes}+{driver_crashes}, deposed sends {deposed_sends}, line \
             faults {line_faults}, refusals {refusals}, ledger faults {ledger_faults}",
            match self.plan {
                Plan::OneStep => "one step",
                Plan::InOrder => "two steps in order",
                Plan::SideBySide => "two steps side by side",
            },
            self.in_flight,
        )
    }
}

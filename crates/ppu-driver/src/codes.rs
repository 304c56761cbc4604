//! Codes of the faults that the kit itself reports; `ppu explain` has a page for each. Instruments use E0210 to E0299.

/// The instrument did not answer in time.
pub const LINE_SILENT: &str = "E0201";
/// The line is closed or broke.
pub const LINE_CLOSED: &str = "E0202";
/// Another process holds the port.
pub const PORT_IN_USE: &str = "E0203";
/// Another instrument than the expected one answers.
pub const WRONG_DEVICE: &str = "E0204";
/// The instrument refused the request.
pub const DEVICE_REFUSED: &str = "E0205";
/// The reply cannot be understood.
pub const BAD_REPLY: &str = "E0206";
/// The deadline for the start had passed.
pub const TOO_LATE: &str = "E0301";
/// Nobody knows what became of a command.
pub const IN_DOUBT: &str = "E0302";
/// Cancelled before it began.
pub const CANCELLED: &str = "E0303";
/// Raw data could not be stored.
pub const ARTIFACT_LOST: &str = "E0304";
/// The scheduler fell silent for longer than the second watchdog allows.
pub const SCHEDULER_SILENT: &str = "E0305";
/// Somebody asked for the safe state.
pub const MADE_SAFE: &str = "E0306";
/// Something that must be true before a command begins was not.
pub const PRECONDITION: &str = "E0307";
/// The ledger is not the one that the scheduler's journal knows.
pub const MEMORY_DOUBT: &str = "E0308";

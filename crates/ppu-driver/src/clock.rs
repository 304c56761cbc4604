//! The clocks of a driver. Decisions use CLOCK_BOOTTIME, which goes on while the computer sleeps (CLK-2); wall time is a
//! label in records (CLK-3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_BOOTTIME: the clock in which deadlines travel (CLK-1).
pub fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // The clock counts from zero at boot, so neither part is ever negative.
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Unix time in nanoseconds, 0 for a clock set before 1970: a label only.
pub fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Unix time in milliseconds: a label only.
pub fn wall_ms() -> i64 {
    wall_ns() / 1_000_000
}

/// A span in nanoseconds.
pub(crate) fn as_ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The boot id of this computer; empty where the kernel does not tell. CLOCK_BOOTTIME began anew with each boot id.
pub fn machine_boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

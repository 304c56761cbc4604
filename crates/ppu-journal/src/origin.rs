//! When and where a record is written. Labels for people and for comparing with the ledgers; no decision uses them.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_BOOTTIME, the clock of the drivers' deadlines as well (CLK-1).
pub(crate) fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // The clock counts from zero at boot, so neither part is ever negative.
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Unix milliseconds, 0 for a clock set before 1970.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The 16 bytes of the computer's boot id; empty where the kernel does not tell.
pub(crate) fn boot_id() -> Vec<u8> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    parse_hex(text.trim()).unwrap_or_default()
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    (digits.len() == 32).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_has_sixteen_bytes_or_none() {
        let id = parse_hex("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap();
        assert_eq!((id.len(), id[0], id[15]), (16, 0x0f, 0xf0));
        assert_eq!(parse_hex("0f1e"), None);
        assert_eq!(parse_hex(""), None);
        assert!([0, 16].contains(&boot_id().len()));
    }
}

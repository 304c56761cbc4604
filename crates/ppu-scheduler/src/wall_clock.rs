//! Jumps of the wall clock (CLK-3). Nothing is decided by wall time; that it jumped is a fact all the same, because the
//! labels of the records around it cannot be compared.

use std::time::Duration;

use ppu_engine::Input;
use ppu_host::Host;

use crate::reactor::Handle;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a time service corrects without anybody noticing is no jump.
const JUMP_MS: i64 = 1_000;
/// Two clocks that were read further apart than this cannot be compared: the process was stopped in between.
const READ_WITHIN_NS: u64 = 50_000_000;

/// How far the wall clock is ahead of the clock of the computer's boot, in milliseconds; `None` where that cannot be told.
fn ahead_ms(host: &dyn Host) -> Option<i64> {
    let before = host.boot_ns();
    let wall_ms = host.wall_ms();
    let after = host.boot_ns();
    let boot_ms = i64::try_from(before / 1_000_000).ok()?;
    (after.saturating_sub(before) < READ_WITHIN_NS).then_some(wall_ms - boot_ms)
}

/// Reports every jump, for ever.
pub(crate) async fn watch(handle: Handle) {
    let mut known = None;
    loop {
        if let Some(now) = ahead_ms(&**handle.host()) {
            let by_ms: i64 = known.map_or(0, |known: i64| now - known);
            if by_ms.abs() >= JUMP_MS {
                tracing::warn!(by_ms, "the wall clock jumped");
                if handle.give(Input::ClockJumped { by_ms }).await.is_err() {
                    return;
                }
            }
            known = Some(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

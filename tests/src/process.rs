//! Processes as tests torture them: found by id and start time, so that a number that was given again is never taken for
//! the process that had it before.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process};

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A process that was alive when it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: Pid,
    started: u64,
}

impl Process {
    /// The process of that id; `None` when there is none, or only what is left of a dead one.
    pub fn find(id: u32) -> Option<Process> {
        let pid = Pid::from_raw(i32::try_from(id).ok()?)?;
        Some(Process { pid, started: started(pid)? })
    }

    /// Whether it still lives.
    pub fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// kill -9. Says whether it was alive until then.
    ///
    /// # Errors
    /// When it cannot be killed, or is still there after five seconds.
    pub fn kill(&self) -> anyhow::Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        if kill_process(self.pid, Signal::KILL).is_err() {
            return Ok(false);
        }
        let began = Instant::now();
        while self.is_alive() {
            ensure!(began.elapsed() < GONE_WITHIN, "process {} outlives kill -9", self.pid.as_raw_nonzero());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// SIGKILL without a wait, for many at once. Says whether it was alive.
    pub fn strike(&self) -> bool {
        self.is_alive() && kill_process(self.pid, Signal::KILL).is_ok()
    }

    /// SIGSTOP. Says whether it was alive.
    pub fn pause(&self) -> bool {
        self.is_alive() && kill_process(self.pid, Signal::STOP).is_ok()
    }

    /// SIGCONT. Says whether it was still there.
    pub fn resume(&self) -> bool {
        self.is_alive() && kill_process(self.pid, Signal::CONT).is_ok()
    }

    /// Asks it to end.
    pub fn terminate(&self) -> bool {
        self.is_alive() && kill_process(self.pid, Signal::TERM).is_ok()
    }

    /// Memory in bytes that it alone uses, with its share of what it shares with others, such as the executable (PSS, see
    /// proc(5)); `None` when it is gone.
    pub fn proportional_bytes(&self) -> Option<u64> {
        kib_of(&format!("/proc/{}/smaps_rollup", self.pid.as_raw_nonzero()), "Pss:")
    }

    /// Resident memory in bytes, with all of the executable that is shared with others; `None` when it is gone.
    pub fn resident_bytes(&self) -> Option<u64> {
        kib_of(&format!("/proc/{}/status", self.pid.as_raw_nonzero()), "VmRSS:")
    }
}

/// A line of a file of proc(5) that counts KiB, in bytes.
fn kib_of(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// Clock ticks from boot to the start of a living process (field 22 of proc(5) stat).
fn started(pid: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name stands in brackets and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_counts_only_while_the_process_lives() -> anyhow::Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
        let process = Process::find(child.id()).expect("it was just started");
        assert!(process.resident_bytes().is_some_and(|bytes| bytes > 0));
        assert!(process.pause() && process.is_alive(), "a stopped process lives");
        assert!(process.kill()?, "the first kill -9 finds it alive");
        assert!(!process.kill()?, "a corpse that nobody collected is not killed again");
        assert!(Process::find(child.id()).is_none());
        child.wait()?;
        assert!(!process.resume());
        Ok(())
    }
}

//! Harness for tests that cross processes: a real lab on simulated instruments, one process each.
//!
//! The executable is found through `PPU_EXECUTABLE`, else beside the test's own build. Every wait has a bound; on a
//! failure the lab's folder with all logs is kept and named.

pub mod bench;
pub mod harness;
pub mod ledger;
pub mod process;
pub mod torture;

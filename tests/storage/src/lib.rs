//! Power loss, kills, flipped bits and failing disks against the journal, the ledger of a driver, and raw data.
//!
//! - [`power`]: a process that writes is killed while every call by which it changes files is written down, and what a power
//!   cut would have left is rebuilt from that ([`trace`], [`model`]) and opened.
//! - [`kill`]: the same process is killed and its files are opened as they are; this tests logic, not durability.
//! - [`damage`]: bits, lengths and pages of a finished log, its `HEAD` and raw data are changed behind its back.
//! - [`faults`]: the disk is full or fails at every single operation.
//!
//! Tests run small counts of each; the executable of this package runs as many as it is asked for.

pub mod acknowledged;
pub mod check;
pub mod damage;
pub mod faults;
pub mod interposer;
pub mod kill;
pub mod model;
pub mod power;
pub mod process;
pub mod trace;
pub mod workload;

//! The real scheduler and drivers in one process, with simulated network, disk, time and faults.
//!
//! Each process of a lab is a host of its own: the scheduler with its journal, one driver for each instrument with its
//! ledger. What they run is the production code down to the bytes on the wire and on the disk; simulated are the network
//! between them ([`network`]), their disks, which forget what was not synced (`ppu_store::SimDisk`), their clocks
//! ([`host`]), and the instruments with the world behind them ([`world`], [`instrument`]), which keep a ledger of all
//! that physically happened. Time is paused and everything is drawn from one seed, so a story that fails is told again by
//! its seed.
//!
//! Not here: two processes that run at once on one computer's threads, a real file system, and the line protocols of the
//! instruments; the tests with real processes have those.

pub mod crash_points;
pub mod faults;
pub mod host;
pub mod instrument;
pub mod lab;
pub mod network;
pub mod person;
pub mod story;
pub mod verdict;
pub mod world;

//! Simulated firmware of the instruments, and the world behind it.
//!
//! Two layers with one seam. Below, [`world`] holds matter and physics: samples, positions, liquids, heat, light, and
//! a ledger of everything that physically happened. Above, [`firmware`] holds one module an instrument that speaks the
//! instrument's own bytes and turns commands into physical actions. [`lab::Lab`] joins the two without any I/O, so a
//! whole laboratory can be tested with a manual clock; [`link`] and [`run`] put it behind pseudo-terminals and sockets.
//!
//! Drivers never share code with this crate: a misreading of a protocol must not cancel itself out.

pub mod clock;
pub mod config;
pub mod control;
pub mod device;
pub mod fault;
pub mod firmware;
pub mod lab;
pub mod link;
pub mod modbus;
pub mod pwscf;
pub mod run;
pub mod world;

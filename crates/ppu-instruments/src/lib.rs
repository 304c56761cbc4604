//! The drivers of `ppu`, one module an instrument, each a plain struct with the instrument's real parts and verbs.
//!
//! Every driver keeps three promises: a reply that is late, damaged or meant for another question never becomes a value;
//! a question is asked again, but a command that moves something is sent once (or again only where the protocol itself
//! makes a resend harmless); and what happened is proven from the device before it is reported.

pub mod arm;
pub mod balance;
pub mod catalogue;
pub mod codes;
pub mod diffractometer;
pub mod furnace;
pub mod hotplate;
pub mod quantum_espresso;
pub mod spectrometer;
pub mod syringe_pump;

mod common;
mod dialogue;
mod settings;
mod specs;

pub use catalogue::{
    AnyInstrument, DRIVERS, InstrumentFile, OpenError, manifest, manifest_with, open, serial_settings,
};
pub use codes::{Explanation, explain};

#[cfg(test)]
mod testing;

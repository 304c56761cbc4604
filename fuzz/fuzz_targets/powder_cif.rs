//! Any bytes give a result or an error with its place, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ppu_diffraction::formats::pdcif;

fuzz_target!(|data: &[u8]| {
    let _ = pdcif::read(data);
});

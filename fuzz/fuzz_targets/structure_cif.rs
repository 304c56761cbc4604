//! Any bytes give a result or an error with its place, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ppu_diffraction::cif;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = cif::read_structures(text);
    }
});

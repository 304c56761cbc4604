//! Any bytes give a result or an error with its place, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ppu_diffraction::formats::raw;

fuzz_target!(|data: &[u8]| {
    let _ = raw::read(data);
});

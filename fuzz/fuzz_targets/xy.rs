//! Any bytes give a result or an error with its place, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ppu_diffraction::formats::xy::{self, ThirdColumn};

fuzz_target!(|data: &[u8]| {
    let _ = xy::read(data, ThirdColumn::Ignore);
    let _ = xy::read(data, ThirdColumn::Sigma);
});

//! Known-answer recovery of the phase analysis.

mod support;

use std::time::Instant;

use ppu_diffraction::library::halide_perovskite;
use ppu_diffraction::profile::Instrument;
use ppu_diffraction::quantify::{Settings, quantify};
use support::FilmTruth;

fn settings() -> Settings {
    Settings { film_thickness_nm: Some((500.0, 100.0)), ..Settings::default() }
}

#[test]
fn look() {
    let truth = FilmTruth::typical();
    let pattern = truth.pattern(&Instrument::aeris(), 1);
    let start = Instant::now();
    let result = quantify(&pattern, &halide_perovskite(&truth.composition).unwrap(), &settings()).unwrap();
    println!("{:?} {:?}", start.elapsed(), result.verdict);
    println!(
        "{:?} {:?} {} {} {:?}",
        result.alpha_lead_fraction, result.pseudo_cubic_a, result.reduced_chi_squared, result.iterations, result.flags
    );
    for phase in &result.phases {
        println!("{phase:?}");
    }
    println!("{}", result.displacement_mm);
    panic!();
}

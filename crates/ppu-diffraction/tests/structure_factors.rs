//! |F|² with the coefficients of an independent program, against its lists. Needs the reference data; says so where they
//! are not.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails loudly, a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

#[path = "support/gemmi.rs"]
mod gemmi;
#[path = "support/it92.rs"]
mod it92;
#[path = "support/reference_data.rs"]
mod reference_data;

use std::f64::consts::TAU;

use ppu_diffraction::structure::{Cell, Element, Phase, Site, SpaceGroup, Tube};

#[test]
fn squared_structure_factors_equal_those_of_an_independent_program() {
    let Some(data) = reference_data::diffraction() else { return };
    let all = gemmi::compare_all(&data).unwrap();
    assert!(all.len() >= 3, "only {} lists", all.len());
    for comparison in all {
        assert!(
            comparison.reflections >= 5 && comparison.spacing < 1e-6 && comparison.f_squared < 1e-6,
            "{comparison:?}"
        );
    }
}

/// A long list uses interpolated form factors and products of powers; the sum over atoms as it stands in the textbook
/// must give the same.
#[test]
fn the_fast_sums_equal_the_textbook() {
    let elements = [Element::Cs, Element::Pb, Element::I, Element::I, Element::O];
    let sites = (0..40).map(|index| {
        let place = |factor: f64| (0.1 + factor * f64::from(index)).rem_euclid(1.0);
        let element = elements[index as usize % elements.len()];
        let b = if index < 10 { 0.0 } else { 0.7 };
        Site::new(&format!("{element:?}{index}"), [place(0.371), place(0.613), place(0.197)], &[(element, 1.0)], b)
    });
    let cell = Cell { a: 17.3, b: 12.6, c: 8.7, alpha: 89.0, beta: 91.5, gamma: 92.0 };
    let group = SpaceGroup::from_operators("P1", &["x,y,z"]).unwrap();
    let phase = Phase::new("forty", cell, group, sites.collect()).unwrap();
    let reflections = phase.reflections(1.1);
    assert!(reflections.len() > 2000);
    for reflection in &reflections {
        let s2 = 0.25 / (reflection.d * reflection.d);
        let (mut plus, mut minus) = ([0.0; 2], [0.0; 2]);
        for site in phase.sites() {
            let scattering = site.occupants[0].element.scattering(Tube::Cu);
            let thermal = (-site.b_iso * s2).exp();
            let (re, im) = (thermal * (scattering.f0(s2) + scattering.f1), thermal * scattering.f2);
            let angle = TAU * (0..3).map(|k| f64::from(reflection.hkl[k]) * site.position[k]).sum::<f64>();
            for (sum, (sin, cos)) in [(&mut plus, angle.sin_cos()), (&mut minus, (-angle).sin_cos())] {
                sum[0] += re * cos - im * sin;
                sum[1] += re * sin + im * cos;
            }
        }
        let wanted = 0.5 * (plus[0].powi(2) + plus[1].powi(2) + minus[0].powi(2) + minus[1].powi(2));
        assert!((reflection.f_squared / wanted - 1.0).abs() < 1e-6, "{:?}: {wanted}", reflection.hkl);
    }
}

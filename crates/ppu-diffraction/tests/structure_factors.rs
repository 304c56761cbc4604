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

#[test]
fn squared_structure_factors_equal_those_of_an_independent_program() {
    let Some(data) = reference_data::diffraction() else { return };
    let all = gemmi::compare_all(&data).unwrap();
    assert!(all.len() >= 3, "only {} lists", all.len());
    for comparison in all {
        println!("{comparison:?}");
        assert!(
            comparison.reflections >= 5 && comparison.spacing < 1e-6 && comparison.f_squared < 1e-6,
            "{comparison:?}"
        );
    }
}

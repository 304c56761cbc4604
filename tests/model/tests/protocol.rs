//! The checks of every change: the protocol has no violation, and every weakened variant is caught.

use ppu_core::ActionClass;
use ppu_model::bounds::Variant;
use ppu_model::cases::{self, Case};

/// The two rows with crashes on both sides, or of the driver with a silent device, are explored whole; the others as far
/// as this many states, so that the test stays short. The program explores all of them whole.
const MOST_STATES: usize = 40_000;
/// What all rows together must visit.
const LEAST_TOTAL: usize = 200_000;

/// Checks a row and says so, with its bounds, in the output of the test.
#[expect(clippy::print_stdout, reason = "the counts belong with their bounds into the record of a test run")]
fn check(case: &Case, most_states: usize) -> usize {
    let report = case.run(most_states);
    let summary = format!(
        "{}, {:?}, {}: {} states, {:.1} s, {:?} stuck, {} violations",
        case.bounds.variant.name(),
        case.bounds.class,
        case.bounds.summary(),
        report.states,
        report.time.as_secs_f64(),
        report.stuck,
        report.violations.len(),
    );
    println!("{summary}");
    assert!(case.is_as_expected(&report, most_states), "{summary}\n{:#?}", report.violations);
    report.states
}

#[test]
fn the_protocol_holds_and_can_always_finish() {
    let mut total = 0;
    for (index, case) in cases::small().iter().enumerate() {
        total += check(case, if index < 2 { 1_000_000 } else { MOST_STATES });
    }
    assert!(total >= LEAST_TOTAL, "{total} states");
}

#[test]
fn every_weakened_variant_is_caught() {
    let weakened = cases::weakened();
    assert_eq!(weakened.len(), Variant::WEAKENED.len());
    weakened.iter().for_each(|case| {
        check(case, 200_000);
    });
}

#[test]
fn the_faults_that_catch_a_variant_do_not_break_the_protocol() {
    for case in cases::weakened() {
        let mut whole = case;
        whole.bounds.variant = Variant::Whole;
        whole.must_violate = None;
        check(&whole, 5_000);
    }
}

/// A continuing command is settled as a queryable one, so the rows of that class stand for both.
#[test]
fn continuing_is_settled_as_queryable() {
    assert_eq!(ActionClass::Continuing.settling(), ActionClass::Queryable.settling());
}

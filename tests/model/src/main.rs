//! Checks the protocol between scheduler and driver, prints a table, and fails on a violation or when a weakened variant
//! is not caught.

use std::process::ExitCode;

use clap::Parser;
use ppu_model::cases::{self, Case, Report};

/// Checks the protocol between scheduler and driver by machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Most states of each check; a check that has more is cut there.
    #[arg(long, default_value_t = 6_000_000)]
    states: usize,
    /// The long checks as well: two crashes on each side, more faults together.
    #[arg(long)]
    long: bool,
    /// Only rows that contain this text.
    #[arg(long, default_value = "")]
    only: String,
    /// Print the way to each violation, also of the weakened variants.
    #[arg(long)]
    ways: bool,
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut rows = cases::weakened();
    rows.extend(cases::small());
    if arguments.long {
        rows.extend(cases::large());
    }
    println!("| variant | class | bounds | states | seconds | verdict |");
    println!("|---|---|---|---|---|---|");
    let mut total = 0;
    let mut is_good = true;
    for case in rows.iter().filter(|case| row_name(case).contains(&arguments.only)) {
        let report = case.run(arguments.states);
        let is_as_expected = case.is_as_expected(&report, arguments.states);
        total += report.states;
        is_good &= is_as_expected;
        let seconds = report.time.as_secs_f64();
        println!("{} {} | {seconds:.1} | {} |", row_name(case), report.states, verdict(case, &report, is_as_expected));
        if arguments.ways || !is_as_expected {
            for (name, way) in &report.violations {
                println!("  {name}:");
                way.iter().for_each(|action| println!("    {action:?}"));
            }
        }
    }
    println!("{total} states");
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row_name(case: &Case) -> String {
    let bounds = case.bounds;
    format!("| {} | {:?} | {} |", bounds.variant.name(), bounds.class, bounds.summary())
}

fn verdict(case: &Case, report: &Report, is_as_expected: bool) -> String {
    let caught: Vec<String> =
        report.violations.iter().map(|(name, way)| format!("{name}: violated after {} steps", way.len())).collect();
    match (case.must_violate, is_as_expected) {
        (Some(_), true) => format!("caught: {}", caught.join("; ")),
        (Some(name), false) => format!("NOT CAUGHT: {name}"),
        (None, true) if report.is_complete => "no violation, all can finish".to_owned(),
        (None, true) => "no violation as far as was looked".to_owned(),
        (None, false) if report.violations.is_empty() => "FEWER STATES than half of what was expected".to_owned(),
        (None, false) => format!("VIOLATION: {}", caught.join("; ")),
    }
}

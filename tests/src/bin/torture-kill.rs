//! `torture-kill`: kills and stops real processes of a lab at random moments and counts what the world saw.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use ppu_tests::torture::{Sizes, kill};

/// kill -9 and SIGSTOP of scheduler, drivers and broker at random moments of campaigns; the world's ledger is the judge.
#[derive(Debug, Parser)]
struct Arguments {
    /// The sizes of a release instead of those of each change.
    #[arg(long)]
    long: bool,
    /// Kills of the scheduler; everything else in proportion.
    #[arg(long)]
    count: Option<u32>,
    /// Seed of every draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File that is given the counts as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let sizes = if arguments.long { Sizes::long() } else { Sizes::ci() };
    let sizes = match arguments.count {
        Some(count) => sizes.scaled_to(count),
        None => sizes,
    };
    let report = kill(&sizes, arguments.seed, |line| eprintln!("{line}")).await?;
    print(&report.table());
    for violation in report.violations() {
        eprintln!("VIOLATION {violation}");
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.to_json())? + "\n";
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if report.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn print(table: &str) {
    print!("{table}");
}

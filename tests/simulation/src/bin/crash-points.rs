//! `crash-points`: plays the table of crash points and prints what came of each cell.

use std::process::ExitCode;

use clap::Parser;
use ppu_core::ActionClass;
use ppu_simulation::crash_points::{TABLE, play};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Parser)]
#[command(about = "The named crash points of the protocol, each with every class of action.")]
struct Arguments {
    /// Only this row of the table.
    #[arg(long)]
    row: Option<u8>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy())
        .with_writer(std::io::stderr)
        .init();
    let only = Arguments::parse().row;
    let (mut cells, mut wrong) = (0, 0);
    for (index, row) in TABLE.iter().enumerate().filter(|(_, row)| only.is_none_or(|only| row.number == only)) {
        for class in ActionClass::ALL {
            cells += 1;
            let line = match play(index, class) {
                Ok(cell) => {
                    wrong += u32::from(!cell.wrong.is_empty());
                    cell.to_string()
                }
                Err(error) => {
                    wrong += 1;
                    format!("{:>2} {class:?}: {error:#}", row.number)
                }
            };
            report(&line);
        }
    }
    report(&format!("{cells} cells, {wrong} not as the table says"));
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn report(text: &str) {
    println!("{text}");
}

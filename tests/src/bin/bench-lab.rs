//! `bench-lab`: what `cargo xtask bench dispatch` and `crash` measure with. Prints JSON.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ppu_tests::bench::crash::{self, Victim};
use ppu_tests::bench::instruments::{Dispenser, Noop, drive};
use ppu_tests::bench::{dispatch, memory};

/// Measurements on real processes of a lab.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Steps that do nothing, one after the other.
    Dispatch {
        /// How many.
        #[arg(long, default_value_t = 2000)]
        steps: usize,
        /// Command of the instrument: queryable or unqueryable, which is its class.
        #[arg(long, default_value = "queryable")]
        command: String,
    },
    /// Resident memory of an idle lab.
    Memory {
        /// Seconds to stand idle.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// kill -9 of driver and scheduler in the middle of a dispense.
    Crash,
    /// The driver process of the other tasks.
    Driver {
        /// Folder of the ledger.
        #[arg(long)]
        data: PathBuf,
        #[command(subcommand)]
        instrument: InstrumentKind,
    },
}

#[derive(Debug, Subcommand)]
enum InstrumentKind {
    /// Does nothing.
    Noop,
    /// Appends a line to a file and is busy for eight seconds.
    Dispenser {
        /// The file.
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let task = Arguments::parse().task;
    // As the executable does it: a driver has one thread.
    let mut threads = if matches!(task, Task::Driver { .. }) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    threads.enable_all().build()?.block_on(run(task))
}

async fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Dispatch { steps, command } => print(&dispatch::run(steps, &command).await?),
        Task::Memory { seconds } => print(&memory::run(Duration::from_secs(seconds)).await?),
        Task::Crash => {
            let trials = [crash::run(Victim::Driver).await?, crash::run(Victim::Scheduler).await?];
            print(&serde_json::json!(trials));
        }
        Task::Driver { data, instrument: InstrumentKind::Noop } => drive(data, Noop).await?,
        Task::Driver { data, instrument: InstrumentKind::Dispenser { file } } => {
            drive(data, Dispenser { file, busy: crash::BUSY }).await?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result is the data that was asked for")]
fn print(result: &serde_json::Value) {
    println!("{result:#}");
}

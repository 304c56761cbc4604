//! The command line of `cargo xtask`.

mod bench;
mod suite;
mod tables;
mod tidy;
mod torture;
mod train_wyckoff;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What people and CI run on this repository.")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs the whole suite: unit tests, tests that cross processes, and doc tests.
    Test {
        /// Fail where a foreign program is missing, instead of skipping the tests that need it.
        #[arg(long)]
        require_peers: bool,
        /// Passed on to the test runner: names of tests, or its options.
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Measures, prints a table, and writes target/bench/NAME.json.
    Bench(BenchArguments),
    /// Tries to make the lab lose or repeat an action, prints the counts, and writes target/torture/NAME.json.
    Torture(TortureArguments),
    /// Writes the scattering data of ppu-diffraction anew from the XrayDB database.
    Tables {
        /// The file `xraydb.sqlite` of the Python package `xraydb`.
        database: PathBuf,
    },
    /// Trains the model of crystals anew on reference structures: an hour on one core.
    TrainWyckoff(train_wyckoff::TrainArguments),
    /// Checks format, layers, and the rules about source files.
    Tidy,
}

#[derive(Debug, clap::Args)]
struct BenchArguments {
    /// Which one; a name that is not known lists what there is.
    name: String,
    /// Folder of reference data, for benchmarks that compare with data that is not in the repository.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Run the peers' own programs beside ours, where a benchmark has such peers.
    #[arg(long)]
    peers: bool,
    /// Seeds to run, from 1 on.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
}

#[derive(Debug, clap::Args)]
struct TortureArguments {
    /// Which one, or all of them; a name that is not known lists what there is.
    #[arg(default_value = "all")]
    name: String,
    /// The sizes of a release instead of those of each change.
    #[arg(long)]
    long: bool,
    /// Another number of cases, where a torture has one number: kills of the scheduler, or stories.
    #[arg(long)]
    count: Option<u32>,
    /// Seed of the draws, where a torture draws.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Test { require_peers, filter } => suite::run(require_peers, &filter),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Torture(arguments) => torture::run(&arguments),
        Task::Tables { database } => tables::run(&database),
        Task::TrainWyckoff(arguments) => train_wyckoff::run(&arguments),
        Task::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Without the stack that anyhow adds where RUST_BACKTRACE is set: it says nothing about what was tested.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

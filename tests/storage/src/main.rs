//! `ppu-storage-torture`: the tests of this package in any number, and the writer that they kill.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use ppu_storage_torture::workload::{self, Kind};
use ppu_storage_torture::{damage, faults, interposer, kill, power};

#[derive(Debug, Parser)]
#[command(name = "ppu-storage-torture", about = "Power loss, kills, damage and failing disks against the store.")]
struct Arguments {
    /// Seed of everything that is random.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything: 20 power losses, 50 kills, 1,000 damages, every failing operation.
    All {
        /// What runs before a release: 500 power losses, 1,000 kills, 100,000 damages.
        #[arg(long)]
        long: bool,
    },
    /// Cuts the power under journal, ledger and raw data, and under engines that are known to lose or to keep.
    Power {
        /// Kills of the lab; the others get a twentieth of it, five at least.
        #[arg(long, default_value_t = 20)]
        trials: u64,
    },
    /// Kills the writer and opens what is there.
    Kill {
        /// Kills.
        #[arg(long, default_value_t = 50)]
        trials: u64,
    },
    /// Damages log, HEAD and raw data.
    Damage {
        /// Damages.
        #[arg(long, default_value_t = 1000)]
        cases: u64,
    },
    /// Lets every single operation of the disk fail.
    Faults,
    /// Writes until it is killed; for the other commands.
    #[command(hide = true)]
    Write {
        /// What writes.
        kind: String,
        /// Where.
        directory: PathBuf,
        /// Commits of each task; without end if left out.
        #[arg(long)]
        commits: Option<u64>,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { seed, command } = Arguments::parse();
    match command {
        Task::All { long } => {
            let (losses, kills, damages) = if long { (500, 1000, 100_000) } else { (20, 50, 1000) };
            cut_power(losses, seed)?;
            kill_writers(kills, seed)?;
            damage_files(damages, seed)?;
            fail_the_disk()
        }
        Task::Power { trials } => cut_power(trials, seed),
        Task::Kill { trials } => kill_writers(trials, seed),
        Task::Damage { cases } => damage_files(cases, seed),
        Task::Faults => fail_the_disk(),
        Task::Write { kind, directory, commits } => {
            let kind = Kind::of(&kind).with_context(|| format!("`{kind}` is no kind of writer"))?;
            workload::run(kind, &directory, seed, commits)
        }
    }
}

fn kill_writers(trials: u64, seed: u64) -> anyhow::Result<()> {
    let found = kill::run(&std::env::current_exe()?, trials, seed)?;
    eprintln!("{trials} kills: {found:?}");
    ensure!(found.lost == 0, "{} of {} were lost", found.lost, found.acknowledged);
    Ok(())
}

fn damage_files(cases: u64, seed: u64) -> anyhow::Result<()> {
    eprintln!("{}", damage::run(cases, seed)?);
    Ok(())
}

fn fail_the_disk() -> anyhow::Result<()> {
    eprintln!("{}", faults::run()?);
    Ok(())
}

fn cut_power(trials: u64, seed: u64) -> anyhow::Result<()> {
    let executable = std::env::current_exe()?;
    let Some(library) = interposer::build(&executable)? else { return Ok(()) };
    for kind in Kind::ALL {
        if kind != Kind::LogWithoutSync {
            let found = power::calibrate(&executable, &library, kind)?;
            eprintln!("{}: every call was noticed, {found:?}", kind.name());
        }
        let trials = if kind == Kind::Lab { trials } else { (trials / 20).max(5) };
        let tally = power::run(&executable, &library, kind, trials, seed)?;
        eprintln!("{}: {tally:?}", kind.name());
        let (nothing, part) = (tally.nothing_kept.lost, tally.part_kept.lost);
        match kind {
            Kind::Lab => ensure!(nothing + part == 0, "{} of what was acknowledged were lost", nothing + part),
            // Torn and reordered writes are more than this engine promises to survive.
            Kind::SledSynced => ensure!(nothing == 0, "an engine that syncs lost {nothing}: the model is wrong"),
            Kind::LogWithoutSync | Kind::SledFlush => {
                ensure!(nothing > 0, "{} lost nothing: the model is wrong", kind.name());
            }
        }
    }
    Ok(())
}

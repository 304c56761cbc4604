//! `cargo xtask train-wyckoff`: trains the model of crystals anew.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What to train with.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArguments {
    /// Folder of reference data, with `mp20`.
    #[arg(long)]
    data: PathBuf,
    /// Passes over the data at most.
    #[arg(long)]
    epochs: Option<usize>,
    /// Seed of the training; the same one gives the same weights on the same kind of processor.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the weights are written after every epoch that is the best so far.
    #[arg(long, default_value = "wyckoff.safetensors")]
    out: PathBuf,
}

/// Builds the program that trains, and runs it in the foreground: its progress goes to standard error.
pub(crate) fn run(arguments: &TrainArguments) -> anyhow::Result<()> {
    let here = std::env::current_dir().context("the working folder is gone")?;
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(xtask::root());
    command.args(["run", "--release", "--quiet", "--package", "ppu-wyckoff", "--example", "train_wyckoff", "--"]);
    command.arg("--data").arg(here.join(&arguments.data)).arg("--out").arg(here.join(&arguments.out));
    for (name, value) in [("--epochs", arguments.epochs.map(|n| n as u64)), ("--seed", arguments.seed)] {
        if let Some(value) = value {
            command.arg(name).arg(value.to_string());
        }
    }
    let status = command.status().context("cargo run did not start")?;
    ensure!(status.success(), "the training failed, see above");
    Ok(())
}

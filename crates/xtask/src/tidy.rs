//! `cargo xtask tidy`: what can be said about the source without compiling it.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Runs every check and tells all that is wrong at once.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = xtask::root();
    let mut found = xtask::layers::violations(&xtask::layers::read(&root).context("cargo metadata did not run")?);
    found.extend(xtask::house::violations(&root).context("the source could not be read")?);
    for line in &found {
        eprintln!("{line}");
    }
    let formatted = Command::new(env!("CARGO"))
        .args(["fmt", "--all", "--check"])
        .current_dir(&root)
        .status()
        .context("cargo fmt did not run")?;
    match (found.len(), formatted.success()) {
        (0, true) => {
            eprintln!("tidy");
            Ok(())
        }
        (0, false) => bail!("`cargo fmt --all` would change files"),
        (count, true) => bail!("{count} rule(s) of the house are broken"),
        (count, false) => bail!("{count} rule(s) of the house are broken, and `cargo fmt --all` would change files"),
    }
}

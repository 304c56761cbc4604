//! `cargo xtask test`: the whole suite in one command.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use xtask::peers;

/// Where the tests that cross processes find the executable.
const EXECUTABLE: &str = "PPU_EXECUTABLE";

/// Builds the executable, runs doc tests and then everything else, so that the runner's summary ends the output.
pub(crate) fn run(require_peers: bool, filter: &[String]) -> anyhow::Result<()> {
    let root = xtask::root();
    report_peers(require_peers);
    let cargo = || {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(&root);
        command
    };
    let built = cargo().args(["build", "--package", "ppu"]).status().context("cargo build did not run")?;
    ensure!(built.success(), "the executable does not build");
    let executable = target_folder(&root)?.join("debug/ppu");
    // A part of the suite is asked for by the names of tests, and doc tests have none.
    let mut doc_tests_pass = true;
    if filter.is_empty() {
        let status = cargo().args(["test", "--workspace", "--doc", "--quiet"]).status();
        doc_tests_pass = status.context("cargo test --doc did not run")?.success();
    }
    // A package that is named is all that needs to be built.
    let names_package = filter.iter().any(|word| ["-p", "--package"].contains(&word.as_str()));
    let scope: &[&str] = if names_package { &[] } else { &["--workspace"] };
    let mut suite = cargo();
    if has_nextest(&root) {
        suite.args(["nextest", "run"]).args(scope).args(filter);
    } else {
        eprintln!("cargo-nextest is not installed; the suite runs with cargo test, which takes longer");
        suite.args(["test", "--lib", "--bins", "--tests", "--no-fail-fast"]).args(scope).args(filter);
    }
    suite.env(EXECUTABLE, executable);
    if require_peers {
        suite.env(peers::REQUIRE, "1");
    }
    let tests_pass = suite.status().context("the test runner did not run")?.success();
    match (doc_tests_pass, tests_pass) {
        (true, true) => Ok(()),
        (false, true) => bail!("doc tests failed, see above"),
        (true, false) => bail!("tests failed"),
        (false, false) => bail!("tests and doc tests failed"),
    }
}

fn report_peers(required: bool) {
    for peer in peers::look() {
        match peer.found {
            Some(path) => eprintln!("peer {}: {}", peer.name, path.display()),
            None => {
                let consequence = if required { "its tests will fail" } else { "its tests are skipped" };
                eprintln!("peer {} is missing, {consequence}; it is {}", peer.name, peer.purpose);
                eprintln!("  install: {}", peer.install);
            }
        }
    }
}

fn has_nextest(root: &Path) -> bool {
    Command::new(env!("CARGO"))
        .args(["nextest", "--version"])
        .current_dir(root)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Where cargo builds to, whatever configuration or environment says.
pub(crate) fn target_folder(root: &Path) -> anyhow::Result<std::path::PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata did not run")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

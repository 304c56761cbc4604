//! The library that is loaded into a process to write down how it changes files; see `interpose/interpose.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("../interpose/interpose.c");

/// Builds the library beside `executable`, unless it is there; `None` where there is no C compiler or no Linux, with a word
/// on stderr.
///
/// # Errors
/// The library does not compile, or a file cannot be written.
pub fn build(executable: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: calls of a process are written down on Linux only");
        return Ok(None);
    }
    let folder = executable.parent().context("the executable lies in no folder")?;
    let digest = blake3::hash(SOURCE.as_bytes()).to_hex();
    let library = folder.join(format!("ppu-interpose-{}.so", &digest[..16]));
    if library.is_file() {
        return Ok(Some(library));
    }
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let scratch = tempfile::tempdir_in(folder).context("no folder could be made for the library")?;
    let (source, built) = (scratch.path().join("interpose.c"), scratch.path().join("interpose.so"));
    std::fs::write(&source, SOURCE).context("the source of the library cannot be written")?;
    let output = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
        .args([&built, &source])
        .args(["-ldl", "-lpthread"])
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no C compiler `{}`", compiler.to_string_lossy());
            return Ok(None);
        }
        other => other.context("the C compiler did not run")?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the library does not compile: {said}");
    // Renamed whole, because other tests build it at the same time.
    std::fs::rename(&built, &library).context("the library cannot be put in its place")?;
    Ok(Some(library))
}

//! One calculation as a process in a folder of its own, which outlives its driver and can be found again.
//!
//! The process writes its output to a file on which an exclusive lock lies. The lock belongs to the open file, so it is
//! there exactly as long as somebody calculates, whatever became of the driver that began it: no process number that may
//! have been given again is trusted.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};

/// Name of the input.
pub(super) const INPUT: &str = "pw.in";
/// Name of the output.
pub(super) const OUTPUT: &str = "pw.out";
/// What the program says to standard error.
pub(super) const ERRORS: &str = "pw.err";
/// What input, program and pseudopotentials were.
pub(super) const PROVENANCE: &str = "provenance.json";
/// Name of the link to the pseudopotentials, so that the input does not depend on where they lie.
pub(super) const PSEUDOPOTENTIALS: &str = "pseudo";
/// Number of the process that was started.
const PROCESS: &str = "pid";

/// The folder of one calculation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    folder: PathBuf,
}

impl Job {
    /// The folder need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder with its input and what is known of it. One that is there already has the same input, since its
    /// name is made from it.
    pub(super) fn lay_out(&self, input: &str, provenance: &[u8], pseudopotentials: &Path) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.folder.join(PROVENANCE), provenance)?;
        let link = self.folder.join(PSEUDOPOTENTIALS);
        if std::fs::read_link(&link).ok().as_deref() != Some(pseudopotentials) {
            match std::fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(pseudopotentials, &link)?,
            }
        }
        std::fs::write(self.folder.join(INPUT), input)
    }

    /// Whether somebody calculates here now.
    pub(super) fn is_running(&self) -> io::Result<bool> {
        let file = match File::open(self.folder.join(OUTPUT)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// One of its files.
    pub(super) fn file(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.folder.join(name))
    }

    /// What the program has written so far; empty where there is nothing.
    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&self.file(OUTPUT).unwrap_or_default()).into_owned()
    }

    /// The last line on standard error that says something.
    pub(super) fn last_error(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.file(ERRORS).ok()?).into_owned();
        text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
    }

    /// Starts the program with the input laid out here. What an interrupted run left is written over.
    pub(super) fn start(&self, words: &[String]) -> io::Result<tokio::process::Child> {
        let output = File::options().create(true).truncate(false).write(true).open(self.folder.join(OUTPUT))?;
        output.try_lock().map_err(io::Error::from)?;
        output.set_len(0)?;
        let mut command = command(words)?;
        command.current_dir(&self.folder).stdin(File::open(self.folder.join(INPUT))?);
        command.stdout(output).stderr(File::create(self.folder.join(ERRORS))?);
        // A group of its own: Ctrl-C at the driver does not reach it, and it is killed with all its processes.
        command.process_group(0);
        let child = tokio::process::Command::from(command).spawn()?;
        let id = child.id().unwrap_or_default();
        std::fs::write(self.folder.join(PROCESS), id.to_string())?;
        Ok(child)
    }

    /// Kills whoever calculates here, with all its processes. Says whether there was anybody.
    pub(super) fn kill(&self) -> io::Result<bool> {
        let text = std::fs::read_to_string(self.folder.join(PROCESS)).unwrap_or_default();
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(false) };
        // The number may have been given to another process since; ours has our output open as its standard output.
        let output = std::fs::canonicalize(self.folder.join(OUTPUT))?;
        let stdout = format!("/proc/{}/fd/1", pid.as_raw_nonzero());
        if !std::fs::read_link(stdout).is_ok_and(|open| open == output) {
            return Ok(false);
        }
        kill_process_group(pid, Signal::KILL)?;
        Ok(true)
    }
}

/// A command from its words. One thread a process: what is told to use N processes shall not use more cores. A single
/// process of Open MPI would start a daemon, in a session of its own, that outlives it and holds its output open.
pub(super) fn command(words: &[String]) -> io::Result<Command> {
    let [program, arguments @ ..] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(program);
    command.args(arguments).env("OMP_NUM_THREADS", "1").env("OMPI_MCA_ess_singleton_isolated", "1");
    Ok(command)
}

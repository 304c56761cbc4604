//! A process that writes and says what is durable, and its death.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::acknowledged::Acknowledged;
use crate::workload::Kind;

/// Far more than a writer takes for its next acknowledgement, also on a busy computer.
const LIMIT: Duration = Duration::from_secs(60);
/// Acknowledgements after which it is killed, at most.
const MOST_ACKNOWLEDGEMENTS: usize = 300;
/// The kill comes so many microseconds after the last of them, at most: longer than any one commit takes.
const MOST_MICROSECONDS: u64 = 4000;

/// A writer that runs.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    lines: Receiver<String>,
    acknowledged: Acknowledged,
}

/// Where the calls of a writer are written down.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// The library that does it.
    pub library: &'a Path,
    /// The file that gets them.
    pub trace: &'a Path,
}

impl Writer {
    /// Starts a writer in an existing directory; `commits` bounds each of its tasks, and without it the writer goes on for
    /// ever.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        executable: &Path,
        kind: Kind,
        directory: &Path,
        seed: u64,
        commits: Option<u64>,
        watched: Option<Watched<'_>>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(executable);
        command.arg("write").arg(kind.name()).arg(directory).args(["--seed", &seed.to_string()]);
        if let Some(commits) = commits {
            command.args(["--commits", &commits.to_string()]);
        }
        if let Some(Watched { library, trace }) = watched {
            command.env("LD_PRELOAD", library);
            command.env("PPU_INTERPOSE_ROOT", directory.canonicalize()?).env("PPU_INTERPOSE_TRACE", trace);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("no writer was started")?;
        let out = BufReader::new(child.stdout.take().context("the writer has no output")?);
        let (sender, lines) = channel();
        // A last line that was cut short has no end and is left out: it was not said.
        thread::spawn(move || {
            let mut out = out;
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(Self { child, lines, acknowledged: Acknowledged::default() })
    }

    /// Kills it at a random moment and gives what it had acknowledged.
    ///
    /// # Errors
    /// It said something unknown, fell silent, or ended by itself.
    pub fn kill_at_random(mut self, random: &mut ChaCha8Rng) -> anyhow::Result<Acknowledged> {
        let wanted = random.random_range(0..MOST_ACKNOWLEDGEMENTS);
        while self.acknowledged.count() < wanted {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.acknowledged.take(&line)?,
                Err(RecvTimeoutError::Timeout) => bail!("the writer fell silent"),
                Err(RecvTimeoutError::Disconnected) => bail!("the writer ended: {}", self.child.wait()?),
            }
        }
        // Nothing is waited for here: the moment is what is random.
        thread::sleep(Duration::from_micros(random.random_range(0..MOST_MICROSECONDS)));
        self.child.kill().context("the writer cannot be killed")?;
        self.child.wait()?;
        self.rest()
    }

    /// Waits until it has ended by itself and gives what it had acknowledged.
    ///
    /// # Errors
    /// It said something unknown, or ended with an error.
    pub fn finish(mut self) -> anyhow::Result<Acknowledged> {
        let status = self.child.wait()?;
        ensure!(status.success(), "the writer ended: {status}");
        self.rest()
    }

    fn rest(&mut self) -> anyhow::Result<Acknowledged> {
        for line in self.lines.iter() {
            self.acknowledged.take(&line)?;
        }
        Ok(std::mem::take(&mut self.acknowledged))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Child processes, kept running: one that dies is started again with back-off; one that dies too often stays down and
//! says so. A child ends with its parent, because its standard input does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;

/// Ends within this time are counted together.
const WINDOW: Duration = Duration::from_secs(600);
/// Wait before the first restart; it doubles with each end in the window.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Time for a child to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// What became of the children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// Process id of each running child by name.
    pub(crate) pids: BTreeMap<String, u32>,
    /// Restarts of each child that died.
    pub(crate) restarts: BTreeMap<String, usize>,
    /// Children that stay down.
    pub(crate) down: BTreeMap<String, String>,
}

/// How patient a supervisor is with a child that ends again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestartPolicy {
    /// Restarts within [`WINDOW`] after which a child stays down: something is wrong that another start will not mend.
    pub(crate) limit: usize,
    /// Longest wait before a restart.
    pub(crate) longest_wait: Duration,
}

impl Default for RestartPolicy {
    /// Five restarts in ten minutes, and with them never a wait as long as the longest.
    fn default() -> Self {
        Self { limit: 5, longest_wait: Duration::from_secs(30) }
    }
}

impl RestartPolicy {
    /// The wait before the restart after this many ends within the window.
    fn wait(self, ends: usize) -> Duration {
        let doublings = u32::try_from(ends.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        (FIRST_WAIT * 2u32.pow(doublings)).min(self.longest_wait)
    }
}

/// The children of one lab.
pub(crate) struct Supervisor {
    logs: PathBuf,
    status_file: PathBuf,
    restarts: RestartPolicy,
    status: Arc<Mutex<Status>>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Supervisor {
    /// A supervisor that keeps logs and the list of processes below `data`.
    pub(crate) fn new(data: &Path, restarts: RestartPolicy) -> anyhow::Result<Self> {
        let logs = data.join("log");
        std::fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
        Ok(Self {
            logs,
            status_file: data.join("processes.json"),
            restarts,
            status: Arc::default(),
            stop: watch::channel(false).0,
            tasks: Vec::new(),
        })
    }

    /// Starts a child of this executable and keeps it running.
    pub(crate) fn start(&mut self, name: &str, arguments: Vec<String>) -> anyhow::Result<()> {
        let keeper = Keeper {
            name: name.to_owned(),
            arguments,
            executable: std::env::current_exe().context("the path of this executable is not known")?,
            log: self.logs.join(format!("{name}.log")),
            status: Arc::clone(&self.status),
            status_file: self.status_file.clone(),
            restarts: self.restarts,
        };
        let child = keeper.spawn()?;
        self.tasks.push(tokio::spawn(keeper.keep(child, self.stop.subscribe())));
        Ok(())
    }

    /// What became of the children so far.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().expect("no holder panics").clone()
    }

    /// Folder of the children's logs.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Ends all children and waits for them.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A keeper that panicked has dropped its child, which ends it.
            let _ = task.await;
        }
    }
}

/// A running child. Waiting for a process closes the standard input that it still owns, so that is held here.
struct Child {
    process: tokio::process::Child,
    life: Option<ChildStdin>,
}

struct Keeper {
    name: String,
    arguments: Vec<String>,
    executable: PathBuf,
    log: PathBuf,
    status: Arc<Mutex<Status>>,
    status_file: PathBuf,
    restarts: RestartPolicy,
}

impl Keeper {
    fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("{} cannot be written", self.log.display()))?;
        let mut process = Command::new(&self.executable)
            .args(&self.arguments)
            .arg("--supervised")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.name))?;
        self.note(|status| {
            if let Some(pid) = process.id() {
                status.pids.insert(self.name.clone(), pid);
            }
        });
        let life = process.stdin.take();
        Ok(Child { process, life })
    }

    fn note(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock().expect("no holder panics");
        change(&mut status);
        let text = serde_json::json!({ "pids": status.pids, "restarts": status.restarts, "down": status.down });
        if let Err(error) = ppu_store::write_atomically(&self.status_file, text.to_string().as_bytes()) {
            tracing::warn!(%error, "the list of processes could not be written");
        }
    }

    async fn keep(self, mut child: Child, mut stop: watch::Receiver<bool>) {
        let mut deaths: Vec<Instant> = Vec::new();
        loop {
            let ended = tokio::select! {
                ended = child.process.wait() => Some(ended),
                () = asked(&mut stop) => None,
            };
            let Some(ended) = ended else {
                end(&mut child).await;
                return;
            };
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            deaths.retain(|death| death.elapsed() < WINDOW);
            deaths.push(Instant::now());
            tracing::warn!(process = self.name, "ended: {how}");
            if deaths.len() > self.restarts.limit {
                self.note(|status| {
                    status.pids.remove(&self.name);
                    status.down.insert(self.name.clone(), format!("ended {} times, last: {how}", deaths.len()));
                });
                tracing::error!(
                    process = self.name,
                    "stays down after {} ends in {} s",
                    deaths.len(),
                    WINDOW.as_secs()
                );
                return;
            }
            self.note(|status| *status.restarts.entry(self.name.clone()).or_default() += 1);
            tokio::select! {
                () = tokio::time::sleep(self.restarts.wait(deaths.len())) => {}
                () = asked(&mut stop) => return,
            }
            match self.spawn() {
                Ok(next) => child = next,
                Err(error) => {
                    tracing::error!(process = self.name, "cannot be started again: {error:#}");
                    self.note(|status| {
                        status.pids.remove(&self.name);
                        status.down.insert(self.name.clone(), format!("{error:#}"));
                    });
                    return;
                }
            }
        }
    }
}

/// Waits until the children shall end; the supervisor being gone means the same.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The guard that `wait_for` returns must not live across the next await.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Asks a child to end by closing its standard input; kills it when it does not.
async fn end(child: &mut Child) {
    drop(child.life.take());
    if tokio::time::timeout(GRACE, child.process.wait()).await.is_err() {
        // Already gone is as good.
        let _ = child.process.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RestartPolicy::default();
        let waits: Vec<u128> = (1..=5).map(|ends| policy.wait(ends).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200]);
        let patient = RestartPolicy { limit: 1_000_000, longest_wait: Duration::from_millis(500) };
        assert_eq!(patient.wait(3), Duration::from_millis(500));
        assert_eq!(patient.wait(1_000_000), Duration::from_millis(500));
    }
}

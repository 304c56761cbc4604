//! Simulated serial ports: pseudo-terminals under stable names.
//!
//! PTY-1: the simulator keeps its own descriptor of the slave side open, so that the master never fails between clients,
//! and puts it into raw mode. PTY-2: the port is published as a symbolic link that is replaced atomically.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::{Connection, IDLE, SharedLab, lock, wait_until_open};
use crate::device::Port;
use crate::lab::{LinkState, Transmission};

/// A pseudo-terminal with its published name.
#[derive(Debug)]
pub struct Pty {
    master: AsyncFd<OwnedFd>,
    /// Never read: it keeps the slave side alive (PTY-1) and can hold the port's lock.
    slave: OwnedFd,
    link: PathBuf,
    target: PathBuf,
}

impl Pty {
    /// Opens a pseudo-terminal in raw mode and publishes it as `link`.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn open(link: &Path) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let target = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
        let slave = rustix::fs::open(&target, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        publish(link, &target)?;
        Ok(Self { master: watch_descriptor(master)?, slave, link: link.to_owned(), target })
    }

    /// Takes or gives back the lock that serial libraries ask for when they open a port exclusively.
    ///
    /// # Errors
    /// When a client holds the lock.
    pub fn lock(&self, held: bool) -> io::Result<()> {
        let operation = if held { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::Unlock };
        Ok(flock(&self.slave, operation)?)
    }

    /// Reads what a client has written; waits until there is something.
    ///
    /// # Errors
    /// What the operating system said.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.master.readable().await?;
            match ready.try_io(|master| Ok(rustix::io::read(master, &mut *buffer)?)) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes all of `bytes` towards the client; waits while its buffer is full.
    ///
    /// # Errors
    /// What the operating system said.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.master.writable().await?;
            match ready.try_io(|master| Ok(rustix::io::write(master, bytes)?)) {
                Ok(written) => bytes = &bytes[written?..],
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Only our own name is taken away: a successor may have published under it already.
        if std::fs::read_link(&self.link).is_ok_and(|target| target == self.target) {
            let _ = std::fs::remove_file(&self.link);
        }
    }
}

#[allow(deprecated, reason = "the replacement is unsafe; an OwnedFd stays open for as long as it is registered")]
fn watch_descriptor(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// Points `link` at `target` in one step, whatever stood there before.
fn publish(link: &Path, target: &Path) -> io::Result<()> {
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = link.with_file_name(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &temporary)?;
    std::fs::rename(&temporary, link)
}

/// Serves a device on a serial port called `link`, for ever.
pub async fn serve(lab: SharedLab, device: usize, link: PathBuf, first: Pty) {
    let mut state = lock(&lab).link_state(device);
    let mut seen = 0;
    let mut ready = Some(first);
    loop {
        if state.borrow().generation != seen {
            ready = None;
        }
        if wait_until_open(&mut state, &mut seen).await.is_none() {
            return;
        }
        let opened = ready.take().map_or_else(|| Pty::open(&link), Ok);
        match opened {
            Ok(pty) => {
                tokio::select! {
                    () = carry(&lab, device, &pty) => {}
                    () = hold(&pty, &mut state, seen) => {}
                }
            }
            Err(error) => {
                tracing::error!(link = %link.display(), %error, "cannot open a pseudo-terminal");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Holds the lock of the port while it is told to, until the line is cut.
async fn hold(pty: &Pty, state: &mut watch::Receiver<LinkState>, seen: u64) {
    loop {
        let now = *state.borrow_and_update();
        if now.generation != seen {
            return;
        }
        if let Err(error) = pty.lock(now.locked) {
            tracing::warn!(%error, "cannot lock a pseudo-terminal");
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn carry(lab: &SharedLab, device: usize, pty: &Pty) {
    let (connection, output) = Connection::open(lab, device, Port::Main);
    tokio::select! {
        () = read(&connection, pty) => {}
        () = write(output, pty) => {}
    }
}

async fn read(connection: &Connection, pty: &Pty) {
    let mut buffer = [0; 1024];
    let mut unfinished = false;
    loop {
        let idle = async { if unfinished { tokio::time::sleep(IDLE).await } else { std::future::pending().await } };
        tokio::select! {
            length = pty.read(&mut buffer) => match length {
                Ok(length) => {
                    connection.receive(&buffer[..length]);
                    unfinished = true;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read from a pseudo-terminal");
                    return;
                }
            },
            () = idle => {
                connection.idle();
                unfinished = false;
            }
        }
    }
}

async fn write(mut output: mpsc::Receiver<Transmission>, pty: &Pty) {
    while let Some(transmission) = output.recv().await {
        // A serial port cannot be hung up from the device's side.
        let Transmission::Write(chunk) = transmission else { continue };
        tokio::time::sleep(Duration::from_millis(chunk.delay_ms)).await;
        if let Err(error) = pty.write_all(&chunk.bytes).await {
            tracing::error!(%error, "cannot write to a pseudo-terminal");
            return;
        }
    }
}

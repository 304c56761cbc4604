//! Raw data as files named by the BLAKE3 of their content (ART-1, ART-2).
//!
//! Layout under the root: `ab/cdef…` for content whose hash begins with `ab`, `incoming/` for what is being written,
//! `quarantine/` for files that no longer match their name, `orphans/` for files that no record names.

use crate::atomic::unique_suffix;
use crate::disk::{Disk, DiskFile, DiskOperation, OpenMode};
use crate::error::DiskFailure;
use crate::format::{ParseHexError, parse_hex, write_hex};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Files are read and hashed in pieces of this many bytes.
const READ_BLOCK: usize = 1024 * 1024;

/// BLAKE3 of an artifact's content: its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactHash(pub [u8; 32]);

/// An artifact that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Its name.
    pub hash: ArtifactHash,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether the same content was there already; it was verified and not rewritten.
    pub existed: bool,
}

/// An artifact whose content does not match its name any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedArtifact {
    /// Its name.
    pub hash: ArtifactHash,
    /// BLAKE3 of what was found.
    pub found: ArtifactHash,
    /// Where the file is now.
    pub moved_to: PathBuf,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Artifacts that match their names.
    pub sound: u64,
    /// Their length in all, in bytes.
    pub bytes: u64,
    /// Artifacts that did not, and were moved away.
    pub quarantined: Vec<QuarantinedArtifact>,
}

/// An artifact could not be stored or served.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is no artifact of this name.
    #[error("there is no artifact {0}")]
    NotFound(ArtifactHash),
    /// The content had changed; it is not served, and the file was moved away (ART-2).
    #[error("artifact {hash} has changed and was moved to {moved_to}", hash = .0.hash, moved_to = .0.moved_to.display())]
    Quarantined(QuarantinedArtifact),
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] DiskFailure),
}

/// A directory of artifacts; cheap to clone, safe to use from several threads and processes.
#[derive(Clone, Debug)]
pub struct ArtifactStore<D: Disk> {
    disk: D,
    root: PathBuf,
}

/// An artifact on its way in. Dropped before [`ArtifactWriter::finish`], it is removed.
#[derive(Debug)]
pub struct ArtifactWriter<D: Disk> {
    store: ArtifactStore<D>,
    file: D::File,
    /// `None` once the file has been given its name or removed.
    path: Option<PathBuf>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl ArtifactHash {
    /// The hash of some content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).into())
    }
}

impl<D: Disk> ArtifactStore<D> {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// The directories could not be made.
    pub fn open(disk: D, root: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let store = Self { disk, root: root.as_ref().to_owned() };
        for dir in [store.incoming(), store.quarantine(), store.orphans()] {
            store.make_dir(&dir)?;
        }
        Ok(store)
    }

    /// Stores content; durable on return.
    ///
    /// # Errors
    /// The disk failed; nothing has the name then.
    pub fn put(&self, content: &[u8]) -> Result<StoredArtifact, ArtifactError> {
        let mut writer = self.begin()?;
        writer.write(content)?;
        writer.finish()
    }

    /// Begins to store content that comes in pieces.
    ///
    /// # Errors
    /// The disk failed.
    pub fn begin(&self) -> Result<ArtifactWriter<D>, ArtifactError> {
        let path = self.incoming().join(format!("put{}", unique_suffix()));
        let file = self.disk.open(&path, OpenMode::Create).map_err(DiskFailure::at(DiskOperation::Open, &path))?;
        Ok(ArtifactWriter { store: self.clone(), file, path: Some(path), hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// The content of an artifact, verified.
    ///
    /// # Errors
    /// [`ArtifactError::NotFound`]; [`ArtifactError::Quarantined`] if the content has changed; or the disk failed.
    pub fn get(&self, hash: &ArtifactHash) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(hash);
        let content = match crate::disk::read_whole(&self.disk, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ArtifactError::NotFound(*hash)),
            other => other.map_err(DiskFailure::at(DiskOperation::Read, &path))?,
        };
        let found = ArtifactHash::of(&content);
        if found == *hash { Ok(content) } else { Err(ArtifactError::Quarantined(self.move_away(hash, found)?)) }
    }

    /// Whether there is a file of this name; its content is not looked at.
    ///
    /// # Errors
    /// The disk failed.
    pub fn contains(&self, hash: &ArtifactHash) -> Result<bool, ArtifactError> {
        Ok(self.open_existing(hash)?.is_some())
    }

    /// The names of all artifacts, sorted.
    ///
    /// # Errors
    /// The disk failed.
    pub fn list(&self) -> Result<Vec<ArtifactHash>, ArtifactError> {
        let mut hashes = Vec::new();
        for prefix in self.names_in(&self.root)?.iter().filter(|name| name.len() == 2) {
            let names = self.names_in(&self.root.join(prefix))?;
            hashes.extend(names.iter().filter_map(|name| format!("{prefix}{name}").parse::<ArtifactHash>().ok()));
        }
        Ok(hashes)
    }

    /// Verifies every artifact and moves away those that have changed.
    ///
    /// # Errors
    /// The disk failed; what was not looked at is as it was.
    pub fn scrub(&self) -> Result<ScrubReport, ArtifactError> {
        let mut report = ScrubReport::default();
        for hash in self.list()? {
            // A file may have been moved away since the listing.
            let Some(file) = self.open_existing(&hash)? else {
                continue;
            };
            let (found, bytes) = self.hash_file(&file, &self.path(&hash))?;
            if found == hash {
                report.sound += 1;
                report.bytes += bytes;
            } else {
                report.quarantined.push(self.move_away(&hash, found)?);
            }
        }
        Ok(report)
    }

    /// Moves an artifact that no record names to `orphans/`. The caller knows the records and waits a day first (ART-2).
    ///
    /// # Errors
    /// [`ArtifactError::NotFound`], or the disk failed.
    pub fn set_aside_orphan(&self, hash: &ArtifactHash) -> Result<(), ArtifactError> {
        self.open_existing(hash)?.ok_or(ArtifactError::NotFound(*hash))?;
        self.rename(&self.path(hash), &self.orphans().join(hash.to_string()))?;
        Ok(())
    }

    /// Removes what earlier processes left half written, and says how many files that were. Only for the owner of the store, at
    /// its start: a writer of another process would lose its file.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clear_incoming(&self) -> Result<usize, ArtifactError> {
        let incoming = self.incoming();
        let names = self.names_in(&incoming)?;
        for name in &names {
            let path = incoming.join(name);
            self.disk.remove(&path).map_err(DiskFailure::at(DiskOperation::Remove, &path))?;
        }
        Ok(names.len())
    }

    fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    fn orphans(&self) -> PathBuf {
        self.root.join("orphans")
    }

    fn path(&self, hash: &ArtifactHash) -> PathBuf {
        let digits = hash.to_string();
        let (prefix, rest) = digits.split_at(2);
        self.root.join(prefix).join(rest)
    }

    fn names_in(&self, dir: &Path) -> Result<Vec<String>, DiskFailure> {
        self.disk.list(dir).map_err(DiskFailure::at(DiskOperation::Read, dir))
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskFailure> {
        self.disk.create_dir_all(dir).map_err(DiskFailure::at(DiskOperation::CreateDirectory, dir))
    }

    fn open_existing(&self, hash: &ArtifactHash) -> Result<Option<D::File>, DiskFailure> {
        let path = self.path(hash);
        match self.disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(DiskFailure::at(DiskOperation::Open, &path)),
        }
    }

    fn hash_file(&self, file: &D::File, path: &Path) -> Result<(ArtifactHash, u64), DiskFailure> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0_u8; READ_BLOCK];
        let mut offset = 0;
        loop {
            let count = file.read(&mut buffer, offset).map_err(DiskFailure::at(DiskOperation::Read, path))?;
            if count == 0 {
                return Ok((ArtifactHash(hasher.finalize().into()), offset));
            }
            hasher.update(&buffer[..count]);
            offset += count as u64;
        }
    }

    fn move_away(&self, hash: &ArtifactHash, found: ArtifactHash) -> Result<QuarantinedArtifact, DiskFailure> {
        let moved_to = self.quarantine().join(format!("{hash}{}", unique_suffix()));
        self.rename(&self.path(hash), &moved_to)?;
        tracing::error!(%hash, %found, moved_to = %moved_to.display(), "an artifact has changed and was moved away");
        Ok(QuarantinedArtifact { hash: *hash, found, moved_to })
    }

    /// Renames a file and makes both directories durable, the new name first: the file has one name or both, never none.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskFailure> {
        self.disk.rename(from, to).map_err(DiskFailure::at(DiskOperation::Rename, to))?;
        for path in [to, from] {
            let dir = path.parent().unwrap_or(Path::new(""));
            self.disk.sync_dir(dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, dir))?;
        }
        Ok(())
    }
}

impl<D: Disk> ArtifactWriter<D> {
    /// Adds a piece of content.
    ///
    /// # Errors
    /// The disk failed; the artifact cannot be finished then, drop it.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), ArtifactError> {
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        self.file.pwrite(piece, self.bytes).map_err(DiskFailure::at(DiskOperation::Write, path))?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Makes the content durable under its hash.
    ///
    /// # Errors
    /// The disk failed; the name may or may not exist then, and never with other content.
    pub fn finish(mut self) -> Result<StoredArtifact, ArtifactError> {
        let hash = ArtifactHash(self.hasher.finalize().into());
        let store = self.store.clone();
        let target = store.path(&hash);
        if let Some(existing) = store.open_existing(&hash)? {
            let (found, bytes) = store.hash_file(&existing, &target)?;
            if found == hash {
                // A name that is readable may still be unsynced if its writer died between rename and sync.
                existing.sync().map_err(DiskFailure::at(DiskOperation::Sync, &target))?;
                store.sync_parent(&target)?;
                return Ok(StoredArtifact { hash, bytes, existed: true });
            }
            store.move_away(&hash, found)?;
        }
        let Some(path) = self.path.clone() else {
            return Err(ArtifactError::NotFound(hash));
        };
        self.file.sync().map_err(DiskFailure::at(DiskOperation::Sync, &path))?;
        store.make_dir(target.parent().unwrap_or(&store.root))?;
        store.disk.rename(&path, &target).map_err(DiskFailure::at(DiskOperation::Rename, &target))?;
        self.path = None;
        store.sync_parent(&target)?;
        Ok(StoredArtifact { hash, bytes: self.bytes, existed: false })
    }
}

impl<D: Disk> ArtifactStore<D> {
    fn sync_parent(&self, path: &Path) -> Result<(), DiskFailure> {
        let dir = path.parent().unwrap_or(&self.root);
        self.disk.sync_dir(dir).map_err(DiskFailure::at(DiskOperation::SyncDirectory, dir))
    }
}

impl<D: Disk> Drop for ArtifactWriter<D> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = self.store.disk.remove(&path)
        {
            tracing::debug!(path = %path.display(), %error, "an unfinished artifact could not be removed");
        }
    }
}

impl fmt::Display for ArtifactHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for ArtifactHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArtifactHash({self})")
    }
}

impl FromStr for ArtifactHash {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, ParseHexError> {
        parse_hex(text).map(Self)
    }
}

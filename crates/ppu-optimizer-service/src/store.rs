//! Studies by name, in memory and, where there is a folder, each in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ppu_optimizer::Study;
use ppu_optimizer::study::{Record, StudyError};

/// Longest name; file systems take 255 bytes.
const LONGEST_NAME: usize = 100;

/// Why a file of studies cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or a file in it.
    #[error("{path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that holds no record.
    #[error("{path} is not the record of a study")]
    Record {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A record that makes no sense.
    #[error("{path} holds a study that makes no sense")]
    Study {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StudyError,
    },
    /// A file that could not be written.
    #[error("{path} cannot be written: {reason}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// One study. Its lock is held for the whole of a question, so that questions to one study come one after the other.
pub(crate) type Shared = Arc<tokio::sync::Mutex<Study>>;

/// All studies.
#[derive(Clone)]
pub(crate) struct Studies {
    directory: Option<PathBuf>,
    studies: Arc<Mutex<BTreeMap<String, Shared>>>,
}

/// Whether a name may be one of a study, and so of a file.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.') && name.chars().all(good)
}

impl Studies {
    /// Reads all studies of a folder, which is made if need be.
    pub(crate) fn open(directory: Option<PathBuf>) -> Result<Studies, StoreError> {
        let mut studies = BTreeMap::new();
        if let Some(directory) = &directory {
            let failed = |source| StoreError::File { path: directory.clone(), source };
            std::fs::create_dir_all(directory).map_err(failed)?;
            for entry in std::fs::read_dir(directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
                if path.extension().is_some_and(|extension| extension == "json") && is_name(&name) {
                    studies.insert(name, Arc::new(tokio::sync::Mutex::new(read(&path)?)));
                }
            }
        }
        Ok(Studies { directory, studies: Arc::new(Mutex::new(studies)) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Shared>) -> T) -> T {
        // A panic elsewhere leaves the map as it was: it is only ever changed by whole entries.
        act(&mut self.studies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Shared> {
        self.with(|studies| studies.get(name).cloned())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|studies| studies.keys().cloned().collect())
    }

    /// Adds a study; `false` where the name is taken. It is in its file before it is in the map.
    pub(crate) fn add(&self, name: &str, study: Study) -> Result<bool, StoreError> {
        self.with(|studies| {
            if studies.contains_key(name) {
                return Ok(false);
            }
            self.write(name, study.record())?;
            studies.insert(name.to_owned(), Arc::new(tokio::sync::Mutex::new(study)));
            Ok(true)
        })
    }

    /// Removes a study; `false` where there is none.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        self.with(|studies| {
            if studies.remove(name).is_none() {
                return Ok(false);
            }
            if let Some(path) = self.path(name) {
                std::fs::remove_file(&path).map_err(|source| StoreError::File { path, source })?;
            }
            Ok(true)
        })
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(format!("{name}.json")))
    }

    /// Writes a record to its file, where there is a folder.
    pub(crate) fn write(&self, name: &str, record: &Record) -> Result<(), StoreError> {
        let Some(path) = self.path(name) else { return Ok(()) };
        let text = serde_json::to_string_pretty(record)
            .map_err(|error| StoreError::Write { path: path.clone(), reason: error.to_string() })?;
        ppu_store::write_atomically(&path, text.as_bytes())
            .map_err(|error| StoreError::Write { path, reason: error.to_string() })
    }
}

fn read(path: &Path) -> Result<Study, StoreError> {
    let text = std::fs::read_to_string(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let record: Record =
        serde_json::from_str(&text).map_err(|source| StoreError::Record { path: path.to_owned(), source })?;
    Study::resume(record).map_err(|source| StoreError::Study { path: path.to_owned(), source })
}

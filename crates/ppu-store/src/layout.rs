//! Where the parts of a log lie in its directory.

use crate::format::segment_name;
use std::path::{Path, PathBuf};

/// The paths of one log.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.dir.join("HEAD")
    }

    pub(crate) fn new_head(&self) -> PathBuf {
        self.dir.join("HEAD.tmp")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn segment(&self, first_sequence: u64) -> PathBuf {
        self.segments().join(segment_name(first_sequence))
    }

    pub(crate) fn prepared(&self) -> PathBuf {
        self.segments().join("prepared.tmp")
    }

    pub(crate) fn torn(&self) -> PathBuf {
        self.dir.join("torn")
    }
}

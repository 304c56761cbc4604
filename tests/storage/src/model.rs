//! What a disk holds after some calls: as a reader sees it, and as it is left by a power cut.
//!
//! The model is the strictest that POSIX allows and a journaling file system keeps: bytes are durable after a sync of their
//! file, names after a sync of their directory, a directory's own name after a sync of the one above it. Of what was not
//! synced, a power cut leaves nothing, or any part of the 512-byte sectors written and any prefix of the changes of names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rand::{Rng as _, RngExt as _};
use rand_chacha::ChaCha8Rng;

use crate::trace::Call;

/// Drives write whole sectors of this many bytes.
const SECTOR: usize = 512;

/// What a power cut leaves of what was not synced.
#[derive(Debug)]
pub enum Keep<'r> {
    /// Nothing.
    Nothing,
    /// Any part: torn and reordered writes.
    Part(&'r mut ChaCha8Rng),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Move { from: PathBuf, to: PathBuf, node: Node },
}

#[derive(Debug, Clone)]
enum ByteChange {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    seen: Vec<u8>,
    stored: Vec<u8>,
    unsynced: Vec<ByteChange>,
}

/// The files below one directory.
#[derive(Debug, Clone)]
pub struct Model {
    root: PathBuf,
    files: Vec<File>,
    /// Which file has an inode now; a number is used again after its file is gone.
    inodes: BTreeMap<u64, usize>,
    seen: BTreeMap<PathBuf, Node>,
    stored: BTreeMap<PathBuf, Node>,
    unsynced: Vec<NameChange>,
    syncs: u64,
}

impl Model {
    /// An empty directory, itself durable, after some calls.
    ///
    /// # Errors
    /// A call contradicts the ones before it.
    pub fn after(root: &Path, calls: &[Call]) -> anyhow::Result<Self> {
        let mut model = Self {
            root: root.to_owned(),
            files: Vec::new(),
            inodes: BTreeMap::new(),
            seen: BTreeMap::new(),
            stored: BTreeMap::new(),
            unsynced: Vec::new(),
            syncs: 0,
        };
        for call in calls {
            model.take(call).with_context(|| format!("after a call of {}", short(call)))?;
        }
        Ok(model)
    }

    /// How often the bytes of a file were synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Writes what a power cut leaves below another directory.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn power_cut(&self, to: &Path, mut keep: Keep<'_>) -> anyhow::Result<()> {
        let mut names = self.stored.clone();
        if let Keep::Part(random) = &mut keep {
            let kept = random.random_range(0..=self.unsynced.len());
            self.unsynced[..kept].iter().for_each(|change| apply(change, &mut names));
        }
        fs::create_dir_all(to)?;
        // Sorted, so that a directory comes before what is in it; what lies in a lost directory is lost.
        for (path, node) in &names {
            let is_reachable =
                path.ancestors().skip(1).take_while(|above| *above != self.root).all(|above| names.contains_key(above));
            if !is_reachable {
                continue;
            }
            let target = to.join(path.strip_prefix(&self.root)?);
            match node {
                Node::Directory => fs::create_dir(&target)?,
                Node::File(file) => fs::write(&target, self.files[*file].left(&mut keep))?,
            }
        }
        Ok(())
    }

    /// Compares what a reader would see with the files that the process really left: a call that passed by unnoticed shows.
    ///
    /// # Errors
    /// Names or bytes differ.
    pub fn compare(&self) -> anyhow::Result<()> {
        let mut real = BTreeMap::new();
        walk(&self.root, &mut real)?;
        let names: Vec<_> = self.seen.keys().collect();
        ensure!(names == real.keys().collect::<Vec<_>>(), "names differ: {names:?} and {:?}", real.keys());
        for (path, node) in &self.seen {
            let Node::File(file) = node else { continue };
            let bytes = fs::read(path)?;
            ensure!(bytes == self.files[*file].seen, "{} has other bytes than the calls gave it", path.display());
        }
        Ok(())
    }

    fn take(&mut self, call: &Call) -> anyhow::Result<()> {
        match call {
            Call::Create { inode, path } => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.inodes.insert(*inode, file);
                self.change(NameChange::Link { path: path.clone(), node: Node::File(file) });
            }
            Call::MakeDirectory { path } => {
                self.change(NameChange::Link { path: path.clone(), node: Node::Directory });
            }
            Call::Write { inode, offset, bytes } => {
                let (file, offset) = (self.file(*inode)?, usize::try_from(*offset)?);
                write_at(&mut file.seen, offset, bytes);
                file.unsynced.push(ByteChange::Write { offset, bytes: bytes.clone() });
            }
            Call::Truncate { inode, length } => {
                let (file, length) = (self.file(*inode)?, usize::try_from(*length)?);
                file.seen.resize(length, 0);
                file.unsynced.push(ByteChange::Length(length));
            }
            Call::Sync { inode } => {
                self.syncs += 1;
                let file = self.file(*inode)?;
                file.stored.clone_from(&file.seen);
                file.unsynced.clear();
            }
            Call::SyncDirectory { path } => self.sync_directory(path),
            Call::Rename { from, to } => {
                let node = *self.seen.get(from).context("the old name is unknown")?;
                if node == Node::Directory {
                    bail!("the rename of a directory is not modelled");
                }
                self.change(NameChange::Move { from: from.clone(), to: to.clone(), node });
            }
            Call::Unlink { path } => self.change(NameChange::Unlink { path: path.clone() }),
        }
        Ok(())
    }

    fn file(&mut self, inode: u64) -> anyhow::Result<&mut File> {
        let file = self.inodes.get(&inode).with_context(|| format!("inode {inode} is unknown"))?;
        Ok(&mut self.files[*file])
    }

    fn change(&mut self, change: NameChange) {
        apply(&change, &mut self.seen);
        self.unsynced.push(change);
    }

    fn sync_directory(&mut self, directory: &Path) {
        let is_in = |path: &Path| path.parent() == Some(directory);
        let mut rest = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            match &change {
                NameChange::Link { path, .. } | NameChange::Unlink { path } if is_in(path) => {
                    apply(&change, &mut self.stored);
                }
                // A move is one change: a sync of the old directory never loses the file.
                NameChange::Move { from, .. } if is_in(from) => apply(&change, &mut self.stored),
                NameChange::Move { from, to, node } if is_in(to) => {
                    self.stored.insert(to.clone(), *node);
                    // The old name may still be found until its own directory is synced.
                    rest.push(NameChange::Unlink { path: from.clone() });
                }
                _ => rest.push(change),
            }
        }
        self.unsynced = rest;
    }
}

fn apply(change: &NameChange, names: &mut BTreeMap<PathBuf, Node>) {
    match change {
        NameChange::Link { path, node } => {
            names.insert(path.clone(), *node);
        }
        NameChange::Unlink { path } => {
            names.remove(path);
        }
        NameChange::Move { from, to, node } => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

impl File {
    fn left(&self, keep: &mut Keep<'_>) -> Vec<u8> {
        let mut bytes = self.stored.clone();
        let Keep::Part(random) = keep else { return bytes };
        for change in &self.unsynced {
            match change {
                ByteChange::Length(length) => {
                    if random.random() {
                        bytes.resize(*length, 0);
                    }
                }
                ByteChange::Write { offset, bytes: new } => keep_some_sectors(&mut bytes, *offset, new, random),
            }
        }
        bytes
    }
}

fn keep_some_sectors(bytes: &mut Vec<u8>, offset: usize, new: &[u8], random: &mut ChaCha8Rng) {
    let mut coins = 0_u64;
    let (mut start, mut count) = (0, 0_u32);
    while start < new.len() {
        let end = new.len().min((offset + start) / SECTOR * SECTOR + SECTOR - offset);
        if count.is_multiple_of(64) {
            coins = random.next_u64();
        }
        if coins >> (count % 64) & 1 == 1 {
            write_at(bytes, offset + start, &new[start..end]);
        }
        (start, count) = (end, count + 1);
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

fn walk(directory: &Path, into: &mut BTreeMap<PathBuf, ()>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        into.insert(entry.path(), ());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), into)?;
        }
    }
    Ok(())
}

fn short(call: &Call) -> String {
    match call {
        Call::Write { inode, offset, bytes } => format!("{} bytes into inode {inode} at {offset}", bytes.len()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn create(inode: u64, path: &str) -> Call {
        Call::Create { inode, path: path.into() }
    }

    fn write(inode: u64, bytes: &[u8]) -> Call {
        Call::Write { inode, offset: 0, bytes: bytes.to_vec() }
    }

    fn sync_root() -> Call {
        Call::SyncDirectory { path: "/r".into() }
    }

    /// Names and contents that a power cut leaves.
    fn left(calls: &[Call], keep: Keep<'_>) -> BTreeMap<String, Vec<u8>> {
        let to = tempfile::tempdir().unwrap();
        Model::after(Path::new("/r"), calls).unwrap().power_cut(to.path(), keep).unwrap();
        let mut found = BTreeMap::new();
        walk(to.path(), &mut found).unwrap();
        let name = |path: &Path| path.strip_prefix(to.path()).unwrap().to_str().unwrap().to_owned();
        found.keys().filter(|path| path.is_file()).map(|path| (name(path), fs::read(path).unwrap())).collect()
    }

    #[test]
    fn bytes_need_their_sync_and_names_that_of_their_directory() {
        let mut calls = vec![create(1, "/r/a"), write(1, b"x")];
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::new());
        calls.push(sync_root());
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::from([("a".to_owned(), vec![])]));
        calls.push(Call::Sync { inode: 1 });
        calls.push(write(1, b"y"));
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::from([("a".to_owned(), b"x".to_vec())]));
    }

    #[test]
    fn a_file_in_a_directory_whose_name_was_not_synced_is_lost() {
        let made = Call::MakeDirectory { path: "/r/d".into() };
        let inside = Call::SyncDirectory { path: "/r/d".into() };
        let mut calls = vec![made, create(1, "/r/d/a"), write(1, b"x"), Call::Sync { inode: 1 }, inside];
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::new());
        calls.push(sync_root());
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::from([("d/a".to_owned(), b"x".to_vec())]));
    }

    #[test]
    fn a_rename_that_was_not_synced_may_be_undone_and_never_loses_the_file() {
        let mut calls = vec![create(1, "/r/a"), write(1, b"x"), Call::Sync { inode: 1 }, sync_root()];
        calls.push(Call::Rename { from: "/r/a".into(), to: "/r/b".into() });
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::from([("a".to_owned(), b"x".to_vec())]));
        calls.push(sync_root());
        assert_eq!(left(&calls, Keep::Nothing), BTreeMap::from([("b".to_owned(), b"x".to_vec())]));
    }

    #[test]
    fn part_of_the_unsynced_sectors_survive() {
        let calls = [create(1, "/r/a"), write(1, &[7; 64 * SECTOR]), sync_root()];
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let bytes = &left(&calls, Keep::Part(&mut random))["a"];
        let whole = bytes.chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == 7)).count();
        let empty = bytes.chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == 0)).count();
        assert!(whole > 10 && empty > 10 && whole + empty == bytes.len().div_ceil(SECTOR), "{whole} {empty}");
    }
}

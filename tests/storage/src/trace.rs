//! The calls that a process made, read back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Bytes before the paths and data of a record.
const HEAD: usize = 1 + 3 * 8 + 3 * 4;

/// One call that changed files, or made changes durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A file was made.
    Create {
        /// Its inode.
        inode: u64,
        /// Its name.
        path: PathBuf,
    },
    /// A file got another length.
    Truncate {
        /// Its inode.
        inode: u64,
        /// The length in bytes.
        length: u64,
    },
    /// Bytes were written.
    Write {
        /// Into this inode.
        inode: u64,
        /// From this byte on.
        offset: u64,
        /// These.
        bytes: Vec<u8>,
    },
    /// The bytes of a file were synced.
    Sync {
        /// Its inode.
        inode: u64,
    },
    /// The names of a directory were synced.
    SyncDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A file got another name.
    Rename {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// A name was removed.
    Unlink {
        /// The name.
        path: PathBuf,
    },
    /// A directory was made.
    MakeDirectory {
        /// Its name.
        path: PathBuf,
    },
}

/// Reads a trace. A record that was cut short by the kill is left out: nobody knows of its call.
///
/// # Errors
/// The file cannot be read, holds something else, or names a call that is not modelled.
pub fn read(path: &Path) -> anyhow::Result<Vec<Call>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut rest = bytes.as_slice();
    let mut calls = Vec::new();
    while let Some((call, after)) = next(rest)? {
        calls.push(call);
        rest = after;
    }
    Ok(calls)
}

fn next(bytes: &[u8]) -> anyhow::Result<Option<(Call, &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
    let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
    let (inode, offset, length) = (long(1), long(9), long(17));
    let Some((path, rest)) = rest.split_at_checked(short(25)) else { return Ok(None) };
    let Some((other, rest)) = rest.split_at_checked(short(29)) else { return Ok(None) };
    let Some((data, rest)) = rest.split_at_checked(short(33)) else { return Ok(None) };
    let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map(PathBuf::from).context("a name is not UTF-8");
    let call = match head[0] {
        b'C' => Call::Create { inode, path: name(path)? },
        b'T' => Call::Truncate { inode, length },
        b'W' => Call::Write { inode, offset, bytes: data.to_vec() },
        b'Z' => Call::Write { inode, offset, bytes: vec![0; usize::try_from(length)?] },
        b'S' => Call::Sync { inode },
        b'D' => Call::SyncDirectory { path: name(path)? },
        b'R' => Call::Rename { from: name(path)?, to: name(other)? },
        b'U' => Call::Unlink { path: name(path)? },
        b'M' => Call::MakeDirectory { path: name(path)? },
        b'!' => {
            bail!("the process made a call that is not modelled: {} {}", name(path)?.display(), name(other)?.display())
        }
        unknown => bail!("the trace holds an unknown record {unknown}"),
    };
    Ok(Some((call, rest)))
}

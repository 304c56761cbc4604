//! Reference crystals and their split.

use std::path::Path;

use ppu_wyckoff::dataset::{self, Part};
use ppu_wyckoff::{Crystal, describe};

use crate::Problem;

/// Atoms may be off their symmetric places by this much, in Å; the same as in training.
pub(crate) const TOLERANCE: f64 = 0.01;

/// Crystals of MP-20 in their canonical form, split by formula.
pub(crate) struct Parts {
    pub(crate) train: Vec<Crystal>,
    pub(crate) validation: Vec<Crystal>,
    pub(crate) test: Vec<Crystal>,
}

/// Binaries and ternaries of MP-20; `None` where the file is not there.
pub(crate) fn mp20(data: &Path) -> Result<Option<Parts>, Problem> {
    let path = data.join("mp20/mp20_binary_ternary.jsonl.gz");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = gunzip(&bytes).ok_or(format!("{} is no gzip file", path.display()))?;
    let mut parts = Parts { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
    for entry in dataset::read(&text)? {
        let Ok(described) = describe(&entry.structure, TOLERANCE) else { continue };
        let part = match dataset::part(&described.crystal.formula()) {
            Part::Train => &mut parts.train,
            Part::Validation => &mut parts.validation,
            Part::Test => &mut parts.test,
        };
        part.push(described.crystal);
    }
    Ok(Some(parts))
}

/// RFC 1952: a header of ten bytes, a name if there is one, then a deflate stream.
fn gunzip(bytes: &[u8]) -> Option<String> {
    let flags = *bytes.get(3).filter(|flags| bytes.starts_with(&[0x1f, 0x8b, 8]) && **flags & !8 == 0)?;
    let rest = bytes.get(10..)?;
    let name = if flags == 0 { 0 } else { rest.iter().position(|byte| *byte == 0)? + 1 };
    String::from_utf8(miniz_oxide::inflate::decompress_to_vec(&rest[name..]).ok()?).ok()
}

//! Where the reference data are.

use std::path::PathBuf;

/// The folder `diffraction` of the reference data: below `PPU_REFERENCE_DATA`, or beside the repository. Nothing, with a
/// line that says so, where it is not.
pub(crate) fn diffraction() -> Option<PathBuf> {
    let root = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join("diffraction");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data at {} (set PPU_REFERENCE_DATA)", folder.display());
    None
}

//! Which pseudopotential file stands for which element, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ppu_atoms::Element;
use sha2::{Digest as _, Sha256};

use super::settings::QuantumEspressoSettings;

/// A pseudopotential that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pseudopotential {
    /// Name of the file.
    pub(super) file: String,
    /// SHA-256 of the file in hexadecimal digits.
    pub(super) sha256: String,
    /// Whether it conserves the norm; others need a finer density.
    pub(super) norm_conserving: bool,
}

/// Why an element has none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPseudopotential {
    /// The folder cannot be read.
    #[error("the folder of pseudopotentials, {folder}, cannot be read: {why}")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        why: std::io::Error,
    },
    /// No file is there.
    #[error("there is no pseudopotential for {element} in {folder}; put one there whose name begins with `{element}.`")]
    Missing {
        /// The element.
        element: Element,
        /// The folder.
        folder: String,
    },
    /// The file that the settings name is not there.
    #[error("the pseudopotential of {element}, {file}, cannot be read in {folder}: {why}")]
    Unreadable {
        /// The element.
        element: Element,
        /// The file.
        file: String,
        /// The folder.
        folder: String,
        /// Why.
        why: std::io::Error,
    },
    /// Several files are there, and which one is meant changes the result.
    #[error("{folder} has {} pseudopotentials for {element}: {}; choose one in the settings, `files.{element} = …`",
        files.len(), files.join(", "))]
    Several {
        /// The element.
        element: Element,
        /// The folder.
        folder: String,
        /// The files.
        files: Vec<String>,
    },
}

/// The pseudopotential of each element.
pub(super) fn find(
    settings: &QuantumEspressoSettings,
    elements: &BTreeSet<Element>,
) -> Result<BTreeMap<Element, Pseudopotential>, NoPseudopotential> {
    let folder = &settings.pseudopotentials;
    elements.iter().map(|&element| Ok((element, read(folder, element, settings)?))).collect()
}

fn read(
    folder: &Path,
    element: Element,
    settings: &QuantumEspressoSettings,
) -> Result<Pseudopotential, NoPseudopotential> {
    let file = match settings.files.get(element.symbol()) {
        Some(file) => file.clone(),
        None => only_one(folder, element)?,
    };
    let bytes = std::fs::read(folder.join(&file)).map_err(|why| NoPseudopotential::Unreadable {
        element,
        file: file.clone(),
        folder: folder.display().to_string(),
        why,
    })?;
    let sha256 = hex(&Sha256::digest(&bytes));
    Ok(Pseudopotential { file, sha256, norm_conserving: is_norm_conserving(&String::from_utf8_lossy(&bytes)) })
}

/// The file whose name begins with the element's symbol, in whatever case, and a dot, hyphen or underscore.
fn only_one(folder: &Path, element: Element) -> Result<String, NoPseudopotential> {
    let unreadable = |why| NoPseudopotential::Folder { folder: folder.display().to_string(), why };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let (symbol, rest) = name.split_at_checked(element.symbol().len()).unwrap_or_default();
        let is_upf = Path::new(&name).extension().is_some_and(|end| end.eq_ignore_ascii_case("upf"));
        if is_upf && symbol.eq_ignore_ascii_case(element.symbol()) && rest.starts_with(['.', '-', '_']) {
            files.push(name);
        }
    }
    files.sort();
    match <[String; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) if files.is_empty() => {
            Err(NoPseudopotential::Missing { element, folder: folder.display().to_string() })
        }
        Err(files) => Err(NoPseudopotential::Several { element, folder: folder.display().to_string(), files }),
    }
}

/// The header of UPF version 2 says it as an attribute, that of version 1 as a word of its own.
fn is_norm_conserving(text: &str) -> bool {
    let header = text.split_once("<PP_HEADER").map_or("", |(_, rest)| rest);
    let header = header.split_once("<PP_MESH").map_or(header, |(header, _)| header);
    match header.split_once("pseudo_type=") {
        Some((_, value)) => value.trim_start_matches(['"', '\'']).starts_with("NC"),
        None => header.lines().any(|line| line.split_whitespace().next() == Some("NC")),
    }
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(names: &[&str]) -> (tempfile::TempDir, QuantumEspressoSettings) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), "<PP_HEADER\npseudo_type=\"NC\"\n/>").unwrap();
        }
        let pseudopotentials = folder.path().to_owned();
        (folder, QuantumEspressoSettings { pseudopotentials, ..QuantumEspressoSettings::default() })
    }

    fn silicon(settings: &QuantumEspressoSettings) -> Result<Pseudopotential, String> {
        let silicon: Element = "Si".parse().unwrap();
        find(settings, &[silicon].into()).map(|mut found| found.remove(&silicon).unwrap()).map_err(|no| no.to_string())
    }

    #[test]
    fn one_file_is_taken_several_are_asked_about_and_none_is_named() {
        let (_folder, one) = settings(&["Si.pz-vbc.UPF", "S.pbe.UPF", "Si.txt"]);
        let found = silicon(&one).unwrap();
        assert_eq!((found.file.as_str(), found.norm_conserving, found.sha256.len()), ("Si.pz-vbc.UPF", true, 64));
        let (_folder, mut two) = settings(&["si_pbe.upf", "Si.pz-vbc.UPF"]);
        let refused = silicon(&two).unwrap_err();
        assert!(refused.contains("Si.pz-vbc.UPF, si_pbe.upf; choose"), "{refused}");
        two.files.insert("Si".to_owned(), "si_pbe.upf".to_owned());
        assert_eq!(silicon(&two).unwrap().file, "si_pbe.upf");
        two.files.insert("Si".to_owned(), "Si.gone.UPF".to_owned());
        assert!(silicon(&two).unwrap_err().contains("Si.gone.UPF, cannot be read"));
        let (folder, none) = settings(&["S.pbe.UPF"]);
        let refused = silicon(&none).unwrap_err();
        assert!(refused.contains("for Si in") && refused.contains(&folder.path().display().to_string()), "{refused}");
    }

    #[test]
    fn both_versions_of_the_header_say_whether_the_norm_is_conserved() {
        assert!(is_norm_conserving("<PP_HEADER>\n   0   Version Number\n  Si  Element\n   NC  Norm - Conserving\n"));
        assert!(!is_norm_conserving("<PP_HEADER>\n   0   Version Number\n  Pb  Element\n   US  Ultrasoft\n"));
        assert!(is_norm_conserving("<PP_HEADER generated=\"x\"\n pseudo_type=\"NC\"\n/>"));
        assert!(!is_norm_conserving("<PP_HEADER\n pseudo_type=\"PAW\"\n/><PP_MESH>\nNC"));
        assert!(!is_norm_conserving(""));
    }
}

//! Rules about source files that neither the compiler nor clippy checks.

use std::path::{Path, PathBuf};

/// A file longer than this is two files.
const MOST_LINES: usize = 600;

/// Crates that take time, files and randomness as inputs.
pub const PURE_CRATES: [&str; 10] = [
    "ppu-core",
    "ppu-engine",
    "ppu-timetable",
    "ppu-optimizer",
    "ppu-proposer",
    "ppu-twin",
    "ppu-diffraction",
    "ppu-spectra",
    "ppu-atoms",
    "ppu-wyckoff",
];

/// Folders at the root that hold source of ours.
const SOURCE_FOLDERS: [&str; 3] = ["crates", "firmware-sim", "tests"];

/// What must not stand in a source file, and what to do instead. Written in two halves so that this file does not
/// offend against its own rules.
const FORBIDDEN: [(&str, &str, &str); 4] = [
    ("#[ign", "ore", "a test that does not run proves nothing; mend it or remove it"),
    ("to", "do!(", "what is not there returns a clear error"),
    ("unimple", "mented!(", "what is not there returns a clear error"),
    ("Other(", "String)", "an error says by its type what callers may act on"),
];

/// Everything wrong in the source files below `root`, one line each: file, line, what, and the cure.
pub fn violations(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut files = Vec::new();
    for folder in SOURCE_FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => found.extend(source_problems(&name, &std::fs::read_to_string(path)?)),
            Some("new") => found.push(format!("{name}: a snapshot that nobody has looked at; accept or remove it")),
            _ => {}
        }
        if path.file_name().is_some_and(|file| file == "Cargo.toml") {
            found.extend(manifest_problem(&name, &std::fs::read_to_string(path)?));
        }
    }
    found.extend(purity_problems(root)?);
    Ok(found)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden && !path.ends_with("target") {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn source_problems(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push(format!("{name}: {lines} lines; a file past {MOST_LINES} lines is two files"));
    }
    for (first, second, cure) in FORBIDDEN {
        let forbidden = format!("{first}{second}");
        for (at, line) in text.lines().enumerate().filter(|(_, line)| line.contains(&forbidden)) {
            found.push(format!("{name}:{}: `{}`: {cure}", at + 1, line.trim()));
        }
    }
    found
}

fn manifest_problem(name: &str, text: &str) -> Option<String> {
    let takes_lints =
        text.split("[lints]").nth(1).is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
    // A package that is its own workspace has no other whose lints it could take.
    let alone = text.lines().any(|line| line == "[workspace]");
    (!takes_lints && !alone)
        .then(|| format!("{name}: the crate does not take the lints of the workspace; add [lints] workspace = true"))
}

/// Clippy reads the nearest `clippy.toml` only, so each pure crate has its own; all are the same.
fn purity_problems(root: &Path) -> std::io::Result<Vec<String>> {
    let common = std::fs::read_to_string(root.join("clippy.toml"))?;
    let read = |name: &str| std::fs::read_to_string(root.join("crates").join(name).join("clippy.toml"));
    let model = read(PURE_CRATES[0])?;
    let mut found = Vec::new();
    for line in common.lines().filter(|line| !line.trim().is_empty() && !model.contains(line)) {
        found.push(format!(
            "crates/{}/clippy.toml: the line `{line}` of the root's clippy.toml is missing",
            PURE_CRATES[0]
        ));
    }
    for name in &PURE_CRATES[1..] {
        if read(name)? != model {
            found.push(format!("crates/{name}/clippy.toml differs from that of {}", PURE_CRATES[0]));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_a_test_that_does_not_run_are_found() {
        let text = format!("#[{}]\n{}", "ignore", "\n".repeat(MOST_LINES));
        let found = source_problems("a.rs", &text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("601 lines") && found[1].starts_with("a.rs:1:"), "{found:?}");
        assert_eq!(source_problems("a.rs", "fn main() {}\n"), [""; 0]);
    }

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        assert_eq!(manifest_problem("Cargo.toml", "[lints]\nworkspace = true\n"), None);
        assert!(manifest_problem("Cargo.toml", "[package]\n").is_some());
    }
}

//! Settings of the calculations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ppu_atoms::Element;
use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// Which program calculates, with what, and where.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantumEspressoSettings {
    /// The program and its arguments: a path, or a name in `PATH`. It reads its input from standard input.
    pub program: Vec<String>,
    /// Processes of one calculation; more than one are started with `mpirun`.
    pub processes: u32,
    /// Folder of the pseudopotentials.
    pub pseudopotentials: PathBuf,
    /// The file for an element, by its symbol, where the folder has several.
    pub files: BTreeMap<String, String>,
    /// Folder of the calculations, one below it for each input; it is the cache, so nothing but space is lost with it.
    pub folder: PathBuf,
    /// Most steps to self-consistency.
    pub most_steps: u32,
    /// Usual seconds of a calculation, for timetables.
    pub typical_s: f64,
}

impl Default for QuantumEspressoSettings {
    fn default() -> Self {
        Self {
            program: vec!["pw.x".to_owned()],
            processes: 1,
            // Where Debian's package quantum-espresso-data puts them.
            pseudopotentials: PathBuf::from("/usr/share/espresso/pseudo"),
            files: BTreeMap::new(),
            folder: PathBuf::from("quantum-espresso"),
            // The program's own default.
            most_steps: 100,
            typical_s: 300.0,
        }
    }
}

impl QuantumEspressoSettings {
    /// Program and arguments as they are started.
    pub(super) fn command(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.processes > 1 {
            words.extend(["mpirun".to_owned(), "-np".to_owned(), self.processes.to_string()]);
        }
        words.extend(self.program.iter().cloned());
        words
    }
}

impl Check for QuantumEspressoSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "processes", f64::from(self.processes), 1.0, 4_096.0);
        between(&mut found, "most_steps", f64::from(self.most_steps), 1.0, 10_000.0);
        between(&mut found, "typical_s", self.typical_s, 1.0, 1e7);
        if self.program.first().is_none_or(String::is_empty) {
            let message = "`program` needs the name or path of pw.x as its first word".to_owned();
            found.push(Finding { field: "program", message });
        }
        for (symbol, file) in &self.files {
            if symbol.parse::<Element>().is_err() {
                found.push(Finding {
                    field: "files",
                    message: format!("`files` names `{symbol}`, which is no element"),
                });
            }
            // A blank would end the name in the program's input.
            if file.is_empty() || file.contains(|letter: char| letter.is_whitespace() || letter == '/') {
                let message = format!("the file of {symbol}, `{file}`, must be a name without blanks and folders");
                found.push(Finding { field: "files", message });
            }
        }
        found
    }
}

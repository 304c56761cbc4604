//! Settings of the diffractometer.

use std::path::PathBuf;

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// How the diffractometer is used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiffractometerSettings {
    /// Folder where result files appear: the mounted file share of the instrument.
    pub results: PathBuf,
    /// Lab time that a result file may take after the scan has ended, in seconds.
    pub wait_s: f64,
    /// Lab time that one scan may take, in seconds.
    pub scan_limit_s: f64,
    /// Sample slot: 1 is the belt, 2 to 6 are the inner positions.
    pub slot: u8,
    /// Measurement programs that are defined on the instrument.
    pub programs: Vec<String>,
    /// Usual lab time of a scan in seconds, for timetables.
    pub typical_scan_s: f64,
}

impl Default for DiffractometerSettings {
    fn default() -> Self {
        Self {
            results: PathBuf::from("xrd-results"),
            wait_s: 60.0,
            // The field driver allows an hour; programs of good statistics on thin films take longer.
            scan_limit_s: 7_200.0,
            slot: 2,
            programs: vec!["film_fast".to_owned(), "film_slow".to_owned()],
            typical_scan_s: 900.0,
        }
    }
}

impl Check for DiffractometerSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "wait_s", self.wait_s, 1.0, 3_600.0);
        between(&mut found, "scan_limit_s", self.scan_limit_s, 60.0, 172_800.0);
        between(&mut found, "slot", f64::from(self.slot), 1.0, 6.0);
        between(&mut found, "typical_scan_s", self.typical_scan_s, 1.0, 172_800.0);
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if self.programs.is_empty() || !self.programs.iter().all(is_name) {
            let message = "`programs` needs at least one name of letters, digits, `_` and `-`".to_owned();
            found.push(Finding { field: "programs", message });
        }
        found
    }
}

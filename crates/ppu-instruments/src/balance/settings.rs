//! Settings of the balance.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// How patient and how exact weighing is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceSettings {
    /// Largest difference between two stable readings in milligrams.
    pub agreement_mg: f64,
    /// Lab time that one command may take to find a stable weight, in seconds.
    pub stable_within_s: f64,
    /// Lab time after which weighing is given up, in seconds.
    pub patience_s: f64,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        // Two milligrams are ten times the repeatability of a balance with a readability of 0.1 mg.
        Self { agreement_mg: 2.0, stable_within_s: 15.0, patience_s: 120.0 }
    }
}

impl Check for BalanceSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "agreement_mg", self.agreement_mg, 0.01, 1_000.0);
        between(&mut found, "stable_within_s", self.stable_within_s, 1.0, 120.0);
        between(&mut found, "patience_s", self.patience_s, 5.0, 3_600.0);
        found
    }
}

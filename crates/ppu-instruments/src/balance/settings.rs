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
    /// Smallest load in milligrams that can be a sample, less zero and tare: with less on the pan nothing is weighed,
    /// because the sample is not where it should be. Left out where samples are tared away.
    pub least_sample_mg: Option<f64>,
    /// Largest load in milligrams that can be a sample.
    pub most_sample_mg: f64,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        // Two milligrams are ten times the repeatability of a balance with a readability of 0.1 mg.
        // The range of an analytical balance ends at 220 g.
        let (least_sample_mg, most_sample_mg) = (None, 220_000.0);
        Self { agreement_mg: 2.0, stable_within_s: 15.0, patience_s: 120.0, least_sample_mg, most_sample_mg }
    }
}

impl Check for BalanceSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "agreement_mg", self.agreement_mg, 0.01, 1_000.0);
        between(&mut found, "stable_within_s", self.stable_within_s, 1.0, 120.0);
        between(&mut found, "patience_s", self.patience_s, 5.0, 3_600.0);
        between(&mut found, "most_sample_mg", self.most_sample_mg, 1.0, 1e7);
        if let Some(least_mg) = self.least_sample_mg {
            between(&mut found, "least_sample_mg", least_mg, 0.1, self.most_sample_mg);
        }
        found
    }
}

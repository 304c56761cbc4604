//! What was done and what came of it, for people and for machines.

use std::collections::BTreeMap;

use serde_json::json;

/// What was done to the lab and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Seed of everything that was drawn.
    pub seed: u64,
    /// Labs that were brought up one after the other.
    pub labs: usize,
    /// kill -9 that met a living process, by kind: scheduler, drivers, broker.
    pub kills: BTreeMap<&'static str, usize>,
    /// SIGSTOP of a living process.
    pub pauses: usize,
    /// Moments at which everything but the instruments was killed, and the processes that died of it.
    pub power_losses: (usize, usize),
    /// Campaigns that ended by themselves, of those that were begun.
    pub campaigns: (usize, usize),
    /// Runs that were held against the world.
    pub runs: usize,
    /// Physical actions compared one by one, by kind.
    pub actions: BTreeMap<String, usize>,
    /// Steps in doubt that were resolved by looking at the world.
    pub doubts: Vec<String>,
    /// Trials that failed, with their reasons.
    pub failed_trials: Vec<String>,
    /// Actions that happened more often than planned.
    pub repeated: Vec<String>,
    /// Actions of steps that are done and that never happened.
    pub lost: Vec<String>,
    /// Everything else that must not be.
    pub wrong: Vec<String>,
    /// Duration.
    pub seconds: f64,
}

impl Report {
    /// Everything that must not be, one line each.
    pub fn violations(&self) -> Vec<String> {
        [&self.repeated, &self.lost, &self.failed_trials, &self.wrong].into_iter().flatten().cloned().collect()
    }

    /// Rows of the table: what, and how many.
    pub fn rows(&self) -> Vec<(String, String)> {
        let kills = |kind| self.kills.get(kind).copied().unwrap_or(0).to_string();
        let row = |what: &str, count: String| (what.to_owned(), count);
        vec![
            row("kill -9 of the scheduler, alive until then", kills("scheduler")),
            row("kill -9 of drivers, alive until then", kills("drivers")),
            row("kill -9 of the broker, alive until then", kills("broker")),
            row("SIGSTOP and SIGCONT", self.pauses.to_string()),
            row(
                "power losses (processes killed by them)",
                format!("{} ({})", self.power_losses.0, self.power_losses.1),
            ),
            row(
                "labs; campaigns ended by themselves",
                format!("{}; {} of {}", self.labs, self.campaigns.0, self.campaigns.1),
            ),
            row("runs held against the world's ledger", self.runs.to_string()),
            row("physical actions compared", self.actions.values().sum::<usize>().to_string()),
            row("steps in doubt, resolved by looking", self.doubts.len().to_string()),
            row("actions repeated", self.repeated.len().to_string()),
            row("actions lost", self.lost.len().to_string()),
            row("trials failed", self.failed_trials.len().to_string()),
            row("other violations", self.wrong.len().to_string()),
            row("seconds", format!("{:.0}", self.seconds)),
        ]
    }

    /// The table as text.
    pub fn table(&self) -> String {
        let rows = self.rows();
        let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        rows.iter().map(|(what, count)| format!("{what:<width$}  {count}\n")).collect()
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "seed": self.seed,
            "labs": self.labs,
            "kills": self.kills,
            "pauses": self.pauses,
            "power_losses": self.power_losses.0,
            "processes_killed_by_power_losses": self.power_losses.1,
            "campaigns_begun": self.campaigns.1,
            "campaigns_ended": self.campaigns.0,
            "runs": self.runs,
            "actions": self.actions,
            "doubts": self.doubts,
            "failed_trials": self.failed_trials,
            "repeated": self.repeated,
            "lost": self.lost,
            "wrong": self.wrong,
            "violations": self.violations().len(),
            "seconds": self.seconds,
        })
    }
}

//! Progress of a campaign as people watch it in a terminal: on stderr, quiet where stderr is not a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ppu_proto::lab::v1 as wire;

/// The view of one campaign.
pub(crate) struct Progress {
    bar: ProgressBar,
    best: f64,
    ended: u32,
}

impl Progress {
    pub(crate) fn new(trials: u32) -> Self {
        let bar = ProgressBar::new(u64::from(trials));
        let style = ProgressStyle::with_template("  {bar:30} trial {pos} of {len}  {msg}")
            .expect("the template is a constant that was tried");
        bar.set_style(style.progress_chars("#>-"));
        bar.set_draw_target(if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        });
        Self { bar, best: f64::NEG_INFINITY, ended: 0 }
    }

    /// Shows a campaign; prints a line where the best has improved.
    pub(crate) fn show(&mut self, campaign: &wire::Campaign, now_ms: i64) {
        self.ended = campaign.completed + campaign.failed;
        self.bar.set_position(u64::from(self.ended));
        let eta = if campaign.eta_ms > now_ms {
            let left = Duration::from_millis((campaign.eta_ms - now_ms) as u64);
            format!("about {} s left", left.as_secs())
        } else {
            String::new()
        };
        self.bar.set_message(eta);
        let best = campaign.trials.iter().find(|trial| trial.id == campaign.best_trial);
        if let Some((trial, score)) = best.and_then(|trial| Some((trial, trial.score?)))
            && score > self.best
        {
            self.best = score;
            self.line(&format!("  best so far, trial {:>2}: score {score:.3}   {}", trial.number, values(trial)));
        }
    }

    /// A line above the bar.
    pub(crate) fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Measured values with their uncertainties.
pub(crate) fn values(trial: &wire::Trial) -> String {
    let measured = trial.observation.iter().flat_map(|observation| &observation.values);
    let values: Vec<_> = measured.map(|m| format!("{} {:.3} ± {:.3}", m.name, m.value, m.sd)).collect();
    values.join(",  ")
}

//! Studies: mixed levels, mixtures, noise that differs by point, several objectives, failures, fidelities. Each row is
//! measured beside a yardstick in the same run.

mod problems;
pub(crate) mod real;
mod replay;
mod rows;

use replay::Chooser;
use rows::ROWS;

use crate::{Bar, Settings, each_seed, quantile};

/// The bars of a part; `None` where there is no such part.
pub(crate) fn run(part: &str, settings: &Settings) -> Option<Vec<Bar>> {
    let rows = ROWS.iter().filter(|row| row.part == part);
    let bars: Vec<Bar> = rows
        .map(|row| {
            let by = |chooser| each_seed(settings.seeds, settings.threads, |seed| (row.run)(seed as u64, chooser));
            let (own, other) = (by(Chooser::Study), by(Chooser::Yardstick));
            let (value, yardstick) = (quantile(&own, 0.5), quantile(&other, 0.5));
            let (low, high) = (quantile(&own, 0.25), quantile(&own, 0.75));
            let bound = row.share * yardstick;
            Bar {
                bar: format!("{} (median of {}, quartiles {low:.4} to {high:.4})", row.measure, settings.seeds),
                value,
                unit: row.unit,
                target: row.target.to_owned(),
                peer: row.yardstick,
                peer_value: Some(yardstick),
                holds: if row.less { value <= bound } else { value >= bound },
            }
        })
        .collect();
    (!bars.is_empty()).then_some(bars)
}

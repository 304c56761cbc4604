//! The plots of a campaign.

use ppu_proto::lab::v1::{Campaign, Objective, Trial, TrialState};

use super::format::{label, number, unit, with_sd};
use super::goal::{self, GoalLines};
use crate::svg::{Axis, Chart, Mark, Point};

/// How large the plots are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Side by side on the overview.
    Small,
    /// On the page of the campaign.
    Large,
}

/// One plot with its heading.
#[derive(Debug, Clone, PartialEq)]
pub struct PlotView {
    /// Name for links: `score`, or the objective.
    pub name: String,
    /// Heading.
    pub title: String,
    /// The plot as SVG.
    pub svg: String,
}

/// The score against the trial number, then every objective. None while no trial exists.
pub fn plots(campaign: &Campaign, scale: Scale) -> Vec<PlotView> {
    if campaign.trials.is_empty() {
        return Vec::new();
    }
    let count = campaign.objectives.len() + 1;
    let mut plots = vec![score(campaign, size(scale, count))];
    plots.extend(campaign.objectives.iter().map(|objective| objective_plot(campaign, objective, size(scale, count))));
    plots
}

fn size(scale: Scale, count: usize) -> (f64, f64) {
    match scale {
        // Drawn at the width they have on a 1440-pixel screen, so that their text has the size of the page's.
        Scale::Small if matches!(count, 1 | 2 | 4) => (464.0, 216.0),
        Scale::Small => (304.0, 216.0),
        Scale::Large if matches!(count, 1 | 2 | 4) => (664.0, 280.0),
        Scale::Large => (432.0, 264.0),
    }
}

fn last_number(campaign: &Campaign) -> u32 {
    campaign.trials.iter().map(|trial| trial.number).max().unwrap_or(0).max(campaign.budget_trials)
}

fn score(campaign: &Campaign, (width, height): (f64, f64)) -> PlotView {
    let scored: Vec<(&Trial, f64)> = campaign
        .trials
        .iter()
        .filter_map(|trial| trial.score.filter(|score| score.is_finite()).map(|score| (trial, score)))
        .collect();
    let mut stair: Vec<(f64, f64)> = Vec::new();
    for (trial, score) in &scored {
        if stair.last().is_none_or(|(_, best)| score > best) {
            stair.push((f64::from(trial.number), *score));
        }
    }
    let best = stair
        .last()
        .map_or("no score yet".to_owned(), |(trial, score)| format!("best {} at trial {trial}", number(*score)));
    let points = scored
        .iter()
        .map(|(trial, score)| Point {
            x: f64::from(trial.number),
            y: *score,
            sd: 0.0,
            mark: mark(campaign, trial),
            title: format!("trial {}: score {}", trial.number, number(*score)),
        })
        .collect();
    let chart = Chart {
        width,
        height,
        y_label: format!("score, best so far (n = {})", scored.len()),
        x_label: "trial".into(),
        description: format!("Score against trial number, {} trials, {best}", scored.len()),
        x: Axis::counting(last_number(campaign)),
        y: Axis::exact(0.0, 1.0, 5),
        points,
        stair_end: scored.iter().map(|(trial, _)| f64::from(trial.number)).fold(0.0, f64::max),
        stair,
        goal: None,
        band: None,
    };
    PlotView { name: "score".into(), title: "Score".into(), svg: chart.svg() }
}

fn objective_plot(campaign: &Campaign, objective: &Objective, (width, height): (f64, f64)) -> PlotView {
    let points: Vec<Point> = campaign.trials.iter().filter_map(|trial| point(campaign, objective, trial)).collect();
    let lines = goal::lines(&objective.goal);
    let symbol = unit(&objective.unit);
    let with_unit = |text: String| if symbol.is_empty() { text } else { format!("{text} {symbol}") };
    let (goal, band) = match lines {
        Some(GoalLines::Target { value, tolerance }) => {
            let band = (tolerance > 0.0).then_some((value - tolerance, value + tolerance));
            (Some((value, format!("target {}", with_unit(number(value))))), band)
        }
        Some(GoalLines::AtLeast(value)) => (Some((value, format!("wanted ≥ {}", with_unit(number(value))))), None),
        Some(GoalLines::AtMost(value)) => (Some((value, format!("wanted ≤ {}", with_unit(number(value))))), None),
        None => (None, None),
    };
    let seen = points.iter().flat_map(|point| [point.y - point.sd, point.y + point.sd]);
    let y = Axis::around(
        seen.chain(goal.iter().map(|(value, _)| *value)).chain(band.into_iter().flat_map(|(low, high)| [low, high])),
        4,
    );
    let measured = points.iter().filter(|point| point.mark != Mark::Expected).count();
    let name = label(&objective.name);
    let heading = if symbol.is_empty() { name.clone() } else { format!("{name} / {symbol}") };
    let chart = Chart {
        width,
        height,
        y_label: format!("{heading} (n = {measured})"),
        x_label: "trial".into(),
        description: format!(
            "{name} against trial number with standard uncertainty, {measured} measured; {}",
            objective.goal
        ),
        x: Axis::counting(last_number(campaign)),
        y,
        points,
        stair: Vec::new(),
        stair_end: 0.0,
        goal,
        band,
    };
    PlotView { name: objective.name.clone(), title: name, svg: chart.svg() }
}

fn point(campaign: &Campaign, objective: &Objective, trial: &Trial) -> Option<Point> {
    let measured = trial
        .observation
        .as_ref()
        .and_then(|observation| observation.values.iter().find(|value| value.name == objective.name));
    let (value, mark, word) = match measured {
        Some(value) => (value, mark(campaign, trial), "measured"),
        // An expectation is drawn only until it can be compared with a measurement.
        None if under_way(trial) => {
            (trial.expected.iter().find(|value| value.name == objective.name)?, Mark::Expected, "expected")
        }
        None => return None,
    };
    let sd = if value.sd.is_finite() { value.sd } else { 0.0 };
    let title = format!("trial {}: {word} {} {}", trial.number, with_sd(value.value, sd), unit(&objective.unit));
    Some(Point { x: f64::from(trial.number), y: value.value, sd, mark, title })
}

fn mark(campaign: &Campaign, trial: &Trial) -> Mark {
    if trial.id == campaign.best_trial { Mark::Best } else { Mark::Measured }
}

/// Whether a result may still come.
pub(crate) fn under_way(trial: &Trial) -> bool {
    matches!(
        trial.state(),
        TrialState::AwaitingApproval | TrialState::Queued | TrialState::Running | TrialState::Analysing
    )
}

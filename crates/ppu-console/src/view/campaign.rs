//! Campaigns and their trials.

use std::collections::BTreeMap;

use ppu_proto::common::v1::LevelReport;
use ppu_proto::lab::v1::{Campaign, CampaignParameter, CampaignState, Measured, Objective, Trial, TrialState};

use super::format::{self, fixed, label, number, with_sd};
use super::plots::{PlotView, Scale, plots, under_way};
use super::when::When;
use super::words::{self, StateView};
use crate::svg::share_bar;

/// A named value with its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueView {
    /// Name as words.
    pub label: String,
    /// Value, with its standard uncertainty where there is one.
    pub value: String,
    /// Unit; empty for a pure number.
    pub unit: String,
    /// Remarks, or why there is no value.
    pub note: String,
}

/// One objective.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveView {
    /// Name as words.
    pub label: String,
    /// What is wanted.
    pub goal: String,
    /// Relative weight.
    pub weight: String,
}

/// The best trial so far.
#[derive(Debug, Clone, PartialEq)]
pub struct BestView {
    /// Number of the trial.
    pub number: u32,
    /// Score, three decimals.
    pub score: String,
    /// What was measured.
    pub values: Vec<ValueView>,
    /// The candidate.
    pub candidate: Vec<ValueView>,
}

/// A campaign on the overview and at the head of its page.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignView {
    /// Its id.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// State.
    pub state: StateView,
    /// "trial 13 of 40".
    pub progress: String,
    /// Counts of what became of the trials.
    pub counts: String,
    /// Progress as a bar.
    pub bar: String,
    /// Estimated end.
    pub eta: Option<When>,
    /// When it was accepted.
    pub created: Option<When>,
    /// The best trial, once there is one.
    pub best: Option<BestView>,
    /// What is wanted.
    pub objectives: Vec<ObjectiveView>,
    /// Plots.
    pub plots: Vec<PlotView>,
    /// Whether a person is asked before each trial.
    pub asks: bool,
    /// Why it ended.
    pub ended: String,
    /// Whether it can still be stopped.
    pub can_stop: bool,
}

/// One row of the table of trials.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialView {
    /// Its id.
    pub id: String,
    /// Number in the campaign.
    pub number: u32,
    /// State.
    pub state: StateView,
    /// The candidate.
    pub candidate: Vec<ValueView>,
    /// Expected and measured, one entry an objective, in the order of the objectives.
    pub values: Vec<ComparisonView>,
    /// Score, three decimals; a dash when there is none.
    pub score: String,
    /// Whether it is the best so far.
    pub best: bool,
    /// Who proposed it.
    pub proposer: String,
    /// Why it was proposed.
    pub reason: String,
    /// Who decided.
    pub decision: String,
    /// Why it failed.
    pub failure: String,
    /// Its run; empty for none.
    pub run: String,
    /// Its sample; empty for none.
    pub sample: String,
}

/// What was expected of an objective and what came out.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonView {
    /// Expected mean and standard deviation, or a dash.
    pub expected: String,
    /// Measured value and uncertainty, or a dash.
    pub measured: String,
    /// Remarks of the analysis, or why the value is invalid.
    pub note: String,
    /// Whether the observable could not be determined.
    pub invalid: bool,
}

/// Everything on the page of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignPageView {
    /// Its head.
    pub campaign: CampaignView,
    /// Headings of the objectives, with their units.
    pub columns: Vec<String>,
    /// What may vary.
    pub parameters: Vec<ParameterView>,
    /// What people have changed of the space.
    pub reshaped: Vec<String>,
    /// How far measurements support the twin.
    pub levels: Vec<LevelView>,
    /// Trials, the newest first.
    pub trials: Vec<TrialView>,
}

/// A parameter with its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterView {
    /// Its name in the campaign's file.
    pub name: String,
    /// Name as words.
    pub label: String,
    /// Unit; empty for a pure number.
    pub unit: String,
    /// Smallest value, as a number that a form takes.
    pub min: String,
    /// Largest value.
    pub max: String,
}

/// A level of the twin.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelView {
    /// Its name.
    pub name: String,
    /// Whether its predictions have a say.
    pub used: bool,
    /// By observable: name, correlation with the lab, its 95 % interval, pairs.
    pub rows: Vec<[String; 4]>,
    /// Remarks.
    pub note: String,
}

/// A campaign as it is shown.
pub fn campaign(campaign: &Campaign, scale: Scale) -> CampaignView {
    let ended = campaign.completed + campaign.failed;
    let latest = campaign.trials.iter().map(|trial| trial.number).max().unwrap_or(0);
    let open = matches!(campaign.state(), CampaignState::Running | CampaignState::Ending);
    let waiting = campaign.trials.iter().filter(|trial| trial.state() == TrialState::AwaitingApproval).count();
    let active = campaign.trials.iter().filter(|trial| under_way(trial)).count() - waiting;
    let mut counts = vec![format!("{} measured", campaign.completed)];
    for (count, word) in
        [(active, "under way"), (waiting, "awaiting approval"), (campaign.failed as usize, "failed or rejected")]
    {
        if count > 0 {
            counts.push(format!("{count} {word}"));
        }
    }
    CampaignView {
        id: campaign.id.clone(),
        title: campaign.title.clone(),
        state: words::campaign(campaign.state()),
        progress: format!("trial {latest} of {}", campaign.budget_trials.max(latest)),
        counts: counts.join(" · "),
        bar: share_bar(f64::from(ended) / f64::from(campaign.budget_trials.max(1))),
        eta: When::some(campaign.eta_ms).filter(|_| open),
        created: When::some(campaign.created_ms),
        best: best(campaign),
        objectives: campaign.objectives.iter().map(objective).collect(),
        plots: plots(campaign, scale),
        asks: campaign.asks,
        ended: campaign.ended.clone(),
        can_stop: campaign.state() == CampaignState::Running,
    }
}

/// The page of a campaign.
pub fn page(message: &Campaign) -> CampaignPageView {
    let mut trials: Vec<TrialView> = message.trials.iter().map(|item| trial(message, item)).collect();
    trials.reverse();
    let columns = message
        .objectives
        .iter()
        .map(|objective| match format::unit(&objective.unit) {
            "" => label(&objective.name),
            unit => format!("{} / {unit}", label(&objective.name)),
        })
        .collect();
    CampaignPageView {
        campaign: campaign(message, Scale::Large),
        columns,
        parameters: message.parameters.iter().map(parameter_view).collect(),
        reshaped: message.reshaped.clone(),
        levels: message.levels.iter().map(level).collect(),
        trials,
    }
}

fn parameter_view(parameter: &CampaignParameter) -> ParameterView {
    let (words, told) = format::parameter(&parameter.name);
    let unit = format::unit(&parameter.unit);
    ParameterView {
        name: parameter.name.clone(),
        label: words,
        unit: if unit.is_empty() { told } else { unit }.to_owned(),
        min: parameter.min.to_string(),
        max: parameter.max.to_string(),
    }
}

fn level(level: &LevelReport) -> LevelView {
    let rows = level.observables.iter().map(|one| {
        let interval = format!("{} to {}", fixed(one.low, 2), fixed(one.high, 2));
        [label(&one.name), fixed(one.correlation, 2), interval, one.pairs.to_string()]
    });
    LevelView { name: level.level.clone(), used: level.used, rows: rows.collect(), note: level.note.clone() }
}

/// The trials as comma-separated values, one line a trial, for a spreadsheet.
pub fn csv(campaign: &Campaign) -> String {
    let names: Vec<&str> = campaign
        .trials
        .first()
        .map_or(Vec::new(), |trial| trial.candidate.iter().map(|item| item.name.as_str()).collect());
    let mut head = vec!["number".to_owned(), "trial".into(), "state".into()];
    head.extend(names.iter().map(|name| (*name).to_owned()));
    for objective in &campaign.objectives {
        let name = &objective.name;
        head.extend([
            format!("{name} ({})", objective.unit),
            format!("{name} sd"),
            format!("{name} expected"),
            format!("{name} expected sd"),
        ]);
    }
    head.extend(["score".into(), "proposer".into(), "run".into(), "sample".into()]);
    let mut out = line(&head);
    for trial in &campaign.trials {
        let mut cells = vec![trial.number.to_string(), trial.id.clone(), words::trial(trial.state()).word.to_owned()];
        let candidate: BTreeMap<&str, f64> =
            trial.candidate.iter().map(|item| (item.name.as_str(), item.number)).collect();
        cells.extend(names.iter().map(|name| candidate.get(name).map_or(String::new(), f64::to_string)));
        for objective in &campaign.objectives {
            let of = |values: &[Measured]| {
                values.iter().find(|value| value.name == objective.name).map(|value| (value.value, value.sd))
            };
            let measured = trial.observation.as_ref().and_then(|observation| of(&observation.values));
            for pair in [measured, of(&trial.expected)] {
                cells.extend(
                    pair.map_or([String::new(), String::new()], |(value, sd)| [value.to_string(), sd.to_string()]),
                );
            }
        }
        cells.extend([
            trial.score.map_or(String::new(), |score| score.to_string()),
            trial.proposer.clone(),
            trial.run.clone(),
            trial.sample.clone(),
        ]);
        out.push_str(&line(&cells));
    }
    out
}

/// A candidate as named values.
pub fn candidate(trial: &Trial) -> Vec<ValueView> {
    trial
        .candidate
        .iter()
        .map(|item| {
            let (label, unit) = format::parameter(&item.name);
            ValueView { label, value: number(item.number), unit: unit.into(), note: String::new() }
        })
        .collect()
}

/// Values of the analysis, in the units of the objectives.
pub fn measured(objectives: &[Objective], values: &[Measured]) -> Vec<ValueView> {
    values
        .iter()
        .map(|value| {
            let unit = objectives
                .iter()
                .find(|objective| objective.name == value.name)
                .map_or("", |objective| format::unit(&objective.unit));
            ValueView {
                label: label(&value.name),
                value: with_sd(value.value, value.sd),
                unit: unit.into(),
                note: value.flags.join("; "),
            }
        })
        .collect()
}

fn objective(objective: &Objective) -> ObjectiveView {
    ObjectiveView { label: label(&objective.name), goal: objective.goal.clone(), weight: number(objective.weight) }
}

fn best(campaign: &Campaign) -> Option<BestView> {
    let trial = campaign.trials.iter().find(|trial| trial.id == campaign.best_trial && !trial.id.is_empty())?;
    let values = trial.observation.as_ref().map_or(&[][..], |observation| &observation.values);
    Some(BestView {
        number: trial.number,
        score: score(trial),
        values: measured(&campaign.objectives, values),
        candidate: candidate(trial),
    })
}

fn score(trial: &Trial) -> String {
    trial.score.map_or(format::NOTHING.into(), |score| fixed(score, 3))
}

fn trial(campaign: &Campaign, trial: &Trial) -> TrialView {
    TrialView {
        id: trial.id.clone(),
        number: trial.number,
        state: words::trial(trial.state()),
        candidate: candidate(trial),
        values: campaign.objectives.iter().map(|objective| comparison(objective, trial)).collect(),
        score: score(trial),
        best: !trial.id.is_empty() && trial.id == campaign.best_trial,
        proposer: trial.proposer.clone(),
        reason: trial.reason.clone(),
        decision: trial.decision.clone(),
        failure: trial.failure.clone(),
        run: trial.run.clone(),
        sample: trial.sample.clone(),
    }
}

fn comparison(objective: &Objective, trial: &Trial) -> ComparisonView {
    let of = |values: &[Measured]| values.iter().find(|value| value.name == objective.name).cloned();
    let observation = trial.observation.as_ref();
    let measured = observation.and_then(|observation| of(&observation.values));
    let invalid =
        observation.and_then(|observation| observation.invalid.iter().find(|item| item.name == objective.name));
    ComparisonView {
        expected: of(&trial.expected).map_or(format::NOTHING.into(), |value| with_sd(value.value, value.sd)),
        measured: measured.as_ref().map_or(format::NOTHING.into(), |value| with_sd(value.value, value.sd)),
        note: match (&measured, invalid) {
            (_, Some(invalid)) => format!("not determined: {}", invalid.reason),
            (Some(value), None) => value.flags.join("; "),
            (None, None) => String::new(),
        },
        invalid: invalid.is_some(),
    }
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join(",") + "\r\n"
}

/// A cell as RFC 4180 writes it; a leading sign of a formula is defused, because spreadsheets would run it.
fn quoted(cell: &str) -> String {
    let risky =
        cell.starts_with(['=', '@', '+', '\t', '\r']) || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    let cell = if risky { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

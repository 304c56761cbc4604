//! Runs and their steps.

use ppu_proto::common::v1::Artifact;
use ppu_proto::lab::v1::{GetLabResponse, Objective, Observation, Run, RunState, RunStep, StepState};

use super::campaign::{ValueView, measured};
use super::format::{self, bytes, hex, label, number};
use super::when::When;
use super::words::{self, StateView};
use crate::svg::span_bar;

/// A step that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningView {
    /// Run.
    pub run: String,
    /// Sample; empty before there is one.
    pub sample: String,
    /// Title of the step.
    pub title: String,
    /// State.
    pub state: StateView,
    /// Device.
    pub device: String,
    /// Since when.
    pub since: Option<When>,
    /// "step 4 of 9".
    pub place: String,
    /// What is waited for, or what happened.
    pub message: String,
}

/// The page of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// State.
    pub state: StateView,
    /// Whether it is over.
    pub over: bool,
    /// Trial it belongs to; empty for none.
    pub trial: String,
    /// Campaign of that trial, as far as the lab's snapshot tells; empty for none.
    pub campaign: String,
    /// Sample.
    pub sample: String,
    /// Protocol.
    pub protocol: String,
    /// Parameters it was filled in with.
    pub parameters: Vec<ValueView>,
    /// Steps in the order of the plan.
    pub steps: Vec<StepView>,
    /// The observation: values, then what could not be determined.
    pub values: Vec<ValueView>,
    /// Name and version of the analysis.
    pub analysis: String,
    /// Why it failed or what it waits for.
    pub message: String,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    /// Name in the plan.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// State.
    pub state: StateView,
    /// Device.
    pub device: String,
    /// Attempts, shown from the second.
    pub attempts: u32,
    /// Start.
    pub started: Option<When>,
    /// How long it took; empty while it has not ended.
    pub duration: String,
    /// Where it lies between the first start and the last end, as a bar; empty before it starts.
    pub bar: String,
    /// Reported values.
    pub results: Vec<ValueView>,
    /// Raw data.
    pub artifacts: Vec<ArtifactView>,
    /// What happened, or what is waited for.
    pub message: String,
}

/// Raw data that can be downloaded.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactView {
    /// Hash in hexadecimal.
    pub hash: String,
    /// File name, safe in a path.
    pub name: String,
    /// Length.
    pub size: String,
}

/// Steps under way or in doubt, of every run that is not over; runs without such a step tell what they wait for.
pub fn running(lab: &GetLabResponse) -> Vec<RunningView> {
    lab.active_runs.iter().flat_map(running_of).collect()
}

/// A run; `lab` tells which campaign its trial belongs to.
pub fn run(run: &Run, lab: Option<&GetLabResponse>) -> RunView {
    let plan = run.plan.clone().unwrap_or_default();
    let observation = run.observation.clone().unwrap_or_default();
    let campaign = lab.filter(|_| !run.trial.is_empty()).and_then(|lab| {
        lab.campaigns.iter().find(|campaign| campaign.trials.iter().any(|trial| trial.id == run.trial))
    });
    let objectives = campaign.map_or(&[][..], |campaign| &campaign.objectives);
    RunView {
        id: run.id.clone(),
        state: words::run(run.state()),
        over: matches!(run.state(), RunState::Completed | RunState::Failed | RunState::Aborted),
        trial: run.trial.clone(),
        campaign: campaign.map_or(String::new(), |campaign| campaign.id.clone()),
        sample: run.sample.clone(),
        protocol: plan.protocol,
        parameters: plan.parameters.iter().map(|item| parameter(&item.name, item.number)).collect(),
        steps: steps(&run.steps),
        values: observed(&observation, objectives),
        analysis: observation.analysis,
        message: run.message.clone(),
    }
}

fn running_of(run: &Run) -> Vec<RunningView> {
    let total = run.steps.len();
    let row = |index: usize, step: &RunStep| RunningView {
        run: run.id.clone(),
        sample: run.sample.clone(),
        title: title(step),
        state: words::step(step.state()),
        device: step.device.clone(),
        since: When::some(step.started_ms),
        place: format!("step {} of {total}", index + 1),
        message: step.message.clone(),
    };
    let steps = run.steps.iter().enumerate();
    let live: Vec<RunningView> = steps
        .filter(|(_, step)| matches!(step.state(), StepState::Running | StepState::InDoubt))
        .map(|(index, step)| row(index, step))
        .collect();
    if !live.is_empty() {
        return live;
    }
    let next = run.steps.iter().enumerate().find(|(_, step)| step.state() == StepState::Waiting);
    let mut waiting =
        next.map_or_else(|| row(total.saturating_sub(1), &RunStep::default()), |(index, step)| row(index, step));
    waiting.state = words::run(run.state());
    if waiting.message.is_empty() {
        waiting.message.clone_from(&run.message);
    }
    vec![waiting]
}

fn steps(steps: &[RunStep]) -> Vec<StepView> {
    let started = || steps.iter().filter(|step| step.started_ms > 0);
    let first = started().map(|step| step.started_ms).min().unwrap_or(0);
    let last = started().map(|step| step.ended_ms.max(step.started_ms)).max().unwrap_or(0);
    // A span of nothing would divide by zero.
    let width = (last - first).max(1) as f64;
    let share = |milliseconds: i64| (milliseconds - first) as f64 / width;
    let view = |step: &RunStep| {
        let state = words::step(step.state());
        let ended = step.ended_ms > 0;
        StepView {
            name: step.name.clone(),
            title: title(step),
            state,
            device: step.device.clone(),
            attempts: step.attempts,
            started: When::some(step.started_ms),
            duration: if ended && step.started_ms > 0 {
                format::span(step.ended_ms - step.started_ms)
            } else {
                String::new()
            },
            bar: match (step.started_ms > 0, ended) {
                (false, _) => String::new(),
                (true, true) => span_bar(share(step.started_ms), share(step.ended_ms), state.class()),
                (true, false) => span_bar(share(step.started_ms), 1.0, state.class()),
            },
            results: step.results.iter().map(|item| named(&item.name, format::value(item.value.as_ref()))).collect(),
            artifacts: step.artifacts.iter().map(artifact).collect(),
            message: step.message.clone(),
        }
    };
    steps.iter().map(view).collect()
}

fn title(step: &RunStep) -> String {
    if step.title.is_empty() { label(&step.name) } else { step.title.clone() }
}

fn observed(observation: &Observation, objectives: &[Objective]) -> Vec<ValueView> {
    let values = measured(objectives, &observation.values);
    let invalid = observation.invalid.iter().map(|item| ValueView {
        label: label(&item.name),
        value: format::NOTHING.into(),
        unit: String::new(),
        note: format!("not determined: {}", item.reason),
    });
    values.into_iter().chain(invalid).collect()
}

fn parameter(name: &str, value: f64) -> ValueView {
    let (label, unit) = format::parameter(name);
    ValueView { label, value: number(value), unit: unit.into(), note: String::new() }
}

fn named(name: &str, (value, unit): (String, String)) -> ValueView {
    ValueView { label: label(name), value, unit, note: String::new() }
}

fn artifact(artifact: &Artifact) -> ArtifactView {
    ArtifactView { hash: hex(&artifact.hash), name: file_name(&artifact.name), size: bytes(artifact.size) }
}

/// A name that is one harmless path segment and header value: letters, digits, dots, dashes and underscores.
pub fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_') { letter } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.').to_owned();
    if safe.is_empty() { "artifact".into() } else { safe }
}

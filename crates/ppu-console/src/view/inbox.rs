//! What waits for a person: trials to decide on, and steps in doubt.

use ppu_proto::lab::v1::{Campaign, Doubt, GetLabResponse, Trial, TrialState};

use super::campaign::{ValueView, candidate, measured};
use super::format::{number, parameter};

/// A trial that waits for a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalView {
    /// The trial.
    pub trial: String,
    /// Its number.
    pub number: u32,
    /// Its campaign.
    pub campaign: String,
    /// Title of the campaign.
    pub campaign_title: String,
    /// The candidate.
    pub candidate: Vec<ValueView>,
    /// What is expected.
    pub expected: Vec<ValueView>,
    /// Why it is proposed.
    pub reason: String,
    /// Who proposed it.
    pub proposer: String,
    /// The tested candidate most like it, in words; empty when none was tested.
    pub nearest: String,
}

/// A step that nobody knows the outcome of.
#[derive(Debug, Clone, PartialEq)]
pub struct DoubtView {
    /// Step id.
    pub step: String,
    /// Attempt.
    pub attempt: u32,
    /// Run that the step belongs to; empty when the id does not tell.
    pub run: String,
    /// Device.
    pub device: String,
    /// What is known.
    pub message: String,
    /// Sample concerned; empty for none.
    pub sample: String,
    /// Whether the verdict of one person is not enough.
    pub hazardous: bool,
    /// Who has signed a verdict already; empty for nobody.
    pub signed_by: String,
    /// Whether another scheduler sent the command.
    pub adopted: bool,
}

/// Every trial that waits, the oldest campaign first.
pub fn approvals(lab: &GetLabResponse) -> Vec<ApprovalView> {
    let waiting = |campaign: &Campaign| {
        let trials = campaign.trials.iter().filter(|trial| trial.state() == TrialState::AwaitingApproval);
        trials.map(|trial| approval(campaign, trial)).collect::<Vec<_>>()
    };
    lab.campaigns.iter().flat_map(waiting).collect()
}

/// Every step in doubt.
pub fn doubts(lab: &GetLabResponse) -> Vec<DoubtView> {
    lab.doubts.iter().map(doubt).collect()
}

fn approval(campaign: &Campaign, trial: &Trial) -> ApprovalView {
    ApprovalView {
        trial: trial.id.clone(),
        number: trial.number,
        campaign: campaign.id.clone(),
        campaign_title: campaign.title.clone(),
        candidate: candidate(trial),
        expected: measured(&campaign.objectives, &trial.expected),
        reason: trial.reason.clone(),
        proposer: trial.proposer.clone(),
        nearest: nearest(campaign, trial),
    }
}

fn doubt(doubt: &Doubt) -> DoubtView {
    let key = doubt.key.clone().unwrap_or_default();
    DoubtView {
        run: key.step.split_once('/').map_or(String::new(), |(run, _)| run.to_owned()),
        step: key.step,
        attempt: key.attempt,
        device: doubt.device.clone(),
        message: doubt.message.clone(),
        sample: doubt.sample.clone(),
        hazardous: doubt.hazardous,
        signed_by: doubt.signed_by.clone(),
        adopted: doubt.adopted,
    }
}

/// The measured trial nearest to this one, each parameter scaled by the range that the campaign's trials span, and the
/// parameter in which the two differ most.
fn nearest(campaign: &Campaign, trial: &Trial) -> String {
    let range = |name: &str| {
        let values = campaign
            .trials
            .iter()
            .flat_map(|trial| &trial.candidate)
            .filter(|item| item.name == name)
            .map(|item| item.number);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        (high - low).max(f64::MIN_POSITIVE)
    };
    let scaled: Vec<(&str, f64, f64)> =
        trial.candidate.iter().map(|item| (item.name.as_str(), item.number, range(&item.name))).collect();
    let differences = |other: &Trial| -> Vec<(usize, f64)> {
        let value = |name: &str| other.candidate.iter().find(|item| item.name == name).map(|item| item.number);
        let each = scaled.iter().enumerate();
        each.filter_map(|(index, (name, here, range))| Some((index, (here - value(name)?).abs() / range))).collect()
    };
    let distance =
        |differences: &[(usize, f64)]| differences.iter().map(|(_, difference)| difference * difference).sum::<f64>();
    let tested = campaign.trials.iter().filter(|other| other.observation.is_some() && other.id != trial.id);
    let closest =
        tested.map(|other| (other, differences(other))).min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
    let Some((other, differences)) = closest else { return String::new() };
    let most = differences.iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).filter(|(_, difference)| *difference > 0.0);
    match most.map(|(index, _)| scaled[*index].0) {
        None => format!("trial {}, the same candidate", other.number),
        Some(name) => {
            let there = other.candidate.iter().find(|item| item.name == name).map_or(f64::NAN, |item| item.number);
            let (label, unit) = parameter(name);
            format!(
                "trial {} ({label} {}{}{unit})",
                other.number,
                number(there),
                if unit.is_empty() { "" } else { " " }
            )
        }
    }
}

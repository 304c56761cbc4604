//! The next candidates of a campaign: proposer offers, twin screens, optimizer picks.

use std::collections::BTreeMap;

use ppu_core::campaign::{CampaignSpec, Strategy};
use ppu_core::{CampaignId, Candidate, Measured};
use ppu_engine::State;
use ppu_engine::event::{LevelObservable, LevelReport, Proposal, ProposedTrial};
use ppu_engine::lifecycle::TrialState;
use ppu_optimizer::{Ask, Optimizer, Phase, Suggestion, Trial, TrialOutcome};
use ppu_proposer::{AnnealedProposer, Condition, PriorProposer, Proposer, TwinPrior};
use ppu_twin::{Corrections, Fidelity, FilmTwin, Twin};

/// Candidates that the proposer offers in a round.
const OFFERED: usize = 400;
/// Candidates that the twin lets through to the optimizer.
const SCREENED: usize = 200;

/// Chooses `count` candidates for a round, with a remark on how. A pure function of the campaign's facts; `seconds` tells
/// the time since some moment, for the account of what the twin's levels cost.
pub(crate) fn propose(
    state: &State,
    id: &CampaignId,
    round: u32,
    count: usize,
    seconds: &dyn Fn() -> f64,
) -> Result<Proposal, String> {
    let campaign = state.campaigns.get(id).ok_or_else(|| format!("there is no campaign {id}"))?;
    match campaign.spec.strategy {
        Strategy::Random => random(&campaign.spec, round, count),
        Strategy::Optimizer => optimized(state, id, &campaign.spec, round, count, seconds),
    }
}

fn random(spec: &CampaignSpec, round: u32, count: usize) -> Result<Proposal, String> {
    let condition = condition(spec, round);
    let mut rng = ppu_proposer::rng(spec.seed, u64::from(round));
    let offer = PriorProposer.sample(count, &condition, &mut rng).map_err(|error| error.to_string())?;
    let trials = offer.offered.into_iter().map(|offered| ProposedTrial {
        candidate: offered.candidate,
        proposer: "random".to_owned(),
        reason: "drawn uniformly from the design space".to_owned(),
        expected: BTreeMap::new(),
    });
    Ok(Proposal { trials: trials.collect(), ..Proposal::default() })
}

fn condition(spec: &CampaignSpec, round: u32) -> Condition<'_> {
    Condition { space: &spec.space, objectives: &spec.objectives, seed: spec.seed, round: u64::from(round) }
}

/// What became of the campaign's trials, as the optimizer wants to know it, and the candidates still under way.
fn history(state: &State, id: &CampaignId) -> (Vec<Trial>, Vec<Candidate>) {
    let (mut trials, mut pending) = (Vec::new(), Vec::new());
    let campaign = &state.campaigns[id];
    for (trial_id, trial) in campaign.trials.iter().filter_map(|id| Some((id, state.trials.get(id)?))) {
        let candidate = trial.proposed.candidate.clone();
        let outcome = match (trial.state, &trial.observation) {
            (TrialState::Completed, Some(observation)) => TrialOutcome::Valid(observation.clone()),
            // A fault of a machine says nothing about chemistry, and neither does a person's no.
            (TrialState::Failed, _) => TrialOutcome::Void { reason: trial.failure.clone() },
            (TrialState::Rejected, _) => TrialOutcome::Void { reason: trial.decision.clone() },
            _ => {
                pending.push(candidate);
                continue;
            }
        };
        trials.push(Trial { id: trial_id.to_string(), candidate, outcome });
    }
    (trials, pending)
}

fn optimized(
    state: &State,
    id: &CampaignId,
    spec: &CampaignSpec,
    round: u32,
    count: usize,
    seconds: &dyn Fn() -> f64,
) -> Result<Proposal, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (trials, pending) = history(state, id);
    let (started, twin) = (seconds(), FilmTwin::new(spec.fixed.clone()));
    let measured = trials.iter().filter_map(|trial| match &trial.outcome {
        TrialOutcome::Valid(observation) => Some((&trial.candidate, observation)),
        _ => None,
    });
    let corrections = Corrections::learn(&twin, Fidelity::Process, measured);
    let condition = condition(spec, round);
    let proposer = AnnealedProposer {
        twin: &twin,
        fidelity: Fidelity::Process,
        corrections: &corrections,
        settings: Default::default(),
    };
    let mut rng = ppu_proposer::rng(spec.seed, u64::from(round));
    let offer = proposer.sample(OFFERED, &condition, &mut rng).map_err(|error| text(&error))?;
    let screened =
        ppu_proposer::screen(&offer.offered, &twin, Fidelity::Process, &corrections, &spec.objectives, SCREENED);
    let level = level(&twin, &corrections, &offer, screened.refused.values().sum::<usize>(), seconds() - started);
    let prior = TwinPrior { twin: &twin, fidelity: Fidelity::Process, objectives: &spec.objectives };
    let optimizer =
        Optimizer::new(spec.space.clone(), spec.objectives.clone(), spec.seed).map_err(|error| text(&error))?;
    let ask = Ask {
        trials: &trials,
        pending: &pending,
        pool: &screened.pool,
        batch: count,
        step: u64::from(round),
        prior: Some(&prior),
    };
    let proposal = optimizer.suggest(&ask).map_err(|error| text(&error))?;
    let note = note(&proposal, &offer, level.refused);
    let trials = proposal.picks.iter().map(|pick| proposed(pick, &twin, &corrections)).collect();
    Ok(Proposal { trials, note, levels: vec![level] })
}

/// What the film twin did, and how far the campaign's own measurements support it.
fn level(
    twin: &FilmTwin,
    corrections: &Corrections,
    offer: &ppu_proposer::Offer,
    refused: usize,
    seconds: f64,
) -> LevelReport {
    let annealed = offer.diagnostics.as_ref().map_or(0, |found| found.calls);
    let observables = corrections.0.iter().map(|(name, correction)| {
        let (low, high) = correction.correlation_interval();
        let (name, pairs) = (name.clone(), correction.pairs as u64);
        LevelObservable { name, correlation: correction.correlation, low, high, pairs }
    });
    LevelReport {
        level: Fidelity::Process.to_string(),
        evaluations: annealed + offer.offered.len() as u64,
        refused: refused as u64,
        seconds,
        used: true,
        observables: observables.collect(),
        note: offer.refusal.as_ref().map_or_else(String::new, ToString::to_string),
    }
}

fn proposed(pick: &Suggestion, twin: &FilmTwin, corrections: &Corrections) -> ProposedTrial {
    let measured = |mean, sd| Measured { value: mean, sd, flags: Vec::new() };
    let mut expected: BTreeMap<String, Measured> = BTreeMap::new();
    // Before the optimizer's models know enough, the twin's expectation is the honest one to show.
    if let Ok(evaluation) = twin.evaluate(&pick.candidate, Fidelity::Process) {
        let corrected = corrections.apply(&evaluation);
        expected.extend(corrected.predictions.iter().map(|(name, p)| (name.clone(), measured(p.mean, p.sd))));
    }
    expected.extend(pick.predicted.iter().map(|p| (p.objective.clone(), measured(p.mean, p.sd))));
    ProposedTrial {
        candidate: pick.candidate.clone(),
        proposer: format!("optimizer ({:?})", pick.source).to_lowercase(),
        reason: pick.reason.clone(),
        expected,
    }
}

fn note(proposal: &ppu_optimizer::Proposal, offer: &ppu_proposer::Offer, refused: u64) -> String {
    let phase = match &proposal.phase {
        Phase::SpaceFilling { valid, needed } => format!("exploring: {valid} of {needed} valid observations"),
        Phase::Model => "models in use".to_owned(),
    };
    let mut parts = vec![phase];
    if refused > 0 {
        parts.push(format!("twin refused {refused}"));
    }
    if let Some(refusal) = &offer.refusal {
        parts.push(format!("proposer fell back to the prior: {refusal}"));
    }
    parts.extend(proposal.flags.iter().cloned());
    parts.join("; ")
}

//! The next candidates of a campaign: proposer offers, twin screens, optimizer picks.

use std::collections::BTreeMap;

use ppu_core::campaign::{CampaignSpec, Strategy};
use ppu_core::{CampaignId, Candidate, Measured};
use ppu_engine::State;
use ppu_engine::event::{LevelObservable, LevelReport, Proposal, ProposedTrial};
use ppu_engine::lifecycle::TrialState;
use ppu_optimizer::{Phase, Prediction, Suggestion, Trial, TrialOutcome};
use ppu_proposer::{Condition, Guidance, Guided, Heard, Opinion, PriorProposer, ProposalProvenance, Proposer, Round};
use ppu_twin::{Fidelity, FilmTwin, Tracking};

/// What a round knows besides the campaign's facts.
pub(crate) struct Asked<'a> {
    /// The round, where it was begun for the sake of its [`questions`], and the seconds that this took.
    pub(crate) begun: Option<(Round, f64)>,
    /// What models that run elsewhere said of the questions.
    pub(crate) opinions: &'a [Opinion],
    /// The seconds since some moment, for the account of what the twin costs.
    pub(crate) seconds: &'a dyn Fn() -> f64,
}

/// Chooses `count` candidates for a round, with a remark on how: a function of the campaign's facts and of what was asked.
pub(crate) fn propose(
    state: &State,
    id: &CampaignId,
    round: u32,
    count: usize,
    asked: Asked<'_>,
) -> Result<Proposal, String> {
    let campaign = state.campaigns.get(id).ok_or_else(|| format!("there is no campaign {id}"))?;
    match campaign.spec.strategy {
        Strategy::Random => random(&campaign.spec, round, count),
        Strategy::Optimizer => optimized(state, id, &campaign.spec, round, count, asked),
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
        let said = trial.proposed.expected.iter();
        let expected = said.map(|(name, said)| Prediction { objective: name.clone(), mean: said.value, sd: said.sd });
        trials.push(Trial { id: trial_id.to_string(), candidate, expected: expected.collect(), outcome });
    }
    (trials, pending)
}

fn optimized(
    state: &State,
    id: &CampaignId,
    spec: &CampaignSpec,
    round: u32,
    count: usize,
    asked: Asked<'_>,
) -> Result<Proposal, String> {
    let (started, (trials, pending)) = ((asked.seconds)(), history(state, id));
    let twin = FilmTwin::new(spec.fixed.clone());
    let guided = guided(spec, &twin, asked.opinions);
    let (begun, before) = match asked.begun {
        Some(begun) => begun,
        None => (guided.begin(&trials, round).map_err(|error| full(&error))?, 0.0),
    };
    let found = guided.choose(begun, &trials, &pending, count).map_err(|error| full(&error))?;
    let seconds = before + (asked.seconds)() - started;
    let trials =
        found.proposal.picks.iter().zip(&found.expected).map(|(pick, expected)| proposed(&found, pick, expected));
    let mut levels = vec![own_level(&found, seconds)];
    levels.extend(asked.opinions.iter().zip(&found.heard).map(|(opinion, heard)| level_of(opinion, heard)));
    Ok(Proposal { trials: trials.collect(), note: note(&found), levels })
}

/// A round that has begun, and the candidates about which models that run elsewhere are to be asked: what is offered in it, and
/// what was tried.
pub(crate) fn questions(state: &State, id: &CampaignId, round: u32) -> Result<(Round, Vec<Candidate>), String> {
    let campaign = state.campaigns.get(id).ok_or_else(|| format!("there is no campaign {id}"))?;
    let (trials, _) = history(state, id);
    let twin = FilmTwin::new(campaign.spec.fixed.clone());
    let begun = guided(&campaign.spec, &twin, &[]).begin(&trials, round).map_err(|error| full(&error))?;
    let candidates = begun.offered().cloned().chain(trials.into_iter().map(|trial| trial.candidate)).collect();
    Ok((begun, candidates))
}

fn guided<'a>(spec: &'a CampaignSpec, twin: &'a FilmTwin, opinions: &'a [Opinion]) -> Guided<'a> {
    let (space, objectives) = (&spec.space, &spec.objectives[..]);
    let (seed, generator) = (spec.seed, spec.generator);
    Guided { space, objectives, seed, generator, twin: Some((twin, Fidelity::Process)), opinions }
}

/// An error with its causes.
fn full(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What the twin of this lab did, and how far the campaign's own measurements support it.
fn own_level(found: &Guidance, seconds: f64) -> LevelReport {
    let annealed = found.offer.as_ref().and_then(|offer| offer.diagnostics.as_ref()).map_or(0, |found| found.calls);
    let tilted = found.flow.as_ref().map_or(0, |flow| flow.draws as u64);
    let offered = found.offer.as_ref().map_or(0, |offer| offer.offered.len());
    let refusal = found.offer.as_ref().and_then(|offer| offer.refusal.as_ref());
    LevelReport {
        level: Fidelity::Process.to_string(),
        evaluations: annealed + tilted + offered as u64,
        refused: found.refused as u64,
        seconds,
        used: found.tracking.len() > found.dropped.len(),
        observables: observables(&found.tracking),
        note: match &found.flow {
            Some(flow) => flow.remark(refusal),
            None => refusal.map_or_else(String::new, ToString::to_string),
        },
    }
}

fn level_of(opinion: &Opinion, heard: &Heard) -> LevelReport {
    LevelReport {
        level: opinion.name.clone(),
        evaluations: opinion.answers.len() as u64,
        refused: opinion.answers.refused() as u64,
        seconds: 0.0,
        used: heard.tracking.len() > heard.dropped.len(),
        observables: observables(&heard.tracking),
        note: String::new(),
    }
}

fn observables(tracking: &BTreeMap<String, Tracking>) -> Vec<LevelObservable> {
    let shown = tracking.iter().map(|(name, record)| LevelObservable {
        name: name.clone(),
        correlation: record.correlation,
        low: record.interval.0,
        high: record.interval.1,
        pairs: record.pairs as u64,
    });
    shown.collect()
}

fn proposed(found: &Guidance, pick: &Suggestion, expected: &[Prediction]) -> ProposedTrial {
    let measured = |one: &Prediction| Measured { value: one.mean, sd: one.sd, flags: Vec::new() };
    let expected = expected.iter().map(|one| (one.objective.clone(), measured(one))).collect();
    let (mut proposer, mut reason) = (format!("optimizer ({:?})", pick.source).to_lowercase(), pick.reason.clone());
    // A flow is taught anew in every round: by what is part of a candidate's provenance.
    if found.flow.is_some()
        && let Some(origin) = found.origin(&pick.candidate)
    {
        let ProposalProvenance { proposer: by, seed, round, .. } = &origin.provenance;
        proposer += &format!(", offered by {by}, seed {seed}, round {round}");
        reason += &format!("; {}", origin.reason);
    }
    ProposedTrial { candidate: pick.candidate.clone(), proposer, reason, expected }
}

fn note(found: &Guidance) -> String {
    let phase = match &found.proposal.phase {
        Phase::SpaceFilling { valid, needed } => format!("exploring: {valid} of {needed} valid observations"),
        Phase::Model => "models in use".to_owned(),
    };
    let mut parts = vec![phase];
    parts.extend(found.remarks());
    parts.extend(found.proposal.flags.iter().cloned());
    parts.join("; ")
}

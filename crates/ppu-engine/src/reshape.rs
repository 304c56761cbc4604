//! What people change of a campaign while it runs: where it may search, and which points must be tried.

use ppu_core::{CampaignId, Candidate, Problem, Problems};

use crate::decide::not_found;
use crate::event::{Event, Limit, ProposedTrial};
use crate::input::Refusal;
use crate::lifecycle::{CampaignState, RunState, TrialState};
use crate::state::{Campaign, State};

impl State {
    fn running(&self, id: &CampaignId) -> Result<&Campaign, Refusal> {
        let known = self.campaigns.get(id).ok_or_else(|| not_found("campaign", id))?;
        if known.state != CampaignState::Running {
            return Err(Refusal::NotNow(format!("campaign `{id}` takes up no new candidates any more")));
        }
        Ok(known)
    }

    /// New limits hold for every later proposal. What waits and breaks them is taken back: trials that wait for approval
    /// are rejected, runs that have not begun are stopped. A run under way goes on; a person may stop it.
    pub(crate) fn reshape_campaign(
        &self,
        id: CampaignId,
        limits: Vec<Limit>,
        who: String,
        reason: String,
    ) -> Result<Vec<Event>, Refusal> {
        let campaign = self.running(&id)?;
        check_reason(&reason)?;
        let mut space = campaign.spec.space.clone();
        let problems = limits.iter().filter_map(|limit| {
            let known = space.parameters.iter_mut().find(|known| known.name == limit.parameter);
            let Some(known) = known else { return Some(problem(limit, "is not a parameter of this campaign")) };
            if !(limit.min.is_finite() && limit.max.is_finite() && limit.min <= limit.max) {
                return Some(problem(limit, "its smallest value must be a number not above its largest"));
            }
            if known.log && limit.min <= 0.0 {
                return Some(problem(
                    limit,
                    "it is searched on a logarithmic scale: its smallest value must be positive",
                ));
            }
            (known.min, known.max) = (limit.min, limit.max);
            None
        });
        let mut problems: Vec<Problem> = problems.collect();
        if limits.is_empty() {
            return Err(Refusal::NotNow("no new limit was given: name at least one parameter".to_owned()));
        }
        for mixture in &space.mixtures {
            let parts = mixture.parts.iter().filter_map(|part| space.parameter(part));
            let (least, most) = parts.fold((0.0, 0.0), |(least, most), part| (least + part.min, most + part.max));
            if least > 1.0 + 1e-9 || most < 1.0 - 1e-9 {
                let said = Limit { parameter: mixture.parts.join(" + "), min: least, max: most };
                problems.push(problem(&said, "these fractions can no longer sum to 1"));
            }
        }
        if !problems.is_empty() {
            return Err(Refusal::Invalid(Problems(problems)));
        }
        let outside = |candidate: &Candidate| space.check(candidate).is_err();
        let why = format!("outside the new limits: {reason}");
        let trials = campaign.trials.iter().filter_map(|id| Some((id, self.trials.get(id)?)));
        let rejected = trials
            .filter(|(_, trial)| trial.state == TrialState::AwaitingApproval && outside(&trial.proposed.candidate))
            .map(|(trial, _)| Event::TrialDecided {
                trial: trial.clone(),
                accept: false,
                who: who.clone(),
                reason: why.clone(),
            });
        let stopped = self.live().filter(|(_, run)| run.state == RunState::Queued && run.stopping.is_none());
        let stopped = stopped.filter_map(|(run_id, run)| {
            let trial = self.trials.get(run.trial.as_ref()?)?;
            let stop = trial.campaign == id && outside(&trial.proposed.candidate);
            stop.then(|| Event::RunStopping { run: run_id.clone(), who: who.clone(), reason: why.clone() })
        });
        let taken_back: Vec<Event> = rejected.chain(stopped).collect();
        let mut events = vec![Event::CampaignReshaped { campaign: id.clone(), limits, who: who.clone(), reason }];
        events.extend(taken_back);
        Ok(events)
    }

    /// A point that a person wants tried becomes a trial of the current round, which that person has accepted with it.
    pub(crate) fn pin(
        &self,
        id: CampaignId,
        candidate: Candidate,
        who: String,
        reason: String,
    ) -> Result<Vec<Event>, Refusal> {
        let campaign = self.running(&id)?;
        check_reason(&reason)?;
        if self.counted_trials(campaign) >= campaign.spec.budget_trials as usize {
            let text = format!("the budget of {} trials is used up", campaign.spec.budget_trials);
            return Err(Refusal::NotNow(text));
        }
        if let Err(error) = campaign.spec.space.check(&candidate) {
            let cure = "give every parameter a value within the campaign's limits";
            return Err(Refusal::Invalid(Problems(vec![Problem {
                file: String::new(),
                line: None,
                subject: format!("campaign {id}"),
                field: "candidate".to_owned(),
                message: error.to_string(),
                cure: cure.to_owned(),
            }])));
        }
        let proposed = ProposedTrial {
            candidate,
            proposer: who.clone(),
            reason: reason.clone(),
            expected: std::collections::BTreeMap::new(),
        };
        let trials = vec![proposed];
        let note = format!("pinned by {who}");
        let mut events =
            vec![Event::Proposed { campaign: id.clone(), round: campaign.rounds, trials, note, levels: Vec::new() }];
        if campaign.spec.approval == ppu_core::campaign::ApprovalPolicy::Ask {
            let trial = State::trial_id(&id, campaign.trials.len() as u32 + 1);
            events.push(Event::TrialDecided { trial, accept: true, who, reason });
        }
        Ok(events)
    }
}

fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::NotNow("a change of a campaign needs a reason, so that others can follow it".to_owned()));
    }
    Ok(())
}

fn problem(limit: &Limit, message: &str) -> Problem {
    Problem {
        file: String::new(),
        line: None,
        subject: limit.parameter.clone(),
        field: format!("{} to {}", limit.min, limit.max),
        message: message.to_owned(),
        cure: "give the name of a parameter and limits that leave something to search".to_owned(),
    }
}

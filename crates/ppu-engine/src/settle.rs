//! What follows by itself: trials become runs, runs get samples, steps get devices, ends are reached. Repeated until
//! nothing more follows.

use std::sync::Arc;

use ppu_core::protocol::Protocol;
use ppu_core::{CampaignId, RunId, SampleId, StepId, TrialId};

use crate::decide::Ahead;
use crate::dispatch;
use crate::event::Event;
use crate::lifecycle::{CampaignState, LeaseState, LifeCycle, RunState, StepState, TrialState};
use crate::state::{Campaign, Run, State};

/// Adds every automatic consequence. Each pass makes at least one fact or ends it, and every fact moves some life cycle
/// forward, so it ends.
pub(crate) fn settle(ahead: &mut Ahead) {
    while let Some(event) = next(&ahead.state) {
        ahead.take(event);
    }
}

fn next(state: &State) -> Option<Event> {
    if let Some(event) = state.live().find_map(|(id, run)| next_of_run(id, run)) {
        return Some(event);
    }
    if let Some(event) = state.campaigns.iter().find_map(|(id, campaign)| next_of_campaign(state, id, campaign)) {
        return Some(event);
    }
    if state.hold.is_some() {
        return None;
    }
    next_start(state).or_else(|| dispatch::next(state))
}

fn next_of_campaign(state: &State, id: &CampaignId, campaign: &Campaign) -> Option<Event> {
    if campaign.state.is_terminal() && campaign.state != CampaignState::Stopped {
        return None;
    }
    let trials = || campaign.trials.iter().filter_map(|id| Some((id, state.trials.get(id)?)));
    if campaign.state == CampaignState::Running {
        let best = state.best_trial(campaign).and_then(|(_, trial)| trial.score);
        if let (Some(best), Some(wanted)) = (best, campaign.spec.stop_score)
            && best >= wanted
        {
            let reason = format!("the score {best:.3} reaches the {wanted} that was asked for");
            return Some(Event::CampaignEnding { campaign: id.clone(), reason });
        }
        if state.counted_trials(campaign) >= campaign.spec.budget_trials as usize {
            let reason = format!("the budget of {} trials is used", campaign.spec.budget_trials);
            return Some(Event::CampaignEnding { campaign: id.clone(), reason });
        }
    }
    // What has not begun when a person or the stop rule ends the campaign does not begin any more.
    let ends_early = campaign.state == CampaignState::Stopped
        || (campaign.state == CampaignState::Ending
            && state.counted_trials(campaign) < campaign.spec.budget_trials as usize);
    if ends_early
        && let Some((trial, _)) =
            trials().find(|(_, trial)| matches!(trial.state, TrialState::AwaitingApproval | TrialState::Queued))
    {
        let reason = format!("the campaign ended: {}", campaign.ended);
        return Some(Event::TrialFailed { trial: trial.clone(), reason });
    }
    let failed = |trial: &crate::state::Trial| {
        trial.state == TrialState::Running
            && trial.run.as_ref().and_then(|run| state.runs.get(run)).is_some_and(|run| run.state.is_terminal())
    };
    if let Some((id, trial)) = trials().find(|(_, trial)| failed(trial)) {
        let run = trial.run.as_ref().and_then(|run| state.runs.get(run));
        let reason = run.map_or_else(String::new, |run| run.message.clone());
        return Some(Event::TrialFailed { trial: id.clone(), reason });
    }
    if let Some((id, trial)) = trials().find(|(_, trial)| trial.state == TrialState::Queued) {
        return Some(plan_trial(state, campaign, id, &trial.proposed.candidate));
    }
    let all_over = trials().all(|(_, trial)| trial.state.is_terminal());
    (campaign.state == CampaignState::Ending && all_over).then(|| Event::CampaignCompleted { campaign: id.clone() })
}

/// The protocol filled in with the candidate, or why it cannot be.
fn plan_trial(state: &State, campaign: &Campaign, id: &TrialId, candidate: &ppu_core::Candidate) -> Event {
    let plan = Protocol::parse(&campaign.protocol_file, &campaign.protocol_toml).and_then(|protocol| {
        let mut values = campaign.spec.fixed.clone();
        let wanted = |name: &String| protocol.parameters().iter().any(|parameter| &parameter.name == name);
        values.extend(candidate.0.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.clone(), *value)));
        let plan = protocol.fill_in(&values)?;
        plan.check(&state.lab_model())?;
        Ok(plan)
    });
    match plan {
        Ok(plan) => Event::RunSubmitted {
            run: RunId::new(format!("{id}-r1")).expect("a trial id with a suffix is a valid id"),
            trial: Some(id.clone()),
            plan: Box::new(plan),
            request_id: String::new(),
        },
        Err(problems) => Event::TrialFailed { trial: id.clone(), reason: problems.to_string() },
    }
}

fn next_of_run(id: &RunId, run: &Arc<Run>) -> Option<Event> {
    if run.state == RunState::Queued {
        return run.stopping.as_ref().map(|why| Event::RunAborted { run: id.clone(), reason: why.clone() });
    }
    if let Some(why) = &run.stopping
        && let Some(event) = next_to_stop(id, run, why)
    {
        return Some(event);
    }
    let failed = run.steps.iter().enumerate().find(|(index, step)| {
        step.state == StepState::Failed || (step.state == StepState::Skipped && !run.plan.steps[*index].cleanup)
    });
    if failed.is_some() {
        let hopeless = (0..run.steps.len()).find(|index| {
            let step = &run.steps[*index];
            !run.plan.steps[*index].cleanup && step.state == StepState::Waiting && step.void_wanted.is_none()
        });
        if let Some(index) = hopeless {
            return Some(skip(id, run, index, "an earlier step failed"));
        }
    }
    if let Some((name, _)) =
        run.leases.iter().find(|(name, lease)| lease.state == LeaseState::Granted && lease_is_used_up(run, name))
    {
        return Some(Event::LeaseReleased { run: id.clone(), lease: name.clone() });
    }
    if !run.steps.iter().all(|step| step.state.is_over()) {
        return None;
    }
    match failed {
        None => Some(Event::RunCompleted { run: id.clone() }),
        Some(_) => {
            let (plan, step) =
                run.plan.steps.iter().zip(&run.steps).find(|(_, step)| step.state == StepState::Failed).or_else(
                    || run.plan.steps.iter().zip(&run.steps).find(|(_, step)| step.state == StepState::Skipped),
                )?;
            let device = step.device.as_ref().map_or(String::new(), |device| format!(" on {device}"));
            let code = if step.code.is_empty() { String::new() } else { format!(" ({})", step.code) };
            let reason = format!("step {}{device}: {}{code}", plan.name, step.message);
            Some(match &run.stopping {
                Some(why) => Event::RunAborted { run: id.clone(), reason: why.clone() },
                None => Event::RunFailed { run: id.clone(), reason },
            })
        }
    }
}

/// What a person's end of a run does to the step that comes next: what was never sent is skipped, what was needs its
/// tombstone. Cleanup goes on, because it is what brings sample and devices back.
fn next_to_stop(id: &RunId, run: &Run, why: &str) -> Option<Event> {
    let open = (0..run.steps.len()).find(|index| {
        let step = &run.steps[*index];
        !run.plan.steps[*index].cleanup && !step.state.is_over() && step.void_wanted.is_none()
    })?;
    Some(skip(id, run, open, why))
}

/// A step that will not be done, and what it was for does not hold. Once it was intended, its driver must hold the
/// tombstone first (REL-6): "unknown" is no proof that the command is not still on its way.
pub(crate) fn skip(id: &RunId, run: &Run, index: usize, reason: &str) -> Event {
    let name = &run.plan.steps[index].name;
    let step = StepId::of(id, name).expect("step names are checked when the protocol is filled in");
    if run.steps[index].attempts == 0 {
        return Event::StepSkipped { step, achieved: false, reason: reason.to_owned() };
    }
    Event::StepVoidWanted { step, who: "scheduler".to_owned(), reason: reason.to_owned() }
}

fn lease_is_used_up(run: &Run, name: &str) -> bool {
    let over = |(plan, step): (&ppu_core::Step, &crate::state::RunStep)| {
        step.state.is_over() || !plan.leases.iter().any(|lease| lease == name)
    };
    run.plan.steps.iter().zip(&run.steps).all(over)
}

/// A queued run that can begin: the oldest, with the first fresh sample.
fn next_start(state: &State) -> Option<Event> {
    let (id, run) = state.live().find(|(_, run)| run.state == RunState::Queued)?;
    if !run.plan.needs_sample {
        return Some(Event::RunStarted { run: id.clone(), sample: None });
    }
    let sample = fresh_sample(state)?;
    Some(Event::RunStarted { run: id.clone(), sample: Some(sample) })
}

fn fresh_sample(state: &State) -> Option<SampleId> {
    let fresh = |sample: &crate::state::Sample| {
        !sample.used && !sample.in_doubt && sample.run.is_none() && sample.position.is_some()
    };
    state.samples.iter().find(|(_, sample)| fresh(sample)).map(|(id, _)| id.clone())
}

//! People change a campaign while it runs, and the journal is counted.

use std::collections::BTreeMap;

use ppu_core::campaign::{ApprovalPolicy, CampaignSpec};
use ppu_core::protocol::Protocol;
use ppu_core::{CampaignId, Candidate};
use ppu_engine::event::{Limit, Proposal, ProposedTrial};
use ppu_engine::lifecycle::{CampaignState, TrialState};
use ppu_engine::{Effect, Event, Input, Refusal, Tally};

use crate::story::{CAMPAIGN, PROTOCOL, Story};

fn begin(approval: ApprovalPolicy) -> (Story, CampaignId) {
    let mut story = Story::begin();
    let protocol = Protocol::parse("bake.toml", PROTOCOL).unwrap();
    let mut spec = CampaignSpec::parse("bakery.toml", CAMPAIGN, &protocol).unwrap();
    spec.approval = approval;
    let create = Input::CreateCampaign { spec: Box::new(spec), protocol: Box::new(protocol), request_id: "r1".into() };
    story.give(create).unwrap();
    let id = story.engine.state().campaign_order[0].clone();
    (story, id)
}

fn below(max: f64) -> Vec<Limit> {
    vec![Limit { parameter: "t".into(), min: 10.0, max }]
}

fn reshape(campaign: &CampaignId, limits: Vec<Limit>) -> Input {
    Input::ReshapeCampaign {
        campaign: campaign.clone(),
        limits,
        who: "Ada".into(),
        reason: "the substrate softens".into(),
    }
}

fn pin(campaign: &CampaignId, t: f64) -> Input {
    let candidate = Candidate(BTreeMap::from([("t".to_owned(), t)]));
    Input::PinCandidate { campaign: campaign.clone(), candidate, who: "Ada".into(), reason: "literature".into() }
}

fn proposal(temperatures: &[f64]) -> Proposal {
    let trial = |t: &f64| ProposedTrial {
        candidate: Candidate(BTreeMap::from([("t".to_owned(), *t)])),
        proposer: "test".into(),
        reason: "because".into(),
        expected: BTreeMap::new(),
    };
    Proposal { trials: temperatures.iter().map(trial).collect(), ..Proposal::default() }
}

fn states(story: &Story) -> Vec<TrialState> {
    story.engine.state().trials.values().map(|trial| trial.state).collect()
}

#[test]
fn a_ban_takes_back_what_waits_and_binds_every_later_answer() {
    let (mut story, id) = begin(ApprovalPolicy::Ask);
    let answer = |round, temperatures: &[f64]| Input::Proposal {
        campaign: id.clone(),
        round,
        result: Ok(proposal(temperatures)),
    };
    story.give(answer(1, &[90.0, 40.0])).unwrap();
    story.give(reshape(&id, below(60.0))).unwrap();
    assert_eq!(states(&story), [TrialState::Rejected, TrialState::AwaitingApproval]);
    let asked = |story: &Story| {
        let effects = story.engine.outstanding().into_iter();
        effects.filter(|effect| matches!(effect, Effect::Propose { .. })).map(|effect| effect.id()).collect::<Vec<_>>()
    };
    assert!(story.give(answer(2, &[80.0])).unwrap().is_empty(), "an answer from before the ban changes nothing");
    let state = story.engine.state();
    assert_eq!(state.campaigns[&id].state, CampaignState::Running);
    assert_eq!(state.campaigns[&id].reshaped, ["t from 10 to 60 C (Ada: the substrate softens)"]);
    assert!(asked(&story).iter().all(|id| id.ends_with(" 1")), "the question is asked anew: {:?}", asked(&story));
    story.give(answer(2, &[55.0])).unwrap();
    assert_eq!(states(&story).len(), 3);
}

#[test]
fn a_change_that_makes_no_sense_is_refused_by_name() {
    let (mut story, id) = begin(ApprovalPolicy::Auto);
    let refused = |story: &mut Story, limits| story.give(reshape(&id, limits)).unwrap_err().to_string();
    assert!(refused(&mut story, vec![]).contains("name at least one parameter"));
    let unknown = vec![Limit { parameter: "pressure".into(), min: 0.0, max: 1.0 }];
    assert!(refused(&mut story, unknown).contains("pressure, 0 to 1: is not a parameter"));
    assert!(refused(&mut story, vec![Limit { parameter: "t".into(), min: 5.0, max: 1.0 }]).contains("not above"));
    assert!(story.give(pin(&id, 120.0)).unwrap_err().to_string().contains("outside 10 to 100"));
    let nobody = CampaignId::new("nobody").unwrap();
    assert!(matches!(story.give(pin(&nobody, 20.0)), Err(Refusal::NotFound { .. })));
    let silent =
        Input::ReshapeCampaign { campaign: id.clone(), limits: below(60.0), who: "Ada".into(), reason: " ".into() };
    assert!(story.give(silent).unwrap_err().to_string().contains("needs a reason"));
}

#[test]
fn a_pinned_point_runs_is_decided_by_its_person_and_counts_towards_the_budget() {
    let (mut story, id) = begin(ApprovalPolicy::Ask);
    story.give(pin(&id, 42.0)).unwrap();
    let trial = story.engine.state().trials.values().next().unwrap().clone();
    assert_eq!((trial.state, trial.proposed.proposer.as_str()), (TrialState::Running, "Ada"));
    // The budget is 3: with one pinned, of an answer of three only two are taken.
    let result = Ok(proposal(&[20.0, 30.0, 50.0]));
    story.give(Input::Proposal { campaign: id.clone(), round: 1, result }).unwrap();
    assert_eq!(story.engine.state().trials.len(), 3);
    assert!(story.give(pin(&id, 43.0)).is_err());
}

#[test]
fn the_tally_counts_the_journal_the_same_way_every_time() {
    let (mut story, id) = begin(ApprovalPolicy::Auto);
    story.give(reshape(&id, below(90.0))).unwrap();
    while story.work() {}
    let count = || {
        let mut tally = Tally::default();
        story.facts.iter().for_each(|fact| tally.evolve(fact));
        tally
    };
    let tally = count();
    assert_eq!(tally, count());
    let intended = story.facts.iter().filter(|fact| matches!(fact.event, Event::StepIntended { .. })).count() as u64;
    assert_eq!(tally.devices.values().map(|device| device.succeeded).sum::<u64>(), intended);
    assert_eq!((tally.trials_completed, tally.people.submissions, tally.people.interventions), (3, 1, 1));
    assert!(tally.working_ms > 0 && tally.unassisted_ms == tally.working_ms, "{tally:?}");
    let classes: u64 = tally.devices.values().flat_map(|device| device.durations).sum();
    assert_eq!(classes, intended);
}

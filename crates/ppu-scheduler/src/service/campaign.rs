//! What people and programs ask about campaigns: begin one, change where it searches, have a point tried, count.

use std::sync::Arc;

use ppu_core::CampaignId;
use ppu_core::RunId;
use ppu_core::campaign::{CampaignSpec, Strategy};
use ppu_core::protocol::Protocol;
use ppu_engine::{Event, Input};
use ppu_proto::convert::numbers_from_wire;
use ppu_proto::lab::v1 as wire;
use tonic::Status;

use super::{Api, check_size, invalid, parsed, who};
use crate::counters;

impl Api {
    pub(super) async fn create(
        &self,
        request: wire::CreateCampaignRequest,
    ) -> Result<wire::CreateCampaignResponse, Status> {
        check_size("the campaign", &request.campaign_toml)?;
        check_size("the protocol", &request.protocol_toml)?;
        let (mut spec, protocol) = Protocol::parse(&request.protocol_file, &request.protocol_toml)
            .and_then(|protocol| Ok((CampaignSpec::parse(&request.file, &request.campaign_toml, &protocol)?, protocol)))
            .map_err(|problems| invalid(&problems))?;
        if let Some(seed) = request.seed {
            spec.seed = seed;
        }
        if request.trials > 0 {
            spec.budget_trials = request.trials;
        }
        match request.strategy.as_str() {
            "" => {}
            "optimizer" => spec.strategy = Strategy::Optimizer,
            "random" => spec.strategy = Strategy::Random,
            other => {
                let message = format!("`{other}` is not a strategy; give `optimizer` or `random`");
                return Err(Status::invalid_argument(message));
            }
        }
        let request_id = request.request_id;
        let input = Input::CreateCampaign {
            spec: Box::new(spec),
            protocol: Box::new(protocol),
            request_id: request_id.clone(),
        };
        let facts = self.give(input).await?;
        let created = facts.iter().find_map(|fact| match &fact.event {
            Event::CampaignCreated { campaign, .. } => Some(campaign.clone()),
            _ => None,
        });
        let campaign = created.or_else(|| {
            let state = self.handle.snapshot().state;
            state.campaigns.iter().find(|(_, known)| known.request_id == request_id).map(|(id, _)| id.clone())
        });
        let campaign = campaign.ok_or_else(|| Status::internal("the campaign was accepted but cannot be found"))?;
        Ok(wire::CreateCampaignResponse { campaign: campaign.to_string() })
    }

    pub(super) async fn reshape(
        &self,
        request: wire::ReshapeCampaignRequest,
    ) -> Result<wire::ReshapeCampaignResponse, Status> {
        let limits = request.limits.into_iter().map(|limit| ppu_engine::event::Limit {
            parameter: limit.parameter,
            min: limit.min,
            max: limit.max,
        });
        let input = Input::ReshapeCampaign {
            campaign: parsed(&request.campaign)?,
            limits: limits.collect(),
            who: who(&request.who)?,
            reason: request.reason,
        };
        let facts = self.give_urgent(input).await?;
        let state = self.handle.snapshot().state;
        let trial_of = |run: &RunId| state.runs.get(run).and_then(|run| run.trial.clone());
        let taken_back = facts.iter().filter_map(|fact| match &fact.event {
            Event::TrialDecided { trial, .. } => Some(trial.to_string()),
            Event::RunStopping { run, .. } => trial_of(run).map(|trial| trial.to_string()),
            _ => None,
        });
        Ok(wire::ReshapeCampaignResponse { taken_back: taken_back.collect() })
    }

    pub(super) async fn pin(&self, request: wire::PinCandidateRequest) -> Result<wire::PinCandidateResponse, Status> {
        let campaign: CampaignId = parsed(&request.campaign)?;
        let input = Input::PinCandidate {
            campaign: campaign.clone(),
            candidate: ppu_core::Candidate(numbers_from_wire(&request.candidate)),
            who: who(&request.who)?,
            reason: request.reason,
        };
        self.give(input).await?;
        let state = self.handle.snapshot().state;
        let trial = state.campaigns.get(&campaign).and_then(|known| known.trials.last());
        let trial = trial.ok_or_else(|| Status::internal("the point was taken but its trial cannot be found"))?;
        Ok(wire::PinCandidateResponse { trial: trial.to_string() })
    }

    pub(super) async fn counters(&self) -> wire::GetCountersResponse {
        let (state, tally) = (self.handle.snapshot().state, self.handle.tally());
        let (options, judged) = (Arc::clone(&self.options), Arc::clone(&self.judged));
        let work = move || {
            let mut counted = counters::counted(&state, &tally, &options.lab, options.clock_rate);
            judged.judge(&state, &mut counted);
            counted
        };
        self.options.host.do_blocking(work).await
    }
}

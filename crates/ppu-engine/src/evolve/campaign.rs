//! Campaigns: begun, proposed to, reshaped, ended.

use std::sync::Arc;

use ppu_core::Unit;

use super::{EvolveError, unknown};
use crate::event::{Event, LevelReport, Limit, ProposedTrial};
use crate::lifecycle::{CampaignEvent, CampaignState, LifeCycle as _, TrialEvent, TrialState};
use crate::state::{Campaign, State, Trial};

impl State {
    pub(super) fn evolve_campaign(&mut self, now: i64, event: &Event) -> Result<(), EvolveError> {
        match event {
            Event::CampaignCreated { campaign, spec, protocol_file, protocol_toml, request_id } => {
                let created = Campaign {
                    state: CampaignState::FIRST,
                    spec: (**spec).clone(),
                    protocol_file: protocol_file.clone(),
                    protocol_toml: protocol_toml.clone(),
                    request_id: request_id.clone(),
                    trials: Vec::new(),
                    rounds: 0,
                    levels: Vec::new(),
                    reshaped: Vec::new(),
                    ended: String::new(),
                    created_ms: now,
                };
                self.campaign_order.push(campaign.clone());
                self.campaigns.insert(campaign.clone(), Arc::new(created));
            }
            Event::CampaignEnding { campaign, reason } => {
                let campaign = self.campaign_mut(campaign)?;
                campaign.state = campaign.state.next(CampaignEvent::ReachEnd)?;
                campaign.ended.clone_from(reason);
            }
            Event::CampaignCompleted { campaign } => {
                let campaign = self.campaign_mut(campaign)?;
                campaign.state = campaign.state.next(CampaignEvent::Finish)?;
            }
            Event::CampaignStopped { campaign, who, reason } => {
                let campaign = self.campaign_mut(campaign)?;
                campaign.state = campaign.state.next(CampaignEvent::Stop)?;
                campaign.ended = format!("stopped by {who}: {reason}");
            }
            Event::CampaignReshaped { campaign, limits, who, reason } => {
                self.campaign_mut(campaign)?.reshape(limits, who, reason)?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn proposed(
        &mut self,
        id: &ppu_core::CampaignId,
        round: u32,
        trials: &[ProposedTrial],
        levels: &[LevelReport],
    ) -> Result<(), EvolveError> {
        let campaign = self.campaign_mut(id)?;
        campaign.rounds = round;
        if !levels.is_empty() {
            campaign.levels = levels.to_vec();
        }
        let asks = campaign.spec.approval == ppu_core::campaign::ApprovalPolicy::Ask;
        let mut made = Vec::new();
        for proposed in trials {
            let number = campaign.trials.len() as u32 + 1;
            let trial_id = Self::trial_id(id, number);
            campaign.trials.push(trial_id.clone());
            let first = TrialState::FIRST;
            let trial = Trial {
                campaign: id.clone(),
                number,
                round,
                state: if asks { first } else { first.next(TrialEvent::Accept)? },
                proposed: proposed.clone(),
                run: None,
                decision: String::new(),
                observation: None,
                score: None,
                failure: String::new(),
                ended_ms: 0,
            };
            made.push((trial_id, Arc::new(trial)));
        }
        self.trials.extend(made);
        Ok(())
    }
}

impl Campaign {
    /// Takes in new limits.
    fn reshape(&mut self, limits: &[Limit], who: &str, reason: &str) -> Result<(), EvolveError> {
        for limit in limits {
            let known = self.spec.space.parameters.iter_mut().find(|known| known.name == limit.parameter);
            let known = known.ok_or_else(|| unknown("parameter", &limit.parameter))?;
            (known.min, known.max) = (limit.min, limit.max);
            let unit = if known.unit == Unit::One { "" } else { known.unit.symbol() };
            let words = format!("{} from {} to {} {unit}", limit.parameter, limit.min, limit.max);
            self.reshaped.push(format!("{} ({who}: {reason})", words.trim_end()));
        }
        Ok(())
    }
}

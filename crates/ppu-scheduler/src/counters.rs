//! What the lab's work was worth: the counters of a physics processing unit. Counts come from the journal's tally; what
//! needs a model says which.

mod model;

use std::collections::BTreeMap;

use ppu_core::campaign::ApprovalPolicy;
use ppu_core::lab::Lab;
use ppu_core::{CampaignId, Candidate};
use ppu_engine::event::LevelReport;
use ppu_engine::lifecycle::TrialState;
use ppu_engine::state::{Campaign, Trial};
use ppu_engine::{State, Tally};
use ppu_proto::lab::v1 as wire;

/// Standard normal quantiles of the central 50 % and 90 % intervals.
const WITHIN: [f64; 2] = [0.674_489_750_196_082, 1.644_853_626_951_472];
/// Predictions below which a share says nothing.
const LEAST_PREDICTIONS: u32 = 5;
/// Campaigns that are judged for one question: a campaign of a hundred trials takes some tenths of a second.
const FITS: u32 = 4;
/// Milliseconds in an hour.
const HOUR_MS: f64 = 3.6e6;

/// All counters, except those that need a model. Times are lab time: `clock_rate` seconds of it pass in a second.
pub(crate) fn counted(state: &State, tally: &Tally, lab: &Lab, clock_rate: f64) -> wire::GetCountersResponse {
    let hours = |ms: i64| ms as f64 / HOUR_MS * clock_rate;
    let working = hours(tally.working_ms);
    let busiest = tally.devices.values().map(|device| device.busy_ms).max().unwrap_or(0);
    let devices: Vec<_> = lab
        .devices
        .iter()
        .map(|device| {
            let done = tally.devices.get(&device.id).cloned().unwrap_or_default();
            let busy_hours = hours(done.busy_ms);
            let ended = done.succeeded + done.failed;
            wire::DeviceCounters {
                device: device.id.to_string(),
                succeeded: done.succeeded,
                failed: done.failed,
                in_doubt: done.in_doubt,
                busy_hours,
                utilisation: if working > 0.0 { (busy_hours / working).clamp(0.0, 1.0) } else { 0.0 },
                bottleneck: busiest > 0 && done.busy_ms == busiest,
                mean_s: if ended > 0 { 3600.0 * busy_hours / ended as f64 } else { 0.0 },
                dispensed_ul: done.dispensed_ul,
                dispensed_mg: done.dispensed_mg,
                energy_wh: busy_hours * device.cost.power_w,
                cost: busy_hours * device.cost.per_hour + 1e-3 * done.dispensed_ul * device.cost.per_ml,
            }
        })
        .collect();
    let levels = tally.levels.iter().map(|(name, level)| wire::LevelCounters {
        level: name.clone(),
        evaluations: level.evaluations,
        refused: level.refused,
        seconds: level.seconds,
    });
    let campaigns = state.campaign_order.iter().filter_map(|id| Some((id, state.campaigns.get(id)?)));
    let campaigns = campaigns.map(|(id, known)| campaign(state, tally, id, known, &devices, clock_rate));
    wire::GetCountersResponse {
        since_ms: tally.first_ms,
        hours: hours(tally.last_ms - tally.first_ms),
        working_hours: working,
        unassisted_hours: hours(tally.unassisted_ms),
        submissions: tally.people.submissions,
        decisions: tally.people.decisions,
        interventions: tally.people.interventions,
        trials_completed: tally.trials_completed,
        trials_failed: tally.trials_failed,
        levels: levels.collect(),
        campaigns: campaigns.collect(),
        devices,
        currency: lab.currency.clone(),
    }
}

/// Trials of a campaign with an observation, in the order in which they were proposed.
fn completed<'a>(state: &'a State, campaign: &'a Campaign) -> impl Iterator<Item = &'a Trial> {
    let trials = campaign.trials.iter().filter_map(|id| state.trials.get(id)).map(|trial| &**trial);
    trials.filter(|trial| trial.state == TrialState::Completed)
}

fn campaign(
    state: &State,
    tally: &Tally,
    id: &CampaignId,
    known: &Campaign,
    devices: &[wire::DeviceCounters],
    clock_rate: f64,
) -> wire::CampaignCounters {
    let trials = completed(state, known).count() as u32;
    let last = completed(state, known).map(|trial| trial.ended_ms).max().unwrap_or(known.created_ms);
    let hours = (last - known.created_ms).max(0) as f64 / HOUR_MS * clock_rate;
    let all = tally.trials_completed.max(1) as f64;
    let busiest = devices.iter().map(|device| device.busy_hours).fold(0.0, f64::max);
    let autonomy = match known.spec.approval {
        ApprovalPolicy::Auto => "closed loop",
        ApprovalPolicy::Ask => "semi-closed loop: people approve each trial",
    };
    let per_trial = |total: f64| if tally.trials_completed > 0 { total / all } else { 0.0 };
    wire::CampaignCounters {
        campaign: id.to_string(),
        autonomy: autonomy.to_owned(),
        trials,
        hours,
        trials_per_hour: if hours > 0.0 { f64::from(trials) / hours } else { 0.0 },
        most_trials_per_hour: if busiest > 0.0 { all / busiest } else { 0.0 },
        precision: precision(completed(state, known)),
        calibration: calibration(completed(state, known)),
        dispensed_ul_per_trial: per_trial(devices.iter().map(|device| device.dispensed_ul).sum()),
        cost_per_trial: per_trial(devices.iter().map(|device| device.cost).sum()),
        ..wire::CampaignCounters::default()
    }
}

/// Pooled standard deviation of repeated candidates: the repeatability of synthesis and measurement together.
fn precision<'a>(trials: impl Iterator<Item = &'a Trial>) -> Vec<wire::Precision> {
    let mut groups: BTreeMap<(String, Vec<u64>), Vec<f64>> = BTreeMap::new();
    let key = |candidate: &Candidate| candidate.0.values().map(|value| value.to_bits()).collect::<Vec<_>>();
    for trial in trials {
        let values = trial.observation.iter().flat_map(|observation| &observation.values);
        for (name, measured) in values {
            groups.entry((name.clone(), key(&trial.proposed.candidate))).or_default().push(measured.value);
        }
    }
    let mut pooled: BTreeMap<String, (f64, u32)> = BTreeMap::new();
    for ((name, _), values) in groups.into_iter().filter(|(_, values)| values.len() > 1) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let sum = pooled.entry(name).or_default();
        sum.0 += values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        sum.1 += values.len() as u32 - 1;
    }
    let shown = pooled.into_iter().map(|(observable, (squares, degrees_of_freedom))| wire::Precision {
        observable,
        sd: (squares / f64::from(degrees_of_freedom)).sqrt(),
        degrees_of_freedom,
    });
    shown.collect()
}

/// Coverage of the intervals that were predicted before each trial, over all observables: the honest test.
fn calibration<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<wire::Calibration> {
    let mut z = Vec::new();
    for trial in trials {
        let Some(observation) = &trial.observation else { continue };
        for (name, expected) in &trial.proposed.expected {
            if let Some(measured) = observation.values.get(name)
                && expected.sd.hypot(measured.sd) > 0.0
            {
                z.push((measured.value - expected.value) / expected.sd.hypot(measured.sd));
            }
        }
    }
    let share = |limit: f64| z.iter().filter(|z| z.abs() <= limit).count() as f64 / z.len() as f64;
    let predictions = z.len() as u32;
    (predictions >= LEAST_PREDICTIONS).then(|| wire::Calibration {
        predictions,
        within_50: share(WITHIN[0]),
        within_90: share(WITHIN[1]),
    })
}

/// The ceiling of a level, and the computing time that buys the information of one trial.
fn worth(level: &LevelReport, nats_of_a_trial: Option<f64>) -> wire::LevelWorth {
    let told = |correlation: f64| -0.5 * (1.0 - correlation.clamp(-0.999_999, 0.999_999).powi(2)).ln();
    let nats: f64 = level.observables.iter().map(|one| told(one.correlation)).sum();
    let seconds = level.seconds / level.evaluations.max(1) as f64;
    let buys = |of_a_trial: f64| (nats >= of_a_trial && seconds > 0.0).then(|| of_a_trial * seconds / nats);
    wire::LevelWorth { level: level.level.clone(), nats, seconds_for_a_trial: nats_of_a_trial.and_then(buys) }
}

/// What models say of each campaign, kept until it has another observation. A fit takes a moment, so that a question has a few
/// campaigns judged, the newest first; the others follow with the next questions.
#[derive(Debug, Default)]
pub(crate) struct Judged(std::sync::Mutex<BTreeMap<CampaignId, (usize, model::Judgement)>>);

impl Judged {
    /// Fills in the figures that need a model.
    pub(crate) fn judge(&self, state: &State, counters: &mut wire::GetCountersResponse) {
        let mut fits = FITS;
        for shown in counters.campaigns.iter_mut().rev() {
            let Ok(id) = CampaignId::new(shown.campaign.clone()) else { continue };
            let Some(campaign) = state.campaigns.get(&id) else { continue };
            let count = completed(state, campaign).count();
            let known = self.0.lock().expect("no holder panics").get(&id).cloned();
            let judgement = match known {
                Some((judged, judgement)) if judged == count => judgement,
                _ if fits == 0 => model::Judgement::later(),
                _ => {
                    fits -= 1;
                    let judgement = model::judge(&campaign.spec, &completed(state, campaign).collect::<Vec<_>>());
                    self.0.lock().expect("no holder panics").insert(id, (count, judgement.clone()));
                    judgement
                }
            };
            shown.acceleration = judgement.acceleration;
            shown.enhancement = judgement.enhancement;
            shown.nats = judgement.nats;
            shown.model = judgement.model;
            let a_trial = shown.nats.map(|nats| nats / count.max(1) as f64);
            shown.levels = campaign.levels.iter().map(|level| worth(level, a_trial)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

    use std::sync::Arc;

    use ppu_core::TrialId;
    use ppu_core::{Measured, Observation};
    use ppu_engine::event::ProposedTrial;
    use ppu_engine::lifecycle::CampaignState;

    use super::*;

    fn id(at: usize) -> CampaignId {
        CampaignId::new(format!("bakery-{at}")).unwrap()
    }

    fn bakery() -> Campaign {
        Campaign {
            state: CampaignState::Running,
            spec: model::tests::spec(),
            protocol_file: String::new(),
            protocol_toml: String::new(),
            request_id: String::new(),
            trials: Vec::new(),
            rounds: 1,
            levels: vec![LevelReport { level: "oracle".into(), evaluations: 8, ..LevelReport::default() }],
            reshaped: Vec::new(),
            ended: String::new(),
            created_ms: 0,
        }
    }

    fn complete(state: &mut State, campaign: &CampaignId, number: u32) {
        let trial_id = TrialId::new(format!("{campaign}-t{number}")).unwrap();
        let value = Measured { value: f64::from(number % 5) / 5.0, sd: 0.01, flags: Vec::new() };
        let trial = Trial {
            campaign: campaign.clone(),
            number,
            round: 1,
            state: TrialState::Completed,
            proposed: ProposedTrial {
                candidate: Candidate(BTreeMap::from([("t".to_owned(), 9.0 * f64::from(number))])),
                proposer: String::new(),
                reason: String::new(),
                expected: BTreeMap::new(),
            },
            run: None,
            decision: String::new(),
            observation: Some(Observation {
                values: BTreeMap::from([("y".to_owned(), value)]),
                ..Observation::default()
            }),
            score: None,
            failure: String::new(),
            ended_ms: 0,
        };
        state.trials.insert(trial_id.clone(), Arc::new(trial));
        Arc::make_mut(state.campaigns.get_mut(campaign).unwrap()).trials.push(trial_id);
    }

    #[test]
    fn the_newest_campaigns_are_judged_first_and_anew_with_each_observation() {
        let mut state = State::default();
        for at in 0..6 {
            state.campaigns.insert(id(at), Arc::new(bakery()));
            for number in 0..7 {
                complete(&mut state, &id(at), number);
            }
        }
        let judged = Judged::default();
        let ask = |state: &State| {
            let named =
                |at| wire::CampaignCounters { campaign: id(at).to_string(), ..wire::CampaignCounters::default() };
            let mut counters = wire::GetCountersResponse {
                campaigns: (0..6).map(named).collect(),
                ..wire::GetCountersResponse::default()
            };
            judged.judge(state, &mut counters);
            counters.campaigns
        };
        let first = ask(&state);
        let waiting: Vec<bool> = first.iter().map(|one| one.model.contains("ask again")).collect();
        assert_eq!(waiting, [true, true, false, false, false, false]);
        assert!(first.iter().all(|one| one.nats.is_none() == one.model.contains("ask again")), "{first:?}");
        assert!(first.iter().all(|one| one.levels.len() == 1 && one.levels[0].level == "oracle"), "{first:?}");
        let second = ask(&state);
        assert!(second.iter().all(|one| one.nats.is_some()), "{second:?}");
        assert_eq!(second[2..], first[2..], "what is known already is not judged again");
        complete(&mut state, &id(0), 7);
        let third = ask(&state);
        assert!(third[0].nats.unwrap() > second[0].nats.unwrap() && third[1..] == second[1..], "{third:?}");
    }
}

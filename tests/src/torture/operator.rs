//! The person beside the lab: begins campaigns, looks whether the lab goes on, and resolves what is in doubt by looking at
//! the world. Talks to the public API only, and has patience with a scheduler that is gone for a moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ppu_proto::device::v1::{DeviceState, Resolution, Verdict};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::harness::root;
use crate::ledger;

/// Who decides.
const OPERATOR: &str = "operator of the torture";
/// A scheduler that is stopped or gone answers nothing; it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Before a person decides, the device has been left alone for this long: what was under way has ended.
const WATCHED_FOR: Duration = Duration::from_secs(8);
/// Trials of a campaign.
const TRIALS: u32 = 6;
/// Campaigns for which the samples of one lab are enough.
const MOST_CAMPAIGNS: usize = 5;

/// What the operator is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Keep the lab busy.
    Busy,
    /// Begin nothing more and see it through.
    Finish,
    /// Leave.
    Leave,
}

/// What the operator sees.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Every campaign has ended, and no further one fits the samples.
    pub(super) used_up: bool,
    /// Every campaign has ended.
    pub(super) all_ended: bool,
    /// When the journal grew last.
    pub(super) progress_at: Instant,
}

/// What the operator remembers.
#[derive(Debug)]
pub(super) struct Operator {
    folder: PathBuf,
    seed: u64,
    /// Campaigns that the lab has acknowledged, with the trials that were seen to have ended.
    pub(super) campaigns: BTreeMap<String, u32>,
    last_seq: u64,
    doubted_since: BTreeMap<String, Instant>,
    /// Doubts that were resolved, and how.
    pub(super) resolved: Vec<String>,
    /// What must not be.
    pub(super) wrong: Vec<String>,
    sight: watch::Sender<Sight>,
}

impl Operator {
    pub(super) fn new(folder: &Path, seed: u64) -> (Operator, watch::Receiver<Sight>) {
        let (sight, seen) = watch::channel(Sight { used_up: false, all_ended: false, progress_at: Instant::now() });
        let operator = Operator {
            folder: folder.to_owned(),
            seed,
            campaigns: BTreeMap::new(),
            last_seq: 0,
            doubted_since: BTreeMap::new(),
            resolved: Vec::new(),
            wrong: Vec::new(),
            sight,
        };
        (operator, seen)
    }

    /// Works until told to leave.
    pub(super) async fn work(mut self, task: watch::Receiver<Task>) -> Operator {
        loop {
            let now = *task.borrow();
            if now == Task::Leave {
                return self;
            }
            // An answer that does not come is asked for again: the lab is being tortured.
            let _ = tokio::time::timeout(PATIENCE, self.look(now)).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn client(&self) -> anyhow::Result<LabServiceClient<Channel>> {
        client(&self.folder).await
    }

    async fn look(&mut self, task: Task) -> anyhow::Result<()> {
        let mut client = self.client().await?;
        let lab = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
        self.check_memory(&lab);
        let open = [wire::CampaignState::Running, wire::CampaignState::Ending];
        let running = lab.campaigns.iter().any(|campaign| open.contains(&campaign.state()));
        // One whose acknowledgement was lost is there all the same.
        for campaign in &lab.campaigns {
            self.campaigns.entry(campaign.id.clone()).or_insert(0);
        }
        if task == Task::Busy && !running && self.campaigns.len() < MOST_CAMPAIGNS {
            let id = self.begin(&mut client).await?;
            self.campaigns.insert(id, 0);
        }
        for doubt in &lab.doubts {
            self.resolve(&mut client, doubt).await?;
        }
        // A device that was made safe works again after a person's clear, and that is what it waits for.
        for device in lab.devices.iter().filter(|device| device.state() == DeviceState::Aborted) {
            let (who, reason) = (OPERATOR.to_owned(), "it stands still and nothing is on fire".to_owned());
            client.clear_device(wire::ClearDeviceRequest { device: device.id.clone(), who, reason }).await?;
        }
        let all_ended = lab.campaigns.len() >= self.campaigns.len()
            && lab.campaigns.iter().all(|campaign| campaign.state() == wire::CampaignState::Completed);
        let used_up = !running && self.campaigns.len() >= MOST_CAMPAIGNS;
        let grew = lab.seq > self.last_seq;
        self.last_seq = self.last_seq.max(lab.seq);
        self.sight.send_modify(|sight| {
            sight.used_up = used_up;
            sight.all_ended = all_ended;
            if grew {
                sight.progress_at = Instant::now();
            }
        });
        Ok(())
    }

    /// Nothing that the lab has said may be forgotten.
    fn check_memory(&mut self, lab: &wire::GetLabResponse) {
        if lab.seq < self.last_seq {
            self.wrong.push(format!("event {} was acknowledged, the lab knows {} only", self.last_seq, lab.seq));
        }
        for (id, ended) in &mut self.campaigns {
            match lab.campaigns.iter().find(|campaign| campaign.id == *id) {
                None => self.wrong.push(format!("campaign {id} was acknowledged and is gone")),
                Some(campaign) => {
                    let now = campaign.completed + campaign.failed;
                    if now < *ended {
                        self.wrong.push(format!("{id}: {ended} trials had ended, now {now}"));
                    }
                    *ended = now.max(*ended);
                }
            }
        }
    }

    /// Begins the next campaign. A request whose answer was lost is sent again under its own id.
    async fn begin(&self, client: &mut LabServiceClient<Channel>) -> anyhow::Result<String> {
        let number = self.campaigns.len() + 1;
        let campaign = root().join("config/campaigns/wide_gap_perovskite.toml");
        let protocol = root().join("config/protocols/drop_cast_film.toml");
        let request = wire::CreateCampaignRequest {
            campaign_toml: std::fs::read_to_string(&campaign)?,
            file: campaign.display().to_string(),
            protocol_toml: std::fs::read_to_string(&protocol)?,
            protocol_file: protocol.display().to_string(),
            request_id: format!("torture {number}"),
            seed: Some(self.seed + number as u64),
            strategy: "random".to_owned(),
            trials: TRIALS,
        };
        Ok(client.create_campaign(request).await?.into_inner().campaign)
    }

    /// Decides as a person would who goes and looks: after the device has been left alone for a while, by what is there.
    async fn resolve(&mut self, client: &mut LabServiceClient<Channel>, doubt: &wire::Doubt) -> anyhow::Result<()> {
        let key = doubt.key.clone().context("a doubt has no key")?;
        let name = format!("{}#{}", key.step, key.attempt);
        let since = *self.doubted_since.entry(name.clone()).or_insert_with(Instant::now);
        if since.elapsed() < WATCHED_FOR {
            return Ok(());
        }
        let counts = world_count(client, &self.folder, &key.step).await?;
        let verdict = if counts.iter().all(|count| *count == 1) {
            Verdict::Done
        } else if counts.iter().all(|count| *count == 0) {
            Verdict::NotDone
        } else {
            Verdict::Scrapped
        };
        let resolution = Resolution {
            who: OPERATOR.to_owned(),
            inspected: "the world's ledger".to_owned(),
            evidence: Vec::new(),
            note: format!("the actions of the step happened {counts:?} times"),
            ..Default::default()
        };
        let request = wire::ResolveDoubtRequest {
            key: Some(key),
            verdict: verdict.into(),
            resolution: Some(resolution),
            sample_position: String::new(),
            ..Default::default()
        };
        client.resolve_doubt(request).await?;
        self.resolved.push(format!("{name} on {}: {} → {}", doubt.device, doubt.message, verdict.as_str_name()));
        Ok(())
    }
}

/// A client of the lab whose files are here.
pub(crate) async fn client(folder: &Path) -> anyhow::Result<LabServiceClient<Channel>> {
    let text = std::fs::read(folder.join("scheduler/endpoint.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&text)?;
    let address = json["grpc"].as_str().context("the address file has no address")?;
    let client = LabServiceClient::connect(format!("http://{address}")).await?;
    Ok(client.max_decoding_message_size(64 << 20))
}

/// Every run of every campaign.
pub(crate) async fn all_runs(client: &mut LabServiceClient<Channel>) -> anyhow::Result<Vec<wire::Run>> {
    let lab = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
    let mut runs = Vec::new();
    for campaign in lab.campaigns {
        let request = wire::GetCampaignRequest { campaign: campaign.id };
        let campaign =
            client.get_campaign(request).await?.into_inner().campaign.context("no campaign in the answer")?;
        for run in ledger::runs_of(&campaign) {
            let run = client.get_run(wire::GetRunRequest { run }).await?.into_inner().run;
            runs.push(run.context("no run in the answer")?);
        }
    }
    Ok(runs)
}

/// How often the world saw each action of a step, in the order in which the step does them.
pub(crate) async fn world_count(
    client: &mut LabServiceClient<Channel>,
    folder: &Path,
    step: &str,
) -> anyhow::Result<Vec<usize>> {
    let (run, name) = step.rsplit_once('/').context("a step has no run")?;
    let runs = all_runs(client).await?;
    let counts = ledger::audit(&ledger::lines(folder)?, &runs)?.of_step(run, name);
    ensure!(!counts.is_empty(), "{step} does nothing that the world counts");
    Ok(counts)
}

//! `ppu demo`: a simulated lab, a closed-loop campaign, and its result.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use ppu_proto::device::v1::DeviceState;
use ppu_proto::lab::v1 as wire;
use serde_json::json;

use crate::cli::{DemoArguments, UpArguments};
use crate::client::{self, Client};
use crate::exit;
use crate::files::{self, Submission};
use crate::progress::{self, Progress};
use crate::supervisor::RestartPolicy;
use crate::up::{self, Running};

/// How long the drivers may take to attach.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);
/// A demo in which no trial has ended for this long has got stuck, and says so instead of waiting for ever.
const STUCK_AFTER: Duration = Duration::from_secs(150);
/// How often the lab is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn run(arguments: DemoArguments) -> anyhow::Result<u8> {
    let began = Instant::now();
    let data = data_folder(arguments.data.clone())?;
    let config = files::write_shipped(&data)?;
    let up = UpArguments {
        lab: config.join("labs/demo.toml"),
        data: data.clone(),
        listen: "127.0.0.1:0".parse().expect("a constant address"),
        console: arguments.console,
        speed: Some(arguments.speed),
        seed: Some(arguments.seed),
        sim: None,
        restart_limit: RestartPolicy::default().limit,
        restart_wait_ms: RestartPolicy::default().longest_wait.as_millis() as u64,
    };
    eprintln!("ppu demo: a simulated halide-perovskite lab, {} times faster than life", arguments.speed);
    let running = up::start(&up).await?;
    let result = tokio::select! {
        result = campaign(&arguments, &running, &config, began) => result,
        () = up::interrupted() => Err(exit::coded(exit::INTERRUPTED, "interrupted")),
    };
    if let Ok(exit_code) = &result {
        closing_words(&running, &data);
        if arguments.stay && *exit_code == 0 {
            eprintln!("The lab stays up; Ctrl-C ends it. What it has done: `ppu counters --data {}`", data.display());
            up::interrupted().await;
        }
    } else {
        eprintln!("logs are in {}", running.supervisor.logs().display());
    }
    running.supervisor.stop().await;
    result
}

fn data_folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = given.unwrap_or_else(|| {
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        std::env::temp_dir().join(format!("ppu-demo-{stamp}-{}", std::process::id()))
    });
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

async fn campaign(
    arguments: &DemoArguments,
    running: &Running,
    config: &std::path::Path,
    began: Instant,
) -> anyhow::Result<u8> {
    let mut client = client::at(&running.scheduler).await?;
    attached(&mut client).await?;
    let processes = running.supervisor.status().pids.len() + 1;
    eprintln!("  console    http://{}   <- open this", running.console);
    eprintln!("  gRPC API   {}", running.scheduler);
    eprintln!("  processes  {processes}");
    let path = arguments.campaign.clone().unwrap_or_else(|| config.join("campaigns/wide_gap_perovskite.toml"));
    let Submission::Campaign { file, text, protocol_file, protocol_text } = files::submission(&path)? else {
        return Err(exit::coded(exit::INVALID, format!("{} is not a campaign", path.display())));
    };
    let request = wire::CreateCampaignRequest {
        campaign_toml: text,
        file,
        protocol_toml: protocol_text,
        protocol_file,
        seed: Some(arguments.seed),
        strategy: arguments.strategy.clone(),
        trials: arguments.trials,
        // The folder is the demo's own: started again on it, the demo goes on with the same campaign.
        request_id: "demo".to_owned(),
    };
    let id = client.create_campaign(request).await?.into_inner().campaign;
    let campaign = follow(&running.scheduler, &id).await?;
    let mut client = client::at(&running.scheduler).await?;
    let lab = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
    let summary = Summary {
        campaign: &campaign,
        lab: &lab,
        processes,
        wall_s: began.elapsed().as_secs_f64(),
        seed: arguments.seed,
    };
    summary.print(arguments.json);
    Ok(if campaign.state() == wire::CampaignState::Completed { 0 } else { exit::PLAN_FAILED })
}

/// Waits until every driver is attached.
async fn attached(client: &mut Client) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let lab = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
        let away: Vec<_> = lab
            .devices
            .iter()
            .filter(|device| device.state() == DeviceState::Unreachable || device.manifest.is_none())
            .collect();
        if away.is_empty() {
            return Ok(());
        }
        if began.elapsed() > ATTACH_WITHIN {
            let names: Vec<_> = away.iter().map(|device| format!("{} ({})", device.id, device.problem)).collect();
            return Err(exit::coded(exit::UNREACHABLE, format!("not reached: {}", names.join(", "))));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Shows the campaign until it has ended. A scheduler that is restarted meanwhile is found again at its address.
async fn follow(scheduler: &str, id: &str) -> anyhow::Result<wire::Campaign> {
    let mut progress: Option<Progress> = None;
    let mut client = client::at(scheduler).await?;
    let (mut last_ended, mut last_news) = (u32::MAX, Instant::now());
    loop {
        match client.get_campaign(wire::GetCampaignRequest { campaign: id.to_owned() }).await {
            Ok(answer) => {
                let campaign = answer.into_inner().campaign.context("the scheduler sent no campaign")?;
                let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
                progress.get_or_insert_with(|| Progress::new(campaign.budget_trials)).show(&campaign, now_ms);
                let ended = campaign.completed + campaign.failed;
                if ended != last_ended {
                    (last_ended, last_news) = (ended, Instant::now());
                }
                if matches!(campaign.state(), wire::CampaignState::Completed | wire::CampaignState::Stopped) {
                    if let Some(progress) = progress {
                        progress.finish();
                    }
                    return Ok(campaign);
                }
            }
            Err(status) if status.code() == tonic::Code::Unavailable => {}
            Err(status) => return Err(status.into()),
        }
        if last_news.elapsed() > STUCK_AFTER {
            let doubts =
                client.get_lab(wire::GetLabRequest {}).await.map(|lab| lab.into_inner().doubts).unwrap_or_default();
            let names: Vec<_> = doubts.iter().map(|doubt| format!("{}: {}", doubt.device, doubt.message)).collect();
            let waits = if names.is_empty() { "no step is in doubt".to_owned() } else { names.join("; ") };
            let message = format!("no trial has ended for {} s ({waits})", STUCK_AFTER.as_secs());
            return Err(exit::coded(exit::TIMEOUT, message));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the demo found.
struct Summary<'a> {
    campaign: &'a wire::Campaign,
    lab: &'a wire::GetLabResponse,
    processes: usize,
    wall_s: f64,
    seed: u64,
}

impl Summary<'_> {
    fn simulated_h(&self) -> f64 {
        (self.wall_s * self.lab.clock_rate) / 3600.0
    }

    fn best(&self) -> Option<&wire::Trial> {
        self.campaign.trials.iter().find(|trial| trial.id == self.campaign.best_trial)
    }

    #[expect(clippy::print_stdout, reason = "the summary is the data that was asked for")]
    fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
            return;
        }
        let Self { campaign, lab, .. } = self;
        println!("\n{}: {} trials, {} failed", campaign.title, campaign.completed + campaign.failed, campaign.failed);
        match self.best() {
            Some(best) => {
                println!("  best: trial {} with score {:.3}", best.number, best.score.unwrap_or_default());
                let candidate: Vec<_> =
                    best.candidate.iter().map(|named| format!("{} {}", named.name, named.number)).collect();
                println!("    made as   {}", candidate.join(", "));
                println!("    measured  {}", progress::values(best));
            }
            None => println!("  no trial has a value for every objective"),
        }
        println!("  time: {:.0} s, {:.1} h in the lab", self.wall_s, self.simulated_h());
        println!("  instrument       commands   busy");
        for device in &lab.devices {
            println!("    {:<14} {:>8}  {:>4.0} %", device.id, device.commands, device.utilisation * 100.0);
        }
    }

    fn json(&self) -> serde_json::Value {
        let trial = |trial: &wire::Trial| {
            let numbers = |list: &[ppu_proto::common::v1::NamedNumber]| -> serde_json::Map<String, serde_json::Value> {
                list.iter().map(|named| (named.name.clone(), json!(named.number))).collect()
            };
            let measured: serde_json::Map<_, _> = trial
                .observation
                .iter()
                .flat_map(|observation| &observation.values)
                .map(|m| (m.name.clone(), json!({ "value": m.value, "sd": m.sd })))
                .collect();
            json!({ "trial": trial.id, "score": trial.score, "candidate": numbers(&trial.candidate), "measured": measured })
        };
        let utilisation: serde_json::Map<_, _> =
            self.lab.devices.iter().map(|device| (device.id.clone(), json!(device.utilisation))).collect();
        let scores: Vec<_> = self.campaign.trials.iter().map(|trial| trial.score).collect();
        json!({
            "campaign": self.campaign.id,
            "trials": self.campaign.completed + self.campaign.failed,
            "failed": self.campaign.failed,
            "processes": self.processes,
            "best": self.best().map(trial),
            "scores": scores,
            "wall_s": self.wall_s,
            "simulated_h": self.simulated_h(),
            "seed": self.seed,
            "epoch": self.lab.epoch,
            "doubts": self.lab.doubts.len(),
            "utilisation": utilisation,
        })
    }
}

fn closing_words(running: &Running, data: &std::path::Path) {
    let status = running.supervisor.status();
    for (name, count) in &status.restarts {
        eprintln!("  {name} was restarted {count} time(s)");
    }
    eprintln!("  everything that happened is in {}", data.display());
    if let Some(sim) = &running.sim {
        eprintln!("  what physically happened: {}", sim.join(firmware_sim::run::LEDGER).display());
    }
    eprintln!("  look closer with `ppu demo --stay` and the console, or attach from Python (see README)");
}

//! Commands that talk to a running lab through its public API.

use std::path::Path;

use anyhow::Context as _;
use ppu_proto::common::v1::{NamedNumber, ParameterLimit};
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use serde_json::json;
use tonic::transport::Channel;

use crate::cli::{
    DecideArguments, LimitArguments, LocateArguments, PinArguments, ReasonArguments, RetireArguments, StatusArguments,
    StopArguments, SubjectArguments, SubmitArguments, Target, WatchArguments,
};
use crate::files::{self, Submission};
use crate::{exit, roles};

pub(crate) type Client = LabServiceClient<Channel>;

/// A client of the lab that a target names.
pub(crate) async fn connect(target: &Target) -> anyhow::Result<Client> {
    let address = match &target.scheduler {
        Some(address) => address.trim_start_matches("http://").to_owned(),
        None => {
            let file = target.data.join("scheduler/endpoint.json");
            roles::address(&file, "grpc").ok_or_else(|| {
                let message = format!(
                    "no lab runs with the data folder {} (no {}); start one with `ppu up`, or name one with --scheduler or --data",
                    target.data.display(),
                    file.display()
                );
                exit::coded(exit::UNREACHABLE, message)
            })?
        }
    };
    at(&address).await
}

/// A client of the scheduler at this address.
pub(crate) async fn at(address: &str) -> anyhow::Result<Client> {
    let client = LabServiceClient::connect(format!("http://{address}"))
        .await
        .with_context(|| format!("no scheduler answers at {address}"))?;
    Ok(client.max_decoding_message_size(64 << 20))
}

#[expect(clippy::print_stdout, reason = "the id is the data that was asked for")]
pub(crate) async fn submit(arguments: SubmitArguments) -> anyhow::Result<u8> {
    let mut client = connect(&arguments.target).await?;
    let id = match files::submission(&arguments.file)? {
        Submission::Protocol { file, text } => {
            let parameters =
                arguments.parameters.iter().map(|(name, number)| NamedNumber { name: name.clone(), number: *number });
            let request = wire::SubmitPlanRequest {
                protocol_toml: text,
                file,
                parameters: parameters.collect(),
                request_id: String::new(),
            };
            client.submit_plan(request).await?.into_inner().run
        }
        Submission::Campaign { file, text, protocol_file, protocol_text } => {
            let request = wire::CreateCampaignRequest {
                campaign_toml: text,
                file,
                protocol_toml: protocol_text,
                protocol_file,
                ..Default::default()
            };
            client.create_campaign(request).await?.into_inner().campaign
        }
    };
    if arguments.json {
        println!("{}", json!({ "id": id }));
    } else {
        println!("{id}");
    }
    if arguments.wait { follow(&mut client, &id, 0, arguments.json).await } else { Ok(0) }
}

#[expect(clippy::print_stdout, reason = "the state is the data that was asked for")]
pub(crate) async fn status(arguments: StatusArguments) -> anyhow::Result<u8> {
    let mut client = connect(&arguments.target).await?;
    let lab = client.get_lab(wire::GetLabRequest {}).await?.into_inner();
    if arguments.json {
        println!("{}", status_json(&lab));
        return Ok(0);
    }
    let mode = if lab.simulated { "SIMULATED" } else { "LIVE" };
    println!("{} [{mode}]  {}  event {}", lab.name, word(lab.state().as_str_name(), "LAB_STATE_"), lab.seq);
    if !lab.state_reason.is_empty() {
        println!("  because of {}", lab.state_reason);
    }
    for device in &lab.devices {
        let what = if device.problem.is_empty() { &device.step_title } else { &device.problem };
        let state = word(device.state().as_str_name(), "DEVICE_STATE_");
        println!("  {:<14} {state:<12} {:>3.0} %  {what}", device.id, device.utilisation * 100.0);
    }
    for campaign in &lab.campaigns {
        let state = word(campaign.state().as_str_name(), "CAMPAIGN_STATE_");
        println!(
            "  {}  {state}  {} of {} trials",
            campaign.id,
            campaign.completed + campaign.failed,
            campaign.budget_trials
        );
    }
    for run in &lab.active_runs {
        let done = run.steps.iter().filter(|step| step.state() == wire::StepState::Done).count();
        println!(
            "  {}  {}  {done} of {} steps  {}",
            run.id,
            word(run.state().as_str_name(), "RUN_STATE_"),
            run.steps.len(),
            run.message
        );
    }
    for doubt in &lab.doubts {
        let key = doubt.key.as_ref().map(|key| format!("{}#{}", key.step, key.attempt)).unwrap_or_default();
        println!("  IN DOUBT {key} on {}: {}", doubt.device, doubt.message);
    }
    Ok(0)
}

/// `EXECUTE` of `DEVICE_STATE_EXECUTE`, in lower case.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

fn status_json(lab: &wire::GetLabResponse) -> serde_json::Value {
    let devices = lab.devices.iter().map(|device| {
        json!({
            "id": device.id,
            "state": word(device.state().as_str_name(), "DEVICE_STATE_"),
            "step": device.step,
            "utilisation": device.utilisation,
            "commands": device.commands,
            "problem": device.problem,
        })
    });
    let campaigns = lab.campaigns.iter().map(|campaign| {
        json!({
            "id": campaign.id,
            "state": word(campaign.state().as_str_name(), "CAMPAIGN_STATE_"),
            "completed": campaign.completed,
            "failed": campaign.failed,
            "budget_trials": campaign.budget_trials,
            "best_trial": campaign.best_trial,
        })
    });
    let runs = lab.active_runs.iter().map(|run| {
        json!({ "id": run.id, "state": word(run.state().as_str_name(), "RUN_STATE_"), "sample": run.sample, "message": run.message })
    });
    let doubts = lab.doubts.iter().map(|doubt| {
        let key = doubt.key.as_ref().map(|key| format!("{}#{}", key.step, key.attempt));
        json!({ "key": key, "device": doubt.device, "message": doubt.message })
    });
    json!({
        "lab": lab.name,
        "simulated": lab.simulated,
        "state": word(lab.state().as_str_name(), "LAB_STATE_"),
        "seq": lab.seq,
        "epoch": lab.epoch,
        "devices": devices.collect::<Vec<_>>(),
        "campaigns": campaigns.collect::<Vec<_>>(),
        "active_runs": runs.collect::<Vec<_>>(),
        "doubts": doubts.collect::<Vec<_>>(),
    })
}

pub(crate) async fn watch(arguments: WatchArguments) -> anyhow::Result<u8> {
    let mut client = connect(&arguments.target).await?;
    follow(&mut client, arguments.id.as_deref().unwrap_or(""), arguments.after, arguments.json).await
}

/// Prints events; with an id only those of that run or campaign, until it has ended.
#[expect(clippy::print_stdout, reason = "the events are the data that was asked for")]
async fn follow(client: &mut Client, id: &str, mut after: u64, json: bool) -> anyhow::Result<u8> {
    let concerns = |event: &wire::WatchResponse| {
        let of_campaign =
            |text: &str| text.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with("-t"));
        id.is_empty()
            || event.run == id
            || of_campaign(&event.campaign)
            || of_campaign(&event.trial)
            || of_campaign(&event.run)
    };
    loop {
        let mut events = client.watch(wire::WatchRequest { after_seq: after }).await?.into_inner();
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    after = event.seq;
                    if concerns(&event) {
                        if json {
                            let line = json!({ "seq": event.seq, "time_ms": event.time_ms, "kind": event.kind, "text": event.text });
                            println!("{line}");
                        } else {
                            println!("{:>6}  {}", event.seq, event.text);
                        }
                        let own = event.run == id || event.campaign == id;
                        match event.kind.as_str() {
                            "run_completed" | "campaign_completed" if own => return Ok(0),
                            "run_failed" | "campaign_stopped" if own => return Ok(exit::PLAN_FAILED),
                            _ => {}
                        }
                    }
                }
                // Too slow for the lab: go on where we stopped.
                Err(status) if status.code() == tonic::Code::ResourceExhausted => break,
                Err(status) => return Err(status.into()),
                Ok(None) => return Err(exit::coded(exit::UNREACHABLE, "the scheduler ended the stream")),
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answers of the devices are the data that was asked for")]
pub(crate) async fn stop(arguments: StopArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let mut client = connect(&target).await?;
    if let Some(campaign) = arguments.campaign {
        let request = wire::StopCampaignRequest { campaign, who, reason, stop_runs: arguments.runs };
        client.stop_campaign(request).await?;
        return Ok(0);
    }
    let answer = client.stop_all(wire::StopAllRequest { who, reason }).await?.into_inner();
    for stop in &answer.devices {
        let word = match (stop.reached, stop.confirmed) {
            (true, true) => "stopped",
            (true, false) => "UNCONFIRMED",
            (false, _) => "UNREACHABLE",
        };
        println!("{:<14} {word:<12} {}", stop.device, stop.message);
    }
    let all = answer.devices.iter().all(|stop| stop.confirmed);
    Ok(if all { 0 } else { exit::FAILURE })
}

pub(crate) async fn pause(arguments: ReasonArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments;
    connect(&target).await?.pause(wire::PauseRequest { who, reason }).await?;
    Ok(0)
}

pub(crate) async fn resume(arguments: ReasonArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments;
    connect(&target).await?.resume(wire::ResumeRequest { who, reason }).await?;
    Ok(0)
}

pub(crate) async fn clear(arguments: SubjectArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let request = wire::ClearDeviceRequest { device: arguments.subject, who, reason };
    connect(&target).await?.clear_device(request).await?;
    Ok(0)
}

pub(crate) async fn stop_run(arguments: SubjectArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let request = wire::StopRunRequest { run: arguments.subject, who, reason };
    connect(&target).await?.stop_run(request).await?;
    Ok(0)
}

pub(crate) async fn skip(arguments: SubjectArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let request = wire::SkipStepRequest { step: arguments.subject, who, reason };
    connect(&target).await?.skip_step(request).await?;
    Ok(0)
}

pub(crate) async fn locate(arguments: LocateArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let (sample, position) = (arguments.sample, arguments.position.unwrap_or_default());
    let request = wire::LocateSampleRequest { sample, position, who, inspected: reason };
    connect(&target).await?.locate_sample(request).await?;
    Ok(0)
}

pub(crate) async fn retire_ledger(arguments: RetireArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let request = wire::RetireLedgerRequest {
        device: arguments.device,
        ledger_id: arguments.ledger,
        who,
        isolated: reason,
        void: arguments.never_began.iter().map(Into::into).collect(),
    };
    connect(&target).await?.retire_ledger(request).await?;
    Ok(0)
}

pub(crate) async fn limit(arguments: LimitArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let limits = arguments.limits.into_iter().map(|(parameter, min, max)| ParameterLimit { parameter, min, max });
    let (campaign, limits) = (arguments.campaign, limits.collect());
    let request = wire::ReshapeCampaignRequest { campaign, limits, who, reason };
    let taken_back = connect(&target).await?.reshape_campaign(request).await?.into_inner().taken_back;
    for trial in taken_back {
        eprintln!("{trial} lies outside the new limits and was taken back");
    }
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "the id is the data that was asked for")]
pub(crate) async fn pin(arguments: PinArguments) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let candidate = arguments.point.into_iter().map(|(name, number)| NamedNumber { name, number }).collect();
    let request = wire::PinCandidateRequest { campaign: arguments.campaign, candidate, who, reason };
    println!("{}", connect(&target).await?.pin_candidate(request).await?.into_inner().trial);
    Ok(0)
}

pub(crate) async fn decide(arguments: DecideArguments, accept: bool) -> anyhow::Result<u8> {
    let ReasonArguments { reason, who, target } = arguments.reason;
    let mut client = connect(&target).await?;
    let request = wire::DecideRequest { trial: arguments.trial, accept, who, reason };
    let trial = client.decide(request).await?.into_inner().trial.unwrap_or_default();
    eprintln!("{}: {}", trial.id, trial.decision);
    Ok(0)
}

/// The control port of the simulation below a data folder.
fn sim_control(data: &Path) -> anyhow::Result<std::net::SocketAddr> {
    let file = data.join("sim").join(firmware_sim::run::ENDPOINTS);
    let address = roles::address(&file, "control").ok_or_else(|| {
        let message = format!("no simulation runs with the data folder {} (no {})", data.display(), file.display());
        exit::coded(exit::UNREACHABLE, message)
    })?;
    Ok(address.parse()?)
}

async fn sim_request(data: &Path, request: serde_json::Value) -> anyhow::Result<serde_json::Value> {
    let answer = firmware_sim::control::request(sim_control(data)?, &request).await?;
    match answer.get("error").and_then(|error| error.as_str()) {
        Some(error) => Err(exit::coded(exit::FAILURE, error)),
        None => Ok(answer),
    }
}

pub(crate) async fn sim_fault(
    data: &Path,
    device: &str,
    name: &str,
    count: u64,
    delay_ms: Option<u64>,
) -> anyhow::Result<u8> {
    let mut fault = json!({ "device": device, "name": name, "count": count });
    if let Some(delay_ms) = delay_ms {
        fault["delay_ms"] = delay_ms.into();
    }
    sim_request(data, json!({ "fault": fault })).await?;
    eprintln!("{device}: {name} is armed");
    Ok(0)
}

pub(crate) async fn sim_move(data: &Path, sample: &str, position: &str) -> anyhow::Result<u8> {
    sim_request(data, json!({ "move": { "sample": sample, "position": position } })).await?;
    eprintln!("{sample} stands at {position} now, and nobody was told");
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "the state is the data that was asked for")]
pub(crate) async fn sim_status(data: &Path) -> anyhow::Result<u8> {
    println!("{:#}", sim_request(data, json!({ "status": {} })).await?);
    Ok(0)
}

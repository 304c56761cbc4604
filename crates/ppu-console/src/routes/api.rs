//! JSON for scripts: what the lab is, in the words of the public API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ppu_proto::common::v1::{NamedNumber, Value, value::Kind};
use ppu_proto::lab::v1::{Campaign, Device, Doubt, GetLabResponse, Measured, Run, RunStep, Sample, Trial};
use serde_json::{Map, Value as Json_, json};

use crate::state::{Console, now_ms};

/// The lab's snapshot, with the age of what it tells.
pub(super) async fn lab(State(console): State<Arc<Console>>) -> Response {
    let known = console.known();
    let Some(lab) = known.lab else {
        let error = known.lost.map(|lost| lost.error);
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "scheduler unreachable", "reason": error })))
            .into_response();
    };
    let mut body = snapshot(&lab);
    body["link"] = json!({
        "connected": known.lost.is_none(),
        "contact_ms": known.contact_ms,
        "age_ms": (now_ms() - known.contact_ms).max(0),
        "error": known.lost.map(|lost| lost.error),
    });
    Json(body).into_response()
}

/// The counters, for Prometheus.
pub(super) async fn metrics(State(console): State<Arc<Console>>) -> Response {
    match super::pages::asked_counters(&console).await {
        Ok(counters) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, crate::prometheus(&counters)).into_response()
        }
        Err(status) => (StatusCode::SERVICE_UNAVAILABLE, status.message().to_owned()).into_response(),
    }
}

/// Whether the console serves, and whether it reaches the scheduler.
pub(super) async fn healthz(State(console): State<Arc<Console>>) -> Response {
    let known = console.known();
    let scheduler = if known.lost.is_none() { "connected" } else { "unreachable" };
    Json(json!({ "console": "ok", "scheduler": scheduler })).into_response()
}

fn snapshot(lab: &GetLabResponse) -> Json_ {
    json!({
        "name": lab.name,
        "title": lab.title,
        "simulated": lab.simulated,
        "state": lab.state().as_str_name(),
        "state_reason": lab.state_reason,
        "seq": lab.seq,
        "epoch": lab.epoch,
        "started_ms": lab.started_ms,
        "clock_rate": lab.clock_rate,
        "devices": lab.devices.iter().map(device).collect::<Vec<_>>(),
        "campaigns": lab.campaigns.iter().map(campaign).collect::<Vec<_>>(),
        "active_runs": lab.active_runs.iter().map(run).collect::<Vec<_>>(),
        "samples": lab.samples.iter().map(sample).collect::<Vec<_>>(),
        "doubts": lab.doubts.iter().map(doubt).collect::<Vec<_>>(),
    })
}

fn device(device: &Device) -> Json_ {
    let readings: Vec<Json_> = device
        .readings
        .iter()
        .map(|reading| {
            let (value, unit) = value(reading.value.as_ref());
            json!({ "name": reading.name, "value": value, "unit": unit, "time_ms": reading.time_ms, "good": reading.good })
        })
        .collect();
    json!({
        "id": device.id,
        "model": device.manifest.as_ref().map(|manifest| &manifest.model),
        "state": device.state().as_str_name(),
        "step": device.step,
        "step_title": device.step_title,
        "since_ms": device.since_ms,
        "readings": readings,
        "utilisation": device.utilisation,
        "problem": device.problem,
        "sample_position": device.sample_position,
        "commands": device.commands,
    })
}

fn campaign(campaign: &Campaign) -> Json_ {
    let objectives: Vec<Json_> = campaign
        .objectives
        .iter()
        .map(|objective| json!({ "name": objective.name, "unit": objective.unit, "goal": objective.goal, "weight": objective.weight }))
        .collect();
    json!({
        "id": campaign.id,
        "title": campaign.title,
        "state": campaign.state().as_str_name(),
        "objectives": objectives,
        "budget_trials": campaign.budget_trials,
        "completed": campaign.completed,
        "failed": campaign.failed,
        "best_trial": campaign.best_trial,
        "asks": campaign.asks,
        "ended": campaign.ended,
        "created_ms": campaign.created_ms,
        "eta_ms": campaign.eta_ms,
        "trials": campaign.trials.iter().map(trial).collect::<Vec<_>>(),
    })
}

fn trial(trial: &Trial) -> Json_ {
    let observation = trial.observation.as_ref().map(|observation| {
        let invalid: Map<String, Json_> =
            observation.invalid.iter().map(|item| (item.name.clone(), json!(item.reason))).collect();
        json!({ "values": measured(&observation.values), "invalid": invalid, "analysis": observation.analysis })
    });
    json!({
        "id": trial.id,
        "number": trial.number,
        "state": trial.state().as_str_name(),
        "candidate": numbers(&trial.candidate),
        "proposer": trial.proposer,
        "reason": trial.reason,
        "expected": measured(&trial.expected),
        "run": trial.run,
        "sample": trial.sample,
        "observation": observation,
        "score": trial.score,
        "decision": trial.decision,
        "failure": trial.failure,
    })
}

fn run(run: &Run) -> Json_ {
    json!({
        "id": run.id,
        "state": run.state().as_str_name(),
        "trial": run.trial,
        "sample": run.sample,
        "message": run.message,
        "steps": run.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &RunStep) -> Json_ {
    json!({
        "name": step.name,
        "title": step.title,
        "state": step.state().as_str_name(),
        "device": step.device,
        "attempts": step.attempts,
        "started_ms": step.started_ms,
        "ended_ms": step.ended_ms,
        "message": step.message,
    })
}

fn sample(sample: &Sample) -> Json_ {
    json!({ "id": sample.id, "position": sample.position, "run": sample.run, "in_doubt": sample.in_doubt, "used": sample.used })
}

fn doubt(doubt: &Doubt) -> Json_ {
    let key = doubt.key.clone().unwrap_or_default();
    json!({ "step": key.step, "attempt": key.attempt, "device": doubt.device, "message": doubt.message, "sample": doubt.sample })
}

fn measured(values: &[Measured]) -> Map<String, Json_> {
    values
        .iter()
        .map(|value| (value.name.clone(), json!({ "value": value.value, "sd": value.sd, "flags": value.flags })))
        .collect()
}

fn numbers(values: &[NamedNumber]) -> Map<String, Json_> {
    values.iter().map(|value| (value.name.clone(), json!(value.number))).collect()
}

fn value(value: Option<&Value>) -> (Json_, Option<&str>) {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::Quantity(quantity)) => (json!(quantity.value), Some(quantity.unit.as_str())),
        Some(Kind::Integer(integer)) => (json!(integer), None),
        Some(Kind::Text(text)) => (json!(text), None),
        Some(Kind::Flag(flag)) => (json!(flag), None),
        None => (Json_::Null, None),
    }
}

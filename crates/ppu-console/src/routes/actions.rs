//! What a person can do. Every action is a plain form: it works without a script, carries the console's token, and is answered
//! by a redirect when it was done and by a page that says why when it was not.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use ppu_proto::common::v1::{CommandKey, NamedNumber, ParameterLimit};
use ppu_proto::device::v1::{Resolution, Verdict};
use ppu_proto::lab::v1::{
    ClearDeviceRequest, DecideRequest, LocateSampleRequest, PauseRequest, PinCandidateRequest, ReshapeCampaignRequest,
    ResolveDoubtRequest, ResumeRequest, StopAllRequest, StopCampaignRequest, StopRunRequest, Trial, TrialState,
};
use tokio::time::timeout;
use tonic::Status;

use super::{message, refusal};
use crate::feed::reason;
use crate::state::{Console, now_ms};
use crate::view::stop::StopReport;

/// How long an answer is waited for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// STOP ALL is answered once every instrument was told or given up; longer than that, its outcome is called unknown.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Longest text of a form that is passed on.
const LONGEST_TEXT: usize = 2000;

type Shared = State<Arc<Console>>;
/// The fields of a form.
pub(super) type Fields = Form<HashMap<String, String>>;

pub(super) async fn pause(State(console): Shared, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let reason = form.optional("reason").unwrap_or_else(|| "paused at the console".into());
    let request = PauseRequest { who: console.operator.clone(), reason };
    let mut client = console.client();
    answer(in_time(client.pause(request)).await, "The lab was not paused")
}

pub(super) async fn resume(State(console): Shared, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let stopped = console.known().lab.is_some_and(|lab| lab.state() == ppu_proto::lab::v1::LabState::Stopped);
    let reason = match (form.optional("reason"), stopped) {
        (Some(reason), _) => reason,
        // Leaving the stop is deliberate: somebody looked, and says at what.
        (None, true) => return missing("what you checked before the lab goes on"),
        (None, false) => "resumed at the console".into(),
    };
    let mut client = console.client();
    answer(
        in_time(client.resume(ResumeRequest { who: console.operator.clone(), reason })).await,
        "The lab was not resumed",
    )
}

pub(super) async fn stop_all(State(console): Shared, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let reason_text = form.optional("reason").unwrap_or_else(|| "STOP ALL at the console".into());
    let request = StopAllRequest { who: console.operator.clone(), reason: reason_text };
    tracing::warn!(who = console.operator, "STOP ALL");
    let asked_ms = now_ms();
    // A browser that goes away must not take the stop with it: the call runs in a task of its own.
    let task = tokio::spawn(async move {
        let mut client = console.client();
        let answer = match timeout(STOP_WITHIN, client.stop_all(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().devices),
            Ok(Err(status)) => Err(reason(&status)),
            Err(_) => Err(format!("no answer within {} s", STOP_WITHIN.as_secs())),
        };
        console.stopped(StopReport { asked_ms, answered_ms: now_ms(), who: console.operator.clone(), answer });
    });
    match task.await {
        Ok(()) => Redirect::to("/stop").into_response(),
        Err(error) => {
            tracing::error!(%error, "STOP ALL failed");
            message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "STOP ALL failed",
                "Whether the instruments were told is unknown. Use the hardware stop.",
            )
        }
    }
}

pub(super) async fn decide(State(console): Shared, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(trial) = form.optional("trial") else { return missing("which trial is meant") };
    let accept = match form.optional("decision").as_deref() {
        Some("accept") => true,
        Some("reject") => false,
        _ => return missing("whether to accept or to reject"),
    };
    let reason = form.optional("reason").unwrap_or_default();
    if !accept && reason.is_empty() {
        return missing("why the trial is rejected; the proposer's next candidates are judged with it");
    }
    let request = DecideRequest { trial: trial.clone(), accept, who: console.operator.clone(), reason };
    let mut client = console.client();
    match in_time(client.decide(request)).await {
        Ok(answer) => decided(&trial, accept, answer.into_inner().trial.unwrap_or_default()),
        Err(status) => refusal(&status, &format!("No decision on {trial} was recorded")),
    }
}

pub(super) async fn resolve(State(console): Shared, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(step) = form.optional("step") else { return missing("which step is meant") };
    let Some(attempt) = form.optional("attempt").and_then(|attempt| attempt.parse().ok()) else {
        return missing("which attempt is meant");
    };
    let verdict = match form.optional("verdict").as_deref() {
        Some("done") => Verdict::Done,
        Some("not_done" | "skip") => Verdict::NotDone,
        Some("scrapped") => Verdict::Scrapped,
        _ => return missing("what became of the step: done, not done, or sample scrapped"),
    };
    let Some(who) = form.optional("who") else { return missing("who inspected it") };
    let Some(inspected) = form.optional("inspected") else { return missing("what was inspected") };
    let Some(note) = form.optional("note") else { return missing("a note on what was found") };
    let request = ResolveDoubtRequest {
        key: Some(CommandKey { step: step.clone(), attempt }),
        verdict: verdict.into(),
        resolution: Some(Resolution { who, inspected, note, ..Default::default() }),
        sample_position: form.optional("sample_position").unwrap_or_default(),
        then_skip: form.optional("verdict").as_deref() == Some("skip"),
    };
    let mut client = console.client();
    answer(in_time(client.resolve_doubt(request)).await, &format!("The doubt about {step} stands"))
}

pub(super) async fn clear(State(console): Shared, Path(device): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(who) = form.optional("who") else { return missing("who looked at it") };
    let Some(reason) = form.optional("reason") else { return missing("what was checked before it works again") };
    let request = ClearDeviceRequest { device: device.clone(), who, reason };
    let mut client = console.client();
    answer(in_time(client.clear_device(request)).await, &format!("{device} was not cleared"))
}

pub(super) async fn locate(State(console): Shared, Path(sample): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(who) = form.optional("who") else { return missing("who looked") };
    let Some(inspected) = form.optional("inspected") else { return missing("what was inspected") };
    let position = form.optional("position").unwrap_or_default();
    let request = LocateSampleRequest { sample: sample.clone(), position, who, inspected };
    let mut client = console.client();
    answer(in_time(client.locate_sample(request)).await, &format!("Where {sample} is was not recorded"))
}

pub(super) async fn stop_run(State(console): Shared, Path(run): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(reason) = form.optional("reason") else { return missing("why the run ends") };
    let request = StopRunRequest { run: run.clone(), who: console.operator.clone(), reason };
    let mut client = console.client();
    answer(in_time(client.stop_run(request)).await, &format!("{run} goes on"))
}

pub(super) async fn stop_campaign(State(console): Shared, Path(id): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(reason) = form.optional("reason") else { return missing("why the campaign ends") };
    let who = console.operator.clone();
    let request = StopCampaignRequest { campaign: id.clone(), who, reason, ..Default::default() };
    let mut client = console.client();
    match in_time(client.stop_campaign(request)).await {
        Ok(_) => Redirect::to("/").into_response(),
        Err(status) => refusal(&status, &format!("Campaign {id} goes on")),
    }
}

pub(super) async fn limit(State(console): Shared, Path(id): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let Some(parameter) = form.optional("parameter") else { return missing("which parameter is meant") };
    let Some(min) = form.number("min") else { return missing("the smallest value, as a number") };
    let Some(max) = form.number("max") else { return missing("the largest value, as a number") };
    let Some(reason) = form.optional("reason") else { return missing("why the limits change") };
    let limits = vec![ParameterLimit { parameter, min, max }];
    let request = ReshapeCampaignRequest { campaign: id.clone(), limits, who: console.operator.clone(), reason };
    let mut client = console.client();
    match in_time(client.reshape_campaign(request)).await {
        Ok(_) => Redirect::to(&format!("/campaigns/{id}")).into_response(),
        Err(status) => refusal(&status, &format!("The limits of campaign {id} stay as they were")),
    }
}

pub(super) async fn pin(State(console): Shared, Path(id): Path<String>, Form(fields): Fields) -> Response {
    let form = match Checked::new(&console, fields) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let mut candidate = Vec::new();
    let known = console.known();
    let campaigns = known.lab.iter().flat_map(|lab| &lab.campaigns);
    for parameter in campaigns.filter(|campaign| campaign.id == id).flat_map(|campaign| &campaign.parameters) {
        let Some(number) = form.number(&format!("value-{}", parameter.name)) else {
            return missing(&format!("the value of {}, as a number", parameter.name));
        };
        candidate.push(NamedNumber { name: parameter.name.clone(), number });
    }
    let Some(reason) = form.optional("reason") else { return missing("why this point is to be tried") };
    let request = PinCandidateRequest { campaign: id.clone(), candidate, who: console.operator.clone(), reason };
    let mut client = console.client();
    match in_time(client.pin_candidate(request)).await {
        Ok(_) => Redirect::to(&format!("/campaigns/{id}")).into_response(),
        Err(status) => refusal(&status, &format!("The point was not taken into campaign {id}")),
    }
}

/// A form that came from a page of this console.
struct Checked(HashMap<String, String>);

impl Checked {
    /// The error is boxed because a response is large and rare.
    fn new(console: &Console, fields: HashMap<String, String>) -> Result<Self, Box<Response>> {
        let token = fields.get("csrf").map_or("", String::as_str);
        match console.security.check_token(token) {
            Ok(()) => Ok(Self(fields)),
            Err(forbidden) => {
                Err(Box::new(message(StatusCode::FORBIDDEN, "Refused", &format!("Nothing was done: {forbidden}."))))
            }
        }
    }

    /// A field with something in it.
    /// A field that is a finite number.
    fn number(&self, name: &str) -> Option<f64> {
        self.optional(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn optional(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.trim();
        (!text.is_empty()).then(|| text.chars().take(LONGEST_TEXT).collect())
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(ANSWER_WITHIN, call).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("")))
}

fn answer<T>(result: Result<T, Status>, otherwise: &str) -> Response {
    match result {
        Ok(_) => Redirect::to("/").into_response(),
        Err(status) => refusal(&status, otherwise),
    }
}

/// The first decision counts, and it may have been somebody else's: then the person must know.
fn decided(id: &str, accept: bool, trial: Trial) -> Response {
    let rejected = trial.state() == TrialState::Rejected;
    if rejected == accept {
        let text = format!(
            "Somebody else decided first: {} was {}. {}",
            id,
            if rejected { "rejected" } else { "accepted" },
            trial.decision
        );
        return message(StatusCode::CONFLICT, "Already decided", text.trim_end());
    }
    Redirect::to("/#inbox").into_response()
}

fn missing(what: &str) -> Response {
    message(StatusCode::UNPROCESSABLE_ENTITY, "Something is missing", &format!("Nothing was done. Please say {what}."))
}

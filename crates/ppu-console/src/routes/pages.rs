//! Pages for reading. None of them needs a script.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ppu_proto::lab::v1::{Campaign, GetCampaignRequest, GetCountersRequest, GetCountersResponse, GetRunRequest};
use tokio::time::timeout;
use tonic::Status;

use super::actions::ANSWER_WITHIN;
use super::{message, page, refusal};
use crate::fragments::{self, Chrome, Fragment, Rendered, Topic, top};
use crate::live::chrome;
use crate::state::{Console, Known};
use crate::svg::standalone;
use crate::view::campaign::{self, csv};
use crate::view::counters;
use crate::view::plots::{Scale, plots};
use crate::view::runs::file_name;

type Shared = State<Arc<Console>>;

/// A page made of fragments.
#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    title: String,
    topic: String,
    chrome: Chrome,
    topbar: Rendered,
    layout: Layout,
    /// Whether the lab was ever reached.
    reached: bool,
}

/// How the fragments of a page are laid out.
enum Layout {
    Overview { cards: Vec<Rendered>, parts: HashMap<String, Rendered> },
    Column(Vec<Rendered>),
    Resume,
}

impl Page {
    fn part(&self, id: &str) -> Option<&Rendered> {
        match &self.layout {
            Layout::Overview { parts, .. } => parts.get(id),
            _ => None,
        }
    }
}

pub(super) async fn overview(State(console): Shared) -> Response {
    serve(&console, "Overview", Topic::Overview, None)
}

pub(super) async fn events(State(console): Shared) -> Response {
    serve(&console, "Events", Topic::Events, None)
}

pub(super) async fn counters(State(console): Shared) -> Response {
    match asked_counters(&console).await {
        Ok(found) => {
            let fragment = Fragment::Counters(Box::new(counters::counters(&found)));
            serve(&console, "Counters", Topic::Plain, Some(fragment))
        }
        Err(status) => refusal(&status, "Cannot show the counters"),
    }
}

/// The counters as the lab gives them now.
pub(super) async fn asked_counters(console: &Console) -> Result<GetCountersResponse, Status> {
    let mut client = console.client();
    let answer = timeout(ANSWER_WITHIN, client.get_counters(GetCountersRequest {})).await;
    Ok(answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the scheduler does not answer")))?.into_inner())
}

pub(super) async fn stop(State(console): Shared) -> Response {
    serve(&console, "Stop", Topic::Stop, None)
}

/// The second step of leaving the stop: a form that asks what was checked.
pub(super) async fn resume(State(console): Shared) -> Response {
    let known = console.known();
    let chrome = chrome(&console, &known);
    match top(&known).render(&chrome) {
        Ok(topbar) => page(&Page {
            title: "Resume".into(),
            topic: Topic::Plain.name(),
            reached: known.lab.is_some(),
            chrome,
            topbar,
            layout: Layout::Resume,
        }),
        Err(error) => failed(&error),
    }
}

pub(super) async fn campaign(State(console): Shared, Path(id): Path<String>) -> Response {
    match find_campaign(&console, &id).await {
        Ok(found) => {
            let fragment = Fragment::CampaignPage(Box::new(campaign::page(&found)));
            serve(&console, &found.title, Topic::Campaign(id), Some(fragment))
        }
        Err(status) => refusal(&status, &format!("Cannot show campaign {id}")),
    }
}

pub(super) async fn trials_csv(State(console): Shared, Path(id): Path<String>) -> Response {
    match find_campaign(&console, &id).await {
        Ok(found) => file("text/csv; charset=utf-8", &format!("{}-trials.csv", file_name(&id)), csv(&found)),
        Err(status) => refusal(&status, &format!("Cannot export campaign {id}")),
    }
}

pub(super) async fn plot(State(console): Shared, Path((id, name)): Path<(String, String)>) -> Response {
    let found = match find_campaign(&console, &id).await {
        Ok(found) => found,
        Err(status) => return refusal(&status, &format!("Cannot draw campaign {id}")),
    };
    let wanted = name.strip_suffix(".svg").unwrap_or(&name);
    match plots(&found, Scale::Large).into_iter().find(|plot| plot.name == wanted) {
        Some(plot) => {
            file("image/svg+xml", &format!("{}-{}.svg", file_name(&id), file_name(wanted)), standalone(&plot.svg))
        }
        None => message(StatusCode::NOT_FOUND, "Not found", &format!("Campaign {id} has no plot {wanted}.")),
    }
}

pub(super) async fn run(State(console): Shared, Path(id): Path<String>) -> Response {
    let mut client = console.client();
    let answer = timeout(ANSWER_WITHIN, client.get_run(GetRunRequest { run: id.clone() })).await;
    let found = match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded(""))) {
        Ok(answer) => answer.into_inner().run,
        Err(status) => return refusal(&status, &format!("Cannot show run {id}")),
    };
    match found {
        Some(found) => {
            let fragment = fragments::run(&found, &console.known());
            serve(&console, &format!("Run {id}"), Topic::Run(id), Some(fragment))
        }
        None => message(StatusCode::NOT_FOUND, "Not found", &format!("The lab knows no run {id}.")),
    }
}

/// The campaign of the snapshot, or else of the lab.
async fn find_campaign(console: &Console, id: &str) -> Result<Campaign, Status> {
    let known = console.known();
    let fresh = known.lost.is_none();
    if let Some(found) = known.lab.iter().flat_map(|lab| &lab.campaigns).find(|campaign| campaign.id == id) {
        return Ok(found.clone());
    }
    if !fresh {
        return Err(Status::unavailable("the scheduler is away"));
    }
    let mut client = console.client();
    let answer = timeout(ANSWER_WITHIN, client.get_campaign(GetCampaignRequest { campaign: id.into() })).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded(""))??.into_inner();
    answer.campaign.ok_or_else(|| Status::not_found("the lab does not know it"))
}

/// The page of a topic; `fragment` replaces what the snapshot gives.
fn serve(console: &Console, title: &str, topic: Topic, fragment: Option<Fragment>) -> Response {
    let known = console.known();
    let chrome = chrome(console, &known);
    match lay_out(&known, &chrome, &topic, fragment) {
        Ok((topbar, layout)) => page(&Page {
            title: title.into(),
            topic: topic.name(),
            reached: known.lab.is_some(),
            chrome,
            topbar,
            layout,
        }),
        Err(error) => failed(&error),
    }
}

fn lay_out(
    known: &Known,
    chrome: &Chrome,
    topic: &Topic,
    fragment: Option<Fragment>,
) -> Result<(Rendered, Layout), askama::Error> {
    let topbar = top(known).render(chrome)?;
    let fragments = fragment.map_or_else(|| topic.fragments(known), |fragment| vec![fragment]);
    let rendered = fragments.iter().map(|fragment| fragment.render(chrome)).collect::<Result<Vec<_>, _>>()?;
    if *topic != Topic::Overview {
        return Ok((topbar, Layout::Column(rendered)));
    }
    let (cards, parts): (Vec<Rendered>, Vec<Rendered>) =
        rendered.into_iter().partition(|part| part.id.starts_with("card-"));
    let parts = parts.into_iter().map(|part| (part.id.clone(), part)).collect();
    Ok((topbar, Layout::Overview { cards, parts }))
}

fn file(kind: &'static str, name: &str, body: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body).into_response()
}

fn failed(error: &askama::Error) -> Response {
    tracing::error!(%error, "cannot render a page");
    (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.").into_response()
}

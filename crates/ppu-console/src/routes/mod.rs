//! What the console answers.

mod actions;
mod api;
mod artifacts;
mod assets;
mod pages;
mod socket;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use tonic::{Code, Status};

use crate::feed::reason;
use crate::security::HEADERS;
use crate::state::Console;

/// No form of the console is longer than this.
const LARGEST_FORM: usize = 64 << 10;

/// A page that only says something: why a request was not served, or what became of it.
#[derive(Debug, Template)]
#[template(path = "message.html")]
struct Message {
    title: String,
    text: String,
    /// Whether to show it as something that went wrong.
    bad: bool,
}

/// Every route of the console.
pub(crate) fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/events", get(pages::events))
        .route("/campaigns/{id}", get(pages::campaign))
        .route("/campaigns/{id}/trials.csv", get(pages::trials_csv))
        .route("/campaigns/{id}/plots/{name}", get(pages::plot))
        .route("/campaigns/{id}/stop", post(actions::stop_campaign))
        .route("/campaigns/{id}/limit", post(actions::limit))
        .route("/campaigns/{id}/pin", post(actions::pin))
        .route("/runs/{id}", get(pages::run))
        .route("/artifacts/{hash}/{name}", get(artifacts::download))
        .route("/stop", get(pages::stop).post(actions::stop_all))
        .route("/pause", post(actions::pause))
        .route("/resume", get(pages::resume).post(actions::resume))
        .route("/decide", post(actions::decide))
        .route("/doubts", post(actions::resolve))
        .route("/devices/{id}/clear", post(actions::clear))
        .route("/samples/{id}/locate", post(actions::locate))
        .route("/runs/{id}/stop", post(actions::stop_run))
        .route("/api/v1/lab", get(api::lab))
        .route("/counters", get(pages::counters))
        .route("/metrics", get(api::metrics))
        .route("/healthz", get(api::healthz))
        .route("/ws", get(socket::open))
        .route("/assets/{*path}", get(assets::file))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), guard))
        .with_state(console)
}

/// Checks a request before any route sees it, and sets the headers of every answer.
async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let websocket = request.uri().path() == "/ws" || request.headers().contains_key(header::UPGRADE);
    let mut response = match console.security.check(request.method(), websocket, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(forbidden) => {
            tracing::warn!(method = %request.method(), path = request.uri().path(), %forbidden, "refused a request");
            message(StatusCode::FORBIDDEN, "Refused", &format!("Nothing was done: {forbidden}."))
        }
    };
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "Not found", "There is no such page.")
}

/// A page that says something.
fn message(status: StatusCode, title: &str, text: &str) -> Response {
    let bad = !status.is_success();
    (status, page(&Message { title: title.into(), text: text.into(), bad })).into_response()
}

/// A page that says why the scheduler did not do what was asked.
fn refusal(status: &Status, what: &str) -> Response {
    let (code, title) = match status.code() {
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "Not accepted"),
        Code::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => (StatusCode::CONFLICT, "Not possible now"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Scheduler unreachable"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "No answer"),
        _ => (StatusCode::BAD_GATEWAY, "Failed"),
    };
    message(code, title, &format!("{what}: {}.", reason(status).trim_end_matches('.')))
}

/// A rendered template; a template that fails is an error of ours and says so.
fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot render a page");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.").into_response()
        }
    }
}

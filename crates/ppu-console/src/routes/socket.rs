//! One WebSocket a tab: everything on the page once, then what changes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::fragments::Topic;
use crate::live::everything;
use crate::state::Console;

/// A browser that takes nothing for this long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Browsers send nothing that matters.
const LARGEST_MESSAGE: usize = 1 << 10;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    topic: String,
}

pub(super) async fn open(
    State(console): State<Arc<Console>>,
    Query(wanted): Query<Wanted>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let topic = Topic::parse(&wanted.topic);
    upgrade.max_message_size(LARGEST_MESSAGE).on_upgrade(move |socket| serve(console, topic, socket))
}

async fn serve(console: Arc<Console>, topic: Topic, mut socket: WebSocket) {
    // Subscribed before the first rendering, so that no change falls between.
    let mut updates = console.updates.subscribe();
    let mut text = everything(&console, &topic, false);
    loop {
        match timeout(SEND_WITHIN, socket.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            _ => return,
        }
        text = loop {
            tokio::select! {
                update = updates.recv() => match update {
                    Ok(update) => break update.message(&topic),
                    // Too slow for the updates: it gets the whole page again instead of being cut off.
                    Err(RecvError::Lagged(_)) => break everything(&console, &topic, true),
                    Err(RecvError::Closed) => return,
                },
                received = socket.recv() => match received {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
            }
        };
    }
}

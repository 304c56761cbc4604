//! Raw data, streamed from the scheduler, which verifies the hash while it reads.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use ppu_proto::lab::v1::ReadArtifactRequest;
use tokio::time::timeout;
use tonic::Status;

use super::actions::ANSWER_WITHIN;
use super::{message, refusal};
use crate::state::Console;
use crate::view::runs::file_name;

pub(super) async fn download(
    State(console): State<Arc<Console>>,
    Path((hash, name)): Path<(String, String)>,
) -> Response {
    let Some(bytes) = parse_hash(&hash) else {
        return message(StatusCode::BAD_REQUEST, "Not accepted", "A hash has 64 hexadecimal digits.");
    };
    let mut client = console.client();
    let opened = timeout(ANSWER_WITHIN, async {
        let mut pieces = client.read_artifact(ReadArtifactRequest { hash: bytes }).await?.into_inner();
        // The first piece comes before the answer, so that an unknown hash is still answered as such.
        let first = pieces.message().await?;
        Ok((first, pieces))
    });
    let (first, pieces) = match opened.await.unwrap_or_else(|_| Err(Status::deadline_exceeded(""))) {
        Ok(opened) => opened,
        Err(status) => return refusal(&status, &format!("Cannot read artifact {hash}")),
    };
    let rest = stream::try_unfold(pieces, |mut pieces| async move {
        let piece = pieces.message().await?;
        Ok::<_, Status>(piece.map(|piece| (piece.chunk, pieces)))
    });
    let first = stream::iter(first.map(|piece| Ok(piece.chunk)));
    let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
    let headers = [
        // Never a type that a browser would open in the console's origin.
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", file_name(&name))),
        (header::CACHE_CONTROL, "private, immutable, max-age=31536000".to_owned()),
    ];
    (headers, body).into_response()
}

fn parse_hash(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|index| u8::from_str_radix(&text[index..index + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_32_bytes() {
        assert_eq!(parse_hash(&"0f".repeat(32)), Some(vec![15; 32]));
        assert_eq!(parse_hash(&"0g".repeat(32)), None);
        assert_eq!(parse_hash("0f"), None);
    }
}

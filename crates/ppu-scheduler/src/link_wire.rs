//! Between the engine's types and the messages of the driver protocol.

use ppu_core::{ArtifactHash, AttemptState, PositionId};
use ppu_engine::event::{ArtifactRef, Outcome, Verdict};
use ppu_engine::state::Intent;
use ppu_proto::convert::{ConversionError, arguments_from_wire, arguments_to_wire};
use ppu_proto::{common::v1 as common, device::v1 as wire};

/// The command that an intent asks for.
pub(crate) fn command(intent: &Intent) -> wire::Command {
    wire::Command {
        capability: intent.capability.clone(),
        command: intent.command.clone(),
        arguments: arguments_to_wire(&intent.arguments),
        sample: intent.sample.as_ref().map(ToString::to_string).unwrap_or_default(),
        positions: intent.positions.iter().map(ToString::to_string).collect(),
    }
}

/// W3C trace context of a step: the run is the trace, the attempt is the span, so that records of both processes can be
/// joined without any collector.
pub(crate) fn traceparent(intent: &Intent) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trace = blake3::hash(intent.key.step.parts().0.as_bytes());
    let span = blake3::hash(intent.key.to_string().as_bytes());
    format!("00-{}-{}-01", hex(&trace.as_bytes()[..16]), hex(&span.as_bytes()[..8]))
}

/// An outcome as the driver tells it.
pub(crate) fn outcome(outcome: &wire::Outcome) -> Result<Outcome, ConversionError> {
    let position = match outcome.sample_position.as_str() {
        "" => None,
        text => Some(PositionId::new(text).map_err(|e| ConversionError::new("sample_position", e.to_string()))?),
    };
    Ok(Outcome {
        state: AttemptState::try_from(outcome.state())?,
        results: arguments_from_wire(&outcome.results)?,
        artifacts: outcome.artifacts.iter().map(artifact).collect::<Result<_, _>>()?,
        message: outcome.message.clone(),
        code: outcome.code.clone(),
        sample_position: position,
    })
}

fn artifact(artifact: &common::Artifact) -> Result<ArtifactRef, ConversionError> {
    let hash =
        ArtifactHash::from_slice(&artifact.hash).map_err(|e| ConversionError::new("artifact.hash", e.to_string()))?;
    Ok(ArtifactRef { hash, name: artifact.name.clone(), media_type: artifact.media_type.clone(), size: artifact.size })
}

/// Raw data as the API tells it.
pub(crate) fn artifact_to_wire(artifact: &ArtifactRef) -> common::Artifact {
    common::Artifact {
        hash: artifact.hash.as_bytes().to_vec(),
        name: artifact.name.clone(),
        media_type: artifact.media_type.clone(),
        size: artifact.size,
    }
}

/// A verdict from the wire.
pub(crate) fn verdict(verdict: wire::Verdict) -> Result<Verdict, ConversionError> {
    match verdict {
        wire::Verdict::Done => Ok(Verdict::Done),
        wire::Verdict::NotDone => Ok(Verdict::NotDone),
        wire::Verdict::Scrapped => Ok(Verdict::Scrapped),
        wire::Verdict::Unspecified => Err(ConversionError::new("verdict", "it is missing")),
    }
}

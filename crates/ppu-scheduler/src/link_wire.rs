//! Between the engine's types and the messages of the driver protocol.

use ppu_core::{ArtifactHash, AttemptState, CommandKey, DeviceId, PositionId};
use ppu_engine::event::{ArtifactRef, INSTRUMENT, Outcome, Resolution, Verdict};
use ppu_engine::state::Intent;
use ppu_engine::{Input, InventoryLine, State};
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
        sample_in_doubt: outcome.sample_in_doubt,
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

/// The Attach of this scheduler: with what the journal knows of the ledger, so that one that has lost its memory is found
/// out before anything is sent (row 18), and with the ledgers that a person has retired (REL-14).
pub(crate) fn attach(state: &State, device: &DeviceId, epoch: u64, scheduler: String) -> wire::AttachRequest {
    let Some(known) = state.devices.get(device) else {
        return wire::AttachRequest { epoch, scheduler, ..Default::default() };
    };
    let (_, boot_nonce) = &known.boot;
    let witness = wire::LedgerWitness {
        ledger_id: bytes(&known.ledger_id),
        boot_nonce: bytes(boot_nonce),
        dseq: known.last_dseq,
    };
    let retired =
        known.retired.iter().map(|(id, reason)| wire::RetiredLedger { ledger_id: bytes(id), reason: reason.clone() });
    let is_known = !known.ledger_id.is_empty();
    wire::AttachRequest { epoch, scheduler, known: is_known.then_some(witness), retired: retired.collect() }
}

/// What the driver answered to it.
pub(crate) fn attached(device: &DeviceId, attached: &wire::Attached, inventory: Vec<InventoryLine>) -> Input {
    Input::Attached {
        device: device.clone(),
        boot: attached.boot,
        ledger_id: hex(&attached.ledger_id),
        boot_nonce: hex(&attached.boot_nonce),
        last_dseq: attached.last_dseq,
        memory_doubt: attached.memory_doubt.clone(),
        aborted: attached.device_state() == wire::DeviceState::Aborted,
        inventory,
    }
}

/// What must be true right before an intended command begins, as its device announced it.
pub(crate) fn preconditions(state: &State, intent: &Intent) -> Vec<ppu_proto::capability::v1::Requirement> {
    state.spec_of(intent).map(|spec| spec.requires.iter().map(Into::into).collect()).unwrap_or_default()
}

/// The verdict behind the state of a resolved attempt.
pub(crate) fn verdict_of(state: AttemptState) -> Option<Verdict> {
    match state {
        AttemptState::ResolvedDone => Some(Verdict::Done),
        AttemptState::ResolvedNotDone => Some(Verdict::NotDone),
        AttemptState::ResolvedScrapped => Some(Verdict::Scrapped),
        _ => None,
    }
}

/// A doubt that the device itself has settled.
pub(crate) fn proven(key: CommandKey, verdict: Verdict, proof: String, sample_position: Option<PositionId>) -> Input {
    let resolution = Resolution {
        who: INSTRUMENT.to_owned(),
        inspected: "the instrument, when it answered again".to_owned(),
        evidence: Vec::new(),
        note: proof,
        countersigned_by: None,
    };
    Input::Resolved { key, verdict, resolution, sample_position }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits that this process wrote itself; none for anything else.
fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok());
    pairs.collect::<Option<_>>().unwrap_or_default()
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

/// Whether what became of a doubt at its driver is what the verdict says, or else what the driver holds.
pub(crate) fn agrees(verdict: wire::Verdict, became: wire::AttemptState) -> Result<(), String> {
    use wire::AttemptState as State;
    let agrees = match verdict {
        wire::Verdict::Done => matches!(became, State::ResolvedDone | State::Succeeded),
        wire::Verdict::NotDone => matches!(became, State::ResolvedNotDone | State::FailedNoEffect),
        wire::Verdict::Scrapped => became == State::ResolvedScrapped,
        wire::Verdict::Unspecified => false,
    };
    let held =
        ppu_core::AttemptState::try_from(became).map_or_else(|_| "unknown".to_owned(), |state| state.to_string());
    if agrees { Ok(()) } else { Err(format!("it holds another verdict already: {held}")) }
}

#[cfg(test)]
mod verdict_tests {
    use super::*;

    #[test]
    fn a_second_verdict_must_be_the_one_that_the_driver_holds() {
        use wire::{AttemptState as State, Verdict};
        assert_eq!(agrees(Verdict::NotDone, State::ResolvedNotDone), Ok(()));
        assert_eq!(agrees(Verdict::Done, State::Succeeded), Ok(()));
        assert_eq!(agrees(Verdict::Scrapped, State::ResolvedScrapped), Ok(()));
        for held in [State::ResolvedDone, State::ResolvedScrapped, State::InDoubt] {
            assert!(agrees(Verdict::NotDone, held).is_err(), "{held:?}");
        }
        let refused = agrees(Verdict::NotDone, State::ResolvedScrapped).unwrap_err();
        assert_eq!(refused, "it holds another verdict already: resolved as scrapped");
    }
}

//! The judgement on a request: reads, decides nothing by itself, writes nothing.

use ppu_core::{ActionClass, AttemptState, CommandKey, CommandSpec, Manifest, PositionId, SampleId};
use ppu_proto::convert;
use ppu_proto::device::v1 as wire;
use ppu_proto::digest;

use super::shared::Shared;
use crate::clock;
use crate::instrument::Request;
use crate::ledger::{Attempt, LedgerState};

/// A command larger than this cannot be meant; records of the ledger hold at most 64 KiB.
const LARGEST_COMMAND: usize = 32 * 1024;

pub(super) fn refused(reason: wire::RefusalReason, message: impl Into<String>) -> wire::Refused {
    wire::Refused { reason: reason.into(), message: message.into(), conflict: None }
}

pub(super) fn conflict(key: &CommandKey, state: AttemptState) -> wire::Refused {
    let message = format!("{key} is {state}");
    wire::Refused { reason: wire::RefusalReason::Conflict.into(), message, conflict: Some(key.into()) }
}

/// The fence (REL-2): an older epoch, or a session that is not the current one.
pub(super) fn fence(shared: &Shared, state: &LedgerState, epoch: u64, session: &[u8]) -> Result<(), wire::Refused> {
    if epoch < state.max_epoch {
        let message = format!("epoch {epoch} is older than {}", state.max_epoch);
        return Err(refused(wire::RefusalReason::Fenced, message));
    }
    if !shared.gate().is_current(session) {
        return Err(refused(wire::RefusalReason::StaleSession, "another session is the current one"));
    }
    Ok(())
}

/// What to answer to Execute.
pub(super) enum Judgement {
    /// The key is known: nothing is done (REL-4).
    Known(wire::AttemptRecord),
    /// It may be promised.
    Accept(Box<wire::Command>),
}

/// The checks of Execute, in the order of the protocol.
pub(super) fn judge(
    shared: &Shared,
    state: &LedgerState,
    request: &wire::ExecuteRequest,
) -> Result<Judgement, wire::Refused> {
    use wire::RefusalReason as Reason;
    fence(shared, state, request.epoch, &request.session)?;
    let key = convert::key(request.key.as_ref()).map_err(|error| refused(Reason::Invalid, error.to_string()))?;
    if state.void_since(&key.step).is_some() || state.is_closed(key.step.parts().0) {
        return Err(refused(Reason::Void, format!("the step {} is void or its run is closed", key.step)));
    }
    let command = request.command.as_ref().ok_or_else(|| refused(Reason::Invalid, "the command is missing"))?;
    if digest::of(command)[..] != request.digest[..] {
        return Err(refused(Reason::DigestMismatch, format!("the digest of {key} is not that of its command")));
    }
    if let Some(known) = state.attempt(&key) {
        if known.digest != request.digest {
            // Two commands under one key are a fault of the scheduler that a person must hear of (REL-4).
            tracing::error!(command_id = %key, "the key is known with other arguments");
            return Err(refused(Reason::DigestMismatch, format!("{key} is known with other arguments")));
        }
        return Ok(Judgement::Known(known.to_wire()));
    }
    // REL-5: one live attempt a step, and the next one only after the last proved to be without effect.
    if let Some(other) =
        state.attempts_of(&key.step).find(|other| other.key.attempt > key.attempt || !other.state.allows_next_attempt())
    {
        return Err(conflict(&other.key, other.state));
    }
    // One command at a time; a doubt blocks its device (REL-11).
    if let Some(other) = state.live() {
        return Err(conflict(&other.key, other.state));
    }
    if request.start_before_ns != 0 && clock::boot_ns() >= request.start_before_ns {
        return Err(refused(Reason::Late, "the deadline for the start has passed"));
    }
    if let Some(why) = shared.degraded() {
        return Err(refused(Reason::Degraded, why));
    }
    if prost::Message::encoded_len(command) > LARGEST_COMMAND {
        return Err(refused(Reason::Invalid, format!("the command has more than {LARGEST_COMMAND} bytes")));
    }
    match instrument_request(&shared.manifest, &key, command) {
        Ok(_) => Ok(Judgement::Accept(Box::new(command.clone()))),
        Err(message) => Err(refused(Reason::Invalid, message)),
    }
}

/// A request that was taken from the ledger, and its class.
pub(crate) struct StoredRequest {
    pub(crate) request: Request,
    pub(crate) class: ActionClass,
}

/// The request of an attempt in the ledger, checked once more: a driver with another manifest may have been started since.
pub(crate) fn stored_request(manifest: &Manifest, attempt: &Attempt) -> Result<StoredRequest, String> {
    let (request, spec) = instrument_request(manifest, &attempt.key, &attempt.command)?;
    Ok(StoredRequest { request, class: spec.class })
}

/// The request as the instrument gets it, checked against the manifest, or what is wrong with it.
fn instrument_request<'a>(
    manifest: &'a Manifest,
    key: &CommandKey,
    command: &wire::Command,
) -> Result<(Request, &'a CommandSpec), String> {
    let name = || format!("{}.{}", command.capability, command.command);
    let spec = manifest
        .command(&command.capability, &command.command)
        .ok_or_else(|| format!("the device has no command {}", name()))?;
    let arguments = convert::arguments_from_wire(&command.arguments).map_err(|error| error.to_string())?;
    let arguments = spec
        .check(&arguments)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let sample = match command.sample.as_str() {
        "" if spec.needs_sample => return Err(format!("{} needs a sample", name())),
        "" => None,
        text => Some(SampleId::new(text).map_err(|error| error.to_string())?),
    };
    let positions = command.positions.iter().map(|text| PositionId::new(text.as_str()));
    let request = Request {
        key: key.to_string(),
        capability: command.capability.clone(),
        command: command.command.clone(),
        arguments,
        sample,
        positions: positions.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
    };
    Ok((request, spec))
}

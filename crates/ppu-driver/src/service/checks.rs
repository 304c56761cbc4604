//! The judgement on a request: reads, writes nothing. The rules are those of [`ppu_core::admission`]; here they meet the
//! messages of the wire.

use ppu_core::admission::{self, Admission, Fence, Offer, Refusal};
use ppu_core::capability::Requirement;
use ppu_core::{ActionClass, AttemptState, CommandKey, CommandSpec, Manifest, PositionId, SampleId};
use ppu_proto::convert;
use ppu_proto::device::v1 as wire;
use ppu_proto::digest;

use super::shared::Shared;
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
    admission::fence(epoch, state.max_epoch, shared.gate().is_current(session)).map_err(|fence| match fence {
        Fence::OlderEpoch => {
            refused(wire::RefusalReason::Fenced, format!("epoch {epoch} is older than {}", state.max_epoch))
        }
        Fence::StaleSession => refused(wire::RefusalReason::StaleSession, "another session is the current one"),
    })
}

/// What to answer to Execute.
pub(super) enum Judgement {
    /// The key is known: nothing is done (REL-4).
    Known(wire::AttemptRecord),
    /// It may be promised.
    Accept(Box<wire::Command>),
}

/// The checks of Execute, in the order of the protocol; [`admission::admit`] has the rules.
pub(super) fn judge(
    shared: &Shared,
    state: &LedgerState,
    request: &wire::ExecuteRequest,
) -> Result<Judgement, wire::Refused> {
    use wire::RefusalReason as Reason;
    fence(shared, state, request.epoch, &request.session)?;
    let key = convert::key(request.key.as_ref()).map_err(|error| refused(Reason::Invalid, error.to_string()))?;
    let degraded = shared.degraded();
    let offer = Offer {
        step: &key.step,
        attempt: key.attempt,
        digest: &request.digest,
        digest_fits: request.command.as_ref().is_some_and(|command| digest::of(command)[..] == request.digest[..]),
        late: request.start_before_ns != 0 && shared.options.host.boot_ns() >= request.start_before_ns,
        degraded: degraded.is_some(),
    };
    let missing = || refused(Reason::Invalid, "the command is missing");
    match admission::admit(state, &offer) {
        Ok(Admission::Known(attempt)) => Ok(Judgement::Known(attempt.to_wire())),
        Ok(Admission::Accept) => {
            let command = request.command.as_ref().ok_or_else(missing)?;
            if prost::Message::encoded_len(command) > LARGEST_COMMAND {
                return Err(refused(Reason::Invalid, format!("the command has more than {LARGEST_COMMAND} bytes")));
            }
            for precondition in &request.preconditions {
                Requirement::try_from(precondition).map_err(|error| refused(Reason::Invalid, error.to_string()))?;
            }
            match instrument_request(&shared.manifest, &key, command) {
                Ok(_) => Ok(Judgement::Accept(Box::new(command.clone()))),
                Err(message) => Err(refused(Reason::Invalid, message)),
            }
        }
        Err(Refusal::Void) => Err(refused(Reason::Void, format!("the step {} is void or its run is closed", key.step))),
        Err(Refusal::DigestDoesNotFit) if request.command.is_none() => Err(missing()),
        Err(Refusal::DigestDoesNotFit) => {
            Err(refused(Reason::DigestMismatch, format!("the digest of {key} is not that of its command")))
        }
        Err(Refusal::OtherArguments) => {
            // Two commands under one key are a fault of the scheduler that a person must hear of (REL-4).
            tracing::error!(command_id = %key, "the key is known with other arguments");
            Err(refused(Reason::DigestMismatch, format!("{key} is known with other arguments")))
        }
        Err(Refusal::Conflict(other)) => Err(conflict(&other.key, other.state)),
        Err(Refusal::Late) => Err(refused(Reason::Late, "the deadline for the start has passed")),
        Err(Refusal::Degraded) => Err(refused(Reason::Degraded, degraded.unwrap_or_default())),
    }
}

/// A request that was taken from the ledger, and its class.
pub(crate) struct StoredRequest {
    pub(crate) request: Request,
    pub(crate) class: ActionClass,
    /// What must be true right before it begins.
    pub(crate) requires: Vec<Requirement>,
}

/// The request of an attempt in the ledger, checked once more: a driver with another manifest may have been started since.
pub(crate) fn stored_request(manifest: &Manifest, attempt: &Attempt) -> Result<StoredRequest, String> {
    let (request, spec) = instrument_request(manifest, &attempt.key, &attempt.command)?;
    let mut requires = spec.requires.clone();
    for precondition in &attempt.preconditions {
        requires.push(precondition.try_into().map_err(|error: ppu_proto::ConversionError| error.to_string())?);
    }
    Ok(StoredRequest { request, class: spec.class, requires })
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

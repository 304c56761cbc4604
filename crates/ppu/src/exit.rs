//! Exit codes, and errors as people read them.

use std::sync::Arc;

use ppu_store::DiskFailure;

pub(crate) const FAILURE: u8 = 1;
pub(crate) const NOT_FOUND: u8 = 3;
pub(crate) const INVALID: u8 = 4;
pub(crate) const DENIED: u8 = 5;
pub(crate) const UNREACHABLE: u8 = 6;
pub(crate) const PLAN_FAILED: u8 = 7;
pub(crate) const TIMEOUT: u8 = 8;
/// A disk that failed: the process ends so that nothing is acknowledged that is not on it (LOG-4); sysexits calls it EX_IOERR.
pub(crate) const DISK_FAILED: u8 = 74;
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with the exit code that scripts see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Coded {
    pub(crate) code: u8,
    pub(crate) message: String,
}

/// An error with a code of its own.
pub(crate) fn coded(code: u8, message: impl Into<String>) -> anyhow::Error {
    Coded { code, message: message.into() }.into()
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if let Some(coded) = error.downcast_ref::<Coded>() {
        return coded.code;
    }
    if error.downcast_ref::<ppu_core::Problems>().is_some() {
        return INVALID;
    }
    if error.chain().any(|cause| cause.is::<DiskFailure>() || cause.is::<Arc<DiskFailure>>()) {
        return DISK_FAILED;
    }
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return match status.code() {
            tonic::Code::NotFound => NOT_FOUND,
            tonic::Code::InvalidArgument => INVALID,
            tonic::Code::PermissionDenied | tonic::Code::FailedPrecondition => DENIED,
            tonic::Code::Unavailable => UNREACHABLE,
            tonic::Code::DeadlineExceeded => TIMEOUT,
            _ => FAILURE,
        };
    }
    if error.downcast_ref::<tonic::transport::Error>().is_some() { UNREACHABLE } else { FAILURE }
}

/// What went wrong and why, each cause once, without the wrapping of a status.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = match cause.downcast_ref::<tonic::Status>() {
            Some(status) => status.message().to_owned(),
            None => cause.to_string(),
        };
        if !text.is_empty() && parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

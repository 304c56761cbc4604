//! How the instruments answered STOP ALL.

use ppu_proto::device::v1::DeviceState;
use ppu_proto::lab::v1::{DeviceStop, GetLabResponse};

use super::when::When;
use super::words::{self, Icon, StateView, Tone};

/// What is known of the last STOP ALL.
#[derive(Debug, Clone, PartialEq)]
pub struct StopReport {
    /// When it was asked for, Unix milliseconds.
    pub asked_ms: i64,
    /// When the answer came, Unix milliseconds.
    pub answered_ms: i64,
    /// Who asked.
    pub who: String,
    /// The answers, or why there are none.
    pub answer: Result<Vec<DeviceStop>, String>,
}

/// The report as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct StopView {
    /// When it was asked for.
    pub asked: When,
    /// How long the answer took, such as "0.8 s".
    pub took: String,
    /// Who asked.
    pub who: String,
    /// Why there is no answer; empty when there is one.
    pub error: String,
    /// "5 confirmed, 1 unconfirmed, 1 unreachable".
    pub summary: String,
    /// Whether every instrument confirmed.
    pub complete: bool,
    /// One row an instrument, the worst first.
    pub rows: Vec<StopRow>,
}

/// One instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct StopRow {
    /// Its id.
    pub device: String,
    /// Confirmed, unconfirmed or unreachable.
    pub answer: StateView,
    /// What it said.
    pub message: String,
    /// What the lab sees of it now; absent when the lab does not know it.
    pub present: Option<StateView>,
    /// When the answer was complete.
    pub time: When,
}

const CONFIRMED: StateView = StateView { word: "confirmed", icon: Icon::Check, tone: Tone::Quiet };
const UNCONFIRMED: StateView = StateView { word: "unconfirmed", icon: Icon::Triangle, tone: Tone::Attention };
const UNREACHABLE: StateView = StateView { word: "unreachable", icon: Icon::Broken, tone: Tone::Alarm };

/// The report with what the lab sees now beside it.
pub fn stop(report: &StopReport, lab: Option<&GetLabResponse>) -> StopView {
    let devices = report.answer.as_deref().unwrap_or(&[]);
    let mut rows: Vec<StopRow> = devices.iter().map(|device| row(device, report.answered_ms, lab)).collect();
    rows.sort_by_key(|row| match row.answer.tone {
        Tone::Alarm => 0,
        Tone::Attention => 1,
        _ => 2,
    });
    let count = |state: StateView| rows.iter().filter(|row| row.answer == state).count();
    let complete = !rows.is_empty() && count(CONFIRMED) == rows.len();
    StopView {
        asked: When(report.asked_ms),
        took: super::format::span(report.answered_ms - report.asked_ms),
        who: report.who.clone(),
        error: report.answer.as_ref().err().cloned().unwrap_or_default(),
        summary: format!(
            "{} confirmed, {} unconfirmed, {} unreachable",
            count(CONFIRMED),
            count(UNCONFIRMED),
            count(UNREACHABLE)
        ),
        complete,
        rows,
    }
}

fn row(stop: &DeviceStop, answered_ms: i64, lab: Option<&GetLabResponse>) -> StopRow {
    let present = lab.and_then(|lab| lab.devices.iter().find(|device| device.id == stop.device));
    StopRow {
        device: stop.device.clone(),
        answer: match (stop.reached, stop.confirmed) {
            (true, true) => CONFIRMED,
            (true, false) => UNCONFIRMED,
            (false, _) => UNREACHABLE,
        },
        message: stop.message.clone(),
        present: present.map(|device| words::device(DeviceState::try_from(device.state).unwrap_or_default())),
        time: When(answered_ms),
    }
}

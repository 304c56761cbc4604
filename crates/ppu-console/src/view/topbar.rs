//! The bar at the top of every page, and what needs a response.

use ppu_proto::device::v1::DeviceState;
use ppu_proto::lab::v1::{GetLabResponse, LabState, RunState};

use super::format::number;
use super::inbox::approvals;
use super::words::{self, StateView};

/// The state of the lab, as of the last contact.
#[derive(Debug, Clone, PartialEq)]
pub struct TopbarView {
    /// Name of the lab.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Whether the instruments are simulated.
    pub simulated: bool,
    /// "60 × time" where lab time does not run as fast as ours; empty otherwise.
    pub rate: String,
    /// State.
    pub state: StateView,
    /// Why it is paused or stopped.
    pub reason: String,
    /// Conditions that need a response, without the doubts.
    pub alarms: usize,
    /// Steps in doubt.
    pub doubts: usize,
    /// Trials that wait for a decision.
    pub approvals: usize,
    /// Whether steps start.
    pub running: bool,
    /// Whether everything was told to stop: leaving that takes two steps.
    pub stopped: bool,
}

/// A condition that needs a person's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionView {
    /// Where: a device or a run.
    pub subject: String,
    /// Page that shows the cause.
    pub link: String,
    /// What is the matter, where more is known than the state.
    pub text: String,
    /// What to do.
    pub response: &'static str,
    /// How urgent.
    pub state: StateView,
}

/// The top bar.
pub fn topbar(lab: &GetLabResponse) -> TopbarView {
    let rate = lab.clock_rate;
    TopbarView {
        name: lab.name.clone(),
        title: lab.title.clone(),
        simulated: lab.simulated,
        rate: if rate > 0.0 && (rate - 1.0).abs() > 1e-6 { format!("{} × time", number(rate)) } else { String::new() },
        state: words::lab(lab.state()),
        reason: lab.state_reason.clone(),
        alarms: conditions(lab).len(),
        doubts: lab.doubts.len(),
        approvals: approvals(lab).len(),
        running: lab.state() == LabState::Running,
        stopped: lab.state() == LabState::Stopped,
    }
}

/// What needs a response now: devices that cannot be used and runs that wait for a person. An alarm is a condition that
/// requires an operator's response (ISA-18.2); everything else is an event. Doubts have a list of their own.
pub fn conditions(lab: &GetLabResponse) -> Vec<ConditionView> {
    let devices = lab.devices.iter().filter_map(|device| {
        let state = words::device(device.state());
        let response = match device.state() {
            DeviceState::Unreachable => "Check power and cable of the instrument, and that its driver runs.",
            DeviceState::Aborted => "Inspect the instrument, clear it, then resume the lab.",
            DeviceState::Held => "Look at the instrument: it stopped for a cause of its own and can go on.",
            _ if !device.problem.is_empty() => "Mend the cause; the lab uses the instrument again by itself.",
            _ => return None,
        };
        let (subject, text) = (device.id.clone(), device.problem.clone());
        Some(ConditionView { subject, link: format!("/#card-{}", device.id), text, response, state })
    });
    let runs = lab.active_runs.iter().filter(|run| run.state() == RunState::Held).map(|run| ConditionView {
        subject: run.id.clone(),
        link: format!("/runs/{}", run.id),
        text: run.message.clone(),
        response: "Open the run and see what it waits for.",
        state: words::run(run.state()),
    });
    devices.chain(runs).collect()
}

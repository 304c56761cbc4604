//! A plan: the protocol filled in for one sample. An immutable graph of steps with no choices left except which equal
//! device and when. Here it is checked against the lab before anything moves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::capability::{ArgumentError, CommandSpec};
use crate::ids::{DeviceId, PositionId};
use crate::lab::LabModel;
use crate::problem::{Problem, Problems, nearest};
use crate::value::Arguments;

/// The capability that moves samples; plans name destinations and the scheduler fills in where from.
pub const TRANSFER: (&str, &str) = ("transfer", "move");

/// What a set of steps holds together from its first to its last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseSpec {
    /// Its name in the plan.
    pub name: String,
    /// These devices, all of them.
    pub devices: Vec<DeviceId>,
    /// And any one device with this capability, chosen when the lease is granted.
    pub capability: Option<String>,
    /// And these positions beside the sample positions of its devices.
    pub positions: Vec<PositionId>,
    /// Line in the protocol file.
    pub line: Option<usize>,
}

/// Where a sample is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A named position.
    Position(PositionId),
    /// The sample position of the device that this lease chose.
    DeviceOf(String),
    /// The position where the sample stood when the run began, which stays reserved for it.
    Home,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// One command of a capability.
    Command {
        /// The capability.
        capability: String,
        /// The verb.
        command: String,
        /// This device and no other; otherwise one from the step's leases, otherwise any with the capability.
        device: Option<DeviceId>,
        /// Arguments as written, not yet checked against the device.
        arguments: Arguments,
    },
    /// The run's sample is moved.
    Transfer {
        /// Destination.
        to: Place,
    },
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, unique in the plan.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Steps that must be done before.
    pub after: Vec<String>,
    /// Leases that must be held.
    pub leases: Vec<String>,
    /// What it does.
    pub action: StepAction,
    /// Whether it is done even after another step has failed: putting the sample back, rinsing. It then waits only for
    /// those of its predecessors that still happen.
    pub cleanup: bool,
    /// Line in the protocol file.
    pub line: Option<usize>,
}

/// The protocol filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the protocol.
    pub protocol: String,
    /// The file it came from, for messages.
    pub file: String,
    /// The parameters that it was filled in with.
    pub parameters: BTreeMap<String, f64>,
    /// Whether it works on a sample.
    pub needs_sample: bool,
    /// Leases by name.
    pub leases: Vec<LeaseSpec>,
    /// Steps, each after the steps it needs wherever the file was written so.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The lease of that name.
    pub fn lease(&self, name: &str) -> Option<&LeaseSpec> {
        self.leases.iter().find(|lease| lease.name == name)
    }

    /// Everything that a step rests on, directly or not.
    fn ancestors<'a>(&'a self, step: &'a Step) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = step.after.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name)
                && let Some(step) = self.step(name)
            {
                open.extend(step.after.iter().map(String::as_str));
            }
        }
        found
    }

    /// The devices that may carry out a command step, given what the lab announces.
    pub fn eligible<'l>(&self, step: &Step, lab: &'l LabModel) -> Vec<&'l DeviceId> {
        let (capability, fixed) = match &step.action {
            StepAction::Command { capability, device, .. } => (capability.as_str(), device.as_ref()),
            StepAction::Transfer { .. } => (TRANSFER.0, None),
        };
        let leased: Vec<&DeviceId> =
            step.leases.iter().filter_map(|name| self.lease(name)).flat_map(|l| &l.devices).collect();
        let able = || lab.devices.iter().filter(|device| device.provides(capability)).map(|device| &device.id);
        match fixed {
            Some(fixed) => able().filter(|id| *id == fixed).collect(),
            None => {
                let among: Vec<_> = able().filter(|id| leased.contains(id)).collect();
                if among.is_empty() { able().collect() } else { among }
            }
        }
    }

    /// Checks the plan against the lab: everything that can be known to be wrong before anything moves.
    pub fn check(&self, lab: &LabModel) -> Result<(), Problems> {
        let mut found = Vec::new();
        self.check_names(&mut found);
        self.check_cycles(&mut found);
        for lease in &self.leases {
            self.check_lease(lease, lab, &mut found);
        }
        for step in &self.steps {
            match &step.action {
                StepAction::Command { .. } => self.check_command(step, lab, &mut found),
                StepAction::Transfer { to } => self.check_transfer(step, to, lab, &mut found),
            }
        }
        Problems::or(found, ())
    }

    fn problem(&self, step: &Step, field: &str, message: String, cure: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: step.line,
            subject: format!("step \"{}\"", step.name),
            field: field.to_owned(),
            message,
            cure: cure.into(),
        }
    }

    fn check_names(&self, found: &mut Vec<Problem>) {
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            if !seen.insert(step.name.as_str()) {
                found.push(self.problem(
                    step,
                    "name",
                    format!("another step is called \"{}\" already", step.name),
                    "give each step a name of its own",
                ));
            }
            for name in &step.after {
                if self.step(name).is_none() {
                    let cure = match nearest(name, self.steps.iter().map(|step| step.name.as_str())) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "name a step of this protocol".to_owned(),
                    };
                    found.push(self.problem(step, "after", format!("there is no step \"{name}\""), cure));
                }
            }
            for name in step.leases.iter().filter(|name| self.lease(name).is_none()) {
                let known: Vec<_> = self.leases.iter().map(|lease| lease.name.as_str()).collect();
                found.push(self.problem(
                    step,
                    "leases",
                    format!("there is no lease \"{name}\""),
                    format!("declare it with [[lease]], or use one of: {}", known.join(", ")),
                ));
            }
        }
    }

    fn check_cycles(&self, found: &mut Vec<Problem>) {
        let in_cycle: Vec<&Step> =
            self.steps.iter().filter(|step| self.ancestors(step).contains(step.name.as_str())).collect();
        if let Some(first) = in_cycle.first() {
            let names: Vec<_> = in_cycle.iter().map(|step| step.name.as_str()).collect();
            found.push(self.problem(
                first,
                "after",
                format!("these steps wait for each other: {}", names.join(", ")),
                "remove one of the `after` entries so that the plan can begin and end",
            ));
        }
    }

    fn check_lease(&self, lease: &LeaseSpec, lab: &LabModel, found: &mut Vec<Problem>) {
        let problem = |field: &str, message: String, cure: String| Problem {
            file: self.file.clone(),
            line: lease.line,
            subject: format!("lease \"{}\"", lease.name),
            field: field.to_owned(),
            message,
            cure,
        };
        for device in lease.devices.iter().filter(|id| lab.device(id).is_none()) {
            found.push(problem(
                "devices",
                format!("the lab has no device \"{device}\""),
                lab.device_cure(device.as_str()),
            ));
        }
        if let Some(capability) = lease.capability.as_deref().filter(|c| !lab.devices.iter().any(|d| d.provides(c))) {
            found.push(problem(
                "capability",
                format!("no device of this lab has the capability \"{capability}\""),
                lab.capability_cure(capability),
            ));
        }
        for position in lease.positions.iter().filter(|id| !lab.positions.contains(*id)) {
            found.push(problem(
                "positions",
                format!("the lab has no position \"{position}\""),
                lab.position_cure(position.as_str()),
            ));
        }
    }

    fn check_command(&self, step: &Step, lab: &LabModel, found: &mut Vec<Problem>) {
        let StepAction::Command { capability, command, device, arguments } = &step.action else { return };
        if let Some(id) = device
            && lab.device(id).is_none()
        {
            found.push(self.problem(
                step,
                "device",
                format!("the lab has no device \"{id}\""),
                lab.device_cure(id.as_str()),
            ));
            return;
        }
        let eligible = self.eligible(step, lab);
        if eligible.is_empty() {
            let who =
                device.as_ref().map_or("no device of this lab has".to_owned(), |id| format!("\"{id}\" does not have"));
            found.push(self.problem(
                step,
                "command",
                format!("{who} the capability \"{capability}\""),
                lab.capability_cure(capability),
            ));
            return;
        }
        for device in eligible.iter().filter_map(|id| lab.device(id)) {
            let Some(manifest) = &device.manifest else { continue };
            let Some(spec) = manifest.command(capability, command) else {
                let known: Vec<_> = manifest
                    .capabilities
                    .iter()
                    .filter(|c| &c.name == capability)
                    .flat_map(|c| c.commands.iter().map(|command| command.name.as_str()))
                    .collect();
                found.push(self.problem(
                    step,
                    "command",
                    format!("\"{}\" has no command \"{capability}.{command}\"", device.id),
                    format!("{capability} has: {}", known.join(", ")),
                ));
                break;
            };
            if let Err(errors) = spec.check(arguments) {
                for error in errors {
                    let field = format!("args.{}", error.argument());
                    found.push(self.problem(step, &field, error.to_string(), argument_cure(&error, spec, &device.id)));
                }
                break;
            }
            if spec.needs_sample && !self.sample_is_brought(step, device.sample_position.as_ref()) {
                found.push(self.problem(
                    step,
                    "transfer_to",
                    format!("no earlier step brings the sample to \"{}\"", device.id),
                    "add a step with `transfer_to` before it",
                ));
                break;
            }
        }
    }

    /// Whether an earlier transfer leads to this position, or to the device of one of the step's leases.
    fn sample_is_brought(&self, step: &Step, position: Option<&PositionId>) -> bool {
        self.ancestors(step).into_iter().filter_map(|name| self.step(name)).any(|earlier| match &earlier.action {
            StepAction::Transfer { to: Place::Position(to) } => Some(to) == position,
            StepAction::Transfer { to: Place::DeviceOf(lease) } => step.leases.contains(lease),
            _ => false,
        })
    }

    fn check_transfer(&self, step: &Step, to: &Place, lab: &LabModel, found: &mut Vec<Problem>) {
        if !lab.devices.iter().any(|device| device.provides(TRANSFER.0)) {
            found.push(self.problem(
                step,
                "transfer_to",
                "no device of this lab moves samples".to_owned(),
                lab.capability_cure(TRANSFER.0),
            ));
        }
        match to {
            Place::Position(position) if !lab.positions.contains(position) => found.push(self.problem(
                step,
                "transfer_to",
                format!("the lab has no position \"{position}\""),
                lab.position_cure(position.as_str()),
            )),
            Place::DeviceOf(lease) if !step.leases.contains(lease) => found.push(self.problem(
                step,
                "transfer_to",
                format!("the step goes to the device of lease \"{lease}\" without holding it"),
                format!("add \"{lease}\" to the step's `leases`"),
            )),
            _ => {}
        }
    }
}

/// What to do about an argument that does not fit.
fn argument_cure(error: &ArgumentError, spec: &CommandSpec, device: &DeviceId) -> String {
    let about = spec.arguments.iter().find(|argument| argument.name == error.argument());
    let about = about.map_or(spec.description.as_str(), |argument| argument.description.as_str());
    match error {
        ArgumentError::Unknown { name, .. } => {
            match nearest(name, spec.arguments.iter().map(|argument| argument.name.as_str())) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("remove it; \"{device}\" says of the command: {about}"),
            }
        }
        ArgumentError::Missing { .. } => format!("add it to `args`; \"{device}\" says of it: {about}"),
        ArgumentError::Kind { .. } => {
            format!(
                "the end of a key says the unit, as in `volume_ul` or `duration_min`; \"{device}\" says of it: {about}"
            )
        }
        ArgumentError::Range { .. } => format!("these are the limits of \"{device}\"; it says: {about}"),
    }
}

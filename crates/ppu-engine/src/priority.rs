//! Which ready step goes first.

use ppu_core::{Plan, StepAction, plan};
use ppu_timetable::{Job, Machine, Mode, Operation, Problem};

use crate::state::State;

/// Seconds that a step usually takes, as its device announces; a movement where nobody announced any takes as long as
/// the slowest arm of the lab is known to need.
fn typical_s(plan: &Plan, index: usize, state: &State) -> f64 {
    let (capability, command) = match &plan.steps[index].action {
        StepAction::Command { capability, command, .. } => (capability.as_str(), command.as_str()),
        StepAction::Transfer { .. } => plan::TRANSFER,
    };
    state
        .devices
        .values()
        .filter_map(|device| device.manifest.as_ref()?.command(capability, command))
        .map(|spec| spec.typical_s)
        .fold(0.0, f64::max)
}

/// The longest path in seconds from the begin of each step to the end of the plan; zeros for a plan with a cycle, which
/// the check refuses anyway.
pub(crate) fn ranks(plan: &Plan, state: &State) -> Vec<f64> {
    let order = topological(plan);
    let place = |index: usize| order.iter().position(|other| *other == index);
    let operation = |index: &usize| {
        let step = &plan.steps[*index];
        let after = step.after.iter().filter_map(|name| plan.steps.iter().position(|step| &step.name == name));
        let ticks = (typical_s(plan, *index, state) * TICKS_PER_S).round().max(1.0);
        Operation {
            name: step.name.clone(),
            modes: vec![Mode { machine: 0, duration: ticks as u64 }],
            after: after.filter_map(place).collect(),
            held_until: None,
        }
    };
    let job = Job { name: plan.protocol.clone(), release: 0, operations: order.iter().map(operation).collect() };
    let machine = Machine { name: "any".to_owned(), available_from: 0 };
    let problem = Problem { machines: vec![machine], jobs: vec![job], transport: Vec::new(), carrier: None };
    let mut ranks = vec![0.0; plan.steps.len()];
    if let Ok(found) = ppu_timetable::ranks(&problem) {
        for (index, ticks) in order.iter().zip(&found[0]) {
            ranks[*index] = *ticks as f64 / TICKS_PER_S;
        }
    }
    ranks
}

/// A tenth of a second is finer than any announced duration.
const TICKS_PER_S: f64 = 10.0;

/// Indices of the steps, each after those it waits for; steps of a cycle are left out.
fn topological(plan: &Plan) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(plan.steps.len());
    loop {
        let placed = |name: &String| order.iter().any(|index| &plan.steps[*index].name == name);
        let ready = |index: &usize| !order.contains(index) && plan.steps[*index].after.iter().all(placed);
        match (0..plan.steps.len()).find(ready) {
            Some(index) => order.push(index),
            None => return order,
        }
    }
}

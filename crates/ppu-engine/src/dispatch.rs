//! Which step goes to which device now. A step starts when everything it waits for is done, its leases are held, its
//! device is free and its sample stands where the command needs it.

use std::sync::Arc;

use ppu_core::plan::LeaseSpec;
use ppu_core::{Arguments, CommandKey, DeviceId, Place, PositionId, RunId, Step, StepAction, StepId, plan};

use crate::event::Event;
use crate::lifecycle::{LeaseState, RunState, StepState};
use crate::settle::skip;
use crate::state::{Device, Lease, Run, State};

/// The next lease to grant, step to begin or step to skip.
pub(crate) fn next(state: &State) -> Option<Event> {
    for (id, run) in state.live().filter(|(_, run)| run.state == RunState::Running) {
        let mut ready: Vec<usize> = (0..run.steps.len()).filter(|index| is_ready(run, *index)).collect();
        // What has the longest way to go behind it goes first; equal ones in the order of the plan.
        ready.sort_by(|a, b| run.ranks[*b].total_cmp(&run.ranks[*a]));
        if let Some(event) = ready.into_iter().find_map(|index| Attempt { state, id, run, index }.next()) {
            return Some(event);
        }
    }
    None
}

fn is_ready(run: &Run, index: usize) -> bool {
    let step = &run.plan.steps[index];
    let settled = |name: &String| {
        run.index(name).is_some_and(|before| {
            let before = &run.steps[before];
            before.state.is_over() && (before.achieved || step.cleanup)
        })
    };
    let waits = run.steps[index].state == StepState::Waiting && run.steps[index].void_wanted.is_none();
    waits && step.after.iter().all(settled)
}

/// One ready step that looks for its place in the lab.
struct Attempt<'a> {
    state: &'a State,
    id: &'a RunId,
    run: &'a Arc<Run>,
    index: usize,
}

impl Attempt<'_> {
    fn step(&self) -> &Step {
        &self.run.plan.steps[self.index]
    }

    fn next(&self) -> Option<Event> {
        if let Some(event) = self.next_lease() {
            return event;
        }
        match &self.step().action {
            StepAction::Transfer { to } => self.transfer(to),
            StepAction::Command { capability, command, device, arguments } => {
                self.command(capability, command, device.as_ref(), arguments)
            }
        }
    }

    /// `None` when every lease is held, `Some(None)` when one is not to be had now, else the next grant. Leases of one
    /// step are granted together or not at all, so that two runs cannot each hold half of what both need.
    fn next_lease(&self) -> Option<Option<Event>> {
        let missing: Vec<&LeaseSpec> = self
            .step()
            .leases
            .iter()
            .filter(|name| self.run.leases.get(*name).is_none_or(|lease| lease.state != LeaseState::Granted))
            .filter_map(|name| self.run.plan.lease(name))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let mut grants: Vec<(String, Lease)> = Vec::new();
        for spec in missing {
            match self.grant(spec, &grants) {
                Some(lease) => grants.push((spec.name.clone(), lease)),
                None => return Some(None),
            }
        }
        let (lease, granted) = grants.into_iter().next()?;
        let Lease { devices, positions, fencing, .. } = granted;
        Some(Some(Event::LeaseGranted { run: self.id.clone(), lease, devices, positions, fencing }))
    }

    fn grant(&self, spec: &LeaseSpec, also: &[(String, Lease)]) -> Option<Lease> {
        let taken = |id: &DeviceId| also.iter().any(|(_, lease)| lease.devices.contains(id));
        let mut devices = spec.devices.clone();
        if let Some(capability) = &spec.capability {
            // Of equal devices the one that worked least, so that wear and load even out.
            let (chosen, _) = self
                .state
                .devices
                .iter()
                .filter(|(id, device)| provides(device, capability) && !taken(id) && self.is_free(device))
                .filter(|(_, device)| device.sample_position.as_ref().is_none_or(|position| self.is_open(position)))
                .min_by_key(|(_, device)| device.busy_total_ms)?;
            devices.push(chosen.clone());
        }
        let mut positions = spec.positions.clone();
        for id in &devices {
            let device = self.state.devices.get(id)?;
            if taken(id) || !self.is_free(device) {
                return None;
            }
            positions.extend(device.sample_position.clone());
        }
        let open = |position: &PositionId| {
            self.is_open(position) && !also.iter().any(|(_, lease)| lease.positions.contains(position))
        };
        if !positions.iter().all(open) {
            return None;
        }
        Some(Lease { state: LeaseState::Granted, devices, positions, fencing: self.state.fencing + 1 })
    }

    /// Whether a device can be had: it may start something and is not held by another run.
    fn is_free(&self, device: &Device) -> bool {
        device.lease.as_ref().is_none_or(|(run, _)| run == self.id) && self.state.may_start(device)
    }

    /// The device that was told of this step before. Another one may not be without a tombstone there (REL-6), so the
    /// next attempt goes to the same.
    fn bound_to(&self) -> Option<&DeviceId> {
        let step = &self.run.steps[self.index];
        step.device.as_ref().filter(|_| step.attempts > 0)
    }

    fn skip(&self, reason: &str) -> Event {
        skip(self.id, self.run, self.index, reason)
    }

    /// Whether this run may put its sample on a position or claim it: nobody else's sample, lease or home is there, and
    /// no sample that nobody knows the place of was last on its way to it.
    fn is_open(&self, position: &PositionId) -> bool {
        let ours = |id| self.run.sample.as_ref() == Some(id);
        let occupied = self.state.occupant(position).is_some_and(|id| !ours(id));
        let claimed = self.state.live().any(|(id, run)| {
            id != self.id
                && (run.home.as_ref() == Some(position)
                    || run.leases.values().any(|l| l.state == LeaseState::Granted && l.positions.contains(position))
                    || run.steps.iter().any(|step| {
                        step.state.is_live() && step.intent.as_ref().is_some_and(|i| i.positions.contains(position))
                    }))
        });
        let maybe_there =
            self.state.samples.iter().any(|(id, sample)| !ours(id) && sample.may_be_at.contains(position));
        !occupied && !claimed && !maybe_there
    }

    fn sample_position(&self) -> Option<&PositionId> {
        self.state.samples.get(self.run.sample.as_ref()?)?.position.as_ref()
    }

    fn transfer(&self, to: &Place) -> Option<Event> {
        let to = match to {
            Place::Position(position) => Some(position),
            Place::Home => self.run.home.as_ref(),
            Place::DeviceOf(lease) => self.leased_position(lease),
        };
        let Some(to) = to else {
            return Some(self.skip("the destination has no position for a sample"));
        };
        let Some(from) = self.sample_position() else {
            return Some(self.skip("nobody knows where the sample is"));
        };
        if from == to {
            let reason = format!("the sample stands at {to} already");
            return Some(match self.skip(&reason) {
                Event::StepSkipped { step, reason, .. } => Event::StepSkipped { step, achieved: true, reason },
                tombstone_first => tombstone_first,
            });
        }
        if !self.is_open(to) {
            return None;
        }
        let (capability, command) = plan::TRANSFER;
        let may_do = |id: &DeviceId, device: &Device| {
            provides(device, capability) && self.is_free(device) && self.bound_to().is_none_or(|bound| bound == id)
        };
        let (device, _) = self.state.devices.iter().find(|(id, device)| may_do(id, device))?;
        // The machine that the sample leaves or enters must not be at work, unless the step holds it.
        let at_work = |position: &PositionId| {
            self.state
                .devices
                .values()
                .any(|device| device.sample_position.as_ref() == Some(position) && device.busy.is_some())
        };
        if at_work(from) || at_work(to) {
            return None;
        }
        Some(self.intend(device, capability, command, Arguments::new(), vec![from.clone(), to.clone()]))
    }

    /// The sample position of the device that a lease chose.
    fn leased_position(&self, lease: &str) -> Option<&PositionId> {
        let chosen = self.run.leases.get(lease)?.devices.last()?;
        self.state.devices.get(chosen)?.sample_position.as_ref()
    }

    fn command(
        &self,
        capability: &str,
        command: &str,
        fixed: Option<&DeviceId>,
        arguments: &Arguments,
    ) -> Option<Event> {
        let held = |id: &DeviceId| {
            self.step()
                .leases
                .iter()
                .any(|name| self.run.leases.get(name).is_some_and(|lease| lease.devices.contains(id)))
        };
        let able: Vec<&DeviceId> =
            self.state.devices.iter().filter(|(_, device)| provides(device, capability)).map(|(id, _)| id).collect();
        let among_held: Vec<&DeviceId> = able.iter().copied().filter(|id| held(id)).collect();
        let choice = match fixed.or(self.bound_to()) {
            Some(fixed) => vec![fixed],
            None if !among_held.is_empty() => among_held,
            None => able,
        };
        let free = |id: &&DeviceId| self.state.devices.get(*id).is_some_and(|device| self.is_free(device));
        let id = choice.into_iter().find(free)?;
        let device = self.state.devices.get(id)?;
        let Some(spec) = device.manifest.as_ref().and_then(|manifest| manifest.command(capability, command)) else {
            return Some(self.skip(&format!("{id} no longer has the command {capability}.{command}")));
        };
        let checked = match spec.check(arguments) {
            Ok(checked) => checked,
            Err(errors) => {
                let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
                return Some(self.skip(&text.join("; ")));
            }
        };
        let mut positions = Vec::new();
        if spec.needs_sample {
            if self.sample_position() != device.sample_position.as_ref() || device.sample_position.is_none() {
                let place = self.sample_position().map_or("an unknown place".to_owned(), ToString::to_string);
                return Some(self.skip(&format!("the sample is at {place}, not in {id}")));
            }
            positions.extend(device.sample_position.clone());
        }
        Some(self.intend(id, capability, command, checked, positions))
    }

    fn intend(
        &self,
        device: &DeviceId,
        capability: &str,
        command: &str,
        arguments: Arguments,
        positions: Vec<PositionId>,
    ) -> Event {
        let step =
            StepId::of(self.id, &self.step().name).expect("step names are checked when the protocol is filled in");
        Event::StepIntended {
            key: CommandKey { step, attempt: self.run.steps[self.index].attempts + 1 },
            device: device.clone(),
            capability: capability.to_owned(),
            command: command.to_owned(),
            arguments,
            sample: self.run.sample.clone(),
            positions,
        }
    }
}

fn provides(device: &Device, capability: &str) -> bool {
    device.manifest.as_ref().is_some_and(|manifest| manifest.provides(capability))
}

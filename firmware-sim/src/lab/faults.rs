//! Putting faults into a running laboratory.

use serde_json::json;

use super::{Lab, LinkKind, LinkState};
use crate::fault::{Fault, FaultError, FaultParameters, Firing, Stage, default_delay_ms};
use crate::world::Cause;

/// Why a fault could not be put in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InjectError {
    /// No device has this name.
    #[error("there is no device {name:?}; there are: {known}")]
    UnknownDevice {
        /// The name that is not known.
        name: String,
        /// The names that are, separated by commas.
        known: String,
    },
    /// The device cannot show this fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

impl Lab {
    /// Arms a fault on a device; faults of stage [`Stage::AtOnce`] and [`Stage::Lasting`] take effect now.
    ///
    /// # Errors
    /// [`InjectError`] when device or fault do not exist; the message lists what there is.
    pub fn inject(&mut self, device: &str, name: &str, parameters: FaultParameters) -> Result<Fault, InjectError> {
        self.settle();
        let index = self.device_number(device)?;
        let detail = json!({ "phase": "armed", "parameters": parameters });
        let delay_ms = parameters.delay_ms;
        let fault = self.devices[index].faults.arm(name, parameters)?;
        let cause = Cause { device: device.to_owned(), frame: String::new(), command_id: None };
        self.world.ambient_event(&cause, fault.name(), detail);
        let delay_ms = delay_ms.unwrap_or_else(|| default_delay_ms(fault));
        match fault {
            Fault::Vanish => self.cut_line(index, delay_ms),
            Fault::Offline => self.devices[index].link_state.send_modify(|state| {
                *state = LinkState { generation: state.generation + 1, offline: true, reopen_after_ms: 0, ..*state };
            }),
            Fault::PortLocked => self.devices[index].link_state.send_modify(|state| state.locked = true),
            Fault::PowerCycle => {
                self.with_bench(index, |firmware, bench| firmware.power_cycle(bench));
                // A serial adapter stays on the bus when the instrument loses power; a socket does not survive it.
                if self.devices[index].link == LinkKind::Tcp {
                    self.cut_line(index, delay_ms);
                }
            }
            _ => self.with_bench(index, |firmware, bench| firmware.inject(fault, bench)),
        }
        if fault.stage() == Stage::AtOnce {
            self.record(index, fault, &Firing { delay_ms, frame: String::new() });
        }
        self.changed.notify_one();
        Ok(fault)
    }

    /// Disarms all faults of a device, or one of them. What a fault has already done stays done.
    ///
    /// # Errors
    /// [`InjectError`] when there is no such device, or `name` is no fault.
    pub fn clear_faults(&mut self, device: &str, name: Option<&str>) -> Result<(), InjectError> {
        self.settle();
        let index = self.device_number(device)?;
        let kind = self.devices[index].firmware.kind();
        let fault = match name {
            None => None,
            Some(name) => Some(Fault::named(name).filter(|fault| fault.applies_to(kind)).ok_or_else(|| {
                FaultError::UnknownFault {
                    device: device.to_owned(),
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    known: Fault::names_for(kind).join(", "),
                }
            })?),
        };
        self.devices[index].faults.clear(fault);
        let lasting = |fault| self.devices[index].faults.is_lasting(fault);
        let (offline, locked) = (lasting(Fault::Offline), lasting(Fault::PortLocked));
        self.devices[index].link_state.send_modify(|state| (state.offline, state.locked) = (offline, locked));
        let cause = Cause { device: device.to_owned(), frame: String::new(), command_id: None };
        let cleared = fault.map_or("all", Fault::name);
        self.world.ambient_event(&cause, "faults_cleared", json!({ "cleared": cleared }));
        self.changed.notify_one();
        Ok(())
    }

    /// The number of a device, from its name.
    ///
    /// # Errors
    /// [`InjectError::UnknownDevice`] lists the devices there are.
    pub fn device_number(&self, name: &str) -> Result<usize, InjectError> {
        self.devices.iter().position(|slot| slot.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.devices.iter().map(|slot| slot.name.as_str()).collect();
            InjectError::UnknownDevice { name: name.to_owned(), known: known.join(", ") }
        })
    }

    pub(super) fn record(&mut self, device: usize, fault: Fault, firing: &Firing) {
        let cause = Cause { device: self.devices[device].name.clone(), frame: firing.frame.clone(), command_id: None };
        let detail = json!({ "phase": "struck", "delay_ms": firing.delay_ms });
        self.world.ambient_event(&cause, fault.name(), detail);
    }

    fn cut_line(&mut self, device: usize, reopen_after_ms: u64) {
        self.devices[device].link_state.send_modify(|state| {
            *state = LinkState { generation: state.generation + 1, reopen_after_ms, ..*state };
        });
    }
}

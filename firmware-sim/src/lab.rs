//! The laboratory without I/O: all devices, the world behind them, and one clock.
//!
//! Everything goes through one `&mut Lab`, so events of different devices happen in the order of simulated time, however
//! fast the clock runs: a sample that the arm put down at 95 s is on the balance for a weighing at 96 s.

mod faults;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::device::{Bench, Firmware, Outgoing, Port, Session};
use crate::fault::line::{Chunk, ReplyMemory, garble, transmit};
use crate::fault::{Fault, FaultPlan};
use crate::world::{ByHandError, World};

pub use faults::InjectError;

/// More input than any instrument buffers: noise beyond it is forgotten.
const INPUT_LIMIT: usize = 64 * 1024;
/// Output that waits for a client that does not read; more is dropped, as a full transmit buffer does.
const OUTPUT_LIMIT: usize = 4096;
/// An event that does not move on in simulated time would hang the laboratory.
const EVENTS_AT_ONE_INSTANT: u32 = 10_000;

/// What a link writes for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmission {
    /// Wait, then write.
    Write(Chunk),
    /// Close the connection.
    Close,
}

/// How a device hangs on the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A pseudo-terminal with one endless session.
    Serial,
    /// TCP: one session a connection.
    Tcp,
}

/// What a link must do with its port. A new generation means: close everything, wait, open again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Counts how often the line was cut.
    pub generation: u64,
    /// Stay closed.
    pub offline: bool,
    /// Wall time to stay closed after the cut, in milliseconds.
    pub reopen_after_ms: u64,
    /// Another process holds the port: opening it exclusively fails.
    pub locked: bool,
}

struct Slot {
    name: String,
    link: LinkKind,
    firmware: Box<dyn Firmware>,
    faults: FaultPlan,
    executions: BTreeMap<String, u64>,
    link_state: watch::Sender<LinkState>,
}

struct Line {
    device: usize,
    session: Session,
    input: Vec<u8>,
    request: Vec<u8>,
    memory: ReplyMemory,
    output: mpsc::Sender<Transmission>,
}

/// All devices and their world.
pub struct Lab {
    world: World,
    clock: Clock,
    seed: u64,
    devices: Vec<Slot>,
    lines: BTreeMap<u64, Line>,
    next_session: u64,
    changed: Arc<Notify>,
}

impl Lab {
    /// A laboratory without devices.
    pub fn new(world: World, clock: Clock, seed: u64) -> Self {
        let (devices, lines) = (Vec::new(), BTreeMap::new());
        Self { world, clock, seed, devices, lines, next_session: 1, changed: Arc::new(Notify::new()) }
    }

    /// Adds a device and returns its number.
    pub fn add_device(&mut self, name: &str, link: LinkKind, mut firmware: Box<dyn Firmware>) -> usize {
        firmware.sense(&self.world, self.world.now_s());
        let faults = FaultPlan::new(firmware.kind(), name, self.seed);
        let (link_state, _) = watch::channel(LinkState::default());
        let executions = BTreeMap::new();
        self.devices.push(Slot { name: name.to_owned(), link, firmware, faults, executions, link_state });
        self.devices.len() - 1
    }

    /// The world, for tests and for the operator of the simulation.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Acts on the world directly, as nothing but a test may.
    #[cfg(test)]
    pub(crate) fn with_world(&mut self, act: impl FnOnce(&mut World)) {
        self.settle();
        act(&mut self.world);
        let now_s = self.world.now_s();
        for slot in &mut self.devices {
            slot.firmware.sense(&self.world, now_s);
        }
    }

    /// A person puts a sample somewhere else. The instruments sense it, and are told nothing.
    pub fn move_by_hand(&mut self, sample: &str, position: &str) -> Result<(), ByHandError> {
        self.settle();
        self.world.move_by_hand(sample, position)?;
        let now_s = self.world.now_s();
        for slot in &mut self.devices {
            slot.firmware.sense(&self.world, now_s);
        }
        self.changed.notify_one();
        Ok(())
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tells when the time of the next event may have changed.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Follows what the link of a device has to do.
    pub fn link_state(&self, device: usize) -> watch::Receiver<LinkState> {
        self.devices[device].link_state.subscribe()
    }

    /// Opens a session on a device; what the device sends arrives on the receiver.
    pub fn connect(&mut self, device: usize, port: Port) -> (Session, mpsc::Receiver<Transmission>) {
        self.settle();
        let session = Session { id: self.next_session, port };
        self.next_session += 1;
        let (output, receiver) = mpsc::channel(OUTPUT_LIMIT);
        let (input, request, memory) = (Vec::new(), Vec::new(), ReplyMemory::default());
        self.lines.insert(session.id, Line { device, session, input, request, memory, output });
        self.with_bench(device, |firmware, bench| firmware.connected(session, bench));
        self.changed.notify_one();
        (session, receiver)
    }

    /// Ends a session. Physical actions that were started go on.
    pub fn disconnect(&mut self, session: Session) {
        self.settle();
        if let Some(line) = self.lines.remove(&session.id) {
            self.with_bench(line.device, |firmware, bench| firmware.disconnected(session, bench));
        }
        self.changed.notify_one();
    }

    /// Bytes from a client.
    pub fn receive(&mut self, session: Session, bytes: &[u8]) {
        self.settle();
        let Some(line) = self.lines.get_mut(&session.id) else { return };
        let device = line.device;
        let slot = &mut self.devices[device];
        if slot.faults.is_lasting(Fault::Offline) {
            return;
        }
        if slot.faults.is_lasting(Fault::WrongLineSettings) {
            line.input.extend(garble(bytes));
        } else {
            line.input.extend_from_slice(bytes);
        }
        if line.input.len() > INPUT_LIMIT {
            tracing::warn!(device = slot.name, "input without a request in it is dropped");
            line.input.clear();
        }
        while let Some(request) = self.next_request(session, device) {
            if let Some(firing) = self.devices[device].faults.strike(Fault::LostRequest, &request) {
                self.with_bench(device, |_, bench| bench.record_fault(Fault::LostRequest, &firing));
                continue;
            }
            self.with_bench(device, |firmware, bench| firmware.execute(session, &request, bench));
        }
        self.changed.notify_one();
    }

    /// The line of a session has been silent for a while.
    pub fn line_idle(&mut self, session: Session) {
        if let Some(line) = self.lines.get_mut(&session.id)
            && !line.input.is_empty()
        {
            self.devices[line.device].firmware.line_idle(&mut line.input);
        }
    }

    /// Simulated time at which a device next does something by itself.
    pub fn next_event_s(&self) -> Option<f64> {
        self.devices.iter().filter_map(|slot| slot.firmware.next_event_s()).min_by(f64::total_cmp)
    }

    /// Lets everything happen that is due by now.
    pub fn settle(&mut self) {
        let now_s = self.clock.now_s();
        let (mut instant_s, mut repeats) = (f64::NEG_INFINITY, 0);
        while let Some((device, due_s)) = self.next_due(now_s) {
            let due_s = due_s.max(self.world.now_s());
            repeats = if due_s > instant_s { 0 } else { repeats + 1 };
            instant_s = due_s;
            if repeats > EVENTS_AT_ONE_INSTANT {
                tracing::error!(device = self.devices[device].name, due_s, "a device event does not move on");
                break;
            }
            self.world.advance_to(due_s);
            self.with_bench(device, |firmware, bench| firmware.advance(bench));
        }
        self.world.advance_to(now_s);
    }

    /// Executions of every device, by firmware command (SIM-1).
    pub fn executions(&self) -> Value {
        let entries = self.devices.iter().map(|slot| (slot.name.clone(), json!(slot.executions)));
        Value::Object(entries.collect())
    }

    /// State for the operator of the simulation.
    pub fn status(&mut self) -> Value {
        self.settle();
        let entries = self.devices.iter().map(|slot| {
            let status = json!({
                "kind": slot.firmware.kind(),
                "identity": slot.firmware.identity(),
                "faults": slot.faults.armed_names(),
                "executions": slot.executions,
                "state": slot.firmware.status(),
            });
            (slot.name.clone(), status)
        });
        let devices: serde_json::Map<String, Value> = entries.collect();
        json!({ "simulated_s": self.clock.now_s(), "speed": self.clock.speed(), "devices": devices })
    }

    fn next_request(&mut self, session: Session, device: usize) -> Option<Vec<u8>> {
        let line = self.lines.get_mut(&session.id)?;
        let request = self.devices[device].firmware.cut(session, &mut line.input)?;
        line.request.clone_from(&request);
        Some(request)
    }

    fn next_due(&self, now_s: f64) -> Option<(usize, f64)> {
        let due = self.devices.iter().enumerate();
        let due = due.filter_map(|(device, slot)| Some((device, slot.firmware.next_event_s()?)));
        due.filter(|(_, due_s)| *due_s <= now_s).min_by(|left, right| left.1.total_cmp(&right.1))
    }

    fn with_bench(&mut self, device: usize, act: impl FnOnce(&mut dyn Firmware, &mut Bench<'_>)) {
        let slot = &mut self.devices[device];
        let mut outbox = Vec::new();
        let now_s = self.world.now_s();
        let mut bench = Bench {
            now_s,
            world: &mut self.world,
            speed: self.clock.speed(),
            device: &slot.name,
            faults: &mut slot.faults,
            outbox: &mut outbox,
            executions: &mut slot.executions,
        };
        act(slot.firmware.as_mut(), &mut bench);
        for outgoing in outbox {
            self.deliver(device, outgoing);
        }
        for slot in &mut self.devices {
            slot.firmware.sense(&self.world, now_s);
        }
    }

    fn deliver(&mut self, device: usize, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Reply { session, bytes } => self.deliver_reply(device, session, bytes),
            Outgoing::Unsolicited { session: Some(session), bytes } => self.deliver_unasked(device, session.id, bytes),
            Outgoing::Unsolicited { session: None, bytes } => {
                let hearers = self.lines.values().filter(|line| line.device == device);
                let hearers: Vec<u64> =
                    hearers.filter(|line| line.session.port == Port::Main).map(|line| line.session.id).collect();
                for id in hearers {
                    self.deliver_unasked(device, id, bytes.clone());
                }
            }
            Outgoing::Close { session } => {
                if let Some(line) = self.lines.get(&session.id) {
                    send(&line.output, Transmission::Close, &self.devices[device].name);
                }
            }
        }
    }

    fn deliver_reply(&mut self, device: usize, session: Session, bytes: Vec<u8>) {
        let slot = &mut self.devices[device];
        let Some(line) = self.lines.get_mut(&session.id) else { return };
        let sent = transmit(&mut slot.faults, slot.firmware.as_ref(), &mut line.memory, &line.request, bytes);
        let unreadable = slot.faults.is_lasting(Fault::WrongLineSettings);
        for mut chunk in sent.chunks {
            if unreadable {
                chunk.bytes = garble(&chunk.bytes);
            }
            send(&line.output, Transmission::Write(chunk), &slot.name);
        }
        for (fault, firing) in sent.struck {
            self.record(device, fault, &firing);
        }
    }

    fn deliver_unasked(&mut self, device: usize, id: u64, bytes: Vec<u8>) {
        let slot = &self.devices[device];
        let Some(line) = self.lines.get(&id).filter(|_| !bytes.is_empty()) else { return };
        let bytes = if slot.faults.is_lasting(Fault::WrongLineSettings) { garble(&bytes) } else { bytes };
        send(&line.output, Transmission::Write(Chunk::now(bytes)), &slot.name);
    }
}

fn send(output: &mpsc::Sender<Transmission>, transmission: Transmission, device: &str) {
    if output.try_send(transmission).is_err() {
        tracing::debug!(device, "nobody takes the output of the device; it is dropped");
    }
}

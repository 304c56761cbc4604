//! What every simulated instrument is: a state machine over requests and simulated time, without any I/O.

use serde_json::Value;

use crate::fault::{Fault, FaultPlan, Firing};
use crate::world::{Cause, World};

/// One client on one port of a device. A serial port has a single, endless session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// Unique in the laboratory for as long as it runs.
    pub id: u64,
    /// Which port of the device it is on.
    pub port: Port,
}

/// The ports of a device; only the arm has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The port for commands.
    Main,
    /// The real-time data port of the robot (RTDE).
    RealTime,
}

/// Bytes that a device wants to send, before transport faults are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The answer to a request.
    Reply {
        /// Who asked.
        session: Session,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Something that nobody asked for: a banner, an event, a streamed value.
    Unsolicited {
        /// Who hears it; `None` means everybody who is connected to the main port.
        session: Option<Session>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The device closes the connection.
    Close {
        /// Whose connection.
        session: Session,
    },
}

/// What an instrument may touch while it handles a request or an instant of time.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Matter and physics, already integrated up to `now_s`.
    pub world: &'a mut World,
    /// Simulated seconds since start.
    pub now_s: f64,
    /// Simulated seconds a wall second; line deadlines are multiplied by it.
    pub speed: f64,
    /// Name of the device in the laboratory.
    pub device: &'a str,
    pub(crate) faults: &'a mut FaultPlan,
    pub(crate) outbox: &'a mut Vec<Outgoing>,
    pub(crate) executions: &'a mut std::collections::BTreeMap<String, u64>,
}

impl Bench<'_> {
    /// Answers a request.
    pub fn reply(&mut self, session: Session, bytes: impl Into<Vec<u8>>) {
        self.outbox.push(Outgoing::Reply { session, bytes: bytes.into() });
    }

    /// Sends something nobody asked for to one session, or to all on the main port.
    pub fn tell(&mut self, session: Option<Session>, bytes: impl Into<Vec<u8>>) {
        self.outbox.push(Outgoing::Unsolicited { session, bytes: bytes.into() });
    }

    /// Closes a connection from the device's side.
    pub fn close(&mut self, session: Session) {
        self.outbox.push(Outgoing::Close { session });
    }

    /// The cause of a physical action: the digest of the bytes that asked for it, and an id those bytes carry.
    pub fn cause(&self, frame: &[u8], command_id: Option<String>) -> Cause {
        Cause { device: self.device.to_owned(), frame: frame_digest(frame), command_id }
    }

    /// Counts one execution of a firmware command (SIM-1).
    pub fn count(&mut self, command: &str) {
        *self.executions.entry(command.to_owned()).or_insert(0) += 1;
    }

    /// Asks whether an injected fault strikes now; a strike uses it up and goes into the ledger.
    pub fn strike(&mut self, fault: Fault, request: &[u8]) -> Option<Firing> {
        let firing = self.faults.strike(fault, request)?;
        self.record_fault(fault, &firing);
        Some(firing)
    }

    /// True while a lasting condition (sensor break, local mode, …) is injected.
    pub fn lasting(&self, fault: Fault) -> bool {
        self.faults.is_lasting(fault)
    }

    pub(crate) fn record_fault(&mut self, fault: Fault, firing: &Firing) {
        let cause = Cause { device: self.device.to_owned(), frame: firing.frame.clone(), command_id: None };
        let detail = serde_json::json!({ "phase": "struck", "delay_ms": firing.delay_ms });
        self.world.ambient_event(&cause, fault.name(), detail);
    }
}

/// The firmware of one instrument. Implementations hold the whole state of the device, and no I/O.
pub trait Firmware: Send {
    /// The kind name used in the world file.
    fn kind(&self) -> &'static str;

    /// Serial number or name by which the device can be told to be simulated (SIM-2).
    fn identity(&self) -> String;

    /// Somebody connected; a greeting goes out here.
    fn connected(&mut self, _session: Session, _bench: &mut Bench<'_>) {}

    /// Somebody left.
    fn disconnected(&mut self, _session: Session, _bench: &mut Bench<'_>) {}

    /// Cuts the next complete request off the front of `input`, dropping what can never become one.
    fn cut(&mut self, session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>>;

    /// The line has been silent for a while with an incomplete request in `input`.
    fn line_idle(&mut self, _input: &mut Vec<u8>) {}

    /// Carries out one request.
    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>);

    /// When the device next does something by itself, in simulated seconds.
    fn next_event_s(&self) -> Option<f64>;

    /// Does what is due at `bench.now_s`; afterwards [`Firmware::next_event_s`] must lie later.
    fn advance(&mut self, bench: &mut Bench<'_>);

    /// Looks at what the device's own sensors see, after anything happened anywhere in the laboratory.
    fn sense(&mut self, _world: &World, _now_s: f64) {}

    /// Power off and on again: volatile state is lost.
    fn power_cycle(&mut self, bench: &mut Bench<'_>);

    /// Puts an injected condition into effect at once. Most faults strike later, by [`Bench::strike`].
    fn inject(&mut self, _fault: Fault, _bench: &mut Bench<'_>) {}

    /// What the device says of itself when the fault `unsolicited` strikes; empty when it never speaks unasked.
    fn unsolicited(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Spoils the checksum of a reply; false when the protocol has none.
    fn spoil_checksum(&self, _reply: &mut [u8]) -> bool {
        false
    }

    /// Gives a reply another station's address, with a valid checksum; false when the protocol has none.
    fn spoil_address(&self, _reply: &mut Vec<u8>) -> bool {
        false
    }

    /// Shortens the data of a reply, with a valid checksum; false when that means nothing here.
    fn shorten(&self, _reply: &mut Vec<u8>) -> bool {
        false
    }

    /// State for the operator of the simulation (never for a driver).
    fn status(&self) -> Value;
}

/// First 16 hexadecimal characters of the BLAKE3 digest of protocol bytes: enough to find a frame in a line capture.
pub fn frame_digest(frame: &[u8]) -> String {
    blake3::hash(frame).to_hex().as_str()[..16].to_owned()
}

//! Instruments of every action class, with lines that lose commands and replies.

use std::time::Duration;

use ppu_core::capability::{Expected, PropertySpec, Requirement};
use ppu_core::{ActionClass, CapabilitySpec, CommandSpec, Manifest, Unit, Value};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};
use ppu_host::Host as _;

use crate::host::{SimHost, now_ns};
use crate::world::World;

/// How long the line is waited for before it counts as silent.
const LINE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an action is looked at while it runs, in lab time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The property that says whether a sample stands in the device.
const OCCUPIED: &str = "occupied";

fn occupied() -> PropertySpec {
    let description = "Whether a sample stands in it.".to_owned();
    PropertySpec { name: OCCUPIED.to_owned(), unit: Unit::One, description }
}

fn has_sample() -> Requirement {
    Requirement {
        property: OCCUPIED.to_owned(),
        expected: Expected::Equals(Value::Flag(true)),
        otherwise: "no sample stands in it".to_owned(),
    }
}

/// What becomes of one command on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives and is answered.
    Well,
    /// It never arrives.
    CommandLost,
    /// It arrives, and the answer does not.
    ReplyLost,
    /// The instrument says no.
    Refused,
}

/// A simulated instrument behind the production driver kit.
#[derive(Debug)]
pub struct SimInstrument {
    /// Device id.
    pub device: String,
    /// Capability and verb.
    pub verb: (&'static str, &'static str),
    /// Class of the verb.
    pub class: ActionClass,
    /// Whether the verb works on a sample that stands in the device.
    pub needs_sample: bool,
    /// The world.
    pub world: World,
    /// The computer of the driver, for randomness only.
    pub host: SimHost,
    /// Chance that something goes wrong on the line with a command.
    pub line_trouble: f64,
    /// Lab seconds in a second.
    pub clock_rate: f64,
}

impl SimInstrument {
    /// A number from 0 to 1.
    fn draw(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.host.random()[..4].try_into().expect("four of sixteen bytes")))
            / 4_294_967_296.0
    }

    fn fate(&self) -> Fate {
        if let Some(machine) = self.world.nature().machines.get_mut(&self.device)
            && let Some(fate) = machine.next_fate.take()
        {
            return fate;
        }
        let (draw, trouble) = (self.draw(), self.line_trouble);
        match draw {
            draw if draw < trouble * 0.4 => Fate::CommandLost,
            draw if draw < trouble * 0.8 => Fate::ReplyLost,
            draw if draw < trouble => Fate::Refused,
            _ => Fate::Well,
        }
    }

    fn line_is_down(&self) -> bool {
        let nature = self.world.nature();
        nature.machines.get(&self.device).is_none_or(|machine| machine.line_down_until_ns > now_ns())
    }

    async fn silence(&self, message: &str) -> Fault {
        tokio::time::sleep(LINE_TIMEOUT).await;
        Fault::Silent { code: "E0201", message: message.to_owned() }
    }

    /// How long the action takes: 20 to 200 s of lab time, as process time in nanoseconds.
    fn span_ns(&self) -> u64 {
        ((20.0 + 180.0 * self.draw()) / self.clock_rate * 1e9) as u64
    }

    /// Stays until the action of that key has ended.
    async fn stay(&self, key: &str, attention: &Attention) -> Result<Done, Fault> {
        loop {
            if self.line_is_down() {
                return Err(self.silence("the line fell silent while it ran").await);
            }
            {
                let mut nature = self.world.nature();
                nature.advance(now_ns());
                let busy = nature.machines.get(&self.device).and_then(|machine| machine.busy.clone());
                match busy {
                    Some(busy) if busy.key == key => {
                        if attention.should_abort() {
                            nature.stop(&self.device);
                            return Err(Fault::Aborted { message: "stopped on request".to_owned() });
                        }
                    }
                    _ => return Ok(Done { message: "done".to_owned(), ..Done::default() }),
                }
            }
            attention.pause(LOOK_EVERY).await;
        }
    }
}

impl Instrument for SimInstrument {
    fn describe(&self) -> Manifest {
        let command = CommandSpec {
            name: self.verb.1.to_owned(),
            class: self.class,
            arguments: vec![],
            results: vec![],
            artifacts: false,
            needs_sample: self.needs_sample,
            typical_s: 60.0,
            description: "Acts.".to_owned(),
            hazardous: false,
            requires: if self.needs_sample { vec![has_sample()] } else { vec![] },
        };
        let capability = CapabilitySpec { name: self.verb.0.to_owned(), commands: vec![command] };
        Manifest {
            driver: "simulated".to_owned(),
            model: format!("{:?}", self.class),
            capabilities: vec![capability],
            properties: if self.needs_sample { vec![occupied()] } else { vec![] },
        }
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        if self.line_is_down() {
            return Err(self.silence("nothing comes back").await);
        }
        Ok(format!("SIM-{}", self.device))
    }

    async fn prepare(&mut self, _: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        if self.line_is_down() {
            return Err(self.silence("nothing comes back").await);
        }
        let mut nature = self.world.nature();
        nature.advance(now_ns());
        let Some(machine) = nature.machines.get(&self.device) else {
            return Err(Fault::Refused { code: "E0101", message: "no such machine".to_owned() });
        };
        if machine.busy.is_some() {
            return Err(Fault::Refused { code: "E0102", message: "it is still busy".to_owned() });
        }
        Ok(machine.counter.to_le_bytes().to_vec())
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let fate = self.fate();
        attention.telling();
        if self.line_is_down() || fate == Fate::CommandLost {
            return Err(self.silence("no acknowledgement came").await);
        }
        if fate == Fate::Refused {
            return Err(attention.nothing_happened("E0103", "it said no"));
        }
        let moves = match request.positions.as_slice() {
            [from, to] => Some((from.to_string(), to.to_string())),
            _ => None,
        };
        let span_ns = self.span_ns();
        if !self.world.nature().begin(&self.device, &request.key, moves, now_ns(), span_ns) {
            return Err(attention.nothing_happened("E0102", "it is still busy"));
        }
        if fate == Fate::ReplyLost {
            return Err(self.silence("no acknowledgement came").await);
        }
        self.stay(&request.key, attention).await
    }

    async fn recover(&mut self, request: &Request, snapshot: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        if self.line_is_down() {
            return Err(self.silence("nothing comes back").await);
        }
        if self.class == ActionClass::Unqueryable {
            return Ok(Recovered::Unknown("it keeps no record".to_owned()));
        }
        let mut nature = self.world.nature();
        nature.advance(now_ns());
        let Some(machine) = nature.machines.get(&self.device) else {
            return Ok(Recovered::Unknown("no such machine".to_owned()));
        };
        let before = <[u8; 8]>::try_from(snapshot).map(u64::from_le_bytes);
        Ok(match (before, &machine.busy) {
            (Ok(before), _) if before == machine.counter => Recovered::NeverStarted,
            // A counter cannot tell whose action it was when it moved by more than one.
            (Ok(before), Some(busy)) if before + 1 == machine.counter && busy.key == request.key => Recovered::Running,
            (Ok(before), None) if before + 1 == machine.counter => {
                Recovered::Finished(Ok(Done { message: "the counter moved".to_owned(), ..Done::default() }))
            }
            _ => Recovered::Unknown("its counter does not fit".to_owned()),
        })
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        self.stay(&request.key, attention).await
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        if self.line_is_down() {
            return Err(self.silence("nothing comes back").await);
        }
        if !self.needs_sample {
            return Ok(vec![]);
        }
        let is_there = self.world.nature().places.contains_key(&format!("{}.in", self.device));
        Ok(vec![Reading { name: OCCUPIED, value: Value::Flag(is_there) }])
    }

    async fn make_safe(&mut self, _: &str) -> Result<String, Fault> {
        if self.line_is_down() {
            return Err(self.silence("nothing comes back").await);
        }
        // What runs on without us is left alone; the rest stops.
        if !matches!(self.class, ActionClass::Continuing) {
            self.world.nature().stop(&self.device);
        }
        Ok("it stands still".to_owned())
    }
}

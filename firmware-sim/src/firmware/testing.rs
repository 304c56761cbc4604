//! One device on a manual clock, for tests at byte level.

use serde_json::Value;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::device::{Firmware, Port, Session};
use crate::fault::FaultParameters;
use crate::lab::{Lab, LinkKind, Transmission};
use crate::world::{LedgerReader, LedgerWriter, World, WorldConfig};

/// The world file that ships with the project: tests run against the laboratory that users run.
pub(crate) const WORLD_FILE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/worlds/perovskite.toml"));

/// A world as shipped, with its ledger in memory.
pub(crate) fn world() -> (World, LedgerReader) {
    let file: toml::Table = WORLD_FILE.parse().unwrap();
    let config: WorldConfig = file["world"].clone().try_into().unwrap();
    let (ledger, reader) = LedgerWriter::to_memory();
    (World::new(&config, 11, ledger).unwrap(), reader)
}

/// A laboratory with one device and one client.
pub(crate) struct Rig {
    pub(crate) lab: Lab,
    pub(crate) session: Session,
    pub(crate) ledger: LedgerReader,
    name: String,
    output: mpsc::Receiver<Transmission>,
}

impl Rig {
    pub(crate) fn new(name: &str, firmware: Box<dyn Firmware>) -> Self {
        let (world, ledger) = world();
        let mut lab = Lab::new(world, Clock::manual(), 5);
        let device = lab.add_device(name, LinkKind::Tcp, firmware);
        let (session, output) = lab.connect(device, Port::Main);
        Self { lab, session, ledger, name: name.to_owned(), output }
    }

    /// Another client of the device.
    pub(crate) fn connect(&mut self, port: Port) -> (Session, mpsc::Receiver<Transmission>) {
        self.lab.connect(0, port)
    }

    /// Sends bytes and returns what the device has written by now, without the pauses in between.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.lab.receive(self.session, bytes);
        self.heard()
    }

    /// [`Rig::send`] for text protocols.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        String::from_utf8(self.send(text.as_bytes())).unwrap()
    }

    /// Lets simulated time pass, with all that happens in it.
    pub(crate) fn step(&mut self, seconds: f64) {
        self.lab.clock().step(seconds);
        self.lab.settle();
    }

    /// What the device has written since the last look.
    pub(crate) fn heard(&mut self) -> Vec<u8> {
        self.chunks().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// The same as text.
    pub(crate) fn heard_text(&mut self) -> String {
        String::from_utf8(self.heard()).unwrap()
    }

    /// The same with the wall delay before each piece, in milliseconds.
    pub(crate) fn chunks(&mut self) -> Vec<(u64, Vec<u8>)> {
        let mut chunks = Vec::new();
        while let Ok(transmission) = self.output.try_recv() {
            if let Transmission::Write(chunk) = transmission {
                chunks.push((chunk.delay_ms, chunk.bytes));
            }
        }
        chunks
    }

    pub(crate) fn inject(&mut self, fault: &str, parameters: FaultParameters) {
        self.lab.inject(&self.name.clone(), fault, parameters).unwrap();
    }

    pub(crate) fn clear(&mut self) {
        self.lab.clear_faults(&self.name.clone(), None).unwrap();
    }

    pub(crate) fn state(&mut self) -> Value {
        self.lab.status()["devices"][&self.name]["state"].clone()
    }

    pub(crate) fn executions(&self, command: &str) -> u64 {
        self.lab.executions()[&self.name][command].as_u64().unwrap_or(0)
    }

    /// Ledger lines of an action, in order.
    pub(crate) fn ledger_lines(&self, action: &str) -> Vec<Value> {
        self.ledger.entries().into_iter().filter(|entry| entry["action"] == action).collect()
    }
}

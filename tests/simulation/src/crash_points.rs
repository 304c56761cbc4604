//! The named crash points of the protocol, each with every action class, and what must come of them.

use std::fmt;
use std::time::Duration;

use ppu_core::ActionClass;
use ppu_host::CrashPoint;

use crate::faults::{Fault, Planned, SCHEDULER};
use crate::instrument::Fate;
use crate::lab::{STATIONS, Station};
use crate::network::host_of;
use crate::story::{Ending, Script, tell};

/// How long a process stays down.
const DOWN: Duration = Duration::from_secs(2);
/// Longer than every watchdog of the protocol.
const LONG: Duration = Duration::from_secs(20);

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub number: u8,
    /// What strikes, and when.
    pub name: &'static str,
    /// Who has to say what happened, for the classes I, Q, U, C, S in this order: `true` where a person must.
    pub asks: [bool; 5],
    /// How many effects the step may have had, in the same order.
    pub effects: [u8; 5],
}

const NOBODY: [bool; 5] = [false; 5];
const FOR_UNQUERYABLE: [bool; 5] = [false, false, true, false, false];
const EVERYBODY: [bool; 5] = [true; 5];
const ONCE: [u8; 5] = [1; 5];
/// Only the classes whose station works on a sample; the other two have nothing that a hand could move.
const NEVER: [u8; 5] = [0, 1, 0, 0, 1];
/// Idempotent and safety actions are judged by the state that they reach, so they may be carried out again.
const AGAIN: [u8; 5] = [2, 1, 1, 1, 2];

/// The table. Rows with two ways to go wrong have two lines.
pub const TABLE: [Row; 20] = [
    row(1, "scheduler dies before the intent is durable", NOBODY, ONCE),
    row(2, "scheduler dies after the intent is durable, before it is sent", NOBODY, ONCE),
    row(3, "Execute is lost", NOBODY, ONCE),
    row(4, "Execute is delayed until a newer scheduler has attached", NOBODY, ONCE),
    row(5, "driver dies before ACCEPTED is durable", NOBODY, ONCE),
    row(6, "driver dies after ACCEPTED, before STARTED", NOBODY, ONCE),
    row(7, "driver dies after STARTED, before the device is told", FOR_UNQUERYABLE, ONCE),
    row(8, "driver dies while the device acts", FOR_UNQUERYABLE, AGAIN),
    row(9, "the command to the device is lost on the line", FOR_UNQUERYABLE, ONCE),
    row(9, "the reply of the device is lost on the line", FOR_UNQUERYABLE, AGAIN),
    row(10, "driver dies after the device ended, before the outcome is durable", FOR_UNQUERYABLE, AGAIN),
    row(11, "driver dies after the outcome is durable, before it is delivered", NOBODY, ONCE),
    row(12, "scheduler dies after it got the outcome, before that is durable", NOBODY, ONCE),
    row(13, "another scheduler took over while this one was held up", NOBODY, ONCE),
    row(14, "scheduler and driver are cut off from each other while the device acts", NOBODY, ONCE),
    row(15, "the lab computer loses its power while the device acts", FOR_UNQUERYABLE, AGAIN),
    row(16, "the driver's disk fails when the command is to be accepted", NOBODY, ONCE),
    row(17, "a person moves the sample by hand", NOBODY, NEVER),
    row(18, "the driver's ledger is lost while the device acts", EVERYBODY, ONCE),
    row(18, "the driver's ledger is replaced by an old copy while the device acts", EVERYBODY, ONCE),
];

const fn row(number: u8, name: &'static str, asks: [bool; 5], effects: [u8; 5]) -> Row {
    Row { number, name, asks, effects }
}

/// What came of one cell.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The row.
    pub row: Row,
    /// The class.
    pub class: ActionClass,
    /// How it ended.
    pub ending: Ending,
    /// Effects of the step that was struck.
    pub effects: usize,
    /// What is not as the table says; empty when all is.
    pub wrong: Vec<String>,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { number, name, .. } = self.row;
        let verdict = if self.wrong.is_empty() { "as the table says".to_owned() } else { self.wrong.join("; ") };
        write!(
            f,
            "{number:>2} {:<11} {} effect(s), {} asked: {verdict} ({name})",
            format!("{:?}", self.class),
            self.effects,
            self.ending.resolved
        )
    }
}

/// The station whose verb has that class.
fn station_of(class: ActionClass) -> &'static Station {
    let device = match class {
        ActionClass::Idempotent => "balance",
        ActionClass::Queryable => "pump",
        ActionClass::Unqueryable => "dispenser",
        ActionClass::Continuing => "oven_a",
        ActionClass::Safety => "purge",
    };
    STATIONS.iter().find(|station| station.device == device).expect("the lab has a station of each class")
}

/// A plan whose step `act` has that class.
fn protocol(station: &Station) -> String {
    let (capability, command) = station.verb;
    let head = "version = 1\nprotocol = \"cell\"\ntitle = \"A cell\"\n";
    if !station.needs_sample {
        return format!("{head}[[step]]\nname = \"act\"\ncommand = \"{capability}.{command}\"\n");
    }
    let lease = "leases = [\"there\"]";
    format!(
        "{head}[[lease]]\nname = \"there\"\ndevices = [\"{}\"]\n\
         [[step]]\nname = \"go\"\ntransfer_to = \"{}.in\"\n{lease}\n\
         [[step]]\nname = \"act\"\ncommand = \"{capability}.{command}\"\nafter = [\"go\"]\n{lease}\n\
         [[step]]\nname = \"back\"\ntransfer_to = \"home\"\nafter = [\"act\"]\n{lease}\ncleanup = true\n",
        station.device, station.device
    )
}

/// How often the scheduler passes its points before those of the step `act`.
fn passes(station: &Station) -> u32 {
    if station.needs_sample { 2 } else { 1 }
}

fn faults(row: &Row, line: usize, station: &Station) -> Vec<Fault> {
    let driver = host_of(station.device);
    let times = passes(station);
    let at = |host: &str, point: CrashPoint, times: u32, then: Fault| Fault::At {
        host: host.to_owned(),
        point,
        times,
        then: Box::new(then),
    };
    let kill = |host: &str| Fault::Kill { host: host.to_owned(), down: DOWN };
    let cut = |lasts: Duration| Fault::Partition { host: driver.clone(), to_driver: true, to_scheduler: true, lasts };
    let acting = |then: Fault| Fault::WhileActing { device: station.device.to_owned(), then: Box::new(then) };
    let lose = |fate: Fate| Fault::LineLoses { device: station.device.to_owned(), fate };
    let driver_dies = |point: CrashPoint| at(&driver, point, 1, kill(&driver));
    let scheduler_dies = |point: CrashPoint| at(SCHEDULER, point, times, kill(SCHEDULER));
    match (row.number, line) {
        (1, _) => vec![scheduler_dies(CrashPoint::BeforeIntent)],
        (2, _) => vec![scheduler_dies(CrashPoint::IntentDurable)],
        (3, _) => vec![at(SCHEDULER, CrashPoint::IntentDurable, times, cut(Duration::from_secs(8)))],
        (4, _) => {
            let held = Fault::Delay { host: driver.clone(), lasts: Duration::from_secs(6) };
            let soon = Fault::Soon(Box::new(kill(SCHEDULER)));
            vec![at(SCHEDULER, CrashPoint::IntentDurable, times, Fault::All(vec![held, soon]))]
        }
        (5, _) => vec![driver_dies(CrashPoint::BeforeAccepted)],
        (6, _) => vec![driver_dies(CrashPoint::AcceptedDurable)],
        (7, _) => vec![driver_dies(CrashPoint::StartedDurable)],
        (8, _) => vec![acting(kill(&driver))],
        (9, 0) => vec![lose(Fate::CommandLost)],
        (9, _) => vec![lose(Fate::ReplyLost)],
        (10, _) => vec![driver_dies(CrashPoint::DeviceEnded)],
        (11, _) => vec![driver_dies(CrashPoint::OutcomeDurable)],
        (12, _) => vec![scheduler_dies(CrashPoint::OutcomeReceived)],
        (13, _) => {
            let standby = Fault::Standby { device: station.device.to_owned() };
            let both = Fault::All(vec![cut(Duration::from_secs(4)), standby, Fault::Soon(Box::new(kill(SCHEDULER)))]);
            vec![at(SCHEDULER, CrashPoint::IntentDurable, times, both)]
        }
        (14, _) => vec![acting(cut(LONG))],
        (15, _) => {
            let mut hosts: Vec<_> = STATIONS.iter().map(|station| host_of(station.device)).collect();
            hosts.push(SCHEDULER.to_owned());
            vec![acting(Fault::PowerLoss { hosts, down: DOWN })]
        }
        (16, _) => {
            let broken = Fault::DiskError { host: driver.clone(), in_sync: true };
            vec![at(&driver, CrashPoint::BeforeAccepted, 1, broken)]
        }
        (17, _) => {
            let moved = Fault::MovedByHand { device: station.device.to_owned() };
            vec![at(&driver, CrashPoint::AcceptedDurable, 1, moved)]
        }
        (_, 0) => vec![acting(Fault::LedgerLost { host: driver.clone(), down: DOWN })],
        _ => vec![
            Fault::Backup { host: driver.clone() },
            acting(Fault::LedgerRestored { host: driver.clone(), down: DOWN }),
        ],
    }
}

/// Plays one cell of the table.
///
/// # Errors
/// The simulation itself broke.
pub fn play(index: usize, class: ActionClass) -> anyhow::Result<Cell> {
    let row = TABLE[index];
    let line = TABLE[..index].iter().filter(|other| other.number == row.number).count();
    let station = station_of(class);
    let script = Script {
        seed: 1000 + index as u64,
        lab_time: Duration::from_secs(3600 * 6),
        plans: vec![protocol(station)],
        faults: faults(&row, line, station)
            .into_iter()
            // Once every driver is attached and before anybody submits a plan.
            .map(|fault| Planned { at: Duration::from_millis(900), fault })
            .collect(),
        line_trouble: 0.0,
        dawdling: 0.0,
    };
    let ending = tell(&script)?;
    let effects = ending.effects_of("act");
    let mut wrong = ending.violations.clone();
    let column = ActionClass::ALL.iter().position(|known| *known == class).expect("every class is known");
    let (asks, most) = (row.asks[column], usize::from(row.effects[column]));
    let least = most.min(1);
    if effects < least || effects > most {
        wrong.push(format!("{effects} effects where {least} to {most} are allowed"));
    }
    if most == 0 && ending.doubted_samples == 0 {
        wrong.push("the sample is not in doubt".to_owned());
    }
    if asks != (ending.resolved > 0) {
        let should = if asks { "should have been asked" } else { "should not have been asked" };
        wrong.push(format!("a person was asked {} times and {should}", ending.resolved));
    }
    if ending.struck == 0 {
        wrong.push("the fault never struck".to_owned());
    }
    Ok(Cell { row, class, ending, effects, wrong })
}

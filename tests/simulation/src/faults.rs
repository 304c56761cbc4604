//! What goes wrong in a story, drawn from its seed.

use std::time::Duration;

use ppu_host::CrashPoint;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::instrument::Fate;
use crate::lab::STATIONS;
use crate::network::host_of;

/// Name of the scheduler's host.
pub const SCHEDULER: &str = "scheduler";

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the sentence of each variant speaks of its fields")]
pub enum Fault {
    /// kill -9: the page cache survives.
    Kill { host: String, down: Duration },
    /// Something goes wrong at a named point of a process, the nth time it passes it.
    At { host: String, point: CrashPoint, times: u32, then: Box<Fault> },
    /// Something goes wrong once an instrument has begun to act.
    WhileActing { device: String, then: Box<Fault> },
    /// The next command to an instrument, or the reply to it, is lost.
    LineLoses { device: String, fate: Fate },
    /// The driver's disk is lost with everything on it.
    LedgerLost { host: String, down: Duration },
    /// A copy of the driver's disk is made; nothing goes wrong yet.
    Backup { host: String },
    /// The driver's disk is replaced by the copy.
    LedgerRestored { host: String, down: Duration },
    /// A person takes the sample out of a device and tells nobody.
    MovedByHand { device: String },
    /// A second later.
    Soon(Box<Fault>),
    /// Several at once.
    All(Vec<Fault>),
    /// Another scheduler with a newer epoch attaches to a driver and goes away again.
    Standby { device: String },
    /// The computer of these processes loses its power: what was not synced is lost, wholly or in part.
    PowerLoss { hosts: Vec<String>, down: Duration },
    /// Nothing passes between the scheduler and a driver, in one direction or both.
    Partition { host: String, to_driver: bool, to_scheduler: bool, lasts: Duration },
    /// Everything between the scheduler and a driver is held back and delivered late.
    Delay { host: String, lasts: Duration },
    /// Somebody sets the wall clock.
    ClockJump { host: String, by: i64 },
    /// A write or a sync of the disk fails.
    DiskError { host: String, in_sync: bool },
    /// The disk is full for a while.
    DiskFull { host: String, lasts: Duration },
    /// The line to an instrument is silent for a while.
    LineDown { device: String, lasts: Duration },
}

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Simulated time since the beginning.
    pub at: Duration,
    /// What happens.
    pub fault: Fault,
}

/// Faults over a span of time, in order.
pub fn draw(random: &mut StdRng, count: usize, span: Duration) -> Vec<Planned> {
    let mut planned: Vec<_> =
        (0..count).map(|_| Planned { at: span.mul_f64(random.random_range(0.01..1.0)), fault: one(random) }).collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn seconds(random: &mut StdRng, from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(random.random_range(from..to))
}

fn driver(random: &mut StdRng) -> String {
    host_of(STATIONS[random.random_range(0..STATIONS.len())].device)
}

fn host(random: &mut StdRng) -> String {
    if random.random_bool(0.35) { SCHEDULER.to_owned() } else { driver(random) }
}

fn one(random: &mut StdRng) -> Fault {
    match random.random_range(0..100) {
        0..20 => Fault::Kill { host: host(random), down: seconds(random, 0.05, 8.0) },
        20..50 => {
            let point = CrashPoint::ALL[random.random_range(0..CrashPoint::ALL.len())];
            let at_scheduler = matches!(
                point,
                CrashPoint::BeforeIntent
                    | CrashPoint::IntentDurable
                    | CrashPoint::OutcomeReceived
                    | CrashPoint::OutcomeRecorded
            );
            let host = if at_scheduler { SCHEDULER.to_owned() } else { driver(random) };
            let kill = Fault::Kill { host: host.clone(), down: seconds(random, 0.05, 8.0) };
            Fault::At { host, point, times: random.random_range(1..4), then: Box::new(kill) }
        }
        50..56 => {
            let mut hosts: Vec<_> = STATIONS.iter().map(|station| host_of(station.device)).collect();
            hosts.push(SCHEDULER.to_owned());
            Fault::PowerLoss { hosts, down: seconds(random, 1.0, 30.0) }
        }
        56..62 => Fault::PowerLoss { hosts: vec![host(random)], down: seconds(random, 1.0, 30.0) },
        62..74 => {
            let both = random.random_bool(0.6);
            let to_driver = both || random.random_bool(0.5);
            let to_scheduler = both || !to_driver;
            Fault::Partition { host: driver(random), to_driver, to_scheduler, lasts: seconds(random, 1.0, 60.0) }
        }
        74..80 => Fault::Delay { host: driver(random), lasts: seconds(random, 1.0, 60.0) },
        80..84 => {
            let by = if random.random_bool(0.5) { 3_600_000_000_000 } else { -3_600_000_000_000 };
            Fault::ClockJump { host: host(random), by }
        }
        84..88 => Fault::DiskError { host: host(random), in_sync: random.random_bool(0.5) },
        88..91 => Fault::DiskFull { host: host(random), lasts: seconds(random, 5.0, 60.0) },
        _ => {
            let device = STATIONS[random.random_range(0..STATIONS.len())].device.to_owned();
            Fault::LineDown { device, lasts: seconds(random, 1.0, 60.0) }
        }
    }
}

//! One story: a lab, its plans, what goes wrong, and how it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ppu_core::DeviceId;
use ppu_core::lab::Lab;
use ppu_driver::{Driver, DriverOptions, RecoveryLimits};
use ppu_host::Host;
use ppu_journal::JournalOptions;
use ppu_scheduler::{Scheduler, SchedulerOptions};
use ppu_store::{AnyDisk, CrashKeep, DiskOperation, SimDisk, SimFault};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;

use crate::faults::{self, Fault, Planned, SCHEDULER};
use crate::host::SimHost;
use crate::instrument::SimInstrument;
use crate::lab::{STATIONS, Station, lab_toml, random_protocol};
use crate::network::{self, SimNetwork, host_of};
use crate::person::Office;
use crate::verdict;
use crate::world::{Machine, World};

/// Lab seconds in a second of the simulated processes. Heartbeats, time-outs and faults keep their real spans, so a lab
/// hour holds as much protocol as a minute of a real lab does.
pub const CLOCK_RATE: f64 = 60.0;
/// One step of the simulated network.
const TICK: Duration = Duration::from_millis(20);
/// A supervisor starts a process that ended by itself again after this time.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// Space of a disk that is full: what is there stays, nothing is added.
const FULL: u64 = 0;

/// What a story is made of.
#[derive(Debug, Clone)]
pub struct Script {
    /// Draws everything.
    pub seed: u64,
    /// Simulated lab time; faults strike in its first half.
    pub lab_time: Duration,
    /// Plans.
    pub plans: Vec<String>,
    /// What goes wrong.
    pub faults: Vec<Planned>,
    /// Chance of trouble on the line with each command.
    pub line_trouble: f64,
    /// Chance of a wait at each crash point.
    pub dawdling: f64,
}

impl Script {
    /// A random story of so much lab time.
    pub fn random(seed: u64, lab_time: Duration) -> Script {
        let mut random = StdRng::seed_from_u64(seed);
        let span = lab_time.div_f64(CLOCK_RATE);
        let plans = (0..random.random_range(2..6))
            .map(|_| {
                let (visits, sides) = (random.random_range(1..5), random.random_range(0..6));
                random_protocol(&mut random, visits, sides)
            })
            .collect();
        let count = random.random_range(2..14);
        let faults = faults::draw(&mut random, count, span.mul_f64(0.5));
        let line_trouble = if random.random_bool(0.5) { 0.06 } else { 0.0 };
        let dawdling = if random.random_bool(0.5) { 0.2 } else { 0.0 };
        Script { seed, lab_time, plans, faults, line_trouble, dawdling }
    }
}

/// How a story ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// What must not be; empty when all is well.
    pub violations: Vec<String>,
    /// Physical actions of each step.
    pub effects: BTreeMap<String, usize>,
    /// Samples that nobody knows the state or place of.
    pub doubted_samples: usize,
    /// Faults that struck.
    pub struck: u64,
    /// Plans that ended.
    pub ended: usize,
    /// Doubts that a person resolved.
    pub resolved: u64,
    /// Processes that were killed or lost their power.
    pub deaths: u64,
    /// Chain head of the journal: two tellings of one story agree in it.
    pub chain_head: String,
}

impl Ending {
    /// Physical actions.
    pub fn executions(&self) -> usize {
        self.effects.values().sum()
    }

    /// Physical actions of the steps of that name.
    pub fn effects_of(&self, step: &str) -> usize {
        let of_step = self.effects.iter().filter(|(name, _)| name.rsplit('/').next() == Some(step));
        of_step.map(|(_, count)| count).sum()
    }
}

/// One process's computer.
#[derive(Debug, Clone)]
pub(crate) struct Computer {
    pub(crate) name: String,
    pub(crate) host: SimHost,
    disk: Arc<Mutex<SimDisk>>,
    backup: Option<SimDisk>,
    /// When it comes back, in simulated time; `None` while it runs.
    down_until: Option<Duration>,
    /// What happens where the process is held.
    then: Option<Fault>,
}

impl Computer {
    fn new(name: String, script: &Script) -> Computer {
        let host = SimHost::new(&name, script.seed);
        host.habits().dawdling = script.dawdling;
        let disk = SimDisk::new(u64::from_le_bytes(host.random()[..8].try_into().expect("eight of sixteen bytes")));
        Computer { name, host, disk: Arc::new(Mutex::new(disk)), backup: None, down_until: None, then: None }
    }

    /// The disk that is in it now.
    pub(crate) fn disk(&self) -> SimDisk {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put_in(&self, disk: SimDisk) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from("/data")
    }
}

/// What a telling changes.
pub(crate) struct Telling<'a> {
    sim: turmoil::Sim<'a>,
    pub(crate) computers: Vec<Computer>,
    pub(crate) world: World,
    pub(crate) office: Office,
    heal: Vec<(Duration, Fault)>,
    /// Device, length of the world's ledger when it was asked for, and what happens once the device has begun.
    waiting: Vec<(String, usize, Fault)>,
    /// What strikes a little later, and when.
    soon: Vec<(Duration, Fault)>,
    struck: u64,
    deaths: u64,
}

/// Tells a story and judges it.
///
/// # Errors
/// The simulation itself broke.
pub fn tell(script: &Script) -> anyhow::Result<Ending> {
    // What panics in production code is a finding with a seed like any other.
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell_on(script)));
    told.unwrap_or_else(|_| Err(anyhow!("a process panicked")))
}

fn tell_on(script: &Script) -> anyhow::Result<Ending> {
    let mut telling = Telling::begin(script)?;
    let mut planned = script.faults.clone();
    planned.reverse();
    let end = script.lab_time.div_f64(CLOCK_RATE);
    while telling.sim.elapsed() < end {
        telling.sim.step().map_err(|error| anyhow!("the simulation broke: {error}"))?;
        let now = telling.sim.elapsed();
        while planned.last().is_some_and(|planned| planned.at <= now) {
            let Planned { fault, .. } = planned.pop().expect("it was just looked at");
            telling.strike(fault, now);
        }
        telling.tend(now);
        let over = planned.is_empty() && telling.heal.is_empty() && telling.is_over();
        if over && telling.computers.iter().all(|computer| computer.down_until.is_none()) {
            break;
        }
    }
    let Telling { sim, computers, world, office, struck, deaths, .. } = telling;
    // The processes end before their disks are read, as when the lab is switched off.
    for computer in &computers {
        computer.disk().crash(CrashKeep::Everything);
    }
    drop(sim);
    let mut ending = verdict::of(script, &computers, &world, &office)?;
    ending.struck = struck;
    ending.deaths = deaths;
    Ok(ending)
}

impl<'a> Telling<'a> {
    fn begin(script: &Script) -> anyhow::Result<Telling<'a>> {
        let lab = Lab::parse("simulation.toml", &lab_toml()).map_err(|problems| anyhow!("{problems}"))?;
        let mut sim = turmoil::Builder::new()
            .rng_seed(script.seed)
            .tick_duration(TICK)
            .simulation_duration(script.lab_time * 2)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(60))
            .tcp_capacity(1 << 16)
            .build();
        let (world, office) = (World::default(), Office::default());
        office.desk().plans.clone_from(&script.plans);
        world.nature().places = lab.samples.iter().map(|(s, place)| (place.to_string(), s.to_string())).collect();
        let mut computers = Vec::new();
        for station in STATIONS {
            let machine =
                Machine { class: station.class, counter: 0, busy: None, line_down_until_ns: 0, next_fate: None };
            world.nature().machines.insert(station.device.to_owned(), machine);
            let computer = Computer::new(host_of(station.device), script);
            let process = DriverProcess {
                computer: computer.clone(),
                station,
                world: world.clone(),
                line_trouble: script.line_trouble,
            };
            let process = Rc::new(process);
            sim.host(computer.name.clone(), move || {
                let process = Rc::clone(&process);
                async move { process.run().await }
            });
            computers.push(computer);
        }
        let computer = Computer::new(SCHEDULER.to_owned(), script);
        let process =
            Rc::new(SchedulerProcess { computer: computer.clone(), lab, office: office.clone(), world: world.clone() });
        sim.host(SCHEDULER, move || {
            let process = Rc::clone(&process);
            async move { process.run().await }
        });
        computers.push(computer);
        let standby_office = office.clone();
        sim.host("standby", move || standby_office.clone().stand_by());
        Ok(Telling {
            sim,
            computers,
            world,
            office,
            heal: Vec::new(),
            waiting: Vec::new(),
            soon: Vec::new(),
            struck: 0,
            deaths: 0,
        })
    }

    fn is_over(&self) -> bool {
        let desk = self.office.desk();
        desk.ended == desk.plans.len()
    }

    fn computer(&mut self, name: &str) -> &mut Computer {
        self.computers.iter_mut().find(|computer| computer.name == name).expect("faults name computers that exist")
    }

    #[expect(clippy::too_many_lines, reason = "one arm a kind of fault: a table that is read from top to bottom")]
    fn strike(&mut self, fault: Fault, now: Duration) {
        tracing::info!(?now, ?fault, "a fault strikes");
        if !matches!(fault, Fault::At { .. } | Fault::WhileActing { .. } | Fault::Soon(_) | Fault::All(_)) {
            self.struck += 1;
        }
        match &fault {
            Fault::Kill { host, down } => self.end_process(host, CrashKeep::Everything, now + *down),
            Fault::At { host, point, times, then } => {
                let computer = self.computer(host);
                computer.then = Some(*then.clone());
                computer.host.habits().held_at = Some((*point, *times));
            }
            Fault::WhileActing { device, then } => {
                let begun = self.world.nature().ledger.len();
                self.waiting.push((device.clone(), begun, *then.clone()));
            }
            Fault::LineLoses { device, fate } => {
                if let Some(machine) = self.world.nature().machines.get_mut(device) {
                    machine.next_fate = Some(*fate);
                }
            }
            Fault::LedgerLost { host, down } => {
                self.end_process(host, CrashKeep::Everything, now + *down);
                self.computer(host).put_in(SimDisk::new(now.as_nanos() as u64));
            }
            Fault::Backup { host } => {
                let computer = self.computer(host);
                computer.backup = Some(computer.disk().fork());
            }
            Fault::LedgerRestored { host, down } => {
                self.end_process(host, CrashKeep::Everything, now + *down);
                let computer = self.computer(host);
                if let Some(backup) = computer.backup.take() {
                    computer.put_in(backup);
                }
            }
            Fault::MovedByHand { device } => {
                let mut nature = self.world.nature();
                if let Some(sample) = nature.places.remove(&format!("{device}.in")) {
                    nature.places.insert("the bench".to_owned(), sample);
                }
            }
            Fault::Soon(then) => self.soon.push((now + Duration::from_secs(1), *then.clone())),
            Fault::All(faults) => faults.iter().for_each(|fault| self.strike(fault.clone(), now)),
            Fault::Standby { device } => self.office.desk().standby = Some(device.clone()),
            Fault::PowerLoss { hosts, down } => {
                for (number, host) in hosts.iter().enumerate() {
                    // They come back one after the other, in an order that differs from that of the lab.
                    let shuffled = (number * 5) % hosts.len();
                    self.end_process(host, CrashKeep::Random, now + *down + TICK * shuffled as u32 * 10);
                    self.computer(host).host.reboot(now.as_nanos() as u64);
                }
            }
            Fault::Partition { host, to_driver, to_scheduler, lasts } => {
                if *to_driver {
                    self.sim.partition_oneway(SCHEDULER, host.as_str());
                }
                if *to_scheduler {
                    self.sim.partition_oneway(host.as_str(), SCHEDULER);
                }
                self.heal.push((now + *lasts, fault));
            }
            Fault::Delay { host, lasts } => {
                self.sim.hold(SCHEDULER, host.as_str());
                self.heal.push((now + *lasts, fault));
            }
            Fault::ClockJump { host, by } => self.computer(host).host.jump(*by),
            Fault::DiskError { host, in_sync } => {
                let operation = if *in_sync { DiskOperation::Sync } else { DiskOperation::Write };
                self.computer(host).disk().fail_nth(operation, 1, SimFault::Eio);
            }
            Fault::DiskFull { host, lasts } => {
                self.computer(host).disk().set_capacity(Some(FULL));
                self.heal.push((now + *lasts, fault));
            }
            Fault::LineDown { device, lasts } => {
                let until = (now + *lasts).as_nanos() as u64;
                if let Some(machine) = self.world.nature().machines.get_mut(device) {
                    machine.line_down_until_ns = until;
                }
            }
        }
    }

    /// Ends what has hung at a crash point, starts what was down, and heals what was broken, when its time has come.
    fn tend(&mut self, now: Duration) {
        for at in 0..self.computers.len() {
            let host = self.computers[at].host.clone();
            if host.habits().is_held {
                if let Some(fault) = self.computers[at].then.take() {
                    self.strike(fault, now);
                }
                host.habits().is_held = false;
            }
        }
        let (due, later) = std::mem::take(&mut self.soon).into_iter().partition(|(at, _)| *at <= now);
        self.soon = later;
        let due: Vec<(Duration, Fault)> = due;
        due.into_iter().for_each(|(_, fault)| self.strike(fault, now));
        let acting = |(device, begun, _): &(String, usize, Fault)| {
            self.world.nature().ledger[*begun..].iter().any(|execution| execution.device == *device)
        };
        let (due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(acting);
        self.waiting = waiting;
        let due: Vec<(String, usize, Fault)> = due;
        for (_, _, fault) in due {
            self.strike(fault, now);
        }
        for at in 0..self.computers.len() {
            let (name, host) = (self.computers[at].name.clone(), self.computers[at].host.clone());
            if std::mem::take(&mut host.habits().has_exited) {
                self.end_process(&name, CrashKeep::Everything, now + RESTART_AFTER);
            }
            let computer = &mut self.computers[at];
            if computer.down_until.is_some_and(|until| until <= now) {
                computer.down_until = None;
                let name = computer.name.clone();
                self.sim.bounce(name.as_str());
            }
        }
        let (due, later) = std::mem::take(&mut self.heal).into_iter().partition(|(at, _)| *at <= now);
        self.heal = later;
        let due: Vec<(Duration, Fault)> = due;
        for (_, fault) in due {
            match fault {
                Fault::Partition { host, to_driver, to_scheduler, .. } => {
                    if to_driver {
                        self.sim.repair_oneway(SCHEDULER, host.as_str());
                    }
                    if to_scheduler {
                        self.sim.repair_oneway(host.as_str(), SCHEDULER);
                    }
                }
                Fault::Delay { host, .. } => self.sim.release(SCHEDULER, host.as_str()),
                Fault::DiskFull { host, .. } => self.computer(&host).disk().set_capacity(None),
                _ => {}
            }
        }
    }

    /// The process is gone at once. Its disk goes first, so that nothing its destructors do reaches it.
    fn end_process(&mut self, name: &str, keep: CrashKeep, back_at: Duration) {
        let computer = self.computer(name);
        if computer.down_until.is_some() {
            return;
        }
        computer.down_until = Some(back_at);
        {
            let mut habits = computer.host.habits();
            (habits.held_at, habits.is_held, habits.has_exited) = (None, false, false);
        }
        computer.disk().crash(keep);
        self.sim.crash(name);
        self.deaths += 1;
    }
}

/// A driver process and its supervisor.
struct DriverProcess {
    computer: Computer,
    station: Station,
    world: World,
    line_trouble: f64,
}

impl DriverProcess {
    async fn run(&self) -> turmoil::Result {
        let ended = self.live().await;
        tracing::info!(process = self.computer.name, ?ended, "the process ended");
        self.computer.host.habits().has_exited = true;
        // What a process leaves running in this runtime is gone only when the supervisor ends the host.
        std::future::pending().await
    }

    async fn live(&self) -> anyhow::Result<()> {
        let mut options =
            DriverOptions::new("simulation", DeviceId::new(self.station.device)?, self.computer.directory());
        options.clock_rate = CLOCK_RATE;
        options.poll_interval = Duration::from_secs(300);
        options.recovery = RecoveryLimits { within: Duration::from_secs(20), ..RecoveryLimits::default() };
        options.host = Arc::new(self.computer.host.clone());
        options.disk = AnyDisk::new(self.computer.disk());
        let instrument = SimInstrument {
            device: self.station.device.to_owned(),
            verb: self.station.verb,
            class: self.station.class,
            needs_sample: self.station.needs_sample,
            world: self.world.clone(),
            host: self.computer.host.clone(),
            line_trouble: self.line_trouble,
            clock_rate: CLOCK_RATE,
        };
        let mut driver = Driver::start(options, instrument).await?;
        let incoming = network::listen().await?;
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(2)))
            .http2_keepalive_timeout(Some(Duration::from_secs(4)))
            .add_service(driver.server())
            .serve_with_incoming(incoming);
        let mut failure = driver.watch_failure();
        let ended = tokio::select! {
            ended = server => ended.context("the server ended"),
            _ = failure.wait_for(Option::is_some) => Err(anyhow!("the ledger failed")),
            () = driver.ended() => Err(anyhow!("the instrument task ended")),
        };
        driver.stop().await;
        ended
    }
}

/// The scheduler process, its supervisor, and the people who work with it.
struct SchedulerProcess {
    computer: Computer,
    lab: Lab,
    office: Office,
    world: World,
}

/// The options of the scheduler in a story; the verdict opens the journal with the same.
pub(crate) fn journal_options(computer: &Computer) -> JournalOptions {
    JournalOptions {
        segment_bytes: 1 << 18,
        host: Arc::new(computer.host.clone()),
        disk: AnyDisk::new(computer.disk()),
        index: false,
    }
}

impl SchedulerProcess {
    async fn run(&self) -> turmoil::Result {
        let ended = self.live().await;
        tracing::info!(process = self.computer.name, ?ended, "the process ended");
        self.computer.host.habits().has_exited = true;
        // What a process leaves running in this runtime is gone only when the supervisor ends the host.
        std::future::pending().await
    }

    async fn live(&self) -> anyhow::Result<()> {
        let directory = self.computer.directory();
        let mut options = SchedulerOptions::new(self.lab.clone(), directory.clone(), directory);
        options.drivers = Arc::new(SimNetwork);
        options.clock_rate = CLOCK_RATE;
        options.host = Arc::new(self.computer.host.clone());
        options.journal = journal_options(&self.computer);
        let scheduler = Scheduler::open(options).await?;
        let people = self.office.clone().work(scheduler.handle(), scheduler.api(), self.world.clone());
        let (_running, shutdown) = watch::channel(false);
        tokio::select! {
            ended = scheduler.run(shutdown) => Ok(ended?),
            () = people => Ok(()),
        }
    }
}

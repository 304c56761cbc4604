//! The command line.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::{client, counters, demo, exit, files, journal, roles, spectrum, twin, up, xrd};

/// A control stack for self-driving laboratories.
#[derive(Debug, Parser)]
#[command(
    name = "ppu",
    version,
    about,
    after_help = "Exit codes: 0 success, 1 failure, 2 usage, 3 not found, 4 invalid \
plan or file, 5 denied, 6 unreachable, 7 plan failed or aborted, 8 timeout, 74 disk failed, 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Brings up a simulated lab and runs a closed-loop campaign on it.
    Demo(DemoArguments),
    /// Brings up a lab from its file: broker, drivers, scheduler and console, supervised.
    Up(UpArguments),
    /// Submits a protocol as a plan, or a campaign.
    Submit(SubmitArguments),
    /// Shows what the lab is doing.
    Status(StatusArguments),
    /// Follows the events of the lab, or a run or campaign to its end.
    Watch(WatchArguments),
    /// Software stop: every instrument is made safe and nothing starts until somebody resumes. Not an emergency stop.
    Stop(StopArguments),
    /// Lets a paused or stopped lab go on.
    Resume(ReasonArguments),
    /// Lets a device start again that was made safe or whose ledger was in doubt.
    Clear(SubjectArguments),
    /// Ends a run: what runs is stopped, cleanup follows.
    StopRun(SubjectArguments),
    /// Skips a step, `<run>/<step>`: it is stopped, and skipped once its driver has the tombstone.
    Skip(SubjectArguments),
    /// Says where a sample is that nobody knows the place of.
    Locate(LocateArguments),
    /// Declares the ledger of a driver dead, so that what waits for it can be settled.
    RetireLedger(RetireArguments),
    /// Lets running steps finish and starts nothing new.
    Pause(ReasonArguments),
    /// Accepts a trial that waits for a person.
    Approve(DecideArguments),
    /// Rejects a trial that waits for a person.
    Reject(DecideArguments),
    /// Sets new limits for what a campaign may search, from now on.
    Limit(LimitArguments),
    /// Has a point tried in a campaign.
    Pin(PinArguments),
    /// Shows what the lab has done, and what that was worth.
    Counters(CountersArguments),
    /// Checks a lab, instrument, protocol or campaign file without a running lab.
    Check(CheckArguments),
    /// Explains an error code: what happened, whether it is safe, what to do.
    Explain {
        /// The code, such as E0201.
        code: String,
    },
    /// Works on the simulated instruments.
    #[command(subcommand)]
    Sim(SimVerb),
    /// Verifies, shows, exports or repairs the journal of a lab.
    #[command(subcommand)]
    Journal(journal::JournalVerb),
    /// Analyses a powder diffraction pattern.
    #[command(subcommand)]
    Xrd(xrd::XrdVerb),
    /// Analyses an absorption or emission spectrum.
    #[command(subcommand)]
    Spectrum(spectrum::SpectrumVerb),
    /// What rules say of compositions; energies of crystals by a universal potential; new crystals.
    #[command(subcommand)]
    Twin(twin::TwinVerb),
    /// Runs the scheduler process.
    Scheduler(roles::SchedulerArguments),
    /// Runs the driver process of one device.
    Driver(roles::DriverArguments),
    /// Runs the simulated instruments.
    FirmwareSim(roles::SimArguments),
    /// Runs the operator console.
    Console(roles::ConsoleArguments),
    /// Runs the embedded MQTT broker.
    Broker(roles::BrokerArguments),
    /// Runs the optimizer as a service of its own: ask, tell, predict, explain, without a laboratory.
    Optimizer(roles::OptimizerArguments),
}

impl Verb {
    pub(crate) fn is_role(&self) -> bool {
        matches!(
            self,
            Verb::Scheduler(_)
                | Verb::Driver(_)
                | Verb::FirmwareSim(_)
                | Verb::Console(_)
                | Verb::Broker(_)
                | Verb::Optimizer(_)
                | Verb::Up(_)
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Seed of the hidden truth and of every decision.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Trials to run.
    #[arg(long, default_value_t = 24)]
    pub(crate) trials: u32,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) speed: f64,
    /// Print the summary as one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// How candidates are chosen: optimizer or random.
    #[arg(long, default_value = "optimizer")]
    pub(crate) strategy: String,
    /// Folder for everything that the demo writes; a new one below the system's temporary folder if left out.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Campaign file; the wide-gap perovskite campaign if left out.
    #[arg(long)]
    pub(crate) campaign: Option<PathBuf>,
    /// Address of the console; a free port of this computer if left out.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) console: SocketAddr,
    /// Keep the lab and its console up after the campaign, until Ctrl-C.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Lab file.
    #[arg(long)]
    pub(crate) lab: PathBuf,
    /// Folder for journal, ledgers, logs and addresses.
    #[arg(long, default_value = "ppu-data")]
    pub(crate) data: PathBuf,
    /// Address of the public API; port 0 keeps the one of the last start.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address of the console.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) console: SocketAddr,
    /// Simulated seconds a second, instead of the lab file's.
    #[arg(long)]
    pub(crate) speed: Option<f64>,
    /// Seed of the simulation, instead of the lab file's.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Folder of simulated instruments that `ppu firmware-sim` runs already; they outlive this process.
    #[arg(long)]
    pub(crate) sim: Option<PathBuf>,
    /// Restarts of one process within ten minutes after which it stays down.
    #[arg(long, default_value_t = 5, hide_short_help = true)]
    pub(crate) restart_limit: usize,
    /// Longest wait before a restart, in milliseconds.
    #[arg(long, default_value_t = 30_000, hide_short_help = true)]
    pub(crate) restart_wait_ms: u64,
}

/// How a running lab is found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Address of the scheduler, host:port.
    #[arg(long, env = "PPU_URL")]
    pub(crate) scheduler: Option<String>,
    /// Data folder of the lab, where the address stands if `--scheduler` is left out.
    #[arg(long, default_value = "ppu-data", env = "PPU_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArguments {
    /// Protocol or campaign file (TOML).
    pub(crate) file: PathBuf,
    /// A parameter of the protocol, name=value; once for each.
    #[arg(long = "set", value_parser = files::name_and_number)]
    pub(crate) parameters: Vec<(String, f64)>,
    /// Stay until it has ended.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// A run or campaign to follow to its end; all events for ever if left out.
    pub(crate) id: Option<String>,
    /// Start after this event.
    #[arg(long, default_value_t = 0)]
    pub(crate) after: u64,
    /// Print each event as one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// A campaign to end; the whole lab if left out.
    pub(crate) campaign: Option<String>,
    /// Stops the campaign's runs as well, instead of letting them finish.
    #[arg(long, requires = "campaign")]
    pub(crate) runs: bool,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ReasonArguments {
    /// Why; it goes into the record.
    #[arg(long, default_value = "asked for on the command line")]
    pub(crate) reason: String,
    /// Who; it goes into the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) who: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct SubjectArguments {
    /// What it concerns: a device, a run, or a step.
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LocateArguments {
    /// The sample.
    pub(crate) sample: String,
    /// Where it is; left out where it was taken out of the lab.
    pub(crate) position: Option<String>,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// The device; the reason says how it was isolated, so that its old driver cannot act.
    pub(crate) device: String,
    /// Identity of the ledger; the one that the journal knows last if left out.
    #[arg(long, default_value = "")]
    pub(crate) ledger: String,
    /// An attempt that certainly never began, `<run>/<step>#<attempt>`; once for each. Every other one goes into doubt.
    #[arg(long = "never-began")]
    pub(crate) never_began: Vec<ppu_core::CommandKey>,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArguments {
    /// The trial.
    pub(crate) trial: String,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// The campaign.
    pub(crate) campaign: String,
    /// New limits, name=min..max, or name=value to fix it; once for each.
    #[arg(required = true, value_parser = files::name_and_limits)]
    pub(crate) limits: Vec<(String, f64, f64)>,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    /// The campaign.
    pub(crate) campaign: String,
    /// The point: every parameter of the campaign, name=value.
    #[arg(required = true, value_parser = files::name_and_number)]
    pub(crate) point: Vec<(String, f64)>,
    #[command(flatten)]
    pub(crate) reason: ReasonArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CountersArguments {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the text format of Prometheus, as the console serves it at /metrics.
    #[arg(long, conflicts_with = "json")]
    pub(crate) prometheus: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The file.
    pub(crate) file: PathBuf,
    /// Lab to check a protocol or campaign against; the demo's lab if left out.
    #[arg(long)]
    pub(crate) lab: Option<PathBuf>,
    /// A parameter of the protocol, name=value; once for each.
    #[arg(long = "set", value_parser = files::name_and_number)]
    pub(crate) parameters: Vec<(String, f64)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimVerb {
    /// Injects a fault into a simulated instrument.
    Fault {
        /// The device.
        device: String,
        /// The fault, such as late_reply; a wrong name lists those that there are.
        name: String,
        /// Requests that it hits.
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// Delay in milliseconds, for faults that have one.
        #[arg(long)]
        delay_ms: Option<u64>,
        /// Data folder of the lab.
        #[arg(long, default_value = "ppu-data", env = "PPU_DATA")]
        data: PathBuf,
    },
    /// Moves a sample by hand: no instrument and no scheduler is told.
    Move {
        /// The sample.
        sample: String,
        /// Where to, such as rack.9.
        position: String,
        /// Data folder of the lab.
        #[arg(long, default_value = "ppu-data", env = "PPU_DATA")]
        data: PathBuf,
    },
    /// Stands in for Quantum ESPRESSO's pw.x: reads an input on standard input and prints an output of the same shape,
    /// with energies by a made law. For an instrument file: `program = ["ppu", "sim", "pw"]`.
    Pw {
        /// Seconds on the clock that a run takes.
        #[arg(long, default_value_t = 0.0)]
        takes_s: f64,
    },
    /// Shows simulated time, speed and what was executed.
    Status {
        /// Data folder of the lab.
        #[arg(long, default_value = "ppu-data", env = "PPU_DATA")]
        data: PathBuf,
    },
}

/// Runs a command; the exit code of one that did its work.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.command {
        Verb::Demo(demo) => demo::run(demo).await,
        Verb::Xrd(verb) => xrd::run(verb),
        Verb::Spectrum(verb) => spectrum::run(verb),
        Verb::Twin(verb) => twin::run(verb).await,
        Verb::Up(up) => up::run(up).await,
        Verb::Submit(submit) => client::submit(submit).await,
        Verb::Status(status) => client::status(status).await,
        Verb::Watch(watch) => client::watch(watch).await,
        Verb::Stop(stop) => client::stop(stop).await,
        Verb::Pause(reason) => client::pause(reason).await,
        Verb::Resume(reason) => client::resume(reason).await,
        Verb::Clear(clear) => client::clear(clear).await,
        Verb::StopRun(stop) => client::stop_run(stop).await,
        Verb::Skip(skip) => client::skip(skip).await,
        Verb::Locate(locate) => client::locate(locate).await,
        Verb::RetireLedger(retire) => client::retire_ledger(retire).await,
        Verb::Approve(decide) => client::decide(decide, true).await,
        Verb::Reject(decide) => client::decide(decide, false).await,
        Verb::Limit(limit) => client::limit(limit).await,
        Verb::Pin(pin) => client::pin(pin).await,
        Verb::Counters(arguments) => counters::counters(arguments).await,
        Verb::Check(check) => files::check(&check),
        Verb::Explain { code } => explain(&code),
        Verb::Sim(SimVerb::Fault { device, name, count, delay_ms, data }) => {
            client::sim_fault(&data, &device, &name, count, delay_ms).await
        }
        Verb::Sim(SimVerb::Move { sample, position, data }) => client::sim_move(&data, &sample, &position).await,
        Verb::Sim(SimVerb::Pw { takes_s }) => sim_pw(takes_s),
        Verb::Sim(SimVerb::Status { data }) => client::sim_status(&data).await,
        Verb::Scheduler(role) => roles::scheduler(role).await,
        Verb::Driver(role) => roles::driver(role).await,
        Verb::FirmwareSim(role) => roles::firmware_sim(role).await,
        Verb::Console(role) => roles::console(role).await,
        Verb::Journal(verb) => journal::run(verb),
        Verb::Broker(role) => roles::broker(role).await,
        Verb::Optimizer(role) => roles::optimizer(role).await,
    }
}

fn sim_pw(takes_s: f64) -> anyhow::Result<u8> {
    let takes = std::time::Duration::try_from_secs_f64(takes_s).context("--takes-s must be a span of time")?;
    let input = std::io::read_to_string(std::io::stdin())?;
    let answer = firmware_sim::pwscf::answer(&input, std::path::Path::exists);
    // One half before and one after, so that whoever looks meanwhile finds a run under way.
    let middle = answer.text.len() / 2;
    let middle = (0..=middle).rev().find(|index| answer.text.is_char_boundary(*index)).unwrap_or(0);
    let mut out = std::io::stdout().lock();
    out.write_all(&answer.text.as_bytes()[..middle])?;
    out.flush()?;
    if !input.trim().is_empty() {
        std::thread::sleep(takes);
    }
    out.write_all(&answer.text.as_bytes()[middle..])?;
    Ok(answer.status)
}

#[expect(clippy::print_stdout, reason = "the page is the data that was asked for")]
fn explain(code: &str) -> anyhow::Result<u8> {
    let Some(page) = files::explanation(code) else {
        let known = files::codes().join(", ");
        return Err(exit::coded(exit::NOT_FOUND, format!("`{code}` is no code of ppu; there are {known}")));
    };
    println!("{page}");
    Ok(0)
}

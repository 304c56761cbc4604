//! Universal Robots e-Series arm that carries samples: dashboard server (port 29999) and RTDE (port 30004).
//!
//! A transfer is two programs that are taught on the controller: `pick_<position>.urp` and `place_<position>.urp`.
//! `Starting program` proves nothing; what happened is read from two counters, programs started and programs finished
//! since power-up. With the counters as they were before the start, (started, finished) grows
//! (0,0) → (1,0) pick → (1,1) sample in the gripper → (2,1) place → (2,2) done, and each of these states says what is
//! left to do. A place therefore is begun only after the counters have proven that it was never begun before.

mod dashboard;
mod rtde;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, PositionId, Unit, Value};
use ppu_driver::transport::{Connect, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};

use crate::common::{self, LabTimer, before_start, partial, refused, silent};
use crate::{codes, specs};

use dashboard::{Dashboard, Player};
use rtde::Counters;
pub use settings::ArmSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "ur5e";
/// Not used: the arm is reached by TCP only.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(115_200);

/// Lab time between two looks at a running program.
const POLL: Duration = Duration::from_millis(500);
/// Real time after which a command that was sent before the connection broke has been carried out or never will be.
const SETTLE: Duration = Duration::from_millis(250);
/// Looks at a player that stands still before its counters are taken as final.
const STILL_LOOKS: u32 = 3;

/// An arm with a gripper.
#[derive(Debug)]
pub struct Arm {
    dashboard: Dashboard,
    rtde: String,
    settings: ArmSettings,
    /// The counters taken when the transfer of this key was prepared.
    planned: Option<(String, Counters)>,
}

/// Progress of a transfer, from the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    NothingBegun,
    Picking,
    Picked,
    Placing,
    Placed,
    /// The counters do not belong to this transfer: power-up in between, or programs started by somebody else.
    Foreign,
}

impl Progress {
    fn of(before: Counters, now: Counters) -> Progress {
        match (now.started.wrapping_sub(before.started), now.finished.wrapping_sub(before.finished)) {
            (0, 0) => Progress::NothingBegun,
            (1, 0) => Progress::Picking,
            (1, 1) => Progress::Picked,
            (2, 1) => Progress::Placing,
            (2, 2) => Progress::Placed,
            _ => Progress::Foreign,
        }
    }
}

/// Where a sample is taken from and put down.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    from: &'a PositionId,
    to: &'a PositionId,
}

impl Arm {
    /// An arm that has not been contacted yet; `dashboard` is the address of its dashboard server, `host:port`.
    pub fn new(dashboard: &str, settings: ArmSettings) -> Self {
        Self {
            rtde: settings.rtde_address(dashboard),
            dashboard: Dashboard::new(Connect::Tcp { address: dashboard.to_owned() }),
            settings,
            planned: None,
        }
    }

    /// Takes the state of the controller and says whether the arm may move.
    async fn check_ready(&mut self) -> Result<(), Fault> {
        if !self.dashboard.query("is in remote control", dashboard::truth("")).await? {
            return Err(refused(codes::ARM_NOT_READY, "the controller is in local control"));
        }
        let mode = self.robot_mode().await?;
        if mode != "RUNNING" {
            return Err(refused(codes::ARM_NOT_READY, format!("the robot mode is {mode}")));
        }
        let safety = self.safety_status().await?;
        if safety != "NORMAL" {
            return Err(refused(codes::ARM_NOT_READY, format!("the safety status is {safety}")));
        }
        match self.player().await? {
            Player::Stopped => Ok(()),
            Player::Playing => Err(refused(codes::ARM_NOT_READY, "another program is running")),
            // A popup of a program shows as a paused program; there is no other question for it.
            Player::Paused => Err(refused(codes::ARM_NOT_READY, "a program is paused, perhaps by a popup")),
        }
    }

    /// Goes on with a transfer from wherever the counters say it stands, until it is done.
    async fn carry(
        &mut self,
        way: Way<'_>,
        before: Counters,
        may_begin: bool,
        attention: &Attention,
    ) -> Result<Done, Fault> {
        let timer = LabTimer::start(attention);
        loop {
            match Progress::of(before, self.counters().await?) {
                Progress::NothingBegun if may_begin => {
                    if attention.should_abort() {
                        return Err(refused(codes::ARM_NOT_STARTED, "cancelled before the arm began"));
                    }
                    self.play("pick", way.from, attention).await?;
                    self.wait_for(Progress::Picked, way, before, attention).await?;
                }
                Progress::NothingBegun => self.wait_for(Progress::Picked, way, before, attention).await?,
                Progress::Picking => self.wait_for(Progress::Picked, way, before, attention).await?,
                Progress::Picked => {
                    if attention.should_abort() {
                        return Err(Fault::Aborted {
                            message: format!("stopped with the sample from {} in the gripper", way.from),
                        });
                    }
                    // A place that was begun a moment ago may not be counted yet; it must never be begun twice.
                    if self.player().await? != Player::Playing {
                        // Seen twice, because one answer may be damaged.
                        if !self.holds_something().await? && !self.holds_something().await? {
                            let message = format!(
                                "the gripper closed on nothing at {}: the sample is not there; nothing was put down at {}",
                                way.from, way.to
                            );
                            return Err(partial(codes::ARM_EMPTY, message));
                        }
                        self.play("place", way.to, attention).await?;
                    }
                    self.wait_for(Progress::Placed, way, before, attention).await?;
                }
                Progress::Placing => self.wait_for(Progress::Placed, way, before, attention).await?,
                Progress::Placed => {
                    let took = Value::quantity(timer.elapsed_s(), Unit::Second);
                    return Ok(common::done(format!("carried from {} to {}", way.from, way.to), [("duration", took)]));
                }
                Progress::Foreign => return Err(self.foreign(way)),
            }
        }
    }

    /// Loads and starts one program, once.
    async fn play(&mut self, verb: &str, position: &PositionId, attention: &Attention) -> Result<(), Fault> {
        // Nothing has moved before a pick; before a place the sample hangs in the gripper.
        let fault = |code, message: String| match verb {
            "pick" => attention.nothing_happened(code, message),
            _ => partial(code, format!("{message}; the gripper holds the sample")),
        };
        let program = program(verb, position);
        let known = ["Loading program:", "File not found:", "Error while loading program:"];
        let read = |reply: &str| known.iter().any(|start| reply.starts_with(start)).then(|| reply.to_owned());
        let loaded = self.dashboard.query(&format!("load {program}"), read).await?;
        if !loaded.starts_with("Loading program:") {
            return Err(fault(codes::ARM_PROGRAM, format!("{program}: {loaded}")));
        }
        // Loading goes on after the reply; the name shows when it is done.
        let timer = LabTimer::start(attention);
        loop {
            let now = self.loaded_program().await?;
            if now.as_deref().is_some_and(|name| is_program(name, &program)) {
                break;
            }
            if timer.has_passed(self.settings.start_limit_s) {
                let now = now.unwrap_or_else(|| "none".to_owned());
                return Err(fault(
                    codes::ARM_PROGRAM,
                    format!("{program} was loaded, but the loaded program is {now}"),
                ));
            }
            attention.pause(POLL).await;
        }
        attention.telling();
        let reply = self.dashboard.command("play").await?;
        if reply.starts_with("Starting program") {
            Ok(())
        } else if reply.starts_with("Failed to execute") {
            Err(fault(codes::ARM_NOT_STARTED, format!("{program}: {reply}")))
        } else {
            Err(silent(ppu_driver::codes::BAD_REPLY, format!("`play` was answered with `{}`", reply.escape_debug())))
        }
    }

    /// Waits until the transfer has come as far as `goal`, or stands still without having come there.
    async fn wait_for(
        &mut self,
        goal: Progress,
        way: Way<'_>,
        before: Counters,
        attention: &Attention,
    ) -> Result<(), Fault> {
        let timer = LabTimer::start(attention);
        let mut still = 0;
        loop {
            let player = self.player().await?;
            let progress = Progress::of(before, self.counters().await?);
            if progress == goal && player != Player::Playing {
                return Ok(());
            }
            if progress == Progress::Foreign {
                return Err(self.foreign(way));
            }
            self.check_safety(way, progress).await?;
            if attention.should_abort() && player == Player::Playing {
                return Err(self.stop(way).await?);
            }
            still = if player == Player::Stopped { still + 1 } else { 0 };
            let begun = matches!(
                (goal, progress),
                (Progress::Picked, Progress::Picking) | (Progress::Placed, Progress::Placing)
            );
            let waited_for_start = timer.has_passed(self.settings.start_limit_s);
            if still >= STILL_LOOKS && begun {
                let message = format!(
                    "the program ended before its end on the way from {} to {}; look where the sample is",
                    way.from, way.to
                );
                return Err(partial(codes::ARM_PART_WAY, message));
            }
            if player != Player::Playing && !begun && waited_for_start {
                return Err(self.give_up_unbegun(goal, way, before, player, attention).await?);
            }
            // What is given up is stopped first, so that it cannot go on when somebody answers a popup.
            if player == Player::Paused && waited_for_start {
                return self.give_up(way, "was paused, perhaps by a popup,").await;
            }
            if timer.has_passed(self.settings.program_limit_s) {
                return self.give_up(way, "took too long").await;
            }
            attention.pause(POLL).await;
        }
    }

    /// A program that was told to play and has not begun. Only counters that stand as before, with the player stopped,
    /// prove that nothing happened.
    async fn give_up_unbegun(
        &mut self,
        goal: Progress,
        way: Way<'_>,
        before: Counters,
        player: Player,
        attention: &Attention,
    ) -> Result<Fault, Fault> {
        if player == Player::Paused
            && let unconfirmed @ Fault::Silent { .. } = self.stop(way).await?
        {
            return Ok(unconfirmed);
        }
        let (player, progress) = (self.player().await?, Progress::of(before, self.counters().await?));
        Ok(match (goal, progress) {
            (Progress::Picked, Progress::NothingBegun) if player == Player::Stopped => {
                let message = format!("`play` was taken, but the pick at {} does not run; look for a popup", way.from);
                attention.nothing_happened(codes::ARM_NOT_STARTED, message)
            }
            (Progress::Placed, Progress::Picked) if player == Player::Stopped => {
                let message =
                    format!("`play` was taken, but the place at {} does not run; the gripper holds the sample", way.to);
                partial(codes::ARM_NOT_STARTED, message)
            }
            _ => {
                let message = format!(
                    "the arm began on the way from {} to {} while it was given up ({})",
                    way.from,
                    way.to,
                    in_words(progress)
                );
                silent(codes::ARM_PART_WAY, message)
            }
        })
    }

    /// Stops a program that is given up: what the arm has not confirmed to be stopped is not over.
    async fn give_up(&mut self, way: Way<'_>, why: &str) -> Result<(), Fault> {
        Err(match self.stop(way).await? {
            Fault::Aborted { .. } => {
                let message = format!("the program from {} to {} {why} and is stopped", way.from, way.to);
                partial(codes::ARM_PART_WAY, message)
            }
            unconfirmed => unconfirmed,
        })
    }

    /// An arm in a protective stop holds its program, which would go on when somebody unlocks it: it is stopped as well.
    async fn check_safety(&mut self, way: Way<'_>, progress: Progress) -> Result<(), Fault> {
        let safety = self.safety_status().await?;
        if matches!(safety.as_str(), "NORMAL" | "REDUCED") {
            return Ok(());
        }
        let stop = self.stop(way).await?;
        let message = format!("{safety} on the way from {} to {} ({}): {stop}", way.from, way.to, in_words(progress));
        Err(partial(codes::ARM_PROTECTIVE_STOP, message))
    }

    /// Tells the arm to stop. The fault is an abort if the arm confirms it, and silence if it does not.
    async fn stop(&mut self, way: Way<'_>) -> Result<Fault, Fault> {
        let reply = self.dashboard.command("stop").await?;
        let message = format!("stopped on the way from {} to {} ({reply}); look where the sample is", way.from, way.to);
        if reply.starts_with("Stopped") {
            Ok(Fault::Aborted { message })
        } else {
            let message = format!("the arm was told to stop on the way from {} to {}: `{reply}`", way.from, way.to);
            Ok(silent(codes::ARM_PART_WAY, message))
        }
    }

    fn foreign(&self, way: Way<'_>) -> Fault {
        let message = format!(
            "the program counters changed in a way that does not belong to the transfer from {} to {}: look where the sample is",
            way.from, way.to
        );
        silent(codes::ARM_PART_WAY, message)
    }

    async fn holds_something(&mut self) -> Result<bool, Fault> {
        Ok(rtde::read_gripper(&self.rtde).await?)
    }

    async fn counters(&mut self) -> Result<Counters, Fault> {
        Ok(rtde::read_counters(&self.rtde).await?)
    }

    async fn player(&mut self) -> Result<Player, Fault> {
        Ok(self.dashboard.query("programState", dashboard::player).await?)
    }

    async fn robot_mode(&mut self) -> Result<String, Fault> {
        Ok(self.dashboard.query("robotmode", dashboard::after("Robotmode:")).await?)
    }

    async fn safety_status(&mut self) -> Result<String, Fault> {
        Ok(self.dashboard.query("safetystatus", dashboard::after("Safetystatus:")).await?)
    }

    async fn loaded_program(&mut self) -> Result<Option<String>, Fault> {
        let read = |reply: &str| match reply {
            "No program loaded" => Some(None),
            other => dashboard::after("Loaded program:")(other).map(Some),
        };
        Ok(self.dashboard.query("get loaded program", read).await?)
    }
}

/// Name of the program for a position: the controller's file names have no `.` or `/` inside.
fn program(verb: &str, position: &PositionId) -> String {
    format!("{verb}_{}.urp", position.as_str().replace(['.', '/'], "_"))
}

/// Whether a path on the controller is this program.
fn is_program(path: &str, program: &str) -> bool {
    path.rsplit('/').next() == Some(program)
}

fn in_words(progress: Progress) -> &'static str {
    match progress {
        Progress::NothingBegun => "nothing begun",
        Progress::Picking => "while picking",
        Progress::Picked => "sample in the gripper",
        Progress::Placing => "while placing",
        Progress::Placed => "sample put down",
        Progress::Foreign => "unknown progress",
    }
}

fn way(request: &Request) -> Result<Way<'_>, Fault> {
    match request.positions.as_slice() {
        [from, to] if request.command == "move" && from != to => Ok(Way { from, to }),
        [_, _] if request.command == "move" => {
            Err(refused(codes::UNKNOWN_COMMAND, "a transfer needs two different positions"))
        }
        _ if request.command == "move" => {
            Err(refused(codes::UNKNOWN_COMMAND, "a transfer needs the positions from and to"))
        }
        _ => Err(common::unknown_command(request)),
    }
}

impl Instrument for Arm {
    fn describe(&self) -> Manifest {
        manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        self.dashboard.open().await?;
        // Controllers before 5.6 do not know the question; their version stands in for the number.
        let answer = |reply: &str| (!reply.is_empty()).then(|| reply.to_owned());
        let serial = self.dashboard.query("get serial number", answer).await?;
        let version = self.dashboard.query("PolyscopeVersion", answer).await?;
        let serial = if serial.to_lowercase().contains("could not understand") { version.clone() } else { serial };
        Ok(common::identity_of(&[&serial, &version]))
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        way(request)?;
        self.check_ready().await.map_err(before_start)?;
        let counters = self.counters().await.map_err(before_start)?;
        self.planned = Some((request.key.clone(), counters));
        Ok(common::encode_snapshot(&counters))
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let way = way(request)?;
        match self.planned.take() {
            Some((key, before)) if key == request.key => {
                let outcome = self.carry(way, before, true, attention).await;
                outcome.map_err(|fault| attention.honest(fault))
            }
            _ => Err(refused(codes::UNKNOWN_COMMAND, "the transfer was not prepared")),
        }
    }

    async fn recover(&mut self, request: &Request, snapshot: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        let way = way(request)?;
        let Some(before) = common::decode_snapshot::<Counters>(snapshot) else {
            return Ok(Recovered::Unknown("the snapshot cannot be read".to_owned()));
        };
        // A `play` that was on its way when the connection broke is carried out within this time.
        tokio::time::sleep(SETTLE).await;
        let player = self.player().await?;
        let safety = self.safety_status().await?;
        let progress = Progress::of(before, self.counters().await?);
        let loaded = self.loaded_program().await?.unwrap_or_default();
        let is_pick = is_program(&loaded, &program("pick", way.from));
        let is_place = is_program(&loaded, &program("place", way.to));
        let stopped = !matches!(safety.as_str(), "NORMAL" | "REDUCED");
        Ok(match progress {
            // The counter of a program that has just been started may follow a moment later.
            Progress::NothingBegun if player == Player::Playing && is_pick => Recovered::Running,
            Progress::NothingBegun if player == Player::Stopped => {
                // The command may be sent again as it was prepared, also by a driver that has been restarted.
                self.planned = Some((request.key.clone(), before));
                Recovered::NeverStarted
            }
            Progress::Placed if is_place => {
                Recovered::Finished(Ok(common::done(format!("carried from {} to {}", way.from, way.to), [])))
            }
            Progress::Picking | Progress::Picked | Progress::Placing if stopped => {
                let message = format!("{safety} on the way from {} to {} ({})", way.from, way.to, in_words(progress));
                Recovered::Finished(Err(partial(codes::ARM_PROTECTIVE_STOP, message)))
            }
            Progress::Picking if player == Player::Playing && is_pick => Recovered::Running,
            Progress::Placing if player == Player::Playing && is_place => Recovered::Running,
            // The pick has ended and no place has begun: going on with the place is safe. The place may be loaded already.
            Progress::Picked if is_pick || is_place => Recovered::Running,
            _ => Recovered::Unknown(format!("{}, player {player:?}, loaded program `{loaded}`", in_words(progress))),
        })
    }

    async fn attend(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Done, Fault> {
        let way = way(request)?;
        match common::decode_snapshot::<Counters>(snapshot) {
            Some(before) => {
                attention.telling();
                let outcome = self.carry(way, before, false, attention).await;
                outcome.map_err(|fault| attention.honest(fault))
            }
            None => Err(silent(codes::ARM_PART_WAY, format!("no readable snapshot of {}", request.key))),
        }
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let text = |name, value| Reading { name, value: Value::Text(value) };
        let mode = self.robot_mode().await.map_err(before_start)?;
        let safety = self.safety_status().await.map_err(before_start)?;
        let player = self.player().await.map_err(before_start)?;
        let holds = self.holds_something().await.map_err(before_start)?;
        Ok(vec![
            text("robot_mode", mode),
            text("safety_status", safety),
            Reading { name: "program_running", value: Value::Flag(player == Player::Playing) },
            Reading { name: "gripper_holding", value: Value::Flag(holds) },
        ])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        // A paused program would go on when somebody answers its popup.
        if self.player().await? == Player::Stopped {
            return Ok(format!("{reason}: no program runs, the gripper keeps its grip"));
        }
        match self.dashboard.command("stop").await? {
            reply if reply.starts_with("Stopped") => {
                Ok(format!("{reason}: controlled stop, the gripper keeps its grip"))
            }
            reply => Err(partial(codes::ARM_PART_WAY, format!("the arm was told to stop and answered `{reply}`"))),
        }
    }
}

/// What an arm can do.
pub(crate) fn manifest() -> Manifest {
    let mut transfer =
        specs::command("move", ActionClass::Queryable, 45.0, "Carries a sample from one position to another.");
    transfer.results =
        vec![specs::result("duration", Unit::Second, "Time from pick to place; missing if contact was lost.")];
    let otherwise = "the gripper holds something already";
    transfer.requires = vec![specs::must_be("gripper_holding", Value::Flag(false), otherwise)];
    Manifest {
        driver: DRIVER.to_owned(),
        model: "Universal Robots UR5e".to_owned(),
        capabilities: vec![specs::capability("transfer", vec![transfer])],
        properties: vec![
            specs::property("robot_mode", Unit::One, "Mode of the robot; RUNNING when it can move."),
            specs::property("safety_status", Unit::One, "State of the safety system; NORMAL when nothing stopped it."),
            specs::property("program_running", Unit::One, "Whether a program runs."),
            specs::property("gripper_holding", Unit::One, "Whether the gripper feels an object."),
        ],
    }
}

#[cfg(test)]
mod tests;

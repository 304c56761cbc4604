//! Plunger, valve and the string that drives them.

use super::Config;
use super::motion::{Profile, SPEED_CODES, Speeds};
use super::program::{Command, Direction};
use crate::device::Bench;
use crate::fault::Fault;

/// Error codes of the status byte.
pub(super) mod error {
    pub(crate) const INVALID_COMMAND: u8 = 2;
    pub(crate) const INVALID_OPERAND: u8 = 3;
    pub(crate) const COMMAND_SEQUENCE: u8 = 4;
    pub(crate) const NOT_INITIALISED: u8 = 7;
    pub(crate) const PLUNGER_OVERLOAD: u8 = 9;
    pub(crate) const COMMAND_OVERFLOW: u8 = 15;
}

/// Microsteps in a full step; positions are kept in microsteps.
const MICROSTEPS: u32 = 8;
/// Time of a valve change, seconds.
const VALVE_S: f64 = 0.2;
/// Plunger speed while initialising at full force, pulses/s.
const HOMING_PULSES_PER_S: f64 = 1000.0;
/// Valve homing and the search for the plunger's end stop, seconds.
const HOMING_S: f64 = 1.5;
/// No command takes less than this, so that an endless loop goes on in time.
const SHORTEST_S: f64 = 0.005;
/// Loops deeper than this are refused, as on the pump.
const LOOP_DEPTH: usize = 10;
/// Commands without duration that may follow each other before the string counts as endless.
const INSTANT_COMMANDS: u32 = 100_000;

#[derive(Debug)]
enum Activity {
    Moving { from: u32, to: u32, profile: Profile, started_s: f64, quiet: bool, stalls: bool, stuck: bool },
    Homing { ends_s: f64, output: Option<u8>, valve_after: Option<u8>, valve_works: bool },
    Waiting { ends_s: f64 },
    Halted,
}

#[derive(Debug, Default)]
struct Running {
    commands: Vec<Command>,
    at: usize,
    loops: Vec<(usize, u32)>,
    frame: Vec<u8>,
}

/// The moving parts.
#[derive(Debug)]
pub(super) struct Machine {
    stroke: u32,
    ports: u8,
    microlitres_per_microstep: f64,
    pub(super) initialised: bool,
    overloaded: bool,
    valve_works: bool,
    position: u32,
    pub(super) valve: u8,
    pub(super) speeds: Speeds,
    microstepping: bool,
    activity: Option<Activity>,
    running: Running,
    error: u8,
}

impl Machine {
    pub(super) fn new(config: &Config) -> Self {
        let stroke = config.stroke_steps * MICROSTEPS;
        Self {
            stroke,
            ports: config.ports,
            microlitres_per_microstep: config.syringe_ul / f64::from(stroke),
            initialised: false,
            overloaded: false,
            valve_works: true,
            position: 0,
            valve: 1,
            speeds: Speeds::default(),
            microstepping: false,
            activity: None,
            running: Running::default(),
            error: 0,
        }
    }

    /// Loses what a power cut loses; plunger and valve stay where they are.
    pub(super) fn forget(&mut self) {
        self.initialised = false;
        self.overloaded = false;
        self.valve_works = true;
        self.speeds = Speeds::default();
        self.microstepping = false;
        self.error = 0;
    }

    pub(super) fn take_error(&mut self) -> u8 {
        std::mem::take(&mut self.error)
    }

    pub(super) fn is_active(&self) -> bool {
        self.activity.is_some()
    }

    pub(super) fn is_halted(&self) -> bool {
        matches!(self.activity, Some(Activity::Halted))
    }

    pub(super) fn reports_busy(&self) -> bool {
        self.activity.as_ref().is_some_and(|activity| !matches!(activity, Activity::Moving { quiet: true, .. }))
    }

    pub(super) fn position_steps(&self) -> f64 {
        f64::from(self.position) / f64::from(MICROSTEPS)
    }

    /// Plunger position in the units of the current resolution.
    pub(super) fn position_units(&self, now_s: f64) -> u32 {
        self.position_now(now_s) / self.unit()
    }

    pub(super) fn next_event_s(&self) -> Option<f64> {
        match self.activity.as_ref()? {
            Activity::Moving { stuck: true, .. } | Activity::Halted => None,
            Activity::Moving { profile, started_s, .. } => Some(started_s + profile.duration_s().max(SHORTEST_S)),
            Activity::Homing { ends_s, .. } | Activity::Waiting { ends_s } => Some(*ends_s),
        }
    }

    /// Starts a string; the answer is the error of the commands that were done at once.
    pub(super) fn run(&mut self, commands: Vec<Command>, frame: &[u8], bench: &mut Bench<'_>) -> u8 {
        self.error = 0;
        self.running = Running { commands, at: 0, loops: Vec::new(), frame: frame.to_vec() };
        self.go_on(bench);
        self.error
    }

    /// Goes on after a halt.
    pub(super) fn resume(&mut self, bench: &mut Bench<'_>) -> u8 {
        self.activity = None;
        self.go_on(bench);
        self.error
    }

    /// Sets a speed during a move; it counts from the next move on.
    pub(super) fn set_now(&mut self, command: Command, bench: &mut Bench<'_>) -> u8 {
        bench.count(command.letter());
        self.set(command).err().unwrap_or(0)
    }

    /// Stops where the plunger is; what was moved so far is moved.
    pub(super) fn terminate(&mut self, bench: &mut Bench<'_>) {
        if let Some(Activity::Moving { from, .. }) = &self.activity {
            let (from, reached) = (*from, self.position_now(bench.now_s));
            self.arrive(from, reached, bench);
        }
        self.activity = None;
        self.running = Running::default();
    }

    pub(super) fn advance(&mut self, bench: &mut Bench<'_>) {
        if self.next_event_s().is_none_or(|due_s| due_s > bench.now_s) {
            return;
        }
        match self.activity.take() {
            Some(Activity::Moving { from, to, stalls, .. }) => {
                self.arrive(from, to, bench);
                if stalls {
                    self.overloaded = true;
                    return self.fail(error::PLUNGER_OVERLOAD);
                }
            }
            Some(Activity::Homing { output, valve_after, valve_works, .. }) => {
                self.home(output, valve_after, valve_works, bench);
            }
            Some(Activity::Waiting { .. } | Activity::Halted) | None => {}
        }
        self.go_on(bench);
    }

    fn unit(&self) -> u32 {
        if self.microstepping { 1 } else { MICROSTEPS }
    }

    fn position_now(&self, now_s: f64) -> u32 {
        match &self.activity {
            Some(Activity::Moving { stuck: true, .. }) | None => self.position,
            Some(Activity::Moving { from, to, profile, started_s, .. }) => {
                let way = (f64::from(*to) - f64::from(*from)) * profile.fraction(now_s - started_s);
                // Both ends lie inside the stroke, so the rounded value fits.
                (f64::from(*from) + way).round() as u32
            }
            Some(_) => self.position,
        }
    }

    fn fail(&mut self, code: u8) {
        self.error = code;
        self.activity = None;
        self.running = Running::default();
    }

    fn arrive(&mut self, from: u32, to: u32, bench: &mut Bench<'_>) {
        self.position = to;
        let cause = bench.cause(&self.running.frame, None);
        let volume_ul = f64::from(from.abs_diff(to)) * self.microlitres_per_microstep;
        if to > from {
            bench.world.aspirate(&cause, self.valve, volume_ul);
        } else if to < from {
            bench.world.dispense(&cause, self.valve, volume_ul);
        }
    }

    fn home(&mut self, output: Option<u8>, valve_after: Option<u8>, valve_works: bool, bench: &mut Bench<'_>) {
        self.valve = output.unwrap_or(self.valve);
        self.arrive(self.position, 0, bench);
        self.valve = valve_after.unwrap_or(self.valve);
        self.valve_works = valve_works;
        self.initialised = true;
        self.overloaded = false;
    }

    fn go_on(&mut self, bench: &mut Bench<'_>) {
        for _ in 0..INSTANT_COMMANDS {
            if self.activity.is_some() {
                return;
            }
            let Some(command) = self.running.commands.get(self.running.at).copied() else {
                // The frame stays: nothing else will be attributed to it.
                self.running.commands.clear();
                return;
            };
            self.running.at += 1;
            if let Err(code) = self.start(command, bench) {
                return self.fail(code);
            }
        }
        self.fail(error::COMMAND_SEQUENCE);
    }

    fn start(&mut self, command: Command, bench: &mut Bench<'_>) -> Result<(), u8> {
        bench.count(command.letter());
        match command {
            Command::Initialise { force, input, output, clockwise } => {
                self.start_homing(force, input, output, clockwise, bench.now_s)
            }
            Command::InitialisePlunger => {
                let ends_s = bench.now_s + HOMING_S;
                self.activity = Some(Activity::Homing { ends_s, output: None, valve_after: None, valve_works: false });
                Ok(())
            }
            Command::Move { direction, amount, quiet } => self.start_move(direction, amount, quiet, bench),
            Command::Valve(port) => self.start_valve(port, bench.now_s),
            Command::Delay(milliseconds) if milliseconds <= 30_000 => {
                let wait_s = (f64::from(milliseconds / 5 * 5) / 1000.0).max(SHORTEST_S);
                self.activity = Some(Activity::Waiting { ends_s: bench.now_s + wait_s });
                Ok(())
            }
            Command::Halt(input) if input <= 2 => {
                self.activity = Some(Activity::Halted);
                Ok(())
            }
            Command::LoopStart if self.running.loops.len() < LOOP_DEPTH => {
                self.running.loops.push((self.running.at, 0));
                Ok(())
            }
            Command::LoopStart => Err(error::COMMAND_SEQUENCE),
            Command::LoopEnd(times) => self.loop_end(times),
            Command::Delay(_) | Command::Halt(_) => Err(error::INVALID_OPERAND),
            setting => self.set(setting),
        }
    }

    fn set(&mut self, command: Command) -> Result<(), u8> {
        let within = |value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) { Ok(value) } else { Err(error::INVALID_OPERAND) }
        };
        match command {
            Command::SpeedCode(code) => {
                let code = within(code, 0, 40)?;
                self.speeds.top = SPEED_CODES[code as usize];
            }
            Command::StartSpeed(speed) => self.speeds.start = within(speed, 50, 1000)?,
            Command::TopSpeed(speed) => self.speeds.top = within(speed, 5, 6000)?,
            Command::CutoffSpeed(speed) => self.speeds.cutoff = within(speed, 50, 2700)?,
            Command::Slope(slope) => self.speeds.slope = within(slope, 1, 20)?,
            Command::Resolution(mode) => self.microstepping = within(mode, 0, 1)? == 1,
            _ => return Err(error::COMMAND_SEQUENCE),
        }
        // The pump pulls start and cutoff down to a lower top speed.
        self.speeds.start = self.speeds.start.min(self.speeds.top);
        self.speeds.cutoff = self.speeds.cutoff.min(self.speeds.top);
        Ok(())
    }

    fn start_homing(&mut self, force: u32, input: u32, output: u32, clockwise: bool, now_s: f64) -> Result<(), u8> {
        let ports = u32::from(self.ports);
        if !matches!(force, 0..=2 | 10..=40) || input > ports || output > ports {
            return Err(error::INVALID_OPERAND);
        }
        // Without operands the plunger empties through the last port clockwise and the first counter-clockwise.
        let (first, last) = if clockwise { (1, self.ports) } else { (self.ports, 1) };
        let pick =
            |chosen: u32, default: u8| if chosen == 0 { default } else { u8::try_from(chosen).unwrap_or(default) };
        let speed = match force {
            0 => HOMING_PULSES_PER_S,
            1 => HOMING_PULSES_PER_S / 2.0,
            2 => HOMING_PULSES_PER_S / 3.0,
            code => f64::from(SPEED_CODES[code as usize]),
        };
        let ends_s = now_s + HOMING_S + 2.0 * self.position_steps() / speed;
        self.activity = Some(Activity::Homing {
            ends_s,
            output: Some(pick(output, last)),
            valve_after: Some(pick(input, first)),
            valve_works: true,
        });
        Ok(())
    }

    fn start_move(&mut self, direction: Direction, amount: u32, quiet: bool, bench: &mut Bench<'_>) -> Result<(), u8> {
        if !self.initialised {
            return Err(error::NOT_INITIALISED);
        }
        if self.overloaded {
            return Err(error::PLUNGER_OVERLOAD);
        }
        let amount = amount.checked_mul(self.unit()).ok_or(error::INVALID_OPERAND)?;
        let to = match direction {
            Direction::Absolute => Some(amount),
            Direction::PickUp => self.position.checked_add(amount),
            Direction::Dispense => self.position.checked_sub(amount),
        };
        let mut to = to.filter(|to| *to <= self.stroke).ok_or(error::INVALID_OPERAND)?;
        let stalls = bench.strike(Fault::Overload, &self.running.frame).is_some();
        if stalls {
            to = u32::midpoint(self.position, to);
        }
        let stuck = bench.strike(Fault::Stuck, &self.running.frame).is_some();
        let steps = f64::from(self.position.abs_diff(to)) / f64::from(MICROSTEPS);
        let profile = Profile::new(steps, self.speeds);
        let (from, started_s) = (self.position, bench.now_s);
        self.activity = Some(Activity::Moving { from, to, profile, started_s, quiet, stalls, stuck });
        Ok(())
    }

    fn start_valve(&mut self, port: u32, now_s: f64) -> Result<(), u8> {
        if !self.initialised || !self.valve_works {
            return Err(error::NOT_INITIALISED);
        }
        let port = u8::try_from(port).ok().filter(|port| (1..=self.ports).contains(port));
        let port = port.ok_or(error::INVALID_OPERAND)?;
        if port != self.valve {
            self.valve = port;
            self.activity = Some(Activity::Waiting { ends_s: now_s + VALVE_S });
        }
        Ok(())
    }

    fn loop_end(&mut self, times: u32) -> Result<(), u8> {
        if times > 30_000 {
            return Err(error::INVALID_OPERAND);
        }
        let Some((start, done)) = self.running.loops.last_mut() else { return Err(error::COMMAND_SEQUENCE) };
        *done += 1;
        // G0 repeats until terminated.
        if times == 0 || *done < times {
            self.running.at = *start;
        } else {
            self.running.loops.pop();
        }
        Ok(())
    }
}

//! Robot arm: Universal Robots UR5e with dashboard server and RTDE (protocol reference 2.9).
//!
//! Programmes are named `pick_<position>.urp` and `place_<position>.urp`, with `/` and `.` of a position written as `_`.
//! A programme acts on the world when it ends. `Starting program` is an acceptance, not a proof: the counters in the
//! RTDE output registers tell whether a programme started and whether it finished.

mod dashboard;
mod rtde;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::cut_line;
use crate::device::{Bench, Firmware, Port, Session};
use crate::fault::Fault;

/// A protective stop can be released five seconds after it occurred.
const RELEASE_AFTER_S: f64 = 5.0;
/// Longest line of the dashboard.
const LONGEST: usize = 1024;

/// Keys of an arm in the world file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Serial number; it must start with `SIM`.
    pub serial: String,
    /// Duration of a programme, simulated seconds.
    pub program_s: f64,
    /// Durations of single programmes by name, simulated seconds.
    pub program_durations_s: BTreeMap<String, f64>,
    /// Powered and released at the start, as an operator leaves it; after a power cut it is off.
    pub starts_running: bool,
    /// TCP port of RTDE; 0 takes a free one.
    pub rtde_port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serial: "SIM-UR5E-0001".into(),
            program_s: 12.0,
            program_durations_s: BTreeMap::new(),
            starts_running: true,
            rtde_port: 0,
        }
    }
}

/// Power state of the arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RobotMode {
    PowerOff,
    Idle,
    Running,
}

impl RobotMode {
    fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "POWER_OFF",
            Self::Idle => "IDLE",
            Self::Running => "RUNNING",
        }
    }

    /// Number in RTDE.
    fn number(self) -> i32 {
        match self {
            Self::PowerOff => 3,
            Self::Idle => 5,
            Self::Running => 7,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgramState {
    Stopped,
    Playing,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Pick,
    Place,
}

/// The programme that plays or is paused.
#[derive(Clone, Debug)]
struct Playing {
    remaining_s: f64,
    since_s: f64,
    /// Simulated time left at which the safety system stops the arm.
    stop_at_remaining_s: Option<f64>,
    /// The world has been acted upon; only the end is left.
    acted: bool,
    stuck: bool,
    frame: Vec<u8>,
}

/// The arm.
#[derive(Debug)]
pub struct Ur5e {
    config: Config,
    programs: BTreeMap<String, (Act, String)>,
    mode: RobotMode,
    loaded: Option<String>,
    state: ProgramState,
    playing: Option<Playing>,
    popup: bool,
    stopped_since_s: Option<f64>,
    started: i32,
    finished: i32,
    holding: bool,
    powered_since_s: f64,
    streams: BTreeMap<Session, rtde::Stream>,
}

impl Ur5e {
    /// An arm that knows a pick and a place programme for each of `positions`.
    pub fn new(config: Config, positions: &[String]) -> Self {
        let mode = if config.starts_running { RobotMode::Running } else { RobotMode::PowerOff };
        let mut programs = BTreeMap::new();
        for position in positions {
            let plain = position.replace(['/', '.'], "_");
            programs.insert(format!("pick_{plain}.urp"), (Act::Pick, position.clone()));
            programs.insert(format!("place_{plain}.urp"), (Act::Place, position.clone()));
        }
        Self {
            config,
            programs,
            mode,
            loaded: None,
            state: ProgramState::Stopped,
            playing: None,
            popup: false,
            stopped_since_s: None,
            started: 0,
            finished: 0,
            holding: false,
            powered_since_s: 0.0,
            streams: BTreeMap::new(),
        }
    }

    fn play(&mut self, frame: &[u8], bench: &mut Bench<'_>) -> bool {
        let ready = self.mode == RobotMode::Running
            && self.stopped_since_s.is_none()
            && !self.popup
            && !bench.lasting(Fault::LocalMode);
        let Some(name) = self.loaded.clone().filter(|_| ready && self.state != ProgramState::Playing) else {
            return false;
        };
        if self.state == ProgramState::Paused && self.playing.is_some() {
            if let Some(playing) = &mut self.playing {
                playing.since_s = bench.now_s;
            }
            self.state = ProgramState::Playing;
            return true;
        }
        if bench.strike(Fault::Popup, frame).is_some() {
            self.popup = true;
            return true;
        }
        bench.count("play");
        self.started = self.started.wrapping_add(1);
        let duration_s = self.config.program_durations_s.get(&name).copied().unwrap_or(self.config.program_s);
        let stop_at_remaining_s = bench.strike(Fault::ProtectiveStop, frame).map(|_| duration_s / 2.0);
        let stuck = bench.strike(Fault::Stuck, frame).is_some();
        self.playing = Some(Playing {
            remaining_s: duration_s,
            since_s: bench.now_s,
            stop_at_remaining_s,
            acted: false,
            stuck,
            frame: frame.to_vec(),
        });
        self.state = ProgramState::Playing;
        true
    }

    fn stop(&mut self) {
        self.state = ProgramState::Stopped;
        self.playing = None;
    }

    fn pause(&mut self, now_s: f64) {
        if let Some(playing) = &mut self.playing {
            playing.remaining_s -= now_s - playing.since_s;
            playing.since_s = now_s;
        }
        self.state = ProgramState::Paused;
    }

    fn protective_stop(&mut self, now_s: f64) {
        self.pause(now_s);
        self.stopped_since_s = Some(now_s);
    }

    /// Time of the next thing the programme does: its end, or the stop of the safety system on the way.
    fn program_event_s(&self) -> Option<f64> {
        let playing = self.playing.as_ref().filter(|playing| self.state == ProgramState::Playing && !playing.stuck)?;
        Some(playing.since_s + playing.remaining_s - playing.stop_at_remaining_s.unwrap_or(0.0))
    }

    fn program_event(&mut self, bench: &mut Bench<'_>) {
        let Some(playing) = &mut self.playing else { return };
        if playing.stop_at_remaining_s.take().is_some() {
            return self.protective_stop(bench.now_s);
        }
        let acted = std::mem::replace(&mut playing.acted, true);
        let frame = playing.frame.clone();
        if !acted && bench.strike(Fault::Fail, &frame).is_some() {
            return self.stop();
        }
        if !acted && self.act(&frame, bench) {
            return self.protective_stop(bench.now_s);
        }
        self.finished = self.finished.wrapping_add(1);
        bench.count("finished");
        self.stop();
    }

    /// Acts on the world; true when the arm collided.
    fn act(&mut self, frame: &[u8], bench: &mut Bench<'_>) -> bool {
        let Some((act, position)) = self.loaded.as_ref().and_then(|name| self.programs.get(name)).cloned() else {
            return false;
        };
        let cause = bench.cause(frame, None);
        let hand_over = match act {
            Act::Pick => bench.world.pick(&cause, &position),
            Act::Place => bench.world.place(&cause, &position),
        };
        if hand_over.object.is_some() {
            self.holding = act == Act::Pick;
        }
        hand_over.protective_stop
    }
}

impl Firmware for Ur5e {
    fn kind(&self) -> &'static str {
        "ur5e"
    }

    fn identity(&self) -> String {
        self.config.serial.clone()
    }

    fn connected(&mut self, session: Session, bench: &mut Bench<'_>) {
        match session.port {
            Port::Main => bench.tell(Some(session), "Connected: Universal Robots Dashboard Server\n"),
            Port::RealTime => {
                self.streams.insert(session, rtde::Stream::default());
            }
        }
    }

    fn disconnected(&mut self, session: Session, _bench: &mut Bench<'_>) {
        self.streams.remove(&session);
    }

    fn cut(&mut self, session: Session, input: &mut Vec<u8>) -> Option<Vec<u8>> {
        match session.port {
            Port::Main => cut_line(input, LONGEST),
            Port::RealTime => rtde::cut(input),
        }
    }

    fn execute(&mut self, session: Session, request: &[u8], bench: &mut Bench<'_>) {
        match session.port {
            Port::Main => {
                let answer = self.dashboard(request, bench);
                let quits = request == b"quit";
                bench.reply(session, format!("{answer}\n"));
                if quits {
                    bench.close(session);
                }
            }
            Port::RealTime => self.real_time(session, request, bench),
        }
    }

    fn next_event_s(&self) -> Option<f64> {
        let streams = self.streams.values().filter_map(rtde::Stream::due_s);
        streams.chain(self.program_event_s()).min_by(f64::total_cmp)
    }

    fn advance(&mut self, bench: &mut Bench<'_>) {
        if self.program_event_s().is_some_and(|due_s| due_s <= bench.now_s) {
            self.program_event(bench);
        }
        self.stream(bench);
    }

    fn power_cycle(&mut self, bench: &mut Bench<'_>) {
        self.stop();
        self.mode = RobotMode::PowerOff;
        (self.loaded, self.popup, self.stopped_since_s) = (None, false, None);
        (self.started, self.finished) = (0, 0);
        self.powered_since_s = bench.now_s;
    }

    fn inject(&mut self, fault: Fault, bench: &mut Bench<'_>) {
        // Local mode is switched at the pendant, which also takes a running programme out of remote control's hands.
        if fault == Fault::LocalMode && self.state == ProgramState::Playing {
            self.pause(bench.now_s);
        }
    }

    fn status(&self) -> Value {
        json!({
            "robot_mode": self.mode.name(),
            "loaded": self.loaded,
            "program_state": format!("{:?}", self.state),
            "protective_stop": self.stopped_since_s.is_some(),
            "popup": self.popup,
            "started": self.started,
            "finished": self.finished,
            "holding": self.holding,
        })
    }
}

//! Tecan Cavro XLP 6000 syringe pump with a distribution valve, OEM framing (operating manual 734237-C).
//!
//! Moves use absolute plunger positions, so position and valve read back prove what happened: the snapshot taken before
//! the start holds where both stood and where they should end.
//!
//! A pump that lost its reference is initialised when the first move is prepared, not when the line is opened: the
//! missing reference is the evidence that the power failed, and [`Instrument::recover`] must find it before it is wiped
//! out by an initialisation, which moves the plunger to zero.

mod codec;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::transport::{Port, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};
use serde::{Deserialize, Serialize};

use crate::common::{self, LabTimer, before_start, partial, refused, silent};
use crate::dialogue::{self, Unheard};
use crate::{codes, specs};

use codec::{Answer, PumpError, Sequence, Status};
pub use settings::SyringePumpSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "cavro-xlp";
/// Line settings of the pump's factory default.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// How long one answer may take. Field drivers use 0.1 s; a computer shared with other drivers can be later than that.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// Attempts at one frame: first as it is, then with the repeat flag.
const ATTEMPTS: u32 = 5;
/// Pause before the n-th repeat, times n.
const REPEAT_PAUSE: Duration = Duration::from_millis(50);
/// Lab time between two looks at a moving pump.
const POLL: Duration = Duration::from_millis(300);
/// Smallest volume that a syringe of 250 µL meters with an accuracy of a few per cent.
const SMALLEST_UL: f64 = 0.5;
/// The slowest full stroke takes 20 minutes (speed code 40); beyond that the pump is stuck.
const LONGEST_MOVE_S: f64 = 1_800.0;

/// A syringe pump: a syringe with a plunger behind a valve with numbered ports.
#[derive(Debug)]
pub struct SyringePump {
    port: Port,
    settings: SyringePumpSettings,
    sequence: Sequence,
    /// The move that was prepared last, with the key of its request.
    planned: Option<(String, Move)>,
    /// After an overload the next move fails again until the pump is initialised.
    overloaded: bool,
    /// Whether the pump has shown since the last contact that it knows where its plunger is.
    referenced: bool,
}

/// A move from where plunger and valve stand to where they should stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    from_step: u32,
    from_port: u32,
    to_step: u32,
    to_port: u32,
}

/// Where plunger and valve stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    step: u32,
    port: u32,
}

impl SyringePump {
    /// A pump that has not been contacted yet.
    pub fn new(port: Port, settings: SyringePumpSettings) -> Self {
        Self { port, settings, sequence: Sequence::FIRST, planned: None, overloaded: false, referenced: false }
    }

    /// Draws a volume through a valve port. Returns the volume that the plunger moved, in microlitres.
    pub async fn aspirate(&mut self, port: u32, volume_ul: f64, attention: &Attention) -> Result<Done, Fault> {
        let stand = self.ready_to_move(attention).await.map_err(before_start)?;
        let plan = self.plan_aspirate(stand, port, volume_ul)?;
        self.carry_out(plan, attention).await.map_err(|fault| attention.honest(fault))
    }

    /// Pushes a volume, or everything for `None`, out through a valve port.
    pub async fn dispense(&mut self, port: u32, volume_ul: Option<f64>, attention: &Attention) -> Result<Done, Fault> {
        let stand = self.ready_to_move(attention).await.map_err(before_start)?;
        let plan = self.plan_dispense(stand, port, volume_ul)?;
        self.carry_out(plan, attention).await.map_err(|fault| attention.honest(fault))
    }

    /// Finds the reference of plunger and valve. The content of the syringe leaves through the port of
    /// the settings.
    pub async fn initialise(&mut self, attention: &Attention) -> Result<Done, Fault> {
        self.wait_until_ready(attention).await.map_err(before_start)?;
        attention.telling();
        let ports = format!("{},{}", self.settings.initialise_from_port, self.settings.initialise_to_port);
        let answer = self.exchange(&format!("Z0,{ports}R")).await?;
        let status = self.wait_until_ready(attention).await?;
        let error = if status.error == PumpError::NONE { answer.status.error } else { status.error };
        // Error 7 may still stand in the acknowledgement: it was true when the command came.
        if error != PumpError::NONE && (error != PumpError::NOT_INITIALISED || status.error != PumpError::NONE) {
            let message = format!("the pump did not initialise: {}", error.meaning());
            return Err(partial(codes::PUMP_NOT_INITIALISED, message));
        }
        self.overloaded = false;
        let stand = self.stand().await?;
        Ok(common::done("initialised", [("plunger_position", Value::Integer(stand.step.into()))]))
    }

    fn plan_aspirate(&self, stand: Stand, port: u32, volume_ul: f64) -> Result<Move, Fault> {
        let steps = self.settings.steps(volume_ul);
        self.plan(stand, port, i64::from(stand.step) + steps)
    }

    fn plan_dispense(&self, stand: Stand, port: u32, volume_ul: Option<f64>) -> Result<Move, Fault> {
        let to_step = volume_ul.map_or(0, |volume| i64::from(stand.step) - self.settings.steps(volume));
        self.plan(stand, port, to_step)
    }

    fn plan(&self, stand: Stand, port: u32, to_step: i64) -> Result<Move, Fault> {
        let held = self.settings.volume_ul(stand.step.into());
        if port == 0 || port > self.settings.valve_ports {
            let message = format!("the valve has no port {port}, only 1 to {}", self.settings.valve_ports);
            return Err(refused(codes::PUMP_COMMAND, message));
        }
        if to_step < 0 || to_step > i64::from(self.settings.stroke_steps) {
            let wanted = self.settings.volume_ul(to_step - i64::from(stand.step)).abs();
            let message = format!(
                "the syringe of {} µL holds {held:.2} µL, so {wanted:.2} µL cannot be {}",
                self.settings.syringe_ul,
                if to_step < 0 { "dispensed" } else { "drawn" }
            );
            return Err(refused(codes::PUMP_STROKE, message));
        }
        let to_step = u32::try_from(to_step).expect("checked against zero and the stroke above");
        if to_step == stand.step {
            // A move of no steps could never be proven from the position afterwards.
            let message = format!("the syringe holds {held:.2} µL and nothing would move");
            return Err(refused(codes::PUMP_STROKE, message));
        }
        Ok(Move { from_step: stand.step, from_port: stand.port, to_step, to_port: port })
    }

    /// Makes sure that the pump stands still and knows where its plunger is.
    async fn ready_to_move(&mut self, attention: &Attention) -> Result<Stand, Fault> {
        let mut status = self.query().await?;
        if !status.ready {
            return Err(refused(codes::PUMP_BUSY, "the pump is moving"));
        }
        if self.overloaded || status.error.is_overload() {
            self.overloaded = true;
            let message = "the pump had an overload and must be initialised before it moves again";
            return Err(refused(codes::PUMP_OVERLOAD, message));
        }
        if status.error == PumpError::NONE {
            // `Q` clears a reported error, so only a report proves that the reference is still there.
            status.error = self.exchange("?").await?.status.error;
        }
        if status.error == PumpError::NONE && !self.referenced {
            // A pump says that it lost its reference only when it is asked to move; to where it stands is no motion.
            let step = self.stand().await?.step;
            let acknowledged = self.exchange(&format!("A{step}R")).await?.status.error;
            let settled = self.wait_until_ready(attention).await?.error;
            status.error = if acknowledged == PumpError::NONE { settled } else { acknowledged };
        }
        if status.error == PumpError::NOT_INITIALISED {
            tracing::warn!("the pump is not initialised: its power was cut; initialising, the syringe is emptied");
            self.initialise(attention).await?;
        } else if status.error != PumpError::NONE {
            tracing::warn!(error = status.error.meaning(), "the pump reports an error from before");
        }
        self.referenced = true;
        Ok(self.stand().await?)
    }

    /// Tells the pump to move, once, and proves from the positions afterwards what happened.
    async fn carry_out(&mut self, plan: Move, attention: &Attention) -> Result<Done, Fault> {
        let string = format!("S{}I{}A{}R", self.settings.speed_code, plan.to_port, plan.to_step);
        attention.telling();
        let acknowledged = self.exchange(&string).await?.status.error;
        self.follow(plan, acknowledged, attention).await
    }

    /// Waits for the end of a move and judges it.
    async fn follow(&mut self, plan: Move, acknowledged: PumpError, attention: &Attention) -> Result<Done, Fault> {
        let timer = LabTimer::start(attention);
        let mut status = self.query().await?;
        while !status.ready {
            if attention.should_abort() {
                return Err(self.stop(plan, attention).await?);
            }
            if timer.has_passed(LONGEST_MOVE_S) {
                let message = "the pump has been moving for longer than a full stroke takes";
                return Err(silent(codes::PUMP_PART_WAY, message));
            }
            attention.pause(POLL).await;
            status = self.query().await?;
        }
        let error = if status.error == PumpError::NONE { acknowledged } else { status.error };
        let stand = self.stand().await?;
        self.judge(plan, stand, error, attention)
    }

    /// What positions and error say about a move that has ended.
    fn judge(&mut self, plan: Move, stand: Stand, error: PumpError, attention: &Attention) -> Result<Done, Fault> {
        self.overloaded |= error.is_overload();
        let steps = i64::from(stand.step) - i64::from(plan.from_step);
        let moved = self.settings.volume_ul(steps.abs());
        let results = [
            ("volume", Value::quantity(moved, Unit::Microlitre)),
            ("plunger_position", Value::Integer(stand.step.into())),
        ];
        let action = if plan.to_step > plan.from_step { "drew" } else { "dispensed" };
        if error == PumpError::NONE && stand.step == plan.to_step && stand.port == plan.to_port {
            return Ok(common::done(format!("{action} {moved:.2} µL at port {}", plan.to_port), results));
        }
        let untouched = stand.step == plan.from_step && stand.port == plan.from_port;
        let message = format!(
            "{}: plunger at step {} of {}, valve at port {} for {}; {action} {moved:.2} µL",
            error.meaning(),
            stand.step,
            plan.to_step,
            stand.port,
            plan.to_port
        );
        let code = match error.0 {
            9 | 10 => codes::PUMP_OVERLOAD,
            7 => codes::PUMP_NOT_INITIALISED,
            15 => codes::PUMP_BUSY,
            0 => codes::PUMP_PART_WAY,
            _ if untouched => codes::PUMP_COMMAND,
            _ => codes::PUMP_PART_WAY,
        };
        if untouched && error == PumpError::NONE {
            // The command was taken without an error and nothing moved: it may yet.
            return Err(silent(code, format!("the pump took the command and has not moved: {message}")));
        }
        if untouched && !error.is_overload() {
            return Err(attention.nothing_happened(code, format!("nothing moved: {message}")));
        }
        let results = common::done("", results).results;
        Err(Fault::Partial { code, message, results })
    }

    /// Stops a move on request.
    async fn stop(&mut self, plan: Move, attention: &Attention) -> Result<Fault, Fault> {
        self.exchange("T").await?;
        self.wait_until_ready(attention).await?;
        let stand = self.stand().await?;
        let moved = self.settings.volume_ul((i64::from(stand.step) - i64::from(plan.from_step)).abs());
        // A terminated move may lose steps (manual, command T), so the position is only roughly known from here on.
        self.overloaded = true;
        let message = format!("stopped after about {moved:.1} µL; initialise the pump before it moves again");
        Ok(Fault::Aborted { message })
    }

    async fn wait_until_ready(&mut self, attention: &Attention) -> Result<Status, Fault> {
        let timer = LabTimer::start(attention);
        loop {
            let status = self.query().await?;
            if status.ready {
                return Ok(status);
            }
            if timer.has_passed(LONGEST_MOVE_S) {
                return Err(silent(codes::PUMP_BUSY, "the pump stays busy"));
            }
            attention.pause(POLL).await;
        }
    }

    /// Busy, ready and error: valid only in the answer to `Q`.
    async fn query(&mut self) -> Result<Status, Unheard> {
        Ok(self.exchange("Q").await?.status)
    }

    async fn stand(&mut self) -> Result<Stand, Unheard> {
        Ok(Stand { step: self.report("?").await?, port: self.report("?6").await? })
    }

    async fn report(&mut self, question: &str) -> Result<u32, Unheard> {
        let data = self.exchange(question).await?.data;
        let garbled = || Unheard::Garbled(format!("the pump answered `{data}` to `{question}`"));
        data.trim().parse().map_err(|_| garbled())
    }

    /// One command string and its answer. A frame that is not answered is sent again with the repeat flag, which the
    /// pump never executes twice.
    async fn exchange(&mut self, string: &str) -> Result<Answer, Unheard> {
        self.sequence = self.sequence.next();
        let mut last = Unheard::Garbled(String::new());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(REPEAT_PAUSE * attempt).await;
            }
            let frame = codec::command(self.settings.address_switch, self.sequence, attempt > 0, string);
            let limit = codec::ANSWER_LIMIT;
            // Input from before the question is only thrown away before the first attempt: the answer to an earlier
            // attempt at the same frame is an answer to this one as well.
            match dialogue::ask(&mut self.port, &frame, limit, ANSWER_WITHIN, codec::find_answer).await {
                Ok((bytes, unasked)) => match codec::answer(&bytes) {
                    Ok(answer) => {
                        if attempt > 0 || !unasked.is_empty() {
                            // Answers carry no sequence number: those to the other attempts must not reach the next command.
                            dialogue::quieten(&mut self.port).await?;
                        }
                        return Ok(answer);
                    }
                    Err(garbled) => last = Unheard::Garbled(garbled),
                },
                Err(unheard) if unheard.may_ask_again() => last = unheard,
                Err(unheard) => return Err(unheard),
            }
        }
        dialogue::quieten(&mut self.port).await?;
        Err(last)
    }

    fn plan_request(&self, request: &Request, stand: Stand) -> Result<Move, Fault> {
        let port = u32::try_from(common::integer(request, "port")?).unwrap_or(0);
        if request.command == "aspirate" {
            return self.plan_aspirate(stand, port, common::quantity(request, "volume", Unit::Microlitre)?);
        }
        let all = request.arguments.get("all") == Some(&Value::Flag(true));
        if all {
            return self.plan_dispense(stand, port, None);
        }
        let volume = common::quantity(request, "volume", Unit::Microlitre)?;
        if volume < SMALLEST_UL {
            return Err(refused(codes::PUMP_STROKE, format!("give a volume of at least {SMALLEST_UL} µL, or `all`")));
        }
        self.plan_dispense(stand, port, Some(volume))
    }
}

impl Instrument for SyringePump {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        self.referenced = false;
        self.port.open().await?;
        dialogue::quieten(&mut self.port).await?;
        // Whether a pump remembers the last sequence number over a restart of the driver is not known, and the first
        // answer could be one from before; the second question certainly has another number.
        self.query().await?;
        self.query().await?;
        let configuration = self.exchange("?76").await?.data;
        let firmware = self.exchange("?23").await?.data;
        Ok(common::identity_of(&[&configuration, &firmware]))
    }

    async fn prepare(&mut self, request: &Request, attention: &Attention) -> Result<Vec<u8>, Fault> {
        match request.command.as_str() {
            "initialise" => Ok(Vec::new()),
            "aspirate" | "dispense" => {
                let stand = self.ready_to_move(attention).await.map_err(before_start)?;
                let plan = self.plan_request(request, stand)?;
                self.planned = Some((request.key.clone(), plan));
                Ok(common::encode_snapshot(&plan))
            }
            _ => Err(common::unknown_command(request)),
        }
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let outcome = match request.command.as_str() {
            "initialise" => self.initialise(attention).await,
            "aspirate" | "dispense" => match self.planned.take() {
                Some((key, plan)) if key == request.key => self.carry_out(plan, attention).await,
                _ => Err(refused(codes::UNKNOWN_COMMAND, "the move was not prepared")),
            },
            _ => Err(common::unknown_command(request)),
        };
        outcome.map_err(|fault| attention.honest(fault))
    }

    async fn recover(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Recovered, Fault> {
        if request.command == "initialise" {
            return Ok(Recovered::Unknown("an initialisation leaves no trace; it may be repeated".to_owned()));
        }
        let Some(plan) = common::decode_snapshot::<Move>(snapshot) else {
            return Ok(Recovered::Unknown("the snapshot cannot be read".to_owned()));
        };
        let status = self.query().await?;
        if !status.ready {
            return Ok(Recovered::Running);
        }
        let report = self.exchange("?").await?.status.error;
        if status.error == PumpError::NOT_INITIALISED || report == PumpError::NOT_INITIALISED {
            let message = "the pump lost its reference, so its position proves nothing; look at syringe and vial";
            return Ok(Recovered::Unknown(message.to_owned()));
        }
        let stand = self.stand().await?;
        if status.error == PumpError::NONE && stand == (Stand { step: plan.from_step, port: plan.from_port }) {
            // The command may be sent again as it was prepared, also by a driver that has been restarted.
            self.planned = Some((request.key.clone(), plan));
            return Ok(Recovered::NeverStarted);
        }
        Ok(Recovered::Finished(self.judge(plan, stand, status.error, attention)))
    }

    async fn attend(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Done, Fault> {
        match common::decode_snapshot::<Move>(snapshot) {
            Some(plan) => {
                attention.telling();
                let outcome = self.follow(plan, PumpError::NONE, attention).await;
                outcome.map_err(|fault| attention.honest(fault))
            }
            None => Err(common::silent(codes::PUMP_PART_WAY, format!("no readable snapshot of {}", request.key))),
        }
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let stand = self.stand().await.map_err(|unheard| before_start(unheard.into()))?;
        let held = self.settings.volume_ul(stand.step.into());
        Ok(vec![
            Reading { name: "syringe_volume", value: Value::quantity(held, Unit::Microlitre) },
            Reading { name: "plunger_position", value: Value::Integer(stand.step.into()) },
            Reading { name: "valve_port", value: Value::Integer(stand.port.into()) },
        ])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        if self.query().await?.ready {
            return Ok(format!("{reason}: the pump stands still"));
        }
        self.exchange("T").await?;
        self.overloaded = true;
        match self.query().await?.ready {
            true => Ok(format!("{reason}: the pump was stopped and must be initialised before it moves again")),
            false => Err(partial(codes::PUMP_BUSY, "the pump was told to stop and still reports that it moves")),
        }
    }
}

/// Everything the pump can do, with the limits of its settings.
impl SyringePumpSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let port = || specs::integer("port", (1, self.valve_ports.into()), None, "Valve port.");
        let volume =
            |min, default, text| specs::quantity("volume", Unit::Microlitre, (min, self.syringe_ul), default, text);
        let results = || {
            vec![
                specs::result("volume", Unit::Microlitre, "Volume that the plunger moved, from its position."),
                specs::result("plunger_position", Unit::One, "Plunger position in steps afterwards."),
            ]
        };
        let mut aspirate =
            specs::command("aspirate", ActionClass::Queryable, 10.0, "Draws liquid into the syringe through a port.");
        aspirate.arguments = vec![port(), volume(SMALLEST_UL, None, "Volume to draw.")];
        aspirate.results = results();
        let mut dispense = specs::command(
            "dispense",
            ActionClass::Queryable,
            10.0,
            "Pushes liquid out of the syringe through a port.",
        );
        dispense.arguments = vec![
            port(),
            volume(0.0, Some(0.0), "Volume to push out, at least 0.5 µL; not used with `all`."),
            specs::flag("all", "Push out everything that the syringe holds."),
        ];
        dispense.results = results();
        let mut initialise = specs::command(
            "initialise",
            ActionClass::Idempotent,
            15.0,
            "Finds the reference of plunger and valve; the syringe empties through the output port.",
        );
        initialise.results =
            vec![specs::result("plunger_position", Unit::One, "Plunger position in steps afterwards.")];
        Manifest {
            driver: DRIVER.to_owned(),
            model: "Tecan Cavro XLP 6000".to_owned(),
            capabilities: vec![specs::capability("liquid_handling", vec![aspirate, dispense, initialise])],
            properties: vec![
                specs::property("syringe_volume", Unit::Microlitre, "What the syringe holds."),
                specs::property("plunger_position", Unit::One, "Plunger position in steps."),
                specs::property("valve_port", Unit::One, "Port of the valve."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

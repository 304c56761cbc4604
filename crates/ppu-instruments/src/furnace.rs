//! A furnace behind a Eurotherm EPC3016 controller, Modbus RTU (9600 8N1) or TCP (HA028651; register map as used in
//! the field).
//!
//! The programme is written, read back and only then started, while the programmer is in reset. The controller carries
//! it out alone: when contact is lost, the anneal goes on, and the driver attaches to it again.

mod programme;
mod registers;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::modbus::{Framing, Identity, Modbus, ModbusError, ModbusSettings};
use ppu_driver::transport::{Connect, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};
use serde::{Deserialize, Serialize};

use crate::common::{self, LabTimer, before_start, partial, refused, silent};
use crate::{codes, specs};

use programme::{Anneal, from_word, to_word};
use registers::{self as register, Mode};
pub use settings::FurnaceSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "eurotherm-epc3016";
/// Line settings for Modbus RTU.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// How long one reply may take, and how long the line is left alone after a time-out: longer than the latest late
/// reply seen in the field (450 ms).
const REPLY_WITHIN: Duration = Duration::from_millis(300);
const HOLD_OFF: Duration = Duration::from_millis(600);
/// Attempts at a read; a write is never repeated without reading first.
const ATTEMPTS: u32 = 4;
/// Lab time between two writes, as the field driver leaves it.
const GAP: Duration = Duration::from_millis(100);
/// Kelvin by which two readings of the temperature in a row may differ: a lab simulated at a thousand times real speed
/// ramps by some kelvin between them, and a flipped bit that matters is worth more.
const AGREE_K: u16 = 10;
/// Pairs of readings that may disagree before the line is not believed any more.
const AGREEMENTS: usize = 4;
/// Lab time between two looks at a running programme.
const POLL: Duration = Duration::from_secs(10);
/// Lab time within which the controller leaves reset after the run command.
const START_S: f64 = 30.0;
/// Allowance for a programme that runs longer than computed: holdback while the load lags behind.
const LATE_FACTOR: f64 = 1.5;
const LATE_MIN: f64 = 120.0;

/// A furnace.
#[derive(Debug)]
pub struct Furnace {
    connect: Connect,
    settings: FurnaceSettings,
    bus: Option<Modbus>,
    /// Version and type seen at the first contact.
    identity: Option<(u16, u16)>,
    /// Whether the controller keeps the inverse of the status word, so that a missing one is an error.
    has_inverse: bool,
}

/// What the controller showed before the start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Snapshot {
    anneal: Anneal,
    start_c: f64,
    /// Whether the power-failure bit was clear, so that it proves a failure when it is set later.
    power_bit_clear: bool,
}

impl Furnace {
    /// A furnace that has not been contacted yet.
    pub fn new(connect: Connect, settings: FurnaceSettings) -> Self {
        Self { connect, settings, bus: None, identity: None, has_inverse: false }
    }

    /// Writes a programme into the controller and reads it back. Heats nothing.
    async fn write_programme(&mut self, anneal: Anneal, attention: &Attention) -> Result<Snapshot, Fault> {
        let start_c = self.check_idle(attention).await?;
        match self.write(register::ACKNOWLEDGE_ALL, 1).await {
            Err(error) if !error.is_refusal() => return Err(error.fault()),
            _ => attention.pause(GAP).await,
        }
        let (rounded, writes) = programme::writes(&anneal, self.settings.standby_c, self.settings.decimals);
        let standby = (register::TARGET_SETPOINT, to_word(self.settings.standby_c, self.settings.decimals));
        for (address, word) in writes.into_iter().chain([standby]) {
            self.write(address, word).await?;
            attention.pause(GAP).await;
            let found = self.word(address).await?;
            if found != word {
                let message = format!("register {address} was written with {word} and reads {found}");
                return Err(refused(codes::FURNACE_PROGRAMME, message));
            }
        }
        let mode = self.mode().await?;
        if mode != Mode::Reset {
            let message = format!("the programmer went to {} while its programme was written", mode.word());
            return Err(refused(codes::FURNACE_BUSY, message));
        }
        let power_bit_clear =
            matches!(self.word(register::DIGITAL_INPUTS).await, Ok(word) if word & register::POWER_FAILED == 0);
        Ok(Snapshot { anneal: rounded, start_c, power_bit_clear })
    }

    /// Makes sure that nothing runs and the furnace is cold; acknowledges a programme that has completed.
    async fn check_idle(&mut self, attention: &Attention) -> Result<f64, Fault> {
        self.check_sensor().await?;
        let temperature_c = self.temperature().await?;
        let mut mode = self.mode().await?;
        if mode.is_under_way() {
            return Err(refused(codes::FURNACE_BUSY, format!("the programmer is in {}", mode.word())));
        }
        if temperature_c >= self.settings.idle_below_c {
            let message =
                format!("the furnace is at {temperature_c:.1} °C, idle is below {} °C", self.settings.idle_below_c);
            return Err(refused(codes::FURNACE_BUSY, message));
        }
        if mode == Mode::Complete {
            self.write(register::RESET, 1).await?;
            let timer = LabTimer::start(attention);
            while mode != Mode::Reset {
                if timer.has_passed(START_S) {
                    return Err(refused(codes::FURNACE_BUSY, "a completed programme cannot be reset"));
                }
                attention.pause(GAP).await;
                mode = self.mode().await?;
            }
        }
        Ok(temperature_c)
    }

    /// Starts the programme that was written and stays until it is complete and the furnace is cold.
    async fn run_programme(&mut self, snapshot: &Snapshot, attention: &Attention) -> Result<Done, Fault> {
        attention.telling();
        if let Err(error) = self.write(register::RUN, 1).await {
            return Err(match error.fault() {
                Fault::Refused { code, message } => attention.nothing_happened(code, message),
                unknown => unknown,
            });
        }
        let timer = LabTimer::start(attention);
        while self.mode().await? == Mode::Reset {
            if timer.has_passed(START_S) {
                return Err(self.give_up_unbegun(snapshot, attention).await?);
            }
            attention.pause(GAP).await;
        }
        self.stay(snapshot, true, attention).await
    }

    /// A programme that was told to run and has not begun. It is reset, so that it cannot begin later; a furnace that has
    /// not warmed proves that nothing happened.
    async fn give_up_unbegun(&mut self, snapshot: &Snapshot, attention: &Attention) -> Result<Fault, Fault> {
        self.reset(attention).await?;
        let temperature_c = self.temperature().await?;
        let message = "the run command was taken, but the programmer stays in reset";
        if temperature_c > snapshot.start_c + WARMER_K {
            let message = format!("{message}, and the furnace warmed to {temperature_c:.0} °C");
            return Ok(silent(codes::FURNACE_NOT_STARTED, message));
        }
        Ok(attention.nothing_happened(codes::FURNACE_NOT_STARTED, message))
    }

    /// Stays with a programme. The highest temperature is reported only if the whole of the programme was watched.
    async fn stay(&mut self, snapshot: &Snapshot, from_start: bool, attention: &Attention) -> Result<Done, Fault> {
        let anneal = snapshot.anneal;
        let heating_min = (anneal.temperature_c - snapshot.start_c).abs() / anneal.ramp_k_per_min + anneal.dwell_min;
        let run_limit_s = 60.0 * (heating_min * LATE_FACTOR + LATE_MIN);
        let cool_limit_s = 60.0 * self.settings.cooling_limit_min;
        let timer = LabTimer::start(attention);
        let mut completed_at = None;
        let mut peak_c = f64::NEG_INFINITY;
        loop {
            self.check_sensor_while_running(snapshot, attention).await?;
            let temperature_c = self.temperature().await?;
            peak_c = peak_c.max(temperature_c);
            let mode = self.mode().await?;
            match mode {
                Mode::Complete if temperature_c < self.settings.idle_below_c => {
                    return Ok(report(snapshot, from_start.then_some(peak_c)));
                }
                Mode::Complete => {
                    let since = *completed_at.get_or_insert(timer.elapsed_s());
                    if timer.has_passed(since + cool_limit_s) {
                        let message =
                            format!("the anneal is complete, but the furnace is still at {temperature_c:.0} °C");
                        return Err(silent(codes::FURNACE_LATE, message));
                    }
                }
                Mode::Reset => {
                    let message = format!(
                        "the programmer is in reset before its programme was complete, at {temperature_c:.0} °C"
                    );
                    return Err(Fault::Partial {
                        code: codes::FURNACE_RESET,
                        message,
                        results: common::done("", [("peak_temperature", Value::quantity(peak_c, Unit::Celsius))])
                            .results,
                    });
                }
                Mode::Run | Mode::Hold | Mode::HoldBack if timer.has_passed(run_limit_s) => {
                    let message =
                        format!("the programmer is in {} after {:.0} min", mode.word(), timer.elapsed_s() / 60.0);
                    return Err(silent(codes::FURNACE_LATE, message));
                }
                Mode::Run | Mode::Hold | Mode::HoldBack => {}
            }
            if attention.should_abort() && mode.is_under_way() {
                self.reset(attention).await?;
                let message =
                    format!("the anneal was reset at {temperature_c:.0} °C; the furnace cools without control");
                return Err(Fault::Aborted { message });
            }
            attention.pause(POLL).await;
        }
    }

    /// Ends a programme: heating stops, the standby setpoint holds.
    async fn reset(&mut self, attention: &Attention) -> Result<(), Fault> {
        self.write(register::RESET, 1).await?;
        let timer = LabTimer::start(attention);
        while self.mode().await? != Mode::Reset {
            if timer.has_passed(START_S) {
                return Err(silent(codes::FURNACE_BUSY, "the programmer was told to reset and did not"));
            }
            attention.pause(GAP).await;
        }
        Ok(())
    }

    async fn check_sensor(&mut self) -> Result<(), Fault> {
        if self.status().await? & register::SENSOR_BREAK != 0 {
            return Err(refused(codes::FURNACE_SENSOR, "the controller reports a sensor break"));
        }
        Ok(())
    }

    /// A furnace whose temperature is unknown must not be heated: its programme is reset.
    async fn check_sensor_while_running(&mut self, snapshot: &Snapshot, attention: &Attention) -> Result<(), Fault> {
        if self.status().await? & register::SENSOR_BREAK == 0 {
            return Ok(());
        }
        self.reset(attention).await?;
        let message = format!(
            "sensor break on the way to {} °C; the programme was reset, the temperature is unknown",
            snapshot.anneal.temperature_c
        );
        Err(partial(codes::FURNACE_SENSOR, message))
    }

    async fn status(&mut self) -> Result<u16, Fault> {
        if !self.has_inverse {
            return Ok(self.word(register::STATUS_WORD).await?);
        }
        for _ in 0..ATTEMPTS {
            let words = self.words(register::STATUS_WORD, 2).await?;
            if words[0] == !words[1] {
                return Ok(words[0]);
            }
        }
        let message = "the status word and its inverse do not fit each other".to_owned();
        Err(Fault::Silent { code: ppu_driver::codes::BAD_REPLY, message })
    }

    async fn mode(&mut self) -> Result<Mode, Fault> {
        let word = self.agreed(register::PROGRAM_MODE, 0).await?;
        Mode::of(word).ok_or_else(|| {
            let message = format!("the programmer is in an unknown mode {word}");
            Fault::Silent { code: ppu_driver::codes::BAD_REPLY, message }
        })
    }

    async fn temperature(&mut self) -> Result<f64, Fault> {
        let within = AGREE_K.saturating_mul(10u16.saturating_pow(self.settings.decimals.into()));
        Ok(from_word(self.agreed(register::PROCESS_VALUE, within).await?, self.settings.decimals))
    }

    /// A register that decisions rest on: two readings in a row must agree within a difference. Modbus TCP has no
    /// check of its own against a flipped bit, and on RTU a reply can be one from before.
    async fn agreed(&mut self, address: u16, within: u16) -> Result<u16, Fault> {
        let mut last = self.word(address).await?;
        for _ in 0..AGREEMENTS {
            let next = self.word(address).await?;
            if next.abs_diff(last) <= within {
                return Ok(next);
            }
            last = next;
        }
        let message = format!("register {address} read differently {AGREEMENTS} times in a row");
        Err(Fault::Silent { code: ppu_driver::codes::BAD_REPLY, message })
    }

    async fn word(&mut self, address: u16) -> Result<u16, ModbusError> {
        Ok(self.words(address, 1).await?[0])
    }

    /// Reads, and asks again after a fault of the line: the session opens itself anew and compares the identity first.
    async fn words(&mut self, address: u16, quantity: u16) -> Result<Vec<u16>, ModbusError> {
        let bus = self.bus.as_ref().ok_or(ModbusError::Closed)?;
        let mut attempt = 1;
        loop {
            match bus.read_holding(address, quantity).await {
                Err(ModbusError::Silent { .. } | ModbusError::Mismatch { .. }) if attempt < ATTEMPTS => attempt += 1,
                // The kit compares the length as well (MB-3); an index must never depend on another crate.
                Ok(words) if words.len() != usize::from(quantity) => {
                    let request = format!("read {quantity} registers from {address}");
                    return Err(ModbusError::Mismatch { request, reason: format!("{} words came", words.len()) });
                }
                decided => return decided,
            }
        }
    }

    async fn write(&mut self, address: u16, word: u16) -> Result<(), ModbusError> {
        self.bus.as_ref().ok_or(ModbusError::Closed)?.write_register(address, word).await
    }

    fn new_bus(&self, identity: Option<Identity>) -> Modbus {
        let framing = match self.connect {
            Connect::Serial { .. } => Framing::Rtu,
            Connect::Tcp { .. } | Connect::Local => Framing::Tcp,
        };
        Modbus::new(ModbusSettings {
            connect: self.connect.clone(),
            framing,
            unit: self.settings.unit,
            timeout: REPLY_WITHIN,
            hold_off: HOLD_OFF,
            identity,
        })
    }

    /// Whether the controller still holds the programme of this anneal.
    async fn holds(&mut self, anneal: &Anneal) -> Result<bool, Fault> {
        let (_, writes) = programme::writes(anneal, self.settings.standby_c, self.settings.decimals);
        for (address, word) in writes {
            // A flipped bit must not make this anneal look like another one, so a difference is looked at again.
            if self.word(address).await? != word && self.agreed(address, 0).await? != word {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The success of an anneal.
fn report(snapshot: &Snapshot, peak_c: Option<f64>) -> Done {
    let anneal = snapshot.anneal;
    let mut done = common::done(
        format!("annealed at {} °C for {:.1} min", anneal.temperature_c, anneal.dwell_min),
        [("dwell", Value::quantity(anneal.dwell_min, Unit::Minute))],
    );
    match peak_c {
        Some(peak_c) => {
            done.results.insert("peak_temperature".to_owned(), Value::quantity(peak_c, Unit::Celsius));
        }
        None => done.message.push_str("; contact was lost on the way, so the highest temperature is not known"),
    }
    done
}

impl Instrument for Furnace {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        if self.bus.is_none() {
            self.bus = Some(self.new_bus(None));
        }
        if let Some(bus) = &self.bus {
            bus.open().await?;
        }
        let version = self.word(register::VERSION).await?;
        let kind = self.word(register::INSTRUMENT_TYPE).await?;
        match self.identity {
            Some(expected) if expected != (version, kind) => {
                let message = format!("type {kind:#06x} version {version:#06x} answers instead of {expected:?}");
                return Err(refused(ppu_driver::codes::WRONG_DEVICE, message));
            }
            Some(_) => {}
            None => {
                self.identity = Some((version, kind));
                // From here on each session compares the type before anything else is believed (MB-2).
                let identity = Identity { address: register::INSTRUMENT_TYPE, expected: vec![kind] };
                if let Some(first) = self.bus.take() {
                    first.close().await;
                }
                self.bus = Some(self.new_bus(Some(identity)));
            }
        }
        self.has_inverse = match self.words(register::STATUS_WORD, 2).await {
            Ok(words) => self.has_inverse || words[0] == !words[1],
            Err(error) if error.is_refusal() => false,
            Err(error) => return Err(error.fault()),
        };
        Ok(format!("EPC3016-{kind:04X}-{version:04X}"))
    }

    async fn prepare(&mut self, request: &Request, attention: &Attention) -> Result<Vec<u8>, Fault> {
        let anneal = match request.command.as_str() {
            "anneal" => Anneal {
                temperature_c: common::quantity(request, "temperature", Unit::Celsius)?,
                dwell_min: common::quantity(request, "duration", Unit::Minute)?,
                ramp_k_per_min: common::quantity(request, "ramp", Unit::KelvinPerMinute)?,
            },
            _ => return Err(common::unknown_command(request)),
        };
        let snapshot = self.write_programme(anneal, attention).await.map_err(before_start)?;
        Ok(common::encode_snapshot(&snapshot))
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        if request.command != "anneal" {
            return Err(common::unknown_command(request));
        }
        // Nothing but questions goes before the run command, so a silent line here is a refusal.
        let start_c = self.temperature().await.map_err(before_start)?;
        let asked = Anneal {
            temperature_c: common::quantity(request, "temperature", Unit::Celsius)?,
            dwell_min: common::quantity(request, "duration", Unit::Minute)?,
            ramp_k_per_min: common::quantity(request, "ramp", Unit::KelvinPerMinute)?,
        };
        if self.mode().await.map_err(before_start)? != Mode::Reset || !self.holds(&asked).await.map_err(before_start)? {
            return Err(refused(codes::FURNACE_PROGRAMME, "the controller no longer holds the programme in reset"));
        }
        let (anneal, _) = programme::writes(&asked, self.settings.standby_c, self.settings.decimals);
        let snapshot = Snapshot { anneal, start_c, power_bit_clear: false };
        self.run_programme(&snapshot, attention).await.map_err(|fault| attention.honest(fault))
    }

    async fn recover(&mut self, _: &Request, snapshot: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        let Some(snapshot) = common::decode_snapshot::<Snapshot>(snapshot) else {
            return Ok(Recovered::Unknown("the snapshot cannot be read".to_owned()));
        };
        if !self.holds(&snapshot.anneal).await? {
            let message = "the controller holds another programme than the one that was to run";
            return Ok(Recovered::Unknown(message.to_owned()));
        }
        let temperature_c = self.temperature().await?;
        Ok(match self.mode().await? {
            Mode::Run | Mode::Hold | Mode::HoldBack => Recovered::Running,
            Mode::Complete if temperature_c >= self.settings.idle_below_c => Recovered::Running,
            Mode::Complete => Recovered::Finished(Ok(report(&snapshot, None))),
            Mode::Reset => {
                // Not every configuration has the register; a line that is silent proves nothing at all.
                let power_failed = match self.word(register::DIGITAL_INPUTS).await {
                    Ok(word) => snapshot.power_bit_clear && word & register::POWER_FAILED != 0,
                    Err(error) if error.is_refusal() => false,
                    Err(error) => return Err(error.fault()),
                };
                // A programme that ends by itself stays in complete, so reset means: never run, or reset by somebody.
                if power_failed {
                    Recovered::Unknown("the controller lost its power and is in reset".to_owned())
                } else if temperature_c > snapshot.start_c + WARMER_K {
                    let message =
                        format!("the programmer is in reset, but the furnace warmed to {temperature_c:.0} °C");
                    Recovered::Unknown(message)
                } else {
                    Recovered::NeverStarted
                }
            }
        })
    }

    async fn attend(&mut self, request: &Request, snapshot: &[u8], attention: &Attention) -> Result<Done, Fault> {
        match common::decode_snapshot::<Snapshot>(snapshot) {
            Some(snapshot) => {
                attention.telling();
                self.stay(&snapshot, false, attention).await.map_err(|fault| attention.honest(fault))
            }
            None => Err(common::silent(codes::FURNACE_PROGRAMME, format!("no readable snapshot of {}", request.key))),
        }
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let decimals = self.settings.decimals;
        let temperature = self.temperature().await.map_err(before_start)?;
        let setpoint = self.word(register::WORKING_SETPOINT).await.map_err(|error| before_start(error.fault()))?;
        let output = self.word(register::WORKING_OUTPUT).await.map_err(|error| before_start(error.fault()))?;
        let mode = self.mode().await.map_err(before_start)?;
        Ok(vec![
            Reading { name: "temperature", value: Value::quantity(temperature, Unit::Celsius) },
            Reading { name: "setpoint", value: Value::quantity(from_word(setpoint, decimals), Unit::Celsius) },
            Reading { name: "output", value: Value::quantity(from_word(output, 1), Unit::Percent) },
            Reading { name: "mode", value: Value::Text(mode.word().to_owned()) },
        ])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        if self.status().await? & register::SENSOR_BREAK != 0 {
            self.write(register::RESET, 1).await?;
            return Ok(format!("{reason}: sensor break, the programme was reset"));
        }
        // The controller keeps its limits by itself; a reset would spoil the sample and cool no faster.
        let (mode, temperature_c) = (self.mode().await?, self.temperature().await?);
        Ok(format!("{reason}: the controller goes on by itself, mode {}, {temperature_c:.0} °C", mode.word()))
    }
}

/// Warming since the start that a furnace does not do by itself.
const WARMER_K: f64 = 5.0;

impl FurnaceSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let description = "Ramps to a temperature, dwells, and stays until the furnace is cold.";
        let mut anneal = specs::command("anneal", ActionClass::Continuing, 7_200.0, description);
        let hottest = self.highest_temperature_c;
        let fastest = self.fastest_ramp_k_per_min;
        anneal.arguments = vec![
            specs::quantity("temperature", Unit::Celsius, (40.0, hottest), None, "Temperature of the dwell."),
            specs::quantity("duration", Unit::Minute, (0.5, 1440.0), None, "Length of the dwell."),
            specs::quantity("ramp", Unit::KelvinPerMinute, (1.0, fastest), Some(fastest.min(10.0)), "Heating rate."),
        ];
        anneal.results = vec![
            specs::result("peak_temperature", Unit::Celsius, "Highest temperature seen; missing if contact was lost."),
            specs::result("dwell", Unit::Minute, "Dwell as read back from the controller's programme."),
        ];
        anneal.needs_sample = true;
        Manifest {
            driver: DRIVER.to_owned(),
            model: "Eurotherm EPC3016 furnace controller".to_owned(),
            capabilities: vec![specs::capability("annealing", vec![anneal])],
            properties: vec![
                specs::property("temperature", Unit::Celsius, "Temperature of the furnace."),
                specs::property("setpoint", Unit::Celsius, "Working setpoint."),
                specs::property("output", Unit::Percent, "Power of the heater."),
                specs::property("mode", Unit::One, "Mode of the programmer: reset, run, hold, holdback or complete."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

//! IKA C-MAG HS7 and RCT digital: a hotplate with a magnetic stirrer, NAMUR commands on 9600 7E1.
//!
//! Writes have no reply, so every write is read back (fault `silent_write_ignored`). The device has no report of
//! "motor on" or "heater on"; what proves them is the speed and the plate temperature.
//! Stirring for a time is timed here: the device knows no durations.

mod codec;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::transport::{Port, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};

use crate::common::{self, LabTimer, before_start, partial, silent};
use crate::dialogue::{self, Unheard};
use crate::{codes, specs};

use codec::Channel;
pub use settings::HotplateSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "ika-cmag";
/// Line settings, fixed in the device.
pub const SERIAL: SerialSettings = SerialSettings::new_7e1(9600);

/// A reply takes a few tens of milliseconds; the rest is for a busy computer.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// Attempts at a question, and at a write that reads back otherwise.
const ATTEMPTS: u32 = 3;
/// Lab time between two looks.
const POLL: Duration = Duration::from_secs(1);
/// Lab time within which a stir bar reaches its speed or stops.
const SPIN_S: f64 = 60.0;
/// Lab time within which the plate temperature must move after heating was switched on.
const WARM_S: f64 = 180.0;
/// Rise of the plate temperature that proves heating, well above the resolution of 0.1 K.
const WARM_K: f64 = 1.0;
/// Kelvin by which two answers in a row may differ: a plate simulated at a thousand times real speed warms by some
/// kelvin between them.
const AGREE_K: f64 = 10.0;
/// Pairs of answers that may disagree before the line is not believed any more.
const AGREEMENTS: usize = 4;
/// Share of the speed by which it may differ from its setting.
const SPEED_TOLERANCE: f64 = 0.1;
/// Below this a bar is taken to stand (the display shows 0 to 20 rpm for a bar that is braked).
const STANDING_RPM: f64 = 20.0;

/// A hotplate with a stirrer.
#[derive(Debug)]
pub struct Hotplate {
    port: Port,
    settings: HotplateSettings,
}

impl Hotplate {
    /// A hotplate that has not been contacted yet.
    pub fn new(port: Port, settings: HotplateSettings) -> Self {
        Self { port, settings }
    }

    /// Stirs at a speed for a span of lab time, then stops. Returns the mean of the speeds seen.
    pub async fn stir(&mut self, speed_rpm: f64, duration_s: f64, attention: &Attention) -> Result<Done, Fault> {
        self.spin_up(speed_rpm, attention).await?;
        let timer = LabTimer::start(attention);
        let (mut sum, mut looks) = (0.0, 0_u32);
        let fault = loop {
            let mut speed = self.read_value(Channel::Speed).await?;
            if (speed - speed_rpm).abs() > 2.0 * SPEED_TOLERANCE * speed_rpm {
                // One digit of one answer may be wrong; what ends a stir is seen twice.
                speed = self.read_value(Channel::Speed).await?;
            }
            (sum, looks) = (sum + speed, looks + 1);
            if attention.should_abort() {
                let message = format!("stirring was stopped after {:.0} s of {duration_s:.0} s", timer.elapsed_s());
                break Some(Fault::Aborted { message });
            }
            if (speed - speed_rpm).abs() > 2.0 * SPEED_TOLERANCE * speed_rpm {
                let message =
                    format!("the speed fell to {speed:.0} of {speed_rpm:.0} rpm after {:.0} s", timer.elapsed_s());
                break Some(partial(codes::STIRRER_SPEED, message));
            }
            let left_s = duration_s - timer.elapsed_s();
            if left_s <= 0.0 {
                break None;
            }
            attention.pause(Duration::from_secs_f64(left_s.min(POLL.as_secs_f64() * 10.0))).await;
        };
        self.stop_stirring(attention).await?;
        let mean = sum / f64::from(looks);
        match fault {
            Some(fault) => Err(fault),
            None => Ok(common::done(
                format!("stirred at {mean:.0} rpm for {duration_s:.0} s"),
                [("speed", Value::quantity(mean, Unit::Rpm)), ("duration", Value::quantity(duration_s, Unit::Second))],
            )),
        }
    }

    /// Leaves the stirrer turning at a speed, or stops it for zero.
    pub async fn set_speed(&mut self, speed_rpm: f64, attention: &Attention) -> Result<Done, Fault> {
        if speed_rpm > 0.0 {
            self.spin_up(speed_rpm, attention).await?;
        } else {
            self.stop_stirring(attention).await?;
        }
        let speed = self.read_value(Channel::Speed).await?;
        Ok(common::done(format!("the bar turns at {speed:.0} rpm"), [("speed", Value::quantity(speed, Unit::Rpm))]))
    }

    /// Heats to a temperature and stays there. Returns as soon as the plate is seen to heat, or is warmer already.
    pub async fn set_temperature(&mut self, temperature_c: f64, attention: &Attention) -> Result<Done, Fault> {
        self.set(attention, "OUT_SP_1", Channel::TemperatureSetpoint, temperature_c, 0.5).await?;
        let start = self.agreed(Channel::PlateTemperature, AGREE_K).await?;
        let mut plate = start;
        for _ in 0..ATTEMPTS {
            self.tell("START_1").await?;
            let timer = LabTimer::start(attention);
            // A plate that is near its setting already proves nothing by its temperature, and needs not.
            while plate < start + WARM_K && plate < temperature_c - 2.0 * WARM_K && !timer.has_passed(WARM_S) {
                if attention.should_abort() {
                    self.heater_off(attention).await?;
                    return Err(Fault::Aborted { message: "heating was stopped; the heater is off".to_owned() });
                }
                attention.pause(POLL).await;
                plate = self.agreed(Channel::PlateTemperature, AGREE_K).await?;
            }
            if plate >= start + WARM_K || plate >= temperature_c - 2.0 * WARM_K {
                let message = format!("heating to {temperature_c} °C, plate at {plate:.1} °C");
                return Ok(common::done(message, [("setpoint", Value::quantity(temperature_c, Unit::Celsius))]));
            }
        }
        let message = format!("the plate stays at {plate:.1} °C although it should heat to {temperature_c} °C");
        Err(partial(codes::PLATE_NOT_HEATING, message))
    }

    /// Switches the heater off. The setpoint is set to zero as well, because only that can be read back.
    pub async fn heater_off(&mut self, attention: &Attention) -> Result<Done, Fault> {
        attention.telling();
        self.tell("STOP_1").await?;
        self.set(attention, "OUT_SP_1", Channel::TemperatureSetpoint, 0.0, 0.5).await?;
        self.tell("STOP_1").await?;
        Ok(common::done("the heater is off", []))
    }

    /// Sets the speed and waits until the bar has it.
    async fn spin_up(&mut self, speed_rpm: f64, attention: &Attention) -> Result<(), Fault> {
        self.set(attention, "OUT_SP_4", Channel::SpeedSetpoint, speed_rpm.round(), 0.6).await?;
        let (mut speed, mut fastest) = (0.0, 0.0_f64);
        for _ in 0..ATTEMPTS {
            self.tell("START_4").await?;
            let timer = LabTimer::start(attention);
            loop {
                speed = self.read_value(Channel::Speed).await?;
                fastest = fastest.max(speed);
                if (speed - speed_rpm).abs() <= SPEED_TOLERANCE * speed_rpm {
                    return Ok(());
                }
                if attention.should_abort() {
                    self.stop_stirring(attention).await?;
                    return Err(Fault::Aborted { message: "stirring was stopped before it had its speed".to_owned() });
                }
                if timer.has_passed(SPIN_S) {
                    break;
                }
                attention.pause(POLL).await;
            }
        }
        // A bar that has stood at every look and stands after the stop was never turned.
        self.stop_stirring(attention).await?;
        if fastest < STANDING_RPM {
            let message = "the stirrer was told to start and stands";
            return Err(attention.nothing_happened(codes::STIRRER_SPEED, message));
        }
        Err(partial(codes::STIRRER_SPEED, format!("the stirrer turns at {speed:.0} instead of {speed_rpm:.0} rpm")))
    }

    async fn stop_stirring(&mut self, attention: &Attention) -> Result<(), Fault> {
        attention.telling();
        for _ in 0..ATTEMPTS {
            self.tell("STOP_4").await?;
            let timer = LabTimer::start(attention);
            while !timer.has_passed(SPIN_S) {
                if self.read_value(Channel::Speed).await? < STANDING_RPM {
                    return Ok(());
                }
                attention.pause(POLL).await;
            }
        }
        Err(partial(codes::STIRRER_SPEED, "the stirrer was told to stop and still turns"))
    }

    /// Writes a setpoint until it reads back, a few times. That nothing happened is believed only if nothing else was
    /// told before and the setting reads as it did.
    async fn set(
        &mut self,
        attention: &Attention,
        name: &str,
        channel: Channel,
        value: f64,
        tolerance: f64,
    ) -> Result<(), Fault> {
        let told_before = attention.has_told();
        let before = self.read_value(channel).await?;
        attention.telling();
        let mut found = f64::NAN;
        for _ in 0..ATTEMPTS {
            self.tell(&format!("{name} {value}")).await?;
            found = self.agreed(channel, tolerance).await?;
            if (found - value).abs() <= tolerance {
                return Ok(());
            }
        }
        let message = format!("`{name} {value}` was ignored {ATTEMPTS} times; the setting reads {found}");
        if !told_before && (found - before).abs() <= tolerance {
            return Err(attention.nothing_happened(codes::PLATE_WRITE_IGNORED, message));
        }
        Err(silent(codes::PLATE_WRITE_IGNORED, message))
    }

    /// A value that a decision rests on: two answers in a row must agree, because the protocol has no checksum.
    async fn agreed(&mut self, channel: Channel, within: f64) -> Result<f64, Unheard> {
        let mut last = self.read_value(channel).await?;
        for _ in 0..AGREEMENTS {
            let next = self.read_value(channel).await?;
            if (next - last).abs() <= within {
                return Ok(next);
            }
            last = next;
        }
        let question = channel.question();
        Err(Unheard::Garbled(format!("`{question}` was answered differently {AGREEMENTS} times in a row")))
    }

    async fn tell(&mut self, command: &str) -> Result<(), Unheard> {
        dialogue::tell(&mut self.port, &codec::line(command)).await
    }

    async fn read_value(&mut self, channel: Channel) -> Result<f64, Unheard> {
        self.ask(channel.question(), |reply| codec::value(channel, reply)).await
    }

    /// Asks until an answer fits. Replies carry no number, so after anything odd the line is left to fall silent.
    async fn ask<T>(&mut self, question: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Unheard> {
        let mut attempt = 1;
        loop {
            let bytes = codec::line(question);
            let until = dialogue::until(b"\r\n");
            let heard = dialogue::ask(&mut self.port, &bytes, codec::LINE_LIMIT, ANSWER_WITHIN, until).await;
            let outcome = heard.and_then(|(reply, _)| read(dialogue::printable(&reply)?).map_err(Unheard::Garbled));
            match outcome {
                Err(unheard) if unheard.may_ask_again() => {
                    dialogue::quieten(&mut self.port).await?;
                    if attempt == ATTEMPTS {
                        return Err(unheard);
                    }
                }
                decided => return decided,
            }
            attempt += 1;
        }
    }
}

impl Instrument for Hotplate {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        self.port.open().await?;
        dialogue::quieten(&mut self.port).await?;
        let name = self
            .ask("IN_NAME", |reply| match reply.trim() {
                // A late answer to a read looks like `25.3 1`; no model is called that.
                name if name.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok(name.to_owned()),
                _ => Err(format!("`IN_NAME` was answered with `{}`", reply.escape_debug())),
            })
            .await?;
        Ok(common::identity_of(&[&name]))
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        match request.command.as_str() {
            "stir" | "set_speed" | "set_temperature" | "heater_off" => {
                self.read_value(Channel::Speed).await.map_err(|unheard| before_start(unheard.into()))?;
                Ok(Vec::new())
            }
            _ => Err(common::unknown_command(request)),
        }
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let speed = || common::quantity(request, "speed", Unit::Rpm);
        let outcome = match request.command.as_str() {
            "stir" => self.stir(speed()?, common::quantity(request, "duration", Unit::Second)?, attention).await,
            "set_speed" => self.set_speed(speed()?, attention).await,
            "set_temperature" => {
                self.set_temperature(common::quantity(request, "temperature", Unit::Celsius)?, attention).await
            }
            "heater_off" => self.heater_off(attention).await,
            _ => Err(common::unknown_command(request)),
        };
        outcome.map_err(|fault| attention.honest(fault))
    }

    async fn recover(&mut self, request: &Request, _: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        Ok(Recovered::Unknown(format!("{} is timed by the driver and may be repeated", request.command)))
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        // Every command is idempotent: staying with it and doing it are the same.
        self.execute(request, attention).await
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let mut readings = Vec::new();
        for (name, channel, unit) in [
            ("plate_temperature", Channel::PlateTemperature, Unit::Celsius),
            ("probe_temperature", Channel::ProbeTemperature, Unit::Celsius),
            ("speed", Channel::Speed, Unit::Rpm),
        ] {
            let value = self.read_value(channel).await.map_err(|unheard| before_start(unheard.into()))?;
            readings.push(Reading { name, value: Value::quantity(value, unit) });
        }
        Ok(readings)
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        // Nobody can abort the safe state.
        self.heater_off(&Attention::new(1.0, tokio::sync::watch::channel(false).1)).await?;
        self.tell("STOP_4").await?;
        Ok(format!("{reason}: heater off with setpoint 0 read back, stirrer told to stop"))
    }
}

impl HotplateSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let speed = |min, text| specs::quantity("speed", Unit::Rpm, (min, self.highest_speed_rpm), None, text);
        let speed_result = || specs::result("speed", Unit::Rpm, "Speed of the bar as measured.");
        let class = ActionClass::Idempotent;
        let mut stir = specs::command("stir", class, 300.0, "Stirs at a speed for a time, then stops.");
        stir.arguments = vec![
            speed(50.0, "Speed of the bar."),
            specs::quantity("duration", Unit::Second, (1.0, 86_400.0), None, "Time at that speed."),
        ];
        stir.results = vec![
            speed_result(),
            specs::result("duration", Unit::Second, "Time at that speed, without starting and stopping."),
        ];
        let mut set_speed =
            specs::command("set_speed", class, 15.0, "Leaves the stirrer turning at a speed; 0 stops it.");
        set_speed.arguments = vec![speed(0.0, "Speed of the bar; 0 stops it.")];
        set_speed.results = vec![speed_result()];
        let mut heat = specs::command("set_temperature", class, 30.0, "Heats the plate to a temperature and holds it.");
        let limits = (0.0, self.highest_temperature_c);
        heat.arguments = vec![specs::quantity("temperature", Unit::Celsius, limits, None, "Temperature of the plate.")];
        heat.results = vec![specs::result("setpoint", Unit::Celsius, "Setpoint read back.")];
        let off = specs::command("heater_off", class, 5.0, "Switches the heater off.");
        Manifest {
            driver: DRIVER.to_owned(),
            model: "IKA C-MAG HS7 digital".to_owned(),
            capabilities: vec![
                specs::capability("stirring", vec![stir, set_speed]),
                specs::capability("heating", vec![heat, off]),
            ],
            properties: vec![
                specs::property("plate_temperature", Unit::Celsius, "Temperature of the plate."),
                specs::property("probe_temperature", Unit::Celsius, "Temperature of the external probe."),
                specs::property("speed", Unit::Rpm, "Speed of the bar."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

//! Mettler Toledo balance, MT-SICS (reference manual 11781363) on 9600 8N1 or TCP.
//!
//! MT-SICS has no checksum, so one damaged digit would be a wrong weight: a weight counts only when two stable
//! readings agree. `I4 A "<serial>"` outside a reply means that the balance was switched off and on (SER-4).

mod codec;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::transport::{LineError, Port, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, Reading, Recovered, Request};

use crate::common::{self, LabTimer, before_start, refused, silent};
use crate::dialogue::{self, Unheard};
use crate::{codes, specs};

use codec::Reply;
pub use settings::BalanceSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "mettler-sics";
/// Line settings of the factory default.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// How long an answer that needs no stable weight may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Attempts at a question whose answer is missing or garbled.
const ATTEMPTS: u32 = 3;
/// Lab time between two attempts while the balance is not ready.
const POLL: Duration = Duration::from_millis(500);
/// Stable readings that are compared before the balance counts as undecided.
const READINGS: u32 = 6;
/// Lines that are passed over while an answer is awaited: more than a balance queues.
const PASSED_OVER: u32 = 8;

/// A balance.
#[derive(Debug)]
pub struct Balance {
    port: Port,
    settings: BalanceSettings,
    serial: String,
}

impl Balance {
    /// A balance that has not been contacted yet.
    pub fn new(port: Port, settings: BalanceSettings) -> Self {
        Self { port, settings, serial: String::new() }
    }

    /// Weighs what is on the pan. Returns the mass in milligrams.
    pub async fn weigh(&mut self, attention: &Attention) -> Result<f64, Fault> {
        let mut before = f64::NAN;
        for _ in 0..READINGS {
            let mass_mg = self.stable_weight(attention).await?;
            if (mass_mg - before).abs() <= self.settings.agreement_mg {
                return Ok(mass_mg);
            }
            before = mass_mg;
        }
        let message = format!("{READINGS} stable readings differ by more than {} mg each", self.settings.agreement_mg);
        Err(refused(codes::BALANCE_DISAGREES, message))
    }

    /// Sets zero.
    pub async fn zero(&mut self, attention: &Attention) -> Result<(), Fault> {
        self.when_stable("Z", attention).await.map(drop)
    }

    /// Takes the load as tare.
    pub async fn tare(&mut self, attention: &Attention) -> Result<(), Fault> {
        self.when_stable("T", attention).await.map(drop)
    }

    async fn stable_weight(&mut self, attention: &Attention) -> Result<f64, Fault> {
        match self.when_stable("S", attention).await? {
            Reply::Weight { stable: true, mass_mg } => Ok(mass_mg),
            other => Err(silent(ppu_driver::codes::BAD_REPLY, format!("`S` was answered with {other:?}"))),
        }
    }

    /// Sends a command that the balance answers when it is still, and repeats it while it is not.
    ///
    /// Zero and tare act. Their refusal is believed only while every question had its answer: a zero whose answer was
    /// lost may have been set, whatever the balance says to its repetition.
    async fn when_stable(&mut self, command: &str, attention: &Attention) -> Result<Reply, Fault> {
        let acts = command != "S";
        let mut unheard = false;
        let timer = LabTimer::start(attention);
        // The balance itself waits for a stable weight; this much lab time passes before it gives up.
        let within = ANSWER_WITHIN + Duration::from_secs_f64(self.settings.stable_within_s / attention.clock_rate);
        loop {
            if acts {
                attention.telling();
            }
            let (code, message) = match self.ask(command, within, &mut unheard).await? {
                Reply::NotNow { .. } if attention.should_abort() => {
                    return Err(Fault::Aborted { message: format!("`{command}` was given up while the load moved") });
                }
                Reply::NotNow { .. } if !timer.has_passed(self.settings.patience_s) => {
                    attention.pause(POLL).await;
                    continue;
                }
                Reply::NotNow { .. } => {
                    let patience_s = self.settings.patience_s;
                    (codes::BALANCE_UNSTABLE, format!("no stable weight for `{command}` within {patience_s} s"))
                }
                Reply::Overload { .. } => (codes::BALANCE_RANGE, format!("`{command}`: the balance is overloaded")),
                Reply::Underload { .. } => (codes::BALANCE_RANGE, format!("`{command}`: the balance is underloaded")),
                Reply::Defect(defect) => (codes::BALANCE_DEFECT, format!("the balance reports error {defect}")),
                Reply::WrongParameter { .. } => {
                    (ppu_driver::codes::DEVICE_REFUSED, format!("the balance refuses `{command}`"))
                }
                answer => return Ok(answer),
            };
            if acts && unheard {
                return Err(silent(code, format!("{message}; an earlier `{command}` had no answer")));
            }
            return Err(attention.nothing_happened(code, message));
        }
    }

    /// One question and its answer. After anything odd the line is left to fall silent and the serial number is asked
    /// for, so that no late line can be taken for the answer. `unheard` becomes true when a question went without one.
    async fn ask(&mut self, command: &str, within: Duration, unheard: &mut bool) -> Result<Reply, Unheard> {
        let mut attempt = 1;
        loop {
            let odd = match self.ask_once(command, within).await {
                Ok(Reply::NotUnderstood(what)) => Unheard::Garbled(format!("`{command}` was answered with `{what}`")),
                Ok(reply) => return Ok(reply),
                Err(odd) if odd.may_ask_again() => odd,
                Err(odd) => return Err(odd),
            };
            *unheard = true;
            self.resync().await?;
            if attempt == ATTEMPTS {
                return Err(odd);
            }
            attempt += 1;
        }
    }

    async fn ask_once(&mut self, command: &str, within: Duration) -> Result<Reply, Unheard> {
        let question = format!("{command}\r\n");
        // `SI` is answered with an `S` line.
        let expected = if command == "SI" { "S" } else { command };
        let until = dialogue::until(b"\r\n");
        let (mut line, unasked) =
            dialogue::ask(&mut self.port, question.as_bytes(), codec::LINE_LIMIT, within, until).await?;
        if !unasked.is_empty() {
            tracing::warn!(bytes = %unasked.escape_ascii(), "unsolicited bytes from the balance");
        }
        for _ in 0..PASSED_OVER {
            let reply = codec::reply(dialogue::printable(&line)?).map_err(Unheard::Garbled)?;
            match reply.command() {
                Some(answered) if answered != expected => {
                    if answered == "I4" {
                        tracing::warn!("the balance was switched off and on");
                    }
                    let next = self.port.line()?.read_until(b"\r\n", codec::LINE_LIMIT, within).await;
                    line = next.map_err(Unheard::Line)?;
                }
                _ => return Ok(reply),
            }
        }
        Err(Unheard::Garbled(format!("only lines that do not answer `{command}` came")))
    }

    async fn ask_serial(&mut self) -> Result<String, Fault> {
        match self.ask("I4", ANSWER_WITHIN, &mut false).await? {
            Reply::Text { text, .. } => Ok(text.trim().to_owned()),
            other => Err(silent(ppu_driver::codes::BAD_REPLY, format!("`I4` was answered with {other:?}"))),
        }
    }

    /// Waits until the line is silent and asks who is there.
    async fn resync(&mut self) -> Result<(), Unheard> {
        dialogue::quieten(&mut self.port).await?;
        match self.ask_once("I4", ANSWER_WITHIN).await {
            Ok(Reply::Text { text, .. }) if self.serial.is_empty() || text == self.serial => Ok(()),
            Ok(other) => Err(Unheard::Garbled(format!("after a fault of the line `I4` was answered with {other:?}"))),
            Err(unheard @ Unheard::Line(LineError::Disconnected | LineError::Closed | LineError::Broken(_))) => {
                Err(unheard)
            }
            Err(unheard) => {
                tracing::debug!(?unheard, "the balance does not answer yet");
                dialogue::quieten(&mut self.port).await
            }
        }
    }
}

impl Instrument for Balance {
    fn describe(&self) -> Manifest {
        self.settings.manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        self.port.open().await?;
        dialogue::quieten(&mut self.port).await?;
        let serial = self.ask_serial().await?;
        if self.serial.is_empty() {
            // The line has no checksum: a serial number that everything later is compared with is heard twice.
            let again = self.ask_serial().await?;
            if again != serial {
                let message = format!("`I4` was answered with `{serial}` and then with `{again}`");
                return Err(silent(ppu_driver::codes::BAD_REPLY, message));
            }
            self.serial = serial;
        } else if self.serial != serial {
            let message = format!("the balance {serial} answers instead of {}", self.serial);
            return Err(refused(ppu_driver::codes::WRONG_DEVICE, message));
        }
        Ok(self.serial.clone())
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        match request.command.as_str() {
            "weigh" | "zero" | "tare" => Ok(Vec::new()),
            _ => Err(common::unknown_command(request)),
        }
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        match request.command.as_str() {
            "weigh" => {
                let mass_mg = self.weigh(attention).await?;
                let results = [("mass", Value::quantity(mass_mg, Unit::Milligram))];
                Ok(common::done(format!("{mass_mg:.2} mg"), results))
            }
            "zero" => self.zero(attention).await.map(|()| common::done("zero set", [])),
            "tare" => self.tare(attention).await.map(|()| common::done("tared", [])),
            _ => Err(common::unknown_command(request)),
        }
    }

    async fn recover(&mut self, request: &Request, _: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        Ok(Recovered::Unknown(format!("{} leaves no trace and may be repeated", request.command)))
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        self.execute(request, attention).await
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        match self.ask("SI", ANSWER_WITHIN, &mut false).await.map_err(|unheard| before_start(unheard.into()))? {
            Reply::Weight { stable, mass_mg } => Ok(vec![
                Reading { name: "mass", value: Value::quantity(mass_mg, Unit::Milligram) },
                Reading { name: "stable", value: Value::Flag(stable) },
            ]),
            Reply::Defect(defect) => Err(refused(codes::BALANCE_DEFECT, format!("the balance reports error {defect}"))),
            // Busy or out of range: there is no weight to report.
            _ => Ok(Vec::new()),
        }
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        Ok(format!("{reason}: a balance has nothing that could be unsafe"))
    }
}

/// What a balance can do.
impl BalanceSettings {
    pub(crate) fn manifest(&self) -> Manifest {
        let class = ActionClass::Idempotent;
        let mut weigh = specs::command("weigh", class, 10.0, "Weighs the sample; two stable readings must agree.");
        weigh.results = vec![specs::result("mass", Unit::Milligram, "Mass on the pan, less zero and tare.")];
        weigh.needs_sample = true;
        if let Some(least_mg) = self.least_sample_mg {
            let otherwise = "the pan does not hold what could be a sample";
            let limits = (least_mg, self.most_sample_mg);
            weigh.requires = vec![specs::must_be_within("mass", Unit::Milligram, limits, otherwise)];
        }
        let zero = specs::command("zero", class, 5.0, "Sets zero at a stable load.");
        let tare = specs::command("tare", class, 5.0, "Takes the stable load as tare.");
        Manifest {
            driver: DRIVER.to_owned(),
            model: "Mettler Toledo MT-SICS balance".to_owned(),
            capabilities: vec![specs::capability("weighing", vec![weigh, zero, tare])],
            properties: vec![
                specs::property("mass", Unit::Milligram, "Mass on the pan at this moment."),
                specs::property("stable", Unit::One, "Whether that mass was stable."),
            ],
        }
    }
}

#[cfg(test)]
mod tests;

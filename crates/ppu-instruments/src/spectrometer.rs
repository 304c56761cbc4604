//! Ocean Optics spectrometer with a lamp and an excitation laser, Ocean Binary Protocol over TCP (port 57357).
//!
//! # Raw data
//!
//! Each command writes one artifact, a JSON object:
//!
//! | field | value |
//! |---|---|
//! | `kind` | `reference`, `absorbance` or `photoluminescence` |
//! | `integration_us` | integration time of each exposure in microseconds |
//! | `averages` | number of exposures in each mean |
//! | `wavelength_nm` | wavelength of each pixel in nanometres, ascending |
//! | `counts` | mean counts of each pixel with the light on (lamp; laser for photoluminescence) |
//! | `dark` | mean counts of each pixel with all lights off, same length and exposure |
//! | `gain_counts_per_electron` | gain of the detector |
//! | `saturation` | counts at which a pixel is full, 65535 |
//! | `serial` | serial number of the spectrometer |
//!
//! Lamp and laser are off after every command, also after one that failed; a light whose switching off is not
//! confirmed is a fault of its own.

mod obp;
mod settings;

use std::time::Duration;

use ppu_core::{ActionClass, Manifest, Unit, Value};
use ppu_driver::transport::{Port, SerialSettings};
use ppu_driver::{Attention, Done, Fault, Instrument, RawData, Reading, Recovered, Request};
use serde::Serialize;

use crate::common::{self, before_start, partial, refused};
use crate::dialogue::{self, Unheard};
use crate::{codes, specs};

use obp::Message;
pub use settings::SpectrometerSettings;

/// Name of the driver in instrument files.
pub const DRIVER: &str = "ocean-obp";
/// Not used: the spectrometer is reached by TCP only.
pub const SERIAL: SerialSettings = SerialSettings::new_8n1(9600);

/// How long an answer may take, besides the exposure itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Attempts at a request; all of them may be repeated.
const ATTEMPTS: u32 = 3;
/// Answers to other requests that are passed over.
const PASSED_OVER: u32 = 8;
/// Counts of a full pixel.
const SATURATION: u16 = u16::MAX;
/// The largest number of wavelength coefficients: the polynomial is of third order in every model, with room to spare.
const MOST_COEFFICIENTS: u8 = 8;

/// A spectrometer with its light sources.
#[derive(Debug)]
pub struct Spectrometer {
    port: Port,
    settings: SpectrometerSettings,
    serial: String,
    /// Coefficients of the wavelength of a pixel, from the constant upwards.
    wavelength: Vec<f64>,
    regarding: u32,
    lamp: bool,
    laser: bool,
}

/// What the light is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reference,
    Absorbance,
    Photoluminescence,
}

impl Kind {
    fn of(command: &str) -> Option<Kind> {
        Some(match command {
            "reference" => Kind::Reference,
            "absorbance" => Kind::Absorbance,
            "photoluminescence" => Kind::Photoluminescence,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Reference => "reference",
            Kind::Absorbance => "absorbance",
            Kind::Photoluminescence => "photoluminescence",
        }
    }
}

/// How long and how often the detector is exposed.
#[derive(Debug, Clone, Copy)]
struct Exposure {
    integration_us: u32,
    averages: u32,
}

/// The artifact; its fields are described at the top of this module.
#[derive(Debug, Serialize)]
struct RawSpectrum<'a> {
    kind: &'static str,
    integration_us: u32,
    averages: u32,
    wavelength_nm: Vec<f64>,
    counts: &'a [f64],
    dark: &'a [f64],
    gain_counts_per_electron: f64,
    saturation: u16,
    serial: &'a str,
}

impl Spectrometer {
    /// A spectrometer that has not been contacted yet.
    pub fn new(port: Port, settings: SpectrometerSettings) -> Self {
        Self { port, settings, serial: String::new(), wavelength: Vec::new(), regarding: 0, lamp: false, laser: false }
    }

    /// Measures with the light that the kind needs, then in the dark. Both lights are off afterwards in any case.
    async fn measure(&mut self, kind: Kind, exposure: Exposure, attention: &Attention) -> Result<Done, Fault> {
        let measured = self.light_then_dark(kind, exposure, attention).await;
        let lights = self.lights_off().await;
        let (counts, dark) = measured.and_then(|spectra| lights.map(|()| spectra)).map_err(|fault| match fault {
            // What was refused is the spectrum; the sample has had its light.
            Fault::Refused { code, message } if attention.has_told() => {
                partial(code, format!("{message}; the sample was lit, the lights are off"))
            }
            other => other,
        })?;
        let wavelength_nm: Vec<f64> = (0..counts.len()).map(|pixel| self.wavelength_nm(pixel)).collect();
        if !wavelength_nm.is_sorted() {
            return Err(partial(codes::OPTICS_SPECTRUM, "the wavelengths of the pixels do not ascend"));
        }
        let raw = RawSpectrum {
            kind: kind.word(),
            integration_us: exposure.integration_us,
            averages: exposure.averages,
            wavelength_nm,
            counts: &counts,
            dark: &dark,
            gain_counts_per_electron: self.settings.gain_counts_per_electron,
            saturation: SATURATION,
            serial: &self.serial,
        };
        let bytes = serde_json::to_vec(&raw).expect("numbers and texts always have a JSON form");
        let peak = counts.iter().copied().fold(0.0, f64::max);
        let saturated = peak >= f64::from(SATURATION);
        let mut done = common::done(
            format!("{}: {} pixels, peak {peak:.0} counts", kind.word(), counts.len()),
            [("peak_counts", Value::quantity(peak, Unit::Counts)), ("saturated", Value::Flag(saturated))],
        );
        done.raw.push(RawData { name: format!("{}.json", kind.word()), media_type: "application/json", bytes });
        Ok(done)
    }

    async fn light_then_dark(
        &mut self,
        kind: Kind,
        exposure: Exposure,
        attention: &Attention,
    ) -> Result<(Vec<f64>, Vec<f64>), Fault> {
        let settle = Duration::from_secs_f64(self.settings.settle_s);
        self.set(obp::SET_INTEGRATION, &exposure.integration_us.to_le_bytes()).await?;
        attention.telling();
        match kind {
            Kind::Photoluminescence => {
                self.switch_lamp(false).await?;
                self.switch_laser(true).await?;
            }
            Kind::Reference | Kind::Absorbance => {
                self.switch_laser(false).await?;
                self.switch_lamp(true).await?;
            }
        }
        attention.pause(settle).await;
        let counts = self.mean_spectrum(exposure, attention).await?;
        self.lights_off().await?;
        attention.pause(settle).await;
        let dark = self.mean_spectrum(exposure, attention).await?;
        if counts.len() != dark.len() {
            let message = format!("{} pixels with light, {} in the dark", counts.len(), dark.len());
            return Err(refused(codes::OPTICS_SPECTRUM, message));
        }
        Ok((counts, dark))
    }

    /// The mean of some exposures, after one that is thrown away because it may have begun under the former light.
    async fn mean_spectrum(&mut self, exposure: Exposure, attention: &Attention) -> Result<Vec<f64>, Fault> {
        let lab_time = Duration::from_micros(exposure.integration_us.into());
        // Twice the exposure: the detector may be in the middle of one when it is asked.
        let within = ANSWER_WITHIN + lab_time.div_f64(attention.clock_rate) * 2;
        let pixels = self.spectrum(within).await?.len();
        let mut sum = vec![0.0; pixels];
        for _ in 0..exposure.averages {
            if attention.should_abort() {
                return Err(Fault::Aborted { message: "the measurement was stopped; the lights are off".to_owned() });
            }
            let counts = self.spectrum(within).await?;
            if counts.len() != pixels {
                let message = format!("a spectrum of {} pixels came after one of {pixels}", counts.len());
                return Err(refused(codes::OPTICS_SPECTRUM, message));
            }
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum += f64::from(count);
            }
        }
        let averages = f64::from(exposure.averages);
        Ok(sum.into_iter().map(|sum| sum / averages).collect())
    }

    async fn spectrum(&mut self, within: Duration) -> Result<Vec<u16>, Fault> {
        let data = self.ask(obp::GET_RAW_SPECTRUM, &[], 0, within).await?;
        if data.is_empty() || data.len() % 2 != 0 {
            return Err(refused(codes::OPTICS_SPECTRUM, format!("a spectrum of {} bytes", data.len())));
        }
        Ok(data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    async fn switch_lamp(&mut self, on: bool) -> Result<(), Fault> {
        // The light counts as on from before the request until the moment its switching off is confirmed.
        self.lamp |= on;
        self.set(obp::SET_LAMP, &[u8::from(on)]).await?;
        self.lamp = on;
        Ok(())
    }

    async fn switch_laser(&mut self, on: bool) -> Result<(), Fault> {
        let bit = 1_u32 << self.settings.laser_gpio;
        self.laser |= on;
        self.set(obp::SET_GPIO_OUTPUTS, &bit.to_le_bytes()).await?;
        self.set(obp::SET_GPIO_VALUES, &(if on { bit } else { 0 }).to_le_bytes()).await?;
        self.laser = on;
        Ok(())
    }

    /// Switches both lights off; the failure of one does not keep the other from being tried.
    async fn lights_off(&mut self) -> Result<(), Fault> {
        let laser = self.switch_laser(false).await;
        let lamp = self.switch_lamp(false).await;
        match laser.and(lamp) {
            Ok(()) => Ok(()),
            Err(fault) => Err(partial(codes::OPTICS_LIGHT_ON, format!("the lights may still be on: {fault}"))),
        }
    }

    fn wavelength_nm(&self, pixel: usize) -> f64 {
        self.wavelength.iter().rev().fold(0.0, |sum, coefficient| sum * pixel as f64 + coefficient)
    }

    /// A setting, whose acknowledgement is asked for.
    async fn set(&mut self, kind: u32, data: &[u8]) -> Result<(), Fault> {
        self.ask(kind, data, obp::FLAG_REQUEST_ACK, ANSWER_WITHIN).await.map(drop)
    }

    /// One request and its answer. Settings and questions alike may be repeated, so both are.
    async fn ask(&mut self, kind: u32, data: &[u8], flags: u16, within: Duration) -> Result<Vec<u8>, Fault> {
        let mut attempt = 1;
        loop {
            match self.ask_once(kind, data, flags, within).await {
                Ok(answer) if answer.flags & (obp::FLAG_NACK | obp::FLAG_EXCEPTION) != 0 || answer.error != 0 => {
                    // A damaged request may be repeated; any other error would come again.
                    if matches!(answer.error, 3 | 7 | 255) && attempt < ATTEMPTS {
                        attempt += 1;
                        continue;
                    }
                    let meaning = obp::meaning(answer.error);
                    let message = format!("message {kind:#x} was refused: {meaning} (error {})", answer.error);
                    return Err(refused(codes::OPTICS_REFUSED, message));
                }
                Ok(answer) => return Ok(answer.data),
                Err(unheard) if unheard.may_ask_again() && attempt < ATTEMPTS => {
                    dialogue::quieten(&mut self.port).await?;
                    attempt += 1;
                }
                Err(unheard) => {
                    // A stream that has lost its framing is dropped; the next connection starts clean.
                    self.port.close();
                    return Err(unheard.into());
                }
            }
        }
    }

    async fn ask_once(&mut self, kind: u32, data: &[u8], flags: u16, within: Duration) -> Result<Message, Unheard> {
        self.regarding = self.regarding.wrapping_add(1);
        let regarding = self.regarding;
        let question = Message { flags, error: 0, kind, regarding, data: data.to_vec() }.encode();
        let (mut bytes, _) = dialogue::ask(&mut self.port, &question, obp::MESSAGE_LIMIT, within, obp::find).await?;
        for _ in 0..PASSED_OVER {
            let message = Message::decode(&bytes).map_err(Unheard::Garbled)?;
            let answers = message.regarding == regarding && message.kind == kind;
            if answers && message.flags & (obp::FLAG_RESPONSE | obp::FLAG_ACK | obp::FLAG_NACK) != 0 {
                return Ok(message);
            }
            // A late answer to an earlier request, or something nobody asked for.
            bytes = self.port.line()?.read_frame(obp::MESSAGE_LIMIT, within, obp::find).await?;
        }
        Err(Unheard::Garbled(format!("no answer to message {kind:#x} came, only others")))
    }

    /// Reads serial number and wavelengths.
    async fn identify(&mut self) -> Result<(), Fault> {
        let serial = self.ask(obp::GET_SERIAL, &[], 0, ANSWER_WITHIN).await?;
        let serial = String::from_utf8_lossy(&serial).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
        if !self.serial.is_empty() && self.serial != serial {
            let message = format!("the spectrometer {serial} answers instead of {}", self.serial);
            return Err(refused(ppu_driver::codes::WRONG_DEVICE, message));
        }
        let wrong = |what: &str| refused(codes::OPTICS_SPECTRUM, format!("the wavelength calibration has {what}"));
        let count = match self.ask(obp::GET_WAVELENGTH_COUNT, &[], 0, ANSWER_WITHIN).await?.as_slice() {
            [count @ 1..=MOST_COEFFICIENTS, ..] => *count,
            _ => return Err(wrong("no sensible number of coefficients")),
        };
        let mut wavelength = Vec::new();
        for index in 0..count {
            let data = self.ask(obp::GET_WAVELENGTH_COEFFICIENT, &[index], 0, ANSWER_WITHIN).await?;
            let bytes: [u8; 4] =
                data.as_slice().try_into().map_err(|_| wrong("a coefficient that is not four bytes"))?;
            let coefficient = f32::from_le_bytes(bytes);
            if !coefficient.is_finite() {
                return Err(wrong("a coefficient that is not a number"));
            }
            wavelength.push(f64::from(coefficient));
        }
        (self.serial, self.wavelength) = (serial, wavelength);
        Ok(())
    }
}

impl Instrument for Spectrometer {
    fn describe(&self) -> Manifest {
        manifest()
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        self.port.open().await?;
        self.identify().await?;
        // A driver that was killed in mid-measurement leaves its light on.
        self.lights_off().await?;
        Ok(self.serial.clone())
    }

    async fn prepare(&mut self, request: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        match Kind::of(&request.command) {
            Some(_) => Ok(Vec::new()),
            None => Err(common::unknown_command(request)),
        }
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let kind = Kind::of(&request.command).ok_or_else(|| common::unknown_command(request))?;
        let integration_ms = common::quantity(request, "integration", Unit::Millisecond)?;
        let averages = common::integer(request, "averages")?;
        let exposure = Exposure {
            integration_us: (integration_ms * 1000.0).round() as u32,
            averages: u32::try_from(averages).unwrap_or(1).max(1),
        };
        self.measure(kind, exposure, attention).await.map_err(|fault| attention.honest(fault))
    }

    async fn recover(&mut self, request: &Request, _: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        Ok(Recovered::Unknown(format!("{} leaves no trace and may be repeated", request.command)))
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        self.execute(request, attention).await
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        let mut readings = vec![
            Reading { name: "lamp", value: Value::Flag(self.lamp) },
            Reading { name: "laser", value: Value::Flag(self.laser) },
        ];
        match self.ask(obp::GET_DETECTOR_TEMPERATURE, &[], 0, ANSWER_WITHIN).await {
            Ok(data) => {
                if let Ok(bytes) = <[u8; 4]>::try_from(data.as_slice()) {
                    let celsius = f64::from(f32::from_le_bytes(bytes));
                    readings
                        .push(Reading { name: "detector_temperature", value: Value::quantity(celsius, Unit::Celsius) });
                }
            }
            // Models without a cooled detector refuse the question.
            Err(Fault::Refused { .. }) => {}
            Err(fault) => return Err(before_start(fault)),
        }
        Ok(readings)
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        self.lights_off().await?;
        Ok(format!("{reason}: lamp and laser are confirmed to be off"))
    }
}

/// What a spectrometer can do.
pub(crate) fn manifest() -> Manifest {
    let command = |name, description, needs_sample| {
        let mut command = specs::command(name, ActionClass::Idempotent, 20.0, description);
        let limits = (1.0, 10_000.0);
        command.arguments = vec![
            specs::quantity("integration", Unit::Millisecond, limits, Some(20.0), "Length of one exposure."),
            specs::integer("averages", (1, 100), Some(10), "Exposures in each mean."),
        ];
        command.results = vec![
            specs::result("peak_counts", Unit::Counts, "Mean counts of the brightest pixel."),
            specs::result("saturated", Unit::One, "Whether that pixel was full."),
        ];
        command.artifacts = true;
        command.needs_sample = needs_sample;
        command
    };
    Manifest {
        driver: DRIVER.to_owned(),
        model: "Ocean Optics spectrometer with lamp and laser".to_owned(),
        capabilities: vec![specs::capability(
            "spectroscopy",
            vec![
                command("reference", "Spectrum of the lamp through an empty stage, and the dark.", false),
                command("absorbance", "Spectrum of the lamp through the sample, and the dark.", true),
                command("photoluminescence", "Emission of the sample under the laser, and the dark.", true),
            ],
        )],
        properties: vec![
            specs::property("lamp", Unit::One, "Whether the lamp was switched on by this driver."),
            specs::property("laser", Unit::One, "Whether the laser was switched on by this driver."),
            specs::property(
                "detector_temperature",
                Unit::Celsius,
                "Temperature of the detector, where it is measured.",
            ),
        ],
    }
}

#[cfg(test)]
mod tests;

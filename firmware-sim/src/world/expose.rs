//! The spectrometer's detector and lights (chapter 8).

use super::config::PositionKind;
use super::noise::Stream;
use super::optics::{LASER_NM, PIXELS, Spectrum};
use super::{Cause, Outcome, Record, World};
use serde_json::{Value, json};

/// Wavelength polynomial as the vendor calibrated it: nm, from 350 to 1050.
const VENDOR_NM: [f32; 4] = [350.0, 0.349_970, -3.5e-6, -2.0e-10];
/// Detector figures: counts per electron, electrons, electrons per ms, counts.
const GAIN: f64 = 0.35;
const READ_NOISE: f64 = 12.0;
const DARK_PER_MS: f64 = 20.0;
const BASELINE: f64 = 1500.0;
/// Lamp at its brightest pixel with nothing in the beam, electrons per ms: 10 ms fill three quarters of the range.
const LAMP_PER_MS: f64 = 12_000.0;
/// Share of all light on the detector that lands on wrong pixels.
const STRAY: f64 = 5e-4;
/// Scattered laser light through the filter, electrons per s at its line.
const LASER_SCATTER_PER_S: f64 = 5.0e4;

impl World {
    /// Switches the lamp.
    pub fn set_lamp(&mut self, cause: &Cause, on: bool) {
        let now_s = self.now_s;
        self.switch(cause, "set_lamp", on, |lights| {
            lights.lamp_since_s = if on { lights.lamp_since_s.or(Some(now_s)) } else { None };
        });
    }

    /// Switches the laser. A film on the stage ages under it.
    pub fn set_laser(&mut self, cause: &Cause, on: bool) {
        self.switch(cause, "set_laser", on, |lights| lights.laser = on);
    }

    fn switch(&mut self, cause: &Cause, action: &str, on: bool, change: impl FnOnce(&mut super::state::Lights)) {
        let before = self.state_hash();
        self.count(&cause.device, action);
        if let Some(id) = self.on_stage(&cause.device) {
            self.bring_up(&id);
        }
        let mut outcome = Outcome::Refused;
        if let Some(lights) = self.lights.get_mut(&cause.device) {
            change(lights);
            outcome = Outcome::Done;
        }
        self.record_now(cause, action, json!({"on": on}), Value::Null, outcome, before);
    }

    fn on_stage(&self, device: &str) -> Option<String> {
        let stage = self
            .places
            .values()
            .find(|place| place.kind == PositionKind::Spectrometer && place.device.as_deref() == Some(device));
        stage.and_then(|place| place.occupant.clone())
    }

    /// One exposure of 2048 pixels. Whatever stands on the stage is in the beam; an empty stage is the open beam. With
    /// the lamp off and the laser on it is photoluminescence, with both off the dark.
    pub fn expose(&mut self, cause: &Cause, integration_us: u32) -> Vec<u16> {
        let id = self.on_stage(&cause.device);
        if let Some(id) = &id {
            self.bring_to_grid(id);
        }
        let hash = self.state_hash();
        let count = self.count(&cause.device, "expose");
        let stream_name = format!("{}/expose", cause.device);
        let mut stream = self.streams.open(&stream_name, count);
        let axis = self.true_wavelengths(&cause.device);
        let seen = id.as_deref().and_then(|id| self.seen(id));
        let spectrum = match &seen {
            Some(sample) => self.optics.spectrum(&sample.film, &axis, &self.truth).clone(),
            None => Spectrum { transmittance: vec![1.0; PIXELS], emission: vec![0.0; PIXELS] },
        };
        let focus = seen.as_ref().map_or(1.0, |sample| sample.seat.focus);
        let signal = self.signal_per_s(&cause.device, &axis, &spectrum, focus, &mut stream);
        let seconds = f64::from(integration_us) * 1e-6;
        let counts: Vec<u16> = signal.iter().map(|signal| read_out(signal * seconds, seconds, &mut stream)).collect();
        let digest = match (&id, &seen) {
            (Some(id), Some(sample)) => self.digest(id, sample),
            _ => Value::Null,
        };
        let lights = self.lights.get(&cause.device).copied().unwrap_or_default();
        let start_s = (self.now_s - seconds).max(0.0);
        self.record(
            cause,
            Record {
                action: "expose",
                start_s,
                requested: json!({"integration_us": integration_us}),
                realised: json!({
                    "truth": digest, "stream": format!("{stream_name}/{count}"),
                    "lamp": lights.lamp_since_s.is_some(), "laser": lights.laser,
                }),
                outcome: Outcome::Done,
                before: hash.clone(),
                after: Some(hash),
            },
        );
        counts
    }

    /// Wavelength polynomial (nm, nm/pixel, …) as the vendor calibrated it; the true one differs a little.
    pub fn wavelength_coefficients(&self) -> [f32; 4] {
        VENDOR_NM
    }

    fn true_wavelengths(&self, device: &str) -> Vec<f64> {
        let error = self.truth.wavelength_error_nm.get(device).copied().unwrap_or(0.0)
            + 0.01 * (self.config.ambient.temperature_c - 25.0);
        let [c0, c1, c2, c3] = VENDOR_NM.map(f64::from);
        let at = |x: f64| c0 + x * (c1 + x * (c2 + x * c3)) + error;
        (0..PIXELS).map(|pixel| at(pixel as f64)).collect()
    }

    /// Photoelectrons per second at each pixel.
    fn signal_per_s(
        &self,
        device: &str,
        axis: &[f64],
        spectrum: &Spectrum,
        focus: f64,
        stream: &mut Stream,
    ) -> Vec<f64> {
        let lights = self.lights.get(device).copied().unwrap_or_default();
        let mut signal = vec![0.0; axis.len()];
        // Fibre and optics pass on a fifth of the focus error of a placement: about 1 %.
        let coupling = 1.0 + 0.2 * (focus - 1.0);
        if let Some(since_s) = lights.lamp_since_s {
            let level = self.lamp_level(device, since_s) * coupling * stream.gauss(1.0, 2e-4);
            for ((sum, wavelength), passed) in signal.iter_mut().zip(axis).zip(&spectrum.transmittance) {
                *sum += 1e3 * LAMP_PER_MS * level * lamp(*wavelength) * passed;
            }
        }
        if lights.laser {
            let power = focus * stream.gauss(1.0, 0.01);
            for ((sum, wavelength), emitted) in signal.iter_mut().zip(axis).zip(&spectrum.emission) {
                // 1.5 nm resolution: σ = 0.64 nm.
                let line = (-0.5 * ((wavelength - LASER_NM) / 0.64).powi(2)).exp();
                *sum += power * (emitted * efficiency(*wavelength) + LASER_SCATTER_PER_S * line);
            }
        }
        let stray = STRAY * signal.iter().sum::<f64>() / signal.len() as f64;
        for sum in &mut signal {
            *sum += stray;
        }
        signal
    }

    /// Brightness of the lamp: warm-up −3 % fading over 20 min, 0.1 %/h, and slow wander of 0.15 % in all.
    fn lamp_level(&self, device: &str, since_s: f64) -> f64 {
        let on_s = self.now_s - since_s;
        let mut phases = self.streams.open(&format!("{device}/lamp"), 0);
        let wander: f64 = [60.0, 600.0, 6000.0]
            .iter()
            .map(|period| 0.0012 * (std::f64::consts::TAU * (self.now_s / period + phases.uniform())).sin())
            .sum();
        (1.0 - 0.03 * (-on_s / 400.0).exp()) * (1.0 - 0.001 * on_s / 3600.0) * (1.0 + wander)
    }
}

/// Efficiency of grating and detector, 1 at 620 nm.
fn efficiency(wavelength_nm: f64) -> f64 {
    (-((wavelength_nm - 620.0) / 350.0).powi(2)).exp()
}

/// Lamp times efficiency, about 1 at its highest: tungsten at 2800 K with a blue booster.
fn lamp(wavelength_nm: f64) -> f64 {
    let tungsten = |nm: f64| nm.powi(-4) / ((1.438_777e7 / (nm * 2800.0)).exp() - 1.0);
    (0.85 * tungsten(wavelength_nm) / tungsten(1000.0) + 0.15) * efficiency(wavelength_nm) / 0.557
}

/// What the converter shows for some photoelectrons.
fn read_out(photoelectrons: f64, seconds: f64, stream: &mut Stream) -> u16 {
    let light = stream.poisson(photoelectrons) as f64;
    let dark = stream.poisson(DARK_PER_MS * 1e3 * seconds) as f64;
    let linear = GAIN * (light + dark + stream.gauss(0.0, READ_NOISE));
    // −1.5 % at 90 % of full scale.
    let bent = linear * (1.0 - 0.015 * linear.max(0.0) / 59_000.0);
    // Casting saturates: full wells clip at 65535, as in the instrument.
    (bent + BASELINE).round().clamp(0.0, 65_535.0) as u16
}

//! The hidden truth (W-4): parameters of nature and of the instruments, drawn once from the seed.
//!
//! Only the ledger header and tests see these numbers; a lab must find what it needs by measuring.

use super::config::{DeviceKind, PortRole, TruthMode, WorldConfig};
use super::noise::{Stream, Streams};
use serde::Serialize;
use std::collections::BTreeMap;

/// Steps of chapter 5 with their own rate constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wet film to crystals.
    Crystallise,
    /// δ phases back to α.
    ToAlpha,
    /// α to the δO polytype.
    ToDeltaO,
    /// α to the δH polytype.
    ToDeltaH,
    /// Loss of methylammonium.
    LoseMa,
    /// Loss of formamidinium.
    LoseFa,
}

/// Activation energies in kJ/mol, in the order of [`Step`].
const ACTIVATION: [f64; 6] = [70.0, 120.0, 64.0, 75.0, 130.0, 112.0];

/// Temperature at which a changed activation energy leaves a rate as it was, K. It lies amid the annealing range, so
/// that 3 % of an activation energy tilts a rate instead of multiplying it by e.
const PIVOT_K: f64 = 400.0;

/// Everything that the seed decides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HiddenTruth {
    /// Non-Vegard shift of the pseudo-cubic edge, Å.
    pub(crate) edge_shift_a: f64,
    /// Gap of the iodides with (Cs, MA, FA), eV at 298 K.
    pub(crate) gap_iodide_ev: [f64; 3],
    /// Gap of the bromides, eV.
    pub(crate) gap_bromide_ev: [f64; 3],
    /// Bowing in x, eV.
    pub(crate) bowing_ev: [f64; 3],
    /// Shift of the free energy of α, kJ/mol.
    pub(crate) free_energy_shift: f64,
    /// Factor of each rate constant.
    pub(crate) rate_factor: [f64; 6],
    /// Shift of each activation energy, kJ/mol.
    pub(crate) activation_shift: [f64; 6],
    /// Relative systematic error of the syringe, fluid included.
    pub(crate) pump_gain_error: f64,
    /// Volume offset of the syringe, µL.
    pub(crate) pump_offset_ul: f64,
    /// Size of a drop at the nozzle, µL.
    pub(crate) drop_ul: f64,
    /// Factor on the concentration of the stock at each port.
    pub(crate) stock_factor: BTreeMap<u8, f64>,
    /// Offset of each heater's sensor, K (reads high when positive).
    pub(crate) sensor_offset_k: BTreeMap<String, f64>,
    /// Gain error of each heater's sensor.
    pub(crate) sensor_gain: BTreeMap<String, f64>,
    /// Teach offset of the arm at each position, mm in x and y.
    pub(crate) teach_offset_mm: BTreeMap<String, [f64; 2]>,
    /// Zero error of each diffractometer, degrees 2θ.
    pub(crate) zero_error_deg: BTreeMap<String, f64>,
    /// Wavelength error of each spectrometer, nm.
    pub(crate) wavelength_error_nm: BTreeMap<String, f64>,
    /// March–Dollase parameter of α films as cast.
    pub(crate) texture_alpha: f64,
    /// Relative error of each balance's span.
    pub(crate) balance_span: BTreeMap<String, f64>,
}

impl HiddenTruth {
    /// The truth of a world.
    pub(crate) fn draw(config: &WorldConfig, streams: &Streams) -> Self {
        let spread = match config.truth {
            TruthMode::Drawn => 1.0,
            TruthMode::Nominal => 0.0,
        };
        let mut draw = Draw { stream: streams.open("truth/material", 0), spread };
        let mut truth = Self::material(&mut draw);
        let mut draw = Draw { stream: streams.open("truth/instruments", 0), spread };
        truth.pump_gain_error = draw.about(-0.005, 0.006);
        truth.pump_offset_ul = draw.about(0.0, 0.2);
        truth.drop_ul = draw.about(5.0, 1.2).clamp(2.0, 8.0);
        for port in config.port.iter().filter(|port| port.role == PortRole::Stock) {
            let mut draw = Draw { stream: streams.open("truth/stock", u64::from(port.port)), spread };
            truth.stock_factor.insert(port.port, draw.about(1.0, 0.01));
        }
        for device in &config.device {
            let mut draw = Draw { stream: streams.open(&format!("truth/device/{}", device.name), 0), spread };
            truth.instrument(&device.name, device.kind, &mut draw);
        }
        for name in config.position.iter().flat_map(super::config::PositionConfig::names) {
            let mut draw = Draw { stream: streams.open(&format!("truth/teach/{name}"), 0), spread };
            truth.teach_offset_mm.insert(name, [draw.about(0.0, 0.2), draw.about(0.0, 0.2)]);
        }
        truth
    }

    /// The published values, for reference calculations.
    #[cfg(test)]
    pub(crate) fn nominal() -> Self {
        Self::material(&mut Draw { stream: Streams::new(0).open("nominal", 0), spread: 0.0 })
    }

    fn material(draw: &mut Draw) -> Self {
        Self {
            edge_shift_a: draw.about(0.0, 0.005),
            gap_iodide_ev: [1.72, 1.59, 1.51].map(|gap| draw.about(gap, 0.010)),
            gap_bromide_ev: [2.36, 2.31, 2.26].map(|gap| draw.about(gap, 0.010)),
            bowing_ev: [0.19, 0.40, 0.30].map(|b| draw.about(b, 0.05)),
            free_energy_shift: draw.about(0.0, 0.3),
            rate_factor: ACTIVATION.map(|_| draw.about(0.0, 0.3).exp()),
            activation_shift: ACTIVATION.map(|energy| draw.about(0.0, 0.03 * energy)),
            pump_gain_error: 0.0,
            pump_offset_ul: 0.0,
            drop_ul: 5.0,
            stock_factor: BTreeMap::new(),
            sensor_offset_k: BTreeMap::new(),
            sensor_gain: BTreeMap::new(),
            teach_offset_mm: BTreeMap::new(),
            zero_error_deg: BTreeMap::new(),
            wavelength_error_nm: BTreeMap::new(),
            texture_alpha: draw.about(1.0, 0.03),
            balance_span: BTreeMap::new(),
        }
    }

    fn instrument(&mut self, name: &str, kind: DeviceKind, draw: &mut Draw) {
        let name = name.to_owned();
        match kind {
            DeviceKind::HotplateStirrer => {
                self.sensor_offset_k.insert(name.clone(), draw.about(0.5, 1.0));
                self.sensor_gain.insert(name, draw.about(0.008, 0.005));
            }
            DeviceKind::TubeFurnace => {
                self.sensor_offset_k.insert(name, draw.about(4.0, 3.0));
            }
            DeviceKind::Diffractometer => {
                self.zero_error_deg.insert(name, draw.about(0.0, 0.01));
            }
            DeviceKind::Spectrometer => {
                self.wavelength_error_nm.insert(name, draw.about(0.0, 0.3));
            }
            DeviceKind::Balance => {
                self.balance_span.insert(name, draw.about(0.0, 5e-6));
            }
            DeviceKind::SyringePump | DeviceKind::Arm => {}
        }
    }

    /// Factor by which the drawn rate of a step differs from the published one at a temperature.
    pub(crate) fn rate(&self, step: Step, temperature_k: f64) -> f64 {
        let k = step as usize;
        let tilt = self.activation_shift[k] / super::kinetics::R_KJ * (1.0 / temperature_k - 1.0 / PIVOT_K);
        self.rate_factor[k] * (-tilt).exp()
    }
}

struct Draw {
    stream: Stream,
    spread: f64,
}

impl Draw {
    fn about(&mut self, mean: f64, sigma: f64) -> f64 {
        let draw = self.stream.normal();
        mean + self.spread * sigma * draw
    }
}

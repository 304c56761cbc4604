//! The parts of the world's state that are things: samples, places, the spectrometer's lights.

use super::config::PositionKind;
use super::film::{Film, Surroundings};
use super::truth::HiddenTruth;

/// Films are reckoned in intervals that never cross a multiple of this, so that a reading in between changes nothing
/// bit by bit (W-2, W-3).
pub(crate) const FILM_GRID_S: f64 = 60.0;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spot {
    /// At a position.
    At(String),
    /// In the gripper.
    Gripper,
    /// Dropped between two places.
    Lost(String),
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spot::At(position) => f.write_str(position),
            Spot::Gripper => f.write_str("gripper"),
            Spot::Lost(between) => write!(f, "lost at {between}"),
        }
    }
}

/// How a sample lies where it was last placed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seat {
    /// Radial error of the placement, mm.
    pub(crate) radial_mm: f64,
    /// Thermal contact relative to a good seat.
    pub(crate) contact: f64,
    /// Height error, µm: what displaces a diffraction pattern.
    pub(crate) displacement_um: f64,
    /// Factor on collected light: focus of this placement.
    pub(crate) focus: f64,
}

impl Default for Seat {
    fn default() -> Self {
        Self { radial_mm: 0.0, contact: 1.0, displacement_um: 0.0, focus: 1.0 }
    }
}

/// A substrate with whatever is on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) film: Film,
    pub(crate) substrate_g: f64,
    pub(crate) spot: Spot,
    pub(crate) seat: Seat,
    /// Time up to which the film has been reckoned, s.
    pub(crate) at_s: f64,
    /// Whether a collision may have harmed it.
    pub(crate) suspect: bool,
    /// Milestones reached: first α, half α, 5 % PbX2.
    pub(crate) milestones: [bool; 3],
}

impl Sample {
    /// Reckons the film until `now_s`, in pieces that end at the grid.
    pub(crate) fn advance(&mut self, now_s: f64, around: &Surroundings, truth: &HiddenTruth) {
        while self.at_s < now_s {
            let next = ((self.at_s / FILM_GRID_S).floor() + 1.0) * FILM_GRID_S;
            let end = next.min(now_s);
            self.film.advance(end - self.at_s, around, truth);
            self.at_s = end;
        }
    }

    /// Milestones that the film has reached since the last call.
    pub(crate) fn new_milestones(&mut self) -> Vec<&'static str> {
        let [_, alpha, _, _, salt, _] = self.film.lead_fractions();
        let solid = self.film.composition().is_some();
        let reached = [solid && alpha > 0.01, solid && alpha > 0.5, solid && alpha + salt > 0.05 && salt > 0.05];
        let mut new = Vec::new();
        for (k, name) in ["first_alpha", "half_alpha", "lead_halide_above_5_percent"].into_iter().enumerate() {
            if reached[k] && !self.milestones[k] {
                self.milestones[k] = true;
                new.push(name);
            }
        }
        new
    }
}

/// A place for one sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) kind: PositionKind,
    pub(crate) device: Option<String>,
    pub(crate) occupant: Option<String>,
}

/// The lights of a spectrometer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Lights {
    /// When the lamp was switched on, s; `None` while off.
    pub(crate) lamp_since_s: Option<f64>,
    /// Whether the laser is on.
    pub(crate) laser: bool,
}

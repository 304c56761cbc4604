//! The arm: where objects are, and what can go wrong between two places (chapter 10).

use super::noise::Stream;
use super::state::{Seat, Spot};
use super::{Cause, HandOver, Outcome, World};
use serde_json::{Value, json};

/// Repeatability of each axis, mm.
const REPEATABILITY_MM: f64 = 0.05;
/// Drift since the last homing, mm/h; it stops at 0.3 mm, where the arm's own calibration holds it.
const DRIFT_MM_PER_H: f64 = 0.01;
const MOST_DRIFT_MM: f64 = 0.3;
/// Radial error from which an object lies badly, and from which it is not seated at all, mm.
const BAD_SEAT_MM: f64 = 0.8;
const NO_SEAT_MM: f64 = 1.5;

impl World {
    /// Closes the gripper at a position and lifts. The firmware decides what the robot can know of the result.
    pub fn pick(&mut self, cause: &Cause, position: &str) -> HandOver {
        let before = self.state_hash();
        let count = self.count(&cause.device, "pick");
        let mut stream = self.streams.open(&format!("{}/pick", cause.device), count);
        let radial_error_mm = self.radial_error(position, &mut stream);
        let misses = stream.chance(self.mishap(1e-3)) || radial_error_mm > NO_SEAT_MM;
        let requested = json!({"position": position});
        let occupant = self.places.get(position).map(|place| place.occupant.clone());
        let (object, outcome, note) = match (occupant, self.gripper.clone()) {
            (None, _) => (None, Outcome::Refused, "no such position"),
            (Some(Some(there)), Some(held)) => {
                return self.collide(cause, "pick", position, &held, &there, radial_error_mm, before);
            }
            (Some(None), _) => (None, Outcome::Failed, "moved nothing"),
            (Some(Some(_)), None) if misses => (None, Outcome::Failed, "grip missed"),
            (Some(Some(id)), None) => {
                self.bring_up(&id);
                self.lift(&id, position);
                (Some(id), Outcome::Done, "")
            }
        };
        let realised = json!({"from": position, "to": "gripper", "object": object,
            "radial_error_mm": radial_error_mm, "note": note});
        self.record_now(cause, "pick", requested, realised, outcome, before);
        HandOver { object, radial_error_mm, outcome, protective_stop: false }
    }

    /// Lowers what the gripper holds onto a position and opens.
    pub fn place(&mut self, cause: &Cause, position: &str) -> HandOver {
        let before = self.state_hash();
        let count = self.count(&cause.device, "place");
        let mut stream = self.streams.open(&format!("{}/place", cause.device), count);
        let radial_error_mm = self.radial_error(position, &mut stream);
        let drops = stream.chance(self.mishap(2e-4));
        let seat = self.seat(radial_error_mm, &mut stream);
        let requested = json!({"position": position});
        let occupant = self.places.get(position).map(|place| place.occupant.clone());
        let (object, outcome, note) = match (occupant, self.gripper.clone()) {
            (None, held) => (held, Outcome::Refused, "no such position"),
            (Some(_), None) => (None, Outcome::Failed, "moved nothing"),
            (Some(Some(there)), Some(held)) => {
                return self.collide(cause, "place", position, &held, &there, radial_error_mm, before);
            }
            (Some(None), Some(id)) => {
                self.bring_up(&id);
                self.gripper = None;
                if drops {
                    self.lose(&id, position);
                    (Some(id), Outcome::Failed, "dropped")
                } else {
                    self.seat_at(&id, position, seat);
                    let badly = radial_error_mm > NO_SEAT_MM;
                    let (outcome, note) = if badly { (Outcome::Partial, "not seated") } else { (Outcome::Done, "") };
                    (Some(id), outcome, note)
                }
            }
        };
        let object_moved = if outcome == Outcome::Refused { None } else { object };
        let realised = json!({"from": "gripper", "to": position, "object": object_moved,
            "radial_error_mm": radial_error_mm, "contact": seat.contact,
            "displacement_um": seat.displacement_um, "note": note});
        self.record_now(cause, "place", requested, realised, outcome, before);
        HandOver { object: object_moved, radial_error_mm, outcome, protective_stop: false }
    }

    /// Every position, in order of name.
    pub fn positions(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    fn radial_error(&self, position: &str, stream: &mut Stream) -> f64 {
        let teach = self.truth.teach_offset_mm.get(position).copied().unwrap_or([0.0; 2]);
        let drift = (DRIFT_MM_PER_H * self.now_s / 3600.0).min(MOST_DRIFT_MM);
        let x = teach[0] + drift + stream.gauss(0.0, REPEATABILITY_MM);
        let y = teach[1] + stream.gauss(0.0, REPEATABILITY_MM);
        x.hypot(y)
    }

    fn seat(&self, radial_mm: f64, stream: &mut Stream) -> Seat {
        let poor = stream.chance(self.mishap(0.03));
        let side = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
        let tilted = radial_mm > BAD_SEAT_MM;
        let displacement_um = stream.gauss(30.0, 60.0) + if tilted { side * 150.0 } else { 0.0 };
        let focus = stream.gauss(1.0, 0.05).max(0.5);
        Seat { radial_mm, contact: if poor || tilted { 0.3 } else { 1.0 }, displacement_um, focus }
    }

    fn lift(&mut self, id: &str, position: &str) {
        if let Some(place) = self.places.get_mut(position) {
            place.occupant = None;
        }
        if let Some(sample) = self.samples.get_mut(id) {
            sample.spot = Spot::Gripper;
        }
        self.gripper = Some(id.to_owned());
    }

    fn seat_at(&mut self, id: &str, position: &str, seat: Seat) {
        if let Some(place) = self.places.get_mut(position) {
            place.occupant = Some(id.to_owned());
        }
        if let Some(sample) = self.samples.get_mut(id) {
            sample.spot = Spot::At(position.to_owned());
            sample.seat = seat;
        }
    }

    fn lose(&mut self, id: &str, position: &str) {
        if let Some(sample) = self.samples.get_mut(id) {
            sample.spot = Spot::Lost(format!("the way to {position}"));
            sample.suspect = true;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one collision has two objects, a place, a cause and a state before")]
    fn collide(
        &mut self,
        cause: &Cause,
        action: &str,
        position: &str,
        held: &str,
        there: &str,
        radial_error_mm: f64,
        before: String,
    ) -> HandOver {
        for id in [held, there] {
            if let Some(sample) = self.samples.get_mut(id) {
                sample.suspect = true;
            }
        }
        let realised: Value = json!({"at": position, "held": held, "there": there, "note": "collision"});
        self.record_now(cause, action, json!({"position": position}), realised, Outcome::Failed, before);
        HandOver { object: None, radial_error_mm, outcome: Outcome::Failed, protective_stop: true }
    }
}

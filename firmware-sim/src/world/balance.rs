//! The balance: what its cell feels of the pan's load.

use super::config::PositionKind;
use super::{Cause, Outcome, Record, World};
use serde_json::{Value, json};

/// Repeatability of a 0.01 mg balance, g (vendor class: 0.015 mg at small loads).
const REPEATABILITY_G: f64 = 1.2e-5;
/// Slow wander of the zero, g, with a period of some hours: temperature of the cell.
const WANDER_G: f64 = 2.0e-5;
const WANDER_PERIOD_S: f64 = 9000.0;

impl World {
    /// Gross reading of the balance named in the cause, before tare and zero, g. A pan without a sample reads its
    /// wandering zero. Reading changes nothing in the world.
    pub fn weigh_g(&mut self, cause: &Cause) -> f64 {
        let pan = self.places.values().find(|place| {
            place.kind == PositionKind::Balance && place.device.as_deref() == Some(cause.device.as_str())
        });
        let id = pan.and_then(|place| place.occupant.clone());
        if let Some(id) = &id {
            self.bring_to_grid(id);
        }
        let hash = self.state_hash();
        let count = self.count(&cause.device, "weigh");
        let load = id.as_deref().and_then(|id| self.seen(id));
        let gross_g = load.map_or(0.0, |sample| sample.substrate_g + sample.film.moles.mass_g());
        let span = self.truth.balance_span.get(&cause.device).copied().unwrap_or(0.0);
        let phase = self.streams.open(&format!("{}/wander", cause.device), 0).uniform();
        let wander = WANDER_G * (std::f64::consts::TAU * (self.now_s / WANDER_PERIOD_S + phase)).sin();
        let noise = self.streams.open(&format!("{}/weigh", cause.device), count).gauss(0.0, REPEATABILITY_G);
        let reading_g = gross_g * (1.0 + span) + wander + noise;
        let start_s = self.now_s;
        self.record(
            cause,
            Record {
                action: "weigh",
                start_s,
                requested: Value::Null,
                realised: json!({"sample": id, "gross_g": gross_g, "reading_g": reading_g}),
                outcome: Outcome::Done,
                before: hash.clone(),
                after: Some(hash),
            },
        );
        reading_g
    }
}

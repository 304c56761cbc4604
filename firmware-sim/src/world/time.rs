//! Time: the thermal grid, lazily reckoned films, and the heaters that the firmware layer sets.

use super::config::PositionKind;
use super::film::Surroundings;
use super::kinetics::ZERO_C;
use super::state::{FILM_GRID_S, Sample, Spot};
use super::thermal::STEP_S;
use super::{Cause, Outcome, Record, World};
use serde_json::{Value, json};

/// A sample in the gripper or on the floor cools by air alone: 2310 J/(m² K) of glass over about 40 W/(m² K).
const AIR_LAG_S: f64 = 60.0;
/// Heat capacity of glass, J/(m³ K), over the contact of a good seat, W/(m² K).
const GLASS_J_PER_M3_K: f64 = 2500.0 * 840.0;
const CONTACT_W_PER_M2_K: f64 = 500.0;
/// Mass transfer of evaporation, m/s: still and gas-swept.
const STILL_M_S: f64 = 0.001;
const SWEPT_M_S: f64 = 0.005;

impl World {
    /// Simulated seconds since the start.
    pub fn now_s(&self) -> f64 {
        self.now_s
    }

    /// Advances time; never backward (C-5). Heated bodies and the films in them move on a grid of one second, all
    /// other films when somebody touches them.
    pub fn advance_to(&mut self, now_s: f64) {
        if now_s.is_nan() || now_s <= self.now_s {
            return;
        }
        let busy_plates = self.plates.values().any(|plate| !plate.is_settled());
        let busy_furnaces = self.furnaces.values().any(|furnace| !furnace.is_settled());
        let last = now_s.floor();
        if !busy_plates && !busy_furnaces {
            self.grid_s = self.grid_s.max(last);
        }
        while self.grid_s + STEP_S <= now_s {
            self.grid_s += STEP_S;
            self.step_heat();
        }
        self.now_s = now_s;
    }

    /// One step of every heated body that is not settled, and of the films in the furnaces.
    fn step_heat(&mut self) {
        for plate in self.plates.values_mut().filter(|plate| !plate.is_settled()) {
            plate.step();
        }
        let mut milestones = Vec::new();
        for (name, furnace) in self.furnaces.iter_mut().filter(|(_, furnace)| !furnace.is_settled()) {
            let boat = self.places.values().find(|p| p.device.as_deref() == Some(name) && p.occupant.is_some());
            let id = boat.and_then(|place| place.occupant.as_deref());
            furnace.step();
            let Some((id, sample)) = id.and_then(|id| Some((id, self.samples.get_mut(id)?))) else { continue };
            let around = furnace_surroundings(&self.config, furnace.place_c(sample.seat.radial_mm), sample);
            sample.advance(self.grid_s, &around, &self.truth);
            for milestone in sample.new_milestones() {
                milestones.push((id.to_owned(), milestone));
            }
        }
        for (id, milestone) in milestones {
            self.record_milestone(&id, milestone, self.grid_s);
        }
    }

    /// What surrounds a sample now.
    pub(super) fn surroundings(&self, sample: &Sample) -> Surroundings {
        let ambient = &self.config.ambient;
        let mut around = Surroundings {
            place_k: ambient.temperature_c + ZERO_C,
            lag_s: contact_lag_s(self.config.samples.thickness_mm, sample.seat.contact),
            humidity: ambient.relative_humidity,
            mass_transfer_m_s: STILL_M_S,
            loss_factor: 1.0,
            suns: 0.0,
        };
        let Spot::At(position) = &sample.spot else {
            around.lag_s = AIR_LAG_S;
            return around;
        };
        let Some(place) = self.places.get(position) else { return around };
        let device = place.device.as_deref().unwrap_or_default();
        match place.kind {
            PositionKind::Coat if ambient.coat_gas_swept => around.mass_transfer_m_s = SWEPT_M_S,
            PositionKind::Furnace => {
                if let Some(furnace) = self.furnaces.get(device) {
                    return furnace_surroundings(&self.config, furnace.place_c(sample.seat.radial_mm), sample);
                }
            }
            PositionKind::Spectrometer if self.lights.get(device).is_some_and(|lights| lights.laser) => {
                around.suns = 1.0;
            }
            _ => {}
        }
        around
    }

    /// Reckons a sample until now, for good: before it moves or its surroundings change.
    pub(super) fn bring_up(&mut self, id: &str) {
        self.bring_to(id, self.now_s);
    }

    /// Reckons a sample until the last grid point: as far as a reading may without leaving a trace.
    pub(super) fn bring_to_grid(&mut self, id: &str) {
        self.bring_to(id, (self.now_s / FILM_GRID_S).floor() * FILM_GRID_S);
    }

    fn bring_to(&mut self, id: &str, until_s: f64) {
        let Some(sample) = self.samples.get(id) else { return };
        if sample.at_s >= until_s || self.is_stepped(sample) && until_s < self.now_s {
            return;
        }
        let around = self.surroundings(sample);
        let truth = &self.truth;
        let Some(sample) = self.samples.get_mut(id) else { return };
        sample.advance(until_s, &around, truth);
        let at_s = sample.at_s;
        for milestone in sample.new_milestones() {
            self.record_milestone(id, milestone, at_s);
        }
    }

    /// Whether the thermal grid already carries this sample along.
    fn is_stepped(&self, sample: &Sample) -> bool {
        let Spot::At(position) = &sample.spot else { return false };
        let device = self.places.get(position).and_then(|place| place.device.as_deref());
        device.and_then(|name| self.furnaces.get(name)).is_some_and(|furnace| !furnace.is_settled())
    }

    /// A copy of a sample as it is now; the world itself stays as it was.
    pub(super) fn seen(&self, id: &str) -> Option<Sample> {
        let mut sample = self.samples.get(id)?.clone();
        let around = self.surroundings(&sample);
        sample.advance(self.now_s, &around, &self.truth);
        Some(sample)
    }

    fn record_milestone(&mut self, id: &str, milestone: &str, at_s: f64) {
        let cause = Cause { device: "world".to_owned(), frame: String::new(), command_id: None };
        self.count("world", "milestone");
        let hash = self.state_hash();
        self.record(
            &cause,
            Record {
                action: "milestone",
                start_s: at_s,
                requested: Value::Null,
                realised: json!({"sample": id, "milestone": milestone}),
                outcome: Outcome::Done,
                before: hash.clone(),
                after: Some(hash),
            },
        );
    }

    /// Sets the hotplate; `None` switches its heater off.
    pub fn set_plate(&mut self, cause: &Cause, setpoint_c: Option<f64>) {
        let before = self.state_hash();
        self.count(&cause.device, "set_plate");
        let mut outcome = Outcome::Refused;
        if let Some(plate) = self.plates.get_mut(&cause.device) {
            plate.set(setpoint_c.filter(|c| c.is_finite()));
            outcome = Outcome::Done;
        }
        let requested = json!({"setpoint_c": setpoint_c});
        let realised = json!({"plate_c": self.plate_c(&cause.device)});
        self.record_now(cause, "set_plate", requested, realised, outcome, before);
    }

    /// Sets the stirrer; `None` stops it.
    pub fn set_stirrer(&mut self, cause: &Cause, rpm: Option<f64>) {
        let before = self.state_hash();
        self.count(&cause.device, "set_stirrer");
        self.mix_vial();
        let mut outcome = Outcome::Refused;
        if let Some(plate) = self.plates.get_mut(&cause.device) {
            plate.rpm = rpm.filter(|rpm| rpm.is_finite()).unwrap_or(0.0).clamp(0.0, 2000.0);
            outcome = Outcome::Done;
        }
        let realised = json!({"container": self.liquids.vial.name, "mixing_residual": self.liquids.vial.residual()});
        self.record_now(cause, "set_stirrer", json!({"rpm": rpm}), realised, outcome, before);
    }

    /// Lets the vial mix until now at the present stirring.
    pub(super) fn mix_vial(&mut self) {
        let stirred = self.plates.get(&self.liquids.vial.device).is_some_and(|plate| plate.rpm > 0.0);
        self.liquids.vial.mix_until(self.now_s, stirred);
    }

    /// What the plate sensor shows, °C; ambient for an unknown device.
    pub fn plate_c(&self, device: &str) -> f64 {
        self.plates.get(device).map_or(self.config.ambient.temperature_c, super::thermal::Hotplate::shown_c)
    }

    /// What the external probe in the vial shows, °C.
    pub fn probe_c(&self, device: &str) -> f64 {
        self.plates.get(device).map_or(self.config.ambient.temperature_c, super::thermal::Hotplate::probe_c)
    }

    /// True speed of the stirrer, rpm.
    pub fn stirrer_rpm(&self, device: &str) -> f64 {
        self.plates.get(device).map_or(0.0, |plate| plate.rpm)
    }

    /// Sets the working set point of a furnace's controller; `None` switches its output off. Called as often as the
    /// programmer steps, hence without a ledger line; [`World::furnace_event`] records programmes.
    pub fn set_furnace(&mut self, device: &str, working_setpoint_c: Option<f64>) {
        let wakes = self.furnaces.get(device).is_some_and(super::thermal::Furnace::is_settled);
        if wakes && working_setpoint_c.is_some() {
            let boat = self.places.values().find(|place| place.device.as_deref() == Some(device));
            if let Some(id) = boat.and_then(|place| place.occupant.clone()) {
                self.bring_up(&id);
            }
        }
        if let Some(furnace) = self.furnaces.get_mut(device) {
            furnace.set(working_setpoint_c.filter(|c| c.is_finite()));
        }
    }

    /// Records that a programme started, ended or changed. A name that contains `start` begins a new digest of the
    /// film's temperatures.
    pub fn furnace_event(&mut self, cause: &Cause, name: &str, detail: Value) {
        let before = self.state_hash();
        self.count(&cause.device, name);
        let boat = self.places.values().find(|place| place.device.as_deref() == Some(cause.device.as_str()));
        let id = boat.and_then(|place| place.occupant.clone());
        let mut realised = json!({
            "sample": id,
            "atmosphere": "nitrogen",
            "relative_humidity": self.config.ambient.relative_humidity,
        });
        let mut outcome = Outcome::Refused;
        if let Some(furnace) = self.furnaces.get(&cause.device) {
            realised["energy_j"] = json!(furnace.energy.supplied_j);
            realised["boat_c"] = json!(furnace.place_c(0.0));
            outcome = Outcome::Done;
        }
        if let Some(id) = id {
            self.bring_up(&id);
            if let Some(sample) = self.samples.get_mut(&id) {
                let film = &mut sample.film;
                realised["film_c"] = json!(film.temperature_k - ZERO_C);
                realised["film_min_c"] = json!(film.coldest_k - ZERO_C);
                realised["film_max_c"] = json!(film.hottest_k - ZERO_C);
                realised["s_above_100_150_200_c"] = json!(film.hot_s);
                if name.contains("start") {
                    (film.hottest_k, film.coldest_k) = (film.temperature_k, film.temperature_k);
                    film.hot_s = [0.0; 3];
                }
            }
        }
        self.record_now(cause, name, detail, realised, outcome, before);
    }

    /// Reading of the furnace's controlled thermocouple, °C.
    pub fn furnace_pv_c(&self, device: &str) -> f64 {
        self.furnaces.get(device).map_or(self.config.ambient.temperature_c, super::thermal::Furnace::shown_c)
    }

    /// Output of the furnace's controller, percent.
    pub fn furnace_output_percent(&self, device: &str) -> f64 {
        self.furnaces.get(device).map_or(0.0, super::thermal::Furnace::output_percent)
    }

    /// Records a fault that was injected, or an act of an operator, by name.
    pub fn ambient_event(&mut self, cause: &Cause, name: &str, detail: Value) {
        let before = self.state_hash();
        self.count(&cause.device, "fault");
        self.record_now(cause, "fault", json!({"name": name, "detail": detail}), Value::Null, Outcome::Done, before);
    }

    /// A ledger line for something that takes no time.
    pub(super) fn record_now(
        &mut self,
        cause: &Cause,
        action: &str,
        requested: Value,
        realised: Value,
        outcome: Outcome,
        before: String,
    ) {
        let start_s = self.now_s;
        self.record(cause, Record { action, start_s, requested, realised, outcome, before, after: None });
    }
}

fn contact_lag_s(thickness_mm: f64, contact: f64) -> f64 {
    GLASS_J_PER_M3_K * thickness_mm * 1e-3 / (CONTACT_W_PER_M2_K * contact)
}

fn furnace_surroundings(config: &super::WorldConfig, place_c: f64, sample: &Sample) -> Surroundings {
    let flow = config.ambient.furnace_gas_flow_l_per_min;
    Surroundings {
        place_k: place_c + ZERO_C,
        lag_s: contact_lag_s(config.samples.thickness_mm, sample.seat.contact),
        humidity: config.ambient.relative_humidity,
        mass_transfer_m_s: if flow > 0.0 { SWEPT_M_S } else { STILL_M_S },
        // Flowing gas carries decomposition products away: ×1.5 at 1 L/min, at most ×3.
        loss_factor: (1.0 + 0.5 * flow).min(3.0),
        suns: 0.0,
    }
}

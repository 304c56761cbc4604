//! The syringe pump's strokes: dispensing errors, bubbles, carry-over and drop-casting (chapter 6).

use super::config::{PortRole, PositionKind};
use super::matter::Moles;
use super::noise::Stream;
use super::{Cause, LiquidMoved, Outcome, World};
use serde_json::{Value, json};

/// Lost play of the plunger when it turns, µL.
const BACKLASH_UL: f64 = 0.15;
/// Share of a dispensed volume that stays on the walls.
const CARRY_OVER: f64 = 0.002;
/// Height at which liquid runs off the substrate, m.
const HIGHEST_PUDDLE_M: f64 = 1.5e-3;
/// Dispenses larger than this may run beside the substrate, µL.
const SPILL_ABOVE_UL: f64 = 60.0;

/// Where a dispensed volume went.
struct Landing {
    target: String,
    spilled: Moles,
    detail: Value,
}

impl World {
    /// Draws liquid through a port by moving the plunger down. Firmware owns plunger and valve; the world owns what
    /// really came in. An unknown port is refused; a nozzle or an empty container yields air.
    pub fn aspirate(&mut self, cause: &Cause, port: u8, volume_ul: f64) -> LiquidMoved {
        let before = self.state_hash();
        let count = self.count(&cause.device, "aspirate");
        let mut stream = self.streams.open(&format!("{}/aspirate", cause.device), count);
        let requested = json!({"port": port, "volume_ul": volume_ul});
        let (Some(role), true) = (self.role(port), volume_ul.is_finite() && volume_ul >= 0.0) else {
            self.record_now(cause, "aspirate", requested, Value::Null, Outcome::Refused, before);
            return LiquidMoved { requested_ul: volume_ul, realised_ul: 0.0, bubble: false, outcome: Outcome::Refused };
        };
        let stroke = volume_ul.min((self.liquids.stroke_ul - self.liquids.syringe.plunger_ul).max(0.0));
        let mut wanted = self.true_volume(stroke, &mut stream);
        if stroke > 0.0 && !self.liquids.syringe.drew_last {
            wanted = (wanted - BACKLASH_UL).max(0.0);
        }
        let sucks_air = stream.chance(self.mishap(2e-3));
        let air_share = 0.05 + 0.35 * stream.uniform();
        if sucks_air {
            wanted *= 1.0 - air_share;
        }
        let held = (self.liquids.syringe.content + self.liquids.syringe.residue).volume_ul();
        wanted = wanted.min((self.liquids.stroke_ul - held).max(0.0));
        let drawn = self.draw(port, role, wanted);
        let realised_ul = drawn.volume_ul();
        let syringe = &mut self.liquids.syringe;
        syringe.content += drawn + std::mem::take(&mut syringe.residue);
        syringe.plunger_ul += stroke;
        syringe.drew_last = true;
        let bubble = sucks_air || realised_ul < wanted - 1e-6;
        let outcome = if stroke > 0.0 && realised_ul <= 0.0 {
            Outcome::Failed
        } else if bubble || stroke < volume_ul - 1e-6 {
            Outcome::Partial
        } else {
            Outcome::Done
        };
        let realised = json!({
            "source": self.port_name(port), "volume_ul": realised_ul, "bubble": bubble, "moles": drawn.to_json(),
        });
        self.record_now(cause, "aspirate", requested, realised, outcome, before);
        LiquidMoved { requested_ul: volume_ul, realised_ul, bubble, outcome }
    }

    /// Expels liquid through a port by moving the plunger up. A plunger that reaches its top expels all but the film
    /// on the walls, which the next aspirate picks up.
    pub fn dispense(&mut self, cause: &Cause, port: u8, volume_ul: f64) -> LiquidMoved {
        let before = self.state_hash();
        let count = self.count(&cause.device, "dispense");
        let mut stream = self.streams.open(&format!("{}/dispense", cause.device), count);
        let requested = json!({"port": port, "volume_ul": volume_ul});
        let (Some(role), true) = (self.role(port), volume_ul.is_finite() && volume_ul >= 0.0) else {
            self.record_now(cause, "dispense", requested, Value::Null, Outcome::Refused, before);
            return LiquidMoved { requested_ul: volume_ul, realised_ul: 0.0, bubble: false, outcome: Outcome::Refused };
        };
        let (expelled, held_liquid) = self.expel(volume_ul, &mut stream);
        let realised_ul = expelled.volume_ul();
        let mut landing = self.land(port, role, expelled, &mut stream);
        let spilled_ul = landing.spilled.volume_ul();
        self.liquids.spilled += std::mem::take(&mut landing.spilled);
        let clung = landing.detail.get("clung").and_then(Value::as_bool).unwrap_or(false);
        let outcome = if clung || (volume_ul > 0.0 && realised_ul <= 0.0) {
            Outcome::Failed
        } else if spilled_ul > 0.0 || (!held_liquid && role != PortRole::Waste) {
            Outcome::Partial
        } else {
            Outcome::Done
        };
        let realised = json!({
            "target": landing.target, "volume_ul": realised_ul, "spilled_ul": spilled_ul, "air": !held_liquid,
            "moles": expelled.to_json(), "landing": landing.detail,
        });
        self.record_now(cause, "dispense", requested, realised, outcome, before);
        LiquidMoved { requested_ul: volume_ul, realised_ul, bubble: !held_liquid, outcome }
    }

    fn role(&self, port: u8) -> Option<PortRole> {
        self.liquids.bottles.get(&port).map(|bottle| bottle.role)
    }

    fn port_name(&self, port: u8) -> String {
        match self.role(port) {
            Some(PortRole::Vial) => self.liquids.vial.name.clone(),
            _ => format!("port {port}"),
        }
    }

    /// V = V_set (1 + e) + v₀ + N(0, σ), σ² = (0.003 V)² + (0.15 µL)².
    fn true_volume(&self, set_ul: f64, stream: &mut Stream) -> f64 {
        let sigma = (0.003 * set_ul).hypot(0.15);
        let noise = stream.gauss(0.0, sigma);
        if set_ul <= 0.0 {
            return 0.0;
        }
        (set_ul * (1.0 + self.truth.pump_gain_error) + self.truth.pump_offset_ul + noise).max(0.0)
    }

    fn draw(&mut self, port: u8, role: PortRole, volume_ul: f64) -> Moles {
        match role {
            PortRole::Nozzle => Moles::default(),
            PortRole::Vial => {
                self.mix_vial();
                self.liquids.vial.draw(volume_ul)
            }
            PortRole::Stock | PortRole::Solvent | PortRole::Waste => {
                let bottle = self.liquids.bottles.get_mut(&port);
                bottle.map_or_else(Moles::default, |bottle| bottle.content.take_volume(volume_ul))
            }
        }
    }

    /// Pushes liquid out of the syringe; also says whether it held as much as the plunger showed.
    fn expel(&mut self, volume_ul: f64, stream: &mut Stream) -> (Moles, bool) {
        let noise = stream.gauss(0.0, (0.003 * volume_ul).hypot(0.15));
        let syringe = &mut self.liquids.syringe;
        let plunger = syringe.plunger_ul;
        let stroke = volume_ul.min(plunger);
        let held = syringe.content.volume_ul();
        // 10 % missing is more than the errors of a sound stroke and means air.
        let held_liquid = stroke <= 0.0 || held > 0.9 * plunger - 1.0;
        let mut out = if plunger - stroke < 1e-6 {
            std::mem::take(&mut syringe.content)
        } else {
            let lost = if syringe.drew_last { BACKLASH_UL } else { 0.0 };
            let volume = if stroke > 0.0 { held * stroke / plunger - lost + noise } else { 0.0 };
            syringe.content.take_volume(volume.clamp(0.0, held))
        };
        let film = out * CARRY_OVER;
        out -= film;
        syringe.residue += film;
        syringe.plunger_ul = (plunger - stroke).max(0.0);
        if syringe.plunger_ul < 1e-6 {
            syringe.plunger_ul = 0.0;
        }
        syringe.drew_last = false;
        (out, held_liquid)
    }

    fn land(&mut self, port: u8, role: PortRole, liquid: Moles, stream: &mut Stream) -> Landing {
        match role {
            PortRole::Nozzle => self.cast(liquid, stream),
            PortRole::Vial => {
                self.mix_vial();
                let spilled = self.liquids.vial.add(liquid);
                let residual = self.liquids.vial.residual();
                Landing { target: self.port_name(port), spilled, detail: json!({"mixing_residual": residual}) }
            }
            PortRole::Stock | PortRole::Solvent | PortRole::Waste => {
                let mut rest = liquid;
                if let Some(bottle) = self.liquids.bottles.get_mut(&port) {
                    let room = (bottle.capacity_ul - bottle.content.volume_ul()).max(0.0);
                    bottle.content += rest.take_volume(room);
                }
                Landing { target: self.port_name(port), spilled: rest, detail: Value::Null }
            }
        }
    }

    /// Drop-casts onto whatever lies on the coating stage.
    fn cast(&mut self, mut liquid: Moles, stream: &mut Stream) -> Landing {
        let clings = stream.chance(self.mishap(0.1));
        let runs_off = stream.chance(self.mishap(0.02));
        let touches = stream.chance(self.mishap(1e-3));
        let ring_noise = stream.gauss(0.0, 0.2);
        let cover = stream.uniform();
        let rough = stream.normal();
        let stage = self.places.iter().find(|(_, place)| place.kind == PositionKind::Coat);
        let target = stage.map_or_else(|| "coat".to_owned(), |(name, _)| name.clone());
        let occupant = stage.and_then(|(_, place)| place.occupant.clone());
        let volume_ul = liquid.volume_ul();
        if volume_ul > 0.0 && volume_ul < self.truth.drop_ul && clings {
            // The drop hangs at the nozzle and is drawn back with the next aspirate.
            self.liquids.syringe.residue += liquid;
            return Landing { target, spilled: Moles::default(), detail: json!({"clung": true}) };
        }
        let Some(id) = occupant else {
            return Landing { target, spilled: liquid, detail: json!({"sample": null}) };
        };
        self.bring_up(&id);
        let Some(sample) = self.samples.get_mut(&id) else {
            return Landing { target, spilled: liquid, detail: json!({"sample": null}) };
        };
        let film = &mut sample.film;
        let room = (HIGHEST_PUDDLE_M * film.area_m2 * 1e9 - film.moles.volume_ul()).max(0.0);
        let lost = if runs_off && volume_ul > SPILL_ABOVE_UL { 0.3 * volume_ul } else { 0.0 };
        let lands = liquid.take_volume((volume_ul - lost).min(room));
        let mut coverage = 1.0 - 0.3 * cover.powi(3);
        if touches {
            coverage -= 0.05;
        }
        let rim = (1.0 + 2.5 * (1.0 - film.temperature_k / 370.0).max(0.0) + ring_noise).max(1.0);
        let landed_ul = lands.volume_ul();
        if landed_ul > 0.0 {
            film.land(lands, coverage, rim, 20.0 * (0.3 * rough).exp());
        }
        sample.milestones = [false; 3];
        let detail = json!({
            "sample": id, "landed_ul": landed_ul, "coverage": coverage, "rim_ratio": rim, "nozzle_touched": touches,
            "solid_nm": sample.film.thickness_nm(&self.truth),
        });
        Landing { target, spilled: liquid, detail }
    }
}

//! What tests and the ledger may see: places, counts, truth and hashes. Instruments see nothing of this.

use super::World;
use super::kinetics::{ZERO_C, free_energy, gap_ev};
use super::matter::SPECIES;
use super::state::{Sample, Spot};
use serde_json::{Value, json};

impl World {
    /// Whether something stands at a position: for sensors that an instrument really has.
    pub fn occupied(&self, position: &str) -> bool {
        self.places.get(position).is_some_and(|place| place.occupant.is_some())
    }

    /// Where an object is: a position, `gripper`, `lost at …`, or `unknown` for a name that the world does not have.
    /// Positions with the samples that stand there, in the order of positions.
    pub fn samples_by_place(&self) -> Vec<(String, String)> {
        let taken = |(at, place): (&String, &super::state::Place)| Some((at.clone(), place.occupant.clone()?));
        self.places.iter().filter_map(taken).collect()
    }

    /// Where something is, for the operator of the simulation.
    pub fn where_is(&self, object: &str) -> String {
        match self.samples.get(object) {
            Some(sample) => sample.spot.to_string(),
            None if object == self.liquids.vial.name => self.liquids.vial.device.clone(),
            None => "unknown".to_owned(),
        }
    }

    /// How often a device has done an action, failed and refused tries included.
    pub fn executions(&self, device: &str, action: &str) -> u64 {
        self.counts.get(device).and_then(|actions| actions.get(action)).copied().unwrap_or(0)
    }

    /// The true state of a sample now, for tests and the ledger; `null` for an unknown sample.
    pub fn truth(&self, sample: &str) -> Value {
        self.seen(sample).map_or(Value::Null, |seen| self.digest(sample, &seen))
    }

    /// True amount of a species in mol at a place: a sample, the vial, `port 3`, `syringe`, `gas` or `spilled`. Species
    /// are Pb, Cs, MA, FA, I, Br, DMF and DMSO. `None` for a name that the world does not have.
    pub fn moles(&self, species: &str, place: &str) -> Option<f64> {
        let index = SPECIES.iter().position(|name| *name == species)?;
        let liquids = &self.liquids;
        let port = place.strip_prefix("port ").and_then(|number| number.parse().ok());
        let matter = match place {
            "syringe" => liquids.syringe.content + liquids.syringe.residue,
            "spilled" => liquids.spilled,
            "gas" => self.samples.values().fold(liquids.gas, |sum, sample| sum + sample.film.gas),
            _ if place == liquids.vial.name => liquids.vial.content(),
            _ => match port {
                Some(port) => liquids.bottles.get(&port)?.content,
                None => self.seen(place)?.film.moles,
            },
        };
        Some(matter.0[index])
    }

    /// The true content of the mixing vial: volume, mole counts and mixing residual, as last reckoned.
    pub fn vial_truth(&self) -> Value {
        let vial = &self.liquids.vial;
        let content = vial.content();
        json!({"volume_ul": content.volume_ul(), "moles": content.to_json(), "mixing_residual": vial.residual()})
    }

    /// Digest of a sample's state: amounts in mol, shares of lead, nm, °C, eV.
    pub(super) fn digest(&self, id: &str, sample: &Sample) -> Value {
        let film = &sample.film;
        let [wet, alpha, delta_h, delta_o, salt, zero_dimensional] = film.lead_fractions();
        let mut digest = json!({
            "sample": id,
            "where": sample.spot.to_string(),
            "suspect": sample.suspect,
            "extrapolated": film.extrapolated,
            "substrate_g": sample.substrate_g,
            "film_g": film.moles.mass_g(),
            "moles": film.moles.to_json(),
            "solvent_per_lead": film.solvent_per_lead(),
            "lead_fractions": {
                "wet": wet, "alpha": alpha, "delta_h": delta_h, "delta_o": delta_o,
                "lead_halide": salt, "cs4pbx6": zero_dimensional,
            },
            "temperature_c": film.temperature_k - ZERO_C,
            "thickness_nm": film.thickness_nm(&self.truth),
            "coverage": film.coverage,
            "grain_nm": film.grain_nm,
            "roughness_nm": film.roughness_nm,
            "contact": sample.seat.contact,
            "displacement_um": sample.seat.displacement_um,
        });
        if let Some(composition) = film.composition() {
            digest["composition"] = json!({
                "cs": composition.cs, "ma": composition.ma, "fa": composition.fa,
                "br": composition.br, "a_per_b": composition.a_per_b,
            });
            digest["gap_ev"] = json!(gap_ev(&composition, film.temperature_k, &self.truth));
            digest["free_energy_kj_per_mol"] = json!(free_energy(&composition, film.temperature_k, &self.truth));
        }
        digest
    }

    /// Hash of everything physical, 16 hex characters: the state as reckoned, noise and clocks excluded.
    pub fn state_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.liquids.feed(&mut hasher);
        for sample in self.samples.values() {
            match &sample.spot {
                Spot::At(position) => hasher.update(position.as_bytes()),
                Spot::Gripper => hasher.update(b"\0gripper"),
                Spot::Lost(between) => hasher.update(b"\0lost").update(between.as_bytes()),
            };
            hasher.update(&[u8::from(sample.suspect)]);
            sample.film.feed(&mut hasher);
        }
        for plate in self.plates.values() {
            plate.feed(&mut hasher);
        }
        for furnace in self.furnaces.values() {
            furnace.feed(&mut hasher);
        }
        for lights in self.lights.values() {
            hasher.update(&[u8::from(lights.lamp_since_s.is_some()), u8::from(lights.laser)]);
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

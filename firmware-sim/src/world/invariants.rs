//! Conservation checks C-1 to C-6 (chapter 14), for tests to call after every action.

use super::World;
use super::kinetics::ZERO_C;
use super::matter::{Composition, Moles, SPECIES, Species};
use super::state::Spot;
use std::collections::BTreeSet;
use thiserror::Error;

/// A law of conservation that the world breaks: a bug.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{rule}: {what}")]
pub struct BrokenInvariant {
    /// Rule of chapter 14, for example `C-1`.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
}

fn broken(rule: &'static str, what: String) -> Result<(), BrokenInvariant> {
    Err(BrokenInvariant { rule, what })
}

/// What may only grow (C-5), as last seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark {
    now_s: f64,
    gas: Moles,
}

impl World {
    /// Checks C-1 to C-6.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check_invariants(&mut self) -> Result<(), BrokenInvariant> {
        self.check_matter()?;
        self.check_phases()?;
        self.check_volumes()?;
        self.check_places()?;
        self.check_monotone()?;
        self.check_energy()
    }

    /// C-1: every species of the start is in containers, films, waste, gas or spills.
    fn check_matter(&self) -> Result<(), BrokenInvariant> {
        let films = self.samples.values().fold(Moles::default(), |sum, s| sum + s.film.moles + s.film.gas);
        let total = self.liquids.total() + films;
        for ((name, start), now) in SPECIES.iter().zip(self.liquids.initial.0).zip(total.0) {
            if (start - now).abs() > 1e-9 * start.max(1e-9) {
                return broken("C-1", format!("{name}: {start} mol at the start, {now} mol now"));
            }
        }
        Ok(())
    }

    /// C-2: phase fractions are fractions, and ions balance their charges.
    fn check_phases(&self) -> Result<(), BrokenInvariant> {
        for (id, sample) in &self.samples {
            let fractions = sample.film.lead_fractions();
            let sum: f64 = fractions.iter().sum();
            if (sum - 1.0).abs() > 1e-9 || fractions.iter().any(|f| f.is_nan() || *f < 0.0) {
                return broken("C-2", format!("{id}: lead fractions {fractions:?}"));
            }
            let moles = &sample.film.moles;
            if moles.0.iter().any(|n| n.is_nan() || *n < -1e-18) {
                return broken("C-2", format!("{id}: amounts {moles:?}"));
            }
            let positive = moles.a_site() + 2.0 * moles.of(Species::Lead);
            let negative = moles.of(Species::Iodide) + moles.of(Species::Bromide);
            if Composition::of(moles).is_some() && (positive - negative).abs() > 1e-9 * positive {
                return broken("C-2", format!("{id}: charge {positive} against {negative}"));
            }
        }
        Ok(())
    }

    /// C-3: nothing holds less than nothing or more than it can.
    fn check_volumes(&self) -> Result<(), BrokenInvariant> {
        let syringe = (self.liquids.syringe.content + self.liquids.syringe.residue).volume_ul();
        if !(-1e-9..=self.liquids.stroke_ul + 1e-6).contains(&syringe) {
            return broken("C-3", format!("the syringe holds {syringe} µL"));
        }
        let vial = self.liquids.vial.content().volume_ul();
        if !(-1e-9..=self.liquids.vial.capacity_ul + 1e-6).contains(&vial) {
            return broken("C-3", format!("the vial holds {vial} µL"));
        }
        for (port, bottle) in &self.liquids.bottles {
            let held = bottle.content.volume_ul();
            if !(-1e-9..=bottle.capacity_ul * (1.0 + 1e-9) + 1e-6).contains(&held) {
                return broken("C-3", format!("port {port} holds {held} µL"));
            }
        }
        Ok(())
    }

    /// C-4: every sample is in exactly one place.
    fn check_places(&self) -> Result<(), BrokenInvariant> {
        let mut seen = BTreeSet::new();
        for (position, place) in &self.places {
            let Some(id) = &place.occupant else { continue };
            if !seen.insert(id.clone()) {
                return broken("C-4", format!("{id} is in two places"));
            }
            if self.samples.get(id).map(|s| &s.spot) != Some(&Spot::At(position.clone())) {
                return broken("C-4", format!("{position} holds {id}, which is elsewhere"));
            }
        }
        for (id, sample) in &self.samples {
            let consistent = match &sample.spot {
                Spot::At(_) => seen.contains(id),
                Spot::Gripper => self.gripper.as_ref() == Some(id) && !seen.contains(id),
                Spot::Lost(_) => self.gripper.as_ref() != Some(id) && !seen.contains(id),
            };
            if !consistent {
                return broken("C-4", format!("{id} is said to be {}", sample.spot));
            }
        }
        Ok(())
    }

    /// C-5: gas never comes back and time never runs backward.
    fn check_monotone(&mut self) -> Result<(), BrokenInvariant> {
        let gas = self.samples.values().fold(self.liquids.gas, |sum, sample| sum + sample.film.gas);
        for ((name, before), now) in SPECIES.iter().zip(self.watermark.gas.0).zip(gas.0) {
            if now < before * (1.0 - 1e-12) {
                return broken("C-5", format!("gas of {name} fell from {before} to {now} mol"));
            }
        }
        if self.now_s < self.watermark.now_s {
            return broken("C-5", format!("time fell from {} to {} s", self.watermark.now_s, self.now_s));
        }
        self.watermark = Watermark { now_s: self.now_s, gas };
        Ok(())
    }

    /// C-6: energy supplied is stored or lost, and nothing is colder than its surroundings or hotter than its heater.
    fn check_energy(&self) -> Result<(), BrokenInvariant> {
        let plates = self.plates.iter().map(|(name, plate)| (name, plate.energy, plate.stored_j()));
        let furnaces = self.furnaces.iter().map(|(name, furnace)| (name, furnace.energy, furnace.stored_j()));
        for (name, energy, stored) in plates.chain(furnaces) {
            let open = energy.supplied_j - energy.lost_j - stored;
            if open.abs() > 0.01 * energy.supplied_j + 10.0 {
                return broken("C-6", format!("{name}: {open} J of {} J are unexplained", energy.supplied_j));
            }
        }
        let coldest_k = self.config.ambient.temperature_c + ZERO_C - 0.5;
        for (id, sample) in &self.samples {
            if sample.film.temperature_k.is_nan() || sample.film.temperature_k < coldest_k {
                return broken("C-6", format!("{id} is at {} K", sample.film.temperature_k));
            }
        }
        Ok(())
    }
}

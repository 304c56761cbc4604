//! Containers and the syringe (chapter 6): where liquid is, and what a stroke of the plunger really moves.

use super::config::{PortConfig, PortRole, WorldConfig};
use super::matter::{Moles, ink, solvent};
use super::truth::HiddenTruth;
use std::collections::BTreeMap;

/// A bottle at a port.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bottle {
    pub(crate) role: PortRole,
    pub(crate) capacity_ul: f64,
    pub(crate) content: Moles,
}

/// The mixing vial: a mixed part and what was added last and has not mixed yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vial {
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) capacity_ul: f64,
    pub(crate) dead_ul: f64,
    pub(crate) mixed: Moles,
    pub(crate) fresh: Moles,
    /// Time up to which mixing has been reckoned, s.
    pub(crate) at_s: f64,
}

/// Mixing times, s: stirred and left alone.
const MIXING_S: [f64; 2] = [3.0, 60.0];

impl Vial {
    pub(crate) fn content(&self) -> Moles {
        self.mixed + self.fresh
    }

    /// Share of the volume that has not mixed yet.
    pub(crate) fn residual(&self) -> f64 {
        let total = self.content().volume_ul();
        if total > 0.0 && self.mixed.volume_ul() > 0.0 { self.fresh.volume_ul() / total } else { 0.0 }
    }

    /// Lets the fresh part mix until `now_s`.
    pub(crate) fn mix_until(&mut self, now_s: f64, stirred: bool) {
        let tau = if stirred { MIXING_S[0] } else { MIXING_S[1] };
        let done = 1.0 - (-(now_s - self.at_s).max(0.0) / tau).exp();
        self.at_s = now_s;
        let part = self.fresh * done;
        self.fresh -= part;
        self.mixed += part;
    }

    /// Adds liquid on top; returns what overflows.
    pub(crate) fn add(&mut self, mut liquid: Moles) -> Moles {
        let room = (self.capacity_ul - self.content().volume_ul()).max(0.0);
        let fits = liquid.take_volume(room);
        self.fresh += fits;
        liquid
    }

    /// Draws liquid at the tube's end, at most what stands above it. The unmixed part is drawn with twice its share,
    /// as the tube reaches into a gradient, not into an average.
    pub(crate) fn draw(&mut self, volume_ul: f64) -> Moles {
        let total = self.content().volume_ul();
        let volume = volume_ul.min((total - self.dead_ul).max(0.0));
        // Less than a picolitre above the tube's end is arithmetic, not liquid.
        if volume <= 1e-6 {
            return Moles::default();
        }
        let fresh = self.fresh.volume_ul();
        let share = (2.0 * fresh / total).min(1.0);
        let from_fresh = (volume * share).min(fresh);
        let from_mixed = (volume - from_fresh).min(self.mixed.volume_ul());
        let rest = volume - from_fresh - from_mixed;
        self.fresh.take_volume(from_fresh + rest) + self.mixed.take_volume(from_mixed)
    }
}

/// The syringe with what clings to its walls.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Syringe {
    pub(crate) content: Moles,
    /// Film on the walls, carried over into the next aspirate.
    pub(crate) residue: Moles,
    /// Volume the plunger stands at, µL: what the firmware believes is inside.
    pub(crate) plunger_ul: f64,
    /// Whether the last stroke drew.
    pub(crate) drew_last: bool,
}

/// All liquids of the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Liquids {
    pub(crate) bottles: BTreeMap<u8, Bottle>,
    pub(crate) vial: Vial,
    pub(crate) syringe: Syringe,
    pub(crate) stroke_ul: f64,
    /// Liquid beside its target.
    pub(crate) spilled: Moles,
    /// Everything that left as gas.
    pub(crate) gas: Moles,
    /// All matter at the start.
    pub(crate) initial: Moles,
}

impl Liquids {
    pub(crate) fn new(config: &WorldConfig, truth: &HiddenTruth) -> Self {
        let bottles: BTreeMap<u8, Bottle> = config.port.iter().map(|port| (port.port, bottle(port, truth))).collect();
        let initial = bottles.values().fold(Moles::default(), |sum, bottle| sum + bottle.content);
        Self {
            bottles,
            vial: Vial {
                name: config.vial.name.clone(),
                device: config.vial.device.clone(),
                capacity_ul: 1e3 * config.vial.capacity_ml,
                dead_ul: config.vial.dead_volume_ul,
                mixed: Moles::default(),
                fresh: Moles::default(),
                at_s: 0.0,
            },
            syringe: Syringe::default(),
            stroke_ul: config.pump.syringe_ul,
            spilled: Moles::default(),
            gas: Moles::default(),
            initial,
        }
    }

    /// Everything in containers, the syringe, gas and spills.
    pub(crate) fn total(&self) -> Moles {
        let bottles = self.bottles.values().fold(Moles::default(), |sum, bottle| sum + bottle.content);
        bottles + self.vial.content() + self.syringe.content + self.syringe.residue + self.spilled + self.gas
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for bottle in self.bottles.values() {
            bottle.content.feed(hasher);
        }
        for part in
            [self.vial.mixed, self.vial.fresh, self.syringe.content, self.syringe.residue, self.spilled, self.gas]
        {
            part.feed(hasher);
        }
    }
}

fn bottle(port: &PortConfig, truth: &HiddenTruth) -> Bottle {
    let capacity_ul = 1e3 * port.volume_ml;
    let content = match (&port.stock, port.role) {
        (Some(stock), _) => ink(stock, capacity_ul, truth.stock_factor.get(&port.port).copied().unwrap_or(1.0)),
        (None, PortRole::Solvent) => solvent(capacity_ul, 0.0),
        (None, _) => Moles::default(),
    };
    Bottle { role: port.role, capacity_ul, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vial() -> Vial {
        Vial {
            name: "mixer.vial".into(),
            device: "mixer".into(),
            capacity_ul: 4000.0,
            dead_ul: 15.0,
            mixed: Moles::default(),
            fresh: Moles::default(),
            at_s: 0.0,
        }
    }

    #[test]
    fn stirring_mixes_twenty_times_faster_than_waiting() {
        for (stirred, seconds, expected) in [(true, 3.0, 0.5 * (-1.0f64).exp()), (false, 60.0, 0.5 * (-1.0f64).exp())] {
            let mut vial = vial();
            vial.mixed = solvent(100.0, 0.0);
            vial.add(solvent(100.0, 1.0));
            vial.mix_until(seconds, stirred);
            assert!((vial.residual() - expected).abs() < 1e-9, "residual {}", vial.residual());
        }
    }

    #[test]
    fn the_tube_leaves_the_dead_volume() {
        let mut vial = vial();
        vial.add(solvent(100.0, 0.0));
        let drawn = vial.draw(500.0);
        assert!((drawn.volume_ul() - 85.0).abs() < 1e-9);
        assert!((vial.content().volume_ul() - 15.0).abs() < 1e-9);
        assert_eq!(vial.draw(5.0), Moles::default());
    }

    #[test]
    fn an_overfull_vial_overflows() {
        let mut vial = vial();
        let over = vial.add(solvent(4100.0, 0.0));
        assert!((over.volume_ul() - 100.0).abs() < 1e-6);
    }
}

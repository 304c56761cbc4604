//! Absorption coefficient of a direct semiconductor with excitons and an exponential tail.
//!
//! Elliott, Phys. Rev. 108, 1384 (1957), with Gaussian broadening, a factor for bands that are not parabolic, and
//! Urbach's tail (Phys. Rev. 92, 1324, 1953) joined with equal value and slope.

mod shapes;

use std::f64::consts::{PI, SQRT_2};

use crate::{ModelError, within};

/// α this far above the continuum edge fixes the scale: 2.8e4 cm⁻¹ at 0.3 eV, the size measured for MAPbI3.
const SCALE_AT_EV: f64 = 0.3;
const SCALE_PER_CM: f64 = 2.8e4;
/// The optical gap, where the edge has its inflection, lies this far below the continuum edge, besides the exciton
/// binding energy.
const OPTICAL_GAP_OFFSET_EV: f64 = 0.015;
/// Growth of the joint density of states with energy above the edge, per eV.
const NON_PARABOLICITY_PER_EV: f64 = 2.0;
/// Higher transitions: 1.3e5 (E - E_c - 0.3 eV)^1.5 cm⁻¹.
const HIGHER_PER_CM: f64 = 1.3e5;
const HIGHER_ONSET_EV: f64 = 0.3;
/// Exciton states that are summed; the sixth carries 0.5 % of the first.
const EXCITON_STATES: u32 = 5;
/// Broadening reaches this many standard deviations.
const REACH: f64 = 6.0;
/// Intervals of Simpson's rule over the reach.
const INTERVALS: usize = 60;
/// Energy step of the table.
const TABLE_STEP_EV: f64 = 0.002;
/// The table ends this far above the continuum edge; beyond, the formula itself is evaluated.
const TABLE_ABOVE_EV: f64 = 2.6;

/// Parameters of one absorption edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Optical gap in eV: the inflection of the edge, which is what film papers report. The continuum edge lies
    /// 15 meV and one binding energy above.
    pub gap_ev: f64,
    /// Exciton binding energy in eV.
    pub binding_ev: f64,
    /// Urbach energy in eV.
    pub urbach_ev: f64,
    /// Standard deviation of the Gaussian broadening in eV.
    pub broadening_ev: f64,
}

impl Edge {
    /// Broadening of halide perovskite films at room temperature.
    pub const ROOM_TEMPERATURE_BROADENING_EV: f64 = 0.025;

    /// Continuum edge in eV.
    #[must_use]
    pub fn continuum_edge_ev(&self) -> f64 {
        self.gap_ev + OPTICAL_GAP_OFFSET_EV + self.binding_ev
    }

    /// Elliott absorption without scale and tail, at `energy_ev`, interpolated where the table of shapes reaches.
    fn elliott(&self, energy_ev: f64) -> f64 {
        let x = (energy_ev - self.continuum_edge_ev()) / self.broadening_ev;
        let shapes = shapes::table().at(x, self.binding_ev / self.broadening_ev);
        match shapes {
            Some((plain, bent)) => (plain + self.broadening_ev * bent) / energy_ev,
            None => self.elliott_by_quadrature(energy_ev),
        }
    }

    /// The same from its integral.
    fn elliott_by_quadrature(&self, energy_ev: f64) -> f64 {
        let (edge, sigma, binding) = (self.continuum_edge_ev(), self.broadening_ev, self.binding_ev);
        let gauss = |x: f64| (-0.5 * (x / sigma).powi(2)).exp() / (sigma * SQRT_2 * PI.sqrt());
        let above = energy_ev - edge;
        let mut bound = 0.0;
        for n in 1..=EXCITON_STATES {
            let n = f64::from(n);
            bound += 4.0 * PI * binding / n.powi(3) * gauss(above + binding / (n * n));
        }
        let (from, to) = ((above - REACH * sigma).max(0.0), above + REACH * sigma);
        let mut continuum = 0.0;
        if to > 0.0 {
            let step = (to - from) / INTERVALS as f64;
            for index in 0..=INTERVALS {
                let t = from + step * index as f64;
                let weight = match index {
                    0 | INTERVALS => 1.0,
                    odd if odd % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                // The attraction of electron and hole lifts the continuum to a finite value at the edge itself.
                let attraction = if t <= 0.0 { 1.0 } else { 1.0 / -(-2.0 * PI * (binding / t).sqrt()).exp_m1() };
                let density = 2.0 * PI * (1.0 + NON_PARABOLICITY_PER_EV * t) * attraction;
                continuum += weight * density * gauss(above - t);
            }
            continuum *= step / 3.0;
        }
        (bound + continuum) / energy_ev
    }
}

/// An absorption edge, tabulated once so that spectra of thousands of pixels cost little.
#[derive(Debug, Clone, PartialEq)]
pub struct AbsorptionModel {
    edge: Edge,
    scale: f64,
    join_ev: f64,
    join_ln: f64,
    table: Vec<f64>,
}

impl AbsorptionModel {
    /// Checks the parameters and builds the table.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for a gap outside 0.5 to 6 eV, a binding energy outside 0.1 meV to 0.3 eV, or an Urbach
    /// energy or broadening outside 1 to 200 meV.
    pub fn new(edge: Edge) -> Result<Self, ModelError> {
        let mut model = Self::without_table(edge)?;
        // One entry below the join and one above the end serve the four-point interpolation.
        let entries = ((edge.continuum_edge_ev() + TABLE_ABOVE_EV - model.join_ev) / TABLE_STEP_EV).ceil() as usize + 3;
        model.table =
            (0..entries).map(|index| model.raw_ln(model.join_ev + (index as f64 - 1.0) * TABLE_STEP_EV)).collect();
        Ok(model)
    }

    /// The same model evaluated from its formula each time: cheaper where a hundred values are wanted, as in a fit.
    pub(crate) fn without_table(edge: Edge) -> Result<Self, ModelError> {
        within("gap (eV)", edge.gap_ev, 0.5, 6.0)?;
        within("exciton binding energy (eV)", edge.binding_ev, 1e-4, 0.3)?;
        within("Urbach energy (eV)", edge.urbach_ev, 1e-3, 0.2)?;
        within("broadening (eV)", edge.broadening_ev, 1e-3, 0.2)?;
        let scale = SCALE_PER_CM / edge.elliott(edge.continuum_edge_ev() + SCALE_AT_EV);
        let mut model = Self { edge, scale, join_ev: 0.0, join_ln: 0.0, table: Vec::new() };
        model.join_ev = model.find_join();
        model.join_ln = model.raw_ln(model.join_ev);
        Ok(model)
    }

    /// The parameters.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Absorption coefficient in cm⁻¹; 0 for an energy that is not positive.
    #[must_use]
    pub fn alpha_per_cm(&self, energy_ev: f64) -> f64 {
        if !(energy_ev > 0.0 && energy_ev.is_finite()) {
            return 0.0;
        }
        if energy_ev <= self.join_ev {
            return (self.join_ln + (energy_ev - self.join_ev) / self.edge.urbach_ev).exp();
        }
        let higher = (energy_ev - self.edge.continuum_edge_ev() - HIGHER_ONSET_EV).max(0.0);
        self.tabulated_ln(energy_ev).exp() + HIGHER_PER_CM * higher * higher.sqrt()
    }

    /// ln of the Elliott part by four-point interpolation.
    fn tabulated_ln(&self, energy_ev: f64) -> f64 {
        let place = (energy_ev - self.join_ev) / TABLE_STEP_EV + 1.0;
        let index = place.floor();
        let t = place - index;
        let index = index as usize;
        let Some([a, b, c, d]) = self.table.get(index - 1..index + 3).and_then(|four| <[f64; 4]>::try_from(four).ok())
        else {
            return self.raw_ln(energy_ev);
        };
        let bend = 2.0 * a - 5.0 * b + 4.0 * c - d;
        let third = 3.0 * (b - c) + d - a;
        b + 0.5 * t * (c - a + t * (bend + t * third))
    }

    fn raw_ln(&self, energy_ev: f64) -> f64 {
        (self.scale * self.edge.elliott(energy_ev)).max(f64::MIN_POSITIVE).ln()
    }

    /// The highest energy below the edge at which the logarithmic slope reaches 1/E_u: there the tail begins.
    fn find_join(&self) -> f64 {
        let h = 1e-4;
        let steep =
            |energy: f64| (self.raw_ln(energy + h) - self.raw_ln(energy - h)) / (2.0 * h) >= 1.0 / self.edge.urbach_ev;
        let step = 0.2 * self.edge.broadening_ev;
        let mut high = self.edge.continuum_edge_ev() + 2.0 * self.edge.broadening_ev;
        // The slope of a Gaussian flank grows without bound, so the tail begins within σ²/E_u and a few σ; the bound
        // on the number of steps only guards against a formula that changed.
        let bound = 20 + (6.0 * self.edge.broadening_ev / self.edge.urbach_ev).ceil() as usize * 5;
        for _ in 0..bound {
            if steep(high - step) {
                break;
            }
            high -= step;
        }
        let mut low = high - step;
        // 2⁻¹⁶ of a fifth of the broadening is far below any uncertainty.
        for _ in 0..16 {
            let middle = 0.5 * (low + high);
            if steep(middle) { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_shapes_agrees_with_the_integral() {
        for (binding_ev, broadening_ev) in [(0.012, 0.025), (0.033, 0.02), (0.004, 0.03)] {
            let edge = Edge { gap_ev: 1.6, binding_ev, urbach_ev: 0.015, broadening_ev };
            for step in -60..=200 {
                let energy = edge.continuum_edge_ev() + 0.002 * f64::from(step);
                let (fast, slow) = (edge.elliott(energy), edge.elliott_by_quadrature(energy));
                assert!((fast / slow - 1.0).abs() < 5e-4, "{edge:?} {energy}: {fast} {slow}");
            }
        }
    }
}

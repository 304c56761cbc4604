//! Absorption coefficient of a direct semiconductor with excitons and an exponential tail.
//!
//! Elliott, Phys. Rev. 108, 1384 (1957), with Gaussian broadening, a factor for bands that are not parabolic, and
//! Urbach's tail (Phys. Rev. 92, 1324, 1953) joined with equal value and slope.

mod shapes;

use std::f64::consts::{PI, SQRT_2};

use crate::{ModelError, within};
use shapes::Row;

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

    /// Elliott absorption without scale and tail, at `energy_ev`, interpolated where the row of the table of shapes reaches.
    fn elliott(&self, row: Option<&Row>, energy_ev: f64) -> f64 {
        let x = (energy_ev - self.continuum_edge_ev()) / self.broadening_ev;
        match row.and_then(|row| row.at(x)) {
            Some(value) => value.ln_plain.exp() * (1.0 + self.broadening_ev * value.bent_share) / energy_ev,
            None => self.elliott_by_quadrature(energy_ev),
        }
    }

    /// Derivative of the logarithm of [`Edge::elliott`] by energy.
    fn elliott_slope(&self, row: Option<&Row>, energy_ev: f64) -> f64 {
        let sigma = self.broadening_ev;
        let x = (energy_ev - self.continuum_edge_ev()) / sigma;
        match row.and_then(|row| row.at_with_slope(x)) {
            Some((value, slope)) => {
                let bent = slope.bent_share / (1.0 + sigma * value.bent_share);
                slope.ln_plain / sigma + bent - 1.0 / energy_ev
            }
            None => {
                let h = 1e-4;
                let ln = |energy: f64| self.elliott_by_quadrature(energy).max(f64::MIN_POSITIVE).ln();
                (ln(energy_ev + h) - ln(energy_ev - h)) / (2.0 * h)
            }
        }
    }

    /// Elliott absorption from its integral.
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
    /// Shapes at the binding energy and broadening of the edge, where the table holds them.
    row: Option<Box<Row>>,
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
        let row = shapes::table().row(edge.binding_ev / edge.broadening_ev).map(Box::new);
        let scale = SCALE_PER_CM / edge.elliott(row.as_deref(), edge.continuum_edge_ev() + SCALE_AT_EV);
        let mut model = Self { edge, scale, join_ev: 0.0, join_ln: 0.0, row, table: Vec::new() };
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
        let excitonic = if self.table.is_empty() {
            self.scale * self.edge.elliott(self.row.as_deref(), energy_ev)
        } else {
            self.tabulated_ln(energy_ev).exp()
        };
        excitonic + HIGHER_PER_CM * higher * higher.sqrt()
    }

    /// What derivatives need besides the model; nothing where the table of shapes does not reach.
    pub(crate) fn slopes(&self) -> Option<Slopes<'_>> {
        let row = self.row.as_deref()?;
        let by_rho = shapes::table().row_slope(self.edge.binding_ev / self.edge.broadening_ev)?;
        let mut slopes = Slopes { model: self, row, by_rho: Box::new(by_rho), tail: [0.0; 4] };
        // Value and slope are continuous at the join, so that its own shift does not count.
        let [_, gap, broadening, binding] = slopes.of_ln_elliott(self.join_ev)?;
        slopes.tail = [gap, 1.0 / self.edge.urbach_ev, broadening, binding];
        Some(slopes)
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
        (self.scale * self.edge.elliott(self.row.as_deref(), energy_ev)).max(f64::MIN_POSITIVE).ln()
    }

    /// The highest energy below the edge at which the logarithmic slope reaches 1/E_u: there the tail begins.
    fn find_join(&self) -> f64 {
        let steep = |energy: f64| self.edge.elliott_slope(self.row.as_deref(), energy) >= 1.0 / self.edge.urbach_ev;
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

/// Derivatives of α by the parameters of the edge, the scale held.
pub(crate) struct Slopes<'a> {
    model: &'a AbsorptionModel,
    row: &'a Row,
    by_rho: Box<Row>,
    /// Of ln α in the tail by gap, energy, ln broadening and ln binding energy.
    tail: [f64; 4],
}

impl Slopes<'_> {
    /// α with its derivatives by gap, ln Urbach energy, ln broadening and ln binding energy; nothing where the table of
    /// shapes does not reach.
    pub(crate) fn at(&self, energy_ev: f64) -> Option<(f64, [f64; 4])> {
        let model = self.model;
        let beyond = energy_ev - model.join_ev;
        if beyond <= 0.0 {
            let [gap, rise, broadening, binding] = self.tail;
            let alpha = (model.join_ln + beyond * rise).exp();
            return Some((alpha, [alpha * gap, -alpha * beyond * rise, alpha * broadening, alpha * binding]));
        }
        let [ln, gap, broadening, binding] = self.of_ln_elliott(energy_ev)?;
        let excitonic = model.scale * ln.exp();
        let higher = (energy_ev - model.edge.continuum_edge_ev() - HIGHER_ONSET_EV).max(0.0);
        let by_edge = -1.5 * HIGHER_PER_CM * higher.sqrt();
        let by_binding = excitonic * binding + by_edge * model.edge.binding_ev;
        let alpha = excitonic + HIGHER_PER_CM * higher * higher.sqrt();
        Some((alpha, [excitonic * gap + by_edge, 0.0, excitonic * broadening, by_binding]))
    }

    /// ln of the Elliott absorption with its derivatives by gap, ln broadening and ln binding energy.
    fn of_ln_elliott(&self, energy_ev: f64) -> Option<[f64; 4]> {
        let edge = &self.model.edge;
        let sigma = edge.broadening_ev;
        let x = (energy_ev - edge.continuum_edge_ev()) / sigma;
        let (value, slope) = self.row.at_with_slope(x)?;
        let rho = self.by_rho.at(x)?;
        let whole = 1.0 + sigma * value.bent_share;
        let by_x = slope.ln_plain + sigma * slope.bent_share / whole;
        let by_ln_rho = rho.ln_plain + sigma * rho.bent_share / whole;
        // x goes with 1/σ and falls with gap and binding energy, R/σ goes with both.
        let by_broadening = -x * by_x - by_ln_rho + sigma * value.bent_share / whole;
        let by_binding = -edge.binding_ev / sigma * by_x + by_ln_rho;
        Some([value.ln_plain + whole.ln() - energy_ev.ln(), -by_x / sigma, by_broadening, by_binding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_the_absorption_agree_with_differences() {
        let edge = Edge { gap_ev: 1.6, binding_ev: 0.014, urbach_ev: 0.016, broadening_ev: 0.025 };
        let h = 1e-5;
        let at = AbsorptionModel::without_table(edge).unwrap();
        let slopes = at.slopes().unwrap();
        let by = |energy: f64, change: &dyn Fn(f64) -> Edge| {
            let value = |h: f64| {
                let model = AbsorptionModel::without_table(change(h)).unwrap();
                // The derivatives hold the scale.
                model.alpha_per_cm(energy) / model.scale * at.scale
            };
            (value(h) - value(-h)) / (2.0 * h)
        };
        for step in -40..=20 {
            let energy = 1.6 + 0.005 * f64::from(step);
            let (alpha, found) = slopes.at(energy).unwrap();
            assert!((alpha / at.alpha_per_cm(energy) - 1.0).abs() < 1e-9, "{energy}");
            let wanted = [
                by(energy, &|h| Edge { gap_ev: edge.gap_ev + h, ..edge }),
                by(energy, &|h| Edge { urbach_ev: edge.urbach_ev * h.exp(), ..edge }),
                by(energy, &|h| Edge { broadening_ev: edge.broadening_ev * h.exp(), ..edge }),
                by(energy, &|h| Edge { binding_ev: edge.binding_ev * h.exp(), ..edge }),
            ];
            for (found, wanted) in found.into_iter().zip(wanted) {
                assert!((found - wanted).abs() < 0.02 * wanted.abs() + 2e-3 * alpha, "{energy}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn the_table_of_shapes_agrees_with_the_integral() {
        for (binding_ev, broadening_ev) in [(0.012, 0.025), (0.033, 0.02), (0.004, 0.03)] {
            let edge = Edge { gap_ev: 1.6, binding_ev, urbach_ev: 0.015, broadening_ev };
            let row = shapes::table().row(binding_ev / broadening_ev).unwrap();
            for step in -60..=200 {
                let energy = edge.continuum_edge_ev() + 0.002 * f64::from(step);
                let (fast, slow) = (edge.elliott(Some(&row), energy), edge.elliott_by_quadrature(energy));
                assert!((fast / slow - 1.0).abs() < 5e-4, "{edge:?} {energy}: {fast} {slow}");
                let (fast, slow) = (edge.elliott_slope(Some(&row), energy), edge.elliott_slope(None, energy));
                assert!((fast - slow).abs() < 5e-3 * slow.abs().max(10.0), "{edge:?} {energy}: slope {fast} {slow}");
            }
        }
    }
}

//! What a surrogate sees of a decoration, every coordinate between 0 and 1.

use ppu_twin::rules::Element;

use super::perovskite::{Assessment, Perovskite};

/// Facts of the elements alone: group, period and electronegativity of A and B; shares of O, N, F and S among the anions.
pub fn descriptors(one: &Perovskite) -> Vec<f64> {
    let mut all = Vec::with_capacity(10);
    for element in [one.a, one.b] {
        all.push(f64::from(element.group()) / 18.0);
        all.push(f64::from(element.period()) / 7.0);
        all.push(element.electronegativity().unwrap_or(1.5) / 4.0);
    }
    let share = |symbol: &str| {
        let is = |element: &&Element| element.symbol() == symbol;
        one.x.iter().filter(is).count() as f64 / 3.0
    };
    all.extend(["N", "F", "S"].map(share));
    all
}

/// What level F0 adds: how usual the states are, the charges, tau's probability, the tolerance and octahedral factors, and
/// whether electrons pair.
pub fn rule_features(assessed: &Assessment) -> Vec<f64> {
    let usual = if assessed.log_share.is_finite() { (0.25 * assessed.log_share).exp() } else { 0.0 };
    let charge = |site: usize| assessed.ions.map_or(0.5, |ions| f64::from(ions[site].charge) / 7.0);
    let factors = assessed.factors.as_ref().and_then(|found| found.as_ref().ok());
    let tolerance = factors.map_or(0.5, |found| ((found.tolerance - 0.6) / 0.7).clamp(0.0, 1.0));
    let octahedral = factors.map_or(0.4, |found| found.octahedral.clamp(0.0, 1.0));
    let probability = factors.map_or(0.1, |found| if found.swapped { 0.0 } else { found.probability });
    let parity = if assessed.even_electrons { 1.0 } else { 0.0 };
    vec![usual, charge(0), charge(1), probability, tolerance, octahedral, parity]
}

//! The broadened Elliott edge as a table: in units of the broadening σ it depends on the distance from the continuum edge
//! and on R/σ alone, but for the growth of the density of states, which enters linearly with σ.

use std::f64::consts::PI;
use std::sync::OnceLock;

use super::{EXCITON_STATES, INTERVALS, NON_PARABOLICITY_PER_EV, REACH};

/// Distance from the edge in σ: first, step and number of entries.
const X: (f64, f64, usize) = (-9.0, 0.125, 320);
/// ln R/σ: first, step and number of entries; R/σ from 0.05 to 5.
const RHO: (f64, f64, usize) = (-3.0, 0.15, 32);

/// ln of both shapes at every entry.
pub(super) struct Shapes {
    values: Vec<[f64; 2]>,
}

/// The table, computed at the first call.
pub(super) fn table() -> &'static Shapes {
    static TABLE: OnceLock<Shapes> = OnceLock::new();
    TABLE.get_or_init(|| {
        let entry = |index: usize| {
            let (row, column) = (index / X.2, index % X.2);
            exact(X.0 + X.1 * column as f64, (RHO.0 + RHO.1 * row as f64).exp())
        };
        Shapes { values: (0..RHO.2 * X.2).map(entry).collect() }
    })
}

/// ln of bound states and continuum with a constant factor, and of the part that grows with energy for σ = 1 eV.
fn exact(x: f64, rho: f64) -> [f64; 2] {
    let gauss = |u: f64| (-0.5 * u * u).exp() / (2.0 * PI).sqrt();
    let mut plain = 0.0;
    for n in 1..=EXCITON_STATES {
        let n = f64::from(n);
        plain += 4.0 * PI * rho / n.powi(3) * gauss(x + rho / (n * n));
    }
    let mut bent = 0.0;
    let (from, to) = ((x - REACH).max(0.0), (x + REACH).max(REACH));
    let step = (to - from) / INTERVALS as f64;
    for index in 0..=INTERVALS {
        let t = from + step * index as f64;
        let weight = match index {
            0 | INTERVALS => 1.0,
            odd if odd % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let attraction = if t <= 0.0 { 1.0 } else { 1.0 / -(-2.0 * PI * (rho / t).sqrt()).exp_m1() };
        let part = weight * step / 3.0 * 2.0 * PI * attraction * gauss(x - t);
        plain += part;
        bent += NON_PARABOLICITY_PER_EV * t * part;
    }
    [plain.max(f64::MIN_POSITIVE).ln(), bent.max(f64::MIN_POSITIVE).ln()]
}

impl Shapes {
    /// Both shapes by four-point interpolation of their logarithms, or nothing outside the table.
    pub(super) fn at(&self, x: f64, rho: f64) -> Option<(f64, f64)> {
        let column = (x - X.0) / X.1;
        let row = (rho.ln() - RHO.0) / RHO.1;
        if !(column >= 1.0 && column < X.2 as f64 - 2.0 && row >= 1.0 && row < RHO.2 as f64 - 2.0) {
            return None;
        }
        let (i, j) = (row as usize, column as usize);
        let (wx, wr) = (weights(column - j as f64), weights(row - i as f64));
        let (mut plain, mut bent) = (0.0, 0.0);
        for (k, wr) in wr.iter().enumerate() {
            let start = (i + k - 1) * X.2 + j - 1;
            for (entry, wx) in self.values[start..start + 4].iter().zip(&wx) {
                plain += wr * wx * entry[0];
                bent += wr * wx * entry[1];
            }
        }
        Some((plain.exp(), bent.exp()))
    }
}

/// Weights of Lagrange's cubic through -1, 0, 1 and 2 at `t` from 0 to 1.
fn weights(t: f64) -> [f64; 4] {
    let (a, b, c) = (t + 1.0, t - 1.0, t - 2.0);
    [-t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0]
}

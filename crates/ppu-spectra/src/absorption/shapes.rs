//! The broadened Elliott edge as a table: in units of the broadening σ it depends on the distance from the continuum edge
//! and on R/σ alone, but for the growth of the density of states, which enters linearly with σ.

use std::f64::consts::PI;
use std::sync::OnceLock;

use super::{EXCITON_STATES, INTERVALS, NON_PARABOLICITY_PER_EV, REACH};

/// Distance from the edge in σ: first, step and number of entries.
const X: (f64, f64, usize) = (-9.0, 0.125, 320);
/// ln R/σ: first, step and number of entries; R/σ from 0.05 to 5.
const RHO: (f64, f64, usize) = (-3.0, 0.15, 32);

/// Both shapes at every entry: ln of the first, and the second as a share of the first.
pub(super) struct Shapes {
    columns: Vec<[f64; 2]>,
}

/// The shapes at one R/σ, over the distance from the edge in σ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    columns: [[f64; 2]; X.2],
}

/// Values interpolated in a row, or their derivatives by x or by ln R/σ: ln of the first shape, and the second as a share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value {
    pub(super) ln_plain: f64,
    pub(super) bent_share: f64,
}

/// The table, computed at the first call.
pub(super) fn table() -> &'static Shapes {
    static TABLE: OnceLock<Shapes> = OnceLock::new();
    TABLE.get_or_init(|| {
        let entry = |index: usize| {
            let (row, column) = (index / X.2, index % X.2);
            exact(X.0 + X.1 * column as f64, (RHO.0 + RHO.1 * row as f64).exp())
        };
        Shapes { columns: (0..RHO.2 * X.2).map(entry).collect() }
    })
}

/// ln of bound states and continuum with a constant factor, and as a share of it the part that grows with energy for
/// σ = 1 eV.
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
    let plain = plain.max(f64::MIN_POSITIVE);
    [plain.ln(), bent / plain]
}

impl Shapes {
    /// The row at R/σ by four-point interpolation, or nothing outside the table.
    pub(super) fn row(&self, rho: f64) -> Option<Row> {
        let (index, t) = place_in(RHO, rho.ln())?;
        Some(self.blend(index, weights(t)))
    }

    /// The derivatives of that row by ln R/σ.
    pub(super) fn row_slope(&self, rho: f64) -> Option<Row> {
        let (index, t) = place_in(RHO, rho.ln())?;
        Some(self.blend(index, slopes(t).map(|slope| slope / RHO.1)))
    }

    fn blend(&self, index: usize, weights: [f64; 4]) -> Row {
        let mut row = Row { columns: [[0.0; 2]; X.2] };
        let table = |k: usize| &self.columns[(index + k - 1) * X.2..(index + k) * X.2].as_flattened()[..2 * X.2];
        let [a, b, c, d] = [0, 1, 2, 3].map(table);
        let target = &mut row.columns.as_flattened_mut()[..2 * X.2];
        for i in 0..2 * X.2 {
            target[i] = weights[0] * a[i] + weights[1] * b[i] + weights[2] * c[i] + weights[3] * d[i];
        }
        row
    }
}

impl Row {
    /// Both values at the distance `x` in σ, or nothing outside the table.
    pub(super) fn at(&self, x: f64) -> Option<Value> {
        let (index, t) = place_in(X, x)?;
        Some(self.sum(index, weights(t)))
    }

    /// Both values and their derivatives by x.
    pub(super) fn at_with_slope(&self, x: f64) -> Option<(Value, Value)> {
        let (index, t) = place_in(X, x)?;
        Some((self.sum(index, weights(t)), self.sum(index, slopes(t).map(|slope| slope / X.1))))
    }

    fn sum(&self, index: usize, weights: [f64; 4]) -> Value {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| self.columns[index + k - 1]);
        let of = |k: usize| weights[0] * a[k] + weights[1] * b[k] + weights[2] * c[k] + weights[3] * d[k];
        Value { ln_plain: of(0), bent_share: of(1) }
    }
}

/// Entry of an axis of the table below a value, from 1, and how far beyond it.
fn place_in((first, step, entries): (f64, f64, usize), value: f64) -> Option<(usize, f64)> {
    let place = (value - first) / step;
    (place >= 1.0 && place < entries as f64 - 2.0).then(|| {
        let index = place as usize;
        (index, place - index as f64)
    })
}

/// Weights of Lagrange's cubic through -1, 0, 1 and 2 at `t` from 0 to 1.
fn weights(t: f64) -> [f64; 4] {
    let (a, b, c) = (t + 1.0, t - 1.0, t - 2.0);
    [-t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0]
}

/// Their derivatives by `t`.
fn slopes(t: f64) -> [f64; 4] {
    let t2 = t * t;
    [
        -(3.0 * t2 - 6.0 * t + 2.0) / 6.0,
        (3.0 * t2 - 4.0 * t - 1.0) / 2.0,
        -(3.0 * t2 - 2.0 * t - 2.0) / 2.0,
        (3.0 * t2 - 1.0) / 6.0,
    ]
}

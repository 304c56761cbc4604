//! Thickness from interference fringes where a film is transparent.

use crate::HC_EV_NM;
use crate::absorbance::Absorbance;
use crate::film::refractive_index;
use crate::least_squares::linear;
use crate::raw::Estimate;

/// Thicknesses that are tried, in nm, geometrically spaced by this factor.
const RANGE_NM: (f64, f64) = (150.0, 8000.0);
const SPACING: f64 = 1.02;
/// Fewest points, and fewest full fringes, that tell a thickness.
const FEWEST_POINTS: usize = 40;
const FEWEST_FRINGES: f64 = 1.2;
/// Points are thinned to about this many: fringes are wide.
const MOST_POINTS: usize = 160;
/// The variance of the residual must fall by this factor over a smooth curve for fringes to be there.
const LEAST_GAIN: f64 = 4.0;
/// Relative standard uncertainty of the refractive index.
const INDEX_U: f64 = 0.04;

/// Why fringes give no thickness.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FringeError {
    /// Too few points.
    #[error("{points} points between {from_ev} and {to_ev} eV are too few (at least {FEWEST_POINTS})")]
    TooFewPoints {
        /// Points in the range.
        points: usize,
        /// Lower end in eV.
        from_ev: f64,
        /// Upper end in eV.
        to_ev: f64,
    },
    /// No periodic modulation stands out.
    #[error("no fringes: a modulation lowers the variance only by a factor of {gain:.1}")]
    NoFringes {
        /// Best factor that was found.
        gain: f64,
    },
}

/// Fringes of a film.
#[derive(Debug, Clone, PartialEq)]
pub struct Fringes {
    /// Film thickness in nm.
    pub thickness_nm: Estimate,
    /// Amplitude in absorbance.
    pub amplitude: f64,
    /// Full fringes within the range.
    pub fringes: f64,
    /// Factor by which they lower the variance of the residual.
    pub gain: f64,
}

/// Fits absorbance = cubic + a cos 4πn(E)tE/hc + b sin … between two energies below the gap. `gap_ev` sets the dispersion
/// of the index.
///
/// # Errors
/// [`FringeError`].
pub fn fringes(absorbance: &Absorbance, from_ev: f64, to_ev: f64, gap_ev: f64) -> Result<Fringes, FringeError> {
    let inside: Vec<(f64, f64)> = absorbance
        .points()
        .iter()
        .map(|point| (HC_EV_NM / point.wavelength_nm, point.absorbance))
        .filter(|(energy, _)| *energy >= from_ev && *energy <= to_ev)
        .collect();
    if inside.len() < FEWEST_POINTS {
        return Err(FringeError::TooFewPoints { points: inside.len(), from_ev, to_ev });
    }
    let group = inside.len().div_ceil(MOST_POINTS);
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / n, part.iter().map(|p| p.1).sum::<f64>() / n)
    };
    let points: Vec<(f64, f64)> = inside.chunks(group).map(mean).collect();
    // Phase in cycles for each nm of thickness.
    let cycles: Vec<f64> =
        points.iter().map(|(energy, _)| 2.0 * refractive_index(*energy, gap_ev) * energy / HC_EV_NM).collect();
    let y: Vec<f64> = points.iter().map(|point| point.1).collect();
    let middle = 0.5 * (from_ev + to_ev);
    let cubic: Vec<Vec<f64>> = (0..4)
        .map(|power| points.iter().map(|(e, _)| ((e - middle) / (to_ev - from_ev)).powi(power)).collect())
        .collect();
    let weights = vec![1.0; y.len()];
    let variance = |columns: &[Vec<f64>]| -> Option<(f64, Vec<f64>)> {
        let (c, _) = linear(columns, &y, &weights)?;
        let misfit: f64 =
            (0..y.len()).map(|i| (y[i] - (0..c.len()).map(|k| c[k] * columns[k][i]).sum::<f64>()).powi(2)).sum();
        Some((misfit / (y.len() - c.len()) as f64, c))
    };
    let with = |thickness: f64| {
        let phase = |x: &f64| std::f64::consts::TAU * thickness * x;
        let mut columns = cubic.clone();
        columns.push(cycles.iter().map(|x| phase(x).cos()).collect());
        columns.push(cycles.iter().map(|x| phase(x).sin()).collect());
        variance(&columns)
    };
    let none = FringeError::NoFringes { gain: 1.0 };
    let (plain, _) = variance(&cubic).ok_or(none.clone())?;
    let span = (cycles[cycles.len() - 1] - cycles[0]).abs();
    let shortest = RANGE_NM.0.max(FEWEST_FRINGES / span);
    let mut best = (f64::INFINITY, shortest);
    let mut thickness = shortest;
    while thickness < RANGE_NM.1.min(0.25 * y.len() as f64 / span) {
        if let Some((found, _)) = with(thickness)
            && found < best.0
        {
            best = (found, thickness);
        }
        thickness *= SPACING;
    }
    // A parabola through three points around the minimum, twice.
    let mut step = 0.01 * best.1;
    let mut curvature = 0.0;
    for _ in 0..2 {
        let value = |t: f64| with(t).map_or(f64::INFINITY, |found| found.0);
        let (a, b, c) = (value(best.1 - step), value(best.1), value(best.1 + step));
        curvature = (a - 2.0 * b + c) / (step * step);
        if curvature > 0.0 {
            best.1 -= (0.5 * (c - a) / step / curvature).clamp(-step, step);
        }
        best.0 = value(best.1);
        step *= 0.3;
    }
    let gain = plain / best.0.max(f64::MIN_POSITIVE);
    let Some((_, c)) = with(best.1).filter(|_| gain > LEAST_GAIN && curvature > 0.0) else {
        return Err(FringeError::NoFringes { gain });
    };
    let n = (y.len() - 7) as f64;
    // χ²/σ² rises by one within u: ½ n V'' u² = V.
    let u_stat = (2.0 * best.0 / (n * curvature)).sqrt();
    let thickness_nm = Estimate { value: best.1, u_stat, u_total: u_stat.hypot(INDEX_U * best.1) };
    Ok(Fringes { thickness_nm, amplitude: c[4].hypot(c[5]), fringes: span * best.1, gain })
}

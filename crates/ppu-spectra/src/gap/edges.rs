//! Absorption edges as maxima of the slope.

use nalgebra::{Matrix3, Vector3};

use super::{BandGapError, Bin};
use crate::least_squares::linear;

/// Width of a bin in eV: finer than the broadening of any edge at room temperature.
pub(super) const BIN_EV: f64 = 0.003;
/// The slope at an energy comes from a parabola over this half width.
const SLOPE_HALF_EV: f64 = 0.030;
/// An edge spans this half width; the slope at its ends is the background on which it stands.
const EDGE_HALF_EV: f64 = 0.080;
/// An edge must exceed its uncertainty by this factor.
const EDGE_SIGMAS: f64 = 6.0;
/// Two maxima closer than this are one edge.
const SEPARATION_EV: f64 = 0.06;

/// A rise of the absorbance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeFound {
    /// Energy of the steepest rise in eV.
    pub energy_ev: f64,
    /// Step in absorbance over the edge, above the slope on both sides.
    pub step: f64,
    /// Standard uncertainty of the step.
    pub u_step: f64,
}

#[derive(Clone, Copy)]
struct Slope {
    energy: f64,
    value: f64,
    u: f64,
}

/// Every edge by rising energy.
pub(super) fn find(bins: &[Bin], smallest: f64) -> Result<Vec<EdgeFound>, BandGapError> {
    let slopes = slopes(bins);
    let mut found: Vec<EdgeFound> = Vec::new();
    let mut largest = EdgeFound { energy_ev: 0.0, step: 0.0, u_step: 0.0 };
    for index in 1..slopes.len().saturating_sub(1) {
        let (before, here, after) = (slopes[index - 1], slopes[index], slopes[index + 1]);
        if here.value < before.value || here.value <= after.value {
            continue;
        }
        let Some(mut edge) = measure(&slopes, index) else { continue };
        if edge.step > largest.step {
            largest = edge;
        }
        if edge.step < smallest || edge.step < EDGE_SIGMAS * edge.u_step {
            continue;
        }
        edge.energy_ev = refine(&slopes, index);
        match found.last_mut() {
            Some(last) if edge.energy_ev - last.energy_ev < SEPARATION_EV => {
                if edge.step > last.step {
                    *last = edge;
                }
            }
            _ => found.push(edge),
        }
    }
    if found.is_empty() {
        return Err(BandGapError::NoEdge { largest_step: largest.step, u: largest.u_step });
    }
    Ok(found)
}

/// Slope of the absorbance at every bin that has neighbours on both sides.
fn slopes(bins: &[Bin]) -> Vec<Slope> {
    let mut slopes = Vec::with_capacity(bins.len());
    let (mut from, mut to) = (0, 0);
    for bin in bins {
        // Energies rise, so that both ends of the window only move on.
        from += bins[from..].iter().take_while(|other| other.energy < bin.energy - SLOPE_HALF_EV).count();
        to += bins[to..].iter().take_while(|other| other.energy <= bin.energy + SLOPE_HALF_EV).count();
        let window = &bins[from..to];
        let balanced = window.first().is_some_and(|first| first.energy < bin.energy - 0.6 * SLOPE_HALF_EV)
            && window.last().is_some_and(|last| last.energy > bin.energy + 0.6 * SLOPE_HALF_EV);
        if window.len() < 6 || !balanced {
            continue;
        }
        // Equal weights: unequal ones would shift the point at which the slope is taken.
        let level = bin.value;
        let (mut moments, mut sums, mut squares, mut noise) = ([0.0; 5], Vector3::zeros(), 0.0, 0.0);
        for other in window {
            let (t, y) = ((other.energy - bin.energy) / SLOPE_HALF_EV, other.value - level);
            let powers = [1.0, t, t * t, t * t * t, t * t * t * t];
            moments.iter_mut().zip(powers).for_each(|(moment, power)| *moment += power);
            sums += Vector3::new(y, t * y, t * t * y);
            squares += y * y;
            noise += other.u * other.u;
        }
        let h = Matrix3::from_fn(|row, column| moments[row + column]);
        let Some(inverse) = h.try_inverse() else { continue };
        let c = inverse * sums;
        let misfit = (squares - c.dot(&sums)).max(0.0);
        // Scatter beyond the stated noise counts as noise.
        let variance = (noise / window.len() as f64).max(misfit / (window.len() - 3) as f64);
        let u = (inverse[(1, 1)] * variance).sqrt() / SLOPE_HALF_EV;
        slopes.push(Slope { energy: bin.energy, value: c[1] / SLOPE_HALF_EV, u });
    }
    slopes
}

/// The edge around a maximum of the slope: its step by the excess of the slope over a straight
/// line between both ends.
fn measure(slopes: &[Slope], index: usize) -> Option<EdgeFound> {
    let peak = slopes[index];
    let from = slopes.partition_point(|slope| slope.energy < peak.energy - EDGE_HALF_EV);
    let to = slopes.partition_point(|slope| slope.energy <= peak.energy + EDGE_HALF_EV);
    let (left, right) = (slopes[from], slopes[to - 1]);
    if to - from < 6 || right.energy <= left.energy {
        return None;
    }
    let (mut step, mut variance) = (0.0, 0.0);
    for pair in slopes[from..to].windows(2) {
        let middle = 0.5 * (pair[0].energy + pair[1].energy);
        let share = (middle - left.energy) / (right.energy - left.energy);
        let ground = left.value + share * (right.value - left.value);
        let width = pair[1].energy - pair[0].energy;
        step += (0.5 * (pair[0].value + pair[1].value) - ground) * width;
        variance += (pair[0].u * width).powi(2);
    }
    // Slopes within one smoothing width share their noise.
    let shared = (2.0 * SLOPE_HALF_EV / BIN_EV).max(1.0);
    let span = right.energy - left.energy;
    let ground = 0.25 * (left.u.powi(2) + right.u.powi(2)) * span * span;
    let u_step = (variance * shared + ground).sqrt();
    Some(EdgeFound { energy_ev: peak.energy, step, u_step })
}

/// Vertex of the parabola through the slopes around a maximum.
fn refine(slopes: &[Slope], index: usize) -> f64 {
    let reach = (0.5 * SLOPE_HALF_EV / BIN_EV) as usize;
    let window = &slopes[index.saturating_sub(reach)..(index + reach + 1).min(slopes.len())];
    let centre = slopes[index].energy;
    let t: Vec<f64> = window.iter().map(|slope| (slope.energy - centre) / SLOPE_HALF_EV).collect();
    let columns = vec![vec![1.0; t.len()], t.clone(), t.iter().map(|t| t * t).collect()];
    let y: Vec<f64> = window.iter().map(|slope| slope.value).collect();
    match linear(&columns, &y, &vec![1.0; y.len()]) {
        Some((c, _)) if c[2] < 0.0 => centre + (-0.5 * c[1] / c[2]).clamp(-0.5, 0.5) * SLOPE_HALF_EV,
        _ => centre,
    }
}

/// The steepest tangent of (A E)² near an edge, A without its baseline: intercept, its uncertainty, and where.
pub(super) fn tauc_tangent(bins: &[Bin], edge_ev: f64) -> Result<(f64, f64, f64), BandGapError> {
    let below: Vec<&Bin> = bins.iter().filter(|bin| (edge_ev - 0.30..edge_ev - 0.12).contains(&bin.energy)).collect();
    if below.len() < 8 {
        return Err(BandGapError::AtRangeEnd { energy_ev: edge_ev });
    }
    let columns = vec![vec![1.0; below.len()], below.iter().map(|bin| bin.energy - edge_ev).collect()];
    let y: Vec<f64> = below.iter().map(|bin| bin.value).collect();
    let weights: Vec<f64> = below.iter().map(|bin| 1.0 / (bin.u * bin.u)).collect();
    let (base, _) = linear(&columns, &y, &weights).ok_or(BandGapError::NoFit { energy_ev: edge_ev })?;
    let squares: Vec<Bin> = bins
        .iter()
        .filter(|bin| (bin.energy - edge_ev).abs() < 0.15)
        .map(|bin| {
            let film = (bin.value - base[0] - base[1] * (bin.energy - edge_ev)).max(0.0);
            let square = (film * bin.energy).powi(2);
            Bin { energy: bin.energy, value: square, u: 2.0 * film.max(bin.u) * bin.energy * bin.energy * bin.u }
        })
        .collect();
    let slopes = slopes(&squares);
    let near = |slope: &&Slope| (slope.energy - edge_ev).abs() < 0.06;
    let steepest = slopes.iter().filter(near).max_by(|a, b| a.value.total_cmp(&b.value));
    let Some(steepest) = steepest.filter(|slope| slope.value > EDGE_SIGMAS * slope.u) else {
        return Err(BandGapError::NoFit { energy_ev: edge_ev });
    };
    let nearest =
        squares.iter().min_by(|a, b| (a.energy - steepest.energy).abs().total_cmp(&(b.energy - steepest.energy).abs()));
    let value = nearest.map_or(0.0, |bin| bin.value);
    let u_value = nearest.map_or(0.0, |bin| bin.u);
    let run = value / steepest.value;
    let u = (u_value / steepest.value).hypot(run * steepest.u / steepest.value);
    Ok((steepest.energy - run, u, steepest.energy))
}

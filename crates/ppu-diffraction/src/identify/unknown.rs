//! Intensity that no phase of a set explains: narrow peaks in the residual, away from what is modelled.

use super::UnexplainedPeak;
use super::data::Data;
use super::fit::Node;
use crate::profile::Instrument;

/// A residual peak counts above this many standard deviations of its matched filter; the weights already hold a relative
/// model error, so that misfit of a strong line stays below.
const THRESHOLD: f64 = 7.0;
/// Where the model itself has this share of a peak's height the residual is misfit, not another phase.
const MISFIT_SHARE: f64 = 0.5;
/// A background that bends through the lines of a missing phase spreads misfit over all points; that must not hide it.
const MOST_DISPERSED: f64 = 4.0;
/// Full width of the filter in degrees relative to the instrument's.
const FILTER_FACTOR: f64 = 1.3;
/// Lines of the tube that a two-line model does not have: Cu Kβ behind a filter, W Lα of an aged cathode (Å).
const STRAY_WAVELENGTHS: [f64; 2] = [1.392_25, 1.476_4];
/// A stray line has at most this share of its Kα line.
const STRAY_SHARE: f64 = 0.04;

/// Residual peaks and the share of the intensity above the background that they carry.
pub(super) fn peaks(
    data: &Data,
    node: &Node,
    background: &[f64],
    instrument: &Instrument,
) -> (Vec<UnexplainedPeak>, f64) {
    let n = data.len();
    let step = data.step();
    let kappa = robust(data, node);
    let modelled: Vec<f64> = node.calculated.iter().zip(background).map(|(f, b)| (f - b).max(0.0)).collect();
    let mut found: Vec<(usize, f64, f64)> = Vec::new();
    for centre in 0..n {
        let tan = (data.x[centre] / 2.0).to_radians().tan();
        let width = FILTER_FACTOR * (instrument.gaussian_width_squared(tan).sqrt() + 0.06).max(2.0 * step);
        let reach = ((1.2 * width / step).ceil() as usize).max(2);
        if centre < 3 * reach || centre + 3 * reach >= n {
            continue;
        }
        // A local level from both sides keeps slow misfit of the background out.
        let side =
            |from: usize| (from..from + reach).map(|i| data.y[i] - node.calculated[i]).sum::<f64>() / reach as f64;
        let level = 0.5 * (side(centre - 3 * reach) + side(centre + 2 * reach));
        let (mut top, mut norm, mut area, mut model) = (0.0, 0.0, 0.0, 0.0);
        for (i, modelled) in modelled.iter().enumerate().take(centre + reach + 1).skip(centre - reach) {
            let u = (data.x[i] - data.x[centre]) / width;
            let shape = (-4.0 * std::f64::consts::LN_2 * u * u).exp();
            let residual = data.y[i] - node.calculated[i] - level.max(0.0);
            top += data.weight[i] * shape * residual;
            norm += data.weight[i] * shape * shape;
            area += residual * step;
            model += modelled * step;
        }
        let z = top / (norm * kappa).sqrt();
        if z > THRESHOLD && area > MISFIT_SHARE * model && !is_stray(data, &modelled, instrument, centre, top / norm) {
            match found.last_mut() {
                Some(last) if centre - last.0 < 2 * reach => {
                    if z > last.1 {
                        *last = (centre, z, area);
                    }
                }
                _ => found.push((centre, z, area)),
            }
        }
    }
    let total: f64 = data.height.iter().sum::<f64>() * step;
    let strange: f64 = found.iter().map(|peak| peak.2).sum::<f64>().max(0.0);
    let share = if total > 0.0 { (strange / total).min(1.0) } else { 0.0 };
    let peaks = found
        .into_iter()
        .map(|(i, z, area)| UnexplainedPeak { two_theta_deg: data.x[i], significance: z, area })
        .collect();
    (peaks, share)
}

/// Share of the intensity above the background by which model and data differ beyond counting noise.
pub(super) fn misfit(data: &Data, node: &Node) -> f64 {
    let total: f64 = data.height.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let beyond = |((y, f), sigma): ((&f64, &f64), &f64)| ((y - f).abs() - 0.8 * sigma).max(0.0);
    data.y.iter().zip(&node.calculated).zip(&data.sigma).map(beyond).sum::<f64>() / total
}

/// Over-dispersion of the bulk of the points. The mean would hold the very peaks that are looked for: a phase that is
/// missing makes it ten times larger and hides itself.
fn robust(data: &Data, node: &Node) -> f64 {
    let mut squares: Vec<f64> =
        data.y.iter().zip(&node.calculated).zip(&data.weight).map(|((y, f), w)| w * (y - f) * (y - f)).collect();
    squares.sort_by(f64::total_cmp);
    // The median of a squared standard normal deviate is 0.455.
    (squares[squares.len() / 2] / 0.455).clamp(1.0, MOST_DISPERSED)
}

/// True when a much stronger modelled line stands where this peak's plane would reflect Kα1.
fn is_stray(data: &Data, modelled: &[f64], instrument: &Instrument, centre: usize, height: f64) -> bool {
    let Some(line) = instrument.lines.first() else { return false };
    STRAY_WAVELENGTHS.iter().any(|stray| {
        let sin = (data.x[centre] / 2.0).to_radians().sin() * line.wavelength_a / stray;
        if sin >= 1.0 {
            return false;
        }
        let parent = 2.0 * sin.asin().to_degrees();
        let place = data.x.partition_point(|x| *x < parent);
        let near = &modelled[place.saturating_sub(5)..(place + 6).min(modelled.len())];
        height < STRAY_SHARE * near.iter().copied().fold(0.0, f64::max)
    })
}

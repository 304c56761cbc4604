//! Pools of many columns, of which few are measured anywhere: known functions at random points, and made-up reactions of
//! three components, known by descriptors that tell only part of what they do.

use ppu_optimizer::engine::Direction;
use ppu_optimizer::normal::quantile;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::functions::hartmann_value;
use crate::olympus::Measured;

/// Points of a function: several pools' worth, so that runs differ.
const POINTS: usize = 1200;
/// Levels and descriptors of each component of a reaction.
const COMPONENTS: [(usize, usize); 3] = [(4, 3), (12, 5), (6, 3)];

pub(crate) fn sets() -> Vec<Measured> {
    let mut sets = vec![
        function("wing weight", 10, Direction::Minimize, wing_weight),
        function("Friedman's function and 5 idle columns", 10, Direction::Maximize, friedman),
        function("Hartmann6 and 6 idle columns", 12, Direction::Minimize, |x| hartmann_value(&x[..6])),
        function("Levy's function", 10, Direction::Minimize, levy),
    ];
    sets.extend((1..=3).map(reaction));
    sets
}

fn function(name: &str, columns: usize, direction: Direction, value: impl Fn(&[f64]) -> f64) -> Measured {
    let mut rng = ChaCha12Rng::seed_from_u64(columns as u64);
    let rows: Vec<Vec<f64>> = (0..POINTS).map(|_| (0..columns).map(|_| rng.random::<f64>()).collect()).collect();
    let values = rows.iter().map(|row| value(row)).collect();
    Measured { name: name.into(), rows, values, direction }
}

/// Yields of all combinations: a smooth function of the descriptors and of two conditions, an effect of each level and of
/// each pair of levels that no descriptor tells, nothing below 0.
fn reaction(number: u64) -> Measured {
    let mut rng = ChaCha12Rng::seed_from_u64(number);
    let mut normal = || quantile(rng.random::<f64>().clamp(1e-9, 1.0 - 1e-9));
    let phi = |z: f64| 0.5 * (1.0 + (0.8 * z).tanh());
    let described: Vec<Vec<Vec<f64>>> = COMPONENTS
        .iter()
        .map(|(levels, width)| (0..*levels).map(|_| (0..*width).map(|_| phi(normal())).collect()).collect())
        .collect();
    let own: Vec<Vec<f64>> =
        COMPONENTS.iter().map(|(levels, _)| (0..*levels).map(|_| 0.5 * normal()).collect()).collect();
    let pairs: Vec<f64> = (0..COMPONENTS[1].0 * COMPONENTS[2].0).map(|_| 0.4 * normal()).collect();
    // A few soft steps along random directions of all columns.
    let width = COMPONENTS.iter().map(|(_, width)| width).sum::<usize>() + 2;
    let steps: Vec<Vec<f64>> = (0..5).map(|_| (0..width).map(|_| normal()).collect()).collect();
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for at in 0..COMPONENTS.iter().map(|(levels, _)| levels).product::<usize>() * 9 {
        let (rest, conditions) = (at / 9, at % 9);
        let level = [rest % 4, rest / 4 % 12, rest / 48];
        let mut row: Vec<f64> = (0..3).flat_map(|part| described[part][level[part]].clone()).collect();
        row.extend([(conditions % 3) as f64 / 2.0, (conditions / 3) as f64 / 2.0]);
        let smooth: f64 = steps
            .iter()
            .map(|step| (step.iter().zip(&row).map(|(w, x)| w * (x - 0.5)).sum::<f64>() * 1.5).tanh())
            .sum();
        let hidden: f64 = (0..3).map(|part| own[part][level[part]]).sum();
        values.push((smooth + hidden + pairs[level[1] * 6 + level[2]] - 0.3).max(0.0));
        rows.push(row);
    }
    Measured { name: format!("made-up reaction {number}"), rows, values, direction: Direction::Maximize }
}

/// Weight of a light aircraft's wing: Forrester et al., Engineering Design via Surrogate Modelling (2008).
fn wing_weight(x: &[f64]) -> f64 {
    let at = |k: usize, low: f64, high: f64| low + x[k] * (high - low);
    let (area, fuel, aspect) = (at(0, 150.0, 200.0), at(1, 220.0, 300.0), at(2, 6.0, 10.0));
    let sweep = at(3, -10.0, 10.0).to_radians().cos();
    let (pressure, taper, thickness) = (at(4, 16.0, 45.0), at(5, 0.5, 1.0), at(6, 0.08, 0.18));
    let (load, gross, paint) = (at(7, 2.5, 6.0), at(8, 1700.0, 2500.0), at(9, 0.025, 0.08));
    0.036
        * area.powf(0.758)
        * fuel.powf(0.0035)
        * (aspect / (sweep * sweep)).powf(0.6)
        * pressure.powf(0.006)
        * taper.powf(0.04)
        * (100.0 * thickness / sweep).powf(-0.3)
        * (load * gross).powf(0.49)
        + area * paint
}

/// Friedman, Ann. Stat. 19, 1 (1991).
fn friedman(x: &[f64]) -> f64 {
    10.0 * (std::f64::consts::PI * x[0] * x[1]).sin() + 20.0 * (x[2] - 0.5).powi(2) + 10.0 * x[3] + 5.0 * x[4]
}

/// Levy's function on [−10, 10] in every variable.
fn levy(x: &[f64]) -> f64 {
    let pi = std::f64::consts::PI;
    let w: Vec<f64> = x.iter().map(|x| 1.0 + (20.0 * x - 11.0) / 4.0).collect();
    let last = w[w.len() - 1];
    let middle: f64 =
        w[..w.len() - 1].iter().map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (pi * w + 1.0).sin().powi(2))).sum();
    (pi * w[0]).sin().powi(2) + middle + (last - 1.0).powi(2) * (1.0 + (2.0 * pi * last).sin().powi(2))
}

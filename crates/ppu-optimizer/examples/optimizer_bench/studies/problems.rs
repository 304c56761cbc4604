//! Test functions, with their usual domains. Sources: Surjanovic and Bingham's library of test functions; Zitzler, Deb and
//! Thiele 2000 (ZDT); Deb et al. 2002 (DTLZ); Xiong et al. 2013 (Borehole at two fidelities); Dai et al. 2019 style
//! augmented functions of BoTorch are not used, since their fidelity is a continuum.

use std::f64::consts::PI;

/// Minimum 0.397887 on [−5, 10] × [0, 15].
pub(crate) fn branin(x: &[f64]) -> f64 {
    let a = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
    a * a + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0
}

/// A cheap relative of [`branin`] that is right up to a shift, a factor and a slope (Perdikaris et al. 2017 take a harsher
/// one); correlation about 0.9 over the domain.
pub(crate) fn branin_cheap(x: &[f64]) -> f64 {
    0.75 * branin(&[x[0] - 0.6, x[1] - 0.8]) + 3.0 * x[0] - 10.0
}

const HARTMANN_A: [[f64; 6]; 4] = [
    [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
    [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
    [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
    [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
];
const HARTMANN_P: [[f64; 6]; 4] = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
];

fn hartmann(x: &[f64], alpha: [f64; 4]) -> f64 {
    let term = |i: usize| {
        let square: f64 = (0..6).map(|j| HARTMANN_A[i][j] * (x[j] - HARTMANN_P[i][j]).powi(2)).sum();
        alpha[i] * (-square).exp()
    };
    -(0..4).map(term).sum::<f64>()
}

/// Minimum −3.32237 on the unit cube.
pub(crate) fn hartmann6(x: &[f64]) -> f64 {
    hartmann(x, [1.0, 1.2, 3.0, 3.2])
}

/// The lower fidelity of the multi-fidelity Hartmann function of Kandasamy et al. 2016: weights shifted by 0.1 to 0.3.
pub(crate) fn hartmann6_cheap(x: &[f64]) -> f64 {
    hartmann(x, [0.8, 1.1, 3.1, 2.9])
}

/// Water flow through a borehole (Morris et al. 1993); eight inputs in their units.
pub(crate) fn borehole(x: &[f64], cheap: bool) -> f64 {
    let [rw, r, tu, hu, tl, hl, l, kw] = [x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]];
    let log = (r / rw).ln();
    let (factor, one) = if cheap { (5.0, 1.5) } else { (2.0 * PI, 1.0) };
    factor * tu * (hu - hl) / (log * (one + 2.0 * l * tu / (log * rw * rw * kw) + tu / tl))
}

/// Ackley's function.
pub(crate) fn ackley(x: &[f64]) -> f64 {
    let count = x.len() as f64;
    let square = x.iter().map(|x| x * x).sum::<f64>() / count;
    let wave = x.iter().map(|x| (2.0 * PI * x).cos()).sum::<f64>() / count;
    -20.0 * (-0.2 * square.sqrt()).exp() - wave.exp() + 20.0 + std::f64::consts::E
}

/// ZDT1 on the unit cube, both minimised; reference (11, 11), hypervolume of the true front 120 + 2/3.
pub(crate) fn zdt1(x: &[f64]) -> [f64; 2] {
    let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / (x.len() - 1) as f64;
    [x[0], g * (1.0 - (x[0] / g).sqrt())]
}

/// DTLZ2 on the unit cube, `objectives` of them minimised; reference 1.1 each.
pub(crate) fn dtlz2(x: &[f64], objectives: usize) -> Vec<f64> {
    let g: f64 = x[objectives - 1..].iter().map(|x| (x - 0.5).powi(2)).sum();
    (0..objectives)
        .map(|m| {
            let cosines: f64 = x[..objectives - 1 - m].iter().map(|x| (0.5 * PI * x).cos()).product();
            let sine = if m > 0 { (0.5 * PI * x[objectives - 1 - m]).sin() } else { 1.0 };
            (1.0 + g) * cosines * sine
        })
        .collect()
}

/// Volume between the DTLZ2 front and the reference 1.1: the cube less the part of the unit ball in it.
pub(crate) fn dtlz2_ideal(objectives: usize) -> f64 {
    let ball = match objectives {
        2 => PI / 4.0,
        3 => PI / 6.0,
        _ => PI * PI / 32.0,
    };
    1.1_f64.powi(objectives as i32) - ball
}

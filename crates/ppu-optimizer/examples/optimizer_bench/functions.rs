//! Regret on functions with a known optimum: 2(d + 1) quasi-random points, then 50 picks one by one.

use ppu_optimizer::engine::{Cube, Direction, Experiment, Question};
use ppu_optimizer::normal::quantile as normal_quantile;
use ppu_optimizer::sequence::Recurrence;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::{Bar, Settings, each_seed, quantile};

/// Picks after the start.
const PICKS: usize = 50;

struct Function {
    dimensions: usize,
    least: f64,
    value: fn(&[f64]) -> f64,
}

const BRANIN: Function = Function { dimensions: 2, least: 0.397_887_357_729_738_16, value: branin_value };
const HARTMANN: Function = Function { dimensions: 6, least: -3.322_368_011_415_514, value: hartmann_value };

pub(crate) fn branin(settings: &Settings) -> Vec<Bar> {
    let regrets = each_seed(settings.seeds, settings.threads, |seed| regret(settings, &BRANIN, seed as u64, 0.0).0);
    vec![bar("Branin, no noise", &regrets, 0.5, 1e-6, "egobox 1.0 (published reference run)", 8e-7)]
}

pub(crate) fn hartmann(settings: &Settings) -> Vec<Bar> {
    let regrets = each_seed(settings.seeds, settings.threads, |seed| regret(settings, &HARTMANN, seed as u64, 0.0).0);
    let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
    let mut average = bar("Hartmann6, no noise", &regrets, 0.5, 0.04, "egobox 1.0 (published reference run)", 0.04);
    average.bar = average.bar.replace("median", "mean");
    (average.value, average.holds) = (mean, mean <= 0.04);
    vec![bar("Hartmann6, no noise", &regrets, 0.5, 1e-3, "egobox 1.0 (published reference run)", 7.7e-4), average]
}

pub(crate) fn hartmann_noisy(settings: &Settings) -> Vec<Bar> {
    let both = each_seed(settings.seeds, settings.threads, |seed| regret(settings, &HARTMANN, seed as u64, 0.1));
    let regrets: Vec<f64> = both.iter().map(|(best, _)| *best).collect();
    let recommended: Vec<f64> = both.iter().map(|(_, recommended)| *recommended).collect();
    let peer = "BoTorch 0.18 (published reference run)";
    vec![
        bar("Hartmann6, noise sd 0.1", &regrets, 0.5, 0.25, peer, 0.283),
        bar("Hartmann6, noise sd 0.1, of the recommended point", &recommended, 0.5, 0.25, peer, 0.283),
    ]
}

fn bar(what: &str, regrets: &[f64], q: f64, target: f64, peer: &'static str, peer_value: f64) -> Bar {
    let value = quantile(regrets, q);
    let (low, high) = (quantile(regrets, 0.25), quantile(regrets, 0.75));
    Bar {
        bar: format!(
            "median regret after 50 picks, {what}, {} seeds, quartiles {low:.2e} to {high:.2e}",
            regrets.len()
        ),
        value,
        unit: "1",
        target: format!("at most {target:e}"),
        peer,
        peer_value: Some(peer_value),
        holds: value <= target,
    }
}

/// True regret of the best evaluated point, and of the point recommended at the end.
fn regret(settings: &Settings, function: &Function, seed: u64, noise: f64) -> (f64, f64) {
    let engine = settings.engine(seed);
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let start = Recurrence::new(function.dimensions, &mut rng);
    let mut experiments: Vec<Experiment> = Vec::new();
    let mut measure = |x: Vec<f64>, experiments: &mut Vec<Experiment>| {
        let error = noise * normal_quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        let value = (function.value)(&x) + error;
        experiments.push(Experiment { id: experiments.len().to_string(), x, value, variance: 0.0 });
    };
    for at in 0..2 * (function.dimensions + 1) {
        measure(start.point(at), &mut experiments);
    }
    let region = Cube { dimensions: function.dimensions };
    let mut recommended = f64::NAN;
    for step in 0..=PICKS {
        let question = Question {
            experiments: &experiments,
            pending: &[],
            batch: 1,
            step: step as u64,
            direction: Direction::Minimize,
            log_cost: None,
            cheaper: &[],
        };
        let answer = engine.from_region(&question, &region).expect("the cube has points");
        if step < PICKS {
            let x = answer.picks[0].x.clone();
            measure(x, &mut experiments);
        } else if let Some(best) = answer.best {
            let one = experiments.iter().find(|one| one.id == best.id).expect("the best was measured");
            recommended = (function.value)(&one.x) - function.least;
        }
    }
    let best = experiments.iter().map(|one| (function.value)(&one.x)).fold(f64::INFINITY, f64::min);
    (best - function.least, recommended)
}

/// Branin on the unit square.
fn branin_value(x: &[f64]) -> f64 {
    let (a, b) = (15.0 * x[0] - 5.0, 15.0 * x[1]);
    let pi = std::f64::consts::PI;
    let inner = b - 5.1 / (4.0 * pi * pi) * a * a + 5.0 / pi * a - 6.0;
    inner * inner + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * a.cos() + 10.0
}

/// Hartmann's function of six variables.
pub(crate) fn hartmann_value(x: &[f64]) -> f64 {
    const WEIGHT: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const WIDTH: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const CENTRE: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let term = |at: usize| {
        let square: f64 = (0..6).map(|k| WIDTH[at][k] * (x[k] - CENTRE[at][k]).powi(2)).sum();
        WEIGHT[at] * (-square).exp()
    };
    -(0..4).map(term).sum::<f64>()
}

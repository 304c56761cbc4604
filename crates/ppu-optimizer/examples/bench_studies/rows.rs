//! The rows: what is run for one seed, and what is reported of it.

use std::collections::BTreeMap;
use std::time::Instant;

use ppu_optimizer::Study;
use ppu_optimizer::multi::hypervolume;
use ppu_optimizer::normal::quantile;
use ppu_optimizer::space::pool::{Pool, ProductPool};
use ppu_optimizer::space::{Constraint, Design, Domain, Kind, Level, Parameter, Space};
use ppu_optimizer::study::{Aim, Fidelity, Outcome, Pick, Reading, Told};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::problems::{ackley, borehole, branin, branin_cheap, dtlz2, dtlz2_ideal, hartmann6, hartmann6_cheap, zdt1};
use crate::replay::{cube, definition, numbers, replay, until, valid, wanted};

/// One number a measure.
pub(crate) type Figure = Vec<f64>;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measures: &'static [&'static str],
    pub(crate) run: fn(u64) -> Figure,
}

pub(crate) const ROWS: [Row; 15] = [
    Row { name: "branin", measures: &["regret after 6 + 30"], run: plain_branin },
    Row { name: "hartmann6", measures: &["regret after 14 + 50"], run: plain_hartmann },
    Row { name: "hartmann6 noise 0.1", measures: &["regret of recommendation, 14 + 50"], run: noisy_hartmann },
    Row { name: "heteroscedastic", measures: &["regret of recommendation, 12 + 30"], run: heteroscedastic },
    Row { name: "mixed levels", measures: &["regret after 12 + 40"], run: mixed },
    Row { name: "simplex of 5, at most 3", measures: &["regret after 12 + 30"], run: simplex },
    Row { name: "zdt1 d=6", measures: &["share of hypervolume, 14 + 36"], run: two_objectives },
    Row { name: "dtlz2 m=2 d=6", measures: &["share of hypervolume, 14 + 36"], run: dtlz2_two },
    Row { name: "dtlz2 m=3 d=6", measures: &["share of hypervolume, 14 + 36"], run: dtlz2_three },
    Row { name: "failures branin", measures: &["regret after 40", "failures after the first 10"], run: failures },
    Row { name: "fidelity branin", measures: &["regret at cost 20", "the same, lab alone"], run: fidelity_branin },
    Row { name: "fidelity hartmann6", measures: &["regret at cost 40", "the same, lab alone"], run: fidelity_hartmann },
    Row {
        name: "fidelity borehole",
        measures: &["share of the best at cost 25", "the same, lab alone"],
        run: fidelity_borehole,
    },
    Row { name: "nehvi time n=50", measures: &["ms an ask, d=6, two objectives, fit included"], run: nehvi_time },
    Row {
        name: "pool of a million",
        measures: &["s an ask, n=100, fit included", "agrees with brute force on a slice"],
        run: million,
    },
];

fn normal(rng: &mut ChaCha12Rng) -> f64 {
    quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12))
}

fn lowest(study: &Study, value: impl Fn(&Design) -> f64) -> f64 {
    let valid = study.record().told.iter().filter(|told| matches!(told.outcome, Outcome::Valid(_)));
    valid.map(|told| value(&told.design)).fold(f64::INFINITY, f64::min)
}

fn recommended(study: &Study, value: impl Fn(&Design) -> f64) -> f64 {
    let best = study.best().expect("there are results");
    best.first().map_or(f64::NAN, |best| value(&best.design))
}

fn scaled_branin(design: &Design) -> f64 {
    let x = numbers(design, 2);
    branin(&[15.0 * x[0] - 5.0, 15.0 * x[1]])
}

fn loss(seed: u64, dimensions: usize, start: usize) -> ppu_optimizer::study::Definition {
    definition(cube(dimensions), vec![wanted("loss", Aim::Minimize, None)], seed, start)
}

fn plain_branin(seed: u64) -> Figure {
    let study = replay(loss(seed, 2, 6), until(36), |pick| valid(&[("loss", scaled_branin(&pick.design))]));
    vec![lowest(&study, scaled_branin) - 0.397_887]
}

fn plain_hartmann(seed: u64) -> Figure {
    let value = |design: &Design| hartmann6(&numbers(design, 6));
    let study = replay(loss(seed, 6, 14), until(64), |pick| valid(&[("loss", value(&pick.design))]));
    vec![lowest(&study, value) + 3.322_37]
}

fn noisy_hartmann(seed: u64) -> Figure {
    let value = |design: &Design| hartmann6(&numbers(design, 6));
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let study =
        replay(loss(seed, 6, 14), until(64), |pick| valid(&[("loss", value(&pick.design) + 0.1 * normal(&mut rng))]));
    vec![recommended(&study, value) + 3.322_37]
}

/// Noise that grows towards one side, three replicates with their variance told: the shape of nanoparticle screens.
fn heteroscedastic(seed: u64) -> Figure {
    let value = |x: &[f64]| 1.0 - (x[0] - 0.7).powi(2) - 0.6 * (x[1] - 0.4).powi(2) - 0.3 * (x[2] - 0.5).abs();
    let sd = |x: &[f64]| 0.02 + 0.3 * x[0] * x[0];
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let objectives = vec![wanted("score", Aim::Maximize, None)];
    let study = replay(definition(cube(3), objectives, seed, 12), until(42), |pick| {
        let x = numbers(&pick.design, 3);
        let values = (0..3).map(|_| value(&x) + sd(&x) * normal(&mut rng)).collect();
        let reading = Reading { values, variance: sd(&x).powi(2) };
        Outcome::Valid(BTreeMap::from([("score".to_owned(), reading)]))
    });
    vec![1.0 - recommended(&study, |design| value(&numbers(design, 3)))]
}

/// Ackley's function of two numbers, an integer and three switches, shifted so that the minimum is not in the middle.
fn mixed(seed: u64) -> Figure {
    let mut space = cube(2);
    space.parameters.push(Parameter::integer("n", -5, 5));
    space.parameters.extend((0..3).map(|at| Parameter::categorical(&format!("c{at}"), &["off", "on", "half"])));
    let value = |design: &Design| {
        let mut x: Vec<f64> = numbers(design, 2).iter().map(|x| 4.0 * x - 1.5).collect();
        x.push(design.number("n").unwrap_or(0.0) - 1.0);
        x.extend((0..3).map(|at| match design.level(&format!("c{at}")) {
            Some("off") => 0.0,
            Some("half") => 0.5,
            _ => 1.0,
        }));
        ackley(&x)
    };
    let problem = definition(space, vec![wanted("loss", Aim::Minimize, None)], seed, 12);
    let study = replay(problem, until(52), |pick| valid(&[("loss", value(&pick.design))]));
    vec![lowest(&study, value)]
}

fn simplex(seed: u64) -> Figure {
    let mut space = cube(5);
    let parts: Vec<String> = (0..5).map(|at| format!("x{at}")).collect();
    space.constraints = vec![
        Constraint::Mixture { name: "whole".to_owned(), parts: parts.clone(), total: 1.0 },
        Constraint::Count { name: "few".to_owned(), parts, at_least: 1, at_most: 3, least: 0.05 },
    ];
    // The best mixture of three: the fourth and fifth part cannot be used beside it.
    let value = |design: &Design| {
        let x = numbers(design, 5);
        let aim = [0.5, 0.3, 0.2, 0.0, 0.0];
        let away: f64 = x.iter().zip(aim).map(|(x, aim)| (x - aim).powi(2)).sum();
        away + 0.2 * (6.0 * PI_HALF * away.sqrt()).sin().powi(2)
    };
    let problem = definition(space, vec![wanted("loss", Aim::Minimize, None)], seed, 12);
    let study = replay(problem, until(42), |pick| valid(&[("loss", value(&pick.design))]));
    vec![lowest(&study, value)]
}

const PI_HALF: f64 = std::f64::consts::FRAC_PI_2;

fn share(seed: u64, names: &[&'static str], reference: f64, ideal: f64, value: impl Fn(&[f64]) -> Vec<f64>) -> Figure {
    let objectives = names.iter().map(|name| wanted(name, Aim::Minimize, Some(reference))).collect();
    let study = replay(definition(cube(6), objectives, seed, 14), until(50), |pick| {
        let values = value(&numbers(&pick.design, 6));
        valid(&names.iter().copied().zip(values).collect::<Vec<_>>())
    });
    let points: Vec<Vec<f64>> = study
        .record()
        .told
        .iter()
        .map(|told| value(&numbers(&told.design, 6)).iter().map(|value| -value).collect())
        .collect();
    vec![hypervolume(&points, &vec![-reference; names.len()]) / ideal]
}

fn two_objectives(seed: u64) -> Figure {
    share(seed, &["a", "b"], 11.0, 120.0 + 2.0 / 3.0, |x| zdt1(x).to_vec())
}

fn dtlz2_two(seed: u64) -> Figure {
    share(seed, &["a", "b"], 1.1, dtlz2_ideal(2), |x| dtlz2(x, 2))
}

fn dtlz2_three(seed: u64) -> Figure {
    share(seed, &["a", "b", "c"], 1.1, dtlz2_ideal(3), |x| dtlz2(x, 3))
}

/// 40 % of the square fails: what lies above a slanted line. One of three minima survives.
fn failures(seed: u64) -> Figure {
    let fails = |design: &Design| {
        let x = numbers(design, 2);
        x[0] + 0.4 * x[1] > 0.8
    };
    let study = replay(loss(seed, 2, 6), until(40), |pick| {
        if fails(&pick.design) {
            Outcome::Infeasible { reason: "no film".to_owned() }
        } else {
            valid(&[("loss", scaled_branin(&pick.design))])
        }
    });
    let late = study.record().told[10..].iter().filter(|told| fails(&told.design)).count();
    vec![lowest(&study, scaled_branin) - 0.397_887, late as f64]
}

/// Best value at the last fidelity when the money is spent, with a cheap one at hand and without.
fn with_and_without(
    seed: u64,
    space: &Space,
    budget: f64,
    cheap_cost: f64,
    start: usize,
    value: &dyn Fn(&Design, bool) -> f64,
) -> (f64, f64) {
    let run = |cheap: bool| {
        let mut problem = definition(space.clone(), vec![wanted("loss", Aim::Minimize, None)], seed, start);
        if cheap {
            problem.fidelities = vec![
                Fidelity { name: "twin".to_owned(), cost: cheap_cost },
                Fidelity { name: "lab".to_owned(), cost: 1.0 },
            ];
        }
        let is_cheap = |fidelity: &Option<String>| fidelity.as_deref() == Some("twin");
        let spent = |study: &Study| -> f64 {
            study.record().told.iter().map(|told| if is_cheap(&told.fidelity) { cheap_cost } else { 1.0 }).sum()
        };
        let study = replay(
            problem,
            |study| spent(study) + 1.0 <= budget + 1e-9,
            |pick: &Pick| valid(&[("loss", value(&pick.design, is_cheap(&pick.fidelity)))]),
        );
        let dear = study.record().told.iter().filter(|told| !is_cheap(&told.fidelity));
        dear.map(|told| value(&told.design, false)).fold(f64::INFINITY, f64::min)
    };
    (run(true), run(false))
}

fn fidelity_branin(seed: u64) -> Figure {
    let value = |design: &Design, cheap: bool| {
        let x = numbers(design, 2);
        let x = [15.0 * x[0] - 5.0, 15.0 * x[1]];
        if cheap { branin_cheap(&x) } else { branin(&x) }
    };
    let (with, without) = with_and_without(seed, &cube(2), 20.0, 0.1, 6, &value);
    vec![with - 0.397_887, without - 0.397_887]
}

fn fidelity_hartmann(seed: u64) -> Figure {
    let value = |design: &Design, cheap: bool| {
        let x = numbers(design, 6);
        if cheap { hartmann6_cheap(&x) } else { hartmann6(&x) }
    };
    let (with, without) = with_and_without(seed, &cube(6), 40.0, 0.1, 14, &value);
    vec![with + 3.322_37, without + 3.322_37]
}

fn fidelity_borehole(seed: u64) -> Figure {
    let limits = [
        (0.05, 0.15),
        (100.0, 50_000.0),
        (63_070.0, 115_600.0),
        (990.0, 1110.0),
        (63.1, 116.0),
        (700.0, 820.0),
        (1120.0, 1680.0),
        (9855.0, 12_045.0),
    ];
    let parameters =
        limits.iter().enumerate().map(|(at, (min, max))| Parameter::continuous(&format!("x{at}"), *min, *max));
    let space = Space { parameters: parameters.collect(), constraints: Vec::new() };
    let value = |design: &Design, cheap: bool| -borehole(&numbers(design, 8), cheap);
    let (with, without) = with_and_without(seed, &space, 25.0, 0.1, 14, &value);
    // The largest flow lies in a corner of the box.
    let best = borehole(&[0.15, 100.0, 115_600.0, 1110.0, 116.0, 700.0, 1120.0, 12_045.0], false);
    vec![-with / best, -without / best]
}

fn nehvi_time(seed: u64) -> Figure {
    let objectives = vec![wanted("a", Aim::Minimize, Some(1.1)), wanted("b", Aim::Minimize, Some(1.1))];
    let mut study = Study::new(definition(cube(6), objectives, seed, 14)).expect("the benchmark is sound");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    for (at, design) in study.domain().sample(50, &mut rng).into_iter().enumerate() {
        let values = dtlz2(&numbers(&design, 6), 2);
        let outcome = valid(&[("a", values[0]), ("b", values[1])]);
        study.tell(Told { id: format!("r{at}"), design, outcome, fidelity: None }).expect("the result is sound");
    }
    let began = Instant::now();
    study.suggest(1).expect("the question is sound");
    vec![1e3 * began.elapsed().as_secs_f64()]
}

/// Six components of ten levels with three descriptors each, 100 results.
fn million(seed: u64) -> Figure {
    let component = |component: usize| {
        let level = |at: usize| {
            let x = at as f64 / 9.0;
            let descriptors = vec![x, (3.0 * x + component as f64).sin(), ((at * 7 + component) % 10) as f64];
            Level { name: format!("{at}"), descriptors }
        };
        Parameter {
            name: format!("c{component}"),
            kind: Kind::Categorical { levels: (0..10).map(level).collect() },
            active_if: None,
        }
    };
    let space = Space { parameters: (0..6).map(component).collect(), constraints: Vec::new() };
    let domain = Domain::new(space.clone()).expect("the benchmark is sound");
    let pool = ProductPool::new(&domain).expect("the space is discrete");
    assert_eq!(pool.len(), 1_000_000);
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let value = |design: &Design| {
        let level =
            |at: usize| design.level(&format!("c{at}")).and_then(|one| one.parse::<f64>().ok()).unwrap_or(0.0) / 9.0;
        -(0..6).map(|at| (level(at) - 0.15 * at as f64).powi(2)).sum::<f64>()
    };
    let problem = definition(space, vec![wanted("yield", Aim::Maximize, None)], seed, 10);
    let mut study = Study::new(problem.clone()).expect("the benchmark is sound");
    for at in 0..100 {
        let design = pool.design(rng.random_range(0..pool.len())).expect("every number stands for a design");
        let outcome = valid(&[("yield", value(&design) + 0.05 * normal(&mut rng))]);
        let told = Told { id: format!("r{at}"), design, outcome, fidelity: None };
        study.tell(told).expect("the result is sound");
    }
    let began = Instant::now();
    let answer = study.suggest(1).expect("the question is sound");
    let seconds = began.elapsed().as_secs_f64();
    // Brute force: the same question over a slice that holds the winner, every design of it through the full acquisition.
    let winner = &answer.picks[0].design;
    let mut slice: Vec<Design> = (0..200).filter_map(|_| pool.design(rng.random_range(0..pool.len()))).collect();
    slice.push(winner.clone());
    let best = slice
        .iter()
        .map(|design| (study.explain(design).expect("the design is sound").log_improvement, design))
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    vec![seconds, f64::from(u8::from(best.is_some_and(|(_, design)| design == winner)))]
}

//! The rows: what is run for one seed, in earnest and by the yardstick, and what is reported of it.

use std::collections::BTreeMap;
use std::time::Instant;

use ppu_optimizer::Study;
use ppu_optimizer::multi::hypervolume;
use ppu_optimizer::normal::quantile;
use ppu_optimizer::space::{Constraint, Design, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Fidelity, Outcome, Reading, Told, Wanted};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::problems::{ackley, borehole, branin, branin_cheap, dtlz2, dtlz2_ideal, hartmann6, hartmann6_cheap, zdt1};
use super::replay::{Chooser, cube, definition, numbers, replay, until, valid, wanted};

/// A row of the table.
pub(crate) struct Row {
    /// Name of the part.
    pub(crate) part: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: &'static str,
    pub(crate) yardstick: &'static str,
    /// Whether less is better.
    pub(crate) less: bool,
    /// The figure of one seed; with [`Chooser::Yardstick`] that of the yardstick.
    pub(crate) run: fn(u64, Chooser) -> f64,
    /// The largest (least, where more is better) share of the yardstick's median that holds the target.
    pub(crate) share: f64,
}

const fn row(part: &'static str, measure: &'static str, less: bool, run: fn(u64, Chooser) -> f64) -> Row {
    let (unit, target, yardstick) = ("1", "better than random search", "random search, same problem and budget");
    Row { part, measure, unit, target, yardstick, less, run, share: 1.0 }
}

const fn cheap(part: &'static str, measure: &'static str, less: bool, run: fn(u64, Chooser) -> f64) -> Row {
    let (unit, target, yardstick) = ("1", "no worse than the laboratory alone", "the laboratory alone, same budget");
    Row { part, measure, unit, target, yardstick, less, run, share: 1.0 }
}

/// All rows.
pub(crate) const ROWS: [Row; 16] = [
    row(
        "heteroscedastic",
        "regret of the recommendation after 12 + 30, noise that grows, known variances",
        true,
        heteroscedastic,
    ),
    row("mixed", "regret after 12 + 40, Ackley of 2 numbers, an integer, 3 levels", true, mixed),
    row("simplex", "regret after 12 + 30, mixture of 5 with at most 3", true, simplex),
    row("zdt1", "share of the hypervolume after 14 + 36, d = 6", false, two_objectives),
    row("dtlz2-2", "share of the hypervolume after 14 + 36, DTLZ2 of 2 objectives, d = 6", false, dtlz2_two),
    row("dtlz2-3", "share of the hypervolume after 14 + 36, DTLZ2 of 3 objectives, d = 6", false, dtlz2_three),
    row("study-hartmann", "regret after 14 + 50, Hartmann6 asked through a study", true, plain_hartmann),
    row("failing", "regret after 6 + 34, Branin with 40 % of the square infeasible", true, failing_regret),
    Row {
        target: "half as many as chance",
        share: 0.5,
        ..row("failing", "failures among results 11 to 40", true, failures)
    },
    cheap("fidelity-branin", "regret at cost 20, the cheap fidelity at 0.1", true, fidelity_branin),
    cheap("fidelity-hartmann", "regret at cost 40, the cheap fidelity at 0.1", true, fidelity_hartmann),
    cheap(
        "fidelity-misleading",
        "regret at cost 20, a cheap fidelity at 0.1 that knows nothing",
        true,
        fidelity_misleading,
    ),
    cheap(
        "fidelity-borehole",
        "share of the largest flow at cost 25, the cheap fidelity at 0.1",
        false,
        fidelity_borehole,
    ),
    cheap(
        "fidelity-noisy",
        "regret of the recommendation at cost 40, Hartmann6, sd 0.1 in the laboratory, the cheap fidelity at 0.1",
        true,
        fidelity_noisy,
    ),
    cheap(
        "fidelity-front",
        "share of the hypervolume at cost 30, ZDT1, the cheap fidelity at 0.1",
        false,
        fidelity_front,
    ),
    Row {
        unit: "ms",
        target: "at most 100 ms",
        yardstick: "100 ms",
        ..row("nehvi", "an ask with fits, two objectives, d = 6, n = 50", true, nehvi_time)
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

fn loss(seed: u64, dimensions: usize, start: usize) -> Definition {
    definition(cube(dimensions), vec![wanted("loss", Aim::Minimize, None)], seed, start)
}

fn plain_hartmann(seed: u64, chooser: Chooser) -> f64 {
    let value = |design: &Design| hartmann6(&numbers(design, 6));
    let study = replay(loss(seed, 6, 14), until(64), chooser, |pick| valid(&[("loss", value(&pick.design))]));
    lowest(&study, value) + 3.322_37
}

/// Noise that grows towards one side, three replicates with their variance told: the shape of nanoparticle screens.
fn heteroscedastic(seed: u64, chooser: Chooser) -> f64 {
    let value = |x: &[f64]| 1.0 - (x[0] - 0.7).powi(2) - 0.6 * (x[1] - 0.4).powi(2) - 0.3 * (x[2] - 0.5).abs();
    let sd = |x: &[f64]| 0.02 + 0.3 * x[0] * x[0];
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let objectives = vec![wanted("score", Aim::Maximize, None)];
    let study = replay(definition(cube(3), objectives, seed, 12), until(42), chooser, |pick| {
        let x = numbers(&pick.design, 3);
        let values = (0..3).map(|_| value(&x) + sd(&x) * normal(&mut rng)).collect();
        let reading = Reading { values, variance: sd(&x).powi(2) };
        Outcome::Valid(BTreeMap::from([("score".to_owned(), reading)]))
    });
    1.0 - recommended(&study, |design| value(&numbers(design, 3)))
}

/// Ackley's function of two numbers, an integer and three switches, shifted so that the minimum is not in the middle.
fn mixed(seed: u64, chooser: Chooser) -> f64 {
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
    let study = replay(problem, until(52), chooser, |pick| valid(&[("loss", value(&pick.design))]));
    lowest(&study, value)
}

fn simplex(seed: u64, chooser: Chooser) -> f64 {
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
    let study = replay(problem, until(42), chooser, |pick| valid(&[("loss", value(&pick.design))]));
    lowest(&study, value)
}

const PI_HALF: f64 = std::f64::consts::FRAC_PI_2;

fn share(
    (seed, chooser): (u64, Chooser),
    names: &[&'static str],
    reference: f64,
    ideal: f64,
    value: impl Fn(&[f64]) -> Vec<f64>,
) -> f64 {
    let objectives = names.iter().map(|name| wanted(name, Aim::Minimize, Some(reference))).collect();
    let study = replay(definition(cube(6), objectives, seed, 14), until(50), chooser, |pick| {
        let values = value(&numbers(&pick.design, 6));
        valid(&names.iter().copied().zip(values).collect::<Vec<_>>())
    });
    let points: Vec<Vec<f64>> = study
        .record()
        .told
        .iter()
        .map(|told| value(&numbers(&told.design, 6)).iter().map(|value| -value).collect())
        .collect();
    hypervolume(&points, &vec![-reference; names.len()]) / ideal
}

/// Hypervolume of the whole front of ZDT1 up to (11, 11).
const ZDT1_IDEAL: f64 = 120.0 + 2.0 / 3.0;

fn two_objectives(seed: u64, chooser: Chooser) -> f64 {
    share((seed, chooser), &["a", "b"], 11.0, ZDT1_IDEAL, |x| zdt1(x).to_vec())
}

fn dtlz2_two(seed: u64, chooser: Chooser) -> f64 {
    share((seed, chooser), &["a", "b"], 1.1, dtlz2_ideal(2), |x| dtlz2(x, 2))
}

fn dtlz2_three(seed: u64, chooser: Chooser) -> f64 {
    share((seed, chooser), &["a", "b", "c"], 1.1, dtlz2_ideal(3), |x| dtlz2(x, 3))
}

/// 40 % of the square fails: what lies above a slanted line. One of three minima survives.
fn fails(design: &Design) -> bool {
    let x = numbers(design, 2);
    x[0] + 0.4 * x[1] > 0.8
}

fn failing(seed: u64, chooser: Chooser) -> Study {
    replay(loss(seed, 2, 6), until(40), chooser, |pick| {
        if fails(&pick.design) {
            Outcome::Infeasible { reason: "no film".to_owned() }
        } else {
            valid(&[("loss", scaled_branin(&pick.design))])
        }
    })
}

fn failing_regret(seed: u64, chooser: Chooser) -> f64 {
    lowest(&failing(seed, chooser), scaled_branin) - 0.397_887
}

fn failures(seed: u64, chooser: Chooser) -> f64 {
    failing(seed, chooser).record().told[10..].iter().filter(|told| fails(&told.design)).count() as f64
}

/// Cost of the cheap fidelity; the laboratory costs 1.
const CHEAP: f64 = 0.1;

/// Spends a budget on measurements of the given objectives; the yardstick has no cheap fidelity.
fn spend(
    (seed, chooser): (u64, Chooser),
    (space, objectives): (Space, Vec<Wanted>),
    (budget, start): (f64, usize),
    mut measure: impl FnMut(&Design, bool) -> Outcome,
) -> Study {
    let mut problem = definition(space, objectives, seed, start);
    if chooser == Chooser::Study {
        problem.fidelities =
            vec![Fidelity { name: "twin".to_owned(), cost: CHEAP }, Fidelity { name: "lab".to_owned(), cost: 1.0 }];
    }
    let spent = |study: &Study| -> f64 {
        study.record().told.iter().map(|told| if is_cheap(&told.fidelity) { CHEAP } else { 1.0 }).sum()
    };
    let more = |study: &Study| spent(study) + 1.0 <= budget + 1e-9;
    replay(problem, more, Chooser::Study, |pick| measure(&pick.design, is_cheap(&pick.fidelity)))
}

fn is_cheap(fidelity: &Option<String>) -> bool {
    fidelity.as_deref() == Some("twin")
}

fn dear(study: &Study) -> impl Iterator<Item = &Design> {
    study.record().told.iter().filter(|told| !is_cheap(&told.fidelity)).map(|told| &told.design)
}

/// Lowest value at the last fidelity when the money is spent.
fn spent_on(asked: (u64, Chooser), space: Space, terms: (f64, usize), value: &dyn Fn(&Design, bool) -> f64) -> f64 {
    let objectives = vec![wanted("loss", Aim::Minimize, None)];
    let study =
        spend(asked, (space, objectives), terms, |design, is_cheap| valid(&[("loss", value(design, is_cheap))]));
    dear(&study).map(|design| value(design, false)).fold(f64::INFINITY, f64::min)
}

/// A model without noise beside a laboratory with it.
fn fidelity_noisy(seed: u64, chooser: Chooser) -> f64 {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let objectives = vec![wanted("loss", Aim::Minimize, None)];
    let study = spend((seed, chooser), (cube(6), objectives), (40.0, 14), |design, is_cheap| {
        let x = numbers(design, 6);
        let value = if is_cheap { hartmann6_cheap(&x) } else { hartmann6(&x) + 0.1 * normal(&mut rng) };
        valid(&[("loss", value)])
    });
    recommended(&study, |design| hartmann6(&numbers(design, 6))) + 3.322_37
}

/// The cheap fidelity sees the second objective of a neighbour.
fn fidelity_front(seed: u64, chooser: Chooser) -> f64 {
    let objectives = vec![wanted("a", Aim::Minimize, Some(11.0)), wanted("b", Aim::Minimize, Some(11.0))];
    let study = spend((seed, chooser), (cube(6), objectives), (30.0, 14), |design, is_cheap| {
        let x = numbers(design, 6);
        let there: Vec<f64> = x.iter().map(|x| if is_cheap { 0.9 * x + 0.05 } else { *x }).collect();
        valid(&[("a", zdt1(&x)[0]), ("b", zdt1(&there)[1])])
    });
    let points: Vec<Vec<f64>> = dear(&study).map(|x| zdt1(&numbers(x, 6)).map(|value| -value).to_vec()).collect();
    hypervolume(&points, &[-11.0; 2]) / ZDT1_IDEAL
}

fn fidelity_branin(seed: u64, chooser: Chooser) -> f64 {
    let value = |design: &Design, cheap: bool| {
        let x = numbers(design, 2);
        let x = [15.0 * x[0] - 5.0, 15.0 * x[1]];
        if cheap { branin_cheap(&x) } else { branin(&x) }
    };
    spent_on((seed, chooser), cube(2), (20.0, 6), &value) - 0.397_887
}

/// The cheap fidelity is the function seen in a mirror: it moves as the real one does, but elsewhere.
fn fidelity_misleading(seed: u64, chooser: Chooser) -> f64 {
    let value = |design: &Design, cheap: bool| {
        let x = numbers(design, 2);
        if cheap {
            branin_cheap(&[10.0 - 15.0 * x[0], 15.0 - 15.0 * x[1]])
        } else {
            branin(&[15.0 * x[0] - 5.0, 15.0 * x[1]])
        }
    };
    spent_on((seed, chooser), cube(2), (20.0, 6), &value) - 0.397_887
}

fn fidelity_hartmann(seed: u64, chooser: Chooser) -> f64 {
    let value = |design: &Design, cheap: bool| {
        let x = numbers(design, 6);
        if cheap { hartmann6_cheap(&x) } else { hartmann6(&x) }
    };
    spent_on((seed, chooser), cube(6), (40.0, 14), &value) + 3.322_37
}

fn fidelity_borehole(seed: u64, chooser: Chooser) -> f64 {
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
    // The largest flow lies in a corner of the box.
    let best = borehole(&[0.15, 100.0, 115_600.0, 1110.0, 116.0, 700.0, 1120.0, 12_045.0], false);
    -spent_on((seed, chooser), space, (25.0, 14), &value) / best
}

fn nehvi_time(seed: u64, chooser: Chooser) -> f64 {
    if chooser == Chooser::Yardstick {
        return 100.0;
    }
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
    1e3 * began.elapsed().as_secs_f64()
}

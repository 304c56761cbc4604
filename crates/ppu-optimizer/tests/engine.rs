//! The engine as others call it: the same answer to the same question, batches, refusals, odd data.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use ppu_optimizer::engine::{
    Cheaper, Cube, Direction, Engine, EngineError, Experiment, Mode, Question, sensitivities, stopping,
};
use ppu_optimizer::sequence::Recurrence;
use ppu_optimizer::space::pool::TablePool;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

fn rows(count: usize, dimensions: usize) -> Vec<Vec<f64>> {
    let sequence = Recurrence::new(dimensions, &mut ChaCha12Rng::seed_from_u64(4));
    (0..count).map(|at| sequence.point(at)).collect()
}

fn hill(x: &[f64]) -> f64 {
    -(x[0] - 0.3).powi(2) - 2.0 * (x[1] - 0.7).powi(2) + 0.01 * x.get(2).copied().unwrap_or(0.0)
}

fn experiments(points: &[Vec<f64>], value: impl Fn(&[f64]) -> f64) -> Vec<Experiment> {
    let one =
        |(at, x): (usize, &Vec<f64>)| Experiment { id: format!("E{at}"), x: x.clone(), value: value(x), variance: 0.0 };
    points.iter().enumerate().map(one).collect()
}

fn question(experiments: &[Experiment]) -> Question<'_> {
    Question {
        experiments,
        pending: &[],
        batch: 1,
        step: 7,
        direction: Direction::Maximize,
        log_cost: None,
        cheaper: &[],
    }
}

#[test]
fn the_same_question_has_the_same_answer_bit_for_bit() {
    let done = experiments(&rows(12, 3), hill);
    let pending = vec![vec![0.4, 0.6, 0.1]];
    let asked = Question { batch: 3, pending: &pending, ..question(&done) };
    let pool = TablePool::from_rows(rows(200, 3).concat(), 3).unwrap();
    let taken: Vec<usize> = (0..12).collect();
    let first = Engine::new(3).from_pool(&asked, &pool, &taken).unwrap();
    assert_eq!(format!("{first:?}"), format!("{:?}", Engine::new(3).from_pool(&asked, &pool, &taken).unwrap()));
    let first = Engine::new(3).from_region(&asked, &Cube { dimensions: 3 }).unwrap();
    assert_eq!(
        format!("{first:?}"),
        format!("{:?}", Engine::new(3).from_region(&asked, &Cube { dimensions: 3 }).unwrap())
    );
    assert_ne!(first.picks[0].x, Engine::new(4).from_region(&asked, &Cube { dimensions: 3 }).unwrap().picks[0].x);
}

#[test]
fn nothing_is_proposed_twice_and_a_pool_is_used_up() {
    let points = rows(30, 2);
    let pool = TablePool::from_rows(points.concat(), 2).unwrap();
    let done = experiments(&points[..5], hill);
    let asked = Question { batch: 40, ..question(&done) };
    let answer = Engine::new(1).from_pool(&asked, &pool, &[0, 1, 2, 3, 4, 9]).unwrap();
    let mut numbers: Vec<usize> = answer.picks.iter().filter_map(|pick| pick.number).collect();
    assert_eq!(numbers.len(), 24);
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() == 24 && numbers.iter().all(|number| *number > 4 && *number != 9));
    let all: Vec<usize> = (0..30).collect();
    assert_eq!(Engine::new(1).from_pool(&asked, &pool, &all).unwrap_err(), EngineError::NoCandidate);
    let empty = Engine::new(1).from_pool(&question(&[]), &pool, &[]).unwrap();
    assert_eq!((empty.mode, empty.picks.len()), (Mode::SpaceFilling, 1));
}

#[test]
fn it_finds_the_top_of_a_hill_and_says_why() {
    let mut done = experiments(&rows(6, 2), hill);
    let engine = Engine::new(2);
    for step in 0..12 {
        let answer = engine.from_region(&Question { step, ..question(&done) }, &Cube { dimensions: 2 }).unwrap();
        let x = answer.picks[0].x.clone();
        done.push(Experiment { id: format!("P{step}"), value: hill(&x), x, variance: 0.0 });
    }
    let best = done.iter().map(|one| one.value).fold(f64::NEG_INFINITY, f64::max);
    assert!(best > -1e-4, "{best}");
    let answer = engine.from_region(&question(&done), &Cube { dimensions: 2 }).unwrap();
    let pick = &answer.picks[0];
    assert!(pick.sd.unwrap() > 0.0 && pick.nearest.len() == 3 && pick.reason.contains("away from"), "{pick:?}");
    let committee = engine.committee(&question(&done)).unwrap().unwrap();
    let candidates = rows(200, 2).concat();
    let rules = stopping(&committee, &candidates, &|_| 0.1_f64.ln(), (0.01, 0.9), (2, 0)).unwrap();
    assert!(rules.gain_below_cost && rules.probability_within > 0.9, "{rules:?}");
    let matter = sensitivities(&committee, (2, 0));
    assert!(matter.iter().all(|one| one.total > 0.1 && one.first <= one.total + 0.05), "{matter:?}");
}

#[test]
fn nonsense_is_named() {
    let engine = Engine::new(0);
    let cube = Cube { dimensions: 2 };
    let good = experiments(&rows(6, 2), hill);
    let refused = |change: &dyn Fn(&mut Vec<Experiment>)| {
        let mut bad = good.clone();
        change(&mut bad);
        engine.from_region(&question(&bad), &cube).unwrap_err().to_string()
    };
    assert!(refused(&|bad| bad[2].value = f64::NAN).contains("`E2`"));
    assert!(refused(&|bad| bad[3].x[1] = f64::INFINITY).contains("`E3`"));
    assert!(refused(&|bad| bad[4].x.push(0.1)).contains("`E4`"));
    assert!(refused(&|bad| bad[1].variance = -1.0).contains("`E1`"));
    assert!(refused(&|bad| bad[5].x[0] = 1e9).contains("`E5`"));
    assert!(refused(&|bad| bad[1].id = "E0".into()).contains("`E0`"));
    assert_eq!(engine.from_region(&Question { batch: 0, ..question(&good) }, &cube), Err(EngineError::EmptyBatch));
    let pending = vec![vec![0.5]];
    let error = engine.from_region(&Question { pending: &pending, ..question(&good) }, &cube).unwrap_err();
    assert!(matches!(error, EngineError::Pending { at: 0, .. }), "{error}");
}

#[test]
fn odd_data_never_panic() {
    let mut rng = ChaCha12Rng::seed_from_u64(9);
    let cube = Cube { dimensions: 3 };
    for case in 0..24_usize {
        let count = [0, 1, 2, 3, 9, 25][case % 6];
        let done: Vec<Experiment> = (0..count)
            .map(|at| {
                let u: f64 = rng.random();
                let (x, value) = match case / 6 {
                    0 => (vec![u, u, 1.0 - u], u),                     // on a line
                    1 => (vec![rng.random(), rng.random(), 0.5], 3.0), // all equal
                    2 => (vec![0.25, 0.5, 0.75], 1e12 * u),            // one point, huge values
                    _ => (vec![u.round(), (3.0 * u).round() / 3.0, 5.0 * u - 2.0], 1e-14 * u + 7.0),
                };
                Experiment { id: at.to_string(), x, value, variance: if at % 2 == 0 { 0.0 } else { 1e-3 } }
            })
            .collect();
        let asked = Question { batch: 2, ..question(&done) };
        let answer = Engine::new(case as u64).from_region(&asked, &cube).unwrap();
        assert_eq!(answer.picks.len(), 2, "{case}");
        assert!(answer.picks.iter().all(|pick| pick.x.iter().all(|x| (0.0..=1.0).contains(x))), "{case}");
    }
}

#[test]
fn many_experiments_are_answered() {
    let done = experiments(&rows(600, 2), |x| hill(x) + 0.02 * (40.0 * x[0]).sin());
    let pool = TablePool::from_rows(rows(700, 2).concat(), 2).unwrap();
    let taken: Vec<usize> = (0..600).collect();
    assert_eq!(Engine::new(0).from_pool(&question(&done), &pool, &taken).unwrap().picks.len(), 1);
}

#[test]
fn a_dear_experiment_must_promise_more() {
    let done = experiments(&rows(10, 2), hill);
    let pool = TablePool::from_rows(rows(300, 2).concat(), 2).unwrap();
    let taken: Vec<usize> = (0..10).collect();
    let cost = |x: &[f64]| if x[0] < 0.5 { 20.0 } else { 0.0 };
    let asked = Question { log_cost: Some(&cost), ..question(&done) };
    let answer = Engine::new(1).from_pool(&asked, &pool, &taken).unwrap();
    assert!(answer.picks[0].x[0] >= 0.5, "{:?}", answer.picks[0].x);
}

#[test]
fn cheaper_results_alone_are_a_start_and_a_cost_without_sense_is_named() {
    let cheap = experiments(&rows(12, 2), hill);
    let ask = |cost: f64| {
        let cheaper = [Cheaper { experiments: &cheap, cost }];
        Engine::new(1).from_region(&Question { cheaper: &cheaper, ..question(&[]) }, &Cube { dimensions: 2 })
    };
    assert_eq!(ask(0.1).unwrap().picks.len(), 1);
    for cost in [0.0, -1.0, f64::NAN] {
        assert!(ask(cost).unwrap_err().to_string().contains("cheaper fidelity 0 costs"));
    }
}

#[test]
fn a_cheaper_fidelity_is_asked_where_it_teaches_more_for_its_cost() {
    let mut cheap = experiments(&rows(30, 2), |x| 0.8 * hill(x) + 0.3 * x[1]);
    cheap.iter_mut().for_each(|one| one.id = format!("cheap {}", one.id));
    let done = experiments(&rows(6, 2), hill);
    let candidates = rows(200, 2);
    let pool = TablePool::from_rows(candidates.concat(), 2).unwrap();
    let taken: Vec<usize> = (0..6).collect();
    let ask = |cost: f64| {
        let cheaper = [Cheaper { experiments: &cheap, cost }];
        let asked = Question { cheaper: &cheaper, ..question(&done) };
        let answer = Engine::new(1).from_pool(&asked, &pool, &taken).unwrap();
        assert!(answer.members.iter().any(|one| one.name == "chain of fidelities" && one.weight > 0.0));
        let pick = &answer.picks[0];
        assert!(cheap.iter().all(|one| one.x != pick.x), "the fidelity was asked here already");
        pick.cheaper
    };
    // As dear as the real thing it is never worth it.
    assert_eq!((ask(1.0), ask(1e-3)), (None, Some(0)));
}

//! Studies from the first question to a good answer, and the refusals on the way.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use std::collections::BTreeMap;

use ppu_optimizer::Study;
use ppu_optimizer::multi::hypervolume;
use ppu_optimizer::space::{Constraint, Design, Parameter, Setting, Space};
use ppu_optimizer::study::{
    Aim, Comparison, Definition, Fidelity, Known, Outcome, Pending, Reading, Record, StudyError, Told, Wanted,
};

fn wanted(name: &str, aim: Aim) -> Wanted {
    Wanted { name: name.into(), aim, reference: None, known: None }
}

fn definition(parameters: Vec<Parameter>, objectives: Vec<Wanted>) -> Definition {
    let space = Space { parameters, constraints: vec![] };
    Definition { space, objectives, fidelities: vec![], pool: vec![], seed: 7, start: None }
}

fn told(id: &str, design: &Design, readings: &[(&str, f64)]) -> Told {
    let readings = readings.iter().map(|(name, value)| ((*name).to_owned(), Reading::from(*value)));
    Told { id: id.into(), design: design.clone(), outcome: Outcome::Valid(readings.collect()), fidelity: None }
}

fn square() -> Vec<Parameter> {
    vec![Parameter::continuous("x", -5.0, 10.0), Parameter::continuous("y", 0.0, 15.0)]
}

fn branin(design: &Design) -> f64 {
    use std::f64::consts::PI;
    let (x, y) = (design.number("x").unwrap(), design.number("y").unwrap());
    let a = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    a * a + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
}

/// Asks and tells until `budget` results; the results are those of `measure`.
fn run(study: &mut Study, budget: usize, batch: usize, mut measure: impl FnMut(&Design) -> Vec<(&'static str, f64)>) {
    while study.record().told.len() < budget {
        for pick in study.ask(batch).unwrap().picks {
            study.tell(told(&pick.id, &pick.design, &measure(&pick.design))).unwrap();
        }
    }
}

#[test]
fn it_finds_the_minimum_of_branin() {
    let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
    run(&mut study, 28, 1, |design| vec![("loss", branin(design))]);
    let best = study.best().unwrap();
    let regret = branin(&best[0].design) - 0.397_887;
    assert!(best.len() == 1 && regret < 0.01, "{regret}");
    let forecast = &study.predict(std::slice::from_ref(&best[0].design)).unwrap()[0];
    assert!((forecast.predicted["loss"].mean - branin(&best[0].design)).abs() < 1.0);
    let why = study.explain(&best[0].design).unwrap();
    assert!(why.nearest[0].distance == 0.0 && why.differs_from_best.is_empty() && !why.reason.is_empty());
}

#[test]
fn the_same_record_gives_the_same_answer_to_the_bit() {
    let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
    run(&mut study, 8, 2, |design| vec![("loss", branin(design))]);
    let first = study.ask(2).unwrap();
    let text = serde_json::to_string(study.record()).unwrap();
    let mut again = Study::resume(serde_json::from_str::<Record>(&text).unwrap()).unwrap();
    assert_eq!(again.record(), study.record());
    let (one, other) = (study.ask(3).unwrap(), again.ask(3).unwrap());
    assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
    // What is pending is not proposed again, within a batch or after it.
    let designs: Vec<&Design> = first.picks.iter().chain(&one.picks).map(|pick| &pick.design).collect();
    assert!(designs.iter().enumerate().all(|(at, design)| !designs[..at].contains(design)));
    assert_eq!(study.record().pending.len(), 5);
}

#[test]
fn batches_beat_the_same_number_of_single_blind_picks() {
    let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
    run(&mut study, 38, 4, |design| vec![("loss", branin(design))]);
    let regret = branin(&study.best().unwrap()[0].design) - 0.397_887;
    assert!(regret < 0.05, "{regret}");
}

#[test]
fn bad_results_are_refused_by_name() {
    let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
    let here = Design::of([("x", 1.0), ("y", 2.0)]);
    study.tell(told("a", &here, &[("loss", 1.0)])).unwrap();
    assert_eq!(study.tell(told("a", &here, &[("loss", 2.0)])), Err(StudyError::Duplicate("a".into())));
    let text = |study: &mut Study, told: Told| {
        let error = study.tell(told).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    assert!(text(&mut study, told("b", &here, &[("loss", f64::NAN)])).contains("`b`: `loss` is NaN"));
    assert!(text(&mut study, told("c", &here, &[("gain", 1.0)])).contains("`gain` is not an observable"));
    assert!(text(&mut study, told("d", &here, &[])).contains("`loss` has no value"));
    let outside = Design::of([("x", 99.0), ("y", 2.0)]);
    assert!(text(&mut study, told("e", &outside, &[("loss", 1.0)])).contains("`x` is 99, outside -5 to 10"));
    assert!(text(&mut study, told("h", &here, &[("loss", 1e200)])).contains("`h`: `loss`"));
    let mut strange = told("f", &here, &[]);
    let reading = Reading { values: vec![1.0], variance: -1.0 };
    strange.outcome = Outcome::Valid(BTreeMap::from([("loss".to_owned(), reading)]));
    assert!(text(&mut study, strange).contains("variance"));
    assert!(study.forget("nobody").is_err() && study.forget("a").is_ok());
    assert!(study.ask(0).is_err() && study.predict(&[here]).is_err());
}

#[test]
fn definitions_without_sense_are_refused_by_name() {
    let refuse = |definition| Study::new(definition).unwrap_err().to_string();
    assert!(refuse(definition(square(), vec![])).contains("nothing is wanted"));
    assert!(refuse(definition(square(), vec![wanted("a", Aim::AtLeast(1.0))])).contains("nothing is wanted"));
    let twice = vec![wanted("a", Aim::Maximize), wanted("a", Aim::Minimize)];
    assert!(refuse(definition(square(), twice)).contains("`a`"));
    let target = wanted("gap", Aim::Target { value: 1.68, tolerance: -1.0 });
    assert!(refuse(definition(square(), vec![target])).contains("`gap`"));
    let five = (0..5).map(|at| wanted(&format!("o{at}"), Aim::Maximize)).collect();
    assert!(refuse(definition(square(), five)).contains("not supported"));
    let mut free = definition(square(), vec![wanted("a", Aim::Maximize)]);
    free.fidelities = vec![Fidelity { name: "twin".into(), cost: 0.0 }];
    assert!(refuse(free).contains("`twin`"));
}

#[test]
fn degenerate_data_get_sane_answers() {
    for case in 0..4 {
        let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
        for at in 0..12 {
            let t = f64::from(at) / 11.0;
            let (x, y, loss) = match case {
                // Identical outputs; collinear inputs; one point many times; huge numbers.
                0 => (15.0 * t - 5.0, 15.0 * (t * 7.3).fract(), 3.0),
                1 => (15.0 * t - 5.0, 15.0 * t, t),
                2 => (1.0, 1.0, t),
                _ => (15.0 * t - 5.0, 15.0 * (t * 7.3).fract(), 1e140 * t),
            };
            study.tell(told(&format!("r{at}"), &Design::of([("x", x), ("y", y)]), &[("loss", loss)])).unwrap();
        }
        let answer = study.ask(2).unwrap();
        assert_eq!(answer.picks.len(), 2, "case {case}");
        assert!(answer.picks.iter().all(|pick| study.domain().check(&pick.design).is_ok()), "case {case}");
    }
}

#[test]
fn failures_teach_and_machine_faults_do_not() {
    let objectives = || vec![wanted("loss", Aim::Minimize)];
    let fails = |design: &Design| design.number("x").unwrap() > 2.5;
    let mut study = Study::new(definition(square(), objectives())).unwrap();
    let mut failures = 0;
    while study.record().told.len() < 34 {
        for pick in study.ask(1).unwrap().picks {
            let mut result = told(&pick.id, &pick.design, &[("loss", branin(&pick.design))]);
            if fails(&pick.design) {
                failures += 1;
                result.outcome = Outcome::Infeasible { reason: "no film".into() };
            }
            study.tell(result).unwrap();
        }
    }
    // Half of the space fails, and so do two of the three minima: chance would fail 17 times.
    assert!(failures <= 11, "{failures}");
    let best = &study.best().unwrap()[0];
    assert!(!fails(&best.design) && branin(&best.design) < 0.6, "{}", branin(&best.design));
    let probe = |x: f64| Design::of([("x", x), ("y", 7.0)]);
    let forecasts = study.predict(&[probe(-4.0), probe(9.0)]).unwrap();
    assert!(forecasts[0].probability_feasible > 0.8 && forecasts[1].probability_feasible < 0.4);

    // The same results, with and without a broken machine in between: the same answer.
    let mut clean = Study::new(definition(square(), objectives())).unwrap();
    run(&mut clean, 10, 1, |design| vec![("loss", branin(design))]);
    let mut broken = Study::resume(clean.record().clone()).unwrap();
    let mut fault = told("broken", &probe(3.0), &[]);
    fault.outcome = Outcome::Fault { reason: "gripper lost the vial".into() };
    broken.tell(fault).unwrap();
    assert_eq!(broken.suggest(2).unwrap(), clean.suggest(2).unwrap());
}

#[test]
fn a_target_with_a_condition_is_met() {
    let parameters = vec![Parameter::continuous("br", 0.0, 1.0), Parameter::continuous("t", 80.0, 200.0)];
    let objectives =
        vec![wanted("gap", Aim::Target { value: 1.68, tolerance: 0.005 }), wanted("phase", Aim::AtLeast(0.8))];
    let mut study = Study::new(definition(parameters, objectives)).unwrap();
    let gap = |d: &Design| 1.55 + 0.5 * d.number("br").unwrap() + 0.0005 * (d.number("t").unwrap() - 140.0);
    let phase = |d: &Design| (-((d.number("t").unwrap() - 125.0) / 30.0).powi(2)).exp();
    run(&mut study, 20, 1, |design| vec![("gap", gap(design)), ("phase", phase(design))]);
    let best = &study.best().unwrap()[0];
    assert!((gap(&best.design) - 1.68).abs() < 0.01 && phase(&best.design) > 0.78, "{}", best.design);
}

#[test]
fn two_objectives_one_of_them_known_fill_the_front() {
    let mut cost = wanted("cost", Aim::Minimize);
    cost.known = Some(Known { offset: 0.0, factors: BTreeMap::from([("x".into(), 1.0)]), levels: BTreeMap::new() });
    cost.reference = Some(1.0);
    let mut quality = wanted("quality", Aim::Maximize);
    quality.reference = Some(0.0);
    let parameters = vec![Parameter::continuous("x", 0.0, 1.0), Parameter::continuous("y", 0.0, 1.0)];
    let mut study = Study::new(definition(parameters, vec![quality, cost])).unwrap();
    let quality = |d: &Design| d.number("x").unwrap().sqrt() - (d.number("y").unwrap() - 0.3).powi(2);
    run(&mut study, 22, 1, |design| vec![("quality", quality(design))]);
    let points: Vec<Vec<f64>> =
        study.record().told.iter().map(|t| vec![quality(&t.design), -t.design.number("x").unwrap()]).collect();
    // The true front is y = 0.3: area under √x above (0, 1) is ∫ (1 − q²) dq = 2/3.
    let volume = hypervolume(&points, &[0.0, -1.0]);
    assert!(volume > 0.94 * 2.0 / 3.0, "{volume}");
    assert!(study.best().unwrap().len() >= 5);
}

#[test]
fn three_objectives_and_a_batch() {
    let parameters = (0..3).map(|at| Parameter::continuous(&format!("x{at}"), 0.0, 1.0)).collect();
    let mut objectives: Vec<Wanted> = ["a", "b", "c"].iter().map(|name| wanted(name, Aim::Minimize)).collect();
    objectives.iter_mut().for_each(|one| one.reference = Some(1.5));
    let mut study = Study::new(definition(parameters, objectives)).unwrap();
    // DTLZ2 with one distance variable.
    let dtlz2 = |d: &Design| {
        let x = |at: usize| d.number(&format!("x{at}")).unwrap();
        let (g, h) = ((x(2) - 0.5).powi(2), std::f64::consts::FRAC_PI_2);
        let r = 1.0 + g;
        vec![
            ("a", r * (h * x(0)).cos() * (h * x(1)).cos()),
            ("b", r * (h * x(0)).cos() * (h * x(1)).sin()),
            ("c", r * (h * x(0)).sin()),
        ]
    };
    run(&mut study, 24, 2, dtlz2);
    let points: Vec<Vec<f64>> =
        study.record().told.iter().map(|t| dtlz2(&t.design).into_iter().map(|(_, v)| -v).collect()).collect();
    let volume = hypervolume(&points, &[-1.5; 3]);
    // The whole cube is 3.375, an eighth of a ball of radius 1 is out of reach.
    let ideal = 1.5_f64.powi(3) - std::f64::consts::PI / 6.0;
    let mut rng = <rand_chacha::ChaCha12Rng as rand::SeedableRng>::seed_from_u64(1);
    let random: Vec<Vec<f64>> = study
        .domain()
        .sample(24, &mut rng)
        .iter()
        .map(|design| dtlz2(design).into_iter().map(|(_, v)| -v).collect())
        .collect();
    let chance = hypervolume(&random, &[-1.5; 3]);
    assert!(volume > 0.83 * ideal && volume > chance + 0.05 * ideal, "{volume} of {ideal}, {chance} by chance");
}

#[test]
fn comparisons_lead_to_what_people_like() {
    let objectives = vec![wanted("liking", Aim::Preferred)];
    let mut study = Study::new(definition(square(), objectives)).unwrap();
    let taste = |d: &Design| -(d.number("x").unwrap() - 6.0).powi(2) - (d.number("y").unwrap() - 4.0).powi(2);
    while study.record().told.len() < 22 {
        for pick in study.ask(1).unwrap().picks {
            study.tell(told(&pick.id, &pick.design, &[])).unwrap();
            // Compared with the last two.
            let results = study.record().told.clone();
            let (new, others) = results.split_last().unwrap();
            for other in others.iter().rev().take(2) {
                let pair = if taste(&new.design) > taste(&other.design) { (new, other) } else { (other, new) };
                study.prefer(Comparison { better: pair.0.id.clone(), worse: pair.1.id.clone() }).unwrap();
            }
        }
    }
    let best = &study.best().unwrap()[0];
    assert!(taste(&best.design) > -9.0, "{}", best.design);
    assert!(study.prefer(Comparison { better: "x".into(), worse: "y".into() }).is_err());
}

#[test]
fn a_cheap_fidelity_saves_money() {
    let mut with = definition(square(), vec![wanted("loss", Aim::Minimize)]);
    with.fidelities = vec![Fidelity { name: "twin".into(), cost: 0.05 }, Fidelity { name: "lab".into(), cost: 1.0 }];
    let mut study = Study::new(with).unwrap();
    let (mut spent, mut cheap, mut dear) = (0.0, 0, 0);
    while spent < 14.0 {
        for pick in study.ask(1).unwrap().picks {
            let value = branin(&pick.design);
            let is_cheap = pick.fidelity.as_deref() == Some("twin");
            // The twin is off by a smooth bias.
            let value = if is_cheap { 0.8 * value + 2.0 * pick.design.number("x").unwrap() } else { value };
            spent += if is_cheap { 0.05 } else { 1.0 };
            (cheap, dear) = if is_cheap { (cheap + 1, dear) } else { (cheap, dear + 1) };
            let mut result = told(&pick.id, &pick.design, &[("loss", value)]);
            result.fidelity = pick.fidelity.clone();
            study.tell(result).unwrap();
        }
    }
    let regret = branin(&study.best().unwrap()[0].design) - 0.397_887;
    assert!(cheap >= 10 && dear >= 4, "{cheap} {dear}");
    assert!(regret < 0.5, "{regret} after {cheap} cheap and {dear} dear results");
}

#[test]
fn pools_and_products_are_searched_without_repeats() {
    let parameters = vec![
        Parameter::categorical("base", &["a", "b", "c"]),
        Parameter::stepped("t", 0.0, 1.0, 0.05),
        Parameter::integer("n", 0, 12),
    ];
    let value = |d: &Design| {
        let base = match d.level("base") {
            Some("b") => 1.0,
            Some("c") => 0.4,
            _ => 0.0,
        };
        base - (d.number("t").unwrap() - 0.65).powi(2) * 4.0 - (d.number("n").unwrap() - 8.0).powi(2) / 30.0
    };
    let mut product = definition(parameters, vec![wanted("yield", Aim::Maximize)]);
    let mut study = Study::new(product.clone()).unwrap();
    run(&mut study, 26, 2, |design| vec![("yield", value(design))]);
    let best = study.record().told.iter().map(|t| value(&t.design)).fold(f64::MIN, f64::max);
    assert!(best > 0.98, "{best}");
    // A short list is used up and then there is nothing left.
    product.pool = study.record().told.iter().map(|t| t.design.clone()).take(9).collect();
    let mut study = Study::new(product).unwrap();
    let answer = study.ask(20).unwrap();
    assert!(answer.picks.len() == 9 && answer.remarks.iter().any(|remark| remark.contains("only 9 of 20")));
}

#[test]
fn a_mixture_is_optimised_on_its_plane() {
    let parts = ["a", "b", "c", "d"];
    let mut mixture = definition(
        parts.iter().map(|name| Parameter::stepped(name, 0.0, 1.0, 0.01)).collect(),
        vec![wanted("strength", Aim::Maximize)],
    );
    let names = || parts.iter().map(|name| (*name).to_owned()).collect();
    mixture.space.constraints = vec![
        Constraint::Mixture { name: "whole".into(), parts: names(), total: 1.0 },
        Constraint::Count { name: "few".into(), parts: names(), at_least: 1, at_most: 3, least: 0.05 },
    ];
    let mut study = Study::new(mixture).unwrap();
    let strength = |d: &Design| {
        let x = |name: &str| d.number(name).unwrap();
        1.0 - (x("a") - 0.5).powi(2) - (x("b") - 0.3).powi(2) - (x("c") - 0.2).powi(2) - x("d").powi(2)
    };
    run(&mut study, 26, 1, |design| vec![("strength", strength(design))]);
    assert!(study.record().told.iter().all(|t| study.domain().check(&t.design).is_ok()));
    let best = &study.best().unwrap()[0];
    assert!(strength(&best.design) > 0.997, "{} {}", strength(&best.design), best.design);
}

#[test]
fn own_points_and_results_in_any_order_are_welcome() {
    let mut study = Study::new(definition(square(), vec![wanted("loss", Aim::Minimize)])).unwrap();
    let mine = Design::of([("x", 3.0), ("y", 2.0)]);
    study.expect(Pending { id: "mine".into(), design: mine.clone(), fidelity: None }).unwrap();
    let answer = study.ask(3).unwrap();
    for pick in answer.picks.iter().rev() {
        study.tell(told(&pick.id, &pick.design, &[("loss", branin(&pick.design))])).unwrap();
    }
    assert_eq!(study.record().pending.len(), 1);
    study.tell(told("mine", &mine, &[("loss", branin(&mine))])).unwrap();
    assert!(study.record().pending.is_empty());
    let replicates = Reading { values: vec![1.0, 1.2, 0.9], variance: 0.01 };
    let outcome = Outcome::Valid(BTreeMap::from([("loss".to_owned(), replicates)]));
    study.tell(Told { id: "three".into(), design: mine, outcome, fidelity: None }).unwrap();
    let levels = Setting::from("wrong");
    let bad = Design([("x".to_owned(), levels), ("y".to_owned(), Setting::Number(1.0))].into());
    assert!(study.explain(&bad).is_err());
}

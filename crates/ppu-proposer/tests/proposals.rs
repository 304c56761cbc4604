//! Proposals over a film's design space, and the annealing against exact sums.

use std::collections::BTreeMap;

use ppu_core::campaign::Generator;
use ppu_core::design::Mixture;
use ppu_core::objective::score;
use ppu_core::{Candidate, DesignSpace, Goal, Measured, Objective, Observation, Parameter, Unit};
use ppu_optimizer::normal::quantile;
use ppu_optimizer::{Ask, Optimizer, PriorMean, Trial, TrialOutcome};
use ppu_proposer::smc::{Energy, Landscape, Schedule, anneal, start};
use ppu_proposer::{
    AnnealSettings, AnnealedProposer, Condition, Guidance, Guided, Offer, PriorProposer, ProposeError, Proposer,
    Refusal, TwinPrior, Utility, rng, screen,
};
use ppu_twin::{Corrections, Evaluation, Fidelity, FidelityDescription, FilmTwin, Tracking, Twin, TwinRefusal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

fn parameter(name: &str, unit: Unit, min: f64, max: f64, resolution: f64) -> Parameter {
    Parameter { name: name.into(), unit, min, max, resolution, log: false }
}

fn space() -> DesignSpace {
    let mut time = parameter("anneal_min", Unit::Minute, 1.0, 60.0, 0.1);
    time.log = true;
    DesignSpace {
        parameters: vec![
            parameter("cs", Unit::One, 0.0, 0.4, 0.005),
            parameter("ma", Unit::One, 0.0, 0.2, 0.005),
            parameter("fa", Unit::One, 0.4, 1.0, 0.005),
            parameter("br", Unit::One, 0.0, 0.5, 0.005),
            parameter("anneal_temperature_c", Unit::Celsius, 80.0, 200.0, 1.0),
            time,
        ],
        mixtures: vec![Mixture { parts: vec!["cs".into(), "ma".into(), "fa".into()] }],
    }
}

fn objectives() -> Vec<Objective> {
    let objective = |name: &str, unit, goal| Objective { name: name.into(), unit, goal, weight: 1.0 };
    vec![
        objective("band_gap", Unit::Electronvolt, Goal::Target { value: 1.68, tolerance: 0.005, limit: 0.10 }),
        objective("alpha_fraction", Unit::One, Goal::Maximize { low: 0.5, high: 0.97 }),
        objective("pl_intensity", Unit::One, Goal::Maximize { low: 2.0, high: 4.5 }),
    ]
}

fn offer(settings: AnnealSettings, tracking: &BTreeMap<String, Tracking>, seed: u64) -> Offer {
    let (space, objectives) = (space(), objectives());
    let condition = Condition { space: &space, objectives: &objectives, seed, round: 0 };
    let twin = FilmTwin::default();
    let corrections = Corrections::none();
    let proposer =
        AnnealedProposer { twin: &twin, fidelity: Fidelity::Process, corrections: &corrections, tracking, settings };
    proposer.sample(300, &condition, &mut rng(seed, 0)).expect("the space has points")
}

/// The record of a twin that deserves trust.
fn trusted() -> BTreeMap<String, Tracking> {
    let described = FilmTwin::default().describe(Fidelity::Process);
    described.observables.into_iter().map(|known| (known.name, Tracking::of(0.97, &[], 1.0))).collect()
}

fn mean_score(offer: &Offer) -> f64 {
    let (twin, corrections) = (FilmTwin::default(), Corrections::none());
    let utility = Utility::new(&twin, Fidelity::Process, &corrections, &objectives()).expect("it knows the objectives");
    let scores: Vec<f64> =
        offer.offered.iter().map(|one| utility.score(&one.candidate).expect("in domain").1).collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

#[test]
fn every_offered_candidate_belongs_to_the_space() {
    let (space, objectives) = (space(), objectives());
    let condition = Condition { space: &space, objectives: &objectives, seed: 1, round: 0 };
    let prior = PriorProposer.sample(500, &condition, &mut rng(1, 0)).unwrap();
    let annealed = offer(AnnealSettings::default(), &BTreeMap::new(), 1);
    assert_eq!(annealed.refusal, None);
    for one in prior.offered.iter().chain(&annealed.offered) {
        space.check(&one.candidate).unwrap();
        let sum: f64 = ["cs", "ma", "fa"].iter().map(|part| one.candidate.get(part).unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let steps = one.candidate.get("cs").unwrap() / 0.005;
        assert!((steps - steps.round()).abs() < 1e-6);
    }
    assert_eq!((prior.offered.len(), annealed.offered.len()), (500, 300));
}

#[test]
fn a_mixture_of_many_parts_is_uniform_on_its_simplex() {
    let names = ["a", "b", "c", "d", "e"];
    let space = DesignSpace {
        parameters: names.iter().map(|name| parameter(name, Unit::One, 0.0, 1.0, 0.0)).collect(),
        mixtures: vec![Mixture { parts: names.iter().map(|name| (*name).to_owned()).collect() }],
    };
    let condition = Condition { space: &space, objectives: &[], seed: 0, round: 0 };
    let offer = PriorProposer.sample(2000, &condition, &mut rng(0, 0)).unwrap();
    for name in names {
        let values: Vec<f64> = offer.offered.iter().map(|one| one.candidate.get(name).unwrap()).collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        // A part of a flat Dirichlet distribution of 5: mean 1/5, second moment 2/(5·6).
        let square = values.iter().map(|value| value * value).sum::<f64>() / 2000.0;
        assert!((mean - 0.2).abs() < 0.015 && (square - 1.0 / 15.0).abs() < 0.008, "{name} {mean} {square}");
    }
}

#[test]
fn the_same_generator_gives_the_same_offer() {
    let one = offer(AnnealSettings::default(), &trusted(), 7);
    assert_eq!(one, offer(AnnealSettings::default(), &trusted(), 7));
    assert_ne!(one.offered, offer(AnnealSettings::default(), &trusted(), 8).offered);
}

#[test]
fn a_better_twin_may_narrow_the_prior_further() {
    let (space, objectives) = (space(), objectives());
    let condition = Condition { space: &space, objectives: &objectives, seed: 2, round: 0 };
    let prior = PriorProposer.sample(300, &condition, &mut rng(2, 0)).unwrap();
    let declared = offer(AnnealSettings::default(), &BTreeMap::new(), 2);
    let trusted = offer(AnnealSettings::default(), &trusted(), 2);
    let (low, middle, high) = (mean_score(&prior), mean_score(&declared), mean_score(&trusted));
    let (a, b) = (declared.diagnostics.clone().unwrap(), trusted.diagnostics.clone().unwrap());
    println!("expected score: prior {low:.3}, declared twin {middle:.3}, trusted twin {high:.3}");
    println!("declared {a:?}\ntrusted {b:?}");
    assert!(low < middle && middle < high, "{low} {middle} {high}");
    assert!(a.information < b.information && a.information <= a.budget + 0.2);
    assert_eq!((declared.refusal, trusted.refusal), (None, None));
    assert!(trusted.offered.iter().any(|one| one.provenance.proposer == "prior"), "the defensive share is missing");
    let tilted = trusted.offered.iter().find(|one| one.provenance.proposer == "annealed").unwrap();
    assert!(tilted.provenance.twin.is_some() && tilted.provenance.temperature.is_some());
}

/// A landscape of 11 × 11 cells whose ln Z is an exact sum. The outer cells have half the width, as rounding gives them.
struct Cells;

impl Cells {
    fn value(i: usize, j: usize) -> f64 {
        let (x, y) = (i as f64 / 10.0, j as f64 / 10.0);
        3.0 * (x - 0.7).powi(2) + 2.0 * (3.0 * x * y).sin() + 4.0 * (y - 0.2).abs()
    }

    fn width(i: usize) -> f64 {
        if i == 0 || i == 10 { 0.05 } else { 0.1 }
    }

    /// ln Z and KL(π ‖ q).
    fn exact(beta: f64) -> (f64, f64) {
        let cells = (0..121).map(|cell| (cell / 11, cell % 11));
        let terms: Vec<(f64, f64)> = cells
            .map(|(i, j)| (Self::width(i) * Self::width(j) * (-beta * Self::value(i, j)).exp(), Self::value(i, j)))
            .collect();
        let z: f64 = terms.iter().map(|(weight, _)| weight).sum();
        let energy: f64 = terms.iter().map(|(weight, value)| weight * value).sum::<f64>() / z;
        (z.ln(), -beta * energy - z.ln())
    }
}

impl Landscape for Cells {
    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Vec<f64>> {
        Some(vec![rng.random::<f64>(), rng.random::<f64>()])
    }

    fn energy(&self, point: &[f64]) -> Energy {
        if point.iter().any(|u| !(0.0..=1.0).contains(u)) {
            return Energy::Outside;
        }
        let cell = |u: f64| (10.0 * u).round() as usize;
        Energy::Value(Cells::value(cell(point[0]), cell(point[1])))
    }
}

#[test]
fn the_annealing_reproduces_exact_sums() {
    for beta in [1.0, 4.0] {
        let schedule =
            Schedule { particles: 400, moves: 5, conditional_ess: 0.95, max_beta: beta, budget: f64::INFINITY };
        let runs: Vec<_> = (0..20)
            .map(|seed| {
                let mut rng = ChaCha12Rng::seed_from_u64(seed);
                anneal(&Cells, start(&Cells, 400, &mut rng).unwrap(), &schedule, &mut rng)
            })
            .collect();
        // Ẑ is unbiased, ln Ẑ is not: compare the log of the mean.
        let z: Vec<f64> = runs.iter().map(|run| run.ln_z.exp()).collect();
        let mean = z.iter().sum::<f64>() / 20.0;
        let error = (z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 19.0 / 20.0).sqrt() / mean;
        let (ln_z, information) = Cells::exact(beta);
        println!("beta {beta}: ln Z {:.4} ± {error:.4}, exact {ln_z:.4}", mean.ln());
        assert!((mean.ln() - ln_z).abs() < 3.0 * error + 0.005, "{} {ln_z} {error}", mean.ln());
        let spent = runs.iter().map(|run| run.information).sum::<f64>() / 20.0;
        assert!((spent / information - 1.0).abs() < 0.05, "{spent} {information}");
        assert!(runs.iter().all(|run| run.least_ess >= 0.94 && run.acceptance > 0.05));
    }
}

#[test]
fn the_budget_stops_the_annealing() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let schedule = Schedule { particles: 400, moves: 5, conditional_ess: 0.95, max_beta: 50.0, budget: 1.0 };
    let run = anneal(&Cells, start(&Cells, 400, &mut rng).unwrap(), &schedule, &mut rng);
    assert!((0.9..=1.1).contains(&run.information), "{}", run.information);
    let (_, exact) = Cells::exact(run.beta);
    assert!((exact - 1.0).abs() < 0.2, "{exact}");
}

#[test]
fn a_run_that_cannot_be_trusted_falls_back_to_the_prior() {
    // Two particles that hardly move: populations cannot agree.
    let settings =
        AnnealSettings { particles: 8, moves: 1, conditional_ess: 0.3, tolerance: 50.0, ..AnnealSettings::default() };
    let refused = (0..10).map(|seed| offer(settings, &trusted(), seed)).filter(|offer| offer.refusal.is_some());
    let refused: Vec<Offer> = refused.collect();
    assert!(refused.len() >= 5, "only {} of 10 hopeless runs were refused", refused.len());
    for offer in refused {
        assert!(offer.offered.iter().all(|one| one.provenance.proposer == "prior"));
        assert_eq!(offer.offered.len(), 300);
        assert!(offer.diagnostics.is_some());
    }
}

#[test]
fn a_twin_that_does_not_cover_the_space_is_reported() {
    let (mut wide, objectives) = (space(), objectives());
    wide.parameters[4].max = 600.0;
    let condition = Condition { space: &wide, objectives: &objectives, seed: 0, round: 0 };
    let (twin, corrections) = (FilmTwin::default(), Corrections::none());
    let settings = AnnealSettings::default();
    let tracking = BTreeMap::new();
    let proposer = AnnealedProposer {
        twin: &twin,
        fidelity: Fidelity::Process,
        corrections: &corrections,
        tracking: &tracking,
        settings,
    };
    let offer = proposer.sample(50, &condition, &mut rng(0, 0)).unwrap();
    assert!(
        matches!(&offer.refusal, Some(Refusal::TwinRefuses { share, mostly, .. }) if *share > 0.4 && mostly.contains("anneal_temperature_c")),
        "{:?}",
        offer.refusal
    );
    let screened = screen(&offer.offered, &twin, Fidelity::Process, &corrections, &objectives, 10);
    let counted: usize = screened.refused.values().sum();
    assert_eq!(counted + screened.dropped + screened.pool.len(), 50);
    assert!(counted > 10 && screened.pool.len() == 10);

    let mut unknown = objectives.clone();
    unknown.truncate(1);
    unknown[0].name = "conductivity".into();
    let condition = Condition { objectives: &unknown, ..condition };
    let offer = proposer.sample(5, &condition, &mut rng(0, 0)).unwrap();
    assert_eq!(offer.refusal, Some(Refusal::NothingPredicted));
    assert!(screen(&offer.offered, &twin, Fidelity::Process, &corrections, &unknown, 10).pool[0].twin_score.is_none());
}

#[test]
fn an_impossible_space_is_an_error() {
    let mut impossible = space();
    impossible.parameters[2].max = 0.41;
    impossible.parameters[0].max = 0.1;
    let condition = Condition { space: &impossible, objectives: &[], seed: 0, round: 0 };
    assert_eq!(PriorProposer.sample(3, &condition, &mut rng(0, 0)).unwrap_err(), ProposeError::NoCandidate);
    let empty = DesignSpace { parameters: vec![], mixtures: vec![] };
    let condition = Condition { space: &empty, ..condition };
    assert_eq!(PriorProposer.sample(3, &condition, &mut rng(0, 0)).unwrap_err(), ProposeError::EmptySpace);
}

#[test]
fn proposer_twin_and_optimizer_work_together() {
    let (space, objectives) = (space(), objectives());
    let (twin, corrections) = (FilmTwin::default(), Corrections::none());
    let offer = offer(AnnealSettings::default(), &BTreeMap::new(), 4);
    let screened = screen(&offer.offered, &twin, Fidelity::Process, &corrections, &objectives, 100);
    assert!(screened.pool.windows(2).all(|pair| pair[0].twin_score >= pair[1].twin_score));
    let prior = TwinPrior { twin: &twin, fidelity: Fidelity::Process, objectives: &objectives };
    let candidate = screened.pool[0].candidate.clone();
    let gap = prior.prior_mean(&candidate).unwrap()[0];
    assert!((gap - 1.68).abs() < 0.1, "{gap}");
    assert_eq!(prior.prior_mean(&Candidate(BTreeMap::new())), None);
    let optimizer = Optimizer::new(space, objectives.clone(), 4).unwrap();
    let ask = Ask { trials: &[], pending: &[], pool: &screened.pool, batch: 4, step: 0, prior: Some(&prior) };
    assert_eq!(optimizer.suggest(&ask).unwrap().picks.len(), 4);
}

/// A laboratory that the twin does not know: other bowing, a shifted anneal window, another brightness.
fn laboratory(candidate: &Candidate) -> Vec<f64> {
    let get = |name: &str| candidate.get(name).expect("the candidate is complete");
    let (cs, ma, br) = (get("cs"), get("ma"), get("br"));
    let (temperature, minutes) = (get("anneal_temperature_c"), get("anneal_min"));
    let gap = 1.52 + 0.20 * cs + 0.07 * ma + 0.48 * br + 0.26 * br * br;
    let formed = 1.0 - (-(minutes / 3.0) * ((temperature - 110.0) / 15.0).exp()).exp();
    let lost = 1.0 - (-0.004 * (1.0 + 10.0 * ma) * minutes * ((temperature - 150.0) / 20.0).exp()).exp();
    let stable = 1.0 / (1.0 + ((0.08 - cs - 0.3 * br) / 0.02).exp());
    let alpha = 0.985 * formed * (1.0 - lost) * (0.4 + 0.6 * stable);
    vec![gap, alpha, 3.0 + 2.0 * alpha - ma + 0.1 * minutes.ln()]
}

fn trial(at: usize, candidate: Candidate, rng: &mut ChaCha12Rng) -> Trial {
    let named = demanding().into_iter().zip(laboratory(&candidate)).zip([0.004, 0.015, 0.08]);
    let values = named.map(|((objective, value), sd)| {
        let value = value + sd * quantile(rng.random::<f64>().clamp(1e-9, 1.0 - 1e-9));
        (objective.name, Measured { value, sd, flags: vec![] })
    });
    let observation = Observation { values: values.collect(), ..Observation::default() };
    Trial { id: format!("T-{at}"), candidate, expected: Vec::new(), outcome: TrialOutcome::Valid(observation) }
}

/// Goals that a random film seldom meets.
fn demanding() -> Vec<Objective> {
    let mut wanted = objectives();
    wanted[0].goal = Goal::Target { value: 1.68, tolerance: 0.005, limit: 0.05 };
    wanted[1].goal = Goal::Maximize { low: 0.8, high: 0.985 };
    wanted[2].goal = Goal::Maximize { low: 4.3, high: 5.4 };
    wanted
}

/// One closed loop, with twin and proposer or without.
fn closed_loop(seed: u64, informed: bool) -> Vec<Trial> {
    let (space, objectives) = (space(), demanding());
    let twin = FilmTwin::default();
    let told = informed.then_some((&twin as &dyn Twin, Fidelity::Process));
    let guided = Guided {
        space: &space,
        objectives: &objectives,
        seed,
        generator: Generator::Annealed,
        twin: told,
        opinions: &[],
    };
    let mut noise = ChaCha12Rng::seed_from_u64(seed ^ 0xfeed);
    let mut trials: Vec<Trial> = Vec::new();
    for round in 0..4 {
        for pick in guided.suggest(&trials, &[], round, 3).expect("the question is sound").proposal.picks {
            let next = trial(trials.len(), pick.candidate, &mut noise);
            trials.push(next);
        }
    }
    trials
}

fn random_loop(seed: u64) -> Vec<Trial> {
    let (space, objectives) = (space(), demanding());
    let condition = Condition { space: &space, objectives: &objectives, seed, round: 0 };
    let offer = PriorProposer.sample(12, &condition, &mut rng(seed, 0)).expect("the space has points");
    let mut noise = ChaCha12Rng::seed_from_u64(seed);
    offer.offered.into_iter().enumerate().map(|(at, one)| trial(at, one.candidate, &mut noise)).collect()
}

#[test]
fn with_a_wrong_but_honest_twin_the_loop_beats_chance_and_does_no_harm() {
    let best = |trials: Vec<Trial>| {
        trials.iter().map(|trial| score(&demanding(), &laboratory(&trial.candidate))).fold(0.0, f64::max)
    };
    let median = |one: &(dyn Fn(u64) -> Vec<Trial> + Sync)| {
        let mut found: Vec<f64> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..10).map(|seed| scope.spawn(move || best(one(seed)))).collect();
            workers.into_iter().map(|worker| worker.join().expect("no seed panics")).collect()
        });
        found.sort_by(f64::total_cmp);
        0.5 * (found[4] + found[5])
    };
    let informed = median(&|seed| closed_loop(seed, true));
    let alone = median(&|seed| closed_loop(seed, false));
    let random = median(&random_loop);
    println!(
        "median best true score after 12, 10 seeds: with twin {informed:.3}, without {alone:.3}, random {random:.3}"
    );
    assert!(informed > alone - 0.02 && informed > random + 0.08, "{informed} {alone} {random}");
}

/// A twin that takes a low share of bromide for a high one.
struct Liar(FilmTwin);

impl Twin for Liar {
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let mut told = candidate.clone();
        told.0.entry("br".into()).and_modify(|br| *br = 0.5 - *br);
        self.0.evaluate(&told, fidelity)
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        self.0.describe(fidelity)
    }
}

#[test]
fn what_the_laboratory_refutes_of_a_twin_is_left_out() {
    let (space, objectives, trials) = (space(), demanding(), random_loop(1));
    let ask = |twin: &dyn Twin| {
        let twin = Some((twin, Fidelity::Process));
        let guided = Guided {
            space: &space,
            objectives: &objectives,
            seed: 1,
            generator: Generator::Annealed,
            twin,
            opinions: &[],
        };
        guided.suggest(&trials, &[], 4, 3).expect("the question is sound")
    };
    let misled = ask(&Liar(FilmTwin::default()));
    assert!(misled.dropped.contains("band_gap"), "{:?}", misled.tracking);
    assert!(misled.remarks().iter().any(|said| said.contains("the twin's band_gap is left out")), "{misled:?}");
    assert_eq!(misled.proposal.picks.len(), 3);
    let honest = ask(&FilmTwin::default());
    assert!(!honest.dropped.contains("band_gap"), "{:?}", honest.tracking);
}

/// Rounds of a campaign whose candidates a flow offers.
fn rounds_with_a_flow(count: u32, twin: &dyn Twin, trials: &mut Vec<Trial>) -> Vec<Guidance> {
    let (space, objectives) = (space(), demanding());
    let twin = Some((twin, Fidelity::Process));
    let guided =
        Guided { space: &space, objectives: &objectives, seed: 5, generator: Generator::Flow, twin, opinions: &[] };
    let mut noise = ChaCha12Rng::seed_from_u64(5);
    let mut rounds = Vec::new();
    for round in 0..count {
        let guidance = guided.suggest(trials, &[], round, 3).expect("the question is sound");
        for pick in &guidance.proposal.picks {
            trials.push(trial(trials.len(), pick.candidate.clone(), &mut noise));
        }
        rounds.push(guidance);
    }
    rounds
}

#[test]
fn a_flow_learns_from_twin_and_campaign_and_the_same_facts_give_the_same_bits() {
    let twin = FilmTwin::default();
    let rounds = rounds_with_a_flow(2, &twin, &mut Vec::new());
    assert_eq!(rounds[0], rounds_with_a_flow(1, &twin, &mut Vec::new())[0]);
    for (at, guidance) in rounds.iter().enumerate() {
        let flow = guidance.flow.as_ref().expect("the flow is the generator");
        println!("{:?}", guidance.remarks());
        assert!(flow.observations == 3 * at && flow.samples > 500, "{flow:?}");
        assert!(flow.tilt.beta > 0.0 && flow.tilt.information <= flow.tilt.budget, "{flow:?}");
        assert!(flow.tilt.ess >= 0.1 * 1000.0, "{flow:?}");
        let offered = &guidance.offer.as_ref().expect("there is a twin").offered;
        assert!(offered.len() > 350 && (offered.iter().map(|one| one.weight).sum::<f64>() - 1.0).abs() < 1e-9);
        let learnt: Vec<_> = offered.iter().filter(|one| one.provenance.proposer == "flow").collect();
        assert!(learnt.len() > 200, "{}", learnt.len());
        let taught = format!("from a flow taught by {} observations and {} samples", 3 * at, flow.samples);
        assert!(learnt.iter().all(|one| one.reason.contains(&taught) && one.provenance.round == at as u64));
        let hash = flow.weights.expect("the lessons are enough").to_string();
        assert!(guidance.remarks().iter().any(|said| said.contains(&format!("flow {} taught by", &hash[..8]))));
    }
    let hash = |at: usize| rounds[at].flow.as_ref().and_then(|flow| flow.weights);
    assert_ne!(hash(0), hash(1));
    let origin = |guidance: &Guidance| {
        let picks = guidance.proposal.picks.iter().filter_map(|pick| guidance.origin(&pick.candidate));
        picks.filter(|one| one.provenance.proposer == "flow").count()
    };
    assert!(rounds.iter().map(origin).sum::<usize>() > 0);
}

/// A twin that knows none of the objectives.
struct Mute(FilmTwin);

impl Twin for Mute {
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let mut evaluation = self.0.evaluate(candidate, fidelity)?;
        evaluation.predictions.clear();
        Ok(evaluation)
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        let mut described = self.0.describe(fidelity);
        described.observables.clear();
        described
    }
}

#[test]
fn without_a_twin_to_trust_the_flow_learns_from_the_prior_and_says_so() {
    let mut trials = random_loop(2);
    let rounds = rounds_with_a_flow(1, &Mute(FilmTwin::default()), &mut trials);
    let flow = rounds[0].flow.as_ref().expect("the flow is the generator");
    assert!(flow.observations == 12 && flow.tilt.beta == 0.0 && flow.weights.is_some(), "{flow:?}");
    let remarks = rounds[0].remarks();
    assert!(remarks.iter().any(|said| said.contains("drawn from the prior: the twin predicts none")), "{remarks:?}");
}

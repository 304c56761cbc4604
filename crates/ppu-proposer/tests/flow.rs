//! Model S over design spaces.

use ppu_core::design::Mixture;
use ppu_core::{Candidate, DesignSpace, Parameter, Unit};
use ppu_proposer::anneal::{StudySettings, study};
use ppu_proposer::flow::{FlowProposer, FlowSettings, FlowSpace};
use ppu_proposer::smc::Energy;
use ppu_proposer::{Condition, LogDensity, PriorProposer, Proposer, rng};

fn parameter(name: &str, resolution: f64) -> Parameter {
    Parameter { name: name.into(), unit: Unit::One, min: 0.0, max: 1.0, resolution, log: false }
}

fn plain() -> DesignSpace {
    DesignSpace { parameters: vec![parameter("x", 0.0), parameter("y", 0.0)], mixtures: vec![] }
}

fn mixed() -> DesignSpace {
    let parts = ["a", "b", "c"];
    DesignSpace {
        parameters: parts.iter().map(|name| parameter(name, 0.01)).collect(),
        mixtures: vec![Mixture { parts: parts.map(String::from).to_vec() }],
    }
}

/// Good near (0.7, 0.3).
fn merit(candidate: &Candidate) -> f64 {
    let get = |at: usize| candidate.0.values().nth(at).copied().unwrap_or(0.0);
    (-40.0 * ((get(0) - 0.7).powi(2) + (get(1) - 0.3).powi(2))).exp()
}

fn taught(space: &DesignSpace, count: usize) -> Vec<(Candidate, f64)> {
    let condition = Condition { space, objectives: &[], seed: 1, round: 0 };
    let offer = PriorProposer.sample(count, &condition, &mut rng(1, 0)).expect("the space has points");
    offer
        .offered
        .into_iter()
        .map(|one| {
            let weight = merit(&one.candidate) + 1e-6;
            (one.candidate, weight)
        })
        .collect()
}

fn small() -> FlowSettings {
    FlowSettings { width: 16, steps: 300, batch: 32, rate: 1e-2 }
}

#[test]
fn a_taught_flow_proposes_better_candidates_with_a_normalised_density() {
    let space = plain();
    let proposer = FlowProposer::learn(&space, &taught(&space, 300), &small(), 3).unwrap();
    let condition = Condition { space: &space, objectives: &[], seed: 1, round: 2 };
    let offer = proposer.sample(200, &condition, &mut rng(1, 2)).unwrap();
    assert_eq!(offer, proposer.sample(200, &condition, &mut rng(1, 2)).unwrap());
    let mean = |offer: &ppu_proposer::Offer| offer.offered.iter().map(|one| merit(&one.candidate)).sum::<f64>() / 200.0;
    let prior = PriorProposer.sample(200, &condition, &mut rng(1, 2)).unwrap();
    println!("mean merit: flow {:.3}, prior {:.3}", mean(&offer), mean(&prior));
    assert!(mean(&offer) > 3.0 * mean(&prior));
    assert!(offer.offered.iter().any(|one| one.provenance.proposer == "prior"), "the defence is missing");
    let cells = 80;
    let middle = |k: i32| (f64::from(k) + 0.5) / f64::from(cells);
    let mut mass = 0.0;
    for i in 0..cells {
        for j in 0..cells {
            match proposer.log_q(&space, &[middle(i), middle(j)]) {
                LogDensity::Exact(log_q) => mass += log_q.exp() / f64::from(cells * cells),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!((mass - 1.0).abs() < 0.02, "{mass}");
}

#[test]
fn mixtures_are_kept_and_the_density_is_known_only_without_a_flow() {
    let space = mixed();
    let proposer = FlowProposer::learn(&space, &taught(&space, 120), &small(), 3).unwrap();
    let condition = Condition { space: &space, objectives: &[], seed: 1, round: 0 };
    let offer = proposer.sample(60, &condition, &mut rng(4, 0)).unwrap();
    for one in &offer.offered {
        space.check(&one.candidate).unwrap();
        assert_eq!(one.log_q, LogDensity::Unknown);
    }
    let young = FlowProposer::learn(&space, &taught(&space, 20), &small(), 3).unwrap();
    assert_eq!(young.log_q(&space, &[0.2, 0.3]), LogDensity::UpToConstant(0.0));
}

#[test]
fn few_observations_leave_the_prior_as_it_is() {
    let space = plain();
    let proposer = FlowProposer::learn(&space, &taught(&space, 20), &small(), 3).unwrap();
    assert!(proposer.flow().is_none());
    let condition = Condition { space: &space, objectives: &[], seed: 1, round: 0 };
    let offer = proposer.sample(10, &condition, &mut rng(1, 0)).unwrap();
    assert!(offer.offered.iter().all(|one| one.log_q == LogDensity::Exact(0.0) && one.reason.contains("too few")));
}

#[test]
fn the_flow_can_be_annealed() {
    let space = plain();
    let proposer = FlowProposer::learn(&space, &taught(&space, 200), &small(), 3).unwrap();
    let energy = |candidate: &Candidate| Energy::Value(1.0 - merit(candidate));
    let tilted = FlowSpace { proposer: &proposer, space: &space, energy: &energy };
    let mut settings = StudySettings::to_beta(3.0, 40, 1);
    (settings.populations, settings.schedule.moves, settings.schedule.conditional_ess) = (4, 1, 0.8);
    let found = study(&tilted, &settings).unwrap();
    assert!(found.figures.information > 0.05 && found.figures.ln_z.ln_z < 0.0);
}

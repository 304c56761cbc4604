//! The annealing machinery against exact sums, on the shipped landscape.

use ppu_proposer::anneal::{
    self, AnnealRefusal, DensityKnown, Dissipation, FactorTable, Limits, StudySettings, density_refusal, draws,
    forward, importance, importance_refusals, linear_path, refusals, reverse, stream, study, synthetic_landscape,
};
use ppu_proposer::smc::Schedule;

#[test]
fn ln_z_is_within_its_reported_error() {
    let table = synthetic_landscape();
    for (beta, particles) in [(2.0, 100), (10.0, 140)] {
        let exact = table.exact(beta);
        let settings = |seed| StudySettings::to_beta(beta, particles, seed);
        let found: Vec<_> = (0..200).map(|seed| study(&table, &settings(seed)).unwrap().figures).collect();
        let within = found.iter().filter(|one| (one.ln_z.ln_z - exact.ln_z).abs() <= one.ln_z.error).count();
        let integral = found.iter().filter(|one| (one.integral.ln_z - exact.ln_z).abs() <= one.integral.error).count();
        let information = found.iter().map(|one| one.information).sum::<f64>() / 200.0;
        println!(
            "β {beta}: {within} of 200 within, integration {integral}; ln Z {:.4}, exact {:.4}; I {information:.3}, exact {:.3}; error {:.3}, sd {:.3}",
            found[0].ln_z.ln_z, exact.ln_z, exact.information, found[0].ln_z.error, found[0].ln_z.sd
        );
        assert!(within >= 190 && integral >= 180, "{within} {integral}");
        assert!((information / exact.information - 1.0).abs() < 0.05, "{information} {exact:?}");
    }
}

#[test]
fn careless_schedules_are_flagged_and_careful_ones_are_not() {
    let table = synthetic_landscape();
    let limits = Limits::default();
    let flagged = |schedule: Schedule| {
        let settings = |seed| StudySettings { schedule, populations: 8, trajectories: false, seed };
        (0..40).filter(|seed| !refusals(&study(&table, &settings(*seed)).unwrap().figures, &limits).is_empty()).count()
    };
    let schedule = |particles, moves, conditional_ess, max_beta| Schedule {
        particles,
        moves,
        conditional_ess,
        max_beta,
        budget: f64::INFINITY,
    };
    let careful = flagged(schedule(500, 5, 0.95, 5.0));
    let careless = [
        // Too few particles; hardly any levels; no moves at all.
        flagged(schedule(20, 3, 0.7, 10.0)),
        flagged(schedule(100, 1, 0.1, 15.0)),
        flagged(schedule(200, 0, 0.95, 10.0)),
    ];
    println!("flagged of 40: careful {careful}, careless {careless:?}");
    assert!(careful <= 4, "{careful}");
    assert!(careless.iter().all(|count| *count >= 38), "{careless:?}");

    let hasty = (0..40).filter(|seed| {
        let found = importance(&table, &linear_path(15.0, 8), (4, 200, 1), *seed).unwrap();
        !importance_refusals(&found, &limits).is_empty()
    });
    assert!(hasty.count() >= 38);
    let patient = importance(&table, &linear_path(3.0, 100), (8, 400, 2), 1).unwrap();
    assert_eq!(importance_refusals(&patient, &limits), []);
}

#[test]
fn forward_and_reverse_trajectories_bracket_ln_z() {
    let table = synthetic_landscape();
    let (beta, path) = (6.0, linear_path(6.0, 60));
    let exact = table.exact(beta).ln_z;
    let mut rng = stream(3, 0);
    let up = forward(&table, draws(&table, 2000, &mut rng).unwrap(), &path, 2, &mut rng);
    let down = reverse(&table, table.equilibrium(beta, 2000, &mut rng), &path, 2, &mut rng);
    let bennett = anneal::acceptance_ratio(&up.works, &down.works).unwrap();
    let lost = Dissipation::new(&up.works, &down.works, exact);
    println!(
        "exact {exact:.4}, forward {:.4}, reverse {:.4}, Bennett {bennett:.4}, {lost:?}",
        anneal::jarzynski(&up.works),
        -anneal::jarzynski(&down.works)
    );
    assert!((bennett - exact).abs() < 0.1 && (anneal::jarzynski(&up.works) - exact).abs() < 0.3);
    assert!(lost.bounds.0 < exact && exact < lost.bounds.1 && lost.forward > 0.0 && lost.reverse > 0.0);
    assert!((lost.hysteresis - lost.forward - lost.reverse).abs() < 1e-9);
    // Slower means less waste.
    let slow = linear_path(6.0, 240);
    let slowly = forward(&table, draws(&table, 500, &mut rng).unwrap(), &slow, 2, &mut rng);
    assert!(anneal::mean(&slowly.works) + exact < 0.7 * lost.forward);
}

#[test]
fn a_study_with_trajectories_compares_all_estimators() {
    let table = synthetic_landscape();
    let settings = StudySettings { trajectories: true, ..StudySettings::to_beta(5.0, 500, 1) };
    let found = study(&table, &settings).unwrap();
    let exact = table.exact(5.0);
    let bennett = found.figures.bennett.unwrap();
    assert!((bennett.ln_z - exact.ln_z).abs() < bennett.error.max(0.05), "{bennett:?} {exact:?}");
    assert!(found.figures.dissipation.unwrap().hysteresis > 0.0);
    assert!((found.figures.length / table.exact_length(5.0, 200) - 1.0).abs() < 0.1);
    assert_eq!(refusals(&found.figures, &Limits::default()), []);
    // The same seed gives the same bits; populations do not depend on each other's order.
    assert_eq!(study(&table, &settings).unwrap(), found);
}

#[test]
fn the_budget_sets_beta() {
    let table = synthetic_landscape();
    let schedule = Schedule { particles: 500, moves: 5, conditional_ess: 0.95, max_beta: 100.0, budget: 1.5 };
    let found = study(&table, &StudySettings { schedule, populations: 8, trajectories: false, seed: 1 }).unwrap();
    let exact = table.exact(found.figures.beta);
    assert!((exact.information - 1.5).abs() < 0.2, "{exact:?}");
    assert!((found.figures.information - 1.5).abs() < 0.2);
}

#[test]
fn a_prior_that_is_not_uniform_is_kept() {
    let table = synthetic_landscape();
    let weights: Vec<f64> =
        (0..table.len()).map(|at| if at % 7 == 0 { f64::NEG_INFINITY } else { (at % 13) as f64 / 6.0 }).collect();
    let table = table.with_prior(&weights).unwrap();
    let exact = table.exact(6.0);
    let found = study(&table, &StudySettings::to_beta(6.0, 500, 2)).unwrap();
    assert!(
        (found.figures.ln_z.ln_z - exact.ln_z).abs() < found.figures.ln_z.error.max(0.1),
        "{:?} {exact:?}",
        found.figures
    );
    assert!(found.populations.iter().flat_map(|one| &one.states).all(|state| state % 7 != 0));
}

#[test]
fn what_cannot_be_judged_is_an_error() {
    let table = FactorTable::new(&[vec![0], vec![1]], vec![f64::NAN, f64::NAN]).unwrap();
    assert_eq!(study(&table, &StudySettings::to_beta(1.0, 10, 0)).unwrap_err(), anneal::StudyError::NoDraws);
    let few = StudySettings { populations: 3, ..StudySettings::to_beta(1.0, 10, 0) };
    assert!(matches!(study(&synthetic_landscape(), &few), Err(anneal::StudyError::TooFew { .. })));
    assert_eq!(density_refusal(DensityKnown::Unknown, true, false), Some(AnnealRefusal::DensityUnknown));
    assert_eq!(density_refusal(DensityKnown::Unknown, false, false), None);
    assert_eq!(density_refusal(DensityKnown::UpToConstant, true, true), Some(AnnealRefusal::DensityNotNormalised));
    assert_eq!(density_refusal(DensityKnown::Exact, true, true), None);
}

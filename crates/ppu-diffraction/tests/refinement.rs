//! The refinement against patterns of the forward model, which shares no profile code with it, and against bad requests.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

#[path = "support/structures.rs"]
mod structures;
mod support;

use std::time::Duration;

use ppu_diffraction::forward::{Component, Grid, PreparedPhase, expected_counts};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::profile::{Condition, Instrument, Specimen};
use ppu_diffraction::refine::{
    Budget, Candidate, InstrumentPriors, RefineError, Refinement, Settings, Verdict, refine,
};
use ppu_diffraction::structure::Phase;
use support::Noise;

const GRID: Grid = Grid { start_deg: 15.0, step_deg: 0.03, points: 3500 };
const MASSES: [f64; 2] = [0.7, 0.3];

fn phases() -> Vec<Phase> {
    ["corundum", "fluorite"].map(|name| structures::phase(name).unwrap()).to_vec()
}

/// Expected counts of a mixture with the given masses, without noise.
fn expected(masses: [f64; 2]) -> Vec<f64> {
    let instrument = Instrument { radius_mm: 173.0, u: 0.002, v: 0.0, w: 0.006, axial: 0.025, ..Instrument::aeris() };
    let condition = Condition { crystallite_size_nm: 150.0, microstrain: 0.0003, texture: None };
    let prepared: Vec<PreparedPhase> = phases()
        .iter()
        .zip([1.0008, 0.9995])
        .map(|(phase, factor)| {
            let phase = phase.with_cell(phase.cell().scaled(factor)).unwrap();
            PreparedPhase::new(&phase, &instrument, &GRID).unwrap()
        })
        .collect();
    let components: Vec<Component<'_>> = prepared
        .iter()
        .zip(masses)
        .map(|(prepared, mass)| {
            let phase = prepared.phase();
            let scale = 5e3 * mass / (phase.cell_mass_g_per_mol() * phase.cell_volume_a3());
            Component { phase: prepared, condition, scale }
        })
        .collect();
    let background: Vec<f64> = GRID.angles().iter().map(|x| 40.0 + 900.0 / x).collect();
    let specimen = Specimen { displacement_mm: 0.06, film: None };
    expected_counts(&components, &background, &instrument, &specimen, &GRID).unwrap()
}

fn noisy(expected: &[f64], seed: u64) -> Pattern {
    let mut noise = Noise(seed);
    let counts = expected.iter().map(|mean| noise.poisson(*mean)).collect();
    Pattern::from_counts(GRID.angles(), counts).unwrap()
}

fn candidates() -> Vec<Candidate> {
    // The forward model knows no grains.
    phases().into_iter().map(|phase| Candidate { particle_radius_um: 0.0, ..Candidate::new(phase) }).collect()
}

fn settings() -> Settings {
    Settings::new(InstrumentPriors::laboratory(173.0, 1.0))
}

fn run(pattern: &Pattern, settings: &Settings) -> Result<Refinement, RefineError> {
    refine(pattern, &candidates(), settings, &|| Duration::ZERO)
}

#[test]
fn masses_and_cells_are_recovered_within_their_uncertainty() {
    let truth = expected(MASSES);
    let (mut sum, mut squares, count) = (0.0, 0.0, 8);
    for seed in 0..count {
        let result = run(&noisy(&truth, 100 + seed), &settings()).unwrap();
        assert_eq!(result.verdict, Verdict::Converged, "seed {seed}");
        assert!((0.85..1.2).contains(&result.reduced_chi_squared), "seed {seed}: {}", result.reduced_chi_squared);
        let corundum = &result.phases[0];
        let weight = corundum.fraction.weight;
        let z = (weight.value - MASSES[0]) / weight.u_stat;
        sum += z;
        squares += z * z;
        assert!(
            weight.u_total >= weight.u_stat && (weight.value - MASSES[0]).abs() < 2.0 * weight.u_total,
            "{weight:?}"
        );
        let wanted = 4.7593 * 1.0008;
        assert!((corundum.edges[0].value - wanted).abs() < 2.0 * corundum.edges[0].u_total, "{:?}", corundum.edges);
    }
    let count = count as f64;
    // Unbiased, and neither far too wide nor far too narrow.
    assert!((sum / count).abs() < 1.5, "mean z {}", sum / count);
    assert!((0.15..6.0).contains(&(squares / count)), "mean z² {}", squares / count);
}

#[test]
fn equal_input_gives_equal_output() {
    let pattern = noisy(&expected(MASSES), 7);
    assert_eq!(run(&pattern, &settings()).unwrap(), run(&pattern, &settings()).unwrap());
}

#[test]
fn a_spent_budget_is_said_and_not_exceeded() {
    let pattern = noisy(&expected(MASSES), 8);
    let few = Settings { budget: Budget { iterations: 2, time: Duration::from_secs(9) }, ..settings() };
    assert_eq!(run(&pattern, &few).unwrap().verdict, Verdict::BudgetHit { iterations: 2 });
    // A clock that has run out before the first step leaves the linear solution at the start.
    let none = Settings { budget: Budget { iterations: 40, time: Duration::from_secs(1) }, ..settings() };
    let result = refine(&pattern, &candidates(), &none, &|| Duration::from_secs(1)).unwrap();
    assert_eq!(result.verdict, Verdict::BudgetHit { iterations: 0 });
}

#[test]
fn a_background_alone_is_nothing_there() {
    let result = run(&noisy(&vec![200.0; GRID.points], 9), &settings()).unwrap();
    assert_eq!(result.verdict, Verdict::NothingThere);
    let zeros = Pattern::from_counts(GRID.angles(), vec![0.0; GRID.points]).unwrap();
    assert_eq!(run(&zeros, &settings()).unwrap().verdict, Verdict::NothingThere);
}

#[test]
fn lines_of_another_phase_are_no_result() {
    let mut expected = vec![100.0; GRID.points];
    for (value, x) in expected.iter_mut().zip(GRID.angles()) {
        for place in [22.0, 31.0, 40.5, 61.0] {
            *value += 5e4 * (-4.0 * 2_f64.ln() * ((x - place) / 0.12_f64).powi(2)).exp();
        }
    }
    let result = run(&noisy(&expected, 10), &settings()).unwrap();
    let believed = matches!(result.verdict, Verdict::Converged | Verdict::AtLimit { .. });
    assert!(!believed, "{:?} at R_wp {:.2}", result.verdict, result.r_wp);
}

#[test]
fn bad_requests_are_refused() {
    let pattern = noisy(&expected(MASSES), 11);
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        run(&pattern, &settings).unwrap_err()
    };
    assert!(matches!(with(&|s| s.range_deg = Some((20.0, 20.5))), RefineError::TooShort { .. }));
    assert_eq!(with(&|s| s.instrument.radius_mm = f64::NAN), RefineError::Setting { what: "instrument" });
    assert_eq!(with(&|s| s.displacement_mm.sigma = -1.0), RefineError::Setting { what: "displacement" });
    assert_eq!(with(&|s| s.background_terms = 0), RefineError::Setting { what: "number of background terms" });
    // The first line of fluorite lies at 28°.
    assert!(matches!(with(&|s| s.range_deg = Some((15.0, 18.5))), RefineError::NoLines { .. }));
    let none = refine(&pattern, &[], &settings(), &|| Duration::ZERO).unwrap_err();
    assert_eq!(none, RefineError::Candidates { count: 0 });
}

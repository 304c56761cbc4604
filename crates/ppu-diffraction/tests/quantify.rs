//! Known-answer recovery of the phase analysis on synthetic noisy patterns.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]
#![allow(clippy::disallowed_methods, reason = "the test measures how long the crate takes")]

mod support;

use std::time::Instant;

use ppu_diffraction::library::{AlphaForm, Composition, halide_perovskite};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::profile::Instrument;
use ppu_diffraction::quantify::{Flag, Quantification, QuantifyError, Settings, Verdict, quantify};
use support::{FilmTruth, Noise};

fn settings() -> Settings {
    Settings { film_thickness_nm: Some((500.0, 100.0)), ..Settings::default() }
}

fn analyse(truth: &FilmTruth, pattern: &Pattern) -> Quantification {
    quantify(pattern, &halide_perovskite(&truth.composition).unwrap(), &settings()).unwrap()
}

/// A film with everything that varies drawn at random.
fn random_film(seed: u64) -> FilmTruth {
    let mut noise = Noise(seed);
    let mut film = FilmTruth::typical();
    let cs = 0.1 + 0.3 * noise.uniform();
    let br = if seed.is_multiple_of(2) { 0.3 * noise.uniform() } else { 0.0 };
    film.composition = Composition::new(cs, 1.0 - cs, 0.0, br, 0.0).unwrap();
    let mut lead = [0.2 + noise.uniform(), 0.3 * noise.uniform(), 0.3 * noise.uniform(), 0.3 * noise.uniform(), 0.0];
    if seed.is_multiple_of(3) {
        lead[1] = 0.0;
        lead[2] = 0.0;
    }
    let total: f64 = lead.iter().sum();
    film.lead = lead.map(|share| share / total);
    film.a_factor = 1.0 + 0.001 * noise.normal();
    film.displacement_mm = 0.03 + 0.06 * noise.normal();
    film.march[0] = 0.5 + 0.25 * noise.uniform();
    film.march[3] = 0.4 + 0.3 * noise.uniform();
    film.size_nm = 60.0 + 100.0 * noise.uniform();
    film.microstrain = 0.0012 + 0.001 * noise.uniform();
    film.thickness_nm = 500.0 + 80.0 * noise.normal();
    film.strongest = 1500.0 + 2500.0 * noise.uniform();
    film
}

fn lead_in_alpha(film: &FilmTruth) -> f64 {
    film.lead[0]
}

#[test]
fn fractions_and_cells_are_recovered_within_their_uncertainty() {
    let count = 10;
    let (mut inside_1, mut inside_2, mut cells_2, mut worst) = (0, 0, 0, 0.0_f64);
    for seed in 0..count {
        let film = random_film(seed);
        let result = analyse(&film, &film.pattern(&Instrument::aeris(), 1000 + seed));
        assert_eq!(result.verdict, Verdict::Converged, "seed {seed}: {film:?}");
        let fraction = result.alpha_lead_fraction.unwrap();
        let error = (fraction.value - lead_in_alpha(&film)).abs();
        inside_1 += u32::from(error < fraction.u_total);
        inside_2 += u32::from(error < 2.0 * fraction.u_total);
        worst = worst.max(error);
        let truth = ppu_diffraction::library::pseudo_cubic_edge(&film.composition) * film.a_factor;
        let edge = result.pseudo_cubic_a.unwrap();
        cells_2 += u32::from((edge.value - truth).abs() < 2.0 * edge.u_total);
        assert!((0.8..1.3).contains(&result.reduced_chi_squared), "seed {seed}: {}", result.reduced_chi_squared);
        assert!(!result.flags.iter().any(|flag| matches!(flag, Flag::UnexplainedIntensity { .. })), "seed {seed}");
    }
    println!("within u {inside_1}, 2u {inside_2} of {count}; cells {cells_2}; worst error {worst:.3}");
    // A Gaussian error leaves 68 % within u and 95 % within 2 u.
    assert!(inside_2 >= 9 && inside_1 >= 5, "{inside_1} within u, {inside_2} within 2u of {count}");
    assert!(cells_2 >= 9, "{cells_2} cells of {count} within 2u");
    assert!(worst < 0.1, "{worst}");
}

#[test]
fn a_pure_film_has_a_fraction_of_one_with_a_small_uncertainty() {
    let film = FilmTruth { lead: [1.0, 0.0, 0.0, 0.0, 0.0], ..FilmTruth::typical() };
    let result = analyse(&film, &film.pattern(&Instrument::aeris(), 5));
    let fraction = result.alpha_lead_fraction.unwrap();
    assert!(fraction.value > 0.97 && fraction.u_total < 0.02, "{fraction:?}");
    assert!(result.phases[1..].iter().all(|phase| phase.lead_fraction.value < 0.03));
}

#[test]
fn a_film_of_another_phase_has_a_fraction_of_zero() {
    let film = FilmTruth { lead: [0.0, 0.0, 1.0, 0.0, 0.0], ..FilmTruth::typical() };
    let result = analyse(&film, &film.pattern(&Instrument::aeris(), 6));
    let fraction = result.alpha_lead_fraction.unwrap();
    assert!(fraction.value < 0.03 && fraction.value < 3.0 * fraction.u_total, "{fraction:?}");
    assert!(result.pseudo_cubic_a.is_none() && !result.phases[0].detected);
}

#[test]
fn the_form_of_the_perovskite_is_found() {
    for (composition, form, name) in [
        (Composition::new(0.0, 0.0, 1.0, 0.0, 0.0), AlphaForm::Tetragonal, "alpha (tetragonal)"),
        (Composition::new(1.0, 0.0, 0.0, 0.0, 0.0), AlphaForm::Orthorhombic, "alpha (orthorhombic)"),
        (Composition::new(1.0, 0.0, 0.0, 1.0, 0.0), AlphaForm::Orthorhombic, "alpha (orthorhombic)"),
    ] {
        let composition = composition.unwrap();
        let film = FilmTruth {
            composition,
            form,
            lead: [0.9, 0.0, 0.0, if composition.br > 0.5 { 0.0 } else { 0.1 }, 0.0],
            ..FilmTruth::typical()
        };
        let total: f64 = film.lead.iter().sum();
        let result = analyse(&film, &film.pattern(&Instrument::aeris(), 7));
        let fraction = result.alpha_lead_fraction.unwrap();
        assert_eq!(result.phases[0].name, name);
        assert!((fraction.value - 0.9 / total).abs() < 2.5 * fraction.u_total, "{name} {fraction:?}");
    }
}

#[test]
fn an_empty_slot_is_nothing_there() {
    let film = FilmTruth { lead: [0.0; 5], ..FilmTruth::typical() };
    for seed in 0..5 {
        let result = analyse(&film, &film.pattern(&Instrument::aeris(), 20 + seed));
        assert_eq!(result.verdict, Verdict::NothingThere);
        assert!(result.alpha_lead_fraction.is_none() && result.phases.is_empty() && result.pseudo_cubic_a.is_none());
    }
    let grid = FilmTruth::grid();
    let zeros = Pattern::from_counts(grid.angles(), vec![0.0; grid.points]).unwrap();
    assert_eq!(analyse(&film, &zeros).verdict, Verdict::NothingThere);
}

#[test]
fn lines_of_an_unknown_phase_are_flagged() {
    let film = FilmTruth::typical();
    let mut expected = film.expected(&Instrument::aeris());
    for (value, x) in expected.iter_mut().zip(FilmTruth::grid().angles()) {
        for (place, height) in [(9.2, 200.0), (18.6, 150.0)] {
            *value += height * (-4.0 * 2f64.ln() * ((x - place) / 0.15_f64).powi(2)).exp();
        }
    }
    let mut noise = Noise(3);
    let counts = expected.into_iter().map(|mean| noise.poisson(mean)).collect();
    let result = analyse(&film, &Pattern::from_counts(FilmTruth::grid().angles(), counts).unwrap());
    let flagged = result.flags.iter().find_map(|flag| match flag {
        Flag::UnexplainedIntensity { positions_deg, .. } => Some(positions_deg.clone()),
        _ => None,
    });
    assert!(result.flags.iter().any(|flag| flag.to_string().starts_with("unexplained lines at 9.")));
    let positions = flagged.expect("two strong foreign lines");
    assert_eq!(positions.len(), 2, "{positions:?}");
    assert!((positions[0] - 9.2).abs() < 0.1 && (positions[1] - 18.6).abs() < 0.1, "{positions:?}");
}

#[test]
fn a_pattern_of_something_else_is_implausible() {
    let film = FilmTruth { lead: [0.02, 0.0, 0.0, 0.0, 0.0], ..FilmTruth::typical() };
    let mut expected = film.expected(&Instrument::aeris());
    for (value, x) in expected.iter_mut().zip(FilmTruth::grid().angles()) {
        for place in [17.3, 23.0, 33.5, 37.1, 48.0] {
            *value += 2000.0 * (-4.0 * 2f64.ln() * ((x - place) / 0.15_f64).powi(2)).exp();
        }
    }
    let result = analyse(&film, &Pattern::from_counts(FilmTruth::grid().angles(), expected).unwrap());
    assert!(matches!(result.verdict, Verdict::Implausible { .. } | Verdict::NothingThere), "{:?}", result.verdict);
}

#[test]
fn bad_requests_are_refused() {
    let film = FilmTruth::typical();
    let library = halide_perovskite(&film.composition).unwrap();
    let pattern = film.pattern(&Instrument::aeris(), 1);
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        quantify(&pattern, &library, &settings).unwrap_err()
    };
    assert!(matches!(with(&|s| s.range_deg = Some((10.0, 10.5))), QuantifyError::TooShort { .. }));
    assert!(matches!(with(&|s| s.displacement_prior_mm = f64::NAN), QuantifyError::Setting { .. }));
    assert!(matches!(with(&|s| s.film_thickness_nm = Some((0.0, 1.0))), QuantifyError::Setting { .. }));
    assert!(matches!(with(&|s| s.instrument.lines.clear()), QuantifyError::Forward(_)));
    let empty = ppu_diffraction::library::Library { alpha: Vec::new(), others: Vec::new() };
    assert_eq!(quantify(&pattern, &empty, &settings()).unwrap_err(), QuantifyError::EmptyLibrary);
}

#[test]
fn a_pattern_takes_a_fraction_of_a_second() {
    let film = FilmTruth::typical();
    let pattern = film.pattern(&Instrument::aeris(), 1);
    let fastest = (0..3)
        .map(|_| {
            let before = clock();
            let result = analyse(&film, &pattern);
            assert!(result.iterations > 0);
            clock() - before
        })
        .fold(f64::INFINITY, f64::min);
    println!("3000 points, 5 phases: {fastest:.3} s");
    // Ten times what an idle core needs, so that a loaded machine does not fail the test.
    assert!(fastest < 1.0, "{fastest} s");
}

/// Seconds of a core that this thread has used, or of the wall clock where the system does not say.
fn clock() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let used = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let used = used.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    used.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| 1e-9 * nanoseconds)
}

#[test]
fn an_instrument_and_a_film_unlike_the_assumed_ones_stay_within_their_uncertainty() {
    let mut real = Instrument::aeris();
    real.radius_mm = 150.0;
    real.zero_deg = 0.01;
    real.axial = 0.01;
    real.w = 0.0045;
    let planned = Composition::new(0.20, 0.80, 0.0, 0.05, 0.0).unwrap();
    let mut inside = 0;
    for seed in 0..4 {
        let film = FilmTruth {
            composition: Composition::new(0.17, 0.83, 0.0, 0.03, 0.0).unwrap(),
            thickness_nm: 620.0,
            a_factor: 1.002,
            ..random_film(seed)
        };
        let pattern = film.pattern(&real, 70 + seed);
        let result = quantify(&pattern, &halide_perovskite(&planned).unwrap(), &settings()).unwrap();
        let fraction = result.alpha_lead_fraction.unwrap();
        println!("{:.3} {fraction:?} {} {:?}", film.lead[0], result.reduced_chi_squared, result.verdict);
        assert_eq!(result.verdict, Verdict::Converged);
        inside += u32::from((fraction.value - film.lead[0]).abs() < 2.0 * fraction.u_total);
    }
    assert!(inside >= 3, "{inside} of 4");
}

//! The film twin at published anchors, its refusals, and what it learns.

use std::collections::BTreeMap;

use ppu_core::{Candidate, Measured, Observation, Unit};
use ppu_twin::{
    Correction, Corrections, Evaluation, Fidelity, FilmTwin, ObservableDescription, Pair, Twin, TwinRefusal,
};

fn film(cs: f64, ma: f64, br: f64, temperature: f64, minutes: f64) -> Candidate {
    let values = [
        ("cs", cs),
        ("ma", ma),
        ("fa", 1.0 - cs - ma),
        ("br", br),
        ("anneal_temperature_c", temperature),
        ("anneal_min", minutes),
    ];
    Candidate(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn evaluate(candidate: &Candidate) -> Evaluation {
    FilmTwin::default().evaluate(candidate, Fidelity::Process).expect("the candidate is in the domain")
}

#[test]
fn published_gaps_lie_within_two_declared_sd() {
    let anchors = [
        ("CsPbBr3, Sutton 2016", film(1.0, 0.0, 1.0, 100.0, 10.0), 2.36),
        ("MAPbI3, Noh 2013", film(0.0, 1.0, 0.0, 100.0, 10.0), 1.57),
        ("CsPbI2Br, Sutton 2016", film(1.0, 0.0, 1.0 / 3.0, 100.0, 10.0), 1.91),
        ("Cs17FA83 Br40, McMeekin 2016", film(0.17, 0.0, 0.40, 100.0, 10.0), 1.74),
        ("Cs17FA83 Br25, Bush 2018", film(0.17, 0.0, 0.25, 100.0, 10.0), 1.68),
        ("Cs25FA75 Br20, Bush 2018", film(0.25, 0.0, 0.20, 100.0, 10.0), 1.68),
        ("Cs5MA16FA79 Br17, Saliba 2016", film(0.05, 0.16, 0.17, 100.0, 10.0), 1.62),
    ];
    for (name, candidate, published) in anchors {
        let gap = evaluate(&candidate).predictions["band_gap"];
        assert!((gap.mean - published).abs() < 2.0 * gap.sd, "{name}: {gap:?}");
    }
    assert!((evaluate(&film(1.0, 0.0, 1.0, 100.0, 10.0)).predictions["band_gap"].mean - 2.36).abs() < 1e-9);
}

#[test]
fn phases_form_in_a_window_of_temperature_and_time() {
    let alpha = |temperature, minutes| {
        evaluate(&film(0.17, 0.0, 0.25, temperature, minutes)).predictions["alpha_fraction"].mean
    };
    assert!(alpha(120.0, 10.0) > 0.9);
    assert!(alpha(80.0, 1.0) < 0.3, "too cold and short: {}", alpha(80.0, 1.0));
    assert!(alpha(200.0, 60.0) < 0.6, "too hot and long: {}", alpha(200.0, 60.0));
    assert!(evaluate(&film(0.0, 0.0, 0.0, 120.0, 10.0)).predictions["alpha_fraction"].mean < alpha(120.0, 10.0));
    let bright = |minutes| evaluate(&film(0.17, 0.0, 0.25, 120.0, minutes)).predictions["pl_intensity"].mean;
    assert!(bright(20.0) > bright(5.0));
}

#[test]
fn rules_and_process_disagree_by_the_bowing() {
    let candidate = film(0.2, 0.0, 0.5, 100.0, 10.0);
    let rules = FilmTwin::default().evaluate(&candidate, Fidelity::Rules).unwrap();
    let gap = rules.predictions["band_gap"].mean - evaluate(&candidate).predictions["band_gap"].mean;
    assert!((gap - 0.0825).abs() < 1e-9);
    assert!(rules.cost < evaluate(&candidate).cost);
}

#[test]
fn fixed_values_stand_in_and_refusals_name_the_cause() {
    let mut candidate = film(0.2, 0.0, 0.2, 120.0, 10.0);
    candidate.0.remove("anneal_min");
    let twin = FilmTwin::default();
    let missing = twin.evaluate(&candidate, Fidelity::Process).unwrap_err();
    assert_eq!(missing, TwinRefusal::Missing { parameter: "anneal_min".into() });
    let fixed = FilmTwin::new(BTreeMap::from([("anneal_min".to_owned(), 10.0)]));
    let whole = evaluate(&film(0.2, 0.0, 0.2, 120.0, 10.0));
    assert_eq!(fixed.evaluate(&candidate, Fidelity::Process).unwrap(), whole);

    candidate.0.insert("fa".into(), 0.5);
    let unbalanced = fixed.evaluate(&candidate, Fidelity::Process).unwrap_err();
    assert_eq!(unbalanced.kind(), "charge neutrality");
    let hot = twin.evaluate(&film(0.2, 0.0, 0.2, 500.0, 1.0), Fidelity::Process).unwrap_err();
    assert!(matches!(hot, TwinRefusal::Outside { parameter, .. } if parameter == "anneal_temperature_c"));
    assert!(twin.evaluate(&film(f64::NAN, 0.0, 0.2, 100.0, 1.0), Fidelity::Process).is_err());
}

fn declared() -> ObservableDescription {
    ObservableDescription {
        name: "band_gap".into(),
        unit: Unit::Electronvolt,
        residual_sd: 0.02,
        offset_sd: 0.03,
        prior_correlation: 0.8,
    }
}

#[test]
fn a_correction_shrinks_with_little_data_and_finds_offset_and_scale_with_much() {
    let pair = |at: usize| {
        let twin = 1.5 + 0.02 * at as f64;
        // Deterministic scatter of ±5 meV.
        let scatter = 0.005 * if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        Pair { twin, measured: 0.04 + 1.7 + 1.2 * (twin - 1.7) + scatter, sd: 0.002 }
    };
    let none = Correction::learn(&declared(), &[]);
    assert_eq!((none.offset, none.scale), (0.0, 1.0));
    assert_eq!(none.apply(1.7).mean, 1.7);
    let one = Correction::learn(&declared(), &[pair(10)]);
    assert!(one.offset > 0.0 && one.offset < 0.045 && (one.scale - 1.0).abs() < 1e-9, "{one:?}");
    let many = Correction::learn(&declared(), &(0..20).map(pair).collect::<Vec<_>>());
    assert!((many.mean(1.7) - 1.74).abs() < 0.005, "{many:?}");
    assert!((many.scale - 1.2).abs() < 0.06, "{many:?}");
    assert!(many.sd < 0.015, "{many:?}");
    assert!(many.apply(1.7).sd < one.apply(1.7).sd && one.apply(1.7).sd < none.apply(1.7).sd);
}

#[test]
fn a_useless_twin_is_found_out() {
    let pairs: Vec<Pair> = (0..12_u32)
        .map(|at| Pair { twin: f64::from(at) * 0.01, measured: if at.is_multiple_of(3) { 0.9 } else { 0.2 }, sd: 0.01 })
        .collect();
    let correction = Correction::learn(&declared(), &pairs);
    assert!(correction.sd > 0.1, "{correction:?}");
    let broken = Correction::learn(&declared(), &[Pair { twin: f64::NAN, measured: 1.0, sd: 0.0 }]);
    assert_eq!(broken.pairs, 0);
}

#[test]
fn corrections_apply_to_an_evaluation() {
    let candidates: Vec<Candidate> = (0..6).map(|at| film(0.1 + 0.03 * at as f64, 0.0, 0.3, 120.0, 10.0)).collect();
    let observations: Vec<Observation> = candidates
        .iter()
        .map(|candidate| {
            let value = evaluate(candidate).predictions["band_gap"].mean + 0.03;
            let measured = Measured { value, sd: 0.003, flags: vec![] };
            Observation { values: BTreeMap::from([("band_gap".to_owned(), measured)]), ..Observation::default() }
        })
        .collect();
    let corrections = Corrections::learn(&FilmTwin::default(), Fidelity::Process, candidates.iter().zip(&observations));
    let raw = evaluate(&candidates[2]);
    let corrected = corrections.apply(&raw);
    let shift = corrected.predictions["band_gap"].mean - raw.predictions["band_gap"].mean;
    assert!((0.02..0.032).contains(&shift), "{shift}");
    assert!(corrected.predictions["band_gap"].sd < raw.predictions["band_gap"].sd);
    assert_eq!(corrected.predictions["alpha_fraction"], raw.predictions["alpha_fraction"]);
    assert!(corrected.provenance.corrected && !raw.provenance.corrected);
}

use super::model::{Kind, Model};
use super::*;
use crate::structure::{Cell, Element, Phase, Site, SpaceGroup};

/// Two phases with low symmetry, texture and every kind of parameter.
fn candidates() -> Vec<Candidate> {
    let zincite = vec![
        Site::new("Zn", [1.0 / 3.0, 2.0 / 3.0, 0.0], &[(Element::Zn, 1.0)], 0.55),
        Site::new("O", [1.0 / 3.0, 2.0 / 3.0, 0.3826], &[(Element::O, 1.0)], 0.55),
    ];
    let zincite = Phase::new("zincite", Cell::hexagonal(3.2499, 5.2066), SpaceGroup::p63mc(), zincite).unwrap();
    let sites = vec![
        Site::new("Ti", [0.1, 0.2, 0.3], &[(Element::Ti, 1.0)], 0.4),
        Site::new("O", [0.6, 0.7, 0.1], &[(Element::O, 1.0)], 0.0),
    ];
    let cell = Cell { a: 4.0, b: 4.5, c: 5.0, alpha: 85.0, beta: 95.0, gamma: 100.0 };
    let group = SpaceGroup::from_operators("P1", &["x,y,z"]).unwrap();
    let triclinic = Phase::new("triclinic", cell, group, sites).unwrap();
    vec![Candidate { texture_axis: Some([0, 0, 1]), ..Candidate::new(zincite) }, Candidate::new(triclinic)]
}

#[test]
fn the_jacobian_agrees_with_central_differences() {
    let angles: Vec<f64> = (0..3000).map(|i| 20.0 + 0.03 * f64::from(i)).collect();
    let pattern = Pattern::from_counts(angles.clone(), vec![100.0; angles.len()]).unwrap();
    let candidates = candidates();
    let settings = Settings::new(InstrumentPriors::laboratory(173.0, 0.8));
    let model = Model::new(&pattern, 0..angles.len(), &candidates, &settings);
    // Away from the prior means, where a sign or a factor could hide.
    let p: Vec<f64> = model
        .parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            let share = match parameter.kind {
                Kind::Cell(..) => 0.1,
                _ => 0.4,
            };
            parameter.prior.mean + share * parameter.prior.sigma * (1.0 + index as f64).sin()
        })
        .collect();
    let scales = [0.7, 1.3];
    let frames = model.frames(&p).unwrap();
    let total = |p: &[f64]| {
        let values = model.values(p, &frames).unwrap();
        model.calculated(&values, &scales)
    };
    let jacobian = model.jacobian(&p, &scales, &frames).unwrap();
    assert_eq!(jacobian.len(), 7 + (2 + 2 + 1 + 2) + (6 + 2 + 2));
    for (index, parameter) in model.parameters.iter().enumerate() {
        let h = 1e-5 * parameter.prior.sigma;
        let shifted = |sign: f64| {
            let mut moved = p.clone();
            moved[index] += sign * h;
            total(&moved)
        };
        let wanted: Vec<f64> = shifted(1.0).iter().zip(shifted(-1.0)).map(|(a, b)| (a - b) / (2.0 * h)).collect();
        let norm = wanted.iter().map(|value| value * value).sum::<f64>().sqrt();
        let gap = jacobian[index].iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0 && gap < 1e-5 * norm, "{:?}: {gap} of {norm}", parameter.kind);
    }
}

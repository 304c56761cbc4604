//! Level F2: refusals, provenance and error. The network is untrained, so that nothing need be downloaded.

use ppu_atoms::hull::{Hull, Phase};
use ppu_atoms::references::{FitSettings, References, Sample};
use ppu_atoms::relax::RelaxSettings;
use ppu_atoms::{Composition, Lattice, Structure, Weights};
use ppu_twin::{AtomisticRefusal, AtomisticStage, AtomisticTwin};

fn salt(edge: f64) -> Structure {
    let species = ["Na", "Cl"].map(|name| name.parse().expect("it is an element")).to_vec();
    Structure::new(Lattice::cubic(edge), species, vec![[0.0; 3], [0.5; 3]]).expect("it is a structure")
}

#[test]
fn without_weights_it_refuses_and_says_how_to_get_them() {
    let twin = AtomisticTwin::without_weights();
    let refusal = twin.evaluate(&salt(3.4), AtomisticStage::AsGiven).unwrap_err();
    assert_eq!((twin.has_weights(), &refusal), (false, &AtomisticRefusal::NoWeights));
    assert!(refusal.to_string().contains("ppu twin fetch"));
}

#[test]
fn an_answer_names_its_weights_its_work_and_its_error() {
    let weights = Weights::random(4);
    let twin = AtomisticTwin::from_safetensors(&weights.to_safetensors()).unwrap();
    let found = twin.evaluate(&salt(3.4), AtomisticStage::AsGiven).unwrap();
    assert_eq!(found.provenance.weights_sha256, weights.digest());
    assert_eq!(found, twin.evaluate(&salt(3.4), AtomisticStage::AsGiven).unwrap());
    assert!(found.cost.0 > 0 && found.energy.sd > 0.0 && found.above_hull.is_none());
    let guessed = twin.evaluate(&salt(3.4), AtomisticStage::Guessed).unwrap();
    assert!(guessed.energy.sd > found.energy.sd && guessed.energy.mean == found.energy.mean);
    let lone = Structure::new(Lattice::cubic(12.0), vec!["He".parse().unwrap()], vec![[0.0; 3]]).unwrap();
    assert_eq!(twin.evaluate(&lone, AtomisticStage::AsGiven).unwrap_err().kind(), "isolated atom");
    let hasty = twin.with_relaxation(RelaxSettings { most_steps: 1, ..RelaxSettings::default() });
    assert_eq!(hasty.evaluate(&salt(3.0), AtomisticStage::Relaxed).unwrap_err().kind(), "does not relax");
}

#[test]
fn references_and_hull_set_the_scale() {
    let weights = Weights::random(4);
    let plain = AtomisticTwin::new(&weights);
    let composition = Composition::of(salt(3.4).species()).unwrap();
    let samples: Vec<Sample> = (0..8)
        .map(|k| {
            let energy = plain.evaluate(&salt(3.2 + 0.1 * f64::from(k)), AtomisticStage::AsGiven).unwrap().energy.mean;
            Sample { composition: composition.clone(), energy, target: energy + 4.0 }
        })
        .collect();
    let settings = FitSettings { fit_slope: false, ..FitSettings::default() };
    let references = References::fit(&samples, &settings).unwrap();
    let element = |name: &str| Phase { composition: Composition::of(&[name.parse().unwrap()]).unwrap(), energy: 0.0 };
    let hull = Hull::new(vec![element("Na"), element("Cl")]).unwrap();
    let twin = plain.clone().with_references(references).with_hull(hull);
    let (raw, found) = (
        plain.evaluate(&salt(3.4), AtomisticStage::AsGiven).unwrap(),
        twin.evaluate(&salt(3.4), AtomisticStage::AsGiven).unwrap(),
    );
    assert!((found.energy.mean - raw.energy.mean - 4.0).abs() < 0.01);
    let above = found.above_hull.unwrap();
    assert_eq!((above.distance.mean, above.competitors), (found.energy.mean, 2));
    assert_eq!(found.provenance.reference_samples, 8);
}

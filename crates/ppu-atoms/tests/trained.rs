//! The trained potential against the published Python package on the same structures. The package was run in double
//! precision: near straight angles its ordinary single precision is off by up to 1e-3 eV/Å.
//!
//! The weights are not part of this repository. `PPU_CHGNET_WEIGHTS` names a wheel of chgnet 0.4.2
//! (`pip download chgnet==0.4.2 --no-deps`) or a converted file; without it these tests say that they checked nothing.
#![allow(clippy::disallowed_methods, reason = "where the weights are is said by the environment")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod support;

use std::collections::BTreeMap;
use std::io::Write;

use ppu_atoms::model::Real;
use ppu_atoms::relax::{RelaxSettings, relax};
use ppu_atoms::wheel::{Head, LICENCE_KEY, weights};
use ppu_atoms::{Chgnet, Structure, Weights};
use serde_json::Value;
use support::{lithium_manganate, perovskite};

/// Weights by head, or `None` with a word why.
fn trained() -> Option<BTreeMap<String, Weights>> {
    let Some(path) = std::env::var_os("PPU_CHGNET_WEIGHTS") else {
        // Not `eprintln!`: the harness would keep that to itself when the test passes.
        let word =
            "SKIPPED, nothing was checked: set PPU_CHGNET_WEIGHTS to a wheel (`pip download chgnet==0.4.2 --no-deps`)";
        writeln!(std::io::stderr(), "{word}").expect("standard error is open");
        return None;
    };
    let bytes = std::fs::read(path).expect("PPU_CHGNET_WEIGHTS names a file that can be read");
    if !bytes.starts_with(b"PK") {
        let weights = Weights::from_safetensors(&bytes).unwrap();
        let head = weights.metadata()["model"].trim_start_matches("CHGNet ").to_owned();
        return Some(BTreeMap::from([(head, weights)]));
    }
    Some(Head::ALL.map(|head| (head.name().to_owned(), weights(&bytes, head).unwrap())).into())
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn package() -> Vec<(Structure, Value)> {
    let file: Value = serde_json::from_str(include_str!("golden/chgnet_package.json")).unwrap();
    let entries = file["structures"].as_array().unwrap().iter();
    entries.map(|entry| (support::read_structure(entry), entry.clone())).collect()
}

fn close(what: &str, found: &[f64], expected: &Value, tolerance: f64) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= tolerance, "{what}: {found} is not {expected}");
    }
}

/// What may differ: energies of the cell for each atom, of sites, moments, forces, stress.
struct Tolerance {
    energy: f64,
    others: f64,
    stress: f64,
}

fn agree<T: Real>(head: &str, weights: &Weights, tolerance: &Tolerance) {
    let model = Chgnet::<T>::new(weights);
    let structures = package();
    assert!(structures.len() >= 20);
    for (structure, entry) in &structures {
        let name = format!("{head}, {}", entry["name"]);
        let expected = &entry["heads"][head];
        let found = model.forces(structure).unwrap();
        assert_eq!(Some(found.energy.work.edges as u64), entry["edges"].as_u64(), "{name}");
        assert_eq!(Some(found.energy.work.angles as u64), entry["angles"].as_u64(), "{name}");
        let Tolerance { energy, others, stress } = *tolerance;
        close(&format!("energy of {name}"), &[found.energy.per_atom()], &expected["energy_per_atom"], energy);
        close(&format!("sites of {name}"), &found.energy.sites, &expected["sites"], others);
        close(&format!("moments of {name}"), &found.energy.moments, &expected["moments"], others);
        close(&format!("forces of {name}"), found.forces.as_flattened(), &expected["forces"], others);
        close(&format!("stress of {name}"), found.stress_gpa.as_flattened(), &expected["stress_gpa"], stress);
    }
}

#[test]
fn twenty_structures_agree_with_the_package() {
    let Some(trained) = trained() else { return };
    for (head, weights) in &trained {
        agree::<f32>(head, weights, &Tolerance { energy: 1e-5, others: 1e-4, stress: 2e-3 });
    }
}

#[test]
fn in_double_precision_the_agreement_is_complete() {
    let Some(trained) = trained() else { return };
    for (head, weights) in &trained {
        // The package adds its element references in single precision, and the file is rounded.
        agree::<f64>(head, weights, &Tolerance { energy: 2e-6, others: 2e-6, stress: 2e-5 });
    }
}

#[test]
fn the_published_example_has_its_published_values() {
    let Some(trained) = trained() else { return };
    let Some(weights) = trained.get("0.3.0") else { return };
    let found = Chgnet::<f32>::new(weights).forces(&lithium_manganate()).unwrap();
    assert!((found.energy.per_atom() + 7.36769).abs() < 1e-5, "{}", found.energy.per_atom());
    // tests/test_model.py of the package: Li, Mn and the two kinds of O.
    let atoms = [0, 2, 4, 5];
    let published = [
        ([0.0238136, 0.0925871, -0.0024345, -0.0130698], 1e-4),
        ([-3.6264274, -9.634681, -8.024935, -8.184724], 1e-5),
        ([0.0030496, 3.8694179, 0.0441362, 0.0386221], 1e-4),
    ];
    let values = [
        atoms.map(|atom| found.forces[atom][2]),
        atoms.map(|atom| found.energy.sites[atom]),
        atoms.map(|atom| found.energy.moments[atom]),
    ];
    for (found, (published, tolerance)) in values.iter().zip(published) {
        assert!(found.iter().zip(published).all(|(a, b)| (a - b).abs() < tolerance), "{found:?} {published:?}");
    }
    let stress = [0, 1, 2].map(|axis| found.stress_gpa[axis][axis]);
    let published = [-0.303664, 0.223055, -0.107362];
    assert!(stress.iter().zip(published).all(|(a, b)| (a - b).abs() < 1e-3), "{stress:?}");
}

#[test]
fn single_and_double_precision_agree_on_trained_weights() {
    let Some(trained) = trained() else { return };
    for weights in trained.values() {
        let (single, double) = (Chgnet::<f32>::new(weights), Chgnet::<f64>::new(weights));
        for start in [lithium_manganate(), perovskite(3.9, ["Sr", "Ti", "O"], 0.05, 2)] {
            let (single, double) = (single.forces(&start).unwrap(), double.forces(&start).unwrap());
            assert!((single.energy.per_atom() - double.energy.per_atom()).abs() < 2e-6);
            let pairs = single.forces.as_flattened().iter().zip(double.forces.as_flattened());
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 2e-5, "{a} {b}"));
        }
    }
}

#[test]
fn converted_weights_carry_the_licence() {
    let Some(trained) = trained() else { return };
    for (head, weights) in &trained {
        let back = Weights::from_safetensors(&weights.to_safetensors()).unwrap();
        assert_eq!(&back, weights, "{head}");
        let licence = &back.metadata()[LICENCE_KEY];
        assert!(licence.contains("The Regents") && licence.contains("AS IS"), "{licence}");
    }
}

#[test]
fn twenty_perovskites_relax_to_the_energies_of_the_package() {
    let Some(trained) = trained() else { return };
    let Some(weights) = trained.get("0.3.0") else { return };
    let model = Chgnet::<f32>::new(weights);
    let file: Value = serde_json::from_str(include_str!("golden/chgnet_relaxations.json")).unwrap();
    let entries = file["structures"].as_array().unwrap();
    assert_eq!(entries.len(), 20);
    for entry in entries {
        let found = relax(&model, &support::read_structure(entry), &RelaxSettings::default()).unwrap();
        let (energy, expected) = (found.forces.energy.per_atom(), entry["energy_per_atom"].as_f64().unwrap());
        assert!((energy - expected).abs() < 1e-3, "{}: {energy} is not {expected}", entry["name"]);
    }
}

#[test]
fn strontium_titanate_relaxes_within_its_symmetry() {
    let Some(trained) = trained() else { return };
    let Some(weights) = trained.get("0.3.0") else { return };
    let model = Chgnet::<f32>::new(weights);
    let found = relax(&model, &perovskite(4.05, ["Sr", "Ti", "O"], 0.0, 0), &RelaxSettings::default()).unwrap();
    let edge = found.structure.lattice().0[0][0];
    // PBE's edge is 3.94 Å.
    assert!((edge - 3.94).abs() < 0.03 && found.operations == 48, "{edge}");
}

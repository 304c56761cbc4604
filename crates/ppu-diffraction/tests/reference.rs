//! |F|² against lists calculated by another program with other coefficient tables (gemmi: IT92, Cromer-Liberman).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails loudly, a skipped test says why"
)]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ppu_diffraction::structure::{Cell, Element, Phase, Site, SpaceGroup};

fn sites(list: &[(Element, [f64; 3])]) -> Vec<Site> {
    list.iter().map(|(element, position)| Site::new(element.symbol(), *position, &[(*element, 1.0)], 0.0)).collect()
}

fn structures() -> Vec<(&'static str, Phase)> {
    let third = 1.0 / 3.0;
    let gamma = [
        (Element::Cs, [0.0535, 0.75, 0.4914]),
        (Element::Pb, [0.0, 0.0, 0.5]),
        (Element::I, [0.1969, 0.5295, 0.8081]),
        (Element::I, [0.0012, 0.25, 0.059]),
    ];
    let zincite = [(Element::Zn, [third, 2.0 * third, 0.0]), (Element::O, [third, 2.0 * third, 0.3826])];
    let boride = [(Element::La, [0.0; 3]), (Element::B, [0.1993, 0.5, 0.5])];
    let build = |name, cell, group, list: &[(Element, [f64; 3])]| Phase::new(name, cell, group, sites(list)).unwrap();
    vec![
        ("CsPbI3_Pnma_gamma", build("gamma", Cell::orthorhombic(8.8561, 12.5766, 8.6365), SpaceGroup::pnma(), &gamma)),
        ("ZnO_P63mc", build("ZnO", Cell::hexagonal(3.2499, 5.2066), SpaceGroup::p63mc(), &zincite)),
        ("LaB6_Pm-3m", build("LaB6", Cell::cubic(4.156826), SpaceGroup::pm3m(), &boride)),
    ]
}

#[test]
fn structure_factors_agree_with_an_independent_program() {
    let folder = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = folder.join("diffraction/reference");
    if !folder.is_dir() {
        println!("skipped: no reference data at {} (set PPU_REFERENCE_DATA)", folder.display());
        return;
    }
    for (name, phase) in structures() {
        let text = std::fs::read_to_string(folder.join(format!("{name}.gemmi.json"))).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let index = |reflection: &serde_json::Value| -> [i32; 3] {
            let list = reflection["hkl"].as_array().unwrap();
            std::array::from_fn(|k| i32::try_from(list[k].as_i64().unwrap()).unwrap())
        };
        let mut known: BTreeMap<[i32; 3], (f64, f64, u64)> = BTreeMap::new();
        let mut d_min = f64::INFINITY;
        for reflection in value["reflections"].as_array().unwrap() {
            let d = reflection["d"].as_f64().unwrap();
            d_min = d_min.min(d);
            let f = reflection["F2_f0_fp_fpp"].as_f64().unwrap();
            known.insert(index(reflection), (d, f, reflection["mult"].as_u64().unwrap()));
        }
        let (mut ours, mut theirs, mut d_worst) = (Vec::new(), Vec::new(), 0.0_f64);
        for reflection in phase.reflections(d_min * 0.9999) {
            let mates = reflection.equivalents.iter().flat_map(|hkl| [*hkl, hkl.map(|index| -index)]);
            let Some((d, f, multiplicity)) = mates.filter_map(|hkl| known.get(&hkl)).next() else {
                panic!("{name}: {:?} is not in the reference list", reflection.hkl);
            };
            assert_eq!(u64::from(reflection.multiplicity), *multiplicity, "{name} {:?}", reflection.hkl);
            d_worst = d_worst.max((reflection.d / d - 1.0).abs());
            ours.push(f64::from(reflection.multiplicity) * reflection.f_squared);
            theirs.push(f64::from(reflection.multiplicity) * f);
        }
        assert!(ours.len() > 8, "{name}: only {} reflections", ours.len());
        let scale = ours.iter().sum::<f64>() / theirs.iter().sum::<f64>();
        let misfit: f64 = ours.iter().zip(&theirs).map(|(a, b)| (a / scale - b).abs()).sum();
        let r = misfit / theirs.iter().sum::<f64>();
        println!("{name}: {} reflections, R = {:.3} %, scale {scale:.4}", ours.len(), 100.0 * r);
        assert!(d_worst < 1e-6, "{name}: spacing off by {d_worst}");
        // The coefficient tables themselves differ by this much.
        assert!(r < 0.003 && (scale - 1.0).abs() < 0.02, "{name}: R {r}, scale {scale}");
    }
}

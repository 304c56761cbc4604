//! |F|² lists of an independent program (gemmi, with its own form factors and f', f'').

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;

use ppu_diffraction::structure::{Element, Phase};

/// How a structure compares with its list.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) reflections: usize,
    /// Largest difference of |F|² relative to |F| times the strongest |F|: the program adds up form factors in single
    /// precision, so that what is left of a cancellation carries the rounding of the whole.
    pub(crate) f_squared: f64,
    /// Largest relative difference of spacings.
    pub(crate) spacing: f64,
}

/// A structure of the folder `reference` by the name of its file.
pub(crate) fn structure(data: &Path, name: &str) -> Result<Phase, String> {
    let path = data.join("reference/cif").join(format!("{name}.cif"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(ppu_diffraction::cif::read_structure(&text).map_err(|error| format!("{name}: {error}"))?.phase)
}

/// Every structure of the folder that has a list, compared with it.
pub(crate) fn compare_all(data: &Path) -> Result<Vec<Comparison>, String> {
    let folder = data.join("reference");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".gemmi.json").map(str::to_owned))
        .collect();
    names.sort();
    names.iter().map(|name| compare(data, name)).collect()
}

fn compare(data: &Path, name: &str) -> Result<Comparison, String> {
    let path = data.join("reference").join(format!("{name}.gemmi.json"));
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let list: serde_json::Value = serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))?;
    let anomalous = |element: Element| {
        let pair = &list["fp_fpp"][element.symbol()];
        [pair[0].as_f64().unwrap_or(f64::NAN), pair[1].as_f64().unwrap_or(f64::NAN)]
    };
    let mut known: BTreeMap<[i32; 3], (f64, f64, u64)> = BTreeMap::new();
    let (mut d_min, mut strongest) = (f64::INFINITY, 0.0_f64);
    for reflection in list["reflections"].as_array().into_iter().flatten() {
        let index = |k: usize| reflection["hkl"][k].as_i64().and_then(|h| i32::try_from(h).ok()).unwrap_or(i32::MAX);
        let number = |key: &str| reflection[key].as_f64().unwrap_or(f64::NAN);
        let (d, f) = (number("d"), number("F2_f0_fp_fpp"));
        d_min = d_min.min(d);
        strongest = strongest.max(f);
        known.insert([0, 1, 2].map(index), (d, f, reflection["mult"].as_u64().unwrap_or(0)));
    }
    let phase = structure(data, name)?;
    let factors = |element: Element| {
        super::it92::scattering(element, anomalous(element))
            .unwrap_or_else(|| element.scattering(ppu_diffraction::structure::Tube::Cu))
    };
    let mut comparison = Comparison { name: name.to_owned(), reflections: 0, f_squared: 0.0, spacing: 0.0 };
    for reflection in phase.reflections_with(d_min * 0.999_999, &factors) {
        let mates = reflection.equivalents.iter().flat_map(|hkl| [*hkl, hkl.map(|index| -index)]);
        let found = mates.filter_map(|hkl| known.remove(&hkl)).next();
        let (d, f, multiplicity) = found.ok_or_else(|| format!("{name}: {:?} is in no list", reflection.hkl))?;
        if u64::from(reflection.multiplicity) != multiplicity {
            return Err(format!("{name} {:?}: {} planes, not {multiplicity}", reflection.hkl, reflection.multiplicity));
        }
        comparison.reflections += 1;
        comparison.spacing = comparison.spacing.max((reflection.d / d - 1.0).abs());
        let scale = (f.max(1e-12 * strongest) * strongest).sqrt();
        comparison.f_squared = comparison.f_squared.max((reflection.f_squared - f).abs() / scale);
    }
    // What the crate leaves out must be as good as extinct.
    match known.iter().find(|(_, (_, f, _))| *f > 1e-5 * strongest) {
        Some((hkl, _)) => Err(format!("{name}: {hkl:?} is missing")),
        None => Ok(comparison),
    }
}

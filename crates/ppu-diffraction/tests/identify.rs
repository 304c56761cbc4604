//! Phase identification: synthetic mixtures always, weighed mixtures where they are at hand.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

mod support;

use std::path::PathBuf;

use ppu_diffraction::cif;
use ppu_diffraction::formats::xrdml;
use ppu_diffraction::forward::{Component, Grid, PreparedPhase, expected_counts};
use ppu_diffraction::identify::{Identification, IdentifyError, Review, Settings, StickLibrary, identify};
use ppu_diffraction::library;
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::profile::{Condition, Instrument, Specimen};
use ppu_diffraction::structure::Phase;
use support::Noise;

fn candidates() -> Vec<(String, Phase)> {
    [
        library::lead_iodide(),
        library::lead_bromide(),
        library::caesium_halide(0.5),
        library::delta_o(0.0),
        library::delta_h(0.0),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, phase)| (format!("candidate {index}"), phase.unwrap()))
    .collect()
}

/// Counts of a mixture with the given heights of the strongest point of each phase.
fn counts(parts: &[(usize, f64)], seed: u64) -> Pattern {
    let (instrument, grid) = (Instrument::aeris(), Grid { start_deg: 10.0, step_deg: 0.04, points: 1250 });
    let specimen = Specimen { displacement_mm: 0.05, film: None };
    let condition = Condition { crystallite_size_nm: 80.0, microstrain: 0.001, texture: None };
    let all = candidates();
    let prepared: Vec<(PreparedPhase, f64)> = parts
        .iter()
        .map(|&(index, height)| {
            let phase = all[index].1.with_cell(all[index].1.cell().scaled(1.002)).unwrap();
            let prepared = PreparedPhase::new(&phase, &instrument, &grid).unwrap();
            let unit = Component { phase: &prepared, condition, scale: 1.0 };
            let pattern = expected_counts(&[unit], &[0.0; 1250], &instrument, &specimen, &grid).unwrap();
            let scale = height / pattern.iter().copied().fold(0.0, f64::max);
            (prepared, scale)
        })
        .collect();
    let components: Vec<Component<'_>> =
        prepared.iter().map(|(phase, scale)| Component { phase, condition, scale: *scale }).collect();
    let background: Vec<f64> = grid.angles().iter().map(|x| 150.0 + 4000.0 / x).collect();
    let expected = expected_counts(&components, &background, &instrument, &specimen, &grid).unwrap();
    let mut noise = Noise(seed);
    Pattern::from_counts(grid.angles(), expected.iter().map(|mean| noise.poisson(*mean)).collect()).unwrap()
}

fn members(found: &Identification) -> Vec<usize> {
    let mut members: Vec<usize> = found.sets[0].phases.iter().map(|phase| phase.candidate).collect();
    members.sort_unstable();
    members
}

fn unknown(found: &Identification) -> bool {
    found.review.iter().any(|reason| matches!(reason, Review::UnknownPhase { .. } | Review::NothingFound))
}

#[test]
fn synthetic_mixtures_are_named_and_a_missing_candidate_is_noticed() {
    let library = StickLibrary::new(&candidates(), &Instrument::aeris(), 60.0).unwrap();
    for (seed, parts) in [vec![(0, 3000.0)], vec![(0, 2000.0), (2, 800.0)], vec![(3, 1500.0), (1, 1000.0), (4, 900.0)]]
        .into_iter()
        .enumerate()
    {
        let pattern = counts(&parts, seed as u64);
        let found = identify(&pattern, &library, &Settings::default()).unwrap();
        let mut truth: Vec<usize> = parts.iter().map(|part| part.0).collect();
        truth.sort_unstable();
        assert_eq!(members(&found), truth, "{found:?}");
        assert!(found.review.is_empty() && found.sets[0].probability > 0.9, "{:?}", found.review);
        let total: f64 = found.sets.iter().map(|set| set.probability).sum();
        assert!((total - 1.0).abs() < 1e-9);
        let weights: f64 =
            found.sets[0].phases.iter().chain(&found.sets[0].traces).map(|phase| phase.weight_fraction).sum();
        assert!((weights - 1.0).abs() < 1e-9);
        // Cells were made 0.2 % larger than those of the library.
        let phase = &found.sets[0].phases[0];
        let nominal = candidates()[phase.candidate].1.cell().a;
        assert!((phase.cell.a / nominal - 1.002).abs() < 1e-3, "{} {nominal}", phase.cell.a);

        let found = identify(&pattern, &library.without(truth[0]), &Settings::default()).unwrap();
        assert!(unknown(&found), "{:?} {:?} {}", truth, found.review, found.misfit);
    }
}

#[test]
fn nothing_is_found_in_an_empty_pattern() {
    let library = StickLibrary::new(&candidates(), &Instrument::aeris(), 60.0).unwrap();
    let found = identify(&counts(&[], 3), &library, &Settings::default()).unwrap();
    assert!(found.sets[0].phases.is_empty() && found.unexplained.is_empty());
    assert!(found.review.contains(&Review::NothingFound));
}

#[test]
fn unusable_input_is_refused() {
    let instrument = Instrument::aeris();
    let library = StickLibrary::new(&candidates(), &instrument, 60.0).unwrap();
    let short = Pattern::from_counts(vec![10.0, 11.0], vec![1.0, 2.0]).unwrap();
    let fine = counts(&[], 1);
    assert_eq!(identify(&short, &library, &Settings::default()), Err(IdentifyError::TooFewPoints { points: 2 }));
    let empty = StickLibrary::new(&[], &instrument, 60.0).unwrap();
    assert_eq!(identify(&fine, &empty, &Settings::default()), Err(IdentifyError::EmptyLibrary));
    let certain = Settings { prior_presence: 1.0, ..Settings::default() };
    assert!(matches!(identify(&fine, &library, &certain), Err(IdentifyError::Setting { .. })));
}

#[test]
fn weighed_mixtures_are_named_exactly_and_a_removed_structure_is_noticed() {
    let folder = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from)
        .join("diffraction");
    if !folder.is_dir() {
        println!("skipped: no reference data at {} (set PPU_REFERENCE_DATA)", folder.display());
        return;
    }
    let mut structures = Vec::new();
    for entry in std::fs::read_dir(folder.join("phases")).unwrap() {
        let path = entry.unwrap().path();
        let structure = cif::read_structure(&std::fs::read_to_string(&path).unwrap()).unwrap();
        structures.push((path.file_stem().unwrap().to_string_lossy().into_owned(), structure.phase));
    }
    structures.sort_by(|a, b| a.0.cmp(&b.0));
    let library = StickLibrary::new(&structures, &Instrument::aeris(), 100.0).unwrap();
    assert_eq!(library.names().count(), 25);
    for (file, truth) in [
        ("V2O5_0p7006-MnCO3_0p3001--2min", ["MnCO3_167", "V2O5_59"]),
        ("TiO2_0p4009-ZnO_0p6010--2min", ["TiO2_anatase_141", "ZnO_186"]),
    ] {
        let bytes = std::fs::read(folder.join(format!("mixtures/{file}.xrdml"))).unwrap();
        let pattern = &xrdml::read(&bytes).unwrap().scans[0].pattern;
        let found = identify(pattern, &library, &Settings::default()).unwrap();
        let mut names: Vec<&str> = found.sets[0].phases.iter().map(|phase| phase.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, truth);
        assert!(found.review.is_empty(), "{file}: {:?}", found.review);
        let index = library.names().position(|name| name == truth[0]).unwrap();
        assert!(unknown(&identify(pattern, &library.without(index), &Settings::default()).unwrap()), "{file}");
    }
}

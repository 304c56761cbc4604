//! Known-answer recovery of the analysis on synthetic raw spectra.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]
#![allow(clippy::disallowed_methods, reason = "the test measures how long the crate takes")]

use std::time::Instant;

use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorbance::{Absorbance, AbsorbanceError, Excluded, absorbance};
use ppu_spectra::absorption::{AbsorptionModel, Edge};
use ppu_spectra::emission::EmissionLine;
use ppu_spectra::film::{Film, GLASS_TRANSMITTANCE};
use ppu_spectra::gap::{BandGap, BandGapError, GapFlag, GapSettings, band_gap, tauc_direct};
use ppu_spectra::photoluminescence::{Photoluminescence, PlError, PlFlag, PlPeak, PlSettings, photoluminescence};
use ppu_spectra::raw::{Detector, Exposure, RawError};

/// SplitMix64: small, seeded, good enough for noise in tests.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

const AVERAGES: u32 = 10;
const INTEGRATION_S: f64 = 0.01;

fn axis() -> Vec<f64> {
    (0..2048).map(|pixel| 350.0 + 700.0 * f64::from(pixel) / 2047.0).collect()
}

/// The mean of exposures of `electrons` per pixel, plus 200 electrons of dark current.
fn expose(noise: &mut Noise, electrons: &[f64]) -> Exposure {
    let detector = Detector::ocean_like();
    let counts = electrons
        .iter()
        .map(|signal| {
            let mean = signal + 200.0;
            let total: f64 = (0..AVERAGES)
                .map(|_| {
                    let electrons = mean + mean.sqrt() * noise.normal() + 12.0 * noise.normal();
                    (1500.0 + 0.35 * electrons).round().clamp(0.0, detector.saturation_counts)
                })
                .sum();
            total / f64::from(AVERAGES)
        })
        .collect();
    Exposure { counts, integration_s: INTEGRATION_S, averages: AVERAGES }
}

/// A halogen lamp: strongest at 700 nm, weak in the blue.
fn lamp(wavelength: f64) -> f64 {
    120_000.0 * (-((wavelength - 720.0) / 230.0_f64).powi(2)).exp()
}

/// Raw spectra of a film; the layers share its thickness: (volume share, edge).
fn film_spectra(seed: u64, film: &Film, layers: &[(f64, Edge)]) -> Result<Absorbance, AbsorbanceError> {
    let mut noise = Noise(seed);
    let axis = axis();
    let models: Vec<(f64, AbsorptionModel)> =
        layers.iter().map(|(share, edge)| (*share, AbsorptionModel::new(*edge).unwrap())).collect();
    let reference: Vec<f64> = axis.iter().map(|&w| lamp(w) * GLASS_TRANSMITTANCE).collect();
    let sample: Vec<f64> = axis
        .iter()
        .map(|&w| {
            let energy = HC_EV_NM / w;
            let alpha: f64 = models.iter().map(|(share, model)| share * model.alpha_per_cm(energy)).sum();
            // Stray light of the lamp.
            lamp(w) * film.transmittance(energy, alpha) + 5e-4 * 60_000.0
        })
        .collect();
    let (sample, reference) = (expose(&mut noise, &sample), expose(&mut noise, &reference));
    let dark = expose(&mut noise, &vec![0.0; axis.len()]);
    absorbance(&axis, &sample, &reference, &dark, &Detector::ocean_like())
}

fn edge(gap_ev: f64, binding_ev: f64) -> Edge {
    Edge { gap_ev, binding_ev, urbach_ev: 0.015, broadening_ev: 0.025 }
}

fn film(thickness_nm: f64, gap_ev: f64) -> Film {
    Film { thickness_nm, gap_ev, coverage: 1.0, scattering: 0.05 }
}

#[test]
fn gaps_are_recovered_within_their_uncertainty() {
    let (mut inside_1, mut inside_2, mut worst, count) = (0, 0, 0.0_f64, 24);
    for seed in 0..count {
        let mut noise = Noise(900 + seed);
        let gap = 1.48 + 0.4 * noise.uniform();
        let binding = 0.010 + 0.010 * noise.uniform();
        let film = Film {
            thickness_nm: 300.0 + 400.0 * noise.uniform(),
            gap_ev: gap,
            coverage: 0.9 + 0.1 * noise.uniform(),
            scattering: 0.02 + 0.2 * noise.uniform(),
        };
        let edge = Edge { urbach_ev: 0.013 + 0.007 * noise.uniform(), ..edge(gap, binding) };
        let spectrum = film_spectra(seed, &film, &[(1.0, edge)]).unwrap();
        let found = band_gap(&spectrum, &GapSettings::default()).unwrap();
        let error = (found.gap_ev.value - gap).abs();
        inside_1 += u32::from(error < found.gap_ev.u_total);
        inside_2 += u32::from(error < 2.0 * found.gap_ev.u_total);
        worst = worst.max(error);
        assert!(found.gap_ev.u_total < 0.006, "{:?}", found.gap_ev);
        assert!((found.inflection_ev - gap).abs() < 0.010, "{} {gap}", found.inflection_ev);
        assert!(!found.flags.contains(&GapFlag::SeveralEdges), "{found:?}");
        let tauc = tauc_direct(&spectrum, &GapSettings::default()).unwrap();
        assert!((tauc.gap_ev.value + 0.010 - gap).abs() < 2.0 * tauc.gap_ev.u_total, "{gap} {tauc:?}");
    }
    println!("within u {inside_1}, 2u {inside_2} of {count}; worst {worst:.4} eV");
    assert!(inside_2 >= 22 && inside_1 >= 13, "{inside_1} within u, {inside_2} within 2u of {count}");
    assert!(worst < 0.006, "{worst}");
}

#[test]
fn a_second_edge_is_found_and_flagged() {
    // Perovskite with much PbI2.
    let layers = [(0.6, edge(1.60, 0.012)), (0.4, Edge { gap_ev: 2.38, binding_ev: 0.030, ..edge(2.38, 0.030) })];
    let spectrum = film_spectra(3, &film(500.0, 1.6), &layers).unwrap();
    let found: BandGap = band_gap(&spectrum, &GapSettings::default()).unwrap();
    assert!((found.gap_ev.value - 1.60).abs() < 3.0 * found.gap_ev.u_total, "{found:?}");
    let second = found.edges.iter().find(|edge| (edge.energy_ev - 2.38).abs() < 0.04);
    assert!(second.is_some() && found.flags.contains(&GapFlag::SeveralEdges), "{found:?}");
}

#[test]
fn bare_glass_and_thin_films_are_told_apart_from_films() {
    let bare = Film { coverage: 0.0, ..film(500.0, 1.6) };
    let spectrum = film_spectra(4, &bare, &[(1.0, edge(1.6, 0.012))]).unwrap();
    match band_gap(&spectrum, &GapSettings::default()) {
        Err(BandGapError::NoEdge { largest_step, u }) => assert!(largest_step < 0.01 && u > 0.0),
        other => panic!("{other:?}"),
    }
    let thin = film_spectra(5, &film(15.0, 1.6), &[(1.0, edge(1.6, 0.012))]).unwrap();
    match band_gap(&thin, &GapSettings::default()) {
        Ok(found) => assert!(found.flags.iter().any(|flag| matches!(flag, GapFlag::TooThin { .. })), "{found:?}"),
        Err(BandGapError::NoEdge { .. }) => {}
        other => panic!("{other:?}"),
    }
    let thick = film_spectra(6, &film(4000.0, 1.6), &[(1.0, edge(1.6, 0.012))]).unwrap();
    let found = band_gap(&thick, &GapSettings::default());
    let flagged = |gap: &BandGap| gap.flags.iter().any(|flag| matches!(flag, GapFlag::TooThick { .. }));
    assert!(found.as_ref().is_ok_and(flagged) || matches!(found, Err(BandGapError::AtRangeEnd { .. })), "{found:?}");
}

#[test]
fn raw_spectra_that_say_nothing_are_refused() {
    let axis = axis();
    let detector = Detector::ocean_like();
    let flat = |counts: f64| Exposure { counts: vec![counts; axis.len()], integration_s: 0.01, averages: 1 };
    let (dark, light) = (flat(1570.0), flat(30_000.0));
    let attempt = |sample: &Exposure, reference: &Exposure, dark: &Exposure| {
        absorbance(&axis, sample, reference, dark, &detector).unwrap_err()
    };
    assert_eq!(
        attempt(&flat(0.0), &flat(0.0), &flat(0.0)).to_string(),
        "only 0 pixels are good: 2048 without lamp light, 0 saturated, 0 behind an opaque sample"
    );
    assert!(matches!(attempt(&light, &flat(65_535.0), &dark), AbsorbanceError::TooFewPixels { saturated: 2048, .. }));
    assert!(matches!(attempt(&dark, &light, &dark), AbsorbanceError::TooFewPixels { opaque: 2048, .. }));
    let mut broken = light.clone();
    broken.counts[7] = f64::NAN;
    assert!(matches!(
        attempt(&broken, &light, &dark),
        AbsorbanceError::Raw(RawError::Count { which: "sample", pixel: 7, .. })
    ));
    let short = Exposure { counts: vec![1.0; 5], ..light.clone() };
    assert!(matches!(attempt(&short, &light, &dark), AbsorbanceError::Raw(RawError::Lengths { .. })));
    let longer = Exposure { integration_s: 0.02, ..dark.clone() };
    assert!(matches!(attempt(&light, &light, &longer), AbsorbanceError::Raw(RawError::IntegrationTime { .. })));
    let error = absorbance(&[500.0, 600.0], &short, &light, &dark, &detector).unwrap_err();
    assert_eq!(error, AbsorbanceError::Raw(RawError::Pixels { pixels: 2 }));
    // Some saturated pixels are left out and named.
    let mut partly = light.clone();
    partly.counts[..100].fill(65_535.0);
    let spectrum = absorbance(&axis, &light, &partly, &dark, &detector).unwrap();
    assert_eq!(spectrum.points().len(), 1948);
    assert!(spectrum.excluded().iter().all(|entry| entry.1 == Excluded::Saturated));
    // A flat spectrum has no edge.
    assert!(matches!(band_gap(&spectrum, &GapSettings::default()), Err(BandGapError::NoEdge { .. })));
    let outside = GapSettings { range_ev: (4.0, 4.5), ..GapSettings::default() };
    assert!(matches!(band_gap(&spectrum, &outside), Err(BandGapError::TooFewPoints { points: 0, .. })));
}

/// Raw spectra of emission lines whose areas are electrons per second.
fn emission(seed: u64, lines: &[EmissionLine]) -> (Exposure, Exposure) {
    let mut noise = Noise(seed);
    let axis = axis();
    let width = 700.0 / 2047.0;
    let signal: Vec<f64> =
        axis.iter().map(|&w| lines.iter().map(|line| line.per_nm(w) * width * INTEGRATION_S).sum::<f64>()).collect();
    (expose(&mut noise, &signal), expose(&mut noise, &vec![0.0; axis.len()]))
}

fn analyse(spectra: &(Exposure, Exposure)) -> Result<Photoluminescence, PlError> {
    photoluminescence(&axis(), &spectra.0, &spectra.1, &Detector::ocean_like(), &PlSettings::default())
}

fn peak(spectra: &(Exposure, Exposure)) -> PlPeak {
    match analyse(spectra).unwrap() {
        Photoluminescence::Emission(peak) => peak,
        other => panic!("{other:?}"),
    }
}

#[test]
fn emission_is_recovered_within_its_uncertainty() {
    let count = 30;
    let mut inside = [0; 3];
    for seed in 0..count {
        let mut noise = Noise(50 + seed);
        let line = EmissionLine {
            peak_ev: 1.45 + 0.4 * noise.uniform(),
            fwhm_ev: 0.08 + 0.04 * noise.uniform(),
            asymmetry: 0.1,
            photons: 10f64.powf(6.0 + 2.5 * noise.uniform()),
        };
        let found = peak(&emission(seed, &[line]));
        let errors = [
            (found.peak_ev.value - line.peak_ev) / found.peak_ev.u_total,
            (found.fwhm_ev.value - line.fwhm_ev) / found.fwhm_ev.u_total,
            (found.electrons_per_s.value - line.photons) / found.electrons_per_s.u_total,
        ];
        for (slot, error) in inside.iter_mut().zip(errors) {
            *slot += u32::from(error.abs() < 2.0);
        }
        assert!(found.flags.is_empty(), "{line:?} {:?}", found.flags);
    }
    println!("within 2u of {count}: peak {}, width {}, intensity {}", inside[0], inside[1], inside[2]);
    assert!(inside.iter().all(|inside| *inside >= 27), "{inside:?}");
}

#[test]
fn darkness_is_an_upper_limit_that_holds() {
    let mut kept = 0;
    let mut limits = 0.0;
    for seed in 0..20 {
        match analyse(&emission(seed, &[])).unwrap() {
            Photoluminescence::NoEmission { upper_limit_electrons_per_s, confidence } => {
                assert!(upper_limit_electrons_per_s > 0.0 && upper_limit_electrons_per_s.is_finite());
                assert!((confidence - 0.95).abs() < 1e-12);
                limits += upper_limit_electrons_per_s / 20.0;
                kept += 1;
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert_eq!(kept, 20);
    // A line five times the limit is seen.
    let line = EmissionLine { peak_ev: 1.55, fwhm_ev: 0.09, asymmetry: 0.1, photons: 5.0 * limits };
    assert!(matches!(analyse(&emission(99, &[line])).unwrap(), Photoluminescence::Emission(_)));
}

#[test]
fn two_lines_and_clipped_lines_are_told() {
    let line = EmissionLine { peak_ev: 1.75, fwhm_ev: 0.09, asymmetry: 0.1, photons: 5e8 };
    let second = EmissionLine { peak_ev: 1.60, photons: 1.0e8, ..line };
    let found = peak(&emission(1, &[line, second]));
    assert!((found.peak_ev.value - 1.75).abs() < 0.01);
    let flagged = found
        .flags
        .iter()
        .any(|flag| matches!(flag, PlFlag::SecondLine { energy_ev, .. } if (energy_ev - 1.6).abs() < 0.05));
    assert!(flagged, "{found:?}");
    assert!(found.flags.iter().any(|flag| flag.to_string().starts_with("second line at 1.")));
    let bright = EmissionLine { photons: 4e9, ..line };
    assert!(matches!(analyse(&emission(2, &[bright])), Err(PlError::Saturated { .. })));
    let blinding = EmissionLine { photons: 1e15, fwhm_ev: 0.3, ..line };
    assert!(matches!(analyse(&emission(3, &[blinding])), Err(PlError::Saturated { .. })));
}

#[test]
fn raw_emission_that_says_nothing_is_refused() {
    let mut spectra = emission(1, &[]);
    spectra.0.counts[1000] = f64::INFINITY;
    assert!(matches!(analyse(&spectra), Err(PlError::Raw(RawError::Count { pixel: 1000, .. }))));
    let narrow = PlSettings { range_nm: (600.0, 605.0) };
    let spectra = emission(1, &[]);
    let few = photoluminescence(&axis(), &spectra.0, &spectra.1, &Detector::ocean_like(), &narrow);
    assert!(matches!(few, Err(PlError::TooFewPixels { .. })));
    let zero = Exposure { counts: vec![0.0; 2048], integration_s: 0.01, averages: 1 };
    match analyse(&(zero.clone(), zero)).unwrap() {
        Photoluminescence::NoEmission { upper_limit_electrons_per_s, .. } => {
            assert!(upper_limit_electrons_per_s.is_finite());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_analysis_takes_milliseconds() {
    let spectrum = film_spectra(1, &film(450.0, 1.6), &[(1.0, edge(1.6, 0.012))]).unwrap();
    // The first analysis of a process builds a table; the fastest of some is the one that nothing interrupted.
    let gap = (0..10)
        .map(|_| {
            let start = Instant::now();
            band_gap(&spectrum, &GapSettings::default()).unwrap();
            start.elapsed()
        })
        .min()
        .unwrap();
    let line = EmissionLine { peak_ev: 1.6, fwhm_ev: 0.09, asymmetry: 0.1, photons: 1e8 };
    let spectra = emission(1, &[line]);
    let emission = (0..10)
        .map(|_| {
            let start = Instant::now();
            peak(&spectra);
            start.elapsed()
        })
        .min()
        .unwrap();
    println!("gap {gap:?}, emission {emission:?}");
    assert!(gap.as_secs_f64() < 0.02 && emission.as_secs_f64() < 0.02);
}

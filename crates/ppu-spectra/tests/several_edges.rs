//! Films with two edges, fringes, and JCAMP-DX files.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]
#![allow(clippy::print_stdout, reason = "a test prints what it measured, or why it is skipped")]
#![allow(clippy::disallowed_methods, reason = "the test measures how long the crate takes and reads reference files")]

use std::time::Instant;

use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorbance::{Absorbance, Point};
use ppu_spectra::absorption::{AbsorptionModel, Edge};
use ppu_spectra::film::{Film, GLASS_TRANSMITTANCE, refractive_index};
use ppu_spectra::fringes::{FringeError, fringes};
use ppu_spectra::gap::{EdgeModel, GapSettings, several_edges};
use ppu_spectra::jcamp::{self, JcampError};

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

/// A spectrum whose transmittance at each energy is given, with noise of `noise` in transmittance.
fn spectrum(noise: &mut Noise, sigma: f64, transmittance: impl Fn(f64) -> f64) -> Absorbance {
    let points = (0..1400)
        .map(|pixel| {
            let wavelength_nm = 390.0 + 0.5 * f64::from(pixel);
            let t = (transmittance(HC_EV_NM / wavelength_nm) / GLASS_TRANSMITTANCE + sigma * noise.normal()).max(1e-4);
            let u = sigma / t / std::f64::consts::LN_10;
            Point { wavelength_nm, absorbance: -t.log10(), u }
        })
        .collect();
    Absorbance::from_points(points, 0.3).unwrap()
}

fn model(gap_ev: f64, binding_ev: f64, urbach_ev: f64) -> AbsorptionModel {
    AbsorptionModel::new(Edge { gap_ev, binding_ev, urbach_ev, broadening_ev: 0.025 }).unwrap()
}

#[test]
fn both_edges_of_a_two_phase_film_are_found_with_honest_uncertainty() {
    let (count, mut both, mut inside, mut total, mut worst, mut slowest, mut largest_u) =
        (40, 0, 0, 0, 0.0f64, f64::INFINITY, 0.0f64);
    for seed in 0..count {
        let mut noise = Noise(7000 + seed);
        let lower = 1.48 + 0.25 * noise.uniform();
        let upper = lower + 0.28 + 0.5 * noise.uniform();
        let share = 0.35 + 0.3 * noise.uniform();
        let film =
            Film { thickness_nm: 300.0 + 300.0 * noise.uniform(), gap_ev: lower, coverage: 0.98, scattering: 0.05 };
        let trend = |gap: f64| 0.012 + 0.022 * (gap - 1.5).max(0.0);
        let first = model(lower, trend(lower), 0.013 + 0.005 * noise.uniform());
        let second = model(upper, trend(upper), 0.013 + 0.005 * noise.uniform());
        let measured = spectrum(&mut noise, 1e-3, |energy| {
            film.transmittance(energy, share * first.alpha_per_cm(energy) + (1.0 - share) * second.alpha_per_cm(energy))
        });
        let start = Instant::now();
        let found = several_edges(&measured, &GapSettings::default()).unwrap();
        slowest = slowest.min(start.elapsed().as_secs_f64());
        let near = |gap: f64| {
            found
                .edges
                .iter()
                .min_by(|a, b| (a.gap_ev.value - gap).abs().total_cmp(&(b.gap_ev.value - gap).abs()))
                .unwrap()
        };
        let mut good = true;
        for gap in [lower, upper] {
            let edge = near(gap);
            let error = (edge.gap_ev.value - gap).abs();
            good &= error < 0.020;
            total += 1;
            inside += u32::from(error < 2.0 * edge.gap_ev.u_total);
            worst = worst.max(error);
            largest_u = largest_u.max(edge.gap_ev.u_total);
            if error > 0.02 || error > 2.0 * edge.gap_ev.u_total {
                println!("{lower:.3} {upper:.3} share {share:.2}: {gap:.4} found {edge:?}");
            }
            let weights: f64 = edge.models.iter().map(|model| model.1).sum();
            assert!((weights - 1.0).abs() < 1e-9);
        }
        both += u32::from(good);
    }
    println!(
        "both within 20 meV: {both} of {count}; within 2u: {inside} of {total}; worst {worst:.4} eV; fastest {:.2} ms",
        1e3 * slowest
    );
    assert!(both >= 38, "{both} of {count}, worst {worst}");
    assert!(f64::from(inside) >= 0.88 * f64::from(total), "{inside} of {total}");
}

#[test]
fn an_indirect_edge_is_told_from_a_direct_one() {
    for (power, wanted) in [(2.0, EdgeModel::Indirect), (0.5, EdgeModel::Direct)] {
        let mut noise = Noise(5);
        // Softness as of room temperature.
        let soft = |t: f64| 0.012 * ((t / 0.012).exp().ln_1p());
        let measured = spectrum(&mut noise, 3e-4, |energy| {
            let rise = soft(energy - 1.9).powf(power) / energy;
            GLASS_TRANSMITTANCE * 10f64.powf(-(0.05 + if power > 1.0 { 8.0 } else { 1.2 } * rise.min(0.6)))
        });
        let Ok(found) = several_edges(&measured, &GapSettings::default()) else { continue };
        let edge = &found.edges[0];
        let weight = |model| edge.models.iter().find(|entry| entry.0 == model).map_or(0.0, |entry| entry.1);
        if wanted == EdgeModel::Direct {
            assert!(weight(EdgeModel::Indirect) < 0.05, "{edge:?}");
            assert!((edge.gap_ev.value - 1.9).abs() < 0.02 + 2.0 * edge.gap_ev.u_total, "{edge:?}");
        } else {
            assert!(weight(EdgeModel::Direct) < 0.5, "{edge:?}");
        }
    }
}

#[test]
fn fringes_tell_the_thickness() {
    let mut noise = Noise(9);
    let thickness = 1240.0;
    let measured = spectrum(&mut noise, 1e-3, |energy| {
        let phase = 2.0 * std::f64::consts::TAU * refractive_index(energy, 1.9) * thickness * energy / HC_EV_NM;
        GLASS_TRANSMITTANCE * 10f64.powf(-(0.08 + 0.02 * energy + 0.01 * phase.cos()))
    });
    let found = fringes(&measured, 1.2, 1.75, 1.9).unwrap();
    assert!((found.thickness_nm.value - thickness).abs() < 15.0, "{found:?}");
    assert!((found.amplitude - 0.01).abs() < 0.002 && found.fringes > 3.0, "{found:?}");
    let flat = spectrum(&mut noise, 1e-3, |energy| GLASS_TRANSMITTANCE * 10f64.powf(-0.05 * energy));
    assert!(matches!(fringes(&flat, 1.2, 1.75, 1.9), Err(FringeError::NoFringes { .. })));
    assert!(matches!(fringes(&flat, 9.0, 9.5, 1.9), Err(FringeError::TooFewPoints { points: 0, .. })));
}

#[test]
fn a_spectrum_written_as_jcamp_is_read_back() {
    let spectrum = jcamp::Spectrum {
        title: "film ## 1 $$".to_owned(),
        data_type: "UV-VIS SPECTRUM".to_owned(),
        x_units: "NANOMETERS".to_owned(),
        y_units: "ABSORBANCE".to_owned(),
        x: vec![400.0, 400.5, 401.25],
        y: vec![0.123_456_789, -1e-7, 3.0],
        warnings: Vec::new(),
    };
    let read = jcamp::read(jcamp::write(&spectrum).as_bytes()).unwrap();
    assert_eq!((&read[0].x, &read[0].y, read[0].y_units.as_str()), (&spectrum.x, &spectrum.y, "ABSORBANCE"));
}

const SMALL: &str = "##TITLE=t\n##JCAMP-DX=4.24 $$ c\n##DATA TYPE=UV\n##X-UNITS=NANOMETERS\n##YUNITS=ABSORBANCE\n##XFACTOR=1\n\
    ##YFACTOR=0.5\n##FIRSTX=400\n##LASTX=404\n##NPOINTS=5\n##FIRSTY=0.5\n##XYDATA=(X++(Y..Y))\n400AJJ\n402C%j\n##END=\n";

#[test]
fn broken_jcamp_is_named_and_mutations_give_an_answer() {
    let read = jcamp::read(SMALL.as_bytes()).unwrap();
    assert_eq!(
        (read[0].x.clone(), read[0].y.clone()),
        (vec![400.0, 401.0, 402.0, 403.0, 404.0], vec![0.5, 1.0, 1.5, 1.5, 1.0])
    );
    assert!(read[0].warnings.is_empty(), "{:?}", read[0].warnings);
    let error = |from: &str, to: &str| jcamp::read(SMALL.replace(from, to).as_bytes()).unwrap_err().to_string();
    assert_eq!(error("NPOINTS=5", "NPOINTS=6"), "##NPOINTS= states 6 points, the data in line 12 hold 5");
    assert_eq!(error("##END=\n", ""), "the file ends in line 14 before ##END=");
    assert_eq!(error("##LASTX=404\n", ""), "the block in line 1 has no ##LASTX=");
    assert_eq!(error("FIRSTX=400", "FIRSTX=wide"), "##FIRSTX= in line 8 is `wide`, not a usable number");
    assert_eq!(error("400AJJ", "400A&J"), "line 13 holds `&J` where an ordinate belongs");
    assert_eq!(jcamp::read(b"hello"), Err(JcampError::NotJcamp));
    let mut noise = Noise(1);
    for _ in 0..20_000 {
        let mut bytes = SMALL.as_bytes().to_vec();
        for _ in 0..3 {
            let place = (noise.uniform() * bytes.len() as f64) as usize;
            match (noise.uniform() * 3.0) as u8 {
                0 => bytes[place] = (noise.uniform() * 256.0) as u8,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, b"AZs9%=\n#"[(noise.uniform() * 8.0) as usize]),
            }
        }
        answered(&bytes);
    }
}

/// Reads a file; an error must tell where: a line, how many, or a label.
fn answered(bytes: &[u8]) {
    match jcamp::read(bytes) {
        Ok(spectra) => {
            for spectrum in spectra {
                assert_eq!(spectrum.x.len(), spectrum.y.len());
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains(|c: char| c.is_ascii_digit()) || text.contains("##") || text.contains("XYDATA"),
                "{text}"
            );
        }
    }
}

#[test]
fn mutations_of_reference_jcamp_files_give_an_answer() {
    let folder = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), Into::into)
        .join("diffraction/jcamp");
    if !folder.is_dir() {
        println!("skipped: no reference data at {}", folder.display());
        return;
    }
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut noise = Noise(2);
    for file in &files {
        for _ in 0..40 {
            let mut bytes = file.clone();
            for _ in 0..1 + (noise.uniform() * 3.0) as usize {
                let place = (noise.uniform() * bytes.len() as f64) as usize;
                let end = (place + 1 + (noise.uniform() * 80.0) as usize).min(bytes.len());
                match (noise.uniform() * 5.0) as u8 {
                    0 => bytes.truncate(place),
                    1 => drop(bytes.drain(place..end)),
                    2 => drop(bytes.splice(place..end, b"1e999 99999999999 \0##=@%~?\n".iter().copied())),
                    3 => {
                        let other = &files[(noise.uniform() * files.len() as f64) as usize];
                        let from = (noise.uniform() * other.len() as f64) as usize;
                        let to = (from + 300).min(other.len());
                        drop(bytes.splice(place..end, other[from..to].iter().copied()));
                    }
                    _ => {
                        if let Some(byte) = bytes.get_mut(place) {
                            *byte ^= 1 << (noise.uniform() * 8.0) as u8;
                        }
                    }
                }
            }
            answered(&bytes);
        }
    }
}

#[test]
fn reference_jcamp_files_are_read() {
    let folder = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), Into::into)
        .join("diffraction/jcamp");
    if !folder.is_dir() {
        println!("skipped: no reference data at {}", folder.display());
        return;
    }
    let mut points = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "LICENSE" {
            continue;
        }
        match jcamp::read(&std::fs::read(&path).unwrap()) {
            Ok(spectra) => {
                for spectrum in &spectra {
                    let strong: Vec<&String> =
                        spectrum.warnings.iter().filter(|text| !text.starts_with("note")).collect();
                    assert!(strong.is_empty(), "{name}: {strong:?}");
                    assert_eq!(spectrum.x.len(), spectrum.y.len());
                }
                points.push((name, spectra.iter().map(|spectrum| spectrum.x.len()).sum::<usize>()));
            }
            Err(error) => {
                assert!(matches!(error, JcampError::NotSupported { .. }), "{name}: {error}");
                points.push((name, 0));
            }
        }
    }
    println!("{points:?}");
    assert!(points.iter().filter(|entry| entry.1 > 0).count() >= 10, "{points:?}");
}

//! Band edges, tails, emission and speed on simulated spectra with known answers: one JSON object a line and bar.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that breaks should say where")]

use std::time::Instant;

use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorbance::{Absorbance, Point};
use ppu_spectra::absorption::{AbsorptionModel, Edge};
use ppu_spectra::emission::EmissionLine;
use ppu_spectra::film::{Film, GLASS_TRANSMITTANCE};
use ppu_spectra::gap::{GapSettings, band_gap, elliott, several_edges, urbach_tail};
use ppu_spectra::photoluminescence::{Photoluminescence, PlSettings, photoluminescence};
use ppu_spectra::raw::{Detector, Exposure};

const FILMS: u64 = 100;
/// Each time is the shortest mean of some runs: the system counts in steps of milliseconds.
const REPEATS: usize = 5;
const RUNS: usize = 100;

/// SplitMix64 (Steele, Lea and Flood 2014).
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

fn row(bar: &str, value: f64, unit: &str, target: &str, holds: bool) {
    println!("{{\"bar\":\"{bar}\",\"value\":{value},\"unit\":\"{unit}\",\"target\":\"{target}\",\"holds\":{holds}}}");
}

/// 1400 pixels from 390 nm with noise of 1e-3 in transmittance.
fn spectrum(noise: &mut Noise, film: &Film, alpha: impl Fn(f64) -> f64) -> Absorbance {
    let sigma = 1e-3;
    let point = |pixel: i32| {
        let wavelength_nm = 390.0 + 0.5 * f64::from(pixel);
        let energy = HC_EV_NM / wavelength_nm;
        let t = (film.transmittance(energy, alpha(energy)) / GLASS_TRANSMITTANCE + sigma * noise.normal()).max(1e-4);
        Point { wavelength_nm, absorbance: -t.log10(), u: sigma / t / std::f64::consts::LN_10 }
    };
    Absorbance::from_points((0..1400).map(point).collect(), 0.3).unwrap()
}

fn model(gap_ev: f64, urbach_ev: f64) -> AbsorptionModel {
    let binding_ev = 0.012 + 0.022 * (gap_ev - 1.5).max(0.0);
    AbsorptionModel::new(Edge { gap_ev, binding_ev, urbach_ev, broadening_ev: 0.025 }).unwrap()
}

/// Milliseconds of a core where the system tells, else of the clock.
fn milliseconds(mut work: impl FnMut()) -> f64 {
    // `--quick` is for profilers, which need no repetition.
    let (repeats, runs) = if std::env::args().any(|argument| argument == "--quick") { (1, 1) } else { (REPEATS, RUNS) };
    let start = Instant::now();
    let clock = || {
        let used = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let used = used.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        used.map_or_else(|| 1e3 * start.elapsed().as_secs_f64(), |nanoseconds| 1e-6 * nanoseconds)
    };
    (0..repeats)
        .map(|_| {
            let before = clock();
            (0..runs).for_each(|_| work());
            (clock() - before) / runs as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let verbose = std::env::args().any(|argument| argument == "--verbose");
    two_edges(verbose);
    tails(verbose);
    speed();
}

fn film(noise: &mut Noise, gap_ev: f64) -> Film {
    Film { thickness_nm: 300.0 + 300.0 * noise.uniform(), gap_ev, coverage: 0.98, scattering: 0.05 }
}

fn two_edges(verbose: bool) {
    let (mut both, mut inside, mut slowest) = (0.0, 0.0, 0.0f64);
    for seed in 0..FILMS {
        let mut noise = Noise(90_000 + seed);
        let lower = 1.48 + 0.25 * noise.uniform();
        let upper = lower + 0.28 + 0.5 * noise.uniform();
        let share = 0.35 + 0.3 * noise.uniform();
        let film = film(&mut noise, lower);
        let first = model(lower, 0.013 + 0.005 * noise.uniform());
        let second = model(upper, 0.013 + 0.005 * noise.uniform());
        let alpha = |energy: f64| share * first.alpha_per_cm(energy) + (1.0 - share) * second.alpha_per_cm(energy);
        let measured = spectrum(&mut noise, &film, alpha);
        let found = several_edges(&measured, &GapSettings::default()).unwrap();
        let mut good = true;
        for gap in [lower, upper] {
            let error = |edge: &ppu_spectra::gap::EdgeModels| (edge.gap_ev.value - gap).abs();
            let near = found.edges.iter().min_by(|a, b| error(a).total_cmp(&error(b))).unwrap();
            good &= error(near) < 0.020;
            inside += f64::from(u8::from(error(near) < 2.0 * near.gap_ev.u_total));
            if verbose && (error(near) > 0.02 || error(near) > 2.0 * near.gap_ev.u_total) {
                println!("# {lower:.3} {upper:.3} {share:.2}: {gap:.4} found {near:?}");
            }
        }
        both += f64::from(u8::from(good));
        if seed < 10 {
            slowest = slowest.max(milliseconds(|| drop(several_edges(&measured, &GapSettings::default()))));
        }
    }
    let (both, inside) = (both / FILMS as f64, inside / (2 * FILMS) as f64);
    row(&format!("two-edge films, both within 20 meV, of {FILMS}"), both, "1", "at least 0.95", both >= 0.95);
    row("edges within 2 u total", inside, "1", "at least 0.9", inside >= 0.9);
    row("every edge of a two-edge film, slowest of 10", slowest, "ms", "at most 1 (PV-Lab 353)", slowest <= 1.0);
}

fn tails(verbose: bool) {
    let (mut found, mut inside, mut sum) = (0.0, 0.0, 0.0);
    for seed in 0..FILMS {
        let mut noise = Noise(50_000 + seed);
        let gap = 1.5 + 0.4 * noise.uniform();
        let urbach = 0.012 + 0.02 * noise.uniform();
        let (film, edge) = (film(&mut noise, gap), model(gap, urbach));
        let measured = spectrum(&mut noise, &film, |energy| edge.alpha_per_cm(energy));
        match urbach_tail(&measured, &GapSettings::default()) {
            Ok(tail) => {
                let error = tail.energy_ev.value - urbach;
                found += 1.0;
                sum += error.abs() / urbach;
                inside += f64::from(u8::from(error.abs() < 2.0 * tail.energy_ev.u_total));
                if verbose {
                    println!("# gap {gap:.3} urbach {:.2} meV: {tail:?}", 1e3 * urbach);
                }
            }
            Err(error) => println!("# {error}"),
        }
    }
    row("Urbach energies, mean relative error", sum / found, "1", "at most 0.15", sum / found <= 0.15);
    row("Urbach energies within 2 u total", inside / found, "1", "at least 0.9", inside / found >= 0.9);
}

fn speed() {
    let mut noise = Noise(1);
    let (film, edge) = (film(&mut noise, 1.6), model(1.6, 0.015));
    let measured = spectrum(&mut noise, &film, |energy| edge.alpha_per_cm(energy));
    let settings = GapSettings::default();
    let axis: Vec<f64> = (0..2048).map(|pixel| 350.0 + 0.35 * f64::from(pixel)).collect();
    let detector = Detector::ocean_like();
    let mut expose = |lines: &[EmissionLine]| {
        let counts = axis
            .iter()
            .map(|&wavelength| {
                let light: f64 = lines.iter().map(|line| line.per_nm(wavelength)).sum();
                let electrons = 0.35 * light + 200.0;
                let counts = electrons + electrons.sqrt() * noise.normal();
                detector.baseline_counts + detector.gain_counts_per_electron * counts
            })
            .collect();
        Exposure { counts, integration_s: 1.0, averages: 1 }
    };
    let line = EmissionLine { peak_ev: 1.6, fwhm_ev: 0.09, asymmetry: 0.1, photons: 4e6 };
    let other = EmissionLine { peak_ev: 1.85, photons: 1e6, ..line };
    let (one, two, dark) = (expose(&[line]), expose(&[line, other]), expose(&[]));
    let emission = |sample: &Exposure| photoluminescence(&axis, sample, &dark, &detector, &PlSettings::default());
    match emission(&one) {
        Ok(Photoluminescence::Emission(peak)) => assert!((peak.peak_ev.value - 1.6).abs() < 0.005, "{peak:?}"),
        other => panic!("{other:?}"),
    }
    for (what, time) in [
        ("every edge of a one-edge film", milliseconds(|| drop(several_edges(&measured, &settings)))),
        ("band gap", milliseconds(|| drop(band_gap(&measured, &settings)))),
        ("Elliott fit", milliseconds(|| drop(elliott(&measured, &settings)))),
        ("Urbach tail", milliseconds(|| drop(urbach_tail(&measured, &settings)))),
        ("emission, one line", milliseconds(|| drop(emission(&one)))),
        ("emission, two lines", milliseconds(|| drop(emission(&two)))),
        ("emission, darkness", milliseconds(|| drop(emission(&dark)))),
    ] {
        row(what, time, "ms", "at most 1", time <= 1.0);
    }
}

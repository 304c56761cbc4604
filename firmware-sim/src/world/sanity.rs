//! The sanity table of chapter 13: films driven directly, at true film temperature and published parameters.

use super::film::{Film, Surroundings};
use super::kinetics::{ZERO_C, gap_ev};
use super::matter::{Moles, Species};
use super::optics::{Absorber, LASER_NM, emission, slab};
use super::scatter::film_rate;
use super::state::Seat;
use super::truth::HiddenTruth;
use ppu_diffraction::forward::Grid;
use ppu_diffraction::profile::Instrument;
use ppu_spectra::HC_EV_NM;

const AREA_M2: f64 = 2.25e-4;

/// A dry, wet-phase film of 450 nm.
fn film(cs: f64, ma: f64, br: f64, a_per_b: f64) -> Film {
    let mut film = Film::bare(AREA_M2, 298.15);
    let mut moles = Moles::default();
    let lead = 1e-6;
    let a = lead * a_per_b;
    moles.set(Species::Lead, lead);
    moles.set(Species::Caesium, a * cs);
    moles.set(Species::Methylammonium, a * ma);
    moles.set(Species::Formamidinium, a * (1.0 - cs - ma));
    moles.set(Species::Bromide, (a + 2.0 * lead) * br);
    moles.set(Species::Iodide, (a + 2.0 * lead) * (1.0 - br));
    film.land(moles, 1.0, 1.0, 20.0);
    let scale = 450.0 / film.thickness_nm(&HiddenTruth::nominal());
    film.moles = film.moles * scale;
    film.grain_nm = 120.0;
    film
}

fn around(celsius: f64, humidity: f64) -> Surroundings {
    Surroundings {
        place_k: celsius + ZERO_C,
        lag_s: 1e-6,
        humidity,
        mass_transfer_m_s: 0.001,
        loss_factor: 1.0,
        suns: 0.0,
    }
}

fn hold(film: &mut Film, celsius: f64, minutes: f64, humidity: f64) {
    film.temperature_k = celsius + ZERO_C;
    film.advance(60.0 * minutes, &around(celsius, humidity), &HiddenTruth::nominal());
}

fn annealed(film: Film, celsius: f64, minutes: f64) -> Film {
    let mut film = film;
    hold(&mut film, celsius, minutes, 0.0);
    film.temperature_k = 298.15;
    film
}

fn alpha(film: &Film) -> f64 {
    film.lead_fractions()[1]
}

fn salt(film: &Film) -> f64 {
    film.lead_fractions()[4]
}

fn gap(film: &Film) -> f64 {
    gap_ev(&film.composition().unwrap(), 298.0, &HiddenTruth::nominal())
}

fn black_caesium() -> Film {
    annealed(film(1.0, 0.0, 0.0, 1.0), 340.0, 10.0)
}

#[track_caller]
fn near(what: &str, value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{what}: {value}, expected {expected} ± {tolerance}");
}

#[test]
fn rows_1_to_3_formamidinium_lead_iodide() {
    let one = annealed(film(0.0, 0.0, 0.0, 1.0), 150.0, 10.0);
    near("row 1 α", alpha(&one), 0.998, 0.03);
    near("row 1 gap", gap(&one), 1.50, 0.02);
    for (celsius, expected, tolerance) in [(100.0, 0.13, 0.06), (120.0, 0.58, 0.06), (130.0, 0.95, 0.03)] {
        near("row 2 α", alpha(&annealed(film(0.0, 0.0, 0.0, 1.0), celsius, 10.0)), expected, tolerance);
    }
    near("row 3 170 °C", salt(&annealed(film(0.0, 0.0, 0.0, 1.0), 170.0, 30.0)), 0.022, 0.03);
    near("row 3 200 °C", salt(&annealed(film(0.0, 0.0, 0.0, 1.0), 200.0, 60.0)), 0.26, 0.06);
}

#[test]
fn rows_4_and_5_methylammonium_lead_iodide() {
    let four = annealed(film(0.0, 1.0, 0.0, 1.0), 100.0, 10.0);
    assert!(alpha(&four) > 0.99 && salt(&four) < 0.005, "row 4: α {}, PbI2 {}", alpha(&four), salt(&four));
    near("row 4 gap", gap(&four), 1.59, 0.02);
    near("row 5 150 °C", salt(&annealed(film(0.0, 1.0, 0.0, 1.0), 150.0, 60.0)), 0.036, 0.03);
    near("row 5 200 °C", salt(&annealed(film(0.0, 1.0, 0.0, 1.0), 200.0, 60.0)), 0.835, 0.06);
}

#[test]
fn row_6_caesium_lead_iodide_is_yellow() {
    for (celsius, minutes) in [(100.0, 10.0), (180.0, 10.0), (25.0, 1440.0)] {
        let film = annealed(film(1.0, 0.0, 0.0, 1.0), celsius, minutes);
        let delta_o = film.lead_fractions()[3];
        assert!(delta_o > 0.97, "row 6 at {celsius} °C: δO {delta_o}");
        assert!(alpha(&film) < 1e-3, "row 6 at {celsius} °C: α {}", alpha(&film));
    }
}

#[test]
fn rows_7_to_10_black_caesium_lead_iodide() {
    let black = black_caesium();
    assert!(alpha(&black) > 0.99, "row 7: α {}", alpha(&black));
    let mut kept = black;
    hold(&mut kept, 25.0, 1440.0, 0.0);
    assert!(alpha(&kept) > 0.99, "row 7 quenched: α {}", alpha(&kept));
    near("row 8", alpha(&annealed(black, 225.0, 17.0)), 0.50, 0.05);
    let mut humid = black;
    hold(&mut humid, 25.0, 1440.0, 0.5);
    assert!(alpha(&humid) < 0.05, "row 9: α {}", alpha(&humid));
    for celsius in [150.0, 280.0] {
        let delta = 1.0 - alpha(&annealed(black, celsius, 10.0));
        assert!(delta < 0.01, "row 10 at {celsius} °C: δ {delta}");
    }
}

#[test]
fn rows_11_to_15_mixed_films() {
    let eleven = annealed(film(0.17, 0.0, 0.4, 1.0), 100.0, 30.0);
    assert!(alpha(&eleven) > 0.99, "row 11: α {}", alpha(&eleven));
    near("row 11 gap", gap(&eleven), 1.765, 0.025);
    for (cs, br, expected) in [(0.17, 0.25, 1.68), (0.25, 0.20, 1.66), (0.40, 0.30, 1.75)] {
        near("row 12", gap(&film(cs, 0.0, br, 1.0)), expected, 0.02);
    }
    for (cs, days, low, high) in [(0.17, 30.0, 0.99, 1.0), (0.50, 30.0, 0.30, 0.50), (0.0, 3.0, 0.60, 0.80)] {
        let mut aged = film(cs, 0.0, 0.0, 1.0);
        (aged.wet, aged.alpha) = (0.0, 1.0);
        hold(&mut aged, 25.0, days * 1440.0, 0.4);
        assert!((low..=high + 1e-9).contains(&alpha(&aged)), "row 13 at Cs {cs}: α {}", alpha(&aged));
    }
    let before = film(0.17, 0.0, 0.25, 1.0);
    let fourteen = annealed(before, 200.0, 60.0);
    assert!((0.20..=0.24).contains(&salt(&fourteen)), "row 14: PbX2 {}", salt(&fourteen));
    let shift = gap(&fourteen) - gap(&before);
    assert!((0.005..=0.015).contains(&shift), "row 14: gap shift {shift}");
    assert!(fourteen.composition().unwrap().cs > 0.19, "row 14: the A site becomes richer in Cs");
    let fifteen = annealed(film(1.0, 0.0, 1.0, 1.0), 150.0, 10.0);
    assert!(alpha(&fifteen) > 0.99, "row 15: α {}", alpha(&fifteen));
    near("row 15 gap", gap(&fifteen), 2.36, 0.02);
}

/// Expected rate of a pattern from 5° to 45° in steps of 0.01°, without displacement.
fn pattern(film: &Film) -> Vec<f64> {
    let grid = Grid { start_deg: 5.0, step_deg: 0.01, points: 4001 };
    film_rate(film, &Seat::default(), &HiddenTruth::nominal(), &Instrument::aeris(), &grid).unwrap()
}

/// Angle of the highest point and summed rate between two angles.
fn line(rate: &[f64], from: f64, to: f64) -> (f64, f64) {
    let index = |angle: f64| ((angle - 5.0) / 0.01).round() as usize;
    let window = &rate[index(from)..=index(to)];
    let top = window.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    (from + 0.01 * top as f64, window.iter().sum())
}

#[test]
fn row_16_and_17_diffraction_lines() {
    let one = annealed(film(0.0, 0.0, 0.0, 1.0), 150.0, 10.0);
    let rate = pattern(&one);
    let (first, alpha_area) = line(&rate, 13.5, 14.4);
    let (second, _) = line(&rate, 27.6, 28.5);
    near("row 16 (100)", first, 13.91, 0.04);
    near("row 16 (200)", second, 28.03, 0.04);
    let (_, delta_area) = line(&rate, 11.5, 12.1);
    assert!(delta_area / alpha_area < 0.02, "row 16: δH/α {}", delta_area / alpha_area);
    let top = rate.iter().copied().fold(0.0, f64::max);
    near("strongest line, counts/s", top, 3000.0, 450.0);
    for celsius in [25.0, 80.0, 110.0] {
        let film = annealed(film(0.17, 0.0, 0.0, 0.95), celsius, 10.0);
        near("row 17", salt(&film), 0.05, 0.005);
    }
    let poor = annealed(film(0.0, 0.0, 0.0, 0.95), 150.0, 10.0);
    let rate = pattern(&poor);
    let (position, _) = line(&rate, 12.4, 12.95);
    near("row 17 line", position, 12.67, 0.03);
    let peak = rate[767];
    assert!(peak > 3.0 * rate[720], "row 17: PbI2 stands out, {peak} over {}", rate[720]);
}

#[test]
fn row_6_has_no_perovskite_line() {
    let yellow = annealed(film(1.0, 0.0, 0.0, 1.0), 180.0, 10.0);
    let rate = pattern(&yellow);
    let (delta, _) = line(&rate, 9.9, 10.3);
    near("δO (002)", delta, 9.95, 0.04);
    let black = pattern(&black_caesium());
    let share = line(&rate, 14.0, 14.5).1 / line(&black, 14.0, 14.5).1;
    assert!(share < 0.05, "intensity at 14.2° of the yellow film: {share} of the black one");
}

fn brightness(film: &Film) -> (f64, f64, f64) {
    let truth = HiddenTruth::nominal();
    let composition = film.composition().unwrap();
    let alpha = Absorber::of(film, &composition, &truth).alpha_per_cm(HC_EV_NM / LASER_NM);
    let lines = emission(film, &composition, alpha, &truth);
    (lines[0].photons, lines[0].peak_ev, lines[0].fwhm_ev)
}

#[test]
fn rows_18_to_20_photoluminescence() {
    let mut one = annealed(film(0.0, 0.0, 0.0, 1.0), 150.0, 10.0);
    let (bright, peak, fwhm) = brightness(&one);
    assert!((1.48..=1.51).contains(&peak), "row 18: peak {peak}");
    assert!((0.085..=0.100).contains(&fwhm), "row 18: FWHM {fwhm}");
    one.grain_nm = 250.0;
    let (fine, ..) = brightness(&one);
    one.grain_nm = 350.0;
    let (coarse, ..) = brightness(&one);
    assert!((1.1..=2.0).contains(&(coarse / fine)), "row 19: ratio {}", coarse / fine);
    let poor = annealed(film(0.0, 0.0, 0.0, 0.90), 150.0, 10.0);
    assert!(brightness(&poor).0 < bright / 3.0, "row 20 A/B 0.90: {}", brightness(&poor).0 / bright);
    let mut mixed = one;
    (mixed.alpha, mixed.delta_h) = (0.8, 0.2);
    assert!(brightness(&mixed).0 < bright / 3.0, "row 20 δ 20 %: {}", brightness(&mixed).0 / bright);
}

#[test]
fn row_21_absorbance() {
    let truth = HiddenTruth::nominal();
    for film in [annealed(film(0.0, 0.0, 0.0, 1.0), 150.0, 10.0), annealed(film(0.17, 0.0, 0.25, 1.0), 120.0, 10.0)] {
        let composition = film.composition().unwrap();
        let absorber = Absorber::of(&film, &composition, &truth);
        let slab = slab(&film, &composition, &truth);
        let absorbance = |energy: f64| -(slab.transmittance(energy, absorber.alpha_per_cm(energy)) / 0.92).log10();
        let gap = gap(&film);
        let above = absorbance(gap + 0.3);
        assert!((0.50..=0.80).contains(&above), "row 21: {above} at Eg + 0.3 eV");
        let slope = |energy: f64| absorber.alpha_per_cm(energy + 1e-3) - absorber.alpha_per_cm(energy - 1e-3);
        let energies = (0..200).map(|i| gap - 0.05 + 5e-4 * f64::from(i));
        let inflection = energies.max_by(|a, b| slope(*a).total_cmp(&slope(*b))).unwrap();
        near("row 21 inflection", inflection, gap, 0.010);
        let tail = |energy: f64| absorber.alpha_per_cm(energy).ln();
        let urbach = 0.02 / (tail(gap - 0.08) - tail(gap - 0.10));
        // Alloying adds 4 meV · 4x(1−x) to the tail of the pure compounds.
        let alloy = 0.004 * 4.0 * composition.br * (1.0 - composition.br);
        assert!((0.013..=0.018).contains(&(urbach - alloy)), "row 21: tail {urbach}");
    }
}

#[test]
fn row_27_steps_do_not_matter() {
    let truth = HiddenTruth::nominal();
    for celsius in [100.0, 120.0, 170.0] {
        let mut wet = film(0.1, 0.1, 0.1, 1.0);
        wet.moles.set(Species::Dmf, 2e-5);
        wet.moles.set(Species::Dmso, 5e-6);
        let mut surroundings = around(celsius, 0.0);
        surroundings.lag_s = 30.0;
        let (mut once, mut often) = (wet, wet);
        once.advance(600.0, &surroundings, &truth);
        for _ in 0..600 {
            often.advance(1.0, &surroundings, &truth);
        }
        for (a, b) in once.lead_fractions().iter().zip(often.lead_fractions()) {
            near("row 27", *a, b, 1e-3);
        }
        near("row 27 gap", gap(&once), gap(&often), 1e-4);
    }
}

#[test]
fn row_28_quench_rates() {
    for (rate_k_per_min, expected, tolerance) in [(60.0, 0.992, 0.03), (2.0, 0.03, 0.03), (10.0, 0.85, 0.06)] {
        let mut film = black_caesium();
        let truth = HiddenTruth::nominal();
        let mut celsius = 340.0;
        film.temperature_k = celsius + ZERO_C;
        while celsius > 25.0 {
            celsius -= 0.5;
            film.advance(60.0 * 0.5 / rate_k_per_min, &around(celsius, 0.0), &truth);
        }
        near(&format!("row 28 at {rate_k_per_min} K/min"), alpha(&film), expected, tolerance);
    }
}

#[test]
fn drying_takes_minutes_when_swept_and_ends_dry() {
    let truth = HiddenTruth::nominal();
    let mut wet = film(0.17, 0.0, 0.25, 1.0);
    wet.moles = wet.moles * (8e-7 / wet.moles.of(Species::Lead));
    wet.moles += super::matter::solvent(16.0, 0.2);
    let start = wet.moles.mass_g();
    let mut surroundings = around(25.0, 0.001);
    surroundings.mass_transfer_m_s = 0.005;
    let mut minutes = 0.0;
    let mut previous = start;
    while wet.solvent_per_lead() > 0.01 && minutes < 300.0 {
        wet.advance(60.0, &surroundings, &truth);
        assert!(wet.moles.mass_g() <= previous, "mass never rises while drying");
        previous = wet.moles.mass_g();
        minutes += 1.0;
    }
    assert!((10.0..120.0).contains(&minutes), "dry after {minutes} min");
    let lost = wet.gas.mass_g();
    near("mass balance, g", start - wet.moles.mass_g(), lost, 1e-9);
}

//! Known values of the forward models.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorption::{AbsorptionModel, Edge};
use ppu_spectra::emission::{EmissionLine, thermal_fwhm_ev};
use ppu_spectra::film::{Film, GLASS_TRANSMITTANCE};

fn edge(gap_ev: f64) -> Edge {
    Edge { gap_ev, binding_ev: 0.012, urbach_ev: 0.014, broadening_ev: 0.025 }
}

#[test]
fn absorption_has_the_size_measured_for_methylammonium_lead_iodide() {
    let model = AbsorptionModel::new(edge(1.59)).unwrap();
    let continuum = model.edge().continuum_edge_ev();
    for (above, wanted) in [
        (-0.10, 70.0),
        (-0.05, 2.4e3),
        (0.0, 1.4e4),
        (0.1, 1.9e4),
        (0.3, 2.8e4),
        (0.5, 4.8e4),
        (0.75, 8.5e4),
        (1.0, 1.3e5),
    ] {
        let found = model.alpha_per_cm(continuum + above);
        assert!((found / wanted - 1.0).abs() < 0.06, "{above}: {found} {wanted}");
    }
}

#[test]
fn tail_falls_by_e_each_urbach_energy_and_joins_smoothly() {
    let model = AbsorptionModel::new(edge(1.51)).unwrap();
    let ratio = model.alpha_per_cm(1.40) / model.alpha_per_cm(1.40 - 0.014);
    assert!((ratio - std::f64::consts::E).abs() < 1e-9);
    let mut last = model.alpha_per_cm(1.35);
    let mut last_slope = 1.0 / 0.014;
    for step in 1..=3000 {
        let energy = 1.35 + 1e-4 * f64::from(step);
        let alpha = model.alpha_per_cm(energy);
        let slope = (alpha / last).ln() / 1e-4;
        assert!((slope - last_slope).abs() < 1.5, "kink at {energy}: {slope} after {last_slope}");
        (last, last_slope) = (alpha, slope);
    }
}

#[test]
fn inflection_of_the_edge_is_the_optical_gap() {
    for (gap, binding, tolerance) in [(1.51, 0.012, 4e-3), (1.68, 0.014, 4e-3), (2.3, 0.025, 6e-3)] {
        let model = AbsorptionModel::new(Edge { binding_ev: binding, ..edge(gap) }).unwrap();
        let slope = |energy: f64| model.alpha_per_cm(energy + 1e-3) - model.alpha_per_cm(energy - 1e-3);
        let energies = (0..1000).map(|index| gap - 0.1 + 2e-4 * f64::from(index));
        let steepest = energies.max_by(|a, b| slope(*a).total_cmp(&slope(*b))).unwrap();
        assert!((steepest - gap).abs() < tolerance, "{gap}: {steepest}");
    }
}

#[test]
fn transmittance_of_a_film_is_bounded_by_the_glass() {
    let film = Film { thickness_nm: 450.0, gap_ev: 1.51, coverage: 1.0, scattering: 0.0 };
    let model = AbsorptionModel::new(edge(1.51)).unwrap();
    let clear = film.transmittance(1.2, 0.0);
    assert!(clear < GLASS_TRANSMITTANCE && clear > 0.6, "{clear}");
    let bare = Film { coverage: 0.0, ..film };
    assert!((bare.transmittance(2.0, 1e5) - GLASS_TRANSMITTANCE).abs() < 1e-12);
    // Relative to bare glass, 0.3 eV above the gap: absorption about 0.53 and reflection about 0.15.
    let energy = 1.51 + 0.3;
    let total = -(film.transmittance(energy, model.alpha_per_cm(energy)) / GLASS_TRANSMITTANCE).log10();
    assert!((0.55..0.80).contains(&total), "{total}");
    let scattering = Film { scattering: 0.1, ..film };
    let ratio = scattering.transmittance(HC_EV_NM / 550.0, 0.0) / film.transmittance(HC_EV_NM / 550.0, 0.0);
    assert!((ratio.log10() + 0.1).abs() < 1e-9);
}

#[test]
fn emission_holds_its_photons_in_energy_and_in_wavelength() {
    let line = EmissionLine { peak_ev: 1.495, fwhm_ev: 0.089, asymmetry: 0.1, photons: 1000.0 };
    let by_energy: f64 = (0..20000).map(|index| line.per_ev(1.0 + 5e-5 * f64::from(index)) * 5e-5).sum();
    let by_wavelength: f64 = (0..40000).map(|index| line.per_nm(650.0 + 0.01 * f64::from(index)) * 0.01).sum();
    assert!((by_energy - 1000.0).abs() < 0.5, "{by_energy}");
    assert!((by_wavelength - 1000.0).abs() < 0.5, "{by_wavelength}");
    let half = line.per_ev(1.495) / 2.0;
    let above = |energy: f64| line.per_ev(energy) >= half;
    let width = 1e-5 * (0..30000).filter(|index| above(1.35 + 1e-5 * f64::from(*index))).count() as f64;
    assert!((width - 0.089).abs() < 1e-4);
}

#[test]
fn width_at_room_temperature_is_the_published_one() {
    let width = thermal_fwhm_ev(0.019, 0.040, 0.0115, 298.0);
    assert!((width - 0.089).abs() < 0.002, "{width}");
}

#[test]
fn parameters_without_meaning_are_refused() {
    for bad in [
        Edge { gap_ev: f64::NAN, ..edge(1.5) },
        Edge { gap_ev: 0.0, ..edge(1.5) },
        Edge { binding_ev: -0.01, ..edge(1.5) },
        Edge { urbach_ev: 0.0, ..edge(1.5) },
        Edge { broadening_ev: f64::INFINITY, ..edge(1.5) },
    ] {
        assert!(AbsorptionModel::new(bad).is_err(), "{bad:?}");
    }
    assert!(Film { thickness_nm: -1.0, gap_ev: 1.5, coverage: 1.0, scattering: 0.0 }.check().is_err());
    let line = EmissionLine { peak_ev: 1.5, fwhm_ev: 0.0, asymmetry: 0.1, photons: 1.0 };
    assert!(line.check().is_err());
}

//! What a film scatters into a powder diffractometer (chapter 7): expected counts per second, without noise.

use super::film::Film;
use super::kinetics::{cubic_above_k, edge_a};
use super::matter::Composition;
use super::state::Seat;
use super::truth::HiddenTruth;
use ppu_diffraction::forward::{ForwardError, Grid, PreparedPhase, phase_pattern};
use ppu_diffraction::library::{self, AlphaForm};
use ppu_diffraction::profile::{self, Condition, Instrument, Specimen, Texture};
use ppu_diffraction::structure::{Phase, StructureError};

/// Å³ per cell to cm³/mol.
const CM3_PER_A3: f64 = 0.602_214;
/// Scale that gives the strongest line of a 450 nm film of α-FAPbI3 3000 counts/s.
const SCALE: f64 = 15.8;
/// Attenuation of the solvate for Cu Kα, 1/cm: perovskite diluted by its solvent.
const WET_ATTENUATION: f64 = 600.0;
/// Molar volume of the solvate, cm³ per mol lead.
const WET_VOLUME: f64 = 230.0;
/// Strongest line of pure Cs4PbX6 and of the solvate against the perovskite's, counts/s per volume share.
const CS4_HEIGHT: f64 = 1500.0;
const WET_HEIGHT: f64 = 900.0;

/// Above this temperature a film creeps and keeps no tension, K.
const RELAXES_K: f64 = 373.0;

/// A phase of the film on its way into a pattern.
struct Part {
    phase: Phase,
    condition: Condition,
    /// cm³ per mol of all lead.
    volume: f64,
}

/// Why a pattern cannot be computed: both only with parameters outside what the film can reach.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScatterError {
    #[error("a structure of the film cannot be built")]
    Structure(#[from] StructureError),
    #[error("a pattern of the film cannot be computed")]
    Forward(#[from] ForwardError),
}

/// Background without a specimen, counts/s: air and holder.
pub(crate) fn empty_holder(two_theta: f64) -> f64 {
    12.0 + 180.0 / two_theta
}

/// Hump of the glass substrate, counts/s.
pub(crate) fn glass(two_theta: f64) -> f64 {
    30.0 * gaussian(two_theta, 24.0, 12.0)
}

fn gaussian(x: f64, centre: f64, fwhm: f64) -> f64 {
    (-4.0 * std::f64::consts::LN_2 * ((x - centre) / fwhm).powi(2)).exp()
}

/// Expected count rate of the film alone at each point of a scan, counts/s.
pub(crate) fn film_rate(
    film: &Film,
    seat: &Seat,
    truth: &HiddenTruth,
    instrument: &Instrument,
    grid: &Grid,
) -> Result<Vec<f64>, ScatterError> {
    let mut rate = vec![0.0; grid.points];
    let Some(composition) = film.composition() else { return Ok(rate) };
    let [wet, _, _, _, _, zero_dimensional] = film.lead_fractions();
    let thickness_nm = film.thickness_nm(truth);
    let parts = parts(film, &composition, thickness_nm, truth)?;
    let solid: f64 = parts.iter().map(|part| part.volume).sum();
    let total = solid + wet * WET_VOLUME + zero_dimensional * 4.0 * 110.0;
    if total <= 0.0 {
        return Ok(rate);
    }
    let attenuation = parts.iter().map(|part| part.volume * part.phase.linear_attenuation_per_cm()).sum::<f64>()
        + (total - solid) * WET_ATTENUATION;
    let layer = profile::Film { attenuation_per_cm: attenuation / total, thickness_nm };
    let specimen = Specimen { displacement_mm: seat.displacement_um * 1e-3, film: Some(layer) };
    for part in &parts {
        let prepared = PreparedPhase::new(&part.phase, instrument, grid)?;
        let pattern = phase_pattern(&prepared, &part.condition, instrument, &specimen, grid)?;
        let weight = SCALE * film.coverage * part.volume / total / part.phase.cell_volume_a3().powi(2);
        for (sum, value) in rate.iter_mut().zip(pattern) {
            *sum += weight * value;
        }
    }
    let shift = |two_theta: f64| {
        instrument.zero_deg
            - (2.0 * specimen.displacement_mm / instrument.radius_mm * (two_theta / 2.0).to_radians().cos())
                .to_degrees()
    };
    let wet_share = film.coverage * wet * WET_VOLUME / total;
    let cs4_share = film.coverage * zero_dimensional * 440.0 / total;
    for (i, sum) in rate.iter_mut().enumerate() {
        let angle = grid.two_theta(i);
        let film_factor = profile::film_factor(layer.optical_thickness(), (angle / 2.0).to_radians().sin());
        let line = |centre: f64, width: f64| gaussian(angle, centre + shift(centre), width);
        if wet_share > 0.0 {
            let lines: f64 = [6.6, 7.2, 9.2].iter().map(|centre| line(*centre, 0.15)).sum();
            *sum += wet_share * film_factor * (WET_HEIGHT * lines + 150.0 * gaussian(angle, 28.0, 8.0));
        }
        if cs4_share > 0.0 {
            let lines: f64 = CS4_LINES.iter().map(|(centre, height)| height / 100.0 * line(*centre, 0.2)).sum();
            *sum += cs4_share * film_factor * CS4_HEIGHT * lines;
        }
    }
    Ok(rate)
}

/// Cs4PbBr6, 2θ and relative intensity (chapter 3).
const CS4_LINES: [(f64, f64); 7] =
    [(12.6, 60.0), (12.9, 30.0), (22.4, 60.0), (25.4, 80.0), (27.5, 60.0), (28.6, 100.0), (30.3, 80.0)];

/// The form of α at a temperature: cubic, tetragonal or orthorhombic (chapter 3).
pub(crate) fn alpha_form(composition: &Composition, temperature_k: f64) -> AlphaForm {
    let limit = cubic_above_k(composition);
    if temperature_k >= limit {
        AlphaForm::Cubic
    } else if temperature_k >= 0.81 * limit {
        AlphaForm::Tetragonal
    } else {
        AlphaForm::Orthorhombic
    }
}

fn parts(
    film: &Film,
    composition: &Composition,
    thickness_nm: f64,
    truth: &HiddenTruth,
) -> Result<Vec<Part>, ScatterError> {
    let [_, alpha, delta_h, delta_o, salt, _] = film.lead_fractions();
    let size = 0.4 * film.grain_nm.min(thickness_nm.max(1.0));
    let br = composition.br;
    let microstrain = 0.0015 + 0.0025 * (-film.anneal_min / 10.0).exp() + 0.001 * 4.0 * br * (1.0 - br);
    let textured = |axis: [i32; 3], r: f64| Condition {
        crystallite_size_nm: size,
        microstrain,
        texture: Some(Texture { axis, r }),
    };
    let plain = Condition { crystallite_size_nm: size, microstrain, texture: None };
    let mut parts = Vec::new();
    if alpha > 1e-6 {
        let form = alpha_form(composition, film.temperature_k);
        // Cooling from the temperature of crystallisation pulls the film in its plane and thins its planes.
        let tension = (4.7e-5 - 0.9e-5) * (film.crystallised_k.min(RELAXES_K) - film.temperature_k).max(0.0);
        let edge = edge_a(composition, film.temperature_k, truth) * (1.0 - 0.86 * 0.4 * tension);
        let a_site = (composition.cs, composition.fa, composition.ma);
        let phase = library::alpha(form, &library::Composition::new(a_site.0, a_site.1, a_site.2, br, 0.0)?, edge)?;
        let volume = alpha * edge.powi(3) * CM3_PER_A3;
        parts.push(Part { phase, condition: textured(form.texture_axis(), truth.texture_alpha), volume });
    }
    if delta_h > 1e-6 {
        let phase = library::delta_h(br)?;
        let volume = delta_h * phase.cell_volume_a3() / 2.0 * CM3_PER_A3;
        parts.push(Part { phase, condition: textured([0, 0, 1], 1.3), volume });
    }
    if delta_o > 1e-6 {
        let phase = library::delta_o(br)?;
        let volume = delta_o * phase.cell_volume_a3() / 4.0 * CM3_PER_A3;
        parts.push(Part { phase, condition: plain, volume });
    }
    if salt * (1.0 - br) > 1e-6 {
        let phase = library::lead_iodide()?;
        let volume = salt * (1.0 - br) * phase.cell_volume_a3() * CM3_PER_A3;
        parts.push(Part { phase, condition: textured([0, 0, 1], 0.4), volume });
    }
    if salt * br > 1e-6 {
        let phase = library::lead_bromide()?;
        let volume = salt * br * phase.cell_volume_a3() / 4.0 * CM3_PER_A3;
        parts.push(Part { phase, condition: plain, volume });
    }
    let caesium_salt = composition.residual_salt_per_lead() * composition.cs;
    if caesium_salt > 1e-6 {
        let phase = library::caesium_halide(br)?;
        let volume = caesium_salt * phase.cell_volume_a3() * CM3_PER_A3;
        parts.push(Part { phase, condition: plain, volume });
    }
    Ok(parts)
}

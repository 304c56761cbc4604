//! `ppu spectrum`: absorption edges of a film, or its emission line, from a file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ppu_spectra::HC_EV_NM;
use ppu_spectra::absorbance::{Absorbance, Point};
use ppu_spectra::fringes::fringes;
use ppu_spectra::gap::{EdgeModel, EdgeModels, GapSettings, elliott, several_edges, urbach_tail};
use ppu_spectra::jcamp;
use ppu_spectra::photoluminescence::{Photoluminescence, PlSettings, photoluminescence};
use ppu_spectra::raw::{Detector, Exposure};
use serde_json::{Value, json};

use crate::exit;

/// What to look for in a spectrum.
#[derive(Debug, Subcommand)]
pub(crate) enum SpectrumVerb {
    /// Absorption edges by direct, indirect and excitonic models with their weights.
    Edge(SpectrumArguments),
    /// Peak, width and intensity of the emission line.
    Pl(SpectrumArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SpectrumArguments {
    /// JCAMP-DX, or two columns of text: wavelength in nm and absorbance (edge) or counts (pl).
    file: PathBuf,
    /// Values are transmittance from 0 to 1; a file that says so itself needs no flag.
    #[arg(long)]
    transmittance: bool,
    /// Values are diffuse reflectance from 0 to 1 (edge): the Kubelka-Munk function stands for the absorbance.
    #[arg(long, conflicts_with = "transmittance")]
    reflectance: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: SpectrumVerb) -> anyhow::Result<u8> {
    let (value, lines, arguments) = match &verb {
        SpectrumVerb::Edge(arguments) => {
            let (value, lines) = edge(arguments)?;
            (value, lines, arguments)
        }
        SpectrumVerb::Pl(arguments) => {
            let (value, lines) = emission(arguments)?;
            (value, lines, arguments)
        }
    };
    print(&if arguments.json { vec![value.to_string()] } else { lines });
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "the result is the data that was asked for")]
fn print(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

fn invalid(path: &Path, error: impl std::fmt::Display) -> anyhow::Error {
    exit::coded(exit::INVALID, format!("{}: {error}", path.display()))
}

/// A spectrum by rising wavelength in nm, and whether the file says that it is transmittance (1 for a full scale of 1, 100 for
/// per cent).
struct Columns {
    points: Vec<(f64, f64)>,
    transmittance: Option<f64>,
    notes: Vec<String>,
}

fn read(path: &Path) -> anyhow::Result<Columns> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::coded(exit::NOT_FOUND, format!("{} does not exist", path.display())),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
    })?;
    let mut columns =
        if bytes.trim_ascii_start().starts_with(b"##") { from_jcamp(path, &bytes)? } else { from_text(path, &bytes)? };
    columns.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    columns.points.dedup_by(|a, b| a.0 == b.0);
    if columns.points.len() < 2 {
        return Err(invalid(path, "it holds no spectrum"));
    }
    Ok(columns)
}

fn from_jcamp(path: &Path, bytes: &[u8]) -> anyhow::Result<Columns> {
    let spectrum = jcamp::read(bytes).map_err(|error| invalid(path, error))?.swap_remove(0);
    let to_nm: fn(f64) -> f64 = match spectrum.x_units.as_str() {
        "NANOMETERS" | "NM" | "NANOMETRES" => |x| x,
        "MICROMETERS" => |x| 1000.0 * x,
        "1/CM" => |x| 1e7 / x,
        "EV" | "ELECTRONVOLTS" => |x| HC_EV_NM / x,
        other => return Err(invalid(path, format!("abscissae in `{other}` are no wavelengths"))),
    };
    let transmittance = match spectrum.y_units.as_str() {
        "TRANSMITTANCE" => Some(1.0),
        "%T" | "% TRANSMITTANCE" | "PERCENT TRANSMITTANCE" => Some(100.0),
        _ => None,
    };
    let points = spectrum
        .x
        .iter()
        .zip(&spectrum.y)
        .map(|(x, y)| (to_nm(*x), *y))
        .filter(|(x, y)| x.is_finite() && y.is_finite());
    Ok(Columns { points: points.collect(), transmittance, notes: spectrum.warnings })
}

fn from_text(path: &Path, bytes: &[u8]) -> anyhow::Result<Columns> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| invalid(path, format!("no text at byte {}", error.valid_up_to())))?;
    let mut points = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        let words: Vec<&str> = line.split([',', ';', '\t', ' ']).filter(|word| !word.is_empty()).collect();
        let numbers: Option<Vec<f64>> = words.iter().take(2).map(|word| word.parse().ok()).collect();
        match numbers.as_deref() {
            Some([x, y]) if x.is_finite() && y.is_finite() => points.push((*x, *y)),
            _ if line.is_empty() || line.starts_with('#') || points.is_empty() => {}
            _ => return Err(invalid(path, format!("line {} holds no two numbers", index + 1))),
        }
    }
    Ok(Columns { points, transmittance: None, notes: Vec::new() })
}

/// Noise of a column from the scatter of its second differences.
fn noise(values: &[f64]) -> f64 {
    let mut squares: Vec<f64> = values.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).powi(2) / 6.0).collect();
    squares.sort_by(f64::total_cmp);
    // The median of a squared standard normal deviate is 0.455; digits alone leave at least some 1e-5.
    squares.get(squares.len() / 2).map_or(1e-3, |median| (median / 0.455).sqrt().max(1e-5))
}

/// The absorbance that a file holds, and what to know about the file.
fn absorbance(arguments: &SpectrumArguments) -> anyhow::Result<(Absorbance, Vec<String>)> {
    let columns = read(&arguments.file)?;
    let scale = columns.transmittance.or(arguments.transmittance.then_some(1.0));
    let spectrum = if arguments.reflectance {
        let u = noise(&columns.points.iter().map(|point| point.1).collect::<Vec<_>>());
        let points: Vec<(f64, f64, f64)> = columns.points.iter().map(|point| (point.0, point.1, u)).collect();
        Absorbance::from_reflectance(&points, 0.3)
    } else {
        let points: Vec<(f64, f64)> = match scale {
            Some(full) => columns.points.iter().filter(|p| p.1 > 0.0).map(|p| (p.0, -(p.1 / full).log10())).collect(),
            None => columns.points,
        };
        let u = noise(&points.iter().map(|point| point.1).collect::<Vec<_>>());
        let point = |(wavelength_nm, absorbance)| Point { wavelength_nm, absorbance, u };
        Absorbance::from_points(points.into_iter().map(point).collect(), 0.3)
    };
    Ok((spectrum.map_err(|error| invalid(&arguments.file, error))?, columns.notes))
}

fn model_name(model: EdgeModel) -> &'static str {
    match model {
        EdgeModel::Direct => "direct",
        EdgeModel::Indirect => "indirect",
        EdgeModel::Excitonic => "excitonic",
    }
}

fn edge_json(edge: &EdgeModels) -> Value {
    let model = |(model, weight, gap, u): &(EdgeModel, f64, f64, f64)| json!({ "model": model_name(*model), "weight": weight, "gap_ev": gap, "u_stat_ev": u });
    json!({
        "gap_ev": edge.gap_ev.value,
        "u_stat_ev": edge.gap_ev.u_stat,
        "u_total_ev": edge.gap_ev.u_total,
        "step": edge.step,
        "probability": edge.probability,
        "urbach_ev": edge.urbach_ev.map(|urbach| urbach.value),
        "models": edge.models.iter().map(model).collect::<Vec<_>>(),
    })
}

fn edge(arguments: &SpectrumArguments) -> anyhow::Result<(Value, Vec<String>)> {
    let (spectrum, notes) = absorbance(arguments)?;
    let settings = GapSettings::default();
    let found = several_edges(&spectrum, &settings).map_err(|error| invalid(&arguments.file, error))?;
    let mut lines = vec!["   gap / eV   u(total)   model       weight   step".to_owned()];
    for edge in &found.edges {
        let weight = edge.models.iter().find(|entry| entry.0 == edge.model).map_or(0.0, |entry| entry.1);
        lines.push(format!(
            "{:>11.4}   {:>8.4}   {:<9}   {weight:>6.3}   {:<6.3}",
            edge.gap_ev.value,
            edge.gap_ev.u_total,
            model_name(edge.model),
            edge.step
        ));
    }
    let lowest = found.edges.first().map_or(1.5, |edge| edge.gap_ev.value);
    let (tail, tail_json) = tail(&spectrum, &settings);
    let (excitonic, excitonic_json) = excitonic(&spectrum, &settings);
    lines.extend([tail, excitonic]);
    let thickness = fringes(&spectrum, (lowest - 0.6).max(0.8), lowest - 0.15, lowest).ok();
    if let Some(thickness) = &thickness {
        let t = thickness.thickness_nm;
        lines.push(format!("fringes      {:.0} ± {:.0} nm", t.value, t.u_total));
    }
    let flags: Vec<String> = found.flags.iter().map(ToString::to_string).chain(notes).collect();
    lines.extend(flags.iter().map(|flag| format!("note: {flag}")));
    let value = json!({
        "edges": found.edges.iter().map(edge_json).collect::<Vec<_>>(),
        "count_probability": found.count,
        "urbach_tail": tail_json,
        "elliott": excitonic_json,
        "thickness_nm": thickness.map(|found| found.thickness_nm.value),
        "flags": flags,
    });
    Ok((value, lines))
}

/// Flags behind a result, in brackets.
fn remarks(flags: &[String]) -> String {
    if flags.is_empty() { String::new() } else { format!("   ({})", flags.join("; ")) }
}

/// The exponential tail below the lowest edge, or why there is none.
fn tail(spectrum: &Absorbance, settings: &GapSettings) -> (String, Value) {
    match urbach_tail(spectrum, settings) {
        Ok(tail) => {
            let flags: Vec<String> = tail.flags.iter().map(ToString::to_string).collect();
            let energy = tail.energy_ev;
            let (from, to) = tail.window_ev;
            let line = format!(
                "Urbach tail  {:.1} ± {:.1} meV from {from:.3} to {to:.3} eV, {:.1} e-foldings{}",
                1e3 * energy.value,
                1e3 * energy.u_total,
                tail.e_folds,
                remarks(&flags)
            );
            let value = json!({
                "urbach_ev": energy.value, "u_stat_ev": energy.u_stat, "u_total_ev": energy.u_total,
                "window_ev": [from, to], "e_folds": tail.e_folds, "flags": flags,
            });
            (line, value)
        }
        Err(error) => (format!("Urbach tail  none: {error}"), json!({ "error": error.to_string() })),
    }
}

/// The excitonic fit of the tallest edge, or why there is none.
fn excitonic(spectrum: &Absorbance, settings: &GapSettings) -> (String, Value) {
    match elliott(spectrum, settings) {
        Ok(fit) => {
            let flags: Vec<String> = fit.flags.iter().map(ToString::to_string).collect();
            let line = format!(
                "Elliott fit  gap {:.4} ± {:.4} eV, binding {:.0} ± {:.0} meV, broadening {:.1} ± {:.1} meV{}",
                fit.gap_ev.value,
                fit.gap_ev.u_total,
                1e3 * fit.binding_ev.value,
                1e3 * fit.binding_ev.u_total,
                1e3 * fit.broadening_ev.value,
                1e3 * fit.broadening_ev.u_total,
                remarks(&flags)
            );
            let value = json!({
                "gap_ev": fit.gap_ev.value, "u_gap_ev": fit.gap_ev.u_total,
                "binding_ev": fit.binding_ev.value, "u_binding_ev": fit.binding_ev.u_total,
                "broadening_ev": fit.broadening_ev.value, "u_broadening_ev": fit.broadening_ev.u_total,
                "reduced_chi_squared": fit.reduced_chi_squared, "flags": flags,
            });
            (line, value)
        }
        Err(error) => (format!("Elliott fit  none: {error}"), json!({ "error": error.to_string() })),
    }
}

fn emission(arguments: &SpectrumArguments) -> anyhow::Result<(Value, Vec<String>)> {
    let columns = read(&arguments.file)?;
    let axis: Vec<f64> = columns.points.iter().map(|point| point.0).collect();
    let counts: Vec<f64> = columns.points.iter().map(|point| point.1).collect();
    // A finished spectrum carries no detector: its scatter stands for the read noise, and counts are electrons.
    let sigma = noise(&counts);
    let most = counts.iter().copied().fold(1.0, f64::max);
    let detector = Detector {
        gain_counts_per_electron: 1.0,
        read_noise_electrons: sigma.max(1e-3),
        baseline_counts: 0.0,
        saturation_counts: 1e3 * most,
        ..Detector::ocean_like()
    };
    let exposure = |counts: Vec<f64>| Exposure { counts, integration_s: 1.0, averages: 1 };
    let (from, to) = (axis[0], axis[axis.len() - 1]);
    let settings = PlSettings { range_nm: (from, to) };
    let found =
        photoluminescence(&axis, &exposure(counts.clone()), &exposure(vec![0.0; axis.len()]), &detector, &settings)
            .map_err(|error| invalid(&arguments.file, error))?;
    Ok(match found {
        Photoluminescence::Emission(peak) => {
            let flags: Vec<String> = peak.flags.iter().map(ToString::to_string).chain(columns.notes).collect();
            let mut lines = vec![
                format!(
                    "peak       {:.4} ± {:.4} eV  ({:.1} nm)",
                    peak.peak_ev.value,
                    peak.peak_ev.u_total,
                    HC_EV_NM / peak.peak_ev.value
                ),
                format!("width      {:.1} ± {:.1} meV", 1e3 * peak.fwhm_ev.value, 1e3 * peak.fwhm_ev.u_total),
                format!(
                    "intensity  {:.4e} ± {:.1e} counts nm",
                    peak.electrons_per_s.value, peak.electrons_per_s.u_total
                ),
            ];
            lines.extend(flags.iter().map(|flag| format!("note: {flag}")));
            let value = json!({
                "peak_ev": peak.peak_ev.value, "u_peak_ev": peak.peak_ev.u_total,
                "fwhm_ev": peak.fwhm_ev.value, "u_fwhm_ev": peak.fwhm_ev.u_total,
                "intensity": peak.electrons_per_s.value, "u_intensity": peak.electrons_per_s.u_total,
                "flags": flags,
            });
            (value, lines)
        }
        Photoluminescence::NoEmission { upper_limit_electrons_per_s: limit, confidence } => {
            let line = format!("no emission: below {limit:.3e} counts nm with {:.0} % confidence", 100.0 * confidence);
            (json!({ "upper_limit": limit, "confidence": confidence }), vec![line])
        }
    })
}

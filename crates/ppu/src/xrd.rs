//! `ppu xrd`: a pattern fitted with given phases, or identified against a folder of structures.

mod plot;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ppu_diffraction::cif;
use ppu_diffraction::formats::{self, Report, ReportedPhase, Scan, pdcif};
use ppu_diffraction::identify::{Identification, Review, Settings as IdentifySettings, StickLibrary, identify};
use ppu_diffraction::profile::{CU_K_ALPHA, Instrument};
use ppu_diffraction::refine::{self, Candidate, InstrumentPriors, Refinement, Verdict};
use ppu_diffraction::structure::{Cell, Phase};
use serde_json::{Value, json};

use crate::exit;

/// What to do with a pattern.
#[derive(Debug, Subcommand)]
pub(crate) enum XrdVerb {
    /// Fits a pattern with the phases of the given CIF files: weight fractions, cells, sizes.
    Fit(FitArguments),
    /// Finds which structures of a folder are in a pattern, and whether something else is.
    Identify(IdentifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PatternArguments {
    /// The pattern: .xrdml, .brml, .raw, .ras, .rasx, powder .cif, .xye or columns of text.
    pattern: PathBuf,
    /// Which scan of the file, from 1.
    #[arg(long, default_value_t = 1)]
    scan: usize,
    /// Goniometer radius in mm; the file's, or 145.
    #[arg(long)]
    radius_mm: Option<f64>,
    /// 2θ of the monochromator crystal in degrees (26.6 for graphite and copper); without one if left out.
    #[arg(long)]
    monochromator_deg: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Draw observed, calculated, difference and line positions.
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    #[command(flatten)]
    pattern: PatternArguments,
    /// CIF files of the phases.
    #[arg(long, required = true, num_args = 1..)]
    phases: Vec<PathBuf>,
    /// Write the result as powder CIF.
    #[arg(long)]
    cif: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct IdentifyArguments {
    #[command(flatten)]
    pattern: PatternArguments,
    /// Folder of CIF files.
    #[arg(long)]
    library: PathBuf,
}

pub(crate) fn run(verb: XrdVerb) -> anyhow::Result<u8> {
    match verb {
        XrdVerb::Fit(arguments) => fit(&arguments),
        XrdVerb::Identify(arguments) => find(&arguments),
    }
}

/// Lines for people: bold headings where a terminal shows them.
struct Paper {
    terminal: bool,
}

impl Paper {
    fn bold(&self, text: &str) -> String {
        if self.terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn colour(&self, code: u8, text: &str) -> String {
        if self.terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[expect(clippy::print_stdout, reason = "the result is the data that was asked for")]
fn print(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::coded(exit::NOT_FOUND, format!("{} does not exist", path.display())),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
    })
}

/// Causes of an error in one sentence: readers state the place in their source.
fn invalid(path: &Path, error: &dyn std::error::Error) -> anyhow::Error {
    let mut text = format!("{}: {error}", path.display());
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    exit::coded(exit::INVALID, text)
}

fn read_scan(arguments: &PatternArguments) -> anyhow::Result<Scan> {
    let path = &arguments.pattern;
    let mut scans = formats::read(&bytes(path)?, &path.to_string_lossy()).map_err(|error| invalid(path, &error))?;
    let count = scans.len();
    if arguments.scan == 0 || arguments.scan > count {
        return Err(exit::coded(exit::NOT_FOUND, format!("{} holds {count} scans", path.display())));
    }
    Ok(scans.swap_remove(arguments.scan - 1))
}

fn read_phase(path: &Path) -> anyhow::Result<(String, Phase)> {
    let content = bytes(path)?;
    let text = String::from_utf8_lossy(&content);
    let structure = cif::read_structure(&text).map_err(|error| invalid(path, &error))?;
    for warning in &structure.warnings {
        eprintln!("ppu: {}: {warning}", path.display());
    }
    let name = path.file_stem().map_or_else(|| structure.block.clone(), |stem| stem.to_string_lossy().into_owned());
    Ok((name.clone(), structure.phase.renamed(&name)))
}

fn radius(arguments: &PatternArguments, scan: &Scan) -> f64 {
    arguments.radius_mm.or(scan.radius_mm).unwrap_or(145.0)
}

/// K of the polarisation factor of a mosaic monochromator.
fn polarisation(arguments: &PatternArguments) -> f64 {
    arguments.monochromator_deg.map_or(1.0, |two_theta| two_theta.to_radians().cos().powi(2))
}

fn fit(arguments: &FitArguments) -> anyhow::Result<u8> {
    let options = &arguments.pattern;
    let scan = read_scan(options)?;
    let phases = arguments.phases.iter().map(|path| read_phase(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let candidates: Vec<Candidate> = phases.iter().map(|(_, phase)| Candidate::new(phase.clone())).collect();
    let priors = InstrumentPriors::laboratory(radius(options, &scan), polarisation(options));
    let settings = refine::Settings::new(priors);
    let start = Instant::now();
    let found = refine::refine(&scan.pattern, &candidates, &settings, &|| start.elapsed())
        .map_err(|error| invalid(&options.pattern, &error))?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &options.svg {
        let observed = nearest(&scan, &found.two_theta);
        let rows: Vec<(String, Vec<f64>)> = found
            .phases
            .iter()
            .zip(&phases)
            .map(|(fit, (name, phase))| {
                let label = format!("{name}  {:.1} wt%", 100.0 * fit.fraction.weight.value);
                (label, positions(phase, &fit.cell, found.displacement_mm, radius(options, &scan)))
            })
            .collect();
        let title = format!("{}  ·  Rwp {:.1} %", file_name(&options.pattern), 100.0 * found.r_wp);
        let curves = plot::Curves {
            x: &found.two_theta,
            observed: &observed,
            calculated: &found.calculated,
            background: &found.background,
        };
        write(path, &plot::svg(&title, &curves, &rows))?;
    }
    if let Some(path) = &arguments.cif {
        write(path, &powder_cif(&options.pattern, &scan, &found))?;
    }
    if options.json {
        print(&[fit_json(&scan, &found, seconds).to_string()]);
    } else {
        print(&fit_lines(&options.pattern, &scan, &found, seconds));
    }
    Ok(if matches!(found.verdict, Verdict::Converged | Verdict::BudgetHit { .. }) { 0 } else { exit::FAILURE })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Observed intensity at the angles that a fit used.
fn nearest(scan: &Scan, angles: &[f64]) -> Vec<f64> {
    let (x, y) = (scan.pattern.two_theta(), scan.pattern.intensity());
    angles.iter().map(|angle| y[x.partition_point(|x| *x < angle - 1e-9).min(y.len() - 1)]).collect()
}

/// Kα1 positions of a phase in a fitted cell, the displacement of the specimen included.
fn positions(phase: &Phase, cell: &Cell, displacement_mm: f64, radius_mm: f64) -> Vec<f64> {
    let Ok(phase) = phase.with_cell(*cell) else { return Vec::new() };
    let place = |d: f64| {
        let theta = (CU_K_ALPHA[0] / (2.0 * d)).asin();
        (2.0 * theta - 2.0 * displacement_mm * theta.cos() / radius_mm).to_degrees()
    };
    phase.reflections(0.5 * CU_K_ALPHA[0] * 1.01).iter().map(|reflection| place(reflection.d)).collect()
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Converged => "converged".to_owned(),
        Verdict::BudgetHit { iterations } => format!("stopped by its budget after {iterations} iterations"),
        Verdict::AtLimit { parameters } => format!("at the limit of its range: {}", parameters.join(", ")),
        Verdict::Implausible { reasons } => format!("implausible: {}", reasons.join("; ")),
        Verdict::NothingThere => "no phase stands out from the background".to_owned(),
    }
}

fn powder_cif(path: &Path, scan: &Scan, found: &Refinement) -> String {
    let phases: Vec<ReportedPhase> = found
        .phases
        .iter()
        .map(|phase| ReportedPhase {
            name: phase.name.clone(),
            cell: phase.cell,
            cell_u: Some(phase.edges.map(|edge| edge.u_total)),
            weight_fraction: Some(phase.fraction.weight.value),
            weight_fraction_u: Some(phase.fraction.weight.u_total),
        })
        .collect();
    let whole = found.calculated.len() == scan.pattern.len();
    pdcif::write(&Report {
        name: &path.file_stem().unwrap_or_default().to_string_lossy(),
        pattern: &scan.pattern,
        calculated: whole.then_some(&found.calculated),
        background: whole.then_some(&found.background),
        wavelengths: &[(CU_K_ALPHA[0], 1.0), (CU_K_ALPHA[1], 0.5)],
        phases: &phases,
        verdict: &verdict_words(&found.verdict),
        reduced_chi_squared: Some(found.reduced_chi_squared),
        software: concat!("ppu ", env!("CARGO_PKG_VERSION")),
    })
}

fn fit_json(scan: &Scan, found: &Refinement, seconds: f64) -> Value {
    let phases: Vec<Value> = found
        .phases
        .iter()
        .map(|phase| {
            let weight = phase.fraction.weight;
            json!({
                "name": phase.name,
                "detected": phase.detected,
                "weight_fraction": weight.value,
                "u_stat": weight.u_stat,
                "u_total": weight.u_total,
                "cell_a": [phase.cell.a, phase.cell.b, phase.cell.c],
                "u_cell_a": phase.edges.map(|edge| edge.u_total),
                "angles_deg": [phase.cell.alpha, phase.cell.beta, phase.cell.gamma],
                "crystallite_size_nm": phase.crystallite_size_nm,
            })
        })
        .collect();
    json!({
        "verdict": verdict_words(&found.verdict),
        "r_wp": found.r_wp,
        "reduced_chi_squared": found.reduced_chi_squared,
        "iterations": found.iterations,
        "seconds": seconds,
        "displacement_mm": found.displacement_mm,
        "phases": phases,
        "flags": found.flags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "warnings": scan.warnings,
    })
}

fn fit_lines(path: &Path, scan: &Scan, found: &Refinement, seconds: f64) -> Vec<String> {
    let paper = Paper { terminal: std::io::stdout().is_terminal() };
    let good = matches!(found.verdict, Verdict::Converged);
    let mut lines = vec![heading(&paper, path, scan)];
    let words = verdict_words(&found.verdict);
    lines.push(format!(
        "{}  Rwp {:.2} %  χ² {:.2}  {} iterations  {seconds:.2} s  displacement {:+.3} mm",
        paper.colour(if good { 32 } else { 33 }, &words),
        100.0 * found.r_wp,
        found.reduced_chi_squared,
        found.iterations,
        found.displacement_mm
    ));
    lines.push(String::new());
    let width = found.phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(5).max(5);
    lines.push(
        paper.bold(&format!("{:<width$}    wt%   u(total)      a / Å       b / Å       c / Å   size / nm", "phase")),
    );
    for phase in &found.phases {
        let weight = phase.fraction.weight;
        let edges: Vec<String> = phase.edges.iter().map(|edge| format!("{:>10.5}", edge.value)).collect();
        let mark = if phase.detected { "" } else { "  not detected" };
        lines.push(format!(
            "{:<width$}  {:>5.1}      {:>5.1}  {}       {:>5.0}{mark}",
            phase.name,
            100.0 * weight.value,
            100.0 * weight.u_total,
            edges.join("  "),
            phase.crystallite_size_nm.min(99_999.0)
        ));
    }
    notes(&mut lines, &paper, found.flags.iter().map(ToString::to_string).chain(scan.warnings.iter().cloned()));
    lines
}

fn heading(paper: &Paper, path: &Path, scan: &Scan) -> String {
    let x = scan.pattern.two_theta();
    let counting = scan.counting_time_s.map_or_else(String::new, |seconds| format!(", {seconds:.3} s a point"));
    format!("{}  {} points, {:.2}° to {:.2}°{counting}", paper.bold(&file_name(path)), x.len(), x[0], x[x.len() - 1])
}

fn notes(lines: &mut Vec<String>, paper: &Paper, notes: impl Iterator<Item = String>) {
    let mut first = true;
    for note in notes {
        if std::mem::take(&mut first) {
            lines.push(String::new());
        }
        lines.push(format!("{} {note}", paper.colour(33, "note:")));
    }
}

fn find(arguments: &IdentifyArguments) -> anyhow::Result<u8> {
    let options = &arguments.pattern;
    let scan = read_scan(options)?;
    let structures = library(&arguments.library)?;
    let instrument =
        Instrument { radius_mm: radius(options, &scan), polarisation_k: polarisation(options), ..Instrument::aeris() };
    let x = scan.pattern.two_theta();
    let start = Instant::now();
    let sticks = StickLibrary::new(&structures, &instrument, x[x.len() - 1])
        .map_err(|error| invalid(&options.pattern, &error))?;
    let found = identify(&scan.pattern, &sticks, &IdentifySettings::default())
        .map_err(|error| invalid(&options.pattern, &error))?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &options.svg {
        let best = &found.sets[0];
        let rows: Vec<(String, Vec<f64>)> = best
            .phases
            .iter()
            .map(|phase| {
                let label = format!("{}  {:.0} wt%", phase.name, 100.0 * phase.weight_fraction);
                (
                    label,
                    positions(&structures[phase.candidate].1, &phase.cell, found.displacement_mm, instrument.radius_mm),
                )
            })
            .collect();
        let title = format!("{}  ·  probability {:.3}", file_name(&options.pattern), best.probability);
        let curves = plot::Curves {
            x: &found.two_theta,
            observed: &found.observed,
            calculated: &found.calculated,
            background: &found.background,
        };
        write(path, &plot::svg(&title, &curves, &rows))?;
    }
    if options.json {
        print(&[identify_json(&found, seconds).to_string()]);
    } else {
        print(&identify_lines(&options.pattern, &scan, &found, structures.len(), seconds));
    }
    Ok(if found.review.is_empty() { 0 } else { exit::FAILURE })
}

/// Every readable structure of a folder, by name; what cannot be read is named on stderr.
fn library(folder: &Path) -> anyhow::Result<Vec<(String, Phase)>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|_| exit::coded(exit::NOT_FOUND, format!("{} is no folder that can be read", folder.display())))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("cif")) {
            match read_phase(&path) {
                Ok(phase) => found.push(phase),
                Err(error) => eprintln!("ppu: left out: {}", exit::sentence(&error)),
            }
        }
    }
    if found.is_empty() {
        return Err(exit::coded(exit::NOT_FOUND, format!("{} holds no usable CIF file", folder.display())));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn review_words(review: &Review) -> String {
    match review {
        Review::Undecided { probability } => {
            format!("undecided: the best set has a probability of only {probability:.2}")
        }
        Review::UnknownPhase { probability } => {
            format!("a phase that the library does not hold is probably there (probability {probability:.2})")
        }
        Review::NothingFound => "nothing of the library was found".to_owned(),
    }
}

fn identify_json(found: &Identification, seconds: f64) -> Value {
    let sets: Vec<Value> = found
        .sets
        .iter()
        .take(10)
        .map(|set| {
            let phase = |phase: &ppu_diffraction::identify::FoundPhase| {
                json!({
                    "name": phase.name,
                    "weight_fraction": phase.weight_fraction,
                    "u_weight_fraction": phase.u_weight_fraction,
                    "cell_a": [phase.cell.a, phase.cell.b, phase.cell.c],
                    "angles_deg": [phase.cell.alpha, phase.cell.beta, phase.cell.gamma],
                })
            };
            json!({
                "probability": set.probability,
                "phases": set.phases.iter().map(phase).collect::<Vec<_>>(),
                "traces": set.traces.iter().map(phase).collect::<Vec<_>>(),
                "reduced_chi_squared": set.reduced_chi_squared,
            })
        })
        .collect();
    json!({
        "sets": sets,
        "unknown_probability": found.unknown_probability,
        "unexplained_deg": found.unexplained.iter().map(|peak| peak.two_theta_deg).collect::<Vec<_>>(),
        "misfit": found.misfit,
        "review": found.review.iter().map(review_words).collect::<Vec<_>>(),
        "seconds": seconds,
    })
}

fn identify_lines(path: &Path, scan: &Scan, found: &Identification, candidates: usize, seconds: f64) -> Vec<String> {
    let paper = Paper { terminal: std::io::stdout().is_terminal() };
    let mut lines = vec![heading(&paper, path, scan)];
    lines.push(format!("{candidates} candidates, {} short fits, {seconds:.2} s", found.fits));
    lines.push(String::new());
    lines.push(paper.bold("probability   phases (wt%)"));
    for set in found.sets.iter().filter(|set| set.probability > 0.001).take(5) {
        let name = |phase: &ppu_diffraction::identify::FoundPhase| {
            format!("{} {:.1} ± {:.1}", phase.name, 100.0 * phase.weight_fraction, 100.0 * phase.u_weight_fraction)
        };
        let mut names: Vec<String> = set.phases.iter().map(name).collect();
        if names.is_empty() {
            names.push("nothing".to_owned());
        }
        let traces: Vec<&str> = set.traces.iter().map(|phase| phase.name.as_str()).collect();
        let traces = if traces.is_empty() { String::new() } else { format!("   (traces: {})", traces.join(", ")) };
        lines.push(format!("{:>11.3}   {}{traces}", set.probability, names.join(",  ")));
    }
    lines.push(String::new());
    lines.push(format!("something else is there with probability {:.2}", found.unknown_probability));
    if !found.unexplained.is_empty() {
        let peaks: Vec<String> = found.unexplained.iter().map(|peak| format!("{:.2}°", peak.two_theta_deg)).collect();
        lines.push(format!("unexplained lines: {}", peaks.join(" ")));
    }
    for review in &found.review {
        lines.push(format!("{} {}", paper.colour(33, "a person should look:"), review_words(review)));
    }
    notes(&mut lines, &paper, scan.warnings.iter().cloned());
    lines
}

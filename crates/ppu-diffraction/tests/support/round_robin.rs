//! The one protocol with which every sample of the round robin and every standard is analysed. Nothing in it depends on
//! the sample: instrument, range and priors are those of the laboratory, structures those of the literature.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::print_stderr, reason = "what is left out is said")]

use std::path::Path;
use std::time::Duration;

use ppu_diffraction::formats::xy;
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::refine::{Candidate, InstrumentPriors, Prior, Refinement, Settings, refine};

use super::structures;

/// Radius in mm and K of the diffracted-beam graphite monochromator (2θ_m = 26.6°) of the round robin's instrument.
const RADIUS_MM: f64 = 173.0;
const GRAPHITE_K: f64 = 0.80;
/// Range that every sample is fitted in: 6751 points of 0.02°.
const RANGE_DEG: (f64, f64) = (15.0, 150.0);
/// Endings of the names of patterns in columns of text.
const PATTERN_ENDINGS: [&str; 5] = ["prn", "xy", "xye", "dat", "csv"];
/// Radius in mm of the diffractometer that certified SRM 660c.
const NIST_RADIUS_MM: f64 = 217.5;
/// A mixture with what was weighed in, in percent.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) weighed: Vec<(String, f64)>,
    pub(crate) pattern: Pattern,
}

/// Settings of the round robin, with or without axial divergence.
pub(crate) fn settings(axial: bool) -> Settings {
    let instrument = InstrumentPriors::laboratory(RADIUS_MM, GRAPHITE_K);
    let instrument = if axial { instrument } else { instrument.without_axial() };
    Settings { range_deg: Some(RANGE_DEG), ..Settings::new(instrument) }
}

/// Every sample that `weighed.json` names and whose pattern is there, in the order of names. A sample is an object of
/// phases and amounts, at the top or within another object.
pub(crate) fn samples(data: &Path) -> Result<Vec<Sample>, String> {
    let folder = data.join("round_robin");
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let weighed: serde_json::Value = serde_json::from_slice(&read(&folder.join("weighed.json"))?)
        .map_err(|error| format!("weighed.json: {error}"))?;
    let mut patterns = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let path = entry.path();
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| PATTERN_ENDINGS.iter().any(|known| ending == *known)) {
            patterns.insert(path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase(), path);
        }
    }
    let mut amounts = Vec::new();
    collect(&weighed, &mut amounts);
    amounts.sort_by(|a, b| a.0.cmp(&b.0));
    let mut samples = Vec::new();
    for (name, weighed) in amounts {
        let Some(path) = patterns.get(&name.to_ascii_lowercase()) else {
            eprintln!("no pattern of {name} in {}: left out", folder.display());
            continue;
        };
        let pattern = pattern(&read(path)?).map_err(|error| format!("{name}: {error}"))?;
        samples.push(Sample { name, weighed, pattern });
    }
    Ok(samples)
}

/// Objects whose values are all numbers, by their names.
fn collect(value: &serde_json::Value, found: &mut Vec<(String, Vec<(String, f64)>)>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let numbers: Option<Vec<(String, f64)>> = inner
            .as_object()
            .and_then(|phases| phases.iter().map(|(phase, amount)| Some((phase.clone(), amount.as_f64()?))).collect());
        match numbers {
            Some(phases) if !phases.is_empty() => found.push((name.clone(), phases)),
            _ => collect(inner, found),
        }
    }
}

fn pattern(bytes: &[u8]) -> Result<Pattern, String> {
    let read = xy::read(bytes, xy::ThirdColumn::Ignore).map_err(|error| error.to_string())?;
    Pattern::from_counts(read.two_theta().to_vec(), read.intensity().to_vec()).map_err(|error| error.to_string())
}

/// The first phase of a sample whose structure is not known here.
pub(crate) fn unknown(sample: &Sample) -> Option<&str> {
    sample.weighed.iter().map(|(name, _)| name.as_str()).find(|name| structures::phase(name).is_none())
}

/// The candidates of a sample.
pub(crate) fn candidates(sample: &Sample) -> Result<Vec<Candidate>, String> {
    let of = |(name, _): &(String, f64)| {
        let phase = structures::phase(name).ok_or_else(|| format!("no structure of `{name}` is known here"))?;
        Ok(Candidate { texture_axis: structures::plate(name), ..Candidate::new(phase) })
    };
    sample.weighed.iter().map(of).collect()
}

/// The fit of one sample.
pub(crate) fn fit(sample: &Sample, settings: &Settings) -> Result<Refinement, String> {
    refine(&sample.pattern, &candidates(sample)?, settings, &|| Duration::ZERO).map_err(|error| error.to_string())
}

/// A certification scan of SRM 660c with the cell edge that its file states for the temperature of the scan.
#[derive(Debug)]
pub(crate) struct Standard {
    pub(crate) name: String,
    pub(crate) stated_a: f64,
    pub(crate) result: Refinement,
}

/// Every certification scan of the folder, fitted with the zero held and the NIST weights. The structure that it starts from
/// is that of the literature, not that of the file.
pub(crate) fn standards(data: &Path) -> Result<Vec<Standard>, String> {
    let folder = data.join("standards");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<std::path::PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "cif")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let stated = ppu_diffraction::cif::read_structure(&text).map_err(|error| format!("{name}: {error}"))?;
        if stated.formula.as_deref() != Some("B6 La") {
            eprintln!("{name} is no scan of LaB6: left out");
            continue;
        }
        let pattern = measured_block(&text).map_err(|error| format!("{name}: {error}"))?;
        let instrument = InstrumentPriors {
            zero_deg: Prior::fixed(0.0),
            ..InstrumentPriors::laboratory(NIST_RADIUS_MM, GRAPHITE_K)
        };
        let settings = Settings { calibrated: true, ..Settings::new(instrument) };
        let phase = structures::phase("LaB6").ok_or("no structure of LaB6")?;
        let result = refine(&pattern, &[Candidate::new(phase)], &settings, &|| Duration::ZERO)
            .map_err(|error| format!("{name}: {error}"))?;
        found.push(Standard { name, stated_a: stated.phase.cell().a, result });
    }
    Ok(found)
}

/// Angle, intensity and weight of the block named `_meas`; the one after it holds calculated values.
fn measured_block(text: &str) -> Result<Pattern, String> {
    let mut lines =
        text.lines().skip_while(|line| !(line.starts_with("data_pd_proc") && line.trim_end().ends_with("_meas")));
    lines.next().ok_or("no measured block")?;
    let rows = lines.take_while(|line| !line.starts_with("data_")).filter_map(|line| {
        let numbers: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        (numbers.len() == 3 && numbers[2] > 0.0).then(|| (numbers[0], numbers[1], 1.0 / numbers[2].sqrt()))
    });
    let (mut x, mut y, mut sigma) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        x.push(row.0);
        y.push(row.1);
        sigma.push(row.2);
    }
    Pattern::with_sigma(x, y, sigma).map_err(|error| error.to_string())
}
